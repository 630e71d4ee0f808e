"""`kos-edge install` on a machine below a folder: what it brings, a second run that changes nothing, the way back."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from kos_edge.clock import ManualClock
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.install.disk import give_tree
from kos_edge.install.installation import Installation, Wish
from kos_edge.install.layout import Layout
from kos_edge.install.machine import Machine, look
from kos_edge.install.removal import Removal
from kos_edge.install.shelf import Shelf
from kos_edge.install.surroundings import surroundings
from kos_edge.install.systemd import UNIT
from kos_edge.mesh.token import Token
from kos_edge.node.config import BadConfiguration
from kos_edge.testing.ports import free_port
from tests.install.bench import BenchSystem, make_release, tree_of

FILES = surroundings({"bash": "complete -F x kos-edge\n"}, {"kos-edge.1.gz": b"page"})
PI = Machine(True, "aarch64", "debian", (12,), 252)
MESH = bytes(range(32))
TOKEN = Token(MESH, bytes(16), bytes(8), bytes(16)).text
OTHER = Token(bytes(32), bytes(16), bytes(8), bytes(16)).text


class Place:
    """A root, and installations on it."""

    def __init__(self, root: Path) -> None:
        (root / "etc").mkdir()
        (root / "var/lib").mkdir(parents=True)
        (root / "usr/bin").mkdir(parents=True)
        self.root = root
        self.layout = Layout(root)
        self.clock = ManualClock()
        self.system = BenchSystem(self.layout, self.clock)
        self.builds = 0

    def build(self, layout: Layout) -> str:
        part = layout.releases / ".1.0.part"
        make_release(part, "1.0")
        self.builds += 1
        return Shelf(layout).place(part, "1.0")

    def install(self, wish: Wish, machine: Machine = PI) -> Installation:
        made = Installation(
            self.layout, machine, self.system, self.clock, self.clock.advance, FILES, build=self.build
        )
        made.run(wish)
        return made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("kos_edge.install.activation.answers", lambda tree, unit: None)
    return Place(tmp_path)


def test_a_bare_machine_becomes_a_node_that_runs(place: Place) -> None:
    done = place.install(Wish("hub", "cellar"))
    assert [step.outcome for step in done.steps] == ["done"] * 8 + ["skipped", "done"]
    assert (place.layout.state / "node.key").exists()
    assert (place.layout.units / UNIT).exists()
    assert os.access(place.root / "usr/bin/kos-edge", os.X_OK)
    assert Shelf(place.layout).current() == "1.0"
    assert place.system.on == {UNIT}
    assert place.system.running() == [UNIT]
    assert done.made["node"]["passphrase"]


def test_a_second_run_changes_nothing_and_says_so(place: Place) -> None:
    place.install(Wish("edge", None, TOKEN))
    before = tree_of(place.root)
    again = place.install(Wish("edge", None, TOKEN))
    assert not again.changed
    assert tree_of(place.root) == before
    assert place.system.ran == ["1.0"]


def test_a_token_alone_makes_an_edge_node_and_joins(place: Place) -> None:
    done = place.install(Wish(token=TOKEN))
    assert place.system.asked[0] == ["init", "--role", "edge"]
    assert place.system.joined == MESH.hex()
    assert done.made["join"]["outcome"] == "joined"


def test_a_run_after_an_interrupted_one_does_the_rest(place: Place) -> None:
    place.system.account = True
    place.layout.state.mkdir(mode=0o750)
    (place.layout.releases / ".1.0.part").mkdir(parents=True)
    done = place.install(Wish("edge"))
    outcomes = {step.name: step.outcome for step in done.steps}
    assert outcomes["account"] == outcomes["directories"] == "done"
    assert place.system.groups == []
    assert place.system.owned == {place.layout.state}
    assert outcomes["service"] == "done"
    assert Shelf(place.layout).names() == ["1.0"]


@pytest.mark.parametrize("verb", ["account", "init", "status", "join", "reload", "enable", "restart"])
def test_whatever_fails_leaves_the_machine_as_it_was(place: Place, verb: str) -> None:
    before = tree_of(place.root)
    place.system.fails = verb
    with pytest.raises(Refused, match=f"^{verb} says no$"):
        place.install(Wish("edge", None, TOKEN))
    assert tree_of(place.root) == before
    assert not place.system.account
    assert not place.system.on
    assert place.system.running() == []


def test_a_daemon_that_dies_leaves_the_machine_as_it_was(place: Place) -> None:
    before = tree_of(place.root)
    place.system.breaks = lambda release, up: up > 2.5
    with pytest.raises(Unavailable, match="auto-restart"):
        place.install(Wish("edge"))
    assert tree_of(place.root) == before


def test_a_failed_run_on_a_node_that_is_there_leaves_the_node(place: Place) -> None:
    place.install(Wish("edge"))
    place.system.disable(UNIT)
    before = tree_of(place.root)
    place.system.fails = "enable"
    with pytest.raises(Refused):
        place.install(Wish())
    assert tree_of(place.root) == before


@pytest.mark.parametrize(
    ("machine", "what"),
    [
        (replace(PI, machine="armv6l"), "ARMv6.*Pi Zero W"),
        (replace(PI, machine="riscv64"), "not made for riscv64"),
        (replace(PI, release_version=(11,)), "debian 11 is too old"),
        (replace(PI, release="ubuntu", release_version=(22, 4)), r"ubuntu 22\.4 is too old"),
        (replace(PI, systemd=None), "systemd does not run here"),
        (replace(PI, systemd=247), "systemd 247 is too old"),
        (replace(PI, root=False), "needs root"),
    ],
)
def test_a_machine_that_will_not_do_is_told_so_and_nothing_is_touched(
    place: Place, machine: Machine, what: str
) -> None:
    before = tree_of(place.root)
    with pytest.raises(Refused, match=what) as told:
        place.install(Wish("edge"), machine)
    assert told.value.hint
    assert tree_of(place.root) == before


def test_a_typo_in_the_configuration_stops_it_before_anything_is_changed(place: Place) -> None:
    place.layout.config.mkdir()
    (place.layout.config / "config.toml").write_text("[network]\nlisen = []\n")
    before = tree_of(place.root)
    with pytest.raises(BadConfiguration, match="lisen"):
        place.install(Wish("edge"))
    assert tree_of(place.root) == before


def test_a_port_that_is_taken_stops_it_before_anything_is_changed(place: Place) -> None:
    port = free_port()
    place.layout.config.mkdir()
    (place.layout.config / "config.toml").write_text(f'[network]\nlisten = ["127.0.0.1:{port}"]\n')
    before = tree_of(place.root)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        with pytest.raises(Unavailable, match=f"cannot listen at 127.0.0.1:{port}") as told:
            place.install(Wish("edge"))
    assert "ss -lnptu" in (told.value.hint or "")
    assert tree_of(place.root) == before


def test_a_mistyped_token_stops_it_before_anything_is_changed(place: Place) -> None:
    before = tree_of(place.root)
    with pytest.raises(Invalid, match="mistyped"):
        place.install(Wish("edge", None, TOKEN[:-3]))
    assert tree_of(place.root) == before


def test_a_token_of_another_mesh_is_refused_with_the_way_to_move(place: Place) -> None:
    place.install(Wish("edge", None, TOKEN))
    before = tree_of(place.root)
    with pytest.raises(Refused, match=r"token is for mesh 00000000.*belongs to mesh 00010203") as told:
        place.install(Wish("edge", None, OTHER))
    assert "kos-edge leave" in (told.value.hint or "")
    assert tree_of(place.root) == before


def test_another_role_or_name_than_that_of_the_node_here_is_refused(place: Place) -> None:
    place.install(Wish("edge"))
    for wish in (Wish("hub"), Wish(name="other")):
        with pytest.raises(Refused, match="node that is here"):
            place.install(wish)


def test_without_a_role_and_a_token_a_new_node_is_nothing_yet(place: Place) -> None:
    with pytest.raises(Refused, match="nobody said what it will be"):
        place.install(Wish())


@pytest.mark.parametrize("at", range(1, 13))
def test_a_disk_that_fills_up_at_any_file_leaves_the_machine_as_it_was(
    place: Place, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, count, whole = tree_of(place.root), 0, Path.replace

    def full(self: Path, target: Path) -> Path:
        nonlocal count
        count += self.name.endswith(("-new", "current.new"))
        if count == at:
            raise OSError(28, "No space left on device")
        return whole(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(Unavailable, match="No space left on device") as told:
            place.install(Wish("edge"))
    assert told.value.hint == "make room on the disk, then run it again"
    assert tree_of(place.root) == before


def test_a_state_that_was_there_keeps_what_is_in_it(place: Place) -> None:
    place.layout.state.mkdir(mode=0o750)
    (place.layout.state / "notes").write_text("mine")
    place.system.fails = "enable"
    with pytest.raises(Refused):
        place.install(Wish("edge"))
    assert [each.name for each in place.layout.state.iterdir()] == ["notes"]


def test_where_the_package_is_its_files_and_release_are_left_to_it(place: Place) -> None:
    make_release(place.layout.package, "1.0")
    shelf = Shelf(place.layout)
    shelf.point(place.layout.current, shelf.adopt(place.layout.package, "1.0"))
    done = place.install(Wish("edge"))
    outcomes = {step.name: step.outcome for step in done.steps}
    assert (outcomes["files"], outcomes["release"], place.builds) == ("skipped", "unchanged", 0)
    with pytest.raises(Refused, match="Debian package") as told:
        _removal(place).run(purge=True)
    assert told.value.hint == "apt purge kos-edge"


def test_uninstalling_keeps_queue_keys_and_configuration(place: Place) -> None:
    place.install(Wish("edge"))
    state = tree_of(place.layout.state)
    assert _removal(place).run(purge=False)
    assert tree_of(place.layout.state) == state
    assert place.layout.config.is_dir()
    assert not place.layout.lib.exists()
    assert not (place.layout.units / UNIT).exists()
    assert place.system.running() == []
    assert _removal(place).run(purge=False) == []


def test_installing_after_uninstalling_goes_on_with_the_same_node(place: Place) -> None:
    place.install(Wish("edge"))
    key = (place.layout.state / "node.key").read_bytes()
    _removal(place).run(purge=False)
    place.install(Wish())
    assert (place.layout.state / "node.key").read_bytes() == key


def test_purging_leaves_nothing(place: Place) -> None:
    before = tree_of(place.root)
    place.install(Wish("edge"))
    other = place.layout.state.with_name("kos-edge-cellar")
    other.mkdir()
    (other / "node.key").write_text("a key")
    foreign = place.layout.state.with_name("kos-edge-notes")
    foreign.mkdir()
    _removal(place).run(purge=True)
    foreign.rmdir()
    after = {path: value for path, value in tree_of(place.root).items() if path in before or value[1]}
    assert after == before
    assert not place.system.account


def test_a_persons_account_of_that_name_is_neither_used_nor_removed(place: Place) -> None:
    place.install(Wish("edge"))
    place.system.persons = True
    before = tree_of(place.root)
    with pytest.raises(Refused, match="somebody logs in here as kos-edge"):
        place.install(Wish("edge"))
    assert tree_of(place.root) == before
    assert "user kos-edge" not in _removal(place).run(purge=True)
    assert place.system.account


def test_this_machine_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=raspbian\nVERSION_ID="12"\n')
    found = look(tmp_path)
    assert (found.release, found.release_version, found.systemd) == ("raspbian", (12,), None)


def _removal(place: Place) -> Removal:
    return Removal(place.layout, PI, place.system, [PurePosixPath(each) for each in FILES])


@pytest.mark.system
def test_a_state_of_root_is_given_to_the_daemon_with_all_in_it_but_what_links_lead_to(tmp_path: Path) -> None:
    outside, state = tmp_path / "outside", tmp_path / "state"
    outside.write_text("root's")
    (state / "deep").mkdir(parents=True)
    (state / "deep" / "file").write_text("x")
    (state / "link").symlink_to(outside)
    assert give_tree(state, 4711, 4712)
    assert {path.lstat().st_uid for path in (state, *state.rglob("*"))} == {4711}
    assert outside.stat().st_uid == 0
    assert not give_tree(state, 4711, 4712)
