"""config check, show and example."""

from __future__ import annotations

from pathlib import Path

from kos_edge.node.config import Config, parse_config, shown_config
from tests.cli.conftest import CommandLine


def test_the_example_checks_out(kos_edge: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(kos_edge("config", "example").out)
    assert kos_edge("config", "check", "--config", str(file)).out == f"{file} is right\n"
    assert kos_edge("config", "example", "--json").value["text"] == file.read_text()


def test_every_mistake_is_told_with_its_line(kos_edge: CommandLine, state: Path) -> None:
    (state / "config.toml").write_text("[log]\nlevl = 'info'\n[queue]\nmax-bytes = true\n")
    done = kos_edge("config", "check")
    assert done.code == 78
    assert done.err.splitlines() == [
        f"kos-edge: {state}/config.toml:2: [log] has no key 'levl'",
        "  next: did you mean 'level'?",
        f'kos-edge: {state}/config.toml:4: [queue] max-bytes must be a size such as "512MB", not True',
    ]
    error = kos_edge("config", "check", "--json").error
    assert error["exit_code"] == 78
    assert [place["line"] for place in error["places"]] == [2, 4]
    assert kos_edge("config", "show").code == 78


def test_what_takes_effect_is_shown_with_defaults_and_reads_back(kos_edge: CommandLine, state: Path) -> None:
    assert kos_edge("config", "show", "--json").value == shown_config(Config())
    (state / "config.toml").write_text('[journal]\nkeep-for = "48h"\n[topic."air.#"]\nttl = "60s"\n')
    shown = kos_edge("config", "show").out
    assert 'keep-for = "2d"' in shown
    assert shown.endswith('[topic."air.#"]\nttl = "1m"\n')
    assert parse_config(shown.encode()) == parse_config((state / "config.toml").read_bytes())


def test_a_missing_file_is_the_defaults_unless_it_was_named(kos_edge: CommandLine, tmp_path: Path) -> None:
    assert "the defaults hold" in kos_edge("config", "check").out
    done = kos_edge("config", "check", "--config", str(tmp_path / "none"))
    assert done.code == 78
    assert "there is no such file" in done.err


def test_a_key_is_set_shown_with_its_origin_and_taken_back(kos_edge: CommandLine, state: Path) -> None:
    (state / "config.toml").write_text('[secret.wifi]\nagents = ["bridge"]\n')
    assert kos_edge("config", "set", "queue.max-bytes", "64MB").code == 0
    shown = kos_edge("config", "show").out
    assert 'max-bytes = "64MB"' in shown
    assert '[secret."wifi"]\nagents = ["bridge"]' in shown
    origins = kos_edge("config", "show", "--origin", "--json").value
    assert origins["queue.max-bytes"].endswith("90-set.toml:4")
    assert origins["secret.wifi.agents"].endswith("config.toml:2")
    wrong = kos_edge("config", "set", "queue.max-bytes", "lots")
    assert (wrong.code, len(wrong.err.splitlines()) <= 2) == (65, True)
    assert kos_edge("config", "unset", "queue.max-bytes").code == 0
    assert kos_edge("config", "show", "--origin").out.splitlines()[1:] == [
        f"secret.wifi.agents  {state}/config.toml:2"
    ]
