"""The JSON form of packs and messages that people read and write.

Everything is written out: ids, names of types and classes, times in RFC 3339 UTC with milliseconds (null
where the source knew none), bodies with names for their parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp import body, jsonform
from kos_edge.klp.header import Boundary, Header, Link
from kos_edge.klp.identity import DEFAULT_NAMESPACE, KeyPair, kid_text
from kos_edge.klp.message import Malformed, Message, Removed
from kos_edge.klp.pack import Pack
from kos_edge.klp.packer import seal
from kos_edge.klp.shown import Shown
from kos_edge.klp.stream import Class, Position, Priority, Stream
from kos_edge.klp.table import Entry
from kos_edge.klp.tombstone import Tombstone

DURABILITY = {True: "durable", False: "volatile"}
ORDER = {False: "in-order", True: "fresh-first"}

_OPTIONS = {"ttl_s": int, "category": str, "correlation": str, "trace": str}
_EXAMPLE = 'such as {"topic": "a.b", "type": "data", "body": {"content": 1}}'
_DERIVED = frozenset(("id", "source", "seq", "uncertainty_ms"))
_GIVEN = frozenset(("topic", "type", "body", "at", "audience", "priority", "durability", "order", *_OPTIONS))


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as a person wrote it, and the stream that it asks for; `at_ms` is since 1970, or None."""

    message: Message
    audience: str
    cls: Class
    at_ms: int | None


def message_to_json(
    header: Header, seq: int, message: Message | Removed | Malformed, *, namespace: str = DEFAULT_NAMESPACE
) -> dict[str, Any]:
    """One message of a pack with that header. `namespace` is that of the source's membership, where known."""
    stream = header.stream
    named = {
        "id": str(Position(stream, seq)),
        "source": kid_text(stream.source, namespace),
        "seq": seq,
        **_class_to_json(stream),
    }
    if isinstance(message, Removed):
        return named | {"removed": message.reason.name.lower()}
    if isinstance(message, Malformed):
        return named | {"malformed": message.why}
    at_ms = None if header.wall_ms is None else header.wall_ms + message.offset_ms
    options = {name: getattr(message, name) for name in _OPTIONS if getattr(message, name) is not None}
    return named | {
        "topic": message.topic,
        "type": message.payload.NAME,
        "at": _time_to_json(at_ms),
        "uncertainty_ms": header.uncertainty_ms,
        **options,
        "body": body.to_json(message.payload),
    }


def pack_to_json(pack: Pack, *, namespace: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
    """A whole pack: its header, and each of its messages."""
    return {
        "pack": _header_to_json(pack.header, namespace)
        | {
            "last": pack.last,
            "count": pack.count,
            "chain_hash": pack.chain_hash.hex(),
            "bytes": len(pack.raw),
        },
        "messages": [
            message_to_json(pack.header, seq, message, namespace=namespace)
            for seq, message in pack.messages()
        ],
    }


def shown_to_json(shown: Shown, *, namespace: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
    """A message shown alone: the header of its pack, and the message."""
    return {
        "pack": _header_to_json(shown.header, namespace) | {"count": shown.count},
        "messages": [message_to_json(shown.header, shown.seq, shown.message(), namespace=namespace)],
    }


def tombstone_to_json(tombstone: Tombstone, *, namespace: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
    """A tombstone: which numbers of which stream are gone, and why."""
    return {
        "tombstone": {
            "version": 1,
            **_stream_to_json(tombstone.stream, namespace),
            "first": tombstone.first,
            "last": tombstone.last,
            "count": tombstone.count,
            "reason": tombstone.reason.name.lower(),
            "prev": _link_to_json(tombstone.prev),
            "chain_hash": tombstone.chain_hash.hex(),
            "bytes": len(tombstone.raw),
        }
    }


def draft_from_json(value: Any) -> Draft:
    """A message that a person wrote: an object with `topic`, `type` and `body`.

    Besides, if wanted: `at`, `audience`, `priority`, `durability`, `order`, `ttl_s`, `category`,
    `correlation`, `trace`. What `message_to_json` derives (`id`, `source`, `seq`, `uncertainty_ms`) is not
    looked at.
    """
    if not isinstance(value, dict):
        raise Invalid("a message is an object", hint=_EXAMPLE)
    strange = value.keys() - _GIVEN - _DERIVED
    if strange:
        raise Invalid(
            f"a message has no part {sorted(strange)[0]!r}", hint=f"it has {', '.join(sorted(_GIVEN))}"
        )
    missing = {"topic", "type", "body"} - value.keys()
    if missing:
        raise Invalid(f"a message without {sorted(missing)[0]}")
    options = {}
    for name, kind in _OPTIONS.items():
        if value.get(name) is not None:
            if type(value[name]) is not kind:
                raise Invalid(f"{name!r} of a message is {'a number' if kind is int else 'text'}")
            options[name] = value[name]
    if not isinstance(value["topic"], str):
        raise Invalid("the topic of a message is text")
    message = Message(value["topic"], body.from_json(value["type"], value["body"]), 0, **options)
    at = value.get("at")
    return Draft(
        message, _audience(value), _class_from_json(value), None if at is None else jsonform.parse_time(at)
    )


def seal_drafts(
    drafts: Iterable[Draft],
    *,
    key: KeyPair,
    mesh: bytes,
    epoch: int,
    first: int = 1,
    prev: Link = None,
    mono_ms: int,
    wall_ms: int | None,
    uncertainty_ms: int | None,
) -> bytes:
    """The signed pack of messages that people wrote; Invalid unless they are of one audience and class.

    A message without a time of its own is of the base of the pack, `mono_ms` and `wall_ms`.
    """
    drafts = list(drafts)
    streams = {Stream(key.kid, draft.audience, draft.cls, epoch) for draft in drafts}
    if len(streams) != 1:
        raise Invalid("the messages of a pack have one audience and one class")
    return seal(
        streams.pop(),
        first,
        [_timed(draft, wall_ms) for draft in drafts],
        prev=prev,
        mono_ms=mono_ms,
        wall_ms=wall_ms,
        uncertainty_ms=uncertainty_ms,
        key=key,
        mesh=mesh,
    )


def _timed(draft: Draft, wall_ms: int | None) -> Message:
    message = draft.message
    if draft.at_ms is None:
        return message
    if wall_ms is None:
        raise Invalid("a message with a time in a pack without wall time")
    offset_ms = draft.at_ms - wall_ms
    return Message(
        message.topic,
        message.payload,
        offset_ms,
        message.ttl_s,
        message.category,
        message.correlation,
        message.trace,
    )


def _header_to_json(header: Header, namespace: str) -> dict[str, Any]:
    return {
        "version": 1,
        **_stream_to_json(header.stream, namespace),
        "first": header.first,
        "prev": _link_to_json(header.prev),
        "mono_ms": header.mono_ms,
        "wall": _time_to_json(header.wall_ms),
        "uncertainty_ms": header.uncertainty_ms,
        "topics": [_entry_to_json(entry) for entry in header.table],
    }


def _entry_to_json(entry: Entry) -> Any:
    """A topic, or a topic with the names and units of its readings, by the labels of SenML in JSON."""
    if entry.form is None:
        return entry.topic
    fields = [{"n": name, "u": unit} for name, unit in entry.form.fields]
    form = [{label: said for label, said in field.items() if said is not None} for field in fields]
    return {"topic": entry.topic, "form": form}


def _stream_to_json(stream: Stream, namespace: str) -> dict[str, Any]:
    return {
        "source": kid_text(stream.source, namespace),
        **_class_to_json(stream),
        "epoch": f"{stream.epoch:016x}",
    }


def _class_to_json(stream: Stream) -> dict[str, Any]:
    return {
        "audience": stream.audience,
        "priority": stream.cls.priority.name.lower(),
        "durability": DURABILITY[stream.cls.durable],
        "order": ORDER[stream.cls.fresh],
    }


def _class_from_json(value: dict[str, Any]) -> Class:
    priority = jsonform.names(Priority).back(value.get("priority", "normal"))
    durable = _choice(value, "durability", DURABILITY, True)
    return Class(Priority(priority), durable, _choice(value, "order", ORDER, False))


def _choice(value: dict[str, Any], name: str, words: dict[bool, str], default: bool) -> bool:
    given = value.get(name, words[default])
    for flag, word in words.items():
        if given == word:
            return flag
    raise Invalid(f"{name!r} of a message is {' or '.join(words.values())}")


def _audience(value: dict[str, Any]) -> str:
    audience = value.get("audience", "hub")
    if not isinstance(audience, str):
        raise Invalid("the audience of a message is text")
    return audience


def _time_to_json(wall_ms: int | None) -> str | None:
    """None also for a time that the offset of a message moves out of what RFC 3339 can write."""
    if wall_ms is None or not 0 <= wall_ms <= jsonform.MAX_WALL_MS:
        return None
    return jsonform.time_text(wall_ms)


def _link_to_json(prev: Link) -> Any:
    if isinstance(prev, Boundary):
        return {"epoch": f"{prev.epoch:016x}", "seq": prev.seq, "chain_hash": prev.chain_hash.hex()}
    return None if prev is None else prev.hex()
