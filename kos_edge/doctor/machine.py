"""The machine: its clock, its disk, the wear of its card, serial ports."""

from __future__ import annotations

import os
from collections.abc import Iterator

from kos_edge.clock import SystemClock
from kos_edge.doctor.finding import Finding, bad, good, warning
from kos_edge.doctor.patient import Patient
from kos_edge.monitor.wear import DAY_S
from kos_edge.node.uptime import FLOOR_S
from kos_edge.node.wearing import Wearing

LEAST_FREE_BYTES = 16 << 20
"""Below it a burst of readings may fill the disk before anybody looks."""
LEAST_FREE_INODES = 64
WORN = 0x0A
"""JEDEC eMMC 5.0, EXT_CSD 268: 90 to 100 % of the device's life is used. One step is a tenth."""

SHORT_LIFE_S = 365 * DAY_S

_SYNCHRONISERS = (
    "run/systemd/timesync/synchronized",
    "run/chrony/chronyd.pid",
    "run/chronyd.pid",
    "run/ntpd.pid",
)
_VOLATILE = ("tmpfs", "ramfs", "overlay")


def clock(patient: Patient) -> Iterator[Finding]:
    """The clock is set, and something keeps it right."""
    if patient.wall() < FLOOR_S:
        yield bad(
            "clock",
            "the clock is not set: messages carry no time until it is, and nothing else depends on it",
            "connect it to a network with NTP, or set it: date --set",
        )
        return
    if any((patient.root / path).exists() for path in _SYNCHRONISERS):
        yield good("clock", "set, and kept right by NTP")
    else:
        yield warning(
            "clock", "set, and nothing is seen that keeps it right", "apt install systemd-timesyncd"
        )


def disk(patient: Patient) -> Iterator[Finding]:
    """There is room, the disk may be written, and it is one that keeps what is written."""
    path = patient.state
    try:
        found = os.statvfs(path)
    except OSError as error:
        yield bad(
            "disk", f"cannot look at the disk of {path}: {error.strerror}", "name the directory with --state"
        )
        return
    free = found.f_bavail * found.f_frsize
    kind, options = _mount(patient)
    settings = patient.settings
    if found.f_flag & os.ST_RDONLY or "ro" in options:
        yield bad(
            "disk", f"the disk of {path} is mounted read-only", "mount it writable: mount -o remount,rw"
        )
    elif free < LEAST_FREE_BYTES:
        yield bad(
            "disk",
            f"{free / 1e6:,.1f} MB are free on the disk of {path}",
            "make room: messages are refused soon",
        )
    elif found.f_files and found.f_favail < LEAST_FREE_INODES:
        yield bad(
            "disk",
            f"the disk of {path} has room for {found.f_favail} files",
            "remove files that are not needed",
        )
    elif free < (wanted := settings.queue.max_bytes + settings.journal.max_bytes):
        yield warning(
            "disk",
            f"{free / 1e6:,.0f} MB are free, and queue and journal may grow to {wanted / 1e6:,.0f} MB",
            "lower [queue] max-bytes and [journal] max-bytes, or use a larger disk",
        )
    else:
        yield good("disk", f"{free / 1e9:,.1f} GB are free")
    if kind in _VOLATILE:
        yield warning(
            "disk",
            f"{path} is on {kind}, which forgets what is on it at power-off",
            "put the state on a disk: --state, or a volume",
        )


def card(patient: Patient) -> Iterator[Finding]:
    """How much of their life eMMC devices have used, where they say it; how long the card under the state will live."""
    yield from _life(patient)
    said = False
    for device in sorted((patient.root / "sys/block").glob("mmcblk*/device/life_time")):
        name = device.parent.parent.name
        steps = [int(word, 16) for word in device.read_text().split() if word.startswith("0x")]
        used = max(steps, default=0)
        said = said or used > 0
        if used >= WORN:
            yield bad(
                "card", f"{name} has used up its life", "copy the state to a new device: kos-edge stop first"
            )
        elif used >= WORN - 2:
            yield warning(
                "card", f"{name} has used about {used * 10} % of its life", "have a new one at hand"
            )
        elif used:
            yield good("card", f"{name} has used about {used * 10} % of its life")
    if not said:
        yield good("card", "no device here tells how worn it is")


def _life(patient: Patient) -> Iterator[Finding]:
    """By what a daemon has measured, or since the machine's start."""
    report = patient.card
    if report is None:
        endurance = patient.settings.monitor.card_endurance
        report = Wearing(patient.state, SystemClock(), endurance, patient.root).report()
    if report is None:
        return
    name, left, rate = report["device"], report["left_s"], report["bytes_a_day"]
    if report["failing"]:
        yield bad(
            "card", f"{name}: {report['failing']}", "copy the state to a new device: kos-edge stop first"
        )
    if left is None or rate is None:
        return
    said = f"at {rate / 1e9:,.2f} GB a day {name} is worn out in {left / DAY_S:,.0f} days, if it bears "
    said += f"{(report['endurance_bytes'] or 0) / 1e12:,.3g} TB ({report['endurance_from']})"
    if left < SHORT_LIFE_S:
        yield warning(
            "card",
            said,
            "have a new one at hand; a longer linger of topics saves writes (kos-edge forecast: who writes)",
        )
    else:
        yield good("card", said)


def serial(patient: Patient) -> Iterator[Finding]:
    """This user may use the serial ports that there are."""
    ports = sorted(
        path for kind in ("ttyACM*", "ttyUSB*", "ttyAMA*") for path in (patient.root / "dev").glob(kind)
    )
    shut = [path for path in ports if not os.access(path, os.R_OK | os.W_OK)]
    for path in shut:
        yield warning(
            "serial",
            f"this user may not use {path}",
            "usermod -aG dialout USER and a new login; for the service: systemctl edit kos-edge",
        )
    if ports and not shut:
        yield good("serial", f"{', '.join(path.name for path in ports)} can be used")


def _mount(patient: Patient) -> tuple[str, list[str]]:
    """File system and options of the disk of the state: the mount point that is nearest to it."""
    best, kind, options = "", "", ""
    state = str(patient.state.absolute())
    for line in (patient.text("proc/mounts") or "").splitlines():
        words = line.split(" ")
        if len(words) >= 4:
            point = words[1].replace("\\040", " ")
            inside = state == point or state.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind, options = point, words[2], words[3]
    return kind, options.split(",")
