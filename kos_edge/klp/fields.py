"""Maps with small integer keys as they come from the wire, read key by key.

A key below 32 that nobody asked for refuses the map; from 32 up it is left out of account, so that later
versions can add what an older reader may miss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from kos_edge.errors import Invalid

T = TypeVar("T")

IGNORABLE_FROM = 32
"""Keys from here up are extensions that a reader may leave out of account."""

MAX_EXTENSION = 65_535
MAX_NAME = 255
MAX_TEXT = 1_024
MAX_MS = 2**53 - 1


class Fields:
    """One such map; `done` after the last key that is known."""

    __slots__ = ("_asked", "_what", "wire")

    def __init__(self, wire: Any, what: str) -> None:
        if type(wire) is not dict:
            raise Invalid(f"{what} is a map")
        self.wire: dict[Any, Any] = wire
        self._what = what
        self._asked: set[int] = set()

    def any(self, key: int) -> Any:
        """Whatever is there; None if nothing is."""
        self._asked.add(key)
        return self.wire.get(key)

    def text(self, key: int, most: int = MAX_NAME) -> str | None:
        """Text of at most `most` characters."""
        value = self.any(key)
        if value is None and key not in self.wire:
            return None
        if type(value) is not str or len(value) > most:
            raise self._wrong(key, f"text of at most {most} characters")
        return value

    def name(self, key: int) -> str:
        """Text of 1 to 255 characters that must be there."""
        value = self.text(key)
        if not value:
            raise self._wrong(key, "a name of 1 to 255 characters")
        return value

    def uint(self, key: int, most: int, least: int = 0) -> int | None:
        """An integer from `least` to `most`."""
        value = self.any(key)
        if value is None and key not in self.wire:
            return None
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(key, f"an integer from {least} to {most}")
        return value

    def bytes(self, key: int, least: int, most: int) -> bytes | None:
        """A byte string of `least` to `most` bytes."""
        value = self.any(key)
        if value is None and key not in self.wire:
            return None
        if type(value) is not bytes or not least <= len(value) <= most:
            raise self._wrong(key, f"a byte string of {least} to {most} bytes")
        return value

    def flag(self, key: int) -> bool:
        """True, or nothing at all for false."""
        value = self.any(key)
        if value is not True and key in self.wire:
            raise self._wrong(key, "true or absent")
        return value is True

    def named(self, key: int) -> dict[str, Any]:
        """A map whose keys are text; empty if nothing is there."""
        value = self.any(key)
        if value is None and key not in self.wire:
            return {}
        if type(value) is not dict or any(type(name) is not str for name in value):
            raise self._wrong(key, "a map with names as keys")
        return value

    def number_or_name(self, key: int) -> int | str | None:
        """An unsigned 32-bit integer, or a name."""
        if type(self.wire.get(key)) is str:
            return self.name(key)
        return self.uint(key, 2**32 - 1)

    def done(self) -> None:
        """Invalid if the map has keys that nobody asked for and that may not be missed."""
        for key in self.wire.keys() - self._asked:
            if type(key) is not int or not IGNORABLE_FROM <= key <= MAX_EXTENSION:
                raise Invalid(f"{self._what} has a part {key!r} that is not known here")

    def _wrong(self, key: int, wanted: str) -> Invalid:
        return Invalid(f"part {key} of {self._what} is {wanted}")


def required(value: T | None, message: str) -> T:
    """`value`, or Invalid with the message if it is None."""
    if value is None:
        raise Invalid(message)
    return value


def compact(parts: Mapping[int, Any]) -> dict[int, Any]:
    """The map without what is None."""
    return {key: value for key, value in parts.items() if value is not None}


def byte_strings(value: object, what: str, most: int = 64) -> list[bytes]:
    """At most so many byte strings. Raises Invalid."""
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, bytes) for item in value):
        raise Invalid(f"{what} are an array of byte strings")
    return value
