from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.discovery.sighting import Advertisement, Said, instance_name, kid_of, read_txt
from kos_edge.errors import Invalid
from kos_edge.mesh.claims import Role

KID = bytes(range(16))
MESH = bytes(range(100, 132))


def wire(pairs: dict[bytes, bytes]) -> bytes:
    return b"".join(
        bytes([len(pair)]) + pair for pair in (key + b"=" + value for key, value in pairs.items())
    )


def test_a_node_is_announced_under_its_keys_hash() -> None:
    name = "000102030405060708090a0b0c0d0e0f._kos-edge._udp.local."
    assert instance_name(KID) == name
    assert kid_of(name) == KID
    assert kid_of(name.upper()) == KID


@pytest.mark.parametrize(
    "name",
    ["", "._kos-edge._udp.local.", "x._kos-edge._udp.local.", "00" * 16 + "._http._tcp.local.", "00" * 16],
)
def test_another_name_is_no_kid(name: str) -> None:
    assert kid_of(name) is None


@given(st.sampled_from(Role), st.none() | st.just(MESH), st.none() | st.integers(1, 65_535))
def test_what_a_node_says_is_what_others_read(role: Role, mesh: bytes | None, tcp: int | None) -> None:
    said = Advertisement(KID, role, mesh, 5683, tcp)
    assert read_txt(wire(said.txt)) == Said(role, mesh and mesh[:8], tcp)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ({b"role": b"hub"}, "not of version 1"),
        ({b"v": b"2"}, "not of version 1"),
        ({b"v": b"1", b"role": b"king"}, "is no role"),
        ({b"v": b"1", b"mesh": b"12"}, "16 hexadecimal digits"),
        ({b"v": b"1", b"tcp": b"0"}, "no port"),
        ({b"v": b"1", b"tcp": b"65536"}, "no port"),
        ({b"v": b"1", b"tcp": b"+5"}, "no port"),
    ],
)
def test_a_record_with_a_value_it_cannot_have_is_invalid(pairs: dict[bytes, bytes], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read_txt(wire(pairs))


def test_a_record_cut_off_or_too_long_is_invalid() -> None:
    with pytest.raises(Invalid, match="in the middle"):
        read_txt(b"\x03v=")
    with pytest.raises(Invalid, match="longer than a packet"):
        read_txt(bytes(1_301))


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert read_txt(b"\x03v=1\x03v=2\x05new=1\x04flag\x00") == Said(None, None, None)
