"""A release of the environment that runs, wheels of several Pythons in one tree, and what lies around them."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from kos_edge import __version__
from kos_edge.cli.manual import completions, pages
from kos_edge.errors import Invalid
from kos_edge.install.building import build
from kos_edge.install.environment import canonical
from kos_edge.install.layout import SITE, Layout
from kos_edge.install.release import version_of
from kos_edge.install.shelf import Shelf
from kos_edge.install.surroundings import COMPLETIONS, PLACES, UNITS, surroundings
from kos_edge.install.wheels import unpack
from tools.deb.control import SCRIPTS
from tools.deb.interpreter import interpreter
from tools.deb.wheels import pins

ROOT = Path(__file__).parents[2]


def test_a_release_of_this_environment_runs_and_is_found_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert build(layout) == __version__
    tree = Shelf(layout).tree(__version__)
    assert version_of(tree) == __version__
    site = tree / SITE
    for needed in (
        "kos_edge",
        "firmware_bridge",
        "aiocoap",
        "cryptography",
        "kos_edge/install/units/kos-edge.service",
    ):
        assert (site / needed).exists(), needed
    for spare in ("pytest", "mypy", "pip"):
        assert not (site / spare).exists(), spare
    assert build(layout) == __version__
    assert Shelf(layout).names() == [__version__]


def _wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
    return path


def test_wheels_for_two_pythons_share_a_folder(tmp_path: Path) -> None:
    info = "zero-1.dist-info"
    for tag in ("311", "313"):
        wheel = _wheel(
            tmp_path,
            f"zero-1-cp{tag}.whl",
            {
                "zero/a.py": "1",
                f"zero/_a.cpython-{tag}.so": tag,
                f"{info}/RECORD": tag,
                f"{info}/METADATA": "M",
            },
        )
        unpack(wheel, tmp_path / "site")
    found = sorted(each.name for each in (tmp_path / "site").rglob("*") if each.is_file())
    assert found == ["METADATA", "_a.cpython-311.so", "_a.cpython-313.so", "a.py"]


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"zero/a.py": "2"}, "different files a.py"),
        ({"../etc/passwd": "x"}, "outside of its folder"),
        ({"/etc/passwd": "x"}, "outside of its folder"),
        ({"zero-1.data/purelib/../../x.py": "x"}, "outside of its folder"),
    ],
)
def test_a_wheel_that_does_not_fit_is_refused(tmp_path: Path, files: dict[str, str], what: str) -> None:
    unpack(_wheel(tmp_path, "one.whl", {"zero/a.py": "1"}), tmp_path / "site")
    with pytest.raises(Invalid, match=what):
        unpack(_wheel(tmp_path, "two.whl", files), tmp_path / "site")


def test_every_file_of_the_units_has_its_place() -> None:
    assert {each.name for each in UNITS.iterdir()} == set(PLACES)
    found = surroundings(completions(), pages("1.0", "2026-01-01"))
    assert {str(each) for each in found} >= {*PLACES.values(), *COMPLETIONS.values()}
    assert "usr/share/man/man1/kos-edge-release.1.gz" in map(str, found)


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_does_not_run_or_is_another_makes_no_bytecode(tmp_path: Path) -> None:
    _program(tmp_path / "shims/python3.99", "echo 'python3.99: command not found' >&2; exit 127")
    _program(tmp_path / "other/python3.99", f'exec {sys.executable} "$@"')
    _program(tmp_path / "pypy/python3.99", "echo 3.99; echo pypy39; echo $0")
    path = f"{tmp_path}/shims:{tmp_path}/other:{tmp_path}/pypy"
    assert interpreter("3.99", {"PATH": path, "HOME": str(tmp_path)}) is None
    real = _program(
        tmp_path / ".pyenv/versions/3.99.1/bin/python3.99", "echo 3.99; echo cpython-399; echo $0"
    )
    assert interpreter("3.99", {"PATH": path, "HOME": str(tmp_path)}) == real


def test_the_pinned_requirements_are_all_that_we_need() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {canonical(re.split(r"[<>=!~; ]", each)[0]) for each in needs}
    assert names <= pins().keys()


def test_a_page_is_made_for_every_command_and_no_tool_complains(tmp_path: Path) -> None:
    made = pages("1.0", "2026-01-01")
    assert made == pages("1.0", "2026-01-01")
    for name, data in made.items():
        (tmp_path / name.removesuffix(".gz")).write_bytes(gzip.decompress(data))
    files = sorted(map(str, tmp_path.iterdir()))
    if shutil.which("mandoc"):
        said = subprocess.run(
            ["mandoc", "-Tlint", "-Wwarning", *files], capture_output=True, text=True
        ).stdout
        assert said == ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_of_the_package_are_whole(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(SCRIPTS[name])
    assert subprocess.run(["sh", "-n", str(script)]).returncode == 0
