from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap import message, wire
from kos_edge.bootstrap.edhoc import Initiator, Responder, State
from kos_edge.errors import Invalid, Misuse
from kos_edge.klp import cbor
from tests.bootstrap import people
from tests.bootstrap.people import ALICE, BOB, ISSUER, chance, initiator, meet, member, responder

LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
"""The seven points of small order on Curve25519, non-canonical encodings among them."""


@pytest.mark.parametrize("suite", [0, 4])
def test_two_nodes_that_meet_share_keys(suite: int) -> None:
    one, other = initiator(suites=(suite,)), responder()
    meet(one, other)
    mine, yours = one.oscore(), other.oscore()
    assert (mine.master_secret, mine.master_salt) == (yours.master_secret, yours.master_salt)
    assert (mine.sender_id, mine.recipient_id) == (yours.recipient_id, yours.sender_id) == (b"\x02", b"\x01")
    assert one.export(7, b"context", 40) == other.export(7, b"context", 40)


@pytest.mark.parametrize(
    ("suite", "aead", "secret", "overhead_3"), [(0, 10, 16, 8), (4, 24, 32, 16)], ids=["suite 0", "suite 4"]
)
def test_a_suite_fixes_the_lengths(suite: int, aead: int, secret: int, overhead_3: int) -> None:
    one, other = initiator(suites=(suite,)), responder()
    *_, third, fourth = meet(one, other)
    keys = one.oscore()
    assert (keys.aead, keys.hash, len(keys.master_secret), len(keys.master_salt)) == (aead, -16, secret, 8)
    assert len(cbor.decode(third)) == len(member(ALICE).id_cred) + 66 + overhead_3
    assert len(cbor.decode(fourth)) == overhead_3


def test_secrets_are_not_shown() -> None:
    one = initiator()
    meet(one, responder())
    keys = one.oscore()
    shown = repr(keys) + repr(one.transcript)
    assert keys.master_secret.hex() not in shown
    assert repr(keys.master_secret)[2:-1] not in shown
    assert repr(one.transcript.prk_2e)[2:-1] not in shown


def test_a_key_update_on_both_sides_gives_new_equal_keys() -> None:
    one, other = initiator(), responder()
    meet(one, other)
    before = one.oscore()
    one.update(b"nonces")
    other.update(b"nonces")
    assert one.oscore().master_secret == other.oscore().master_secret != before.master_secret


STEPS: dict[str, Callable[[Initiator], object]] = {
    "message_1": lambda it: it.message_1(),
    "read_message_2": lambda it: it.read_message_2(b""),
    "verify_message_2": lambda it: it.verify_message_2(b"", b""),
    "message_3": lambda it: it.message_3(),
    "read_message_4": lambda it: it.read_message_4(b""),
    "oscore": lambda it: it.oscore(),
}


@pytest.mark.parametrize("step", [name for name in STEPS if name != "message_1"])
def test_an_initiator_refuses_what_comes_too_early_and_stays_as_it_is(step: str) -> None:
    one = initiator()
    with pytest.raises(Misuse):
        STEPS[step](one)
    assert one.state is State.NEW
    meet(one, responder())


@pytest.mark.parametrize("step", [name for name in STEPS if name != "oscore"])
def test_an_initiator_that_is_done_does_nothing_twice(step: str) -> None:
    one = initiator()
    meet(one, responder())
    before = one.oscore()
    with pytest.raises(Misuse, match="is complete"):
        STEPS[step](one)
    assert one.oscore() == before


def test_a_responder_refuses_what_comes_in_the_wrong_order_and_stays_as_it_is() -> None:
    one, other = initiator(), responder()
    for early in (
        lambda: other.message_2(b"\x02"),
        lambda: other.read_message_3(b""),
        lambda: other.verify_message_3(b"", b""),
        lambda: other.message_4(),
        lambda: other.oscore(),
        lambda: other.th_3,
    ):
        with pytest.raises(Misuse):
            early()
        assert other.state is State.NEW
    meet(one, other)
    with pytest.raises(Misuse, match="is complete"):
        other.message_4()


def test_what_failed_gives_no_keys_and_goes_nowhere() -> None:
    one, other = initiator(), responder()
    other.read_message_1(one.message_1())
    other.message_2(b"\x02")
    with pytest.raises(Invalid):
        other.read_message_3(cbor.encode(bytes(100)))
    assert other.state is State.FAILED
    with pytest.raises(Misuse, match="has failed"):
        other.oscore()
    with pytest.raises(Misuse, match="has failed"):
        other.message_4()


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_small_order_point_from_either_side_is_rejected(point: str) -> None:
    low = bytes.fromhex(point)
    other = responder()
    other.read_message_1(cbor.encode_sequence(0, 4, low, 1))
    with pytest.raises(Invalid, match="low order"):
        other.message_2(b"\x02")
    one = initiator()
    one.message_1()
    with pytest.raises(Invalid, match="low order"):
        one.read_message_2(cbor.encode(low + bytes(100)))


def test_a_key_without_its_holder_proves_nothing() -> None:
    one, other = initiator(), Responder(ISSUER, member(BOB), random=chance(2))
    other.read_message_1(one.message_1())
    shown = credentials.read(one.read_message_2(other.message_2(b"\x02")))
    assert shown.public == BOB.public
    with pytest.raises(Invalid, match="signature"):
        one.verify_message_2(shown.cred, shown.public)
    with pytest.raises(Misuse, match="has failed"):
        one.message_3()


def test_an_identifier_that_comes_back_as_our_own_is_rejected() -> None:
    one, other = initiator(c_i=b"\x09"), responder()
    other.read_message_1(one.message_1())
    with pytest.raises(Misuse, match="differ"):
        other.message_2(b"\x09")
    other.c_i = b"\x08"
    with pytest.raises(Invalid, match="C_R equals C_I"):
        one.read_message_2(other.message_2(b"\x09"))


@pytest.mark.parametrize(("suite", "longest"), [(0, 7), (4, 6)])
def test_an_identifier_too_long_for_oscore_is_rejected(suite: int, longest: int) -> None:
    g_x = X25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    responder().read_message_1(cbor.encode_sequence(0, suite, g_x, bytes(longest)))
    with pytest.raises(Invalid, match="identifier"):
        responder().read_message_1(cbor.encode_sequence(0, suite, g_x, bytes(longest + 1)))
    with pytest.raises(Misuse, match="C_I"):
        initiator(suites=(suite,), c_i=bytes(longest + 1))


def test_ead_items_travel_in_order_and_padding_stays_behind() -> None:
    one, other = initiator(), responder()
    items = [(65001, b"first"), (7, None), (65001, b"again")]
    hello = other.read_message_1(one.message_1([(0, b"\0\0"), *items, (0, None)]))
    assert list(hello.ead) == items
    shown = credentials.read(one.read_message_2(other.message_2(b"\x02", items)))
    assert list(one.verify_message_2(shown.cred, shown.public)) == items
    shown = credentials.read(other.read_message_3(one.message_3([(-9, b"must"), *items])))
    assert list(other.verify_message_3(shown.cred, shown.public, {9})) == [(-9, b"must"), *items]
    assert list(one.read_message_4(other.message_4([*items, (-3, None)]), {3})) == [*items, (-3, None)]


def test_a_critical_item_that_is_not_understood_ends_the_handshake_wherever_it_stands() -> None:
    critical = [(-65001, b"do this or nothing")]
    one, other = initiator(), responder()
    with pytest.raises(Invalid, match="critical"):
        other.read_message_1(one.message_1(critical), {65002})

    one, other = initiator(), responder()
    other.read_message_1(one.message_1())
    shown = credentials.read(one.read_message_2(other.message_2(b"\x02", critical)))
    with pytest.raises(Invalid, match="critical"):
        one.verify_message_2(shown.cred, shown.public)

    one, other = initiator(), responder()
    other.read_message_1(one.message_1())
    shown = credentials.read(one.read_message_2(other.message_2(b"\x02")))
    one.verify_message_2(shown.cred, shown.public)
    shown = credentials.read(other.read_message_3(one.message_3(critical)))
    with pytest.raises(Invalid, match="critical"):
        other.verify_message_3(shown.cred, shown.public)

    one, other = initiator(), responder()
    other.read_message_1(one.message_1())
    shown = credentials.read(one.read_message_2(other.message_2(b"\x02")))
    one.verify_message_2(shown.cred, shown.public)
    shown = credentials.read(other.read_message_3(one.message_3()))
    other.verify_message_3(shown.cred, shown.public)
    with pytest.raises(Invalid, match="critical"):
        one.read_message_4(other.message_4(critical))
    assert one.state is State.FAILED


@pytest.mark.parametrize(
    ("suites_i", "spoken"),
    [(4, (0,)), ([4, 0], (0, 4)), ([0, 4], (0,)), (7, (0, 4)), ([2, 3], (0, 4))],
    ids=str,
)
def test_a_suite_that_is_not_the_best_in_common_is_refused(suites_i: object, spoken: tuple[int, ...]) -> None:
    g_x = X25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    with pytest.raises(wire.WrongSuite) as caught:
        responder(suites=spoken).read_message_1(cbor.encode_sequence(0, suites_i, g_x, 1))
    assert caught.value.supported == spoken


@pytest.mark.parametrize(
    ("suites_i", "spoken", "selected"),
    [(0, (0, 4), 0), (4, (0, 4), 4), ([4, 0], (0,), 0), ([2, 0], (0, 4), 0), ([0, 4], (4,), 4)],
    ids=str,
)
def test_the_best_suite_in_common_is_taken(suites_i: object, spoken: tuple[int, ...], selected: int) -> None:
    g_x = X25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    hello = responder(suites=spoken).read_message_1(cbor.encode_sequence(0, suites_i, g_x, 1))
    assert hello.selected == selected


def test_only_the_suites_that_we_have_can_be_asked_for() -> None:
    for suites in ((), (0, 2)):
        with pytest.raises(Misuse):
            initiator(suites=suites)
        with pytest.raises(Misuse):
            responder(suites=suites)


def test_the_length_of_message_2_is_known_before_it_is_made() -> None:
    for credential in (member(BOB), member(BOB, ISSUER), credentials.kccs(BOB.public, "b" * 200)):
        for c_r in (b"\x02", b"\xff", b"abc"):
            one, other = initiator(), Responder(BOB, credential, random=chance(2))
            other.read_message_1(one.message_1())
            second = other.message_2(c_r, [(9, b"x")])
            assert message.message_2_length(credential, c_r, [(9, b"x")]) == len(second)


def test_a_credential_by_reference_is_told_from_nonsense() -> None:
    plaintext = cbor.encode_sequence(2, b"key7", bytes(64))
    with pytest.raises(wire.UnknownCredential):
        message.read_plaintext_2(plaintext)
    with pytest.raises(Invalid, match="kid in a map"):
        message.read_plaintext_3(cbor.encode_sequence({4: b"key7"}, bytes(64)))
    for nonsense in (b"", b"\x02", cbor.encode_sequence(2, {}, bytes(64)), cbor.encode_sequence(2, [], b"")):
        with pytest.raises(Invalid):
            message.read_plaintext_2(nonsense)


def test_every_flipped_bit_of_message_1_ends_in_a_rejection() -> None:
    first = initiator().message_1([(0, None), (5, b"shown")])
    accepted_by_the_responder = 0
    for flipped in flips(first):
        one, other = initiator(), responder()
        one.message_1([(0, None), (5, b"shown")])
        try:
            other.read_message_1(flipped)
            second = other.message_2(b"\x02")
        except Invalid:
            continue
        accepted_by_the_responder += 1
        with pytest.raises(Invalid):
            accept(one, second)
    assert accepted_by_the_responder > 256  # every bit of G_X, for one: only the transcript gives them away


def test_every_flipped_bit_of_message_2_is_rejected() -> None:
    def answer() -> tuple[Initiator, bytes]:
        one, other = initiator(), Responder(BOB, credentials.kccs(BOB.public), random=chance(2))
        other.read_message_1(one.message_1())
        return one, other.message_2(b"\x02", [(5, b"shown")])

    for flipped in flips(answer()[1]):
        one = initiator()
        one.message_1()
        with pytest.raises(Invalid):
            accept(one, flipped)
        assert one.state in (State.FAILED, State.ANSWER_READ)


@pytest.mark.parametrize("suite", [0, 4])
def test_every_flipped_bit_of_message_3_and_message_4_is_rejected(suite: int) -> None:
    one, other = initiator(suites=(suite,)), responder()
    *_, third, fourth = meet(one, other)
    at = other.transcript
    for flipped in flips(third):
        with pytest.raises(Invalid):
            at.open_3(message.read_string(flipped, "message_3"))
    for flipped in flips(fourth):
        with pytest.raises(Invalid):
            at.open_4(message.read_string(flipped, "message_4"))


def test_what_arrives_cut_short_is_rejected() -> None:
    first, second, third, fourth = meet(initiator(), responder())
    for at in range(len(first)):
        with pytest.raises(Invalid):
            responder().read_message_1(first[:at])
    for what, whole in (("message_2", second), ("message_3", third), ("message_4", fourth)):
        for at in range(len(whole)):
            with pytest.raises(Invalid):
                message.read_string(whole[:at], what)


def test_a_message_longer_than_the_limit_is_rejected_unread() -> None:
    with pytest.raises(Invalid, match="longer than 2048"):
        people.responder().read_message_1(bytes(wire.MAX_MESSAGE + 1))


def accept(one: Initiator, message_2: bytes) -> None:
    shown = credentials.read(one.read_message_2(message_2))
    one.verify_message_2(shown.cred, shown.public)


def flips(data: bytes) -> list[bytes]:
    """`data` with each of its bits wrong, one at a time."""
    return [
        data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
        for bit in range(8 * len(data))
    ]
