"""What travels in a file instead of a session: packs to a member that no link reaches, and the receipts back.

The normative text is `docs/protocol/sneakernet.md`. A file is a first line and then records, each with its length and a
checksum; a record is something signed that verifies by itself, so a file that ends early is good as far as it goes.

    file     = first line, record, ...
    record   = length (4 bytes), CRC-32 (4 bytes), membership / carried / receipts
    carried  = COSE_Sign1, typ 65011, by the carrier: [carrier, file, number, time_ms / null, kind, content]
    receipts = COSE_Sign1, typ 65007, by the receiver: [receiver, time_ms / null, [+ receipt]]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from zlib import crc32

from kos_edge.delivery.wire import (
    Offer,
    Receipt,
    offer_from_wire,
    offer_to_wire,
    receipt_from_wire,
    receipt_to_wire,
)
from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair

FIRST_LINE = b"kos-edge carried 1\n"
MAX_RECORD = 131_072
"""Bytes of one record: a shipment of one pack at its largest, or all offers of a file."""

MAX_OFFERS = 1_024
"""Streams of one file; what a node owes of more waits for the next."""

SHIP_BYTES = 60_000
"""Bytes of packs that share one signature of the carrier, unless one alone is larger."""

SHIP_PARCELS = 512
RECEIPTS = 16
"""Receipts under one signature: with all their ranges and refusals they fit a record."""

FILE_BYTES = 8
MAX_NUMBER = 2**32 - 1
_MAX_TIME = 2**53
_ITEMS = 16_384  # CBOR items of one record: offers have eight each, receipts up to 530
_HEAD = struct.Struct(">II")


class Kind(IntEnum):
    """What a carrier says."""

    OFFERS = 0  # what it still has of its own streams: as a `sync` of delivery.md
    SHIP = 1  # packs with their ages at `time_ms`: a `ship` of delivery.md
    END = 2  # the file is whole


@dataclass(frozen=True, slots=True)
class Carried:
    """One statement of a carrier, its signature not checked. `time_ms` is its steady time, where it knew it."""

    carrier: bytes
    file: bytes
    number: int
    time_ms: int | None
    kind: Kind
    content: bytes = field(repr=False)
    signed: cose.Signed = field(repr=False, compare=False)

    def verify(self, public: bytes, mesh: bytes) -> None:
        """Invalid unless the owner of this key said so for this mesh."""
        self.signed.verify(public, typ=Typ.CARRIED, external_aad=mesh)

    def offers(self) -> tuple[Offer, ...]:
        """The streams of an `OFFERS`. Raises Invalid."""
        items = cbor.decode(self.content, limit=MAX_RECORD, items=_ITEMS)
        if type(items) is not list or len(items) > MAX_OFFERS:
            raise Invalid(f"the offers of a file are an array of at most {MAX_OFFERS}")
        return tuple(offer_from_wire(item) for item in items)


@dataclass(frozen=True, slots=True)
class Receipts:
    """What a receiver holds, by its signed word; the signature is not checked."""

    receiver: bytes
    time_ms: int | None
    receipts: tuple[Receipt, ...]
    signed: cose.Signed = field(repr=False, compare=False)

    def verify(self, public: bytes, mesh: bytes) -> None:
        """Invalid unless the owner of this key said so for this mesh."""
        self.signed.verify(public, typ=Typ.RECEIPT, external_aad=mesh)


@dataclass(frozen=True, slots=True)
class Member:
    """A membership, not verified."""

    cwt: bytes


Record = Member | Carried | Receipts


class Damaged(Invalid):
    """The file is not what was written from here on; what came before stands."""


# -- writing


class Carrier:
    """Signs what one file says, in its order."""

    def __init__(self, key: KeyPair, mesh: bytes, file: bytes) -> None:
        self._key = key
        self._mesh = mesh
        self._file = file
        self._number = 0

    def say(self, kind: Kind, content: bytes, time_ms: int | None) -> bytes:
        """A record with the next statement."""
        payload = cbor.encode([self._key.kid, self._file, self._number, time_ms, int(kind), content])
        self._number += 1
        return framed(cose.sign1(payload, Typ.CARRIED, self._key, external_aad=self._mesh))

    def offer(self, offers: Sequence[Offer], time_ms: int | None) -> bytes:
        """A record with the streams that are carried."""
        return self.say(Kind.OFFERS, cbor.encode([offer_to_wire(offer) for offer in offers]), time_ms)


def sign_receipts(receipts: Sequence[Receipt], key: KeyPair, mesh: bytes, time_ms: int | None) -> bytes:
    """Records with these receipts; b"" for none."""
    parts = (receipts[at : at + RECEIPTS] for at in range(0, len(receipts), RECEIPTS))
    payloads = (cbor.encode([key.kid, time_ms, [receipt_to_wire(each) for each in part]]) for part in parts)
    return b"".join(framed(cose.sign1(each, Typ.RECEIPT, key, external_aad=mesh)) for each in payloads)


def framed(record: bytes) -> bytes:
    """A record as it stands in a file."""
    return _HEAD.pack(len(record), crc32(record)) + record


# -- reading


class Unframer:
    """Cuts the bytes of a file into records, with no more in memory than one and what was handed in."""

    def __init__(self, *, begun: bool = False) -> None:
        self._rest = b""
        self._begun = begun
        self.offset = 0
        """Bytes that were whole records."""

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The records that are whole now. Raises Damaged where the bytes cannot be one: nothing follows then."""
        data = self._rest + data
        at = 0
        try:
            if not self._begun:
                if len(data) < len(FIRST_LINE) and FIRST_LINE.startswith(data):
                    return
                if not data.startswith(FIRST_LINE):
                    raise Damaged("this is no file that kos-edge queue export or import has written")
                self._begun = True
                at = len(FIRST_LINE)
                self.offset += at
            while len(data) - at >= _HEAD.size:
                length, check = _HEAD.unpack_from(data, at)
                if not 0 < length <= MAX_RECORD:
                    raise Damaged(f"damaged at byte {self.offset:,}: {_what(length)}")
                end = at + _HEAD.size + length
                if end > len(data):
                    return
                record = data[at + _HEAD.size : end]
                if crc32(record) != check:
                    raise Damaged(f"damaged at byte {self.offset:,}: the checksum is another")
                self.offset += end - at
                at = end
                yield record
        finally:
            self._rest = data[at:]

    def close(self) -> None:
        """The file has no more. Raises Damaged where it ends in the middle of a record."""
        if self._rest or not self._begun:
            raise Damaged(f"it ends in the middle, at byte {self.offset + len(self._rest):,}")


def _what(length: int) -> str:
    if not length:
        return "nothing but zeros, as where a stick was pulled out before it was written"
    return f"a record of {length:,} bytes; at most {MAX_RECORD:,} are written"


def read_record(data: bytes) -> Record:
    """What is in a record, as far as that can be told without a key. Raises Invalid."""
    if len(data) > MAX_RECORD:
        raise Invalid("a record that is too long")
    signed = cose.read_sign1(data, limit=MAX_RECORD)
    match signed.typ:
        case Typ.MEMBERSHIP:
            return Member(data)
        case Typ.CARRIED:
            return _read_carried(signed)
        case Typ.RECEIPT:
            return _read_receipts(signed)
        case typ:
            raise Invalid(f"a record of the type {typ} is not carried")


def _read_carried(signed: cose.Signed) -> Carried:
    _bare(signed)
    match cbor.decode(signed.payload, limit=MAX_RECORD):
        case [bytes(carrier), bytes(file), int(number), time_ms, int(kind), bytes(content)]:
            fits = (len(carrier), len(file)) == (16, FILE_BYTES) and type(number) is type(kind) is int
            if fits and 0 <= number <= MAX_NUMBER and 0 <= kind < len(Kind):
                return Carried(carrier, file, number, _time(time_ms), Kind(kind), content, signed)
    raise Invalid("what a carrier says is [carrier, file, number, time, kind, content]")


def _read_receipts(signed: cose.Signed) -> Receipts:
    _bare(signed)
    match cbor.decode(signed.payload, limit=MAX_RECORD, items=_ITEMS):
        case [bytes(receiver), time_ms, list(items)] if len(receiver) == 16 and 0 < len(items) <= RECEIPTS:
            receipts = tuple(receipt_from_wire(item) for item in items)
            return Receipts(receiver, _time(time_ms), receipts, signed)
    raise Invalid(f"receipts are [receiver, time, 1 to {RECEIPTS} receipts]")


def _bare(signed: cose.Signed) -> None:
    if signed.unprotected:
        raise Invalid("a statement in a file has an empty unprotected header")


def _time(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _MAX_TIME:
        raise Invalid("a time is in ms since 1970, or null")
    return value
