"""Backup and restore of a node: its key, its store, its vault and its configuration, under a passphrase.

The store is copied by SQLite in one read transaction, so a daemon goes on meanwhile. What is restored jumps ahead: what
its key has signed since the backup was made is somewhere else, and must not be numbered again (protocol.md 4).
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kos_edge import __version__
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.identity import KeyPair, kid_text
from kos_edge.node.durable_file import write_durably
from kos_edge.node.keyfile import find_key, key_text, read_key
from kos_edge.node.statedir import KEY_NAME, LOCK_NAME, STORE_NAME, StateDir, config_place, owner_hint
from kos_edge.store import sql
from kos_edge.store.store import Store
from kos_edge.store.takeover import forget_ends
from kos_edge.system import free_bytes, sync_directory
from kos_edge.vault.stream import PIECE_BYTES, Opener, Sealer

FIRST_LINE = b"kos-edge backup 1\n"
MAX_FILE = 64 << 20
"""Bytes of one file beside the store."""

MAX_FILES = 256
LEAD = 1 << 10
"""Starts that what is restored leaves to the life that went on after the backup: its epochs lie below ours then, also
where nobody can be asked before something is sealed."""

SPARE_BYTES = 32 << 20
"""Of the disk that a backup leaves to the queue."""

_EPOCH_BITS = 32
_COPY = ".backup-{}.db"  # of its own for each: two may be made at a time
_LEFT_S = 3_600.0
"""A copy that nobody has written to for so long was left by a backup that was cut off."""
_ASIDE = ".restore"
_CONFIG = "config/"
_NOT_KEPT = ("control.sock", LOCK_NAME, STORE_NAME)


class Target(Protocol):
    """Where a backup is written."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Made:
    """What is in a backup."""

    kid: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What came out of one. `aside`: where what was there before lies; `kept`: configuration that was left as it is."""

    kid: str
    name: str
    made_at: float
    files: int
    aside: str | None
    kept: tuple[str, ...]


def backup(
    path: Path,
    target: Target,
    passphrase: str,
    *,
    random: Callable[[int], bytes] = os.urandom,
    wall: Callable[[], float] = time.time,
) -> Made:
    """Write a backup of the state in `path`, daemon or not.

    Raises Unavailable for want of room or permission, Invalid for a short passphrase or a damaged store.
    """
    state = StateDir.open(path)
    copy = path / _COPY.format(random(4).hex())
    try:
        key = find_key(state.key_file).value
        files = list(_files(path))
        schema, name = _copy_store(path, copy)
        about = {
            "kid": kid_text(key.kid),
            "name": name,
            "made_at": int(wall()),
            "schema": schema,
            "version": __version__,
        }
        sealer = Sealer(passphrase, about, random=random)
        target.write(FIRST_LINE + sealer.header())
        out = _Sealing(sealer, target)
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for arcname, file in [(STORE_NAME, copy), *files]:
                archive.add(file, arcname, recursive=False, filter=_plain)
            archive.addfile(*_key(key))  # the one that was read: the file may be damaged, or a rekey's by now
        target.write(sealer.close())
    except OSError as error:
        raise Unavailable(
            f"cannot back up {path}: {error.strerror or error}", hint=owner_hint(path)
        ) from error
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)
    return Made(kid_text(key.kid), len(files) + 2, out.size)


def restore(
    path: Path,
    source: io.BufferedIOBase,
    passphrase: str,
    *,
    replace: bool = False,
    random: Callable[[int], bytes] = os.urandom,
    wall: Callable[[], float] = time.time,
) -> Restored:
    """Make the node of a backup in `path`, which has none, or with `replace` in the place of the one that is there.

    All of it is read and checked before anything changes; the key comes last, so that what was interrupted is begun
    again. Raises Refused where there is a node, or for a wrong passphrase; Invalid for damage or a newer version.
    """
    state = StateDir.create(path)
    with state.lock():
        if state.initialised and not replace:
            raise Refused(
                f"there is a node in {path} already",
                hint="name another directory with --state DIR, or put it aside: --replace",
            )
        folder = path / _ASIDE
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(mode=0o700)
            opener = _opened(source)
            files = _extract(opener, passphrase, folder)
            about = opener.header.about
            _check(folder, str(about.get("kid")))
            _jump(folder / STORE_NAME, read_key(folder / KEY_NAME).kid, random)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall()))
            kept = _bring_configuration(path, folder)
            aside = _put_aside(path, stamp)
            _move_in(path, folder)
        except OSError as error:
            raise Unavailable(
                f"cannot restore into {path}: {error.strerror or error}", hint=owner_hint(path)
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    made_at = about.get("made_at")
    return Restored(
        str(about.get("kid")),
        str(about.get("name")),
        float(made_at) if isinstance(made_at, int) else 0.0,
        files,
        None if aside is None else str(aside),
        kept,
    )


# -- writing


class _Sealing(io.RawIOBase):
    """What tarfile writes to."""

    def __init__(self, sealer: Sealer, target: Target) -> None:
        self._sealer = sealer
        self._target = target
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        plain = bytes(data)  # type: ignore[call-overload]
        self._target.write(self._sealer.write(plain))
        self.size += len(plain)
        return len(plain)


def _copy_store(path: Path, copy: Path) -> tuple[int, str]:
    """The store in one read transaction; its schema and the node's name. Raises Unavailable, Invalid."""
    store = path / STORE_NAME
    for left in path.glob(_COPY.format("*")):
        if time.time() - left.stat().st_mtime > _LEFT_S:
            left.unlink(missing_ok=True)
    if not store.exists():
        raise Invalid(f"{store} is missing", hint="kos-edge doctor")
    log = store.with_name(f"{STORE_NAME}-wal")
    needed = store.stat().st_size + (log.stat().st_size if log.exists() else 0) + SPARE_BYTES
    if free_bytes(path) < needed:
        raise Unavailable(
            f"a copy of the store needs {needed // 1_000_000:,} MB beside it, for as long as it takes",
            hint="make room on the disk, or stop the node and copy its state directory",
        )
    copy.touch(mode=0o600)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10.0)) as found,
            contextlib.closing(sqlite3.connect(copy)) as made,
        ):
            found.backup(made)
            (schema,) = made.execute("PRAGMA user_version").fetchone()
            row = made.execute(sql.META_GET, ("name",)).fetchone()
            made.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise Invalid(f"{store} cannot be copied: {error}", hint="kos-edge doctor") from None
    return schema, "" if row is None else bytes(row[0]).decode(errors="replace")


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Everything else that a node is but its key, by name in the archive. Raises Unavailable for what is too large."""
    for file in sorted(path.iterdir()):
        name = file.name
        left_out = name in _NOT_KEPT or name.startswith((".", STORE_NAME, KEY_NAME))
        left_out = left_out or name == "config.toml" or file.is_symlink() or not file.is_file()
        if left_out:
            continue
        if file.stat().st_size > MAX_FILE:
            raise Unavailable(
                f"{file} has more than {MAX_FILE >> 20} MiB, which is nothing of kos-edge's",
                hint="move it out of the state directory",
            )
        yield name, file
    place = config_place(path)
    configuration = [place / "config.toml", *sorted((place / "config.d").glob("*.toml"))]
    for file in configuration:
        if file.is_file():
            yield f"{_CONFIG}{file.relative_to(place).as_posix()}", file


def _key(key: KeyPair) -> tuple[tarfile.TarInfo, io.BytesIO]:
    text = key_text(key)
    member = tarfile.TarInfo(KEY_NAME)
    member.size, member.mode = len(text), 0o600
    return member, io.BytesIO(text)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


# -- reading


def _opened(source: io.BufferedIOBase) -> Opener:
    if source.read(len(FIRST_LINE)) != FIRST_LINE:
        raise Invalid("this is no backup of kos-edge")
    opener = Opener(source.read)
    schema = opener.header.about.get("schema")
    if type(schema) is not int or schema < 1:
        raise Invalid("its header is damaged")
    if schema > len(sql.MIGRATIONS):
        version = opener.header.about.get("version")
        raise Invalid(
            f"it was written by a newer kos-edge ({version})", hint="install that version or a later one"
        )
    return opener


class _Reading(io.RawIOBase):
    """What tarfile reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        size = len(data) if size < 0 else size
        self._rest = data[size:]
        return data[:size]


def _extract(opener: Opener, passphrase: str, folder: Path) -> int:
    """All files into `folder`; how many. Raises Invalid, WrongPassphrase, OSError."""
    reading = _Reading(opener.pieces(passphrase))
    count = 0
    try:
        with tarfile.open(fileobj=reading, mode="r|") as archive:
            for member in archive:
                count += 1
                if count > MAX_FILES:
                    raise Invalid("there are too many files in it")
                _extract_one(archive, member, folder)
        while reading.read(PIECE_BYTES):  # the last piece says that nothing is missing
            pass
    except tarfile.TarError as error:
        raise Invalid(f"it is damaged: {error}") from None
    return count


def _extract_one(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parts = member.name.split("/")
    nested = member.name.startswith((_CONFIG, f"{_CONFIG}config.d/"))
    if (
        not member.isreg()
        or not all(parts)
        or ".." in parts
        or (len(parts) > 1 and not nested)
        or len(parts) > 3
    ):
        raise Invalid(f"{member.name[:80]!r} does not belong into a backup")
    if any(part.startswith(".") or "\\" in part or ":" in part for part in parts):
        raise Invalid(f"{member.name[:80]!r} does not belong into a backup")
    target = folder.joinpath(*parts)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, PIECE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def _check(folder: Path, kid: str) -> None:
    """Whether this is a whole node. Raises Invalid."""
    if not (folder / KEY_NAME).exists() or not (folder / STORE_NAME).exists():
        raise Invalid("there is no key or no store in it")
    if kid_text(read_key(folder / KEY_NAME).kid) != kid:
        raise Invalid("the key in it is of another node than it says")
    try:
        with contextlib.closing(sqlite3.connect(folder / STORE_NAME)) as store:
            (word,) = store.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        word = str(error)
    if word != "ok":
        raise Invalid(f"the store in it is damaged: {word}")


def _jump(path: Path, kid: bytes, random: Callable[[int], bytes]) -> None:
    """Go on above whatever the key has numbered since, and name nothing of ours as what came before."""
    with contextlib.closing(Store(path)) as store:

        def work() -> None:
            before = store.database.get("epoch")
            last = int.from_bytes(before, "big") if before else 0
            store.outbox.open_epoch(random, above=last + (LEAD << _EPOCH_BITS))
            for stream in [row.stream for row in store.streams if row.stream.source == kid]:
                forget_ends(store, stream)

        (result,) = store.database.transact([work])
        if isinstance(result, KosError):
            raise result
    for left in ("-wal", "-shm", ".reserve"):
        path.with_name(f"{path.name}{left}").unlink(missing_ok=True)


def _put_aside(path: Path, stamp: str) -> Path | None:
    """What is in the state now goes into a folder of its own, the key first; None where there is nothing."""
    found = [
        each for each in path.iterdir() if each.name not in (LOCK_NAME, _ASIDE, "config.toml", "config.d")
    ]
    found = [
        each
        for each in found
        if not each.name.startswith(("replaced-", ".")) and not each.name.endswith(".reserve")
    ]
    if not found:
        return None
    names = (f"replaced-{stamp}", *(f"replaced-{stamp}-{number}" for number in range(2, 100)))
    aside = next(each for name in names if not (each := path / name).exists())
    aside.mkdir(mode=0o700)
    found.sort(key=lambda each: not each.name.startswith(KEY_NAME))
    for each in found:
        each.rename(aside / each.name)
    sync_directory(aside)
    sync_directory(path)
    return aside


def _bring_configuration(path: Path, folder: Path) -> tuple[str, ...]:
    """Configuration that is there stays; its names come back. Raises Unavailable; nothing else has changed then."""
    kept = []
    place = config_place(path)
    configuration = folder / "config"
    for file in sorted(configuration.rglob("*.toml")) if configuration.is_dir() else ():
        target = place / file.relative_to(configuration)
        if target.exists():
            if target.read_bytes() != file.read_bytes():
                kept.append(str(target))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        write_durably(target, file.read_bytes(), mode=0o644)  # root's, and read by the daemon's user
    return tuple(kept)


def _move_in(path: Path, folder: Path) -> None:
    """The restored files take their places, the key last."""
    for file in sorted(folder.iterdir(), key=lambda each: each.name == KEY_NAME):
        if file.is_file():
            if file.name == KEY_NAME:
                sync_directory(path)
            file.rename(path / file.name)
    sync_directory(path)
