"""The caller's side of a call: `Call` is what an author holds, `Calls` joins it to the bus.

The rules, and nothing else, are in `waiting`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from itertools import count
from typing import Any

from kos_edge.agents.commands import Commands
from kos_edge.agents.outcome import (
    ASK_ACTION,
    CALL_TOPIC,
    End,
    Outcome,
    Progress,
    from_payload,
    of_error,
)
from kos_edge.agents.port import Bus, Delivery
from kos_edge.agents.waiting import AGAIN, Waiting
from kos_edge.errors import Invalid, KosError, Unavailable
from kos_edge.klp.body import Intent
from kos_edge.klp.stream import Position
from kos_edge.said import Said

log = logging.getLogger("kos_edge.agents")

CALL_TIMEOUT = 30.0
"""Seconds that a caller waits when it does not say: long enough for a slow valve, short enough for a
person.
"""

_PROGRESS_KEPT = 64
"""Progress reports that wait for a slow reader; beyond it the oldest gives way."""


_MADE_KEPT = 1024
"""Calls of this process whose age we know when asked about them."""


class Call:
    """A call on its way. `await` it for the value; `async for` over it for progress.

    Both raise Refused (it will never be done), Unavailable (it was certainly not run) or Unknown (it may or
    may not have run; ask again by `id`).
    """

    def __init__(self, action: str, node: str | None) -> None:
        self.action = action
        self.node = node
        self.id: str | None = None
        """The call's id, once the bus has accepted it."""
        self._outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._progress: asyncio.Queue[Progress | None] = asyncio.Queue()
        self._is_watched = False

    def __await__(self) -> Generator[Any, None, Any]:
        self._is_watched = True
        outcome = yield from asyncio.shield(self._outcome).__await__()
        return outcome.result()

    async def __aiter__(self) -> AsyncIterator[Any]:
        self._is_watched = True
        while (report := await self._progress.get()) is not None:
            yield report.value
        self._progress.put_nowait(None)
        self._outcome.result().result()

    def __del__(self) -> None:
        if not self._is_watched and self._outcome.done() and not self._outcome.cancelled():
            outcome = self._outcome.result()
            if outcome.end is not End.DONE:
                log.warning(
                    "a call that nobody awaited ended as %s: %s",
                    outcome.end.value,
                    outcome.text,
                    extra=Said.CALL_FAILED.of(),
                )

    def done(self) -> bool:
        """Whether the outcome is there."""
        return self._outcome.done()

    def report(self, progress: Progress) -> None:
        """Hand on progress to whoever iterates."""
        if self._progress.qsize() >= _PROGRESS_KEPT:
            self._progress.get_nowait()
        self._progress.put_nowait(progress)

    def settle(self, outcome: Outcome) -> None:
        """The end: the first outcome counts."""
        if not self._outcome.done():
            self._outcome.set_result(outcome)
            self._progress.put_nowait(None)


class Calls:
    """Every call that this node has under way."""

    def __init__(self, bus: Bus, commands: Commands) -> None:
        self._bus = bus
        self._commands = commands
        self._waiting: dict[str, tuple[Waiting, Call, asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = 0
        self._early: dict[str, list[Delivery]] = {}
        self._made: OrderedDict[str, float] = OrderedDict()
        self._local_ids = count(1)

    def call(
        self,
        action: str,
        params: Mapping[str, Any],
        *,
        node: str | None = None,
        timeout_s: float = CALL_TIMEOUT,
        ttl_s: float | None = None,
    ) -> Call:
        """Start a call.

        Without a node it goes to an agent of this node that has the command, else to the hub.
        """
        call = Call(action, node)
        ttl = max(1, math.ceil(timeout_s if ttl_s is None else ttl_s))
        self._start(call, lambda: self._place(call, params, timeout_s, ttl))
        return call

    def ask(self, id: str, *, timeout_s: float = CALL_TIMEOUT) -> Call:
        """Ask what became of the call `id`.

        If it never ran, it never will: asking withdraws it (Unavailable).
        """
        call = Call(ASK_ACTION, None)
        if id.startswith(_LOCAL):
            call.id = id
            call.settle(self._commands.local_outcome(id))
            return call
        ttl = max(1, math.ceil(timeout_s))
        self._start(call, lambda: self._ask(call, id, timeout_s, ttl))
        return call

    async def handle(self, delivery: Delivery) -> None:
        """Take an answer from the bus; one that nobody waits for is dropped."""
        if delivery.correlation is None:
            return
        held = self._waiting.get(delivery.correlation)
        if held is None:
            if self._sending:  # it may answer a call whose id we are about to learn
                self._early.setdefault(delivery.correlation, []).append(delivery)
            return
        waiting, call, changed = held
        try:
            answer = from_payload(delivery.payload)
        except Invalid:
            return
        waiting.answered(answer)
        if isinstance(answer, Progress):
            call.report(answer)
        changed.set()

    async def close(self) -> None:
        """Nobody waits any longer: what has no outcome yet is Unknown."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, call: Call, drive: Callable[[], Coroutine[Any, Any, Outcome]]) -> None:
        task = asyncio.get_running_loop().create_task(self._settle(call, drive), name=f"call {call.action}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, call: Call, drive: Callable[[], Coroutine[Any, Any, Outcome]]) -> None:
        try:
            outcome = await drive()
        except KosError as error:
            outcome = of_error(error, call.action)
        except asyncio.CancelledError:
            call.settle(Outcome(End.UNKNOWN, text=f"this node stopped while {call.action} was under way"))
            raise
        call.settle(outcome)

    async def _place(self, call: Call, params: Mapping[str, Any], timeout_s: float, ttl_s: int) -> Outcome:
        action, node = call.action, call.node
        local = node is None and self._commands.offers(action)
        audience = None if local else self._bus.audience(node)
        if audience is not None:
            intent = Intent(action, params, timeout_ms=math.ceil(timeout_s * 1000))
            waiting = Waiting(f"{action} on {node or audience}", timeout_s=timeout_s, ttl_s=ttl_s, now=_now())
            return await self._send(waiting, call, intent, audience, ttl_s)
        call.id = f"{_LOCAL}{next(self._local_ids)}"
        running = self._commands.run_local(call.id, action, params, call.report)
        done, _ = await asyncio.wait([running], timeout=timeout_s)
        if not done:
            return Outcome(End.UNKNOWN, text=f"{action} did not end within {timeout_s:g} s", hint=AGAIN)
        return running.result()

    async def _ask(self, call: Call, id: str, timeout_s: float, ttl_s: int) -> Outcome:
        params: dict[str, Any] = {"id": id}
        if id in self._made:
            params["age_s"] = math.ceil(_now() - self._made[id])
        waiting = Waiting(f"the question about {id}", timeout_s=timeout_s, ttl_s=ttl_s, now=_now())
        try:
            audience = Position.parse(id).stream.audience
            outcome = await self._send(waiting, call, Intent(ASK_ACTION, params), audience, ttl_s)
        except Unavailable as error:
            outcome = of_error(error, ASK_ACTION)
        if waiting.is_answered:
            return outcome
        # That nobody got our question says nothing of the call that it was about.
        return Outcome(End.UNKNOWN, text=outcome.text, hint=AGAIN)

    async def _send(self, waiting: Waiting, call: Call, intent: Intent, audience: str, ttl_s: int) -> Outcome:
        self._sending += 1
        try:
            topic = f"{CALL_TOPIC}.{intent.action}"
            id = await self._bus.publish(topic, intent, audience=audience, ttl_s=ttl_s)
        finally:
            self._sending -= 1
        call.id = id
        self._made[id] = _now()
        if len(self._made) > _MADE_KEPT:
            self._made.popitem(last=False)
        waiting.sent()
        changed = asyncio.Event()
        self._waiting[id] = (waiting, call, changed)
        try:
            for early in self._early.pop(id, []):
                await self.handle(early)
            if not self._sending:
                self._early.clear()
            while waiting.outcome is None:
                changed.clear()
                try:
                    async with asyncio.timeout_at(waiting.at):
                        await changed.wait()
                except TimeoutError:
                    waiting.look(max(_now(), waiting.at), self._bus.fate(id))
            return waiting.outcome
        finally:
            del self._waiting[id]


def _now() -> float:
    return asyncio.get_running_loop().time()


_LOCAL = "local."
