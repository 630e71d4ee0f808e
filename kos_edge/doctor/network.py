"""The network: ports, interfaces and why they are used, multicast, other responders, and the peers."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from fnmatch import fnmatchcase

from kos_edge.discovery.interfaces import LOOPBACK, VIRTUAL, Interface, chosen, present
from kos_edge.doctor.finding import Finding, bad, good, warning
from kos_edge.doctor.patient import Patient
from kos_edge.errors import KosError
from kos_edge.node.addresses import parse_listen, parse_peer

MDNS_PORT = 5353
MDNS_GROUP = "224.0.0.251"
HEARD_WITHIN_S = 1.0
_TOKEN = b"kos-edge doctor"
_IFF_MULTICAST = 0x1000


def ports(patient: Patient) -> Iterator[Finding]:
    """Where the daemon listens; or whether it could."""
    if patient.status is not None:
        where = ", ".join(patient.status["listening"])
        if where:
            yield good("ports", f"the daemon listens at {where}")
        else:
            yield bad("ports", "the daemon listens nowhere", "look at [network] listen, and at its log")
        return
    taken = {text: why for text in patient.settings.network.listen if (why := _taken(text)) is not None}
    for text, why in taken.items():
        mend = "change [network] listen, or end the program that is there"
        yield bad("ports", f"{text} cannot be listened at: {why}", mend)
    if not taken:
        yield good("ports", "those to listen at are free")


def interfaces(patient: Patient) -> Iterator[Finding]:
    """Which are used, and why the others are not."""
    there, named = present(), patient.settings.network.interfaces
    used = chosen(there, named)
    for interface in used:
        why = "named in [network] interfaces" if named else "it leads out of this machine"
        if not named and interface.name == LOOPBACK:
            why = "no other has an address"
        addresses = ", ".join((*interface.ipv4, *interface.ipv6)[:4])
        yield good("interfaces", f"{interface.name} ({addresses}) is used: {why}")
    for interface in there:
        if interface not in used and interface.name != LOOPBACK:
            why = (
                "others are named"
                if named
                else f"containers and virtual machines use such ({_pattern(interface)})"
            )
            yield good("interfaces", f"{interface.name} is not used: {why}")
    if not used:
        yield bad(
            "interfaces", f"there is none called {', '.join(named)} with an address", "look at: ip address"
        )
    elif all(interface.name == LOOPBACK for interface in used) and not named:
        yield warning(
            "interfaces",
            "only this machine itself can be reached",
            "connect a network, or look at: ip address",
        )


def multicast(patient: Patient) -> Iterator[Finding]:
    """Each interface that is used hears what it says to the group of mDNS."""
    if not patient.settings.network.mdns:
        yield good("multicast", "mDNS is switched off: peers are those given by hand")
        return
    for interface in chosen(present(), patient.settings.network.interfaces):
        if not interface.ipv4:
            continue
        why = _switched_off(patient, interface) or _hears_itself(interface)
        if why is None:
            yield good("multicast", f"{interface.name} hears itself")
        else:
            yield bad(
                "multicast",
                f"{interface.name} does not hear what it says to {MDNS_GROUP}: {why}",
                f"ip link set {interface.name} multicast on; let UDP 5353 through the firewall; or use --peer",
            )


def responders(patient: Patient) -> Iterator[Finding]:
    """Who else holds the port of mDNS, and whether that lets us have it too."""
    if not patient.settings.network.mdns:
        return
    avahi = patient.text("etc/avahi/avahi-daemon.conf") or ""
    lines = [line.split("#")[0].replace(" ", "") for line in avahi.splitlines()]
    if "disallow-other-stacks=yes" in lines:
        yield bad(
            "mdns",
            "Avahi keeps port 5353 for itself",
            "disallow-other-stacks=no in /etc/avahi/avahi-daemon.conf, then: systemctl restart avahi-daemon",
        )
        return
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            trial.bind(("", MDNS_PORT))
    except OSError as error:
        holders = ", ".join(_holders(patient, MDNS_PORT)) or "some program"
        why = f"{holders} holds port {MDNS_PORT} and does not share it"
        yield bad(
            "mdns",
            why if error.errno == errno.EADDRINUSE else f"port {MDNS_PORT}: {error.strerror}",
            f"end {holders}",
        )
        return
    others = [
        name for name in _holders(patient, MDNS_PORT) if "kos-edge" not in name and "python" not in name
    ]
    with_whom = f", shared with {', '.join(others)}" if others else ""
    yield good("mdns", f"port {MDNS_PORT} can be used{with_whom}")


def peers(patient: Patient) -> Iterator[Finding]:
    """Which are connected, and what stands in the way of the others."""
    status = patient.status
    if status is None:
        return
    for peer in patient.peers:
        name = peer["name"] or peer["kid"]
        if peer["connected"]:
            yield good("peers", f"{name} is connected over {peer['carrier']} at {peer['address']}")
            if peer["found_by"] not in (None, "mdns") and patient.settings.network.mdns:
                yield warning(
                    "peers",
                    f"{name} answers at its address, and mDNS does not hear it: no multicast comes from there",
                    "nothing, while the address stays; else let the access point pass multicast",
                )
        elif peer["standing"] in ("revoked", "quarantined", "expired"):
            yield warning(
                "peers",
                f"{name} is {peer['standing']}: nothing of it is taken",
                f"kos-edge revoke or rekey {name}",
            )
        elif peer["role"] == "hub":
            yield bad(
                "peers", f"the hub {name} is not connected", "start it; or give its address with --peer"
            )


def names(patient: Patient) -> Iterator[Finding]:
    """Peers that are given by name have an address; a resolver takes some seconds where nobody answers it."""
    hosts = {parse_peer(text)[0] for text in patient.settings.network.peers}
    for host in sorted(hosts):
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except OSError as error:
            mend = "look at /etc/resolv.conf, or give the address in [network] peers"
            yield bad("names", f"no address is known for {host}: {error.strerror or error}", mend)
        else:
            if found[0][4][0] != host:
                yield good("names", f"{host} is at {found[0][4][0]}")


def _taken(text: str) -> str | None:
    """Why an address cannot be listened at; None where it can."""
    try:
        host, port = parse_listen(text)
    except KosError as error:
        return error.message
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as trial:
            if kind is socket.SOCK_STREAM:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError as error:
                return error.strerror or str(error)
    return None


def _switched_off(patient: Patient, interface: Interface) -> str | None:
    """Whether the interface does not do multicast: netdevice(7), IFF_MULTICAST. The loopback does without the flag."""
    flags = (patient.text(f"sys/class/net/{interface.name}/flags") or "").strip()
    off = flags.startswith("0x") and not int(flags, 16) & _IFF_MULTICAST and interface.name != LOOPBACK
    return "multicast is switched off there" if off else None


def _hears_itself(interface: Interface) -> str | None:
    """Why a datagram to the group does not come back to this machine; None where it does."""
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind(("", 0))
            own = socket.inet_aton(interface.ipv4[0])
            joined = struct.pack("@4s4si", socket.inet_aton(MDNS_GROUP), own, interface.index)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            mouth.setsockopt(
                socket.IPPROTO_IP,
                socket.IP_MULTICAST_IF,
                struct.pack("@4s4si", bytes(4), own, interface.index),
            )
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            ear.settimeout(HEARD_WITHIN_S)
            mouth.sendto(_TOKEN, (MDNS_GROUP, ear.getsockname()[1]))
            while ear.recv(64) != _TOKEN:
                pass
    except TimeoutError:
        return "nothing came back"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _pattern(interface: Interface) -> str:
    return next((pattern for pattern in VIRTUAL if fnmatchcase(interface.name, pattern)), interface.name)


def _holders(patient: Patient, port: int) -> list[str]:
    """Names of the programs that have a UDP socket at a port, as far as this user may see them."""
    inodes = set()
    for table in ("proc/net/udp", "proc/net/udp6"):
        for line in (patient.text(table) or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[1].endswith(f":{port:04X}"):
                inodes.add(f"socket:[{words[9]}]")
    names = set()
    for process in (patient.root / "proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                names.add((process / "comm").read_text().strip())
        except OSError:
            continue  # not ours to look at, or gone meanwhile
    return sorted(names)
