"""The vectors of KLP that are valid."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from kos_edge.klp import body, cbor
from kos_edge.klp.pack import Boundary, Class, Message, Priority, Reason, Stream, encode_message, peek, show
from tests.vectors.klp_forge import (
    EPOCH,
    FIVE,
    KEY,
    OTHER,
    PREV,
    READING,
    WALL_MS,
    Case,
    forged,
    header_with,
    sealed,
)


def good_cases() -> list[Case]:
    """All of them."""
    return good_packs() + good_remainders() + good_packs_with_bad_messages()


def good_packs() -> list[Case]:
    everything = [
        Message("plan.fan", body.Intent("fan.set", {"on": True}, 5_000, body.Retry(3)), ttl_s=60),
        Message("air.both", body.reading({"t": 21.5, "h": 48}, fields={"t": "Cel", "h": "%RH"}), 1),
        Message("plan.fan", body.answer("done", {"on": True}), 2, correlation=_id(1)),
        Message("node.config", body.Config("logging", {"level": "info"}), 3),
        Message("node.ping", body.Ping(bytes.fromhex("0123456789abcdef")), 4),
        Message("plan.fan", body.Error("kos.denied", "not allowed by policy", {"rule": 3}), 5),
        Message(
            "trust",
            body.Trust(
                body.Act.ENDORSE,
                OTHER.kid,
                80,
                (body.Evidence(body.EvidenceKind.HARDWARE, KEY.kid, WALL_MS),),
                WALL_MS + 30 * 86_400_000,
            ),
            6,
        ),
        Message("rules", body.Governance("share nothing", body.Assertion(("privacy",), "house")), 7),
        Message(
            "blob",
            body.Data(
                bytes(range(32)), "acme.calibration", 2, sha256(b"\x58\x20" + bytes(range(32))).digest()[:8]
            ),
            -8,
        ),
    ]
    first = Boundary(2 << 32 | 0xC0FFEE, 977, PREV)
    volatile = Stream(KEY.kid, "hub", Class(Priority.LOW, durable=False, fresh=True), EPOCH)
    member = Stream(KEY.kid, f"kid:{OTHER.kid.hex()}", Class(Priority.CRITICAL), EPOCH)
    group = Stream(KEY.kid, "group:greenhouse_1", Class(Priority.HIGH), EPOCH)
    return [
        Case("pack-of-one", "A single reading in the middle of a durable stream.", sealed([READING])),
        Case("pack-of-five", "Five messages on three topics.", sealed(FIVE)),
        Case(
            "pack-of-forms",
            "Readings of one topic in two forms, of every kind of value, beside one that has no form.",
            sealed(_in_forms()),
        ),
        Case(
            "pack-written-out",
            "Readings with names and units of their own, as sources may write them.",
            forged(header_with(topics=_TOPICS), [encode_message(one, at) for one, at in _WRITTEN_OUT]),
        ),
        Case("pack-of-every-type", "All seven types, with options.", sealed(everything)),
        Case("pack-first-ever", "Nothing was before it.", sealed([READING], first=1, prev=None)),
        Case("pack-first-of-epoch", "It names the last pack before.", sealed([READING], first=1, prev=first)),
        Case("pack-volatile", "No chain.", sealed(FIVE, stream=volatile, prev=None)),
        Case(
            "pack-without-wall-time",
            "The source does not know the time.",
            sealed([READING], wall_ms=None, uncertainty_ms=None),
        ),
        Case("pack-for-a-group", "The audience is a group.", sealed([READING], stream=group)),
        Case("pack-for-one-member", "The audience is a kid.", sealed([READING], stream=member)),
        Case(
            "pack-at-the-limits",
            "The largest integers of the header.",
            sealed(
                [Message("a", body.Ping(), 2**40)],
                stream=Stream(KEY.kid, "all", Class.from_code(15 - 8), 2**63 - 1),
                first=2**63 - 1,
                mono_ms=2**53 - 1,
                wall_ms=253_402_300_799_999,
                uncertainty_ms=2**53 - 1,
            ),
        ),
        Case(
            "pack-with-an-extension",
            "A part with a key from 32 up is left out of account.",
            forged(header_with(), [cbor.encode([0, 2, 0, {2: 1, 32: "new"}, {40: 1}])]),
        ),
    ]


def good_remainders() -> list[Case]:
    five = sealed(FIVE)
    pack = peek(five)
    alone: dict[str, Any] = {"kind": "shown", "cddl": "shown"}
    return [
        Case(
            "removed-two-of-five",
            "Taken out: one expired, one dropped.",
            pack.remove({1_043: Reason.EXPIRED, 1_045: Reason.DROPPED}),
        ),
        Case(
            "removed-first-use-of-a-topic",
            "What is gone may have used a topic first.",
            pack.remove({1_042: Reason.DAMAGED}),
        ),
        Case(
            "removed-all",
            "Nothing is left but leaf hashes.",
            pack.remove(dict.fromkeys(range(1_042, 1_047), 3)),
        ),
        Case("shown-third-of-five", "One message with its path.", show(five, 1_044), **alone),
        Case("shown-last-of-five", "The path of the odd one out is short.", show(five, 1_046), **alone),
        Case("shown-in-a-form", "The form is in the header.", show(sealed(_in_forms()), 1_044), **alone),
        Case("shown-only-one", "The path is empty.", show(sealed([READING]), 1_042), **alone),
        Case(
            "shown-beside-removed",
            "Shown out of a pack of which messages are gone.",
            show(pack.remove({1_042: 1, 1_046: 1}), 1_045),
            **alone,
        ),
    ]


def good_packs_with_bad_messages() -> list[Case]:
    good = encode_message(READING, 0)
    bad = {
        "a topic index that is not in the table": cbor.encode([1, 2, 0, {2: 1}]),
        "a type that is not known": cbor.encode([0, 8, 0, {}]),
        "no content": cbor.encode([0, 2, 0, {1: 112}]),
        "an unknown part below 32": cbor.encode([0, 2, 0, {2: 1, 31: 1}]),
        "an unknown option below 32": cbor.encode([0, 2, 0, {2: 1}, {5: 1}]),
        "keys out of order": bytes.fromhex("84000200a203010201"),
        "a number that is longer than needed": bytes.fromhex("8400021800a10201"),
        "bytes after the end": good + b"\x00",
        "nested nine deep": bytes.fromhex("84000200a102") + b"\x81" * 7 + b"\x00",
        "a checksum that is wrong": cbor.encode([0, 2, 0, {2: 1, 4: bytes(8)}]),
        "a ttl of 0": cbor.encode([0, 2, 0, {2: 1}, {1: 0}]),
        "a number in place of an array": b"\x00",
    }
    slots = [good, *bad.values(), good]
    malformed = {str(1_043 + index): why for index, why in enumerate(bad)}
    beyond_cddl = ("a topic index that is not in the table", "nested nine deep", "a checksum that is wrong")
    return [
        Case(
            "pack-with-malformed-messages",
            "The signature is good and the first and last message too; the others are refused one by one.",
            forged(header_with(), slots),
            more={
                "malformed": malformed,
                "beyond_cddl": [s for s, why in malformed.items() if why in beyond_cddl],
            },
        ),
        bad_readings(),
    ]


def bad_readings() -> Case:
    """Readings that do not go with the form of their topic."""
    bad = {
        "a value too few": cbor.encode([0, 0, 0, 21.5]),
        "a value too many": cbor.encode([0, 0, 0, 21.5, 48, 49]),
        "two maps of options": cbor.encode([0, 0, 0, 21.5, 48, {1: 60}, {1: 60}]),
        "null as a value": cbor.encode([0, 0, 0, 21.5, None]),
        "an array as a value": cbor.encode([0, 0, 0, 21.5, [48]]),
        "a map in place of a value": cbor.encode([0, 0, 0, 21.5, {1: 60}]),
        "options that are no map": cbor.encode([0, 0, 0, 21.5, 48, 1]),
        "options that are empty": cbor.encode([0, 0, 0, 21.5, 48, {}]),
        "no values": cbor.encode([0, 0, 0]),
        "a time that is no integer": cbor.encode([0, 0, 0.5, 21.5, 48]),
        "a number that is longer than needed": bytes.fromhex("85000000f94d60fa42400000"),
        "written out, on a topic with a form": encode_message(READING, 0),
        "in a form, on a topic without one": cbor.encode([1, 0, 0, 21.5, 48]),
        "more than 8,192 bytes": cbor.encode([0, 0, 0, 21.5, "x" * 8_183]),
    }
    good = cbor.encode([0, 0, 0, 21.5, "x" * 8_182])
    other = encode_message(Message("air.temperature", body.reading(21.5, "Cel")), 1)
    slots = [good, other, *bad.values(), cbor.encode([0, 0, 0, 21.5, 48])]
    malformed = {str(1_044 + index): why for index, why in enumerate(bad)}
    matching = (
        "a value too few", "a value too many", "a map in place of a value", "options that are no map",
        "options that are empty", "written out, on a topic with a form",
        "in a form, on a topic without one", "more than 8,192 bytes",
    )  # fmt: skip
    return Case(
        "pack-with-malformed-readings",
        "The first two are good and the last; the others do not go with the form of their topic.",
        forged(header_with(topics=[["air.both", "t", "Cel", "h", "%RH"], "air.temperature"]), slots),
        more={
            "malformed": malformed,
            "beyond_cddl": [seq for seq, why in malformed.items() if why in matching],
        },
    )


def _in_forms() -> list[Message]:
    units = {"t": "Cel", "h": "%RH", "state": None}
    return [
        Message("air", body.reading({"t": 21.37, "h": 48, "state": "ok"}, fields=units)),
        Message("air", body.reading({"t": 21.4, "h": 48.5, "state": "ok"}, fields=units), 100),
        Message("air", body.reading({"t": 21.5}, "Cel"), 200),
        Message("air", body.Error("acme.sensor", "no answer"), 250),
        Message("door.front", body.reading(True), 260, ttl_s=60),
        Message("door.badge", body.reading(bytes(range(8))), 261),
        Message("air", body.reading({"t": -3, "h": 100, "state": ""}, fields=units), 300),
    ]


_TOPICS = ["air.temperature", "air.both"]
_WRITTEN_OUT = [
    (Message(_TOPICS[0], body.reading(21.5, "Cel")), 0),
    (Message(_TOPICS[1], body.reading({"t": 21.5, "h": 48}, fields={"t": "Cel", "h": "%RH"}), 100), 1),
]


def _id(seq: int) -> str:
    return f"{OTHER.kid.hex()}.kid:{KEY.kid.hex()}.5.{EPOCH:016x}.{seq}"
