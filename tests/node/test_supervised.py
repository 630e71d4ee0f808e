"""Word to systemd: that we are ready, and signs of life only while there is life."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kos_edge.errors import Unavailable
from kos_edge.node.supervised import FEEDS, ServiceManager
from kos_edge.testing import in_virtual_time

SECOND = 1_000_000


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(ear: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(ear.recv(4_096).decode())
        except BlockingIOError:
            return said


def manager(tmp_path: Path, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), **more})


def test_it_hears_what_is_said(tmp_path: Path, ear: socket.socket) -> None:
    manager(tmp_path).say("READY=1", "STATUS=shed (edge)")
    assert heard(ear) == ["READY=1\nSTATUS=shed (edge)"]


def test_a_name_in_the_abstract_space_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"kos-edge-test-{os.getpid()}"
        listening.bind(f"\0{name}")
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).say("READY=1")
        assert listening.recv(64) == b"READY=1"


def test_without_one_nothing_is_said_and_one_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    ServiceManager({}).say("READY=1")
    manager(tmp_path).say("READY=1")
    assert ServiceManager({"WATCHDOG_USEC": "5"}).watchdog_s is None


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("60000000", "", 60.0),
        ("60000000", "ours", 60.0),
        ("60000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("x", "", None),
    ],
)
def test_the_watchdog_is_read_as_systemd_means_it(
    tmp_path: Path, usec: str, pid: str, seconds: float | None
) -> None:
    told = pid.replace("ours", str(os.getpid()))
    assert manager(tmp_path, WATCHDOG_USEC=usec, WATCHDOG_PID=told).watchdog_s == seconds


def test_it_is_fed_while_there_is_life_and_not_while_there_is_none(
    tmp_path: Path, ear: socket.socket
) -> None:
    hangs = False

    async def alive() -> None:
        if hangs:
            await asyncio.Event().wait()

    @in_virtual_time
    async def story() -> None:
        nonlocal hangs
        feeding = asyncio.create_task(manager(tmp_path, WATCHDOG_USEC=str(60 * SECOND)).feed(alive))
        for _ in range(5):
            await asyncio.sleep(60)
            assert len(heard(ear)) == pytest.approx(FEEDS, abs=1)
        hangs = True
        await asyncio.sleep(300)
        assert heard(ear) == []
        hangs = False
        await asyncio.sleep(60)
        assert set(heard(ear)) == {"WATCHDOG=1"}
        feeding.cancel()

    story()


def test_an_error_is_no_sign_of_life(tmp_path: Path, ear: socket.socket) -> None:
    async def broken() -> None:
        raise Unavailable("the store is closed")

    @in_virtual_time
    async def story() -> None:
        feeding = asyncio.create_task(manager(tmp_path, WATCHDOG_USEC=str(SECOND)).feed(broken))
        await asyncio.sleep(10)
        feeding.cancel()

    story()
    assert heard(ear) == []
