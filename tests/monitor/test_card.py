"""The device under a state, and how long it will live."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kos_edge.clock import ManualClock
from kos_edge.monitor.card import card_of, card_under
from kos_edge.monitor.wear import DAY_S, KEPT, Rate, Wear, Written, left_s, since_start
from kos_edge.node.wearing import Wearing

STAT = "100 0 800 10 50 0 {sectors} 10 0 20 20 0 0 0 0 0 0"


def machine(root: Path, number: str, *, kind: str = "SD", sectors: int = 2_000_000, **device: str) -> Path:
    """A card with one partition, which has this number."""
    disk = root / "sys/devices/platform/mmc0/block/mmcblk0"
    partition = disk / "mmcblk0p2"
    (disk / "device").mkdir(parents=True)
    partition.mkdir()
    (partition / "partition").write_text("2")
    (partition / "stat").write_text("1 1 1 1 1 1 1 1")
    (disk / "size").write_text("62500000\n")
    (disk / "stat").write_text(STAT.format(sectors=sectors))
    for name, text in {"type": kind, **device}.items():
        (disk / "device" / name).write_text(text + "\n")
    for folder in ("sys/dev/block", "sys/class/block"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "sys/dev/block" / number).symlink_to(partition)
    (root / "sys/class/block/mmcblk0p2").symlink_to(partition)
    return disk


def test_a_partition_is_judged_by_its_card(tmp_path: Path) -> None:
    machine(tmp_path, "179:2")
    card = card_of("179:2", tmp_path)
    assert card is not None
    assert (card.name, card.kind, card.size_bytes, card.used) == ("mmcblk0", "SD", 32_000_000_000, None)
    assert card.written_bytes() == 2_000_000 * 512


def test_an_emmc_says_how_worn_it_is_and_the_worse_of_two_counts(tmp_path: Path) -> None:
    machine(tmp_path, "179:2", kind="MMC", life_time="0x02 0x04", pre_eol_info="0x02")
    card = card_of("179:2", tmp_path)
    assert card is not None
    assert (card.kind, card.used, card.failing) == ("eMMC", 0.4, "80 % of its spare blocks are used")


@pytest.mark.parametrize("text", ["", "0x", "garbage", "0x00 0x00", "0xzz"])
def test_an_emmc_that_says_nothing_sensible_says_nothing(tmp_path: Path, text: str) -> None:
    machine(tmp_path, "179:2", kind="MMC", life_time=text)
    card = card_of("179:2", tmp_path)
    assert card is not None
    assert card.used is None


def test_a_file_system_with_a_number_of_its_own_is_found_by_what_it_is_mounted_from(tmp_path: Path) -> None:
    machine(tmp_path, "179:2")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(
        "30 1 0:45 / /var rw,noatime shared:5 - btrfs /dev/mmcblk0p2 rw\n31 1 0:46 / /tmp rw - tmpfs tmpfs rw\n"
    )
    found = card_of("0:45", tmp_path)
    assert found is not None
    assert found.name == "mmcblk0"
    assert card_of("0:46", tmp_path) is None
    assert card_of("9:9", tmp_path) is None


def test_this_machine_is_no_trouble(tmp_path: Path) -> None:
    card = card_under(tmp_path)
    assert card is None or card.size_bytes > 0
    assert card_under(tmp_path / "nowhere") is None


def test_the_rate_is_that_of_the_last_day(tmp_path: Path) -> None:
    wear, mb = Wear(), 1_000_000
    assert wear.rate(Written(0.0, 0, 0)) is None
    for minute in range(3 * 1_440 + 1):
        busy = max(0, minute - 2 * 1_440)
        wear.sample(Written(minute * 60.0, mb * (minute + 9 * busy), mb * minute))
    now = Written(3 * DAY_S, mb * (3 * 1_440 + 9 * 1_440), mb * 3 * 1_440)
    rate = wear.rate(now)
    assert rate is not None
    assert rate.measured_s <= DAY_S
    assert rate.device == pytest.approx(14_400 * mb)
    assert rate.own == pytest.approx(1_440 * mb)
    assert len(wear._samples) == KEPT


def test_nothing_is_said_of_a_rate_over_less_than_ten_minutes() -> None:
    wear = Wear()
    wear.sample(Written(0.0, 0, None))
    assert wear.rate(Written(599.0, 10**9, None)) is None
    assert wear.rate(Written(600.0, 10**9, None)) == Rate(10**9 * 144.0, None, 600.0)
    assert since_start(10**9, 599.0) is None
    assert since_start(10**9, None) is None


def test_a_device_that_counts_anew_is_measured_anew() -> None:
    wear = Wear()
    wear.sample(Written(0.0, 10**9, 0))
    assert wear.rate(Written(1_000.0, 5, 0)) is None
    wear.sample(Written(1_000.0, 5, 0))
    assert wear.rate(Written(2_000.0, 5, 0)) == Rate(0.0, 0.0, 1_000.0)


def test_what_is_used_is_taken_off_and_a_device_to_which_nothing_is_written_lives_on() -> None:
    assert left_s(10**12, None, Rate(10**9, None, 1.0)) == pytest.approx(1_000 * DAY_S)
    assert left_s(10**12, 0.4, Rate(10**9, None, 1.0)) == pytest.approx(600 * DAY_S)
    assert left_s(10**12, None, Rate(0.0, None, 1.0)) is None


def number_of(path: Path) -> str:
    device = os.stat(path).st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def test_a_node_says_what_it_assumes_and_believes_the_configuration_more(tmp_path: Path) -> None:
    root = tmp_path / "root"
    disk = machine(root, number_of(tmp_path))
    (root / "proc").mkdir()
    (root / "proc/uptime").write_text("86400.00 1.0\n")
    clock = ManualClock()
    wearing = Wearing(tmp_path, clock, None, root)
    first = wearing.report()
    assert first is not None
    assert first["endurance_from"] == "100 times its size"
    assert first["bytes_a_day"] == pytest.approx(2_000_000 * 512)
    wearing.sample()
    clock.advance(3_600)
    (disk / "stat").write_text(STAT.format(sectors=4_000_000))
    later = Wearing(tmp_path, clock, 20 * 10**12, root)
    assert later.report()["endurance_from"] == "[monitor] card-endurance"  # type: ignore[index]
    report = wearing.report()
    assert report is not None
    assert report["measured_s"] == 3_600
    assert report["bytes_a_day"] == pytest.approx(2_000_000 * 512 * 24)
    assert report["left_s"] == pytest.approx(3.2e12 / (2_000_000 * 512 * 24) * DAY_S)


def test_of_a_disk_nothing_is_assumed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    disk = root / "sys/devices/sda"
    disk.mkdir(parents=True)
    (disk / "size").write_text("1000")
    (disk / "stat").write_text(STAT.format(sectors=1))
    (root / "sys/dev/block").mkdir(parents=True)
    (root / "sys/dev/block" / number_of(tmp_path)).symlink_to(disk)
    report = Wearing(tmp_path, ManualClock(), None, root).report()
    assert report is not None
    assert report["left_s"] is None
    assert "[monitor] card-endurance" in report["why"]
