"""A node in a file: made while it runs, restored as it was, and then numbering nothing twice."""

from __future__ import annotations

import io
import os
import random
import shutil
import tarfile
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from kos_edge.delivery.carried import Unframer, framed
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.mesh.recovery import Cost
from kos_edge.node.backup import FIRST_LINE, MAX_FILE, backup, restore
from kos_edge.node.initialize import initialize
from kos_edge.node.keyfile import read_key
from kos_edge.node.statedir import StateDir, StateInUse
from kos_edge.testing import in_virtual_time
from kos_edge.testing.machine import Machine
from kos_edge.vault.stream import Opener, Sealer, WrongPassphrase
from tests.node.world import World

pytestmark = pytest.mark.may_block(
    "the stores work in the loop, and scrypt takes a third of a second on purpose"
)

PASSPHRASE = "correct horse battery staple"


class Buffer(io.BytesIO):
    """Where a backup goes in these tests."""


def backed_up(machine: Machine) -> bytes:
    target = Buffer()
    backup(machine.state, target, PASSPHRASE)
    return target.getvalue()


async def put_back(machine: Machine, data: bytes) -> None:
    """A new card: nothing on it but what was in the backup."""
    shutil.rmtree(machine.state)
    restore(machine.state, io.BytesIO(data), PASSPHRASE)


@in_virtual_time
async def test_a_node_that_is_put_back_numbers_nothing_twice_and_asks_for_nothing_again(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, seed=1) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        before = await edge.publish("air.temperature", 1, 2, 3)
        await world.drained(edge)
        world.isolate(edge)
        queued = await edge.publish("air.temperature", 4, 5)
        data = backed_up(edge)
        world.network.heal()
        await world.drained(edge)
        later = await edge.publish("air.temperature", 6, 7)
        await world.drained(edge)
        await edge.kill()
        await put_back(edge, data)
        await edge.start(peers=[hub])
        after = await edge.publish("air.temperature", 8, 9)
        await world.drained(edge)
        assert await hub.values() == list(range(1, 10))
        assert (await hub.received())[:7] == before + queued + later
        assert not set(after) & {*before, *queued, *later}
        assert not len(hub.node.trust.forks)


@in_virtual_time
async def test_what_waited_in_the_backup_arrives_though_it_was_never_delivered(tmp_path: Path) -> None:
    async with World(tmp_path, seed=2) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        world.isolate(edge)
        ids = await edge.publish("air.temperature", *range(50))
        data = backed_up(edge)
        await edge.kill()
        await put_back(edge, data)
        world.network.heal()
        await edge.start(peers=[hub])
        await world.drained(edge)
        assert await hub.received() == ids


@in_virtual_time
async def test_what_is_put_back_and_speaks_by_stick_alone_is_no_clone(tmp_path: Path) -> None:
    async with World(tmp_path, seed=3) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        await edge.publish("air.temperature", 1)
        await world.drained(edge)
        data = backed_up(edge)
        for value in (2, 3):
            await edge.stop()
            await edge.start(peers=[hub])
            await edge.publish("air.temperature", value)
            await world.drained(edge)
        await edge.stop()
        await put_back(edge, data)
        world.isolate(edge)
        await edge.start(peers=[hub])
        ids = await edge.publish("air.temperature", 4)
        async with aclosing(edge.node.carrying.write(None)) as parts:
            file = b"".join([part.data async for part in parts])
        taken = await hub.node.carrying.take(b"".join(map(framed, Unframer().receive(file))))
        assert (taken.messages, taken.refused, taken.quarantined) == (1, 0, 0)
        assert (await hub.received())[-1:] == ids


@in_virtual_time
async def test_a_backup_of_a_node_that_publishes_is_of_one_moment(tmp_path: Path) -> None:
    async with World(tmp_path, seed=4) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed")
        world.isolate(edge)
        backups = []
        for start in range(0, 60, 20):
            await edge.publish("air.temperature", *range(start, start + 20))
            backups.append((start + 20, backed_up(edge)))
        for number, (count, data) in enumerate(backups):
            copy = tmp_path / f"copy{number}"
            restore(copy, io.BytesIO(data), PASSPHRASE)
            assert read_key(copy / "node.key").kid == edge.kid
            again = world.machine(f"again{number}")
            shutil.rmtree(again.state)
            copy.rename(again.state)
            await again.start()
            assert again.node.writer.store.outbox.usage.messages == count


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("home") / "state"
    initialize(path, "edge", "shed")
    (path / "config.toml").write_text("[network]\nmdns = false\n")
    (path / "config.d").mkdir()
    (path / "config.d" / "90-set.toml").write_text('[log]\nlevel = "debug"\n')
    (path / "vault").write_bytes(b"sealed")
    return path


@pytest.fixture(scope="module")
def made(home: Path) -> bytes:
    target = Buffer()
    backup(home, target, PASSPHRASE)
    assert not [each for each in home.iterdir() if each.name.startswith(".backup")]
    return target.getvalue()


def test_everything_that_a_node_is_comes_back(home: Path, made: bytes, tmp_path: Path) -> None:
    done = restore(tmp_path / "new", io.BytesIO(made), PASSPHRASE)
    assert (done.name, done.aside, done.kept) == ("shed", None, ())
    for name in ("node.key", "vault", "config.toml", "config.d/90-set.toml"):
        assert (tmp_path / "new" / name).read_bytes() == (home / name).read_bytes()
    for name in ("config.toml", "config.d/90-set.toml"):  # of root in /etc, and the daemon is another user
        assert (tmp_path / "new" / name).stat().st_mode & 0o777 == 0o644
    assert not [each for each in (tmp_path / "new").iterdir() if each.name.startswith(".")]


def test_a_node_that_lives_on_the_copy_of_its_key_comes_back_with_a_good_one(tmp_path: Path) -> None:
    home, target = tmp_path / "state", Buffer()
    initialize(home, "edge", "shed")
    shutil.copy(home / "node.key", home / "node.key.copy")
    key = read_key(home / "node.key")
    (home / "node.key").write_bytes(b"kos-edge-key 1 a bad block")
    backup(home, target, PASSPHRASE)
    restore(tmp_path / "new", io.BytesIO(target.getvalue()), PASSPHRASE)
    assert read_key(tmp_path / "new" / "node.key") == key


def test_two_backups_at_a_time_do_not_disturb_each_other_and_what_a_crash_left_goes(tmp_path: Path) -> None:
    home, inner = tmp_path / "state", Buffer()
    initialize(home, "edge", "shed")
    left = home / ".backup-00.db"
    left.touch()
    os.utime(left, (1, 1))

    class Between(Buffer):
        def write(self, data: Any, /) -> int:
            if not inner.getvalue():
                backup(home, inner, PASSPHRASE)
            return super().write(data)

    outer = Between()
    backup(home, outer, PASSPHRASE)
    for number, made in enumerate((inner, outer)):
        restore(tmp_path / str(number), io.BytesIO(made.getvalue()), PASSPHRASE)
    assert not list(home.glob(".backup*"))


def test_a_file_that_is_too_large_is_not_left_out_without_a_word(tmp_path: Path) -> None:
    home = tmp_path / "state"
    initialize(home, "edge", "shed")
    with (home / "core").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(Unavailable, match="core has more than 64 MiB"):
        backup(home, Buffer(), PASSPHRASE)


def test_nothing_of_it_can_be_read_without_the_passphrase(home: Path, made: bytes) -> None:
    for secret in (
        read_key(home / "node.key").seed,
        read_key(home / "node.key").seed.hex().encode(),
        b"mdns",
    ):
        assert secret not in made


def test_a_damaged_or_cut_backup_and_a_wrong_passphrase_change_nothing(made: bytes, tmp_path: Path) -> None:
    lot = random.Random(5)
    broken = [made[:at] for at in (0, 10, 40, len(made) // 2, len(made) - 1)]
    for at in (25, len(made) // 3, len(made) - 5, *(lot.randrange(len(made)) for _ in range(4))):
        broken.append(made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :])
    target = tmp_path / "new"
    for data in broken:
        with pytest.raises(KosError) as caught:
            restore(target, io.BytesIO(data), PASSPHRASE)
        assert isinstance(caught.value, Invalid | Refused)
        assert [each.name for each in target.iterdir()] == ["lock"]
    with pytest.raises(WrongPassphrase):
        restore(target, io.BytesIO(made), "something else")
    assert [each.name for each in target.iterdir()] == ["lock"]
    restore(target, io.BytesIO(made), PASSPHRASE)


def test_a_node_is_put_aside_only_when_asked_and_not_while_it_runs(
    home: Path, made: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "state"
    initialize(path, "edge", "other")
    with pytest.raises(Refused, match="there is a node"):
        restore(path, io.BytesIO(made), PASSPHRASE)
    other = read_key(path / "node.key").kid
    with StateDir.open(path).lock(), pytest.raises(StateInUse):
        restore(path, io.BytesIO(made), PASSPHRASE, replace=True)
    (path / "config.toml").write_text("# mine\n")
    done = restore(path, io.BytesIO(made), PASSPHRASE, replace=True)
    assert done.aside is not None
    assert read_key(Path(done.aside) / "node.key").kid == other
    assert read_key(path / "node.key").kid == read_key(home / "node.key").kid
    assert done.kept == (str(path / "config.toml"),)
    assert (path / "config.toml").read_text() == "# mine\n"


def test_where_the_configuration_cannot_be_written_the_node_that_is_there_stays(
    made: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, etc = tmp_path / "state", tmp_path / "etc"
    initialize(path, "edge", "other")
    other = read_key(path / "node.key")
    etc.write_text("no directory at all")
    monkeypatch.setattr("kos_edge.node.backup.config_place", lambda state: etc)
    with pytest.raises(Unavailable):
        restore(path, io.BytesIO(made), PASSPHRASE, replace=True)
    assert read_key(path / "node.key") == other


def test_two_that_were_put_aside_at_the_same_time_of_day_are_both_kept(made: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state"
    initialize(path, "edge", "other")
    asides = {
        restore(path, io.BytesIO(made), PASSPHRASE, replace=True, wall=lambda: 0.0).aside for _ in range(2)
    }
    assert len(asides) == 2
    assert all(aside is not None and (Path(aside) / "node.key").exists() for aside in asides)


def test_a_backup_of_a_newer_version_is_named_as_such(made: bytes, tmp_path: Path) -> None:
    about = dict(Opener(io.BytesIO(made[len(FIRST_LINE) :]).read).header.about) | {
        "schema": 99,
        "version": "9.9",
    }
    sealer = Sealer(PASSPHRASE, about, cost=Cost(10, 1))
    with pytest.raises(Invalid, match=r"newer kos-edge \(9\.9\)"):
        restore(tmp_path / "new", io.BytesIO(FIRST_LINE + sealer.header() + sealer.close()), PASSPHRASE)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/b", "config/../evil", ".hidden", "config/config.d/../../evil", "a:b"]
)
def test_nothing_is_written_outside_of_the_state(tmp_path: Path, name: str) -> None:
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    sealer = Sealer(PASSPHRASE, {"schema": 1, "kid": "x"}, cost=Cost(10, 1))
    data = FIRST_LINE + sealer.header() + sealer.write(inside.getvalue()) + sealer.close()
    with pytest.raises(Invalid, match="does not belong"):
        restore(tmp_path / "state", io.BytesIO(data), PASSPHRASE)
    assert [each.name for each in tmp_path.rglob("*") if "evil" in each.name] == []


def test_a_link_in_a_backup_is_not_followed(tmp_path: Path) -> None:
    inside = io.BytesIO()
    with tarfile.open(fileobj=inside, mode="w") as archive:
        member = tarfile.TarInfo("vault")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    sealer = Sealer(PASSPHRASE, {"schema": 1, "kid": "x"}, cost=Cost(10, 1))
    data = FIRST_LINE + sealer.header() + sealer.write(inside.getvalue()) + sealer.close()
    with pytest.raises(Invalid, match="does not belong"):
        restore(tmp_path / "state", io.BytesIO(data), PASSPHRASE)


def test_a_disk_without_room_for_the_copy_says_so_and_keeps_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kos_edge.node.backup.free_bytes", lambda path: 1_000_000)
    with pytest.raises(Unavailable, match="MB beside it"):
        backup(home, Buffer(), PASSPHRASE)
    monkeypatch.undo()
    with pytest.raises(Invalid, match="needs 8 or more"):
        backup(home, Buffer(), "short")
    assert not [each for each in home.iterdir() if each.name.startswith(".backup")]
