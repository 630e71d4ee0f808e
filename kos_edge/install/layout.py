"""Where everything of kos-edge lies in a system, under a root that tests and package builders choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "kos-edge"
MANIFEST = "kos-edge.manifest"
"""In a release: the signed list of its files."""
RELEASES = "usr/lib/kos-edge/releases"
SITE = "lib/python3/site-packages"
"""In a release: the packages. ``lib/python3.11`` and the like are links to ``lib/python3``."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of kos-edge below `root`. Making one touches nothing."""

    root: Path = Path("/")

    @property
    def lib(self) -> Path:
        """The folder of all releases, and of the links to them."""
        return self.root / "usr/lib/kos-edge"

    @property
    def releases(self) -> Path:
        return self.root / RELEASES

    @property
    def package(self) -> Path:
        """The tree that the Debian package brings; a release is made of it by hard links."""
        return self.lib / "package"

    @property
    def current(self) -> Path:
        """A link to the release that `kos-edge` runs."""
        return self.lib / "current"

    @property
    def previous(self) -> Path:
        """A link to the release before, kept to go back to."""
        return self.lib / "previous"

    @property
    def pending(self) -> Path:
        """A link to the release to go back to, there only while the current one has not proven itself."""
        return self.lib / "pending"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/kos-edge"

    @property
    def config(self) -> Path:
        return self.root / "etc/kos-edge"

    @property
    def units(self) -> Path:
        return self.root / "usr/lib/systemd/system"

    @property
    def packaged(self) -> bool:
        """Whether the Debian package is installed here."""
        return self.package.is_dir()
