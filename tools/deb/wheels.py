"""The wheels that go into a package: those of the pinned requirements, and our own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.deb.architecture import PYTHONS, Architecture

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "packaging" / "requirements.txt"


class NotBuilt(Exception):
    """What a person has to know when a package cannot be made."""


def pins() -> dict[str, str]:
    """The version of each distribution, by name."""
    lines = (line.partition("#")[0].strip() for line in PINS.read_text().splitlines())
    return {name: version for name, _, version in (line.partition("==") for line in lines if line)}


def fetch(architecture: Architecture, folder: Path) -> list[Path]:
    """The wheels of all pinned distributions, for every Python, each once. Raises NotBuilt."""
    left_out = {name for name, _ in architecture.substitutes}
    wanted = [f"{name}=={version}" for name, version in pins().items() if name not in left_out]
    folder.mkdir(parents=True, exist_ok=True)
    for python in PYTHONS:
        tag = python.replace(".", "")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder)]
        command += [
            "--implementation=cp",
            f"--python-version={tag}",
            f"--abi=cp{tag}",
            "--abi=abi3",
            "--abi=none",
        ]
        command += [f"--platform={platform}" for platform in architecture.platforms]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr]
            raise NotBuilt(f"no wheels for {architecture.debian} and Python {python}: {said[-1]}")
    return sorted(folder.glob("*.whl"))


def build_own(version: str, folder: Path) -> Path:
    """Our own wheel, of the files of this tree, called `version`. Raises NotBuilt."""
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if name.startswith(("kos_edge/", "firmware_bridge/", "systemd/")) or "/" not in name:
            target = source / name
            if (ROOT / name).exists() or (ROOT / name).is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target, follow_symlinks=False)
    _rename(source / "pyproject.toml", r'(?m)^version = ".*"$', f'version = "{version}"')
    _rename(source / "kos_edge/__init__.py", r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"')
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--wheel-dir", str(folder), str(source)], capture_output=True, text=True)
    if done.returncode != 0:
        raise NotBuilt(f"our own wheel cannot be built: {done.stderr.strip().splitlines()[-1:]}")
    shutil.rmtree(source)
    found = sorted(folder.glob("kos_edge-*.whl"))
    if len(found) != 1:
        raise NotBuilt(f"there are {len(found)} wheels of ours in {folder}")
    return found[0]


def _rename(file: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, file.read_text())
    if count != 1:
        raise NotBuilt(f"{file.name} does not say its version where it should")
    file.write_text(text)
