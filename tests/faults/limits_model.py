"""The model of R07: the rules of limits in words, on a plain list, with none of the product's machinery for them."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.delivery.limits import Limit, Limits, WhenFull
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Boundary, Class, Message, Packer, Priority, Stream

KEY = KeyPair.from_seed(bytes(range(32)))


@dataclass(frozen=True, order=True, slots=True)
class Standing:
    """A pack, or a tombstone, that waits."""

    audience: str
    cls_code: int
    epoch: int
    first: int
    last: int
    gone: bool


@dataclass(slots=True)
class Slot:
    """One pack as it arrived; the list has them in that order."""

    audience: str
    cls: Class
    epoch: int
    first: int
    count: int
    size: int
    gone: bool = False

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class Model:
    """What waits, by the rules of docs/configuration.md."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.slots: list[Slot] = []
        self.next: dict[tuple[str, Class, int], int] = {}
        self.dropped = 0

    def append(self, lane: tuple[str, Class], epoch: int, sizes: list[int]) -> bool:
        """Whether it is taken. What has to go for it is gone then."""
        new = self._packs(lane, epoch, sizes)
        goes = self._make_room(lane[1].priority, new)
        if goes is None:
            return False
        for slot in goes:
            slot.gone = True
            self.dropped += slot.count
        self.slots += new
        self.next[*lane, epoch] = new[-1].last + 1
        return True

    def settle(self, audience: str, cls: Class, epoch: int, held: int) -> None:
        """Up to there it is safe elsewhere."""
        key = (audience, cls, epoch)
        self.slots = [s for s in self.slots if (s.audience, s.cls, s.epoch) != key or s.last > held]

    def messages(self) -> int:
        """How many messages wait."""
        return sum(slot.count for slot in self.slots if not slot.gone)

    def standing(self) -> list[Standing]:
        """Everything that waits; what is gone and lies side by side is one."""
        found: list[Standing] = []
        for lane in sorted({(s.audience, s.cls.code, s.epoch) for s in self.slots}):
            run: list[Standing] = []
            for slot in sorted(
                (s for s in self.slots if (s.audience, s.cls.code, s.epoch) == lane), key=lambda s: s.first
            ):
                if slot.gone and run and run[-1].gone:
                    run[-1] = Standing(*lane, run[-1].first, slot.last, True)
                else:
                    run.append(Standing(*lane, slot.first, slot.last, slot.gone))
            found += run
        return found

    def _make_room(self, priority: Priority, new: list[Slot]) -> list[Slot] | None:
        """What goes for it, None where it is refused. Its own priority's limit first, then the whole queue's."""
        goes: list[Slot] = []
        policy = self.limits.when_full
        for limit, scope in (
            (self.limits.by_priority.get(priority, Limit()), {priority}),
            (self.limits.whole, set(Priority)),
        ):
            waits = [slot for slot in self.slots if not slot.gone and slot.cls.priority in scope]
            may_go = [slot for slot in waits if slot not in goes]
            if scope != {priority}:
                may_go = [slot for slot in may_go if self._may_go(slot.cls.priority, priority)]
                if policy is WhenFull.DROP_LOWEST:
                    may_go.sort(key=lambda slot: slot.cls.priority)
            while not self._fits(limit, [slot for slot in waits if slot not in goes] + new):
                if policy is WhenFull.REJECT or not may_go:
                    return None
                goes.append(may_go.pop(0))
        return goes

    def _may_go(self, victim: Priority, arriving: Priority) -> bool:
        if self.limits.when_full is WhenFull.DROP_LOWEST:
            return victim <= arriving
        return victim < Priority.CRITICAL or arriving == Priority.CRITICAL

    @staticmethod
    def _fits(limit: Limit, slots: list[Slot]) -> bool:
        messages, size = sum(slot.count for slot in slots), sum(slot.size for slot in slots)
        return (limit.messages is None or messages <= limit.messages) and (
            limit.bytes is None or size <= limit.bytes
        )

    def _packs(self, lane: tuple[str, Class], epoch: int, sizes: list[int]) -> list[Slot]:
        """The packs that these messages make, for their sizes."""
        stream = Stream(KEY.kid, *lane, epoch)
        start = self.next.get((*lane, epoch), 1)
        packers = [Packer(stream, start)]
        for size in sizes:
            message = Message("a.b", Data("x" * size))
            if not packers[-1].add(message):
                packers.append(Packer(stream, packers[-1].first + packers[-1].count))
                packers[-1].add(message)
        return [Slot(*lane, epoch, p.first, p.count, self._size(p)) for p in packers]

    def _size(self, packer: Packer) -> int:
        before = next(
            (
                Boundary(epoch, number - 1, bytes(16))
                for (audience, cls, epoch), number in sorted(self.next.items(), key=lambda i: -i[0][2])
                if (audience, cls) == (packer.stream.audience, packer.stream.cls)
            ),
            None,
        )
        prev = bytes(16) if packer.first > 1 else before
        sealed = packer.seal(
            prev=prev, mono_ms=1_000, wall_ms=None, uncertainty_ms=None, key=KEY, mesh=bytes(32)
        )
        return len(sealed)
