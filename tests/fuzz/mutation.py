"""Changes to an input: from one bit to a piece of another input."""

from __future__ import annotations

import random

LONGEST = 70_000
"""Bytes of the longest input: a little above the largest pack."""
_HEADS = bytes.fromhex(
    "00 17 18 19 1a 1b 1f 20 38 3b 40 58 5b 5f 60 78 7f 80 98 9b 9f a0 b8 bb bf c0 c2 d8 e0 f4 f6 f9 fb ff"
)
"""First bytes of CBOR items, and the bytes that SLIP and CoAP give a meaning."""
_LENGTHS = (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def mutated(data: bytes, seeds: tuple[bytes, ...], chance: random.Random) -> bytes:
    """`data` with one to six changes; `seeds` lend pieces."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(_CHANGES)(changed, seeds, chance)
    return bytes(changed[:LONGEST])


def _flip(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _head(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice(_HEADS)


def _insert(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = bytes(chance.choice(_HEADS) for _ in range(chance.choice((1, 1, 2, 4, 64))))


def _number(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    size = chance.choice((1, 2, 4, 8))
    at = chance.randrange(len(data) + 1)
    data[at : at + size] = (chance.choice(_LENGTHS) % 256**size).to_bytes(size, "big")


def _cut(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    at, size = _slice(data, chance)
    del data[at : at + size]


def _end(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _repeat(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    at, size = _slice(data, chance)
    data[at:at] = data[at : at + size] * chance.choice((1, 2, 8, 100))


def _splice(data: bytearray, seeds: tuple[bytes, ...], chance: random.Random) -> None:
    other = chance.choice(seeds)
    at, size = _slice(data, chance)
    start, length = _slice(bytearray(other), chance)
    data[at : at + size] = other[start : start + length]


def _slice(data: bytearray, chance: random.Random) -> tuple[int, int]:
    if not data:
        return 0, 0
    at = chance.randrange(len(data))
    return at, min(len(data) - at, chance.choice((1, 2, 4, 16, 64, len(data))))


_CHANGES = (_flip, _head, _insert, _number, _cut, _end, _repeat, _splice)
