"""The packages for ARM: made from their wheels, unpacked beside a foreign python3, and run once under qemu-user."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import image, packages

pytestmark = pytest.mark.system

EMULATORS = {"arm64": "qemu-aarch64-static", "armhf": "qemu-arm-static"}
PATIENCE_S = 120


class Foreign:
    """A root directory of another architecture with our package in it."""

    def __init__(self, root: Path, emulator: str) -> None:
        self.root = root
        self._emulator = emulator

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a `kos-edge` command in it."""
        (release,) = (self.root / "usr/lib/kos-edge/package").glob("pyvenv.cfg")
        python = f"/{release.parent.relative_to(self.root)}/bin/python3"
        emulated = [f"/usr/bin/{self._emulator}", "-0", python, "/usr/bin/python3"]
        return subprocess.run(
            [
                "/usr/sbin/chroot",
                str(self.root),
                *emulated,
                "-m",
                "kos_edge.cli",
                "--state",
                "/state",
                *words,
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )


@pytest.fixture(params=["arm64", "armhf"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Foreign]:
    package = packages.package(architecture=request.param)
    base = image.foreign(request.param)
    own, work, root = (tmp_path / name for name in ("own", "work", "root"))
    for place in (own, work, root):
        place.mkdir()
    layers = f"lowerdir={base},upperdir={own},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(root)], check=True)
    try:
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
        emulator = EMULATORS[request.param]
        shutil.copyfile(f"/usr/bin/{emulator}", root / "usr/bin" / emulator)
        (root / "usr/bin" / emulator).chmod(0o755)
        yield Foreign(root, emulator)
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_it_starts_and_keeps_a_reading(foreign: Foreign) -> None:
    made = foreign("--json", "init", "--role", "hub", "--name", "pi")
    assert made.returncode == 0, made
    accepted = foreign("publish", "air.temperature", "21.5", "--unit", "Cel")
    assert accepted.returncode == 0, accepted
    there = foreign("export", "--format", "jsonl")
    assert json.loads(there.stdout)["id"] == accepted.stdout.strip()
