"""Volatile streams: in memory, sent at once, lost with the process or the link, and never in anybody's way.

Machines. At the source a bounded ring of sealed packs; the oldest fall out, counted. At the receiver only the highest
number of each stream, so that nothing is handed over twice; what comes late is passed over.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from kos_edge.delivery.load import Load
from kos_edge.delivery.receipts import Settled
from kos_edge.delivery.wire import Reach, Receipt
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Message, Pack, Prepared, Stream, packed, sealed

RING_BYTES = 256 * 1024  # of sealed packs that wait for a link, of all streams together
MAX_STREAMS = 4_096  # whose highest number a receiver remembers; the one not heard of for longest goes first


@dataclass(slots=True)
class VolatileRing:
    """What this node has published volatile and not handed over yet."""

    key: KeyPair
    dropped: int = 0
    _numbers: dict[Stream, int] = field(default_factory=dict)
    _newest: dict[str, Load] = field(default_factory=dict)
    _packs: deque[Load] = field(default_factory=deque)
    _bytes: int = 0

    def append(
        self,
        mesh: bytes,
        stream: Stream,
        messages: Sequence[Message | Prepared],
        *,
        mono_ms: int,
        wall_ms: int | None,
        uncertainty_ms: int | None,
        now: float,
        keep: bool,
        newest_of: str | None = None,
    ) -> tuple[int, list[Pack]]:
        """Number and seal; the first number and the packs. With `keep` they wait for a link.

        One message that is the `newest_of` something takes the place of the one before, where that still waits.
        """
        first = self._numbers.get(stream, 0) + 1
        packs: list[Pack] = []
        for each, _ in packed(stream, first, messages):
            each.seal(
                prev=None,
                mono_ms=mono_ms,
                wall_ms=wall_ms,
                uncertainty_ms=uncertainty_ms,
                key=self.key,
                mesh=mesh,
            )
            packs.append(sealed(each))
        self._numbers[stream] = packs[-1].last
        if keep:
            self._replace(newest_of)
            for pack in packs:
                self._packs.append(Load(stream, pack.first, pack.last, pack.raw, 0, now))
                self._bytes += len(pack.raw)
            if newest_of is not None:
                self._newest[newest_of] = self._packs[-1]
            while self._bytes > RING_BYTES:
                gone = self._packs.popleft()
                self._bytes -= len(gone.pack)
                self.dropped += gone.last - gone.first + 1
        return first, packs

    def _replace(self, name: str | None) -> None:
        before = None if name is None else self._newest.pop(name, None)
        if before is not None and before in self._packs:
            self._packs.remove(before)
            self._bytes -= len(before.pack)

    def clear(self) -> None:
        """Nobody is left to hand it to."""
        self.dropped += sum(load.last - load.first + 1 for load in self._packs)
        self._packs.clear()
        self._bytes = 0

    def audiences(self) -> set[str]:
        """Whom something waits for."""
        return {load.stream.audience for load in self._packs}

    def take(self, loaded: dict[Stream, int]) -> list[Load]:
        """What waits beyond the numbers in `loaded`."""
        return [load for load in self._packs if load.last > loaded.get(load.stream, 0)]

    def settle(self, settled: Settled) -> None:
        """It has been handed over."""
        if settled.stream.cls.durable:
            return
        kept = deque(
            load for load in self._packs if load.stream != settled.stream or load.last > settled.held
        )
        self._bytes += sum(len(load.pack) for load in kept) - sum(len(load.pack) for load in self._packs)
        self._packs = kept


@dataclass(slots=True)
class VolatileIntake:
    """The highest number seen of each volatile stream."""

    _seen: OrderedDict[Stream, int] = field(default_factory=OrderedDict)

    def take(self, pack: Pack) -> bool:
        """Whether the pack is news; it counts as seen from then on."""
        seen = self._seen.pop(pack.stream, 0)
        self._seen[pack.stream] = max(seen, pack.last)
        if len(self._seen) > MAX_STREAMS:
            self._seen.popitem(last=False)
        return pack.first > seen

    def receipt(self, stream: Stream) -> Receipt:
        """Handed to the application, never on disk."""
        return Receipt(stream, self._seen.get(stream, 0), (), (), Reach.VOLATILE)
