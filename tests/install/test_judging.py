"""Before a release runs: is it what was sealed, by somebody who may?"""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.errors import KosError, Refused
from kos_edge.install.judging import judge
from kos_edge.install.layout import MANIFEST, Layout
from kos_edge.klp.identity import KeyPair
from kos_edge.node.installed import seal
from tests.install.bench import make_release

KEY = KeyPair.from_seed(bytes(32))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    tree = make_release(layout.releases / "1.0", "1.0")
    (tree / MANIFEST).write_bytes(seal(tree, "1.0", KEY, at=1))
    layout.config.mkdir(parents=True)
    return layout


def configure(layout: Layout, *lines: str) -> None:
    (layout.config / "config.toml").write_text("\n".join(["[security]", *lines, ""]))


def said(layout: Layout) -> list[str]:
    heard: list[str] = []
    judge(layout.releases / "1.0", layout, heard.append)
    return heard


def test_a_release_sealed_by_an_anchor_is_taken_without_a_word(layout: Layout) -> None:
    configure(layout, f'trust-anchors = ["{KEY.public.hex()}"]')
    assert said(layout) == []


def test_a_file_that_differs_stops_it(layout: Layout) -> None:
    configure(layout, f'trust-anchors = ["{KEY.public.hex()}"]')
    (layout.releases / "1.0/bin/python3").write_text("#!/bin/sh\nrm -rf /\n")
    with pytest.raises(Refused, match=r"release 1\.0 is not what was sealed: changed: bin/python3"):
        said(layout)


def test_a_release_of_a_stranger_is_named_and_where_that_is_wanted_refused(layout: Layout) -> None:
    assert "not vouched for" in said(layout)[0]
    configure(layout, 'signatures = "strict"')
    with pytest.raises(KosError, match="nothing here names as an anchor"):
        said(layout)
    configure(layout, 'signatures = "disabled"')
    assert said(layout) == []


def test_a_broken_configuration_does_not_stand_in_the_way_back_and_opens_nothing_either(
    layout: Layout,
) -> None:
    (layout.config / "config.toml").write_text("[security\n")
    heard = said(layout)
    assert "the last configuration that was good counts" in heard[0]
    assert "not vouched for" in heard[1]
    layout.state.mkdir(parents=True)
    (layout.state / "config.toml.good").write_text('[security]\nsignatures = "strict"\n')
    with pytest.raises(KosError, match="nothing here names as an anchor"):
        said(layout)
    assert (layout.state / "config.toml.good").read_text().endswith('"strict"\n')
