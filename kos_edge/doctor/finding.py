"""What a look at something found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mark = Literal["good", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of one check. `bad`: something does not work or will be lost; `warning`: it works, and might not."""

    check: str
    mark: Mark
    said: str
    mend: str | None = None


def good(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "good", said)


def warning(check: str, said: str, mend: str) -> Finding:
    """It works, and somebody should know."""
    return Finding(check, "warning", said, mend)


def bad(check: str, said: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check, "bad", said, mend)
