"""Subjects: what the same work costs with nothing around it. The ceiling, and what could be had of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from benchmarks.device import FIELDS, reading
from benchmarks.processes import written
from benchmarks.row import Run
from kos_edge.klp import identity, merkle, readings, senml
from kos_edge.klp.body import Data
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Message, Packer, Stream, prepare, prepare_all
from kos_edge.store.outbox import Stamp
from kos_edge.store.store import Store

OFFSET_MS = 100  # of a reading from the first of its pack, which is within the linger
GROUP = 64  # packs that share a sync at full rate: one shipment over TCP
BLOCK = 256  # readings in one job of the writer


def ceiling(run: Run) -> float:
    """Readings a second if the slower side did nothing but encode, hash, sign or verify, and commit."""
    values = [reading(number) for number in range(BLOCK)]
    slots = _slots(values)
    count = len(slots)
    key = KeyPair.from_seed(bytes(32))
    signed = bytes(150)
    signature = key.sign(signed)

    def encode() -> None:
        readings.encode(values[:count], None, FIELDS)

    def hash_all() -> None:
        merkle.root([merkle.leaf(slot) for slot in slots])

    encoding, hashing = _seconds(encode), _seconds(hash_all)
    signing = _seconds(lambda: key.sign(signed))
    verifying = _seconds(lambda: identity.verify(key.public, signature, signed))
    commit = _commit(run, count)
    sender, receiver = encoding + hashing + signing + commit, hashing + verifying + commit
    run.notes.update(
        pack=count,
        encode_us=encoding / count * 1e6,
        hash_us=hashing / count * 1e6,
        sign_us=signing / count * 1e6,
        verify_us=verifying / count * 1e6,
        commit_us=commit / count * 1e6,
    )
    return count / max(sender, receiver)


def _slots(values: list[dict[str, float]]) -> list[bytes]:
    """The messages of the first pack of these readings: as many as fit a datagram."""
    block = readings.encode(values, None, FIELDS)
    assert block is not None
    [ready] = prepare_all("bench.air", block, [OFFSET_MS] * len(values))
    packer = Packer(Stream(bytes(16), "hub", Class(), 1), 2)
    return [ready.head(0) + tail for tail in ready.tails[: packer.take(ready)]]


def appends(run: Run) -> float:
    """Readings a second that one writer makes durable in packs: numbered, sealed, inserted, synced."""
    return _append(run, BLOCK, run.size(200, 20))[0]


def one_commit_each(run: Run) -> float:
    """Bytes in write calls for each reading that is committed alone."""
    return _append(run, 1, run.size(2_000, 200))[1]


def _append(run: Run, size: int, jobs: int) -> tuple[float, float]:
    """Readings a second, and bytes written for each, so many in a commit."""
    key, stamp = KeyPair.from_seed(bytes(32)), Stamp(1, 1_700_000_000_000, 100)
    records = [senml.records(reading(number), fields=FIELDS) for number in range(size)]
    messages = [prepare(Message("bench.air", Data(each, senml.CONTENT_FORMAT))) for each in records]
    with closing(Store(run.folder / "kos.db")) as store:
        store.own(key.kid)
        store.database.transact([lambda: store.outbox.open_epoch(bytes)])

        def job() -> object:
            return store.outbox.append(key, bytes(32), ("hub", Class()), messages, stamp, settle=False)

        began, before = time.perf_counter(), written(os.getpid())
        for _ in range(jobs):
            store.database.transact([job])
        took, wrote = time.perf_counter() - began, written(os.getpid()) - before
    return jobs * size / took, wrote / jobs / size


def edhoc(run: Run) -> float:
    """Handshakes a second if a hub did nothing but the signatures and the key agreement of one."""
    key, other = KeyPair.from_seed(bytes(32)), KeyPair.from_seed(bytes([1]) * 32)
    data, public = bytes(200), X25519PrivateKey.generate().public_key().public_bytes_raw()
    signature = other.sign(data)

    def one() -> None:
        own = X25519PrivateKey.generate()
        own.public_key().public_bytes_raw()
        own.exchange(X25519PublicKey.from_public_bytes(public))
        key.sign(data)
        identity.verify(other.public, signature, data)
        identity.verify(other.public, signature, data)  # the membership, which an issuer signed

    return 1 / _seconds(one)


def _commit(run: Run, count: int) -> float:
    """Seconds for one pack in a table without an index, synced in groups."""
    with closing(Store(run.folder / "ceiling.db")) as store:
        raw = bytes(1_000)

        def job() -> None:
            for number in range(GROUP):
                store.packs.add(1, number, count, raw, at=0, age=None, ttl=None)

        return _seconds(lambda: store.database.transact([job]), 40) / GROUP


def _seconds(work: Callable[[], object], times: int = 300) -> float:
    """The least of five rounds: what disturbs it only adds."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter() - began) / times)
    return best
