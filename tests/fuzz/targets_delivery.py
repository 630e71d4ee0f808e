"""Fuzz targets of what members say to each other about packs."""

from __future__ import annotations

import contextlib

from kos_edge.control.remote import Ask, Part, decode_ask, decode_part, encode_ask, encode_part, read_line
from kos_edge.delivery import wire
from kos_edge.delivery.carried import Carried, Damaged, Receipts, Unframer, read_record
from kos_edge.errors import Invalid
from kos_edge.klp import cose
from tests.vectors.carried import CARRIER, MESH, good, whole_file

SEEDS = (
    *good().values(),
    whole_file(),
    encode_ask(Ask(bytes(8), 0, b'{"verb": "peers", "params": {}}')),
    encode_part(Part(9, 3, b"abc")),
)
_SIGNATURES = frozenset(cose.read_sign1(record).signature for record in good().values())


def fuzz_ship(data: bytes) -> None:
    """Only Invalid escapes, and what is read is written the same."""
    with contextlib.suppress(Invalid):
        assert wire.encode_ship(wire.decode_ship(data)) == data


def fuzz_answer(data: bytes) -> None:
    """Only Invalid escapes."""
    with contextlib.suppress(Invalid):
        wire.decode_answer(data)


def fuzz_sync(data: bytes) -> None:
    """Only Invalid escapes."""
    with contextlib.suppress(Invalid):
        wire.decode_sync(data)


def fuzz_synced(data: bytes) -> None:
    """Only Invalid escapes."""
    with contextlib.suppress(Invalid):
        wire.decode_synced(data)


def fuzz_carried_file(data: bytes) -> None:
    """A carried file in any pieces gives the same records, each of which reads or is Invalid; one damage ends it."""
    whole, pieces = _records(data, len(data) or 1), _records(data, 7)
    assert whole == pieces
    for record in whole[0]:
        with contextlib.suppress(Invalid):
            read_record(record)


def fuzz_carried_record(data: bytes) -> None:
    """Only Invalid escapes, and what nobody of the mesh has signed does not verify."""
    try:
        said = read_record(data)
    except Invalid:
        return
    if isinstance(said, Carried):
        with contextlib.suppress(Invalid):
            said.offers()
        with contextlib.suppress(Invalid):
            wire.decode_ship(said.content)
    if isinstance(said, Carried | Receipts) and data not in SEEDS:
        with contextlib.suppress(Invalid):
            said.verify(CARRIER.public, MESH)
            assert said.signed.signature in _SIGNATURES


def _records(data: bytes, step: int) -> tuple[list[bytes], str]:
    unframer, found = Unframer(), []
    try:
        for at in range(0, len(data), step):
            for record in unframer.receive(data[at : at + step]):
                found.append(record)
        unframer.close()
    except Damaged as error:
        return found, error.message
    return found, ""


def fuzz_administration(data: bytes) -> None:
    """Only Invalid escapes, and what is read is written the same."""
    with contextlib.suppress(Invalid):
        assert encode_ask(decode_ask(data)) == data
    with contextlib.suppress(Invalid):
        assert encode_part(decode_part(data)) == data
    with contextlib.suppress(Invalid):
        read_line(data)
