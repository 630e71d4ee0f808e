"""A command line as a person has it, before a small node behind a real control socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kos_edge.cli.entry import run
from kos_edge.control.server import ControlServer
from kos_edge.klp.identity import KeyPair
from kos_edge.node.keyfile import write_key
from tests.control.node import SmallNode


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A command syncs files in its own loop, in which nobody else waits; daemons have theirs in another thread."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.may_block("the loop of a command serves nobody else"))


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


class CommandLine:
    """Runs commands on one state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def __call__(self, *words: str, stdin: str | bytes = "") -> Done:
        return self.plain("--state", str(self.state), *words, stdin=stdin)

    def plain(self, *words: str, stdin: str | bytes = "") -> Done:
        with CliRunner().isolation(input=stdin) as (out, err, _):
            code = run(words)
            return Done(code, out.getvalue().decode(), err.getvalue().decode())


@dataclass(frozen=True)
class Daemon:
    """A small node that is served, and the loop it lives in."""

    node: SmallNode
    loop: asyncio.AbstractEventLoop

    def deliver(self, topic: str, body: Any) -> None:
        self.loop.call_soon_threadsafe(self.node.deliver, topic, body)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a key in it and no daemon."""
    write_key(tmp_path / "node.key", KeyPair.from_seed(bytes(32)))
    return tmp_path


@pytest.fixture
def kos_edge(state: Path) -> CommandLine:
    return CommandLine(state)


@pytest.fixture
def daemon(state: Path) -> Iterator[Daemon]:
    """A small node served on the state, in a thread of its own as a daemon is a process of its own."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    over = asyncio.Event()
    node = SmallNode()

    async def serve() -> None:
        server = ControlServer(state / "control.sock", node)
        await server.start()
        ready.set()
        await over.wait()
        await server.close()

    def live() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=live)
    thread.start()
    assert ready.wait(10)
    yield Daemon(node, loop)
    loop.call_soon_threadsafe(over.set)
    thread.join(10)
