"""The newest value of each topic of which only that one matters: durable, and numbered when it is sent.

A value that is replaced before it was sent never had a number, so nothing is missing where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kos_edge.delivery.limits import Amount
from kos_edge.errors import Invalid
from kos_edge.klp.message import Prepared, decode_message, prepare
from kos_edge.klp.pack import Class, Entry, Priority
from kos_edge.said import Said
from kos_edge.store import sql
from kos_edge.store.database import Database
from kos_edge.store.owed import Appended, Stamp

log = logging.getLogger(__name__)

Key = tuple[str, Class, str]
"""Audience, class, topic."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that waits. `earlier`: it was accepted by a process before this one."""

    message: Prepared
    stamp: Stamp
    size: int
    earlier: bool = False


class Latest:
    """One value a topic. Verbs that change something run inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[Key, Kept] = {}
        self._sent: dict[Key, Appended] = {}
        self.replaced = 0
        self.unreadable = 0
        """Values that were accepted and are damaged: the next one of their topic takes their place."""
        self.load()

    def load(self) -> None:
        """Read everything again from the file."""
        self._kept.clear()
        self._sent.clear()
        self.unreadable = 0
        rows = self._database.execute(sql.LATEST_ALL)
        for audience, code, topic, uptime, wall, uncertainty, raw, steady in rows:
            try:
                message = prepare(decode_message(bytes(raw), (Entry(topic),)))
                key = (audience, Class.from_code(code), topic)
            except Invalid as error:
                self.unreadable += 1
                about = Said.STORE_DAMAGED.of(topic=topic)
                log.warning("the newest value of a topic cannot be read: %s", error, extra=about)
                continue
            stamp = Stamp(uptime, wall, uncertainty, steady)
            self._kept[key] = Kept(message, stamp, message.size, earlier=True)

    def __iter__(self) -> Iterator[tuple[Key, Kept]]:
        return iter(self._kept.items())

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def by_priority(self) -> dict[Priority, Amount]:
        """How much of each priority waits here."""
        found: dict[Priority, Amount] = {}
        for (_, cls, _), kept in self._kept.items():
            found[cls.priority] = found.get(cls.priority, Amount()) + Amount(1, kept.size)
        return found

    def keep(self, lane: tuple[str, Class], message: Prepared, stamp: Stamp) -> None:
        """`message` is the newest value of its topic now."""
        raw = message.alone()
        key = (*lane, message.topic)
        values = (lane[0], lane[1].code, message.topic, stamp.uptime_ms, stamp.wall_ms, stamp.uncertainty_ms)
        self._database.check_room()
        self._database.execute(sql.LATEST_PUT, (*values, raw, stamp.steady_ms))
        self.replaced += key in self._kept
        self._kept[key] = Kept(message, stamp, message.size)

    def due(
        self, wanted: Callable[[str], bool], settled: Callable[[Appended], bool]
    ) -> list[tuple[Key, Kept]]:
        """The values for audiences that are `wanted`, of topics of which none that was sent is still owed."""
        for key in [key for key, sent in self._sent.items() if settled(sent)]:
            del self._sent[key]
        return [(key, kept) for key, kept in self if wanted(key[0]) and key not in self._sent]

    def sent(self, key: Key, appended: Appended) -> None:
        """The value has a number now."""
        self.drop(key)
        self._sent[key] = appended

    def drop(self, key: Key) -> None:
        """The value waits no more."""
        audience, cls, topic = key
        self._database.execute(sql.LATEST_DELETE, (audience, cls.code, topic))
        del self._kept[key]
