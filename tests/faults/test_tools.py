"""The tools that faults are injected with do here what the rows rely on."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

SYNC = "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); print(os.write(fd, b'x')); os.fdatasync(fd)"


def injected(what: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program under strace with a fault injected."""
    command = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        f"inject={what}",
        sys.executable,
        "-c",
        program,
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sync_can_be_made_to_fail(tmp_path: Path) -> None:
    done = injected("fdatasync:error=EIO", SYNC, str(tmp_path / "file"))
    assert done.stdout == "1\n"
    assert f"[Errno {errno.EIO}]" in done.stderr


def test_a_process_can_be_killed_at_a_sync(tmp_path: Path) -> None:
    done = injected("fdatasync:signal=SIGKILL:when=1", SYNC, str(tmp_path / "file"))
    assert done.returncode in (-9, 137)


def test_a_small_file_system_fills_up(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "file").write_bytes(bytes(3 << 20))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
