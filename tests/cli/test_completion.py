"""The shell completes what a person has begun to type."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import CommandLine


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_us(kos_edge: CommandLine, shell: str) -> None:
    done = kos_edge("completion", shell)
    assert done.code == 0
    assert f"_KOS_EDGE_COMPLETE={shell}_complete" in done.out


@pytest.mark.parametrize(
    ("line", "word"),
    [("kos-edge vau", "vault"), ("kos-edge vault ro", "rotate"), ("kos-edge doctor --qu", "--quiet")],
)
def test_a_beginning_is_completed(line: str, word: str) -> None:
    asked = {"_KOS_EDGE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    program = "from kos_edge.cli import main; main()"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"plain,{word}"]


def test_bash_takes_the_script(kos_edge: CommandLine) -> None:
    script = kos_edge("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
