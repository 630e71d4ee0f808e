"""Several ways to one peer, of which only some lead there: begun one after the other, not ended (RFC 8305)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from kos_edge.transport.address import Address

HEAD_START_S = 0.5
"""Of a way before the next is tried beside it: most addresses of a machine lead elsewhere, and that takes seconds."""
MOST = 32
"""Ways in one round, whatever is said meanwhile."""

T = TypeVar("T")
Way = Callable[[], Awaitable[T | None]]


async def first_of(
    next_way: Callable[[], Awaitable[Way[T] | None]],
    *,
    spare: Callable[[T], None],
    head_start: float = HEAD_START_S,
) -> T | None:
    """What the first way gives that leads somewhere; None when none does, and `next_way` knows no other.

    Each begins when one before it has failed, or `head_start` seconds after the last. The others are then cancelled;
    what one of them had reached by then goes to `spare`.
    """
    running: list[asyncio.Future[T | None]] = []
    begun = 0
    try:
        while True:
            way = await next_way() if begun < MOST else None
            if way is not None:
                running.append(asyncio.ensure_future(way()))
                begun += 1
            elif not running:
                return None
            await asyncio.wait(running, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                running.remove(task)
                reached = task.result()
                if reached is not None:
                    return reached
    finally:
        for task in running:
            task.cancel()
        for late in await asyncio.gather(*running, return_exceptions=True):
            if late is not None and not isinstance(late, BaseException):
                spare(late)


def ways_to(
    first: Iterable[Address],
    *,
    said: Callable[[], object],
    others: Callable[[], Awaitable[list[Address]]],
    most: int,
    reach: Callable[[Address], Awaitable[T | None]],
) -> Callable[[], Awaitable[Way[T] | None]]:
    """The ways of one round for `first_of`: those in `first`, then at most so many of the others.

    Of the others as they are now: they are asked for again when what is `said` of the peer has changed, None for never.
    """
    waiting, begun, left = list(dict.fromkeys(first)), set[Address](), most
    own, heard = frozenset(waiting), object()

    async def next_way() -> Way[T] | None:
        nonlocal heard, left
        if (now := said()) is not None and now != heard:
            heard = now
            waiting.extend(address for address in await others() if address not in waiting)
        while waiting:
            address = waiting.pop(0)
            if address in begun:
                continue
            if address not in own:
                if not left:
                    return None
                left -= 1
            begun.add(address)
            return partial(reach, address)
        return None

    return next_way
