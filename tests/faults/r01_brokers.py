"""R01 for the brokers of today: the same script, with the calls that each of them makes."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from benchmarks.brokers import jetstream, mosquitto
from tests.faults.brokers import Kind, cases, enter, made
from tests.faults.r01_killed_anywhere import BATCHES, schedule
from tests.faults.rows import Sweep
from tests.faults.script import Blow, End, Outcome, SenderLedger, killed

CALLS: dict[str, dict[End, dict[str, int]]] = {
    mosquitto.AS_IT_COMES.name: {"sender": {"write": 500}, "receiver": {"write": 500}},
    mosquitto.SAVING.name: {
        "sender": {"write": 1_800, "fsync": 240, "rename": 240},
        "receiver": {"write": 4_000, "fsync": 240, "rename": 240},
    },
    jetstream.AS_IT_COMES.name: {
        "sender": {"writev": 100, "pwrite64": 120, "write": 30},
        "receiver": {"writev": 100, "pwrite64": 120, "write": 30},
    },
    jetstream.SYNCING.name: {
        "sender": {"writev": 50, "pwrite64": 120, "fsync": 120, "write": 20},
        "receiver": {"writev": 100, "pwrite64": 120, "fsync": 120, "write": 20},
    },
}
"""How often each makes each call in a case, measured; of nats-server's one of several threads."""


def sweep(kind: Kind, run: Sweep) -> None:
    """Kill one of two brokers with these settings, each time from a state that is as good as new."""
    blows = schedule(random.Random(run.seed), run.share(full=24, bounded=1), CALLS[kind.name])
    cases(run, blows, partial(_case, kind))


def _case(kind: Kind, folder: Path, blow: Blow) -> Outcome:
    system = made(folder, kind)
    ledger = SenderLedger(folder / "sent", "case")
    try:
        return system.judged(killed(system, blow, ledger, BATCHES))
    finally:
        ledger.close()
        system.close()


enter("R01", "killed at every n-th write, sync", sweep, minutes=6)
