"""`kos_edge.control.protocol.CarryOperations` over a node, a running one or one that was opened for this."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing

from kos_edge.control.arguments import bytes_of
from kos_edge.control.reports import CarriedPart, CarriedReport
from kos_edge.errors import Invalid, Refused
from kos_edge.klp.stream import check_audience
from kos_edge.mesh.roster import Roster
from kos_edge.node.node import Node


class NodeCarryOperations:
    """The queue in files."""

    def __init__(self, node: Node) -> None:
        self._of = node

    async def queue_export(self, *, audience: str | None = None) -> AsyncGenerator[CarriedPart, None]:
        """A file of what is owed, part by part."""
        node = self._of
        to = None if audience is None else audience_of(audience, node.trust.roster)
        if len(node.writer.store.latest):  # newest values get their numbers when they leave
            await node.open_epoch()
        async with aclosing(node.carrying.write(to)) as parts:
            async for part in parts:
                yield CarriedPart(
                    base64=b64encode(part.data).decode(),
                    messages=part.messages,
                    of=part.of,
                    left_out=part.left_out,
                )

    async def queue_import(self, *, base64: str) -> CarriedReport:
        """Take in some whole records of a file."""
        taken = await self._of.carrying.take(bytes_of(base64))
        return CarriedReport(
            carrier=taken.carrier,
            messages=taken.messages,
            gone=taken.gone,
            duplicates=taken.duplicates,
            refused=taken.refused,
            not_now=taken.not_now,
            for_others=taken.for_others,
            unknown=taken.unknown,
            quarantined=taken.quarantined,
            invalid=taken.invalid,
            settled=taken.settled,
            receipts=b64encode(taken.receipts).decode(),
            ended=taken.ended,
        )


def audience_of(text: str, roster: Roster) -> str:
    """An audience as it is written in streams: a role, `all`, `group:NAME`, or one member by name or kid."""
    word = text.strip()
    try:
        check_audience(word)
    except Invalid:
        pass
    else:
        return word
    try:
        return f"kid:{roster.who(word).hex()}"
    except Invalid as error:
        hint = "hub, edge, relay, operator, all, group:NAME, or a member: kos-edge peers"
        raise Refused(f"{word[:80]!r} is no audience ({error.message})", hint=hint) from None
