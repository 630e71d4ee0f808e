"""Publishing: what agents and people hand in is gathered, committed in groups, and acknowledged after the sync."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from kos_edge.clock import Clock
from kos_edge.delivery.limits import Amount, Limit, WhenFull, queue_of
from kos_edge.delivery.linger import Linger
from kos_edge.delivery.volatile import VolatileRing
from kos_edge.errors import Invalid, KosError, Unavailable, Unknown
from kos_edge.klp.body import Payload
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import (
    MAX_COUNT,
    MESSAGE_ROOM,
    Class,
    Pack,
    Position,
    Prepared,
    Stream,
    prepare_all,
)
from kos_edge.klp.table import encode_entry
from kos_edge.klp.topic import check_topic
from kos_edge.node.accepted import Accepted, Again, Newest
from kos_edge.node.traces import Tracer
from kos_edge.node.uptime import Uptime
from kos_edge.store.outbox import Appended, Stamp, Usage
from kos_edge.store.owed import Dropped
from kos_edge.store.packs import Entry
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

Lane = tuple[str, Class]

NUMBER_AGAIN_S = 5.0  # after a commit that failed, which makes the store read itself again

_NOTHING = Usage()
_WHOLE = "the queue"


@dataclass(frozen=True, slots=True)
class Terms:
    """How messages of one topic are treated: from the configuration."""

    audience: str
    cls: Class
    linger_s: float
    ttl_s: int | None
    limit: Limit | None = None
    latest: bool = False  # only the newest value matters: it is numbered when it is sent


@dataclass(frozen=True, slots=True)
class Sealer:
    """Who signs, and in which mesh."""

    key: KeyPair
    mesh: bytes


@dataclass(slots=True)
class _Waiting:
    """What was handed in together; at least one message, all on one topic."""

    messages: list[Prepared]
    uptime_ms: int
    amount: Amount
    future: asyncio.Future[Accepted]
    latest: bool = False
    again: Again | None = None
    wall_ms: int | None = None  # what a letter's offset counts from: two clocks are not read in the same ms

    @property
    def dated(self) -> bool:
        """Whether it is known when they were said."""
        return self.again is None or self.again.dated

    def since(self, base_ms: int, wall_ms: int | None) -> int:
        """How much later than this moment they were handed in."""
        exact = None if self.wall_ms is None or wall_ms is None else self.wall_ms - wall_ms
        return self.uptime_ms - base_ms if exact is None else exact


class Publisher:
    """One node's way into its own outbox.

    `sealer` gives None while the node belongs to no mesh. `is_all` says whether this node is the whole audience.
    `committed` is called after each commit, with what is new in the journal, `buried` of each stream of which
    something was dropped.
    """

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        uptime: Uptime,
        *,
        terms: Callable[[str], Terms],
        pack_messages: int = MAX_COUNT,
        ring: VolatileRing,
        push: Callable[[Pack], None],
        sealer: Callable[[], Sealer | None],
        is_all: Callable[[str], bool],
        committed: Callable[[Sequence[Entry]], None],
        buried: Callable[[Stream], None],
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._uptime = uptime
        self._terms = terms
        self._pack_messages = pack_messages
        self._ring = ring
        self._push = push
        self._sealer = sealer
        self._is_all = is_all
        self._committed = committed
        self._buried = buried
        self._linger: Linger[Lane, _Waiting] = Linger(MESSAGE_ROOM)
        self._wake = asyncio.Event()
        self._gathered: dict[str, Amount] = {}  # not committed yet: all, by priority, by limited topic
        self._number_from = 0.0
        self.tracer: Tracer | None = None
        self.accepted = 0
        self.dropped = 0
        self.refused = 0
        self.commits = 0

    def enqueue(
        self,
        topic: str,
        payload: Payload,
        *,
        audience: str | None = None,
        at: float | None = None,
        ttl_s: int | None = None,
        correlation: str | None = None,
        category: str | None = None,
        linger_s: float | None = None,
        again: Again | None = None,
    ) -> asyncio.Future[Accepted]:
        """Hand one message in, in order of the calls; the future has its position once it is synced."""
        return self.enqueue_all(
            topic,
            (payload,),
            audience=audience,
            at=None if at is None else (at,),
            ttl_s=ttl_s,
            correlation=correlation,
            category=category,
            linger_s=linger_s,
            again=again,
        )

    def enqueue_all(
        self,
        topic: str,
        payloads: Sequence[Payload],
        *,
        audience: str | None = None,
        at: Sequence[float | None] | None = None,
        ttl_s: int | None = None,
        correlation: str | None = None,
        category: str | None = None,
        linger_s: float | None = None,
        again: Again | None = None,
    ) -> asyncio.Future[Accepted]:
        """Hand messages of one topic in together: all or none of them.

        They get numbers that follow each other; the future has the position of the first once all are synced.
        """
        span = None if self.tracer is None else self.tracer.publishing(topic, len(payloads))
        take = partial(
            self._enqueue_all, topic, payloads, audience, at, ttl_s, correlation, category, linger_s, again
        )
        if span is None:
            return take()
        try:
            future = take(trace=span.context)
        except KosError as error:
            span.failed(error)
            raise
        future.add_done_callback(span.done)
        return future

    def _enqueue_all(
        self,
        topic: str,
        payloads: Sequence[Payload],
        audience: str | None,
        at: Sequence[float | None] | None,
        ttl_s: int | None,
        correlation: str | None,
        category: str | None,
        linger_s: float | None,
        again: Again | None,
        trace: str | None = None,
    ) -> asyncio.Future[Accepted]:
        check_topic(topic)
        if self._sealer() is None:
            raise Unavailable(
                "this node belongs to no mesh yet", hint="kos-edge join TOKEN, or init --role hub"
            )
        terms = self._terms(topic)
        now_ms = self._uptime.ms()
        wall = self._uptime.wall_ms()
        ttl_s = terms.ttl_s if ttl_s is None else ttl_s
        offsets = [
            0 if moment is None or wall is None else round(moment * 1000) - wall for moment in at or ()
        ]
        try:
            offsets = offsets or [0] * len(payloads)
            messages = prepare_all(topic, payloads, offsets, ttl_s, category, correlation, trace)
        except Invalid as error:
            raise Invalid(f"{topic}: {error.message}", hint=error.hint or "send less, or in parts") from None
        amount = Amount(len(payloads), sum(message.size for message in messages))
        goal = audience or terms.audience
        latest = terms.latest and not self._is_all(goal)
        if not self._is_all(goal) and not latest:
            self._refuse_beyond_limits(topic, terms, amount, again is None)
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._count(topic, amount)
        self._linger.add(
            (goal, terms.cls),
            _Waiting(messages, now_ms, amount, future, latest, again, None if again is None else wall),
            amount.bytes,
            terms.linger_s if linger_s is None else linger_s,
            self._clock.monotonic(),
            {message.entry: len(encode_entry(message.entry)) for message in messages},
        )
        self._wake.set()
        return future

    def _refuse_beyond_limits(self, topic: str, terms: Terms, new: Amount, may_drop: bool) -> None:
        """Refuse what cannot be accepted before it has cost a commit; the exact decision is the commit's.

        Where something may be dropped for it, only what is gathered in memory has to fit.
        """
        outbox = self._writer.store.outbox
        limits, priority = outbox.limits, terms.cls.priority
        may_drop = may_drop and limits.when_full is not WhenFull.REJECT
        standing = {} if may_drop else outbox.by_priority
        try:
            for limit, what, waits in (
                (limits.whole, _WHOLE, sum(standing.values(), Amount())),
                (limits.of(priority), queue_of(priority), standing.get(priority, Amount())),
            ):
                if not limit.holds(waits + self._gathered.get(what, Amount()) + new):
                    raise limit.full(what)
            if terms.limit is not None:
                used = outbox.by_topic.get(topic, _NOTHING)
                waits = Amount(used.messages, used.bytes)
                if not terms.limit.holds(waits + self._gathered.get(topic, Amount()) + new):
                    raise terms.limit.full(f"the queue of {topic}")
        except Unavailable:
            self.refused += new.messages
            raise

    def _count(self, topic: str, amount: Amount) -> None:
        terms = self._terms(topic)
        for what in (_WHOLE, queue_of(terms.cls.priority), *((topic,) if terms.limit else ())):
            self._gathered[what] = self._gathered.get(what, Amount()) + amount
            if self._gathered[what] == Amount():
                del self._gathered[what]

    async def run(self) -> None:
        """Commit what is due, for as long as the node runs; what waits at the end is committed too."""
        try:
            while True:
                due = self._linger.due()
                now = self._clock.monotonic()
                if due is not None and due <= now:
                    await self._commit(self._linger.take(now))
                    continue
                self._wake.clear()
                try:
                    async with asyncio.timeout(None if due is None else due - now):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Commit everything that waits, now."""
        batches = self._linger.flush()
        if batches:
            await self._commit(batches)

    async def _commit(self, batches: dict[Lane, list[_Waiting]]) -> None:
        try:
            entries = await self._commit_batches(batches)
        except asyncio.CancelledError:  # the commit itself goes on; nobody will be told what became of it
            self._fail(batches, Unknown("the node stopped before it could say whether this is durable"))
            raise
        finally:
            for item in (item for waiting in batches.values() for item in waiting):
                self._count(item.messages[0].topic, Amount(-item.amount.messages, -item.amount.bytes))
        self._committed(entries)

    async def _commit_batches(self, batches: dict[Lane, list[_Waiting]]) -> list[Entry]:
        sealer = self._sealer()
        if sealer is None:
            self._fail(batches, Unavailable("this node has left its mesh", hint="kos-edge join TOKEN"))
            return []
        stamp = self._uptime.stamp()
        parts = _parts(batches)
        for lane, waiting in parts:
            if not lane[1].durable:
                try:
                    await self._send_volatile(sealer, lane, waiting, stamp)
                except KosError as error:
                    self._fail({lane: waiting}, error)
        parts = [(lane, waiting) for lane, waiting in parts if lane[1].durable]
        if not parts:
            return []
        entries: list[Entry] = []
        buried: set[Stream] = set()
        jobs: list[Callable[[Store], Appended | Dropped]] = [
            partial(self._keep, sealer, lane, part, stamp)
            if part[0].latest
            else self._append(sealer, lane, part, stamp)
            for lane, part in parts
        ]
        results = await asyncio.gather(*map(self._writer.run, jobs), return_exceptions=True)
        self.commits += 1
        for (_, waiting), result in zip(parts, results, strict=True):
            if isinstance(result, Dropped):
                self.dropped += result.count
                buried |= result.streams
                for item in waiting:
                    self.accepted += item.amount.messages
                    if not item.future.done():
                        item.future.set_result(Newest(item.messages[0].topic))
            elif isinstance(result, Appended):
                self.dropped += result.dropped
                buried |= result.buried
                self._tell(waiting, result.stream, result.first)
                entries += result.entries
            elif isinstance(result, Exception):
                self._fail({("", Class()): waiting}, result)
            else:
                raise result
        for stream in buried:
            self._buried(stream)
        return [entry for entry in entries if entry.pack.stream not in buried]

    async def _send_volatile(self, sealer: Sealer, lane: Lane, waiting: list[_Waiting], stamp: Stamp) -> None:
        """Number, seal and offer what is not meant to outlive this process."""
        messages, first_stamp = _based(waiting, stamp)
        epoch = self._writer.store.outbox.epoch
        stream = Stream(sealer.key.kid, lane[0], lane[1], epoch)
        first, packs = self._ring.append(
            sealer.mesh,
            stream,
            messages,
            mono_ms=first_stamp.uptime_ms,
            wall_ms=first_stamp.wall_ms,
            uncertainty_ms=first_stamp.uncertainty_ms,
            now=self._clock.monotonic(),
            keep=not self._is_all(lane[0]),
        )
        for pack in packs:
            self._push(pack)
        if waiting[0].again is not None:
            await self._writer.run(partial(_exhume, waiting))
        self._tell(waiting, stream, first)

    def _tell(self, waiting: list[_Waiting], stream: Stream, number: int) -> None:
        """What was accepted has numbers from `number` on."""
        for item in waiting:
            if not item.future.done():
                item.future.set_result(Position(stream, number))
            number += item.amount.messages
            self.accepted += item.amount.messages

    def _append(
        self, sealer: Sealer, lane: Lane, waiting: list[_Waiting], stamp: Stamp
    ) -> Callable[[Store], Appended]:
        messages, first = _based(waiting, stamp)
        whole, most, drop = self._is_all(lane[0]), self._pack_messages, waiting[0].again is None

        def work(store: Store) -> Appended:
            appended = store.outbox.append(
                sealer.key, sealer.mesh, lane, messages, first, settle=whole, most=most, drop=drop
            )
            _exhume(waiting, store)
            return appended

        return work

    def _keep(
        self, sealer: Sealer, lane: Lane, waiting: list[_Waiting], stamp: Stamp, store: Store
    ) -> Dropped:
        """Each is the newest value of its topic now. Where no room can be made, none of them is taken."""
        store.database.check_room()
        newest = {item.messages[-1].topic: item for item in waiting}
        sizes = [item.messages[-1].newest().size for item in newest.values()]
        more = Amount(len(newest), sum(sizes))
        for (audience, cls, topic), kept in store.latest:
            if (audience, cls) == lane and topic in newest:
                more += Amount(-1, -kept.size)
        dropped = Dropped()
        if more.messages > 0:
            priority, beside = lane[1].priority, store.latest.by_priority
            drop = waiting[0].again is None
            dropped = store.outbox.make_room(sealer.key, sealer.mesh, priority, more, beside, drop=drop)
        for item in newest.values():
            messages, moment = _based([item], stamp)
            store.latest.keep(lane, messages[-1].newest(), moment)
        _exhume(waiting, store)
        return dropped

    async def number_latest(self, wanted: Callable[[str], bool]) -> None:
        """Number and seal the newest values for audiences that are `wanted`: they are about to be sent.

        One of which a former value is still owed waits until that is settled; one that does not fit stays, and so
        do all while the disk fails: what has numbers is sent meanwhile.
        """
        sealer, now = self._sealer(), self._clock.monotonic()
        if sealer is None or not len(self._writer.store.latest) or now < self._number_from:
            return
        try:
            appended = await self._writer.run(partial(self._number, sealer, wanted))
        except KosError:
            self._number_from = now + NUMBER_AGAIN_S
            return
        for stream in {stream for each in appended for stream in each.buried}:
            self._buried(stream)
        if appended:
            self.dropped += sum(each.dropped for each in appended)
            self._committed([])

    def _number(self, sealer: Sealer, wanted: Callable[[str], bool], store: Store) -> list[Appended]:
        done: list[Appended] = []
        for key, kept in store.latest.due(
            wanted, lambda sent: not store.outbox.owes(sent.stream, sent.first)
        ):
            audience, cls, _ = key
            with contextlib.suppress(Unavailable):
                appended = store.outbox.append(
                    sealer.key,
                    sealer.mesh,
                    (audience, cls),
                    [kept.message],
                    kept.stamp,
                    settle=False,
                    earlier=kept.earlier,
                )
                store.latest.sent(key, appended)
                done.append(appended)
        return done

    def _fail(self, batches: dict[Lane, list[_Waiting]], error: Exception) -> None:
        for waiting in batches.values():
            for item in waiting:
                self.refused += item.amount.messages
                if not item.future.done():
                    copy = (
                        type(error)(error.message, hint=error.hint) if isinstance(error, KosError) else error
                    )
                    item.future.set_exception(copy)


def _parts(batches: dict[Lane, list[_Waiting]]) -> list[tuple[Lane, list[_Waiting]]]:
    """What is committed as one: of one lane, newest values or not, and letters or not, with a time or without."""
    return [
        (lane, list(run))
        for lane, waiting in batches.items()
        for latest in (False, True)
        for _, run in groupby(
            (item for item in waiting if item.latest is latest),
            key=lambda item: (item.again is None, item.dated),
        )
    ]


def _exhume(waiting: list[_Waiting], store: Store) -> None:
    """The letters that these were are in the queue again, and are letters no more."""
    for item in waiting:
        if item.again is not None:
            store.records.exhume(item.again.letter)


def _based(waiting: list[_Waiting], stamp: Stamp) -> tuple[list[Prepared], Stamp]:
    """The messages with offsets from the first of them, and its moment."""
    if not waiting[0].dated:
        stamp = replace(stamp, wall_ms=None, uncertainty_ms=None)
    base_ms = waiting[0].uptime_ms
    since_ms = stamp.uptime_ms - base_ms
    wall_ms = None if stamp.wall_ms is None else stamp.wall_ms - since_ms
    steady_ms = None if stamp.steady_ms is None else stamp.steady_ms - since_ms
    messages = [message.later(item.since(base_ms, wall_ms)) for item in waiting for message in item.messages]
    return messages, replace(stamp, uptime_ms=base_ms, wall_ms=wall_ms, steady_ms=steady_ms)
