"""What a member may ask of this node over a session: hand over packs, compare positions, exchange trust.

Every byte is checked before anything changes; a receipt leaves only after the packs that it names are synced.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from kos_edge.clock import Clock
from kos_edge.delivery.position import Verdict
from kos_edge.delivery.volatile import VolatileIntake
from kos_edge.delivery.wire import (
    ANSWER_BYTES,
    STREAM_ANSWER_BYTES,
    Answer,
    Offer,
    Parcel,
    Reason,
    Refusal,
    Synced,
    decode_ship,
    decode_sync,
    encode_answer,
    encode_synced,
)
from kos_edge.errors import Invalid, KosError, Unavailable
from kos_edge.klp.body import Config as ConfigPayload
from kos_edge.klp.body import Intent
from kos_edge.klp.pack import Message, Pack, Stream, peek
from kos_edge.klp.pack import Reason as Removal
from kos_edge.klp.sealed import peek_sealed
from kos_edge.klp.tombstone import Tombstone
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.policy import Action
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import Uptime
from kos_edge.said import Said
from kos_edge.store.journal import Incoming, Intake, malformed_of
from kos_edge.store.packs import Entry
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer
from kos_edge.transport.coap import (
    BAD_REQUEST,
    CHANGED,
    NOT_FOUND,
    POST,
    SERVICE_UNAVAILABLE,
    Request,
    Response,
)
from kos_edge.transport.session import Session
from kos_edge.transport.surface import Limiter

KLP_PATH = "/klp"
SYNC_PATH = "/sync"
TRUST_PATH = "/trust"
BOOTSTRAP_PATH = "/bootstrap"
ANSWER_TOPIC = "kos.answer."  # answers to a command travel where the command was allowed
WAIT_MS = 1_000  # how long a sender rests when the disk takes nothing
MAX_PENDING = 256  # shipments between arrival and commit; beyond, whoever has many of them is asked to wait
FAIR_PENDING = 16  # of one member: so many are taken although others have filled the room
MOST_PENDING = 1_024  # of all, and then everybody waits
TRUST_RATE, TRUST_BURST = 100.0, 8_192.0  # of what one member may have checked of POST /trust, see below:
# a thousand requests at once, as after years apart, and then about one signature in 30 ms
TRUST_COST, TRUST_COST_BYTES = 8.0, 128  # of a request, and one more for so many bytes

Table = tuple[bytes, tuple[str, ...]]
"""A source, and the topics of one of its packs."""

Resource = Callable[[Session, Membership, Request], Awaitable[Response]]
"""Answers what one member asks of one path."""

log = logging.getLogger(__name__)


class Inbound:
    """Answers protected requests. `arrived` is told that the journal has grown, `cut_off` of revocations."""

    def __init__(
        self,
        writer: Writer,
        trust: Trust,
        clock: Clock,
        uptime: Uptime,
        *,
        arrived: Callable[[Sequence[Entry]], None],
        push: Callable[[Pack], None],
        cut_off: Callable[[], None],
        save: Callable[[], Awaitable[None]],
        ordered: Callable[[Membership, bytes], Awaitable[bytes]],
    ) -> None:
        self._ordered = ordered
        self._writer = writer
        self._trust = trust
        self._clock = clock
        self._uptime = uptime
        self._arrived = arrived
        self._push = push
        self._volatile = VolatileIntake()
        self._cut_off = cut_off
        self._save = save
        self._pending: Counter[bytes] = Counter()
        self._trust_budget = Limiter(TRUST_RATE, TRUST_BURST)
        self.counters: Counter[str] = Counter()
        self.resources: dict[str, Resource] = {}
        """What else members may ask for, by path."""

    async def answer(self, session: Session, request: Request) -> Response:
        """The response to a request that the session's keys have opened. Never raises for what a peer sent."""
        peer = session.peer
        handler = {
            KLP_PATH: self._ship,
            SYNC_PATH: self._sync,
            TRUST_PATH: self._tell,
            BOOTSTRAP_PATH: self._obey,
        }.get(request.path)
        resource = self.resources.get(request.path)
        if resource is not None and isinstance(peer, Membership):
            return await resource(session, peer, request)
        if handler is None or request.code != POST or not isinstance(peer, Membership):
            return Response(NOT_FOUND)
        try:
            datagram = session.address.connection is None
            room = ANSWER_BYTES if datagram else STREAM_ANSWER_BYTES
            return Response(CHANGED, await handler(peer, request.payload, room))
        except Invalid as error:
            self.counters["invalid"] += 1
            log.debug("%s sent what breaks a rule: %s", peer.name, error)
            return Response(BAD_REQUEST)
        except KosError as error:
            log.debug("%s cannot be served now: %s", peer.name, error)
            return Response(SERVICE_UNAVAILABLE)

    # -- packs

    async def _ship(self, peer: Membership, body: bytes, room: int) -> bytes:
        began = self._clock.monotonic()
        if self._is_too_much(peer.kid):
            self.counters["told to wait"] += 1
            return encode_answer(Answer((), wait_ms=WAIT_MS))
        parcels = decode_ship(body)
        self._pending[peer.kid] += 1
        try:
            found, intake = await self.take(parcels)
        except Unavailable as error:
            log.warning(
                "nothing is taken from %s: %s", peer.name, error, extra=Said.NOT_TAKEN.of(peer=peer.name)
            )
            return encode_answer(Answer((), wait_ms=WAIT_MS))
        finally:
            self._pending[peer.kid] -= 1
            if not self._pending[peer.kid]:
                del self._pending[peer.kid]
        delay = round((self._clock.monotonic() - began) * 1e6)
        barred = dict.fromkeys([*found.quarantined, *(pack.stream.source for pack, _ in intake.forks)])
        answer = Answer(
            tuple(intake.receipts),
            delay,
            tuple(dict.fromkeys(found.unknown)),
            quarantined=tuple(barred),
        )
        return encode_answer(answer, room)

    async def take(self, parcels: list[Parcel]) -> tuple[Checked, Intake]:
        """Check packs, by whatever way they came, and take in what may be; what the intake names is synced then."""
        found = await self._writer.aside(lambda: self._check(parcels))
        return found, await self._take_in(found.packs)

    def _is_too_much(self, kid: bytes) -> bool:
        """Whether one more shipment of this member has to wait: others have their share, whoever sends most."""
        pending = self._pending.total()
        return pending >= MOST_PENDING or (pending >= MAX_PENDING and self._pending[kid] >= FAIR_PENDING)

    def _check(self, parcels: list[Parcel]) -> Checked:
        """What may come in, and which sources may not; beside the loop, for signatures take their time."""
        found = Checked()
        for parcel in parcels:
            item = self._admit(parcel, found)
            if item is not None:
                found.packs.append(item)
        return found

    def _admit(self, parcel: Parcel, found: Checked) -> Incoming | None:
        """A parcel whose source is known and whose pack verifies; None for one that is left unanswered."""
        mesh, own = self._trust.mesh, self._trust.membership
        if mesh is None or own is None:
            raise Unavailable("this node has left its mesh")
        try:
            pack = peek_sealed(parcel.pack)
            if (
                pack.stream.source in self._trust.own_kids
            ):  # taken in, it would move this node's own numbering back
                raise Invalid("a pack of this node itself")
            source = self._trust.roster.get(pack.stream.source)
            if source is None:
                found.unknown.append(pack.stream.source)
                return None
            if source.kid in self._trust.forks:
                found.quarantined.append(source.kid)
                self.counters["quarantined"] += 1
                return None
            pack.verify(source.public, mesh)
            if isinstance(pack, Tombstone):
                if not self._trust.is_mine(pack.stream.audience):
                    raise Invalid("a tombstone for others")
                return Incoming(pack, parcel.age_ms)
        except Invalid as error:
            self.counters["invalid"] += 1
            log.debug("a pack that breaks a rule: %s", error)
            return None
        refused: dict[int, Reason] = malformed_of(pack)
        if not self._trust.is_mine(pack.stream.audience) or self._trust.revoked(source):
            refused = dict.fromkeys(range(pack.first, pack.last + 1), Reason.REFUSED)
        else:
            refused |= self._denied(pack, source, own, found.allowed) | _too_old_to_tell(pack, parcel.age_ms)
        self.counters["refused"] += len(refused)
        return Incoming(pack, parcel.age_ms, refused)

    def _denied(
        self, pack: Pack, source: Membership, own: Membership, allowed: dict[Table, bool]
    ) -> dict[int, Reason]:
        """The numbers that the policy does not let this source send here; `allowed` is what it said of such packs."""

        def allows(topic: str, *, command: bool) -> bool:
            action = Action.COMMAND if command or topic.startswith(ANSWER_TOPIC) else Action.PUBLISH
            return self._trust.policy.allows(source, action, topic, own)

        # Where every topic of the table is allowed, only commands among the messages are left to ask about.
        table = (source.kid, pack.header.topics)
        all_allowed = allowed.get(table)
        if all_allowed is None:
            all_allowed = allowed[table] = all(allows(topic, command=False) for topic in pack.header.topics)
        denied = {}
        for seq, item in pack.others if all_allowed else pack.messages():
            if isinstance(item, Message):
                command = isinstance(item.payload, Intent)
                if not (all_allowed and not command) and not allows(item.topic, command=command):
                    denied[seq] = Reason.REFUSED
        return denied

    async def _take_in(self, batch: list[Incoming]) -> Intake:
        refusals: dict[Stream, list[Refusal]] = {}
        for item in batch:
            pack = item.pack
            if isinstance(pack, Tombstone) or pack.stream.cls.durable:
                continue
            refused = refusals.setdefault(pack.stream, [])
            refused += [Refusal(seq, int(reason)) for seq, reason in item.refused.items()]
            if self._volatile.take(pack) and len(item.refused) < pack.count:
                self._push(
                    peek(pack.remove(dict.fromkeys(item.refused, Removal.REFUSED))) if item.refused else pack
                )
        durable = [item for item in batch if item.pack.stream.cls.durable]
        intake = await self._journal(durable) if durable else Intake()
        intake.receipts += [
            replace(self._volatile.receipt(stream), refusals=tuple(refused))
            for stream, refused in refusals.items()
        ]
        return intake

    async def _journal(self, batch: list[Incoming]) -> Intake:
        at_ms = self._uptime.steady_ms() or 0

        def work(store: Store) -> Intake:
            return store.journal.take_in(batch, at_ms)

        intake = await self._writer.run(work)
        for verdict, count in intake.verdicts.items():
            self.counters[verdict.name.lower()] += count
        self.counters["messages"] += intake.messages
        for reason, count in intake.gone.items():
            self.counters[f"gone {reason.name.lower()}"] += count
        if intake.messages or intake.gone:
            self._arrived(intake.entries)
        if intake.forks:
            await self._prove(intake.forks)
        elif intake.verdicts.get(Verdict.FORK):
            log.warning(
                "a fork: one key signed two packs for one place; nothing of it was taken",
                extra=Said.FORK.of(),
            )
        return intake

    async def _prove(self, forks: list[tuple[Pack, Pack]]) -> None:
        """Two signatures of one key that no single source makes: it goes into quarantine, here and everywhere."""
        before = self._trust.shut_out
        for one, other in forks:
            self._trust.prove(one, other)
        if self._trust.shut_out != before:
            self._cut_off()
            await self._save()

    async def _obey(self, peer: Membership, body: bytes, room: int) -> bytes:
        return await self._ordered(peer, body)

    # -- positions

    async def _sync(self, peer: Membership, body: bytes, room: int) -> bytes:
        return encode_synced(await self.declare(peer, decode_sync(body).offers), room)

    async def declare(self, peer: Membership, offers: Sequence[Offer]) -> Synced:
        """A member says what it still has of its streams; what this node holds of them."""
        at_ms = self._uptime.steady_ms() or 0

        def work(store: Store) -> Synced:
            receipts = store.journal.declare(peer.kid, offers, at_ms, peer.former)
            highest, ends = store.journal.highest_epoch(peer.kid), store.journal.ends(peer.kid)
            return Synced(tuple(receipts), highest, tuple(ends), self._uptime.steady_ms())

        before = self._writer.store.packs.last_id
        synced = await self._writer.run(work)
        if self._writer.store.packs.last_id != before:
            self._arrived(())
        return synced

    # -- trust

    async def _tell(self, peer: Membership, body: bytes, room: int) -> bytes:
        before = self._trust.shut_out
        cost = TRUST_COST + len(body) // TRUST_COST_BYTES
        if not self._trust_budget.allow(peer.kid.hex(), self._clock.monotonic(), cost):
            self.counters["trust withheld"] += 1
            raise Unavailable("this member has had enough checked for now")
        try:
            answer = self._trust.news_for(body)
        finally:  # what was good before a fault in the rest is in force, on disk or not
            if self._trust.shut_out != before:
                log.info(
                    "%s told of revoked or forked keys", peer.name, extra=Said.REVOKED.of(peer=peer.name)
                )
                self._cut_off()
            await self._save()
        return answer


@dataclass(slots=True)
class Checked:
    """What a shipment holds: packs that may come in, and sources of which nothing may."""

    packs: list[Incoming] = field(default_factory=list)
    unknown: list[bytes] = field(default_factory=list)
    quarantined: list[bytes] = field(default_factory=list)
    allowed: dict[Table, bool] = field(default_factory=dict)
    """Whether the policy lets a source publish on all topics of a table: asked once a shipment."""


def _too_old_to_tell(pack: Pack, age_ms: int | None) -> dict[int, Reason]:
    """Intents and configuration with a ttl whose age nobody knows: doing them late may do harm."""
    if age_ms is not None:
        return {}
    return {
        seq: Reason.EXPIRED
        for seq, item in pack.others
        if isinstance(item, Message)
        and item.ttl_s is not None
        and isinstance(item.payload, Intent | ConfigPayload)
    }
