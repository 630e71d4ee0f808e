"""What a receipt lets its source do."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.delivery.wire import Reach, Refusal
from kos_edge.klp.pack import Stream


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything of `stream` up to `held` is safe at `reach`; the refused numbers will never be.

    Of a fresh-first stream so are the `ranges` beyond it.
    """

    stream: Stream
    held: int
    refusals: tuple[Refusal, ...] = ()
    reach: Reach = Reach.FINAL
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def final(self) -> bool:
        """Whether the source may let go."""
        return self.reach is not Reach.CUSTODY
