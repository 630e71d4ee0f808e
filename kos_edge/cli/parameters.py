"""What stands in parameters: durations, times, keys; a mistake is a mistake of usage (exit code 2)."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from kos_edge.cli.show import parse_when
from kos_edge.errors import Invalid
from kos_edge.node.quantities import parse_duration


def duration(text: str) -> float:
    """Seconds of ``30s``, ``1h`` and the like."""
    return _read(parse_duration, text)


def seconds(text: str) -> float:
    """Seconds of a plain number of them, or of a duration."""
    return duration(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)


def moment(text: str) -> float:
    """Wall seconds of a time, or of a duration before now."""
    return _read(lambda given: parse_when(given, time.time()), text)


def hexadecimal(length: int) -> Callable[[str], bytes]:
    """A reader of so many bytes in hexadecimal digits."""

    def read(text: str) -> bytes:
        try:
            data = bytes.fromhex(text)
        except ValueError:
            data = b""
        if len(data) != length:
            raise click.BadParameter(f"{length * 2} hexadecimal digits are needed")
        return data

    return read


def _read(parse: Callable[[str], float], text: str) -> float:
    try:
        return parse(text)
    except Invalid as error:
        raise click.BadParameter(f"{error.message}: {error.hint}") from None
