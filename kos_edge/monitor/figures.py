"""What a node's reports are as families for Prometheus. docs/monitoring.md lists them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kos_edge.control.reports import CardReport, PeerReport, StatusReport
from kos_edge.delivery.latency import LATENCY_BOUNDS, coarse
from kos_edge.monitor.exposition import Family
from kos_edge.monitor.fleet_figures import fleet_families
from kos_edge.monitor.process import ProcessFigures


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """One session's courier: shipments that may be in flight, and those that were sent and sent again."""

    peer: str
    carrier: str
    window: float
    round_trip_s: float | None
    shipments: int
    again: int


@dataclass(frozen=True, slots=True)
class Extra:
    """What stands in no report. `offline_s`: since a hub was last connected, 0 while one is, None on a hub."""

    links: Sequence[LinkFigures]
    offline_s: float | None
    clock_uncertainty_s: float | None
    answered: int
    initiated: int
    not_taken: Mapping[str, int]
    card: CardReport | None
    silences: int | None
    """How often a member of the fleet has gone silent; None where this is no hub."""
    member_figures: int


def families(
    status: StatusReport, peers: Sequence[PeerReport], extra: Extra, process: ProcessFigures
) -> list[Family]:
    """All families, in the order of the page."""
    return [
        *_node(status, extra),
        *_queue(status),
        *_card(extra.card),
        *_traffic(status, extra),
        *_links(peers, extra),
        *fleet_families(peers, extra.silences, extra.member_figures),
        *_agents(status),
        *_process(process),
    ]


def _node(status: StatusReport, extra: Extra) -> list[Family]:
    journal = status["journal"]
    info = Family("kos_edge_info", "gauge", "Always 1; the labels say which node and version this is.")
    info.add(1, name=status["name"], role=status["role"], kid=status["kid"], version=status["version"])
    healthy = Family(
        "kos_edge_healthy", "gauge", "1, or 0 while the disk fails, is full or has cost something."
    )
    step = Family(
        "kos_edge_bootstrap_step", "gauge", "1 for the outcome of each step of this start, by its word."
    )
    safe = Family(
        "kos_edge_safe_mode", "gauge", "1 where this start does without agents that were asked for, else 0."
    )
    if (bootstrap := status["bootstrap"]) is not None:
        for name, outcome in bootstrap["steps"].items():
            step.add(1, step=name, outcome=outcome)
        safe.add(float(bootstrap["reason"] is not None))
    member = Family("kos_edge_member", "gauge", "1 for the state of this node's membership, by its word.")
    return [
        info,
        healthy.add(float(status["health"] == "good")),
        step,
        safe,
        member.add(1, state=status["membership"]),
        Family("kos_edge_warnings", "gauge", "Warnings that kos-edge status shows.").add(
            len(status["warnings"])
        ),
        Family("kos_edge_uptime_seconds", "gauge", "Since the start of the daemon.").add(status["uptime_s"]),
        Family("kos_edge_offline_seconds", "gauge", "Since a hub was last connected; 0 while one is.").add(
            extra.offline_s
        ),
        Family(
            "kos_edge_clock_uncertainty_seconds",
            "gauge",
            "By how much the clock may be wrong; none while unset.",
        ).add(extra.clock_uncertainty_s),
        Family("kos_edge_journal_messages", "gauge", "Messages kept in the journal.").add(
            journal["messages"]
        ),
        Family("kos_edge_journal_bytes", "gauge", "Their size.").add(journal["bytes"]),
    ]


def _queue(status: StatusReport) -> list[Family]:
    queue = status["queue"]
    messages = Family("kos_edge_queue_messages", "gauge", "The same by audience and class.")
    size = Family("kos_edge_queue_bytes", "gauge", "The size of those, by audience and class.")
    for lane in queue["lanes"]:
        labels = {
            "audience": lane["audience"],
            "priority": lane["priority"],
            "durable": str(lane["durable"]).lower(),
            "order": lane["order"],
        }
        messages.add(lane["messages"], **labels)
        size.add(lane["bytes"], **labels)
    limit = Family("kos_edge_queue_limit", "gauge", "What may wait at most, in messages and in bytes.")
    limit.add(queue["limit_messages"], unit="messages").add(queue["limit_bytes"], unit="bytes")
    forecast = queue["forecast"]
    owed = Family("kos_edge_owed_messages", "gauge", "All messages that wait.").add(queue["messages"])
    owed_size = Family("kos_edge_owed_bytes", "gauge", "Their size.").add(queue["bytes"])
    full = Family(
        "kos_edge_queue_full_in_seconds", "gauge", "Time to full, as things go; none where it will not be."
    )
    drained = Family("kos_edge_queue_empty_in_seconds", "gauge", "Time to empty, as things go.")
    return [
        owed,
        owed_size,
        messages,
        size,
        limit,
        Family("kos_edge_queue_fullness_ratio", "gauge", "How full its fullest part is.").add(
            queue["percent"] / 100
        ),
        Family("kos_edge_queue_in_flight", "gauge", "Packs that were sent and not yet receipted.").add(
            queue["in_flight"]
        ),
        full.add(forecast["full"]["seconds"]),
        drained.add(forecast["drain"]["seconds"]),
        Family("kos_edge_dead_letters", "gauge", "Messages that were refused or broke their handler.").add(
            queue["dead"]
        ),
    ]


def _card(card: CardReport | None) -> list[Family]:
    written = Family("kos_edge_card_written_bytes_total", "counter", "Written to the device under the state.")
    left = Family("kos_edge_card_life_seconds", "gauge", "Until that is worn out, as things go.")
    used = Family("kos_edge_card_used_ratio", "gauge", "Of its life, by its own word; eMMC only.")
    if card is not None:
        written.add(card["written_bytes"], device=card["device"])
        left.add(card["left_s"], device=card["device"])
        used.add(card["used"], device=card["device"])
    return [written, left, used]


def _traffic(status: StatusReport, extra: Extra) -> list[Family]:
    traffic = status["traffic"]
    gone = Family(
        "kos_edge_messages_gone_total",
        "counter",
        "Own messages dropped or expired, by reason.",
    )
    gone.add(traffic["dropped"], reason="dropped").add(traffic["expired"], reason="expired")
    handshakes = Family("kos_edge_handshakes_total", "counter", "EDHOC handshakes, by how they went.")
    handshakes.add(extra.initiated, outcome="initiated").add(extra.answered, outcome="answered")
    handshakes.add(traffic["handshakes_failed"], outcome="failed")
    refused = Family("kos_edge_not_taken_total", "counter", "What peers sent that was not taken, by reason.")
    for reason, count in extra.not_taken.items():
        refused.add(count, reason=reason)
    receipts = Family("kos_edge_receipt_seconds", "histogram", "From publish to the last receipt.")
    counts, total = coarse(traffic["latency_buckets"])
    return [
        Family("kos_edge_messages_accepted_total", "counter", "Own messages made durable here.").add(
            traffic["accepted"]
        ),
        Family("kos_edge_messages_refused_total", "counter", "Own messages that were refused.").add(
            traffic["refused"]
        ),
        Family(
            "kos_edge_messages_settled_total", "counter", "Own messages that their audience has on disk."
        ).add(traffic["settled"]),
        gone,
        Family("kos_edge_messages_received_total", "counter", "Messages of others made durable here.").add(
            traffic["received"]
        ),
        Family("kos_edge_messages_duplicate_total", "counter", "Messages that came again.").add(
            traffic["duplicates"]
        ),
        refused,
        Family("kos_edge_commits_total", "counter", "Commits of own messages, each with a sync.").add(
            traffic["commits"]
        ),
        handshakes,
        receipts.add_histogram(LATENCY_BOUNDS, counts, total),
    ]


def _links(peers: Sequence[PeerReport], extra: Extra) -> list[Family]:
    known = Family("kos_edge_peers", "gauge", "Nodes that this one knows, by standing.")
    for standing in sorted({peer["standing"] for peer in peers}):
        known.add(sum(peer["standing"] == standing for peer in peers), standing=standing)
    window = Family("kos_edge_link_window", "gauge", "Shipments that may be in flight to a peer.")
    round_trip = Family("kos_edge_link_round_trip_seconds", "gauge", "Smoothed round trip to a peer.")
    shipments = Family(
        "kos_edge_link_shipments_total", "counter", "Shipments to a peer in its present session."
    )
    again = Family("kos_edge_link_repeated_total", "counter", "Those that were sent again.")
    for link in extra.links:
        labels = {"peer": link.peer, "carrier": link.carrier}
        window.add(link.window, **labels)
        round_trip.add(link.round_trip_s, **labels)
        shipments.add(link.shipments, **labels)
        again.add(link.again, **labels)
    connected = Family("kos_edge_peers_connected", "gauge", "Peers with a session.").add(len(extra.links))
    return [known, connected, window, round_trip, shipments, again]


def _agents(status: StatusReport) -> list[Family]:
    up = Family(
        "kos_edge_agent_running", "gauge", "1 while the agent works, 0 while it waits for its next life."
    )
    published = Family(
        "kos_edge_agent_published_total", "counter", "Values that an agent's functions published."
    )
    errors = Family("kos_edge_agent_errors_total", "counter", "Errors of an agent's functions.")
    for agent in status["agents"]:
        up.add(float(agent["state"] == "running"), agent=agent["name"])
        published.add(agent["published"], agent=agent["name"])
        errors.add(agent["errors"], agent=agent["name"])
    return [up, published, errors]


def _process(process: ProcessFigures) -> list[Family]:
    return [
        Family("process_cpu_seconds_total", "counter", "Processor time of the daemon.").add(process.cpu_s),
        Family("process_resident_memory_bytes", "gauge", "Its resident memory.").add(process.resident_bytes),
        Family("process_open_fds", "gauge", "Its open descriptors.").add(process.open_files),
        Family("process_threads", "gauge", "Its threads.").add(process.threads),
        Family("kos_edge_written_bytes_total", "counter", "Bytes that it has handed to write calls.").add(
            process.written_bytes
        ),
    ]
