"""The feed: hands the journal's messages to subscribers, in order, at least once, each at its own pace.

A named subscriber's position is kept in the store, so that it goes on after a restart where it was. A handler that
raises is given the message again after 1, 5 and 15 seconds, counted over restarts; then the message is set aside as a
dead letter and the subscriber goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kos_edge.agents.port import Delivery, Handler
from kos_edge.clock import Clock
from kos_edge.delivery.wire import Reason
from kos_edge.errors import KosError
from kos_edge.klp.pack import Message, Pack, Position, Stream, encode_message
from kos_edge.klp.pack import Reason as Removal
from kos_edge.klp.sealed import Sealed
from kos_edge.klp.tombstone import Tombstone
from kos_edge.klp.topic import check_filter, matches
from kos_edge.node.attempts import AFTER_S, MOST, Attempts
from kos_edge.node.traces import Tracer
from kos_edge.node.uptime import Uptime
from kos_edge.said import Said
from kos_edge.store.packs import Entry
from kos_edge.store.records import Dead
from kos_edge.store.writer import Writer

CURSOR_EVERY_S = 1.0  # how often a moved cursor is written; a crash repeats that much, it loses nothing
PASSED_EVERY_S = (
    60.0  # the same for one that has only passed over what is not for it: on a quiet node each commit counts
)
PASSED_MOST = 1_024  # entries after which it is written all the same: retention waits for the slowest
CACHED_ENTRIES = 512  # the newest packs, decoded once for all subscribers
PAGE = 64  # entries read at once
VOLATILE_ENTRIES = 1_024  # volatile packs kept for subscribers that are a little behind
MATCHED = 4_096  # topics of which a subscriber remembers whether they match
VOLATILE_ID = 0  # they have no place in the journal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of the journal with what a person wants to know of it."""

    entry: int
    delivery: Delivery
    pack: Pack
    message: Message


@dataclass(frozen=True, slots=True)
class Missing:
    """A run of numbers of which a tombstone says that they will never come; `at` is when that was kept here."""

    entry: int
    stream: Stream
    source_name: str
    first: int
    last: int
    reason: Removal
    at: float | None


class Feed:
    """`name_of` gives the name of a kid in the mesh (or its short form); `withholds` tells of a stream that
    this node only sends, so that its own subscribers have no business with it.
    """

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        uptime: Uptime,
        name_of: Callable[[bytes], str],
        withholds: Callable[[Stream], bool],
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._uptime = uptime
        self._name_of = name_of
        self.withholds = withholds
        self._news = asyncio.Event()
        self._cache: OrderedDict[int, Entry] = OrderedDict()
        self._volatile: deque[tuple[int, Entry]] = deque(maxlen=VOLATILE_ENTRIES)
        self.volatile_serial = 0
        self.readers: set[Subscriber] = set()
        """Those that run: they look at what is new at once, so that nobody reads back what nobody wants."""
        self.dead = 0
        self.tracer: Tracer | None = None

    def now_ms(self) -> int:
        """The wall clock in ms, 0 while it is not set."""
        return self._uptime.wall_ms() or 0

    def announce(self, entries: Sequence[Entry] = ()) -> None:
        """The journal has grown, by `entries` where it is known what: they need not be read and decoded again."""
        for entry in entries[-CACHED_ENTRIES:]:
            self._cache[entry.id] = entry
        self._bound()
        for reader in self.readers:
            if not (entries and reader.glance(entries)):
                reader.hear(journal=True)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def forget(self, stream: Stream) -> None:
        """Packs of this stream have become tombstones: read them anew."""
        for ident in [ident for ident, entry in self._cache.items() if entry.pack.stream == stream]:
            del self._cache[ident]

    def push(self, pack: Pack) -> None:
        """A volatile pack: for whoever listens now."""
        self.volatile_serial += 1
        entry = Entry(VOLATILE_ID, pack, pack.first, pack.last, self._uptime.steady_ms() or 0, 0)
        self._volatile.append((self.volatile_serial, entry))
        for reader in self.readers:
            reader.hear(journal=False)
        self._tell()

    def volatile(self, serial: int) -> list[Entry]:
        """Volatile entries after `serial`, as far as they are still kept."""
        if serial == self.volatile_serial:
            return []
        return [entry for number, entry in self._volatile if number > serial]

    async def entries(self, after: int, serial: int) -> list[Entry]:
        """Entries after `after`, and volatile ones after `serial`, waiting until there is one."""
        while True:
            news = self._news
            page = await self.page(after) + self.volatile(serial)
            if page:
                return page
            await news.wait()

    async def page(self, after: int) -> list[Entry]:
        """Entries after `after`, as far as there are: of the newest that are kept decoded, or read."""
        if after + 1 in self._cache:
            page: list[Entry] = []
            while after + 1 in self._cache and len(page) < PAGE:
                after += 1
                page.append(self._cache[after])
            return page
        page = await self._writer.read(lambda store: store.packs.read(after, PAGE))
        for entry in page:
            self._cache[entry.id] = entry
            self._cache.move_to_end(entry.id)
        self._bound()
        return page

    def _bound(self) -> None:
        while len(self._cache) > CACHED_ENTRIES:
            self._cache.popitem(last=False)

    def heard(self, entry: Entry) -> Iterator[Heard]:
        """The readable messages of an entry, with those that have expired left out; none of a tombstone."""
        if isinstance(entry.pack, Tombstone):
            return
        header = entry.pack.header
        for seq, item in entry.pack.messages():
            if not isinstance(item, Message):
                continue
            at = None if header.wall_ms is None else (header.wall_ms + item.offset_ms) / 1000
            left = self._ttl_left(entry, item)
            if left is not None and left <= 0:
                continue
            delivery = Delivery(
                id=str(Position(entry.pack.stream, seq)),
                source_kid=header.stream.source,
                source_name=self._name_of(header.stream.source),
                topic=item.topic,
                seq=seq,
                at=at,
                payload=item.payload,
                uncertainty=None if header.uncertainty_ms is None else header.uncertainty_ms / 1000,
                correlation=item.correlation,
                ttl_left=left,
                late=entry.late,
                trace=item.trace,
            )
            yield Heard(entry.id, delivery, entry.pack, item)

    def _ttl_left(self, entry: Entry, message: Message) -> float | None:
        if message.ttl_s is None:
            return None
        now_ms = self._uptime.steady_ms()
        since = 0.0 if now_ms is None or not entry.at else max(0, now_ms - entry.at) / 1000
        return message.ttl_s + message.offset_ms / 1000 - (entry.age_ms or 0) / 1000 - since

    def missing(self, entry: Entry) -> Missing | None:
        """What a tombstone says; None for an entry that is none."""
        tombstone = entry.pack
        if not isinstance(tombstone, Tombstone):
            return None
        name = self._name_of(tombstone.stream.source)
        at = self._uptime.shown_ms(entry.at) / 1000 if entry.at else None
        return Missing(entry.id, tombstone.stream, name, entry.first, entry.last, tombstone.reason, at)

    async def messages(self, after: int, *, follow: bool) -> AsyncIterator[Heard]:
        """Messages after the entry `after`; with `follow` it waits for more, else it ends."""
        async for found in self.everything(after, follow=follow):
            if isinstance(found, Heard):
                yield found

    async def everything(self, after: int, *, follow: bool) -> AsyncIterator[Heard | Missing]:
        """The same, and in their places the runs that will never come."""
        serial = self.volatile_serial
        while True:
            page = await self.entries(after, serial) if follow else await self.page(after)
            serial = self.volatile_serial
            if not page:
                return
            for entry in page:
                for heard in self.heard(entry):
                    yield heard
                missing = self.missing(entry)
                if missing is not None:
                    yield missing
                after = max(after, entry.id)

    async def last(self) -> int:
        """The newest entry's id."""
        return await self._writer.read(lambda store: store.packs.last_id)

    def present(self) -> list[str]:
        """The names of the subscribers that run."""
        return [reader.name for reader in self.readers]

    def subscribe(self, filter: str, handler: Handler, *, name: str) -> Subscriber:
        """A new subscriber; nothing happens before its `run`. Invalid for an illegal filter."""
        check_filter(filter)
        return Subscriber(self, self._writer, self._clock, filter, handler, name)


class Subscriber:
    """One reader of the feed with its own cursor."""

    def __init__(
        self, feed: Feed, writer: Writer, clock: Clock, filter: str, handler: Handler, name: str
    ) -> None:
        self._feed = feed
        self._writer = writer
        self._clock = clock
        self._filter = filter
        self._handler = handler
        self.name = name
        self._attempts = Attempts(writer, name)
        self._matched: dict[str, bool] = {}
        self._done = 0
        self._written = 0
        self._written_at = 0.0
        self._handed = False  # something, since the cursor was written
        self._news = asyncio.Event()
        self._behind = True  # the journal may have more than was read

    async def run(self) -> None:
        """Hand messages over until cancelled."""
        cursor = await self._writer.read(lambda store: store.records.cursor(self.name))
        if cursor is None:
            cursor = await self._feed.last()
            await self._write(cursor)
        self._done = self._written = cursor
        await self._attempts.load()
        serial = self._feed.volatile_serial
        self._feed.readers.add(self)
        try:
            while True:
                self._news.clear()
                page = []
                if self._behind:
                    page = await self._feed.page(self._done)
                    self._behind = bool(page) or self._news.is_set()
                page += self._feed.volatile(serial)
                serial = self._feed.volatile_serial
                if page:
                    await self._read(page)
                is_time = not page and not await self._rest()
                is_time = is_time or self._clock.monotonic() - self._written_at >= self._every_s
                is_time = is_time or self._done - self._written >= PASSED_MOST
                if is_time and self._done > self._written:
                    await self._write(self._done)
        finally:
            self._feed.readers.discard(self)
            if self._done > self._written:
                await asyncio.shield(self._write(self._done))

    async def _read(self, page: list[Entry]) -> None:
        for entry in page:
            if self._wants(entry.pack):
                for heard in self._feed.heard(entry):
                    if self._matches(heard.delivery.topic):
                        self._handed = True
                        await self._hand_over(heard)
            self._done = max(self._done, entry.id)

    async def _rest(self) -> bool:
        """Wait for news; False when there was none by the time that the cursor has to be written."""
        try:
            async with asyncio.timeout(self._every_s if self._done > self._written else None):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def hear(self, *, journal: bool) -> None:
        """There is more to read: in the journal, or what is volatile."""
        self._behind = self._behind or journal
        self._news.set()

    def glance(self, entries: Sequence[Entry]) -> bool:
        """Pass over new entries without reading them, where all before them is done and none of them is wanted.

        Whether they were: then there is nothing to wake up for, but for the first time, for a cursor that has moved
        has to be written in time.
        """
        last = self._done + len(entries)
        follows = (
            entries[0].id == self._done + 1 and entries[-1].id == last
        )  # ids rise, so none is between them
        if not follows or any(self._wants(entry.pack) for entry in entries):
            return False
        if self._done == self._written or last - self._written >= PASSED_MOST:
            self._news.set()
        self._done = last
        return True

    def _wants(self, pack: Sealed) -> bool:
        """Whether a message of this pack may be for this subscriber: where not, none of them is decoded."""
        if isinstance(pack, Tombstone):
            return False
        known = self._matched.get
        for topic in pack.header.topics:
            matched = known(topic)
            if self._matches(topic) if matched is None else matched:
                return not self._feed.withholds(pack.stream)
        return False

    def _matches(self, topic: str) -> bool:
        matched = self._matched.get(topic)
        if matched is None:
            if len(self._matched) >= MATCHED:
                self._matched.clear()
            matched = self._matched[topic] = matches(self._filter, topic)
        return matched

    async def _write(self, cursor: int) -> None:
        name = self.name
        self._written_at = self._clock.monotonic()
        try:
            await self._writer.run(lambda store: store.records.move_cursor(name, cursor))
        except KosError as error:  # a full disk, say: after a crash more is repeated, nothing is lost
            log.debug("the cursor of %s is not written: %s", name, error)
        else:
            self._written = cursor
            self._handed = False

    @property
    def _every_s(self) -> float:
        """How long the cursor on disk may lie behind: after a crash what comes after it is read again."""
        return CURSOR_EVERY_S if self._handed else PASSED_EVERY_S

    async def _hand_over(self, heard: Heard) -> None:
        ident, entry = heard.delivery.id, heard.entry
        while self._attempts.count(ident) < MOST:
            await self._attempts.begin(ident, entry)
            try:
                if self._feed.tracer is None:
                    await self._handler(heard.delivery)
                else:
                    await self._feed.tracer.handle(self._handler, self.name, heard.delivery)
            except asyncio.CancelledError:
                await asyncio.shield(self._attempts.broken_off(ident, entry))
                raise
            except Exception as error:  # a handler is somebody's program: whatever it raises, others go on
                first = self._attempts.count(ident) == 1 and not isinstance(error, KosError)
                level = logging.WARNING if first else logging.DEBUG
                log.log(
                    level,
                    "%s failed on %s: %s",
                    self.name,
                    ident,
                    error,
                    extra=Said.HANDLER_FAILED.of(handler=self.name, message=ident),
                )
                await self._attempts.failed(ident, entry)
            else:
                await self._attempts.done(ident, entry)
                return
            if self._attempts.count(ident) < MOST:
                await asyncio.sleep(AFTER_S[self._attempts.count(ident) - 1])
        while self._attempts.count(ident) == MOST:
            try:
                await self._attempts.bury(_letter(heard, self._feed.now_ms()), entry)
                self._feed.dead += 1
            except KosError as error:
                log.warning("%s cannot be set aside: %s", ident, error, extra=Said.NOT_KEPT.of(message=ident))
                await asyncio.sleep(AFTER_S[-1])


def _letter(heard: Heard, now_ms: int) -> Dead:
    """A message that no attempt got through its handler."""
    message, at = replace(heard.message, offset_ms=0), heard.delivery.at
    return Dead(
        heard.delivery.id,
        now_ms,
        int(Reason.HANDLER),
        heard.delivery.topic,
        encode_message(message, 0),
        stamped=None if at is None else round(at * 1000),
    )
