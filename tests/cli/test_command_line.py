"""What holds for every command: help, options in either place, errors, exit codes, speed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from kos_edge import __version__
from kos_edge.cli.commands import SECTIONS
from kos_edge.cli.commands import kos_edge as commands
from tests.cli.conftest import CommandLine, Daemon

ROOT = Path(__file__).parents[2]
NAMES = [name for section in SECTIONS.values() for name in section]


def process(*words: str, code: str = "from kos_edge.cli import main; main()") -> list[str]:
    return [sys.executable, "-c", code, *words]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_there_with_help_state_and_json(name: str) -> None:
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    assert command.help
    every = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
    for each in every:
        options = {option for parameter in each.params for option in parameter.opts}
        assert {"--state", "--json"} <= options
        assert all(parameter.help for parameter in each.params if isinstance(parameter, click.Option))


def test_help_lists_every_command_and_imports_none() -> None:
    script = "import sys; from kos_edge.cli.entry import run; run(['--help']); print(sorted(sys.modules))"
    done = subprocess.run(process(code=script), cwd=ROOT, capture_output=True, text=True, check=True)
    text, modules = done.stdout.rsplit("\n[", 1)
    assert [name for name in NAMES if f"\n  {name} " not in text] == []
    for heavy in ("asyncio", "rich", "cryptography", "cbor2", "aiocoap", "zeroconf", "segno", "sqlite3"):
        assert f"'{heavy}'" not in modules


def test_no_words_are_help_and_version_is_the_version(kos_edge: CommandLine) -> None:
    done = kos_edge.plain()
    assert done.code == 0
    assert "Usage: kos-edge" in done.out
    assert kos_edge.plain("--version").out == f"{__version__}\n"


def test_state_and_json_may_stand_before_or_after(kos_edge: CommandLine, daemon: Daemon, state: Path) -> None:
    for words in (
        ("--state", str(state), "--json", "queue", "dead"),
        ("queue", "--state", str(state), "dead", "--json"),
        ("--state", "/nowhere", "queue", "--json", "dead", "--state", str(state)),
    ):
        assert kos_edge.plain(*words).value[0]["topic"] == "air.temperature"


def test_the_environment_names_the_state(
    kos_edge: CommandLine, daemon: Daemon, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOS_EDGE_STATE", str(state))
    assert kos_edge.plain("status", "--json").value["name"] == "shed"


def test_a_mistyped_command_is_told_the_nearest(kos_edge: CommandLine) -> None:
    done = kos_edge("statsu")
    assert done.code == 2
    assert done.err == (
        "kos-edge: there is no command 'statsu'; did you mean status?\n  next: kos-edge --help\n"
    )
    assert kos_edge("statsu", "--json").error["exit_code"] == 2


def test_a_state_without_a_node_says_how_to_make_one(kos_edge: CommandLine, tmp_path: Path) -> None:
    done = kos_edge.plain("--state", str(tmp_path / "new"), "status")
    assert done.code == 69
    assert done.err.splitlines() == [
        f"kos-edge: there is no node in {tmp_path / 'new'}",
        "  next: kos-edge init --role edge",
    ]


@pytest.mark.parametrize("words", ["pending", "admit x", "reject x", "watch #", "tail", "stop"])
def test_what_needs_a_daemon_says_how_to_start_it(kos_edge: CommandLine, words: str) -> None:
    done = kos_edge(*words.split())
    assert done.code == 69
    assert "no daemon is running" in done.err
    assert done.err.splitlines()[1] == f"  next: start it: kos-edge --state {kos_edge.state} run"


def test_a_bug_is_one_line_with_a_way_to_see_more(
    kos_edge: CommandLine, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("kos_edge.cli.looking._status_text")
    done = kos_edge("status")
    assert done.code == 70
    assert done.err.startswith("kos-edge: a bug: NameError")
    assert "KOS_EDGE_TRACEBACK" in done.err


def test_status_is_for_people_or_for_programs(kos_edge: CommandLine, daemon: Daemon) -> None:
    text = kos_edge("status").out
    assert text.startswith("shed: hub, member of mesh efefefef, up 1 h 2 min (process 4711)\n")
    assert "  peers      1 connected, 2 known\n" in text
    assert "1 dead letter (kos-edge queue dead)" in text
    assert "  agent      greenhouse: running, 12 published, 1 error, the last: OSError: no bus\n" in text
    assert "  warning    the recovery file is still on this machine\n" in text
    value = kos_edge("status", "--json").value
    assert (value["membership"], value["queue"]["dead"], value["pid"]) == ("member", 1, 4711)


def test_peers_and_queue_are_tables(kos_edge: CommandLine, daemon: Daemon) -> None:
    header, row = kos_edge("peers").out.splitlines()
    assert header.split()[:4] == ["NAME", "ROLE", "KID", "STANDING"]
    assert row.startswith("pump-house  edge  abababababab  member    udp, 4.2 ms  10.0.0.2:5683  ")
    summary, _, lane, empty, full = kos_edge("queue").out.splitlines()
    assert empty == "empty: nothing leaves now"
    assert full.startswith(
        "full:  in 2 h (1 h to for ever), by the bytes of the queue; then new messages are refused"
    )
    assert summary.startswith("2 messages, 640 B, the oldest from ")
    assert lane.split()[:5] == ["hub", "normal", "durable", "in-order", "2"]
    assert "refused by the hub: revoked" in kos_edge("queue", "dead").out
    assert kos_edge("queue", "dead").out.endswith("\n2 older dead letters had to go for newer ones\n")
    assert "; 2 older dead letters had to go for newer ones" in summary
    assert kos_edge("queue", "retry", "some.id").out == "some.id is in the queue again\n"
    done = kos_edge("queue", "retry", "--all", "--topic", "air.#")
    assert daemon.node.asked[-1] == ("queue_retry_all", {"topic": "air.#"})
    assert done.code == 69
    assert done.out == "1 message is in the queue again; 1 dead letter stays: its ttl is over\n"
    assert done.err.startswith("kos-edge: the others stay dead letters: the queue is full")
    for words in ((), ("some.id", "--all"), ("some.id", "--topic", "air.#")):
        assert kos_edge("queue", "retry", *words).code == 2


def test_a_forecast_says_when_and_how_sure(kos_edge: CommandLine, daemon: Daemon) -> None:
    empty, full, card, header, first, second, both = kos_edge("forecast").out.splitlines()
    assert [empty, full] == kos_edge("queue").out.splitlines()[-2:]
    assert card == (
        "card:  mmcblk0 (SD, 32 GB) is worn out in 4.4 years, 2 GB a day are written over the last 1 d, "
        "150 MB of them by kos-edge; it bears 3.2 TB (100 times its size)"
    )
    assert header.split() == ["FOR", "PRIORITY", "ORDER", "IN", "OUT"]
    assert first.split() == ["hub", "normal", "in-order", "12.5/s,", "4", "kB/s", "not", "known"]
    assert second.split()[2] == "fresh-first"
    assert both.startswith("all ")
    assert kos_edge("forecast", "--json").value["full"]["seconds"] == 7_200


def test_interrupting_is_quiet_and_130(kos_edge: CommandLine, daemon: Daemon, state: Path) -> None:
    words = process("--state", str(state), "tail", "--from-start")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        daemon.deliver("a.b", 1)
        assert json.loads(tail.stdout.readline())["body"] == 1
        tail.send_signal(signal.SIGINT)
        _, err = tail.communicate(timeout=20)
    assert (tail.returncode, err.strip()) == (130, b"")


def test_a_reader_that_leaves_is_quiet_and_141(kos_edge: CommandLine, daemon: Daemon, state: Path) -> None:
    for number in range(20_000):
        daemon.deliver("a.b", number)
    words = process("--state", str(state), "export", "--format", "jsonl")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:
        assert export.stdout is not None
        export.stdout.readline()
        export.stdout.close()
        assert export.stderr is not None
        assert export.stderr.read() == b""
        assert export.wait(20) == 141


def test_a_full_disk_is_told_and_no_bug() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            process("config", "example"), cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 69
    assert done.stderr == b"kos-edge: cannot write the output: No space left on device\n"


def test_run_checks_its_words_before_it_starts(kos_edge: CommandLine, tmp_path: Path) -> None:
    for words, why in (
        (("--listen", "hub.local:1"), "is no address to listen at"),
        (("--peer", ":1"), "is no address of a peer"),
        ((str(tmp_path / "none.py"),), "does not exist"),
    ):
        done = kos_edge("run", *words)
        assert done.code == 2
        assert why in done.err
    assert kos_edge.plain("--state", str(tmp_path / "new"), "run").code == 69
