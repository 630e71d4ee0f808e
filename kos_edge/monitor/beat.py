"""A heartbeat: how a node is, in one small message that its hubs keep the newest of. docs/protocol/health.md.

Data of the schema `kos.health` on the topic of the same name, volatile and replaced while it waits: it costs no card
a write, and nobody gets an old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp.body import Data, Payload
from kos_edge.klp.fields import Fields, T, compact, required

TOPIC = "kos.health"
SCHEMA = "kos.health"
MAX_EVERY_S = 86_400
MAX_WARNING = 200
"""Characters of a warning that are carried."""

_MOST = 2**53 - 1
_COLDEST_C, _HOTTEST_C = -100, 200


@dataclass(frozen=True, slots=True)
class Beat:
    """Parts in use from 0 to 1, times in seconds, sizes in bytes. None where the node does not know.

    `every_s` is when the next one is due. `errors` are those of its agents since its start, `warnings` how many
    `kos-edge status` shows there, and `warning` the first of them.
    """

    version: str
    every_s: int
    uptime_s: int
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    temperature_c: float | None = None
    queue_messages: int = 0
    queue_bytes: int = 0
    queue: float = 0.0
    errors: int = 0
    warnings: int = 0
    warning: str | None = None
    resident_bytes: int | None = None

    def payload(self) -> Data:
        """As it travels."""
        temperature = None if self.temperature_c is None else round(self.temperature_c * 10)
        wire = {
            1: self.version[:64],
            2: self.every_s,
            3: self.uptime_s,
            4: _thousandths(self.cpu),
            5: _thousandths(self.memory),
            6: _thousandths(self.disk),
            7: temperature,
            8: self.queue_messages,
            9: self.queue_bytes,
            10: _thousandths(self.queue),
            11: self.errors,
            12: self.warnings,
            13: None if self.warning is None else self.warning[:MAX_WARNING],
            14: self.resident_bytes,
        }
        return Data(compact(wire), SCHEMA)


def read(payload: Payload) -> Beat:
    """The beat in a payload from outside. Raises Invalid."""
    if not isinstance(payload, Data) or payload.schema != SCHEMA:
        raise Invalid(f"a heartbeat is data of the schema {SCHEMA}")
    fields = Fields(payload.content, "a heartbeat")
    beat = Beat(
        version=_needed(fields.text(1, 64), "its version"),
        every_s=_needed(fields.uint(2, MAX_EVERY_S, 1), "when the next one is due"),
        uptime_s=_needed(fields.uint(3, _MOST), "its uptime"),
        cpu=_part(fields.uint(4, 1000)),
        memory=_part(fields.uint(5, 1000)),
        disk=_part(fields.uint(6, 1000)),
        temperature_c=_temperature(fields.any(7)),
        queue_messages=fields.uint(8, _MOST) or 0,
        queue_bytes=fields.uint(9, _MOST) or 0,
        queue=_part(fields.uint(10, 1000)) or 0.0,
        errors=fields.uint(11, _MOST) or 0,
        warnings=fields.uint(12, _MOST) or 0,
        warning=fields.text(13, MAX_WARNING),
        resident_bytes=fields.uint(14, _MOST),
    )
    fields.done()
    return beat


def _thousandths(part: float | None) -> int | None:
    return None if part is None else min(1000, max(0, round(part * 1000)))


def _part(thousandths: int | None) -> float | None:
    return None if thousandths is None else thousandths / 1000


def _temperature(tenths: Any) -> float | None:
    if tenths is None:
        return None
    if type(tenths) is not int or not _COLDEST_C * 10 <= tenths <= _HOTTEST_C * 10:
        raise Invalid("the temperature in a heartbeat is tenths of a degree Celsius")
    return tenths / 10


def _needed(value: T | None, what: str) -> T:
    return required(value, f"a heartbeat says {what}")
