from __future__ import annotations

from typing import Any

import pytest

from kos_edge.bootstrap import carriage, wire
from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.carriage import Established, Identified, Post, choose_identifier, keeps_own
from kos_edge.bootstrap.edhoc import Initiator
from kos_edge.bootstrap.responders import Decision, Proven, Responders
from kos_edge.bootstrap.session import INITIATOR_LIFETIME, MESSAGE_1_LENGTH, Finish, InitiatorHandshake
from kos_edge.bootstrap.wire import ErrorMessage
from kos_edge.errors import Invalid, Misuse, Refused, Unavailable
from kos_edge.klp import cbor
from tests.bootstrap.people import (
    ALICE,
    BOB,
    ISSUER,
    Place,
    called,
    chance,
    handshake,
    member,
    trust_all,
    trust_none,
)

HERE = Place("here")


def advance(one: InitiatorHandshake, other: Responders, post: Post) -> Any:
    """One request and its answer."""
    reply = other.receive(HERE, post.payload, 0.0, echo=post.echo).reply
    assert reply is not None
    return one.receive(reply.code, reply.payload, 0.0, echo=reply.echo)


def test_an_enrolment_takes_two_requests_and_carries_both_eads() -> None:
    seen: list[Proven] = []

    def decide(proven: Proven) -> Decision:
        seen.append(proven)
        return Decision("alice", ((65002, b"membership"),))

    one = handshake(ead_3=lambda binding: [(-65001, binding.th_3[:4])], understood={65002})
    other = called(decide=decide, understood={65001})
    post = one.start()
    assert isinstance(post, Post)
    assert post.content_format == 65
    post = advance(one, other, post)
    outcome = other.receive(HERE, post.payload, 0.0)
    assert outcome.reply is not None
    assert (outcome.reply.code, outcome.reply.content_format) == (carriage.CHANGED, 64)
    mine = one.receive(outcome.reply.code, outcome.reply.payload, 0.0)
    yours = outcome.established
    assert isinstance(mine, Established)
    assert yours is not None
    assert mine.keys.master_secret == yours.keys.master_secret
    assert mine.ead == ((65002, b"membership"),)
    assert mine.message_3 is None
    assert (mine.suite, yours.suite) == (4, 4)
    assert (mine.kid, yours.kid, yours.peer) == (BOB.kid, ALICE.kid, "alice")
    [proven] = seen
    assert proven.binding.th_3[:4] == proven.ead[0].value
    assert proven.binding.cred == member(ALICE, ISSUER).cred
    assert not proven.combined
    assert proven.kid == ALICE.kid


def test_the_first_payload_pays_for_the_answer() -> None:
    post = handshake().start()
    assert len(post.payload) == MESSAGE_1_LENGTH
    assert len(handshake(message_1_length=0).start().payload) == 38
    reply = called().receive(HERE, post.payload, 0.0).reply
    assert reply is not None
    assert reply.code == carriage.CHANGED
    assert len(reply.payload) <= 3 * len(post.payload)


def test_a_reconnect_combines_message_3_with_the_first_request() -> None:
    one, other = handshake(finish=Finish.COMBINED), called()
    mine = advance(one, other, one.start())
    assert isinstance(mine, Established)
    assert mine.message_3 is not None
    payload = carriage.combine(mine.message_3, b"protected")
    outcome = other.combined(HERE, mine.keys.sender_id, payload, 0.0)
    assert outcome.reply is None
    assert outcome.rest == b"protected"
    assert outcome.established is not None
    assert outcome.established.keys.master_secret == mine.keys.master_secret


def test_a_combined_request_that_comes_twice_goes_to_the_session_that_it_made() -> None:
    one, other = handshake(finish=Finish.COMBINED), called()
    mine = advance(one, other, one.start())
    assert isinstance(mine, Established)
    payload = carriage.combine(mine.message_3 or b"", b"protected")
    other.combined(HERE, mine.keys.sender_id, payload, 0.0)
    again = other.combined(HERE, mine.keys.sender_id, payload, 0.0)
    assert (again.reply, again.established, again.rest) == (None, None, b"protected")
    refused = other.receive(HERE, mine.keys.sender_id + (mine.message_3 or b""), 0.0)
    assert refused.established is None
    assert refused.reply is not None
    assert refused.reply.code == carriage.BAD_REQUEST


def test_a_newcomer_cannot_combine() -> None:
    one = InitiatorHandshake(
        ALICE,
        credentials.kccs(ALICE.public),
        trust=trust_all,
        is_taken=lambda _: False,
        now=0.0,
        finish=Finish.COMBINED,
    )
    other = called()
    mine = advance(one, other, one.start())
    assert isinstance(mine, Established)
    outcome = other.combined(HERE, mine.keys.sender_id, carriage.combine(mine.message_3 or b"", b"x"), 0.0)
    assert outcome.established is None
    assert outcome.reply is not None
    with pytest.raises(Unavailable, match="newcomer"):
        one.receive(outcome.reply.code, outcome.reply.payload, 0.0)


@pytest.mark.parametrize(
    "wanted",
    [{"kid": ALICE.kid}, {"expect": lambda identified: False}],
    ids=["another kid", "another role"],
)
def test_another_device_at_that_address_never_learns_who_called(wanted: dict) -> None:
    one, other = handshake(**wanted), called()
    with pytest.raises(Refused, match="found another device at that address") as caught:
        advance(one, other, one.start())
    assert caught.value.hint
    assert BOB.kid.hex() in str(caught.value)
    assert one.farewell is not None
    assert ALICE.public not in one.farewell.payload
    assert other.receive(HERE, one.farewell.payload, 0.0).reply == carriage.Reply(carriage.CHANGED)
    assert other.waiting == 0


def test_the_right_device_is_taken() -> None:
    one = handshake(kid=BOB.kid, expect=lambda identified: identified.peer == BOB.public.hex()[:8])
    other = called()
    post = advance(one, other, one.start())
    assert isinstance(post, Post)
    assert isinstance(advance(one, other, post), Established)


def test_a_credential_that_nobody_trusts_ends_the_handshake_on_either_side() -> None:
    one, other = handshake(trust=trust_none), called()
    with pytest.raises(Refused, match="not one of us"):
        advance(one, other, one.start())
    one, other = handshake(), called(trust=trust_none)
    post = advance(one, other, one.start())
    assert isinstance(post, Post)
    with pytest.raises(Refused, match="not one of us"):
        advance(one, other, post)
    assert other.waiting == 0


def test_the_key_that_the_hook_names_is_the_one_that_must_have_signed() -> None:
    one = handshake(trust=lambda presented: Identified(ISSUER.public, None))
    with pytest.raises(Invalid, match="signature"):
        advance(one, called(), one.start())


def test_a_decision_against_is_told_with_its_reason_as_often_as_asked() -> None:
    def decide(proven: object) -> Decision:
        raise Refused("this invitation is used up")

    one, other = handshake(), called(decide=decide)
    post = advance(one, other, one.start())
    assert isinstance(post, Post)
    first, second = (other.receive(HERE, post.payload, 0.0) for _ in range(2))
    assert first == second
    assert first.established is None
    with pytest.raises(Refused, match=r"^this invitation is used up$"):
        advance(one, other, post)


def test_a_decision_for_later_is_told_as_such() -> None:
    def decide(proven: object) -> Decision:
        raise Unavailable("quarantine is full")

    one, other = handshake(), called(decide=decide)
    post = advance(one, other, one.start())
    assert isinstance(post, Post)
    with pytest.raises(Unavailable, match="quarantine is full"):
        advance(one, other, post)


def test_a_decision_without_a_session_answers_and_opens_none() -> None:
    one, other = handshake(), called(decide=lambda proven: Decision(None, ((65003, None),), session=False))
    post = advance(one, other, one.start())
    assert isinstance(post, Post)
    outcome = other.receive(HERE, post.payload, 0.0)
    assert outcome.established is None
    assert outcome.reply is not None
    mine = one.receive(outcome.reply.code, outcome.reply.payload, 0.0)
    assert isinstance(mine, Established)
    assert mine.ead == ((65003, None),)


def test_a_refusal_before_we_showed_ourselves_is_no_refusal() -> None:
    one = handshake()
    one.start()
    with pytest.raises(Unavailable, match="refused: go away"):
        one.receive(carriage.BAD_REQUEST, ErrorMessage(1, "refused: go away").encode(), 0.0)


def test_a_responder_of_suite_0_only_is_met_on_the_second_try() -> None:
    one, other = handshake(), called(suites=(0,))
    first = one.start()
    assert cbor.decode_sequence(first.payload)[2] == 4
    second = advance(one, other, first)
    assert isinstance(second, Post)
    assert cbor.decode_sequence(second.payload)[2] == [4, 0]
    assert len(second.payload) == MESSAGE_1_LENGTH
    third = advance(one, other, second)
    assert isinstance(third, Post)
    mine = advance(one, other, third)
    assert isinstance(mine, Established)
    assert (mine.suite, mine.keys.aead) == (0, 10)


def test_nobody_in_between_can_talk_two_nodes_down_to_a_lesser_suite() -> None:
    one, other = handshake(), called(suites=(0, 4))
    one.start()
    second = one.receive(carriage.BAD_REQUEST, ErrorMessage(2, (0,)).encode(), 0.0)  # forged
    assert isinstance(second, Post)
    with pytest.raises(Invalid, match="refuses a cipher suite"):
        advance(one, other, second)


def test_no_suite_in_common_is_said_and_not_tried_again() -> None:
    one = handshake()
    one.start()
    with pytest.raises(Refused, match="no cipher suite in common"):
        one.receive(carriage.BAD_REQUEST, ErrorMessage(2, (2, 3)).encode(), 0.0)


def test_a_request_is_repeated_with_the_echo_value_and_not_for_ever() -> None:
    one = handshake()
    first = one.start()
    again = one.receive(carriage.UNAUTHORIZED, b"", 0.0, echo=b"12345678")
    assert again == Post(first.payload, b"12345678")
    assert one.receive(carriage.UNAUTHORIZED, b"", 0.0, echo=b"87654321") == Post(first.payload, b"87654321")
    with pytest.raises(Unavailable, match="keeps asking"):
        one.receive(carriage.UNAUTHORIZED, b"", 0.0, echo=b"12345678")


@pytest.mark.parametrize("code", [0x80, 0x81, 0x84, 0xA0, 0xA3, 0xA4])
def test_an_answer_without_edhoc_in_it_may_be_tried_again(code: int) -> None:
    one = handshake()
    one.start()
    with pytest.raises(Unavailable, match=f"{code >> 5}.{code & 31:02d}"):
        one.receive(code, b"", 0.0)


def test_an_answer_after_the_deadline_is_too_late() -> None:
    one, other = handshake(now=5.0), called()
    post = one.start()
    reply = other.receive(HERE, post.payload, 5.0).reply
    assert reply is not None
    with pytest.raises(Unavailable, match="too long"):
        one.receive(reply.code, reply.payload, 5.0 + INITIATOR_LIFETIME + 0.1)


def test_a_handshake_takes_nothing_before_it_begins_and_after_it_ended() -> None:
    one, other = handshake(), called()
    with pytest.raises(Misuse, match="has not begun"):
        one.receive(carriage.CHANGED, b"", 0.0)
    post = one.start()
    with pytest.raises(Misuse, match="waits for message_2"):
        one.start()
    post = advance(one, other, post)
    assert isinstance(post, Post)
    advance(one, other, post)
    with pytest.raises(Misuse, match="is over"):
        one.receive(carriage.CHANGED, b"", 0.0)


def test_an_unprotected_answer_to_a_combined_request_gives_nothing() -> None:
    one, other = handshake(finish=Finish.COMBINED), called()
    advance(one, other, one.start())
    with pytest.raises(Invalid, match="unprotected"):
        one.receive(carriage.CHANGED, b"\x40", 0.0)


def test_a_node_that_meets_itself_notices() -> None:
    one = handshake()
    mirror = Responders(
        ALICE,
        member(ALICE),
        trust=trust_all,
        decide=lambda proven: Decision(None),
        is_taken=lambda _: False,
    )
    with pytest.raises(Invalid, match="our own key"):
        advance(one, mirror, one.start())


def test_a_node_that_is_called_by_itself_notices() -> None:
    mirror = called()
    edhoc = Initiator(BOB, member(BOB), c_i=b"\x01")
    reply = mirror.receive(HERE, carriage.MESSAGE_1_PREFIX + edhoc.message_1(length=255), 0.0).reply
    assert reply is not None
    shown = credentials.read(edhoc.read_message_2(reply.payload))
    edhoc.verify_message_2(shown.cred, shown.public)
    c_r = cbor.encode(wire.write_identifier(edhoc.c_r))
    outcome = mirror.receive(HERE, c_r + edhoc.message_3(), 0.0)
    assert outcome.established is None
    assert outcome.reply is not None
    assert "our own key" in str(ErrorMessage.read(outcome.reply.payload))


def test_of_two_simultaneous_handshakes_both_sides_keep_the_same_one() -> None:
    assert keeps_own(b"\x01" * 16, b"\x02" * 16)
    assert not keeps_own(b"\x02" * 16, b"\x01" * 16)
    with pytest.raises(Invalid):
        keeps_own(b"\x01" * 16, b"\x01" * 16)


def test_identifiers_are_short_while_there_are_short_ones_and_always_free() -> None:
    taken: set[bytes] = set()
    for _ in range(2_000):
        chosen = choose_identifier(taken.__contains__, chance(len(taken)), b"\x05")
        assert chosen not in taken
        assert chosen != b"\x05"
        taken.add(chosen)
    assert sum(len(identifier) == 1 for identifier in taken) == 47
    assert max(map(len, taken)) == 2
    with pytest.raises(Unavailable):
        choose_identifier(lambda _: True, chance(1))


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 1000])
def test_a_combined_payload_comes_apart_where_it_was_joined(length: int) -> None:
    message_3 = cbor.encode(bytes(length))
    assert carriage.split(carriage.combine(message_3, b"rest")) == (message_3, b"rest")


@pytest.mark.parametrize(
    "payload", ["", "40", "4100", "4200", "6101ff", "5801ff00", "590001ff00", "58", "5f41ff00", "01ff"]
)
def test_what_is_no_combined_payload_is_rejected(payload: str) -> None:
    with pytest.raises(Invalid):
        carriage.split(bytes.fromhex(payload))
