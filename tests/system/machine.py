"""A computer: Debian booted by systemd-nspawn, on a disk whose power can be cut.

Its disk is an ext4 on a loop device. When the power is cut, every process is killed and the backing file copied before
anything is unmounted: what the kernel still held back is not in the copy, and the next boot starts from it, journal
replay and all. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.boxes import Done, ran

PATIENCE_S = 60.0
"""Seconds for what should take a few: a busy machine is no failure."""
STATE = "/var/lib/kos-edge"
_LOOK_EVERY_S = 0.1
# A container keeps every mount that it was started with, the disks of others too: it shall see its own alone.
_ALONE = """
while read -r device place rest; do
    case $device in /dev/loop*) [ "$place" = "$0" ] || [ "$place" = "$1" ] || umount -l "$place" ;; esac
done < /proc/self/mounts
shift
exec "$@"
"""
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """One computer, switched off at first.

    `disk`: the file to start from a copy of. `space`: the network namespace that holds its interfaces. `shelf`: a
    folder outside that is its state directory, with a copy of what the disk has there.
    """

    def __init__(self, name: str, disk: Path, folder: Path, space: str, *, shelf: Path | None = None) -> None:
        self.name = name
        self.root = folder / f"{name}.root"
        self.disk = folder / f"{name}.ext4"
        self._space = space
        self._shelf = shelf
        self._said = folder / f"{name}.console"
        self._process: subprocess.Popen[bytes] | None = None
        self.root.mkdir(exist_ok=True)
        copy(disk, self.disk)
        self._mount()
        etc = self.root / "etc"
        (etc / "hostname").write_text(f"{name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n")
        if shelf is not None:
            _run("cp", "-a", f"{self.root}{STATE}/.", str(shelf))
            _run("sync", "-f", str(shelf))

    # -- power

    def boot(self) -> None:
        """Switch it on, and wait until its systemd has started what it should."""
        assert self._process is None
        shelf = [] if self._shelf is None else [f"--bind={self._shelf}:{STATE}"]
        with self._said.open("ab") as said:
            self._process = subprocess.Popen(
                [
                    *(
                        "unshare",
                        "--mount",
                        "sh",
                        "-c",
                        _ALONE,
                        str(self.root),
                        str(self._shelf or self.root),
                    ),
                    "systemd-nspawn",
                    "--quiet",
                    "--boot",
                    f"--directory={self.root}",
                    f"--machine={self.name}-{os.getpid()}",
                    f"--network-namespace-path=/run/netns/{self._space}",
                    "--register=no",
                    "--keep-unit",
                    "--resolv-conf=off",
                    "--timezone=off",
                    "--console=pipe",
                    *shelf,
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.until(lambda: self._leader is not None, "its first process does not start")
        self.until(
            lambda: self.run("systemctl", "is-system-running").out.strip() in ("running", "degraded"),
            "its systemd does not come up",
        )

    def off(self) -> None:
        """Shut it down in order."""
        assert self._process is not None
        self.run("systemctl", "--no-block", "poweroff")
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._end()

    def cut(self) -> None:
        """Cut its power: nothing runs on, and what was not on the disk is gone."""
        self._end()
        after = self.disk.with_suffix(".after")
        copy(self.disk, after)
        self._unmount()
        after.replace(self.disk)
        self._mount()

    def close(self) -> None:
        """Let nothing of it run or be mounted; its disk stays."""
        self._end()
        self._unmount()

    # -- what a person does at it

    def enter(self, *words: str) -> list[str]:
        """The command line that runs a command in it, as root."""
        leader = self._leader
        assert leader is not None, f"{self.name} does not run"
        into = ["nsenter", "--target", str(leader), "--all", "--", "env", "-i"]
        return [*into, _PATH, "HOME=/root", "LANG=C.UTF-8", *words]

    def line(self, *words: str) -> list[str]:
        """The same for a `kos-edge` command."""
        return self.enter("kos-edge", *words)

    def run(self, *words: str, stdin: str = "", within: float = PATIENCE_S) -> Done:
        """Run a command in it, as root and to its end."""
        return ran(self.enter(*words), stdin, within)

    def must(self, *words: str, stdin: str = "", within: float = PATIENCE_S) -> str:
        """What a command that has to succeed wrote."""
        done = self.run(*words, stdin=stdin, within=within)
        assert done.code == 0, (self.name, words, done)
        return done.out

    def ask(self, *words: str, within: float = PATIENCE_S) -> Any:
        """The JSON of a `kos-edge` command."""
        return self.run("kos-edge", "--json", *words, within=within).value

    def status(self) -> dict[str, Any] | None:
        """How its daemon is; None when nobody answers."""
        done = self.run("kos-edge", "--json", "status")
        return dict(done.value) if done.code == 0 else None

    def take(self, file: Path, place: str) -> str:
        """Copy a file into it; the path there."""
        target = self.root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        return place

    def write(self, place: str, text: str) -> str:
        """Write a file in it; the path there."""
        target = self.root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return place

    def journal(self, unit: str = "kos-edge", lines: int = 30) -> str:
        """The end of a unit's log."""
        return self.run("journalctl", "--no-pager", "-o", "short-precise", "-n", str(lines), "-u", unit).out

    def until(self, holds: Callable[[], object], why: str, within: float = PATIENCE_S) -> float:
        """Wait until it holds; the seconds that it took."""
        start = time.monotonic()
        while not holds():
            if time.monotonic() - start > within:
                log = self.journal() if self._leader is not None else self._said.read_text()[-3000:]
                raise AssertionError(f"{self.name}: {why}\n{log}")
            time.sleep(_LOOK_EVERY_S)
        return time.monotonic() - start

    def until_status(
        self, holds: Callable[[dict[str, Any]], object], why: str, within: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until its daemon's status is so."""
        last: dict[str, Any] = {}

        def look() -> bool:
            nonlocal last
            last = self.status() or {}
            return bool(last and holds(last))

        try:
            self.until(look, why, within)
        except AssertionError as error:
            raise AssertionError(f"{error}\nit says {last}") from None
        return last

    # -- inside

    @property
    def _leader(self) -> int | None:
        """The process that is its first."""
        if self._process is None or self._process.poll() is not None:
            return None
        return _child(self._process.pid)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        leader = _child(process.pid)
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)  # and with it all of its process namespace
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self.disk), str(self.root))

    def _unmount(self) -> None:
        if self.root.is_mount():
            _run("umount", str(self.root))


def copy(disk: Path, target: Path) -> None:
    """Copy a disk's file, holes and all."""
    _run("cp", "--sparse=always", str(disk), str(target))


def _child(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
