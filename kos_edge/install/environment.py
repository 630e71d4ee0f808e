"""The running environment as a source of a release: our distribution and the closure of what it requires."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from kos_edge.errors import Unavailable
from kos_edge.install.layout import NAME
from kos_edge.install.wheels import add, wanted

OURS = ("kos_edge", "firmware_bridge")

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(?:;(.*))?")


def closure(name: str = NAME) -> list[Distribution]:
    """The distribution and all that it needs here, by name. Raises Unavailable where one is not installed.

    Markers are not evaluated: what a requirement with one names is taken where it is installed, and missed where it
    has none. An extra is no requirement.
    """
    found: dict[str, Distribution] = {}
    waiting = [(name, True)]
    while waiting:
        each, needed = waiting.pop()
        key = canonical(each)
        if key in found:
            continue
        try:
            found[key] = distribution(each)
        except PackageNotFoundError:
            if needed:
                raise Unavailable(
                    f"the Python package {each} is not installed here", hint="pipx reinstall kos-edge"
                ) from None
            continue
        waiting += requirements(found[key])
    return [found[key] for key in sorted(found)]


def requirements(of: Distribution) -> Iterator[tuple[str, bool]]:
    """What a distribution requires: each name, and whether always."""
    for text in of.requires or ():
        match = _REQUIREMENT.match(text)
        if match is None or "extra" in (match[2] or ""):
            continue
        yield match[1], match[2] is None


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def copy(site: Path) -> None:
    """Add the running environment's packages, as far as we need them, to `site`. Raises Unavailable, Invalid."""
    for each in closure():
        ours = canonical(each.metadata["Name"]) == NAME
        for relative, source in _files(each, editable=ours):
            if wanted(relative) and not relative.is_absolute() and ".." not in relative.parts:
                add(site / relative, source.read_bytes())


def _files(of: Distribution, *, editable: bool) -> Iterator[tuple[PurePosixPath, Path]]:
    listed = of.files
    if listed is None:
        name = of.metadata["Name"]
        raise Unavailable(f"nobody knows the files of {name}", hint=f"pip install --force-reinstall {name}")
    seen = False
    for each in listed:
        seen = seen or each.parts[0] == OURS[0]
        yield PurePosixPath(each), Path(str(each.locate()))
    if editable and not seen:  # only a .pth that points at the sources
        base = Path(__file__).resolve().parents[2]
        for package in OURS:
            for path in sorted((base / package).rglob("*")):
                if path.is_file():
                    yield PurePosixPath(path.relative_to(base)), path
        for path in sorted((base / "systemd").iterdir()):
            yield PurePosixPath(OURS[0], "install", "units", path.name), path
