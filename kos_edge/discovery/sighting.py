"""What discovery tells the node, and what a node says of itself in DNS-SD (RFC 6763)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kos_edge.errors import Invalid
from kos_edge.mesh.claims import Role

SERVICE = "_kos-edge._udp.local."
TXT_VERSION = b"1"
TXT_LIMIT = 1_300
"""Longest TXT record worth reading, in bytes: what fits one packet (RFC 6763, section 6.2)."""
MESH_PREFIX_BYTES = 8

_KID = re.compile(r"[0-9a-f]{32}")
_MESH_PREFIX = re.compile(rb"[0-9a-f]{16}")
_PORT = re.compile(rb"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class Hint:
    """Where somebody may be reached: an IP address, with its scope (`fe80::1%3`) where needed, and ports."""

    host: str
    port: int
    tcp_port: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody says that this kid is at these addresses, or that it is at others now. Nothing is proved.

    What nobody has said is None: a peer given by hand has no kid until it has shown its key.
    """

    kid_claimed: bytes | None
    role: Role | None
    mesh_prefix: bytes | None
    """The first 8 bytes of the mesh id; None for a node that is in no mesh yet."""
    addresses: tuple[Hint, ...]
    priority: int = 0
    """Lower is asked first (RFC 2782)."""
    weight: int = 0
    """Share of the load among those of one priority (RFC 2782)."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody speaks for this kid any more: it said goodbye, or its records ran out, or there were too many.

    Anyone can say goodbye in its name: a session that stands is no worse for it.
    """

    kid_claimed: bytes


@dataclass(frozen=True, slots=True)
class Trouble:
    """Multicast DNS does not work at present. It is tried again; peers given by hand are not affected."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Working:
    """Multicast DNS works, on these interfaces."""

    interfaces: tuple[str, ...]


Event = Found | Lost | Trouble | Working


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a node lets others know: who it is and where it listens."""

    kid: bytes
    role: Role
    mesh: bytes | None
    port: int
    tcp_port: int | None = None
    priority: int = 0
    weight: int = 0

    @property
    def instance(self) -> str:
        """The service instance name: it is the key's hash, so nobody else has it by accident."""
        return instance_name(self.kid)

    @property
    def host(self) -> str:
        """The name that the addresses belong to."""
        return f"{self.kid.hex()}.local."

    @property
    def txt(self) -> dict[bytes, bytes]:
        """The TXT record's keys and values."""
        said = {b"v": TXT_VERSION, b"role": self.role.text.encode()}
        if self.mesh is not None:
            said[b"mesh"] = self.mesh[:MESH_PREFIX_BYTES].hex().encode()
        if self.tcp_port is not None:
            said[b"tcp"] = str(self.tcp_port).encode()
        return said


@dataclass(frozen=True, slots=True)
class Said:
    """What a TXT record of ours says."""

    role: Role | None
    mesh_prefix: bytes | None
    tcp_port: int | None


def instance_name(kid: bytes) -> str:
    """The DNS name under which a node announces itself."""
    return f"{kid.hex()}.{SERVICE}"


def kid_of(name: str) -> bytes | None:
    """The kid in a service instance name; None for any other name."""
    label, _, rest = name.lower().partition(".")
    return bytes.fromhex(label) if rest == SERVICE and _KID.fullmatch(label) else None


def read_txt(text: bytes) -> Said:
    """What a TXT record says. Unknown keys are passed over; the first of a kind counts (RFC 6763, 6.4).

    Raises Invalid for a record that is not of our version, or has a value that it cannot have.
    """
    values = _pairs(text)
    if values.get(b"v") != TXT_VERSION:
        raise Invalid("the TXT record is not of version 1")
    mesh, tcp, role = values.get(b"mesh"), values.get(b"tcp"), values.get(b"role")
    if mesh is not None and not _MESH_PREFIX.fullmatch(mesh):
        raise Invalid("the TXT record's mesh is not 16 hexadecimal digits")
    if tcp is not None and not (_PORT.fullmatch(tcp) and int(tcp) <= 65_535):
        raise Invalid("the TXT record's tcp is no port")
    return Said(
        role=None if role is None else Role.parse(role.decode("ascii", "replace")),
        mesh_prefix=None if mesh is None else bytes.fromhex(mesh.decode()),
        tcp_port=None if tcp is None else int(tcp),
    )


def _pairs(text: bytes) -> dict[bytes, bytes]:
    if len(text) > TXT_LIMIT:
        raise Invalid("the TXT record is longer than a packet")
    values: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        size = text[at]
        pair = text[at + 1 : at + 1 + size]
        if len(pair) < size:
            raise Invalid("the TXT record ends in the middle of a string")
        key, equals, value = pair.partition(b"=")
        if key and equals:
            values.setdefault(key.lower(), value)
        at += 1 + size
    return values
