"""Several files and the environment: the later wins, and each mistake is named where it stands."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from kos_edge.errors import Invalid
from kos_edge.node import statedir
from kos_edge.node.config import BadConfiguration, Config
from kos_edge.node.config_setting import set_key, unset_key
from kos_edge.node.config_sources import MAX_FILES, environment_layer, load_config
from kos_edge.node.kept_config import load_kept
from kos_edge.node.statedir import StateDir


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.d").mkdir()
    return tmp_path / "config.toml"


def drop_in(config: Path, name: str, text: str) -> Path:
    file = config.parent / "config.d" / name
    file.write_text(text)
    return file


def test_each_key_comes_from_the_last_that_sets_it(config: Path) -> None:
    config.write_text(
        '[queue]\nmax-messages = 1\nmax-bytes = "1MB"\n[topic."a.#"]\npriority = "high"\nttl = "1h"\n'
    )
    drop_in(config, "20-b.toml", "[queue]\nmax-messages = 3\n")
    drop_in(config, "10-a.toml", '[queue]\nmax-messages = 2\n[topic."a.#"]\nttl = "2h"\n')
    drop_in(config, "30-c.txt", "[queue]\nmax-messages = 4\n")
    environment = {"KOS_EDGE_LOG_LEVEL": "debug", "KOS_EDGE_STATE": "/x", "KOS_EDGE_QUEUE_WEIGHT_HIGH": "9"}
    found = load_config(config, environment=environment)
    assert (found.queue.max_messages, found.queue.max_bytes, found.queue.weight_high) == (3, 1_000_000, 9)
    assert (found.topic("a.b").priority, found.topic("a.b").ttl_s) == ("high", 7200.0)
    assert found.log.level == "debug"
    folder = config.parent / "config.d"
    assert found.origins == {
        "queue.max-messages": f"{folder}/20-b.toml:2",
        "queue.max-bytes": f"{config}:3",
        "topic.a.#.priority": f"{config}:5",
        "topic.a.#.ttl": f"{folder}/10-a.toml:4",
        "log.level": "KOS_EDGE_LOG_LEVEL",
        "queue.weight-high": "KOS_EDGE_QUEUE_WEIGHT_HIGH",
    }


def test_a_mistake_in_any_of_them_is_named_where_it_stands(config: Path) -> None:
    file = drop_in(config, "10-a.toml", "[queue]\n\nmax-mesages = 2\n")
    with pytest.raises(BadConfiguration, match=f"{file}:3: .*max-mesages"):
        load_config(config)


@pytest.mark.parametrize(
    ("variable", "value", "section", "field", "read"),
    [
        ("KOS_EDGE_NETWORK_MDNS", "false", "network", "mdns", False),
        ("KOS_EDGE_NETWORK_PEERS", "10.0.0.1:5683", "network", "peers", ("10.0.0.1:5683",)),
        ("KOS_EDGE_NETWORK_PEERS", '["a:1", "b:2"]', "network", "peers", ("a:1", "b:2")),
        ("KOS_EDGE_QUEUE_MAX_BYTES", "64MB", "queue", "max_bytes", 64_000_000),
        ("KOS_EDGE_JOURNAL_KEEP_FOR", "3d", "journal", "keep_for_s", 259_200.0),
        ("KOS_EDGE_MONITOR_LISTEN", ":9464", "monitor", "listen", ":9464"),
    ],
)
def test_a_variable_is_read_as_a_person_means_it(
    variable: str, value: str, section: str, field: str, read: object
) -> None:
    assert environment_layer({variable: value}).sections == {section: {field: read}}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KOS_EDGE_QUEUE_MAX_MESAGES", "5"),
        ("KOS_EDGE_NETWORK_MDNS", "perhaps"),
        ("KOS_EDGE_QUEUE_MAX_BYTES", "-1"),
    ],
)
def test_a_variable_that_is_wrong_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadConfiguration, match=variable):
        environment_layer({variable: value})


def test_too_many_files_and_one_that_cannot_be_read_are_told(config: Path) -> None:
    (config.parent / "config.d" / "a.toml").mkdir()
    with pytest.raises(BadConfiguration, match="cannot be read"):
        load_config(config)
    (config.parent / "config.d" / "a.toml").rmdir()
    for number in range(MAX_FILES + 1):
        drop_in(config, f"{number}.toml", "")
    with pytest.raises(BadConfiguration, match="more than 64 files"):
        load_config(config)


def test_each_file_falls_back_to_its_own_last_good_one_and_one_that_was_taken_away_is_gone(
    config: Path,
) -> None:
    config.write_text("[queue]\nmax-messages = 1\n")
    file = drop_in(config, "10-a.toml", "[queue]\nweight-low = 7\n")
    assert load_kept(config).queue.weight_low == 7
    file.write_text("[queue\n")
    found = load_kept(config)
    assert (found.queue.max_messages, found.queue.weight_low) == (1, 7)
    assert "10-a.toml:1" in (found.trouble or "")
    file.unlink()
    assert load_kept(config) == Config(queue=found.queue.__class__(max_messages=1))


def test_the_configuration_of_a_system_s_state_is_in_etc_where_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etc, var = tmp_path / "etc", tmp_path / "var"
    (etc / "kos-edge").mkdir(parents=True)
    monkeypatch.setattr(statedir, "SYSTEM_CONFIG", etc)
    monkeypatch.setattr(statedir, "SYSTEM_STATE", var)
    assert StateDir(var / "kos-edge").config_file == etc / "kos-edge" / "config.toml"
    assert StateDir(var / "kos-edge-cellar").config_file == var / "kos-edge-cellar" / "config.toml"
    assert StateDir(tmp_path / "kos-edge").config_file == tmp_path / "kos-edge" / "config.toml"


def test_set_writes_a_file_of_its_own_and_takes_nothing_that_is_wrong(config: Path) -> None:
    config.write_text("[queue]\nmax-messages = 1\n")
    place = set_key(config, "queue.max-messages", "5")
    set_key(config, "network.peers", "hub.local")
    set_key(config, 'topic."air.#".ttl', "1h")
    set_key(config, 'secret."mqtt.password".agents', "bridge")
    before = place.read_bytes()
    for key, value in (
        ("queue.max-messages", "many"),
        ("queue.max-mesages", "5"),
        ("queue", "5"),
        ("a b", "5"),
    ):
        with pytest.raises(Invalid):
            set_key(config, key, value)
    assert place.read_bytes() == before
    assert config.read_text() == "[queue]\nmax-messages = 1\n"
    found = load_config(config, environment={})
    assert (found.queue.max_messages, found.network.peers) == (5, ("hub.local",))
    assert found.topic("air.x").ttl_s == 3600.0
    assert found.secrets["mqtt.password"].agents == ("bridge",)
    unset_key(config, 'topic."air.#".ttl')
    unset_key(config, "queue.max-messages")
    assert tomllib.loads(place.read_text()).keys() == {"network", "secret"}
    with pytest.raises(Invalid, match="is not set"):
        unset_key(config, "queue.max-messages")
