"""What can go wrong, by what the caller should do about it.

Every error carries one line for a person and, where there is one, a *hint*: the next step to take.
"""

from __future__ import annotations


class KosError(Exception):
    """The root of every error that this package raises on purpose."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(KosError):
    """Bytes or values that break a rule. Their fault: count it, drop it, change nothing."""

    exit_code = 65


class Unavailable(KosError):
    """It did not happen, and may work later. Nothing was changed."""

    exit_code = 69


class Refused(KosError):
    """It will never be done: no right, wrong key, revoked, used up."""

    exit_code = 77


class Unknown(KosError):
    """It was sent and nothing came back: it may or may not have happened. Ask again by id."""

    exit_code = 75


class Misuse(KosError):
    """A call that the state does not allow: a bug on our side of the interface."""

    exit_code = 70
