"""The verbs of the vault: `control.protocol.VaultOperations` over a node's vault."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Literal, TypeVar

from kos_edge.control.arguments import bytes_of
from kos_edge.control.reports import SecretReport, SecretValue, VaultExport, VaultImport, VaultReport
from kos_edge.errors import Invalid
from kos_edge.klp.jsonform import time_text
from kos_edge.node.config import Config
from kos_edge.node.vaulting import NodeVault
from kos_edge.vault.lock import Kind

T = TypeVar("T")

_LOCKS: dict[Kind, Literal["file", "credential", "passphrase"]] = {
    Kind.FILE: "file",
    Kind.CREDENTIAL: "credential",
    Kind.PASSPHRASE: "passphrase",
}


class NodeVaultOperations:
    """Each verb works in a thread, one at a time: making a key of a passphrase takes a third of a second."""

    def __init__(self, vault: NodeVault, config: Config) -> None:
        self._vault = vault
        self._config = config
        self._one_at_a_time = asyncio.Lock()

    async def vault_list(self, *, passphrase: str | None = None) -> VaultReport:
        """The secrets by name."""
        await self._work(lambda: self._vault.opened(passphrase))
        return self._report()

    async def vault_put(self, *, name: str, base64: str, passphrase: str | None = None) -> VaultReport:
        """Set a secret."""
        secret = bytes_of(base64)
        await self._work(lambda: self._vault.put(name, secret, passphrase))
        return self._report()

    async def vault_get(self, *, name: str, passphrase: str | None = None) -> SecretValue:
        """One secret."""
        secret = await self._work(lambda: self._vault.opened(passphrase).get(name))
        return SecretValue(name=name, base64=b64encode(secret).decode())

    async def vault_remove(self, *, name: str, passphrase: str | None = None) -> VaultReport:
        """Forget a secret."""
        await self._work(lambda: self._vault.remove(name, passphrase))
        return self._report()

    async def vault_verify(self, *, passphrase: str | None = None) -> VaultReport:
        """Check every secret on the disk."""
        await self._work(lambda: self._vault.verify(passphrase))
        return self._report()

    async def vault_rotate(
        self, *, lock: str | None = None, passphrase: str | None = None, new_passphrase: str | None = None
    ) -> VaultReport:
        """New keys."""
        kinds = {word: kind for kind, word in _LOCKS.items()}
        if lock is not None and lock not in kinds:
            raise Invalid(f"a vault opens with {', '.join(kinds)}, not with {lock!r}")
        to = None if lock is None else kinds[lock]
        await self._work(lambda: self._vault.rotate(passphrase, to=to, new_passphrase=new_passphrase))
        return self._report()

    async def vault_export(self, *, new_passphrase: str, passphrase: str | None = None) -> VaultExport:
        """All secrets under another passphrase."""
        data = await self._work(lambda: self._vault.export(new_passphrase, passphrase))
        return VaultExport(secrets=len(self._vault.opened().names()), base64=b64encode(data).decode())

    async def vault_import(
        self, *, base64: str, its_passphrase: str, replace: bool = False, passphrase: str | None = None
    ) -> VaultImport:
        """Take over an exported vault."""
        data = bytes_of(base64)
        outcome = await self._work(
            lambda: self._vault.bring(data, its_passphrase, passphrase, replace=replace)
        )
        return VaultImport(outcome=outcome)

    async def _work(self, work: Callable[[], T]) -> T:
        async with self._one_at_a_time:
            return await asyncio.to_thread(work)

    def _report(self) -> VaultReport:
        vault = self._vault.opened()
        secrets = [
            SecretReport(
                name=name,
                bytes=len(vault.get(name)),
                changed_at=time_text(at * 1000) if at else None,
                agents=list(self._config.secrets[name].agents) if name in self._config.secrets else [],
            )
            for name, at in vault.names().items()
        ]
        return VaultReport(
            lock=_LOCKS[vault.lock.kind],
            changes=vault.changes,
            secrets=secrets,
            trouble=self._vault.trouble,
        )
