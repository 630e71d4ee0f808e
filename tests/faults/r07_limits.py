"""R07: what is dropped is exactly what a model says, and each of it lies under one signed tombstone.

The model is a plain list and the rules in words, `tests/faults/limits_model.py`; the real thing is the machine, the
outbox and SQLite, and a receiver that takes what is handed over. Hypothesis looks for a history in which they differ.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kos_edge.delivery.limits import Limit, Limits, WhenFull
from kos_edge.delivery.receipts import Settled
from kos_edge.errors import Unavailable
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.message import Reason
from kos_edge.klp.pack import Class, Message, Pack, Priority, prepare, unseal
from kos_edge.klp.tombstone import Tombstone, unseal_tombstone
from kos_edge.store.journal import Incoming
from kos_edge.store.outbox import Stamp
from kos_edge.store.store import Store
from tests.faults.limits_model import Model, Standing
from tests.faults.rows import Sweep, row

KEY = KeyPair.from_seed(bytes(range(32)))
MESH = bytes(range(32))
STEPS = 30
NOW = Stamp(1_000, None, None)

LANES = st.tuples(
    st.sampled_from(("hub", "all")), st.builds(Class, st.sampled_from(Priority), st.just(True), st.booleans())
)
BOUNDS = st.none() | st.integers(1, 40)
BYTES = st.none() | st.integers(200, 6_000)
LIMIT = st.builds(Limit, BOUNDS, BYTES)
LIMITS = st.builds(
    Limits, LIMIT, st.dictionaries(st.sampled_from(Priority), LIMIT, max_size=2), st.sampled_from(WhenFull)
)


class Histories(RuleBasedStateMachine):
    """Appends, receipts, restarts, and hand-overs, in any order."""

    tried: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(":memory:")
        self.store.own(KEY.kid)
        self.hub = Store(":memory:")
        self.starts = 0
        self.accepted = 0
        self.model = Model(Limits())
        type(self).tried += 1

    @initialize(limits=LIMITS)
    def begin(self, limits: Limits) -> None:
        self.model = Model(limits)
        self.store.outbox.limits = limits
        self.restart()

    @rule(lane=LANES, sizes=st.lists(st.integers(0, 500), min_size=1, max_size=6))
    def append(self, lane: tuple[str, Class], sizes: list[int]) -> None:
        messages = [prepare(Message("a.b", Data("x" * size))) for size in sizes]
        outbox = self.store.outbox
        (result,) = self.store.database.transact(
            [lambda: outbox.append(KEY, MESH, lane, messages, NOW, settle=False)]
        )
        taken = self.model.append(lane, outbox.epoch, sizes)
        assert isinstance(result, Unavailable) == (not taken), f"{result!r}, the model says {taken}"
        if not isinstance(result, Exception):
            self.accepted += len(sizes)

    @rule(share=st.floats(0, 1))
    def receipt(self, share: float) -> None:
        """A final receipt for a part of the first stream that is owed."""
        owed = self.store.outbox.owed()
        if owed:
            stream = owed[0].stream
            held = owed[0].first - 1 + round(share * (owed[0].last - owed[0].first + 1))
            self._hand_over(held_of=(stream, held))

    @rule()
    def restart(self) -> None:
        self.starts += 1
        random = self.starts.to_bytes(4, "big")
        self.store.database.transact([lambda: self.store.outbox.open_epoch(lambda n: random[:n])])
        self.store.streams.load()
        self.store.outbox.load((KEY.kid,))

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        real = [
            Standing(
                owed.stream.audience,
                owed.stream.cls.code,
                owed.stream.epoch,
                each.first,
                each.last,
                each.gone is not None,
            )
            for owed in self.store.outbox.owed()
            for each in self.store.outbox.waiting(owed.stream)
        ]
        assert sorted(real) == sorted(self.model.standing())
        assert self.store.outbox.usage.messages == self.model.messages()

    def teardown(self) -> None:
        self._hand_over()
        delivered, gone = 0, 0
        for entry in self.hub.packs.read(0, 1_000_000):
            if isinstance(entry.pack, Pack):
                delivered += entry.pack.count
            else:
                gone += entry.last - entry.first + 1
        assert (delivered + gone, gone) == (self.accepted, self.model.dropped)
        assert not self.store.outbox.owed()

    def _hand_over(self, held_of: Any = None) -> None:
        """Ship what is owed to the hub, verified; settle what it holds."""
        for owed in self.store.outbox.owed():
            if held_of is not None and owed.stream != held_of[0]:
                continue
            batch = []
            for load in self.store.outbox.take(owed.stream, owed.first - 1, 1 << 30, NOW, 0.0):
                if held_of is not None and load.last > held_of[1]:
                    break
                tomb = load.pack[:1] == b"\x84"
                opened = (unseal_tombstone if tomb else unseal)(load.pack, KEY.public, MESH)
                if isinstance(opened, Tombstone):
                    assert opened.reason is Reason.DROPPED
                batch.append(Incoming(opened, 0))
            if not batch:
                continue
            self.hub.database.transact([partial(self.hub.journal.take_in, batch, 0)])
            held = self.hub.journal.receipt(owed.stream).held
            assert held == batch[-1].pack.last, "a chain that does not go on over a tombstone"
            self.store.database.transact([partial(self.store.outbox.settle, Settled(owed.stream, held))])
            self.model.settle(owed.stream.audience, owed.stream.cls, owed.stream.epoch, held)


@row("R07", "limits and policies: the victims of a model, a tombstone each")
def sweep(run: Sweep) -> None:
    Histories.tried = 0
    form = settings(
        max_examples=run.share(full=4_000, bounded=60),
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    try:
        run_state_machine_as_test(seed(run.seed)(Histories), settings=form)
    except AssertionError as error:
        run.wrong(f"seed {run.seed}: {error}\n" + "\n".join(getattr(error, "__notes__", ())))
    run.case(Histories.tried)
