"""The columns of what is owed: they say what a list of objects would, in a quarter of its memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from kos_edge.klp.pack import Reason as Removal
from kos_edge.store.owed import Stamp, Standing, Waiting
from kos_edge.store.queued import Queued

AT_MS = 1_800_000_000_000


@st.composite
def waiting_packs(draw: st.DrawFn) -> list[Waiting]:
    """Packs and tombstones with rising numbers, some of them missing."""
    found: list[Waiting] = []
    number = 1
    for ident in range(1, draw(st.integers(0, 30)) + 1):
        first = number + draw(st.sampled_from((0, 0, 0, 5)))
        number = first + draw(st.integers(1, 20))
        gone = draw(st.sampled_from((None, None, Removal.DROPPED, Removal.EXPIRED)))
        topics = (("a.b", 1, 40),) if gone is None and draw(st.booleans()) else ()
        ttl = draw(st.none() | st.integers(0, 100))
        uptime = draw(st.none() | st.integers(0, 10_000))
        at_ms = draw(st.sampled_from((0, AT_MS, AT_MS + 5_000)))
        found.append(Waiting(ident * 7, first, number - 1, 900, at_ms, ttl, uptime, topics, gone))
    return found


@given(waiting_packs(), st.data())
def test_it_changes_as_a_list_does(packs: list[Waiting], data: st.DataObject) -> None:
    queued, model = Queued(packs), list(packs)
    for _ in range(6):
        start = data.draw(st.integers(0, len(model)) if data.draw(st.booleans()) else st.just(0))
        end = data.draw(st.integers(start, len(model)))
        if data.draw(st.booleans()) and end > start:
            grave = Waiting(
                model[end - 1].id,
                model[start].first,
                model[end - 1].last,
                150,
                0,
                None,
                5,
                (),
                Removal.DROPPED,
            )
            queued.replace(start, end, grave)
            model[start:end] = [grave]
        else:
            assert queued.take_out(start, end) == model[start:end]
            del model[start:end]
        assert list(queued) == queued[:] == model
        assert [queued[place] for place in range(len(queued))] == model
        number = data.draw(st.integers(0, 700))
        assert queued.after(number) == sum(each.last <= number for each in model)
        for each in packs:
            place = queued.find(each)
            assert (place is None) == all(each.id != one.id or each.first > one.last for one in model)


@given(waiting_packs())
def test_the_runs_of_what_goes_hold_all_of_it_and_follow_each_other(packs: list[Waiting]) -> None:
    queued = Queued(packs)
    victims = [each for each in packs if each.id % 3]
    runs = queued.runs(victims)
    inside = [place for start, end in runs for place in range(start, end)]
    assert sorted(inside) == [p for p, each in enumerate(packs) if each in victims and each.gone is None]
    assert all(queued.adjacent(place) for start, end in runs for place in range(start + 1, end))
    assert runs == sorted(runs, reverse=True)


@given(waiting_packs())
def test_what_it_adds_up_is_what_waits(packs: list[Waiting]) -> None:
    found = Standing()
    Queued(packs[:10]).count_into(found)
    Queued(packs[10:]).count_into(found)
    alive = [each for each in packs if each.gone is None]
    assert found.messages == sum(each.count for each in alive)
    assert found.bytes == sum(each.size for each in packs)
    assert found.dropped == sum(each.count for each in packs if each.gone is Removal.DROPPED)
    assert found.expired == sum(each.count for each in packs if each.gone is Removal.EXPIRED)
    assert found.oldest == min((each.id for each in alive), default=None)
    assert found.oldest_at == min((each.at_ms for each in packs if each.at_ms), default=None)


@given(waiting_packs(), st.integers(0, 200_000))
def test_what_has_outlived_its_ttl_is_found_by_ages_that_are_known(
    packs: list[Waiting], passed_ms: int
) -> None:
    now = Stamp(10_000 + passed_ms, None, None, AT_MS + 5_000 + passed_ms)
    expected = [
        each
        for each in packs
        if each.gone is None and each.ttl_s is not None and (each.age_ms(now) or -1) >= each.ttl_s * 1000
    ]
    assert list(Queued(packs).outlived(now)) == expected


def test_packs_appended_out_of_order_are_put_in_order() -> None:
    packs = [Waiting(ident, first, first, 1, 0, None, None) for ident, first in ((1, 5), (2, 2), (3, 9))]
    assert [each.first for each in Queued(packs).in_order()] == [2, 5, 9]


def test_a_pack_that_waits_takes_less_than_eighty_bytes() -> None:
    """An object for each would be 230: weeks without a link are millions of packs."""
    tracemalloc.start()
    try:
        queued = Queued()
        for number in range(1_000, 21_000):
            queued.append(Waiting(number, number, number, 900, AT_MS + number, None, number * 10))
        assert tracemalloc.get_traced_memory()[0] / 20_000 < 80
    finally:
        tracemalloc.stop()
    assert queued.take_out(0, 19_999)[-1].first == 20_998
    assert [each.first for each in queued] == [20_999]
