"""Rows out of the raw pages of a database file and its log, whatever state its trees are in.

SQLite reaches a row through a tree; one bad page hides all below it. Here every page that looks like a leaf is read for
itself (https://www.sqlite.org/fileformat2.html, 1.6 and 2.1), in every version that file and log have of it. What comes
out is nobody's word: stale rows are among it, and rows from damaged pages. Whoever takes one has to prove it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Value = int | float | bytes | str | None

_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_FILE_HEADER = 100  # bytes before the first page's own header
_WAL_HEADER, _FRAME_HEADER = 32, 24
_MAX_PAYLOAD = 1 << 20  # bytes of a row: several times the largest pack
_MAX_COLUMNS = 16
_FIXED = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}  # bytes of a serial type


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `rowid` is None where the table has none."""

    rowid: int | None
    values: tuple[Value, ...]


class Pages:
    """The pages of a database of `size`-byte pages: those of the file, and every version of them in the log."""

    def __init__(self, file: Path, log: Path, size: int) -> None:
        self._size = size
        raw = file.read_bytes() if file.exists() else b""
        self._file = [raw[start : start + size] for start in range(0, len(raw) - size + 1, size)]
        self._log = list(_frames(log.read_bytes() if log.exists() else b"", size))
        self._latest = dict(self._log)

    def filed(self) -> Iterator[Row]:
        """Every row on every leaf of the file."""
        for number, page in enumerate(self._file, start=1):
            yield from self._leaf(page, _FILE_HEADER if number == 1 else 0)

    def logged(self) -> Iterator[Row]:
        """Every row on every leaf of the log, in its order, so that the newest is last."""
        for number, page in self._log:
            yield from self._leaf(page, _FILE_HEADER if number == 1 else 0)

    def _page(self, number: int) -> bytes:
        found = self._latest.get(number)
        if found is None and 1 <= number <= len(self._file):
            found = self._file[number - 1]
        return found or b""

    def _leaf(self, page: bytes, at: int) -> Iterator[Row]:
        kind = page[at]
        if kind not in (_TABLE_LEAF, _INDEX_LEAF):
            return
        cells = int.from_bytes(page[at + 3 : at + 5], "big")
        if at + 8 + 2 * cells > self._size:
            return
        for place in range(at + 8, at + 8 + 2 * cells, 2):
            start = int.from_bytes(page[place : place + 2], "big")
            try:
                row = self._cell(page, start, kind == _TABLE_LEAF)
            except (IndexError, ValueError, OverflowError):
                continue  # not a cell (any more)
            if row is not None:
                yield row

    def _cell(self, page: bytes, at: int, table: bool) -> Row | None:
        length, at = _varint(page, at)
        rowid: int | None = None
        if table:
            rowid, at = _varint(page, at)
        if not 2 <= length <= _MAX_PAYLOAD:
            return None
        payload = self._payload(page, at, length, table)
        return None if payload is None else Row(rowid, _record(payload))

    def _payload(self, page: bytes, at: int, length: int, table: bool) -> bytes | None:
        """The bytes of a row, with what of it is on overflow pages."""
        usable = self._size
        most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
        if length <= most:
            return page[at : at + length]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        if local > most:
            local = least
        parts, left = [page[at : at + local]], length - local
        number = int.from_bytes(page[at + local : at + local + 4], "big")
        while left > 0:
            more = self._page(number)
            if not more:
                return None
            number = int.from_bytes(more[:4], "big")
            parts.append(more[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
        return b"".join(parts)


def _record(payload: bytes) -> tuple[Value, ...]:
    end, at = _varint(payload, 0)
    place = end
    values: list[Value] = []
    while at < end and len(values) < _MAX_COLUMNS:
        kind, at = _varint(payload, at)
        size = _FIXED[kind] if kind in _FIXED else (kind - 12) // 2
        data = payload[place : place + size]
        if size < 0 or len(data) != size:
            raise ValueError("a value that is longer than its row")
        place += size
        if kind in (8, 9):
            values.append(kind - 8)
        elif kind == 0:
            values.append(None)
        elif kind < 7:
            values.append(int.from_bytes(data, "big", signed=True))
        elif kind == 7:
            values.append(None)  # a real number: there is none in our tables
        elif kind % 2:
            values.append(data.decode())
        else:
            values.append(data)
    return tuple(values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def _frames(raw: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Page number and page of every frame of the log's present round; whether its checksum is right is not asked."""
    salts = raw[16:24]
    for at in range(_WAL_HEADER, len(raw) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        if raw[at + 8 : at + 16] == salts:
            start = at + _FRAME_HEADER
            yield int.from_bytes(raw[at : at + 4], "big"), raw[start : start + size]


def lost_commits(log: Path, frames: int, size: int) -> bool:
    """Whether the log has commits behind the `frames` that SQLite took: something between them is damaged.

    After a power cut the commit that was under way may be there with a hole in it, and where a disk syncs late the one
    after it too; what was followed by two more was synced. Damage in the last two commits looks like a power cut, and
    is taken for one.
    """
    if not log.exists():
        return False
    raw = log.read_bytes()
    first = _WAL_HEADER + frames * (_FRAME_HEADER + size)
    ends = [
        at
        for at in range(first, len(raw) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size)
        if raw[at + 8 : at + 16] == raw[16:24] and raw[at + 4 : at + 8] != bytes(4)
    ]
    return len(ends) > 2
