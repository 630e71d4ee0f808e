"""What a node knows of getting to one other node: where it may be, and when to try again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

from kos_edge.discovery.sighting import Found
from kos_edge.mesh.claims import Role
from kos_edge.node.trust import Trust
from kos_edge.said import Said
from kos_edge.transport.session import Session

RETRY_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # pauses between tries at one peer; a power cut ends for all at once
UNMET = 16  # nodes only found are met at a time: whoever forges records causes no more tries than that
JITTER = 0.3  # share of a pause that is drawn by lot, so that a thousand nodes do not knock together

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Wanted:
    """One node, known by its kid or, where it was given by hand, by its address alone. Times are monotonic."""

    found: list[Found] = field(default_factory=list)
    tries: int = 0
    next_try: float = 0.0
    trying: bool = False
    complaint: str = ""
    declined: bool = False  # said so once: a peer that turns us away does so at every try
    stream_after: float = 0.0
    seen_at: float | None = None
    tried_at: float = float("-inf")
    doubted: Session | None = None  # it may be dead: a new one beside it is no mere meeting

    @property
    def places(self) -> set[tuple[str, int]]:
        """Host and port of everywhere that it is said to be."""
        return {(hint.host, hint.port) for found in self.found for hint in found.addresses}

    def postpone(self, now: float, lot: float) -> None:
        """A try has failed: the next one after a pause, a little shorter by `lot` (0 to 1)."""
        pause = RETRY_S[min(self.tries, len(RETRY_S) - 1)]
        self.tries += 1
        self.next_try = now + pause * (1 - JITTER * lot)

    def complain(self, text: str, level: int) -> None:
        """Say what stands in the way; the same again is for those who debug."""
        log.log(
            level if text != self.complaint else logging.DEBUG, "%s", text, extra=Said.PEER_NOT_REACHED.of()
        )
        self.complaint = text


def unmet(known: Mapping[bytes, Wanted], trust: Trust) -> list[bytes]:
    """Nodes of this mesh, or hubs that may be, that were found and never met: meeting them makes them known.

    Beside those that are tried now, whoever was tried longest ago: so each has its turn, however many are forged.
    """
    strangers = [(kid, wanted) for kid, wanted in known.items() if kid not in trust.roster]
    room = UNMET - sum(wanted.trying for _, wanted in strangers)
    waiting = [
        (wanted.tried_at, kid)
        for kid, wanted in strangers
        if not wanted.trying and any(_is_worth_meeting(sighting, trust) for sighting in wanted.found)
    ]
    return [kid for _, kid in nsmallest(max(0, room), waiting, key=lambda one: one[0])]


def _is_worth_meeting(found: Found, trust: Trust) -> bool:
    own = trust.membership
    if found.mesh_prefix is not None:
        return found.mesh_prefix == (trust.mesh or b"")[:8]
    return found.role is Role.HUB and own is not None and own.role is not Role.HUB
