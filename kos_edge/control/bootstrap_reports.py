"""What the verbs of the bootstrap answer, and what a node has registered with; otherwise as `control.reports`."""

from __future__ import annotations

from typing import Literal, TypedDict


class RegistrationReport(TypedDict):
    """What a node has said of itself to its hub at its start; `machine` is its kind, `mode` that of its bootstrap."""

    version: str
    mode: str
    machine: str
    capabilities: list[str]
    addresses: list[str]


class StepReport(TypedDict):
    """One step of a bootstrap: what became of it, how long it took, and what to do about a failure."""

    step: str
    outcome: Literal["pending", "running", "done", "degraded", "waiting", "skipped", "failed"]
    seconds: float
    said: str
    mend: str | None


class BootstrapSummary(TypedDict):
    """The daemon's start at a glance: outcomes by step; `reason` says why the mode is not what was asked for."""

    mode: str
    reason: str | None
    failures: int
    steps: dict[str, str]


class AttemptReport(TypedDict):
    """An earlier start, and how it ended."""

    number: int
    mode: str
    version: str
    at: str | None
    ended: str


class OrderReport(TypedDict):
    """An order from afar that was obeyed. `order` is the order as it was signed, in hex."""

    giver: str
    mode: str
    at: str | None
    order: str


class BootstrapReport(TypedDict):
    """The latest start. `mode` is default, recovery or minimal, `reason` why it is not what was asked for.

    `ended` says how it ended, null while it goes on; `failures` counts starts in a row that failed; `next_mode` is
    what is wished for the next start.
    """

    number: int
    mode: str
    cause: str
    reason: str | None
    version: str
    at: str | None
    ended: str | None
    stayed: bool
    failures: int
    steps: list[StepReport]
    troubles: list[str]
    next_mode: str | None
    earlier: list[AttemptReport]
    orders: list[OrderReport]


class AgainReport(TypedDict):
    """What comes of a wish for another bootstrap: `node` begins again, or its next start will be so."""

    node: str
    said: str


class DecommissionReport(TypedDict):
    """A node that is no more: `files` were overwritten and removed.

    `looked_for` are the secrets whose bytes were looked for in every file of the state and of the configuration, in
    plain, hex and base64; `before` and `after` say where they were found; what could not be is `not_looked_for`.
    """

    state: str
    name: str | None
    kid: str | None
    files: int
    looked_for: list[str]
    not_looked_for: list[str]
    before: list[str]
    after: list[str]
    bytes_before: int
    bytes_after: int
