"""Bootstrapping again: what a person here, or an order from afar, asks of a node that runs, and what is checked."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from kos_edge.bootstrap.order import NONCE_BYTES, Nonces, Order, may_order, read_order, sign_order
from kos_edge.bootstrap.sequence import Mode, Ordered, Wish
from kos_edge.errors import Invalid, KosError, Refused, Unavailable, Unknown
from kos_edge.klp import cbor
from kos_edge.mesh.membership import Membership
from kos_edge.node.inbound import BOOTSTRAP_PATH
from kos_edge.said import Said
from kos_edge.store.soundness import unsound
from kos_edge.transport.coap import CHANGED, POST, Request
from kos_edge.transport.session import REQUEST_TIMEOUT, Session

if TYPE_CHECKING:
    from kos_edge.node.node import Node

ANSWER_FIRST_S = 1.0
"""Between the answer and the end of this life, so that the answer gets out."""
CHECK_S = 120.0
"""For the check of the database: 2 GB at the 20 MB/s of a slow card are read in that."""
CHECK_FROM_AFAR_S = 0.8 * REQUEST_TIMEOUT
"""The same where the answer goes to another node, which waits for it no longer."""
_MAX_ANSWER = 1_024
_TRIES = 3

log = logging.getLogger(__name__)


class Ordering:
    """One node's, as target and as giver."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._nonces = Nonces(node.random)
        self._begun: asyncio.TimerHandle | None = None
        self.refused = 0
        """Requests of members who may not order anything."""

    # -- here

    async def again(self, order: Order, cause: str, *, within_s: float = CHECK_S) -> str:
        """Bootstrap again as ordered; what will happen. The answer goes out first. Checks have so many seconds.

        Raises Unavailable where this is no daemon, Refused where nothing asks for it or a health check fails.
        """
        startup = self._node.startup
        if startup.sequence is None or not startup.can_begin_again:
            raise Unavailable(
                "this node runs inside another program, which starts it", hint="start that program again"
            )
        if self._begun is not None:
            raise Unavailable("another bootstrap is about to begin", hint="wait a moment")
        same = startup.sequence.mode is order.mode and not startup.sequence.troubles()
        if same and not order.force and not order.checks:
            raise Refused(
                f"it is in {order.mode.value} mode, and nothing is amiss", hint="--force does it anyway"
            )
        if order.checks and not order.force:
            troubles = await self.health(within_s)
            if troubles:
                raise Refused(f"a health check fails: {troubles[0]}", hint="mend it, or --force")
            if self._begun is not None:
                raise Unavailable("another bootstrap is about to begin", hint="wait a moment")
        log.warning(
            "bootstrap again, in %s mode: %s", order.mode.value, cause, extra=Said.BOOTSTRAP_ORDERED.of()
        )
        wish = Wish(order.mode, cause)
        loop = asyncio.get_running_loop()
        self._begun = loop.call_later(ANSWER_FIRST_S, startup.wish, wish)
        return f"{self._node.trust.name} begins again in {order.mode.value} mode"

    async def health(self, within_s: float) -> list[str]:
        """What speaks against a restart into a new system: files, vault, disk, and the database page by page."""
        node = self._node
        found = [] if node.startup.sequence is None else list(node.startup.sequence.troubles())
        mark = await node.startup.compare_now()
        if mark is not None and not mark.outcome.well and mark.said not in " ".join(found):
            found.append(mark.said)
        if node.vault.exists:
            try:
                node.vault.verify()
            except KosError as error:
                found.append(f"the vault: {error.message}")
        found += node.writer.store.troubles()
        return found or await self._database(within_s)

    async def _database(self, within_s: float) -> list[str]:
        """What is wrong with it. It is read whole, in a thread: what lasts too long is no answer, and said so."""
        path = self._node.writer.store.database.path
        if not isinstance(path, Path):
            return []
        stop = threading.Event()
        pool = ThreadPoolExecutor(1, "kos-edge: database")
        try:
            async with asyncio.timeout(within_s):
                looking = asyncio.get_running_loop().run_in_executor(pool, unsound, path, stop.is_set)
                found = await looking
        except TimeoutError:
            return [f"the database could not be checked within {within_s:g} s"]
        except Unavailable as error:
            return [error.message]
        finally:
            stop.set()
            pool.shutdown(wait=False)
        return [] if found is None else [f"the database is damaged: {found}"]

    # -- from afar

    async def answer(self, peer: Membership, body: bytes) -> bytes:
        """Answer `POST /bootstrap`: to an empty body a nonce, to an order what comes of it. Raises Unavailable."""
        node = self._node
        now = node.clock.monotonic()
        if not may_order(peer):
            level = logging.DEBUG if self.refused else logging.WARNING  # whoever asks in a loop fills no log
            self.refused += 1
            log.log(
                level,
                "%s asks for a bootstrap, which only issuers and operators may",
                peer.name,
                extra=Said.ORDER_REFUSED.of(peer=peer.name),
            )
            return cbor.encode([False, "only issuers and operators may order this"])
        if not body:
            return cbor.encode([True, self._nonces.give(now)])
        mesh = node.trust.mesh
        if mesh is None:
            raise Unavailable("this node has left its mesh")
        try:
            signed = read_order(
                body, mesh=mesh, target=node.trust.kid, member=self._good, nonces=self._nonces, now=now
            )
            cause = f"order of {signed.giver.name}"
            said = await self.again(signed.order, cause, within_s=CHECK_FROM_AFAR_S)
        except KosError as error:
            log.warning(
                "an order to bootstrap, brought by %s, is not obeyed: %s",
                peer.name,
                error.message,
                extra=Said.ORDER_REFUSED.of(peer=peer.name),
            )
            return cbor.encode([False, f"{error.message} ({error.hint})" if error.hint else error.message])
        assert node.startup.sequence is not None
        node.startup.sequence.ordered(Ordered(signed.giver.name, signed.order.mode, signed.at, signed.raw))
        return cbor.encode([True, said])

    def _good(self, kid: bytes) -> Membership | None:
        """A member in good standing: known, not revoked, not in quarantine, not expired."""
        trust = self._node.trust
        member = trust.roster.get(kid)
        if member is None or trust.barred(member) or member.expired_at(trust.at()):
            return None
        return member

    async def give(self, kid: bytes, order: Order) -> str:
        """Order another node to bootstrap again; what it says. Raises Refused, Unavailable."""
        trust = self._node.trust
        own = trust.membership
        if own is None or trust.mesh is None or not may_order(own):
            raise Refused("only a hub that issues, or an operator, may order this", hint="do it on the hub")
        session, nonce = await self._fresh(kid)
        raw = sign_order(
            order, key=trust.key, mesh=trust.mesh, target=kid, nonce=nonce, at=int(trust.at() or 0)
        )
        log.warning(
            "%s is ordered to bootstrap again in %s mode",
            trust.name_of(kid),
            order.mode.value,
            extra=Said.BOOTSTRAP_ORDERED.of(peer=trust.name_of(kid)),
        )
        try:
            done, said = await _ask(session, raw)
        except Unavailable as error:
            raise Unknown(
                f"{trust.name_of(kid)} was told, and no answer came: {error.message}",
                hint="kos-edge peers shows in a minute which mode it is in",
            ) from None
        if not done:
            raise Refused(f"{trust.name_of(kid)}: {said}")
        return str(said)

    async def _fresh(self, kid: bytes) -> tuple[Session, bytes]:
        """A session with the target, and a nonce of it. One that is replaced meanwhile is tried anew."""
        node = self._node
        name = node.trust.name_of(kid)
        for _ in range(_TRIES):
            link = node.peers.links.get(kid)
            if link is None:
                raise Unavailable(
                    f"{name} is not connected, and an order is for now", hint="kos-edge peers shows who is"
                )
            try:
                done, nonce = await _ask(link.session, b"")
            except Unavailable:
                if link.session.closed is None:
                    raise
                continue
            if done and type(nonce) is bytes and len(nonce) == NONCE_BYTES:
                return link.session, nonce
            raise Refused(f"{name}: {nonce!s}"[:_MAX_ANSWER])
        raise Unavailable(f"the sessions with {name} end one after the other", hint="wait a moment")


async def _ask(session: Session, body: bytes) -> tuple[bool, object]:
    response = await session.request(Request(POST, BOOTSTRAP_PATH, body))
    if response.code != CHANGED:
        raise Unavailable("it does not answer orders", hint="is its version old, or is it no daemon?")
    match cbor.decode(response.payload, limit=_MAX_ANSWER):
        case [bool(done), said] if isinstance(said, str | bytes):
            return done, said
    raise Invalid("an answer to an order is [done, what]")


def mode_of(text: str) -> Mode:
    """The mode of this name. Raises Invalid."""
    try:
        return Mode(text)
    except ValueError:
        raise Invalid(
            f"{text[:40]!r} is no mode", hint=f"there is {', '.join(each.value for each in Mode)}"
        ) from None
