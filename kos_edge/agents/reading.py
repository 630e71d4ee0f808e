"""A reading as an agent gets it: a value with its unit, time and origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kos_edge.agents.port import Delivery
from kos_edge.errors import Invalid
from kos_edge.klp.body import Data


@dataclass(frozen=True, slots=True)
class Reading:
    """One value, or several by name, that somebody published.

    `value` is a number, text, truth value or bytes; a mapping of names to such, for a sensor with several
    values; or whatever content was published. `unit` is a SenML unit (RFC 8428) such as "Cel", or a mapping
    of names to units. `at` is wall clock seconds since 1970, None when nobody knows the time, with
    `uncertainty` in seconds either way (None: unknown). `source` is the publishing node's name, `topic` and
    `id` are the message's. `attested` says that a gateway vouches for the value because its source could not
    sign. `late` says that something newer of its fresh-first stream has come before.
    """

    value: Any
    unit: Any = None
    at: float | None = None
    uncertainty: float | None = None
    source: str = ""
    topic: str = ""
    id: str = ""
    attested: bool = False
    late: bool = False

    @classmethod
    def of(cls, delivery: Delivery) -> Reading:
        """The reading in a message; a payload that is not data (an intent, say) is the value itself."""
        payload = delivery.payload
        value, unit = (payload.value(), payload.units()) if isinstance(payload, Data) else (payload, None)
        return cls(
            value=value,
            unit=unit,
            at=delivery.at,
            uncertainty=delivery.uncertainty,
            source=delivery.source_name,
            topic=delivery.topic,
            id=delivery.id,
            attested=delivery.attested,
            late=delivery.late,
        )

    @property
    def time(self) -> datetime | None:
        """`at` as a moment in UTC."""
        return None if self.at is None else datetime.fromtimestamp(self.at, UTC)

    def __getitem__(self, name: str) -> Reading:
        """One of several values, with its own unit. Raises KeyError when there is none of that name."""
        if not isinstance(self.value, Mapping):
            raise KeyError(name)
        unit = self.unit.get(name) if isinstance(self.unit, Mapping) else self.unit
        return replace(self, value=self.value[name], unit=unit)

    def __float__(self) -> float:
        """The value as a number. Raises Invalid when it is none."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise Invalid(f"{self.topic or 'the reading'} is not a number but {type(self.value).__name__}")
        return float(self.value)

    def __str__(self) -> str:
        return f"{self.value} {self.unit}" if isinstance(self.unit, str) else f"{self.value}"
