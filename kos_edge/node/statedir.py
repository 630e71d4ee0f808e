"""The state directory: everything a node is, in one place that one process at a time may change.

    node.key       the Ed25519 seed, readable by the owner alone; written once; node.key.copy is the same once more
    config.toml    the configuration, where there is one, with config.d/*.toml after it; for /var/lib/NAME they are in
                   /etc/NAME where that is there. config.toml.good is the last one that a daemon could use
    kos.db         the store (and its log, kos.db-wal); kos.db.reserve is room for when the disk is full,
                   kos.db.damaged-* what a salvage has set aside
    kos.meta       a copy of what the store says of this node, and the one before it
    lock           held by the process that works on the state; its pid is in it. A daemon also claims it, before it
                   waits for a command that holds it, so that no other command and no second daemon comes between
    control.sock   where the daemon answers

The directory is 0750, so that its group may reach the socket; every file with a secret in it is 0600.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import stat
import struct
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kos_edge.control.address import SOCKET_NAME
from kos_edge.errors import Refused, Unavailable
from kos_edge.said import Said
from kos_edge.system import CLOEXEC, fcntl, lock, read_at_start, sync_directory, user_id, write_whole

DIRECTORY_MODE = 0o750
KEY_NAME = "node.key"
CONFIG_NAME = "config.toml"
STORE_NAME = "kos.db"
SYSTEM_STATE, SYSTEM_CONFIG = Path("/var/lib"), Path("/etc")
LOCK_NAME = "lock"

PATIENCE_S = 10.0
"""How long a starting daemon waits for a command on its state: most take under a second, `authority rotate` three."""

_SAY_AFTER = 0.1  # of the patience
_AGAIN_S = 0.02

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock64: type, whence, start, length, pid

log = logging.getLogger(__name__)


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
        self.config_file = config_place(path) / CONFIG_NAME
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
        if found.st_mode & stat.S_IWOTH and user_id() is not None:
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
        if path.stat().st_mode & stat.S_IWOTH and user_id() is not None:
            raise CannotCreate(f"anybody may write {path}", hint=f"chmod o-w {path}")
        return cls(path)

    def lock(self) -> StateLock:
        """Hold the state for a command, until closed or the process ends. Raises StateInUse, or CannotCreate."""
        lock = StateLock(self.lock_file)
        try:
            if lock.claimed or not lock.take():
                raise StateInUse(self.path, lock.owner)
        except BaseException:
            lock.close()
            raise
        return lock

    @contextlib.asynccontextmanager
    async def held(self, patience_s: float = PATIENCE_S) -> AsyncGenerator[None, None]:
        """Hold the state for a daemon: `patience_s` for a command that is at it, none for another daemon.

        Raises StateInUse, or CannotCreate.
        """
        with StateLock(self.lock_file) as lock:
            if not lock.claim():
                raise StateInUse(self.path, lock.owner)
            now = asyncio.get_running_loop().time
            began, said = now(), False
            while not lock.take():
                if now() - began >= patience_s:
                    raise StateInUse(self.path, lock.owner)
                if not said and now() - began >= _SAY_AFTER * patience_s:
                    said = True
                    log.warning(
                        "waiting for process %s, which works on %s",
                        lock.owner,
                        self.path,
                        extra=Said.STATE_IN_USE.of(),
                    )
                await asyncio.sleep(_AGAIN_S)
            yield


class StateLock:
    """The lock of a state directory, not yet held; what is held ends with the process, however that ends.

    Two kinds in one file, which know nothing of each other: `flock` is the hold, and the lock of a byte the claim.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | CLOEXEC, 0o640)
        except OSError as error:
            raise CannotCreate(
                f"cannot write {path}: {error.strerror}", hint=owner_hint(path.parent)
            ) from None
        self._open = True

    @property
    def owner(self) -> int | None:
        """The process that took it last; None where it does not say."""
        text = read_at_start(self._descriptor, 32).strip()
        return int(text) if text.isdigit() else None

    @property
    def claimed(self) -> bool:
        """Whether a daemon has it, or will have it next."""
        found = self._control("F_OFD_GETLK")
        return found is not None and fcntl is not None and bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def claim(self) -> bool:
        """Be the next to take it; False where another daemon is. Raises Unavailable."""
        try:
            self._control("F_OFD_SETLK")
        except BlockingIOError:
            return False
        return True

    def take(self) -> bool:
        """Hold the state; False where another process does. Raises Unavailable."""
        try:
            lock(self._descriptor)
            write_whole(self._descriptor, b"%d\n" % os.getpid())
        except BlockingIOError:
            return False
        except OSError as error:
            raise Unavailable(f"cannot lock {self._path}: {error.strerror}") from None
        return True

    def _control(self, operation: str) -> bytes | None:
        """What the system answers about the claim's byte; None where it has no such locks: the hold has to do."""
        number = getattr(fcntl, operation, None)
        if fcntl is None or number is None:
            return None
        try:
            answer: bytes = fcntl.fcntl(
                self._descriptor, number, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            )
            return answer
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno == errno.EACCES:  # POSIX leaves open which of the two says that it is taken
                raise BlockingIOError from None
            if error.errno in (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                return None
            raise Unavailable(f"cannot lock {self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Let go."""
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def config_place(state: Path) -> Path:
    """The folder with the configuration of a state: /etc/NAME for /var/lib/NAME, where there is one, else the state."""
    administered = SYSTEM_CONFIG / state.name
    return administered if state.parent == SYSTEM_STATE and administered.is_dir() else state


def copy_of(key_file: Path) -> Path:
    """Where the copy of a key is."""
    return key_file.with_name(f"{key_file.name}.copy")


def default_state(environment: Mapping[str, str], uid: int | None) -> Path:
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
