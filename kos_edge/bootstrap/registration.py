"""What a node says of itself to its hubs when it has started: data of the schema `kos.registration`.

It travels as any durable message does: in a pack that the node has signed, kept until a hub has it on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.body import Data, Payload
from kos_edge.klp.fields import Fields, compact

TOPIC = "kos.registration"
SCHEMA = "kos.registration"
MAX_CAPABILITIES = 64
MAX_ADDRESSES = 16
MAX_TEXT = 64


@dataclass(frozen=True, slots=True)
class Registration:
    """`capabilities` are what it can do, such as ``agent:climate``, ``command:fan.set``; `addresses` where it listens.

    `machine` is its kind (``aarch64``), `mode` that of its bootstrap.
    """

    version: str
    role: str
    mode: str
    machine: str
    capabilities: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    def payload(self) -> Data:
        """As it travels; what is too much or too long for it is left out."""
        wire = {
            1: self.version[:MAX_TEXT],
            2: self.role,
            3: self.mode,
            4: self.machine[:MAX_TEXT],
            5: _fitting(self.capabilities, MAX_CAPABILITIES),
            6: _fitting(self.addresses, MAX_ADDRESSES),
        }
        return Data(compact(wire), SCHEMA)

    def to_wire(self) -> bytes:
        """As a hub keeps it."""
        return cbor.encode(self.payload().content)


def read(payload: Payload) -> Registration:
    """The registration in a payload from outside. Raises Invalid."""
    if not isinstance(payload, Data) or payload.schema != SCHEMA:
        raise Invalid(f"a registration is data of the schema {SCHEMA}")
    return from_content(payload.content)


def from_content(content: Any) -> Registration:
    """The same of its content alone. Raises Invalid."""
    fields = Fields(content, "a registration")
    found = Registration(
        version=fields.text(1, MAX_TEXT) or "",
        role=fields.text(2, MAX_TEXT) or "",
        mode=fields.text(3, MAX_TEXT) or "",
        machine=fields.text(4, MAX_TEXT) or "",
        capabilities=_texts(fields.any(5), MAX_CAPABILITIES),
        addresses=_texts(fields.any(6), MAX_ADDRESSES),
    )
    fields.done()
    return found


def _fitting(texts: tuple[str, ...], most: int) -> list[str]:
    return [text for text in texts if len(text) <= MAX_TEXT][:most]


def _texts(value: object, most: int) -> tuple[str, ...]:
    if value is None:
        return ()
    if type(value) is not list or len(value) > most:
        raise Invalid(f"a registration has lists of at most {most} texts")
    for text in value:
        if type(text) is not str or len(text) > MAX_TEXT:
            raise Invalid(f"a registration has texts of at most {MAX_TEXT} characters")
    return tuple(value)
