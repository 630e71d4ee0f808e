"""The executing side of a call: at most once by its id, one at a time per command, its outcome kept for a
day.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kos_edge.agents.answers import Answers
from kos_edge.agents.outcome import (
    ASK_ACTION,
    CALL_TOPIC,
    KEPT_S,
    Accepted,
    End,
    Outcome,
    Progress,
    of_break,
    of_error,
)
from kos_edge.agents.port import Bus, Delivery
from kos_edge.agents.signature import Parameter, check_arguments
from kos_edge.agents.tally import told
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.body import Intent
from kos_edge.klp.stream import Position
from kos_edge.said import Said

log = logging.getLogger("kos_edge.agents")

Report = Callable[[Progress], None]
Run = Callable[[Mapping[str, Any], Report], Awaitable[Any]]

_WAITING_AT_MOST = 64
"""Calls that wait for their turn at one command.
More is a flood: the next is told so and has certainly not run.
"""

_LAST_ANSWERS = 2.0
"""Seconds for which closing waits until the last answers are durable."""

_AGE_MARGIN_S = 600
"""Seconds. A call almost a day old may be forgotten while we are asked about it."""

_LOCAL_KEPT = 256
"""Outcomes of calls within this node that can still be asked for."""

_WAITS = b"waits"
_STARTED = b"started"
"""What is remembered of a call before it has an outcome (both are no CBOR list, so neither is an outcome)."""


@dataclass(slots=True)
class Offer:
    """A command that an agent of this node has. `ready` says why not, when it cannot be run now."""

    agent: str
    parameters: Sequence[Parameter]
    run: Run
    ready: Callable[[], str | None]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Commands:
    """Every command that this node offers, and every call of one that is under way."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._offers: dict[str, Offer] = {}
        self._running: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._local: OrderedDict[str, Outcome] = OrderedDict()

    def offers(self, action: str) -> bool:
        """Whether an agent of this node has the command."""
        return action in self._offers

    def actions(self) -> dict[str, str]:
        """Every command and the agent that has it."""
        return {action: offer.agent for action, offer in sorted(self._offers.items())}

    def offer(self, action: str, offer: Offer) -> None:
        """Raises Invalid when another agent has it."""
        if action in self._offers:
            raise Invalid(
                f"{offer.agent} and {self._offers[action].agent} both offer {action}", hint="rename one"
            )
        self._offers[action] = offer

    def withdraw(self, agent: str) -> None:
        """No more calls for this agent."""
        self._offers = {action: offer for action, offer in self._offers.items() if offer.agent != agent}

    async def handle(self, delivery: Delivery) -> None:
        """Take one intent from the bus: returns when the call is safely noted, not when it has run."""
        call = delivery.payload
        if not isinstance(call, Intent) or delivery.id in self._running:
            return
        if delivery.source_name == self._bus.node_name:
            return  # a call within this node does not travel; this one is for another
        answers = Answers(self._bus, delivery, call.action, self._answering)
        try:
            if delivery.topic != f"{CALL_TOPIC}.{call.action}":
                raise Refused("the intent and its topic name different actions")
            if call.action == ASK_ACTION:
                answers.say(await self._what_became_of(delivery, call.params))
            elif (kept := await self._bus.recall(delivery.id)) is not None:
                answers.say(_kept(kept, call.action))
            else:
                await self._take(delivery, call, answers)
        except KosError as error:
            answers.say(of_error(error, call.action))

    def run_local(
        self, id: str, action: str, params: Mapping[str, Any], report: Report
    ) -> asyncio.Task[Outcome]:
        """A call from an agent of this node: no bus between, the same rules."""
        return self._spawn(self._run_local(id, action, params, report), action)

    def local_outcome(self, id: str) -> Outcome:
        """What became of a call within this node."""
        if id in self._running:
            return Outcome(End.UNKNOWN, text=f"call {id} is still running", hint="ask again later")
        if id not in self._local:
            return Outcome(End.UNKNOWN, text=f"call {id} is not known any more")
        return self._local[id]

    async def close(self) -> None:
        """End what is under way: its callers are told that they cannot know."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._answering:
            await asyncio.wait(self._answering, timeout=_LAST_ANSWERS)

    async def _take(self, delivery: Delivery, call: Intent, answers: Answers) -> None:
        offer = self._find(call.action, call.params)
        id, expires = delivery.id, None
        if delivery.ttl_left is not None:
            expires = asyncio.get_running_loop().time() + delivery.ttl_left
        has_turn = not offer.turn.locked() and not offer.waiting
        await self._bus.remember(id, _STARTED if has_turn else _WAITS)
        answers.say(Accepted())
        self._running.add(id)
        noted = None if has_turn else id
        self._spawn(self._run(id, call, offer, expires, answers, noted), call.action)

    def _find(self, action: str, params: Mapping[str, Any]) -> Offer:
        offer = self._offers.get(action)
        if offer is None:
            raise Refused(f"nobody offers {action} on {self._bus.node_name}", hint=self._offered())
        check_arguments(action, offer.parameters, params)
        if (why_not := offer.ready()) is not None:
            raise Unavailable(f"{action} cannot be run now: {why_not}")
        if offer.waiting >= _WAITING_AT_MOST:
            raise Unavailable(f"{_WAITING_AT_MOST} calls of {action} are waiting already")
        return offer

    def _offered(self) -> str:
        return f"it offers {', '.join(sorted(self._offers))}" if self._offers else "it offers no commands"

    async def _run(
        self,
        id: str,
        call: Intent,
        offer: Offer,
        expires: float | None,
        answers: Answers,
        to_note: str | None,
    ) -> None:
        outcome = Outcome(End.UNKNOWN, text=f"{self._bus.node_name} stopped while {call.action} was running")
        try:
            outcome = await self._in_turn(call.action, call.params, offer, expires, answers.say, to_note)
        finally:
            answers.say(outcome)
            try:
                await self._bus.remember(id, outcome.to_bytes())
            except KosError as error:
                log.warning("outcome of call %s: %s", id, told(error), extra=Said.CALL_FAILED.of(call=id))
            self._running.discard(id)

    async def _run_local(self, id: str, action: str, params: Mapping[str, Any], report: Report) -> Outcome:
        outcome = Outcome(End.UNKNOWN, text=f"{self._bus.node_name} stopped while {action} was running")
        self._running.add(id)
        try:
            outcome = await self._in_turn(action, params, self._find(action, params), None, report, None)
        except KosError as error:
            outcome = of_error(error, action)
        finally:
            self._running.discard(id)
            self._local[id] = outcome
            if len(self._local) > _LOCAL_KEPT:
                self._local.popitem(last=False)
        return outcome

    async def _in_turn(
        self,
        action: str,
        params: Mapping[str, Any],
        offer: Offer,
        expires: float | None,
        report: Report,
        to_note: str | None,
    ) -> Outcome:
        """Run the command when its turn comes.

        `to_note`: the id of a call whose start is not yet remembered.
        """
        offer.waiting += 1
        try:
            await offer.turn.acquire()
        finally:
            offer.waiting -= 1
        try:
            if (outcome := await self._not_any_more(action, offer, expires, to_note)) is not None:
                return outcome
            value = await offer.run(params, report)
        except (Exception, SystemExit) as error:
            return of_break(error, action)
        finally:
            offer.turn.release()
        try:
            done = Outcome(End.DONE, value)
            done.to_bytes()
        except Invalid as error:
            return Outcome(End.UNKNOWN, text=f"{action} ran, but its result cannot be sent: {error.message}")
        return done

    async def _not_any_more(
        self, action: str, offer: Offer, expires: float | None, to_note: str | None
    ) -> Outcome | None:
        """Its turn has come; this is why it is not run after all, if so."""
        if expires is not None and asyncio.get_running_loop().time() >= expires:
            return Outcome(End.UNAVAILABLE, text=f"{action} was not run: its ttl ended before its turn came")
        if (why_not := offer.ready()) is not None:
            return Outcome(End.UNAVAILABLE, text=f"{action} was not run: {why_not}")
        if to_note is not None:
            try:
                await self._bus.remember(to_note, _STARTED)
            except KosError as error:
                return of_error(error, action)
        return None

    async def _what_became_of(self, delivery: Delivery, params: Mapping[str, Any]) -> Outcome:
        id = params.get("id")
        if not isinstance(id, str) or Position.parse(id).stream.source != delivery.source_kid:
            raise Refused("only the node that made a call may ask for its outcome")
        if id in self._running:
            return Outcome(End.UNKNOWN, text="the call is still running", hint="ask again later")
        kept = await self._bus.recall(id)
        if kept is not None:
            return _kept(kept, "the call")
        age = params.get("age_s")
        if isinstance(age, int) and age < KEPT_S - _AGE_MARGIN_S:
            outcome = Outcome(End.UNAVAILABLE, text="the call was never run, and will not be any more")
        else:
            text = "the call was never run, or is forgotten after a day; it will not be run any more"
            outcome = Outcome(End.UNKNOWN, text=text)
        await self._bus.remember(id, outcome.to_bytes())
        return outcome

    def _spawn(self, work: Any, action: str) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work, name=f"command {action}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _kept(kept: bytes, action: str) -> Outcome:
    if kept == _WAITS:
        return Outcome(End.UNAVAILABLE, text=f"{action} was not run: the node stopped before its turn came")
    if kept == _STARTED:
        return Outcome(End.UNKNOWN, text=f"{action} was interrupted: the node stopped while it ran")
    return Outcome.from_bytes(kept)
