"""From one release to another, and back by itself; the power may go at every step."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from kos_edge.errors import Refused, Unavailable
from kos_edge.install.activation import answers
from kos_edge.install.layout import Layout
from tests.install.bench import Bench, make_release


class PowerCut(BaseException):
    """The process is gone; nobody catches this."""


def test_a_healthy_release_becomes_the_current_one_and_the_one_before_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    done = bench.activation().activate("2.0")
    assert (done.changed, done.before, done.restarted) == (True, "1.0", ["kos-edge.service"])
    assert bench.links() == ("2.0", "1.0", None)
    assert bench.clock.monotonic() >= 10


def test_activating_again_changes_nothing_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.activation().activate("2.0")
    again = bench.activation().activate("2.0")
    assert not again.changed
    assert bench.units.ran == ["2.0"]
    assert bench.links() == ("2.0", "1.0", None)


@pytest.mark.parametrize("after", [0.5, 9.0])
def test_a_release_that_dies_gives_way_to_the_one_before(tmp_path: Path, after: float) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.units.breaks = lambda release, up: release == "2.0" and up >= after
    with pytest.raises(
        Unavailable, match=r"2\.0 did not become healthy.*auto-restart, exit-code.*1\.0 runs"
    ) as told:
        bench.activation().activate("2.0")
    assert told.value.hint is not None
    assert "journalctl -u kos-edge" in told.value.hint
    assert bench.links() == ("1.0", None, None)
    assert bench.units.ran == ["2.0", "1.0"]
    assert bench.shelf.names() == ["1.0"]


def test_a_release_whose_daemon_does_not_answer_gives_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.healthy = lambda tree, unit: "nothing answers" if tree.name == "2.0" else None
    with pytest.raises(Unavailable, match="up but not healthy: nothing answers"):
        bench.activation().activate("2.0")
    assert bench.links() == ("1.0", None, None)


def test_a_release_that_never_becomes_ready_gives_way_in_bounded_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    activation = bench.activation()
    activation.start_s = 1.0
    with pytest.raises(Refused, match="not ready within 1 s"):
        activation.activate("2.0")
    assert bench.links()[0] == "1.0"
    assert bench.clock.monotonic() < 10


def test_a_release_that_does_not_run_here_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    (bench.layout.releases / "2.0/bin/python3").write_text("#!/bin/sh\necho 'bad ELF' >&2; exit 1\n")
    with pytest.raises(Unavailable, match="does not run: bad ELF"):
        bench.activation().activate("2.0")
    assert bench.links() == ("1.0", None, None)
    assert bench.units.ran == []


def test_a_release_that_is_not_what_was_signed_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    activation = bench.activation()

    def examine(tree: Path) -> None:
        raise Refused("three files were changed")

    activation.examine = examine
    with pytest.raises(Refused, match="three files"):
        activation.activate("2.0")
    assert bench.links() == ("1.0", None, None)


def test_at_most_two_releases_stay(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0", "3.0")
    bench.activation().activate("2.0")
    assert bench.shelf.names() == ["1.0", "2.0"]
    make_release(bench.layout.releases / "3.0", "3.0")
    assert bench.activation().activate("3.0").removed == ["1.0"]
    assert bench.links() == ("3.0", "2.0", None)


def test_rolling_back_goes_to_the_one_before_and_there_and_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.activation().activate("2.0")
    assert bench.activation().rollback().release == "1.0"
    assert bench.links() == ("1.0", "2.0", None)
    assert bench.activation().rollback().release == "2.0"


def test_there_may_be_nothing_to_roll_back_to(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no release to go back to"):
        Bench(tmp_path, "1.0").activation().rollback()


def _cut(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the power go before the change of links number `at`."""
    count, whole = 0, Path.replace

    def replace(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == at:
            raise PowerCut
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_after_a_power_cut_at_any_step_the_same_command_does_it(
    tmp_path: Path, at: int, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.units.breaks = lambda release, up: not good and release == "2.0"
    with monkeypatch.context() as patched:
        _cut(at, patched)
        with contextlib.suppress(PowerCut, Unavailable):
            bench.activation().activate("2.0")
    assert bench.shelf.current() in ("1.0", "2.0")
    if "2.0" not in bench.shelf.names():
        make_release(bench.layout.releases / "2.0", "2.0")
    if good:
        bench.activation().activate("2.0")
        assert bench.links() == ("2.0", "1.0", None)
    else:
        with pytest.raises(Unavailable):
            bench.activation().activate("2.0")
        assert bench.links() == ("1.0", None, None)


@pytest.mark.parametrize("good", [True, False])
def test_what_a_power_cut_left_on_trial_is_settled_at_the_next_start(tmp_path: Path, good: bool) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.shelf.point(bench.layout.pending, "1.0")
    bench.shelf.point(bench.layout.current, "2.0")
    bench.units.breaks = lambda release, up: not good and release == "2.0"
    if good:
        done = bench.activation().settle()
        assert done is not None
        assert bench.links() == ("2.0", "1.0", None)
    else:
        with pytest.raises(Unavailable, match=r"1\.0 runs again"):
            bench.activation().settle()
        assert bench.links() == ("1.0", None, None)
    assert bench.activation().settle() is None


@pytest.mark.parametrize("again", [False, True])
def test_what_a_power_cut_left_on_trial_and_spoiled_gives_way(tmp_path: Path, again: bool) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    bench.shelf.point(bench.layout.pending, "1.0")
    bench.shelf.point(bench.layout.current, "2.0")
    (bench.layout.releases / "2.0/bin/python3").write_bytes(bytes(50))
    with pytest.raises(Unavailable, match=r"2\.0 .*does not run.*; 1\.0 runs again"):
        bench.activation().activate("2.0") if again else bench.activation().settle()
    assert bench.links() == ("1.0", None, None)
    assert bench.units.ran == ["1.0"]


def test_a_release_is_made_of_the_packages_tree_by_links(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0")
    make_release(bench.layout.package, "2.0")
    assert bench.shelf.adopt(bench.layout.package, "2.0") == "2.0"
    program = "bin/python3"
    assert (bench.layout.package / program).samefile(bench.layout.releases / "2.0" / program)
    assert os.readlink(bench.layout.releases / "2.0/lib/python3.11") == "python3"
    assert bench.shelf.adopt(bench.layout.package, "2.0") == "2.0"


def test_another_package_of_the_same_version_is_another_release(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0")
    make_release(bench.layout.package, "1.0")
    (bench.layout.package / "pyvenv.cfg").write_text("home = /usr/bin\n")
    assert bench.shelf.adopt(bench.layout.package, "1.0") == "1.0.2"
    assert bench.shelf.names() == ["1.0", "1.0.2"]


def test_a_half_copied_release_is_none_and_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "1.0", "2.0")
    (bench.layout.releases / ".3.0.part").mkdir()
    assert bench.shelf.names() == ["1.0", "2.0"]
    bench.activation().activate("2.0")
    assert not (bench.layout.releases / ".3.0.part").exists()


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, "1.0")
    make_release(bench.layout.package, "2.0")

    def full(source: str, target: str, **more: object) -> None:
        raise OSError(28, "No space left on device", source, None, target)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Unavailable, match="No space left") as told:
        bench.shelf.adopt(bench.layout.package, "2.0")
    assert told.value.hint == "make room on the disk, then run it again"
    assert [each.name for each in Layout(tmp_path).releases.iterdir()] == ["1.0"]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({"running": True, "bootstrap": {"reason": None}}, None),
        ({"running": True}, None),
        ({"running": False}, "nothing answers on its control socket"),
        (
            {"running": True, "bootstrap": {"reason": "safe mode: 3 starts failed"}},
            "safe mode: 3 starts failed",
        ),
        ({"error": {"message": "no such state"}}, "no such state"),
    ],
)
def test_a_release_that_came_up_in_safe_mode_is_not_healthy(
    tmp_path: Path, answer: dict[str, object], wrong: str | None
) -> None:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    python.chmod(0o755)
    assert answers(tmp_path, "kos-edge.service") == wrong
