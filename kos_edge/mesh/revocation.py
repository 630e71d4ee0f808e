"""Revocations: signed, numbered by their issuer, for good; sets of them merge by union.

A revocation (COSE typ 65003) shows its signer as a membership does, so any member may hand it to any other.
The set gives the same answers whatever the order in which it learned them: nothing is ever taken out, and a
revocation stays in force when its own issuer is revoked later, or whom it shut out would come back.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KID_BYTES
from kos_edge.mesh.claims import read_time
from kos_edge.mesh.membership import MAX_MEMBERSHIP, Seal, Standing, verify_signed

MAX_REVOCATION = MAX_MEMBERSHIP + 512
MAX_REASON = 120
"""Characters of a reason."""

MAX_NUMBER = 2**32 - 1
MAX_PER_ISSUER = 8_192
"""Revocations of one issuer that a set takes: 3 MB of an issuer gone bad, far above any real mesh."""

MAX_ISSUERS = 64
MAX_AHEAD = 1_024
"""How far a number may run ahead of all of 1 … n: bounds what has to be said of numbers that have gaps."""

MAX_SAME = 4
"""Different revocations of one number: an issuer put back from an old copy makes two."""

MAX_BATCH = 1_024
"""Revocations in one hand-over at most."""

_NUMBER, _KID, _IAT, _REASON = 1, 2, 3, 4

ID_BYTES = 8
MAX_IDS = 2 * MAX_AHEAD * ID_BYTES

Numbers = dict[bytes, tuple[int, bytes, bytes]]
"""What a set holds, per issuer kid: all of 1 … n; 8 bytes of SHA-256 that say which these are; and the ids, 8
bytes each, of those numbered above n, where a number is missing."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One key shut out, by one issuer or the authority. `at`: seconds since 1970, as the signer believed."""

    kid: bytes
    number: int
    reason: str
    at: int
    issuer: bytes
    standing: Standing
    """Of the signer. An issuer may revoke members; the authority issuers too, and its own earlier keys."""
    predecessors: tuple[bytes, ...]
    """Kids of the authority's keys that came before the signer's: what it may revoke besides."""
    raw: bytes = field(repr=False)

    def covers(self, standing: Standing) -> bool:
        """Whether its signer may shut out this key from acting with `standing`."""
        match standing:
            case Standing.MEMBER:
                return True
            case Standing.ISSUER:
                return self.standing is Standing.AUTHORITY
            case Standing.AUTHORITY:
                return self.standing is Standing.AUTHORITY and self.kid in self.predecessors


def sign_revocation(seal: Seal, kid: bytes, *, number: int, reason: str, at: int) -> bytes:
    """The revocation of `kid`, numbered from 1 within the signer's own. Raises Invalid."""
    payload = cbor.encode({_NUMBER: number, _KID: kid, _IAT: at, _REASON: reason})
    _read_payload(payload)
    return seal.sign(payload, Typ.REVOCATION)


def verify_revocation(data: bytes, mesh: bytes) -> Revocation:
    """The revocation in `data`, its signer verified up to `mesh`. Raises Invalid, OtherMesh."""
    payload, signatory = verify_signed(data, Typ.REVOCATION, mesh, limit=MAX_REVOCATION)
    number, kid, at, reason = _read_payload(payload)
    before = signatory.authority[:-1] if signatory.standing is Standing.AUTHORITY else ()
    return Revocation(kid, number, reason, at, signatory.kid, signatory.standing, before, data)


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a hand-over: what was new, and how many were no revocations of this mesh, or too many."""

    added: tuple[Revocation, ...]
    invalid: int
    no_room: int


class Revocations:
    """All revocations that a node knows of: a set that only grows."""

    def __init__(self, mesh: bytes) -> None:
        self.mesh = mesh
        self._by_issuer: dict[bytes, dict[tuple[int, bytes], Revocation]] = {}
        self._by_kid: dict[bytes, list[Revocation]] = {}
        self._seen: set[bytes] = set()
        self._counts: Counter[tuple[bytes, int]] = Counter()
        self._complete: dict[bytes, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(held) for held in self._by_issuer.values())

    def __iter__(self) -> Iterator[Revocation]:
        """By issuer, then by number."""
        for issuer in sorted(self._by_issuer):
            yield from self._ordered(issuer)

    def is_revoked(self, kid: bytes, standing: Standing = Standing.MEMBER) -> bool:
        """Whether the key of this kid is shut out from acting with `standing`."""
        return any(revocation.covers(standing) for revocation in self._by_kid.get(kid, ()))

    def of(self, kid: bytes) -> tuple[Revocation, ...]:
        """What was said against this key, by number."""
        return tuple(sorted(self._by_kid.get(kid, ()), key=_mark))

    def add(self, data: bytes) -> Revocation | None:
        """Take one revocation; None if it was known. Raises Invalid, or Unavailable when there is no room."""
        seen = hashlib.sha256(data).digest()
        if seen in self._seen:
            return None
        revocation = verify_revocation(data, self.mesh)
        held = self._by_issuer.get(revocation.issuer, {})
        if _mark(revocation) in held:
            return None
        if not held and len(self._by_issuer) >= MAX_ISSUERS:
            raise Unavailable(f"there are revocations of {MAX_ISSUERS} issuers already")
        same = self._counts[revocation.issuer, revocation.number]
        ahead = revocation.number - self._complete_to(revocation.issuer)
        if len(held) >= MAX_PER_ISSUER or same >= MAX_SAME or ahead > MAX_AHEAD:
            raise Unavailable("this issuer has too many revocations, or too far ahead of those that are here")
        held[_mark(revocation)] = revocation
        self._by_issuer[revocation.issuer] = held
        self._by_kid.setdefault(revocation.kid, []).append(revocation)
        self._seen.add(seen)
        self._counts[revocation.issuer, revocation.number] += 1
        return revocation

    def merge(self, items: Iterable[bytes]) -> Merged:
        """Take a hand-over of at most MAX_BATCH; what is wrong in it is counted and does not stop the rest.

        Raises Invalid for a longer one.
        """
        batch = list(items)
        if len(batch) > MAX_BATCH:
            raise Invalid(f"{len(batch)} revocations at once, at most {MAX_BATCH} are taken")
        added, invalid, no_room = [], 0, 0
        for data in batch:
            try:
                revocation = self.add(data)
            except Invalid:
                invalid += 1
            except Unavailable:
                no_room += 1
            else:
                added += [revocation] if revocation else []
        return Merged(tuple(added), invalid, no_room)

    def numbers(self) -> Numbers:
        """What is held, in brief: another member's `since` of it is what is missing here."""
        numbers = {}
        for issuer in sorted(self._by_issuer):
            top = self._complete_to(issuer)
            above = sorted(digest[:ID_BYTES] for number, digest in self._by_issuer[issuer] if number > top)
            numbers[issuer] = (top, self._summary(issuer, top), b"".join(above))
        return numbers

    def since(self, numbers: Numbers) -> list[bytes]:
        """What a member that holds `numbers` may lack, by issuer and number; MAX_BATCH go at a time.

        It is exact, and empty once they hold what we hold. Only where a number was used twice among those up
        to n, all of them come last, in another order every time: so a few at a time always gets on.
        """
        missing: list[bytes] = []
        doubtful: list[bytes] = []
        for issuer in sorted(self._by_issuer):
            top, mark, ids = numbers.get(issuer, (0, b"", b""))
            held = {ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)}
            marked = self._marked(issuer)
            missing += [
                revocation.raw
                for (number, digest), revocation in marked
                if number > top and digest[:ID_BYTES] not in held
            ]
            # Where they hold more than we do, their mark says nothing to us: once we have caught up, it will.
            if top and top <= self._complete_to(issuer) and self._summary(issuer, top) != mark:
                low = [revocation.raw for (number, _), revocation in marked if number <= top]
                self._turn += 1
                start = self._turn * (5 if len(low) % 5 else 1) % len(low)
                doubtful += low[start:] + low[:start]
        return missing + doubtful

    def gaps(self) -> dict[bytes, tuple[tuple[int, int], ...]]:
        """Per issuer, as (first, last), the numbers missing here below the highest held."""
        gaps = {}
        for issuer in sorted(self._by_issuer):
            expected, missing = 1, []
            for revocation in self._ordered(issuer):
                if revocation.number > expected:
                    missing.append((expected, revocation.number - 1))
                expected = revocation.number + 1
            if missing:
                gaps[issuer] = tuple(missing)
        return gaps

    def next_number(self, issuer: bytes) -> int:
        """The number of this issuer's next revocation, as far as is known here."""
        return max((number for number, _ in self._by_issuer.get(issuer, ())), default=0) + 1

    def to_wire(self) -> bytes:
        """The whole set, for storing."""
        return cbor.encode([revocation.raw for revocation in self])

    @classmethod
    def from_wire(cls, data: bytes, mesh: bytes) -> Revocations:
        """A stored set, every signature checked again. Raises Invalid."""
        items = cbor.decode(data, limit=len(data), items=MAX_ISSUERS * MAX_PER_ISSUER + 1)
        if type(items) is not list or not all(type(item) is bytes for item in items):
            raise Invalid("a stored set of revocations is an array of byte strings")
        revocations = cls(mesh)
        for item in items:
            revocations.add(item)
        return revocations

    def _ordered(self, issuer: bytes) -> list[Revocation]:
        return [revocation for _, revocation in self._marked(issuer)]

    def _marked(self, issuer: bytes) -> list[tuple[tuple[int, bytes], Revocation]]:
        """An issuer's revocations by their marks, which no two share."""
        return sorted(self._by_issuer[issuer].items())

    def _complete_to(self, issuer: bytes) -> int:
        top = self._complete.get(issuer, 0)
        while (issuer, top + 1) in self._counts:
            top += 1
        self._complete[issuer] = top
        return top

    def _summary(self, issuer: bytes, top: int) -> bytes:
        marks = sorted(mark for mark in self._by_issuer[issuer] if mark[0] <= top)
        return hashlib.sha256(b"".join(digest for _, digest in marks)).digest()[:ID_BYTES]


def read_numbers(value: object) -> Numbers:
    """What another member says it holds, from a decoded CBOR map {kid: [n, mark, ids]}. Raises Invalid."""
    if type(value) is not dict or len(value) > MAX_ISSUERS:
        raise Invalid(f"what is held is a map of at most {MAX_ISSUERS} issuers")
    numbers: Numbers = {}
    for issuer, entry in value.items():
        match entry:
            case [top, bytes(mark), bytes(ids)] if type(top) is int and 0 <= top <= MAX_NUMBER:
                if len(mark) != ID_BYTES or len(ids) > MAX_IDS or len(ids) % ID_BYTES:
                    raise Invalid("what is held of an issuer has a mark and ids of 8 bytes each")
                numbers[_read_kid(issuer)] = (top, mark, ids)
            case _:
                raise Invalid("what is held of an issuer is a number, a mark and ids")
    return numbers


def _mark(revocation: Revocation) -> tuple[int, bytes]:
    """What makes a revocation this one, whatever chain it is shown with: its number and what was signed.

    One number used twice (an issuer put back from an old copy) gives two marks, and both are kept.
    """
    said = cbor.encode([revocation.number, revocation.kid, revocation.at, revocation.reason])
    return revocation.number, hashlib.sha256(said).digest()


def _read_payload(payload: bytes) -> tuple[int, bytes, int, str]:
    value = cbor.decode(payload, limit=512)
    if type(value) is not dict or set(value) != {_NUMBER, _KID, _IAT, _REASON}:
        raise Invalid("a revocation has exactly a number, a kid, a time and a reason")
    number, reason = value[_NUMBER], value[_REASON]
    if type(number) is not int or not 1 <= number <= MAX_NUMBER:
        raise Invalid("revocations are numbered from 1")
    if type(reason) is not str or len(reason) > MAX_REASON or not reason.isprintable():
        raise Invalid(f"the reason of a revocation is at most {MAX_REASON} printable characters")
    return number, _read_kid(value[_KID]), read_time(value[_IAT]), reason


def _read_kid(value: object) -> bytes:
    if type(value) is not bytes or len(value) != KID_BYTES:
        raise Invalid(f"a kid is {KID_BYTES} bytes")
    return value
