"""The fleet of a hub as families for Prometheus.

Figures of each member would be as many series as there are members, ten times: so many as the configuration says are
shown, the first by name, so that it is the same ones at every scrape; the states of all are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kos_edge.control.reports import PeerReport
from kos_edge.monitor.exposition import Family
from kos_edge.monitor.fleet import Word

STATES: tuple[Word, ...] = ("ok", "late", "silent", "warning", "unknown")


def fleet_families(peers: Sequence[PeerReport], silences: int | None, most: int) -> list[Family]:
    """What a hub knows of its members by their hearts; nothing where `silences` is None: this is no hub."""
    members = [peer for peer in peers if peer["state"] is not None]
    states = Family("kos_edge_fleet_members", "gauge", "Members by how their heart is.")
    if silences is not None:
        counts: Counter[str | None] = Counter(peer["state"] for peer in members)
        for state in STATES:
            states.add(counts[state], state=state)
    up = Family("kos_edge_fleet_member_up", "gauge", "1 while a member's heart beats, 0 while it is silent.")
    heard = Family("kos_edge_fleet_heard_seconds", "gauge", "Since a member's last beat came.")
    uptime = Family("kos_edge_fleet_uptime_seconds", "gauge", "Since the start of a member's daemon.")
    cpu = Family("kos_edge_fleet_cpu_ratio", "gauge", "Processor of a member's machine in use.")
    memory = Family("kos_edge_fleet_memory_ratio", "gauge", "Memory of a member's machine in use.")
    disk = Family("kos_edge_fleet_disk_ratio", "gauge", "How full the disk of a member's state is.")
    degrees = Family("kos_edge_fleet_temperature_celsius", "gauge", "Temperature of a member's processor.")
    queue = Family("kos_edge_fleet_queue_messages", "gauge", "Messages that wait at a member.")
    errors = Family("kos_edge_fleet_errors", "gauge", "Errors of a member's agents since its start.")
    warnings = Family("kos_edge_fleet_warnings", "gauge", "Warnings that a member's own status shows.")
    for peer in members[:most]:
        name, health = peer["name"] or peer["kid"], peer["health"]
        if peer["state"] != "unknown":
            up.add(float(peer["state"] != "silent"), member=name)
        if health is None:
            continue
        heard.add(health["heard_s"], member=name)
        uptime.add(health["uptime_s"], member=name)
        cpu.add(health["cpu"], member=name)
        memory.add(health["memory"], member=name)
        disk.add(health["disk"], member=name)
        degrees.add(health["temperature_c"], member=name)
        queue.add(health["queue_messages"], member=name)
        errors.add(health["errors"], member=name)
        warnings.add(health["warnings"], member=name)
    left_out = Family("kos_edge_fleet_left_out", "gauge", "Members without figures of their own here.")
    return [
        states,
        Family("kos_edge_fleet_silences_total", "counter", "How often a member has gone silent.").add(
            silences
        ),
        left_out.add(None if silences is None else max(0, len(members) - most)),
        *(up, heard, uptime, cpu, memory, disk, degrees, queue, errors, warnings),
    ]
