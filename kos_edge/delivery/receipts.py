"""What a receipt lets its source do."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.delivery.wire import Reach, Refusal
from kos_edge.klp.pack import Stream


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything of `stream` up to `held` is safe at `reach`; the refused numbers will never be."""

    stream: Stream
    held: int
    refusals: tuple[Refusal, ...] = ()
    reach: Reach = Reach.FINAL

    @property
    def final(self) -> bool:
        """Whether the source may let go."""
        return self.reach is not Reach.CUSTODY
