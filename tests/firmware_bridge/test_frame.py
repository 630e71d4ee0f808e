from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmware_bridge
from firmware_bridge import frame, slip
from firmware_bridge.frame import Coap, Decoder, Frame, Log

VECTORS = json.loads(Path(firmware_bridge.__file__).with_name("vectors").joinpath("slipmux.json").read_text())
LINES = VECTORS["lines"]

messages = st.binary(min_size=frame.COAP_HEADER, max_size=200)
hostile = st.lists(st.sampled_from([b"\xc0", b"\xdb", b"\xdc", b"\xdd", b"\xa9", b"\x0a"])).map(b"".join)
frames = st.one_of(messages.map(Coap), st.binary(max_size=200).map(Log), hostile.map(Log))


def expected(line: dict[str, Any]) -> list[Frame]:
    kinds: dict[str, type[Coap] | type[Log]] = {"coap": Coap, "log": Log}
    return [kinds[kind](bytes.fromhex(data)) for item in line["frames"] for kind, data in item.items()]


def dropped(decoder: Decoder) -> dict[str, int]:
    counts = asdict(decoder.counters)
    return {name: count for name, count in counts.items() if count and name not in ("coap", "log")}


def by_the_book(data: bytes) -> int:
    """FCS-16 bit by bit, as RFC 1662 section C.1 has it."""
    register = 0xFFFF
    for byte in data:
        for bit in range(8):
            mixed = (register ^ (byte >> bit)) & 1
            register = (register >> 1) ^ (0x8408 if mixed else 0)
    return register ^ 0xFFFF


@pytest.mark.parametrize("line", LINES, ids=[line["name"] for line in LINES])
@pytest.mark.parametrize("piece", [1, 2, 7, 100_000])
def test_a_vector_decodes_as_written_in_pieces_of_any_size(line: dict[str, Any], piece: int) -> None:
    wire = bytes.fromhex(line["wire"])
    decoder = Decoder()
    found = [item for at in range(0, len(wire), piece) for item in decoder.receive(wire[at : at + piece])]
    assert found == expected(line)
    assert dropped(decoder) == line.get("dropped", {})
    assert decoder.counters.dropped == sum(line.get("dropped", {}).values())


@pytest.mark.parametrize(
    "line",
    [line for line in LINES if len(line["frames"]) == 1 and "dropped" not in line],
    ids=lambda line: line["name"],
)
def test_a_good_vector_is_what_we_send(line: dict[str, Any]) -> None:
    assert frame.encode(expected(line)[0]).strip(slip.END) == bytes.fromhex(line["wire"]).strip(slip.END)


@pytest.mark.parametrize("case", VECTORS["fcs16"], ids=lambda case: case["fcs"])
def test_the_checksum_is_the_one_of_hdlc(case: dict[str, str]) -> None:
    assert frame.fcs16(bytes.fromhex(case["data"])) == int(case["fcs"], 16)


@given(st.binary(max_size=300))
def test_the_checksum_is_the_one_computed_bit_by_bit(data: bytes) -> None:
    assert frame.fcs16(data) == by_the_book(data)


@given(st.binary(max_size=100))
def test_data_with_its_checksum_leaves_the_good_residue(data: bytes) -> None:
    whole = data + frame.fcs16(data).to_bytes(2, "little")
    assert frame.fcs16(whole) ^ 0xFFFF == 0xF0B8


@given(st.lists(frames, max_size=6), st.lists(st.integers(1, 40), max_size=60))
def test_what_is_sent_arrives_whatever_the_chunking(sent: list[Frame], cuts: list[int]) -> None:
    wire = b"".join(map(frame.encode, sent))
    decoder = Decoder()
    found: list[Frame] = []
    for cut in cuts:
        found += decoder.receive(wire[:cut])
        wire = wire[cut:]
    found += decoder.receive(wire)
    assert found == sent
    assert decoder.counters.dropped == 0


@given(st.binary(max_size=400), messages)
def test_any_garbage_is_over_at_the_next_end(garbage: bytes, message: bytes) -> None:
    decoder = Decoder()
    decoder.receive(garbage)
    assert decoder.receive(frame.encode(Coap(message)))[-1:] == [Coap(message)]


@given(messages, st.data())
def test_a_flipped_bit_never_gives_another_message(message: bytes, data: st.DataObject) -> None:
    wire = bytearray(frame.encode(Coap(message)))
    at = data.draw(st.integers(0, len(wire) * 8 - 1))
    wire[at // 8] ^= 1 << (at % 8)
    found = Decoder().receive(bytes(wire) + slip.END)
    assert [item for item in found if isinstance(item, Coap) and item.message != message] == []


@given(messages, st.data())
def test_a_cut_cable_costs_one_frame(message: bytes, data: st.DataObject) -> None:
    wire = frame.encode(Coap(message))
    kept = wire[: data.draw(st.integers(1, len(wire) - 1))]
    decoder = Decoder()
    before = decoder.receive(kept)
    after = decoder.receive(frame.encode(Coap(b"next")))
    assert before == []
    assert after[-1] == Coap(b"next")
    assert after[:-1] in ([], [Coap(message)])


def test_a_line_opened_anew_forgets_the_half_frame() -> None:
    decoder = Decoder()
    decoder.receive(b"\xc0\xa9\x40")
    decoder.reset()
    assert decoder.receive(frame.encode(Coap(b"next"))) == [Coap(b"next")]
    assert decoder.counters.dropped == 0


def test_a_boards_own_limit_is_kept() -> None:
    decoder = Decoder(limit=128)
    assert decoder.receive(frame.encode(Coap(bytes(128)))) == [Coap(bytes(128))]
    assert decoder.receive(frame.encode(Coap(bytes(129)))) == []
    assert decoder.receive(frame.encode(Log(bytes(129)))) == []
    assert decoder.counters.overlong == 2


def test_what_no_receiver_would_take_is_not_sent() -> None:
    with pytest.raises(ValueError, match="4 to 1152 bytes, not 3"):
        frame.encode(Coap(b"abc"))
    with pytest.raises(ValueError, match="not 1153"):
        frame.encode(Coap(bytes(1153)))
    with pytest.raises(ValueError, match="at most 1152"):
        frame.encode(Log(bytes(1153)))
