"""Administration: what operators may have done here from their stations, over a session (`docs/protocol/admin.md`).

Who asks is looked at anew with each request: a member of the role operator, not shut out, and only where this hub's
configuration lets operators in. What makes operators is done at the hub itself, so that a stolen laptop makes none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from kos_edge.control import protocol
from kos_edge.control.arguments import checked
from kos_edge.control.protocol import Operations
from kos_edge.control.remote import (
    CHANGES,
    DATAGRAM_PART,
    MAX_ANSWER,
    STREAM_PART,
    VERBS,
    Part,
    decode_ask,
    encode_part,
    read_line,
)
from kos_edge.control.reports import Json
from kos_edge.control.wire import encode, failure
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable
from kos_edge.klp.identity import kid_text
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership
from kos_edge.node.audit import Audit
from kos_edge.node.node import Node
from kos_edge.node.ordering import ANSWER_FIRST_S
from kos_edge.node.reporting import time_text
from kos_edge.transport.coap import (
    BAD_REQUEST,
    CHANGED,
    FORBIDDEN,
    NOT_FOUND,
    POST,
    SERVICE_UNAVAILABLE,
    Request,
    Response,
)
from kos_edge.transport.session import Session
from kos_edge.transport.surface import Limiter

KEPT_S = 60.0
"""An answer is kept for so long after it was last asked for: a station tries for half of that."""

MOST = 32
"""Requests under way or kept."""

MOST_OF_ONE = 4
"""Of one operator."""

RATE, BURST = 1.0, 60.0
"""Requests of one operator: 60 at once, then one a second. The audit takes hours to fill then."""

AT_THE_HUB = "what makes operators is done at the hub itself"

Key = tuple[bytes, bytes]
"""The operator's kid and the id of its request."""


@dataclass(slots=True)
class _Asked:
    """One request: its work, and until when its answer is kept."""

    task: asyncio.Task[bytes] = field(repr=False)
    until: float


class Administration:
    """Answers `POST /kos/admin`."""

    def __init__(self, node: Node, operations: Operations) -> None:
        self._node = node
        self._operations = operations
        self._audit = Audit(node.state.path)
        self._asked: OrderedDict[Key, _Asked] = OrderedDict()
        self._limiter = Limiter(RATE, BURST)

    async def answer(self, session: Session, peer: Membership, request: Request) -> Response:
        """A part of the answer. Never raises for what a peer sent."""
        if request.code != POST:
            return Response(NOT_FOUND)
        if not self._may(peer):
            return Response(FORBIDDEN)
        try:
            ask = decode_ask(request.payload)
            asked = self._find((peer.kid, ask.id), peer, ask.line if not ask.at else None)
        except Invalid:
            return Response(BAD_REQUEST)
        except Unavailable:
            return Response(SERVICE_UNAVAILABLE)
        if asked is None:
            return Response(NOT_FOUND)
        parts = self._parts(peer, ask.line)
        if parts:
            self._node.peers.parting.add(session)
        data = await asyncio.shield(asked.task)
        if parts:
            asyncio.get_running_loop().call_later(ANSWER_FIRST_S, self._part, session, peer)
        elif not self._may(peer):  # revoked meanwhile
            return Response(FORBIDDEN)
        asked.until = self._node.clock.monotonic() + KEPT_S
        room = DATAGRAM_PART if session.address.connection is None else STREAM_PART
        if ask.at > len(data):
            return Response(BAD_REQUEST)
        return Response(CHANGED, encode_part(Part(len(data), ask.at, data[ask.at : ask.at + room])))

    def _parts(self, peer: Membership, line: bytes) -> bool:
        """Whether this operator asks to be revoked itself: then it is to hear that it was done."""
        with contextlib.suppress(Invalid):
            verb, params = read_line(line)
            return verb == "revoke" and self._node.trust.roster.who(str(params.get("who"))) == peer.kid
        return False

    def _part(self, session: Session, peer: Membership) -> None:
        self._node.peers.parting.discard(session)
        if self._node.trust.barred(peer):
            session.close("the peer has revoked itself")

    def _may(self, peer: Membership) -> bool:
        """Whether this member is an operator now, by what is known of it now."""
        trust = self._node.trust
        member = trust.roster.get(peer.kid)
        return (
            self._node.config.admission.operators
            and trust.admission is not None
            and member is not None
            and member.role is Role.OPERATOR
            and not trust.barred(member)
            and not member.expired_at(trust.at())
        )

    def _find(self, key: Key, peer: Membership, line: bytes | None) -> _Asked | None:
        """What was asked under this id, or is from now on; None for the rest of what nobody has asked."""
        now = self._node.clock.monotonic()
        for old in [each for each, asked in self._asked.items() if asked.until <= now and asked.task.done()]:
            del self._asked[old]
        found = self._asked.get(key)
        if found is not None or line is None:
            return found
        if not self._limiter.allow(peer.kid.hex(), now, 1.0):
            raise Unavailable("this operator asks for too much")
        own = [each for each in self._asked if each[0] == key[0]]
        over = own if len(own) >= MOST_OF_ONE else list(self._asked) if len(self._asked) >= MOST else []
        if over:
            done = next((each for each in over if self._asked[each].task.done()), None)
            if done is None:
                raise Unavailable("too much is asked at a time")
            del self._asked[done]
        task = asyncio.create_task(self._carry_out(peer, line), name=f"administration for {peer.name}")
        asked = self._asked[key] = _Asked(task, now + KEPT_S)
        return asked

    async def _carry_out(self, peer: Membership, line: bytes) -> bytes:
        """The whole answer, as JSON."""
        verb, params = "", dict[str, Json]()
        try:
            verb, params = read_line(line)
            result = await self._do(verb, params)
            data = encode(result)
            if len(data) > MAX_ANSWER:
                raise Unavailable(f"the answer has {len(data):,} bytes", hint="ask at the hub itself")
            outcome = "done"
        except KosError as error:
            data, outcome = encode({"error": failure(error)}), error.message
        except Exception as error:
            bug = Misuse(f"the hub failed: {type(error).__name__}", hint="see the hub's log")
            data, outcome = encode({"error": failure(bug)}), bug.message
        if verb not in VERBS or verb in CHANGES:
            self._note(peer, verb, params, outcome)
        return data

    async def _do(self, name: str, params: dict[str, Json]) -> Json:
        if name not in VERBS:
            raise Refused(f"{name[:40]!r} is not done for a station", hint="do it at the hub itself")
        verb = protocol.VERBS[name]
        checked(verb, params)
        self._refuse_operators(name, params)
        if name == "bootstrap" and self._is_here(params.get("who")):
            raise Refused("a hub begins again by itself", hint="kos-edge bootstrap, there; or --node WHO")
        method: Callable[..., Json] = getattr(self._operations, name)
        if not verb.streams:
            return {"result": await method(**params)}
        items = []
        size = 0
        async with contextlib.aclosing(method(**params)) as found:
            async for item in found:
                size += len(encode(item))
                if size > MAX_ANSWER:  # a part of it would look like all
                    raise Unavailable(
                        f"the answer has more than {MAX_ANSWER:,} bytes", hint="ask at the hub itself"
                    )
                items.append(item)
        return {"items": items}

    def _is_here(self, who: Json) -> bool:
        """Whether this hub is meant."""
        trust = self._node.trust
        with contextlib.suppress(Invalid):
            return who is None or trust.roster.who(str(who)) == trust.kid
        return False

    def _refuse_operators(self, name: str, params: dict[str, Json]) -> None:
        """Raises Refused for what would make an operator."""
        roles = [params.get("role")]
        trust = self._node.trust
        if name == "invite" and params.get("replaces") is not None:
            with contextlib.suppress(Invalid):
                member = trust.roster.get(trust.roster.who(str(params["replaces"])))
                roles.append(None if member is None else member.role.text)
        if any(str(role).strip().lower() == Role.OPERATOR.text for role in roles if role is not None):
            raise Refused(AT_THE_HUB, hint=f"kos-edge {name}, there")

    def _note(self, peer: Membership, verb: str, params: dict[str, Json], outcome: str) -> None:
        wall_ms = self._node.uptime.wall_ms()
        self._audit.write(
            {
                "at": None if wall_ms is None else time_text(wall_ms / 1000),
                "operator": kid_text(peer.kid, peer.namespace),
                "name": peer.name,
                "verb": verb[:40],
                "params": {str(key)[:40]: str(value)[:200] for key, value in list(params.items())[:8]},
                "outcome": outcome,
            }
        )
