"""Our systemd units, judged by systemd's own tools."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.systemd

FOLDER = Path(__file__).resolve().parent.parent / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
DAEMONS = sorted(FOLDER.glob("kos-edge*.service"), key=lambda unit: len(unit.name))[:2]
OF_ITS_OWN = {"User=kos-edge", "Group=kos-edge", "DynamicUser=yes"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, tmp_path: Path) -> None:
    """With a program that is there in place of ours, which is not installed where the tests run."""
    copy = tmp_path / unit.name.replace("@.", "@cellar.")
    copy.write_text(re.sub(r"(?m)^(Exec\w+=)\S+", r"\1/bin/true", unit.read_text()))
    verified = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("unit", DAEMONS, ids=lambda unit: unit.name)
def test_a_daemon_may_do_little(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout


def test_one_of_several_daemons_may_do_what_the_only_one_may() -> None:
    """Beside its user: each of several has one of its own, so that none reads the keys of another."""
    only, several = ((FOLDER / name).read_text() for name in ("kos-edge.service", "kos-edge@.service"))
    settings = [line for line in only.splitlines() if line and not line.startswith("#")]
    named = [
        re.sub(r"( \(|-)%i\)?", "", line)
        for line in several.splitlines()
        if line and not line.startswith("#")
    ]
    assert [line for line in named if line not in OF_ITS_OWN] == [
        line for line in settings if line not in OF_ITS_OWN
    ]
