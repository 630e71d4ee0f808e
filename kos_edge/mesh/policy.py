"""The policy: who may do what to whom, on which topics. Signed, numbered; what no rule allows is denied.

A rule allows one kind of action: [who, action, topic filter, to whom]. *Who* and *to whom* are audiences: a
role, everybody, a group or one key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.cose import Typ
from kos_edge.klp.stream import audience_from_wire, audience_to_wire
from kos_edge.klp.topic import check_filter, matches
from kos_edge.mesh.claims import read_time
from kos_edge.mesh.membership import (
    MAX_MEMBERSHIP,
    Membership,
    Revoked,
    Seal,
    Standing,
    nobody_revoked,
    refuse_revoked,
    verify_signed,
)

MAX_RULES = 256
MAX_POLICY = 32_768
MAX_NUMBER = 2**32 - 1
GROUP = "group:"
"""A member is in a group if it has the capability `group:<name>`."""

_NUMBER, _IAT, _RULES = 1, 2, 3


class Action(IntEnum):
    """What a member does; the number is the wire form."""

    PUBLISH = 0
    """Send data to the target."""
    READ = 1
    """Receive data whose source is the target."""
    COMMAND = 2
    """Have the target carry out the action that the topic names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is allowed. `who` and `target` are audiences in their text form."""

    who: str
    action: Action
    filter: str
    target: str

    def allows(self, member: Membership, action: Action, topic: str, target: str | Membership) -> bool:
        return (
            self.action is action
            and is_in(member, self.who)
            and (
                is_in(target, self.target)
                if isinstance(target, Membership)
                else self.target in (target, "all")
            )
            and matches(self.filter, topic)
        )


STARTER = (
    Rule("all", Action.PUBLISH, "#", "hub"),
    Rule("all", Action.COMMAND, "#", "all"),
    Rule("hub", Action.READ, "#", "all"),
)
"""What `init` signs: members publish to the hub and command each other, the hub reads all."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force. Without one (`DENY_ALL`) nothing is allowed. `at`: seconds since 1970."""

    number: int
    at: int
    rules: tuple[Rule, ...]
    standing: Standing = Standing.MEMBER
    """Of the signer."""
    signer: bytes = b""
    raw: bytes = field(default=b"", repr=False)

    def allows(self, member: Membership, action: Action, topic: str, target: str | Membership) -> bool:
        """Whether `member` may do this. `target` is an audience, or the one member that is meant."""
        return any(rule.allows(member, action, topic, target) for rule in self.rules)

    @property
    def rank(self) -> tuple[int, int, bytes, bytes]:
        """Of two policies the one of the higher rank is in force, on every member alike."""
        return (self.number, self.standing, self.signer, self.raw)


DENY_ALL = Policy(0, 0, ())


def is_in(member: Membership, audience: str) -> bool:
    """Whether the member belongs to an audience in its text form."""
    if audience in ("all", member.role.text):
        return True
    return audience == f"kid:{member.kid.hex()}" or (
        audience.startswith(GROUP) and audience in member.capabilities
    )


def shared_audiences(member: Membership) -> tuple[str, ...]:
    """Those that the member belongs to with some of the others: its role and its groups."""
    return (member.role.text, *(text for text in member.capabilities if text.startswith(GROUP)))


def sign_policy(seal: Seal, rules: tuple[Rule, ...], *, number: int, at: int) -> bytes:
    """The policy of these rules; `number` is one more than that of the one it replaces. Raises Invalid."""
    wire = [
        [audience_to_wire(rule.who), int(rule.action), rule.filter, audience_to_wire(rule.target)]
        for rule in rules
    ]
    payload = cbor.encode({_NUMBER: number, _IAT: at, _RULES: wire})
    _read_payload(payload)
    return seal.sign(payload, Typ.POLICY)


def verify_policy(data: bytes, mesh: bytes, *, revoked: Revoked = nobody_revoked) -> Policy:
    """The policy in `data`, its signer verified up to `mesh`.

    Raises Refused if the signer is revoked, Invalid for anything else (OtherMesh for another mesh).
    """
    payload, signatory = verify_signed(data, Typ.POLICY, mesh, limit=MAX_POLICY + MAX_MEMBERSHIP)
    refuse_revoked(signatory, revoked)
    number, at, rules = _read_payload(payload)
    return Policy(number, at, rules, signatory.standing, signatory.kid, data)


def _read_payload(payload: bytes) -> tuple[int, int, tuple[Rule, ...]]:
    value = cbor.decode(payload, limit=MAX_POLICY)
    if type(value) is not dict or set(value) != {_NUMBER, _IAT, _RULES}:
        raise Invalid("a policy has exactly a number, a time and rules")
    number, rules = value[_NUMBER], value[_RULES]
    if type(number) is not int or not 1 <= number <= MAX_NUMBER:
        raise Invalid("policies are numbered from 1")
    if type(rules) is not list or len(rules) > MAX_RULES:
        raise Invalid(f"a policy has at most {MAX_RULES} rules")
    return number, read_time(value[_IAT]), tuple(_read_rule(rule) for rule in rules)


def _read_rule(value: object) -> Rule:
    match value:
        case [who, int(action), str(filter_), target] if type(action) is int and 0 <= action < len(Action):
            check_filter(filter_)
            return Rule(audience_from_wire(who), Action(action), filter_, audience_from_wire(target))
    raise Invalid("a rule is [who, action, topic filter, to whom]")
