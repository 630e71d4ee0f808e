"""Wearing: watches what is written to the device under the state, and says how long that will bear it."""

from __future__ import annotations

from pathlib import Path

from kos_edge.clock import Clock
from kos_edge.control.reports import CardReport
from kos_edge.monitor import process
from kos_edge.monitor.card import Card, card_under, uptime_s
from kos_edge.monitor.wear import FILLS, Wear, Written, left_s, since_start

_ASSUMED = f"{FILLS} times its size"


class Wearing:
    """The device under one state directory. `endurance_bytes` is what the configuration says of it."""

    def __init__(
        self, state: Path, clock: Clock, endurance_bytes: int | None, root: Path = Path("/")
    ) -> None:
        self._root = root
        self._clock = clock
        self._endurance = endurance_bytes
        self._card: Card | None = card_under(state, root)
        self._wear = Wear()

    def sample(self) -> None:
        """Look how much was written by now."""
        now = self._now()
        if now is not None:
            self._wear.sample(now)

    def report(self) -> CardReport | None:
        """What is known now; None where the state lies on no device. Of a disk nothing is assumed."""
        card, now = self._card, self._now()
        if card is None or now is None:
            return None
        rate = self._wear.rate(now) or since_start(now.device, uptime_s(self._root))
        endurance, source = self._endurance, "[monitor] card-endurance"
        if endurance is None and card.kind != "disk":
            endurance, source = card.size_bytes * FILLS, _ASSUMED
        left = None if endurance is None or rate is None else left_s(endurance, card.used, rate)
        if card.kind == "disk" and endurance is None:
            why = f"how much {card.name} bears is not known: [monitor] card-endurance"
        elif rate is None:
            why = "not known: it was watched for too short"
        elif left is None:
            why = "nothing is written to it"
        else:
            why = ""
        return CardReport(
            device=card.name,
            kind=card.kind,
            size_bytes=card.size_bytes,
            written_bytes=now.device,
            bytes_a_day=None if rate is None else rate.device,
            own_bytes_a_day=None if rate is None else rate.own,
            measured_s=0.0 if rate is None else rate.measured_s,
            endurance_bytes=endurance,
            endurance_from=None if endurance is None else source,
            used=card.used,
            failing=card.failing,
            left_s=left,
            why=why,
        )

    def _now(self) -> Written | None:
        written = None if self._card is None else self._card.written_bytes()
        return None if written is None else Written(self._clock.monotonic(), written, process.stored_bytes())
