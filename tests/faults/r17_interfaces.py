"""R17: many interfaces, no multicast, port 5353 taken or shared, interfaces that come and go.

The right link within five seconds, or `kos-edge status` names the fault. A hub and an edge, each a real process in a
network namespace of its own; they have met before, at an address that is no more, so that only mDNS brings them
together. The networks of each case are drawn by lot.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from kos_edge.control.client import Client
from kos_edge.errors import KosError
from tests.discovery.links import Machine, cable, ip, machines, peer, port_5353_taken
from tests.e2e.boxes import Box, boxes, joined, until
from tests.faults.rows import Sweep, row

WITHIN_S: Final = 5.0
"""From the moment when it is possible."""

NOT_FOUND_S: Final = 1.0
"""How much longer nothing may be found where multicast does not pass."""

FLAPS: Final = 5
PORT: Final = 5683


@dataclass(slots=True)
class Place:
    """Two machines, the nodes on them, and the networks that were drawn for them."""

    left: Machine
    right: Machine
    switch: Machine
    hub: Box
    edge: Box
    lot: random.Random
    used: set[int] = field(default_factory=set)

    def network(self) -> str:
        """The first three numbers of a network that nothing else here has."""
        number = self.lot.choice(sorted(set(range(1, 255)) - self.used))
        self.used.add(number)
        return f"10.{self.lot.randrange(1, 255)}.{number}"

    def cable(self, name: str, *, up: bool = True) -> str:
        """A cable between the two, up with addresses of a new network; which that is."""
        cable(self.left, self.right, name)
        return self.up(name) if up else ""

    def up(self, name: str) -> str:
        network = self.network()
        self.left.up(name, f"{network}.1/24")
        self.right.up(name, f"{network}.2/24")
        return network

    def alone(self, machine: Machine, name: str, network: str = "") -> None:
        """An interface that leads somewhere, but not to the other machine."""
        network = network or self.network()
        end = f"x{name}"
        ip("-n", machine.name, "link", "add", name, "type", "veth", "peer", "name", end)
        machine.up(name, f"{network}.{self.lot.randrange(3, 200)}/24")
        ip("-n", machine.name, "link", "set", end, "up")

    def switched(self, name: str) -> str:
        """Both at a switch that passes no multicast on; the network."""
        network, between = self.network(), self.switch.name
        ip("-n", between, "link", "add", "sw", "type", "bridge", "mcast_snooping", "0")
        for machine, port, last in ((self.left, "one", 1), (self.right, "two", 2)):
            end = ["type", "veth", "peer", "name", port, "netns", between]
            ip("link", "add", name, "netns", machine.name, *end)
            ip("-n", between, "link", "set", port, "master", "sw")
            ip("-n", between, "link", "set", port, "type", "bridge_slave", "mcast_flood", "off")
            self.switch.up(port)
            machine.up(name, f"{network}.{last}/24")
        self.switch.up("sw")
        return network

    def start(self) -> float:
        """Both daemons; when the second was ready."""
        self.hub.start()
        self.edge.start()
        return time.monotonic()


Case = Callable[[Place], None]


@row(
    "R17",
    "many interfaces, no multicast, 5353 taken or shared, links that come and go",
    lane="netns",
    minutes=4,
)
def sweep(run: Sweep) -> None:
    rounds = run.share(full=3, bounded=1)
    cases = CASES if run.full else BOUNDED
    with boxes(run.folder, "hub", "edge") as (hub, edge):
        joined(hub, edge)
        hub.stop()
        for box in (hub, edge):
            (box.state / "config.toml").write_text("[network]\nmdns = true\n")
    for number in range(rounds):
        for case in cases:
            lot = random.Random(f"{run.seed} {number} {case.__name__}")
            try:
                with placed(run.folder, lot) as place:
                    case(place)
            except AssertionError as error:
                run.wrong(f"seed {run.seed} round {number}, {case.__name__}: {error}")
            run.case()


@contextlib.contextmanager
def placed(folder: Path, lot: random.Random) -> Iterator[Place]:
    """The two nodes on machines without any interface; nothing of it is left afterwards."""
    with machines("left", "right", "switch") as (left, right, switch):
        hub = Box(folder / "hub", prefix=left.command(), loopback=False)
        edge = Box(folder / "edge", prefix=right.command(), loopback=False)
        try:
            yield Place(left, right, switch, hub, edge, lot)
        finally:
            edge.close()
            hub.close()


# What the nodes say.


def where(box: Box) -> str | None:
    """The address at which the other node is connected; None while it is not."""

    async def ask() -> str | None:
        async with asyncio.timeout(2):
            reports = await Client(box.state / "control.sock").peers()
        return next((str(report["address"]) for report in reports if report["connected"]), None)

    with contextlib.suppress(KosError, OSError, TimeoutError):
        return asyncio.run(ask())
    return None


def warned(box: Box, words: str) -> bool:
    """Whether its status names this."""
    return any(words in text for text in (box.status() or {}).get("warnings", ()))


def linked(place: Place, since: float, *networks: str) -> None:
    """They are linked over one of these networks (none: over any) in time."""
    allowed = [ipaddress.ip_network(f"{network}.0/24") for network in networks]

    def right(address: str | None) -> bool:
        if address is None:
            return False
        host = address.removeprefix("udp://").removeprefix("tcp://").rpartition(":")[0].strip("[]")
        at = ipaddress.ip_address(host)
        return not allowed or any(at in network for network in allowed)

    seen: list[str | None] = []

    def holds() -> bool:
        seen[:] = [where(place.hub), where(place.edge)]
        return all(right(address) for address in seen)

    try:
        until(holds, "")
    except AssertionError:
        raise AssertionError(f"not linked over {networks} but at {seen}\n{place.edge.log[-1500:]}") from None
    took = time.monotonic() - since
    print(f"linked at {seen[1]} after {took:.2f} s", flush=True)
    assert took < WITHIN_S, f"linked over {networks} after {took:.1f} s"


# The cases.


def one_of_many_interfaces_is_shared(place: Place) -> None:
    for number in range(place.lot.randrange(1, 4)):
        place.alone(place.left, f"lan{number}")
        place.alone(place.right, f"wan{number}")
    both = place.network()  # the same numbers at both, and yet two networks: as at home and at work
    place.alone(place.left, "wlan0", both)
    place.alone(place.right, "wlan0", both)
    ip("-n", place.right.name, "route", "add", "default", "dev", "wlan0")
    shared = place.cable("eth7")
    linked(place, place.start(), shared)


def container_interfaces_are_skipped(place: Place) -> None:
    """Where only they reach, nobody is found; with another the link is over that one."""
    for name in place.lot.sample(["docker0", "br-5f3a", "veth12ab", "virbr0", "cni0"], 2):
        place.cable(name)
    shared = place.cable("eth0")
    linked(place, place.start(), shared)


def an_interface_comes_later(place: Place) -> None:
    place.alone(place.left, "lan0")
    place.start()
    place.cable("eth0", up=False)
    shared = place.up("eth0")
    linked(place, time.monotonic(), shared)


def an_interface_goes_and_another_remains(place: Place) -> None:
    shared = {"eth0": place.cable("eth0"), "eth1": place.cable("eth1")}
    linked(place, place.start(), *shared.values())
    gone = next((name for name, network in shared.items() if network in str(where(place.edge))), "eth0")
    place.right.remove(gone)
    del shared[gone]
    gone_at = time.monotonic()
    assert place.edge("publish", "cellar.temperature", "21.5").code == 0
    linked(place, gone_at, *shared.values())
    place.edge.until_drained()


def an_interface_flaps(place: Place) -> None:
    shared = place.cable("eth0")
    linked(place, place.start(), shared)
    for _ in range(FLAPS):
        for state in ("down", "up"):
            ip("-n", place.right.name, "link", "set", "eth0", state)
            until(partial(is_shown, place.right, state), f"eth0 is not {state}")
    assert place.edge("publish", "cellar.temperature", "21.5").code == 0
    linked(place, time.monotonic(), shared)
    place.edge.until_drained()


def is_shown(machine: Machine, state: str) -> bool:
    """Whether the kernel says this of eth0."""
    command = ["ip", "-n", machine.name, "-br", "link", "show", "eth0"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return shown.split()[1].lower() == state


def port_5353_is_taken(place: Place) -> None:
    """It is said, a peer given by hand works, and the port is used once it is free."""
    shared = place.cable("eth0")
    with port_5353_taken(place.right):
        place.hub.start()
        place.edge.start("--peer", f"{shared}.1:{PORT}")
        linked(place, time.monotonic(), shared)
        until(lambda: warned(place.edge, "port 5353"), "nobody says that port 5353 is taken", WITHIN_S)
    ip("-n", place.right.name, "link", "set", "eth0", "down")  # a change ends the wait for a new attempt
    place.right.up("eth0")
    until(lambda: not warned(place.edge, "port 5353"), "port 5353 is free and not used", WITHIN_S)


def another_responder_shares_5353(place: Place) -> None:
    shared = place.cable("eth0")
    with peer(place.left, "aa" * 16) as one, peer(place.right, "bb" * 16) as other:
        one.working("eth0")
        other.working("eth0")
        linked(place, place.start(), shared)


def no_multicast_passes(place: Place) -> None:
    """Nobody is found, and the status says what that may be; with the address given they link at once."""
    network = place.switched("eth0")
    place.start()
    until(lambda: warned(place.edge, "mDNS hears no hub"), "nobody says that no hub is heard", WITHIN_S)
    with contextlib.suppress(AssertionError):
        until(lambda: where(place.edge), "", NOT_FOUND_S)
    assert where(place.edge) is None, "multicast does pass: this case shows nothing"
    place.edge.stop()
    place.edge.start("--peer", f"{network}.1:{PORT}")
    linked(place, time.monotonic(), network)
    assert not warned(place.edge, "mDNS hears no hub"), "it is said of a hub that is linked"


BOUNDED: Final[tuple[Case, ...]] = (one_of_many_interfaces_is_shared, no_multicast_passes)
CASES: Final[tuple[Case, ...]] = (
    *BOUNDED,
    container_interfaces_are_skipped,
    an_interface_comes_later,
    an_interface_goes_and_another_remains,
    an_interface_flaps,
    port_5353_is_taken,
    another_responder_shares_5353,
)
