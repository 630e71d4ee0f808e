"""The frame of `make bench`: what a row says of its rounds, and what is kept of rows that were not measured again."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report import table, write
from benchmarks.rounds import Figures, Found, measure
from benchmarks.row import Beside, Row
from benchmarks.rows import ROWS

ROW = Row("row", "what", "/s", "delivery:tcp_packs", 2.0, Beside("theirs", "nowhere:nothing"), ratio=True)


def test_a_ratio_is_taken_within_each_round() -> None:
    found = Found(ROW, Figures([10.0, 30.0, 100.0]), Figures([5.0, 10.0, 10.0]))
    assert found.value == 3.0
    assert found.holds


def test_what_cannot_be_measured_says_why_and_holds_nothing() -> None:
    nowhere = Row("gone", "what", "/s", "nowhere:nothing", 1.0)
    [found] = measure([nowhere], short=True, rounds=1, say=lambda text: None)
    assert found.holds is None
    assert "nowhere" in table([found])


def test_rows_that_were_not_measured_again_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    at_most = Row("small", "what", "bytes", "delivery:tcp_packs", 60.0, at_most=True)
    write(path, [Found(ROW, Figures([4.0]), Figures([1.0]))], short=False)
    write(path, [Found(at_most, Figures([70.0]), None)], short=False)
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    assert (rows["row"]["value"], rows["row"]["holds"], rows["row"]["beside"]["value"]) == (4.0, True, 1.0)
    assert (rows["small"]["value"], rows["small"]["holds"]) == (70.0, False)


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
