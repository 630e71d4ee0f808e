"""One agent that hangs, blocks or breaks disturbs no other. Here with real threads, and no sleeping."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from kos_edge import Agent, Reading
from kos_edge.agents.host import Host
from kos_edge.agents.watchdog import Watchdog
from kos_edge.agents.worker import ThreadWorker
from kos_edge.clock import ManualClock
from kos_edge.errors import Invalid, Misuse, Unavailable
from kos_edge.klp.body import Data
from kos_edge.testing import Network


async def test_an_agent_that_hangs_is_shown_as_stuck_and_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "kos_edge.agents")
    clock = ManualClock()
    network = Network(clock)
    bus = network.bus("n")
    hanging, healthy = Agent("hanging"), Agent("healthy")
    hangs, release, heard = threading.Event(), threading.Event(), asyncio.Event()

    @hanging.sensor(".x", every="1h")
    def never_returns() -> float:
        hangs.set()
        release.wait(10)
        return 1.0

    @hanging.command("hanging.reset")
    def reset() -> None: ...

    @healthy.on("ping")
    def pong(reading: Reading) -> None:
        healthy.sync.publish(".pong", reading.value)

    @healthy.on(".pong")
    async def hear() -> None:
        heard.set()

    host = Host(bus, [hanging, healthy])
    await host.start()
    try:
        await asyncio.to_thread(hangs.wait, 5)
        clock.advance(31)
        await bus.publish("ping", Data(5))
        await asyncio.wait_for(heard.wait(), 5)
        for runtime in host._runtimes.values():
            runtime.look()
            runtime.look()
        status = host.status()
        assert status["hanging"].state == "stuck"
        assert status["hanging"].reason == "never_returns has not returned for 30 s or more"
        assert status["hanging"].functions[0].running_s == 31
        assert status["healthy"].state == "running"
        with pytest.raises(Unavailable, match="never_returns has not returned"):
            await host.call("hanging.reset", {})
    finally:
        release.set()
        await host.close()
        await network.close()
    assert [record.message for record in caplog.records if "stuck" in record.message] == [
        "stuck: never_returns has not returned for 30 s or more"
    ]


async def test_a_thread_that_never_ends_does_not_keep_its_host_from_closing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kos_edge.agents.runtime.STOP_WITHIN", 0.01)
    network = Network(ManualClock())
    agent, hangs, release = Agent("a"), threading.Event(), threading.Event()

    @agent.sensor(".x", every="1h")
    def never_returns() -> None:
        hangs.set()
        release.wait(100)

    @agent.command("x", safe=False)
    def x(on: bool) -> None: ...

    host = Host(network.bus("n"), [agent])
    await host.start()
    assert await asyncio.to_thread(hangs.wait, 50)
    await host.close()
    release.set()
    assert "NOT made safe and closed: never_returns does not return" in caplog.text


async def test_the_watchdog_names_the_agent_that_blocks_the_event_loop() -> None:
    blamed: list[tuple[str, str]] = []
    watchdog = Watchdog(asyncio.get_running_loop(), lambda task, place: blamed.append((task, place)))
    entered, seen = threading.Event(), threading.Event()

    def look() -> None:
        entered.wait(5)
        watchdog.look(patience=0.0)
        seen.set()

    thread = threading.Thread(target=look)

    async def blocks_the_loop() -> None:
        thread.start()
        entered.set()
        seen.wait(5)

    await asyncio.create_task(blocks_the_loop(), name="agent greenhouse: read")
    thread.join()
    ((task, place),) = blamed
    assert task == "agent greenhouse: read"
    assert " in " in place
    assert await asyncio.to_thread(watchdog.look, 5.0)


async def test_blame_is_counted_for_the_agent_and_told(caplog: pytest.LogCaptureFixture) -> None:
    network = Network(ManualClock())
    host = Host(network.bus("n"), [Agent("greenhouse")])
    await host.start()
    host._blame("agent greenhouse: read", "greenhouse.py:7 in read")
    host._blame("something else", "node.py:3 in work")
    assert host.status()["greenhouse"].blocked_loop == 1
    await host.close()
    assert "agent greenhouse blocks the event loop in read, at greenhouse.py:7 in read" in caplog.text
    assert "the event loop is blocked at node.py:3 in work" in caplog.text


async def test_a_worker_runs_in_order_and_gives_results_and_errors() -> None:
    worker = ThreadWorker("a", ManualClock())
    order: list[int] = []

    def number(n: int) -> Callable[[], int]:
        def job() -> int:
            order.append(n)
            return n

        return job

    results = await asyncio.gather(*(worker.run("x", number(n)) for n in range(20)))
    assert results == order == list(range(20))
    with pytest.raises(ZeroDivisionError):
        await worker.run("x", lambda: 1 / 0)
    assert worker.busy() is None
    assert await worker.close(5)
    with pytest.raises(Misuse):
        await worker.run("x", lambda: 1)


async def test_a_cancelled_function_that_has_not_begun_is_not_run() -> None:
    worker = ThreadWorker("a", ManualClock())
    release, ran = threading.Event(), []
    first = asyncio.create_task(worker.run("first", lambda: release.wait(5)))
    second = asyncio.create_task(worker.run("second", lambda: ran.append(1)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    release.set()
    await first
    assert await worker.close(5)
    assert ran == []


async def test_an_ordinary_function_that_publishes_without_sync_is_told_how() -> None:
    network = Network(ManualClock())
    bus, agent, errors, done = network.bus("n"), Agent("a"), [], asyncio.Event()
    loop = asyncio.get_running_loop()

    @agent.sensor(".x", every="1h")
    def read() -> None:
        try:
            agent.publish(".y", 1)
        except Misuse as error:
            errors.append(error.hint)
        loop.call_soon_threadsafe(done.set)

    host = Host(bus, [agent])
    await host.start()
    await asyncio.wait_for(done.wait(), 5)
    await host.close()
    assert errors == ["in this one, use agent.sync.publish"]


async def test_two_agents_of_one_name_and_one_agent_twice_are_refused() -> None:
    network, agent = Network(ManualClock()), Agent("a")
    host = Host(network.bus("n"), [agent])
    await host.start()
    with pytest.raises(Invalid, match="two agents are called a"):
        await host.add(Agent("a"))
    with pytest.raises(Misuse, match="agent a is running already"):
        await Host(network.bus("other"), [agent]).start()
    with pytest.raises(Invalid, match="no agent is called b"):
        await host.remove("b")
    await host.remove("a")
    await host.add(agent)
    assert host.status()["a"].state == "running"
    await host.close()
