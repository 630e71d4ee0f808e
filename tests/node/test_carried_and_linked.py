"""Sticks, links, kills and backups in any order: what was accepted arrives once, and the node is no clone."""

from __future__ import annotations

import io
import random
import shutil
from pathlib import Path

import pytest

from kos_edge.node.backup import backup, restore
from kos_edge.node.config import TopicRule
from kos_edge.testing import in_virtual_time
from kos_edge.testing.machine import Machine
from tests.node.test_carrying import export, receipts_of, take
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

RULES = (TopicRule("air.#", {"order": "fresh-first"}), TopicRule("door.#", {"keep": "latest"}))
PASSPHRASE = "correct horse battery staple"


class Valley:
    """A node without a network, and the person who walks to it. `accepted`: values that its card of now has taken."""

    def __init__(self, world: World, hub: Machine, edge: Machine, seed: int) -> None:
        self.world, self.hub, self.edge = world, hub, edge
        self.lot = random.Random(seed)
        self.accepted: list[int] = []
        self.sticks: list[list[bytes]] = []
        self.receipts: list[list[bytes]] = []
        self.saved: tuple[bytes, list[int]] | None = None
        self._next = 0

    async def publish(self) -> None:
        values = list(range(self._next, self._next + 7))
        self._next += 7
        await self.edge.publish("air.temperature", *values)
        self.accepted += values

    async def shut(self) -> None:
        await self.edge.publish("door.front", f"shut {self._next}")

    async def write_stick(self) -> None:
        self.sticks.append(await export(self.edge))

    async def bring_stick(self) -> None:
        if self.sticks:
            stick = self.lot.choice(self.sticks)
            await take(self.hub, stick[: self.lot.randrange(1, len(stick) + 1)])
            self.receipts.append(await receipts_of(self.hub, stick))

    async def bring_receipts(self) -> None:
        if any(self.receipts):
            await take(self.edge, self.lot.choice([each for each in self.receipts if each]))

    async def kill(self) -> None:
        await self.edge.kill()
        await self.edge.start()

    async def link(self) -> None:
        self.world.network.heal()
        await self.edge.stop()
        await self.edge.start(peers=[self.hub])
        await self.world.sleep(3 * self.lot.random())
        self.world.isolate(self.edge)

    async def save(self) -> None:
        target = io.BytesIO()
        backup(self.edge.state, target, PASSPHRASE)
        self.saved = target.getvalue(), list(self.accepted)

    async def put_back(self) -> None:
        if self.saved is not None:
            data, self.accepted = self.saved
            self.saved = None
            await self.edge.kill()
            shutil.rmtree(self.edge.state)
            restore(self.edge.state, io.BytesIO(data), PASSPHRASE)
            await self.edge.start()


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_what_was_accepted_arrives_once_by_whatever_ways(tmp_path: Path, seed: int) -> None:
    async with World(tmp_path, seed=seed) as world:
        hub = await world.hub()
        edge = await world.member(hub, "shed", topics=RULES)
        world.isolate(edge)
        valley = Valley(world, hub, edge, seed)
        deeds = [valley.publish] * 3 + [
            valley.shut,
            valley.write_stick,
            valley.bring_stick,
            valley.bring_receipts,
        ]
        deeds += [valley.kill, valley.link, valley.save, valley.put_back]
        for _ in range(40):
            await valley.lot.choice(deeds)()
        await valley.link()
        world.network.heal()
        await world.drained(edge)
        ids, values = await hub.received(), await hub.values()
        assert len(ids) == len(set(ids))
        numbers = [value for value in values if isinstance(value, int)]
        assert set(valley.accepted) <= set(numbers)
        assert len(numbers) == len(set(numbers))
        assert edge.node.writer.store.outbox.usage.messages == 0
        assert not len(hub.node.trust.forks)
