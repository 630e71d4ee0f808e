"""What comes in from a peer, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from kos_edge.delivery.position import Verdict
from kos_edge.delivery.wire import Reason, Receipt
from kos_edge.klp.pack import Malformed, Pack
from kos_edge.klp.pack import Reason as Removal
from kos_edge.klp.sealed import Sealed
from kos_edge.store.packs import Entry


@dataclass(frozen=True, slots=True)
class Incoming:
    """A verified pack or tombstone from a peer. `refused` are numbers that policy does not let in, with the reason."""

    pack: Sealed
    age_ms: int | None
    refused: Mapping[int, Reason] = field(default_factory=dict)


@dataclass(slots=True)
class Intake:
    """What became of a batch: receipts for its streams, and the counts by verdict.

    `gone` counts the numbers that tombstones stand for in the journal now, by their reason.
    """

    receipts: list[Receipt] = field(default_factory=list)
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    messages: int = 0
    gone: Counter[Removal] = field(default_factory=Counter)
    last_id: int = 0
    entries: list[Entry] = field(default_factory=list)
    """What was journaled, for whoever reads it next."""
    forks: list[tuple[Pack, Pack]] = field(default_factory=list)
    """What was not taken, each with what is held and contradicts it: two signatures that prove a fork."""


def malformed_of(pack: Pack) -> dict[int, Reason]:
    """The numbers in a verified pack whose message breaks the grammar."""
    return {seq: Reason.MALFORMED for seq, item in pack.others if isinstance(item, Malformed)}
