"""A client's end of the control socket: the verbs of a running daemon as methods.

Each call has a connection of its own, so a stream that is read slowly holds up nothing else, and ending an
iteration (or being cancelled) ends the stream at the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from kos_edge.control.address import reachable_path
from kos_edge.control.asking import Asking
from kos_edge.control.bootstrap_reports import AgainReport, BootstrapReport
from kos_edge.control.letter_reports import DeadLetter, RetriedPart, RetryReport
from kos_edge.control.reports import (
    CarriedPart,
    CarriedReport,
    Delivered,
    JoinReport,
    Json,
    LeaveReport,
    PublishReport,
    SecretValue,
    StopReport,
    VaultExport,
    VaultImport,
    VaultReport,
)
from kos_edge.control.wire import ANSWER_LIMIT, REQUEST_LIMIT, decode, encode, error_from
from kos_edge.errors import Invalid, Misuse, Refused, Unavailable, Unknown
from kos_edge.system import HAS_UNIX_SOCKETS


class Client(Asking):
    """`kos_edge.control.protocol.Operations` of the daemon that listens at `path`.

    Beside what the verbs raise: Unavailable where no daemon answers (`NoDaemon`), Refused where this user may
    not talk to it, Unknown where the daemon went away in the middle of an answer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def reach(self) -> None:
        """See that a daemon listens. Raises NoDaemon or Refused."""
        async with self._connection():
            pass

    async def join(self, *, token: str | None = None, mesh: str | None = None) -> JoinReport:
        return cast(JoinReport, await self._ask("join", token=token, mesh=mesh))

    async def leave(self) -> LeaveReport:
        return cast(LeaveReport, await self._ask("leave"))

    def queue_dead(self) -> AsyncGenerator[DeadLetter, None]:
        return self._stream("queue_dead")

    async def queue_retry(self, *, id: str) -> RetryReport:
        return cast(RetryReport, await self._ask("queue_retry", id=id))

    def queue_retry_all(self, *, topic: str = "#") -> AsyncGenerator[RetriedPart, None]:
        return self._stream("queue_retry_all", topic=topic)

    def queue_export(self, *, audience: str | None = None) -> AsyncGenerator[CarriedPart, None]:
        return self._stream("queue_export", audience=audience)

    async def queue_import(self, *, base64: str) -> CarriedReport:
        return cast(CarriedReport, await self._ask("queue_import", base64=base64))

    async def publish(
        self, *, topic: str, values: list[Json], unit: str | None = None, ttl_s: float | None = None
    ) -> PublishReport:
        return cast(
            PublishReport, await self._ask("publish", topic=topic, values=values, unit=unit, ttl_s=ttl_s)
        )

    def tail(self, *, filter: str = "#", from_start: bool = False) -> AsyncGenerator[Delivered, None]:
        return self._stream("tail", filter=filter, from_start=from_start)

    def export(
        self, *, topic: str = "#", since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[Delivered, None]:
        return self._stream("export", topic=topic, since=since, until=until)

    async def vault_list(self, *, passphrase: str | None = None) -> VaultReport:
        return cast(VaultReport, await self._ask("vault_list", passphrase=passphrase))

    async def vault_put(self, *, name: str, base64: str, passphrase: str | None = None) -> VaultReport:
        answer = await self._ask("vault_put", name=name, base64=base64, passphrase=passphrase)
        return cast(VaultReport, answer)

    async def vault_get(self, *, name: str, passphrase: str | None = None) -> SecretValue:
        return cast(SecretValue, await self._ask("vault_get", name=name, passphrase=passphrase))

    async def vault_remove(self, *, name: str, passphrase: str | None = None) -> VaultReport:
        return cast(VaultReport, await self._ask("vault_remove", name=name, passphrase=passphrase))

    async def vault_verify(self, *, passphrase: str | None = None) -> VaultReport:
        return cast(VaultReport, await self._ask("vault_verify", passphrase=passphrase))

    async def vault_rotate(
        self, *, lock: str | None = None, passphrase: str | None = None, new_passphrase: str | None = None
    ) -> VaultReport:
        given = {"lock": lock, "passphrase": passphrase, "new_passphrase": new_passphrase}
        return cast(VaultReport, await self._ask("vault_rotate", **given))

    async def vault_export(self, *, new_passphrase: str, passphrase: str | None = None) -> VaultExport:
        given = {"new_passphrase": new_passphrase, "passphrase": passphrase}
        return cast(VaultExport, await self._ask("vault_export", **given))

    async def vault_import(
        self, *, base64: str, its_passphrase: str, replace: bool = False, passphrase: str | None = None
    ) -> VaultImport:
        given = {
            "base64": base64,
            "its_passphrase": its_passphrase,
            "replace": replace,
            "passphrase": passphrase,
        }
        return cast(VaultImport, await self._ask("vault_import", **given))

    async def bootstrap_status(self) -> BootstrapReport:
        return cast(BootstrapReport, await self._ask("bootstrap_status"))

    async def bootstrap(
        self, *, mode: str = "default", force: bool = False, checks: bool = False, who: str | None = None
    ) -> AgainReport:
        answer = await self._ask("bootstrap", mode=mode, force=force, checks=checks, who=who)
        return cast(AgainReport, answer)

    async def stop(self) -> StopReport:
        return cast(StopReport, await self._ask("stop"))

    async def _ask(self, verb: str, **params: Json) -> Json:
        async with self._connection() as connection:
            await connection.send(verb, params)
            answer = await connection.receive()
            if "result" not in answer:
                raise Misuse(f"the daemon answered {verb} with a stream")
            return answer["result"]

    async def _stream(self, verb: str, **params: Json) -> AsyncGenerator[Any, None]:
        async with self._connection() as connection:
            await connection.send(verb, params)
            while "item" in (answer := await connection.receive()):
                yield answer["item"]

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[_Connection, None]:
        if not HAS_UNIX_SOCKETS:
            raise NoDaemon("no daemon can run on this system")
        try:
            with reachable_path(self._path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=ANSWER_LIMIT)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise NoDaemon(f"no daemon is running in {self._path.parent}") from None
        except PermissionError:
            raise Refused(
                f"this user may not talk to the daemon in {self._path.parent}",
                hint=f"join the group of {self._path}, or ask as the user that runs the daemon",
            ) from None
        except OSError as error:
            raise Unavailable(f"cannot reach {self._path}: {error.strerror or error}") from error
        try:
            yield _Connection(reader, writer)
        finally:
            writer.close()


class NoDaemon(Unavailable):
    """Nobody listens at the socket."""


class _Connection:
    """One request and its answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, verb: str, params: dict[str, Json]) -> None:
        line = encode({"id": 1, "verb": verb, "params": params})
        if len(line) > REQUEST_LIMIT:
            raise Invalid(f"the request has {len(line):,} bytes; {REQUEST_LIMIT:,} are the limit")
        try:
            self._writer.write(line)
            await self._writer.drain()
        except OSError:
            pass  # why it hung up may still be there to read; if not, `receive` says so

    async def receive(self) -> dict[str, Json]:
        """The next answer. Raises the error in it, Unknown where the daemon is gone."""
        try:
            line = await self._reader.readline()
        except ValueError:
            raise Invalid(f"the daemon's answer is longer than {ANSWER_LIMIT:,} bytes") from None
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise Unknown("the daemon went away before it had answered", hint="kos-edge status")
        match decode(line):
            case {"error": error}:
                raise error_from(error)
            case dict(answer):
                return answer
            case _:
                raise Misuse("the daemon's answer is no object")
