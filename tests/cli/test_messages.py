"""Messages from the command line: published, read, exported."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from kos_edge.cli.publish import BATCH_VALUES, LINE_LIMIT, batches
from kos_edge.cli.watch import Board
from kos_edge.control.reports import Delivered
from kos_edge.errors import Invalid
from tests.cli.conftest import CommandLine, Daemon
from tests.control.node import AT, KID, SmallNode


@pytest.mark.parametrize(
    ("text", "value"),
    [("21.5", 21.5), ("-5", -5), ('"on"', "on"), ("true", True), ("null", None), ('{"t": 1}', {"t": 1})],
)
def test_a_value_is_published_and_its_id_told(
    kos_edge: CommandLine, daemon: Daemon, text: str, value: Any
) -> None:
    done = kos_edge("publish", "air.temperature", text)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{daemon.node.journal[0]['id']}\n"
    assert daemon.node.journal[0]["body"] == value


def test_unit_and_ttl_go_with_the_value(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("publish", "a.b", "1", "--unit", "Cel", "--ttl", "10m", "--json")
    assert done.value == {"id": daemon.node.journal[0]["id"]}
    assert daemon.node.asked[-1][1] == {"topic": "a.b", "values": 1, "unit": "Cel", "ttl_s": 600.0}


@pytest.mark.parametrize("text", ["on", "{", "NaN", "", "1 2", "'a'"])
def test_what_is_not_json_is_told_and_nothing_published(
    kos_edge: CommandLine, daemon: Daemon, text: str
) -> None:
    done = kos_edge("publish", "air.temperature", text)
    assert done.code == 65
    assert "is not JSON" in done.err
    assert len(done.err.splitlines()) == 2
    assert daemon.node.journal == []


def test_an_unknown_option_is_no_value(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("publish", "a.b", "--bogus")
    assert done.code == 2
    assert "--bogus" in done.err


def test_an_illegal_topic_is_told(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("publish", "a b", "1")
    assert (done.code, daemon.node.journal) == (65, [])
    assert done.err.startswith("kos-edge: 'a b' is no topic\n  next: names joined by dots")


def test_ten_thousand_lines_are_published_in_order_in_few_requests(
    kos_edge: CommandLine, daemon: Daemon
) -> None:
    done = kos_edge("publish", "a.b", stdin="".join(f"{number}\n" for number in range(10_000)))
    assert done.code == 0
    assert done.out.splitlines() == [message["id"] for message in daemon.node.journal]
    assert [message["body"] for message in daemon.node.journal] == list(range(10_000))
    assert len(daemon.node.asked) <= 15


def test_a_bad_line_is_named_after_all_before_it_are_published(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("publish", "a.b", stdin='1\n\n"two"\noops\n5\n')
    assert done.code == 65
    assert [message["body"] for message in daemon.node.journal] == [1, "two"]
    assert len(done.out.splitlines()) == 2
    assert done.err.startswith("kos-edge: line 4: not JSON:")
    assert done.err.splitlines()[0].endswith("(2 accepted before it)")


def test_a_refused_line_is_named_and_nothing_after_it_tried(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("publish", "a.b", "--json", stdin='1\n2\n"too large"\n4\n')
    assert done.code == 65
    ids = [message["id"] for message in daemon.node.journal]
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ids
    assert done.error["message"] == "line 3: a message of 70,000 bytes (2 accepted before it)"
    assert done.error["hint"] == "cut it into parts"


def test_a_full_queue_says_how_many_it_took(kos_edge: CommandLine, daemon: Daemon) -> None:
    daemon.node.capacity = 3
    done = kos_edge("publish", "a.b", stdin="1\n2\n3\n4\n5\n")
    assert done.code == 69
    assert done.err == (
        "kos-edge: line 4: the queue is full (3 accepted before it)\n  next: kos-edge queue\n"
    )


def test_lines_go_as_they_come_and_none_waits_for_the_next() -> None:
    class Typed(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return self.readline()

    given = [[line.value for line in batch.lines] for batch in batches(Typed(b"1\n2\n3"))]
    assert given == [[1], [2], [3]]


def test_batches_are_bounded_in_number_and_bytes() -> None:
    many = list(batches(io.BytesIO(b"1\n" * (2 * BATCH_VALUES + 1))))
    assert max(len(batch.lines) for batch in many) == BATCH_VALUES
    assert sum(len(batch.lines) for batch in many) == 2 * BATCH_VALUES + 1
    text = json.dumps("x" * 400_000).encode()
    assert [len(batch.lines) for batch in batches(io.BytesIO(text + b"\n" + text))] == [1, 1]


@pytest.mark.parametrize("end", [b"", b"\n2\n"])
def test_a_line_without_end_is_a_fault_and_not_memory(end: bytes) -> None:
    found = list(batches(io.BytesIO(b"1\n" + b"x" * (LINE_LIMIT + 1) + end)))
    assert [line.value for batch in found for line in batch.lines] == [1]
    assert isinstance(found[-1].fault, Invalid)
    assert found[-1].fault_line == 2


def test_a_tail_is_json_lines_with_what_scripts_need(kos_edge: CommandLine, daemon: Daemon) -> None:
    daemon.deliver("air.temperature", 21.5)
    daemon.deliver("air.temperature", {"a": 1})
    done = kos_edge("tail", "air.#", "--from-start", "--count", "2")
    assert done.code == 0
    first, second = map(json.loads, done.out.splitlines())
    assert first == daemon.node.journal[0]
    assert {"id", "source", "topic", "seq", "at", "body"} <= first.keys()
    assert (first["source"], first["at"], second["body"]) == (KID, AT, {"a": 1})


def test_a_tail_that_gets_too_few_in_time_says_so(kos_edge: CommandLine, daemon: Daemon) -> None:
    daemon.deliver("a.b", 1)
    done = kos_edge("tail", "--from-start", "--count", "2", "--timeout", "0.05")
    assert done.code == 75
    assert len(done.out.splitlines()) == 1
    assert done.err == "kos-edge: 1 of 2 messages came within 0.05 s\n"
    assert kos_edge("tail", "--timeout", "50ms").code == 0


def test_an_export_is_csv_or_json_lines(kos_edge: CommandLine, daemon: Daemon) -> None:
    daemon.deliver("air.temperature", 21.5)
    daemon.deliver("air.note", 'say "hello", twice\nor more')
    daemon.deliver("air.both", {"t": 1})
    table = list(csv.reader(io.StringIO(kos_edge("export", "--format", "csv").out)))
    assert table[0] == ["at", "source", "name", "topic", "seq", "id", "type", "body", "unit", "late"]
    assert [row[7] for row in table[1:]] == ["21.5", 'say "hello", twice\nor more', '{"t": 1}']
    lines = kos_edge("export", "--format", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == daemon.node.journal


def test_an_export_may_be_bounded_in_time(kos_edge: CommandLine, daemon: Daemon) -> None:
    words = ("--since", "2026-01-31T12:00:00Z", "--until", "2026-01-31T13:00:00+00:00", "--topic", "a.#")
    assert kos_edge("export", "--format", "jsonl", *words).code == 0
    assert daemon.node.asked[-1][1] == {"topic": "a.#", "since": 1769860800.0, "until": 1769864400.0}
    assert kos_edge("export", "--format", "csv", "--since", "1h").code == 0
    assert kos_edge("export", "--format", "csv", "--since", "yesterday").code == 2
    assert kos_edge("export").code == 2


def test_a_board_has_a_row_for_each_source_topic_and_field() -> None:
    node = SmallNode()
    board = Board("air.#")
    for number in range(100):
        board.take(node.deliver("air.temperature", number), float(number))
    both: Delivered = {**node.deliver("air.both", {"t": 1.5, "door": "open"}), "unit": {"t": "Cel"}}
    board.take(both, 100.0)
    cells = [list(column.cells) for column in board.table(101.0).columns]
    assert cells[0] == ["air.both door", "air.both t", "air.temperature"]
    assert cells[2] == ["open", "1.5 Cel", "99"]
    assert len(cells[3][2]) == 60
    assert cells[3][2].startswith("▁")
    assert cells[3][2].endswith("█")
    assert cells[4] == ["1", "1", "100"]
    assert cells[5] == ["1 s", "1 s", "2 s"]
