"""The rules of waiting for the outcome of a call: answers and the passing of time in, an outcome out."""

from __future__ import annotations

import math
from enum import Enum

from kos_edge.agents.outcome import Answer, End, Outcome
from kos_edge.agents.port import Fate
from kos_edge.errors import Misuse

AGAIN = "ask again by its id: await agent.ask(call.id)"

_EXPIRY_MARGIN = 0.05
"""Seconds after the end of a ttl at which we ask what became of the message: the bus judges it by its own
clock.
"""


class Stage(Enum):
    """How far a call has come, as its caller knows."""

    SENDING = "sending"
    SENT = "sent"
    ACCEPTED = "accepted"
    ENDED = "ended"


class Waiting:
    """One call as its caller sees it: answers and the passing of time in, an outcome out.

    Times are seconds of one monotonic clock. `at` is when `look` wants to be called.
    """

    def __init__(self, what: str, *, timeout_s: float, ttl_s: float, now: float) -> None:
        self.stage = Stage.SENDING
        self.outcome: Outcome | None = None
        self.is_answered = False
        """Whether the outcome is what the other side said, and no conclusion of ours."""
        self._what = what
        self._timeout_s = timeout_s
        self._deadline = now + timeout_s
        self._expiry = now + ttl_s + _EXPIRY_MARGIN
        if self._deadline < self._expiry <= self._deadline + 1.0:
            # A ttl is whole seconds: waiting this little longer turns "may yet run" into "certainly not run".
            self._deadline = self._expiry

    @property
    def at(self) -> float:
        """The next moment at which time decides something."""
        return self._expiry if self.stage is Stage.SENT and self._expiry < self._deadline else self._deadline

    def sent(self) -> None:
        """The bus has accepted the call."""
        if self.stage is not Stage.SENDING:
            raise Misuse(f"a call is sent once; this one is {self.stage.value}")
        self.stage = Stage.SENT

    def answered(self, answer: Answer) -> None:
        """Take an answer; after the outcome, and before the call was sent, there is none to take."""
        if self.stage is Stage.ENDED:
            return
        if self.stage is Stage.SENDING:
            raise Misuse("an answer to a call that has not been sent")
        if isinstance(answer, Outcome):
            self.is_answered = True
            self.end(answer)
        else:
            self.stage = Stage.ACCEPTED

    def look(self, now: float, fate: Fate) -> None:
        """Time has passed, and the bus knows this of the message: perhaps that decides the call."""
        if self.stage is Stage.ENDED or now < self.at:
            return
        if self.stage is Stage.SENT and fate is Fate.EXPIRED:
            self.end(Outcome(End.UNAVAILABLE, text=f"{self._what} was not run: it never left this node"))
        elif now >= self._deadline:
            self.end(self._too_late(fate))
        else:
            self._expiry = math.inf  # it has left; only the answer or the deadline can end it now

    def end(self, outcome: Outcome) -> None:
        """The first outcome counts."""
        if self.stage is not Stage.ENDED:
            self.stage, self.outcome = Stage.ENDED, outcome

    def _too_late(self, fate: Fate) -> Outcome:
        waited = f"within {self._timeout_s:g} s"
        if self.stage is Stage.ACCEPTED:
            return Outcome(
                End.UNKNOWN, text=f"{self._what} was accepted but did not end {waited}", hint=AGAIN
            )
        if fate is Fate.QUEUED:
            text = f"{self._what} has not left this node {waited}, and may still run until its ttl ends"
            return Outcome(End.UNKNOWN, text=text, hint=AGAIN)
        return Outcome(End.UNKNOWN, text=f"{self._what} was sent and not answered {waited}", hint=AGAIN)
