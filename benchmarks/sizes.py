"""Subjects: what a message costs when much is queued already."""

from __future__ import annotations

import os
import time
from contextlib import closing

from benchmarks.device import FIELDS, reading
from benchmarks.processes import resident_mb
from benchmarks.row import Run
from kos_edge.delivery.receipts import Settled
from kos_edge.klp import senml
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, prepare
from kos_edge.store.outbox import Appended, Stamp
from kos_edge.store.store import Store

FEW, MANY = 1_000, 1_000_000
BLOCK = 1_000  # messages in one commit
ROUNDS = 5  # blocks of which the quickest counts: what disturbs only adds


def queue(run: Run) -> float:
    """What a message costs to append, load and settle with a million queued, beside a thousand; 1 is the same.

    The memory that each queued message keeps is noted, in bytes: an outbox knows the place of every pack.
    """
    key, stamp = KeyPair.from_seed(bytes(32)), Stamp(1, 1_700_000_000_000, 100)
    records = [senml.records(reading(number), fields=FIELDS) for number in range(BLOCK)]
    messages = [prepare(Message("bench.air", Data(each, senml.CONTENT_FORMAT))) for each in records]
    many = run.size(MANY, 50_000)
    with closing(Store(run.folder / "kos.db")) as store:
        store.own(key.kid)
        store.database.transact([lambda: store.outbox.open_epoch(bytes)])
        loaded = settled = 0

        def append() -> None:
            def work() -> Appended:
                return store.outbox.append(key, bytes(32), ("hub", Class()), messages, stamp, settle=False)

            store.database.transact([work])

        def turn() -> float:
            """One block in and one block out, in milliseconds: the queue stays as long as it is."""
            nonlocal loaded, settled
            began = time.perf_counter()
            append()
            [owed] = store.outbox.owed()
            while loaded < settled + BLOCK:
                loaded = store.outbox.take(owed.stream, loaded, 64_000, stamp, 0.0)[-1].last
            settled += BLOCK
            store.database.transact([lambda: store.outbox.settle(Settled(owed.stream, settled))])
            return (time.perf_counter() - began) * 1e3

        append()
        few = min(turn() for _ in range(ROUNDS))
        before = resident_mb(os.getpid())
        for _ in range(many // BLOCK - 1):
            append()
        run.notes["bytes_a_message"] = (resident_mb(os.getpid()) - before) * 1e6 / many
        run.notes["ms_a_thousand"] = few
        return min(turn() for _ in range(ROUNDS)) / few
