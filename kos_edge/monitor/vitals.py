"""How the machine is, as the kernel says it: proc(5), sysfs, statvfs(3)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CPU_ZONES = ("cpu", "soc", "x86_pkg_temp", "acpitz")
"""What the thermal zone of a processor is called, the best name first: `cpu-thermal` on a Raspberry Pi."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """Parts in use from 0 to 1, and degrees Celsius. None where the machine does not say.

    `cpu` is of the time since the look before, so the first look has none.
    """

    cpu: float | None
    memory: float | None
    disk: float | None
    temperature_c: float | None


class Machine:
    """Looks at the machine under `root`; the disk is the one of the state."""

    def __init__(self, state: Path, root: Path = Path("/")) -> None:
        self._state = state
        self._root = root
        self._before: tuple[int, int] | None = None

    def look(self) -> Vitals:
        """As it is now. Reads four small files; takes far less than a millisecond."""
        return Vitals(self._cpu(), self._memory(), self._disk(), self._temperature())

    def _cpu(self) -> float | None:
        words = self._text("proc/stat").split("\n", 1)[0].split()
        if len(words) < 6 or words[0] != "cpu":
            return None
        ticks = [int(word) for word in words[1:9] if word.isdigit()]
        idle, total = ticks[3] + ticks[4], sum(ticks)
        before, self._before = self._before, (idle, total)
        if before is None or total <= before[1]:
            return None
        return min(1.0, max(0.0, 1 - (idle - before[0]) / (total - before[1])))

    def _memory(self) -> float | None:
        sizes: dict[str, int] = {}
        for line in self._text("proc/meminfo").splitlines()[:4]:
            name, _, rest = line.partition(":")
            number = rest.split()[:1]
            if number and number[0].isdigit():
                sizes[name] = int(number[0])
        total, free = sizes.get("MemTotal"), sizes.get("MemAvailable")
        return None if not total or free is None else min(1.0, max(0.0, 1 - free / total))

    def _disk(self) -> float | None:
        try:
            found = os.statvfs(self._state)
        except OSError:
            return None
        used = found.f_blocks - found.f_bfree
        return used / (used + found.f_bavail) if used + found.f_bavail else None  # as df(1) has it

    def _temperature(self) -> float | None:
        """Of the processor; of the hottest zone where none is named like one."""
        zones: list[tuple[int, float]] = []
        for zone in sorted((self._root / "sys/class/thermal").glob("thermal_zone*"))[:16]:
            try:
                degrees = int((zone / "temp").read_text()) / 1000
                kind = (zone / "type").read_text().strip().lower()
            except (OSError, ValueError):
                continue
            rank = next((at for at, name in enumerate(CPU_ZONES) if kind.startswith(name)), len(CPU_ZONES))
            if -100.0 < degrees < 200.0:
                zones.append((rank, -degrees))
        return -min(zones)[1] if zones else None

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text()
        except (OSError, ValueError):
            return ""
