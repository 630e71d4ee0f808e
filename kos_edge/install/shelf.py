"""The releases on a machine, and the links that say which one runs: at most two stay.

A release is never changed once it has its name. Each step is durable before the next: whenever the power goes, the
links name whole releases, and what was half copied has a name that begins with a dot and is thrown away.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kos_edge.errors import Invalid, Unavailable
from kos_edge.install.disk import said
from kos_edge.install.layout import MANIFEST, Layout
from kos_edge.system import sync_directory

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,99}")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The releases of a layout. All of it raises Unavailable where the disk does not do what it should."""

    layout: Layout

    def names(self) -> list[str]:
        """All whole releases, by name."""
        try:
            found = [each.name for each in self.layout.releases.iterdir() if each.is_dir()]
        except FileNotFoundError:
            return []
        return sorted(name for name in found if _NAME.fullmatch(name))

    def tree(self, name: str) -> Path:
        """The folder of a release. Raises Invalid for what is no name of one."""
        if not _NAME.fullmatch(name):
            raise Invalid(f"{name[:40]!r} is no name of a release", hint="kos-edge release list")
        return self.layout.releases / name

    def current(self) -> str | None:
        """The release that runs; None where there is none."""
        return self._read(self.layout.current)

    def previous(self) -> str | None:
        """The one before it, where it is still there."""
        return self._read(self.layout.previous)

    def pending(self) -> str | None:
        """What to go back to, while the current one is on trial."""
        return self._read(self.layout.pending)

    def point(self, link: Path, name: str | None) -> None:
        """Make a link name this release (None: remove it), at once and durably."""
        with said(link):
            if name is None:
                link.unlink(missing_ok=True)
            else:
                fresh = link.with_name(f".{link.name}.new")
                fresh.unlink(missing_ok=True)
                try:
                    fresh.symlink_to(Path("releases", self.tree(name).name))
                    fresh.replace(link)
                finally:
                    fresh.unlink(missing_ok=True)
            sync_directory(link.parent)

    def adopt(self, source: Path, version: str) -> str:
        """Make a release of a tree by hard links, or by copies where there can be none; its name.

        One that is there and is the same serves; one that differs keeps its name, and the new one gets a number.
        """
        name = self._free(source, version)
        if self.tree(name).exists():
            return name
        part = self.layout.releases / f".{name}.part"
        with said(part):
            self.layout.releases.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(part, ignore_errors=True)
            try:
                shutil.copytree(source, part, symlinks=True, copy_function=_link)
                os.sync()  # its thousands of files at once
                part.rename(self.tree(name))
                sync_directory(self.layout.releases)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        return name

    def place(self, part: Path, version: str) -> str:
        """Give a tree built at `part`, beside the releases, its name; as `adopt`."""
        name = self._free(part, version)
        with said(part):
            if self.tree(name).exists():
                shutil.rmtree(part)
            else:
                os.sync()  # its thousands of files at once
                part.rename(self.tree(name))
                sync_directory(self.layout.releases)
        return name

    def prune(self) -> list[str]:
        """Remove all but the current release and the one before, and what was left half done; their names."""
        keep = {self.current(), self.previous(), self.pending()}
        gone = []
        for name in self.names():
            if name not in keep:
                self._remove(self.layout.releases / name)
                gone.append(name)
        self.sweep()
        return gone

    def sweep(self) -> None:
        """Remove what an interrupted step has left."""
        if self.layout.releases.is_dir():
            for part in self.layout.releases.glob(".*"):
                shutil.rmtree(part, ignore_errors=True)

    def _remove(self, tree: Path) -> None:
        """Hide it first, so that a half removed one is no release."""
        hidden = tree.with_name(f".{tree.name}.gone")
        with said(tree):
            shutil.rmtree(hidden, ignore_errors=True)
            tree.rename(hidden)
            shutil.rmtree(hidden)

    def _free(self, source: Path, version: str) -> str:
        for name in (version, *(f"{version}.{number}" for number in range(2, 100))):
            if not self.tree(name).exists() or same(source, self.tree(name)):
                return name
        raise Unavailable(f"there are a hundred releases {version}", hint=f"look into {self.layout.releases}")

    def _read(self, link: Path) -> str | None:
        try:
            name = Path(os.readlink(link)).name
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read the link {link}: {error.strerror}") from None
        return name if _NAME.fullmatch(name) and self.tree(name).is_dir() else None


def same(one: Path, other: Path) -> bool:
    """Whether `other` has the files of `one` with the same content, and no more.

    Bytecode is made anew and does not count, nor a manifest that only `other` has: it is sealed when it has its name.
    """
    names, others = dict(_entries(one)), dict(_entries(other))
    if Path(MANIFEST) not in names:
        others.pop(Path(MANIFEST), None)
    if names.keys() != others.keys():
        return False
    for relative, path in names.items():
        twin = other / relative
        if path.is_symlink() != twin.is_symlink():
            return False
        if path.is_symlink():
            if os.readlink(path) != os.readlink(twin):
                return False
        elif not path.samefile(twin) and not filecmp.cmp(path, twin, shallow=False):
            return False
    return True


def _entries(tree: Path) -> Iterator[tuple[Path, Path]]:
    for folder, folders, files in os.walk(tree):
        here = Path(folder)
        links = [each for each in folders if (here / each).is_symlink()]
        folders[:] = [each for each in folders if each != "__pycache__"]
        for name in [*files, *links]:
            yield (here / name).relative_to(tree), here / name


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copy2(source, target, follow_symlinks=False)
    return target
