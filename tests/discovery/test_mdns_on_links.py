"""Real multicast between machines: network namespaces with a cable between them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.discovery.links import ROOT, Machine, cable, machines, peer, port_5353_taken

pytestmark = pytest.mark.netns

LEFT, RIGHT = "11" * 16, "22" * 16


@pytest.fixture
def pair() -> Iterator[tuple[Machine, Machine]]:
    """Two machines, with a cable plugged in but not up."""
    with machines("left", "right") as (left, right):
        cable(left, right)
        yield left, right


def plug(left: Machine, right: Machine, interface: str = "eth0") -> None:
    left.up(interface, "192.0.2.1/24")
    right.up(interface, "192.0.2.2/24")


def test_two_machines_find_each_other_and_one_says_goodbye(pair: tuple[Machine, Machine]) -> None:
    plug(*pair)
    with peer(pair[0], LEFT) as left, peer(pair[1], RIGHT) as right:
        assert ["192.0.2.2", 5683, 5684] in left.found(right)["addresses"]
        assert right.found(left)["role"] == "edge"
        right.goodbye()
        left.lost(right)


def test_a_process_that_starts_is_found_within_half_a_second(pair: tuple[Machine, Machine]) -> None:
    plug(*pair)
    with peer(pair[0], LEFT) as left:
        left.working("eth0")
        times = []
        for number in range(3):
            with peer(pair[1], f"{number:032x}") as right:
                times.append(left.found(right)["when"] - right.started)
    print(f"found after {', '.join(f'{seconds:.2f}' for seconds in times)} s")
    assert min(times) < 0.5


def test_a_link_with_ipv6_alone_is_enough_and_its_addresses_have_a_scope(
    pair: tuple[Machine, Machine],
) -> None:
    for machine in pair:
        machine.up("eth0")
    with peer(pair[0], LEFT) as left, peer(pair[1], RIGHT) as right:
        hosts = [host for host, *_ in left.found(right)["addresses"]]
        assert hosts
        assert all(host.startswith("fe80:") and "%" in host for host in hosts)


def test_an_interface_that_comes_later_is_used(pair: tuple[Machine, Machine]) -> None:
    with peer(pair[0], LEFT) as left, peer(pair[1], RIGHT) as right:
        left.working("lo")
        right.working("lo")
        plug(*pair)
        left.found(right, "192.0.2.2")
        right.found(left, "192.0.2.1")


def test_after_an_interface_has_gone_another_takes_over(pair: tuple[Machine, Machine]) -> None:
    plug(*pair)
    with peer(pair[0], LEFT) as left:
        left.working("eth0")
        pair[0].remove("eth0")
        left.working("lo")
        cable(*pair, "eth1")
        plug(*pair, "eth1")
        left.working("eth1")
        with peer(pair[1], RIGHT) as right:
            left.found(right)
            right.found(left)


def test_a_container_interface_is_not_spoken_on(pair: tuple[Machine, Machine]) -> None:
    cable(*pair, "docker0")
    for machine, last in zip(pair, (1, 2), strict=True):
        machine.up("docker0", f"198.51.100.{last}/24")
    plug(*pair)
    with peer(pair[0], LEFT) as left, peer(pair[1], RIGHT) as right:
        assert left.working("eth0")["interfaces"] == ["eth0"]
        hosts = [host for host, *_ in left.found(right)["addresses"]]
        assert not [host for host in hosts if host.startswith("198.51.100.")]


def test_port_5353_taken_is_told_and_tried_again(pair: tuple[Machine, Machine]) -> None:
    plug(*pair)
    with port_5353_taken(pair[0]) as give_back, peer(pair[0], LEFT) as left:
        assert "port 5353" in left.trouble()["message"]
        give_back()
        left.working("eth0")


def test_a_hundred_thousand_forged_names_cost_bounded_memory_and_hide_nobody(
    pair: tuple[Machine, Machine],
) -> None:
    plug(*pair)
    with peer(pair[0], LEFT) as left:
        left.working("eth0")
        with peer(pair[1], RIGHT) as right:
            left.found(right)
            before = left.resident
            forge = pair[1].python("-m", "tests.discovery.forge", "192.0.2.2", "100000")
            subprocess.run(forge, cwd=ROOT, check=True)
        grown = left.resident - before
        print(f"{grown / 1e6:.1f} MB more after the flood")
        assert grown < 30e6
        with peer(pair[1], "33" * 16) as late:
            late.found(left)
            left.found(late)
