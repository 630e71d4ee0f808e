"""What every test stands on: bounded random tests, a loop that nobody blocks, lanes that say their needs."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import lanes, loopwatch

_BOUNDED = settings(
    deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large), print_blob=True
)
settings.register_profile("ci", _BOUNDED, max_examples=100, derandomize=True)
settings.register_profile("deep", _BOUNDED, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test whose lane cannot run here is skipped with what it needs; `make test` says so too."""
    missing = {lane.name: lane.missing() for lane in lanes.LANES if lane.marker}
    for item in items:
        for name, needs in missing.items():
            if needs and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"lane {name} needs {needs}"))


@pytest.fixture(scope="session", autouse=True)
def _watched_loop() -> Iterator[None]:
    with loopwatch.watching():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test during which one callback held up an event loop: every peer would have waited."""
    with loopwatch.measure() as held:
        yield
    if held.longest and item.get_closest_marker("may_block") is None:
        pytest.fail(held.report(), pytrace=False)
