"""Payloads in which somebody says something of somebody: trust and governance."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

from kos_edge.errors import Invalid
from kos_edge.klp import jsonform
from kos_edge.klp.fields import MAX_MS, MAX_NAME, Fields, compact, required
from kos_edge.klp.identity import KID_BYTES


class Act(IntEnum):
    """What a trust message does."""

    ENDORSE = 0
    REVOKE = 1
    QUERY = 2
    UPDATE = 3


class EvidenceKind(IntEnum):
    """What a trust level rests on."""

    SOCIAL_PROOF = 0
    BEHAVIOUR = 1
    HARDWARE = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """One ground for a trust level: what kind, who verified it (a kid), when (milliseconds since 1970)."""

    kind: EvidenceKind
    verifier: bytes
    at_ms: int | None
    detail: Any = None


@dataclass(frozen=True, slots=True)
class Trust:
    """One member's word on another: how far it trusts `subject` (a kid), 0 to 100, until when, and why."""

    TYPE: ClassVar[int] = 6
    NAME: ClassVar[str] = "trust"

    act: Act
    subject: bytes
    level: int | None = None
    evidence: tuple[Evidence, ...] = ()
    expires_ms: int | None = None

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        evidence = [[int(one.kind), one.verifier, one.at_ms, one.detail] for one in self.evidence]
        optional = {3: self.level, 4: evidence or None, 5: self.expires_ms}
        return {1: int(self.act), 2: self.subject} | compact(optional)

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "a trust message")
        act = required(fields.uint(1, 3), "a trust message without an act")
        subject = required(fields.bytes(2, KID_BYTES, KID_BYTES), "a trust message without a subject")
        level, expires_ms = fields.uint(3, 100), fields.uint(5, MAX_MS)
        evidence = _evidence(fields.any(4)) if 4 in fields.wire else ()
        fields.done()
        if act in (Act.ENDORSE, Act.UPDATE) and level is None:
            raise Invalid("an endorsement or update without a level")
        return cls(Act(act), subject, level, evidence, expires_ms)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("act", jsonform.names(Act)),
        2: ("subject", jsonform.HEX),
        3: ("level", jsonform.PLAIN),
        4: ("evidence", jsonform.PLAIN),
        5: ("expires", jsonform.TIME),
    }


@dataclass(frozen=True, slots=True)
class Assertion:
    """Under which rules to read a message: principles, who governs, SHA-256 of the policy, level 0 to 100."""

    principles: tuple[str, ...] = ()
    authority: str | None = None
    policy_hash: bytes | None = None
    compliance: int | None = None


@dataclass(frozen=True, slots=True)
class Governance:
    """A statement of policy, with the assertion that a receiver checks against its own rules."""

    TYPE: ClassVar[int] = 7
    NAME: ClassVar[str] = "governance"

    statement: Any
    assertion: Assertion | None = None

    def to_wire(self) -> dict[int, Any]:
        """The map on the wire."""
        given = self.assertion
        assertion = given and compact(
            {
                1: list(given.principles) or None,
                2: given.authority,
                3: given.policy_hash,
                4: given.compliance,
            }
        )
        return {1: self.statement} | compact({2: assertion})

    @classmethod
    def from_wire(cls, wire: Any) -> Self:
        """The value of a map; Invalid unless it follows the grammar."""
        fields = Fields(wire, "a governance message")
        statement = fields.any(1)
        if not isinstance(statement, (str, dict)):
            raise Invalid("a governance message states its policy as text or as a map")
        assertion = _assertion(fields.any(2)) if 2 in fields.wire else None
        fields.done()
        return cls(statement, assertion)

    JSON: ClassVar[dict[int, tuple[str, jsonform.Form]]] = {
        1: ("statement", jsonform.PLAIN),
        2: ("assertion", jsonform.PLAIN),
    }


def _evidence(wire: Any) -> tuple[Evidence, ...]:
    if type(wire) is not list or not wire:
        raise Invalid("evidence is a list of at least one ground")
    return tuple(map(_ground, wire))


def _ground(wire: Any) -> Evidence:
    if type(wire) is not list or len(wire) != 4:
        raise Invalid("a ground of trust is kind, verifier, time and detail")
    kind, verifier, at_ms, detail = wire
    is_kid = type(verifier) is bytes and len(verifier) == KID_BYTES
    if type(kind) is not int or not 0 <= kind <= 2 or not is_kid:
        raise Invalid("a ground of trust names its kind and the kid that verified it")
    if at_ms is not None and (type(at_ms) is not int or not 0 <= at_ms <= MAX_MS):
        raise Invalid("the time of a ground of trust is in milliseconds since 1970, or null")
    return Evidence(EvidenceKind(kind), verifier, at_ms, detail)


def _assertion(wire: Any) -> Assertion:
    fields = Fields(wire, "an assertion")
    principles = fields.any(1) if 1 in fields.wire else []
    if type(principles) is not list or any(type(one) is not str or len(one) > MAX_NAME for one in principles):
        raise Invalid("principles are a list of names")
    authority, policy_hash, compliance = fields.text(2), fields.bytes(3, 32, 32), fields.uint(4, 100)
    fields.done()
    return Assertion(tuple(principles), authority, policy_hash, compliance)
