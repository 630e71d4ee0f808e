"""64 KiB through our own protect and unprotect in one CoAP-over-TCP message, and the same through aiocoap.

    python -m benchmarks.oscore_64k [--rounds N] [--json]

Prints the figures that `docs/adr/0003-64-kib-in-one-oscore-message.md` rests on. Both ways run in one process
over the same wire in memory: framing, protection and reassembly are real, sockets are left out, since they
are the same for both. `ours` is one message. `aiocoap` is what its OSCORE transport does over TCP: the body
cut into inner Block1 blocks of 1,024 bytes, each protected, sent, answered with 2.31 and put together by
its own code.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiocoap import CHANGED, CONTINUE, POST, Message, error, oscore
from aiocoap.blockwise import Block1Spool
from aiocoap.message import Direction
from aiocoap.transports import tcp as judge_tcp

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.transport import coap, framing
from kos_edge.transport.coap import OSCORE, Request, Response
from kos_edge.transport.framing import Stream
from kos_edge.transport.oscore import OscoreOption, SecurityContext

BODY = bytes(range(256)) * 256
SMALL = BODY[:1_000]
CHACHA, CCM, SHA_256 = 24, 10, -16


@dataclass
class Figures:
    """One way of carrying one body; times are the median of all rounds."""

    way: str
    body: int
    messages: int
    wire_bytes: int
    round_trips: int
    milliseconds: float


class Core(oscore.CanProtect, oscore.CanUnprotect, oscore.SecurityContextUtils):  # type: ignore[misc]
    """aiocoap's OSCORE core with our keys."""

    id_context = None
    echo_recovery = None

    def __init__(self, keys: OscoreKeys) -> None:
        name = {CHACHA: "ChaCha20/Poly1305", CCM: "AES-CCM-16-64-128"}[keys.aead]
        self.alg_aead = oscore.algorithms[name]
        self.hashfun = oscore.hashfunctions["sha256"]
        self.sender_id, self.recipient_id = keys.sender_id, keys.recipient_id
        self.derive_keys(keys.master_salt, keys.master_secret)
        self.sender_sequence_number = 0
        self.recipient_replay_window = oscore.ReplayWindow(1_024, lambda: None)
        self.recipient_replay_window.initialize_empty()

    def post_seqnoincrease(self) -> None:
        pass


def keys(aead: int) -> tuple[OscoreKeys, OscoreKeys]:
    """The same context as client and server see it."""
    return (
        OscoreKeys(bytes(16), bytes(8), b"\x01", b"\x02", aead, SHA_256),
        OscoreKeys(bytes(16), bytes(8), b"\x02", b"\x01", aead, SHA_256),
    )


class Ours:
    """Our framing and our protection on both ends of a wire in memory."""

    def __init__(self, aead: int) -> None:
        client, server = keys(aead)
        self._client, self._server = SecurityContext(client), SecurityContext(server)
        self._to_server, self._to_client = Stream(), Stream()
        for stream in (self._to_server, self._to_client):
            stream.authenticate()
        self._to_client.receive(self._to_server.pending())
        self._to_server.receive(self._to_client.pending())

    def carry(self, body: bytes) -> Figures:
        """One request and its answer."""
        option, payload, binding = self._client.protect_request(Request(coap.POST, "/klp", body))
        self._to_client.send(coap.Message(coap.POST, b"tokn", ((OSCORE, option),), payload))
        there = self._to_client.pending()
        self._to_server.receive(there)
        [asked] = self._to_server.messages()
        got, bound = self._server.unprotect_request(
            OscoreOption.read(asked.option(OSCORE) or b""), asked.payload
        )
        assert got.payload == body
        option, payload = self._server.protect_response(bound, Response(coap.CHANGED, b"receipt"))
        self._to_server.send(coap.Message(coap.CHANGED, asked.token, ((OSCORE, option),), payload))
        back = self._to_server.pending()
        self._to_client.receive(back)
        [told] = self._to_client.messages()
        value = OscoreOption.read(told.option(OSCORE) or b"")
        assert self._client.unprotect_response(binding, value, told.payload).payload == b"receipt"
        return Figures("ours, one message", len(body), 2, len(there) + len(back), 1, 0.0)


class Aiocoap:
    """aiocoap's codec, framing, protection and reassembly, block by block as its OSCORE transport sends
    them.
    """

    def __init__(self, aead: int) -> None:
        client, server = keys(aead)
        self._client, self._server = Core(client), Core(server)

    def carry(self, body: bytes) -> Figures:
        """One body in as many blocks as it takes."""
        spool = Block1Spool()
        whole = Message(code=POST, uri_path=("klp",), payload=body)
        sent = wire = number = 0
        while True:
            block = whole._extract_block(number, 6, 1_024) if len(body) > 1_024 else whole
            outer, asked = self._client.protect(block)
            outer.token = b"tokn"
            there = judge_tcp._serialize(outer)
            inner, bound = self._server.unprotect(_received(there))
            inner.remote = _REMOTE
            answer = Message(code=CHANGED, payload=b"receipt")
            try:
                got = spool.feed_and_take(inner) if len(body) > 1_024 else inner
                assert got.payload == body
            except error.ConstructionRenderableError as more:  # its way to say 2.31 Continue
                answer = more.to_message()
            protected, _ = self._server.protect(answer, bound)
            protected.token = b"tokn"
            back = judge_tcp._serialize(protected)
            told, _ = self._client.unprotect(_received(back), asked)
            sent, wire, number = sent + 2, wire + len(there) + len(back), number + 1
            if told.code != CONTINUE:
                return Figures("aiocoap, inner blocks", len(body), sent, wire, sent // 2, 0.0)


class _Remote:
    """Where a block comes from, as the reassembly asks for it."""

    blockwise_key = "one"
    maximum_block_size_exp = 6
    maximum_payload_size = 1_024


_REMOTE = _Remote()


def _received(frame: bytes) -> Any:
    message = judge_tcp._decode_message(frame)
    message.direction = Direction.INCOMING
    return message


def measure(carry: Callable[[bytes], Figures], body: bytes, rounds: int) -> Figures:
    """The figures of one way, with the median time of a round."""
    figures = carry(body)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        carry(body)
        times.append(time.perf_counter() - start)
    figures.milliseconds = round(statistics.median(times) * 1_000, 3)
    return figures


async def measure_all(rounds: int) -> dict[str, list[Figures]]:
    """All ways and bodies by suite; in a loop, because aiocoap's reassembly sets timers."""
    results = {}
    for name, aead in (("ChaCha20/Poly1305 (suite 4)", CHACHA), ("AES-CCM-16-64-128 (suite 0)", CCM)):
        large = BODY if aead == CHACHA else BODY[:65_000]
        ways: list[Ours | Aiocoap] = [Ours(aead), Aiocoap(aead)]
        results[name] = [measure(way.carry, body, rounds) for body in (SMALL, large) for way in ways]
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oscore_64k")
    parser.add_argument("--rounds", type=int, default=50, help="how often each body is carried")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    results = asyncio.run(measure_all(options.rounds))
    digest = hashlib.sha256(BODY).hexdigest()[:16]
    if options.json:
        rows = {name: [asdict(figures) for figures in found] for name, found in results.items()}
        print(json.dumps({"body_sha256": digest, "max_frame": framing.MAX_AFTER, "ways": rows}))
        return 0
    print(f"body of {len(BODY):,} bytes, SHA-256 {digest}…; a message may have {framing.MAX_AFTER:,} bytes")
    for name, found in results.items():
        print(f"\n{name}\n{'':24}{'body':>8}{'messages':>10}{'round trips':>13}{'wire bytes':>12}{'ms':>9}")
        for row in found:
            print(
                f"{row.way:24}{row.body:>8,}{row.messages:>10}{row.round_trips:>13}"
                f"{row.wire_bytes:>12,}{row.milliseconds:>9.3f}"
            )
    limit = SecurityContext(keys(CCM)[0]).max_plaintext
    print(f"\nAES-CCM with a 13-byte nonce ends at {limit:,} bytes: 64 KiB need suite 4, or blocks.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
