"""The end of a node: everything that it was is overwritten and removed, and it is looked whether a key is left.

On flash memory an overwritten block may live on behind the file system, where no program reaches it: only a card that
is destroyed, or was encrypted from the beginning, is empty for sure.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from kos_edge.control.bootstrap_reports import DecommissionReport
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.identity import kid_text
from kos_edge.mesh.claims import Role
from kos_edge.mesh.membership import Membership, verify_membership
from kos_edge.node.config import Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.durable_file import write_durably
from kos_edge.node.initialize import RECOVERY_NAME
from kos_edge.node.keyfile import find_key
from kos_edge.node.remains import LEAST, Look, Needle, look
from kos_edge.node.statedir import STORE_NAME, NotInitialised, StateDir, copy_of
from kos_edge.node.trust import MEMBER
from kos_edge.node.vaulting import CREDENTIAL, KEY_NAME, VAULT_NAME, NodeVault
from kos_edge.store.finds import FORMER_KEY, former_in
from kos_edge.store.store import Store
from kos_edge.system import sync_directory

MARK = "decommissioning"
"""The file that says that the wiping has begun: what was interrupted is gone on with."""
SEALED_KEY = Path("/etc/credstore.encrypted") / CREDENTIAL
"""Where `kos-edge install` has put it: root's, so it goes with `uninstall --purge`."""
_CHUNK = 1 << 20


def decommission(path: Path, *, discard: bool = False, end_mesh: bool = False) -> DecommissionReport:
    """Wipe the node in `path`, on which no daemon runs.

    Raises Refused while the queue holds what nobody else has (unless `discard`), and for the only hub of its mesh
    (unless `end_mesh`); StateInUse, NotInitialised. Nothing has changed then.
    """
    home = StateDir(path)
    marked = (path / MARK).exists()
    if not marked:
        StateDir.open(path)
    with home.lock():
        config = _config(home)
        begun = marked and not _has_key(home)  # cut off before that, it may have lived on since
        own = None if begun else _identity(home, discard=discard, end_mesh=end_mesh)
        needles, unknown = _needles(home, config)
        folders = [path, *({home.config_file.parent} - {path})]
        before = look(folders, needles)
        with contextlib.suppress(Unavailable):  # a full disk: what is interrupted then is begun anew
            write_durably(path / MARK, b"kos-edge decommission\n")
        first = [home.key_file, copy_of(home.key_file), *path.glob(f"{VAULT_NAME}*"), path / KEY_NAME]
        removed = sum(
            _wipe(file) for file in first
        )  # the identity first: what is interrupted is nobody any more
        removed += _wipe_all(path, but=(home.lock_file, path / MARK))
        after = look(folders, needles)
        _wipe(path / MARK)
        sync_directory(path)
    _wipe(home.lock_file)
    return DecommissionReport(
        state=str(path),
        name=None if own is None else own.name,
        kid=None if own is None else kid_text(own.kid, own.namespace),
        files=removed,
        looked_for=[needle.name for needle in needles if len(needle.secret) >= LEAST],
        not_looked_for=[*unknown, *(needle.name for needle in needles if len(needle.secret) < LEAST)],
        before=_finds(before),
        after=_finds(after),
        bytes_before=before.bytes,
        bytes_after=after.bytes,
    )


def _identity(home: StateDir, *, discard: bool, end_mesh: bool) -> Membership | None:
    """Who this was; Refused where something of it is needed yet."""
    member: Membership | None = None
    try:
        key = find_key(home.key_file).value
        with contextlib.closing(Store(home.path / STORE_NAME)) as store:
            store.own(key.kid, *former_in(store.database.get(FORMER_KEY)))
            owed = store.outbox.usage.messages + len(store.latest)
            letters = store.records.dead_count()
            mesh, cwt = store.database.get("mesh"), store.database.get("membership")
            if mesh is not None and cwt is not None:
                member = verify_membership(cwt, mesh)
                others = [verify_membership(each, mesh) for each in store.records.all(MEMBER).values()]
                alone = not any(each.role is Role.HUB and each.kid != member.kid for each in others)
                if member.can_issue and alone and not end_mesh:
                    raise Refused(
                        f"{member.name} is the only hub of its mesh: without it nobody joins, and nobody is renewed",
                        hint="make another one first: kos-edge hub add; or let the mesh end: --end-mesh",
                    )
    except Refused:
        raise
    except KosError as error:
        if not discard:
            raise Unavailable(
                f"it cannot be told what waits in the queue: {error.message}", hint="--discard throws it away"
            ) from None
        _keep_authority(home, end_mesh=end_mesh)
        return member
    _keep_authority(home, end_mesh=end_mesh)
    if owed and not discard:
        raise Refused(
            f"{owed:,} messages wait that nobody else has",
            hint="kos-edge run until the queue is empty; or carry them: kos-edge queue export; or --discard",
        )
    if letters and not discard:
        raise Refused(
            f"there are {letters:,} dead letters, which nobody else has",
            hint="kos-edge queue dead shows them, queue retry --all sends them; or --discard",
        )
    return member


def _keep_authority(home: StateDir, *, end_mesh: bool) -> None:
    """Raises Refused where the key of the whole mesh would go with one of its hubs."""
    if (home.path / RECOVERY_NAME).exists() and not end_mesh:
        raise Refused(
            f"the mesh's authority lies here ({RECOVERY_NAME}): without it no hub can be made or replaced",
            hint="kos-edge authority export FILE --remove; or let the mesh end: --end-mesh",
        )


def _has_key(home: StateDir) -> bool:
    """Whether its key, which is wiped first, can be read yet."""
    try:
        find_key(home.key_file)
    except (Invalid, NotInitialised):
        return False
    return True


def _config(home: StateDir) -> Config:
    try:
        return load_config(home.config_file)
    except KosError:
        return Config()


def _needles(home: StateDir, config: Config) -> tuple[list[Needle], list[str]]:
    """All that must not be left; and what cannot be looked for, for nobody can read it."""
    needles, unknown = [], []

    def seek(name: str, secret: Callable[[], bytes]) -> None:
        try:
            needles.append(Needle(name, secret()))
        except FileNotFoundError:
            pass
        except (KosError, OSError):
            unknown.append(name)

    if home.key_file.exists() or copy_of(home.key_file).exists():
        seek("the node's key", lambda: find_key(home.key_file).value.seed)
    seek("the vault's key file", lambda: (home.path / KEY_NAME).read_bytes())
    seek("the vault's key file before", lambda: (home.path / f"{KEY_NAME}.previous").read_bytes())
    if config.monitor.token_file is not None:
        token = home.path / config.monitor.token_file
        seek("the token for readings", lambda: token.read_bytes().split(b"\n", 1)[0])
    vault = NodeVault(home.path, config, lambda: None)
    if vault.exists:
        try:
            opened = vault.opened()
        except KosError:
            unknown.append("the secrets in the vault")
            if SEALED_KEY.exists():
                unknown.append(f"the vault's key, which systemd has sealed and which stays in {SEALED_KEY}")
        else:
            for name in opened.names():
                seek(f"the secret {name}", lambda name=name: opened.get(name))  # type: ignore[misc]
    return needles, unknown


def _wipe_all(folder: Path, *, but: tuple[Path, ...]) -> int:
    removed = 0
    for root, folders, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(root) / name
            if path not in but:
                removed += _wipe(path)
        for name in folders:
            path = Path(root) / name
            if path.is_symlink():
                path.unlink()
            else:
                path.rmdir()
    return removed


def _wipe(path: Path) -> int:
    """Overwrite a file and remove it; a link or a socket is only removed. Raises Unavailable."""
    try:
        if path.is_file() and not path.is_symlink():
            size = path.stat().st_size
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                for at in range(0, size, _CHUNK):
                    os.pwrite(descriptor, bytes(min(_CHUNK, size - at)), at)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise Unavailable(
            f"cannot wipe {path}: {error.strerror}", hint="run as the user that owns it; then again"
        ) from None
    return 1


def _finds(found: Look) -> list[str]:
    return [f"{find.name} in {find.path}" for find in found.finds]
