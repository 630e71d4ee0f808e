"""Every alert rule by Prometheus' own judge: it fires for its trouble, and for nothing that is well."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.watching

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
RULES = FOLDER / "rules.yml"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())

LABELS = 'instance="shed:9464",job="kos-edge"'

Series = dict[str, str]
"""Values over time by name and labels, in promtool's notation: start+step x times."""

WELL: Series = {
    "up": "1x480",
    "kos_edge_healthy": "1x480",
    "kos_edge_offline_seconds": "0+60x50 0x430",
    "kos_edge_queue_full_in_seconds": "1000000-60x480",
    "kos_edge_queue_fullness_ratio": "0.79x480",
    'kos_edge_messages_gone_total{reason="dropped"}': "7x480",
    'kos_edge_messages_gone_total{reason="expired"}': "0x480",
    "kos_edge_messages_refused_total": "7x480",
    "kos_edge_dead_letters": "0x480",
    'kos_edge_info{version="1"}': "1x480",
    "kos_edge_clock_uncertainty_seconds": "1x480",
    'kos_edge_member{state="member"}': "1x480",
    'kos_edge_handshakes_total{outcome="failed"}': "0+1x480",
    "kos_edge_uptime_seconds": "0+60x200 0+60x279",
    'kos_edge_agent_running{agent="bridge"}': "1x100 0x2 1x378",
    'kos_edge_agent_errors_total{agent="bridge"}': "0x100 1x380",
    'kos_edge_card_life_seconds{device="mmcblk0"}': "100000000x480",
    'kos_edge_card_used_ratio{device="mmcblk0"}': "0.8x480",
    "process_resident_memory_bytes": "53000000x480",
    'kos_edge_fleet_members{state="silent"}': "0x480",
    'kos_edge_fleet_members{state="ok"}': "10x480",
    'kos_edge_fleet_temperature_celsius{member="pump"}': "79x480",
    'kos_edge_fleet_disk_ratio{member="pump"}': "0.89x480",
}

TROUBLE: dict[str, Series] = {
    "KosEdgeDown": {"up": "1x400 0x80"},
    "KosEdgeUnhealthy": {"kos_edge_healthy": "1x400 0x80"},
    "KosEdgeOffline": {"kos_edge_offline_seconds": "0+60x480"},
    "KosEdgeQueueFullSoon": {"kos_edge_queue_full_in_seconds": "100000-60x480"},
    "KosEdgeQueueNearlyFull": {"kos_edge_queue_fullness_ratio": "0+0.002x480"},
    "KosEdgeMessagesGone": {'kos_edge_messages_gone_total{reason="dropped"}': "7x450 8x30"},
    "KosEdgeMessagesRefused": {"kos_edge_messages_refused_total": "7x450 8x30"},
    "KosEdgeDeadLetters": {"kos_edge_dead_letters": "0x400 1x80"},
    "KosEdgeClockNotSet": {"kos_edge_clock_uncertainty_seconds": "_x480"},
    "KosEdgeNoMember": {
        'kos_edge_member{state="member"}': "_x480",
        'kos_edge_member{state="revoked"}': "1x480",
    },
    "KosEdgeHandshakesFail": {'kos_edge_handshakes_total{outcome="failed"}': "0+5x480"},
    "KosEdgeStartsAgainAndAgain": {"kos_edge_uptime_seconds": "0+60x420 " + "0+60x9 " * 6},
    "KosEdgeAgentDown": {'kos_edge_agent_running{agent="bridge"}': "1x400 0x80"},
    "KosEdgeAgentErrors": {'kos_edge_agent_errors_total{agent="bridge"}': "0+1x480"},
    "KosEdgeCardWornSoon": {'kos_edge_card_life_seconds{device="mmcblk0"}': "1000000x480"},
    "KosEdgeMemoryGrows": {"process_resident_memory_bytes": "53000000+1000000x480"},
    "KosEdgeMembersSilent": {'kos_edge_fleet_members{state="silent"}': "0x400 1x80"},
    "KosEdgeManyMembersSilent": {'kos_edge_fleet_members{state="silent"}': "0x400 9x80"},
    "KosEdgeMemberHot": {'kos_edge_fleet_temperature_celsius{member="pump"}': "81x480"},
    "KosEdgeMemberDiskFull": {'kos_edge_fleet_disk_ratio{member="pump"}': "0.91x480"},
}

ALONG = {"KosEdgeManyMembersSilent": {"KosEdgeMembersSilent"}}
"""What fires beside it, for it is the same trouble in a larger measure."""


def named(series: str) -> str:
    name, _, labels = series.partition("{")
    return f"{name}{{{LABELS}{',' + labels.rstrip('}') if labels else ''}}}"


def judged(folder: Path, firing: set[str], trouble: Series) -> None:
    """Raises where after eight hours anything else fires."""
    shutil.copy(RULES, folder)
    wanted: list[dict[str, Any]] = [
        {
            "expr": "count by (alertname) (ALERTS{alertstate='firing'})",
            "eval_time": "8h",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(firing)],
        }
    ]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": named(series), "values": values}
                    for series, values in {**WELL, **trouble}.items()
                ],
                "promql_expr_test": wanted,
            }
        ],
    }
    (folder / "test.yml").write_text(json.dumps(test))  # JSON is YAML
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_and_the_configuration_are_sound(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "monitoring")
    for words in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        done = subprocess.run(
            ["promtool", "check", *words],
            cwd=tmp_path / "monitoring",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_fires_for_a_node_that_is_well(tmp_path: Path) -> None:
    judged(tmp_path, set(), {})


def test_every_rule_has_its_trouble() -> None:
    assert list(TROUBLE) == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
def test_it_fires_for_its_trouble_and_nothing_else_does(tmp_path: Path, alert: str) -> None:
    judged(tmp_path, {alert} | ALONG.get(alert, set()), TROUBLE[alert])
