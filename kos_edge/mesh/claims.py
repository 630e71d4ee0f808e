"""The claims of a membership: a CWT claims set (RFC 8392) that names a key, a role and an issuer.

Only the values and their one wire form; who signed them is the business of `membership`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.identity import PUBLIC_BYTES, kid_of, kid_text, parse_kid

ISSUE = "issue"
"""The capability to admit and revoke members. Only the authority grants it."""

NAMESPACES = ("agent", "device", "service", "user")
AUTHORITY_NAMESPACE = "authority"
"""The namespace of the authority's own kid: in `iss`, never in a membership."""

MAX_CLAIMS = 2_048
"""Bytes of one claims set; a membership with every field at its limit takes less."""

MAX_CAPABILITIES = 16
MAX_TIME = 2**32 * 16 - 1
"""Seconds since 1970 that a claim may hold (about the year 4147): far beyond use, safe in any arithmetic."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CAPABILITY = re.compile(r"[a-z0-9][a-z0-9.:_-]{0,63}")

_ISS, _SUB, _EXP, _NBF, _IAT, _CTI, _CNF = 1, 2, 4, 5, 6, 7, 8
_ROLE, _CAPABILITIES, _NAMESPACE = -65537, -65538, -65539
_ALL = {_ISS, _SUB, _EXP, _NBF, _IAT, _CTI, _CNF, _ROLE, _CAPABILITIES, _NAMESPACE}


class Role(IntEnum):
    """What a member is in the mesh; the number is the wire form."""

    HUB = 0
    EDGE = 1
    RELAY = 2
    OPERATOR = 3

    @property
    def text(self) -> str:
        """The name as people write it: `hub`, `edge`, `relay`, `operator`."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Role:
        """The role called `text`, in any case. Raises Invalid."""
        try:
            return cls[text.strip().upper()]
        except KeyError:
            raise Invalid(f"{text[:40]!r} is no role", hint="hub, edge, relay or operator") from None


@dataclass(frozen=True, slots=True)
class Claims:
    """What an issuer says of one key. Times are whole seconds since 1970-01-01T00:00:00Z."""

    issuer_namespace: str
    issuer: bytes
    name: str
    not_after: int
    not_before: int
    issued_at: int
    serial: bytes
    public: bytes
    role: Role
    capabilities: tuple[str, ...]
    namespace: str

    @property
    def kid(self) -> bytes:
        return kid_of(self.public)

    def to_wire(self) -> bytes:
        """The deterministic encoding that is signed. Raises Invalid where a value breaks a rule."""
        claims = {
            _ISS: kid_text(self.issuer, self.issuer_namespace),
            _SUB: self.name,
            _EXP: self.not_after,
            _NBF: self.not_before,
            _IAT: self.issued_at,
            _CTI: self.serial,
            _CNF: {1: {1: 1, -1: 6, -2: self.public}},
            _ROLE: int(self.role),
            _CAPABILITIES: list(self.capabilities),
            _NAMESPACE: self.namespace,
        }
        data = cbor.encode(claims)
        if Claims.from_wire(data) != self:
            raise Invalid("these claims do not survive their own encoding")
        return data

    @classmethod
    def from_wire(cls, data: bytes) -> Claims:
        """Read a claims set, all claims present, none unknown. Raises Invalid and nothing else."""
        claims = cbor.decode(data, limit=MAX_CLAIMS)
        if not isinstance(claims, dict) or set(claims) != _ALL:
            raise Invalid(
                "a membership has exactly the claims iss, sub, exp, nbf, iat, cti, cnf, role, "
                "capabilities and namespace"
            )
        iss = claims[_ISS]
        if not isinstance(iss, str):
            raise Invalid("iss is not text")
        issuer_namespace, issuer = parse_kid(iss)
        if kid_text(issuer, issuer_namespace) != iss:
            raise Invalid("iss is not in its one text form")
        if issuer_namespace not in (*NAMESPACES, AUTHORITY_NAMESPACE):
            raise Invalid("iss is of an unknown namespace")
        not_after, not_before, issued_at = (read_time(claims[label]) for label in (_EXP, _NBF, _IAT))
        if not not_before <= issued_at < not_after:
            raise Invalid("the times of a membership do not rise from nbf over iat to exp")
        serial = claims[_CTI]
        if not isinstance(serial, bytes) or len(serial) != 8:
            raise Invalid("cti is not 8 bytes")
        return cls(
            issuer_namespace=issuer_namespace,
            issuer=issuer,
            name=check_name(claims[_SUB]),
            not_after=not_after,
            not_before=not_before,
            issued_at=issued_at,
            serial=serial,
            public=read_key(claims[_CNF]),
            role=read_role(claims[_ROLE]),
            capabilities=_read_capabilities(claims[_CAPABILITIES]),
            namespace=check_namespace(claims[_NAMESPACE]),
        )


def check_name(name: object) -> str:
    """`name` if it may stand in a membership: `[a-z0-9][a-z0-9-]{0,62}`. Raises Invalid."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Invalid(
            f"{str(name)[:70]!r} is no name for a member",
            hint="1 to 63 characters of a-z, 0-9 and '-', and not '-' first",
        )
    return name


def check_namespace(namespace: object) -> str:
    """`namespace` if a member may live in it. Raises Invalid."""
    if not isinstance(namespace, str) or namespace not in NAMESPACES:
        raise Invalid(f"{str(namespace)[:40]!r} is no namespace", hint=f"one of: {', '.join(NAMESPACES)}")
    return namespace


def name_from(text: str) -> str:
    """The nearest name to a host name or what a person typed; "" if nothing of it can stand in a name."""
    first = text.strip().lower().split(".")[0]
    return re.sub("[^a-z0-9]+", "-", first).strip("-")[:63].rstrip("-")


def capability_list(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Capabilities in the order of the wire: ascending, each once. Raises Invalid."""
    return _read_capabilities(sorted(set(capabilities)))


def read_key(cnf: object) -> bytes:
    """The raw Ed25519 key of a `cnf` claim (RFC 8747): {1: {1: 1, -1: 6, -2: x}}. Raises Invalid."""
    match cnf:
        case {1: {1: kty, -1: crv, -2: bytes(public), **more}, **others} if not more and not others:
            if (type(kty), kty, type(crv), crv, len(public)) == (int, 1, int, 6, PUBLIC_BYTES):
                return public
    raise Invalid("cnf is not one Ed25519 COSE_Key: {1: 1, -1: 6, -2: 32 bytes}")


def read_role(value: object) -> Role:
    """The role with this number. Raises Invalid."""
    if type(value) is not int or not 0 <= value < len(Role):
        raise Invalid("there is no role of this number")
    return Role(value)


def read_time(value: object) -> int:
    """Whole seconds since 1970. Raises Invalid."""
    if type(value) is not int or not 0 <= value <= MAX_TIME:
        raise Invalid("a time is not a whole number of seconds since 1970")
    return value


def _read_capabilities(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_CAPABILITIES:
        raise Invalid(f"capabilities are a list of at most {MAX_CAPABILITIES}")
    if not all(isinstance(item, str) and _CAPABILITY.fullmatch(item) for item in value):
        raise Invalid("a capability is not of [a-z0-9][a-z0-9.:_-]{0,63}")
    if any(before >= after for before, after in pairwise(value)):
        raise Invalid("capabilities are not ascending, each once")
    return tuple(value)
