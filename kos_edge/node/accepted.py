"""What a publisher is told of a message that was accepted; and what a dead letter says when it is handed in again."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.klp.pack import Position

LATEST = "latest:"


@dataclass(frozen=True, slots=True)
class Newest:
    """What was accepted as the newest value of its topic: on disk, with no number until it is sent.

    As a dead letter, which it becomes when its mesh is left, it says whom it was for, and of which class.
    """

    topic: str
    audience: str = ""
    code: int = 0

    def __str__(self) -> str:
        return f"{LATEST}{self.topic}" + (f"@{self.audience}.{self.code}" if self.audience else "")

    @staticmethod
    def audience_of(ident: str) -> str:
        """Whom a dead letter of this name was for."""
        return ident.rpartition("@")[2].rpartition(".")[0]

    def texts(self, count: int) -> list[str]:
        """The same for each of so many values."""
        return [str(self)] * count


Accepted = Position | Newest


@dataclass(frozen=True, slots=True)
class Again:
    """A message that is the dead letter of this id, which it takes the place of, in one transaction.

    It pushes nothing out of the queue. `dated`: it is known when it was said; where not, nobody is told a time.
    """

    letter: str
    dated: bool
