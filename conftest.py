"""What all tests share: one thread for linear algebra, and how often those with large counts repeat what they do."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# Processes that test side by side would wait for one another's threads. Set before NumPy is imported, and inherited.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

UNMEASURED = (
    "test_benchmarks_",
    "test_context_learning",
    "test_demo",
    "test_docs",
    "test_evaluate_served",
    "test_golden",
    "test_own_nlu",
    "test_site",
    "test_tutorial",
)
"""Files of tests that compute for long what shorter ones cover: measuring them would double their time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption("--full", action="store_true", help="run tests with large counts in full, not a tenth of them")


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> float:
    """The share of a large count that a test runs: 1.0 under `--full`, else 0.1."""
    return 1.0 if request.config.getoption("--full") else 0.1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Measure no coverage of a test in a file of `UNMEASURED`, nor of its fixtures and child processes."""
    config = os.environ.get("COVERAGE_PROCESS_CONFIG") if item.path.name.startswith(UNMEASURED) else None
    if config is None:
        return (yield)
    from coverage import Coverage

    measured = Coverage.current()
    assert measured
    measured.stop()
    del os.environ["COVERAGE_PROCESS_CONFIG"]
    try:
        return (yield)
    finally:
        os.environ["COVERAGE_PROCESS_CONFIG"] = config
        measured.start()
