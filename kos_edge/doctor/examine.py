"""All checks, in the order in which a technician would look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kos_edge.doctor import arithmetic, home, life, machine, network, start
from kos_edge.doctor.finding import Finding, bad
from kos_edge.doctor.patient import Patient

Check = Callable[[Patient], Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "state": home.state,
    "key": home.key,
    "configuration": home.configuration,
    "vault": home.vault,
    "installed files": start.installed,
    "bootstrap": start.bootstrap,
    "arithmetic": arithmetic.keys,
    "clock": machine.clock,
    "disk": machine.disk,
    "card": machine.card,
    "serial": machine.serial,
    "daemon": life.daemon,
    "health": life.health,
    "membership": life.membership,
    "agents": life.agents,
    "queue": life.queue,
    "ports": network.ports,
    "interfaces": network.interfaces,
    "multicast": network.multicast,
    "mdns": network.responders,
    "names": network.names,
    "peers": network.peers,
}


def examine(patient: Patient) -> Iterator[Finding]:
    """Every finding as it comes: some checks wait a second for the network."""
    for name, check in CHECKS.items():
        try:
            yield from check(patient)
        except OSError as error:
            what = f"this cannot be looked at: {error.strerror or error}"
            yield bad(name, what, "run it as the user that owns the state, or as root")
