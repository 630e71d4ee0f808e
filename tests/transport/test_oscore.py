from __future__ import annotations

import random
from typing import Any

import pytest
from aiocoap import Message as JudgeMessage
from aiocoap import oscore as judge
from aiocoap.message import Direction
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.errors import Invalid, Misuse, Unavailable
from kos_edge.transport import coap
from kos_edge.transport.coap import CHANGED, CONTENT, GET, POST, Request, Response
from kos_edge.transport.derive import Derived, derive
from kos_edge.transport.oscore import (
    MAX_FAILURES,
    MAX_MESSAGES,
    OscoreOption,
    Replayed,
    ReplayWindow,
    SecurityContext,
    Unreadable,
)
from tests.transport.world import CCM, CHACHA, SHA_256, keys_of_both, klp


class Judge(judge.CanProtect, judge.CanUnprotect, judge.SecurityContextUtils):  # type: ignore[misc]
    """The other implementation, with the same keys seen from `keys`' side."""

    id_context = None
    echo_recovery = None

    def __init__(self, keys: OscoreKeys) -> None:
        names = {CCM: "AES-CCM-16-64-128", CHACHA: "ChaCha20/Poly1305"}
        self.alg_aead = judge.algorithms[names[keys.aead]]
        self.hashfun = judge.hashfunctions["sha256"]
        self.sender_id, self.recipient_id = keys.sender_id, keys.recipient_id
        self.derive_keys(keys.master_salt, keys.master_secret)
        self.sender_sequence_number = 0
        self.recipient_replay_window = judge.ReplayWindow(32, lambda: None)
        self.recipient_replay_window.initialize_empty()

    def post_seqnoincrease(self) -> None:
        pass


def judge_message(code: int, option: bytes, payload: bytes) -> Any:
    message = JudgeMessage(code=code, oscore=option, payload=payload)
    message.direction = Direction.INCOMING
    return message


@pytest.mark.parametrize("aead", [CCM, CHACHA])
@pytest.mark.parametrize("ids", [(b"", b"\x01"), (b"\x01", b"\x37"), (b"\xaa\xbb\xcc", b"\x00")])
def test_the_judge_opens_what_we_protect_and_we_open_what_it_protects(
    aead: int, ids: tuple[bytes, bytes]
) -> None:
    ours, theirs = keys_of_both(aead, *ids)
    us, them, chance = SecurityContext(ours), Judge(theirs), random.Random(3)
    for size in (0, 1, 100, 1_000, 20_000):
        body = chance.randbytes(size)
        option, payload, binding = us.protect_request(Request(POST, "/klp", body, 60))
        opened, request_id = them.unprotect(judge_message(POST, option, payload))
        assert (opened.code, opened.opt.uri_path, opened.opt.content_format) == (POST, ("klp",), 60)
        assert opened.payload == body
        answer, _ = them.protect(JudgeMessage(code=CHANGED, payload=body, content_format=60), request_id)
        read = us.unprotect_response(binding, OscoreOption.read(answer.opt.oscore), answer.payload)
        assert read == Response(CHANGED, body, 60)

        asked, request_id = them.protect(JudgeMessage(code=GET, uri_path=("a", "b"), payload=body))
        request, bound = us.unprotect_request(OscoreOption.read(asked.opt.oscore), asked.payload)
        assert request == Request(GET, "/a/b", body)
        option, payload = us.protect_response(bound, Response(CONTENT, body))
        judged, _ = them.unprotect(judge_message(coap.CHANGED, option, payload), request_id)
        assert (judged.code, judged.payload) == (CONTENT, body)


def test_the_messages_of_rfc_8613_appendix_c() -> None:
    secret = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
    salt = bytes.fromhex("9e7ca92223786340")
    client = SecurityContext(OscoreKeys(secret, salt, b"", b"\x01", CCM, SHA_256))
    server = SecurityContext(OscoreKeys(secret, salt, b"\x01", b"", CCM, SHA_256))
    for _ in range(20):
        client.protect_request(Request(GET, "/tv1"))
    option, payload, binding = client.protect_request(Request(GET, "/tv1"))
    assert (option.hex(), payload.hex()) == ("0914", "612f1092f1776f1c1668b3825e")
    request, bound = server.unprotect_request(OscoreOption.read(option), payload)
    assert request == Request(GET, "/tv1")
    option, payload = server.protect_response(bound, Response(CONTENT, b"Hello World!"))
    assert (option.hex(), payload.hex()) == ("", "dbaad1e9a7e7b2a813d3c31524378303cdafae119106")
    with_number = bytes.fromhex("4d4c13669384b67354b2b6175ff4b8658c666a6cf88e")
    answer = client.unprotect_response(binding, OscoreOption.read(b"\x01\x00"), with_number)
    assert answer == Response(CONTENT, b"Hello World!")


def both(aead: int = CHACHA) -> tuple[SecurityContext, SecurityContext]:
    ours, theirs = keys_of_both(aead)
    return SecurityContext(ours), SecurityContext(theirs)


@pytest.mark.parametrize("aead", [CCM, CHACHA])
def test_any_bit_flipped_is_rejected_and_the_real_one_still_opens(aead: int) -> None:
    a, b = both(aead)
    option, payload, _ = a.protect_request(klp(b"0123456789"))
    for at in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(Invalid):
            b.unprotect_request(OscoreOption.read(option), bytes(damaged))
    for at in range(8 * len(option)):
        other = bytearray(option)
        other[at // 8] ^= 1 << at % 8
        with pytest.raises(Invalid):
            b.unprotect_request(OscoreOption.read(bytes(other)), payload)
    assert b.unprotect_request(OscoreOption.read(option), payload)[0] == klp(b"0123456789")


def test_a_number_is_good_once() -> None:
    a, b = both()
    option, payload, _ = a.protect_request(klp())
    b.unprotect_request(OscoreOption.read(option), payload)
    with pytest.raises(Replayed):
        b.unprotect_request(OscoreOption.read(option), payload)


def test_a_response_is_bound_to_its_request_and_taken_once() -> None:
    a, b = both()
    first, second = a.protect_request(klp(b"1")), a.protect_request(klp(b"2"))
    _, bound = b.unprotect_request(OscoreOption.read(first[0]), first[1])
    option, payload = b.protect_response(bound, Response(CHANGED, b"to the first"))
    with pytest.raises(Invalid):
        a.unprotect_response(second[2], OscoreOption.read(option), payload)
    assert a.unprotect_response(first[2], OscoreOption.read(option), payload).payload == b"to the first"
    with pytest.raises(Invalid):
        a.unprotect_response(first[2], OscoreOption.read(option), payload)


def test_one_nonce_never_covers_two_answers() -> None:
    a, b = both()
    option, payload, _ = a.protect_request(klp())
    _, bound = b.unprotect_request(OscoreOption.read(option), payload)
    b.protect_response(bound, Response(CHANGED))
    with pytest.raises(Misuse):
        b.protect_response(bound, Response(CHANGED, b"another"))


def test_a_reflected_request_is_not_ours() -> None:
    a, _ = both()
    option, payload, _ = a.protect_request(klp())
    with pytest.raises(Invalid):
        a.unprotect_request(OscoreOption.read(option), payload)


@given(
    st.binary(min_size=16, max_size=64),
    st.binary(max_size=64),
    st.lists(st.binary(max_size=6), min_size=2, max_size=2, unique=True),
    st.sampled_from((CCM, CHACHA)),
)
def test_keys_are_those_that_the_judge_derives(
    secret: bytes, salt: bytes, ids: list[bytes], aead: int
) -> None:
    keys = OscoreKeys(secret, salt, ids[0], ids[1], aead, SHA_256)
    ours, theirs = derive(keys), Judge(keys)
    assert ours == Derived(theirs.sender_key, theirs.recipient_key, theirs.common_iv)


@given(st.lists(st.integers(0, 300), max_size=200), st.sampled_from((1, 8, 64)))
def test_the_window_takes_each_number_once_and_none_that_is_too_old(numbers: list[int], size: int) -> None:
    window, seen = ReplayWindow(size), set[int]()
    for number in numbers:
        newest = max(seen, default=-1)
        assert window.fresh(number) == (number not in seen and number > newest - size)
        if window.fresh(number):
            window.strike(number)
            seen.add(number)


def test_reordering_within_a_window_of_messages_loses_none() -> None:
    a, b = both()
    chance = random.Random(1)
    sent = [a.protect_request(klp(b"%d" % n)) for n in range(3_000)]
    chance.shuffle(sent)
    got = {b.unprotect_request(OscoreOption.read(option), payload)[0].payload for option, payload, _ in sent}
    assert len(got) == 3_000


def test_an_authentic_request_that_is_not_understood_can_be_answered() -> None:
    a, b = both()
    option, payload, _ = a.protect_request(Request(POST, "/klp", options=((9_999, b""),)))
    with pytest.raises(Unreadable) as caught:
        b.unprotect_request(OscoreOption.read(option), payload)
    assert b.protect_response(caught.value.binding, Response(coap.BAD_OPTION))


def test_sixty_four_kib_fit_one_message_under_chacha_and_not_under_ccm() -> None:
    a, b = both(CHACHA)
    option, payload, _ = a.protect_request(klp(bytes(65_536)))
    assert b.unprotect_request(OscoreOption.read(option), payload)[0].payload == bytes(65_536)
    with pytest.raises(Misuse):
        both(CCM)[0].protect_request(klp(bytes(65_536)))


def test_the_keys_ask_for_new_ones_and_then_stop() -> None:
    a, _ = both()
    a.protected = MAX_MESSAGES - (MAX_MESSAGES >> 3) - 1
    assert not a.needs_rekey
    a.protect_request(klp())
    assert a.needs_rekey
    a.protected = MAX_MESSAGES
    with pytest.raises(Unavailable):
        a.protect_request(klp())


def test_keys_that_have_seen_too_many_forgeries_open_nothing_more() -> None:
    a, b = both()
    b.failures = MAX_FAILURES - 1
    option, payload, _ = a.protect_request(klp())
    with pytest.raises(Invalid):
        b.unprotect_request(OscoreOption.read(option), payload + b"x")
    assert b.worn_out
    with pytest.raises(Invalid):
        b.unprotect_request(OscoreOption.read(option), payload)


@pytest.mark.parametrize("option", ["00", "06010101010101", "0a01", "20", "40", "80", "1914ff"])
def test_an_option_that_breaks_the_rules_is_invalid(option: str) -> None:
    with pytest.raises(Invalid):
        OscoreOption.read(bytes.fromhex(option))


def test_ids_that_are_equal_or_too_long_are_our_own_mistake() -> None:
    for sender, recipient in ((b"\x01", b"\x01"), (bytes(7), b"\x01")):
        with pytest.raises(Misuse):
            SecurityContext(OscoreKeys(bytes(16), bytes(8), sender, recipient, CHACHA, SHA_256))
    with pytest.raises(Misuse):
        SecurityContext(OscoreKeys(bytes(16), bytes(8), b"\x01", b"\x02", 1, SHA_256))
