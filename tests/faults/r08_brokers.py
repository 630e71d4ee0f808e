"""R08 for the brokers of today: the same weather, by a relay for connections between the two brokers.

Below TCP nobody sees loss, duplicates, order or flipped bits: the kernel repairs them, and what is left is that
connections stall and break. So a cut of the script is a cut of the relay, which stalls, resets or tears connections as
the same seed says, and a kill is SIGKILL of the second broker. The load is the same: 50 readings a second in fives.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.relays.tcp import TcpRelay
from tests.faults.brokers import Broker, Kind, cases, enter, made
from tests.faults.rows import Sweep
from tests.faults.script import Outcome, Refusal, SenderLedger, still
from tests.faults.weather import BURST, EVERY_S, Event, script

SECONDS = 12.0
BRIEF_S = 3.0
"""The same of a look in passing."""

PATIENCE_S = 40.0
"""For all to arrive once the weather is over: nats-server looks for a source that is gone every 10 s or more."""


def sweep(kind: Kind, run: Sweep) -> None:
    """Play the weather of a seed to two brokers with these settings, and count what came through."""
    seeds = [run.seed * 1_000_000 + number for number in range(run.share(full=12, bounded=1))]
    cases(run, seeds, partial(_case, kind, SECONDS if run.full else BRIEF_S))


def _case(kind: Kind, seconds: float, folder: Path, seed: int) -> Outcome:
    relays: list[TcpRelay] = []

    def through(port: int) -> int:
        relays.append(TcpRelay(port, seed))
        relays[0].start()
        return relays[0].port

    system = made(folder, kind, through)
    ledger = SenderLedger(folder / "sent", f"seed-{seed}")
    over = threading.Event()
    wrong: list[str] = []
    try:
        for end in ("receiver", "sender"):
            if not system.start(end):
                wrong.append(f"the {end} does not start")
        loading = threading.Thread(target=_load, args=(system, ledger, over))
        loading.start()
        _play(system, relays[0], seed, seconds, wrong)
        over.set()
        loading.join()
        if not _until_nothing_waits(system):
            wrong.append(f"{still(system)}, though the weather is over")
        verdict = ledger.against(system.delivered())
        return system.judged(Outcome(verdict, struck=True, wrong=wrong))
    finally:
        over.set()
        ledger.close()
        system.close()
        for relay in relays:
            relay.close()


def _load(system: Broker, ledger: SenderLedger, over: threading.Event) -> None:
    began = time.monotonic()
    for number in count(1):
        bodies = ledger.next(BURST)
        try:
            ledger.acknowledge(bodies[: system.submit(bodies)])
        except Refusal as error:
            ledger.acknowledge(bodies[: error.safe])
        if over.wait(max(0.0, began + number * EVERY_S - time.monotonic())):
            return


def _play(system: Broker, relay: TcpRelay, seed: int, seconds: float, wrong: list[str]) -> None:
    began, clock = time.monotonic(), threading.Event()
    for step in script(seed, seconds):
        clock.wait(max(0.0, began + step.at - time.monotonic()))
        match step.event:
            case Event.CUT:
                relay.cut()
            case Event.MEND:
                relay.mend()
            case Event.KILL:
                system.kill("receiver")
            case Event.START:
                if not system.start("receiver"):
                    wrong.append(f"the receiver does not start again {step.at:.1f} s after the beginning")


def _until_nothing_waits(system: Broker) -> bool:
    end, clock = time.monotonic() + PATIENCE_S, threading.Event()
    while system.waiting():
        if time.monotonic() > end:
            return False
        clock.wait(0.1)
    return True


enter("R08", "the link cut, stalled, torn; receiver killed", sweep, minutes=3)
