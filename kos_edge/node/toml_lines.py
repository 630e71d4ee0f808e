"""Which line of a TOML text a key stands on; tomllib tells it for errors of syntax only."""

from __future__ import annotations

import re
import tomllib

_HEADER = re.compile(r"\s*\[\[?(?P<name>.+?)\]\]?\s*(?:#.*)?")
_KEY = re.compile(
    r"\s*(?P<name>(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*'))*)\s*="
)
_FENCES = ('"""', "'''")


class TomlLines:
    """The lines of tables and keys of a text that tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        fence = ""
        for number, line in enumerate(text.splitlines(), start=1):
            if fence:
                fence = "" if fence in line else fence
                continue
            if header := _HEADER.fullmatch(line):
                table = _path(header["name"])
                self._note(table, number)
            elif key := _KEY.match(line):
                self._note((*table, *_path(key["name"])), number)
                fence = next((mark for mark in _FENCES if line.count(mark) % 2), "")

    def line(self, *path: str) -> int | None:
        """The line of that key or table, or of the nearest table around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _note(self, path: tuple[str, ...], number: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], number)


def _path(name: str) -> tuple[str, ...]:
    try:
        value: object = tomllib.loads(f"{name} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path = []
    while isinstance(value, dict):
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)
