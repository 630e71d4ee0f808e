from __future__ import annotations

import pytest

from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from tests.klp.packs import KEY, MESH, OTHER


def test_what_was_signed_verifies_as_that_type_by_that_key_in_that_context() -> None:
    data = cose.sign1(b"payload", Typ.POLICY, KEY, external_aad=MESH)
    signed = cose.read_sign1(data)
    assert (signed.payload, signed.typ, signed.raw) == (b"payload", Typ.POLICY, data)
    signed.verify(KEY.public, typ=Typ.POLICY, external_aad=MESH)
    for public, typ, external_aad in [
        (OTHER.public, Typ.POLICY, MESH),
        (KEY.public, Typ.PACK, MESH),
        (KEY.public, Typ.POLICY, MESH[::-1]),
        (KEY.public, Typ.POLICY, b""),
    ]:
        with pytest.raises(Invalid):
            signed.verify(public, typ=typ, external_aad=external_aad)


def test_what_is_unprotected_travels_beside_and_is_not_covered() -> None:
    inner = cbor.decode(cose.sign1(b"", Typ.MEMBERSHIP, OTHER, external_aad=MESH))
    data = cose.sign1(b"p", Typ.MEMBERSHIP, KEY, external_aad=MESH, unprotected={13: inner})
    signed = cose.read_sign1(data)
    assert signed.unprotected == {13: inner}
    assert signed.raw == data
    bare = cose.assemble(signed.protected, b"\xa0", signed.payload, signed.signature)
    cose.read_sign1(bare).verify(KEY.public, typ=Typ.MEMBERSHIP, external_aad=MESH)


def test_a_decoded_array_is_read_like_its_bytes() -> None:
    data = cose.sign1(b"p", Typ.PACK, KEY, external_aad=MESH, unprotected={"a": 1, -1: 2})
    assert cose.read_sign1(cbor.decode(data)) == cose.read_sign1(data)


def test_types_of_any_size_are_read() -> None:
    for typ in (0, 23, 255, 256, 65_535, 65_536, 2**32):
        assert cose.read_sign1(cose.sign1(b"", typ, KEY, external_aad=MESH)).typ == typ


GOOD = [bytes.fromhex("a201271019fde9"), {}, b"payload", bytes(64)]


@pytest.mark.parametrize(
    ("index", "part"),
    [
        (0, {}),
        (0, b""),
        (0, b"\xa0"),
        (0, bytes.fromhex("a10127")),
        (0, bytes.fromhex("a1 10 19fde9")),
        (0, bytes.fromhex("a201261019fde9")),
        (0, bytes.fromhex("a20127106161")),
        (0, bytes.fromhex("a201271020")),
        (0, bytes.fromhex("a2012710f5")),
        (0, bytes.fromhex("a21019fde90127")),
        (0, bytes.fromhex("a2012710190017")),
        (0, bytes.fromhex("a301270440 1019fde9")),
        (0, bytes.fromhex("a201271019fde900")),
        (1, []),
        (1, {b"": 1}),
        (2, None),
        (2, "text"),
        (3, bytes(63)),
        (3, bytes(65)),
        (3, None),
    ],
)
def test_any_other_form_is_invalid(index: int, part: object) -> None:
    cose.read_sign1(list(GOOD))
    with pytest.raises(Invalid):
        cose.read_sign1([*GOOD[:index], part, *GOOD[index + 1 :]])


@pytest.mark.parametrize("value", [[], GOOD[:3], [*GOOD, 1], {}, b"", None], ids=repr)
def test_a_cose_sign1_is_an_array_of_four(value: object) -> None:
    with pytest.raises(Invalid):
        cose.read_sign1(cbor.encode(value))


def test_a_tag_is_invalid() -> None:
    with pytest.raises(Invalid, match="tag"):
        cose.read_sign1(b"\xd2" + cose.sign1(b"", Typ.PACK, KEY, external_aad=MESH))
