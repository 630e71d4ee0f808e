from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kos_edge.discovery.sighting import Found, Hint, Lost
from kos_edge.discovery.sightings import LONGEST, NEW_PER_SECOND, Sightings


def kid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def found(number: int, port: int = 5683) -> Found:
    return Found(kid(number), None, None, (Hint("192.0.2.1", port),))


def test_the_same_is_said_once_and_a_change_again() -> None:
    sightings = Sightings()
    assert sightings.heard(kid(1), found(1), 0, 120) == [found(1)]
    assert sightings.heard(kid(1), found(1), 1, 120) == []
    assert sightings.heard(kid(1), found(1, 9), 2) == [found(1, 9)]


def test_whose_time_runs_out_is_lost_and_whoever_is_heard_again_is_not() -> None:
    sightings = Sightings()
    sightings.heard(kid(1), found(1), 0, 100)
    sightings.heard(kid(2), found(2), 0, 100)
    sightings.heard(kid(2), found(2), 90, 100)
    assert sightings.refresh_at() == 100
    assert sightings.expire(99.9) == []
    assert sightings.expire(100) == [Lost(kid(1))]
    assert sightings.expire(190) == [Lost(kid(2))]
    assert sightings.refresh_at() is None


def test_nobody_is_believed_for_ever() -> None:
    sightings = Sightings()
    sightings.heard(kid(1), found(1), 0, 2**32)
    assert sightings.refresh_at() == LONGEST


def test_goodbye_is_said_once() -> None:
    sightings = Sightings()
    sightings.heard(kid(1), found(1), 0, 100)
    assert sightings.gone(kid(1)) == [Lost(kid(1))]
    assert sightings.gone(kid(1)) == []


def test_news_of_somebody_unknown_is_nothing() -> None:
    assert Sightings().heard(kid(1), found(1), 0) == []


def test_a_flood_of_forged_names_is_bounded_and_spares_who_has_proved_its_key() -> None:
    sightings = Sightings(limit=100)
    sightings.heard(kid(0), found(0), 0, 100)
    sightings.pin(kid(0))
    events = [event for n in range(1, 100_001) for event in sightings.heard(kid(n), found(n), n / 1e5, 100)]
    assert len(sightings) == 100
    assert kid(0) in sightings
    assert len(events) < 200
    assert sightings.passed_over > 99_000


def test_room_is_made_by_whoever_was_heard_of_longest_ago() -> None:
    sightings = Sightings(limit=2)
    for n in (1, 2):
        sightings.heard(kid(n), found(n), 0, 100)
    sightings.heard(kid(1), found(1), 1, 100)
    assert sightings.heard(kid(3), found(3), 1 + 1 / NEW_PER_SECOND, 100) == [Lost(kid(2)), found(3)]


def test_when_all_have_proved_their_keys_nobody_makes_way() -> None:
    sightings = Sightings(limit=2)
    for n in (1, 2):
        sightings.heard(kid(n), found(n), 0, 100)
        sightings.pin(kid(n))
    assert sightings.heard(kid(3), found(3), 10, 100) == []


@given(st.lists(st.tuples(st.sampled_from("hgep"), st.integers(0, 9), st.floats(0, 50)), max_size=80))
def test_found_and_lost_alternate_for_each_name(steps: list[tuple[str, int, float]]) -> None:
    sightings, now = Sightings(limit=4), 0.0
    there: set[bytes] = set()
    for what, number, passed in steps:
        now += passed
        match what:
            case "h":
                events = sightings.heard(kid(number), found(number), now, 60)
            case "g":
                events = sightings.gone(kid(number))
            case "e":
                events = sightings.expire(now)
            case _:
                sightings.pin(kid(number))
                events = []
        for event in events:
            match event:
                case Found(kid_claimed=claimed) if claimed is not None:
                    assert claimed not in there
                    there.add(claimed)
                case Lost(claimed):
                    there.remove(claimed)
        assert len(there) == len(sightings) <= 4
