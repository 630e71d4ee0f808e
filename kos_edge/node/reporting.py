"""A node's state as the reports of `control.reports`: values for people and tools, read from the parts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from kos_edge.bootstrap.admission import Admission
from kos_edge.bootstrap.sequence import Step
from kos_edge.control.bootstrap_reports import RegistrationReport
from kos_edge.control.reports import (
    AgentReport,
    Delivered,
    HealthReport,
    JournalReport,
    LaneReport,
    MemberReport,
    PeerReport,
    QueueReport,
    TrafficReport,
)
from kos_edge.discovery.sighting import Found
from kos_edge.errors import Refused
from kos_edge.klp.body import Data
from kos_edge.klp.body import to_json as body_to_json
from kos_edge.klp.identity import kid_text
from kos_edge.klp.jsonform import time_text as time_text_ms
from kos_edge.klp.jsonform import to_json as value_to_json
from kos_edge.klp.pack import Position
from kos_edge.klp.pack import Reason as Removal
from kos_edge.mesh.claims import Role
from kos_edge.mesh.fork import about as about_fork
from kos_edge.mesh.membership import Membership
from kos_edge.monitor.fleet import Standing as Heartbeat
from kos_edge.node.feed import Heard, Missing
from kos_edge.node.initialize import RECOVERY_NAME
from kos_edge.node.trust import Trust
from kos_edge.store.store import Store

if TYPE_CHECKING:
    from kos_edge.node.node import Node

Standing = Literal["member", "provisional", "revoked", "quarantined", "expired", "seen"]
Word = Literal["none", "waiting", "pending", "member", "revoked", "quarantined", "expired"]


def time_text(seconds: float) -> str:
    """RFC 3339 UTC."""
    return time_text_ms(round(seconds * 1000))


def ago(node: Node, seconds: float) -> str | None:
    """The time that was so many seconds ago; None while the clock is not set."""
    wall = node.uptime.wall_ms()
    return None if wall is None else time_text(wall / 1000 - seconds)


def admission_of(node: Node) -> Admission:
    """What decides about newcomers here. Raises Refused where this is no hub."""
    if node.trust.admission is None:
        raise Refused(
            "this node admits nobody: it is no hub", hint="do it on the hub: kos-edge peers shows it"
        )
    return node.trust.admission


def membership_word(trust: Trust, waiting_for_person: bool) -> Word:
    """One word on this node's membership."""
    if trust.membership is None:
        return "none" if trust.wish is None else "pending" if waiting_for_person else "waiting"
    if trust.revoked(trust.membership):
        return "revoked"
    if trust.kid in trust.forks:
        return "quarantined"
    return "expired" if trust.membership.expired_at(trust.at()) else "member"


def member(found: Membership) -> MemberReport:
    """A member."""
    return MemberReport(
        kid=kid_text(found.kid, found.namespace),
        public=found.public.hex(),
        name=found.name,
        role=found.role.text,
        expires_at=time_text(found.not_after),
    )


def peers(node: Node) -> list[PeerReport]:
    """Members by name, then those that were only seen."""
    trust = node.trust
    links = node.peers.links
    seen = node.peers.seen()
    reports = []
    for found in trust.roster:
        if found.kid == trust.kid:
            continue
        link = links.get(found.kid)
        standing = standing_of(trust, found)
        heart = node.heart.standing(found.kid, found.role)
        hints = node.peers.address_of(found.kid)
        address = str(link.session.address) if link else next((f"{h.host}:{h.port}" for h in hints), None)
        reports.append(
            PeerReport(
                kid=kid_text(found.kid, found.namespace),
                name=found.name,
                role=found.role.text,
                standing=standing,
                connected=link is not None,
                carrier=link.carrier if link else None,
                address=address,
                round_trip_s=link.courier.window.smoothed if link else None,
                last_seen_at=ago(node, node.clock.monotonic() - link.session.heard_at)
                if link
                else _seen_at(seen, found.kid),
                found_by=_found_by(seen, found.kid),
                expires_at=time_text(found.not_after),
                state=None if heart is None or standing != "member" else heart.state.text,
                reason=None if heart is None else heart.reason,
                health=None if heart is None else health(node, heart),
                registration=_registration(node, found.kid),
            )
        )
    for kid in sorted(set(seen) - {found.kid for found in trust.roster}):
        sightings, at, _ = seen[kid]
        hints = [hint for sighting in sightings for hint in sighting.addresses]
        role = next((s.role.text for s in sightings if s.role is not None), None)
        reports.append(
            PeerReport(
                kid=kid_text(kid),
                name=None,
                role=role,
                standing="seen",
                connected=False,
                carrier=None,
                address=next((f"{hint.host}:{hint.port}" for hint in hints), None),
                round_trip_s=None,
                last_seen_at=None if at is None else time_text(at),
                found_by=_found_by(seen, kid),
                expires_at=None,
                state=None,
                reason=None,
                health=None,
                registration=None,
            )
        )
    return reports


def health(node: Node, heart: Heartbeat) -> HealthReport | None:
    """A member's newest heartbeat; None where none has come."""
    beat = heart.beat
    if beat is None or heart.heard_s is None:
        return None
    return HealthReport(
        heard_s=round(heart.heard_s, 1),
        at=ago(node, heart.heard_s),
        version=beat.version,
        uptime_s=beat.uptime_s,
        cpu=beat.cpu,
        memory=beat.memory,
        disk=beat.disk,
        temperature_c=beat.temperature_c,
        queue_messages=beat.queue_messages,
        queue_bytes=beat.queue_bytes,
        queue=beat.queue,
        errors=beat.errors,
        warnings=beat.warnings,
        resident_bytes=beat.resident_bytes,
    )


def _registration(node: Node, kid: bytes) -> RegistrationReport | None:
    found = node.startup.registering.known.get(kid)
    if found is None:
        return None
    return RegistrationReport(
        version=found.version,
        mode=found.mode,
        machine=found.machine,
        capabilities=list(found.capabilities),
        addresses=list(found.addresses),
    )


def standing_of(trust: Trust, found: Membership) -> Standing:
    """How a member stands with this node."""
    if trust.revoked(found):
        return "revoked"
    if found.kid in trust.forks:
        return "quarantined"
    return "expired" if found.expired_at(trust.at()) else "member"


def _found_by(seen: dict[bytes, tuple[list[Found], float | None, str]], kid: bytes) -> str | None:
    """How we know where it is: by mDNS, or by an address that was given or used before."""
    sightings = seen[kid][0] if kid in seen else []
    return "mdns" if any(s.role is not None for s in sightings) else "address" if sightings else None


def _seen_at(seen: dict[bytes, tuple[list[Found], float | None, str]], kid: bytes) -> str | None:
    at = seen[kid][1] if kid in seen else None
    return None if at is None else time_text(at)


async def queue(node: Node) -> QueueReport:
    """The outbox, lane by lane."""

    def work(store: Store) -> tuple[list[LaneReport], int, int, tuple[int, int], str | None]:
        lanes = []
        for (audience, cls), standing in store.outbox.lanes().items():
            oldest = standing.oldest_at
            lanes.append(
                LaneReport(
                    audience=audience,
                    priority=cls.priority.name.lower(),
                    durable=cls.durable,
                    order="fresh-first" if cls.fresh else "in-order",
                    messages=standing.messages,
                    bytes=standing.bytes,
                    dropped=standing.dropped,
                    expired=standing.expired,
                    oldest_at=None if oldest is None else time_text_ms(node.uptime.shown_ms(oldest)),
                )
            )
        usage = store.outbox.usage
        oldest_of_all = min((lane["oldest_at"] for lane in lanes if lane["oldest_at"]), default=None)
        dead = store.records.dead_count(), store.records.dead_dropped()
        return lanes, usage.messages, usage.bytes, dead, oldest_of_all

    lanes, messages, size, dead, oldest = await node.writer.read(work)
    return QueueReport(
        messages=messages,
        bytes=size,
        limit_messages=node.config.queue.max_messages,
        limit_bytes=node.config.queue.max_bytes,
        percent=round(node.fullness.percent(), 1),
        when_full=node.config.queue.when_full,
        latest=len(node.writer.store.latest),
        oldest_at=oldest,
        in_flight=sum(link.courier.in_flight for link in node.peers.links.values()),
        dead=dead[0],
        dead_dropped=dead[1],
        lanes=lanes,
        forecast=await node.forecasting.of_queue(),
    )


async def journal(node: Node) -> JournalReport:
    """What is kept."""

    def work(store: Store) -> tuple[int, int, int | None, Counter[Removal]]:
        return store.packs.messages(), store.packs.bytes, store.packs.oldest_at(), store.packs.gone()

    messages, size, oldest, gone = await node.writer.read(work)
    return JournalReport(
        messages=messages,
        dropped=gone[Removal.DROPPED],
        expired=gone[Removal.EXPIRED],
        bytes=size,
        oldest_at=None if not oldest else time_text_ms(node.uptime.shown_ms(oldest)),
        limit_bytes=node.config.journal.max_bytes,
        limit_age_s=node.config.journal.keep_for_s,
    )


def agents(node: Node) -> list[AgentReport]:
    """The agents that run here."""
    reports = []
    for name, status in node.host.status().items():
        errors = sum(function.errors for function in status.functions)
        last = next((f.last_error for f in status.functions if f.last_error), None)
        reports.append(
            AgentReport(
                name=name,
                file=node.agent_files.get(name),
                state=status.state,
                published=sum(function.published for function in status.functions),
                errors=errors,
                last_error=last or status.reason,
            )
        )
    return reports


def traffic(node: Node) -> TrafficReport:
    """What this start of the node has sent and received."""
    latency = node.settling.latency
    return TrafficReport(
        accepted=node.publisher.accepted,
        refused=node.publisher.refused,
        commits=node.publisher.commits,
        settled=node.settling.delivered,
        dropped=node.publisher.dropped,
        expired=node.housekeeping.expired,
        received=node.inbound.counters["messages"],
        duplicates=node.inbound.counters["duplicate"],
        invalid=node.inbound.counters["invalid"],
        handshakes=node.handshakes.succeeded + node.handshakes.answered,
        handshakes_failed=node.handshakes.failed,
        jumps=node.numbering.jumps,
        p50_s=latency.percentile(0.5),
        p99_s=latency.percentile(0.99),
        latency_buckets=list(latency.buckets),
    )


NO_HUB_HEARD = (
    "mDNS hears no hub: it is down or on another network, or the link carries no multicast "
    "(then give its address with --peer)"
)


ENDING_S = 30 * 86_400.0
"""Before its end a membership that was not renewed is warned of: it has been due for three months."""
LISTEN_S = 3.0
"""After the start, until it is no surprise any more that nobody is heard."""


def troubles(node: Node) -> list[str]:
    """What is wrong with this node's own state: its disk, its files."""
    vault = [] if node.vault.trouble is None else [f"the vault: {node.vault.trouble}"]
    return [*node.file_troubles, *node.writer.store.troubles(), *vault, *_bootstrap(node)]


def _bootstrap(node: Node) -> list[str]:
    """What its start was not able to; what is said of the configuration, the key and the vault is said above."""
    sequence = node.startup.sequence
    return (
        []
        if sequence is None
        else sequence.attempt.troubles(but=(Step.CONFIGURATION, Step.IDENTITY, Step.KEYS))
    )


def warnings(node: Node) -> list[str]:
    """What a person should do something about."""
    found = troubles(node) + node.fullness.warnings()
    if (node.state.path / RECOVERY_NAME).exists():
        found.append(
            f"the mesh's recovery file is still on this machine: move {node.state.path / RECOVERY_NAME} to a safe place"
        )
    if node.trust.admission is not None and node.config.admission.open:
        found.append("admission is open: everybody who finds this hub becomes a member")
    found += _ending(node)
    found += [about_fork(fork) for fork in node.trust.forks]
    if node.numbering.warning:
        found.append(node.numbering.warning)
    found += [f"no session with a hub: {text}" for text in node.peers.complaints()]
    if node.peers.trouble:
        found.append(f"discovery does not work: {node.peers.trouble}")
    elif node.mdns is not None and _hears_no_hub(node):
        found.append(NO_HUB_HEARD)
    if node.uptime.wall_ms() is None:
        found.append("this machine's clock is not set; messages carry no time until it is")
    return found


def _ending(node: Node) -> list[str]:
    """This node's membership, where it ends soon and should have been renewed long ago."""
    own, at = node.trust.membership, node.trust.at()
    if own is None or at is None or at < own.not_after - ENDING_S:
        return []
    how = (
        "its mesh's recovery file renews it: kos-edge hub"
        if own.can_issue
        else "a hub renews it when they meet"
    )
    return [f"this node's membership ends at {time_text(own.not_after)}, and was not renewed: {how}"]


def _hears_no_hub(node: Node) -> bool:
    """Whether this node needs a hub, has a link with none, and hears of none by mDNS."""
    own = node.trust.membership
    seeks = node.trust.wish is not None if own is None else own.role is not Role.HUB
    linked = any(link.peer.role is Role.HUB for link in node.peers.links.values())
    heard = any(
        found.role is Role.HUB for sightings, _, _ in node.peers.seen().values() for found in sightings
    )
    settled = node.clock.monotonic() - node.started_at > LISTEN_S
    return seeks and settled and not linked and not heard


def delivered(node: Node, heard: Heard) -> Delivered:
    """One message as `tail` and `export` print it."""
    delivery = heard.delivery
    payload = delivery.payload
    member = node.trust.roster.get(delivery.source_kid)
    units = payload.units() if isinstance(payload, Data) else None
    report = Delivered(
        id=delivery.id,
        source=kid_text(delivery.source_kid, member.namespace if member else "device"),
        name=member.name if member else None,
        topic=delivery.topic,
        seq=delivery.seq,
        at=None if delivery.at is None else time_text(delivery.at),
        type=payload.NAME,
        body=value_to_json(payload.value()) if isinstance(payload, Data) else body_to_json(payload),
    )
    if member is not None and node.trust.barred(member):
        report["standing"] = standing_of(node.trust, member)
    if isinstance(units, str):
        report["unit"] = units
    elif units:
        report["unit"] = {name: unit for name, unit in units.items() if unit is not None}
    if delivery.late:
        report["late"] = True
    return report


def missing(node: Node, found: Missing) -> Delivered:
    """A run that will never come, as `tail` and `export` print it."""
    source = found.stream.source
    member = node.trust.roster.get(source)
    return Delivered(
        id=str(Position(found.stream, found.first)),
        source=kid_text(source, member.namespace if member else "device"),
        name=member.name if member else None,
        topic=None,
        seq=found.first,
        at=None if found.at is None else time_text(found.at),
        type="tombstone",
        body={
            "reason": _GONE[found.reason],
            "first": found.first,
            "last": found.last,
            "count": found.last - found.first + 1,
        },
    )


_GONE = {
    Removal.DROPPED: "dropped by policy",
    Removal.EXPIRED: "expired",
    Removal.REFUSED: "refused",
    Removal.DAMAGED: "damaged",
}
