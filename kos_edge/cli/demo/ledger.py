"""The ledger: every reading in the senders' journals against the receiver's, number by number and byte by byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kos_edge.klp.pack import Message, Pack, Reason, Removed, Stream
from kos_edge.node.statedir import STORE_NAME
from kos_edge.store.store import Store

PAGE = 256


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of every accepted reading."""

    accepted: int
    delivered: int
    lost: int
    twice: int
    out_of_order: int
    altered: int
    unaccounted: int
    """At the receiver, though no sender's journal has it: what a sender forgot."""
    dropped: int = 0
    """Not delivered, and a signed record says why: dropped by policy, or expired."""


_ON_RECORD = (Reason.DROPPED, Reason.EXPIRED)


def messages(state: Path) -> Iterator[tuple[Stream, int, bytes]]:
    """Every message of a journal in its order: stream, number, and the bytes that were signed."""
    with closing(Store(state / STORE_NAME)) as store:
        after = 0
        while page := store.packs.read(after, PAGE):
            for entry in page:
                if not isinstance(entry.pack, Pack):
                    continue
                for (seq, item), slot in zip(entry.pack.messages(), entry.pack.slots, strict=True):
                    if isinstance(item, Message) and isinstance(slot, bytes):
                        yield entry.pack.stream, seq, slot
            after = page[-1].id


def gone(state: Path) -> Iterator[tuple[Stream, int]]:
    """Every number of which a journal says that it was dropped or has expired."""
    with closing(Store(state / STORE_NAME)) as store:
        after = 0
        while page := store.packs.read(after, PAGE):
            for entry in page:
                if isinstance(entry.pack, Pack):
                    for seq, item in entry.pack.messages():
                        if isinstance(item, Removed) and item.reason in _ON_RECORD:
                            yield entry.pack.stream, seq
                elif entry.pack.reason in _ON_RECORD:
                    for seq in range(entry.first, entry.last + 1):
                        yield entry.pack.stream, seq
            after = page[-1].id


def compare(senders: Iterable[Path], receiver: Path) -> Ledger:
    """Compare stopped nodes' journals. Only what was meant for the hub counts."""
    senders = list(senders)
    sent: dict[tuple[Stream, int], bytes] = {}
    for state in senders:
        for stream, seq, slot in messages(state):
            if stream.audience == "hub":
                sent[stream, seq] = slot
    buried = {key for state in senders for key in gone(state) if key[0].audience == "hub"}
    buried -= sent.keys()
    excused = buried.union(gone(receiver))
    came: Counter[tuple[Stream, int]] = Counter()
    newest: dict[Stream, int] = {}
    epochs: dict[tuple[bytes, int], int] = {}
    out_of_order = altered = 0
    for stream, seq, slot in messages(receiver):
        came[stream, seq] += 1
        lane = (stream.source, stream.cls.code)
        before = seq < newest.get(stream, 0) or stream.epoch < epochs.get(lane, 0)
        out_of_order += before and not stream.cls.fresh
        newest[stream] = max(seq, newest.get(stream, 0))
        epochs[lane] = max(stream.epoch, epochs.get(lane, 0))
        altered += (stream, seq) in sent and sent[stream, seq] != slot
    return Ledger(
        accepted=len(sent) + len(buried),
        delivered=sum(key in came for key in sent) + sum(key in came for key in buried),
        lost=sum(key not in came and key not in excused for key in sent),
        twice=sum(count - 1 for count in came.values()),
        out_of_order=out_of_order,
        altered=altered,
        unaccounted=sum(key not in sent and key not in buried for key in came),
        dropped=sum(key not in came for key in buried)
        + sum(key not in came and key in excused for key in sent),
    )
