"""R20: what was sent comes again; cards are put back from copies; two devices have one key."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from kos_edge.delivery.wire import Parcel, encode_ship
from kos_edge.node.inbound import KLP_PATH
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.address import Address
from kos_edge.transport.coap import POST, Request
from kos_edge.transport.memory import Network
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World

TOPIC = "air.temperature"


class Recorder(Network):
    """A network on which somebody keeps every datagram."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self.kept: list[tuple[Address, Address, bytes]] = []

    def carry(self, source: Address, target: Address, data: bytes) -> None:
        """Keep it, and carry it."""
        self.kept.append((source, target, data))
        super().carry(source, target, data)

    async def replay(self, lot: random.Random) -> None:
        """Send all of it again, from where it came, in any order."""
        again, self.kept = self.kept, []
        lot.shuffle(again)
        for number, (source, target, data) in enumerate(again):
            super().carry(source, target, data)
            if number % 32 == 0:
                await asyncio.sleep(0.05)
        await asyncio.sleep(5)


class Case:
    """One hub, one edge that has delivered a few values, another member, and somebody who kept everything."""

    def __init__(self, run: Sweep, world: World, network: Recorder, seed: int) -> None:
        self.run, self.world, self.network, self.seed = run, world, network, seed
        self.lot = random.Random(seed)
        self.number = 0

    async def begin(self) -> None:
        """Members, and values that have arrived."""
        self.hub = await self.world.hub()
        self.edge = await self.world.member(self.hub, "edge")
        self.other = await self.world.member(self.hub, "other")
        await self.publish(self.edge)
        await self.world.drained(self.edge)

    async def publish(self, machine: Machine) -> None:
        """A few values that were never there before."""
        count = self.lot.randrange(1, 20)
        await machine.publish(TOPIC, *range(self.number, self.number + count))
        self.number += count

    async def judge(self, what: str, *, missing: int = 0) -> None:
        """Every value is in the hub's journal once; `missing` of them need not be."""
        counts = Counter(await self.hub.values())
        lost = [value for value in range(self.number) if not counts[value]]
        twice = [value for value, count in counts.items() if count > 1]
        if len(lost) > missing:
            self.run.lost(len(lost), f"seed {self.seed}, {what}: {lost[:5]}")
        if twice:
            self.run.twice(len(twice), f"seed {self.seed}, {what}: {twice[:5]}")

    async def in_the_session(self) -> None:
        """Everything again while the session lives."""
        await self.network.replay(self.lot)
        await self.judge("in the session")

    async def after_restart(self) -> None:
        """Everything again to nodes that were started anew."""
        for machine in (self.hub, self.edge):
            await machine.kill()
            await machine.start()
        await self.world.until(lambda: self.hub.linked(self.edge))
        await self.network.replay(self.lot)
        await self.judge("after a restart")

    async def through_a_relay(self) -> None:
        """Another member brings the packs, verbatim."""
        packs = [entry.pack.raw for entry in self.hub.node.writer.store.packs.read(0, 1_000)]
        self.lot.shuffle(packs)
        session = self.other.node.peers.links[self.hub.kid].session
        for raw in packs:
            body = encode_ship([Parcel(raw, 0)])
            await session.request(Request(POST, KLP_PATH, body), confirmable=True)
        await self.judge("through a relay")

    async def a_card_put_back(self) -> None:
        """The edge's card is put back from a copy; it was alone: it jumps ahead, says so, and loses nothing."""
        copy = await self.copied(self.edge)
        await self.publish(self.edge)
        await self.world.drained(self.edge)
        await self.edge.kill()
        shutil.rmtree(self.edge.state)
        shutil.copytree(copy, self.edge.state)
        if self.lot.random() < 0.5:
            self.world.isolate(self.edge)
        await self.edge.start()
        await self.publish(self.edge)
        self.world.network.heal()
        await self.world.drained(self.edge)
        await self.network.replay(self.lot)
        await self.judge("a card put back")
        warnings = (await self.edge.operations.status())["warnings"]
        if not self.edge.node.numbering.jumps or not any("put back" in text for text in warnings):
            self.run.wrong(f"seed {self.seed}: a card was put back, and its node did not say so")
        if self.edge.kid in self.hub.node.trust.forks:
            self.run.wrong(f"seed {self.seed}: a card that was put back and is alone is in quarantine")

    async def the_hub_put_back(self) -> None:
        """The hub's card is put back: what is replayed to it is not taken; edges go on."""
        copy = await self.copied(self.hub)
        before = self.number
        await self.world.until(lambda: self.hub.linked(self.edge))
        await self.publish(self.edge)
        await self.world.drained(self.edge)
        gone = self.number - before
        await self.hub.kill()
        shutil.rmtree(self.hub.state)
        shutil.copytree(copy, self.hub.state)
        await self.hub.start()
        await self.network.replay(self.lot)
        came = len(await self.hub.values())
        if came > before:
            self.run.wrong(f"seed {self.seed}: {came - before} replayed values were taken by a hub put back")
        await self.publish(self.edge)
        await self.world.drained(self.edge)
        await self.judge("a hub put back", missing=gone)

    async def a_twin(self) -> None:
        """Two devices with one key, both live: in quarantine everywhere; what each had accepted it still has."""
        await self.edge.kill()
        twin = self.world.machine("twin")
        shutil.rmtree(twin.state)
        shutil.copytree(self.edge.state, twin.state)
        twin.config = self.edge.config
        for machine in (self.edge, twin):
            await machine.start()
        for _ in range(40):
            await self.publish(self.edge)
            await self.publish(twin)
            await asyncio.sleep(3)
            if self.edge.kid in self.hub.node.trust.forks:
                break
        try:
            await self.world.until(lambda: self.edge.kid in self.other.node.trust.forks, within=30)
        except AssertionError:
            self.run.wrong(f"seed {self.seed}: a twin is not in quarantine")
            return
        await self.world.settled()
        if self.hub.linked(self.edge):
            self.run.wrong(f"seed {self.seed}: a key in quarantine has a session")
        owed = sum(each.node.writer.store.outbox.usage.messages for each in (self.edge, twin))
        await self.judge("a twin", missing=owed)

    @staticmethod
    async def copied(machine: Machine) -> Path:
        """A copy of its card; it runs again."""
        await machine.kill()
        copy = machine.state.with_name(f"{machine.name}.copy")
        shutil.copytree(machine.state, copy)
        await machine.start()
        return copy


STORIES: tuple[Callable[[Case], Awaitable[None]], ...] = (
    Case.in_the_session,
    Case.after_restart,
    Case.through_a_relay,
    Case.a_card_put_back,
    Case.the_hub_put_back,
    Case.a_twin,
)


@row("R20", "replays in session, after restart, by a relay, after a backup; twins", minutes=3)
def sweep(run: Sweep) -> None:
    for number in range(run.share(full=300, bounded=len(STORIES))):
        seed = run.seed * 1_000_000 + number
        folder = run.folder / str(number)
        folder.mkdir()
        run_virtual(case(run, folder, seed, STORIES[number % len(STORIES)]))
        shutil.rmtree(folder)
        run.case()


async def case(run: Sweep, folder: Path, seed: int, story: Callable[[Case], Awaitable[None]]) -> None:
    """One story on machines of its own."""
    network = Recorder(seed)
    async with World(folder, seed=seed, network=network) as world:
        told = Case(run, world, network, seed)
        try:
            await told.begin()
            await story(told)
        except AssertionError as error:
            run.wrong(f"seed {seed}, {story.__name__}: {error}")
