"""Peers: whom this node looks for, how it reaches them, and which link serves whom.

Sessions belong to identities. A hub is always wanted; another member is wanted while something is owed to it. A
lost session comes back by a new handshake: at the same address, at another one, when somebody was found there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial

from kos_edge.bootstrap.carriage import keeps_own
from kos_edge.clock import Clock
from kos_edge.discovery.sighting import Event, Found, Hint, Lost, Trouble, Working
from kos_edge.discovery.static import look_up
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.node.handshakes import Handshakes, Reached
from kos_edge.node.link import Declined, Link
from kos_edge.node.racing import MOST, first_of, ways_to
from kos_edge.node.trust import Trust
from kos_edge.node.wanted import Wanted, unmet
from kos_edge.said import Said
from kos_edge.store.store import Store
from kos_edge.store.writer import Writer
from kos_edge.transport.address import Address
from kos_edge.transport.session import Session

SIMULTANEOUS_S = 1.0
# Two handshakes within it are one meeting: the lower kid's session stays. Longer would miss a peer that started anew.
UNMET_ADDRESSES = 2  # of one of them are tried in one round: each may be where nobody answers, for seconds
STREAM_ABOVE = 64 * 1024  # bytes owed from which a TCP connection is worth its handshake
LOOK_AGAIN_S = 1.0  # while anything is owed: whether a TCP connection would be the better carrier
STREAM_RETRY_S = 30.0  # a peer whose TCP port does not answer is not asked again for so long
SETTLED_S = 10.0  # a session that lived so long resets the pauses

log = logging.getLogger(__name__)


class Peers:
    """Everybody else. `new_link` builds the work for a session.

    A session that was replaced ends when nothing was heard on it for `linger_s`: longer than the peer is ever silent on
    one that serves it, for the two sides may disagree on which of two that is, and either works.
    """

    def __init__(
        self,
        trust: Trust,
        clock: Clock,
        handshakes: Handshakes,
        writer: Writer,
        *,
        new_link: Callable[[Session, Membership, bytes], Link],
        carriers: Callable[[], frozenset[str]],
        linger_s: float,
        proved: Callable[[bytes], None] = lambda kid: None,
        resolve: Callable[[Found], Awaitable[Found]] = look_up,
        lot: Callable[[], float] = random.random,
    ) -> None:
        self._trust = trust
        self._clock = clock
        self._handshakes = handshakes
        self._writer = writer
        self._new_link = new_link
        self._carriers = carriers
        self.linger_s = linger_s
        self._proved = proved
        self._resolve = resolve
        self._lot = lot
        self._wake = asyncio.Event()
        self._known: dict[bytes, Wanted] = {}
        self._static: list[Wanted] = []
        self._links: dict[bytes, Link] = {}
        self._began: dict[bytes, tuple[float, bool]] = {}
        self._stood_back: dict[bytes, Session] = {}
        self._retiring: dict[Session, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self.parting: set[Session] = set()
        """Over these their peers shut themselves out: whoever serves that closes them once it is said."""
        self._early: list[tuple[Session, Membership]] = []
        self.trouble: str | None = None
        self._offline_since = clock.monotonic()

    # -- what is known

    def offline_s(self) -> float:
        """Seconds since a hub was last connected, or since the start; 0 while one is."""
        if any(link.peer.role is Role.HUB for link in self._links.values()):
            return 0.0
        return self._clock.monotonic() - self._offline_since

    @property
    def links(self) -> dict[bytes, Link]:
        """The link that serves each connected peer."""
        return dict(self._links)

    def address_of(self, kid: bytes) -> list[Hint]:
        """Where the peer is said to be."""
        known = self._known.get(kid)
        return [hint for found in known.found for hint in found.addresses] if known else []

    def seen(self) -> dict[bytes, tuple[list[Found], float | None, str]]:
        """Everybody who was found: what was said of them, when, and what stands in the way."""
        return {kid: (list(w.found), w.seen_at, w.complaint) for kid, w in self._known.items()}

    def add_static(self, found: Found) -> None:
        """A peer given by hand."""
        if found.kid_claimed is None:
            self._static.append(Wanted(found=[found]))
        else:
            self.heard(found)
        self._wake.set()

    def given(self) -> list[Found]:
        """The peers that were given by hand."""
        return [known.found[0] for known in self._static]

    def heard(self, event: Event) -> None:
        """Discovery says something; nothing of it is trusted before a key was shown."""
        match event:
            case Found(kid_claimed=bytes(kid)) if kid != self._trust.kid:
                known = self._known.setdefault(kid, Wanted())
                by_mdns = event.role is not None
                known.found = [f for f in known.found if (f.role is not None) is not by_mdns] + [event]
                known.tries, known.next_try = 0, 0.0
                known.seen_at = self._clock.wall() if by_mdns else known.seen_at
            case Lost(kid):
                self._lost(kid)
            case Trouble(message, hint):
                self.trouble = f"{message} ({hint})"
                log.warning("discovery does not work: %s", self.trouble, extra=Said.DISCOVERY_FAILED.of())
            case Working():  # on other interfaces: a session may lead nowhere now, and nobody would say so
                self.trouble = None
                for link in self._links.values():
                    if link.peer.role is Role.HUB and self._trust.role is not Role.HUB:
                        self.hinted(link.session)
        self._wake.set()

    def _lost(self, kid: bytes) -> None:
        """Nobody speaks for this kid any more: only what was proved or given by hand is remembered of it."""
        known = self._known.get(kid)
        if known is not None:
            known.found = [f for f in known.found if f.role is None]
            self._forget_unless_needed(kid, known)

    def _forget_unless_needed(self, kid: bytes, known: Wanted) -> None:
        """Whoever forges records makes us remember nobody for longer than the record."""
        needed = known.found or known.trying or kid in self._links or kid in self._trust.roster
        if not needed and self._known.get(kid) is known:
            del self._known[kid]

    def news(self) -> None:
        """Something new is owed to somebody."""
        for link in self._links.values():
            link.news.set()
        self._wake.set()

    def tell_trust(self) -> None:
        """Something was revoked or admitted: every connected peer hears of it now."""
        for link in self._links.values():
            self._spawn(link.tell_trust())

    def tell_member(self, member: Membership) -> None:
        """A membership has changed: its owner hears of it now, if it is connected."""
        link = self._links.get(member.kid)
        if link is not None:
            self._spawn(link.tell_member(member))

    def cut_off(self) -> None:
        """Revocations or forks came: sessions with whoever is shut out end at once, and everybody else is told."""
        for session in self._handshakes.endpoint.sessions:
            own = session in self.parting
            if isinstance(session.peer, Membership) and self._trust.barred(session.peer) and not own:
                session.close("the peer is revoked, or its key is in quarantine")
        self.tell_trust()

    # -- sessions

    def opened(self, session: Session, peer: Membership) -> None:
        """Somebody has opened a session with us; before `run` it waits to be served."""
        if self._group is None:
            self._early.append((session, peer))
        else:
            self._attach(session, peer, b"", ours=False)

    def hinted(self, session: Session) -> None:
        """The peer may have forgotten the session, or be elsewhere: a handshake, while the session lives on."""
        if isinstance(session.peer, Membership) and session.address.connection is None:
            kid = session.peer.kid
            known = self._known.setdefault(kid, Wanted())
            known.doubted = session
            if not known.trying and known.next_try <= self._clock.monotonic():
                self._begin(kid, known, session.address)

    def ended(self, session: Session) -> None:
        """A session was closed, by whomever: its link has to notice."""
        for link in self._links.values():
            if link.session is session:
                link.news.set()
        retiring = self._retiring.get(session)
        if retiring is not None:
            retiring.set()

    def complaints(self) -> list[str]:
        """What stands in the way to hubs that no link serves."""
        hubs = {m.kid for m in self._trust.roster.of("hub") if not self._trust.barred(m)}
        texts = [w.complaint for kid, w in self._known.items() if kid in hubs and kid not in self._links]
        texts += [known.complaint for known in self._static if not self._is_linked(known)]
        return sorted({text for text in texts if text})

    def _attach(self, session: Session, peer: Membership, message_3: bytes, *, ours: bool) -> None:
        if self._trust.membership is None or self._trust.barred(peer):
            session.close("this node has left its mesh, or the peer was revoked meanwhile")
            return
        now = self._clock.monotonic()
        self._proved(peer.kid)
        before = self._links.get(peer.kid)
        self._make_room(session, peer, before)
        if before is not None and before.session.closed is None:
            began, was_ours = self._began[peer.kid]
            known = self._known.get(peer.kid)
            doubted = known is not None and known.doubted is before.session
            meeting = now - began < SIMULTANEOUS_S and was_ours is not ours and not doubted
            same_carrier = before.carrier == session.address.carrier
            if meeting and same_carrier and was_ours is keeps_own(self._trust.kid, peer.kid):
                self._stood_back[peer.kid] = session
                self._spawn(self._serve(self._new_link(session, peer, message_3), passive=True))
                return
        link = self._new_link(session, peer, message_3)
        self._links[peer.kid] = link
        self._began[peer.kid] = (now, ours)
        if before is not None:
            self._spawn(self._retire(before))
        self._spawn(self._serve(link, passive=False))

    def _make_room(self, new: Session, peer: Membership, link: Link | None) -> None:
        """At most two sessions for a peer and carrier: the new one, and the one that serves it now."""
        kept = (new, None if link is None else link.session)
        for session in self._handshakes.endpoint.sessions:
            same = isinstance(session.peer, Membership) and session.peer.kid == peer.kid
            if same and session not in kept and session.address.carrier == new.address.carrier:
                session.close("another session serves this peer")

    async def _retire(self, link: Link) -> None:
        """A session that serves nobody here goes on answering while it is used, then ends."""
        link.stop()
        over = self._retiring[link.session] = asyncio.Event()
        silent = 0.0
        try:
            while silent < self.linger_s and link.session.closed is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(1.0, self.linger_s - silent)):
                        await over.wait()
                silent = self._clock.monotonic() - link.session.heard_at
        finally:
            self._retiring.pop(link.session, None)
        if self._stood_back.get(link.peer.kid) is link.session:
            del self._stood_back[link.peer.kid]
        serving = self._links.get(link.peer.kid)
        if serving is None or serving.session is not link.session:
            link.session.close("another session serves this peer")

    def _fall_back(self, peer: Membership) -> None:
        """The link to a peer has ended: where another session with it stood back in a meeting, that one serves now."""
        session = self._stood_back.pop(peer.kid, None)
        if session is not None and session.closed is None:
            self._attach(session, peer, b"", ours=False)

    async def _serve(self, link: Link, *, passive: bool) -> None:
        peer = link.peer
        began = self._clock.monotonic()
        reason = "it ended"
        known = self._known.setdefault(peer.kid, Wanted())
        level = logging.INFO if known.tries < 2 else logging.DEBUG  # a peer that ends every session at once
        try:
            if passive:
                await link.confirm()
                await self._retire(link)
                return
            about = Said.CONNECTED.of(peer=peer.name, carrier=link.carrier)
            log.log(level, "connected to %s over %s", peer.name, link.carrier, extra=about)
            await link.run()
        except KosError as error:
            reason = error.message
            link.session.close(reason)
            if isinstance(error, Declined):
                known.complain(reason, logging.DEBUG if known.declined else logging.WARNING)
                known.declined = True
        finally:
            if not passive and self._links.get(peer.kid) is link and not link.stopped:
                del self._links[peer.kid]
                if peer.role is Role.HUB:
                    self._offline_since = self._clock.monotonic()
                if self._clock.monotonic() - began > SETTLED_S:
                    known.tries = 0
                known.postpone(self._clock.monotonic(), self._lot())
                about, why = Said.DISCONNECTED.of(peer=peer.name), link.session.closed or reason
                log.log(level, "the session with %s is over: %s", peer.name, why, extra=about)
                self._wake.set()
                if self._group is not None:
                    self._fall_back(peer)

    # -- reaching out

    async def run(self) -> None:
        """Reach whoever is wanted, for as long as the node runs."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for session, peer in self._early:
                if session.closed is None:
                    self._attach(session, peer, b"", ours=False)
            self._early.clear()
            try:
                while True:
                    self._wake.clear()
                    wait = await self._reach_out()
                    try:
                        async with asyncio.timeout(wait):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
            finally:
                self._group = None
                for task in self._tasks:
                    task.cancel()

    def _spawn(self, work: Awaitable[None]) -> None:
        if self._group is None:
            asyncio.ensure_future(work).cancel()
            return
        task = self._group.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reach_out(self) -> float | None:
        """Start what is due; seconds until the next is."""
        if self._trust.membership is None:
            return None
        now = self._clock.monotonic()
        waits: list[float] = []
        for kid in await self._wanted():
            known = self._known.setdefault(kid, Wanted())
            link = self._links.get(kid)
            if link is not None:
                self._consider_stream(kid, known, link, now)
                if link.carrier == "udp" and self._writer.store.outbox.usage.bytes:
                    waits.append(LOOK_AGAIN_S)
                continue
            if not known.found or known.trying:
                continue
            if known.next_try <= now:
                self._begin(kid, known)
            else:
                waits.append(known.next_try - now)
        for known in self._static:
            if known.trying or self._is_linked(known):
                continue
            by_key = self._by_key(known)
            next_try = max(each.next_try for each in (known, *by_key))
            if next_try > now:
                waits.append(next_try - now)
            elif not any(each.trying for each in by_key) and not self._is_tried(known):
                self._begin(None, known)
        return min(waits, default=None)

    def _is_linked(self, known: Wanted) -> bool:
        """Whether some link serves the node that a static peer turned out to be."""
        return any(found.kid_claimed in self._links for found in known.found if found.kid_claimed is not None)

    def _is_tried(self, known: Wanted) -> bool:
        """Whether a node that is known by its key is tried at an address of this one just now."""
        return any(other.trying and known.places & other.places for other in self._known.values())

    def _by_key(self, known: Wanted) -> list[Wanted]:
        """What is known of the nodes that a static peer turned out to be: it is no second way to storm them."""
        kids = [found.kid_claimed for found in known.found]
        return [self._known[kid] for kid in kids if kid is not None and kid in self._known]

    async def _wanted(self) -> list[bytes]:
        """The kids to have a link with: hubs, and whoever something is owed to."""
        own = self._trust.membership
        assert own is not None
        audiences = await self._writer.read(_owed_audiences)
        if own.role is not Role.HUB:
            audiences.add("hub")
        wanted = {member.kid for audience in audiences for member in self._trust.roster.of(audience)}
        wanted.update(unmet(self._known, self._trust))
        wanted.discard(self._trust.kid)
        return [kid for kid in sorted(wanted) if not self._is_barred(kid)]

    def _is_barred(self, kid: bytes) -> bool:
        member = self._trust.roster.get(kid)
        return self._trust.revocations.is_revoked(kid) if member is None else self._trust.barred(member)

    def _consider_stream(self, kid: bytes, known: Wanted, link: Link, now: float) -> None:
        """Move to TCP where much is owed, or something large, and the peer has a port for it."""
        hints = [hint for found in known.found for hint in found.addresses if hint.tcp_port is not None]
        if link.carrier != "udp" or known.trying or known.stream_after > now or "tcp" not in self._carriers():
            return
        if hints and (link.wants_stream or self._writer.store.outbox.usage.bytes > STREAM_ABOVE):
            known.stream_after = now + STREAM_RETRY_S
            addresses = [Address("tcp", hint.host, hint.tcp_port) for hint in hints if hint.tcp_port]
            self._begin(kid, known, *addresses, only_these=True)

    def _begin(self, kid: bytes | None, known: Wanted, *first: Address, only_these: bool = False) -> None:
        known.trying, known.tried_at = True, self._clock.monotonic()
        self._spawn(self._try(kid, known, *first, only_these=only_these))

    async def _try(self, kid: bytes | None, known: Wanted, *first: Address, only_these: bool = False) -> None:
        """One round over the addresses of one peer, those in `first` before the others."""
        try:
            found = await first_of(
                ways_to(
                    first,
                    said=lambda: None if only_these else known.found,
                    others=lambda: self._addresses(known),
                    most=UNMET_ADDRESSES if kid is not None and kid not in self._trust.roster else MOST,
                    reach=partial(self._reach, kid, known),
                ),
                spare=lambda one: one[1].session.close("another way serves"),
            )
            if found is None:
                known.postpone(self._clock.monotonic(), self._lot())
                return
            address, reached = found
            known.complaint = ""
            for given in self._static:
                if given is known or (address.host, address.port) in given.places:
                    self._recognise(given, reached.peer, address)
            self._attach(reached.session, reached.peer, reached.message_3, ours=True)
        finally:
            known.trying = False
            if kid is not None:
                self._forget_unless_needed(kid, known)
            self._wake.set()

    async def _reach(
        self, kid: bytes | None, known: Wanted, address: Address
    ) -> tuple[Address, Reached] | None:
        """A handshake at one address; None, and a complaint, where it leads to nobody that is wanted."""
        try:
            return address, await self._handshakes.reach(address, kid=kid)
        except (Refused, Invalid) as error:
            forged = kid is not None and kid not in self._trust.roster  # perhaps, and then there are more
            known.complain(f"{address}: {error.message}", logging.DEBUG if forged else logging.WARNING)
            if kid is None or not self._may_be_replaced(kid):
                return None
            try:  # the card died and another hub is there now: the authority's signature says so
                reached = await self._handshakes.reach(address, expect=lambda member: member.can_issue)
            except KosError:
                return None
            self._recognise(Wanted(), reached.peer, address)
            return address, reached
        except KosError as error:
            known.complain(f"{address}: {error.message}", logging.DEBUG)
            return None

    def _may_be_replaced(self, kid: bytes) -> bool:
        """Whether this was a hub, and there is no link with another."""
        member = self._trust.roster.get(kid)
        linked = any(link.peer.role is Role.HUB for other, link in self._links.items() if other != kid)
        return member is not None and member.role is Role.HUB and not linked

    def _recognise(self, known: Wanted, peer: Membership, address: Address) -> None:
        """A static peer has shown who it is: from now on it is known by its key."""
        hint = Hint(address.host, address.port, address.port)
        found = Found(peer.kid, None, None, (hint,))
        known.found = [*[f for f in known.found if f.kid_claimed is None], found]
        by_key = self._known.setdefault(peer.kid, Wanted())
        by_key.found = [*[f for f in by_key.found if f.role is not None], found]

    async def _addresses(self, known: Wanted) -> list[Address]:
        found: list[Found] = []
        for said in sorted(known.found, key=lambda found: found.priority):
            try:
                found.append(await self._resolve(said))
            except Unavailable as error:
                known.complain(error.message, logging.WARNING)
        carrier = "udp" if "udp" in self._carriers() else "mem"
        hints = dict.fromkeys((hint.host, hint.port) for each in found for hint in each.addresses)
        return [Address(carrier, host, port) for host, port in hints]


async def _quietly(work: Awaitable[None]) -> None:
    """A link or a try that fails ends itself, and nothing else."""
    try:
        await work
    except KosError as error:
        log.debug("%s", error)


def _owed_audiences(store: Store) -> set[str]:
    return {owed.stream.audience for owed in store.outbox.owed()} | {key[0] for key, _ in store.latest}
