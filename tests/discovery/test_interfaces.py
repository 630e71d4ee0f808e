from __future__ import annotations

from kos_edge.discovery.interfaces import Interface, chosen, present

LO = Interface("lo", 1, ("127.0.0.1",), ("::1",))
ETH = Interface("eth0", 2, ("192.0.2.1",), ("fe80::1",))
WLAN = Interface("wlan0", 3, ("192.0.2.2",), ())
DOCKER = Interface("docker0", 4, ("172.17.0.1",), ())
VETH = Interface("veth12ab", 5, (), ("fe80::2",))
ALL = [LO, ETH, WLAN, DOCKER, VETH]


def test_container_interfaces_and_the_loopback_are_left_out() -> None:
    assert chosen(ALL) == [ETH, WLAN]


def test_a_named_interface_is_taken_whatever_it_is() -> None:
    assert chosen(ALL, ["docker0"]) == [DOCKER]
    assert chosen(ALL, ["w*", "lo"]) == [LO, WLAN]
    assert chosen(ALL, ["eth7"]) == []


def test_with_the_cable_pulled_nodes_of_one_machine_still_have_the_loopback() -> None:
    assert chosen([LO, DOCKER]) == [LO]
    assert chosen([]) == []


def test_this_machine_has_a_loopback() -> None:
    assert "127.0.0.1" in next(interface for interface in present() if interface.name == "lo").ipv4
