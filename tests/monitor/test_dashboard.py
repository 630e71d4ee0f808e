"""The dashboard and the alert rules that come along: they ask for nothing that a node does not say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
RULES = (FOLDER / "rules.yml").read_text()


def figures() -> set[str]:
    """The names of the page, as the document lists them; a test holds that list against the page."""
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", (DOCS / "monitoring.md").read_text(), re.MULTILINE))
    histograms = {f"{name}{end}" for name in listed for end in ("_bucket", "_sum", "_count")}
    return listed | histograms


def asked_for(text: str) -> set[str]:
    return set(re.findall(r"\b(?:kos_edge|process)_[a-z_]+\b", text))


def test_the_dashboard_asks_for_what_there_is() -> None:
    assert asked_for(" ".join(QUERIES)) <= figures()


def test_the_rules_ask_for_what_there_is() -> None:
    assert asked_for(" ".join(re.findall(r"expr: (.*)", RULES))) <= figures()


def test_every_panel_can_be_narrowed_to_some_nodes() -> None:
    assert all('instance=~"$instance"' in query for query in QUERIES)


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alert_says_what_is_and_what_to_do_next() -> None:
    alerts = re.split(r"- alert: ", RULES)[1:]
    for alert in alerts:
        assert {"severity:", "summary:", "next:"} <= set(re.findall(r"\w+:", alert)), alert.split()[0]


def test_the_document_names_every_alert() -> None:
    listed = re.findall(r"^\| `(KosEdge\w+)` \|", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert listed == re.findall(r"- alert: (\w+)", RULES)
