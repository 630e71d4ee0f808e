"""The configuration of a daemon, and the last one that was good: what a file cut off or spoiled falls back to.

The file is a person's, so the copy is made when a daemon starts with it, not when it is written.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from kos_edge.errors import Unavailable
from kos_edge.node.config import CONFIG_LIMIT, BadConfiguration, Config, load_config, parse_config
from kos_edge.node.durable_file import write_durably
from kos_edge.node.settings import Place


def load_kept(path: Path) -> Config:
    """The configuration at `path`, or the last good one with its `trouble` said. Raises BadConfiguration for neither.

    A file that is gone, empty, or the mere beginning of the last good one was cut off, as far as anybody can tell: it
    is not taken for a wish to have the defaults.
    """
    kept = path.with_name(f"{path.name}.good")
    before = _bytes(kept)
    try:
        config = load_config(path)
        now = _bytes(path) or b""
        if before and len(now) < len(before) and before.startswith(now):
            what = "is cut off" if now else "is gone or empty"
            hint = f"if that is meant: end it with a comment, or delete {kept.name}"
            raise BadConfiguration(str(path), [Place(None, what, hint)])
    except BadConfiguration as error:
        if not before:
            raise
        try:
            config = parse_config(before, file=str(kept))
        except BadConfiguration:
            raise error from None
        said = f"{error.message}: the node runs with {kept.name}, the last configuration that was good"
        return replace(config, trouble=f"{said} ({error.hint})" if error.hint else said)
    if now and now != before:
        with contextlib.suppress(Unavailable):  # a full disk: the one before stays
            write_durably(kept, now, mode=0o640)
    return config


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(CONFIG_LIMIT)
    except OSError:
        return None
