"""Echo values (RFC 9175): proof that an address is where the sender is, for which we remember nothing."""

from __future__ import annotations

import hmac
from typing import Final

ECHO_PERIOD: Final = 30.0
"""Seconds; a value is good in the period that it was made in and in the next."""

ECHO_LENGTH: Final = 8  # bytes; RFC 9175 section 2.3 asks for a MAC of at least 64 bits


class Echo:
    """Makes and checks the values: a MAC over the address and the coarse time, under a secret of 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def value(self, address: object, now: float) -> bytes:
        """The value for `address`, which is told from others by its `str()`; `now` in monotonic seconds."""
        return self._of(address, int(now // ECHO_PERIOD))

    def accepts(self, value: bytes, address: object, now: float) -> bool:
        """Whether we gave `value` to `address` not long ago."""
        period = int(now // ECHO_PERIOD)
        return any(hmac.compare_digest(value, self._of(address, period - ago)) for ago in (0, 1))

    def _of(self, address: object, period: int) -> bytes:
        return hmac.digest(self._secret, f"{period} {address}".encode(), "sha256")[:ECHO_LENGTH]
