"""The fault script of R01 and R06: what is done to a sender that stores and a receiver, and the ledgers that judge.

It knows nothing of any product: a `System` starts and ends the two sides, hands messages in and says what came out.
So the same script runs against kos-edge, against mosquitto and against JetStream.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal, Protocol, get_args

from tests.e2e.boxes import until

End = Literal["sender", "receiver"]
"""The side that takes messages in and keeps them, or the one that they are for."""

KILLING_CALLS = (
    "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat", "renameat2", "unlink",
    "unlinkat", "sendto", "sendmsg",
)  # fmt: skip
"""The system calls that change something outside of the process."""

BATCH = 20  # messages handed in at once
BODY_BYTES = 900  # of one message: a few hundred make SQLite's log wrap, which is a checkpoint
PATIENCE_S = 60.0  # for what should happen in a few seconds: a busy machine is no failure
RESTART_S = 3.0  # reliability.md, R01


class System(Protocol):
    """A sender and a receiver, set up and not running. What is killed or full is a process of `end`."""

    def start(self, end: End, prefix: Sequence[str] = ()) -> bool:
        """Start one side, its command line after `prefix`, and wait until it serves; False when it died first."""

    def pid(self, end: End) -> int | None:
        """The process of one side; None when it does not run (any more)."""

    def kill(self, end: End) -> None:
        """SIGKILL, and wait until it is gone; nothing when it does not run."""

    def stop(self, end: End) -> None:
        """End one side in order; nothing when it does not run."""

    def answers(self, end: End) -> bool:
        """Whether whoever looks after this side gets an answer from it: a control socket, a ping."""

    def submit(self, bodies: Sequence[str]) -> int:
        """Hand messages to the sender in order; how many of them, from the first, it says are safe with it.

        Raises `Refusal` with what it answered where it says that it will not take more; the number safe is in it.
        """

    def waiting(self) -> int:
        """How many messages the sender still owes the receiver, as it says itself."""

    def delivered(self) -> list[str]:
        """The bodies that the receiver has for its application, in order; it runs."""


class Refusal(Exception):
    """The sender does not take a message; `safe` of those handed in it took before."""

    def __init__(self, message: str, safe: int = 0) -> None:
        super().__init__(message)
        self.safe = safe


# -- the ledgers


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sender's ledger against receiver's. A loss is a message that was acknowledged and did not arrive."""

    sent: int
    acknowledged: int
    lost: tuple[int, ...]
    twice: tuple[int, ...]
    altered: int
    disordered: int

    @property
    def clean(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.twice or self.altered or self.disordered)

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} of {self.sent} acknowledged, lost {_some(self.lost)}, twice {_some(self.twice)},"
            f" {self.altered} altered, {self.disordered} out of order"
        )


class SenderLedger:
    """What was sent, written and synced *before* it is sent: (run, seq, hash); and what was acknowledged."""

    def __init__(self, file: Path, run: str, size: int = BODY_BYTES) -> None:
        self._file = file.open("a", buffering=1)
        self._run = run
        self._size = size
        self._hashes: dict[int, str] = {}
        self.acknowledged: set[int] = set()

    def next(self, count: int) -> list[str]:
        """The next bodies, their rows on disk."""
        bodies = []
        for seq in range(len(self._hashes), len(self._hashes) + count):
            body = f"{self._run} {seq} ".ljust(self._size, ".")
            self._hashes[seq] = sha256(body.encode()).hexdigest()
            self._file.write(f"{self._run} {seq} {self._hashes[seq]}\n")
            bodies.append(body)
        os.fsync(self._file.fileno())
        return bodies

    def acknowledge(self, bodies: Iterable[str]) -> None:
        """These are safe with the sender, it says."""
        self.acknowledged.update(int(body.split(" ", 2)[1]) for body in bodies)

    def against(self, delivered: Iterable[str]) -> Verdict:
        """Compare with what the receiver has of this run."""
        seen: dict[int, int] = {}
        altered = disordered = highest = 0
        for body in delivered:
            run, number, _ = (*body.split(" ", 2), "", "")[:3]
            if run != self._run:
                continue
            seq = int(number)
            if self._hashes.get(seq) != sha256(body.encode()).hexdigest():
                altered += 1
                continue
            seen[seq] = seen.get(seq, 0) + 1
            if seen[seq] == 1:
                disordered += seq < highest
                highest = max(highest, seq)
        lost = tuple(sorted(self.acknowledged - seen.keys()))
        twice = tuple(sorted(seq for seq, times in seen.items() if times > 1))
        return Verdict(len(self._hashes), len(self.acknowledged), lost, twice, altered, disordered)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(slots=True)
class Outcome:
    """One case: the verdict, and what else went wrong, in words. `struck`: whether the fault came about."""

    verdict: Verdict
    struck: bool
    restart_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


# -- R01: killed anywhere


@dataclass(frozen=True, slots=True)
class Blow:
    """SIGKILL of one side at the `nth` time that one of its threads makes a system call.

    `outage`: the receiver is away until the sender has been killed and has come back, so that it dies with a backlog.
    """

    end: End
    call: str
    nth: int
    outage: bool = False

    @property
    def prefix(self) -> list[str]:
        """What goes before the command line; the tracer is a process aside, so that the pid is the program's own."""
        return [
            "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={self.call}",
            "-e", "signal=none", "-e", f"inject={self.call}:signal=SIGKILL:when={self.nth}",
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.end} killed at {self.call} no. {self.nth}{' in an outage' if self.outage else ''}"


def killed(system: System, blow: Blow, ledger: SenderLedger, batches: int) -> Outcome:
    """Load, the blow, a restart of whoever fell, more load, and what arrived. Both are stopped before and after."""
    wrong: list[str] = []
    if not blow.outage:
        system.start("receiver", blow.prefix if blow.end == "receiver" else ())
    system.start("sender", blow.prefix if blow.end == "sender" else ())
    for _ in range(batches):
        if system.pid(blow.end) is None:
            break
        _send(system, ledger)
    if system.pid(blow.end) is not None and not blow.outage:
        until_so(lambda: system.pid(blow.end) is None or not system.waiting())
    struck = system.pid(blow.end) is None
    system.kill(blow.end)
    began = time.monotonic()
    if not system.start(blow.end):
        wrong.append(f"it does not start again: {blow}")
    restart_s = time.monotonic() - began
    if blow.outage:
        system.start("receiver")
    _send(system, ledger, wrong)
    if not until_so(lambda: not system.waiting()):
        wrong.append(f"{system.waiting()} still wait: {blow}")
    if not system.answers("receiver"):
        wrong.append(f"the receiver is gone: {blow}")
        system.kill("receiver")
        system.start("receiver")
    verdict = ledger.against(system.delivered())
    system.stop("sender")
    system.stop("receiver")
    if restart_s > RESTART_S:
        wrong.append(f"started again only after {restart_s:.1f} s: {blow}")
    return Outcome(verdict, struck, restart_s, wrong)


def _send(system: System, ledger: SenderLedger, wrong: list[str] | None = None) -> None:
    bodies = ledger.next(BATCH)
    try:
        safe = system.submit(bodies)
    except Refusal as error:
        safe = error.safe
        if wrong is not None:
            wrong.append(f"refused: {error}")
    ledger.acknowledge(bodies[:safe])


# -- R06: a full disk


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A memory file system of its own size at `path`; making one needs root."""

    path: Path
    size: str = "8m"
    inodes: int = 0

    @contextlib.contextmanager
    def mounted(self) -> Iterator[SmallDisk]:
        """While it is there."""
        self.path.mkdir(parents=True, exist_ok=True)
        options = f"size={self.size},mode=0755" + (f",nr_inodes={self.inodes}" if self.inodes else "")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "kos-edge-faults", self.path], check=True)
        try:
            yield self
        finally:
            subprocess.run(["umount", "--lazy", self.path], check=True)

    def fill(self, leave: int = 0) -> None:
        """Put ballast there until only `leave` bytes are free."""
        free = os.statvfs(self.path)
        want = free.f_bavail * free.f_frsize - leave
        if want > 0:
            with (self.path / "ballast").open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while want > 0:
                    want -= file.write(b"\xff" * min(want, 65_536))

    def use_up_inodes(self) -> None:
        """Make files until no more can be made."""
        (self.path / "many").mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            for number in range(1_000_000):
                (self.path / "many" / str(number)).touch()

    def grow(self) -> None:
        """What somebody does whose disk is full of what is meant to be on it: give it a larger one."""
        subprocess.run(["mount", "-o", "remount,size=64m", self.path], check=True)

    def make_room(self) -> None:
        """Take the ballast away."""
        (self.path / "ballast").unlink(missing_ok=True)
        for file in (self.path / "many").glob("*"):
            file.unlink()


Fullness = Literal["filled to the last byte", "filled by others", "no inodes", "filled by its own queue"]


def full(system: System, disk: SmallDisk, end: End, how: Fullness, ledger: SenderLedger) -> Outcome:
    """The disk of one side runs full under load; the other side is there; then there is room again.

    `disk` is mounted with that side's state on it; both sides are stopped before and after.
    """
    wrong: list[str] = []
    refusals: list[str] = []
    if end == "receiver":
        system.start("receiver")
    system.start("sender")
    _send(system, ledger, wrong)
    if how == "filled by others":
        disk.fill(leave=2_000_000)
    elif how == "filled to the last byte":
        disk.fill()
    elif how == "no inodes":
        disk.use_up_inodes()
    pids: dict[End, int | None] = {side: system.pid(side) for side in get_args(End)}
    stops = (
        end == "sender" and how != "no inodes"
    )  # else it need not: its own disk has room, or needs no file
    enough = 20_000 if stops else 10_000 if how == "filled by its own queue" else 1_000  # the disk has 8 MB
    while True:
        bodies = ledger.next(BATCH)
        try:
            ledger.acknowledge(bodies[: system.submit(bodies)])
        except Refusal as error:
            ledger.acknowledge(bodies[: error.safe])
            refusals.append(str(error))
            if len(refusals) >= 3:
                break
        if len(ledger.acknowledged) >= enough:
            break
    if end == "sender" and how != "no inodes" and not refusals:
        wrong.append(f"nothing was refused ({how})")
    if not all(refusals):
        wrong.append("a refusal without a word")
    if not system.answers(end):
        wrong.append(f"the {end} does not answer while its disk is full ({how})")
    if end == "sender":
        system.start("receiver")
        if not until_so(lambda: not system.waiting()):
            wrong.append(f"{still(system)}, while the sender's disk is full ({how})")
    disk.make_room()
    if end == "receiver" and how == "filled by its own queue":
        disk.grow()  # what was delivered there stays there: it fills the disk, and by right
    if not until_so(lambda: _takes(system, ledger)):
        wrong.append(f"nothing is taken again though there is room ({how})")
    if not until_so(lambda: not system.waiting()):
        wrong.append(f"{still(system)}, though there is room ({how})")
    for side, pid in pids.items():
        if pid is not None and system.pid(side) != pid:
            wrong.append(f"the {side} ended ({how})")
    verdict = ledger.against(system.delivered())
    system.stop("sender")
    system.stop("receiver")
    return Outcome(verdict, bool(refusals), 0.0, wrong)


def still(system: System) -> str:
    """How many messages wait yet, in words."""
    count = system.waiting()
    return "it does not say how many wait still" if count < 0 else f"{count} wait still"


def _takes(system: System, ledger: SenderLedger) -> bool:
    bodies = ledger.next(1)
    try:
        safe = system.submit(bodies)
    except Refusal:
        return False
    ledger.acknowledge(bodies[:safe])
    return safe == 1


# -- a process under test


class Program:
    """One process that `prefix` may trace: started, killed, ended, looked after."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, line: Sequence[str], serves: Callable[[], bool], cwd: Path | None = None) -> bool:
        """Start it and wait until it serves; False when it ended first, or takes too long."""
        with self._log.open("ab") as said:
            self._process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=cwd
            )
        until_so(lambda: self.pid is None or serves())
        return self.pid is not None and serves()

    @property
    def pid(self) -> int | None:
        """The process; None when it is gone."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.pid is not None and self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()


def until_so(holds: Callable[[], object]) -> bool:
    """Look again and again; whether it came to hold."""
    try:
        until(holds, "", within=PATIENCE_S)
    except AssertionError:
        return False
    return True


def _some(numbers: Sequence[int]) -> str:
    return f"{len(numbers)}" + (f" ({', '.join(map(str, numbers[:5]))}…)" if numbers else "")
