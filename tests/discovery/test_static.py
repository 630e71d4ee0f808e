from __future__ import annotations

import pytest

from kos_edge.discovery.sighting import Found, Hint
from kos_edge.discovery.static import from_token, look_up, parse_peer
from kos_edge.errors import Invalid, Unavailable
from kos_edge.mesh import token


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5", "10.0.0.5", 5683),
        (" 10.0.0.5:99 ", "10.0.0.5", 99),
        ("hub.local:5683", "hub.local", 5683),
        ("[2001:db8::1]:7", "2001:db8::1", 7),
        ("[fe80::1%eth0]", "fe80::1%eth0", 5683),
    ],
)
def test_a_peer_is_read_as_a_person_writes_it(text: str, host: str, port: int) -> None:
    assert parse_peer(text, 5683) == Found(None, None, None, (Hint(host, port, port),))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no address"),
        ("hub:", "is no address"),
        ("2001:db8::1", "is no address"),
        ("hub:0", "0 is no port"),
        ("hub:65536", "65536 is no port"),
        ("ho st:5", "neither an address nor a host name"),
        ("[hub]:5", "no IPv6 address"),
        ("[fe80::1]:5", "needs the interface"),
    ],
)
def test_what_is_no_address_is_said_to_be_none(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse_peer(text, 5683)


def test_a_token_says_where_its_hub_was() -> None:
    hints = (token.Hint("192.0.2.7", 5683), token.Hint("2001:db8::7", 5684))
    mesh, hub = bytes(range(32)), bytes(range(16))
    invitation = token.Token(mesh, hub, bytes(8), bytes(16), hints)
    found = from_token(invitation)
    assert found.kid_claimed == hub
    assert found.mesh_prefix == mesh[:8]
    assert found.addresses == (Hint("192.0.2.7", 5683, 5683), Hint("2001:db8::7", 5684, 5684))


async def test_an_address_needs_no_looking_up() -> None:
    peer = parse_peer("[fe80::1%lo]:5", 5683)
    assert await look_up(peer) == peer


async def test_a_name_becomes_its_addresses() -> None:
    hosts = {hint.host for hint in (await look_up(parse_peer("localhost:5", 5683))).addresses}
    assert "127.0.0.1" in hosts


async def test_a_name_without_an_address_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"no address is known for nowhere\.invalid"):
        await look_up(parse_peer("nowhere.invalid", 5683))
