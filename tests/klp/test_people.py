from __future__ import annotations

import json
from typing import Any

import pytest

from kos_edge.errors import Invalid
from kos_edge.klp import body, people
from kos_edge.klp.pack import (
    Boundary,
    Class,
    Message,
    Priority,
    Stream,
    peek,
    peek_shown,
    remove,
    show,
    unseal,
)
from tests.klp.packs import EPOCH, KEY, MESH, STREAM, WALL_MS, reading, sealed


def as_json(data: bytes, **options: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        json.dumps(people.pack_to_json(peek(data), **options), allow_nan=False)
    )
    return value


def test_a_message_for_people_has_everything_by_name() -> None:
    one = reading(offset_ms=1_500, ttl_s=60, category="c", correlation="id", trace="t")
    found = as_json(sealed(one), namespace="agent")["messages"]
    assert found == [
        {
            "id": f"{KEY.kid.hex()}.hub.5.0000000700abcdef.10",
            "source": f"kid:agent:{KEY.kid.hex()}",
            "seq": 10,
            "audience": "hub",
            "priority": "normal",
            "durability": "durable",
            "order": "in-order",
            "topic": "air.temperature",
            "type": "data",
            "at": "2027-01-15T08:00:01.500Z",
            "uncertainty_ms": 250,
            "ttl_s": 60,
            "category": "c",
            "correlation": "id",
            "trace": "t",
            "body": {"schema": 112, "content": [{"u": "Cel", "v": 21.5}]},
        }
    ]


def test_a_pack_for_people_has_its_header() -> None:
    data = sealed(first=1, prev=Boundary(5, 6, bytes(16)))
    header = as_json(data)["pack"]
    assert header["prev"] == {"epoch": "0000000000000005", "seq": 6, "chain_hash": "00" * 16}
    assert header["wall"] == "2027-01-15T08:00:00.000Z"
    assert header["chain_hash"] == peek(data).chain_hash.hex()
    assert (header["first"], header["last"], header["count"], header["bytes"]) == (1, 1, 1, len(data))


def test_times_that_are_not_known_or_cannot_be_written_are_null() -> None:
    assert as_json(sealed(wall_ms=None, uncertainty_ms=None))["messages"][0]["at"] is None
    assert as_json(sealed(reading(offset_ms=-(2**40)), wall_ms=0))["messages"][0]["at"] is None


def test_what_was_removed_says_why() -> None:
    found = as_json(remove(sealed(reading(), reading()), {11: 2}))["messages"]
    assert found[1]["removed"] == "expired"
    assert "body" not in found[1]


def test_a_message_shown_alone_has_its_header_too() -> None:
    shown = peek_shown(show(sealed(reading(), reading(7)), 11))
    found = people.shown_to_json(shown)
    assert found["pack"]["count"] == 2
    assert [one["seq"] for one in found["messages"]] == [11]


def sealed_drafts(*values: Any, **changed: Any) -> bytes:
    header: dict[str, Any] = {"key": KEY, "mesh": MESH, "epoch": EPOCH, "mono_ms": 5}
    header |= {"wall_ms": WALL_MS, "uncertainty_ms": 0}
    return people.seal_drafts(map(people.draft_from_json, values), **header | changed)


def test_what_people_read_can_be_sealed_again() -> None:
    stream = Stream(KEY.kid, "group:a", Class(Priority.HIGH, durable=False, fresh=True), EPOCH)
    messages = [reading(offset_ms=-3, trace="t"), Message("x", body.Intent("go", {"n": b"\x00"}), 9, ttl_s=5)]
    data = sealed(*messages, stream=stream, prev=None)
    again = sealed_drafts(*as_json(data)["messages"], first=10, prev=None)
    pack = unseal(again, KEY.public, MESH)
    assert pack.stream == stream
    assert [one for _, one in pack.messages()] == messages


def test_a_short_message_has_defaults() -> None:
    pack = unseal(sealed_drafts({"topic": "a", "type": "ping", "body": {}}), KEY.public, MESH)
    assert pack.stream == STREAM
    assert pack.message(1) == Message("a", body.Ping())


GOOD: dict[str, Any] = {"topic": "a.b", "type": "data", "body": {"content": 1}}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {key: GOOD[key] for key in ("topic", "type")},
        GOOD | {"topic": 5},
        GOOD | {"topic": "a..b"},
        GOOD | {"type": "datum"},
        GOOD | {"body": 5},
        GOOD | {"colour": "red"},
        GOOD | {"priority": "urgent"},
        GOOD | {"durability": True},
        GOOD | {"order": "newest"},
        GOOD | {"audience": "everyone"},
        GOOD | {"audience": 0},
        GOOD | {"ttl_s": "60"},
        GOOD | {"ttl_s": True},
        GOOD | {"trace": 5},
        GOOD | {"at": "now"},
    ],
    ids=repr,
)
def test_a_message_that_breaks_a_rule_is_not_sealed(value: Any) -> None:
    with pytest.raises(Invalid):
        sealed_drafts(value)


def test_messages_of_one_pack_have_one_stream() -> None:
    with pytest.raises(Invalid, match="one audience"):
        sealed_drafts(GOOD, GOOD | {"priority": "high"})
    with pytest.raises(Invalid, match="one audience"):
        sealed_drafts()


def test_a_time_needs_wall_time() -> None:
    with pytest.raises(Invalid, match="wall time"):
        sealed_drafts(GOOD | {"at": "2027-01-15T08:00:00Z"}, wall_ms=None, uncertainty_ms=None)
