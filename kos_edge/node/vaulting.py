"""The vault of a state directory: its file, where its key comes from, and which agent gets which secret.

The file is `vault` with the generation before beside it. A vault that cannot be opened stops nothing else: agents that
ask for a secret are told why, and so is the status.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.node.config import Config
from kos_edge.node.durable_file import StateFile
from kos_edge.system import sync_directory
from kos_edge.vault.lock import KEY_BYTES, Kind, Lock
from kos_edge.vault.vault import Vault, check_name

VAULT_NAME = "vault"
KEY_NAME = "vault.key"
CREDENTIAL = "kos-edge.vault-key"
"""The name under which systemd hands the key over: `LoadCredentialEncrypted=kos-edge.vault-key`."""

_SECRET_LIMIT = 65_536


class NodeVault:
    """The secrets of one node. `wall` gives seconds since 1970, None where no clock is set.

    Everything is done at once on small files; opening with a passphrase takes a third of a second and 32 MiB.
    """

    def __init__(
        self,
        state: Path,
        config: Config,
        wall: Callable[[], float | None],
        *,
        random: Callable[[int], bytes] = os.urandom,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._file = StateFile(state / VAULT_NAME, _looks_like_a_vault)
        self._state = state
        self._config = config
        self._wall = wall
        self._random = random
        credentials = environment.get("CREDENTIALS_DIRECTORY")
        self._credential = Path(credentials) / CREDENTIAL if credentials else None
        self._open: Vault | None = None
        self.trouble: str | None = None
        """Why it is not open, or which generation it is; None while all is well."""

    @property
    def exists(self) -> bool:
        """Whether there is a vault at all."""
        return self._file.path.exists() or self._file.previous.exists()

    def check(self) -> None:
        """At the start: open it, every secret checked. What stands in the way is `trouble`, for those who look."""
        if self.exists:
            with contextlib.suppress(KosError):
                self.opened()

    def opened(self, passphrase: str | None = None) -> Vault:
        """The vault, read when it is first asked for.

        Raises Unavailable where there is none or its key is not at hand, Refused for another key, Invalid for damage.
        """
        if self._open is None:
            try:
                self._open = self._read(passphrase)
            except KosError as error:
                self.trouble = error.message
                raise
        return self._open

    def for_agent(self, agent: str, name: str) -> bytes:
        """A secret for an agent. Raises Refused where the configuration does not give it that one, and as `opened`."""
        settings = self._config.secrets.get(check_name(name))
        if settings is None or agent not in settings.agents:
            hint = f'in config.toml: [secret."{name}"] agents = ["{agent}"]'
            raise Refused(f"the agent {agent} may not have the secret {name!r}", hint=hint)
        return self.opened().get(name)

    def put(self, name: str, secret: bytes, passphrase: str | None = None) -> None:
        """Set a secret, on disk before it returns; the first one makes the vault. Raises as `opened`, `Vault.put`."""
        check_name(name)
        vault = self.opened(passphrase) if self.exists else self._new(passphrase)
        vault.put(name, secret, self._now())
        self._write(vault)

    def remove(self, name: str, passphrase: str | None = None) -> None:
        """Forget a secret. Both generations of the file are without it."""
        vault = self.opened(passphrase)
        vault.remove(name)
        self._write(vault)
        self._write(vault)

    def verify(self, passphrase: str | None = None) -> tuple[Vault, str | None]:
        """Read it anew from the disk, every secret checked; and what is wrong with the newest generation."""
        self._open = None
        return self.opened(passphrase), self.trouble

    def rotate(self, passphrase: str | None = None, *, to: Kind | None, new_passphrase: str | None) -> Vault:
        """A new data key for all secrets, and a new key for the lock, of the same kind or the kind `to`.

        The old key opens nothing any more: both generations are written anew, and a key file of ours is replaced.
        """
        vault = self.opened(passphrase)
        kind = vault.lock.kind if to is None else to
        if kind is Kind.CREDENTIAL:
            lock = Lock(kind)
            key = lock.key(self._credential_secret())
        elif kind is Kind.PASSPHRASE:
            lock = Lock.of_passphrase(self._random)
            key = lock.key(self._passphrase(new_passphrase or passphrase))
        else:
            lock, key = Lock(kind), self._new_key_file()
        try:
            vault.rotate(lock, key)
            self._write(vault)
            self._write(vault)
        except KosError:
            self._open = None  # what is on disk counts
            raise
        self._forget_old_keys(kind)
        return vault

    def export(self, new_passphrase: str, passphrase: str | None = None) -> bytes:
        """A vault under a passphrase with all secrets, for another node or a safe."""
        lock = Lock.of_passphrase(self._random)
        copy = Vault(lock, lock.key(new_passphrase.encode()), random=self._random)
        vault = self.opened(passphrase)
        for name, at in vault.names().items():
            copy.put(name, vault.get(name), at)
        return copy.to_wire()

    def bring(
        self, data: bytes, its_passphrase: str, passphrase: str | None = None, *, replace: bool
    ) -> dict[str, str]:
        """Take the secrets of an exported vault over; by name what became of each: added, replaced, same or kept.

        One that differs from ours is kept as ours is, unless `replace`. All of them are on disk, or none is.
        """
        lock = Vault.lock_of(data)
        if lock.kind is not Kind.PASSPHRASE:
            raise Invalid(
                "this vault opens with a key and not with a passphrase",
                hint="make one: kos-edge vault export",
            )
        source = Vault.open(data, lock.key(its_passphrase.encode()))
        vault = self.opened(passphrase) if self.exists else self._new(passphrase)
        ours, outcome = vault.names(), {}
        for name, at in source.names().items():
            secret = source.get(name)
            if name not in ours:
                outcome[name] = "added"
            elif vault.get(name) == secret:
                outcome[name] = "same"
            else:
                outcome[name] = "replaced" if replace else "kept"
            if outcome[name] in ("added", "replaced"):
                vault.put(name, secret, at)
        if {"added", "replaced"} & set(outcome.values()):
            self._write(vault)
        return outcome

    # -- the file and its key

    def _read(self, passphrase: str | None) -> Vault:
        """The newest generation that its key opens and that is whole."""
        self.trouble = None
        if not self.exists:
            raise Unavailable("this node has no vault yet", hint="kos-edge vault put NAME makes one")
        first: KosError | None = None
        for path in (self._file.path, self._file.previous):
            try:
                data = path.read_bytes()
                vault = self._with_its_key(data, passphrase)
            except OSError as error:
                first = first or Unavailable(f"cannot read {path}: {error.strerror}")
            except Invalid as error:
                first = first or Invalid(f"{path}: {error.message}", hint=error.hint)
            else:
                if first is not None:
                    self.trouble = f"{first.message}; the one before is used"
                return vault
        assert first is not None
        raise first

    def _with_its_key(self, data: bytes, passphrase: str | None) -> Vault:
        lock = Vault.lock_of(data)
        match lock.kind:
            case Kind.CREDENTIAL:
                return Vault.open(data, lock.key(self._credential_secret()), random=self._random)
            case Kind.PASSPHRASE:
                return Vault.open(data, lock.key(self._passphrase(passphrase)), random=self._random)
        refused: Refused | None = None
        for secret in self._file_secrets():
            try:
                return Vault.open(data, lock.key(secret), random=self._random)
            except Refused as error:
                refused = error
        raise refused or Unavailable(
            f"the vault's key {self._key_path()} is missing", hint="put its copy back, or take the vault away"
        )

    def _new(self, passphrase: str | None) -> Vault:
        """An empty vault: under the credential where there is one, a passphrase where one is given, else a key file."""
        if self._credential is not None and self._credential.exists():
            lock = Lock(Kind.CREDENTIAL)
            key = lock.key(self._credential_secret())
        elif passphrase is not None or self._config.vault.passphrase_file is not None:
            lock = Lock.of_passphrase(self._random)
            key = lock.key(self._passphrase(passphrase))
        else:
            lock = Lock(Kind.FILE)
            secrets = self._file_secrets()
            key = lock.key(secrets[0]) if secrets else self._new_key_file()
        self._open = Vault(lock, key, random=self._random)
        return self._open

    def _write(self, vault: Vault) -> None:
        try:
            self._file.write(vault.to_wire())
        except KosError:
            self._open = None  # what is on disk counts
            raise
        self.trouble = None

    def _key_path(self) -> Path:
        given = self._config.vault.key_file
        return self._state / (given or KEY_NAME)

    def _key_file(self) -> StateFile[bytes]:
        return StateFile(self._key_path(), lambda data: data)

    def _file_secrets(self) -> list[bytes]:
        """What the key file has held, the newest first: a rotation that was cut short is opened by the one before."""
        found = []
        file = self._key_file()
        for path in (file.path, file.previous):
            with contextlib.suppress(FileNotFoundError):
                found.append(read_secret(path))
        return found

    def _new_key_file(self) -> bytes:
        if self._config.vault.key_file is not None:
            secret = read_secret(self._key_path())  # the administrator's own: never written by us
        else:
            secret = self._random(KEY_BYTES)
            self._key_file().write(secret)
        return Lock(Kind.FILE).key(secret)

    def _forget_old_keys(self, kind: Kind) -> None:
        """A key file of ours that opens nothing any more is removed."""
        if self._config.vault.key_file is not None:
            return
        file = self._key_file()
        for path in (file.previous,) if kind is Kind.FILE else (file.previous, file.path):
            path.unlink(missing_ok=True)
        sync_directory(self._state)

    def _credential_secret(self) -> bytes:
        if self._credential is None:
            hint = f"LoadCredentialEncrypted={CREDENTIAL} in the unit; for a command: sudo systemd-run -P"
            raise Unavailable(
                "the vault opens with a credential of systemd, and there is none here", hint=hint
            )
        try:
            return read_secret(self._credential, private=False)
        except FileNotFoundError:
            raise Unavailable(f"systemd gave no credential {CREDENTIAL}") from None

    def _passphrase(self, given: str | None) -> bytes:
        if given is not None:
            return given.encode()
        path = self._config.vault.passphrase_file
        if path is None:
            raise Unavailable(
                "the vault opens with a passphrase", hint="kos-edge vault open, or --passphrase-file"
            )
        try:
            return read_secret(self._state / path).split(b"\n", 1)[0].rstrip(b"\r")
        except FileNotFoundError:
            raise Unavailable(f"there is no {path} with the vault's passphrase") from None

    def _now(self) -> int:
        return int(self._wall() or 0)


def _looks_like_a_vault(data: bytes) -> Lock:
    return Vault.lock_of(data)


def read_secret(path: Path, *, private: bool = True) -> bytes:
    """A small file that only its owner may read. Raises FileNotFoundError, Refused, Unavailable."""
    try:
        with path.open("rb") as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(_SECRET_LIMIT + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None
    if private and mode & 0o077:
        raise Refused(f"others may read {path} (mode {mode & 0o777:04o})", hint=f"chmod 600 {path}")
    if len(data) > _SECRET_LIMIT:
        raise Invalid(f"{path} has more than {_SECRET_LIMIT:,} bytes")
    return data
