from __future__ import annotations

import asyncio
import threading
import time

from tests import loopwatch


def measured(work: object) -> loopwatch.Held:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(work)  # type: ignore[arg-type]
        await asyncio.sleep(0)

    with loopwatch.measure() as held:
        asyncio.run(main())
    return held


def nap() -> None:
    threading.Event().wait(loopwatch.LIMIT * 1.2)


def spin() -> None:
    end = time.thread_time() + loopwatch.LIMIT * 1.2
    while time.thread_time() < end:
        pass


def test_waiting_in_a_callback_is_found_and_named() -> None:
    held = measured(nap)
    assert held.longest > loopwatch.LIMIT
    assert "nap" in held.report()


def test_computing_in_a_callback_is_found() -> None:
    assert measured(spin).longest > loopwatch.LIMIT


def test_waiting_in_a_thread_is_fine() -> None:
    async def main() -> None:
        await asyncio.to_thread(nap)

    with loopwatch.measure() as held:
        asyncio.run(main())
    assert held.longest == 0
