"""What a newcomer and a hub say to each other inside the handshake: EAD_3 and EAD_4, and the newcomer's part.

Values only. The newcomer checks the hub at message_2 (`check_hub`), says what it wishes for in message_3
(`ask`), and finds in message_4 a membership or the news that a person has to decide (`read_answer`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor
from kos_edge.mesh.claims import Role, check_name, read_role
from kos_edge.mesh.invitation import MAC_BYTES, redemption
from kos_edge.mesh.membership import Membership, Revoked, claimed_mesh, nobody_revoked, verify_membership
from kos_edge.mesh.rotation import OtherMesh
from kos_edge.mesh.token import TOKEN_ID_BYTES, Token

EadItem = tuple[int, bytes | None]

WISH = 65001
"""EAD_3 label: what the newcomer wishes to be; as -65001, critical, with a token."""
MEMBERSHIP = 65002
"""EAD_4 label: the membership that was given."""
WAITING = 65003
"""EAD_4 label: a person has to decide."""

EAD_3_LABELS = (WISH,)
EAD_4_LABELS = (MEMBERSHIP, WAITING)

MAX_WAIT_S = 3_600


@dataclass(frozen=True, slots=True)
class Redeem:
    """The part of a wish that proves a token."""

    token_id: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a newcomer asks for. Without a name the hub chooses one."""

    role: Role = Role.EDGE
    name: str = ""
    redeem: Redeem | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A person has to decide: ask again after so many seconds; the hub forgets us after so many."""

    poll_after_s: int
    forgotten_after_s: int


def ask(
    role: Role, name: str, *, th_3: bytes, id_cred: bytes, cred: bytes, token: Token | None = None
) -> tuple[EadItem, ...]:
    """EAD_3 of a newcomer, bound to this handshake and credential. Raises Invalid for a bad name."""
    if name:
        check_name(name)
    if token is None:
        return ((WISH, cbor.encode([name, int(role)])),)
    mac = redemption(
        token.secret, th_3=th_3, id_cred=id_cred, cred=cred, token_id=token.token_id, role=role, name=name
    )
    return ((-WISH, cbor.encode([token.token_id, mac, name, int(role)])),)


def read_wish(items: Iterable[EadItem]) -> Wish | None:
    """What EAD_3 asks for, None if nothing. Items of other labels are not looked at. Raises Invalid."""
    wishes = [(label, value) for label, value in items if abs(label) == WISH]
    if len(wishes) > 1:
        raise Invalid("EAD_3 asks twice")
    if not wishes:
        return None
    label, value = wishes[0]
    match (label, cbor.decode(value or b"", limit=256)):
        case (65001, [str(name), role]):
            return Wish(read_role(role), check_name(name) if name else "")
        case (-65001, [bytes(token_id), bytes(mac), str(name), role]):
            if (len(token_id), len(mac)) == (TOKEN_ID_BYTES, MAC_BYTES):
                return Wish(read_role(role), check_name(name) if name else "", Redeem(token_id, mac))
    raise Invalid("EAD_3 holds a wish in no form of ours")


def give(membership: Membership) -> tuple[EadItem, ...]:
    """EAD_4 with a membership."""
    return ((MEMBERSHIP, membership.cwt),)


def ask_to_wait(waiting: Waiting) -> tuple[EadItem, ...]:
    """EAD_4 that asks for patience."""
    return ((WAITING, cbor.encode([waiting.poll_after_s, waiting.forgotten_after_s])),)


def read_answer(
    items: Iterable[EadItem],
    *,
    mesh: bytes,
    public: bytes,
    at: float | None = None,
    revoked: Revoked = nobody_revoked,
) -> Membership | Waiting | None:
    """What EAD_4 says: our membership, verified and ours; that we have to wait; or, to a member, nothing new.

    Raises Invalid for anything that is not a membership of this mesh for the key `public`.
    """
    answers = [(label, value) for label, value in items if abs(label) in EAD_4_LABELS]
    if not answers:
        return None
    if len(answers) > 1:
        raise Invalid("EAD_4 answers twice")
    label, value = abs(answers[0][0]), answers[0][1] or b""
    if label == MEMBERSHIP:
        membership = verify_membership(value, mesh, at=at, revoked=revoked)
        if membership.public != public:
            raise Invalid("the hub gave us the membership of another key")
        return membership
    match cbor.decode(value, limit=64):
        case [poll_after_s, forgotten_after_s] if type(poll_after_s) is type(forgotten_after_s) is int:
            if 1 <= poll_after_s <= MAX_WAIT_S and 0 <= forgotten_after_s <= MAX_WAIT_S:
                return Waiting(poll_after_s, forgotten_after_s)
    raise Invalid("EAD_4 asks us to wait in no form of ours")


def check_hub(
    kind: str,
    cred: bytes,
    *,
    mesh: bytes | None,
    hub: bytes | None = None,
    at: float | None = None,
    revoked: Revoked = nobody_revoked,
) -> tuple[bytes, Membership]:
    """The mesh and the membership of whoever answered, before the newcomer shows anything of itself.

    `mesh` and `hub` are what the token or the person said; without a mesh, the one that is claimed is taken,
    to be pinned and reported. Raises Refused, saying what is there instead; Invalid for no membership at all.
    """
    if kind != "kcwt":
        raise Refused("what answered is no member of any mesh yet", hint="is that the hub's address?")
    wanted = claimed_mesh(cred) if mesh is None else mesh
    try:
        membership = verify_membership(cred, wanted, at=at, revoked=revoked)
    except OtherMesh:
        raise Refused("this hub belongs to another mesh", hint="ask for a token on the right one") from None
    if hub is not None and membership.kid != hub:
        raise Refused(
            f"found another device at that address: {membership.name} ({membership.text})",
            hint="ask for a token with the hub's present address: kos-edge invite",
        )
    if not membership.can_issue:
        raise Refused(f"{membership.name} is no hub: it cannot admit anybody", hint="join at the hub")
    return wanted, membership
