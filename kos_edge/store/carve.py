"""Rows out of the raw pages of a database file and its log, whatever state its trees are in.

SQLite reaches a row through a tree; one bad page hides all below it. Here every page that looks like a leaf is read for
itself (https://www.sqlite.org/fileformat2.html, 1.6 and 2.1), in every version that file and log have of it. What comes
out is nobody's word: stale rows are among it, and rows from damaged pages. Whoever takes one has to prove it.

One page is in memory at a time, however large the file is: a row says its place, from where it can be read again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from kos_edge.system import CLOEXEC, read_at

Value = int | float | bytes | str | None

_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_FILE_HEADER = 100  # bytes before the first page's own header
_WAL_HEADER, _FRAME_HEADER = 32, 24
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"\x37\x7f\x06\x82": "little", b"\x37\x7f\x06\x83": "big"}
"""How the words of a log's header are summed up, by its first four bytes."""
_MAX_PAYLOAD = 1 << 20  # bytes of a row: several times the largest pack
_MAX_COLUMNS = 16
_FIXED = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}  # bytes of a serial type


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `rowid` is None where the table has none. `place` is where `Pages.row` finds it again."""

    rowid: int | None
    values: tuple[Value, ...]
    place: int = 0


class Pages:
    """The pages of a database of `size`-byte pages: those of the file, and every version of them in the log.

    A page that the disk does not give counts as one that is not there.
    """

    def __init__(self, file: Path, log: Path, size: int) -> None:
        self._size = size
        self._file, self._log = _open(file), _open(log)
        self._length = 0 if self._file is None else os.fstat(self._file).st_size
        self._frames = list(_frames(self._log, size))  # of each version in the log: page number, where it is
        self._latest = dict(self._frames)

    def close(self) -> None:
        """Let the files go."""
        for descriptor in (self._file, self._log):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._log = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def filed(self) -> Iterator[Row]:
        """Every row on every leaf of the file."""
        for at in range(0, self._length - self._size + 1, self._size):
            yield from self._leaf(_read(self._file, at, self._size), _FILE_HEADER if at == 0 else 0, at << 1)

    def logged(self) -> Iterator[Row]:
        """Every row on every leaf of the log, in its order, so that the newest is last."""
        for number, at in self._frames:
            page = _read(self._log, at, self._size)
            yield from self._leaf(page, _FILE_HEADER if number == 1 else 0, at << 1 | 1)

    def row(self, place: int) -> Row | None:
        """The row at a place that another row has named; None where it cannot be read any more."""
        page_at, start, table = place >> 17, place >> 1 & 0xFFFF, bool(place & 1)
        page = _read(self._log if page_at & 1 else self._file, page_at >> 1, self._size)
        return self._row(page, start, table, place)

    def _page(self, number: int) -> bytes:
        at = self._latest.get(number)
        if at is not None:
            return _read(self._log, at, self._size)
        return _read(self._file, (number - 1) * self._size, self._size) if number >= 1 else b""

    def _leaf(self, page: bytes, at: int, page_at: int) -> Iterator[Row]:
        """The rows of a page with its header `at` so many bytes; `page_at` is its part of their places."""
        kind = page[at] if len(page) == self._size else 0
        if kind not in (_TABLE_LEAF, _INDEX_LEAF):
            return
        cells = int.from_bytes(page[at + 3 : at + 5], "big")
        if at + 8 + 2 * cells > self._size:
            return
        table = kind == _TABLE_LEAF
        for entry in range(at + 8, at + 8 + 2 * cells, 2):
            start = int.from_bytes(page[entry : entry + 2], "big")
            row = self._row(page, start, table, page_at << 17 | start << 1 | table)
            if row is not None:
                yield row

    def _row(self, page: bytes, start: int, table: bool, place: int) -> Row | None:
        try:
            return self._cell(page, start, table, place)
        except (IndexError, ValueError, OverflowError):
            return None  # not a cell (any more)

    def _cell(self, page: bytes, at: int, table: bool, place: int) -> Row | None:
        length, at = _varint(page, at)
        rowid: int | None = None
        if table:
            rowid, at = _varint(page, at)
        if not 2 <= length <= _MAX_PAYLOAD:
            return None
        payload = self._payload(page, at, length, table)
        return None if payload is None else Row(rowid, _record(payload), place)

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


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | CLOEXEC)
    except OSError:
        return None


def _read(descriptor: int | None, at: int, size: int) -> bytes:
    """So many bytes, fewer where there are no more; none where the disk does not give them."""
    try:
        return b"" if descriptor is None else read_at(descriptor, at, size)
    except (OSError, OverflowError):
        return b""


def _every_head(descriptor: int | None, first: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Where each frame of the log begins, and its header, whatever round it is of."""
    length = 0 if descriptor is None else os.fstat(descriptor).st_size
    for at in range(first, length - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        yield at, _read(descriptor, at, _FRAME_HEADER)


def _heads(descriptor: int | None, first: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Those of the log's present round; their checksums are not asked for.

    Where its header is damaged the round is what the first two frames beside each other are of.
    """
    salts = _read(descriptor, 16, 8)
    if not _header_is_whole(descriptor):
        marks = (head[8:16] for _, head in _every_head(descriptor, _WAL_HEADER, size))
        salts = next((mark for mark, other in pairwise(marks) if mark == other != bytes(8)), salts)
    for at, head in _every_head(descriptor, first, size):
        if head[8:16] == salts:
            yield at, head


def _header_is_whole(descriptor: int | None) -> bool:
    """By the sums at its end (https://www.sqlite.org/fileformat2.html, 4.2)."""
    raw = _read(descriptor, 0, _WAL_HEADER)
    order = _ORDERS.get(raw[:4])
    if order is None:
        return False
    one = two = 0
    for at in range(0, _WAL_HEADER - 8, 8):
        one = (one + int.from_bytes(raw[at : at + 4], order) + two) & 0xFFFFFFFF
        two = (two + int.from_bytes(raw[at + 4 : at + 8], order) + one) & 0xFFFFFFFF
    return raw[24:32] == one.to_bytes(4, "big") + two.to_bytes(4, "big")


def _frames(descriptor: int | None, size: int) -> Iterator[tuple[int, int]]:
    """Page number and place of every page in the log."""
    for at, head in _heads(descriptor, _WAL_HEADER, size):
        yield int.from_bytes(head[:4], "big"), at + _FRAME_HEADER


def lost_commits(log: Path, frames: int, size: int) -> bool:
    """Whether the log has commits behind the `frames` that SQLite took: something before them is damaged.

    After a power cut the commit that was under way may be there with a hole in it, and where a disk syncs late the one
    after it too; what was followed by two more was synced. Damage in the last two commits looks like a power cut, and
    is taken for one. A header that was cut while the log began anew hides a round that is in the file already.
    """
    descriptor = _open(log)
    try:
        first = _WAL_HEADER + frames * (_FRAME_HEADER + size)
        if sum(head[4:8] != bytes(4) for _, head in _heads(descriptor, first, size)) <= 2:
            return False
        return _header_is_whole(descriptor) or not _is_in_file(log, descriptor, size)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_in_file(log: Path, descriptor: int | None, size: int) -> bool:
    """Whether the file has every page as the log's present round has it last."""
    file = _open(log.with_name(log.name.removesuffix("-wal")))
    try:
        pages = dict(_frames(descriptor, size)).items()
        return all(
            _read(file, (number - 1) * size, size) == _read(descriptor, at, size) for number, at in pages
        )
    finally:
        if file is not None:
            os.close(file)
