"""Numbering: this node's numbers stay above all that anybody holds of it, also when its state was put back from a copy.

What a peer says of its positions (`/sync`) is compared with what this node knows to have numbered. Where the peer
holds more, another life of this key has gone on from here: this node opens an epoch above, says so, and goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection
from dataclasses import replace

from kos_edge.delivery.wire import End, Synced
from kos_edge.errors import KosError
from kos_edge.klp.pack import Stream
from kos_edge.klp.stream import MAX_SEQ
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.policy import is_in
from kos_edge.node.settling import Settling
from kos_edge.node.trust import Trust
from kos_edge.said import Said
from kos_edge.store.store import Store
from kos_edge.store.takeover import Stand, forget_ends, renumber, take_over
from kos_edge.store.writer import Writer

MAX_LEAD = 1 << 16
"""Starts that a peer may have seen beyond ours: 65,536, one an hour for seven years. A peer cannot prove what it says
here, and must not be able to use the numbers up."""

MAX_JUMPS = 16
"""Jumps of one process: two devices with one key would else chase each other for ever."""

AGREED = (
    "agreed"  # in the store: the newest epoch of this node in which some peer held no more than it knew of
)

_COUNTER_BIT = 32  # an epoch is a counter of starts above 32 random bits

log = logging.getLogger(__name__)


class Numbering:
    """Watches over the epochs of this node. `jumps` counts the epochs that it went on in since it started."""

    def __init__(
        self,
        writer: Writer,
        trust: Trust,
        settling: Settling,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._writer = writer
        self._trust = trust
        self._settling = settling
        self._random = random
        self.jumps = 0
        self.renumbered = 0
        self.warning = ""

    async def believed(self, peer: Membership, synced: Synced) -> Synced:
        """What may be settled of a comparison: where this node is behind, not the word that an epoch is long over.

        The peer may have forgotten which epochs those were, and one that was opened here since the copy was made is
        then no other to it: nobody has what was sealed in it.
        """
        ends, above, agreed = await self._writer.read(lambda store: self._stand(store, peer, synced))
        if ends or above:
            kept = tuple(r for r in synced.receipts if r.held < MAX_SEQ or r.stream.epoch <= agreed)
            return replace(synced, receipts=kept)
        epoch = self._writer.store.outbox.epoch
        if agreed != epoch:
            with contextlib.suppress(KosError):  # the next comparison says the same
                await self._writer.run(lambda store: store.database.put(AGREED, epoch.to_bytes(8, "big")))
        return synced

    async def compare(self, peer: Membership, synced: Synced, offered: Collection[Stream]) -> bool:
        """Take what the peer says of our positions; True where this node was behind and has jumped ahead.

        What it still owes is then another: the caller compares again.
        """
        ends, above = await self._writer.read(lambda store: self._beyond(store, peer, synced))
        former = [stream for stream in offered if stream.source != self._trust.kid]
        if former and await self._seal_by_new_key(former):
            return True
        if (not ends and not above) or self.jumps >= MAX_JUMPS:
            return False
        await self._settling.flush()
        taken = {r.stream for r in synced.receipts if r.held or r.ranges}
        unseen = [stream for stream in offered if stream not in taken and not self._settling.left(stream)]
        moved = await self._writer.run(lambda store: self._jump(store, peer, ends, above, unseen))
        self.jumps += 1
        self.renumbered += moved
        self.warning = (
            f"{peer.name} holds what this key sent after this state was written: the card was put back from a copy,"
            " or another device has a copy of it. This node goes on above that."
            " If there are two, keep one running: kos-edge rekey, there"
        )
        log.warning(
            "%s (%d messages were numbered anew)",
            self.warning,
            moved,
            extra=Said.RENUMBERED.of(count=moved),
        )
        return True

    async def _seal_by_new_key(self, streams: list[Stream]) -> bool:
        """What an earlier key of this node has sealed and the peer does not hold is sealed again by the present one."""
        await self._settling.flush()
        moved = await self._writer.run(lambda store: self._renumber(store, streams))
        self.renumbered += moved
        if moved:
            log.info(
                "%d messages that an earlier key had sealed are sealed again",
                moved,
                extra=Said.RENUMBERED.of(count=moved),
            )
        return moved > 0

    async def leave_behind(self, peer: Membership, stream: Stream) -> bool:
        """A receiver has something else of ours at places of `stream`: what is owed of it is numbered anew.

        Whether anything was. Of the open epoch at most `MAX_JUMPS` times: a peer that refuses whatever it is shown
        must not use the epochs up. What is owed stays owed, and is offered as it is.
        """
        await self._settling.flush()
        before = self._writer.store.outbox.epoch
        if stream.epoch == before and self.jumps >= MAX_JUMPS:
            self._refuses_all(peer)
            return False
        moved = await self._writer.run(lambda store: self._leave(store, stream))
        self.jumps += self._writer.store.outbox.epoch != before
        if moved:
            self.renumbered += moved
            log.warning(
                "%d messages are numbered anew: their places were taken by others",
                moved,
                extra=Said.RENUMBERED.of(count=moved),
            )
        return moved > 0

    def _refuses_all(self, peer: Membership) -> None:
        warning = (
            f"{peer.name} has refused {MAX_JUMPS} times what this node sent, as if another had numbered it before:"
            " what is owed to it stays in the queue. If it is right about that: kos-edge rekey. Else look at it,"
            " and start this node anew"
        )
        if self.warning != warning:
            log.error("%s", warning, extra=Said.FORK.of(peer=peer.name))
        self.warning = warning

    def accused(self, peer: Membership) -> None:
        """The peer takes nothing of this node: two devices sign with its key."""
        warning = (
            f"{peer.name} holds proof that two devices sign with the key of this node, and takes nothing of it."
            f" If this is the right one: kos-edge invite --replaces {self._trust.name}, at the hub,"
            " then kos-edge rekey TOKEN here; switch the other one off"
        )
        if self.warning != warning:
            log.error("%s", warning, extra=Said.FORK.of(peer=peer.name))
        self.warning = warning

    def _beyond(self, store: Store, peer: Membership, synced: Synced) -> tuple[list[End], int]:
        """The lanes in which the peer holds more than we know of, and the epoch to go above, 0 for no need."""
        most = ((store.outbox.epoch >> _COUNTER_BIT) + MAX_LEAD) << _COUNTER_BIT
        if synced.epoch > most:
            log.warning(
                "%s speaks of a start of this node that cannot be",
                peer.name,
                extra=Said.PEER_WRONG.of(peer=peer.name),
            )
        ends = [
            end
            for end in synced.ends
            if end.epoch <= most and is_in(peer, end.audience) and self._is_beyond(store, end)
        ]
        return ends, synced.epoch if store.outbox.epoch < synced.epoch <= most else 0

    def _stand(self, store: Store, peer: Membership, synced: Synced) -> tuple[list[End], int, int]:
        """What `_beyond` says, and the epoch in which a peer last held no more than this node knew of."""
        agreed = store.database.get(AGREED)
        return (*self._beyond(store, peer, synced), int.from_bytes(agreed, "big") if agreed else 0)

    def _is_beyond(self, store: Store, end: End) -> bool:
        row = store.streams.find(self._stream(end))
        if row is None or row.held < end.held:
            return True
        other = None not in (row.hash, end.hash) and row.hash != end.hash
        return row.held == end.held and other

    def _stream(self, end: End) -> Stream:
        return Stream(self._trust.kid, end.audience, end.cls, end.epoch)

    def _jump(self, store: Store, peer: Membership, ends: list[End], above: int, unseen: list[Stream]) -> int:
        again = [stream for stream in unseen if self._nobody_has(store, stream)]
        stands = [
            Stand(self._stream(end), end.held, end.hash if self._may_name(store, peer, end, again) else None)
            for end in ends
        ]
        for stream in again:
            forget_ends(store, stream)
        take_over(store, stands, self._random, above=above)
        return self._renumber(store, again)

    def _leave(self, store: Store, stream: Stream) -> int:
        row = store.streams.find(stream)
        if row is None or row.settled == row.held or stream.source != self._trust.kid:
            return 0
        forget_ends(store, stream)
        if stream.epoch == store.outbox.epoch:
            store.outbox.open_epoch(self._random)
        return self._renumber(store, [stream])

    def _renumber(self, store: Store, streams: list[Stream]) -> int:
        mesh = self._trust.mesh
        return 0 if mesh is None else renumber(store, self._trust.key, mesh, streams)

    @staticmethod
    def _nobody_has(store: Store, stream: Stream) -> bool:
        row = store.streams.find(stream)
        return row is not None and row.settled == 0

    def _may_name(self, store: Store, peer: Membership, end: End, again: list[Stream]) -> bool:
        """Whether the next pack may name this end as what comes before it.

        If there is a second device with this key, that is what proves it as soon as it goes on from there too. Never
        where this key has signed later ones in the lane: that would speak against itself. Nor where another receiver
        may hold more than this peer does: a card that was put back and is alone would look like two.
        """
        if end.hash is None:
            return False
        stream = self._stream(end)
        row = store.streams.find(stream)
        if row is not None and row.held >= end.held:
            return False
        lane = (stream.source, stream.audience, stream.cls)
        later = (
            other.stream
            for other in store.streams
            if (other.stream.source, other.stream.audience, other.stream.cls) == lane
            and other.held
            and other.stream.epoch > end.epoch
        )
        if any(other not in again for other in later):
            return False
        readers = self._trust.roster.of(end.audience)
        return all(m.kid in (peer.kid, self._trust.kid) or self._trust.revoked(m) for m in readers)
