"""Hearing of others: DNS-SD browsing (RFC 6763) over zeroconf's sockets and parser, with everything bounded.

zeroconf's own browser keeps a timer for every name it ever heard; forged names by the hundred thousand would
cost that much memory. So the questions and what is said of whom are kept by us.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from itertools import islice

from zeroconf import (
    DNSAddress,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSRecord,
    DNSService,
    DNSText,
    RecordUpdate,
    RecordUpdateListener,
    Zeroconf,
    current_time_millis,
)

from kos_edge.discovery.sighting import SERVICE, Event, Lost, instance_name, kid_of
from kos_edge.discovery.sightings import Sightings
from kos_edge.discovery.speakers import Address, Service, Speakers

FIRST_QUESTION = (0.02, 0.12)
"""Seconds before the first question, by chance: not all at once after a power cut (RFC 6762, section 5.2)."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 3_600.0
"""Seconds between questions: the first pause, doubled until it is the longest (same section)."""
REFRESH = 0.8
"""Part of a record's life after which it is asked for again (same section)."""
MOST_PENDING = 256
"""Names heard of whose addresses are still to come."""
DETAILS_PER_SECOND = 10.0
"""Questions for the address of a name that came without one; a good responder sends it along."""
MOST_KNOWN_ANSWERS = 25
"""Answers to send along with a question, so that they are not given again: what fits one packet."""

_QUERY = 0
_IN = 1
_A, _PTR, _TXT, _AAAA, _SRV = 1, 12, 16, 28, 33


class Browser(RecordUpdateListener):
    """Turns DNS records into Found and Lost; asks when it is time to.

    All of it runs in the event loop.
    """

    def __init__(self, zeroconf: Zeroconf, sightings: Sightings, emit: Callable[[Event], None]) -> None:
        self._own: bytes | None = None
        self._speakers = Speakers()
        self._listening = False
        self._zeroconf = zeroconf
        self._sightings = sightings
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._pause = FIRST_PAUSE / 2
        self._pending: dict[bytes, float] = {}
        """Kids of whom something is still missing, with the time to live of their PTR record."""
        self._details = DETAILS_PER_SECOND
        self._details_at = self._loop.time()

    def start(self, *, own: bytes | None, loopback: bool) -> None:
        """Listen, and ask soon; again when an interface has come up.

        `own`: the kid to pass over. `loopback`: whether addresses that mean this machine itself make sense.
        """
        self._own, self._speakers.loopback = own, loopback
        if not self._listening:
            self._listening = True
            self._zeroconf.async_add_listener(self, DNSQuestion(SERVICE, _PTR, _IN))
        self._pause = FIRST_PAUSE / 2
        self._ask_in(random.uniform(*FIRST_QUESTION))

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._listening:
            self._zeroconf.async_remove_listener(self)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """zeroconf has a packet, or records that ran out. Called in the event loop; nothing escapes."""
        heard = [update.new for update in records if update.new.ttl == 0 or not update.new.is_expired(now)]
        time = self._loop.time()
        changed: dict[bytes, float | None] = {}
        for record in heard:
            if isinstance(record, DNSPointer):
                self._pointer(record, changed)
        for record in heard:
            self._about_a_kid(record, time, changed)
        for record in heard:
            if isinstance(record, DNSAddress) and record.ttl:
                address = Address(record.address, record.scope_id)
                kids = self._speakers.address(record.name.lower(), address, time, flush=record.unique)
                changed |= {kid: changed.get(kid) for kid in kids}
        for kid, ttl in changed.items():
            self._consider(kid, ttl, time)

    def async_update_records_complete(self) -> None:
        """zeroconf's cache has the packet now; we keep our own."""

    def _pointer(self, record: DNSPointer, changed: dict[bytes, float | None]) -> None:
        kid = kid_of(record.alias) if record.name.lower() == SERVICE else None
        if kid is None or kid == self._own:
            return
        if record.ttl == 0:
            self._tell(self._sightings.gone(kid))
        else:
            self._speakers.add(kid)
            changed[kid] = float(record.ttl)

    def _about_a_kid(self, record: DNSRecord, now: float, changed: dict[bytes, float | None]) -> None:
        kid = kid_of(record.name) if isinstance(record, DNSService | DNSText) else None
        if kid is None or kid not in self._speakers or record.ttl == 0:
            return
        changed.setdefault(kid, None)
        if isinstance(record, DNSService):
            service = Service(record.server.lower(), record.port, record.priority, record.weight)
            self._speakers.service(kid, service, now, flush=record.unique)
        elif isinstance(record, DNSText):
            self._speakers.text(kid, record.text)

    def _consider(self, kid: bytes, ttl: float | None, now: float) -> None:
        """Something was said of this kid: tell it when it makes a whole, ask for the rest when it is new."""
        found = self._speakers.found(kid)
        if found is not None:
            ttl = self._pending.pop(kid, None) if ttl is None else ttl
            self._tell(self._sightings.heard(kid, found, now, ttl))
            self._forget_unless_sighted(kid)
        elif ttl is not None:
            self._pending[kid] = ttl
            if len(self._pending) > MOST_PENDING:
                self._give_up(next(iter(self._pending)))
            self._ask_for_details(kid, now)

    def _give_up(self, kid: bytes) -> None:
        """Too much is missing for too long."""
        del self._pending[kid]
        self._forget_unless_sighted(kid)

    def _forget_unless_sighted(self, kid: bytes) -> None:
        if kid not in self._sightings:
            self._speakers.forget(kid)

    def _ask_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._ask)

    def _ask(self) -> None:
        """Who is there? And plan the next time: when a record nears its end, or after a longer pause."""
        now = self._loop.time()
        self._tell(self._sightings.expire(now))
        for kid in list(self._pending):
            self._give_up(kid)
        question = DNSOutgoing(_QUERY)
        question.add_question(DNSQuestion(SERVICE, _PTR, _IN))
        millis = current_time_millis()
        known = self._zeroconf.cache.async_all_by_details(SERVICE, _PTR, _IN)
        fresh = (record for record in known if _is_ours(record) and not record.is_stale(millis))
        for record in islice(fresh, MOST_KNOWN_ANSWERS):
            question.add_answer_at_time(record, millis)
        self._zeroconf.async_send(question)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        end = self._sightings.refresh_at()
        refresh = self._pause if end is None else max(1.0, (end - now) * REFRESH)
        self._ask_in(min(self._pause, refresh))

    def _ask_for_details(self, kid: bytes, now: float) -> None:
        earned = (now - self._details_at) * DETAILS_PER_SECOND
        self._details, self._details_at = min(DETAILS_PER_SECOND, self._details + earned), now
        if self._details < 1:
            return
        self._details -= 1
        question, name, host = DNSOutgoing(_QUERY), instance_name(kid), self._speakers.host(kid)
        wanted = [(name, _SRV), (name, _TXT), *([(host, _A), (host, _AAAA)] if host else [])]
        for about, kind in wanted:
            question.add_question(DNSQuestion(about, kind, _IN))
        self._zeroconf.async_send(question)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Lost):
                self._speakers.forget(event.kid_claimed)
            self._emit(event)


def _is_ours(record: DNSRecord) -> bool:
    """Whether a PTR record names one of us: other names may not even survive being sent again."""
    return isinstance(record, DNSPointer) and kid_of(record.alias) is not None
