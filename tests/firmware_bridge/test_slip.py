from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import slip

escapy = st.lists(st.sampled_from([b"\xc0", b"\xdb", b"\xdc", b"\xdd", b"a"]), min_size=1).map(b"".join)


@given(escapy)
def test_a_frame_comes_back_as_it_was(frame: bytes) -> None:
    assert slip.Decoder(1000).receive(slip.encode(frame)) == [frame]


@given(escapy)
def test_an_end_stands_only_at_the_ends(frame: bytes) -> None:
    assert slip.encode(frame)[1:-1].count(slip.END) == 0


@given(escapy.filter(lambda piece: slip.END not in piece))
def test_a_piece_is_either_damage_or_escapes_back_to_itself(piece: bytes) -> None:
    frame = slip.unescape(piece)
    if not isinstance(frame, slip.Damage):
        assert slip.encode(frame) == slip.END + piece + slip.END


def test_the_bound_counts_bytes_before_escaping() -> None:
    decoder = slip.Decoder(4)
    assert decoder.receive(slip.encode(b"\xc0" * 4)) == [b"\xc0" * 4]
    assert decoder.receive(slip.encode(b"\xc0" * 5)) == [slip.Damage(slip.Fault.OVERLONG)]
    assert decoder.receive(slip.encode(b"abcde")) == [slip.Damage(slip.Fault.OVERLONG)]


def test_an_endless_frame_takes_no_memory() -> None:
    decoder = slip.Decoder(1000)
    noise = b"\x55" * 10_000
    decoder.receive(noise)
    tracemalloc.start()
    for _ in range(1000):
        assert decoder.receive(noise) == []
    assert tracemalloc.get_traced_memory()[1] < 50_000
    tracemalloc.stop()
    assert decoder.receive(slip.END) == [slip.Damage(slip.Fault.OVERLONG)]
    assert decoder.receive(slip.encode(b"good")) == [b"good"]


def test_a_bound_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        slip.Decoder(0)
