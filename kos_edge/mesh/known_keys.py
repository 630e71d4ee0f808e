"""Known keys: public keys that a person allowed beforehand, so that their owners join without a token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp import cbor
from kos_edge.klp.identity import check_public, kid_of
from kos_edge.mesh.claims import Role, check_name, check_namespace, read_role

MAX_KNOWN_KEYS = 4_096


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that may join, and as what. Without a name it gets the one that it asks for."""

    public: bytes
    role: Role = Role.EDGE
    name: str | None = None
    namespace: str = "device"

    @property
    def kid(self) -> bytes:
        return kid_of(self.public)


class KnownKeys:
    """The keys that may join one hub."""

    def __init__(self) -> None:
        self._keys: dict[bytes, KnownKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[KnownKey]:
        """By kid."""
        return iter([self._keys[kid] for kid in sorted(self._keys)])

    def get(self, kid: bytes) -> KnownKey | None:
        return self._keys.get(kid)

    def allow(self, known: KnownKey) -> bool:
        """Let the key join; whether that changed anything. Raises Invalid, Unavailable when full."""
        check_public(known.public)
        check_namespace(known.namespace)
        if known.name is not None:
            check_name(known.name)
        if known.role is Role.HUB:
            raise Invalid("a hub is made by the authority, not by allowing its key", hint="kos-edge hub add")
        if known.kid not in self._keys and len(self._keys) >= MAX_KNOWN_KEYS:
            raise Unavailable(f"{MAX_KNOWN_KEYS} keys are allowed already")
        changed = self._keys.get(known.kid) != known
        self._keys[known.kid] = known
        return changed

    def forget(self, kid: bytes) -> bool:
        """Allow the key no longer; whether it was. A member stays a member."""
        return self._keys.pop(kid, None) is not None

    def to_wire(self) -> bytes:
        """The whole list, for storing."""
        return cbor.encode([[known.public, int(known.role), known.name, known.namespace] for known in self])

    @classmethod
    def from_wire(cls, data: bytes) -> KnownKeys:
        """What was stored. Raises Invalid."""
        items = cbor.decode(data, limit=len(data), items=8 * MAX_KNOWN_KEYS)
        if type(items) is not list:
            raise Invalid("stored known keys are an array")
        keys = cls()
        for item in items:
            match item:
                case [bytes(public), role, str() | None as name, str(namespace)]:
                    keys.allow(KnownKey(public, read_role(role), name, namespace))
                case _:
                    raise Invalid("a stored known key is damaged")
        return keys
