"""Debian packages of this tree: as it is, as a later version, and as a later version that somebody broke."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tomllib
from pathlib import Path

from tests.system import image

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 600
LATER, BROKEN = "0.9.1", "0.9.2"
"""Versions that no release has, so that each is an upgrade."""

# What somebody breaks: a daemon that starts, says that it is ready, and then ends.
_BREAK = (
    Path("kos_edge/node/daemon.py"),
    "from __future__ import annotations\n",
    "from __future__ import annotations\n\nimport os\nimport threading\n\n"
    "threading.Timer(2.0, os._exit, (70,)).start()\n",
)


def version() -> str:
    """The version of this tree."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def package(*, architecture: str = "amd64") -> Path:
    """The package of this tree."""
    return _made(ROOT, version(), architecture)


def later() -> Path:
    """The same program as a later version."""
    return _made(ROOT, LATER, "amd64")


def broken(folder: Path) -> Path:
    """A later version, properly made and signed, that does not stay up."""
    tree = folder / "broken"
    if not tree.exists():
        for name in _files():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
        file, before, after = _BREAK
        text = (tree / file).read_text()
        assert before in text
        (tree / file).write_text(text.replace(before, after, 1))
    return _made(tree, BROKEN, "amd64")


def _made(tree: Path, wanted: str, architecture: str) -> Path:
    """The package, from the last time where nothing of the tree has changed since."""
    name = f"kos-edge_{wanted}_{architecture}.deb"
    with image.making("package") as folder:
        kept = folder / "packages" / _fingerprint(tree) / name
        if not kept.exists():
            done = subprocess.run(
                ["make", "--silent", "deb", f"VERSION={wanted}", f"ARCH={architecture}", "QUICK=1"],
                cwd=tree,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
            assert done.returncode == 0, f"make deb: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / "build" / "deb" / name, kept.with_suffix(".new"))
            kept.with_suffix(".new").rename(kept)
    return kept


def _fingerprint(tree: Path) -> str:
    """Of all that a package may be made from."""
    digest = hashlib.sha256()
    for name in _files():
        if (tree / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            digest.update(name.encode() + b"\0" + hashlib.sha256((tree / name).read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files() -> list[str]:
    """The files of this tree, as git knows them."""
    named = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(named, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).exists())
