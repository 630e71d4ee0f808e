"""The simulator: the first seeds hold, a seed is the same to the byte anywhere, and a broken promise is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kos_edge.testing.plan import Act, plan
from kos_edge.testing.simulate import block, main

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

SEEDS = 500
AT_A_TIME = 25


@pytest.mark.simulator
@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_no_promise_is_broken_whatever_goes_wrong(first: int) -> None:
    broken = [str(verdict) for verdict in block(range(first, first + AT_A_TIME)) if verdict.broken]
    assert not broken


def traced(seed: int, hashes: str, file: Path) -> bytes:
    """The trace of a seed in a process of its own, where strings have other hashes and objects other addresses."""
    command = [sys.executable, "-m", "kos_edge.testing.simulate", "--seed", str(seed), "--trace", str(file)]
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return file.read_bytes()


@pytest.mark.parametrize("seed", [3, 6])
def test_a_seed_gives_the_same_trace_to_the_byte_in_any_process(seed: int, tmp_path: Path) -> None:
    one, other = traced(seed, "1", tmp_path / "one"), traced(seed, "2", tmp_path / "other")
    assert one == other
    assert one.count(b" commit ") > 10


def test_the_first_seeds_have_every_fault_and_every_size() -> None:
    plans = [plan(seed) for seed in range(SEEDS)]
    assert {event.act for each in plans for event in each.events} == set(Act)
    assert {len(each.edges) for each in plans} == {1, 2, 3}


def test_a_seed_says_what_it_means_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("seed 3: hub and ")
    assert "holds" in said
