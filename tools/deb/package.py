"""One Debian package: its tree, its times, its bytes. The same sources give the same package."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kos_edge.cli.manual import completions, pages
from kos_edge.install.layout import Layout
from kos_edge.install.release import compile_tree, furnish
from kos_edge.install.surroundings import mode_of, surroundings
from kos_edge.install.wheels import unpack
from kos_edge.klp.identity import KeyPair
from kos_edge.node.installed import MANIFEST_NAME, seal
from tools.deb.architecture import PYTHONS, Architecture
from tools.deb.control import COPYRIGHT, SCRIPTS, control
from tools.deb.interpreter import interpreter
from tools.deb.wheels import ROOT, NotBuilt, build_own, fetch

DOCUMENTS = ("README.md", "CHANGELOG.md", "docs", "examples")


SMALL = ("-Zxz",)
QUICK = ("-Zgzip", "-z1")
"""Twice as large, in a tenth of the time: for packages that are tried and thrown away."""


def build(
    version: str,
    architecture: Architecture,
    folder: Path,
    epoch: int,
    key: KeyPair,
    *,
    packing: Sequence[str] = SMALL,
) -> Path:
    """Make the package in `folder`, as of `epoch` (seconds since 1970), sealed by `key`; its path. Raises NotBuilt.

    `packing`: how dpkg-deb compresses it.

    Bytecode is made for the Pythons that this machine has. With the others it starts more slowly: bytecode that is made
    later would not be what was sealed.
    """
    work = folder / f"work-{architecture.debian}"
    shutil.rmtree(work, ignore_errors=True)
    os.umask(0o022)
    wheels = [*fetch(architecture, work / "wheels"), build_own(version, work / "own")]
    staging = work / "root"
    tree = Layout(staging).package
    site = furnish(tree, PYTHONS)
    for wheel in wheels:
        unpack(wheel, site)
    for python in PYTHONS:
        program = interpreter(python)
        if program is not None:
            compile_tree(tree, version, program)
        else:
            print(
                f"no Python {python} here: with it this package starts more slowly, without bytecode",
                flush=True,
            )
    _write(tree / MANIFEST_NAME, seal(tree, version, key, at=epoch), 0o644)
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    for place, data in surroundings(completions(), pages(version, date)).items():
        _write(staging / place, data, mode_of(place))
    _documents(staging / "usr/share/doc/kos-edge")
    size = sum(path.lstat().st_size for path in _files(staging)) // 1024
    _write(staging / "DEBIAN/control", control(version, architecture, size).encode(), 0o644)
    for name, text in SCRIPTS.items():
        _write(staging / "DEBIAN" / name, text.replace("RELEASE_KEY", key.public.hex()).encode(), 0o755)
    sums = [
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(staging)}\n"
        for path in sorted(_files(staging))
        if not path.is_symlink() and path.relative_to(staging).parts[0] != "DEBIAN"
    ]
    _write(staging / "DEBIAN/md5sums", "".join(sums).encode(), 0o644)
    for path in [*staging.rglob("*"), staging]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    made = folder / f"kos-edge_{version}_{architecture.debian}.deb"
    _pack(staging, made, packing, {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    shutil.rmtree(work)
    return made


def _pack(staging: Path, made: Path, packing: Sequence[str], environment: Mapping[str, str]) -> None:
    command = ["dpkg-deb", "--root-owner-group", *packing, "--build", str(staging), str(made)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise NotBuilt(f"dpkg-deb: {done.stderr.strip()}")


def _documents(folder: Path) -> None:
    for name in DOCUMENTS:
        source = ROOT / name
        paths = [source] if source.is_file() else sorted(source.rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                inner = path.relative_to(ROOT / "docs") if name == "docs" else path.relative_to(ROOT)
                _write(folder / inner, path.read_bytes(), 0o644)
    _write(folder / "copyright", COPYRIGHT.encode(), 0o644)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
