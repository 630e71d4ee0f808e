"""The state directory: one process at a time, files whole or not at all, clear words for what is wrong."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.durable_file import StateFile, write_durably
from kos_edge.node.keyfile import read_key, write_key
from kos_edge.node.statedir import CannotCreate, NotInitialised, StateDir, StateInUse, default_state

KEY = KeyPair.from_seed(bytes(range(32)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def number(data: bytes) -> int:
    if not data.isdigit():
        raise Invalid("not a number")
    return int(data)


def test_a_new_state_is_for_owner_and_group_and_its_key_for_the_owner(tmp_path: Path) -> None:
    state = StateDir.create(tmp_path / "a" / "b")
    write_key(state.key_file, KEY)
    assert mode(state.path) == 0o750
    assert mode(state.key_file) == 0o600
    assert read_key(StateDir.open(state.path).key_file) == KEY
    assert sorted(path.name for path in state.path.iterdir()) == ["node.key"]


def test_creating_an_existing_state_changes_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    state = StateDir.create(tmp_path)
    assert mode(state.path) == 0o700


def test_a_state_that_cannot_be_made_is_told_with_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "state", Path("/proc/kos-edge")):
        with pytest.raises(CannotCreate) as cannot:
            StateDir.create(path)
        assert cannot.value.exit_code == 73
        assert str(path) in cannot.value.message
        assert cannot.value.hint


def test_a_state_that_anybody_may_write_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path / "node.key", KEY)
    tmp_path.chmod(0o777)
    with pytest.raises(Refused, match="anybody may write") as refused:
        StateDir.open(tmp_path)
    assert refused.value.hint == f"chmod o-w {tmp_path}"
    with pytest.raises(CannotCreate, match="anybody may write"):
        StateDir.create(tmp_path)


def test_a_directory_without_a_key_is_no_node(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotInitialised, match="there is no node") as missing:
            StateDir.open(path)
        assert missing.value.hint == "kos-edge init --role edge"
    with pytest.raises(NotInitialised):
        read_key(tmp_path / "node.key")


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    write_key(tmp_path / "node.key", KEY)
    with pytest.raises(Refused, match="already"):
        write_key(tmp_path / "node.key", KeyPair.generate())
    assert read_key(tmp_path / "node.key") == KEY


def test_a_key_cut_anywhere_is_half_written_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    write_key(path, KEY)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(Invalid, match="half written") as damaged:
            read_key(path)
        assert "init" in (damaged.value.hint or "")
        assert path.read_bytes() == whole[:length]


def test_a_key_with_any_byte_changed_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    write_key(path, KEY)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(Invalid, match="is damaged"):
            read_key(path)
    for data in (bytes(len(whole)), whole + b"\n", whole * 100):
        path.write_bytes(data)
        with pytest.raises(Invalid, match="is damaged"):
            read_key(path)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    write_key(path, KEY)
    path.chmod(0o640)
    with pytest.raises(Refused, match="others may read") as refused:
        read_key(path)
    assert refused.value.hint == f"chmod 600 {path}"


def test_a_second_process_is_told_who_holds_the_state(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with state.lock():
        with pytest.raises(StateInUse, match=f"in use by process {os.getpid()}") as in_use:
            state.lock()
        assert in_use.value.pid == os.getpid()
    with state.lock():
        pass


async def test_a_daemon_waits_for_a_command_that_is_at_the_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = StateDir(tmp_path)
    command = state.lock()
    asyncio.get_running_loop().call_later(0.05, command.close)
    async with state.held():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert caplog.text == ""


async def test_a_command_that_stays_at_the_state_is_named_by_the_daemon_that_gives_up(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    with state.lock(), pytest.raises(StateInUse, match=f"in use by process {os.getpid()}"):
        async with state.held(patience_s=0.05):
            pass
    state.lock().close()


async def test_a_long_wait_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = StateDir(tmp_path)
    with state.lock(), pytest.raises(StateInUse):
        async with state.held(patience_s=0.1):
            pass
    assert [record.message for record in caplog.records] == [
        f"waiting for process {os.getpid()}, which works on {tmp_path}"
    ]


async def test_no_command_comes_between_while_a_daemon_waits(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    first = state.lock()
    daemon = state.held()
    starting = asyncio.create_task(daemon.__aenter__())
    await asyncio.sleep(0)
    first.close()
    with pytest.raises(StateInUse):
        state.lock()
    await starting
    with pytest.raises(StateInUse):
        state.lock()
    await daemon.__aexit__(None, None, None)
    state.lock().close()


async def test_a_second_daemon_does_not_wait_for_the_first(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    async with state.held():
        with pytest.raises(StateInUse, match=f"in use by process {os.getpid()}"):
            async with asyncio.timeout(0.5), state.held():
                pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from kos_edge.node.statedir import StateDir\n"
        "lock = StateDir(Path(sys.argv[1])).lock(); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=root, timeout=20, check=False)
    assert ended.returncode == -9
    with StateDir(tmp_path).lock():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    ("environment", "uid", "path"),
    [
        ({"KOS_EDGE_STATE": "/x"}, 0, "/x"),
        ({}, 0, "/var/lib/kos-edge"),
        ({"XDG_STATE_HOME": "/home/me/state"}, 1000, "/home/me/state/kos-edge"),
        ({"XDG_STATE_HOME": "relative"}, 1000, str(Path.home() / ".local/state/kos-edge")),
    ],
)
def test_the_default_state_is_where_people_expect_it(
    environment: dict[str, str], uid: int, path: str
) -> None:
    assert default_state(environment, uid) == Path(path)


def test_a_state_file_keeps_the_generation_before(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "n", number)
    assert file.read() is None
    file.write(b"1")
    file.write(b"2")
    found = file.read()
    assert found is not None
    assert (found.value, found.trouble) == (2, None)
    assert mode(file.path) == mode(file.previous) == 0o600


@pytest.mark.parametrize("damage", [b"", b"\0\0\0\0", b"2x"])
def test_a_damaged_state_file_falls_back_and_says_so(tmp_path: Path, damage: bytes) -> None:
    file = StateFile(tmp_path / "n", number)
    file.write(b"1")
    file.write(b"2")
    file.path.write_bytes(damage)
    found = file.read()
    assert found is not None
    assert found.value == 1
    assert "is damaged: not a number" in (found.trouble or "")
    file.write(b"3")
    assert file.previous.read_bytes() == b"1"


def test_a_lost_state_file_falls_back_and_two_damaged_ones_are_never_empty_defaults(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "n", number)
    file.write(b"1")
    file.write(b"2")
    file.path.unlink()
    found = file.read()
    assert found is not None
    assert (found.value, found.trouble) == (1, f"{file.path} is missing")
    file.path.write_bytes(b"")
    file.previous.write_bytes(b"")
    with pytest.raises(Invalid, match="is damaged"):
        file.read()


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "n"
    path.mkdir()
    (path / "x").write_text("")
    with pytest.raises(Unavailable, match="cannot write"):
        write_durably(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["n"]
