"""An operator's station as a person has it: no daemon, every administering command, on Linux and elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.boxes import ROOT, Box, until

pytestmark = pytest.mark.e2e


class Laptop(Box):
    """A box without a daemon; `elsewhere` on a system that is not Linux."""

    def __init__(self, state: Path, *, elsewhere: bool) -> None:
        super().__init__(state)
        self._elsewhere = elsewhere

    def line(self, *words: str) -> list[str]:
        if not self._elsewhere:
            return super().line(*words)
        script = str(ROOT / "tests" / "e2e" / "elsewhere.py")
        return [sys.executable, script, "--state", str(self.state), *words]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    hub = Box(tmp_path_factory.mktemp("station") / "hub")
    hub.init("hub")
    hub.start()
    yield hub
    hub.stop()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["on-linux", "elsewhere"])
def test_every_administering_command_works_from_a_station(hub: Box, tmp_path: Path, elsewhere: bool) -> None:
    laptop = Laptop(tmp_path / f"laptop{elsewhere:d}", elsewhere=elsewhere)
    laptop.init("operator")
    assert laptop("peers").code == 69
    token = hub.ask("invite", "--role", "operator")["token"]
    assert laptop.ask("join", token)["outcome"] == "joined"
    assert [peer["name"] for peer in laptop.ask("peers") if peer["role"] == "operator"]
    assert laptop.ask("status")["name"] == "hub"
    assert laptop.ask("queue")["messages"] == 0
    assert laptop("queue", "dead").code == 0
    assert laptop("forecast").code == 0
    shed = Box(tmp_path / f"shed{elsewhere:d}")
    shed.init("edge")
    assert shed.ask("join", laptop.ask("invite")["token"])["outcome"] == "joined"
    assert laptop.ask("rename", shed.name, f"barn{elsewhere:d}")["name"] == f"barn{elsewhere:d}"
    shed.start()
    shed.until_connected()
    ordered = laptop.ask("bootstrap", "--node", f"barn{elsewhere:d}", "--force")
    assert ordered["node"] == f"barn{elsewhere:d}"
    until(lambda: shed.log.count("is running at") == 2, "it does not begin again")
    assert len(shed.ask("bootstrap", "status")["orders"]) == 1
    shed.stop()
    assert laptop("bootstrap").code == 77
    assert laptop.ask("decommission", f"barn{elsewhere:d}")["reason"] == "decommissioned"
    other = Box(tmp_path / f"other{elsewhere:d}")
    other.init("edge")
    assert laptop.ask("allow", other.made["public"])["role"] == "edge"
    assert laptop.ask("pending") == []
    refused: list[tuple[str, ...]] = [
        ("admit", "nobody"),
        ("reject", "nobody"),
        ("invite", "--role", "operator"),
        ("bootstrap", "--node", "hub"),
    ]
    for each in refused:
        done = laptop(*each)
        assert (done.code, "next:" in done.err) == (77, True), (each, done)
    assert laptop("stop").code == 69
    assert laptop.ask("revoke", laptop.name, "--reason", "sold")["name"] == laptop.name
    assert laptop("peers").code in (69, 77)
    assert laptop.ask("leave")["mesh"]


def test_a_station_waits_in_the_foreground_until_it_is_let_in(hub: Box, tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "waiting", elsewhere=False)
    laptop.init("operator")
    (laptop.state / "config.toml").write_text(f'[network]\nmdns = false\npeers = ["{hub.address}"]\n')
    mesh = hub.ask("status")["mesh"]
    with subprocess.Popen(
        laptop.line("join", "--mesh", mesh), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as joining:
        until(lambda: any(p["name"] == "waiting" for p in hub.ask("pending")), "it does not knock")
        assert hub("admit", "waiting").code == 77
        assert hub("admit", "waiting", "--role", "operator").code == 0
        out, err = joining.communicate(timeout=30)
    assert joining.returncode == 0, err
    assert "joined as waiting (operator)" in out
    assert laptop.made["words"] in err


def test_a_station_without_a_hub_says_so_in_a_few_seconds(tmp_path: Path) -> None:
    gone = Box(tmp_path / "gone")
    gone.init("hub")
    gone.start()
    laptop = Laptop(tmp_path / "laptop", elsewhere=False)
    laptop.init("operator")
    assert laptop.ask("join", gone.ask("invite", "--role", "operator")["token"])["outcome"] == "joined"
    gone.stop()
    done = laptop("peers", within=15.0)
    assert done.code == 69
    assert "no hub can be reached" in done.err
    assert "next:" in done.err
