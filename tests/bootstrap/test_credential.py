from __future__ import annotations

import pytest

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.credential import Kind
from kos_edge.bootstrap.wire import UnknownCredential
from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from tests.bootstrap.people import ALICE, ISSUER, MESH, member

X = ALICE.public


def test_a_newcomer_shows_its_key_by_value() -> None:
    made = credentials.kccs(X, "pump-house")
    assert made.cred == cbor.encode({2: "pump-house", 8: {1: {1: 1, -1: 6, -2: X}}})
    assert made.id_cred == b"\xa1\x0e" + made.cred
    shown = credentials.read(made.id_cred)
    assert (shown.kind, shown.cred, shown.public, shown.name) == (Kind.KCCS, made.cred, X, "pump-house")


def test_a_member_shows_its_membership_as_it_was_signed() -> None:
    made = member(ALICE, ISSUER)
    assert made.id_cred == b"\xa1\x0d" + made.cred
    shown = credentials.read(made.id_cred)
    assert (shown.kind, shown.cred, shown.public) == (Kind.KCWT, made.cred, X)


def test_a_key_with_its_algorithm_and_a_key_id_is_taken() -> None:
    ccs = {2: "", 8: {1: {1: 1, 2: b"id", 3: -8, -1: 6, -2: X}}}
    assert credentials.read(cbor.encode({14: ccs})).public == X


def test_a_ccs_without_a_name_is_taken() -> None:
    assert credentials.read(cbor.encode({14: {8: {1: credentials.cose_key(X)}}})).name == ""


@pytest.mark.parametrize("label", [4, 33, 34, 35, 99, "kcwt"], ids=repr)
def test_a_kind_of_credential_that_we_do_not_take_is_unknown(label: object) -> None:
    with pytest.raises(UnknownCredential):
        credentials.read(cbor.encode({label: b"x"}))


KEY = {1: 1, -1: 6, -2: X}


@pytest.mark.parametrize(
    "ccs",
    [
        b"",
        {},
        {8: KEY},
        {8: {1: {}}},
        {8: {1: KEY, 3: b"kid"}},
        {8: {1: KEY | {1: 2}}},
        {8: {1: KEY | {-1: 4}}},
        {8: {1: KEY | {3: -7}}},
        {8: {1: KEY | {-2: X[:31]}}},
        {8: {1: KEY | {-2: X.hex()}}},
        {2: 7, 8: {1: KEY}},
        {2: "n" * 256, 8: {1: KEY}},
    ],
    ids=repr,
)
def test_a_kccs_without_exactly_one_ed25519_key_and_a_name_is_rejected(ccs: object) -> None:
    with pytest.raises(Invalid):
        credentials.read(cbor.encode({14: ccs}))


@pytest.mark.parametrize(
    "cwt",
    [
        b"bytes",
        [b"", {}, b""],
        [b"", {}, b"", bytes(64)],
        cbor.decode(cose.sign1(b"not a map", cose.Typ.MEMBERSHIP, ISSUER, external_aad=MESH)),
        cbor.decode(cose.sign1(cbor.encode({8: {}}), cose.Typ.MEMBERSHIP, ISSUER, external_aad=MESH)),
    ],
    ids=range(5),
)
def test_a_kcwt_that_is_no_cwt_with_a_key_is_rejected(cwt: object) -> None:
    with pytest.raises(Invalid):
        credentials.read(cbor.encode({13: cwt}))


def test_two_credentials_at_once_are_rejected() -> None:
    with pytest.raises(Invalid):
        credentials.read(cbor.encode({13: [], 14: {}}))
