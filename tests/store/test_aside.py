"""Work beside the loop: in order, told together, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from kos_edge.errors import Invalid, Unavailable
from kos_edge.store.aside import Aside


def test_work_is_done_in_order_and_the_loop_is_woken_for_what_is_done_together() -> None:
    async def main() -> None:
        aside, loop = Aside("test-aside"), asyncio.get_running_loop()
        begun: list[int] = []
        gate = threading.Event()
        woken = 0
        wake = loop.call_soon_threadsafe

        def counted(*args: object, **options: object) -> asyncio.Handle:
            nonlocal woken
            woken += 1
            return wake(*args, **options)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]

        def number(count: int) -> Callable[[], int]:
            def work() -> int:
                gate.wait()
                begun.append(count)
                return count

            return work

        tasks = [asyncio.create_task(aside.run(number(count))) for count in range(50)]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*tasks) == begun == list(range(50))
        assert woken < 25
        aside.close()

    asyncio.run(main())


def test_what_work_raises_is_for_its_caller_and_the_next_is_done() -> None:
    async def main() -> None:
        aside = Aside("test-aside")

        def wrong() -> None:
            raise Invalid("no pack")

        with pytest.raises(Invalid, match="no pack"):
            await aside.run(wrong)
        assert await aside.run(lambda: 7) == 7
        aside.close()
        with pytest.raises(Unavailable):
            await aside.run(lambda: 7)

    asyncio.run(main())


def test_who_waits_when_it_closes_is_cancelled() -> None:
    async def main() -> None:
        aside, gate = Aside("test-aside"), threading.Event()
        began = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> bool:
            loop.call_soon_threadsafe(began.set)
            return gate.wait()

        running = asyncio.create_task(aside.run(work))
        await began.wait()
        waiting = asyncio.create_task(aside.run(lambda: 7))
        await asyncio.sleep(0)
        aside.close()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await running is True

    asyncio.run(main())
