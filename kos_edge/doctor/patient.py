"""The node that is looked at: its state directory, its machine, and its daemon where one answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kos_edge.control.client import Client
from kos_edge.control.reports import CardReport, PeerReport, StatusReport
from kos_edge.errors import KosError
from kos_edge.node.config import Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.installed import installation
from kos_edge.node.statedir import StateDir


@dataclass(slots=True)
class Patient:
    """`root` is where /proc, /sys, /etc, /run and /dev of the machine are. `wall` is seconds since 1970,
    `installation` the tree that the program runs from.

    `status`, `peers` and `card` are the daemon's, None and empty where none answers; `unreachable` says why.
    """

    state: Path
    root: Path = Path("/")
    wall: Callable[[], float] = time.time
    installation: Path = field(default_factory=installation)
    config: Config | None = None
    status: StatusReport | None = None
    peers: tuple[PeerReport, ...] = ()
    card: CardReport | None = None
    unreachable: KosError | None = None

    async def ask(self) -> None:
        """Read the configuration, and ask the daemon."""
        try:
            self.config = load_config(StateDir(self.state).config_file)
        except KosError:
            self.config = None  # the check of the configuration says what is wrong with it
        client = Client(StateDir(self.state).control_socket)
        try:
            self.status = await client.status()
            self.peers = tuple(await client.peers())
            self.card = (await client.forecast())["card"]
        except KosError as error:
            self.unreachable = error

    @property
    def settings(self) -> Config:
        """The configuration, or the defaults where it cannot be read."""
        return self.config or Config()

    def text(self, path: str) -> str | None:
        """A small file of the machine; None where it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace")
        except OSError:
            return None
