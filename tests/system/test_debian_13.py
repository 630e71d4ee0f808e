"""The same package on Debian 13, which has another Python and another systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.publishing import Publishing
from tests.system import image
from tests.system.plant import connected, drained, exposure, ledger, make_edge, make_hub, plant

pytestmark = pytest.mark.system


def test_it_joins_loses_nothing_in_a_power_cut_and_is_all_green(package: Path, tmp_path: Path) -> None:
    with plant(tmp_path, "hub", "edge", release=image.TRIXIE) as machines:
        hub, edge = machines["hub"], machines["edge"]
        make_hub(hub, package)
        make_edge(edge, package, hub)
        connected(edge)
        with Publishing(edge, "air.temperature") as load:
            load.wait_for(300)
            edge.cut()
        edge.boot()
        connected(edge)
        drained(edge)
        result = ledger(load.ids, hub)
        assert (result.lost, result.twice) == (0, 0), result
        assert edge.run("kos-edge", "doctor").code == 0
        assert exposure(edge) <= 2.0
