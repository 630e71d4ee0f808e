"""The node: the only place that builds the parts and joins them.

async with Node(state) as node: …          inside another program
await Node(state).run()                    a daemon's whole life
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kos_edge.agents.agent import Agent
from kos_edge.agents.host import Host
from kos_edge.agents.worker import ThreadWorker, Worker
from kos_edge.bootstrap.admission import Mode
from kos_edge.clock import Clock, SystemClock
from kos_edge.delivery.fair import Weights
from kos_edge.delivery.limits import Limit
from kos_edge.delivery.volatile import VolatileRing
from kos_edge.discovery.mdns import Mdns
from kos_edge.discovery.sighting import Advertisement, Found, Hint
from kos_edge.discovery.static import parse_peer
from kos_edge.errors import KosError, Misuse
from kos_edge.klp.pack import Pack
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.node.addresses import DEFAULT_PORT
from kos_edge.node.bus import NodeBus, terms_of
from kos_edge.node.carrying import Carrying
from kos_edge.node.config import Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.enrolment import Enrolment
from kos_edge.node.feed import Feed
from kos_edge.node.forecasting import Forecasting
from kos_edge.node.fullness import Fullness, limits_of
from kos_edge.node.handshakes import Handshakes
from kos_edge.node.heart import Heart
from kos_edge.node.housekeeping import Housekeeping
from kos_edge.node.inbound import Inbound
from kos_edge.node.keepsake import load_trust, proves
from kos_edge.node.kept_config import load_kept
from kos_edge.node.kept_meta import keep_meta, kept_meta, kept_or_empty
from kos_edge.node.keyfile import find_key, keep_copy
from kos_edge.node.link import SILENT_KEEPALIVES, Link
from kos_edge.node.listening import calling_carriers, carriers_for, port_of
from kos_edge.node.numbering import Numbering
from kos_edge.node.ordering import Ordering
from kos_edge.node.peers import Peers
from kos_edge.node.publisher import Publisher, Sealer, Terms
from kos_edge.node.readers import Readers
from kos_edge.node.renewal import Renewing
from kos_edge.node.settling import Settling
from kos_edge.node.starts import Start
from kos_edge.node.startup import Startup
from kos_edge.node.statedir import STORE_NAME, StateDir
from kos_edge.node.traces import Tracer
from kos_edge.node.trust import Trust
from kos_edge.node.uptime import FLOOR_S, Uptime
from kos_edge.node.vaulting import NodeVault
from kos_edge.node.wearing import Wearing
from kos_edge.store.database import Database
from kos_edge.store.packs import Entry
from kos_edge.store.salvage import Rescue
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer
from kos_edge.transport.address import Carrier
from kos_edge.transport.endpoint import Endpoint
from kos_edge.transport.session import Session

EMBEDDED = Start()

log = logging.getLogger(__name__)


class Node:
    """One node over one state directory, which it locks while it runs.

    `carriers` makes the node speak over those instead of UDP and TCP sockets: an in-memory network, in tests.
    With a `random` that is seeded as well, and `threaded` off, a run is the same every time. `mount` is handed the
    store's database before anything is written to it, a simulated disk there; `worker` makes the thread of an agent.
    `start` is what a daemon brings along.
    Raises Unavailable for a state that is in use or has no node in it, Invalid for a damaged one.
    """

    def __init__(
        self,
        state: Path | str,
        *,
        agents: Sequence[Agent] = (),
        config: Config | None = None,
        clock: Clock | None = None,
        carriers: Sequence[Carrier] | None = None,
        threaded: bool = True,
        quiet: bool = False,
        random: Callable[[int], bytes] = os.urandom,
        mount: Callable[[Database], None] = lambda database: None,
        worker: Callable[[str, Clock], Worker] = ThreadWorker,
        start: Start = EMBEDDED,
    ) -> None:
        self.state = StateDir.open(Path(state))
        if config is None:  # a command that only asks once says what is wrong, and changes nothing
            file = self.state.config_file
            config = load_config(file) if quiet else load_kept(file, keep=self.state.path)
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.vault = NodeVault(self.state.path, config, lambda: self.trust.at(), random=random)
        self.agent_files: dict[str, str] = {}
        self.agents = tuple(agents)
        self._given_carriers = carriers
        self._threaded = threaded
        self._quiet = quiet
        self.random = random
        self._mount = mount
        self._worker = worker
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._terms: dict[str, Terms] = {}
        self.started_at = self.clock.monotonic()
        self.key_trouble: str | None = None
        self.startup = Startup(self, start)
        self.tracer: Tracer | None = None
        """Who traces messages, set before it runs."""

    # -- life

    async def run(self, *, on_ready: Callable[[], Awaitable[None]] | None = None) -> None:
        """Live until `stop` is called; then agents close, what waits is committed, sessions end."""
        await self.startup.run(on_ready)

    async def pulse(self) -> None:
        """Return once the writer has answered: the queue makes progress, and so does the loop that asks."""
        await self.writer.read(lambda store: None)

    def stop(self) -> None:
        """End `run` in order."""
        self._stop.set()

    async def __aenter__(self) -> Self:
        if self._life is not None:
            raise Misuse("this node runs already")
        self._life = asyncio.create_task(self.run(on_ready=self._set_ready))
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((self._life, ready), return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            ready.cancel()
            await self._life
        return self

    async def _set_ready(self) -> None:
        self._ready.set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        assert self._life is not None
        await self._life

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Build the parts, and take them down in the opposite order; the caller holds the lock."""
        self.uptime = Uptime(self.clock)  # until the store has said what had accumulated before
        key = find_key(self.state.key_file)
        keep_copy(self.state.key_file, key)
        self.key_trouble = key.trouble
        self.file_troubles = [text for text in (key.trouble, self.config.trouble) if text is not None]
        self.trust = Trust(key.value, wall=self.clock.wall, random=self.random)
        kept = kept_meta(self.state.path)
        rescue = Rescue(self.trust.key, lambda: kept_or_empty(kept), self._stamp, self.random)
        self.writer = Writer(self.state.path / STORE_NAME, threaded=self._threaded, rescue=rescue)
        self.writer.store.prove = lambda sealed: proves(self.trust, sealed)
        self.writer.store.keep = lambda meta: keep_meta(kept, meta)
        self.writer.store.equip = self._equip
        try:
            self._equip(self.writer.store)
            mode = (
                Mode.OPEN
                if self.config.admission.open
                else Mode.APPROVAL
                if self.config.admission.approval
                else Mode.CLOSED
            )
            now = self.clock.monotonic()
            await self.writer.read(lambda store: load_trust(self.trust, store, now, mode, kept))
            await self.save()
            own = self.trust.own_kids
            await self.writer.read(lambda store: store.own(*own))
            self.uptime = await self.writer.read(lambda store: Uptime.of(self.clock, store, own))
            self._build()
            try:
                yield
            finally:
                await self.endpoint.close()
        finally:
            await self.writer.close()

    def _equip(self, store: Store) -> None:
        """What the parts of the store need of this node."""
        self._mount(store.database)
        store.database.on_commit(lambda: self.uptime.keep(store.database), lambda: None)
        if any(rule.limits for rule in self.config.topics):
            store.outbox.limited = lambda topic: self._terms_of(topic).limit is not None
        store.outbox.limits = limits_of(self.config.queue)
        store.records.dead_limit = Limit(self.config.queue.max_dead, self.config.queue.max_dead_bytes)

    def _build(self) -> None:
        self.feed = Feed(self.writer, self.clock, self.uptime, self.trust.name_of, self.trust.withholds)
        self.settling = Settling(self.writer, self.uptime)
        self.numbering = Numbering(self.writer, self.trust, self.settling, random=self.random)
        self.ring = VolatileRing(self.trust.key)
        self.publisher = Publisher(
            self.writer,
            self.clock,
            self.uptime,
            terms=self._terms_of,
            pack_messages=self.config.queue.pack_messages,
            ring=self.ring,
            push=self.feed.push,
            sealer=self.sealer,
            is_all=self.trust.is_all,
            committed=self._committed,
            buried=self.feed.forget,
        )
        self.feed.tracer = self.publisher.tracer = self.tracer
        self.fullness = Fullness(self.writer.store)
        self.ordering = Ordering(self)
        self.inbound = Inbound(
            self.writer,
            self.trust,
            self.clock,
            self.uptime,
            arrived=self._arrived,
            push=self._pushed,
            cut_off=self.cut_off,
            save=self.save,
            ordered=self.ordering.answer,
        )
        self.carrying = Carrying(
            self.writer,
            self.trust,
            self.uptime,
            self.inbound,
            self.publisher,
            self.settling,
            self.numbering,
            random=self.random,
        )
        self.handshakes = Handshakes(
            self.trust,
            self.clock,
            opened=self._opened_by_peer,
            save=self.save,
            cut_off=self.cut_off,
            random=self.random,
        )
        carriers = self._given_carriers
        self.endpoint = Endpoint(
            self._carriers() if carriers is None else carriers,
            self.handshakes.serve,
            self.inbound.answer,
            edhoc_combined=self.handshakes.combined,
            on_hint=self._hinted,
            on_closed=lambda session, _: self.peers.ended(session),
            clock=self.clock,
            random=self.random,
        )
        self.handshakes.serve_on(self.endpoint)
        self.peers = Peers(
            self.trust,
            self.clock,
            self.handshakes,
            self.writer,
            new_link=self._new_link,
            carriers=lambda: frozenset(address.carrier for address in self.endpoint.bound),
            linger_s=SILENT_KEEPALIVES * self.config.network.keepalive_s,
            proved=self._proved,
            lot=lambda: int.from_bytes(self.random(4)) / 2**32,
        )
        self.settling.freed = self.peers.news
        self.renewing = Renewing(self.trust.renewal, self.peers, lambda: self.trust.membership, self.trust.at)
        self.enrolment = Enrolment(
            self.trust,
            self.clock,
            self.handshakes,
            self.peers,
            joined=self.refresh,
            save=self.save,
            carriers=("tcp", "udp") if self._quiet and self.trust.role is Role.OPERATOR else ("udp",),
        )
        self.bus = NodeBus(
            self.clock,
            self.uptime,
            self.trust,
            self.publisher,
            self.feed,
            self.settling,
            self.writer,
            self.vault,
        )
        self.host = Host(self.bus, worker=self._worker, watchdog=self._threaded)
        self.housekeeping = Housekeeping(
            self.writer,
            self.trust,
            self.uptime,
            self.config.journal,
            Readers(self.feed.present),
            self.feed.forget,
        )
        self.wearing = Wearing(self.state.path, self.clock, self.config.monitor.card_endurance)
        self.forecasting = Forecasting(self.writer, self.clock, self.wearing)
        self.heart = Heart(self)
        self.mdns: Mdns | None = None
        if self.config.network.mdns and carriers is None and not self._quiet:
            self.mdns = Mdns(self._heard, named=self.config.network.interfaces)

    def employ(self, agents: Sequence[Agent]) -> None:
        """Take these agents on, beside those that the node was made with; before they are started."""
        self.agents = (*self.agents, *agents)
        self.host = Host(self.bus, self.agents, worker=self._worker, watchdog=self._threaded)

    def parts(self, *, network: bool) -> list[Callable[[], Coroutine[None, None, None]]]:
        """What runs for as long as the node lives; without a `network` nobody is looked for."""
        parts = [self.publisher.run, self.settling.run]
        if network:
            for text in self.config.network.peers:
                self.peers.add_static(parse_peer(text, DEFAULT_PORT))
            for kid, (host, port) in self.trust.addresses.items():
                self.peers.heard(Found(kid, None, None, (Hint(host, port, port),)))
            parts += [self.peers.run, self.enrolment.run, self.renewing.run]
        parts += [self.housekeeping.run, self.forecasting.run, self.heart.run]
        if network and self.mdns is not None:
            parts.append(self.mdns.run)
        self.refresh()
        return parts

    async def stopped(self) -> None:
        """Returns when `stop` has been called."""
        await self._stop.wait()

    async def open_epoch(self) -> None:
        """Open this process's epoch, without which nothing can be numbered."""
        if not self.writer.store.outbox.epoch:
            await self.writer.run(lambda store: store.outbox.open_epoch(self.random))

    def _stamp(self) -> str:
        """This moment in the name of a file; the uptime where the clock is not set."""
        wall = self.clock.wall()
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall))

    # -- joints

    @property
    def has_sockets(self) -> bool:
        """Whether it speaks over this machine's network."""
        return self._given_carriers is None

    @property
    def capabilities(self) -> list[str]:
        """What its agents can do."""
        commands = [action for agent in self.agents for action in agent.commands]
        return [f"agent:{agent.name}" for agent in self.agents] + [f"command:{each}" for each in commands]

    def trust_time(self) -> float | None:
        """Seconds since 1970; None where the clock is not set."""
        wall = self.clock.wall()
        return wall if wall >= FLOOR_S else None

    @property
    def tcp_port(self) -> int | None:
        """The TCP port that this node listens at."""
        return port_of(self.endpoint.bound, "tcp")

    async def save(self) -> None:
        """Bring what has changed in the trust to disk."""
        change = self.trust.pending_changes()
        if change is None:
            return
        try:
            await self.writer.run(change)
        except KosError:
            self.trust.not_saved(change)
            raise

    def _carriers(self) -> list[Carrier]:
        """Sockets; a command that only asks once takes any port and no connections."""
        if self._quiet:
            return calling_carriers()
        return carriers_for(self.config.network, self.state.path)

    def refresh(self) -> None:
        """Who this node is may have changed: announce it so."""
        port = port_of(self.endpoint.bound, "udp")
        if self.mdns is not None and port is not None:
            self.mdns.advertise(
                Advertisement(self.trust.kid, self.trust.role, self.trust.mesh, port, self.tcp_port)
            )
        self.heart.wake()
        self.peers.news()

    def cut_off(self) -> None:
        """Somebody was revoked: sessions with whoever is shut out end now, and every peer is told."""
        self.peers.cut_off()

    def _proved(self, kid: bytes) -> None:
        if self.mdns is not None:
            self.mdns.pin(kid)

    def _heard(self, event: object) -> None:
        self.peers.heard(event)  # type: ignore[arg-type]
        self.enrolment.news()

    def _terms_of(self, topic: str) -> Terms:
        terms = self._terms.get(topic)
        if terms is None:
            if len(self._terms) >= _TERMS_KEPT:
                self._terms.clear()
            terms = self._terms[topic] = terms_of(topic, self.config.topic(topic))
        return terms

    def sealer(self) -> Sealer | None:
        """Who signs for this node; None while it belongs to no mesh."""
        if self.trust.mesh is None or self.trust.membership is None:
            return None
        return Sealer(self.trust.key, self.trust.mesh)

    def _committed(self, entries: Sequence[Entry]) -> None:
        self.fullness.look()
        self.feed.announce(entries)
        self.peers.news()

    def _pushed(self, pack: Pack) -> None:
        if not self.heart.took(pack):
            if self.tracer is not None:
                self.tracer.arrived([pack])
            self.feed.push(pack)

    def _arrived(self, entries: Sequence[Entry]) -> None:
        if self.tracer is not None:
            self.tracer.arrived(entry.pack for entry in entries if isinstance(entry.pack, Pack))
        self.feed.announce(entries)

    def _opened_by_peer(self, session: Session, peer: Membership) -> None:
        self.peers.opened(session, peer)

    def _hinted(self, session: Session) -> None:
        self.peers.hinted(session)

    def _new_link(self, session: Session, peer: Membership, message_3: bytes) -> Link:
        queue = self.config.queue
        return Link(
            session,
            peer,
            writer=self.writer,
            trust=self.trust,
            clock=self.clock,
            uptime=self.uptime,
            settling=self.settling,
            numbering=self.numbering,
            ring=self.ring,
            cut_off=self.cut_off,
            save=self.save,
            number_latest=self.publisher.number_latest,
            keepalive_s=self.config.network.keepalive_s,
            doubt=self._hinted,
            weights=Weights(queue.weight_low, queue.weight_normal, queue.weight_high),
            handshake=message_3,
        )


_TERMS_KEPT = 4_096  # topics whose settings are kept at hand
