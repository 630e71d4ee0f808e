"""What the documents say of the command line and the configuration is so."""

from __future__ import annotations

import re
from pathlib import Path

import click

from kos_edge.cli import telling
from kos_edge.cli.commands import SECTIONS
from kos_edge.cli.commands import kos_edge as commands
from kos_edge.errors import Invalid, KosError, Misuse, Refused, Unavailable, Unknown
from kos_edge.node.config import BadConfiguration, example_config, parse_config
from kos_edge.node.statedir import CannotCreate

DOCS = Path(__file__).parents[2] / "docs"


def test_every_command_and_option_is_in_the_document() -> None:
    text = (DOCS / "cli.md").read_text()
    context = click.Context(commands)
    for name in (name for section in SECTIONS.values() for name in section):
        command = commands.get_command(context, name)
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in inner:
            assert each is not None
            assert f"kos-edge {name}" in text
            for option in (p for p in each.params if isinstance(p, click.Option)):
                assert option.opts[-1] in text, f"{name} {option.opts}"


def test_every_exit_code_is_in_the_document() -> None:
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text(), re.MULTILINE)
    errors = (KosError, Invalid, Unavailable, Refused, Unknown, Misuse, BadConfiguration, CannotCreate)
    codes = {error.exit_code for error in errors}
    codes |= {0, telling.USAGE, telling.BUG, telling.INTERRUPTED, telling.NOBODY_READS}
    assert sorted(map(int, rows)) == sorted(codes)


def test_the_document_of_the_configuration_has_the_example_and_valid_samples() -> None:
    text = (DOCS / "configuration.md").read_text()
    assert f"```toml\n{example_config()}```\n" in text
    sample = "\n".join(
        line[4:] for line in text.splitlines() if line.startswith("    ") and "kos-edge" not in line
    )
    config = parse_config(sample.encode())
    assert config.topic("alarm.smoke").effective_linger_s == 0
    assert config.topic("camera.preview").durability == "volatile"
    assert config.topic("camera.preview").linger_s == 10


def test_special_tables_are_in_the_order_that_the_document_says() -> None:
    said = ["air.temperature", "air.*", "air.#", "*.temperature", "#"]
    text = "".join(f'[topic."{filter}"]\n' for filter in reversed(said))
    assert [rule.filter for rule in parse_config(text.encode()).topics] == said
