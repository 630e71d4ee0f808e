"""How a node came up, and beginning again, from the command line."""

from __future__ import annotations

import pytest

from kos_edge.bootstrap.sequence import Chronicle, Mode, Outcome, Sequence, Step, begin
from kos_edge.node.starts import ChronicleFile, boot_id
from tests.cli.conftest import CommandLine, Daemon


def test_every_step_is_shown_with_its_outcome_and_what_to_do(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("bootstrap", "status")
    assert done.code == 0
    said = done.out.splitlines()
    assert "default mode" in said[0]
    assert said[1].split()[:2] == ["integrity", "degraded"]
    assert "changed: bin/kos-edge" in said[1]
    assert said[2].split() == ["next:", "install", "it", "anew"]
    assert [line.split()[0] for line in said[3:]] == [step.text for step in Step][1:]
    value = kos_edge("bootstrap", "status", "--json").value
    assert [step["outcome"] for step in value["steps"]] == ["degraded"] + ["done"] * 7


def test_after_a_crash_and_without_a_daemon_it_says_in_which_step_it_died(kos_edge: CommandLine) -> None:
    assert kos_edge("bootstrap", "status").code == 69
    file = ChronicleFile(kos_edge.state)
    begun = begin(Chronicle(), version="1.0", settings=b"", boot=boot_id(), at=0)
    sequence = Sequence(begun, file.write)
    for step in (Step.INTEGRITY, Step.CONFIGURATION, Step.IDENTITY):
        sequence.begin(step, 0.0)
        if step is not Step.IDENTITY:
            sequence.finish(step, 0.0, Outcome.DONE)
    (kos_edge.state / "node.key").write_text("spoiled: nothing of this needs a node that opens")
    done = kos_edge("bootstrap", "status")
    assert (done.code, done.out.splitlines()[-1]) == (0, "it died in the step identity, without a word")


def test_without_a_daemon_the_next_start_is_as_wished(kos_edge: CommandLine) -> None:
    done = kos_edge("bootstrap", "--mode", "minimal")
    assert (done.code, "its next start will be in minimal mode" in done.out) == (0, True)
    wish = ChronicleFile(kos_edge.state).read().wish
    assert wish is not None
    assert wish.mode is Mode.MINIMAL


def test_a_running_one_is_asked_and_may_decline(kos_edge: CommandLine, daemon: Daemon) -> None:
    declined = kos_edge("bootstrap")
    assert (declined.code, declined.err.splitlines()[1]) == (77, "  next: --force does it anyway")
    done = kos_edge("bootstrap", "--mode", "recovery", "--force", "--node", "pump", "--os-update")
    assert done.out.startswith("pump begins again in recovery mode\n")
    assert daemon.node.asked[-1] == ("bootstrap", {"mode": "recovery", "checks": True, "who": "pump"})


@pytest.mark.parametrize("words", [("--node", "pump"), ("--os-update",)])
def test_what_needs_a_daemon_says_so(kos_edge: CommandLine, words: tuple[str, ...]) -> None:
    done = kos_edge("bootstrap", *words)
    assert done.code == 69
    assert "kos-edge --state" in done.err
    assert kos_edge("bootstrap", "--mode", "turbo").code == 2


def test_a_node_is_ended_only_by_one_who_says_so(kos_edge: CommandLine) -> None:
    assert kos_edge("decommission", stdin="n\n").code == 130
    assert kos_edge("decommission", "--json").code == 2
    assert (kos_edge.state / "node.key").exists()
    done = kos_edge("decommission", stdin="y\n")
    assert done.code == 0
    assert "no key is left" in done.out
    assert list(kos_edge.state.iterdir()) == []
    assert kos_edge("decommission", "--yes", "--json").error["kind"] == "unavailable"


def test_at_the_hub_it_is_a_revocation(kos_edge: CommandLine, daemon: Daemon) -> None:
    assert "is decommissioned" in kos_edge("decommission", "pump").out
    assert daemon.node.asked[-1] == ("revoke", {"who": "pump", "reason": "decommissioned"})
