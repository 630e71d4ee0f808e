"""An edge and its hub as the fault script drives them: real `kos-edge` daemons on the loopback interface."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kos_edge.control.client import Client
from kos_edge.errors import Unavailable, Unknown
from tests.e2e.boxes import ROOT, Box, joined
from tests.faults.script import End, Program, Refusal

TOPIC = "fault.script"


class EdgeAndHub:
    """`tests.faults.script.System`: the edge is the sender, what is in the hub's journal is delivered."""

    def __init__(self, folder: Path) -> None:
        self._boxes: dict[End, Box] = {"sender": Box(folder / "edge"), "receiver": Box(folder / "hub")}
        self._programs: dict[End, Program] = {
            end: Program(folder / f"{box.name}.said") for end, box in self._boxes.items()
        }

    def set_up(self) -> None:
        """Make both nodes; the edge joins. Neither runs afterwards."""
        hub, edge = self._boxes["receiver"], self._boxes["sender"]
        try:
            joined(hub, edge)
        finally:
            hub.stop()

    def keep(self, folder: Path) -> None:
        """Keep a copy of both states, as they are."""
        for box in self._boxes.values():
            shutil.copytree(box.state, folder / box.name, ignore=shutil.ignore_patterns("*.sock"))

    def restore(self, folder: Path) -> None:
        """Put both states back as they were kept."""
        for box in self._boxes.values():
            for old in box.state.iterdir():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            shutil.copytree(folder / box.name, box.state, dirs_exist_ok=True)

    def state(self, end: End) -> Path:
        """Where a side's state is."""
        return self._boxes[end].state

    def start(self, end: End, prefix: Sequence[str] = ()) -> bool:
        box = self._boxes[end]
        words = ["run", "--listen", box.address, "--interface", "lo"]
        if end == "sender":
            words += ["--peer", self._boxes["receiver"].address]
        program = self._programs[end]
        return program.start([*prefix, *box.line(*words)], lambda: self.answers(end), ROOT)

    def pid(self, end: End) -> int | None:
        return self._programs[end].pid

    def kill(self, end: End) -> None:
        self._programs[end].kill()

    def stop(self, end: End) -> None:
        self._programs[end].stop()

    def close(self) -> None:
        """Let nothing run on."""
        for end in self._boxes:
            self.kill(end)

    def answers(self, end: End) -> bool:
        return self.status(end) is not None

    def status(self, end: End) -> dict[str, Any] | None:
        """What a side's daemon says of itself; None when it does not answer."""
        return self._boxes[end].status()

    def health(self, end: End) -> str | None:
        """Its daemon's word on its own health."""
        status = self.status(end)
        return None if status is None else status["health"]

    def submit(self, bodies: Sequence[str]) -> int:
        async def publish() -> int:
            async with asyncio.timeout(20):
                report = await self._client("sender").publish(topic=TOPIC, values=list(bodies))
            if (failure := report["failure"]) is not None:
                raise Refusal(failure["message"], len(report["ids"]))
            return len(report["ids"])

        try:
            return asyncio.run(publish())
        except (Unavailable, Unknown) as error:
            raise Refusal(error.message) from None
        except TimeoutError:
            raise Refusal("no answer within 20 s") from None

    def waiting(self) -> int:
        status = self.status("sender")
        return -1 if status is None else int(status["queue"]["messages"])

    def delivered(self) -> list[str]:
        async def export() -> list[str]:
            return [message["body"] async for message in self._client("receiver").export(topic=TOPIC)]

        return asyncio.run(export())

    def said(self, end: End) -> str:
        """The last of what a side has written to its log."""
        return (self._boxes[end].state.parent / f"{self._boxes[end].name}.said").read_text(errors="replace")[
            -2_000:
        ]

    def _client(self, end: End) -> Client:
        return Client(self._boxes[end].state / "control.sock")
