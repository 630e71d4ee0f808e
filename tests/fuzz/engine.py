"""The loop behind `make fuzz`: known inputs, changed a little or a lot, until something escapes."""

from __future__ import annotations

import importlib
import json
import pkgutil
import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tests.fuzz
from kos_edge.errors import Invalid
from tests.fuzz.mutation import mutated

ROOT = Path(__file__).resolve().parent.parent.parent
VECTORS = ("tests/vectors", "firmware_bridge/vectors")
SLOWEST = 1.0
"""Seconds of processor time that one input may take; a thousand times what a decoder needs."""
_VARYING = re.compile(r"'.*'|\".*\"|[0-9a-f]*[0-9][0-9a-f]*")
"""What differs between two errors of one kind: quoted input, and numbers."""
REASONS = 200
"""Different outcomes to tell apart; each keeps a few of its inputs to go on from."""
A_REASON = 8
"""Inputs to keep of one outcome: the short ones, which are quick and where a change matters more."""


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder under fire."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that did what no input may do."""

    target: str
    data: bytes
    what: str


@dataclass(slots=True)
class Tally:
    """What a target has been through."""

    executions: int = 0
    rejected: int = 0
    slowest: float = 0.0


@cache
def vector_bytes() -> tuple[bytes, ...]:
    """Every byte string that stands as hexadecimal in a vector."""
    found: set[bytes] = set()
    for folder in VECTORS:
        for path in sorted((ROOT / folder).rglob("*.json")):
            found.update(_hex_in(json.loads(path.read_text())))
    return tuple(sorted(found, key=lambda data: (len(data), data)))


def _hex_in(value: object) -> Iterator[bytes]:
    match value:
        case dict():
            for item in value.values():
                yield from _hex_in(item)
        case list():
            for item in value:
                yield from _hex_in(item)
        case str() if len(value) >= 2:
            try:
                yield bytes.fromhex(value)
            except ValueError:
                return


def targets() -> list[Target]:
    """All targets there are, as `area.name`."""
    found = []
    for module in pkgutil.iter_modules(tests.fuzz.__path__):
        if module.name.startswith("targets_"):
            area = module.name.removeprefix("targets_")
            loaded = importlib.import_module(f"tests.fuzz.{module.name}")
            seeds = (b"", *vector_bytes(), *getattr(loaded, "SEEDS", ()))
            found += [
                Target(f"{area}.{name.removeprefix('fuzz_')}", run, seeds)
                for name, run in vars(loaded).items()
                if name.startswith("fuzz_") and callable(run)
            ]
    return sorted(found, key=lambda target: target.name)


class Campaign:
    """One target's inputs so far: the seeds, and one or more for each way in which it took or refused them.

    An input that is refused for a new reason has come further than those before it, so it is kept to go on
    from.
    """

    def __init__(self, target: Target, chance: random.Random) -> None:
        self.target = target
        self.tally = Tally()
        self._chance = chance
        self._fresh = list(reversed(target.seeds))
        self._outcomes: dict[str, list[bytes]] = {}

    def run(self, executions: int) -> Finding | None:
        """Give the target that many inputs, the seeds first; stops at the first finding, made small."""
        for _ in range(executions):
            data = self._fresh.pop() if self._fresh else self._next()
            finding, outcome = attempt(self.target, data, self.tally)
            if finding:
                return smaller(self.target, finding)
            self._keep(data, outcome)
        return None

    def _next(self) -> bytes:
        chance, seeds = self._chance, self.target.seeds
        if chance.random() < 0.02:
            return chance.randbytes(chance.randrange(200))
        if chance.random() < 0.3 or not self._outcomes:
            return mutated(chance.choice(seeds), seeds, chance)
        kept = self._outcomes[chance.choice(list(self._outcomes))]
        return mutated(chance.choice(kept), seeds, chance)

    def _keep(self, data: bytes, outcome: str) -> None:
        kept = self._outcomes.get(outcome)
        if kept is None:
            if len(self._outcomes) < REASONS:
                self._outcomes[outcome] = [data]
        elif len(kept) < A_REASON:
            kept.append(data)
        else:
            other = self._chance.randrange(A_REASON)
            if len(data) <= len(kept[other]):
                kept[other] = data


def attempt(target: Target, data: bytes, tally: Tally) -> tuple[Finding | None, str]:
    """One input: what is wrong, if anything, and how the target took it."""
    tally.executions += 1
    outcome = "taken"
    start = time.thread_time()
    try:
        target.run(data)
    except Invalid as error:
        tally.rejected += 1
        outcome = _VARYING.sub("#", error.message)
    except Exception:
        return Finding(target.name, data, traceback.format_exc(limit=-6)), "broken"
    took = time.thread_time() - start
    tally.slowest = max(tally.slowest, took)
    return (Finding(target.name, data, f"took {took:.1f} s") if took > SLOWEST else None), outcome


def smaller(target: Target, finding: Finding) -> Finding:
    """A shorter input with a finding of its own, as far as leaving pieces out goes."""
    piece = len(finding.data) // 2
    while piece:
        at = 0
        while at < len(finding.data):
            shorter = finding.data[:at] + finding.data[at + piece :]
            again, _ = attempt(target, shorter, Tally())
            if again:
                finding = again
            else:
                at += piece
        piece //= 2
    return finding
