"""Topics and the filters that select them.

A topic is segments of letters, digits, `_` and `-`, joined by dots, at most 255 bytes: `air.temperature`. In
a filter the segment `*` stands for any one segment and `#` for any number of them, also none.
"""

from __future__ import annotations

import re
from functools import lru_cache

from kos_edge.errors import Invalid

MAX_TOPIC = 255

_SEGMENT = r"[A-Za-z0-9_-]{1,64}"
_TOPIC = re.compile(rf"{_SEGMENT}(?:\.{_SEGMENT})*")
_FILTER = re.compile(rf"(?:{_SEGMENT}|\*|#)(?:\.(?:{_SEGMENT}|\*|#))*")
_HINT = "segments of letters, digits, '_' and '-' joined by dots, at most 255 bytes, such as air.temperature"


@lru_cache(maxsize=4096)
def check_topic(text: str) -> None:
    """Invalid unless `text` is a topic."""
    if len(text) > MAX_TOPIC or not _TOPIC.fullmatch(text):
        raise Invalid(f"{_shown(text)} is not a topic", hint=_HINT)


def check_filter(text: str) -> None:
    """Invalid unless `text` is a filter; every topic is one."""
    if len(text) > MAX_TOPIC or not _FILTER.fullmatch(text):
        hint = f"{_HINT}; '*' is one segment, '#' any number"
        raise Invalid(f"{_shown(text)} is not a topic filter", hint=hint)


def matches(filter: str, topic: str) -> bool:
    """Whether the filter selects the topic, in time proportional to the product of their lengths at most."""
    wanted, given = filter.split("."), topic.split(".")
    at = position = 0
    # Where to go on from after a '#': the segment behind it, and how much of the topic it has taken.
    retry = taken = -1
    while position < len(given):
        if at < len(wanted) and wanted[at] == "#":
            retry, taken = at + 1, position
            at += 1
        elif at < len(wanted) and wanted[at] in ("*", given[position]):
            at += 1
            position += 1
        elif retry >= 0:
            taken += 1
            at, position = retry, taken
        else:
            return False
    return all(segment == "#" for segment in wanted[at:])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
