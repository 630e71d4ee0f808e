"""The verbs of the bootstrap, and its report, which needs no daemon and no node that opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kos_edge.bootstrap.order import Order
from kos_edge.bootstrap.sequence import Attempt, Chronicle, Ending, Step, Wish
from kos_edge.control.bootstrap_reports import (
    AgainReport,
    AttemptReport,
    BootstrapReport,
    BootstrapSummary,
    OrderReport,
    StepReport,
)
from kos_edge.errors import Unavailable
from kos_edge.klp.jsonform import time_text
from kos_edge.node.ordering import mode_of
from kos_edge.node.starts import ChronicleFile, boot_id
from kos_edge.node.statedir import StateDir

if TYPE_CHECKING:
    from kos_edge.node.node import Node


class NodeBootstrapOperations:
    """`control.protocol.BootstrapOperations` over a node."""

    _node: Node

    async def bootstrap_status(self) -> BootstrapReport:
        """The latest start, step by step."""
        startup = self._node.startup
        return report(startup.chronicle, running=startup.sequence is not None)

    def bootstrap_summary(self) -> BootstrapSummary | None:
        """The same at a glance; None where nothing is under way."""
        sequence = self._node.startup.sequence
        if sequence is None:
            return None
        attempt = sequence.attempt
        return BootstrapSummary(
            mode=attempt.mode.value,
            reason=attempt.reason or None,
            failures=sequence.chronicle.failures,
            steps={step.text: _step(attempt, step)["outcome"] for step in Step},
        )

    async def bootstrap(
        self, *, mode: str = "default", force: bool = False, checks: bool = False, who: str | None = None
    ) -> AgainReport:
        """Bootstrap again: this node, or the member WHO."""
        order, node = Order(mode_of(mode), force, checks), self._node
        if who is not None:
            kid = node.trust.roster.who(who)
            return AgainReport(node=node.trust.name_of(kid), said=await node.ordering.give(kid, order))
        said = await node.ordering.again(order, "kos-edge bootstrap")
        return AgainReport(node=node.trust.name, said=said)


def kept_report(state: Path) -> BootstrapReport:
    """The same of a state that no daemon answers for, however broken it is. Raises Unavailable without any start."""
    return report(ChronicleFile(state).read(), running=False)


def wish_for_next(state: Path, mode: str) -> AgainReport:
    """Let the next start of a daemon be in this mode. Raises StateInUse where one runs."""
    home = StateDir.open(state)
    with home.lock():
        file = ChronicleFile(state)
        file.write(file.read().wishing(Wish(mode_of(mode), "kos-edge bootstrap")))
    return AgainReport(node=str(state), said=f"no daemon runs; its next start will be in {mode} mode")


def report(chronicle: Chronicle, *, running: bool) -> BootstrapReport:
    """What is remembered, for people and tools. Raises Unavailable where nothing is."""
    last = chronicle.last
    if last is None:
        raise Unavailable("no daemon has started on this state yet", hint="kos-edge run")
    boot = boot_id()
    wish = chronicle.wish
    return BootstrapReport(
        number=last.number,
        mode=last.mode.value,
        cause=last.cause,
        reason=last.reason or None,
        version=last.version,
        at=_time(last.at),
        ended=None if running and last.ending is Ending.NONE else last.how_it_ended(boot),
        stayed=last.stayed,
        failures=chronicle.failures,
        steps=[_step(last, step) for step in Step],
        troubles=last.troubles(),
        next_mode=None if wish is None else wish.mode.value,
        earlier=[
            AttemptReport(
                number=each.number,
                mode=each.mode.value,
                version=each.version,
                at=_time(each.at),
                ended=each.how_it_ended(boot),
            )
            for each in reversed(chronicle.attempts[:-1])
        ],
        orders=[
            OrderReport(giver=each.name, mode=each.mode.value, at=_time(each.at), order=each.raw.hex())
            for each in reversed(chronicle.orders)
        ],
    )


def _step(attempt: Attempt, step: Step) -> StepReport:
    mark = attempt.marks[step]
    if mark is None:
        return StepReport(step=step.text, outcome="pending", seconds=0.0, said="", mend=None)
    return StepReport(
        step=step.text,
        outcome=mark.outcome.value,
        seconds=mark.seconds,
        said=mark.said,
        mend=mark.mend or None,
    )


def _time(seconds: int) -> str | None:
    return time_text(seconds * 1000) if seconds else None
