"""R03: each file of a state cut off, emptied, filled with NUL, or gone: the generation before, or a clear word."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from kos_edge.errors import KosError
from kos_edge.node.initialize import initialize
from kos_edge.node.kept_config import load_kept
from kos_edge.node.node import Node
from tests.faults.rows import Sweep, row

CONFIG = '[queue]\nmax-messages = 4321\n\n[log]\nlevel = "warning"\n'
FILES = (
    "node.key", "node.key.copy", "config.toml", "config.toml.good", "kos.meta", "kos.meta.previous", "kos.db",
)  # fmt: skip
HOWS = ("cut", "empty", "nul", "half nul", "gone", "half written")


@dataclass(frozen=True, slots=True)
class Self:
    """What a node must be again, whatever became of one of its files."""

    kid: bytes
    mesh: bytes | None
    name: str
    max_messages: int
    policy: bytes
    members: frozenset[bytes]


@row("R03", "each state file half-written, truncated, NUL", minutes=2)
def sweep(run: Sweep) -> None:
    lots = random.Random(run.seed)
    whole = run.folder / "whole"
    initialize(
        whole, "hub", "hub", passphrase="correct horse battery staple of the test", random=lots.randbytes
    )
    (whole / "config.toml").write_text(CONFIG)
    asyncio.run(_look(whole))
    wanted, epoch, _ = asyncio.run(_look(whole))
    cases = [(name, how) for how in HOWS for name in FILES]
    lots.shuffle(cases)
    for number in range(run.share(full=20 * len(cases), bounded=len(cases))):
        name, how = cases[number % len(cases)]
        folder = run.folder / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        spoil(folder / name, how, lots)
        run.case()
        told = f"seed {run.seed} case {number}: {name} {how}"
        try:
            found, after, troubles = asyncio.run(_look(folder))
        except KosError as error:
            run.wrong(f"{told}: it does not start: {error}")
            continue
        if found != wanted:
            run.wrong(f"{told}: it is another: {found}, not {wanted}")
        if after <= epoch:
            run.wrong(f"{told}: its epoch {after:x} is not above {epoch:x}")
        harmless = ("half written",) if name != "kos.db" else ("half written", "cut", "half nul")
        if name in ("node.key", "config.toml", "kos.db") and how not in harmless and not troubles:
            run.wrong(f"{told}: it says nothing of it")


def spoil(file: Path, how: str, lots: random.Random) -> None:
    data = file.read_bytes()
    match how:
        case "cut":
            file.write_bytes(data[: lots.randrange(1, len(data))])
        case "empty":
            file.write_bytes(b"")
        case "nul":
            file.write_bytes(bytes(len(data)))
        case "half nul":
            half = lots.randrange(1, len(data))
            file.write_bytes(data[:half] + bytes(len(data) - half))
        case "gone":
            file.unlink()
        case _:  # killed before the rename: the new one is there in part, beside the old one
            file.with_name(f".{file.name}.new").write_bytes(data[: len(data) // 2])


async def _look(state: Path) -> tuple[Self, int, list[str]]:
    """Start a node there, without a network, and say who it is.

    A database that is cut or has NUL where its log has the pages anew has lost nothing, and need not say so.
    """
    config = load_kept(state / "config.toml")
    node = Node(state, config=config, carriers=[], threaded=False, quiet=True)
    with node.state.lock():
        async with node.opened():
            await node.open_epoch()
            trust = node.trust
            members = frozenset(member.cwt for member in trust.roster)
            most = node.config.queue.max_messages
            found = Self(trust.kid, trust.mesh, trust.name, most, trust.policy.raw, members)
            return found, node.writer.store.outbox.epoch, [*node.file_troubles, *node.writer.store.troubles()]
