"""status and peers: what is, at a glance."""

from __future__ import annotations

import time

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.fleet import badness, fleet_text
from kos_edge.cli.reach import ask
from kos_edge.cli.show import age, clean, columns, counted, local_time, size, span
from kos_edge.control.reports import AgentReport, PeerReport, QueueReport, StatusReport
from kos_edge.delivery.limits import LEVELS


@click.command()
@common
@pass_face
def status(face: Face) -> None:
    """This node at a glance, with or without a daemon."""
    report = ask(face, lambda node: node.status())
    face.answer(report, _status_text(report, time.time()))


@click.command()
@common
@pass_face
def peers(face: Face) -> None:
    """The nodes that this one knows; at a hub also how they are, by their heartbeats, the worst first."""
    known = sorted(ask(face, lambda node: node.peers()), key=badness)
    if any(peer["state"] is not None for peer in known):
        face.answer(known, fleet_text(known))
        return
    header = ("NAME", "ROLE", "KID", "STANDING", "CONNECTED", "ADDRESS", "LAST SEEN")
    rows = [_peer_row(peer, time.time()) for peer in known]
    face.answer(known, columns(rows, header) if rows else "no other node is known yet")


def queue_text(report: QueueReport, now: float) -> str:
    """The queue on one line."""
    text = f"{counted(report['messages'], 'message')}, {size(report['bytes'])}"
    if report["messages"]:
        text += f", the oldest from {age(report['oldest_at'], now)} ago, {report['in_flight']} under way"
    if report["percent"] >= LEVELS[0]:
        text += f", {report['percent']:.0f} % full (then: {report['when_full']})"
    if report["latest"]:
        text += f", {counted(report['latest'], 'newest value')} besides"
    if report["dead"]:
        text += f"; {counted(report['dead'], 'dead letter')} (kos-edge queue dead)"
    if report["dead_dropped"]:
        text += f"; {counted(report['dead_dropped'], 'older dead letter')} had to go for newer ones"
    return text


def _status_text(report: StatusReport, now: float) -> str:
    running = "not running"
    if report["running"]:
        running = f"up {span(report['uptime_s'])} (process {report['pid']})"
    journal = report["journal"]
    lines = [
        f"{report['name']}: {report['role']}, {_membership(report)}, {running}",
        f"  kid        {report['kid']}",
        f"  public     {report['public']}",
        f"  words      {report['words']}",
        f"  state      {report['state']}",
        f"  listening  {', '.join(report['listening']) or 'nowhere'}",
        f"  peers      {report['peers_connected']} connected, {report['peers_known']} known",
        f"  queue      {queue_text(report['queue'], now)}",
        f"  journal    {counted(journal['messages'], 'message')}, {size(journal['bytes'])}"
        + (f", since {local_time(journal['oldest_at'])}" if journal["oldest_at"] else "")
        + (f"; {journal['dropped']:,} dropped by policy" if journal["dropped"] else "")
        + (f"; {journal['expired']:,} expired" if journal["expired"] else ""),
    ]
    lines += [f"  agent      {_agent_text(agent)}" for agent in report["agents"]]
    lines += [click.style(f"  warning    {clean(warning)}", fg="red") for warning in report["warnings"]]
    return "\n".join(lines)


def _membership(report: StatusReport) -> str:
    mesh = (report["mesh"] or "")[:8]
    match report["membership"]:
        case "none":
            return "in no mesh"
        case "waiting":
            return f"looking for mesh {mesh}"
        case "pending":
            return f"waiting for approval in mesh {mesh}"
        case "member":
            return f"member of mesh {mesh}"
        case "quarantined":
            return f"member of mesh {mesh}, its key in quarantine: another device has it too"
        case "revoked" | "expired" as ended:
            return f"membership of mesh {mesh} {ended}"


def _agent_text(agent: AgentReport) -> str:
    text = f"{agent['name']}: {agent['state']}, {agent['published']:,} published"
    if agent["errors"]:
        text += f", {counted(agent['errors'], 'error')}"
    return text + (f", the last: {clean(agent['last_error'])}" if agent["last_error"] else "")


def _peer_row(peer: PeerReport, now: float) -> tuple[str, ...]:
    connected = "no"
    if peer["connected"]:
        trip = f", {span(peer['round_trip_s'])}" if peer["round_trip_s"] is not None else ""
        connected = f"{peer['carrier'] or 'yes'}{trip}"
    seen = f"{age(peer['last_seen_at'], now)} ago" if peer["last_seen_at"] else "never"
    kid = peer["kid"].rsplit(":", 1)[-1][:12]
    name, role, address = peer["name"] or "-", peer["role"] or "-", peer["address"] or "-"
    return (name, role, kid, peer["standing"], connected, address, seen)
