"""Multicast DNS: anyone on the link may say anything."""

from __future__ import annotations

from kos_edge.discovery.sighting import instance_name, kid_of, read_txt
from kos_edge.discovery.static import parse_peer

SEEDS = [
    b"\x03v=1\x08role=hub\x15mesh=0011223344556677\x08tcp=5684",
    b"000102030405060708090a0b0c0d0e0f._kos-edge._udp.local.",
    b"[fe80::1%eth0]:5683",
    b"hub.local:5683",
]


def fuzz_txt(data: bytes) -> None:
    """A TXT record gives a role, 8 bytes of a mesh and a port, or is invalid."""
    said = read_txt(data)
    assert said.mesh_prefix is None or len(said.mesh_prefix) == 8
    assert said.tcp_port is None or 1 <= said.tcp_port <= 65_535


def fuzz_names(data: bytes) -> None:
    """A name is that of a kid, and of no other, or of none; a peer has an address, or is invalid."""
    text = data.decode("utf-8", "replace")
    kid = kid_of(text)
    assert kid is None or instance_name(kid) == text.lower()
    (hint,) = parse_peer(text, 5683).addresses
    assert hint.host
    assert 1 <= hint.port <= 65_535
