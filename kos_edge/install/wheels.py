"""Wheels into a folder of packages: what pip does, for several Pythons and another architecture at once."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from kos_edge.errors import Invalid

_LEFT_OUT = frozenset({"RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Of a ``.dist-info``: how it was installed, which differs from wheel to wheel; the manifest says what is there."""


def unpack(wheel: Path, site: Path) -> None:
    """Add a wheel's packages to `site`. Raises Invalid for a wheel that does not go with what is there."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            where = _place(PurePosixPath(entry.filename), wheel)
            if where is not None and not entry.is_dir():
                add(site / where, archive.read(entry))


def add(path: Path, data: bytes) -> None:
    """Write a file of a release; one that is there has to be the same. Raises Invalid."""
    if path.exists():
        if path.read_bytes() != data:
            raise Invalid(f"two packages have different files {path.name}", hint=f"see {path}")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)


def wanted(path: PurePosixPath) -> bool:
    """Whether a file of an installed distribution belongs into a release."""
    apart = path.parent.name.endswith(".dist-info") and path.name in _LEFT_OUT
    return not apart and "__pycache__" not in path.parts and path.suffix != ".pyc"


def _place(path: PurePosixPath, wheel: Path) -> PurePosixPath | None:
    """Where in site-packages an entry goes; None where it does not."""
    if path.is_absolute() or ".." in path.parts:
        raise Invalid(f"{wheel.name} wants to write outside of its folder: {path}")
    if path.parts and path.parts[0].endswith(".data"):
        if len(path.parts) < 3 or path.parts[1] not in ("purelib", "platlib"):
            return None
        path = PurePosixPath(*path.parts[2:])
    return path if wanted(path) else None
