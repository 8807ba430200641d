"""What all tests share: one thread for linear algebra, and how often those with large counts repeat what they do."""

from __future__ import annotations

import os

import pytest

# Processes that test side by side would wait for one another's threads. Set before NumPy is imported, and inherited.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption("--full", action="store_true", help="run tests with large counts in full, not a tenth of them")


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> float:
    """The share of a large count that a test runs: 1.0 under `--full`, else 0.1."""
    return 1.0 if request.config.getoption("--full") else 0.1
