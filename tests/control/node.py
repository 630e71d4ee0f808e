"""A small node behind a real control server: the verbs over plain lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from kos_edge.bootstrap.sequence import Chronicle, Outcome, Sequence, Step, begin
from kos_edge.control.bootstrap_reports import AgainReport, BootstrapReport
from kos_edge.control.letter_reports import DeadLetter, RetriedPart, RetryReport
from kos_edge.control.reports import (
    CarriedPart,
    CarriedReport,
    Delivered,
    FlowReport,
    ForecastReport,
    InvitationReport,
    JoinReport,
    Json,
    LeaveReport,
    MemberReport,
    PeerReport,
    PendingReport,
    PublishReport,
    QueueReport,
    RateReport,
    RejectReport,
    RevokeReport,
    StatusReport,
    StopReport,
)
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.node.bootstrap_operations import report
from kos_edge.node.config import Config
from kos_edge.node.vault_operations import NodeVaultOperations
from kos_edge.node.vaulting import NodeVault

KID = "kid:device:" + "ab" * 16
PUBLIC = "cd" * 32
MESH = "ef" * 32
AT = "2026-01-31T12:00:00.000Z"
LATER = "2026-01-31T13:00:00.000Z"


def _started() -> Chronicle:
    """A start in which one step has something to say."""
    begun = begin(Chronicle(), version="0.1.0", settings=b"", boot="", at=1_769_860_800)
    sequence = Sequence(begun)
    for step in Step:
        sequence.begin(step, 0.0)
        if step is Step.INTEGRITY:
            sequence.finish(step, 0.1, Outcome.DEGRADED, "changed: bin/kos-edge", "install it anew")
        else:
            sequence.finish(step, 0.1, Outcome.DONE, "well")
    return sequence.chronicle


CHRONICLE = _started()


class SmallNode(NodeVaultOperations):
    """Operations whose journal is a list, with what was asked of it kept in `asked`."""

    def __init__(self) -> None:
        super().__init__(NodeVault(Path("/nowhere"), Config(), lambda: None), Config())
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.journal: list[Delivered] = []
        self.arrived = asyncio.Event()
        self.open_tails = 0
        self.capacity = 1_000_000
        self.join_outcome = "joined"
        self.set_aside = 0

    async def status(self) -> StatusReport:
        return {
            "state": "/state",
            "version": "0.1.0",
            "name": "shed",
            "kid": KID,
            "public": PUBLIC,
            "words": "lusab-babad-gutih-tugad-mobil",
            "role": "hub",
            "mesh": MESH,
            "membership": "member",
            "admission": "invitation",
            "running": True,
            "pid": 4711,
            "uptime_s": 3725.0,
            "epoch": 3,
            "listening": ["udp [::]:5683"],
            "peers_known": 2,
            "peers_connected": 1,
            "queue": await self.queue(),
            "journal": {
                "messages": len(self.journal),
                "dropped": 0,
                "expired": 0,
                "bytes": 1_500_000,
                "oldest_at": AT,
                "limit_bytes": 1_000_000_000,
                "limit_age_s": 604800.0,
            },
            "agents": [
                {
                    "name": "greenhouse",
                    "file": "greenhouse.py",
                    "state": "running",
                    "published": 12,
                    "errors": 1,
                    "last_error": "OSError: no bus",
                }
            ],
            "traffic": {
                "accepted": 12,
                "refused": 0,
                "commits": 4,
                "settled": 10,
                "dropped": 0,
                "expired": 0,
                "received": 0,
                "duplicates": 0,
                "invalid": 0,
                "handshakes": 1,
                "handshakes_failed": 0,
                "jumps": 0,
                "p50_s": 0.11,
                "p99_s": 0.4,
                "latency_buckets": [0, 10],
            },
            "bootstrap": {"mode": "default", "reason": None, "failures": 0, "steps": {"services": "done"}},
            "health": "good",
            "warnings": ["the recovery file is still on this machine"],
        }

    async def peers(self) -> list[PeerReport]:
        peer: PeerReport = {
            "kid": KID,
            "name": "pump-house",
            "role": "edge",
            "standing": "member",
            "connected": True,
            "carrier": "udp",
            "address": "10.0.0.2:5683",
            "round_trip_s": 0.0042,
            "last_seen_at": AT,
            "found_by": "mdns",
            "registration": None,
            "expires_at": None,
            "state": None,
            "reason": None,
            "health": None,
        }
        return [peer]

    async def join(self, *, token: str | None = None, mesh: str | None = None) -> JoinReport:
        self.asked.append(("join", {"token": token, "mesh": mesh}))
        if token == "kos1-expired":
            raise Refused("the invitation has expired", hint="ask at the hub for another: kos-edge invite")
        return {
            "outcome": cast(Any, self.join_outcome),
            "mesh": MESH,
            "hub": KID,
            "name": "shed",
            "role": "edge",
            "words": "lusab-babad-gutih-tugad-mobil",
            "reason": "no hub answered" if self.join_outcome == "waiting" else None,
            "expires_at": None,
        }

    async def leave(self) -> LeaveReport:
        return {"mesh": MESH, "set_aside": self.set_aside}

    async def invite(
        self,
        *,
        uses: int = 1,
        seconds: float | None = 3600.0,
        replaces: str | None = None,
        role: str | None = None,
    ) -> InvitationReport:
        self.asked.append(
            ("invite", {"uses": uses, "seconds": seconds} | ({"replaces": replaces} if replaces else {}))
        )
        return {
            "token": "kos1-abcdef",
            "id": "0102030405060708",
            "uses": uses,
            "expires_at": LATER if seconds else None,
            "hub": KID,
            "mesh": MESH,
            "addresses": ["10.0.0.1:5683"],
        }

    async def allow(self, *, public: str, role: str = "edge", name: str | None = None) -> MemberReport:
        self.asked.append(("allow", {"public": public, "role": role, "name": name}))
        return {"kid": KID, "public": public, "name": name, "role": role, "expires_at": None}

    async def pending(self) -> list[PendingReport]:
        newcomer: PendingReport = {
            "kid": KID,
            "public": PUBLIC,
            "words": "lusab-babad-gutih-tugad-mobil",
            "name": "porch",
            "role": "edge",
            "address": "10.0.0.9:40000",
            "since": AT,
            "expires_at": LATER,
        }
        return [newcomer]

    async def admit(self, *, who: str, role: str | None = None, name: str | None = None) -> MemberReport:
        if who != "porch":
            raise Refused(f"nobody called {who} is waiting", hint="kos-edge pending")
        return {
            "kid": KID,
            "public": PUBLIC,
            "name": name or who,
            "role": role or "edge",
            "expires_at": LATER,
        }

    async def reject(self, *, who: str) -> RejectReport:
        return {"kid": KID, "name": who}

    async def revoke(self, *, who: str, reason: str | None = None) -> RevokeReport:
        self.asked.append(("revoke", {"who": who, "reason": reason}))
        return {"kid": KID, "name": who, "number": 1, "at": AT, "reason": reason}

    async def rename(self, *, who: str, name: str) -> MemberReport:
        return {"kid": KID, "public": PUBLIC, "name": name, "role": "edge", "expires_at": None}

    async def queue(self) -> QueueReport:
        return {
            "messages": 2,
            "bytes": 640,
            "limit_messages": 1_000_000,
            "limit_bytes": 512_000_000,
            "percent": 81.5,
            "when_full": "drop-oldest",
            "latest": 0,
            "oldest_at": AT,
            "in_flight": 1,
            "dead": 1,
            "dead_dropped": 2,
            "lanes": [
                {
                    "audience": "hub",
                    "priority": "normal",
                    "durable": True,
                    "order": "in-order",
                    "messages": 2,
                    "bytes": 640,
                    "dropped": 3,
                    "expired": 0,
                    "oldest_at": AT,
                }
            ],
            "forecast": {key: value for key, value in (await self.forecast()).items() if key != "card"},  # type: ignore[typeddict-item]
        }

    async def forecast(self) -> ForecastReport:
        arrives: RateReport = {"value": 12.5, "uncertainty": 0.5}
        size: RateReport = {"value": 4_000.0, "uncertainty": 100.0}
        flow: FlowReport = {
            "messages_in": arrives,
            "bytes_in": size,
            "messages_out": None,
            "bytes_out": None,
        }
        return {
            "measured_s": 60.0,
            "total": flow,
            "lanes": [
                {"audience": "hub", "priority": "normal", "durable": True, "order": "in-order", **flow},
                {"audience": "hub", "priority": "high", "durable": True, "order": "fresh-first", **flow},
            ],
            "full": {"seconds": 7_200.0, "low": 3_600.0, "high": None, "why": ""},
            "limit": "bytes",
            "limit_of": "the queue",
            "drain": {"seconds": None, "low": None, "high": None, "why": "nothing leaves now"},
            "at_limit": "new messages are refused; nothing that waits is dropped",
            "card": {
                "device": "mmcblk0",
                "kind": "SD",
                "size_bytes": 32_000_000_000,
                "written_bytes": 5_000_000_000,
                "bytes_a_day": 2_000_000_000.0,
                "own_bytes_a_day": 150_000_000.0,
                "measured_s": 86_400.0,
                "endurance_bytes": 3_200_000_000_000,
                "endurance_from": "100 times its size",
                "used": None,
                "failing": None,
                "left_s": 1_600 * 86_400.0,
                "why": "",
            },
        }

    async def queue_dead(self) -> AsyncGenerator[DeadLetter, None]:
        yield {
            "id": f"{'ab' * 16}.hub.5.0000000100000001.7",
            "topic": "air.temperature",
            "at": AT,
            "died_at": LATER,
            "reason": "refused by the hub: revoked",
            "attempts": 3,
            "body": 21.5,
        }

    async def queue_export(self, *, audience: str | None = None) -> AsyncGenerator[CarriedPart, None]:
        self.asked.append(("queue_export", {"audience": audience}))
        yield {"base64": "", "messages": 0, "of": 0, "left_out": 0}

    async def queue_import(self, *, base64: str) -> CarriedReport:
        self.asked.append(("queue_import", {"base64": base64}))
        raise Unavailable("this small node has no journal")

    async def queue_retry(self, *, id: str) -> RetryReport:
        return {"id": id}

    async def queue_retry_all(self, *, topic: str = "#") -> AsyncGenerator[RetriedPart, None]:
        self.asked.append(("queue_retry_all", {"topic": topic}))
        yield {"retried": 1, "expired": 0, "damaged": 0, "failure": None}
        full = {"kind": "unavailable", "message": "the queue is full", "hint": "kos-edge queue"}
        yield {"retried": 1, "expired": 1, "damaged": 0, "failure": cast(Any, full)}

    async def publish(
        self, *, topic: str, values: list[Json], unit: str | None = None, ttl_s: float | None = None
    ) -> PublishReport:
        self.asked.append(("publish", {"topic": topic, "values": len(values), "unit": unit, "ttl_s": ttl_s}))
        if " " in topic:
            raise Invalid(f"{topic!r} is no topic", hint="names joined by dots, such as air.temperature")
        ids: list[str] = []
        for value in values:
            if value == "too large":
                hint = "cut it into parts"
                broken = {"kind": "invalid", "message": "a message of 70,000 bytes", "hint": hint}
                return {"ids": ids, "failure": cast(Any, broken)}
            if len(self.journal) >= self.capacity:
                full = {"kind": "unavailable", "message": "the queue is full", "hint": "kos-edge queue"}
                return {"ids": ids, "failure": cast(Any, full)}
            ids.append(self.deliver(topic, value)["id"])
        return {"ids": ids, "failure": None}

    async def tail(self, *, filter: str = "#", from_start: bool = False) -> AsyncGenerator[Delivered, None]:
        at = 0 if from_start else len(self.journal)
        self.open_tails += 1
        self.arrived.set()
        try:
            while True:
                for message in self.journal[at:]:
                    yield message
                    at += 1
                self.arrived.clear()
                await self.arrived.wait()
        finally:
            self.open_tails -= 1
            self.arrived.set()

    async def export(
        self, *, topic: str = "#", since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[Delivered, None]:
        self.asked.append(("export", {"topic": topic, "since": since, "until": until}))
        for message in self.journal:
            yield message

    async def bootstrap_status(self) -> BootstrapReport:
        return report(CHRONICLE, running=True)

    async def bootstrap(
        self, *, mode: str = "default", force: bool = False, checks: bool = False, who: str | None = None
    ) -> AgainReport:
        if not force:
            raise Refused("it is in default mode, and nothing is amiss", hint="--force does it anyway")
        self.asked.append(("bootstrap", {"mode": mode, "checks": checks, "who": who}))
        return {"node": who or "shed", "said": f"{who or 'shed'} begins again in {mode} mode"}

    async def stop(self) -> StopReport:
        raise Unavailable("the daemon is busy")

    def deliver(self, topic: str, body: Json) -> Delivered:
        """Put a message in the journal, as if it had arrived."""
        seq = len(self.journal) + 1
        message: Delivered = {
            "id": f"{'ab' * 16}.hub.5.0000000100000001.{seq}",
            "source": KID,
            "name": "pump-house",
            "topic": topic,
            "seq": seq,
            "at": AT,
            "type": "data",
            "body": body,
        }
        self.journal.append(message)
        self.arrived.set()
        return message
