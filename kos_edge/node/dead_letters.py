"""Dead letters: how they are shown, and how they get back into the queue, with the time that they had.

What is retried has the letter's own time, or none where that is not known; it pushes nothing out of the queue; and it
stops being a letter in the transaction that makes it a message again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from kos_edge.control.letter_reports import DeadLetter, RetriedPart
from kos_edge.control.wire import failure
from kos_edge.delivery.wire import Reason
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.body import Data
from kos_edge.klp.body import to_json as body_to_json
from kos_edge.klp.jsonform import time_text
from kos_edge.klp.jsonform import to_json as value_to_json
from kos_edge.klp.message import decode_message
from kos_edge.klp.pack import Message, Position
from kos_edge.klp.table import Entry
from kos_edge.klp.topic import matches
from kos_edge.node.accepted import LATEST, Accepted, Again, Newest
from kos_edge.node.attempts import MOST
from kos_edge.store.records import Dead
from kos_edge.store.store import Store

if TYPE_CHECKING:
    import asyncio

    from kos_edge.node.node import Node

PAGE = 256
"""Letters that are handed in at once: one commit, and a word of progress."""

_REASONS = {
    int(Reason.DROPPED): "its mesh was left before it was delivered",
    int(Reason.EXPIRED): "its ttl ran out",
    int(Reason.REFUSED): "the receiver's policy does not allow it",
    int(Reason.DAMAGED): "damaged",
    int(Reason.MALFORMED): "it breaks the grammar of messages",
    int(Reason.FORKED): "another message was signed for its place",
    int(Reason.HANDLER): "its handler failed at every attempt",
}


def message_of(letter: Dead) -> Message:
    """The message in a dead letter. Raises Invalid where it is damaged."""
    return decode_message(letter.message, (Entry(letter.topic),))


def report(letter: Dead) -> DeadLetter:
    """A dead letter as `queue dead` prints it."""
    payload = message_of(letter).payload
    return DeadLetter(
        id=letter.id,
        topic=letter.topic,
        at=None if letter.stamped is None else time_text(letter.stamped),
        died_at=time_text(letter.at) if letter.at else None,
        reason=_REASONS.get(letter.reason, f"refused, reason {letter.reason}"),
        attempts=MOST if letter.reason == Reason.HANDLER else 1,
        body=value_to_json(payload.value()) if isinstance(payload, Data) else body_to_json(payload),
    )


def retry(node: Node, letter: Dead) -> asyncio.Future[Accepted]:
    """Hand a letter in again; the future has its new place once it is synced.

    Raises Refused where its ttl has run out, Unavailable where the queue is full, or where it has a time and the clock
    of this node has none: it could not be told.
    """
    message, wall_ms = message_of(letter), node.uptime.wall_ms()
    stamped = letter.stamped
    if stamped is not None and wall_ms is None:
        raise Unavailable(
            f"the clock is not set, so that {letter.id} would lose its time",
            hint="when it is: the same again",
        )
    ttl_s = message.ttl_s
    if (
        stamped is not None
        and wall_ms is not None
        and ttl_s is not None
        and wall_ms >= stamped + ttl_s * 1000
    ):
        raise Refused(f"{letter.id} was for {ttl_s:,} s only, and those are over")
    return node.publisher.enqueue(
        message.topic,
        message.payload,
        audience=_audience_of(letter.id),
        at=None if stamped is None else stamped / 1000,
        ttl_s=ttl_s,
        correlation=message.correlation,
        category=message.category,
        linger_s=0.0,
        again=Again(letter.id, stamped is not None),
    )


async def retry_all(node: Node, filter: str, *, running: bool) -> AsyncGenerator[RetriedPart, None]:
    """Hand in again what there is now on topics that `filter` matches, in order, and say how far it is.

    What has expired or is damaged stays a letter. It ends before anything that does not go now, such as into a full
    queue: the last part says why.
    """
    last = await node.writer.read(lambda store: store.records.last_dead())
    part = RetriedPart(retried=0, expired=0, damaged=0, failure=None)
    after = 0
    while part["failure"] is None:
        page = await node.writer.read(partial(_page, after, last))
        if not page:
            break
        after = page[-1].number
        waiting: deque[asyncio.Future[Accepted]] = deque()
        for letter in page:
            if not matches(filter, letter.topic):
                continue
            try:
                waiting.append(retry(node, letter))
            except Refused:
                part["expired"] += 1
            except Invalid:
                part["damaged"] += 1
            except KosError as error:
                part["failure"] = failure(error)
                break
        if not running:
            await node.publisher.flush()
        for future in waiting:
            try:
                await future
                part["retried"] += 1
            except KosError as error:
                part["failure"] = failure(error)
        yield part.copy()


def _page(after: int, last: int, store: Store) -> list[Dead]:
    return [letter for letter in store.records.dead(after, PAGE) if letter.number <= last]


def _audience_of(ident: str) -> str:
    """Whom a message was for, by its id."""
    if ident.startswith(LATEST):
        return Newest.audience_of(ident)
    return Position.parse(ident).stream.audience
