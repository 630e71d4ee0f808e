"""Subjects: what a message costs when much is queued already, and what a hub costs when it knows many members."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

from benchmarks.delivery import SIGN_EACH
from benchmarks.device import FIELDS, reading
from benchmarks.processes import cpu_s, resident_mb
from benchmarks.rig import rig
from benchmarks.row import Run
from kos_edge.delivery.receipts import Settled
from kos_edge.klp import senml
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, prepare
from kos_edge.mesh.claims import Role
from kos_edge.node.keyfile import find_key
from kos_edge.node.statedir import STORE_NAME, StateDir
from kos_edge.node.trust import MEMBER, Trust
from kos_edge.store.outbox import Appended, Stamp
from kos_edge.store.store import Store

FEW, MANY = 1_000, 1_000_000
BLOCK = 1_000  # messages in one commit
MEMBERS = (10, 100, 1_000)
STARTS = 3  # of a hub, of which the quickest counts
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


def members(run: Run) -> float:
    """Processor time of a hub for one handshake where it has 1,000 members, beside 10; 1 is the same.

    Noted are the same for a delivered pack, and by how much each member lengthens a start (ms of processor time) and
    how much memory it keeps (kB), of the last 900 and of the first 90: where they are alike, the cost is linear.
    """
    shakes, packs = run.size(1_500, 200), run.size(10_000, 2_000)
    found: list[dict[str, float]] = []
    for count in MEMBERS:
        folder = run.folder / str(count)
        folder.mkdir()
        with rig(Run(folder, run.short, run.round), SIGN_EACH) as parts:
            parts.hub.stop()
            _admit(parts.hub.state, count - 2)  # besides the hub and the device
            starts = []
            for number in range(STARTS):
                if number:
                    parts.hub.stop()
                parts.hub.start()
                starts.append(cpu_s(parts.hub.pid))
            memory = resident_mb(parts.hub.pid)
            shaking = parts.ask("shake", str(shakes))["hub_cpu_s"]
            carrying = parts.ask("flood", str(packs), "--udp")["hub_cpu_s"]
        found.append({"start": min(starts), "memory": memory, "handshake": shaking, "pack": carrying})
    few, some, many = found
    run.notes["pack_times"] = many["pack"] / few["pack"]
    for name, scale in (("start", 1e3), ("memory", 1e3)):
        run.notes[f"{name}_each"] = (many[name] - some[name]) * scale / (MEMBERS[2] - MEMBERS[1])
        run.notes[f"{name}_each_of_few"] = (some[name] - few[name]) * scale / (MEMBERS[1] - MEMBERS[0])
    run.notes["handshake_ms"] = few["handshake"] / shakes * 1e3
    run.notes["handshake_ms_of_many"] = many["handshake"] / shakes * 1e3
    return many["handshake"] / few["handshake"]


def _admit(path: Path, count: int) -> None:
    """So many more members in the roster of the hub in `path`, which does not run."""
    state = StateDir.open(path)
    with state.lock(), closing(Store(path / STORE_NAME)) as store:
        trust = Trust(find_key(state.key_file).value)
        trust.load(store, 0.0)
        assert trust.admission is not None
        issuer, at = trust.admission.issuer, trust.at()
        keys = [KeyPair.from_seed(number.to_bytes(32)) for number in range(1, count + 1)]
        admitted = [issuer.admit(key.public, f"bench-{n}", Role.EDGE, at=at) for n, key in enumerate(keys)]

        def work() -> None:
            for member in admitted:
                store.records.put(MEMBER, member.kid, member.cwt)

        store.database.transact([work])
