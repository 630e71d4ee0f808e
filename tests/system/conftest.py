from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import packages
from tests.system.plant import Plant, plant, prepared


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package of this tree."""
    return packages.package()


@pytest.fixture(scope="session")
def later() -> Path:
    """The package of a later version."""
    return packages.later()


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a later version that does not stay up."""
    return packages.broken(tmp_path_factory.mktemp("broken"))


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Plant]:
    """A hub and an edge with nothing of ours on them."""
    with plant(tmp_path, "hub", "edge") as machines:
        yield machines


@pytest.fixture
def pair(package: Path, tmp_path: Path) -> Iterator[Plant]:
    """A hub, and an edge that has joined it."""
    with plant(tmp_path, "hub", "edge", disks=prepared(package)) as machines:
        yield machines
