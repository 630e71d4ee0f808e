"""The command line on a real node's state, with no daemon: what can be done is done, under the lock."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import kos_edge.node.operations  # noqa: F401  imported here, so that no test counts its import as a hold-up
from kos_edge.cli.face import Face
from kos_edge.cli.install import refuse_another_state
from kos_edge.errors import Refused
from kos_edge.install.layout import Layout
from kos_edge.node.statedir import LOCK_NAME, PATIENCE_S, StateLock
from tests.cli.conftest import CommandLine, Done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub(home: Path) -> CommandLine:
    passphrase = home.parent / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    hub = CommandLine(home)
    done = hub("init", "--role", "hub", "--name", "attic", "--passphrase-file", str(passphrase), "--json")
    assert done.value["passphrase"] is None
    assert Path(done.value["recovery"]).exists()
    return hub


def refused(done: Done, code: int, *words: str) -> None:
    """One line that names the thing, and the next step."""
    assert done.code == code, done.err
    assert done.out == ""
    assert len(done.err.splitlines()) <= 2
    assert done.err.startswith("kos-edge: ")
    for word in words:
        assert word in done.err


def test_a_published_value_is_there_to_be_read(hub: CommandLine) -> None:
    ids = hub("publish", "air.temperature", stdin="21.5\n22\n").out.splitlines()
    lines = hub("tail", "air.#", "--from-start", "--count", "2", "--timeout", "10").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids
    assert [json.loads(line)["body"] for line in lines] == [21.5, 22]
    assert len(hub("export", "--format", "csv", "--topic", "air.*").out.splitlines()) == 3
    refused(hub("tail", "none.#", "--from-start", "--count", "1"), 69, "0 of 1 messages are kept")


def test_the_node_is_known_without_its_daemon(hub: CommandLine) -> None:
    value = hub("status", "--json").value
    assert (value["name"], value["role"], value["running"], value["membership"]) == (
        "attic",
        "hub",
        False,
        "member",
    )
    assert hub("peers", "--json").value == []
    assert hub("queue", "--json").value["messages"] == 0
    assert hub("queue", "dead", "--json").value == []
    assert hub("invite", "--json").value["token"].startswith("kos1-")


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("init", "--role", "hub"), 77, "there is a node in"),
        (("publish", "a b", "1"), 65, "'a b'"),
        (("publish", "a.b", f'"{"x" * 70_000}"'), 65, "65536"),
        (("publish", "a.b", "{"), 65, "is not JSON"),
        (("join", "kos1-abc"), 65, "mistyped"),
        (("join", "--mesh", "zz"), 65, "64 hex digits"),
        (("allow", "zz"), 65, "64 hex digits"),
        (("revoke", "nobody"), 77, "nobody"),
        (("rename", "nobody", "porch"), 77, "nobody"),
        (("queue", "retry", "nothing"), 77, "nothing"),
        (("tail", "a b", "--from-start"), 65, "'a b'"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    hub: CommandLine, words: tuple[str, ...], code: int, named: str
) -> None:
    before = hub("status", "--json").value
    refused(hub(*words), code, named)
    assert hub("status", "--json").value == before


def test_an_agent_that_does_not_load_stops_the_start(hub: CommandLine, tmp_path: Path) -> None:
    agent = tmp_path / "broken.py"
    agent.write_text("import a_module_that_is_not_there\n")
    refused(hub("run", str(agent)), 65, str(agent), "a_module_that_is_not_there")


def test_a_wrong_configuration_stops_the_start(hub: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[network]\nlissten = []\n")
    refused(hub("run", "--config", str(file)), 78, f"{file}:2", "did you mean 'listen'?")


def test_two_daemons_on_one_state_are_kept_apart_at_once(hub: CommandLine, home: Path) -> None:
    with StateLock(home / LOCK_NAME) as first:
        assert first.claim()
        assert first.take()
        began = time.monotonic()
        refused(hub("run", "--listen", "127.0.0.1:0"), 69, "in use by process")
        assert time.monotonic() - began < PATIENCE_S / 2


def test_a_half_written_key_is_told_by_every_way_in(hub: CommandLine, home: Path, tmp_path: Path) -> None:
    key = tmp_path / "node.key"
    key.write_bytes((home / "node.key").read_bytes()[:40])
    key.chmod(0o600)
    broken = CommandLine(tmp_path)
    for words in (("status",), ("run",), ("publish", "a.b", "1")):
        refused(broken(*words), 65, str(key), "half written")
    left = [path.name for path in tmp_path.iterdir() if path.name != "lock"]
    assert [name for name in left if not name.startswith("bootstrap")] == ["node.key"]


def test_a_state_that_cannot_be_made_is_73(hub: CommandLine) -> None:
    refused(CommandLine(Path("/proc/kos"))("init", "--role", "edge"), 73, "/proc/kos")


def test_another_state_than_the_services_is_not_ignored_by_an_installation(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the service has its state in /var/lib/kos-edge"):
        refuse_another_state(Face(tmp_path), Layout())
    for fine in (Face(), Face(Layout().state)):
        refuse_another_state(fine, Layout())
