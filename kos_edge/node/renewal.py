"""A new membership of this node's own: tried in a handshake before it takes the place of the one that works.

It comes from a hub, months before the end of the old one or because a person renamed the node. It was verified; and
still a peer may see that otherwise, for a clock, a revocation or a mistake. So the old one stays until a peer has
accepted the new one in a handshake, and where the old one works and the new one does not, the new one is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kos_edge.errors import KosError
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.said import Said
from kos_edge.store.store import Store

if TYPE_CHECKING:
    from kos_edge.node.peers import Peers

LOOK_S = 3_600.0
"""How often a node looks whether its membership is to be renewed: that is months ahead."""
KEY = "candidate"
"""Of the membership in the store, while it is not tried."""

log = logging.getLogger(__name__)


class Renewal:
    """What this node was given. `take` puts it in the old one's place, `keep` brings a change of the store to disk."""

    def __init__(
        self, take: Callable[[Membership], None], keep: Callable[[Callable[[Store], None]], None]
    ) -> None:
        self._take = take
        self._keep = keep
        self.candidate: Membership | None = None
        self.refused: Membership | None = None
        """The one that did not work: given once more, it is not tried again."""
        self.offered = asyncio.Event()

    def offer(self, old: Membership, new: Membership) -> bool:
        """A verified membership of this node's key; whether it will be tried."""
        best = self.candidate or old
        if new.rank <= best.rank or (self.refused is not None and new.cwt == self.refused.cwt):
            return False
        self.candidate = new
        self._keep(lambda store: store.database.put(KEY, new.cwt))
        self.offered.set()
        return True

    def worked(self) -> None:
        """A peer has accepted it."""
        new, self.candidate = self.candidate, None
        if new is not None:
            self._keep(lambda store: store.database.put(KEY, None))
            self._take(new)
            log.info(
                "the new membership as %s (%s) works, and is taken up",
                new.name,
                new.role.text,
                extra=Said.RENEWED.of(),
            )

    def failed(self, why: KosError) -> None:
        """A peer has refused it and accepted the old one."""
        self.refused, self.candidate = self.candidate, None
        self._keep(lambda store: store.database.put(KEY, None))
        log.warning(
            "a new membership is not taken up, for it does not work: %s. The old one stays",
            why.message,
            extra=Said.RENEWAL_FAILED.of(),
        )

    def clear(self) -> None:
        """The mesh is left."""
        self.candidate = self.refused = None


def is_tried(member: Membership) -> bool:
    """Whether a new membership of this sort is tried first; a hub's comes from the authority, on its own machine."""
    return member.role is not Role.HUB


class Renewing:
    """Sees to it that a new membership is asked for in time, and tried as soon as it is here.

    `own` is what the node has now, `at` its time floor.
    """

    def __init__(
        self,
        renewal: Renewal,
        peers: Peers,
        own: Callable[[], Membership | None],
        at: Callable[[], float | None],
    ) -> None:
        self._renewal = renewal
        self._peers = peers
        self._own = own
        self._at = at

    async def run(self) -> None:
        """For as long as the node lives."""
        while True:
            self._renewal.offered.clear()
            own = self._own()
            wanted = own is not None and (self._renewal.candidate or own.renewal_due(self._at()))
            if own is not None and is_tried(own) and wanted:
                self._meet_hubs()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._renewal.offered.wait()

    def _meet_hubs(self) -> None:
        """A handshake with each hub that is connected: beside the session, or in the place of one on a stream."""
        for link in self._peers.links.values():
            if link.peer.role is Role.HUB:
                if link.session.address.connection is None:
                    self._peers.hinted(link.session)
                else:
                    link.session.close("a new handshake renews the membership")
