"""The same handshake over perfect and bad wires, in virtual time."""

from __future__ import annotations

import pytest

from kos_edge.bootstrap.carriage import Established
from kos_edge.bootstrap.responders import Decision, Responders
from kos_edge.bootstrap.session import InitiatorHandshake
from kos_edge.klp.identity import kid_of
from tests.bootstrap.people import ALICE, BOB, ISSUER, chance, member, trust_all
from tests.bootstrap.wires import Weather, Wire


def wire(weather: Weather, seed: int = 0) -> Wire:
    random = chance(seed)

    def begin(now: float) -> InitiatorHandshake:
        return InitiatorHandshake(
            ALICE,
            member(ALICE, ISSUER),
            trust=trust_all,
            is_taken=lambda _: False,
            now=now,
            kid=BOB.kid,
            understood={2},
            ead_3=lambda binding: [(1, binding.th_3)],
            random=random,
        )

    responders = Responders(
        BOB,
        member(BOB, ISSUER),
        trust=trust_all,
        decide=lambda proven: Decision(proven.peer, ((-2, proven.ead[0].value),)),
        is_taken=lambda identifier: any(seen.keys.recipient_id == identifier for seen in it.called),
        random=random,
    )
    it = Wire(begin, responders, weather, seed)
    return it


def check(it: Wire, mine: Established) -> None:
    """Both ends have the same session, and nobody else has one that the other does not know of."""
    yours = next(seen for seen in it.called if seen.keys.recipient_id == mine.keys.sender_id)
    assert yours.keys.master_secret == mine.keys.master_secret
    assert yours.keys.master_salt == mine.keys.master_salt
    assert yours.keys.sender_id == mine.keys.recipient_id
    assert (mine.kid, yours.kid) == (BOB.kid, kid_of(ALICE.public))
    assert mine.ead[0].value == yours.ead[0].value  # what went there came back
    assert it.largest_ratio <= 3


def test_a_perfect_wire_takes_two_requests_and_one_handshake() -> None:
    it = wire(Weather())
    check(it, it.run())
    assert (it.handshakes, len(it.called), it.errors) == (1, 1, [])
    assert it.now - 1_000 == pytest.approx(0.04)


@pytest.mark.parametrize("number", range(4))
def test_any_one_lost_datagram_costs_a_retransmission_and_no_second_handshake(number: int) -> None:
    it = wire(Weather(lost=frozenset({number})))
    check(it, it.run())
    assert (it.handshakes, len(it.called)) == (1, 1)


@pytest.mark.parametrize("number", range(4))
def test_any_one_doubled_datagram_changes_nothing(number: int) -> None:
    it = wire(Weather(doubled=frozenset({number})))
    check(it, it.run())
    assert (it.handshakes, len(it.called)) == (1, 1)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "weather",
    [
        Weather(loss=0.3),
        Weather(duplicate=0.5),
        Weather(reorder=0.5),
        Weather(corrupt=0.3),
        Weather(loss=0.1, duplicate=0.1, reorder=0.3, corrupt=0.02),
    ],
    ids=["lossy", "duplicating", "reordering", "corrupting", "everything"],
)
def test_a_bad_wire_ends_in_equal_keys(weather: Weather, seed: int) -> None:
    it = wire(weather, seed)
    check(it, it.run())
    if not weather.corrupt and not weather.loss:
        assert it.handshakes == 1
