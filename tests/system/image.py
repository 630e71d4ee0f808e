"""The Debian that machines start from: built once by debootstrap, kept in `.lanes`, never changed afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".lanes"
BOOKWORM = "bookworm"
"""Debian 12, which Raspberry Pi OS was until 2025."""
TRIXIE = "trixie"
"""Debian 13."""

# What a Raspberry Pi OS has as well, and what the package depends on: installing it then needs no network.
PACKAGES = (
    "avahi-daemon",
    "bash-completion",
    "ca-certificates",
    "dbus",
    "iproute2",
    "man-db",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
)
FOREIGN = "python3,python3-cffi-backend"
"""What the packages for ARM depend on."""
PATIENCE_S = 600
DISK_BYTES = 4 << 30
"""What a small card has left. The file has holes: it takes 300 MB."""


@contextlib.contextmanager
def making(what: str) -> Iterator[Path]:
    """The folder of what is made once, while nobody else makes such a thing."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield KEPT


def base(release: str) -> Path:
    """The disk with this release on it, an ext4 in a file with holes, built where there is none yet (a minute)."""
    with making("image") as folder:
        options = ("--variant=minbase", f"--include={','.join(PACKAGES)}")
        root = _built(folder / f"debian-{release}", release, *options)
        disk = root.with_suffix(".ext4")
        if not disk.exists():
            made = disk.with_suffix(".new")
            with made.open("wb") as file:
                file.truncate(DISK_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, made], check=True)
            made.rename(disk)
        return disk


def foreign(architecture: str, release: str = BOOKWORM) -> Path:
    """A root directory with the python3 of another architecture, unpacked and not set up: enough for qemu-user."""
    with making("image") as folder:
        options = ("--foreign", f"--arch={architecture}", "--variant=minbase", f"--include={FOREIGN}")
        root = _built(folder / f"debian-{release}-{architecture}", release, *options)
        if not (root / "usr/bin/python3").exists():
            for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
                subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
        return root


def _built(root: Path, release: str, *options: str) -> Path:
    stamp = root.with_suffix(".options")
    wanted = " ".join(options)
    if not stamp.exists() or stamp.read_text() != wanted:
        stamp.unlink(missing_ok=True)
        root.with_suffix(".ext4").unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        log = root.with_suffix(".log")
        with log.open("wb") as said:
            done = subprocess.run(
                ["debootstrap", *options, release, str(root), _mirror()],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=PATIENCE_S,
            )
        assert done.returncode == 0, f"debootstrap {release}: {log.read_text()[-1000:]}"
        stamp.write_text(wanted)
    return root


def _mirror() -> str:
    """Where this machine's own apt gets Debian from."""
    indexes = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    done = subprocess.run(indexes, capture_output=True, text=True, check=True)
    mirrors = [uri for uri in done.stdout.split() if "security" not in uri]
    assert mirrors, "apt on this machine knows no Debian mirror; `apt-get update` may not have run"
    return mirrors[0]
