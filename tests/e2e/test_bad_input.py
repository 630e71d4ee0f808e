"""Bad input at the real command line: one line that names the thing, the next step, the exit code, nothing changed."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.e2e.boxes import Box, Done, boxes, joined, until

pytestmark = pytest.mark.e2e

INVALID, UNAVAILABLE, CANNOT_CREATE, REFUSED = 65, 69, 73, 77


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Box]]:
    """A hub that runs, a member that does not, and a node that belongs to no mesh."""
    with boxes(tmp_path_factory.mktemp("bad"), "hub", "member", "loner") as (hub, member, loner):
        joined(hub, member)
        loner.init("edge")
        yield [hub, member, loner]


@pytest.fixture
def hub(mesh: list[Box]) -> Box:
    return mesh[0]


@pytest.fixture
def member(mesh: list[Box]) -> Box:
    return mesh[1]


@pytest.fixture
def loner(mesh: list[Box]) -> Box:
    return mesh[2]


def says(done: Done, code: int, *names: str) -> str:
    """Check an error as a person sees it; its next step."""
    assert done.code == code, done
    assert done.out == "", done
    said, *rest = done.err.splitlines()
    assert said.startswith("kos-edge: "), done
    assert all(name in said for name in names), (said, names)
    assert len(rest) == 1, done
    assert rest[0].startswith("  next: "), done
    return rest[0]


COPIES = ("kos.db-", "kos.db.reserve", "kos.meta", "node.key.copy", "config.toml.good", "bootstrap")


def content(state: Path) -> dict[str, object]:
    """All that a state directory holds, but for who held its lock, the chronicle of starts, and copies."""
    if not state.is_dir():
        return {"": state.read_bytes() if state.exists() else None}
    found: dict[str, object] = {}
    for file in sorted(state.iterdir()):
        if file.name == "kos.db":
            with closing(sqlite3.connect(file)) as database:
                found[file.name] = list(database.iterdump())
        elif file.is_file() and file.name != "lock" and not file.name.startswith(COPIES):
            found[file.name] = file.read_bytes()
    return found


@contextmanager
def nothing_changes(*states: Path) -> Iterator[None]:
    before = [content(state) for state in states]
    yield
    assert [content(state) for state in states] == before


def test_a_state_directory_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with nothing_changes(file):
        for place in (file, file / "below", Path("/proc/kos-edge")):
            hint = says(Box(place)("init", "--role", "edge"), CANNOT_CREATE, str(place))
            assert "--state" in hint
        for words in (["run"], ["status"], ["publish", "a.b", "1"]):
            hint = says(Box(file)(*words), UNAVAILABLE, str(file))
            assert "init" in hint


def test_a_half_written_key(loner: Box) -> None:
    key, copy = loner.state / "node.key", loner.state / "node.key.copy"
    kid = loner.ask("status")["kid"]
    whole = key.read_bytes()
    key.write_bytes(whole[: len(whole) // 2])
    try:
        status = loner.ask("status")
        assert status["kid"] == kid
        assert any("half written" in warning for warning in status["warnings"])
        copy.unlink()
        with nothing_changes(loner.state):
            for words in (["run"], ["status"], ["publish", "a.b", "1"], ["join", "--mesh", "00" * 32]):
                hint = says(loner(*words), INVALID, str(key), "half written")
                assert "init" in hint
    finally:
        key.write_bytes(whole)


def test_a_mistyped_token(hub: Box, loner: Box) -> None:
    token = hub.ask("invite")["token"]
    wrong = token[:20] + ("2" if token[20] != "2" else "3") + token[21:]
    with nothing_changes(loner.state):
        for text in (wrong, token[:-3], "kos1-", "hello"):
            says(loner("join", text), INVALID, "token")


def test_an_expired_token(hub: Box, loner: Box) -> None:
    token = hub.ask("invite", "--for", "1s")["token"]
    made = time.monotonic()
    until(lambda: time.monotonic() > made + 1.0, "a second passes")
    with nothing_changes(loner.state):
        hint = says(loner("join", token), REFUSED, "token", "expired")
        assert "invite" in hint


def test_a_token_that_is_used_up(hub: Box, loner: Box, tmp_path: Path) -> None:
    token = hub.ask("invite")["token"]
    with boxes(tmp_path, "quicker") as (quicker,):
        quicker.init("edge")
        assert quicker.ask("join", token)["outcome"] == "joined"
    with nothing_changes(loner.state):
        hint = says(loner("join", token), REFUSED, "token", "used up")
        assert "invite" in hint


def test_a_token_of_another_mesh(hub: Box, member: Box, loner: Box, tmp_path: Path) -> None:
    with boxes(tmp_path, "other") as (other,):
        other.init("hub")
        other.start()
        token = other.ask("invite")["token"]
        with nothing_changes(member.state):
            hint = says(member("join", token), REFUSED, "another mesh")
            assert "leave" in hint
        other.stop()
        hub.stop()
        port, hub.port = hub.port, other.port
        hub.start()
        try:
            with nothing_changes(loner.state):
                says(loner("join", token), REFUSED, "another mesh")
        finally:
            hub.stop()
            hub.port = port
            hub.start()


def test_a_peer_with_another_key_than_expected(hub: Box, member: Box, loner: Box) -> None:
    token = hub.ask("invite")["token"]
    hub.stop()
    port, member.port = member.port, hub.port
    try:
        member.start()
        with nothing_changes(loner.state):
            says(loner("join", token), REFUSED, "found another device at that address", "member")
    finally:
        member.stop()
        member.port = port
        hub.start()


@pytest.mark.parametrize("running", [False, True], ids=["alone", "through the daemon"])
def test_what_cannot_be_published(hub: Box, member: Box, running: bool) -> None:
    box = hub if running else member
    large = '"' + "x" * 66_000 + '"\n'
    with nothing_changes(box.state):
        says(box("publish", "air.temperature", "21,5"), INVALID, "'21,5'", "JSON")
        says(box("publish", "air.temperature", stdin="nonsense\n"), INVALID, "line 1", "JSON")
        for topic in ("air..temperature", "air temperature", "air.#", "a." * 200 + "b"):
            says(box("publish", topic, "1"), INVALID, topic[:40])
        says(box("publish", "air.picture", stdin=large), INVALID, "air.picture", "66", "65536")


def test_what_was_good_before_a_bad_line_is_accepted_and_said(member: Box) -> None:
    before = member.ask("queue")["messages"]
    done = member("publish", "air.temperature", stdin="1\n2\noops\n4\n")
    assert done.code == INVALID
    assert len(done.ids) == 2
    assert "line 3" in done.err
    assert "2 accepted before it" in done.err
    assert member.ask("queue")["messages"] == before + 2


def test_a_node_without_a_mesh_says_how_to_join(loner: Box) -> None:
    with nothing_changes(loner.state):
        hint = says(loner("publish", "air.temperature", "1"), UNAVAILABLE, "no mesh")
        assert "join" in hint


def test_an_agent_file_that_does_not_import(member: Box, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    for text, why in (
        ("import nothing_of_that_name\n", "nothing_of_that_name"),
        ("def f(:\n", "line 1"),
        ("x = 1\n", "agent"),
    ):
        broken.write_text(text)
        with nothing_changes(member.state):
            says(member("run", "--listen", member.address, str(broken)), INVALID, str(broken), why)
    missing = member("run", str(tmp_path / "missing.py"))
    assert (missing.code, "Traceback" in missing.err) == (2, False)
    assert str(tmp_path / "missing.py") in missing.err


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["udp", "tcp"])
def test_a_port_in_use(member: Box, kind: socket.SocketKind) -> None:
    with closing(socket.socket(socket.AF_INET, kind)) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with nothing_changes(member.state):
            says(member("run", "--listen", f"127.0.0.1:{port}"), UNAVAILABLE, str(port), "in use")


def test_two_daemons_on_one_state(hub: Box) -> None:
    with nothing_changes(hub.state):
        hint = says(
            hub("run", "--listen", "127.0.0.1:0"), UNAVAILABLE, str(hub.state), "in use", str(hub.pid)
        )
        assert "stop" in hint
    assert hub.status() is not None, "the first one goes on"


def test_a_configuration_with_a_mistake_names_its_line(member: Box) -> None:
    config = member.state / "config.toml"
    good = config.read_text()
    (member.state / "config.toml.good").unlink(missing_ok=True)
    config.write_text(good + "[queue]\nmax_message = 3\n")
    try:
        with nothing_changes(member.state):
            says(member("run"), 78, f"{config}:4:", "max_message")
    finally:
        config.write_text(good)


def test_a_verb_that_needs_a_daemon_says_how_to_start_it(member: Box, hub: Box) -> None:
    with nothing_changes(member.state):
        for words in (["pending"], ["admit", "x"], ["stop"], ["tail"]):
            assert "run" in says(member(*words), UNAVAILABLE, "daemon")
        says(member("revoke", "hub"), REFUSED, "hub")
    says(hub("revoke", "nobody"), REFUSED, "nobody")
    says(hub("admit", "nobody"), REFUSED, "nobody")
    says(hub("allow", "12345"), INVALID, "public key")
