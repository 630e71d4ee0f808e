"""The state directory: everything a node is, in one place that one process at a time may change.

    node.key       the Ed25519 seed, readable by the owner alone; written once; node.key.copy is the same once more
    config.toml    the configuration, where there is one; config.toml.good is the last one that a daemon could use
    kos.db         the store (and its log, kos.db-wal); kos.db.reserve is room for when the disk is full,
                   kos.db.damaged-* what a salvage has set aside
    kos.meta       a copy of what the store says of this node, and the one before it
    lock           held by the process that works on the state; its pid is in it
    control.sock   where the daemon answers

The directory is 0750, so that its group may reach the socket; every file with a secret in it is 0600.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kos_edge.control.address import SOCKET_NAME
from kos_edge.errors import Refused, Unavailable
from kos_edge.node.durable_file import sync_directory

DIRECTORY_MODE = 0o750
KEY_NAME = "node.key"
CONFIG_NAME = "config.toml"
LOCK_NAME = "lock"


class CannotCreate(Unavailable):
    """A state directory that cannot be made or written."""

    exit_code = 73


class NotInitialised(Unavailable):
    """A state directory with no node in it."""


class StateInUse(Unavailable):
    """Another process holds the lock; `pid` is None where it cannot be told."""

    def __init__(self, path: Path, pid: int | None) -> None:
        owner = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{path} is in use by {owner}", hint="stop that one first, or name another directory with --state"
        )
        self.pid = pid


class StateDir:
    """The places in a state directory. Making one touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key_file = path / KEY_NAME
        self.config_file = path / CONFIG_NAME
        self.lock_file = path / LOCK_NAME
        self.control_socket = path / SOCKET_NAME

    @property
    def initialised(self) -> bool:
        """Whether there is a node: its key, or the copy of it. Raises OSError."""
        return self.key_file.exists() or copy_of(self.key_file).exists()

    @classmethod
    def open(cls, path: Path) -> Self:
        """A state directory with a node in it. Raises NotInitialised, Refused where anybody may write it."""
        state = cls(path)
        try:
            found = path.stat()
            initialised = state.initialised
        except (FileNotFoundError, NotADirectoryError):
            initialised = False
        except OSError as error:
            raise Unavailable(f"cannot enter {path}: {error.strerror}", hint=owner_hint(path)) from None
        if not initialised:
            raise NotInitialised(f"there is no node in {path}", hint="kos-edge init --role edge")
        if found.st_mode & stat.S_IWOTH:
            raise Refused(f"anybody may write {path}", hint=f"chmod o-w {path}")
        return state

    @classmethod
    def create(cls, path: Path) -> Self:
        """A state directory for a new node, made where there is none. Raises CannotCreate."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=DIRECTORY_MODE)
                path.chmod(DIRECTORY_MODE)
                sync_directory(path.parent)
            if not path.is_dir():
                raise CannotCreate(f"{path} is no directory", hint="name another one with --state DIR")
            trial = path / ".writable"
            trial.touch(mode=0o600)
            trial.unlink()
        except OSError as error:
            raise CannotCreate(
                f"cannot write the state directory {path}: {error.strerror}",
                hint="name another one with --state DIR, or run as a user that may",
            ) from None
        if path.stat().st_mode & stat.S_IWOTH:
            raise CannotCreate(f"anybody may write {path}", hint=f"chmod o-w {path}")
        return cls(path)

    def lock(self) -> StateLock:
        """Hold the state until closed or the process ends. Raises StateInUse, or CannotCreate."""
        return StateLock(self.lock_file)


class StateLock:
    """An exclusive hold on a state directory; it ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise CannotCreate(
                f"cannot write {path}: {error.strerror}", hint=owner_hint(path.parent)
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except BlockingIOError:
            text = os.pread(self._descriptor, 32, 0).strip()
            os.close(self._descriptor)
            raise StateInUse(path.parent, int(text) if text.isdigit() else None) from None
        except OSError as error:
            os.close(self._descriptor)
            raise Unavailable(f"cannot lock {path}: {error.strerror}") from None
        self._held = True

    def close(self) -> None:
        """Let go."""
        if self._held:
            self._held = False
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy_of(key_file: Path) -> Path:
    """Where the copy of a key is."""
    return key_file.with_name(f"{key_file.name}.copy")


def default_state(environment: Mapping[str, str], uid: int) -> Path:
    """KOS_EDGE_STATE, or /var/lib/kos-edge for root, or kos-edge in XDG_STATE_HOME or ~/.local/state."""
    if chosen := environment.get("KOS_EDGE_STATE"):
        return Path(chosen)
    if uid == 0:
        return Path("/var/lib/kos-edge")
    home = environment.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "kos-edge"


def owner_hint(path: Path) -> str:
    """The next step where permission is missing."""
    return f"run as the user that owns {path}"
