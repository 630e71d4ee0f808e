"""Carried files (docs/protocol/sneakernet.md): records as they should be, and such that break one rule each."""

from __future__ import annotations

from typing import Any

from kos_edge.delivery.carried import FIRST_LINE, RECEIPTS, Carrier, Kind, Unframer, framed, sign_receipts
from kos_edge.delivery.wire import Offer, Parcel, Receipt, Refusal, encode_ship, receipt_to_wire
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Class, Stream

CARRIER = KeyPair.from_seed(bytes([0xD0]) * 32)
RECEIVER = KeyPair.from_seed(bytes([0xD1]) * 32)
MESH = bytes(range(100, 132))
FILE = bytes(range(8))
TIME_MS = 1_800_000_000_000
STREAM = Stream(CARRIER.kid, "hub", Class(), (5 << 32) | 0x1A2B3C4D)
SHIP = encode_ship([Parcel(b"\x82\x80\x80", 1_500), Parcel(b"\x82\x80\x81")])


def good() -> dict[str, bytes]:
    """Records by name. The packs stand for real ones."""
    carrier = Carrier(CARRIER, MESH, FILE)
    receipts = (Receipt(STREAM, 10, ((13, 20),), (Refusal(12, 3),)),)
    return {
        "offers": _bare(carrier.offer([Offer(STREAM, 11, 40)], TIME_MS)),
        "nothing offered": _bare(Carrier(CARRIER, MESH, FILE).offer([], TIME_MS)),
        "ship": _bare(carrier.say(Kind.SHIP, SHIP, TIME_MS)),
        "ship of a carrier without a clock": _bare(carrier.say(Kind.SHIP, SHIP, None)),
        "end": _bare(carrier.say(Kind.END, b"", TIME_MS)),
        "receipts": _bare(sign_receipts(receipts, RECEIVER, MESH, TIME_MS)),
    }


def whole_file() -> bytes:
    """A file, but for the membership with which it begins."""
    return FIRST_LINE + b"".join(framed(good()[name]) for name in ("offers", "ship", "end"))


def bad() -> dict[str, tuple[bytes, bool]]:
    """Records by name, and whether CDDL cannot see what is wrong."""
    receipt = receipt_to_wire(Receipt(STREAM, 10))
    said: list[Any] = [CARRIER.kid, FILE, 0, TIME_MS, 1, SHIP]
    return {
        "half a kid": (_carried([CARRIER.kid[:8], *said[1:]]), False),
        "a file id of 4 bytes": (_carried([*said[:1], FILE[:4], *said[2:]]), False),
        "a number below 0": (_carried([*said[:2], -1, *said[3:]]), False),
        "a time that is text": (_carried([*said[:3], "now", *said[4:]]), False),
        "a kind that does not exist": (_carried([*said[:4], 3, SHIP]), False),
        "no content": (_carried(said[:5]), False),
        "a true for a number": (_carried([*said[:2], True, *said[3:]]), False),
        "a header outside of the signature": (_carried(said, {4: CARRIER.kid}), False),
        "a pack alone": (_signed(cbor.encode(said), Typ.PACK), False),
        "no receipts": (_signed(cbor.encode([RECEIVER.kid, None, []]), Typ.RECEIPT), False),
        "too many receipts": (
            _signed(cbor.encode([RECEIVER.kid, None, [receipt] * (RECEIPTS + 1)]), Typ.RECEIPT),
            False,
        ),
        "receipts of a kid of 15 bytes": (
            _signed(cbor.encode([RECEIVER.kid[:15], None, [receipt]]), Typ.RECEIPT),
            False,
        ),
        "a receipt with a range below what is held": (
            _signed(cbor.encode([RECEIVER.kid, None, [[*receipt[:5], [9, 12], *receipt[6:]]]]), Typ.RECEIPT),
            True,
        ),
    }


def vectors() -> list[dict[str, Any]]:
    """All of them."""
    found = []
    for name, data in good().items():
        signed = cose.read_sign1(data)
        key = RECEIVER if signed.typ == Typ.RECEIPT else CARRIER
        found.append(
            {
                "name": f"carried-record: {name}",
                "cddl": "carried-record",
                "hex": data.hex(),
                "valid": True,
                "public": key.public.hex(),
                "mesh": MESH.hex(),
                "payload": signed.payload.hex(),
            }
        )
    for name, (data, unseen) in bad().items():
        case = {
            "name": f"carried-record: {name}",
            "cddl": "carried-record",
            "hex": data.hex(),
            "valid": False,
        }
        found.append(case | ({"cddl_valid": True} if unseen else {}))
    return found


def _carried(said: list[Any], unprotected: dict[int | str, Any] | None = None) -> bytes:
    return _signed(cbor.encode(said), Typ.CARRIED, unprotected)


def _signed(payload: bytes, typ: Typ, unprotected: dict[int | str, Any] | None = None) -> bytes:
    return cose.sign1(payload, typ, CARRIER, external_aad=MESH, unprotected=unprotected)


def _bare(record: bytes) -> bytes:
    return next(Unframer(begun=True).receive(record))
