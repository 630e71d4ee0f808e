"""The heart of a node: tells its hubs how it is, once a minute, and on a hub hears how the others are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kos_edge import __version__
from kos_edge.errors import Invalid, KosError
from kos_edge.klp.message import prepare
from kos_edge.klp.pack import Class, Message, Pack, Priority, Stream
from kos_edge.mesh.claims import Role
from kos_edge.monitor import beat as beats
from kos_edge.monitor import process
from kos_edge.monitor.beat import Beat
from kos_edge.monitor.fleet import Fleet, Standing
from kos_edge.monitor.vitals import Machine
from kos_edge.node import reporting
from kos_edge.said import Said
from kos_edge.store.store import Store

if TYPE_CHECKING:
    from kos_edge.node.node import Node

CLASS = Class(Priority.HIGH, durable=False)
"""Ahead of a backlog: a node that catches up is alive."""
LOOK_S = 60.0
"""How often a hub looks who has gone silent."""
OFFLINE_S, DAY_S = 3_600.0, 86_400.0
NAMED = 5
"""So many members are named in one line of the log; of a power cut in a whole hall nobody reads a thousand."""

log = logging.getLogger(__name__)


class Heart:
    """One node's. `fleet` is what a hub has heard; `malformed` counts beats that could not be read."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._machine = Machine(node.state.path)
        self._woken = asyncio.Event()
        self.fleet = Fleet(node.clock.monotonic())
        self.malformed = 0
        self._offline_at = OFFLINE_S

    async def run(self) -> None:
        """Beat, and on a hub look after the others, for as long as the node runs."""
        every = self._node.config.monitor.heartbeat_s
        due = now = self._node.clock.monotonic()
        while True:
            if every and (self._woken.is_set() or now >= due):
                due = now + every
                with contextlib.suppress(KosError):  # a disk that fails has louder complaints
                    await self._beat()
            self._woken.clear()
            self._look()
            self._tell_offline()
            now = self._node.clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_S, max(0.0, due - now)) if every else LOOK_S):
                    await self._woken.wait()
            now = self._node.clock.monotonic()

    def wake(self) -> None:
        """Who this node is may have changed: a new member is heard of at once."""
        self._woken.set()

    # -- telling

    async def _beat(self) -> None:
        node = self._node
        sealer = node.sealer()
        if sealer is None or node.trust.is_all("hub"):
            return
        message = prepare(Message(beats.TOPIC, (await self.beat()).payload()))
        stamp = node.uptime.stamp()
        node.ring.append(
            sealer.mesh,
            Stream(sealer.key.kid, "hub", CLASS, node.writer.store.outbox.epoch),
            [message],
            mono_ms=stamp.uptime_ms,
            wall_ms=stamp.wall_ms,
            uncertainty_ms=stamp.uncertainty_ms,
            now=node.clock.monotonic(),
            keep=True,
            newest_of=beats.TOPIC,
        )
        node.peers.news()

    async def beat(self) -> Beat:
        """How this node is now."""
        node = self._node

        def work(store: Store) -> tuple[int, int, float]:
            return store.outbox.usage.messages, store.outbox.usage.bytes, node.fullness.percent()

        messages, size, percent = await node.writer.read(work)
        vitals = self._machine.look()
        warnings = reporting.warnings(node)
        agents = reporting.agents(node)
        return Beat(
            version=__version__,
            every_s=max(1, round(node.config.monitor.heartbeat_s)),
            uptime_s=int(node.clock.monotonic() - node.started_at),
            cpu=vitals.cpu,
            memory=vitals.memory,
            disk=vitals.disk,
            temperature_c=vitals.temperature_c,
            queue_messages=messages,
            queue_bytes=size,
            queue=percent / 100,
            errors=sum(agent["errors"] for agent in agents),
            warnings=len(warnings),
            warning=warnings[0] if warnings else None,
            resident_bytes=process.resident_bytes(),
        )

    # -- hearing

    def took(self, pack: Pack) -> bool:
        """Whether the pack holds nothing but heartbeats: they are for the fleet, not for subscribers."""
        if pack.header.topics != (beats.TOPIC,):
            return False
        for _, item in pack.messages():
            if isinstance(item, Message):
                try:
                    beat = beats.read(item.payload)
                except Invalid as error:
                    self.malformed += 1
                    log.debug("a heartbeat that breaks a rule: %s", error)
                    continue
                self.fleet.hear(pack.stream.source, beat, self._node.clock.monotonic())
        return True

    def standing(self, kid: bytes, role: Role) -> Standing | None:
        """How a member is; None where this is no hub."""
        if self._node.trust.role is not Role.HUB:
            return None
        return self.fleet.standing(kid, self._node.clock.monotonic(), expected=_has_heart(role))

    def _look(self) -> None:
        trust = self._node.trust
        if trust.role is not Role.HUB:
            return
        members = {
            member.kid: _has_heart(member.role)
            for member in trust.roster
            if member.kid != trust.kid and not trust.barred(member)
        }
        change = self.fleet.look(members, self._node.clock.monotonic())
        if change.silent:
            log.warning(
                "no heartbeat any more from %s",
                self._names(change.silent),
                extra=Said.MEMBER_SILENT.of(count=len(change.silent)),
            )
        if change.back:
            log.info(
                "the heart beats again of %s",
                self._names(change.back),
                extra=Said.MEMBER_BACK.of(count=len(change.back)),
            )

    def _tell_offline(self) -> None:
        """After an hour without a hub, a day, and each day more: where nothing goes on nothing else would be said."""
        node = self._node
        away = 0.0 if node.trust.role is Role.HUB or node.trust.membership is None else node.peers.offline_s()
        if not away:
            self._offline_at = OFFLINE_S
        elif away >= self._offline_at:
            waiting = node.writer.store.outbox.usage.messages
            text = "no hub for %s; %d messages wait, and nothing is lost while there is room: kos-edge doctor"
            span = "an hour" if self._offline_at == OFFLINE_S else f"{away / DAY_S:.0f} d"
            log.warning(text, span, waiting, extra=Said.OFFLINE.of(count=waiting))
            self._offline_at = (away // DAY_S + 1) * DAY_S

    def _names(self, kids: Iterable[bytes]) -> str:
        names = sorted(map(self._node.trust.name_of, kids))
        if len(names) <= NAMED:
            return ", ".join(names)
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} more"


def _has_heart(role: Role) -> bool:
    """Whether its beat is expected: an operator's laptop runs no daemon, and hubs owe each other nothing."""
    return role in (Role.EDGE, Role.RELAY)
