"""What this node knows of who is who: its key, its membership, the mesh's members, revocations and policy.

Values live in memory and are written to the store whenever they change; a hub's decisions are on disk before the
answer that tells of them leaves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable

from kos_edge.bootstrap.admission import Admission, Mode
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.fields import byte_strings
from kos_edge.klp.identity import KeyPair, fingerprint_words
from kos_edge.klp.pack import Pack, Stream
from kos_edge.mesh.claims import Role
from kos_edge.mesh.fork import Fork, Forks, about, prove, read_ids, verify_fork
from kos_edge.mesh.invitation import Invitations
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.known_keys import KnownKeys
from kos_edge.mesh.membership import MAX_MEMBERSHIP, Membership, is_shut_out, verify_membership
from kos_edge.mesh.policy import DENY_ALL, Policy, is_in, verify_policy
from kos_edge.mesh.revocation import Revocations, read_numbers
from kos_edge.mesh.roster import Roster
from kos_edge.node.renewal import KEY as CANDIDATE
from kos_edge.node.renewal import Renewal, is_tried
from kos_edge.node.uptime import FLOOR_S
from kos_edge.said import Said
from kos_edge.store.finds import FORMER_KEY, LEFT_KEY, former_in, meshes_in
from kos_edge.store.store import Store

MEMBER = "member"
FORK = "fork"
REKEY = "rekey"  # the wish with which a new key takes the place of the one that the membership is of
ADDRESS = "address"
MAX_NEWS = 8  # signed objects in one answer of POST /trust; more follow in the next
NEWS_BYTES = 900  # of them, so that the answer fits one datagram

Change = Callable[[Store], None]

log = logging.getLogger(__name__)


class Trust:
    """One node's view of its mesh. `at()` is its time floor: wall seconds, None while the clock is not set."""

    def __init__(
        self,
        key: KeyPair,
        *,
        wall: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.key = key
        self._wall = wall
        self._random = random
        self.mesh: bytes | None = None
        self.name = ""
        self.role = Role.EDGE
        self.membership: Membership | None = None
        self.revocations, self.forks = Revocations(bytes(32)), Forks(bytes(32))
        self.roster = Roster()
        self.policy: Policy = DENY_ALL
        self.admission: Admission | None = None
        self.wish: dict[str, str] | None = None
        self.addresses: dict[bytes, tuple[str, int]] = {}
        self.former: dict[bytes, bytes] = {}  # public keys that this node had, by kid, the latest first
        self.renewal = Renewal(self._take_over, lambda change: self._changes.append(change))
        self.left: list[bytes] = []
        """The meshes that this node has left: what it kept of them is signed for them."""
        self._changes: list[Change] = []
        self._after_load: list[Change] = []
        self._forked = 0
        self._withheld: set[bytes] = set()

    # -- reading

    def at(self) -> float | None:
        """The time floor in seconds since 1970; None while this machine's clock is certainly wrong."""
        wall = self._wall()
        return wall if wall >= FLOOR_S else None

    @property
    def kid(self) -> bytes:
        return self.key.kid

    @property
    def own_kids(self) -> tuple[bytes, ...]:
        """The key of this node and those that it had before: what they signed is this node's to hand over."""
        return (self.kid, *self.former)

    @property
    def words(self) -> str:
        """The fingerprint of this node's key, for a person."""
        return fingerprint_words(self.key.public)

    @property
    def is_member(self) -> bool:
        return self.membership is not None and not self.revoked(self.membership)

    def revoked(self, member: Membership) -> bool:
        """Whether this member is shut out, as far as this node has heard: its key, its issuer's or the authority's."""
        return is_shut_out(member, self.revocations.is_revoked) or self.roster.retired(member)

    def barred(self, member: Membership) -> bool:
        """Whether nothing is had to do with this member: it is revoked, or its key is in quarantine."""
        return member.kid in self.forks or self.revoked(member)

    @property
    def shut_out(self) -> tuple[int, int]:
        """Changes whenever another key is revoked or goes into quarantine."""
        return len(self.revocations), self._forked

    def name_of(self, kid: bytes) -> str:
        """A member's name, or the beginning of its kid."""
        member = self.roster.get(kid)
        return member.name if member is not None else kid.hex()[:8]

    def is_mine(self, audience: str) -> bool:
        """Whether this node belongs to the audience."""
        return self.membership is not None and is_in(self.membership, audience)

    def is_all(self, audience: str) -> bool:
        """Whether this node is the whole audience, so that nothing is owed to anybody else."""
        if self.membership is None:
            return False
        if audience == f"kid:{self.kid.hex()}":
            return True
        return audience == "hub" and self.membership.role is Role.HUB

    def is_for_others(self, stream: Stream) -> bool:
        """Whether this node made the stream for one other node alone: commands, and answers to them."""
        return (
            stream.source in self.own_kids
            and stream.audience.startswith("kid:")
            and not self.is_mine(stream.audience)
        )

    def withholds(self, stream: Stream) -> bool:
        """Whether subscribers here have no business with a stream, or its source is revoked or in quarantine."""
        source = self.roster.get(stream.source)
        if source is None or source.kid in self.own_kids or not self.barred(source):
            return self.is_for_others(stream)
        if source.kid not in self._withheld:
            self._withheld.add(source.kid)
            text = f"agents get nothing more from {source.name}: kos-edge export has it"
            log.warning("%s", text, extra=Said.WITHHELD.of(peer=source.name))
        return True

    def check(self, cwt: bytes) -> Membership:
        """A membership of this mesh, verified. Raises Invalid, Refused."""
        if self.mesh is None:
            raise Unavailable("this node belongs to no mesh yet", hint="kos-edge join TOKEN")
        member = verify_membership(cwt, self.mesh, at=self.at(), revoked=self.revocations.is_revoked)
        self.refuse_forked(member.kid)
        if self.roster.retired(member):
            raise Refused(f"another hub has taken the place of {member.name}", hint="kos-edge peers shows it")
        return member

    def refuse_forked(self, kid: bytes) -> None:
        """Raises Refused for a key in quarantine."""
        if kid in self.forks:
            raise Refused(
                f"the key of {self.name_of(kid)} is in quarantine: a clone or a restored card has signed with it",
                hint="on the device that is the right one: kos-edge rekey",
            )

    # -- changing

    def learn(self, member: Membership) -> bool:
        """Take a verified membership into the roster; True when it was news."""
        own = self.membership
        if own is not None and member.kid == self.kid and is_tried(member):
            return self.renewal.offer(own, member)
        if not self.roster.add(member):
            return False
        self.save(member)
        if member.kid == self.kid:
            self._become(member)
        return True

    def become(self, mesh: bytes, member: Membership) -> None:
        """This node is a member of `mesh` now."""
        if self.mesh != mesh:
            self._enter(mesh)
        self._take_over(member)
        self.want(None)

    def reached(self, kid: bytes, host: str, port: int) -> None:
        """A member has shown its key at this address: it is tried there again, after a restart too."""
        if self.addresses.get(kid) != (host, port):
            self.addresses[kid] = (host, port)
            value = cbor.encode([host, port])
            self._changes.append(lambda store: store.records.put(ADDRESS, kid, value))

    def want(self, wish: dict[str, str] | None) -> None:
        """Remember what a `join` that found no hub wanted (`token` or `mesh`), or forget it."""
        self.wish = wish
        value = None if wish is None else cbor.encode(wish)
        self._changes.append(lambda store: store.database.put("wish", value))

    def leave(self) -> None:
        """Forget the mesh: membership, members, revocations, policy, wish. The key stays."""
        if self.mesh is not None and self.mesh not in self.left:
            self.left.append(self.mesh)
        left = b"".join(self.left)
        self.mesh = self.membership = self.admission = self.wish = None
        self.roster, self.policy, self.addresses = Roster(), DENY_ALL, {}
        self.forks = Forks(bytes(32))
        self.renewal.clear()

        def work(store: Store) -> None:
            for key in ("mesh", "membership", "wish", "policy", "revocations", "invitations", "allowed"):
                store.database.put(key, None)
            store.database.put(CANDIDATE, None)
            store.database.put(LEFT_KEY, left)
            store.records.clear(MEMBER)
            store.records.clear(ADDRESS)
            store.records.clear(FORK)

        self._changes.append(work)

    def set_policy(self, raw: bytes) -> bool:
        """Take a signed policy if it outranks the one in force."""
        if self.mesh is None:
            return False
        policy = verify_policy(raw, self.mesh, revoked=self.revocations.is_revoked)
        if self.policy is not DENY_ALL and policy.rank <= self.policy.rank:
            return False
        self.policy = policy
        self._changes.append(lambda store: store.database.put("policy", raw))
        return True

    def _enter(self, mesh: bytes) -> None:
        self.mesh = mesh
        self.revocations, self.forks = Revocations(mesh), Forks(mesh)
        self.roster = Roster(self.revocations.is_revoked)
        self._changes.append(lambda store: store.database.put("mesh", mesh))

    def _take_over(self, member: Membership) -> None:
        self._become(member)
        self.roster.add(member)
        self.save(member)

    def _become(self, member: Membership) -> None:
        self.membership, self.name, self.role = member, member.name, member.role
        self._changes.append(lambda store: store.database.put("membership", member.cwt))

    def save(self, member: Membership) -> None:
        """A membership in the roster goes to disk."""
        self._changes.append(lambda store: store.records.put(MEMBER, member.kid, member.cwt))

    def issue(self, mode: Mode) -> Admission:
        """Make this hub decide about newcomers. Its key must have an issuer's membership."""
        assert self.membership is not None
        assert self.mesh is not None
        issuer = Issuer(
            self.key, self.membership, self.mesh, self.roster, self.revocations, random=self._random
        )
        invitations = Invitations(self.mesh, self.kid, random=self._random)
        self.admission = Admission(issuer, invitations, KnownKeys(), mode=mode)
        return self.admission

    def save_admission(self, now: float) -> None:
        """Invitations, known keys and revocations have changed."""
        admission = self.admission
        if admission is None:
            return
        invitations, allowed = admission.invitations.to_wire(now), admission.known_keys.to_wire()

        def work(store: Store) -> None:
            store.database.put("invitations", invitations)
            store.database.put("allowed", allowed)

        self._changes.append(work)
        self.save_revocations()

    def save_revocations(self) -> None:
        """Revocations have changed. Of a key that is revoked no proof of a fork is needed any more."""
        for fork in self.forks:
            if self.revocations.is_revoked(fork.kid):
                self._forget_fork(fork.kid)
        revocations = self.revocations.to_wire()
        self._changes.append(lambda store: store.database.put("revocations", revocations))

    # -- forks

    def prove(self, one: Pack, other: Pack) -> bool:
        """Two verified packs of one key contradict each other: it goes into quarantine. False where it was already."""
        member = self.roster.get(one.stream.source)
        if self.mesh is None or member is None or self.revoked(member):
            return False
        try:
            fork = prove(member, one, other, self.mesh)
            return self.forks.add(fork) and self._quarantine(fork)
        except KosError as error:  # too long, or no room: it stays untaken and is found again
            text = f"{member.name} signed what no single source signs, and it cannot be kept: {error}"
            log.error("%s", text, extra=Said.FORK.of(peer=member.name))
            return False

    def _quarantine(self, fork: Fork) -> bool:
        self._forked += 1
        self._changes.append(lambda store: store.records.put(FORK, fork.kid, fork.raw))
        log.error("%s", about(fork), extra=Said.FORK.of())
        return True

    def _forget_fork(self, kid: bytes) -> None:
        self.forks.drop(kid)
        self._changes.append(lambda store: store.records.delete(FORK, kid))

    # -- the store

    def pending_changes(self) -> Change | None:
        """What has changed since the last call, as one job for the store; None for nothing."""
        if not self._changes:
            return None
        changes, self._changes = self._changes, []

        def work(store: Store) -> None:
            for change in changes:
                change(store)

        return work

    def not_saved(self, change: Change) -> None:
        """The store did not take it; it stays to be saved."""
        self._changes.insert(0, change)

    def load(self, store: Store, now: float, mode: Mode = Mode.CLOSED) -> None:
        """Read everything from the store; a hub becomes an issuer again. Raises Invalid for a damaged record."""
        database = store.database
        name, role = database.get("name"), database.get("role")
        self.name = "" if name is None else name.decode()
        self.role = Role.EDGE if role is None else Role.parse(role.decode())
        self.left = meshes_in(database.get(LEFT_KEY))
        wish = database.get("wish")
        self.wish = None if wish is None else dict(cbor.decode(wish))
        self.former = former_in(database.get(FORMER_KEY))
        mesh = database.get("mesh")
        if mesh is None:
            return
        self._enter(mesh)
        revocations = database.get("revocations")
        if revocations is not None:
            self.revocations = Revocations.from_wire(revocations, mesh)
            self.roster = Roster(self.revocations.is_revoked)
        for cwt in store.records.all(MEMBER).values():
            self.roster.add(verify_membership(cwt, mesh, at=self.at()))
        for raw in store.records.all(FORK).values():
            with contextlib.suppress(KosError):  # another proof will come; nothing depends on this one
                self.forks.take(raw)
        for kid, value in store.records.all(ADDRESS).items():
            with contextlib.suppress(Invalid, TypeError, ValueError):  # discovery finds it again
                host, port = cbor.decode(value)
                self.addresses[kid] = (str(host), int(port))
        own = database.get("membership")
        if own is not None:
            self._take_up(verify_membership(own, mesh, at=self.at()), database.get(REKEY))
        candidate = database.get(CANDIDATE)
        if candidate is not None and self.membership is not None:
            self.learn(verify_membership(candidate, mesh, at=self.at()))
        policy = database.get("policy")
        if policy is not None:
            self.policy = verify_policy(policy, mesh)
            self._recheck_policy()
        if self.membership is not None and self.membership.can_issue:
            admission = self.issue(mode)
            invitations, allowed = database.get("invitations"), database.get("allowed")
            if invitations is not None:
                admission.invitations = Invitations.from_wire(
                    invitations, mesh, self.kid, now=now, random=self._random
                )
            if allowed is not None:
                admission.known_keys = KnownKeys.from_wire(allowed)
        self._changes, self._after_load = self._after_load, []

    def _take_up(self, member: Membership, rekey: bytes | None) -> None:
        """The stored membership; of another key, it is what this node was before `rekey`, which is finished here."""
        if member.kid == self.kid:
            self._become(member)
            return
        self.former = {member.kid: member.public} | self.former
        self.wish = None if rekey is None else dict(cbor.decode(rekey))
        former = b"".join(self.former.values())

        def work(store: Store) -> None:
            store.database.put(FORMER_KEY, former)
            store.database.put("membership", None)
            store.database.put("wish", rekey)
            store.database.put(REKEY, None)

        self._after_load.append(work)

    # -- what members tell each other: POST /trust

    def news_request(self, offer: Iterable[bytes] = ()) -> bytes:
        """The body of `POST /trust`: what we have heard, and memberships that the other side asked for."""
        body: dict[int, object] = {1: self.revocations.numbers(), 4: self.policy.number} | self._held_forks()
        offered = list(offer)
        if offered:
            body[3] = offered
        return cbor.encode(body)

    def _held_forks(self) -> dict[int, object]:
        return {6: self.forks.ids()} if len(self.forks) else {}

    def told_fork(self, fork: bytes) -> bytes:
        """The body of a `POST /trust` that hands one proof of a fork over."""
        return cbor.encode(
            {1: self.revocations.numbers(), 4: self.policy.number, 7: [fork]} | self._held_forks()
        )

    def told(self, revocation: bytes) -> bytes:
        """The body of a `POST /trust` that hands one revocation over."""
        return cbor.encode({1: self.revocations.numbers(), 2: [revocation], 4: self.policy.number})

    def news_for(self, body: bytes) -> bytes:
        """Answer a `POST /trust`: what the other has not heard yet.

        Raises Invalid; what was good before the fault is kept.
        """
        wire = cbor.decode(body)
        if type(wire) is not dict:
            raise Invalid("what is told to /trust is a map")
        self._take(wire)
        numbers = read_numbers(wire.get(1, {}))
        news: list[bytes] = []
        size = 0
        for raw in self.revocations.since(numbers):
            if news and (len(news) >= MAX_NEWS or size + len(raw) > NEWS_BYTES):
                break
            news.append(raw)
            size += len(raw)
        answer: dict[int, object] = {1: self.revocations.numbers(), 2: news} | self._held_forks()
        theirs = wire.get(4, 0)
        if self.policy.raw and type(theirs) is int and theirs < self.policy.number and not news:
            answer[5] = self.policy.raw
        return cbor.encode(answer)

    def take_news(self, body: bytes) -> tuple[list[bytes], list[bytes]]:
        """Read the answer of a `POST /trust`: the revocations and the forks that the other side has not heard of."""
        wire = cbor.decode(body)
        if type(wire) is not dict:
            raise Invalid("an answer of /trust is a map")
        self._take(wire)
        forks = self.forks.beyond(read_ids(wire.get(6, b"")))
        return self.revocations.since(read_numbers(wire.get(1, {}))), forks

    def _take(self, wire: dict[object, object]) -> None:
        """Merge revocations (2), memberships (3), a policy (5) and forks (7)."""
        revocations = byte_strings(wire.get(2, []), "revocations")
        if revocations:
            merged = self.revocations.merge(revocations)
            if merged.added:
                self.save_revocations()
                self._recheck_policy()
        for cwt in byte_strings(wire.get(3, []), "memberships"):
            if len(cwt) > MAX_MEMBERSHIP:
                raise Invalid("a membership that is too long")
            try:
                self.learn(self.check(cwt))
            except Refused:
                continue  # revoked: that is an answer, and the rest may be good
        policy = wire.get(5)
        if isinstance(policy, bytes):
            with contextlib.suppress(Refused):  # its signer is revoked, as the other side will hear
                self.set_policy(policy)
        for raw in byte_strings(wire.get(7, []), "forks"):
            self._take_fork(raw)

    def _take_fork(self, raw: bytes) -> None:
        assert self.mesh is not None
        fork = verify_fork(raw, self.mesh)
        if self.revoked(fork.member):
            return
        try:
            if self.forks.add(fork):
                self._quarantine(fork)
        except Unavailable as error:
            log.warning("%s", error, extra=Said.FILE_DAMAGED.of())

    def _recheck_policy(self) -> None:
        """A policy falls with its signer; until another comes, nothing is allowed."""
        if self.mesh is not None and self.policy.raw:
            try:
                verify_policy(self.policy.raw, self.mesh, revoked=self.revocations.is_revoked)
            except Refused:
                self.policy = DENY_ALL
