"""`python -m tests.vectors.generate_delivery`: the vectors of docs/protocol/delivery.md, the same at every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kos_edge.delivery import wire
from kos_edge.klp import cbor
from kos_edge.klp.pack import Class, Priority, Stream
from tests.vectors import carried

FOLDER = Path(__file__).parent / "delivery"
KID = bytes(range(16))
STREAM = Stream(KID, "hub", Class(), (5 << 32) | 0x1A2B3C4D)
URGENT = Stream(KID, f"kid:{bytes(range(16, 32)).hex()}", Class(Priority.CRITICAL), (5 << 32) | 0x1A2B3C4D)
REFUSALS = (wire.Refusal(12, int(wire.Reason.REFUSED)),)


def good() -> list[dict[str, Any]]:
    """Bodies as they should be."""
    receipt = wire.Receipt(STREAM, 10, ((13, 20), (25, 25)), REFUSALS)
    parcels = [wire.Parcel(b"\x82\x80\x80", 1500), wire.Parcel(b"\x82\x80\x81")]
    return [
        _case(
            "ship", wire.encode_ship(parcels), "two packs, one of unknown age (the packs stand for real ones)"
        ),
        _case(
            "answer", wire.encode_answer(wire.Answer((receipt,), 850)), "a receipt with ranges and a refusal"
        ),
        _case(
            "answer", wire.encode_answer(wire.Answer((), 40, (KID,), 1000)), "an unknown source, and a pause"
        ),
        _case(
            "sync",
            wire.encode_sync(wire.Sync((wire.Offer(STREAM, 11, 40), wire.Offer(URGENT, 1, 1)), 5 << 32)),
            "",
        ),
        _case("synced", wire.encode_synced(wire.Synced((wire.Receipt(STREAM, 0), receipt), 5 << 32)), ""),
        _case(
            "synced",
            wire.encode_synced(wire.Synced((), 5 << 32, (wire.End("hub", Class(), 5 << 32, 60, bytes(16)),))),
            "where a lane ends",
        ),
        _case(
            "synced",
            wire.encode_synced(wire.Synced((), 5 << 32, time_ms=1_800_000_000_000)),
            "from a member that knows the time",
        ),
        _case(
            "news",
            cbor.encode({1: {KID: [3, bytes(8), b""]}, 4: 1}),
            "three revocations of one issuer are held",
        ),
        _case(
            "answer", wire.encode_answer(wire.Answer((), 40, quarantined=(KID,))), "a source in quarantine"
        ),
        _case("news", cbor.encode({1: {}, 3: [b"\x84"], 4: 0}), "a membership is handed over"),
        _case("news", cbor.encode({1: {}, 4: 0, 6: KID[:8], 7: [b"\x83"]}), "a fork is handed over"),
        _case(
            "news-answer",
            cbor.encode({1: {KID: [4, bytes(8), b""]}, 2: [b"\x84"]}),
            "a revocation that is news",
        ),
    ]


def bad() -> list[dict[str, Any]]:
    """Bodies that are refused with 4.00, and why. `cddl_valid` tells where only prose forbids it."""
    plain = wire.receipt_to_wire(wire.Receipt(STREAM, 10, ((13, 20),)))

    def answer(receipt: list[object]) -> bytes:
        return cbor.encode({1: [receipt], 2: 0})

    return [
        _case("ship", cbor.encode([]), "nothing is shipped", valid=False),
        _case(
            "news", cbor.encode({1: {KID: [3, bytes(8)]}, 4: 1}), "revocations without their ids", valid=False
        ),
        _case("ship", cbor.encode([[-1, b"\x82"]]), "a negative age", valid=False),
        _case("ship", cbor.encode([[0, "text"]]), "a pack that is text", valid=False),
        _case(
            "answer",
            answer([*plain[:5], [20, 13], *plain[6:]]),
            "a range reversed",
            valid=False,
            cddl_valid=True,
        ),
        _case("answer", answer([*plain[:5], [13], *plain[6:]]), "half a range", valid=False, cddl_valid=True),
        _case(
            "answer",
            answer([*plain[:5], [9, 12], *plain[6:]]),
            "a range below held",
            valid=False,
            cddl_valid=True,
        ),
        _case("answer", answer([*plain[:7], 9]), "an unknown reach", valid=False),
        _case("answer", answer([b"short", *plain[1:]]), "a kid of 5 bytes", valid=False),
        _case("sync", cbor.encode({1: [[*plain[:4], 0, 3]], 2: 1}), "an offer from number 0", valid=False),
        _case("answer", cbor.encode({1: [], 2: 0, 5: [KID[:8]]}), "half a kid in quarantine", valid=False),
        _case("synced", cbor.encode({1: [], 2: -1}), "a negative epoch", valid=False),
        _case("synced", cbor.encode({1: [], 2: 1, 4: -1}), "a time before 1970", valid=False),
        _case(
            "synced",
            cbor.encode({1: [], 2: 1, 3: [[*plain[1:4], 60, bytes(8)]]}),
            "a chain hash of 8 bytes",
            valid=False,
        ),
        _case(
            "synced",
            cbor.encode({1: [], 2: 1, 3: [[*plain[1:4], 0, None]]}),
            "an end at nothing",
            valid=False,
        ),
    ]


def _case(
    rule: str, data: bytes, about: str, *, valid: bool = True, cddl_valid: bool | None = None
) -> dict[str, Any]:
    case: dict[str, Any] = {
        "name": f"{rule}: {about}".rstrip(": "),
        "cddl": rule,
        "hex": data.hex(),
        "valid": valid,
    }
    return case if cddl_valid is None else case | {"cddl_valid": cddl_valid}


def render() -> dict[str, str]:
    """The files by name."""
    return {
        f"{name}.json": json.dumps(cases, indent=2) + "\n"
        for name, cases in (("good", good()), ("bad", bad()), ("carried", carried.vectors()))
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in render().items():
        (FOLDER / name).write_text(text)
