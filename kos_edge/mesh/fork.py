"""Forks of members: proofs that two devices hold one key, checked by anybody in the mesh, merged by union.

    fork = [ membership of the key (bytes), statement, statement ]

Nobody signs a proof: the key itself has, twice. It quarantines the key as a member, until the key is revoked and
its owner goes on with another; what the key says as an issuer stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.fork import MAX_STATEMENT, Statement, contradiction
from kos_edge.klp.pack import Pack
from kos_edge.mesh.membership import MAX_MEMBERSHIP, Membership, verify_membership

MAX_FORK = MAX_MEMBERSHIP + 2 * MAX_STATEMENT + 128
MAX_FORKS = 64
"""Keys in quarantine that a node remembers: 64. Revoking one makes room."""

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Fork:
    """One proof. `how` says in words what the key has signed that no single source signs."""

    member: Membership
    how: str
    raw: bytes = field(repr=False)

    @property
    def kid(self) -> bytes:
        return self.member.kid


def prove(member: Membership, one: Pack, other: Pack, mesh: bytes) -> Fork:
    """The proof that two packs of a member make. Raises Invalid where they make none."""
    statements = [Statement.of(one).to_wire(), Statement.of(other).to_wire()]
    return verify_fork(cbor.encode([member.cwt, *statements]), mesh)


def verify_fork(data: bytes, mesh: bytes) -> Fork:
    """The proof in `data`, both signatures and the membership verified. Raises Invalid, OtherMesh."""
    match cbor.decode(data, limit=MAX_FORK):
        case [bytes(cwt), one, other]:
            first, second = Statement.read(one), Statement.read(other)
        case _:
            raise Invalid("a fork is a membership and two statements")
    how = contradiction(first, second)
    if how is None:
        raise Invalid("what a fork shows does not contradict itself")
    member = verify_membership(cwt, mesh)
    first.verify(member.public, mesh)
    second.verify(member.public, mesh)
    return Fork(member, how, data)


class Forks:
    """The proofs that a node holds, one a key."""

    def __init__(self, mesh: bytes) -> None:
        self._mesh = mesh
        self._by_kid: dict[bytes, Fork] = {}

    def __len__(self) -> int:
        return len(self._by_kid)

    def __iter__(self) -> Iterator[Fork]:
        """By kid."""
        return iter([self._by_kid[kid] for kid in sorted(self._by_kid)])

    def __contains__(self, kid: bytes) -> bool:
        return kid in self._by_kid

    def get(self, kid: bytes) -> Fork | None:
        return self._by_kid.get(kid)

    def add(self, fork: Fork) -> bool:
        """Take a verified proof; False where one of that key is held. Raises Unavailable when there is no room."""
        if fork.kid in self._by_kid:
            return False
        if len(self._by_kid) >= MAX_FORKS:
            raise Unavailable(
                f"{MAX_FORKS} keys are in quarantine already", hint="revoke those that are gone"
            )
        self._by_kid[fork.kid] = fork
        return True

    def take(self, data: bytes) -> Fork | None:
        """Read and take one; None for nothing new. Raises Invalid, Unavailable."""
        fork = verify_fork(data, self._mesh)
        return fork if self.add(fork) else None

    def drop(self, kid: bytes) -> None:
        """The key is revoked: nothing more need be known of it."""
        self._by_kid.pop(kid, None)

    def ids(self) -> bytes:
        """The first 8 bytes of the kid of each, ascending, concatenated: what others need not tell."""
        return b"".join(kid[:ID_BYTES] for kid in sorted(self._by_kid))

    def beyond(self, ids: bytes) -> list[bytes]:
        """The proofs of keys that are not in `ids`."""
        known = set(_split(ids))
        return [fork.raw for fork in self if fork.kid[:ID_BYTES] not in known]


def read_ids(value: object) -> bytes:
    """What another member says it holds. Raises Invalid."""
    if type(value) is not bytes or len(value) % ID_BYTES or len(value) > MAX_FORKS * ID_BYTES:
        raise Invalid(f"the forks that are held are at most {MAX_FORKS} ids of 8 bytes each")
    return value


def _split(ids: bytes) -> Iterable[bytes]:
    return (ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES))


def about(fork: Fork) -> str:
    """What a person should know of a key in quarantine, and do."""
    name = fork.member.name
    if fork.member.can_issue:
        way_back = f"Keep neither: kos-edge hub replace {name}, with the recovery file"
    else:
        way_back = f"Keep the right one: kos-edge invite --replaces {name}, then kos-edge rekey TOKEN there"
    return (
        f"{name} is in quarantine: a clone or a restored card ({fork.how}, signed with one key). {way_back}"
    )
