"""R24: a key is revoked while members are apart; whoever has heard of it has nothing to do with it any more."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

from kos_edge import Agent, Reading
from kos_edge.delivery.wire import Parcel, encode_ship
from kos_edge.errors import KosError
from kos_edge.node.inbound import KLP_PATH
from kos_edge.testing.loop import run_virtual
from kos_edge.transport.coap import POST, Request
from kos_edge.transport.faults import Faults
from tests.faults.rows import Sweep, row
from tests.node.world import Machine, World

TOPIC = "air.temperature"


@row("R24", "a key revoked while members are apart", minutes=3)
def sweep(run: Sweep) -> None:
    for number in range(run.share(full=150, bounded=3)):
        seed = run.seed * 1_000_000 + number
        folder = run.folder / str(number)
        folder.mkdir()
        run_virtual(case(run, folder, seed))
        shutil.rmtree(folder)
        run.case()


def listener(heard: list[object]) -> Agent:
    """An agent that writes down what it is handed."""
    agent = Agent("ledger")

    @agent.on(TOPIC)
    async def hear(reading: Reading) -> None:
        heard.append(reading.value)

    return agent


async def case(run: Sweep, folder: Path, seed: int) -> None:
    """A hub, a thief, two members; wires are cut, the thief is revoked, and the news travels over what is left."""
    lot = random.Random(seed)
    faults = Faults(loss=0.1, reorder=0.2, delay=0.02) if lot.random() < 0.5 else None
    async with World(folder, seed=seed, faults=faults) as world:
        heard: list[object] = []
        hub = world.machine("hub", "hub")
        await hub.start(listener(heard))
        thief = await world.member(hub, "thief")
        north = await world.member(hub, "north")
        south = await world.member(hub, "south")
        await hub.stop()
        await hub.start()  # without its agent: what comes now is in custody, and was handed to nobody
        await thief.publish(TOPIC, 1, 2, 3)
        await north.publish(TOPIC, 11)
        await world.drained(thief, north)
        await south.stop()
        await south.start(peers=[hub, thief])
        await world.until(lambda: south.linked(thief))
        world.network.partition(hub.address, south.address)
        await hub.operations.revoke(who="thief")
        if lot.random() < 0.5:
            await hub.kill()
            await hub.start()
        await world.until(lambda: north.node.trust.revocations.is_revoked(thief.kid))
        await north.stop()
        await north.start(peers=[hub, south])
        try:
            await world.until(lambda: south.node.trust.revocations.is_revoked(thief.kid))
        except AssertionError:
            run.wrong(f"seed {seed}: the revocation did not get to a member over another")
            return
        for address in (hub.address, north.address):
            world.network.mend(address, south.address)
        await thief.publish(TOPIC, 4)
        await asyncio.sleep(lot.randrange(30, 120))
        await by_another(hub, north, thief)
        await judge(run, seed, world, hub, (hub, north, south), thief, heard)


async def by_another(hub: Machine, relay: Machine, thief: Machine) -> None:
    """A member that means well brings what the thief has sealed since."""
    store = thief.node.writer.store
    packs = [entry.pack.raw for entry in store.packs.read(0, 100) if entry.pack.stream.source == thief.kid]
    link = relay.node.peers.links.get(hub.kid)
    for raw in packs if link is not None else ():
        try:
            assert link is not None
            body = encode_ship([Parcel(raw, 0)])
            await link.session.request(Request(POST, KLP_PATH, body), confirmable=True)
        except KosError:
            continue  # the session ended meanwhile; that it was not taken is seen in the journal


async def judge(
    run: Sweep,
    seed: int,
    world: World,
    hub: Machine,
    members: tuple[Machine, ...],
    thief: Machine,
    heard: list[object],
) -> None:
    """No session, nothing taken, nothing handed to a handler; what was in custody is there, and marked."""
    for machine in members:
        with_thief = [s for s in machine.node.endpoint.sessions if getattr(s.peer, "kid", None) == thief.kid]
        if with_thief or machine.linked(thief):
            run.wrong(f"seed {seed}: {machine.name} has a session with a revoked key")
    await hub.stop()
    await hub.start(listener(heard))
    await asyncio.sleep(10)
    if any(value in (1, 2, 3, 4) for value in heard) or 11 not in heard:
        run.wrong(
            f"seed {seed}: handlers got {heard}, of which 11 is a member's and the rest a revoked key's"
        )
    tailed = [item async for item in hub.operations.export()]
    of_thief = [item for item in tailed if item["name"] == "thief"]
    kept = [item["body"] for item in of_thief]
    if kept != [1, 2, 3]:
        lost = {1, 2, 3} - set(kept)
        if lost:
            run.lost(len(lost), f"seed {seed}: {sorted(lost)} of the custody are gone")
        if len(kept) > 3 - len(lost):
            run.wrong(f"seed {seed}: {kept} are of a revoked key, 1 to 3 came before")
    if any(item.get("standing") != "revoked" for item in of_thief):
        run.wrong(f"seed {seed}: what a revoked key sent is not marked")
