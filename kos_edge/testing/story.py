"""One simulated run: the fleet of a plan, its load, what goes wrong, and the wait for everything to be well again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kos_edge.agents.agent import Agent
from kos_edge.agents.reading import Reading
from kos_edge.errors import KosError
from kos_edge.klp.body import Data
from kos_edge.klp.stream import Position
from kos_edge.node.accepted import Accepted
from kos_edge.node.config import TopicRule
from kos_edge.testing.disk import Ailment
from kos_edge.testing.loop import VirtualLoop
from kos_edge.testing.machine import Machine
from kos_edge.testing.oracle import Listener, Oracle
from kos_edge.testing.plan import HUB, WEATHERS, Act, Burst, Event, Plan
from kos_edge.testing.trace import Trace
from kos_edge.testing.world import World
from kos_edge.transport.faults import Faults

SHORT_TTL_S: Final = 20
RULES: Final = (
    TopicRule("load.critical", {"priority": "critical"}),
    TopicRule("load.low", {"priority": "low"}),
    TopicRule("load.fresh", {"order": "fresh-first"}),
    TopicRule("load.short", {"ttl_s": float(SHORT_TTL_S)}),
    TopicRule("load.volatile", {"durability": "volatile"}),
)

WELL_AFTER_S: Final = 300.0
"""Virtual seconds after the last fault within which everything has to be handed over."""

RESTART_S: Final = 1.0
"""How long a supervisor waits before it starts a daemon again that could not start."""

POWER_S: Final = 2.0
"""Seconds in which a power cut waits for its commit."""

TICK_S: Final = 0.5
"""Between two looks at sessions and windows."""

MEMORY: Final = Path("/dev/shm")
"""Where files are in memory: nothing here is about the speed of a disk."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run; `broken` is empty where every promise was kept."""

    plan: Plan
    broken: str
    at: float
    trace: Trace
    accepted: int


def run(plan: Plan) -> Outcome:
    """Play a plan to its end, or to the first promise that is not kept."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, _folder() as folder:
        return runner.run(_run(plan, folder))


async def _run(plan: Plan, folder: Path) -> Outcome:
    loop = asyncio.get_running_loop()
    trace, verdict = Trace(), loop.create_future()

    def broken(text: str) -> None:
        if not verdict.done():
            verdict.set_result((text, loop.time()))

    loop.set_exception_handler(lambda _, context: broken(str(context.get("exception") or context["message"])))
    listener = Listener(broken)
    story = Story(plan, folder, Oracle(trace, broken), trace)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(listener)
    try:
        task = loop.create_task(story.play())
        await asyncio.wait((task, verdict), return_when=asyncio.FIRST_COMPLETED)
        if not verdict.done() and (error := task.exception()) is not None:
            broken(_said(error))
        task.cancel()
        with contextlib.suppress(BaseException):  # what broke has been said
            await task
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(listener)
    text, at = verdict.result() if verdict.done() else ("", loop.time())
    return Outcome(plan, text, at, trace, len(story.oracle.accepted))


_LOGGERS = ("kos_edge", "asyncio")


class Story:
    """The parts of one run."""

    def __init__(self, plan: Plan, folder: Path, oracle: Oracle, trace: Trace) -> None:
        self.plan = plan
        self.oracle = oracle
        self.trace = trace
        self.world = World(folder, seed=plan.seed)
        self._busy: dict[str, asyncio.Lock] = {}
        self._cuts: dict[str, int] = {}
        self._began = 0.0

    async def play(self) -> None:
        """Everything, in order."""
        async with self.world as world, asyncio.TaskGroup() as group:
            world.network.watch = self.trace.packet
            for name in (HUB, *self.plan.edges):
                await self._settle_in(name)
            ticking = group.create_task(self._tick())
            world.network.faults = self.plan.weather
            self._began = asyncio.get_running_loop().time()
            work: list[Coroutine[Any, Any, None]] = [self._burst(burst) for burst in self.plan.bursts]
            work += [self._event(event) for event in self.plan.events]
            async with asyncio.TaskGroup() as load:
                for each in work:
                    load.create_task(each)
            await self._be_well()
            ticking.cancel()

    async def _settle_in(self, name: str) -> None:
        world = self.world
        machine = world.machine(
            name, "hub" if name == HUB else "edge", streams=self.plan.streams, topics=RULES
        )
        self._busy[name], self._cuts[name] = asyncio.Lock(), 0
        machine.disk.checkpoint = self.plan.checkpoint
        if name == HUB:
            await self._start(machine)
        else:
            hub = world.machines[HUB]
            await self._start(machine, peers=[hub])
            await world.join(machine, hub)
            await world.until(lambda: machine.linked(hub) and hub.linked(machine))

    async def _start(self, machine: Machine, *, peers: list[Machine] | None = None) -> None:
        await machine.start(*([self._subscriber(machine)] if machine.name == HUB else []), peers=peers or ())
        if machine.running:
            self.oracle.started(machine)

    def _subscriber(self, machine: Machine) -> Agent:
        agent = Agent("watch")

        @agent.on("load.#")
        async def handle(reading: Reading) -> None:
            if reading.topic != "load.volatile":
                self.oracle.handled(machine, reading.id)

        return agent

    # -- load

    async def _burst(self, burst: Burst) -> None:
        await self._until(burst.at)
        machine = self.world.machines[burst.who]
        if not machine.running or not machine.node.trust.is_member:
            return
        node = machine.node
        value = "x" * burst.size
        futures = []
        for _ in range(burst.count):
            with contextlib.suppress(KosError):  # the queue is full, the mesh is left: nothing was promised
                futures.append(
                    node.publisher.enqueue(burst.topic, Data(value), linger_s=None if burst.linger else 0.0)
                )
        for future in futures:
            future.add_done_callback(lambda done: self._answered(machine, node, burst.topic, done))
        await asyncio.wait(futures, timeout=WELL_AFTER_S) if futures else None

    def _answered(self, machine: Machine, node: object, topic: str, done: asyncio.Future[Accepted]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        position = done.result()
        known = isinstance(position, Position) and position.stream.cls.durable
        if machine.running and machine.node is node and known:
            self.oracle.accept(machine, str(position), SHORT_TTL_S if topic == "load.short" else None)

    # -- faults

    async def _event(self, event: Event) -> None:
        await self._until(event.at)
        machine = self.world.machines[event.who]
        self.trace.note(f"fault {event}")
        match event.act:
            case Act.KILL | Act.POWER | Act.STOP:
                async with self._busy[event.who]:
                    await self._down_and_up(machine, event)
            case Act.CUT:
                await self._cut(machine, event.seconds)
            case Act.WEATHER:
                network = self.world.network
                network.faults = WEATHERS[int(event.amount)]
                await asyncio.sleep(event.seconds)
                network.faults = self.plan.weather
            case Act.CLOCK:
                machine.clock.step_wall(event.amount)
            case Act.FULL | Act.BROKEN:
                machine.disk.ailment = Ailment.FULL if event.act is Act.FULL else Ailment.BROKEN
                await asyncio.sleep(event.seconds)
                machine.disk.ailment = None
            case Act.MOVE:
                async with self._busy[event.who]:
                    self._move(machine)
            case Act.REVOKE:
                await self._revoke(machine)

    async def _down_and_up(self, machine: Machine, event: Event) -> None:
        match event.act:
            case Act.STOP:
                machine.disk.ailment = None
                await machine.stop()
            case Act.KILL:
                self.oracle.look(machine)
                await machine.kill()
            case Act.POWER:
                machine.lose_power(commit=int(event.amount))
                await machine.off(POWER_S)
        self.trace.note(f"down {machine.name}")
        await asyncio.sleep(event.seconds)
        while not machine.running:
            try:
                await self._start(machine)
            except KosError as error:
                self.trace.note(f"cannot start {machine.name}: {type(error).__name__}")
                await asyncio.sleep(RESTART_S)

    async def _cut(self, machine: Machine, seconds: float) -> None:
        """Cuts of one machine may lie over each other."""
        network, hub = self.world.network, self.world.machines[HUB]
        self._cuts[machine.name] += 1
        network.partition(machine.address, hub.address)
        await asyncio.sleep(seconds)
        self._cuts[machine.name] -= 1
        if not self._cuts[machine.name]:
            network.heal()
            for name, cuts in self._cuts.items():
                if cuts:
                    network.partition(self.world.machines[name].address, hub.address)

    def _move(self, machine: Machine) -> None:
        if machine.running:
            machine.number += 10
            machine.datagrams.move(machine.address)

    async def _revoke(self, machine: Machine) -> None:
        hub = self.world.machines[HUB]
        async with self._busy[HUB]:
            if not hub.running:
                return
            try:
                await hub.operations.revoke(who=machine.name)
            except KosError as error:
                self.trace.note(f"cannot revoke {machine.name}: {type(error).__name__}")
            self.oracle.revoked.add(machine.name)

    # -- the end

    async def _be_well(self) -> None:
        """Nothing goes wrong any more: whatever is owed has to arrive."""
        world = self.world
        world.network.faults = Faults(delay=0.005)
        world.network.heal()
        self.trace.note("well")
        for machine in world.machines.values():
            machine.disk.ailment = None
        members = [world.machines[name] for name in self.plan.edges if name not in self.oracle.revoked]
        try:
            await world.drained(*members, within=WELL_AFTER_S)
            await world.until(lambda: not self.oracle.unhandled, within=WELL_AFTER_S)
        except AssertionError:
            owing = {m.name: m.node.writer.store.outbox.usage.messages for m in members}
            raise AssertionError(
                f"{WELL_AFTER_S:g} s after the last fault {owing} are owed and"
                f" {len(self.oracle.unhandled)} not handled"
            ) from None
        self.oracle.tick()
        self.oracle.account()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.oracle.tick()

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at - asyncio.get_running_loop().time()))


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="kos-edge-simulated-", dir=where) as folder:
        yield Path(folder)
