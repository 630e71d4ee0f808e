"""The configuration of a node: ``config.toml`` read into frozen values, and the file that explains itself.

Every key has a default, so an empty file or none is a full configuration. Whatever is wrong in a file is said
at once, each with its line; a file with anything wrong in it changes nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp.topic import check_filter, matches
from kos_edge.node.sections import (
    AdmissionSection,
    JournalSection,
    LogSection,
    MonitorSection,
    NetworkSection,
    NodeSection,
    QueueSection,
    SecretSettings,
    TopicSettings,
    VaultSection,
)
from kos_edge.node.settings import Place, example_fields, key_of, nearest, read_fields, shown_fields
from kos_edge.node.statedir import CONFIG_NAME
from kos_edge.node.toml_lines import TomlLines
from kos_edge.vault.vault import check_name

CONFIG_LIMIT = 1 << 20
"""Bytes of a configuration file; a larger one is something else."""

_SECTIONS: dict[str, type] = {
    "node": NodeSection,
    "network": NetworkSection,
    "queue": QueueSection,
    "journal": JournalSection,
    "admission": AdmissionSection,
    "log": LogSection,
    "monitor": MonitorSection,
    "vault": VaultSection,
}


class BadConfiguration(Invalid):
    """A configuration that cannot be used: everything wrong with it, in the order of its lines."""

    exit_code = 78

    def __init__(self, file: str, places: list[Place]) -> None:
        first, more = places[0], len(places) - 1
        others = f" (and {more} more: kos-edge config check)" if more else ""
        super().__init__(f"{where(file, first)}: {first.message}{others}", hint=first.hint)
        self.file = file
        self.places = places


@dataclass(frozen=True, slots=True)
class TopicRule:
    """One topic table: the filter and what it sets, by field name of `TopicSettings`."""

    filter: str
    values: Mapping[str, Any]

    @property
    def weight(self) -> tuple[int, ...]:
        """Greater is more special: from the left a name over ``*`` over ``#``, then the longer filter."""
        ranks = [0 if part == "#" else 1 if part == "*" else 2 for part in self.filter.split(".")]
        return (*ranks, -1 if 0 in ranks else 3)

    @property
    def limits(self) -> bool:
        """Whether it sets a limit of its own for its topics."""
        return any(self.values.get(name) is not None for name in ("max_messages", "max_bytes"))

    def shown(self) -> dict[str, Any]:
        """What it sets, as a TOML table."""
        table = shown_fields(TopicSettings(**self.values))
        return {key: table[key] for key in map(key_of, self.values)}


@dataclass(frozen=True, slots=True)
class Config:
    """A node's configuration, complete."""

    node: NodeSection = field(default_factory=NodeSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    queue: QueueSection = field(default_factory=QueueSection)
    journal: JournalSection = field(default_factory=JournalSection)
    admission: AdmissionSection = field(default_factory=AdmissionSection)
    log: LogSection = field(default_factory=LogSection)
    monitor: MonitorSection = field(default_factory=MonitorSection)
    vault: VaultSection = field(default_factory=VaultSection)
    secrets: Mapping[str, SecretSettings] = field(default_factory=dict)
    """Who gets which secret, by its name."""
    topics: tuple[TopicRule, ...] = ()
    """The topic tables, the most special first."""
    trouble: str | None = None
    """Why this is not what stands in the file."""

    def topic(self, topic: str) -> TopicSettings:
        """The settings of a topic: each from the most special table that matches and sets it, or its default.

        Takes time in proportion to the number of tables: ask once a topic and keep the answer.
        """
        values: dict[str, Any] = {}
        for rule in reversed(self.topics):
            if matches(rule.filter, topic):
                values.update(rule.values)
        return TopicSettings(**values)


def load_config(path: Path, *, required: bool = False) -> Config:
    """The configuration in a file; the defaults where there is none and it is not `required`.

    Raises BadConfiguration, also for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_LIMIT + 1)
    except FileNotFoundError:
        if not required:
            return Config()
        raise BadConfiguration(str(path), [Place(None, "there is no such file")]) from None
    except OSError as error:
        raise BadConfiguration(str(path), [Place(None, f"cannot be read: {error.strerror}")]) from None
    if len(data) > CONFIG_LIMIT:
        raise BadConfiguration(str(path), [Place(None, f"has more than {CONFIG_LIMIT:,} bytes")])
    return parse_config(data, file=str(path))


def parse_config(data: bytes, *, file: str = CONFIG_NAME) -> Config:
    """The configuration in the bytes of a file. Raises BadConfiguration with everything that is wrong."""
    text, table = _toml(data, file)
    lines = TomlLines(text)
    wrong: list[Place] = []
    sections: dict[str, Any] = {}
    topics: list[TopicRule] = []
    secrets: dict[str, SecretSettings] = {}
    for name, part in table.items():
        if name not in ("topic", "secret") and name not in _SECTIONS:
            hint = nearest(name, [*_SECTIONS, "secret", "topic"])
            wrong.append(Place(lines.line(name), f"there is no table [{name}]", hint))
        elif not isinstance(part, dict):
            wrong.append(Place(lines.line(name), f"{name} must be a table: [{name}]"))
        elif name == "topic":
            topics = _topics(part, lines, wrong)
        elif name == "secret":
            secrets = _secrets(part, lines, wrong)
        else:
            values = read_fields(_SECTIONS[name], part, f"[{name}]", partial(lines.line, name), wrong)
            sections[name] = _SECTIONS[name](**values)
    if wrong:
        raise BadConfiguration(file, sorted(wrong, key=lambda place: place.line or 0))
    return Config(
        **sections, secrets=secrets, topics=tuple(sorted(topics, key=lambda rule: rule.weight, reverse=True))
    )


def where(file: str, place: Place) -> str:
    """``file:line``, as editors and people read it."""
    return file if place.line is None else f"{file}:{place.line}"


def shown_config(config: Config) -> dict[str, Any]:
    """The effective configuration as TOML and JSON would have it; what has no value is null."""
    tables = {name: shown_fields(getattr(config, name)) for name in _SECTIONS}
    tables["secret"] = {name: shown_fields(each) for name, each in config.secrets.items()}
    return {**tables, "topic": {rule.filter: rule.shown() for rule in config.topics}}


def example_config() -> str:
    """A file with every key at its default, explained; reading it gives the defaults."""
    lines = [
        "# kos-edge: config.toml in the state directory, or any file given by --config.",
        "# Every key is here, at its default; a commented one has none. To check it: kos-edge config check",
        "",
    ]
    for name, form in _SECTIONS.items():
        lines += [f"# {_summary(form)}", f"[{name}]", *example_fields(form)]
    lines += [
        f"# {_summary(SecretSettings)}",
        '[secret."mqtt.password"]',
        *example_fields(SecretSettings),
        f"# {_summary(TopicSettings)}",
        "# The name is a filter: * is any one segment, # any number of them. Each key comes from the most",
        '# special table that matches and sets it: "air.temperature", then "air.*", then "air.#", then "#".',
        '[topic."#"]',
        *example_fields(TopicSettings),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _toml(data: bytes, file: str) -> tuple[str, dict[str, Any]]:
    try:
        text = data.decode()
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadConfiguration(file, [Place(line, "is not UTF-8 text")]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        at = int(found[1]) if found else None
        message = re.sub(r" \(at .*\)$", "", str(error))
        place = Place(at, f"is no TOML: {message}", "kos-edge config example shows a whole file")
        raise BadConfiguration(file, [place]) from None


def _secrets(tables: dict[str, Any], lines: TomlLines, wrong: list[Place]) -> dict[str, SecretSettings]:
    found = {}
    for name, table in tables.items():
        title, line = f'[secret."{name[:80]}"]', lines.line("secret", name)
        try:
            check_name(name)
        except Invalid as error:
            wrong.append(Place(line, f"{title}: {error.message}", error.hint))
            continue
        if not isinstance(table, dict) or any(isinstance(value, dict) for value in table.values()):
            hint = 'the name stands in quotes: [secret."mqtt.password"]'
            wrong.append(Place(line, f"{title} must be a table of settings", hint))
            continue
        values = read_fields(SecretSettings, table, title, partial(lines.line, "secret", name), wrong)
        found[name] = SecretSettings(**values)
    return found


def _topics(tables: dict[str, Any], lines: TomlLines, wrong: list[Place]) -> list[TopicRule]:
    rules = []
    for filter, table in tables.items():
        title = f'[topic."{filter[:80]}"]'
        try:
            check_filter(filter)
        except Invalid as error:
            wrong.append(Place(lines.line("topic", filter), f"{title}: {error.message}", error.hint))
            continue
        if not isinstance(table, dict) or any(isinstance(value, dict) for value in table.values()):
            hint = 'the filter stands in quotes: [topic."air.#"]'
            wrong.append(Place(lines.line("topic", filter), f"{title} must be a table of settings", hint))
            continue
        values = read_fields(TopicSettings, table, title, partial(lines.line, "topic", filter), wrong)
        rules.append(TopicRule(filter, values))
    return rules


def _summary(form: type) -> str:
    words = (form.__doc__ or "").split(": ", 1)[1].strip()
    return words[0].upper() + words[1:]
