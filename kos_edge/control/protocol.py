"""The verbs that a daemon answers on its control socket, and that a locked state answers without one.

`Operations` is the contract: the node implements it, `kos_edge.control.client.Client` has the same methods
over the socket, and the command line does not care which of the two it holds. Verbs raise only
`kos_edge.errors`:

- `Invalid` for a value that breaks a rule (a topic, a token, a key): nothing was changed;
- `Refused` where it will never be done (no right, revoked, used up, no such member);
- `Unavailable` where it may work later (queue full, no hub reachable, needs a running daemon);
- `Unknown` where it was sent and nothing came back.

Each carries a hint with the next step wherever there is one. The answers' shapes: `kos_edge.control.reports`.

*WHO* is a name (case-insensitive) or the beginning of a kid's hex digits, with or without ``kid:device:``.
One that fits several is `Invalid` and names them; one that fits nobody is `Refused`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from kos_edge.control.bootstrap_reports import AgainReport, BootstrapReport
from kos_edge.control.letter_reports import DeadLetter, RetriedPart, RetryReport
from kos_edge.control.reports import (
    CarriedPart,
    CarriedReport,
    Delivered,
    ForecastReport,
    InvitationReport,
    JoinReport,
    Json,
    LeaveReport,
    MemberReport,
    PeerReport,
    PendingReport,
    PublishReport,
    QueueReport,
    RejectReport,
    RevokeReport,
    SecretValue,
    StatusReport,
    StopReport,
    VaultExport,
    VaultImport,
    VaultReport,
)


class VaultOperations(Protocol):
    """What may be asked of a node's vault. All of it works without a daemon.

    `passphrase` opens a vault that opens with one and is shut; a daemon then keeps it open. `Unavailable` where there
    is no vault or its key is not at hand, `Refused` for a key or passphrase that does not open it, `Invalid` for
    damage.
    """

    async def vault_list(self, *, passphrase: str | None = None) -> VaultReport:
        """The secrets by name."""
        ...

    async def vault_put(self, *, name: str, base64: str, passphrase: str | None = None) -> VaultReport:
        """Set a secret, on disk when this returns; the first one makes the vault.

        Under systemd's credential where there is one, else under the passphrase, else under a key file that is made.
        """
        ...

    async def vault_get(self, *, name: str, passphrase: str | None = None) -> SecretValue:
        """One secret."""
        ...

    async def vault_remove(self, *, name: str, passphrase: str | None = None) -> VaultReport:
        """Forget a secret."""
        ...

    async def vault_verify(self, *, passphrase: str | None = None) -> VaultReport:
        """Read the vault anew from the disk and check every secret."""
        ...

    async def vault_rotate(
        self, *, lock: str | None = None, passphrase: str | None = None, new_passphrase: str | None = None
    ) -> VaultReport:
        """New keys for all of it; `lock` (file, credential, passphrase) changes what opens it."""
        ...

    async def vault_export(self, *, new_passphrase: str, passphrase: str | None = None) -> VaultExport:
        """All secrets in a vault under another passphrase."""
        ...

    async def vault_import(
        self, *, base64: str, its_passphrase: str, replace: bool = False, passphrase: str | None = None
    ) -> VaultImport:
        """Take over the secrets of an exported vault; one that differs from ours only with `replace`."""
        ...


class CarryOperations(Protocol):
    """The queue in files, where no link reaches (docs/protocol/sneakernet.md). All of it works without a daemon."""

    def queue_export(self, *, audience: str | None = None) -> AsyncGenerator[CarriedPart, None]:
        """A file of what is owed, to one audience or WHO or to all, part by part. It stays owed."""
        ...

    async def queue_import(self, *, base64: str) -> CarriedReport:
        """Take in some whole records of a file. Each call stands alone and may be repeated.

        `Invalid` for damage and for what nobody of this mesh has said, `Refused` for a carrier that is shut out.
        """
        ...


class BootstrapOperations(Protocol):
    """What may be asked of a node's bootstrap."""

    async def bootstrap_status(self) -> BootstrapReport:
        """The latest start, step by step. Works without a daemon. `Unavailable` where there never was one."""
        ...

    async def bootstrap(
        self, *, mode: str = "default", force: bool = False, checks: bool = False, who: str | None = None
    ) -> AgainReport:
        """Begin again in this mode (default, recovery, minimal): the daemon ends in order and starts anew.

        `force`: although nothing asks for it, or a check fails; `checks`: only if the health checks pass. With `who`,
        WHO of a member, that node is ordered to: `Unavailable` where it is not connected, `Refused` where this node may
        not, or the other one declines. Needs a daemon.
        """
        ...


class Operations(VaultOperations, CarryOperations, BootstrapOperations, Protocol):
    """Everything that a person or a tool may ask of a node. All parameters are given by keyword."""

    # --- looking ---

    async def status(self) -> StatusReport:
        """The node at a glance. Works without a daemon."""
        ...

    async def peers(self) -> list[PeerReport]:
        """Every node that this one knows, members first, by name. Works without a daemon."""
        ...

    # --- becoming a member ---

    async def join(self, *, token: str | None = None, mesh: str | None = None) -> JoinReport:
        """Enrol with an invitation's token, or with the mesh's hash (64 hex) as a known key or by approval.

        Exactly one of the two. Enrols at once; keeps the wish where no hub answers (`waiting`). Works without
        a daemon. `Invalid` for a mistyped token, `Refused` for an expired or used one, and for another mesh
        than the one that this node is a member of.
        """
        ...

    async def leave(self) -> LeaveReport:
        """Forget membership and wish; the key, the queue and the journal stay. Works without a daemon."""
        ...

    # --- admitting others (hubs) ---

    async def invite(
        self,
        *,
        uses: int = 1,
        seconds: float | None = 3600.0,
        replaces: str | None = None,
        role: str | None = None,
    ) -> InvitationReport:
        """Make a token for `uses` newcomers within `seconds` (None: no end). `Refused` where this is no hub.

        It is for edges and relays, or for this role alone.

        With `replaces`, WHO of a member, it is for that member's new key (`rekey`): it gets the name and the role, and
        the old key is revoked as soon as the token is redeemed.
        Works without a daemon.
        """
        ...

    async def allow(self, *, public: str, role: str = "edge", name: str | None = None) -> MemberReport:
        """Let the owner of this public key (64 hex) in when it comes. Idempotent. Works without a daemon."""
        ...

    async def pending(self) -> list[PendingReport]:
        """Newcomers in quarantine, oldest first. Needs a daemon."""
        ...

    async def admit(self, *, who: str, role: str | None = None, name: str | None = None) -> MemberReport:
        """Make a newcomer in quarantine a member, with the role and name it asked for or these.

        Needs a daemon.
        """
        ...

    async def reject(self, *, who: str) -> RejectReport:
        """Send a newcomer in quarantine away. Needs a daemon."""
        ...

    async def revoke(self, *, who: str, reason: str | None = None) -> RevokeReport:
        """Take a membership back, for good. Works without a daemon; members learn of it when one runs."""
        ...

    async def rename(self, *, who: str, name: str) -> MemberReport:
        """Give a member another name, unique in the mesh. Works without a daemon."""
        ...

    # --- the queue ---

    async def queue(self) -> QueueReport:
        """What this node still owes others. Works without a daemon."""
        ...

    async def forecast(self) -> ForecastReport:
        """How fast the queue fills and drains, and when it is full or empty. Without a daemon nothing is measured."""
        ...

    def queue_dead(self) -> AsyncGenerator[DeadLetter, None]:
        """Dead letters, oldest first; a stream, for they may be many. Works without a daemon."""
        ...

    async def queue_retry(self, *, id: str) -> RetryReport:
        """Put a dead letter back in the queue, with the time that it had. Works without a daemon.

        `Refused` where none has that id, or its ttl is over; `Unavailable` where the queue is full.
        """
        ...

    def queue_retry_all(self, *, topic: str = "#") -> AsyncGenerator[RetriedPart, None]:
        """Put the dead letters on topics that the filter matches back in the queue, in order, and say how far it is.

        It ends before what does not go now, and the last part says why. Works without a daemon.
        """
        ...

    # --- messages ---

    async def publish(
        self, *, topic: str, values: list[Json], unit: str | None = None, ttl_s: float | None = None
    ) -> PublishReport:
        """Append the values in order, and return when every one that has an id is durable here.

        A number is a reading (SenML, with `unit`), an object of numbers a reading of several fields, any
        other JSON value is data. All of one call share a commit where they fit. The values before the first
        faulty one are accepted; `failure` says what is wrong with that one, and nothing after it was tried.
        Raises only where no value could be tried at all (an illegal topic). Works without a daemon.
        """
        ...

    def tail(self, *, filter: str = "#", from_start: bool = False) -> AsyncGenerator[Delivered, None]:
        """What this node receives and publishes, in order of arrival, as it comes; has no end of its own.

        `from_start` begins with the oldest kept. Without a daemon it needs `from_start` and ends after the
        newest kept.
        """
        ...

    def export(
        self, *, topic: str = "#", since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[Delivered, None]:
        """Messages kept whose time is in [since, until) (wall seconds), oldest first; then it ends.

        Those without a known time are in it only when neither bound is given. Works without a daemon.
        """
        ...

    # --- the daemon ---

    async def stop(self) -> StopReport:
        """Answer, then end the daemon in order. Needs a daemon."""
        ...


@dataclass(frozen=True, slots=True)
class Verb:
    """One method of `Operations`: its name, its parameters with their types, and whether it streams."""

    name: str
    parameters: Mapping[str, inspect.Parameter]
    streams: bool


def _verbs() -> Mapping[str, Verb]:
    members = {
        **vars(VaultOperations),
        **vars(CarryOperations),
        **vars(BootstrapOperations),
        **vars(Operations),
    }
    methods = {name: member for name, member in members.items() if name[0] != "_"}
    return {name: _verb(name, member) for name, member in methods.items() if inspect.isfunction(member)}


def _verb(name: str, method: Callable[..., object]) -> Verb:
    parameters = dict(inspect.signature(method, eval_str=True).parameters)
    del parameters["self"]
    return Verb(name, parameters, streams=not inspect.iscoroutinefunction(method))


VERBS: Mapping[str, Verb] = _verbs()
"""Every verb by name, derived from `Operations` so that there is one list."""
