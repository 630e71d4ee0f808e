"""Two brokers as the fault script drives them: one that takes messages in, and one that they are handed on to.

`tests.faults.script.System` for mosquitto (a bridge, QoS 1) and for JetStream (a leaf, and a stream that takes over
what the leaf's holds), as their makers' documents say it is done for a device and a hub. Acknowledged is what the first
broker answered for (PUBACK, publish acknowledgement); delivered is what an application gets that reads at the second.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.brokers import jetstream, mosquitto, programs
from benchmarks.brokers.mosquitto import Publisher, Watcher
from benchmarks.brokers.server import Server, until
from kos_edge.testing.ports import free_port
from tests.faults.rows import Sweep, row
from tests.faults.script import End, Outcome, Refusal

ANSWER_S = 10.0
"""Seconds that a publisher waits for its acknowledgements."""

ASK_S = 15.0
"""Seconds for one question to a broker, connecting included."""

QUIET_S = 6.0
"""Seconds without a message after which nothing more is owed: mosquitto's bridge tries again every second."""

DRAINED_S = 1.0
"""The same for an application that reads what waits for it."""

LATE_S = 60.0
"""Seconds for what the first broker still holds: nats-server 2.15 asks its source again after 40 s (measured)."""

BESIDE = 6
"""Cases at a time: they wait for brokers more than for the processor."""

ORDER: tuple[End, ...] = ("receiver", "sender")
"""In which they are started."""

T = TypeVar("T")
C = TypeVar("C")
Through = Callable[[int], int]
"""Given the port of the second broker, the port by which the first one reaches it: where a relay lies between."""


class Pair:
    """What both kinds share: two processes, and their states kept and put back."""

    def __init__(self, folder: Path, servers: dict[End, Server]) -> None:
        self._folder = folder
        self.servers = servers
        self.acknowledged = 0
        self.on_its_way = 0
        """Messages that were still coming when nobody waited any longer."""

    def state(self, end: End) -> Path:
        """Where a broker keeps its messages."""
        return self.servers[end].state

    def start(self, end: End, prefix: Sequence[str] = ()) -> bool:
        return self.servers[end].start(prefix)

    def pid(self, end: End) -> int | None:
        return self.servers[end].pid

    def kill(self, end: End) -> None:
        self.servers[end].kill()

    def stop(self, end: End) -> None:
        self.servers[end].stop()

    def answers(self, end: End) -> bool:
        server = self.servers[end]
        return server.serves(server.port)

    def close(self) -> None:
        """Let nothing run on."""
        for end in self.servers:
            self.kill(end)

    def restore(self) -> None:
        """Put both states back as they were kept. A folder stays the same one: it may be a file system."""
        self.acknowledged = 0
        for end in self.servers:
            state = self.state(end)
            state.mkdir(exist_ok=True)
            for old in state.iterdir():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            shutil.copytree(self._folder / "kept" / end, state, dirs_exist_ok=True)

    def settle(self) -> None:
        """What is only late is no loss, nor what a restart in order brings out: wait for it, while it moves."""
        before = self.waiting()
        if until(lambda: not self.waiting(), LATE_S):
            return
        if self.waiting() == before:
            for end in self.servers:
                self.stop(end)
            for end in ORDER:
                self.start(end)
            if until(lambda: not self.waiting(), LATE_S):
                return
        self.on_its_way = max(0, self.waiting())

    def judged(self, outcome: Outcome) -> Outcome:
        """An outcome without the losses that may be messages still on their way: those nobody has seen lost."""
        if not self.on_its_way:
            return outcome
        outcome.wrong.append(
            f"{self.on_its_way} were still on their way, slowly, and are not counted as lost"
        )
        kept = outcome.verdict.lost[: max(0, len(outcome.verdict.lost) - self.on_its_way)]
        return replace(outcome, verdict=replace(outcome.verdict, lost=kept))

    def waiting(self) -> int:
        """How many messages the first still owes the second; -1 when it cannot be asked."""
        return -1

    def keep(self) -> None:
        """Keep a copy of both states, as they are."""
        for end in self.servers:
            shutil.copytree(self.state(end), self._folder / "kept" / end)


class Mosquittos(Pair):
    """mosquitto, bridged to mosquitto."""

    def __init__(self, folder: Path, settings: mosquitto.Settings, through: Through = int) -> None:
        hub = mosquitto.server(folder / "receiver", settings)
        edge = mosquitto.server(folder / "sender", settings, mosquitto.Bridge(through(hub.port)))
        super().__init__(folder, {"sender": edge, "receiver": hub})
        self._watcher: Watcher | None = None
        self._since = 0.0
        self._mark = 0
        self._seen = 0

    def set_up(self) -> None:
        """Bring both up once, with the application's session, and end them in order: all that is on disk."""
        for end in ORDER:
            assert self.start(end), self.servers[end].log
        mosquitto.subscribe(self.servers["receiver"].port)
        assert self.submit(["warm 0 up"]) == 1
        mosquitto.drain(self.servers["receiver"].port, DRAINED_S)
        for end in self.servers:
            self.stop(end)
        self.keep()

    def start(self, end: End, prefix: Sequence[str] = ()) -> bool:
        self._mark = len(self.servers["receiver"].log)
        started = super().start(end, prefix)
        self._since = time.monotonic()
        if end == "receiver" and started:
            self._watch(Watcher(self.servers[end].port))
        return started

    def kill(self, end: End) -> None:
        super().kill(end)
        if end == "receiver":
            self._watch(None)

    def stop(self, end: End) -> None:
        if end == "receiver":
            self._watch(None)
        super().stop(end)

    def restore(self) -> None:
        super().restore()
        self._seen = 0

    def submit(self, bodies: Sequence[str]) -> int:
        try:
            with Publisher.connected(self.servers["sender"].port) as publisher:
                safe = publisher.publish([body.encode() for body in bodies], ANSWER_S)
        except OSError as error:
            raise Refusal(str(error)) from None
        self.acknowledged += safe
        if safe < len(bodies):
            raise Refusal("no acknowledgement", safe)
        return safe

    def waiting(self) -> int:
        """By what comes through: mosquitto does not say how much a bridge still owes."""
        watcher = self._watcher
        owed = max(0, self.acknowledged - self._seen - (watcher.seen if watcher else 0))
        if self.pid("sender") is None or watcher is None:
            return owed or -1
        if not self._bridged():
            self._since = time.monotonic()
            return owed
        return 0 if time.monotonic() - max(watcher.last, self._since) > QUIET_S else owed

    def delivered(self) -> list[str]:
        self.settle()
        return [body.decode() for body in mosquitto.drain(self.servers["receiver"].port, DRAINED_S)]

    def _bridged(self) -> bool:
        """Whether the second broker's log says that the bridge is there."""
        log = self.servers["receiver"].log[self._mark :]
        return log.rfind("New bridge connected") > log.rfind(f"Client {mosquitto.BRIDGE} ")

    def _watch(self, watcher: Watcher | None) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._seen += self._watcher.seen
        self._watcher = watcher


class JetStreams(Pair):
    """nats-server as a leaf of nats-server, whose stream takes over the leaf's."""

    def __init__(self, folder: Path, settings: jetstream.Settings, through: Through = int) -> None:
        leaves = free_port()
        hub = jetstream.server(folder / "receiver", settings, leaves=leaves)
        edge = jetstream.server(
            folder / "sender", settings, domain="edge", leaf=jetstream.Leaf(through(leaves))
        )
        super().__init__(folder, {"sender": edge, "receiver": hub})

    def set_up(self) -> None:
        """Make both streams, and end both brokers in order."""
        for end in ORDER:
            assert self.start(end), self.servers[end].log
        asyncio.run(jetstream.make_stream(self.servers["sender"].port))
        asyncio.run(jetstream.make_journal(self.servers["receiver"].port, "edge"))
        for end in self.servers:
            self.stop(end)
        self.keep()

    def submit(self, bodies: Sequence[str]) -> int:
        named = [(" ".join(body.split(" ", 2)[:2]), body.encode()) for body in bodies]
        publishing = jetstream.publish(self.servers["sender"].port, named, ANSWER_S)
        try:
            safe, why = _run(publishing)
        except jetstream.Gone as error:
            raise Refusal(str(error)) from None
        self.acknowledged += safe
        if why:
            raise Refusal(why, safe)
        return safe

    def waiting(self) -> int:
        """By what both streams say that they hold."""
        try:
            edge = _run(jetstream.held(self.servers["sender"].port, jetstream.STREAM))
            hub = _run(jetstream.held(self.servers["receiver"].port, jetstream.JOURNAL))
        except jetstream.Gone:
            return -1
        return max(0, edge - hub)

    def delivered(self) -> list[str]:
        self.settle()
        taking = jetstream.take(self.servers["receiver"].port, jetstream.JOURNAL)
        try:
            return [body.decode() for body in _run(taking, LATE_S)]
        except jetstream.Gone:
            return []


def _run(work: Coroutine[Any, Any, T], within_s: float = ASK_S) -> T:
    """Raises Gone as well when there is no answer in time: nats-server with a full disk may leave a client hanging."""
    try:
        return asyncio.run(asyncio.wait_for(work, within_s))
    except TimeoutError:
        raise jetstream.Gone("no answer in time") from None


Kind = mosquitto.Settings | jetstream.Settings
Broker = Mosquittos | JetStreams


def kinds() -> tuple[Kind, ...]:
    """What is measured: each as it comes, and set as durable as it can be."""
    return (mosquitto.AS_IT_COMES, mosquitto.SAVING, jetstream.AS_IT_COMES, jetstream.SYNCING)


def made(folder: Path, settings: Kind, through: Through = int) -> Broker:
    """Two brokers with these settings, set up and not running; what they need is installed first."""
    programs.install()
    system: Broker
    if isinstance(settings, mosquitto.Settings):
        system = Mosquittos(folder, settings, through)
    else:
        system = JetStreams(folder, settings, through)
    try:
        system.set_up()
    except BaseException:
        system.close()
        raise
    return system


def enter(
    id: str, title: str, sweep: Callable[[Kind, Sweep], None], *, minutes: float, small: bool = True
) -> None:
    """Enter a row once for each kind. `small`: it has a share of seconds, which those have that are as they come."""
    for kind in kinds():
        row(
            id, f"{title}: {kind.says}", of=kind.name, lane="brokers", minutes=minutes,
            small=small and kind in (mosquitto.AS_IT_COMES, jetstream.AS_IT_COMES),
        )(partial(sweep, kind))  # fmt: skip


def cases(run: Sweep, all: Sequence[C], play: Callable[[Path, C], Outcome]) -> None:
    """Play every case in a folder of its own, several at a time, and count what came of them in their order."""
    folders = [run.folder / str(number) for number in range(len(all))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(BESIDE) as pool:
        for case, outcome in zip(all, pool.map(play, folders, all), strict=True):
            _count(run, str(case), outcome)


def _count(run: Sweep, what: str, outcome: Outcome) -> None:
    """Enter one case."""
    verdict = outcome.verdict
    run.case()
    run.lost(len(verdict.lost), f"{what}: {verdict}")
    run.twice(len(verdict.twice), f"{what}: {verdict}")
    if verdict.altered or verdict.disordered:
        run.wrong(f"{what}: {verdict}")
    for why in outcome.wrong:
        run.wrong(f"{what}: {why}")
