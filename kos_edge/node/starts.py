"""What is known of a node's starts beside their steps: the file that remembers them, and this machine's boot."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass
from pathlib import Path

from kos_edge import __version__
from kos_edge.agents.agent import Agent
from kos_edge.bootstrap.chronicle import from_bytes, to_bytes
from kos_edge.bootstrap.sequence import Chronicle, Ending, Mode, Outcome, Sequence, Step, begin
from kos_edge.errors import Invalid, KosError
from kos_edge.node.config import BadConfiguration, Config, shown_config
from kos_edge.node.durable_file import StateFile
from kos_edge.node.statedir import StateDir
from kos_edge.said import Said

CHRONICLE_NAME = "bootstrap"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What a daemon brings to its start; a node inside another program brings nothing.

    `load` imports the agents' files (raises KosError), which `agents` names; `settings` stands for configuration and
    those files, `root` is the installation to be compared with its manifest, `counts` says whether failed starts lead
    to safe mode, and `kept` whether the chronicle is a file.
    """

    load: Callable[[], Items[Agent]] = tuple
    settings: bytes = b""
    mode: Mode | None = None
    root: Path | None = None
    counts: bool = False
    kept: bool = False
    boot: str = ""
    agents: tuple[Path, ...] = ()

    def agents_outside(self) -> list[Path]:
        """The agents' files that lie outside of the installation, so that its manifest says nothing of them."""
        root = self.root
        return [file for file in self.agents if root is None or not file.resolve().is_relative_to(root)]


class ChronicleFile:
    """The chronicle in a state directory, with the generation before."""

    def __init__(self, state: Path) -> None:
        self._file = StateFile(state / CHRONICLE_NAME, from_bytes)
        self._failed = False

    def read(self) -> Chronicle:
        """What it says; of one that is damaged, nothing: then a failed start more is borne."""
        try:
            found = self._file.read()
        except Invalid as error:
            log.warning("%s: earlier starts are forgotten", error.message, extra=Said.FILE_DAMAGED.of())
            return Chronicle()
        if found is None:
            return Chronicle()
        if found.trouble is not None:
            log.warning("%s: the one before is used", found.trouble, extra=Said.FILE_DAMAGED.of())
        return found.value

    def write(self, chronicle: Chronicle) -> None:
        """Remember it; a disk that takes nothing stops no start."""
        try:
            self._file.write(to_bytes(chronicle))
        except KosError as error:
            log.log(
                logging.DEBUG if self._failed else logging.WARNING,
                "%s",
                error.message,
                extra=Said.NOT_KEPT.of(),
            )
            self._failed = True


def boot_id(environment: Mapping[str, str] = os.environ, proc: Path = Path("/proc")) -> str:
    """What differs from one boot to the next, of this machine and of the container that this may be in; "" if unknown.

    A container has its host's boot id, so the service manager's socket, made when that one started, counts as well.
    """
    boot = ""
    with contextlib.suppress(OSError):
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    address = environment.get("NOTIFY_SOCKET", "")
    if boot and address.startswith("/"):
        with contextlib.suppress(OSError):
            boot += f" {os.stat(address).st_ctime_ns}"
    return boot


def fingerprint(config: Config, files: Iterable[Path]) -> bytes:
    """What stands for this configuration and the content of these files: another one when a person mends something."""
    total = hashlib.sha256(json.dumps(shown_config(config), sort_keys=True).encode())
    for file in files:
        try:
            total.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            total.update(f"{file}: {error.strerror}".encode())
    return total.digest()


def fails_again(home: StateDir, start: Start, error: BadConfiguration) -> bool:
    """Remember a start that failed at its configuration, unless safe mode is due, which does without: True then."""
    with home.lock():
        file = ChronicleFile(home.path)
        before = file.read()
        after = begin(
            before, version=__version__, settings=start.settings, boot=start.boot, at=0, counts=start.counts
        )
        sequence = Sequence(after, file.write)
        if sequence.mode is not Mode.DEFAULT:
            return True
        for step in (Step.INTEGRITY, Step.CONFIGURATION):
            sequence.begin(step, 0.0)
            if step is Step.INTEGRITY:
                sequence.finish(step, 0.0, Outcome.SKIPPED, "nobody knows whether it is wanted")
        sequence.finish(Step.CONFIGURATION, 0.0, Outcome.FAILED, error.message, error.hint or "")
        sequence.end(Ending.ERROR, error.message)
    return False
