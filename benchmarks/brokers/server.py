"""One broker's process: started on loopback with a folder of its own, killed, ended, started again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

READY_S = 20.0
"""Seconds for a broker to serve: it takes a tenth of one, and many under strace."""

STOP_S = 20.0
"""Seconds for one that was asked to end: it saves what it holds."""

_LOOK_EVERY_S = 0.01


@dataclass(slots=True)
class Server:
    """A broker with its own folder and port. `line` is its command; `serves` asks the port whether it is ready."""

    line: Sequence[str]
    folder: Path
    port: int
    serves: Callable[[int], bool]
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def state(self) -> Path:
        """Where it keeps its messages."""
        return self.folder / "state"

    @property
    def log(self) -> str:
        """What it has said so far."""
        path = self.folder / "said"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int | None:
        """The process; None when it does not run (any more)."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def start(self, prefix: Sequence[str] = ()) -> bool:
        """Start it, its command after `prefix`, and wait until it serves; False when it ended first."""
        assert self.pid is None, "it runs already"
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [*prefix, *self.line], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder
            )
        until(lambda: self.pid is None or self.serves(self.port), READY_S)
        return self.pid is not None and self.serves(self.port)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end, as the system does at shutdown, and wait."""
        if self._process is None or self.pid is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """While it runs; nothing of it does afterwards."""
    try:
        if not server.start():
            raise AssertionError(f"{server.line[0]} did not start:\n{server.log[-2000:]}")
        yield server
    finally:
        server.kill()


def until(holds: Callable[[], object], within_s: float) -> bool:
    """Look again and again; whether it came to hold."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() >= end:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True
