"""Heartbeats as a hub hears them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kos_edge.cli.fleet import badness, fleet_text
from kos_edge.control.reports import PeerReport
from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.body import Data
from kos_edge.monitor import beat as beats
from kos_edge.monitor.beat import Beat
from kos_edge.monitor.fleet import FIRST_S, Change, Fleet, State
from kos_edge.monitor.vitals import Machine
from tests.vectors.generate_health import FILE, vectors

BEAT = Beat(
    "1.2.3", 60, 3_600, cpu=0.25, memory=0.5, disk=0.125, temperature_c=48.5, queue_messages=7, errors=2
)
KID = b"k" * 16


def test_a_beat_comes_through_as_it_was() -> None:
    assert beats.read(BEAT.payload()) == BEAT
    least = Beat("", 1, 0)
    assert beats.read(least.payload()) == least


def test_a_beat_is_small() -> None:
    assert len(str(BEAT.payload().to_wire())) < 200


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_vectors_say_what_is_a_beat(vector: dict[str, Any]) -> None:
    payload = Data(cbor.decode(bytes.fromhex(vector["hex"])), beats.SCHEMA)
    if vector["valid"]:
        assert beats.read(beats.read(payload).payload()) == beats.read(payload)
    else:
        with pytest.raises(Invalid):
            beats.read(payload)


def test_the_vectors_are_those_that_are_kept() -> None:
    assert json.loads(FILE.read_text()) == vectors()


@pytest.mark.parametrize(
    "payload", [Data(1), Data({}, "other"), Data([], beats.SCHEMA), Data({}, beats.SCHEMA)]
)
def test_other_data_on_the_topic_is_no_beat(payload: Data) -> None:
    with pytest.raises(Invalid):
        beats.read(payload)


def test_a_member_is_ok_then_late_then_silent_and_then_back() -> None:
    fleet = Fleet(0.0)
    fleet.hear(KID, BEAT, 100.0)
    states = [fleet.standing(KID, 100.0 + after).state for after in (0, 89, 91, 179, 181)]
    assert states == [State.OK, State.OK, State.LATE, State.LATE, State.SILENT]
    assert fleet.standing(KID, 400.0).reason == "5 beats are missing"
    assert fleet.look({KID: True}, 170.0) == Change((), ())
    assert fleet.look({KID: True}, 300.0) == Change((KID,), ())
    assert fleet.look({KID: True}, 360.0) == Change((), ())
    fleet.hear(KID, BEAT, 361.0)
    assert fleet.look({KID: True}, 362.0) == Change((), (KID,))
    assert fleet.silences == 1


def test_one_that_was_never_heard_is_silent_only_where_it_is_expected_and_after_a_while() -> None:
    fleet = Fleet(0.0)
    assert fleet.standing(KID, FIRST_S).state is State.UNKNOWN
    assert fleet.standing(KID, FIRST_S + 1).state is State.SILENT
    assert fleet.standing(KID, FIRST_S + 1, expected=False).state is State.UNKNOWN


def test_whoever_is_no_member_any_more_is_forgotten() -> None:
    fleet = Fleet(0.0)
    for number in range(100):
        fleet.hear(number.to_bytes(16, "big"), BEAT, 1.0)
    fleet.look({(3).to_bytes(16, "big"): True}, 2.0)
    assert len(fleet) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"warnings": 3, "warning": "the clock is not set"}, "the clock is not set (and 2 more)"),
        ({"disk": 0.97}, "its disk is 97% full"),
        ({"queue": 0.81}, "its queue is 81% full"),
        ({"memory": 0.96}, "96% of its memory is used"),
        ({"temperature_c": 84.0}, "it is 84 °C hot"),
    ],
)
def test_what_somebody_should_look_at_is_a_warning_with_the_reason(
    change: dict[str, object], reason: str
) -> None:
    fleet = Fleet(0.0)
    fleet.hear(KID, replace(BEAT, **change), 1.0)  # type: ignore[arg-type]
    standing = fleet.standing(KID, 2.0)
    assert (standing.state, standing.reason) == (State.WARNING, reason)


def test_the_machine_says_how_it_is(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    hot = tmp_path / "sys/class/thermal/thermal_zone1"
    for folder, kind, degrees in ((zone, "cpu-thermal", 48_312), (hot, "gpu", 70_000)):
        folder.mkdir(parents=True)
        (folder / "type").write_text(f"{kind}\n")
        (folder / "temp").write_text(f"{degrees}\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n")
    (tmp_path / "proc/stat").write_text("cpu 100 0 100 700 100 0 0 0 0 0\ncpu0 1 1\n")
    machine = Machine(tmp_path, tmp_path)
    first = machine.look()
    assert (first.cpu, first.memory, first.temperature_c) == (None, 0.75, 48.312)
    assert first.disk is not None
    (tmp_path / "proc/stat").write_text("cpu 150 0 125 725 100 0 0 0 0 0\n")
    assert machine.look().cpu == 0.75


def test_a_machine_that_says_nothing_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu garbage\n")
    vitals = Machine(tmp_path / "gone", tmp_path).look()
    assert (vitals.cpu, vitals.memory, vitals.disk, vitals.temperature_c) == (None, None, None, None)


def peer(name: str, state: str) -> PeerReport:
    return {
        "kid": f"kid:device:{name:0>32}",
        "name": name,
        "role": "edge",
        "standing": "member",
        "connected": True,
        "carrier": "udp",
        "address": "10.0.0.1:5683",
        "round_trip_s": 0.01,
        "last_seen_at": None,
        "found_by": "mdns",
        "expires_at": None,
        "state": state,  # type: ignore[typeddict-item]
        "reason": "3 beats are missing" if state == "silent" else None,
        "health": {
            "heard_s": 12.0,
            "at": None,
            "version": "0.1.0",
            "uptime_s": 60,
            "cpu": 0.071,
            "memory": 0.4,
            "disk": None,
            "temperature_c": 51.2,
            "queue_messages": 1_200,
            "queue_bytes": 60_000,
            "queue": 0.1,
            "errors": 0,
            "warnings": 0,
            "resident_bytes": None,
        },
    }


def test_the_worst_come_first_and_are_counted() -> None:
    states = ("ok", "unknown", "silent", "late", "warning")
    text = fleet_text(sorted((peer(state, state) for state in states), key=badness))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["silent", "warning", "late", "ok", "unknown"]
    assert "12 s ago" in lines[1]
    assert "7%" in lines[1]
    assert "51 °C" in lines[1]
    assert "1,200, 60 kB" in lines[1]
    assert lines[1].endswith("3 beats are missing")
    assert lines[-1] == "1 silent, 1 warning, 1 late, 1 ok, 1 unknown"


def test_a_thousand_members_are_shown_at_once() -> None:
    many = [peer(f"edge-{number}", "ok") for number in range(1_000)]
    began = time.perf_counter()
    assert len(fleet_text(sorted(many, key=badness)).splitlines()) == 1_003
    assert time.perf_counter() - began < 0.5
