"""Registration: this node's word to its hubs of what it is and can do; and on a hub, what the others have said.

It is said anew only when it differs from what was said last, so that a start costs no card a write for nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import platform
from typing import TYPE_CHECKING

from kos_edge import __version__
from kos_edge.agents.port import Delivery
from kos_edge.bootstrap.registration import TOPIC, Registration, from_content, read
from kos_edge.bootstrap.sequence import Outcome
from kos_edge.errors import Invalid, KosError
from kos_edge.klp import cbor
from kos_edge.klp.pack import Position
from kos_edge.mesh.claims import Role
from kos_edge.node.bus import NodeSubscription
from kos_edge.said import Said
from kos_edge.store.store import Store

if TYPE_CHECKING:
    from kos_edge.node.node import Node

RECORD = "registration"
SAID = "registered"
"""The key in the store: what was said last, and the message that said it."""
_DIGEST_BYTES = 16

log = logging.getLogger(__name__)


class Registering:
    """One node's. `known` is what a hub has heard, by kid."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._position: Position | None = None
        self._subscription: NodeSubscription | None = None
        self.known: dict[bytes, Registration] = {}

    # -- saying

    def own(self, mode: str) -> Registration:
        """What this node is now."""
        node = self._node
        member = node.trust.membership
        capabilities = [*(member.capabilities if member else ()), *node.capabilities]
        return Registration(
            version=__version__,
            role=node.trust.role.text,
            mode=mode,
            machine=platform.machine(),
            capabilities=tuple(dict.fromkeys(capabilities)),
            addresses=tuple(str(address) for address in node.endpoint.bound),
        )

    async def register(self, mode: str) -> tuple[Outcome, str]:
        """Say it if it is news, and how far that has come. To be called again while it waits. Raises KosError."""
        node, trust = self._node, self._node.trust
        if trust.membership is None:
            if trust.wish is None:
                return Outcome.SKIPPED, "this node is in no mesh: kos-edge join TOKEN"
            return Outcome.WAITING, "it follows when a hub has let this node in"
        if trust.is_all("hub"):
            return Outcome.DONE, "this hub keeps the registrations of the others"
        own = self.own(mode)
        digest = self._digest(own)
        if self._position is None:
            said = await node.writer.read(lambda store: store.database.get(SAID))
            if said is not None and said[:_DIGEST_BYTES] == digest:
                with contextlib.suppress(Invalid, UnicodeDecodeError):
                    self._position = Position.parse(said[_DIGEST_BYTES:].decode())
        if self._position is None:
            if not any(link.peer.role is Role.HUB for link in node.peers.links.values()):
                return Outcome.WAITING, "it is said as soon as a hub is connected"
            text = str(await node.publisher.enqueue(TOPIC, own.payload()))
            await node.writer.run(lambda store: store.database.put(SAID, digest + text.encode()))
            self._position = Position.parse(text)
        settled, owed = await node.writer.read(self._standing)
        if settled:
            return Outcome.DONE, f"a hub has it: {len(own.capabilities)} capabilities, version {own.version}"
        if not owed:  # a full queue dropped it for something newer
            self._position = None
            await node.writer.run(lambda store: store.database.put(SAID, None))
        return Outcome.WAITING, "it is on disk here, and on its way to a hub"

    def _digest(self, own: Registration) -> bytes:
        """Of what is said, by whom, to whom: another mesh, key or hub has not heard it."""
        trust = self._node.trust
        hubs = sorted(member.kid for member in trust.roster.of("hub"))
        wire = cbor.encode([own.payload().content, trust.mesh, trust.kid, hubs])
        return hashlib.sha256(wire).digest()[:_DIGEST_BYTES]

    def _standing(self, store: Store) -> tuple[bool, bool]:
        """Whether what was said is settled, and whether it is still owed."""
        assert self._position is not None
        stream, seq = self._position.stream, self._position.seq
        row = store.streams.find(stream)
        return row is None or row.settled >= seq, store.outbox.pack_of(stream, seq) is not None

    # -- hearing

    async def listen(self) -> None:
        """On a hub: hear what others say, from where it left off; and recall what they have said."""
        if self._node.trust.role is not Role.HUB:
            return
        for kid, wire in (await self._node.writer.read(lambda store: store.records.all(RECORD))).items():
            with contextlib.suppress(Invalid):  # written by another version: it will be said again
                self.known[kid] = from_content(cbor.decode(wire))
        self._subscription = self._node.bus.subscribe(TOPIC, self._heard, name="kos/registrations")

    async def close(self) -> None:
        """Stop hearing."""
        if self._subscription is not None:
            await self._subscription.close()

    async def _heard(self, delivery: Delivery) -> None:
        kid = delivery.source_kid
        try:
            found = read(delivery.payload)
        except Invalid as error:
            log.debug("%s registers in a form that is none: %s", delivery.source_name, error)
            return
        if kid not in self._node.trust.roster or self.known.get(kid) == found:
            return
        self.known[kid] = found
        wire = found.to_wire()
        try:
            await self._node.writer.run(lambda store: store.records.put(RECORD, kid, wire))
        except KosError as error:  # it is in the journal, and in memory
            log.debug("the registration of %s is not written: %s", delivery.source_name, error)
        name, about = delivery.source_name, Said.REGISTERED.of(peer=delivery.source_name)
        log.info("%s has registered: %s, version %s", name, found.role, found.version, extra=about)
