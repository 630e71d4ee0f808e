"""The author's side: an `Agent` is a plain object with decorators.

    agent = Agent("greenhouse")

    @agent.sensor(".air.temperature", every="30s", unit="Cel")
    def temperature():
        return read_celsius()

    agent.run()

Importing such a file starts nothing. The same object runs by `agent.run()`, by `kos-edge run FILE`, or inside
`async with Node(state)` in somebody's own program. docs/agents.md is the guide.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, overload

from kos_edge.agents.calls import CALL_TIMEOUT, Call
from kos_edge.agents.crossing import Band
from kos_edge.agents.declared import Command, Exceptions, Handler, Resource, Sensor
from kos_edge.agents.ground import Ground
from kos_edge.agents.payload import Fields, payload_of, payloads_of
from kos_edge.agents.schedule import Schedule, seconds
from kos_edge.agents.signature import name_of, parameters
from kos_edge.clock import Clock, SystemClock
from kos_edge.errors import Invalid, Misuse
from kos_edge.klp.topic import check_filter, check_topic

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

RESERVED = "kos"
"""The first segment of topics and names that are the system's own."""

STUCK_AFTER = 30.0
"""Seconds after which a running function counts as stuck: the slowest sensors of the examples need two."""

_CALL_WORDS = frozenset({"action", "node", "timeout", "ttl"})
"""Parameters of `Agent.call` itself, which no command can therefore have."""

_NOTHING: Any = object()


class Agent:
    """Sensors, handlers, commands and resources under one name.

    `name` is a topic: a topic that starts with a dot is under it. `clock` is where the agent takes its time
    from, by default the node's. `stuck_after` is how long a function may run before it is shown as stuck.
    Decorators return the function as it was, so it can be called and tested like any other.
    """

    def __init__(
        self, name: str, *, clock: Clock | None = None, stuck_after: float | str = STUCK_AFTER
    ) -> None:
        check_topic(name)
        if name.split(".")[0] == RESERVED:
            raise Invalid(f"{name!r} is the system's own name", hint="call the agent something else")
        self.name = name
        self.log = logging.getLogger(f"kos_edge.agents.{name}")
        self.stuck_after = seconds(stuck_after)
        self.sensors: list[Sensor] = []
        self.handlers: list[Handler] = []
        self.commands: dict[str, Command] = {}
        self.resources: dict[str, Resource] = {}
        self.sync = Blocking(self)
        self._clock = clock
        self._ground: Ground | None = None

    def __repr__(self) -> str:
        return f"Agent({self.name!r})"

    def sensor(
        self,
        topic: str,
        *,
        every: float | str,
        unit: str | None = None,
        fields: Fields | None = None,
        retry: int = 0,
        expect: Exceptions = Exception,
        ttl: float | str | None = None,
    ) -> Callable[[F], F]:
        """Publish what the function returns, now and then `every` so often ("100ms", "30s", "5m" or seconds).

        `unit` is a SenML unit (RFC 8428 section 12.1). A function with several values returns a mapping;
        `fields` names them with their units. `None` publishes nothing. When hardware fails now and then with
        the exception `expect`, the function is tried again up to `retry` times within the same tick.
        """
        self._check_own(topic := self.topic(topic))
        check_topic(topic)
        period = seconds(every)
        Schedule(period, 0.0)
        if retry < 0:
            raise Invalid("retry= is a number of further attempts, 0 or more")
        if fields is not None and (unit is not None or not fields):
            raise Invalid(
                "give either unit= or fields=", hint='fields={"temperature": "Cel", "humidity": "%RH"}'
            )
        ttl_s = None if ttl is None else max(1, math.ceil(seconds(ttl)))

        def declare(function: F) -> F:
            parameters(function)
            self.sensors.append(Sensor(function, topic, period, unit, fields, retry, expect, ttl_s))
            return function

        return declare

    def on(
        self,
        filter: str,
        *,
        above: float | None = None,
        below: float | None = None,
        until: float | None = None,
        field: str | None = None,
    ) -> Callable[[F], F]:
        """Call the function for messages whose topic matches (`*` one segment, `#` any number).

        Without a threshold it gets each `Reading`, at least once. With `above=` (or `below=`) it gets True
        when the value goes beyond, and False when it is back, `until` which it must come; a second parameter
        gets the Reading. `field` picks one of several values. Every source and topic crosses on its own.
        """
        filter = self.topic(filter)
        check_filter(filter)
        band = None
        if above is not None or below is not None:
            band = Band(above=above, below=below, until=until)
        elif until is not None:
            raise Invalid("until= goes with above= or below=")

        def declare(function: F) -> F:
            parameters(function)
            self.handlers.append(Handler(function, filter, band, field))
            return function

        return declare

    def command(self, action: str, *, safe: Any = _NOTHING) -> Callable[[F], F]:
        """Let others call the function by `action`, with arguments checked against its signature.

        `safe` is the argument (for several: a mapping) that puts things into a safe state; it is applied
        when the agent starts, when it stops and when it breaks down. A parameter named `progress` is a
        function that reports progress to the caller. What the function returns is the outcome; it may raise
        Refused.
        """
        action = self.topic(action)
        check_topic(f"{RESERVED}.call.{action}")
        self._check_own(action)

        def declare(function: F) -> F:
            if action in self.commands:
                raise Invalid(f"{self.name} has two commands {action}")
            if taken := sorted(_CALL_WORDS & {parameter.name for parameter in parameters(function)}):
                raise Invalid(f"{name_of(function)}() has a parameter {taken[0]!r}, which agent.call() keeps")
            has_safe = safe is not _NOTHING
            self.commands[action] = Command(function, action, safe if has_safe else None, has_safe)
            return function

        return declare

    @overload
    def resource(self, function: F) -> F: ...

    @overload
    def resource(self, *, reopen: Exceptions) -> Callable[[F], F]: ...

    def resource(self, function: F | None = None, *, reopen: Exceptions = ()) -> F | Callable[[F], F]:
        """Open hardware at start and close it at stop: a generator that yields it once.

        Functions get it by naming a parameter like the generator. `reopen=OSError`: when a function that
        uses it raises this, the agent is stopped safely and all is opened anew. Also usable without
        parentheses.
        """
        errors = reopen if isinstance(reopen, tuple) else (reopen,)

        def declare(function: F) -> F:
            name = name_of(function)
            if name in self.resources or name == "progress":
                raise Invalid(f"the name {name!r} is taken", hint="rename the resource")
            parameters(function)
            self.resources[name] = Resource(function, errors)
            return function

        return declare if function is None else declare(function)

    @property
    def clock(self) -> Clock:
        """Where this agent takes its time from: its own clock, its node's, or the machine's."""
        if self._clock is not None:
            return self._clock
        return SystemClock() if self._ground is None else self._ground.clock

    def stamp(self) -> float | None:
        """The time, by the agent's own clock, of a value made now; None when it has no clock of its own."""
        return None if self._clock is None else self._clock.wall()

    def topic(self, text: str) -> str:
        """An absolute topic: a leading dot stands for the agent's own name."""
        return f"{self.name}{text}" if text.startswith(".") else text

    def publish(
        self,
        topic: str,
        value: Any,
        *,
        unit: str | None = None,
        fields: Fields | None = None,
        at: float | None = None,
        ttl: float | str | None = None,
    ) -> Awaitable[str]:
        """Publish one value; await it for the message id, which comes when the value is safely stored.

        `at` is the time of the value in wall clock seconds, None for now. Raises Invalid (topic, NaN, too
        large) and Unavailable (the queue is full).
        """
        self._check_own(topic := self.topic(topic))
        check_topic(topic)
        payload = payload_of(value, unit, fields)
        if payload is None:
            raise Invalid("None is nothing to publish")
        ttl_s = None if ttl is None else max(1, math.ceil(seconds(ttl)))
        at = self.stamp() if at is None else at
        return self._on_loop("publish").publish(topic, payload, at=at, ttl_s=ttl_s)

    def publish_all(
        self,
        topic: str,
        values: Sequence[Any],
        *,
        unit: str | None = None,
        fields: Fields | None = None,
        at: Sequence[float] | None = None,
        ttl: float | str | None = None,
    ) -> Awaitable[list[str]]:
        """Publish a block of values at once; await it for their ids, which come when all are safely stored.

        For sources that are fast: a block costs a tenth of as many calls of `publish`. `at` has the time of each
        value. All are accepted or none: raises Invalid and Unavailable as `publish` does.
        """
        self._check_own(topic := self.topic(topic))
        check_topic(topic)
        payloads = payloads_of(values, unit, fields)
        if at is not None and len(at) != len(payloads):
            raise Invalid(
                f"{len(payloads)} values with {len(at)} times", hint="at= has the time of each value"
            )
        ttl_s = None if ttl is None else max(1, math.ceil(seconds(ttl)))
        stamp = self.stamp()
        moments = list(at) if at is not None else None if stamp is None else [stamp] * len(payloads)
        return self._on_loop("publish_all").publish_all(topic, payloads, at=moments, ttl_s=ttl_s)

    def call(
        self,
        action: str,
        /,
        *,
        node: str | None = None,
        timeout: float | str = CALL_TIMEOUT,
        ttl: float | str | None = None,
        **params: Any,
    ) -> Call:
        """Call a command, here or on another node; it starts at once. Await the Call, or iterate for
        progress.

        Without `node`: an agent of this node that has the command, else the hub. `timeout` is how long the
        caller waits; `ttl` how long the call may wait for its way and its turn (by default as long). The
        outcome is the command's value, or Refused (never), Unavailable (certainly not run), Unknown (sent,
        no answer: see `ask`).
        """
        ttl_s = None if ttl is None else seconds(ttl)
        return self._on_loop("call").call(
            self.topic(action), params, node=node, timeout_s=seconds(timeout), ttl_s=ttl_s
        )

    def ask(self, id: str, *, timeout: float | str = CALL_TIMEOUT) -> Call:
        """What became of an earlier call, for a day, by its id. One that has not run by then never will."""
        return self._on_loop("ask").ask(id, timeout_s=seconds(timeout))

    def secret(self, name: str) -> str:
        """A password or token of this node's vault, as text. Ask for it where it is used, and keep it nowhere else.

        Works in every function, also in resources. Raises Refused where the configuration does not give it to this
        agent (`[secret."mqtt.password"] agents = ["bridge"]`), Invalid where there is none of that name or it is no
        text (see `secret_bytes`), Unavailable where the vault is shut.
        """
        try:
            return self.secret_bytes(name).decode()
        except UnicodeDecodeError:
            raise Invalid(f"the secret {name!r} is no text", hint="agent.secret_bytes") from None

    def secret_bytes(self, name: str) -> bytes:
        """The same as bytes: a key, a certificate."""
        return self.ground().secret(name)

    def run(self, state: Path | str | None = None) -> None:
        """Run this agent in a node of its own until interrupted; `state` is the node's state directory.

        At the end of a file that is imported (by `kos-edge run`, by a test) it does nothing.
        """
        caller = sys._getframe(1)
        if caller.f_code.co_name == "<module>" and caller.f_globals.get("__name__") != "__main__":
            return
        # The node stands above the agents: only a program that asks for one gets it.
        import_module("kos_edge.node").run_agents([self], state=state)

    def bind(self, ground: Ground) -> None:
        """Called by the host that starts this agent. Raises Misuse when it runs already."""
        if self._ground is not None:
            raise Misuse(f"agent {self.name} is running already")
        self._ground = ground

    def unbind(self) -> None:
        """Called by the host when the agent has stopped."""
        self._ground = None

    def ground(self) -> Ground:
        """What the agent stands on. Raises Misuse when it does not run."""
        if self._ground is None:
            raise Misuse(
                f"agent {self.name} is not running", hint="publish and call work while a node runs it"
            )
        return self._ground

    def _on_loop(self, verb: str) -> Ground:
        ground = self.ground()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise Misuse(
                f"agent.{verb} is for `async def` functions", hint=f"in this one, use agent.sync.{verb}"
            ) from None
        return ground

    def _check_own(self, topic: str) -> None:
        if topic.split(".")[0] == RESERVED:
            raise Invalid(
                f"topics under {RESERVED}. are the system's own", hint="choose another first segment"
            )


class Blocking:
    """`agent.sync`: the same for ordinary functions, which wait on their agent's own thread."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def publish(self, topic: str, value: Any, **options: Any) -> str:
        """`Agent.publish`, waiting until the value is safely stored."""
        agent = self._agent

        async def work() -> str:
            return await agent.publish(topic, value, **options)

        return agent.ground().wait_for(work())

    def publish_all(self, topic: str, values: Sequence[Any], **options: Any) -> list[str]:
        """`Agent.publish_all`, waiting until the values are safely stored."""
        agent = self._agent

        async def work() -> list[str]:
            return await agent.publish_all(topic, values, **options)

        return agent.ground().wait_for(work())

    def call(self, action: str, /, **options: Any) -> Any:
        """`Agent.call`, waiting for the value.

        Not for an ordinary command of the same agent: it has one thread.
        """
        agent = self._agent
        if (own := agent.commands.get(agent.topic(action))) is not None and options.get("node") is None:
            raise Misuse(
                f"{agent.name} would wait for itself", hint=f"call {name_of(own.function)}() directly"
            )

        async def work() -> Any:
            return await agent.call(action, **options)

        return agent.ground().wait_for(work())
