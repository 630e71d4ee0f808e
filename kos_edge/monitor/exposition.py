"""The text format of Prometheus (version 0.0.4): families of samples as one page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(slots=True)
class Family:
    """All samples of one name. A counter's name ends in `_total`; times are seconds, sizes bytes."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    samples: list[tuple[str, Mapping[str, str], float]] = field(default_factory=list)
    """What follows the name, labels, value."""

    def __post_init__(self) -> None:
        assert _NAME.fullmatch(self.name), self.name
        assert (self.kind == "counter") == self.name.endswith("_total"), self.name

    def add(self, value: float | None, **labels: str) -> Family:
        """One sample; none where the value is not known: a missing figure is honest, a zero is not."""
        if value is not None:
            self.samples.append(("", labels, value))
        return self

    def add_histogram(self, bounds: Sequence[float], counts: Sequence[int], total: float) -> Family:
        """Counts of what was at most each bound and above the one before; the last count has no bound."""
        seen = 0
        for bound, count in zip([*bounds, float("inf")], counts, strict=True):
            seen += count
            self.samples.append(("_bucket", {"le": _number(bound)}, seen))
        self.samples += [("_sum", {}, total), ("_count", {}, seen)]
        return self


def page(families: Iterable[Family]) -> bytes:
    """The page. A family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines.append(f"# HELP {family.name} {family.about.translate(_HELP_ESCAPES)}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += [
                f"{family.name}{end}{_labels(labels)} {_number(value)}"
                for end, labels, value in family.samples
            ]
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
