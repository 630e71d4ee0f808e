"""The daemon's log: what repeats, what the journal of systemd gets, and what every line is."""

from __future__ import annotations

import ast
import gc
import json
import logging
import os
import re
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kos_edge.node.log_journal import Journal, encode, is_journal
from kos_edge.node.log_repeats import MOST_AT_ONCE, MOST_KEYS, MOST_OF_ONE, Repeats
from kos_edge.node.logs import JournalHandler, Json, Quiet, Text
from kos_edge.said import Said
from kos_edge.testing import in_virtual_time
from tests.node.world import World

ROOT = Path(__file__).parents[2]
HOUR = 3_600.0


class Lines(logging.Handler):
    def __init__(self, form: logging.Formatter | None = None) -> None:
        super().__init__()
        self.setFormatter(form or logging.Formatter("%(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def logger(handler: logging.Handler, name: str = "kos_edge.node.sample") -> Iterator[logging.Logger]:
    found = logging.getLogger(name)
    found.addHandler(handler)
    before, found.propagate = found.level, False
    found.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        found.removeHandler(handler)
        found.setLevel(before)
        found.propagate = True


# -- repeats


def test_what_repeats_is_said_once_and_then_counted_after_1_2_4_hours() -> None:
    repeats: Repeats[str] = Repeats()
    written, minute = 0, 60.0
    counts: list[tuple[float, int]] = []
    for now in (n * minute for n in range(7 * 60 + 1)):
        written += repeats.take("k", "no answer from 10.0.0.2:5683", "line", now)
        counts += [(now, again.times) for again in repeats.due(now)]
    assert written == 1
    assert counts == [(HOUR, 60), (3 * HOUR, 120), (7 * HOUR, 240)]


def test_after_a_quiet_pause_it_is_news_again() -> None:
    repeats: Repeats[str] = Repeats()
    assert repeats.take("k", "a", "a", 0.0)
    assert not repeats.take("k", "a", "a", 1.0)
    assert [again.times for again in repeats.due(HOUR)] == [1]
    assert repeats.due(3 * HOUR) == []
    assert repeats.take("k", "a", "a", 3 * HOUR)


def test_numbers_make_no_other_line_but_words_do() -> None:
    repeats: Repeats[str] = Repeats()
    assert repeats.take("k", "port 1", "", 0.0)
    assert not repeats.take("k", "port 2", "", 0.0)
    assert repeats.take("k", "gate 2", "", 0.0)
    counting: Repeats[str] = Repeats(numbers_count=True)
    assert counting.take("k", "21.5", "", 0.0)
    assert counting.take("k", "21.6", "", 0.0)


def test_whoever_chooses_the_text_cannot_fill_a_card() -> None:
    repeats: Repeats[str] = Repeats()
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(10_000)]
    assert sum(repeats.take("k", word, word, 0.0) for word in words) == MOST_OF_ONE
    (again,) = repeats.due(HOUR)
    assert again.times == 10_000 - MOST_OF_ONE
    many: Repeats[str] = Repeats()
    for word in words:
        many.take(word, word, word, 0.0)
        many.due(0.0)
    assert len(many._kept) <= MOST_KEYS


def test_a_count_is_written_with_the_last_line_and_at_the_end() -> None:
    out, now = Lines(), [0.0]
    quiet = Quiet(out, lambda: now[0])
    with logger(quiet) as log:
        for number in range(241):
            log.warning("no answer, try %d: 100 %%", number)
        now[0] = HOUR
        quiet.flush()
        log.warning("no answer, try %d: 100 %%", 300)
        now[0] += 120
        quiet.close()
    assert out.lines == [
        "no answer, try 0: 100 %",
        "no answer, try 240: 100 % (240 times more in 1 h)",
        "no answer, try 300: 100 % (1 time more in 2 min)",
    ]


def test_what_was_at_work_at_an_error_is_not_kept_alive_by_the_log() -> None:
    class Work:
        pass

    def fail(log: logging.Logger) -> weakref.ref[Work]:
        work = Work()
        try:
            raise ValueError("no")
        except ValueError:
            log.warning("it failed", exc_info=True)
        return weakref.ref(work)

    out = Lines()
    with logger(Quiet(out)) as log:
        work = fail(log)
    gc.collect()
    assert work() is None
    assert out.lines[0].startswith("it failed\nTraceback")


def test_a_flood_of_new_lines_between_two_counts_is_bounded() -> None:
    repeats: Repeats[str] = Repeats()
    written = sum(
        repeats.take(f"kind {n}", f"{n:b}".translate({48: "a", 49: "b"}), "", 0.0) for n in range(20_000)
    )
    assert written < MOST_AT_ONCE + MOST_OF_ONE
    assert len(repeats._kept) <= MOST_AT_ONCE + MOST_OF_ONE + 2
    assert sum(again.times for again in repeats.due(1.0, all=True)) == 20_000 - written


def test_debugging_is_held_back_never() -> None:
    out = Lines()
    with logger(Quiet(out)) as log:
        for _ in range(5):
            log.debug("the same")
    assert len(out.lines) == 5


def test_values_that_an_agent_writes_are_no_repeats() -> None:
    out = Lines()
    with logger(Quiet(out), "kos_edge.agents.greenhouse") as log:
        for value in range(50):
            log.info("it has %d degrees", value)
            log.info("still here")
    assert len(out.lines) == 51


# -- forms


def test_a_json_line_has_the_kind_and_the_fields() -> None:
    out = Lines(Json())
    with logger(out) as log:
        log.warning("x\ny", extra=Said.MEMBER_SILENT.of(peer="pump\n", count=3))
    (line,) = map(json.loads, out.lines)
    assert line["message"] == "x\\x0ay"
    assert (line["event"], line["peer"], line["count"]) == ("member-silent", "pump\\x0a", 3)


def test_a_line_for_people_is_one_line() -> None:
    out = Lines(Text())
    with logger(out) as log:
        log.info("\x1b[2Jhello\n%s", "x" * 5_000)
    assert re.fullmatch(r"\d\d:\d\d:\d\d node\.sample: \\x1b\[2Jhello\\x0ax{1900,2000}", out.lines[0])


def entries(wire: socket.socket) -> list[dict[str, bytes]]:
    """What a journal has received, read as its documentation says."""
    found: list[dict[str, bytes]] = []
    wire.setblocking(False)
    while True:
        try:
            data = wire.recv(1 << 20)
        except BlockingIOError:
            return found
        entry: dict[str, bytes] = {}
        while data:
            line, _, rest = data.partition(b"\n")
            name, equals, value = line.partition(b"=")
            if not equals:
                length = int.from_bytes(rest[:8], "little")
                value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
            entry[name.decode()], data = value, rest
        found.append(entry)


def test_the_journal_gets_the_kind_and_the_fields(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.bind(str(tmp_path / "socket"))
        handler = JournalHandler(Journal(tmp_path / "socket"))
        with logger(handler) as log:
            log.warning("nothing from %s", "pump", extra=Said.NOT_TAKEN.of(peer="pump", topic="a.b"))
        with logger(handler, "kos_edge.agents.greenhouse") as log:
            log.info("well")
        handler.close()
        first, second = entries(wire)
    assert first["MESSAGE"] == b"nothing from pump"
    assert first["PRIORITY"] == b"4"
    assert first["MESSAGE_ID"].decode() == Said.NOT_TAKEN.value
    assert first["KOS_EVENT"] == b"not-taken"
    assert (first["KOS_PEER"], first["KOS_TOPIC"]) == (b"pump", b"a.b")
    assert (first["SYSLOG_IDENTIFIER"], first["KOS_PART"]) == (b"kos-edge", b"node.sample")
    assert (second["KOS_AGENT"], second["PRIORITY"]) == (b"greenhouse", b"6")
    assert "MESSAGE_ID" not in second


def test_a_value_with_a_newline_has_its_length() -> None:
    assert encode({"A": "b", "C": "d\ne=f"}) == b"A=b\nC\n\x05\0\0\0\0\0\0\0d\ne=f\n"


def test_what_the_journal_does_not_take_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path / "nobody")
    handler = JournalHandler(journal)
    with logger(handler) as log:
        log.error("the disk fails")
    handler.close()
    assert "ERROR node.sample: the disk fails" in capsys.readouterr().err
    assert journal.lost == 1


def test_standard_error_is_the_journal_only_where_it_is_what_systemd_has_connected(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        found = os.fstat(file.fileno())
        named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(file.fileno(), named)
        assert not is_journal(file.fileno(), {})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": "garbage"})
        with (tmp_path / "other").open("w") as other:
            assert not is_journal(other.fileno(), named)


# -- kinds


def test_every_line_has_a_kind() -> None:
    without = []
    for path in sorted((ROOT / "kos_edge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            said = ast.unparse(node.func.value)
            logs = node.func.attr in ("info", "warning", "error", "exception", "log") and re.search(
                r"\blog$", said
            )
            if logs and not any(keyword.arg == "extra" for keyword in node.keywords):
                without.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert without == []


def test_every_kind_is_used_and_in_the_document() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| `([0-9a-f]{32})` \|", (ROOT / "docs/logs.md").read_text(), re.M)
    assert rows == [(kind.word, kind.value) for kind in Said]
    code = "\n".join(path.read_text() for path in (ROOT / "kos_edge").rglob("*.py"))
    assert [kind.name for kind in Said if f"Said.{kind.name}.of(" not in code] == []


# -- a day of it


@pytest.mark.simulator
@pytest.mark.may_block("the stores work in the loop, so that every run is the same")
@in_virtual_time
async def test_a_day_without_a_hub_is_a_few_lines_with_sense(tmp_path: Path) -> None:
    out = Lines()
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        quiet = Quiet(out, edge.clock.monotonic)
        with logger(quiet, "kos_edge") as log:
            log.setLevel(logging.INFO)
            world.isolate(edge)
            for _ in range(24 * 6 + 1):
                await edge.publish("air.temperature", 21.5)
                await world.sleep("10m")
                quiet.flush()
            world.network.heal()
            await world.drained(edge, within=600)
            quiet.close()
    assert [line for line in out.lines if "edge" not in line.replace("kos-edge", "")] == [
        "the session with hub is over: the peer does not answer",
        "no hub for an hour; 7 messages wait, and nothing is lost while there is room: kos-edge doctor",
        "no hub for 1 d; 145 messages wait, and nothing is lost while there is room: kos-edge doctor",
    ]
    assert len(out.lines) <= 8, "the hub, which says it of the edge, is not louder"
