"""Carrying: packs go into a file and come out of one, where no link reaches; receipts come back the same way.

What a file says is checked as what a session says: the carrier is a member and signs what it says, packs are their
sources', positions are compared, and only a receiver's signed receipt lets the queue go of anything.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from kos_edge.delivery.carried import (
    FILE_BYTES,
    FIRST_LINE,
    MAX_OFFERS,
    SHIP_BYTES,
    SHIP_PARCELS,
    Carried,
    Carrier,
    Kind,
    Member,
    Receipts,
    Unframer,
    framed,
    read_record,
    sign_receipts,
)
from kos_edge.delivery.load import LaneKey, Load, lane_of
from kos_edge.delivery.position import Verdict
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.wire import Offer, Parcel, Receipt, decode_ship, encode_ship
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp.sealed import peek_sealed
from kos_edge.klp.stream import MAX_SEQ
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.policy import is_in
from kos_edge.node.inbound import Inbound
from kos_edge.node.numbering import AGREED, Numbering
from kos_edge.node.publisher import Publisher
from kos_edge.node.settling import Settling, without_taken
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import Uptime
from kos_edge.store.outbox import Owed
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

CLOCKS_DIFFER_MS = 60_000
"""A file that was written so much later than now was written by another clock: how old its packs are nobody knows."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a file, and how many messages are in all that was written so far, of how many; `left_out`: what waits for
    the same audience and is not in it: a file has a bounded number of streams.
    """

    data: bytes = field(repr=False)
    messages: int
    of: int
    left_out: int


@dataclass(slots=True)
class Taken:
    """What became of some records. `receipts` are records to carry back; `ended`: the file is whole."""

    carrier: str | None = None
    messages: int = 0
    gone: int = 0
    duplicates: int = 0
    refused: int = 0
    not_now: int = 0
    for_others: int = 0
    unknown: int = 0
    invalid: int = 0
    quarantined: int = 0
    settled: int = 0
    receipts: bytes = field(default=b"", repr=False)
    ended: bool = False


class Carrying:
    """Writes and reads the files of one node."""

    def __init__(
        self,
        writer: Writer,
        trust: Trust,
        uptime: Uptime,
        inbound: Inbound,
        publisher: Publisher,
        settling: Settling,
        numbering: Numbering,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._writer = writer
        self._trust = trust
        self._uptime = uptime
        self._inbound = inbound
        self._publisher = publisher
        self._settling = settling
        self._numbering = numbering
        self._random = random

    # -- writing

    async def write(self, audience: str | None) -> AsyncGenerator[Part, None]:
        """A file of all that is owed, or to one audience. What it holds stays owed."""
        mesh, own = self._trust.mesh, self._trust.membership
        if mesh is None or own is None:
            raise Unavailable("this node belongs to no mesh yet", hint="kos-edge join TOKEN")
        if self._trust.barred(own):
            raise Refused("nobody takes anything from this node: its key is revoked or in quarantine")

        def wanted(text: str) -> bool:
            return audience is None or text == audience

        await self._settling.flush()
        await self._publisher.number_latest(wanted)
        kid = (
            self._trust.kid
        )  # what an earlier key has sealed waits for a link, over which it is sealed again
        every = await self._writer.read(
            lambda store: [each for each in store.outbox.owed() if wanted(each.stream.audience)]
        )
        owed = _part_of(each for each in every if each.stream.source == kid)
        of = _count(owed)
        left_out = _count(every) - of
        carrier = Carrier(self._trust.key, mesh, self._random(FILE_BYTES))
        offers = [Offer(each.stream, each.first, each.last) for each in owed]
        head = FIRST_LINE + framed(own.cwt) + carrier.offer(offers, self._uptime.steady_ms())
        yield Part(head, 0, of, left_out)
        messages = 0
        for each in owed:
            after = each.first - 1
            while after < each.last:
                loads = await self._writer.read(partial(self._take, each, after))
                if not loads:
                    break
                after = loads[-1].last
                self._settling.leaving(each.stream, after)
                messages += sum(load.last - load.first + 1 for load in loads)
                ship = encode_ship([Parcel(load.pack, load.age_ms) for load in loads])
                yield Part(carrier.say(Kind.SHIP, ship, self._uptime.steady_ms()), messages, of, left_out)
        yield Part(carrier.say(Kind.END, b"", self._uptime.steady_ms()), messages, of, left_out)

    def _take(self, owed: Owed, after: int, store: Store) -> list[Load]:
        loads = store.outbox.take(owed.stream, after, SHIP_BYTES, self._uptime.stamp(), 0.0)
        return [load for load in loads[:SHIP_PARCELS] if load.first <= owed.last]

    # -- reading

    async def take(self, records: bytes) -> Taken:
        """Take in some whole records of a file, in their order. Each call stands alone, and may be repeated.

        Raises Invalid for what nobody of this mesh has said, Refused for a carrier that is shut out and for a file that
        this node has written itself, Damaged where a record is not whole. What came before is kept.
        """
        taken = Taken()
        unframer = Unframer(begun=True)
        for data in unframer.receive(records):
            match read_record(data):
                case Member(cwt):
                    self._trust.learn(self._trust.check(cwt))
                    await self._trust_saved()
                case Carried() as said:
                    await self._take_carried(said, taken)
                case Receipts() as said:
                    await self._take_receipts(said, taken)
        unframer.close()
        return taken

    async def _trust_saved(self) -> None:
        change = self._trust.pending_changes()
        if change is not None:
            await self._writer.run(change)

    def _member(self, kid: bytes) -> Membership:
        """Who says it, if it may. Raises Invalid, Refused."""
        member = self._trust.roster.get(kid)
        if member is None:
            raise Invalid("whoever signed this file is not in it, and not known here", hint="export it again")
        if self._trust.barred(member):
            raise Refused(f"{member.name} is revoked or in quarantine: nothing is taken from it")
        return member

    async def _verified(self, said: Carried | Receipts, member: Membership) -> bytes:
        mesh = self._trust.mesh
        if mesh is None:
            raise Unavailable("this node belongs to no mesh yet", hint="kos-edge join TOKEN")
        await self._writer.aside(lambda: said.verify(member.public, mesh))
        return mesh

    async def _take_carried(self, said: Carried, taken: Taken) -> None:
        if said.carrier in self._trust.own_kids:
            raise Refused("this node has written that file itself", hint="import it at the hub")
        carrier = self._member(said.carrier)
        taken.carrier = carrier.name
        mesh = await self._verified(said, carrier)
        receipts: list[Receipt] = []
        match said.kind:
            case Kind.OFFERS:
                offers = [offer for offer in said.offers() if self._trust.is_mine(offer.stream.audience)]
                if offers:
                    receipts += (await self._inbound.declare(carrier, offers)).receipts
            case Kind.SHIP:
                receipts += await self._take_packs(said, taken)
            case Kind.END:
                taken.ended = True
        own = self._trust.membership
        if receipts and own is not None:
            signed = sign_receipts(receipts, self._trust.key, mesh, self._uptime.steady_ms())
            taken.receipts += framed(own.cwt) + signed

    async def _take_packs(self, said: Carried, taken: Taken) -> list[Receipt]:
        """The receipts that have refusals: those are said once, all other receipts whenever offers ask."""
        elapsed_ms = self._elapsed_ms(said.time_ms)
        mine: list[Parcel] = []
        for parcel in decode_ship(said.content):
            try:
                if not self._trust.is_mine(peek_sealed(parcel.pack).stream.audience):
                    taken.for_others += 1
                    continue
            except Invalid:
                pass  # counted by whoever checks it
            known = parcel.age_ms is not None and elapsed_ms is not None
            age_ms = (parcel.age_ms or 0) + (elapsed_ms or 0) if known else None
            mine.append(replace(parcel, age_ms=age_ms))
        if not mine:
            return []
        found, intake = await self._inbound.take(mine)
        taken.messages += intake.messages
        taken.gone += intake.gone.total()
        taken.duplicates += intake.verdicts.get(Verdict.DUPLICATE, 0)
        taken.not_now += intake.verdicts.get(Verdict.NOT_NOW, 0)
        taken.refused += sum(len(receipt.refusals) for receipt in intake.receipts)
        taken.unknown += len(found.unknown)
        taken.quarantined += len(found.quarantined) + len(intake.forks)
        taken.invalid += len(mine) - len(found.packs) - len(found.unknown) - len(found.quarantined)
        return [receipt for receipt in intake.receipts if receipt.refusals]

    def _elapsed_ms(self, then_ms: int | None) -> int | None:
        """For how long something was on its way, where both clocks say so."""
        now_ms = self._uptime.steady_ms()
        if then_ms is None or now_ms is None or now_ms < then_ms - CLOCKS_DIFFER_MS:
            return None
        return max(0, now_ms - then_ms)

    async def _take_receipts(self, said: Receipts, taken: Taken) -> None:
        """A replay of receipts does nothing: what a receiver once held it holds for ever."""
        if said.receiver == self._trust.kid:
            raise Refused(
                "this node has written these receipts itself", hint="import them where the file came from"
            )
        receiver = self._member(said.receiver)
        await self._verified(said, receiver)
        own = self._trust.own_kids
        agreed = await self._writer.read(lambda store: store.database.get(AGREED))
        newest = int.from_bytes(agreed, "big") if agreed else 0
        before = self._settling.delivered
        for receipt in said.receipts:
            if receipt.stream.source not in own or not is_in(receiver, receipt.stream.audience):
                continue
            if receipt.held == MAX_SEQ and receipt.stream.epoch > newest:
                continue  # that an epoch is long over may be of another life of this key: `Numbering.believed`
            item, elsewhere = without_taken(
                Settled(receipt.stream, receipt.held, receipt.refusals, receipt.reach, receipt.ranges)
            )
            self._settling.take([item])
            await self._settling.flush()
            if elsewhere:
                await self._numbering.leave_behind(receiver, receipt.stream)
        taken.settled += self._settling.delivered - before


def _count(owed: Iterable[Owed]) -> int:
    return sum(each.last - each.first + 1 for each in owed)


def _part_of(owed: Iterable[Owed]) -> list[Owed]:
    """Of each lane as many of the oldest streams as all lanes have room for; in the order in which they are owed."""
    lanes: dict[LaneKey, list[Owed]] = {}
    for each in owed:
        lanes.setdefault(lane_of(each.stream), []).append(each)
    room = max(1, MAX_OFFERS // max(1, len(lanes)))
    return [each for lane in lanes.values() for each in lane[:room]][:MAX_OFFERS]
