"""What a lane may need of the machine beyond Python: how to tell that it is there, and how to get it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmarks.brokers import programs

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a lane cannot do without."""

    name: str
    present: Callable[[], bool]
    install: Callable[[], object]
    root: bool = False
    folder: Path | None = None


def _ran(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def _apt(*packages: str) -> Callable[[], object]:
    """Installing Debian packages, said before it is done."""
    return lambda: subprocess.run([str(ROOT / "tools" / "apt.sh"), *packages], stdin=subprocess.DEVNULL)


@cache
def _can_be_root() -> bool:
    return os.geteuid() == 0 or (shutil.which("sudo") is not None and _ran("sudo", "-n", "true"))


@cache
def _namespaces() -> bool:
    if not _can_be_root():
        return False
    return _ran(*([] if os.geteuid() == 0 else ["sudo", "-n"]), "unshare", "--net", "--mount", "true")


def _has(*programs: str) -> Callable[[], bool]:
    where = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return lambda: all(shutil.which(program, path=where) for program in programs)


def _other_cbor2() -> tuple[str, Path]:
    """The major version of cbor2 that is not installed here, as a requirement, and where it goes."""
    major = 5 if version("cbor2").startswith("6.") else 6
    return f"cbor2>={major if major == 6 else 5.9},<{major + 1}", ROOT / ".lanes" / f"cbor2-{major}"


def _fetch_other_cbor2() -> None:
    requirement, folder = _other_cbor2()
    print(f"Installing {requirement} into {folder.relative_to(ROOT)}", flush=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    subprocess.run([*pip, "--target", str(folder), requirement], stdin=subprocess.DEVNULL)


def _install_brokers() -> None:
    with contextlib.suppress(programs.Missing):
        programs.install()


IPROUTE = Need("iproute2", _has("ip"), _apt("iproute2"))
NAMESPACES = Need("root and network namespaces", _namespaces, lambda: None, root=True)
STRACE = Need("strace", _has("strace"), _apt("strace"))
BROKERS = Need("mosquitto, nats-server and their clients", programs.present, _install_brokers)
PROMETHEUS = Need("prometheus", _has("prometheus", "promtool"), _apt("prometheus"))
SYSTEMD = Need("systemd-analyze", _has("systemd-analyze"), _apt("systemd"))
CONTAINERS = Need(
    "systemd-nspawn and debootstrap",
    _has("systemd-nspawn", "debootstrap", "mkfs.ext4"),
    _apt("systemd-container", "debootstrap", "e2fsprogs"),
)
EMULATORS = Need("qemu-user", _has("qemu-arm-static", "qemu-aarch64-static"), _apt("qemu-user-static"))
OTHER_CBOR2 = Need(
    "the other major version of cbor2",
    lambda: (_other_cbor2()[1] / "cbor2").is_dir(),
    _fetch_other_cbor2,
    folder=_other_cbor2()[1],
)
