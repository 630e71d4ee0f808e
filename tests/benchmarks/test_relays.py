"""The relays do what a seed says, the same each time, and hold no more than they may."""

from __future__ import annotations

import random
import socket
import threading

import pytest

from benchmarks.relays import tcp, udp
from benchmarks.relays.tcp import Cut

BAD = udp.Faults(loss=0.1, duplicate=0.1, reorder=0.3, delay=0.02, jitter=0.01)
MANY = 10_000
PATIENCE_S = 10.0


def drawn(seed: int, faults: udp.Faults = BAD) -> tuple[list[list[float]], udp.Carried]:
    lots, carried = udp.Lots(faults, seed), udp.Carried()
    return [lots.draw(carried) for _ in range(MANY)], carried


def test_a_seed_draws_the_same_fate_for_every_datagram_each_time() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_the_shares_are_those_that_were_asked_for() -> None:
    fates, carried = drawn(1)
    assert carried.lost == sum(not fate for fate in fates) == pytest.approx(0.1 * MANY, rel=0.1)
    assert carried.duplicated == sum(len(fate) == 2 for fate in fates) == pytest.approx(0.09 * MANY, rel=0.1)
    assert all(0.01 <= delay <= 0.16 for fate in fates for delay in fate)


def test_datagrams_come_through_a_relay_process_both_ways_and_are_counted() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
    ):
        far.bind(("127.0.0.1", 0))
        for wire in (far, near):
            wire.settimeout(PATIENCE_S)
        with udp.relaying(far.getsockname()[1], udp.Faults(duplicate=1.0), seed=1) as relay:
            near.sendto(b"there", ("127.0.0.1", relay.port))
            data, back = far.recvfrom(100)
            assert (data, far.recvfrom(100)[0]) == (b"there", b"there")
            far.sendto(b"back", back)
            assert (near.recv(100), near.recv(100)) == (b"back", b"back")
    assert relay.carried == udp.Carried(datagrams=2, bytes=9, duplicated=2)


@pytest.fixture
def echo() -> int:
    """The port of a server that says everything back."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                wire, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(wire,), daemon=True).start()

    def answer(wire: socket.socket) -> None:
        with wire:
            while data := _received(wire):
                wire.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


def _received(wire: socket.socket) -> bytes:
    try:
        return wire.recv(100)
    except OSError:
        return b""


def seed_of(wanted: Cut) -> int:
    """A seed whose first cut is the wanted one."""
    return next(n for n in range(1_000) if random.Random(f"relay {n}").choice(list(Cut)) is wanted)


def test_a_stalled_connection_goes_on_with_every_byte_once_mended(echo: int) -> None:
    with (
        tcp.relaying(echo, seed_of(Cut.STALLED)) as relay,
        socket.create_connection(("127.0.0.1", relay.port)) as wire,
    ):
        wire.settimeout(PATIENCE_S)
        assert relay.cut() is Cut.STALLED
        wire.sendall(b"held")
        relay.mend()
        assert wire.recv(100) == b"held"


@pytest.mark.parametrize("how", [Cut.RESET, Cut.TORN])
def test_a_broken_link_ends_connections_and_takes_none_until_it_is_mended(how: Cut, echo: int) -> None:
    with tcp.relaying(echo, seed_of(how)) as relay:
        with socket.create_connection(("127.0.0.1", relay.port)) as wire:
            wire.settimeout(PATIENCE_S)
            wire.sendall(b"before")
            assert wire.recv(100) == b"before"
            assert relay.cut() is how
            if how is Cut.TORN:
                wire.sendall(b"torn")
            assert len(b"".join(iter(lambda: _received(wire), b""))) < len(b"torn")
        with socket.create_connection(("127.0.0.1", relay.port)) as wire:
            wire.settimeout(PATIENCE_S)
            assert _received(wire) == b""
        relay.mend()
        with socket.create_connection(("127.0.0.1", relay.port)) as wire:
            wire.settimeout(PATIENCE_S)
            wire.sendall(b"again")
            assert wire.recv(100) == b"again"


def test_a_relay_counts_bytes_and_segments(echo: int) -> None:
    with tcp.relaying(echo) as relay, socket.create_connection(("127.0.0.1", relay.port)) as wire:
        wire.settimeout(PATIENCE_S)
        wire.sendall(bytes(100))
        assert len(wire.recv(100)) == 100
        relay.close()
        assert relay.traffic.payload == 200
        assert relay.traffic.segments >= 3
