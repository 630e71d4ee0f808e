"""The end of a node, on real files: what is left is searched byte by byte, also what SQLite had freed."""

from __future__ import annotations

import base64
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kos_edge.errors import KosError, Refused, Unavailable
from kos_edge.klp.body import Data
from kos_edge.node.config import Config
from kos_edge.node.decommission import MARK, decommission
from kos_edge.node.initialize import initialize
from kos_edge.node.keyfile import find_key
from kos_edge.node.remains import Needle, look
from kos_edge.node.statedir import NotInitialised, StateDir, StateInUse
from kos_edge.node.vaulting import NodeVault
from kos_edge.testing import in_virtual_time
from tests.node.world import World

SECRET = b"hunter2 and more of it"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An edge node with a vault, as an administrator leaves one."""
    state = tmp_path / "node"
    initialize(state, "edge", "shed")
    vault = NodeVault(state, Config(), lambda: None)
    vault.put("mqtt.password", SECRET)
    vault.put("wifi", b"1234567")
    vault.rotate(to=None, new_passphrase=None)
    shutil.copy(state / "node.key", state / "node.key.copy")
    return state


def seed_of(home: Path) -> bytes:
    return find_key(home / "node.key").value.seed


def test_nothing_is_left_and_it_was_looked_for(home: Path) -> None:
    report = decommission(home)
    assert list(home.iterdir()) == []
    assert report["after"] == []
    assert {"the node's key", "the vault's key file", "the secret mqtt.password"} <= set(report["looked_for"])
    assert report["not_looked_for"] == ["the secret wifi"], "seven bytes are found anywhere"
    assert any(
        text.startswith("the node's key in") and text.endswith("node.key") for text in report["before"]
    )
    assert report["bytes_before"] > report["bytes_after"]
    with pytest.raises(NotInitialised):
        decommission(home)


def test_a_key_in_free_pages_and_in_the_log_of_the_store_is_found_before_and_gone_after(home: Path) -> None:
    seed = seed_of(home)
    database = sqlite3.connect(home / "kos.db")
    database.execute("PRAGMA secure_delete = off")
    database.execute("CREATE TABLE spill (value BLOB)")
    database.execute("INSERT INTO spill VALUES (?)", (bytes(5_000) + seed + bytes(5_000),))
    database.commit()
    database.execute("DROP TABLE spill")
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("CREATE TABLE spill (value TEXT)")
    database.execute("INSERT INTO spill VALUES (?)", (seed.hex(),))
    database.commit()
    for name in ("kos.db", "kos.db-wal"):
        shutil.copy(home / name, home / f"{name}.damaged-1")  # as a salvage leaves it
    database.close()
    found = {find.path.name for find in look([home], [Needle("key", seed)]).finds}
    assert {"kos.db", "kos.db-wal.damaged-1", "node.key", "node.key.copy"} <= found
    report = decommission(home)
    assert (report["after"], list(home.iterdir())) == ([], [])


@pytest.mark.parametrize("shift", range(3))
@pytest.mark.parametrize(
    "form",
    [
        lambda secret: secret,
        lambda secret: secret.hex().encode(),
        lambda secret: secret.hex().upper().encode(),
        base64.b64encode,
        base64.urlsafe_b64encode,
    ],
)
@pytest.mark.parametrize("length", [32, 33, 34])
def test_every_form_of_a_secret_is_found_wherever_it_stands(
    tmp_path: Path, form: Callable[[bytes], bytes], shift: int, length: int
) -> None:
    secret = bytes(range(251 - length, 251))
    around = b"x" * shift
    text = (
        form(around + secret + b"yz!")
        if form in (base64.b64encode, base64.urlsafe_b64encode)
        else form(secret)
    )
    (tmp_path / "file").write_bytes(
        bytes(4 << 20)[: (4 << 20) - 20] + text + b" and more"
    )  # over the edge of a chunk
    assert [find.name for find in look([tmp_path], [Needle("it", secret)]).finds] == ["it"]
    (tmp_path / "file").write_bytes(form(around + secret[:-1] + b"?"))
    assert look([tmp_path], [Needle("it", secret)]).finds == ()


def test_a_secret_that_somebody_copied_elsewhere_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc = home.parent / "etc"
    etc.mkdir()
    (etc / "config.toml").write_text(f"# the old password: {SECRET.decode()}\n")
    monkeypatch.setattr("kos_edge.node.statedir.config_place", lambda state: etc)
    report = decommission(home)
    assert report["after"] == [f"the secret mqtt.password in {etc / 'config.toml'}"]
    assert (etc / "config.toml").exists(), "it is the administrator's"


def test_a_key_that_systemd_has_sealed_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = home.parent / "sealed"
    sealed.write_bytes(b"of root")
    monkeypatch.setattr("kos_edge.node.decommission.SEALED_KEY", sealed)
    (home / "vault.key").unlink()
    report = decommission(home)
    assert report["not_looked_for"] == [
        "the secrets in the vault",
        f"the vault's key, which systemd has sealed and which stays in {sealed}",
    ]


def test_links_and_folders_go_and_what_links_lead_to_stays(home: Path) -> None:
    outside = home.parent / "outside"
    outside.write_text("not ours")
    (home / "link").symlink_to(outside)
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "copy").write_bytes(seed_of(home))
    (home / "deep" / "folder").symlink_to(home.parent)
    report = decommission(home)
    assert (report["after"], list(home.iterdir())) == ([], [])
    assert outside.read_text() == "not ours"


def test_what_was_interrupted_is_gone_on_with(home: Path) -> None:
    (home / MARK).write_text("begun")
    (home / "node.key").unlink()
    (home / "node.key.copy").unlink()
    report = decommission(home)
    assert (report["name"], list(home.iterdir())) == (None, [])


def test_what_was_interrupted_in_the_middle_of_the_key_is_gone_on_with(home: Path) -> None:
    (home / MARK).write_text("begun")
    (home / "node.key").write_bytes(bytes(99))
    (home / "node.key.copy").unlink()
    assert (decommission(home)["after"], list(home.iterdir())) == ([], [])


def test_while_a_daemon_or_a_command_works_on_it_nothing_is_touched(home: Path) -> None:
    with StateDir(home).lock(), pytest.raises(StateInUse):
        decommission(home)
    assert seed_of(home)


@pytest.mark.may_block("the stores work in the loop, so that every run is the same")
@in_virtual_time
async def test_what_was_set_aside_when_a_mesh_was_left_is_not_thrown_away_unasked_either(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        world.isolate(edge)
        await edge.publish("air.temperature", 1, 2, 3)
        await edge.operations.leave()
        await edge.stop()
        with pytest.raises(Refused, match="3 dead letters, which nobody else has"):
            decommission(edge.state)
        assert decommission(edge.state, discard=True)["after"] == []


@pytest.mark.may_block("the stores work in the loop, so that every run is the same")
@in_virtual_time
async def test_what_nobody_else_has_is_not_thrown_away_unasked(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await hub.stop()
        await edge.node.publisher.enqueue("air.temperature", Data(1.0), linger_s=0.0)
        await edge.stop()
        with pytest.raises(Refused, match="1 messages wait that nobody else has"):
            decommission(edge.state)
        (edge.state / MARK).write_text("begun, and the power went before the key was gone")
        with pytest.raises(Refused, match="1 messages wait that nobody else has"):
            decommission(edge.state)
        with pytest.raises(Refused, match="the only hub of its mesh"):
            decommission(hub.state)
        report = decommission(edge.state, discard=True)
        assert (report["name"], report["after"]) == ("edge", [])
        assert decommission(hub.state, end_mesh=True)["after"] == []


def test_the_authority_of_a_mesh_does_not_go_with_a_hub(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    initialize(hub, "hub", "cellar")
    with closing(sqlite3.connect(hub / "kos.db")) as database:
        database.execute("PRAGMA user_version = 99999")
    with pytest.raises(Refused, match="the mesh's authority lies here"):
        decommission(hub, discard=True)
    assert (hub / "authority.recovery").exists()
    assert decommission(hub, discard=True, end_mesh=True)["after"] == []


def test_where_nobody_can_tell_what_waits_it_is_not_thrown_away_either(home: Path) -> None:
    with closing(sqlite3.connect(home / "kos.db")) as database:
        database.execute("PRAGMA user_version = 99999")
    with pytest.raises((Unavailable, KosError)):
        decommission(home)
    assert seed_of(home)
    assert decommission(home, discard=True)["after"] == []
