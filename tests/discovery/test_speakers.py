from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from kos_edge.discovery.sighting import Hint
from kos_edge.discovery.speakers import MOST_ADDRESSES, MOST_OF_A_HOST, Address, Service, Speakers, usable

KID = bytes(16)
SERVICE = Service("host.local.", 5683, 0, 0)


def address(text: str, scope: int | None = None) -> Address:
    return Address(ipaddress.ip_address(text).packed, scope)


def whole() -> Speakers:
    """Somebody of whom all is said."""
    speakers = Speakers()
    speakers.add(KID)
    speakers.text(KID, b"\x03v=1\x08tcp=5684")
    speakers.service(KID, SERVICE, 0, flush=True)
    speakers.address("host.local.", address("192.0.2.1"), 0, flush=True)
    return speakers


def hosts(speakers: Speakers) -> list[str]:
    found = speakers.found(KID)
    return [hint.host for hint in found.addresses] if found else []


def test_a_whole_is_text_service_and_address() -> None:
    speakers = Speakers()
    speakers.add(KID)
    assert speakers.found(KID) is None
    speakers.text(KID, b"\x03v=1\x08tcp=5684")
    assert speakers.found(KID) is None
    speakers.service(KID, SERVICE, 0, flush=True)
    assert speakers.found(KID) is None
    assert speakers.host(KID) == "host.local."
    assert speakers.address("host.local.", address("192.0.2.1"), 0, flush=True) == {KID}
    found = speakers.found(KID)
    assert found is not None
    assert found.addresses == (Hint("192.0.2.1", 5683, 5684),)


def test_what_is_said_of_somebody_not_let_in_counts_for_nothing() -> None:
    speakers = Speakers()
    speakers.text(KID, b"\x03v=1")
    speakers.service(KID, SERVICE, 0, flush=True)
    assert speakers.address("host.local.", address("192.0.2.1"), 0, flush=True) == set()
    assert speakers.found(KID) is None


def test_addresses_of_one_announcement_add_up_and_later_ones_replace_them() -> None:
    speakers = whole()
    speakers.address("host.local.", address("192.0.2.2"), 0.5, flush=True)
    assert hosts(speakers) == ["192.0.2.1", "192.0.2.2"]
    speakers.address("host.local.", address("192.0.2.3"), 60, flush=True)
    assert hosts(speakers) == ["192.0.2.3"]


def test_the_port_said_last_comes_first() -> None:
    speakers = whole()
    speakers.service(KID, Service("host.local.", 9, 0, 0), 0.5, flush=False)
    found = speakers.found(KID)
    assert found is not None
    assert [hint.port for hint in found.addresses] == [9, 5683]


def test_a_text_that_is_not_ours_changes_nothing() -> None:
    speakers = whole()
    before = speakers.found(KID)
    speakers.text(KID, b"\x03v=2")
    assert speakers.found(KID) == before


def test_who_is_forgotten_leaves_nothing_behind() -> None:
    speakers = whole()
    speakers.forget(KID)
    assert len(speakers) == 0
    assert speakers.address("host.local.", address("192.0.2.9"), 0, flush=True) == set()
    speakers.add(KID)
    assert speakers.found(KID) is None


def test_a_flood_of_addresses_for_one_host_is_bounded() -> None:
    speakers = whole()
    for number in range(1000):
        speakers.address("host.local.", address(f"198.18.{number >> 8}.{number & 255}"), 0, flush=False)
    assert len(hosts(speakers)) == MOST_ADDRESSES


def test_a_host_that_all_claim_serves_some_of_them() -> None:
    speakers = Speakers()
    for number in range(100):
        kid = number.to_bytes(16, "big")
        speakers.add(kid)
        speakers.service(kid, SERVICE, 0, flush=True)
    assert len(speakers.address("host.local.", address("192.0.2.1"), 0, flush=True)) == MOST_OF_A_HOST


def test_only_addresses_that_lead_somewhere_are_used() -> None:
    said = [
        address("fe80::1", 3), address("fe80::2"), address("2001:db8::1"), address("192.0.2.1"),
        address("127.0.0.1"), address("::1"), address("0.0.0.0"), address("224.0.0.251"), address("ff02::fb", 3),
    ]  # fmt: skip
    assert usable(said, loopback=False) == ["192.0.2.1", "2001:db8::1", "fe80::1%3"]
    assert usable(said, loopback=True)[:1] == ["127.0.0.1"]


KIDS = st.integers(0, 5).map(lambda number: number.to_bytes(16, "big"))
HOSTS = st.sampled_from(["a.local.", "b.local.", "c.local."])


@given(
    st.lists(st.tuples(st.sampled_from("astif"), KIDS, HOSTS, st.booleans(), st.floats(0, 3)), max_size=60)
)
def test_hosts_are_kept_for_exactly_those_who_name_them(
    steps: list[tuple[str, bytes, str, bool, float]],
) -> None:
    speakers, now, there = Speakers(), 0.0, set[bytes]()
    for what, kid, host, flush, passed in steps:
        now += passed
        match what:
            case "a":
                speakers.add(kid)
                there.add(kid)
            case "s":
                speakers.service(kid, Service(host, 1, 0, 0), now, flush=flush)
            case "t":
                speakers.text(kid, b"\x03v=1")
            case "i":
                assert speakers.address(host, address("192.0.2.1"), now, flush=flush) <= there
            case _:
                speakers.forget(kid)
                there.discard(kid)
        assert len(speakers) == len(there)
        named = {speakers.host(kid) for kid in there} - {None}
        for name in named:
            assert name is None or speakers.address(name, address("192.0.2.1"), now, flush=False)
    for kid in list(there):
        speakers.forget(kid)
    for host in ("a.local.", "b.local.", "c.local."):
        assert speakers.address(host, address("192.0.2.1"), now, flush=False) == set()
