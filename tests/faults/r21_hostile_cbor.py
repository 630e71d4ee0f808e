"""R21: hostile CBOR: what is rejected is rejected within 1 ms and 1 MB, and by nothing but Invalid."""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Final

from kos_edge.bootstrap import message as edhoc
from kos_edge.bootstrap import wire as bootstrap
from kos_edge.delivery import wire as delivery
from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from kos_edge.klp.message import decode_message
from kos_edge.klp.pack import peek, peek_shown
from kos_edge.klp.table import Entry, form_of
from kos_edge.mesh.membership import verify_membership
from kos_edge.mesh.policy import verify_policy
from kos_edge.mesh.revocation import read_numbers, verify_revocation
from tests.faults.rows import Sweep, row
from tests.fuzz.engine import vector_bytes
from tests.fuzz.mutation import mutated

MOST_S: Final = 1e-3
MOST_BYTES: Final = 1_000_000
AGAIN: Final = 7
"""Times that a slow input is tried, of which the quickest counts: other processes share the machine's caches."""

MESH: Final = bytes(32)

TABLE: Final = (Entry("air.temperature"), Entry("b", form_of(((None, "Cel"),))))

Decoder = Callable[[bytes], object]
DECODERS: Final[dict[str, Decoder]] = {
    "a value": cbor.decode,
    "COSE_Sign1": cose.read_sign1,
    "a pack": peek,
    "a message shown alone": peek_shown,
    "a message": lambda data: decode_message(data, TABLE),
    "POST /klp": delivery.decode_ship,
    "its answer": delivery.decode_answer,
    "POST /sync": delivery.decode_sync,
    "its answer, synced": delivery.decode_synced,
    "what is held of revocations": lambda data: read_numbers(cbor.decode(data)),
    "the handshake": lambda data: bootstrap.read_sequence(data, "it"),
    "message_1": lambda data: edhoc.read_hello(data, (0, 4)),
    "a membership": lambda data: verify_membership(data, MESH),
    "a revocation": lambda data: verify_revocation(data, MESH),
    "a policy": lambda data: verify_policy(data, MESH),
}


@row("R21", "hostile CBOR: Invalid within 1 ms of processor and 1 MB", alone=True, minutes=3)
def sweep(run: Sweep) -> None:
    chance, seeds = random.Random(run.seed), vector_bytes()
    structured = list(hostile())
    for name, decoder in DECODERS.items():
        for data in structured:
            quickly(run, name, decoder, data)
        for _ in range(run.share(full=30_000, bounded=300)):
            quickly(run, name, decoder, mutated(chance.choice(seeds), seeds, chance))
    tracemalloc.start()
    try:
        for name, decoder in DECODERS.items():
            for data in structured:
                sparingly(run, name, decoder, data)
            for _ in range(run.share(full=3_000, bounded=30)):
                sparingly(run, name, decoder, mutated(chance.choice(seeds), seeds, chance))
    finally:
        tracemalloc.stop()


def quickly(run: Sweep, name: str, decoder: Decoder, data: bytes) -> None:
    """Give it to the decoder; a rejection may take a millisecond of processor time."""
    run.case()
    taken, seconds = timed(run, name, decoder, data)
    tries = 1
    while not taken and seconds > MOST_S and tries < AGAIN:
        seconds = min(seconds, timed(run, name, decoder, data)[1])
        tries += 1
    if not taken and seconds > MOST_S:
        run.wrong(f"{name} took {seconds * 1e3:.2f} ms to reject {len(data)} bytes, {data[:40].hex()}…")


def timed(run: Sweep, name: str, decoder: Decoder, data: bytes) -> tuple[bool, float]:
    """Whether it was taken, and the seconds of this thread."""
    taken = True
    gc.disable()  # a collection of everything else's garbage is not the decoder's time
    began = time.thread_time()
    try:
        decoder(data)
    except Invalid:
        taken = False
    except Exception as error:
        run.wrong(f"{name} raised {error!r} for {data.hex():.400}")
    finally:
        took = time.thread_time() - began
        gc.enable()
    return taken, took


def sparingly(run: Sweep, name: str, decoder: Decoder, data: bytes) -> None:
    """Give it to the decoder once more, and count the memory that a rejection takes at its highest."""
    run.case()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        decoder(data)
        return
    except Invalid:
        _, peak = tracemalloc.get_traced_memory()
    if peak - before > MOST_BYTES:
        run.wrong(f"{name} took {peak - before} bytes to reject {len(data)}, {data[:40].hex()}…")


def hostile() -> Iterator[bytes]:
    """What breaks decoders, by construction; as long as a stream's message may be, where length is the point."""
    full = cbor.MAX_BYTES
    for major in range(8):
        for info in range(32):
            head = bytes([major << 5 | info])
            yield head
            yield head + b"\xff" * 8
            yield head + b"\xff" * 8 + bytes(full - 9)
            yield head * 9 + b"\0"
            yield head * full
            yield (head + b"\0" * 8) * (full // 9)
    for depth in (8, 9, 100, full - 1):  # arrays and maps inside one another
        yield b"\x81" * depth + b"\0"
        yield (b"\xa1\0" * depth)[: full - 1] + b"\0"
        yield b"\x9f" * depth
    for count in (cbor.MAX_ITEMS - 1, cbor.MAX_ITEMS, cbor.MAX_ITEMS + 1, 65_000):  # many small things
        head = b"\x99" + count.to_bytes(2, "big")
        for item in (b"\0", b"\x80", b"\xa0", b"\x60", b"\x40", b"\xf6", b"\x41\0"):
            yield (head + item * count)[:full]
            yield (head + item * (count - 1) + b"\xf7")[:full]
        keys = b"".join(b"\x19" + key.to_bytes(2, "big") + b"\0" for key in range(256, 256 + count // 2))
        yield (b"\xb9" + (count // 2).to_bytes(2, "big") + keys)[:full]
        yield (b"\xb9" + (count // 2).to_bytes(2, "big") + keys[:-4] + keys[:4])[:full]
    for text in (b"\xff" * (full - 3), "\u20ac".encode() * (full // 3 - 2) + b"\xe2", b"a" * (full - 3)):
        yield b"\x79" + len(text).to_bytes(2, "big") + text + b"\0"
    yield b"\xa2\x01\0\x01\0"  # a key twice, keys out of order, long keys that differ at their end
    yield b"\xa2\x02\0\x01\0"
    long = b"\x79\x7f\xf0" + b"k" * 0x7FF0
    yield b"\xa2" + long + b"\0" + long + b"\0"
    yield b"\xc2\x59\xff\xf0" + b"\xff" * 0xFFF0  # a number of half a million bits
    yield b"\xd8\x1c\x81\xd8\x1d\0"  # a value that contains itself
    yield b"\xd8\x23\x6c(a+)+$(a+)+$"  # a regular expression
    yield b"\xfb\x7f\xf8" + bytes(6)  # NaN, and numbers that are too wide, one and many
    yield b"\x99\x10\0" + b"\xfa\x7f\xc0\0\0" * 0x1000
    yield b"\x84" + b"\x43\xa1\x01\x27" + b"\xa0" + b"\x59\xff\0" + bytes(0xFF00) + b"\x58\x40" + bytes(64)
