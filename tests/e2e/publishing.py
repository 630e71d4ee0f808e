"""A publisher that never rests, and what it was told is accepted: the outside witness of the tests that kill."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from types import TracebackType
from typing import Protocol, Self

from tests.e2e.boxes import PATIENCE_S, ROOT, until


class Place(Protocol):
    """A computer on which `kos-edge` commands run."""

    def line(self, *words: str) -> list[str]:
        """The command line of one."""
        ...


class Publishing:
    """`kos-edge publish` fed from standard input by somebody who writes all the time. `ids`: what it acknowledged.

    `with Publishing(place, "air.temperature") as load:`; it goes on until the daemon or the `with` ends.
    """

    def __init__(self, place: Place, topic: str, *, every_s: float = 0.002) -> None:
        self.ids: list[str] = []
        self._every_s = every_s
        self._over = threading.Event()
        self._process = subprocess.Popen(
            place.line("publish", topic),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
        )
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._read)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self._process.stderr is not None
        self.complaint = self._process.stderr.read()
        self._process.stderr.close()
        try:
            self.code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.code = self._process.wait()

    @property
    def over(self) -> bool:
        """Whether it has ended by itself: what it wrote was refused."""
        return self._process.poll() is not None

    def wait_for(self, count: int) -> None:
        """Until so many more were acknowledged."""
        wanted = len(self.ids) + count
        until(lambda: len(self.ids) >= wanted, f"only {len(self.ids)} of {wanted} were acknowledged")

    def _write(self) -> None:
        assert self._process.stdin is not None
        number = 0
        with contextlib.suppress(BrokenPipeError):
            while not self._over.is_set() and self._process.poll() is None:
                self._process.stdin.write(f"{number}\n")
                number += 1
                self._over.wait(self._every_s)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.ids.append(line.strip())
        self._process.stdout.close()
