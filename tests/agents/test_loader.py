"""Agent files are imported apart from everything else, and what is wrong with one is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kos_edge import Agent
from kos_edge.agents.loader import load
from kos_edge.errors import Invalid

ONE = 'from kos_edge import Agent\nagent = Agent("one")\n'


def written(folder: Path, text: str, name: str = "agent.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_the_agents_of_a_file_come_in_its_order(tmp_path: Path) -> None:
    text = ONE + 'second = Agent("two")\nsame = agent\nagent.run()\n'
    assert [agent.name for agent in load(written(tmp_path, text))] == ["one", "two"]


def test_loading_twice_gives_two_agents(tmp_path: Path) -> None:
    file = written(tmp_path, ONE)
    assert load(file)[0] is not load(file)[0]


def test_neighbours_belong_to_their_own_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name, f"NAME = {name!r}\n", "hardware_of_mine.py")
        written(
            tmp_path / name,
            "from kos_edge import Agent\nimport hardware_of_mine\nagent = Agent(hardware_of_mine.NAME)\n",
        )
    assert [load(tmp_path / name / "agent.py")[0].name for name in ("a", "b")] == ["a", "b"]
    assert "hardware_of_mine" not in sys.modules
    assert str(tmp_path / "a") not in sys.path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import does_not_exist_here\n",
            "line 1: ModuleNotFoundError: No module named 'does_not_exist_here'",
        ),
        (ONE + "x = (1\n", "line 3: SyntaxError: '(' was never closed"),
        (ONE + "\n1 / 0\n", "line 4: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
        ("x = 1\n", "there is no agent in it"),
        (ONE + 'agent.sensor("a b", every=1)\n', "line 3: Invalid: 'a b' is not a topic"),
        (ONE + "@agent.sensor('.x', every=1)\ndef read(bus): ...\n", "line 3, read() asks for 'bus'"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    modules = set(sys.modules)
    with pytest.raises(Invalid) as wrong:
        load(file)
    assert wrong.value.message.startswith(str(file))
    assert said in wrong.value.message
    assert "\n" not in wrong.value.message
    assert wrong.value.__cause__ is None
    assert {name for name in set(sys.modules) - modules if "agent.py" in str(sys.modules[name])} <= {
        name for name in sys.modules if name.startswith("kos_edge_agent_")
    }


def test_an_error_in_a_neighbour_names_the_neighbour(tmp_path: Path) -> None:
    written(tmp_path, "\n\nboom\n", "broken_neighbour.py")
    with pytest.raises(Invalid, match=r"broken_neighbour.py, line 3: NameError"):
        load(written(tmp_path, "import broken_neighbour\n"))


def test_a_missing_file_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no such file"):
        load(tmp_path / "nothing.py")


def test_run_at_the_end_of_an_imported_file_does_nothing() -> None:
    namespace: dict[str, object] = {"__name__": "imported", "Agent": Agent}
    exec(compile('Agent("x").run()', "imported.py", "exec"), namespace)


def test_importing_the_package_brings_no_network_and_no_store() -> None:
    program = "import sys; from kos_edge import Agent, Reading; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"aiocoap", "zeroconf", "sqlite3", "click", "kos_edge.node"} & set(run.stdout.split())


def test_the_package_has_no_other_names() -> None:
    import kos_edge

    assert {"Agent", "Node", "Reading"} <= set(dir(kos_edge))
    with pytest.raises(AttributeError, match="no attribute 'Agents'"):
        _ = kos_edge.Agents
