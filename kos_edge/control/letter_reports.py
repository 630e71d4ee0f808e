"""What the daemon says of dead letters."""

from __future__ import annotations

from typing import TypedDict

from kos_edge.control.reports import Failure, Json


class DeadLetter(TypedDict):
    """A message that was refused, or that broke its handler, and the reason.

    `at` is when it was said, null where that is not known; `died_at` when it became a dead letter.
    """

    id: str
    topic: str
    at: str | None
    died_at: str | None
    reason: str
    attempts: int
    body: Json


class RetryReport(TypedDict):
    """A dead letter that is back in the queue, and its id."""

    id: str


class RetriedPart(TypedDict):
    """How far `queue retry --all` is: letters that are messages again, and those that stay letters.

    These have `expired`, or are `damaged`; or come after what ended it, which `failure` says.
    """

    retried: int
    expired: int
    damaged: int
    failure: Failure | None
