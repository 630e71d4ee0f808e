"""A link: what this node does over one open session with one member.

It tells and learns revocations, compares positions, and then brings over what is owed, until the session ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace

from kos_edge.bootstrap.wire import ErrorMessage
from kos_edge.clock import Clock
from kos_edge.delivery.courier import DATAGRAM_BUDGET, STREAM_BUDGET, Courier, Shipment
from kos_edge.delivery.fair import Fair, Weights
from kos_edge.delivery.load import LaneKey, Load, lane_of
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.volatile import VolatileRing
from kos_edge.delivery.window import Window
from kos_edge.delivery.wire import (
    Answer,
    Offer,
    Receipt,
    Sync,
    decode_answer,
    decode_synced,
    encode_ship,
    encode_sync,
)
from kos_edge.errors import Invalid, KosError, Unavailable
from kos_edge.klp.pack import Stream
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.policy import is_in
from kos_edge.node.fresh_loading import FreshLoading
from kos_edge.node.inbound import KLP_PATH, SYNC_PATH, TRUST_PATH
from kos_edge.node.numbering import Numbering
from kos_edge.node.settling import Settling, without_taken
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import Uptime
from kos_edge.store.outbox import Owed
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer
from kos_edge.transport.coap import CHANGED, POST, Request
from kos_edge.transport.session import NotTaken, Session

STREAM_WINDOW = 8  # requests of 64 kB in flight over TCP: enough for 100 ms at 40 Mbit/s
DATAGRAM_WINDOW = 128
DOUBT_STRIKES = 4  # retransmission times without any answer before another way to the peer is looked for
STRIKES = 20  # and before the session is dead: a minute, for most links come back and need no new handshake
SILENT_KEEPALIVES = 3  # a peer that answers nothing is given up when nothing came from it for so many
OFFERS = 12  # streams compared in one request, so that it and its answer fit a datagram
BLOCK_TIMEOUT_S = (
    20.0  # for one block of a large shipment: three retransmissions (RFC 7252), for all begins anew
)
ANSWER_LEAST_S = 5.0  # a late answer still settles something
COMPARE_EVERY_S = (
    60.0  # while things are carried: a second device with this key must not go on unnoticed for long
)
TRUST_ROUNDS = 64  # of revocations to catch up with in one go
TELL_AGAIN_S = (
    2.0  # before news that a peer has not answered is told again: a revocation must not wait for a session
)
FIRST_WORD_S = (
    3.0  # for the side that opened the session: its message_4, or its first request, may be sent twice
)
ASK_TIMEOUT_S = 8.0  # for a comparison: all retransmissions (RFC 7252) take 45 s, a new session is cheaper

log = logging.getLogger(__name__)


class Declined(Unavailable):
    """The peer ended the handshake that came with the first request, and said why."""


class Link:
    """One session's work. `settled` takes receipts; `news` is set when something new is owed."""

    def __init__(
        self,
        session: Session,
        peer: Membership,
        *,
        writer: Writer,
        trust: Trust,
        clock: Clock,
        uptime: Uptime,
        settling: Settling,
        numbering: Numbering,
        ring: VolatileRing,
        cut_off: Callable[[], None],
        save: Callable[[], Awaitable[None]],
        number_latest: Callable[[Callable[[str], bool]], Awaitable[None]],
        keepalive_s: float,
        doubt: Callable[[Session], None],
        weights: Weights,
        handshake: bytes = b"",
    ) -> None:
        self.session = session
        self.peer = peer
        self.news = asyncio.Event()
        self.stopped = False
        datagram = session.address.connection is None
        self.courier = Courier(
            DATAGRAM_BUDGET if datagram else STREAM_BUDGET,
            Window(most=DATAGRAM_WINDOW if datagram else STREAM_WINDOW, reliable=not datagram),
            Fair(weights),
        )
        self._writer = writer
        self._trust = trust
        self._clock = clock
        self._uptime = uptime
        self._settling = settling
        self._numbering = numbering
        self._ring = ring
        self._cut_off = cut_off
        self._save = save
        self._number_latest = number_latest
        self._keepalive_s = keepalive_s
        self._doubt = doubt
        self._handshake = handshake
        self._ours = bool(handshake)
        self._loaded: dict[Stream, int] = {}
        self._fresh = FreshLoading(self.courier.has)
        self._compared: set[Stream] | None = (
            None  # where not all that is owed has been compared: the streams that were
        )
        self._begun: dict[Stream, int] = {}  # up to where the peer has it, or was told that it will not
        self._met = False
        self._compared_at = clock.monotonic()
        self._carried = False  # something was since then
        self._told: set[bytes] = set()
        self._untold = self._telling = False
        self._flights: set[asyncio.Task[None]] = set()

    @property
    def carrier(self) -> str:
        """ "udp", "tcp" or "mem"."""
        return self.session.address.carrier

    async def run(self) -> None:
        """Work until the session ends. Raises Unavailable when the peer does not answer any more."""
        try:
            await self._first_word()
            while not self.stopped and not await self._begin():
                await self._hear_out()
            await self._carry()
        finally:
            for flight in self._flights:
                flight.cancel()
            if self._flights:
                await asyncio.gather(*self._flights, return_exceptions=True)

    @property
    def wants_stream(self) -> bool:
        """Whether something is under way for which datagrams are a poor carrier."""
        return self.carrier == "udp" and self.courier.has_large

    # -- opening

    async def _first_word(self) -> None:
        """Let the side that opened the session speak first: before it has message_4 it does not know the session."""
        if not self._ours:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_WORD_S):
                    await self.session.spoke.wait()

    async def _begin(self) -> bool:
        """Exchange trust and compare positions. False where a peer that opened the session answers nothing of it."""
        try:
            await self._exchange_trust()
            await self._compare()
        except Unavailable as error:
            if self._ours or self.session.closed is not None:
                raise
            log.debug("%s only asks and does not answer: %s", self.peer.name, error)
            return False
        return True

    async def _hear_out(self) -> None:
        """A peer that only delivers, and may go on doing so: until it is time to ask again, or it has gone silent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._keepalive_s):
                await self.news.wait()
                self.news.clear()
        if self._clock.monotonic() - self.session.heard_at > SILENT_KEEPALIVES * self._keepalive_s:
            raise Unavailable("the peer has gone silent")

    async def _ask(self, path: str, body: bytes) -> bytes:
        handshake, self._handshake = self._handshake, b""
        try:
            response = await self.session.request(
                Request(POST, path, body), timeout=ASK_TIMEOUT_S, handshake=handshake
            )
        except NotTaken as error:
            raise Declined(f"{self.peer.name} did not take the handshake: {_said(error)}") from None
        if response.code != CHANGED:
            raise Unavailable(
                f"{self.peer.name} answered {response.code >> 5}.{response.code & 31:02d} to {path}"
            )
        return response.payload

    async def _exchange_trust(self) -> None:
        for _ in range(TRUST_ROUNDS):
            answer = await self._ask(TRUST_PATH, self._trust.news_request())
            before = self._trust.shut_out
            try:
                owed, forks = self._trust.take_news(answer)
            finally:  # what was good before a fault in the rest is in force, on disk or not
                added = self._trust.shut_out != before
                if added:
                    self._cut_off()
                await self._save()
            if not added:
                break
        for raw in owed:
            await self._ask(TRUST_PATH, self._trust.told(raw))
        for raw in forks:
            await self._ask(TRUST_PATH, self._trust.told_fork(raw))

    async def tell_trust(self) -> None:
        """Something was revoked or decided: tell the peer now, and again until it has answered or the session ends."""
        self._untold = True
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold and self.session.closed is None:
                self._untold = False
                try:
                    await self._exchange_trust()
                except KosError as error:
                    log.debug("%s has not heard what is new: %s", self.peer.name, error)
                    self._untold = True
                    await asyncio.sleep(TELL_AGAIN_S)
        finally:
            self._telling = False

    async def tell_member(self, member: Membership) -> None:
        """Hand a membership over, again until the peer has answered or the session ends."""
        while self.session.closed is None:
            try:
                await self._ask(TRUST_PATH, self._trust.news_request([member.cwt]))
                return
            except KosError as error:
                log.debug("%s has not heard of a membership: %s", self.peer.name, error)
            await asyncio.sleep(TELL_AGAIN_S)

    async def _compare(self) -> None:
        """Say what is owed, hear what the peer holds of it: nothing is assumed.

        An offer is also the word that of older epochs of its lane there is nothing else. So of a lane that owes more
        epochs than fit one request the rest is not carried before the oldest are settled; it is compared in its turn.
        Where the peer holds more than this node ever numbered, another life of its key has sent it: the numbering goes
        on above.
        """
        while await self._compare_once():
            pass

    async def _compare_once(self) -> bool:
        """One comparison; True where it has to be repeated, for what is owed has got other numbers."""
        owed = await self._writer.read(self._owed)
        lanes: dict[LaneKey, list[Owed]] = {}
        for each in owed:
            lanes.setdefault(lane_of(each.stream), []).append(each)
        parts = [lane[:OFFERS] for lane in lanes.values()]
        part = [each for lane in parts for each in lane]
        self._begun.update({o.stream: o.first - 1 for o in part})
        self._compared = {o.stream for o in part} if len(owed) > len(part) else None
        if not part and self._met:
            return False
        self._met = True
        self._compared_at, self._carried = self._clock.monotonic(), False
        for request in _together(parts):
            if await self._offer(request):
                return True
        return False

    async def _offer(self, part: list[Owed]) -> bool:
        offers = tuple(Offer(o.stream, o.first, o.last) for o in part)
        body = encode_sync(Sync(offers, self._writer.store.outbox.epoch))
        answer = decode_synced(await self._ask(SYNC_PATH, body))
        if self.peer.role is Role.HUB and answer.time_ms is not None:
            self._uptime.heard(self.peer.kid, answer.time_ms)
        synced = await self._numbering.believed(self.peer, answer)
        receipts = self._entitled(synced.receipts)
        self._begun |= {r.stream: max(r.held, self._begun.get(r.stream, 0)) for r in receipts}
        await self._settle(self.courier.on_receipts(receipts))
        for o in part:
            self._loaded.pop(o.stream, None)
            self._fresh.forget(o.stream)
        return await self._numbering.compare(self.peer, synced, [o.stream for o in part])

    async def _compare_again(self) -> None:
        """Something is owed, and the courier has nothing to do or cannot get it taken: say what, and bring that."""
        await self._settling.flush()
        await (self._compare() if self.courier.idle() else self._compare_beside())
        await self._load()

    async def _compare_beside(self) -> None:
        """Compare while the courier works: what it was given is not given again."""
        loaded = dict(self._loaded)
        await self._compare()
        self._loaded |= loaded

    def _owed(self, store: Store) -> list[Owed]:
        return [owed for owed in store.outbox.owed() if is_in(self.peer, owed.stream.audience)]

    # -- carrying

    async def _carry(self) -> None:
        while self.session.closed is None and not self.stopped:
            self.news.clear()
            await self._load()
            if self._compared is not None and self.courier.idle():
                await self._compare_again()
            now = self._clock.monotonic()
            for shipment in self.courier.poll(now):
                flight = asyncio.create_task(self._fly(shipment))
                self._flights.add(flight)
                flight.add_done_callback(self._flights.discard)
            await self._pause()
            now = self._clock.monotonic()
            self.courier.on_timer(now)
            if self.courier.strikes >= STRIKES:
                self.session.close("the peer does not answer")
            elif self.courier.strikes >= DOUBT_STRIKES or self.session.needs_rekey:
                self._doubt(self.session)
            elif (
                self._carried
                and now - self._compared_at > COMPARE_EVERY_S
                and (self.courier.idle() or self.courier.is_refused)
            ):
                self._met = False
                await self._compare_again()
            elif now - self.session.heard_at > self._keepalive_s and self.courier.idle():
                if await self._writer.read(self._owed):
                    await self._compare_again()
                else:
                    await self.session.alive(ASK_TIMEOUT_S)

    async def _pause(self) -> None:
        """Until something happened or the courier's time has come."""
        timer = self.courier.timer()
        now = self._clock.monotonic()
        wait = self._keepalive_s if timer is None else max(0.0, timer - now)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self.news.wait()

    async def _load(self) -> None:
        await self._number_latest(lambda audience: is_in(self.peer, audience))
        loads, unheard_of = await self._writer.read(self._gather)
        for load in self.courier.add(loads):
            self._fresh.back(load)
        if unheard_of:  # only an offer says that the peer need not wait for what it will never get
            await self._compare_beside()
            self.news.set()
        fresh = [load for load in self._ring.take(self._loaded) if is_in(self.peer, load.stream.audience)]
        for load in fresh:
            self._loaded[load.stream] = load.last
        self.courier.add(fresh)

    def _gather(self, store: Store) -> tuple[list[Load], bool]:
        """What comes next of the streams that this peer is owed, as much as the courier has room for in each lane.

        And whether something has to be offered first: a stream of which something that this peer has not heard of was
        settled elsewhere, or a lane of which all that was compared is settled.
        """
        room: dict[LaneKey, int] = {}
        loads: list[Load] = []
        uncompared: dict[LaneKey, bool] = {}
        fresh: dict[LaneKey, list[Owed]] = {}
        settled_elsewhere = False
        for owed in self._owed(store):
            lane = lane_of(owed.stream)
            if owed.stream.cls.fresh:
                fresh.setdefault(lane, []).append(owed)
                continue
            if self._compared is not None:
                known = owed.stream in self._compared
                uncompared[lane] = uncompared.get(lane, True) and not known
                if not known:
                    continue
            left = room.setdefault(lane, self.courier.room(lane))
            after = max(self._loaded.get(owed.stream, 0), owed.first - 1)
            if left <= 0:
                continue
            heard_of = max(self._loaded.get(owed.stream, 0), self._begun.get(owed.stream, 0))
            if owed.first - 1 > heard_of:
                settled_elsewhere = True
                continue
            if after < owed.last:
                now = self._clock.monotonic()
                found = store.outbox.take(owed.stream, after, left, self._uptime.stamp(), now)
                if found:
                    self._loaded[owed.stream] = found[-1].last
                    self._settling.leaving(owed.stream, found[-1].last)
                room[lane] -= sum(len(load.pack) for load in found)
                loads += found
        for lane, streams in fresh.items():
            now = self._clock.monotonic()
            room[lane] = self.courier.room(lane)
            for load in self._fresh.gather(store.outbox, streams, room[lane], self._uptime.stamp(), now):
                self._settling.leaving(load.stream, load.last)
                loads.append(load)
        return loads, settled_elsewhere or any(uncompared.values())

    async def _fly(self, shipment: Shipment) -> None:
        body = encode_ship(self.courier.parcels(shipment, self._clock.monotonic()))
        self._carried = True
        timeout = BLOCK_TIMEOUT_S if shipment.large else max(ANSWER_LEAST_S, 4 * self.courier.window.rto)
        try:
            response = await self.session.request(
                Request(POST, KLP_PATH, body), confirmable=False, timeout=timeout
            )
            if response.code != CHANGED:
                raise Unavailable("the peer cannot take packs now")
            answer = decode_answer(response.payload)
        except (Unavailable, Invalid) as error:
            log.debug("a shipment to %s failed: %s", self.peer.name, error)
            self.courier.on_failure(shipment.number, self._clock.monotonic())
        else:
            answer = replace(answer, receipts=self._entitled(answer.receipts))
            await self._settle(self.courier.on_answer(shipment.number, answer, self._clock.monotonic()))
            await self._introduce(answer)
        self.news.set()

    async def _introduce(self, answer: Answer) -> None:
        """Offer the memberships of sources that the peer does not know, and hear which it takes nothing of."""
        if self._trust.kid in answer.quarantined:
            self._numbering.accused(self.peer)
        roster = self._trust.roster
        wanted = [kid for kid in answer.unknown_sources if kid in roster and kid not in self._told]
        self._told.update(wanted)
        for member in map(roster.get, wanted):
            if member is not None:
                with contextlib.suppress(KosError):
                    await self._ask(TRUST_PATH, self._trust.news_request([member.cwt]))

    def _entitled(self, receipts: Iterable[Receipt]) -> tuple[Receipt, ...]:
        """Those for streams of ours that the peer is an audience of: of others its word lets nobody go."""
        own = self._trust.own_kids
        return tuple(r for r in receipts if r.stream.source in own and is_in(self.peer, r.stream.audience))

    async def _settle(self, settled: Iterable[Settled]) -> None:
        taken: list[Stream] = []
        for each in settled:
            item, elsewhere = without_taken(each)
            if elsewhere:  # this session knows the old places
                taken.append(item.stream)
            self._ring.settle(item)
            self._settling.take([item])
        for stream in taken:
            if await self._numbering.leave_behind(self.peer, stream):
                self.session.close("what was owed has other numbers now")

    def stop(self) -> None:
        """Carry nothing any more; the session itself goes on."""
        self.stopped = True
        self.news.set()

    async def confirm(self) -> None:
        """Complete the handshake and do nothing else: another session serves this peer."""
        if self._handshake:
            await self._exchange_trust()


def _together(lanes: Iterable[list[Owed]]) -> Iterator[list[Owed]]:
    """The lanes in as few requests as hold them, each of them whole in one."""
    request: list[Owed] = []
    for lane in lanes:
        if request and len(request) + len(lane) > OFFERS:
            yield request
            request = []
        request = request + lane
    yield request  # with nothing owed too: the answer has what the peer holds


def _said(error: NotTaken) -> str:
    """Why the other side ended the handshake, by its own unproved word."""
    try:
        return str(ErrorMessage.read(error.response.payload))
    except Invalid:
        return error.message
