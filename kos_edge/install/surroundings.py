"""What lies around the releases in a system: the command, the units, the user and folders, completions, man pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

UNITS = Path(__file__).resolve().parent / "units"
"""Beside this module in a wheel; in the sources a link to ``systemd/``."""

PLACES: Mapping[str, str] = {
    "kos-edge.sh": "usr/bin/kos-edge",
    "kos-edge.service": "usr/lib/systemd/system/kos-edge.service",
    "kos-edge@.service": "usr/lib/systemd/system/kos-edge@.service",
    "kos-edge-settle.service": "usr/lib/systemd/system/kos-edge-settle.service",
    "kos-edge.preset": "usr/lib/systemd/system-preset/50-kos-edge.preset",
    "kos-edge.sysusers": "usr/lib/sysusers.d/kos-edge.conf",
    "kos-edge.tmpfiles": "usr/lib/tmpfiles.d/kos-edge.conf",
}
"""Each file of ours, and its place below the root."""

COMPLETIONS: Mapping[str, str] = {
    "bash": "usr/share/bash-completion/completions/kos-edge",
    "zsh": "usr/share/zsh/vendor-completions/_kos-edge",
    "fish": "usr/share/fish/vendor_completions.d/kos-edge.fish",
}
MANUALS = "usr/share/man/man1"


def surroundings(completions: Mapping[str, str], manuals: Mapping[str, bytes]) -> dict[PurePosixPath, bytes]:
    """All of these files by their places below the root; `completions` by shell, `manuals` by file name."""
    found = {PurePosixPath(place): (UNITS / name).read_bytes() for name, place in PLACES.items()}
    found |= {PurePosixPath(COMPLETIONS[shell]): text.encode() for shell, text in completions.items()}
    found |= {PurePosixPath(MANUALS, name): data for name, data in manuals.items()}
    return dict(sorted(found.items()))


def mode_of(place: PurePosixPath) -> int:
    """The permissions of one of these files."""
    return 0o755 if place.parent.name == "bin" else 0o644
