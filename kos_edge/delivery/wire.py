"""What two members say to each other about packs: parcels, receipts, and what each holds.

The normative text is `docs/protocol/delivery.md`. Everything here travels inside OSCORE; nothing is signed,
because a receipt speaks only for the member at the other end of the session.

    ship      = [+ [age_ms / null, pack bstr]]                         POST /klp, request
    answer    = {1: [* receipt], 2: delay_us, ? 3: [+ kid], ? 4: wait_ms, ? 5: [+ kid]}    POST /klp, response
    receipt   = [source, audience, class, epoch, held, [* first, last], [* [seq, reason]], reach]
    sync      = {1: [* [source, audience, class, epoch, from, to]], 2: highest_epoch}     POST /sync, request
    synced    = {1: [* receipt], 2: highest_epoch_held, ? 3: [+ end], ? 4: time_ms}   POST /sync, response
    end       = [audience, class, epoch, held, chain_hash / null]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.header import CHAIN_BYTES
from kos_edge.klp.pack import MAX_PACK
from kos_edge.klp.stream import Class, Stream, audience_from_wire, audience_to_wire, stream_from_wire

MAX_RANGES = 64  # protocol.md 6: a receipt names at most this many ranges beyond the cumulative position
MAX_RECEIPTS = 64  # one answer; more streams than that are answered by the next request
MAX_PARCELS = 1024  # one request; 64 KiB of the smallest packs are fewer
MAX_REFUSALS = 128  # one receipt; more than a pack that fits a datagram can hold
ANSWER_BYTES = 1_000  # so that an answer fits one datagram inside OSCORE
STREAM_ANSWER_BYTES = 64_000  # over TCP
MAX_ENDS = 8  # lanes whose end is told in one comparison, the newest first, so that it fits a datagram
MAX_ANSWER_ITEMS = cbor.MAX_ITEMS - 64  # CBOR items of receipts and kids; the rest is said in the next answer
_MAX_SEQ = 2**63 - 1
_SHIP_LIMIT = MAX_PACK + 4096


class Reach(IntEnum):
    """How far the receiver's word goes."""

    CUSTODY = 1  # synced by a relay: stop retransmitting, do not let go
    FINAL = 2  # synced in the journal of a member of the audience: let go
    VOLATILE = 3  # handed to the application, never on disk


class Reason(IntEnum):
    """Why a sequence number will never be held."""

    DROPPED = 1
    EXPIRED = 2
    REFUSED = 3
    DAMAGED = 4
    MALFORMED = 5
    FORKED = 6
    HANDLER = 7  # its handler raised at every attempt; never on the wire


@dataclass(frozen=True, slots=True)
class Parcel:
    """One pack on its way. `age_ms` is how long ago it was sealed, None when nobody knows."""

    pack: bytes
    age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sequence number that the receiver will not hold, and why."""

    seq: int
    reason: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver has of one stream: all up to `held`, and `ranges` (inclusive) beyond it.

    Cumulative, so that losing one costs nothing.
    """

    stream: Stream
    held: int
    ranges: tuple[tuple[int, int], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    reach: Reach = Reach.FINAL

    def covers(self, first: int, last: int) -> bool:
        """Whether every number from `first` to `last` is held."""
        return last <= self.held or any(a <= first and last <= b for a, b in self.ranges)


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a shipment: receipts, and how long the receiver took (microseconds)."""

    receipts: tuple[Receipt, ...]
    delay_us: int = 0
    unknown_sources: tuple[bytes, ...] = ()
    wait_ms: int | None = None
    quarantined: tuple[bytes, ...] = ()
    """Sources of which nothing is taken: their keys have signed what no single source signs."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One stream that the sender can hand over: sequence numbers `first` to `last`."""

    stream: Stream
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What a member still owes the other, and the highest epoch that it has opened itself."""

    offers: tuple[Offer, ...]
    epoch: int


@dataclass(frozen=True, slots=True)
class End:
    """Where a lane of the asker's ends at the other: its newest epoch, the number held, the chain hash of that pack.

    `hash` is None where the other does not have it.
    """

    audience: str
    cls: Class
    epoch: int
    held: int
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Synced:
    """What the other holds of the offered streams, the asker's highest epoch that it has seen, and its lanes' ends.

    `time_ms` is its steady time in ms since 1970, None where it does not know the time.
    """

    receipts: tuple[Receipt, ...]
    epoch: int
    ends: tuple[End, ...] = ()
    time_ms: int | None = None


def _stream_to_wire(stream: Stream) -> list[object]:
    return [stream.source, audience_to_wire(stream.audience), stream.cls.code, stream.epoch]


def _stream_from_wire(items: Sequence[object]) -> Stream:
    source, audience, code, epoch = items
    if not isinstance(source, bytes) or len(source) != 16:
        raise Invalid("a stream's source is 16 bytes")
    if type(code) is not int or type(epoch) is not int or not 0 <= epoch <= _MAX_SEQ:
        raise Invalid("a stream's class and epoch are unsigned integers")
    return stream_from_wire(source, audience, code, epoch)


def _uint(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_SEQ:
        raise Invalid(f"{what} must be an unsigned integer")
    return value


def _list(value: object, what: str, most: int) -> list[object]:
    if not isinstance(value, list) or len(value) > most:
        raise Invalid(f"{what} must be an array of at most {most}")
    return value


def _map(value: object, what: str) -> dict[object, object]:
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a map")
    return value


def encode_ship(parcels: Sequence[Parcel]) -> bytes:
    """The body of `POST /klp`."""
    return cbor.encode([[parcel.age_ms, parcel.pack] for parcel in parcels])


def decode_ship(data: bytes) -> list[Parcel]:
    """Read the body of `POST /klp`; the packs inside are not looked at. Raises Invalid."""
    parcels = []
    for item in _list(cbor.decode(data, limit=_SHIP_LIMIT), "a shipment", MAX_PARCELS):
        if type(item) is not list or len(item) != 2 or type(item[1]) is not bytes:
            raise Invalid("a parcel is [age, pack]")
        age, pack = item
        parcels.append(Parcel(pack, None if age is None else _uint(age, "an age")))
    if not parcels:
        raise Invalid("a shipment holds at least one parcel")
    return parcels


def receipt_to_wire(receipt: Receipt) -> list[object]:
    """A receipt as a CBOR array."""
    ranges = [number for pair in receipt.ranges[:MAX_RANGES] for number in pair]
    refusals = [[refusal.seq, refusal.reason] for refusal in receipt.refusals[:MAX_REFUSALS]]
    return [*_stream_to_wire(receipt.stream), receipt.held, ranges, refusals, int(receipt.reach)]


def receipt_from_wire(value: object) -> Receipt:
    """Read a receipt. Raises Invalid."""
    items = _list(value, "a receipt", 8)
    if len(items) != 8:
        raise Invalid("a receipt has eight elements")
    flat = [_uint(number, "a range") for number in _list(items[5], "ranges", 2 * MAX_RANGES)]
    held = _uint(items[4], "a position")
    if len(flat) % 2:
        raise Invalid("ranges are pairs")
    ranges = tuple(zip(flat[::2], flat[1::2], strict=True))
    below = held
    for first, last in ranges:
        if not below < first <= last:
            raise Invalid("ranges rise and do not overlap")
        below = last
    refusals = []
    for item in _list(items[6], "refusals", MAX_REFUSALS):
        pair = _list(item, "a refusal", 2)
        if len(pair) != 2:
            raise Invalid("a refusal is [sequence, reason]")
        refusals.append(Refusal(_uint(pair[0], "a sequence"), _uint(pair[1], "a reason")))
    try:
        reach = Reach(_uint(items[7], "a reach"))
    except ValueError:
        raise Invalid("unknown reach of a receipt") from None
    return Receipt(_stream_from_wire(items[:4]), held, ranges, tuple(refusals), reach)


def encode_answer(answer: Answer, limit: int = ANSWER_BYTES) -> bytes:
    """The response to `POST /klp`. Where it would not fit a datagram, ranges are left out, the farthest first.

    Where that is not enough, so are the last receipts, of later epochs, and then refusals that were said before.
    """
    data = b""
    for receipts in _shorter(answer.receipts[:MAX_RECEIPTS]):
        data = _encode_answer(replace(answer, receipts=receipts))
        if len(data) <= limit and _items(receipts) + len(answer.unknown_sources) <= MAX_ANSWER_ITEMS:
            break
    return data


def _items(receipts: tuple[Receipt, ...]) -> int:
    """CBOR items that these take in an answer."""
    return sum(9 + 2 * len(receipt.ranges) + 3 * len(receipt.refusals) for receipt in receipts)


def _shorter(receipts: tuple[Receipt, ...]) -> Iterator[tuple[Receipt, ...]]:
    """The receipts, and then with less and less in them."""
    yield receipts
    ranges = MAX_RANGES
    while ranges:
        ranges //= 2
        receipts = tuple(replace(r, ranges=r.ranges[:ranges]) for r in receipts)
        yield receipts
    while len(receipts) > 1 and not receipts[-1].refusals:
        receipts = receipts[:-1]
        yield receipts
    refusals = MAX_REFUSALS
    while refusals:
        refusals //= 2
        receipts = tuple(replace(r, refusals=r.refusals[:refusals]) for r in receipts)
        yield receipts
    while len(receipts) > 1:
        receipts = receipts[:-1]
        yield receipts


def _encode_answer(answer: Answer) -> bytes:
    body: dict[int, object] = {
        1: [receipt_to_wire(receipt) for receipt in answer.receipts[:MAX_RECEIPTS]],
        2: answer.delay_us,
    }
    if answer.unknown_sources:
        body[3] = list(answer.unknown_sources)
    if answer.wait_ms is not None:
        body[4] = answer.wait_ms
    if answer.quarantined:
        body[5] = list(answer.quarantined)
    return cbor.encode(body)


def decode_answer(data: bytes) -> Answer:
    """Read the response to `POST /klp`. Raises Invalid."""
    body = _map(cbor.decode(data), "an answer")
    wait = body.get(4)
    return Answer(
        tuple(receipt_from_wire(item) for item in _list(body.get(1), "receipts", MAX_RECEIPTS)),
        _uint(body.get(2, 0), "a delay"),
        _kids(body.get(3, []), "an unknown source"),
        None if wait is None else _uint(wait, "a wait"),
        _kids(body.get(5, []), "a source in quarantine"),
    )


def _kids(value: object, what: str) -> tuple[bytes, ...]:
    kids = []
    for kid in _list(value, f"{what}, in a list,", MAX_PARCELS):
        if not isinstance(kid, bytes) or len(kid) != 16:
            raise Invalid(f"{what} is a kid")
        kids.append(kid)
    return tuple(kids)


def encode_sync(sync: Sync) -> bytes:
    """The body of `POST /sync`."""
    return cbor.encode(
        {
            1: [offer_to_wire(offer) for offer in sync.offers[:MAX_RECEIPTS]],
            2: sync.epoch,
        }
    )


def decode_sync(data: bytes) -> Sync:
    """Read the body of `POST /sync`. Raises Invalid."""
    body = _map(cbor.decode(data), "a sync")
    offers = tuple(offer_from_wire(item) for item in _list(body.get(1), "offers", MAX_RECEIPTS))
    return Sync(offers, _uint(body.get(2), "an epoch"))


def offer_to_wire(offer: Offer) -> list[object]:
    """An offer as a CBOR array."""
    return [*_stream_to_wire(offer.stream), offer.first, offer.last]


def offer_from_wire(value: object) -> Offer:
    """Read an offer. Raises Invalid."""
    items = _list(value, "an offer", 6)
    if len(items) != 6:
        raise Invalid("an offer has six elements")
    first, last = _uint(items[4], "a first sequence"), _uint(items[5], "a last sequence")
    if not 1 <= first <= last + 1:
        raise Invalid("an offer's range is empty or reversed")
    return Offer(_stream_from_wire(items[:4]), first, last)


def encode_synced(synced: Synced, limit: int = ANSWER_BYTES) -> bytes:
    """The response to `POST /sync`. It fits a datagram as `encode_answer` does."""
    data = b""
    for receipts in _shorter(synced.receipts[:MAX_RECEIPTS]):
        data = _encode_synced(replace(synced, receipts=receipts))
        if len(data) <= limit and _items(receipts) <= MAX_ANSWER_ITEMS:
            break
    return data


def _encode_synced(synced: Synced) -> bytes:
    body: dict[int, object] = {
        1: [receipt_to_wire(r) for r in synced.receipts[:MAX_RECEIPTS]],
        2: synced.epoch,
    }
    if synced.ends:
        body[3] = [
            [audience_to_wire(end.audience), end.cls.code, end.epoch, end.held, end.hash]
            for end in synced.ends[:MAX_ENDS]
        ]
    if synced.time_ms is not None:
        body[4] = synced.time_ms
    return cbor.encode(body)


def decode_synced(data: bytes) -> Synced:
    """Read the response to `POST /sync`. Raises Invalid."""
    body = _map(cbor.decode(data), "a sync's answer")
    receipts = tuple(receipt_from_wire(item) for item in _list(body.get(1), "receipts", MAX_RECEIPTS))
    ends = tuple(_end_from_wire(item) for item in _list(body.get(3, []), "ends", MAX_ENDS))
    time = body.get(4)
    return Synced(
        receipts, _uint(body.get(2), "an epoch"), ends, None if time is None else _uint(time, "a time")
    )


def _end_from_wire(value: object) -> End:
    match value:
        case [audience, int(code), int(epoch), int(held), None | bytes() as chain]:
            if chain is not None and len(chain) != CHAIN_BYTES:
                raise Invalid(f"a chain hash is {CHAIN_BYTES} bytes")
            if not (_uint(epoch, "an epoch") and _uint(held, "a position")):
                raise Invalid("an end is of an epoch and a position from 1")
            return End(
                audience_from_wire(audience), Class.from_code(_uint(code, "a class")), epoch, held, chain
            )
    raise Invalid("an end is audience, class, epoch, position and chain hash")
