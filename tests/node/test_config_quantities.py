"""Durations, sizes and addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid
from kos_edge.node.addresses import parse_listen, parse_peer
from kos_edge.node.quantities import parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100ms", 0.1), ("30s", 30.0), ("1.5h", 5400.0), ("7d", 604800.0), ("2 w", 1209600.0), ("0", 0.0)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "-1s", "1y", "1h30m", "inf", "s", "1 s ", "\u0661s", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("1GB", 10**9), ("64 KiB", 65536), ("10", 10), ("1.5kB", 1500)])
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1 PB", "0.3B", "GB", "1gb "])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no size"):
        parse_size(text)


@given(st.integers(0, 10**12))
def test_a_shown_size_or_duration_reads_back(number: int) -> None:
    assert parse_size(show_size(number)) == number
    assert parse_duration(show_duration(number / 1000)) == pytest.approx(number / 1000)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:5683", ("0.0.0.0", 5683)),
        ("[::]:1234", ("::", 1234)),
        (":0", ("", 0)),
        ("::1", ("::1", 5683)),
        ("10.0.0.1", ("10.0.0.1", 5683)),
    ],
)
def test_an_address_to_listen_at_is_read(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "hub.local:5683", "[1.2.3", "1.2.3.4:x", "1.2.3.4:70000", "[zz]:1", "a b"]
)
def test_what_is_no_address_to_listen_at_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no address"):
        parse_listen(text)


def test_a_peer_may_be_a_name_and_needs_host_and_port() -> None:
    assert parse_peer("hub.local") == ("hub.local", 5683)
    assert parse_peer("[fe80::1]:99") == ("fe80::1", 99)
    for text in (":5683", "10.0.0.1:0", "a b:1", "-a:1", "http://hub"):
        with pytest.raises(Invalid, match="is no address"):
            parse_peer(text)
