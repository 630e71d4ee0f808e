"""docs/simulator.md: its example runs as it stands there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kos_edge import Agent

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


def test_the_example_runs_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent("greenhouse")

    @agent.sensor(".air.temperature", every="30s", unit="Cel")
    def temperature() -> float:
        return 21.5

    greenhouse = ModuleType("greenhouse")
    greenhouse.agent = agent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "greenhouse", greenhouse)
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(compile(found[1], str(PAGE), "exec", dont_inherit=True), names)
    story: Callable[[Path], None] = names["test_the_greenhouse_loses_nothing_over_a_bad_hour"]
    story(tmp_path)
