"""Verbs that are one question and one answer, wherever they are asked: at a daemon's socket, or at a hub from afar."""

from __future__ import annotations

from typing import cast

from kos_edge.control.reports import (
    ForecastReport,
    InvitationReport,
    Json,
    MemberReport,
    PeerReport,
    PendingReport,
    QueueReport,
    RejectReport,
    RevokeReport,
    StatusReport,
)


class Asking:
    """A part of `kos_edge.control.protocol.Operations`, over `_ask`."""

    async def _ask(self, verb: str, **params: Json) -> Json:
        """The answer to a verb. Raises what the other side says, Unavailable where nobody answers."""
        raise NotImplementedError

    async def status(self) -> StatusReport:
        return cast(StatusReport, await self._ask("status"))

    async def peers(self) -> list[PeerReport]:
        return cast(list[PeerReport], await self._ask("peers"))

    async def invite(
        self,
        *,
        uses: int = 1,
        seconds: float | None = 3600.0,
        replaces: str | None = None,
        role: str | None = None,
    ) -> InvitationReport:
        place = {name: value for name, value in (("replaces", replaces), ("role", role)) if value is not None}
        return cast(InvitationReport, await self._ask("invite", uses=uses, seconds=seconds, **place))

    async def allow(self, *, public: str, role: str = "edge", name: str | None = None) -> MemberReport:
        return cast(MemberReport, await self._ask("allow", public=public, role=role, name=name))

    async def pending(self) -> list[PendingReport]:
        return cast(list[PendingReport], await self._ask("pending"))

    async def admit(self, *, who: str, role: str | None = None, name: str | None = None) -> MemberReport:
        return cast(MemberReport, await self._ask("admit", who=who, role=role, name=name))

    async def reject(self, *, who: str) -> RejectReport:
        return cast(RejectReport, await self._ask("reject", who=who))

    async def revoke(self, *, who: str, reason: str | None = None) -> RevokeReport:
        return cast(RevokeReport, await self._ask("revoke", who=who, reason=reason))

    async def rename(self, *, who: str, name: str) -> MemberReport:
        return cast(MemberReport, await self._ask("rename", who=who, name=name))

    async def queue(self) -> QueueReport:
        return cast(QueueReport, await self._ask("queue"))

    async def forecast(self) -> ForecastReport:
        return cast(ForecastReport, await self._ask("forecast"))
