"""The device under a state directory, as sysfs shows it: what was written to it, its size, how worn it says it is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
"""Bytes of a sector in sysfs, whatever the device's own are (Linux, Documentation/block/stat.rst)."""
_MAX_PARENTS = 4


@dataclass(frozen=True, slots=True)
class Card:
    """One whole device, not a partition. `kind` is ``SD``, ``eMMC`` or ``disk``.

    `used` is the part of its life that an eMMC says is used up, at most (JEDEC eMMC 5.0, EXT_CSD 268 and 269: in steps
    of a tenth, the worse of its two kinds of memory); `failing` what it says of its spare blocks (EXT_CSD 267). SD
    cards say neither.
    """

    name: str
    kind: str
    size_bytes: int
    used: float | None
    failing: str | None
    path: Path

    def written_bytes(self) -> int | None:
        """Since the machine's start, by everybody."""
        words = _text(self.path / "stat").split()
        return int(words[6]) * SECTOR if len(words) > 6 and words[6].isdigit() else None


def card_under(state: Path, root: Path = Path("/")) -> Card | None:
    """The device that the state lies on; None where there is none, as on a file system in memory.

    `root` is where /sys and /proc of the machine are.
    """
    try:
        number = os.stat(state).st_dev
        return card_of(f"{os.major(number)}:{os.minor(number)}", root)
    except (OSError, AttributeError):  # a system whose devices have no such numbers
        return None


def card_of(number: str, root: Path = Path("/")) -> Card | None:
    """The device with this ``major:minor``, or the one from which a file system with a number of its own is mounted."""
    path = root / "sys/dev/block" / number
    if not path.exists():
        source = _mounted_from(number, root)
        if source is None:
            return None
        path = root / "sys/class/block" / source
    return _whole(path.resolve())


def uptime_s(root: Path = Path("/")) -> float | None:
    """Since the machine's start."""
    word = _text(root / "proc/uptime").split()[:1]
    try:
        return float(word[0]) if word else None
    except ValueError:
        return None


def _whole(path: Path) -> Card | None:
    """The device at a path of sysfs, or the one that it is a part of, or that lies below it."""
    for _ in range(_MAX_PARENTS):
        slaves = sorted((path / "slaves").glob("*"))
        if (path / "partition").exists():
            path = path.parent
        elif len(slaves) == 1:  # encrypted, or a volume on one device
            path = slaves[0].resolve()
        else:
            break
    size = _text(path / "size").strip()
    if not size.isdigit() or not (path / "stat").exists():
        return None
    name = path.name
    kind = "disk"
    if name.startswith("mmcblk"):
        kind = "SD" if _text(path / "device/type").strip() == "SD" else "eMMC"
    steps = [int(word, 16) for word in _text(path / "device/life_time").split() if _is_hex(word)]
    used = max(steps, default=0)
    spare = _text(path / "device/pre_eol_info").strip()
    failing = {"0x02": "80 % of its spare blocks are used", "0x03": "its spare blocks are used up"}.get(spare)
    return Card(name, kind, int(size) * SECTOR, min(1.0, used / 10) if used else None, failing, path)


def _mounted_from(number: str, root: Path) -> str | None:
    """The name of the device that the file system with this number is on: btrfs and others have their own."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        words = line.split(" ")
        if len(words) > 6 and words[2] == number and "-" in words:
            source = words[words.index("-") + 2 :][:1]
            if source and source[0].startswith("/dev/"):
                return Path(source[0]).name
    return None


def _is_hex(word: str) -> bool:
    return re.fullmatch("0x[0-9a-fA-F]{1,2}", word) is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
