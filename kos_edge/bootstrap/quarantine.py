"""Quarantine: newcomers that wait for a person's decision. Bounded, in memory, for ten minutes."""

from __future__ import annotations

from dataclasses import dataclass

from kos_edge.errors import Unavailable
from kos_edge.klp.identity import fingerprint_words, kid_of
from kos_edge.mesh.claims import Role

MAX_PENDING = 64
MAX_PER_ADDRESS = 4
"""One machine behind an address, and a few behind a router; nobody can fill the table alone."""

STAY_S = 600.0
"""Ten minutes: long enough for a person to walk to the device and compare the words."""

MAX_REJECTED = 256


@dataclass(frozen=True, slots=True)
class Candidate:
    """A newcomer that has proved its key and waits. Times are monotonic seconds."""

    public: bytes
    role: Role
    name: str
    address: str
    since: float
    until: float

    @property
    def kid(self) -> bytes:
        return kid_of(self.public)

    @property
    def words(self) -> str:
        """80 bits of its key, to be compared with what the device shows, one device at a time."""
        return fingerprint_words(self.public)


class Quarantine:
    """Who waits, and who was turned away a short while ago."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, Candidate] = {}
        self._rejected: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting(self, now: float) -> tuple[Candidate, ...]:
        """Those who wait, the longest first."""
        self._forget(now)
        return tuple(sorted(self._waiting.values(), key=lambda candidate: (candidate.since, candidate.kid)))

    def get(self, kid: bytes, now: float) -> Candidate | None:
        self._forget(now)
        return self._waiting.get(kid)

    def is_rejected(self, kid: bytes, now: float) -> bool:
        self._forget(now)
        return kid in self._rejected

    def knock(self, public: bytes, role: Role, name: str, address: str, now: float) -> Candidate:
        """Let somebody wait, or, who waits already, wait on. Raises Unavailable when there is no room."""
        self._forget(now)
        kid = kid_of(public)
        known = self._waiting.get(kid)
        others = [candidate for candidate in self._waiting.values() if candidate is not known]
        if len(others) >= MAX_PENDING:
            raise Unavailable(f"{MAX_PENDING} newcomers wait for a decision already")
        if sum(candidate.address == address for candidate in others) >= MAX_PER_ADDRESS:
            raise Unavailable(f"{MAX_PER_ADDRESS} newcomers at this address wait for a decision already")
        since = known.since if known else now
        candidate = Candidate(public, role, name, address, since, now + STAY_S)
        self._waiting[kid] = candidate
        return candidate

    def release(self, kid: bytes) -> None:
        """End the wait of somebody who was approved."""
        self._waiting.pop(kid, None)
        self._rejected.pop(kid, None)

    def reject(self, kid: bytes, now: float) -> bool:
        """Turn somebody away for ten minutes; whether they waited."""
        self._forget(now)
        if self._waiting.pop(kid, None) is None:
            return False
        if len(self._rejected) >= MAX_REJECTED:
            del self._rejected[min(self._rejected, key=self._rejected.__getitem__)]
        self._rejected[kid] = now + STAY_S
        return True

    def _forget(self, now: float) -> None:
        self._waiting = {kid: item for kid, item in self._waiting.items() if now < item.until}
        self._rejected = {kid: until for kid, until in self._rejected.items() if now < until}
