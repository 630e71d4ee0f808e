"""The daemon: whether one runs, what it says of itself, and its place in the mesh."""

from __future__ import annotations

from collections.abc import Iterator

from kos_edge.control.client import NoDaemon
from kos_edge.doctor.finding import Finding, bad, good, warning
from kos_edge.doctor.patient import Patient

_MEMBERSHIPS = {
    "none": ("this node is in no mesh", "kos-edge join TOKEN, with a token from the hub: kos-edge invite"),
    "waiting": (
        "this node wants to join and no hub has answered",
        "start the hub, or name its address with --peer",
    ),
    "pending": (
        "a person at the hub has to let this node in",
        "at the hub: kos-edge pending, then kos-edge admit",
    ),
    "revoked": ("this node's membership was taken back", "kos-edge leave, then join with a new invitation"),
    "quarantined": ("two devices sign with this node's key", "on the right one: kos-edge rekey TOKEN"),
    "expired": ("this node's membership has expired", "let it meet its hub, which renews it"),
}


def daemon(patient: Patient) -> Iterator[Finding]:
    """One runs and answers."""
    if patient.status is not None:
        yield good("daemon", f"{patient.status['name']} runs as process {patient.status['pid']}")
    elif isinstance(patient.unreachable, NoDaemon):
        yield warning("daemon", "no daemon runs on this state", "kos-edge run, or: systemctl start kos-edge")
    elif patient.unreachable is not None:
        error = patient.unreachable
        yield bad("daemon", error.message, error.hint or "ask as the user that runs the daemon")


def membership(patient: Patient) -> Iterator[Finding]:
    """It is a member, or what is missing."""
    if patient.status is None:
        return
    word = patient.status["membership"]
    if word == "member":
        yield good(
            "membership", f"a member of mesh {(patient.status['mesh'] or '')[:8]} as {patient.status['role']}"
        )
    else:
        said, mend = _MEMBERSHIPS[word]
        mark = warning if word in ("none", "waiting", "pending") else bad
        yield mark("membership", said, mend)


def health(patient: Patient) -> Iterator[Finding]:
    """What the daemon itself warns of."""
    if patient.status is None:
        return
    degraded = patient.status["health"] != "good"
    for text in patient.status["warnings"]:
        yield (bad if degraded else warning)("health", text, "kos-edge status shows more of it")
    if not patient.status["warnings"]:
        yield good("health", "the daemon warns of nothing")


def agents(patient: Patient) -> Iterator[Finding]:
    """Each works."""
    for agent in patient.status["agents"] if patient.status is not None else ():
        if agent["state"] == "running" and not agent["errors"]:
            yield good("agents", f"{agent['name']} works")
        else:
            why = agent["last_error"] or agent["state"]
            mark = warning if agent["state"] == "running" else bad
            yield mark(
                "agents",
                f"{agent['name']} is {agent['state']}, {agent['errors']} errors: {why}",
                "look at its log",
            )


def queue(patient: Patient) -> Iterator[Finding]:
    """There is room in it, and nothing was refused for good."""
    if patient.status is None:
        return
    queue = patient.status["queue"]
    if queue["dead"]:
        yield warning(
            "queue", f"{queue['dead']:,} messages were refused or broke their handler", "kos-edge queue dead"
        )
    if queue["percent"] >= 80:
        yield warning(
            "queue", f"the queue is {queue['percent']:.0f} % full", "kos-edge forecast says when it is full"
        )
    else:
        yield good("queue", f"{queue['messages']:,} messages wait")
