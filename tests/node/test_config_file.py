"""The configuration file: what it says, and what it says of what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kos_edge.node.config import (
    BadConfiguration,
    Config,
    example_config,
    parse_config,
    shown_config,
)
from kos_edge.node.config_sources import load_config
from kos_edge.node.sections import TopicSettings


def wrong(text: str) -> list[tuple[int | None, str, str | None]]:
    with pytest.raises(BadConfiguration) as bad:
        parse_config(text.encode())
    return [(place.line, place.message, place.hint) for place in bad.value.places]


def test_the_example_is_the_defaults() -> None:
    read = parse_config(example_config().encode())
    default = Config()
    for section in ("node", "network", "queue", "journal", "admission", "log"):
        assert getattr(read, section) == getattr(default, section)
    assert read.topic("air.temperature") == default.topic("air.temperature") == TopicSettings()


def test_the_example_has_every_key_and_its_commented_ones_are_valid() -> None:
    text = re.sub(r"^# ([a-z-]+ = )", r"\1", example_config(), flags=re.MULTILINE)
    read = parse_config(text.encode())
    shown = shown_config(read)
    topics = shown.pop("topic")
    assert shown.pop("secret") == {"mqtt.password": {"agents": []}}
    defaults = shown_config(Config())
    for name in ("queue", "monitor", "trace", "vault"):
        unset = {key for key, value in defaults[name].items() if value is None}
        assert {key for key in unset if shown[name].pop(key) is not None} == unset
        defaults[name] = {key: value for key, value in defaults[name].items() if key not in unset}
    assert {**shown, "topic": {}, "secret": {}} == defaults
    assert set(topics["#"]) == set(re.findall(r"^([a-z-]+) = ", text.split("[topic.")[1], re.MULTILINE))
    assert len(topics["#"]) == 9
    assert read.topic("x").linger_s == 0.1
    assert read.topic("x").ttl_s == 3600.0
    assert read.topic("x").max_bytes == 64_000_000


def test_the_defaults_are_those_of_the_design() -> None:
    config = Config()
    assert config.journal.keep_for_s == 7 * 86400
    assert config.journal.max_bytes == 10**9
    assert config.topic("a").effective_linger_s == 0.1
    assert config.topic("a").durability == "durable"
    assert config.topic("a").audience == "hub"


def test_a_critical_topic_does_not_linger_unless_told_to() -> None:
    config = parse_config(b'[topic."a.#"]\npriority = "critical"\n[topic."a.b"]\nlinger = "5ms"\n')
    assert config.topic("a.c").effective_linger_s == 0.0
    assert config.topic("a.b").effective_linger_s == 0.005
    assert config.topic("a.b").priority == "critical"


def test_each_key_of_a_topic_comes_from_the_most_special_table_that_sets_it() -> None:
    config = parse_config(
        b"""
        [topic."#"]
        ttl = "1d"
        priority = "low"
        [topic."air.#"]
        priority = "normal"
        durability = "volatile"
        [topic."air.*"]
        priority = "high"
        [topic."air.temperature"]
        priority = "critical"
        """
    )
    assert [config.topic(name).priority for name in ("water", "air.a.b", "air.a", "air.temperature")] == [
        "low",
        "normal",
        "high",
        "critical",
    ]
    assert config.topic("air.temperature").ttl_s == 86400.0
    assert config.topic("air.temperature").durability == "volatile"
    assert config.topic("water").durability == "durable"


@pytest.mark.parametrize(
    ("special", "plain"),
    [
        ("air.temperature", "air.*"),
        ("air.*", "air.#"),
        ("air", "air.#"),
        ("air.#.top", "air.#"),
        ("air.#", "*.temperature"),
        ("*.temperature", "#"),
        ("a.b.#", "a.#"),
    ],
)
def test_the_more_special_filter_wins_in_either_order(special: str, plain: str) -> None:
    tables = [f'[topic."{special}"]\npriority = "high"\n', f'[topic."{plain}"]\npriority = "low"\n']
    for text in ("".join(tables), "".join(reversed(tables))):
        assert [rule.filter for rule in parse_config(text.encode()).topics] == [special, plain]


def test_everything_wrong_is_named_with_its_line_at_once() -> None:
    places = wrong(
        """# comment
[queu]
a = 1
[queue]
max-messages = "3"
max-bytes = "3 PB"
[topic."air.#"]
lingr = 3
priority = "urgent"
linger = 5
"""
    )
    assert [line for line, _, _ in places] == [2, 5, 6, 8, 9, 10]
    messages = [message for _, message, _ in places]
    assert messages[0] == "there is no table [queu]"
    assert places[0][2] == "did you mean 'queue'?"
    assert messages[1] == "[queue] max-messages must be a whole number from 1, not '3'"
    assert messages[3] == "[topic.\"air.#\"] has no key 'lingr'"
    assert places[3][2] == "did you mean 'linger'?"
    assert '"low" or "normal" or "high" or "critical", not \'urgent\'' in messages[4]
    assert "a duration" in messages[5]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[node\n", 1, "is no TOML"),
        ("[log]\nlevel = \n", 2, "is no TOML"),
        ("[log]\nlevel = 'info'\nlevel = 'info'\n", 3, "is no TOML"),
        ('\n[topic."a b"]\n', 2, "not a topic filter"),
        ("[topic.air.temperature]\nttl = '1h'\n", 1, "must be a table"),
        ("topic = 3\n", 1, "topic must be a table"),
        ("queue = 3\n", 1, "queue must be a table"),
        ("[network]\npeers = [\n  'a:1',\n  3,\n]\n", 2, "peers must be a list"),
        ("[network]\nlisten = ['hub.local:5683']\n", 2, "listen must be a list"),
        ("[network]\nlisten = ['0.0.0.0:70000']\n", 2, "listen must be a list"),
        ("[network]\nmdns = 1\n", 2, "mdns must be true or false"),
        ("[topic.'#']\naudience = 'everyone'\n", 2, "audience must be"),
        ("network.mdns = 'no'\n", 1, "mdns must be true or false"),
        ("[queue]\nmax-messages = true\n", 2, "max-messages must be"),
        ("[queue]\nmax-messages = 0\n", 2, "max-messages must be"),
        ("[queue]\nmax-bytes = 0\n", 2, "max-bytes must be a size"),
        ("[topic.'#']\nttl = '0'\n", 2, "ttl must be a duration above 0"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, line: int, message: str) -> None:
    first = wrong(text)[0]
    assert first[0] == line
    assert message in first[1]


def test_a_key_inside_a_long_text_is_no_key() -> None:
    places = wrong('[log]\nlevel = """\n[node]\nformat = 3\n"""\nformat = 3\n')
    assert [line for line, _, _ in places] == [2, 6]


def test_the_error_is_one_line_that_names_the_file_and_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[log]\nlevl = 'info'\nformat = 'xml'\n")
    with pytest.raises(BadConfiguration) as bad:
        load_config(path)
    assert str(bad.value) == f"{path}:2: [log] has no key 'levl' (and 1 more: kos-edge config check)"
    assert bad.value.hint == "did you mean 'level'?"
    assert bad.value.exit_code == 78


def test_no_file_is_the_defaults_unless_it_was_asked_for(tmp_path: Path) -> None:
    assert load_config(tmp_path / "config.toml") == Config()
    with pytest.raises(BadConfiguration, match="no such file"):
        load_config(tmp_path / "config.toml", required=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\xff", "1: is not UTF-8"), (b"#" * (1 << 20) + b"\n", "more than"), (b"\0" * 4096, "1: is no TOML")],
)
def test_a_damaged_file_is_not_taken_for_an_empty_one(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(data)
    with pytest.raises(BadConfiguration, match=message):
        load_config(path)


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read"):
        load_config(tmp_path)


def test_what_is_shown_reads_back_as_the_same() -> None:
    text = b'[network]\npeers = ["hub.local"]\n[queue]\nmax-bytes = "1MiB"\n[topic."a.#"]\nttl = "90s"\n'
    shown = shown_config(parse_config(text))
    assert shown["network"]["peers"] == ["hub.local"]
    assert shown["queue"]["max-bytes"] == "1MiB"
    assert shown["topic"] == {"a.#": {"ttl": "90s"}}
