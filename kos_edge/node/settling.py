"""Settling: receipts let the outbox go of what is safe elsewhere. Batched, and never urgent.

A crash before it is written only means that the peer is asked again what it holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from kos_edge.bootstrap.registration import TOPIC
from kos_edge.delivery.latency import Latency
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.wire import Reason
from kos_edge.errors import Invalid, KosError
from kos_edge.klp.pack import Message, Position, Stream, encode_message, peek
from kos_edge.klp.tombstone import is_tombstone
from kos_edge.node.accepted import Newest
from kos_edge.node.uptime import Uptime
from kos_edge.said import Said
from kos_edge.store.database import Damaged
from kos_edge.store.outbox import Waiting
from kos_edge.store.records import Dead
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer

EVERY_S = 0.5  # how often what was settled is written
RIDE_S = 1.5
"""How long it waits for a commit that takes it along: at a message a second there is one, and each is written with one
sync where it were two."""
QUIET_MS = 700
"""Between two receipts where it waits so; while much is under way they come faster, and are written at once."""

GIVE_UP_BYTES = 256 * 1024  # of a stream in one transaction, so that nobody waits for long
BURIED = 1_024  # refusals remembered, so that one said twice is one dead letter

Buried = tuple[Position, str, int]
"""What has become a dead letter: its place, its topic, and the reason."""

log = logging.getLogger(__name__)


def without_taken(item: Settled) -> tuple[Settled, bool]:
    """What may be settled where something else of ours is held at some places, and whether it is.

    Those are not refused for good: the messages get other places (`Numbering.leave_behind`).
    """
    places = [refusal.seq for refusal in item.refusals if refusal.reason == Reason.FORKED]
    if not places:
        return item, False
    others = tuple(refusal for refusal in item.refusals if refusal.reason != Reason.FORKED)
    return replace(item, held=min(item.held, min(places) - 1), refusals=others, ranges=()), True


class Settling:
    """Takes what couriers hear, updates the outbox, buries what was refused."""

    def __init__(self, writer: Writer, uptime: Uptime) -> None:
        self._writer = writer
        self._uptime = uptime
        self._waiting: list[Settled] = []
        self._wake = asyncio.Event()
        self._left: dict[Stream, int] = {}
        self._failed = False
        self._quiet = True
        self._taken_ms = -QUIET_MS
        self._buried: deque[Position] = deque(maxlen=BURIED)
        self.latency = Latency()
        self.delivered = 0
        self.freed: Callable[[], None] = lambda: None
        """Called when something was settled that the newest value of a topic may have waited for."""
        self.refused = 0

    def leaving(self, stream: Stream, last: int) -> None:
        """Numbers up to `last` of a stream of ours are about to leave this node."""
        self._left[stream] = max(last, self._left.get(stream, 0))

    def has_left(self, position: Position) -> bool:
        """Whether the message may have left this node since it started."""
        return self._left.get(position.stream, 0) >= position.seq

    def left(self, stream: Stream) -> bool:
        """Whether anything of a stream of ours may have left this node since it started."""
        return stream in self._left

    def take(self, settled: Iterable[Settled]) -> None:
        """Hand in what receipts say."""
        now_ms = self._uptime.ms()
        self._quiet = now_ms - self._taken_ms >= QUIET_MS
        self._taken_ms = now_ms
        self._waiting.extend(settled)
        if self._waiting:
            self._wake.set()

    async def run(self) -> None:
        """Write, for as long as the node runs."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self.flush(ride_s=RIDE_S if self._quiet else None)
                await asyncio.sleep(EVERY_S)
        finally:
            await self.flush()

    async def flush(self, *, ride_s: float | None = None) -> None:
        """Write now, or with another commit within `ride_s`. What the store does not take is kept for the next time:
        nobody would say it again."""
        settled, self._waiting = self._waiting, []
        if not settled:
            return
        now_ms = self._uptime.ms()

        def work(store: Store) -> tuple[list[Waiting], list[Buried]]:
            return self._settle(store, settled)

        try:
            done, dead = await (self._writer.run(work) if ride_s is None else self._writer.ride(work, ride_s))
        except KosError as error:
            log.log(
                logging.DEBUG if self._failed else logging.WARNING,
                "what is settled is not written: %s",
                error,
                extra=Said.NOT_KEPT.of(),
            )
            self._failed = True
            self._waiting[:0] = settled
            self._wake.set()
            return
        self._failed = False
        if len(self._writer.store.latest):
            self.freed()
        self.refused += len(dead)
        self._buried.extend(position for position, *_ in dead)
        _say(dead)
        for waiting in done:
            if waiting.gone is not None:
                continue
            count = waiting.count
            self.delivered += count
            if waiting.uptime_ms is not None:
                self.latency.add(max(0, now_ms - waiting.uptime_ms) / 1000, count)

    async def give_up(self) -> int:
        """The mesh is left: what is owed to it becomes dead letters, for no other mesh could verify it. How many.

        So do the newest values that have no number yet: another mesh was not meant to hear them. What this node has
        said of itself does not: it says that anew to the next mesh.
        """
        await self.flush()
        set_aside, more = 0, True
        while more:
            buried, more = await self._writer.run(self._give_up)
            set_aside += buried
        if set_aside:
            log.warning(
                "the mesh was left: %s that it did not have yet, now dead letters",
                "1 message" if set_aside == 1 else f"{set_aside:,} messages",
                extra=Said.SET_ASIDE.of(count=set_aside),
            )
        return set_aside

    def _give_up(self, store: Store) -> tuple[int, bool]:
        """How many letters there are more, and whether there may be more of them."""
        buried = given_up = 0
        for owed in store.outbox.owed():
            loads = store.outbox.take(owed.stream, owed.first - 1, GIVE_UP_BYTES, self._uptime.stamp(), 0.0)
            for load in loads:
                numbers = () if is_tombstone(load.pack) else range(load.first, load.last + 1)
                for seq in numbers:
                    position = Position(owed.stream, seq)
                    buried += self._bury(store, position, Reason.DROPPED, but=TOPIC) is not None
                store.outbox.settle(Settled(owed.stream, load.last))
            given_up += len(loads)
        for (audience, cls, topic), kept in list(store.latest):
            ident = Newest(topic, audience, cls.code)
            at_ms = self._uptime.wall_ms() or 0
            stamped = None if kept.stamp.wall_ms is None else kept.stamp.wall_ms + kept.message.offset_ms
            message = kept.message._replace(offset_ms=0).alone()
            store.records.bury(Dead(str(ident), at_ms, Reason.DROPPED, topic, message, stamped))
            store.latest.drop((audience, cls, topic))
            buried += 1
        return buried, bool(given_up)

    def _settle(self, store: Store, settled: list[Settled]) -> tuple[list[Waiting], list[Buried]]:
        """What was let go of, and what became dead letters: all of these first, while their packs are owed.

        A refusal is said more than once; one that was buried is not again, for it may have been taken out since.
        """
        said = {  # nobody else can drop for us: so marked it would be kept beyond the limit of dead letters
            Position(item.stream, refusal.seq): refusal.reason
            if refusal.reason != Reason.DROPPED
            else int(Reason.REFUSED)
            for item in settled
            for refusal in item.refusals
        }
        dead = [
            (position, topic, reason)
            for position, reason in said.items()
            if position not in self._buried and (topic := self._bury(store, position, reason)) is not None
        ]
        if dead:
            store.records.trim_dead()
        return [waiting for item in settled for waiting in store.outbox.settle(item)], dead

    def _bury(self, store: Store, position: Position, reason: int, *, but: str | None = None) -> str | None:
        """The topic of what is a dead letter now; None where nothing is, as on the topic `but`."""
        seq = position.seq
        sealed = store.outbox.pack_of(position.stream, seq)
        if sealed is None:
            return None
        try:
            pack = peek(sealed)
            message = pack.message(seq)
        except Invalid as error:  # a salvage counts it, and the rest is settled then
            raise Damaged(f"{position} was refused and is damaged: {error.message}") from error
        if not isinstance(message, Message) or message.topic == but:
            return None
        at_ms, base_ms = self._uptime.wall_ms() or 0, pack.header.wall_ms
        stamped = None if base_ms is None else base_ms + message.offset_ms
        encoded = encode_message(replace(message, offset_ms=0), 0)
        store.records.bury(Dead(str(position), at_ms, reason, message.topic, encoded, stamped))
        return message.topic


def _say(dead: list[Buried]) -> None:
    """Of all that was refused at once on one topic, for one reason, one line: the id is that of the first."""
    together: dict[tuple[str, int], list[Position]] = {}
    for position, topic, reason in dead:
        together.setdefault((topic, reason), []).append(position)
    for (topic, reason), positions in together.items():
        name = Reason(reason).name.lower() if reason in list(Reason) else str(reason)
        log.warning(
            "%s on %s is set aside: %s%s",
            positions[0],
            topic,
            name,
            f", and {len(positions) - 1:,} more" if len(positions) > 1 else "",
            extra=Said.SET_ASIDE.of(topic=topic, message=str(positions[0]), count=len(positions)),
        )
