"""What a node does in each step of its start (`bootstrap.sequence`), and its life after that.

Where a step fails, the start ends with its error, but for what a node can do without: changed files are said, and keep
agents from starting where the configuration is strict; a network that is not there yet, and a hub that is not reached,
are waited for while local work goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from kos_edge import __version__
from kos_edge.bootstrap.manifest import Report
from kos_edge.bootstrap.sequence import (
    STAY_S,
    Chronicle,
    Ending,
    Mark,
    Mode,
    Outcome,
    Sequence,
    Step,
    Wish,
    begin,
)
from kos_edge.discovery.interfaces import chosen, present
from kos_edge.errors import KosError
from kos_edge.node.installed import OURS, NotSealed, anchors, examine
from kos_edge.node.keyfile import find_key
from kos_edge.node.registering import Registering
from kos_edge.node.starts import ChronicleFile, Start
from kos_edge.said import Said

if TYPE_CHECKING:
    from kos_edge.node.node import Node

LOOK_S = 5.0
"""How often what waits (a network, a hub) is looked at, until it has come out."""
NO_QUOTE = "attestation skipped: no TPM quote yet"

OnReady = Callable[[], Awaitable[None]]

log = logging.getLogger(__name__)


class Told:
    """What one step says of itself."""

    def __init__(self) -> None:
        self.mark = Mark(Outcome.DONE)

    def __call__(self, outcome: Outcome, said: str, mend: str = "") -> None:
        self.mark = Mark(outcome, 0.0, said, mend)


class Startup:
    """One life of a node, from its first step to its end."""

    def __init__(self, node: Node, start: Start) -> None:
        self._node = node
        self._start = start
        self._file = ChronicleFile(node.state.path) if start.kept else None
        self.registering = Registering(node)
        self.sequence: Sequence | None = None
        self.again = False
        """Whether this life makes way for another bootstrap."""
        self._comparing: asyncio.Task[None] | None = None

    @property
    def chronicle(self) -> Chronicle:
        """What is remembered of this start and those before."""
        if self.sequence is not None:
            return self.sequence.chronicle
        return ChronicleFile(self._node.state.path).read()

    @property
    def can_begin_again(self) -> bool:
        """Whether whoever runs this node begins another bootstrap when asked: a daemon does."""
        return self._start.kept

    async def compare_now(self) -> Mark | None:
        """Compare the installed files once more; None where this is not wanted."""
        if self._start.root is None or self._node.config.security.signatures == "disabled":
            return None
        return await self._compare(self._start.root)

    async def run(self, on_ready: OnReady | None) -> None:
        """Live until the node is stopped."""
        async with self._node.state.held():
            self.sequence = self._begin()
            try:
                async with contextlib.AsyncExitStack() as stack:
                    await self._prepare(stack)
                    await self._live(on_ready)
            except asyncio.CancelledError:
                self.sequence.end(Ending.ORDERLY)
                raise
            except BaseException as error:
                self.sequence.end(Ending.ERROR, _text(error))
                raise
            finally:
                if self._comparing is not None:
                    self._comparing.cancel()
            self.sequence.end(Ending.AGAIN if self.again else Ending.ORDERLY)

    def wish(self, wish: Wish) -> None:
        """End this life in order, and begin another as is wished. Only for one that is under way."""
        assert self.sequence is not None
        self.sequence.wish(wish)
        self.again = True
        self._node.stop()

    def _begin(self) -> Sequence:
        before = Chronicle() if self._file is None else self._file.read()
        chronicle = begin(
            before,
            version=__version__,
            settings=self._start.settings,
            boot=self._start.boot,
            at=int(self._node.trust_time() or 0),
            counts=self._start.counts,
            mode=self._start.mode,
        )
        sequence = Sequence(chronicle, (lambda chronicle: None) if self._file is None else self._file.write)
        if sequence.attempt.reason:
            log.error(
                "%s. Agents are not started: kos-edge bootstrap status",
                sequence.attempt.reason,
                extra=Said.NO_AGENTS.of(),
            )
        return sequence

    @contextlib.contextmanager
    def _step(self, step: Step) -> Iterator[Told]:
        """One step: what fails it ends the start."""
        sequence, now = self.sequence, self._node.clock.monotonic
        assert sequence is not None
        sequence.begin(step, now())
        said = Told()
        try:
            yield said
        except KosError as error:
            sequence.finish(step, now(), Outcome.FAILED, error.message, error.hint or "")
            raise
        except BaseException as error:
            sequence.finish(step, now(), Outcome.FAILED, _text(error))
            raise
        mark = said.mark
        sequence.finish(step, now(), mark.outcome, mark.said, mark.mend)
        self._tell(step, mark)

    def _tell(self, step: Step, mark: Mark) -> None:
        if not mark.outcome.well:
            log.warning(
                "bootstrap, %s: %s", step.text, mark.said, extra=Said.BOOTSTRAP_FAILED.of(step=step.text)
            )

    def _update(self, step: Step, outcome: Outcome, said: str, mend: str = "") -> None:
        assert self.sequence is not None
        before = self.sequence.mark(step)
        self.sequence.update(step, outcome, said, mend)
        if before is not None and before.outcome is not outcome:
            self._tell(step, Mark(outcome, 0.0, said, mend))

    # -- before there is a life

    async def _prepare(self, stack: contextlib.AsyncExitStack) -> None:
        node, sequence = self._node, self.sequence
        assert sequence is not None
        with self._step(Step.INTEGRITY) as said:
            await self._integrity(said)
        if node.config.security.signatures == "strict" and said.mark.outcome is Outcome.FAILED:
            sequence.fall_back(f"the installed files are not as they were sealed: {said.mark.said}")
            log.error(
                "%s. Agents are not started: [security] signatures is strict",
                sequence.attempt.reason,
                extra=Said.NO_AGENTS.of(),
            )
        with self._step(Step.CONFIGURATION) as said:
            trouble = node.config.trouble
            if trouble is None:
                said(Outcome.DONE, "read, and all of it understood")
            else:
                said(Outcome.DEGRADED, trouble, "kos-edge config check")
        with self._step(Step.IDENTITY) as said:
            await stack.enter_async_context(node.opened())
            who = f"{node.trust.name} ({node.trust.role.text}), {node.trust.words}"
            key = node.key_trouble
            said(Outcome.DONE if key is None else Outcome.DEGRADED, who if key is None else key)
        with self._step(Step.NETWORK) as said:
            await self._network(said)
        with self._step(Step.AGENTS) as said:
            self._agents(said)
        with self._step(Step.KEYS) as said:
            await (
                node.open_epoch()
            )  # not before: where a port is taken or an agent is broken, nothing has changed
            node.vault.check()
            if node.vault.trouble is not None:
                said(Outcome.DEGRADED, f"the vault: {node.vault.trouble}", "kos-edge vault verify")
            else:
                said(Outcome.DONE, "the vault is whole" if node.vault.exists else "there is no vault")

    async def _integrity(self, said: Told) -> None:
        """In a thread. Where the answer changes nothing about the start it comes later: nothing waits for it."""
        root, how = self._start.root, self._node.config.security.signatures
        if root is None:
            said(Outcome.SKIPPED, f"this node runs inside another program; {NO_QUOTE}")
        elif how == "disabled":
            said(Outcome.SKIPPED, f"[security] signatures is disabled; {NO_QUOTE}")
        elif how == "strict":
            said.mark = await self._compare(root)
        else:
            self._comparing = asyncio.create_task(self._compare_later(root))
            said(Outcome.WAITING, "the installed files are being compared with their manifest")

    async def _compare(self, root: Path) -> Mark:
        strict = self._node.config.security.signatures == "strict"
        wrong = Outcome.FAILED if strict else Outcome.DEGRADED
        mend = "install it anew: the package, or sudo kos-edge install"
        try:
            report = await self._examine(root)
        except NotSealed as error:
            if strict or self._was_sealed():
                return Mark(wrong, 0.0, error.message, error.hint or mend)
            return Mark(Outcome.SKIPPED, 0.0, f"{root} is not sealed: kos-edge install does; {NO_QUOTE}")
        except KosError as error:
            return Mark(wrong, 0.0, error.message, error.hint or mend)
        if not report.sound:
            return Mark(wrong, 0.0, f"installed files are not as they were sealed: {report.words()}", mend)
        manifest = report.manifest
        by = f"as installed by {OURS}" if manifest.signer == OURS else f"as sealed by {manifest.signer}"
        said = f"{len(manifest.files):,} files of version {manifest.version} are {by}; {NO_QUOTE}"
        return Mark(Outcome.DONE, 0.0, said)

    async def _compare_later(self, root: Path) -> None:
        mark = await self._compare(root)
        self._update(Step.INTEGRITY, mark.outcome, mark.said, mark.mend)

    async def _examine(self, root: Path) -> Report:
        own = None
        with contextlib.suppress(KosError):  # of a key that cannot be read the step identity says why
            own = find_key(self._node.state.key_file).value.public
        trusted = anchors(self._node.config, own)
        pool = ThreadPoolExecutor(1, "kos-edge: installed files")
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, examine, root, trusted)
        finally:
            pool.shutdown(wait=False)

    def _was_sealed(self) -> bool:
        """Whether an earlier start found a manifest: one that is gone since is no tree that never had any."""
        marks = [each.marks[Step.INTEGRITY] for each in self.chronicle.attempts[:-1]]
        return any(mark is not None and mark.outcome is Outcome.DONE for mark in marks)

    async def _network(self, said: Told) -> None:
        node, mode = self._node, self._mode
        if not mode.has_network:
            said(Outcome.SKIPPED, "minimal mode: nothing listens, and nobody is looked for")
            return
        try:
            await node.endpoint.start()
        except KosError as error:
            if mode is Mode.DEFAULT:
                raise
            said(Outcome.DEGRADED, f"{error.message}: local work only", error.hint or "")
            return
        said.mark = self._reachable()

    def _reachable(self) -> Mark:
        """Whether this machine has an address at all, or a peer."""
        node = self._node
        where = ", ".join(str(address) for address in node.endpoint.bound)
        if node.peers.links:
            return Mark(Outcome.DONE, 0.0, f"{where}; {len(node.peers.links)} peers connected")
        if not node.has_sockets:
            return Mark(Outcome.DONE, 0.0, where)
        links = chosen(present(), node.config.network.interfaces)
        names = [link.name for link in links]
        if not names or (names == ["lo"] and "lo" not in node.config.network.interfaces):
            return Mark(Outcome.WAITING, 0.0, "no interface has an address yet; local work goes on")
        return Mark(Outcome.DONE, 0.0, f"{where} on {', '.join(names)}")

    def _agents(self, said: Told) -> None:
        node = self._node
        if not self._mode.has_agents:
            why = self._attempt_reason() or f"asked for by {self.chronicle.attempts[-1].cause}"
            said(Outcome.SKIPPED, f"recovery mode ({why})")
            return
        node.employ(self._start.load())
        names = [agent.name for agent in node.agents]
        outside = self._start.agents_outside()
        signed = f"; of {', '.join(map(str, outside))} no signature is checked" if outside else ""
        said(Outcome.DONE, f"loaded: {', '.join(names)}{signed}" if names else "none is configured")

    @property
    def _mode(self) -> Mode:
        assert self.sequence is not None
        return self.sequence.mode

    def _attempt_reason(self) -> str:
        assert self.sequence is not None
        return self.sequence.attempt.reason

    # -- life

    async def _live(self, on_ready: OnReady | None) -> None:
        node = self._node
        try:
            async with asyncio.TaskGroup() as group:
                parts = node.parts(network=bool(node.endpoint.bound))
                tasks = [group.create_task(part(), name=f"kos-edge: {part.__qualname__}") for part in parts]
                try:
                    with self._step(Step.REGISTRATION) as said:
                        await self._register(said)
                    with self._step(Step.SERVICES) as said:
                        await self.registering.listen()
                        await node.host.start()
                        if on_ready is not None:
                            await on_ready()
                        said(Outcome.DONE, f"in service, in {self._mode.value} mode")
                    tasks += [group.create_task(self._complete()), group.create_task(self._stay())]
                    await node.stopped()
                finally:
                    await node.host.close()
                    await self.registering.close()
                    await node.publisher.flush()
                    for task in reversed(tasks):
                        task.cancel()
        except BaseExceptionGroup as errors:
            told, rest = errors.split(KosError)
            if told is None or rest is not None:
                raise
            raise told.exceptions[0] from None  # a person's mistake, such as a port that is taken

    async def _register(self, said: Told) -> None:
        if not self._start.kept:
            said(Outcome.SKIPPED, "this node runs inside another program")
        elif not self._mode.has_network:
            said(Outcome.SKIPPED, "minimal mode: nobody is told")
        else:
            said.mark = Mark(Outcome.WAITING, 0.0, "it is said as soon as this node is in service")

    async def _complete(self) -> None:
        """Go on with what waits, until nothing does."""
        assert self.sequence is not None
        while True:
            waiting = [step for step in (Step.NETWORK, Step.REGISTRATION) if self._waits(step)]
            if not waiting:
                return
            if Step.NETWORK in waiting:
                mark = self._reachable()
                self._update(Step.NETWORK, mark.outcome, mark.said)
            if Step.REGISTRATION in waiting:
                try:
                    outcome, text = await self.registering.register(self._mode.value)
                except KosError as error:
                    outcome, text = Outcome.WAITING, error.message
                self._update(Step.REGISTRATION, outcome, text)
            await asyncio.sleep(LOOK_S)

    def _waits(self, step: Step) -> bool:
        assert self.sequence is not None
        mark = self.sequence.mark(step)
        return mark is not None and mark.outcome is Outcome.WAITING

    async def _stay(self) -> None:
        assert self.sequence is not None
        await asyncio.sleep(STAY_S)
        self.sequence.stayed()


def _text(error: BaseException) -> str:
    """One line for whoever looks later."""
    if isinstance(error, KosError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
