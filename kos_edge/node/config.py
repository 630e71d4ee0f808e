"""The configuration of a node: ``config.toml`` read into frozen values, and the file that explains itself.

Every key has a default, so an empty file or none is a full configuration. Whatever is wrong in a file is said
at once, each with its line; a file with anything wrong in it changes nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kos_edge.errors import Invalid
from kos_edge.klp.topic import check_filter, matches
from kos_edge.node.sections import (
    AdmissionSection,
    BootstrapSection,
    JournalSection,
    LogSection,
    MonitorSection,
    NetworkSection,
    NodeSection,
    QueueSection,
    SecretSettings,
    SecuritySection,
    TopicSettings,
    TraceSection,
    VaultSection,
)
from kos_edge.node.settings import Place, example_fields, key_of, nearest, read_fields, shown_fields
from kos_edge.node.statedir import CONFIG_NAME
from kos_edge.node.toml_lines import TomlLines
from kos_edge.vault.vault import check_name

CONFIG_LIMIT = 1 << 20
"""Bytes of a configuration file; a larger one is something else."""

SECTIONS: dict[str, type] = {
    "node": NodeSection,
    "network": NetworkSection,
    "queue": QueueSection,
    "journal": JournalSection,
    "admission": AdmissionSection,
    "log": LogSection,
    "monitor": MonitorSection,
    "trace": TraceSection,
    "vault": VaultSection,
    "security": SecuritySection,
    "bootstrap": BootstrapSection,
}
"""The tables that stand once, with their form."""

_NAMED: dict[str, tuple[type, Callable[[str], object], str]] = {
    "secret": (SecretSettings, check_name, "mqtt.password"),
    "topic": (TopicSettings, check_filter, "air.#"),
}
"""Those that have a name: their form, what checks the name, and a sample of one."""


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
    trace: TraceSection = field(default_factory=TraceSection)
    vault: VaultSection = field(default_factory=VaultSection)
    security: SecuritySection = field(default_factory=SecuritySection)
    bootstrap: BootstrapSection = field(default_factory=BootstrapSection)
    secrets: Mapping[str, SecretSettings] = field(default_factory=dict)
    """Who gets which secret, by its name."""
    topics: tuple[TopicRule, ...] = ()
    """The topic tables, the most special first."""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each key that is set was set, by its name such as ``queue.max-bytes``: a file with its line, a variable."""
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


@dataclass(frozen=True, slots=True)
class Layer:
    """What one file, or the environment, sets. Values by section and field name, by the name of a secret, by filter."""

    sections: Mapping[str, Mapping[str, Any]]
    secrets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    topics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


def combine(layers: Iterable[Layer], *, trouble: str | None = None) -> Config:
    """The configuration of several layers: each key from the last that sets it."""
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    secrets: dict[str, dict[str, Any]] = {}
    topics: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for whole, part in ((sections, layer.sections), (secrets, layer.secrets), (topics, layer.topics)):
            for name, values in part.items():
                whole.setdefault(name, {}).update(values)
        origins.update(layer.origins)
    rules = (TopicRule(filter, values) for filter, values in topics.items())
    made: dict[str, Any] = {name: SECTIONS[name](**values) for name, values in sections.items()}
    return Config(
        **made,
        secrets={name: SecretSettings(**values) for name, values in secrets.items()},
        topics=tuple(sorted(rules, key=lambda rule: rule.weight, reverse=True)),
        origins=origins,
        trouble=trouble,
    )


def parse_config(data: bytes, *, file: str = CONFIG_NAME) -> Config:
    """The configuration in the bytes of one file. Raises BadConfiguration with everything that is wrong."""
    return combine([parse_layer(data, file=file)])


def parse_layer(data: bytes, *, file: str = CONFIG_NAME) -> Layer:
    """What the bytes of a file set. Raises BadConfiguration with everything that is wrong."""
    text, table = _toml(data, file)
    lines = TomlLines(text)
    wrong: list[Place] = []
    sections: dict[str, dict[str, Any]] = {}
    named: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _NAMED}
    for name, part in table.items():
        if name not in _NAMED and name not in SECTIONS:
            hint = nearest(name, [*SECTIONS, *_NAMED])
            wrong.append(Place(lines.line(name), f"there is no table [{name}]", hint))
        elif not isinstance(part, dict):
            wrong.append(Place(lines.line(name), f"{name} must be a table: [{name}]"))
        elif name in _NAMED:
            named[name] = _read_named(name, part, lines, wrong)
        else:
            line_of = partial(lines.line, name)
            sections[name] = read_fields(SECTIONS[name], part, f"[{name}]", line_of, wrong)
    if wrong:
        raise BadConfiguration(file, sorted(wrong, key=lambda place: place.line or 0))
    origins = {".".join(path): where(file, Place(lines.line(*path), "")) for path in _paths(table)}
    return Layer(sections, named["secret"], named["topic"], origins)


def where(file: str, place: Place) -> str:
    """``file:line``, as editors and people read it."""
    return file if place.line is None else f"{file}:{place.line}"


def shown_config(config: Config) -> dict[str, Any]:
    """The effective configuration as TOML and JSON would have it; what has no value is null."""
    tables = {name: shown_fields(getattr(config, name)) for name in SECTIONS}
    tables["secret"] = {name: shown_fields(each) for name, each in config.secrets.items()}
    return {**tables, "topic": {rule.filter: rule.shown() for rule in config.topics}}


def example_config() -> str:
    """A file with every key at its default, explained; reading it gives the defaults."""
    lines = [
        "# kos-edge: config.toml in the state directory, or any file given by --config.",
        "# Every key is here, at its default; a commented one has none. To check it: kos-edge config check",
        "",
    ]
    for name, form in SECTIONS.items():
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


def _read_named(
    kind: str, tables: dict[str, Any], lines: TomlLines, wrong: list[Place]
) -> dict[str, dict[str, Any]]:
    """Tables that have a name in quotes: of topics, of secrets."""
    form, check, sample = _NAMED[kind]
    found = {}
    for name, table in tables.items():
        title, line = f'[{kind}."{name[:80]}"]', lines.line(kind, name)
        try:
            check(name)
        except Invalid as error:
            wrong.append(Place(line, f"{title}: {error.message}", error.hint))
            continue
        if not isinstance(table, dict) or any(isinstance(value, dict) for value in table.values()):
            hint = f'the name stands in quotes: [{kind}."{sample}"]'
            wrong.append(Place(line, f"{title} must be a table of settings", hint))
            continue
        found[name] = read_fields(form, table, title, partial(lines.line, kind, name), wrong)
    return found


def _paths(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each value."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))
        else:
            yield (*above, name)


def _summary(form: type) -> str:
    words = (form.__doc__ or "").split(": ", 1)[1].strip()
    return words[0].upper() + words[1:]
