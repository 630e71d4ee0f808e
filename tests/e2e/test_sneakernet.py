"""queue export and import as people type them: with a daemon and without, cut short, damaged, on a full stick."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.boxes import Box, Done, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, Box]]:
    """A hub whose daemon runs, and a member of its mesh whose daemon does not."""
    folder = tmp_path_factory.mktemp("sneakernet")
    hub, edge = Box(folder / "hub"), Box(folder / "shed")
    hub.init("hub")
    edge.init("edge")
    hub.start()
    assert edge.ask("join", hub.ask("invite")["token"])["outcome"] == "joined"
    yield hub, edge
    hub.stop()


def test_a_stick_goes_there_and_back(boxes: tuple[Box, Box], tmp_path: Path) -> None:
    hub, edge = boxes
    ids = edge("publish", "air.temperature", stdin="".join(f"{n}\n" for n in range(500))).ids
    stick = tmp_path / "stick.kos"
    done = edge("queue", "export", str(stick))
    assert "500 messages in" in done.out, done
    assert edge.ask("queue")["messages"] == 500
    for new in (500, 0):
        report = hub.ask("queue", "import", str(stick))
        assert (report["messages"], report["carrier"], report["failure"]) == (new, "shed", None)
    assert [message["id"] for message in hub.kept() if message["topic"] == "air.temperature"] == ids
    assert edge.ask("queue", "import", f"{stick}.receipts")["settled"] == 500
    assert edge.ask("queue")["messages"] == 0
    assert edge("queue", "import", f"{stick}.receipts").code == 0


def test_a_damaged_stick_is_taken_as_far_as_it_is_whole(boxes: tuple[Box, Box], tmp_path: Path) -> None:
    hub, edge = boxes
    stick = tmp_path / "stick.kos"
    values = "".join(f"{json.dumps('x' * 900)}\n" for _ in range(400))
    edge("publish", "air.log", stdin=values)
    assert edge("queue", "export", str(stick)).code == 0
    whole = stick.read_bytes()

    def broken(data: bytes) -> Done:
        stick.write_bytes(data)
        return hub("queue", "import", str(stick))

    for data, word in (
        (whole[: len(whole) // 2], "ends in the middle"),
        (whole[: len(whole) // 2] + bytes(100_000), "damaged at byte"),
        (whole[:-60] + b"\x00" + whole[-59:], "checksum"),
        (b"MZ" + whole, "no file that kos-edge"),
        (b"", "ends in the middle"),
    ):
        done = broken(data)
        assert (done.code, word in done.err) == (65, True), done
    assert broken(whole + bytes(100_000)).code == 0
    assert sum(message["topic"] == "air.log" for message in hub.kept()) == 400
    assert edge("queue", "import", f"{stick}.receipts").code == 0
    assert edge.ask("queue")["messages"] == 0


def test_a_stick_that_is_full_keeps_what_it_had(boxes: tuple[Box, Box], tmp_path: Path) -> None:
    hub, edge = boxes
    hub.stop()
    edge.start()
    try:
        stick = tmp_path / "stick.kos"
        edge("publish", "air.log", json.dumps("before"))
        assert edge("queue", "export", str(stick)).code == 0
        before = stick.read_bytes()
        edge("publish", "air.log", stdin="".join(f"{json.dumps('x' * 900)}\n" for _ in range(100)))
        small = Box(edge.state, prefix=["prlimit", "--fsize=20000"])
        done = small("queue", "export", str(stick))
        assert (done.code, "which is as it was" in done.err) == (69, True), done
        assert stick.read_bytes() == before
        assert [each.name for each in tmp_path.iterdir()] == ["stick.kos"]
        assert edge("queue", "export", str(stick)).code == 0
        assert hub("queue", "import", str(stick)).code == 0
        assert edge("queue", "import", f"{stick}.receipts").code == 0
    finally:
        edge.stop()
        hub.start()


def test_an_import_that_was_killed_is_run_again(boxes: tuple[Box, Box], tmp_path: Path) -> None:
    hub, edge = boxes
    stick = tmp_path / "stick.kos"
    edge("publish", "air.killed", stdin="".join(f"{json.dumps('x' * 900)}\n" for _ in range(2_000)))
    assert edge("queue", "export", str(stick)).code == 0

    def taken() -> int:
        return sum(message["topic"] == "air.killed" for message in hub.kept())

    killed = subprocess.Popen(hub.line("queue", "import", str(stick)), stdout=subprocess.DEVNULL)
    until(lambda: taken() > 0 or killed.poll() is not None, "nothing is taken")
    killed.kill()
    killed.wait()
    assert hub("queue", "import", str(stick)).code == 0
    assert taken() == 2_000
    assert edge("queue", "import", f"{stick}.receipts").code == 0
    assert edge.ask("queue")["messages"] == 0


def test_a_mistake_has_a_word_and_a_next_step(boxes: tuple[Box, Box], tmp_path: Path) -> None:
    hub, edge = boxes
    stick = tmp_path / "stick.kos"
    for done, code, word in (
        (hub("queue", "import", str(stick)), 69, "No such file"),
        (edge("queue", "export", str(tmp_path / "none" / "stick")), 69, "make the directory first"),
        (edge("queue", "export", str(tmp_path)), 69, "directory"),
        (edge("queue", "export", str(stick), "--audience", "nobody"), 77, "no audience"),
        (edge("queue", "export", str(stick)), 0, ""),
        (edge("queue", "import", str(stick)), 77, "written that file itself"),
    ):
        assert (done.code, word in done.err) == (code, True), done
