"""Artifacts, stores, logs and plugins made before the new layout of core, and the answers that they gave then.

`tests/golden/record.py` shows how they were made. Wording, times and places may differ; keys, order, decisions,
statuses, versions and exit statuses may not, and numbers by 1e-9 at most.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

ADDED = frozenset({"501"})
"""Keys, routes and statuses that have been added since. They stand here so that none comes in unnoticed.

501: the description of `promote` over HTTP, where the service is installed without what judges versions.
"""


def _calls() -> ModuleType:
    spec = spec_from_file_location("golden_calls", Path(__file__).parent / "golden" / "calls.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


calls = _calls()
TRAINED = ("experiment",)
"""Groups that train models, whose figures depend a little on the machine; run with --full."""


@pytest.mark.full
@pytest.mark.parametrize("group", list(calls.GROUPS))
def test_answers_are_those_of_before(group: str, tmp_path: Path, scale: float) -> None:
    if group in TRAINED and scale < 1:
        pytest.skip("trains models; run with --full")
    tolerance = 1e-6 if group in TRAINED else calls.TOLERANCE
    expected = calls.read(calls.answers_of(group))
    actual = calls.observe(group, tmp_path)
    found = list(islice(calls.differences(expected, actual, ADDED, tolerance), 30))
    assert not found, "\n".join([f"{group}: the first differences", *found])


def test_a_difference_is_seen() -> None:
    before = {"answer": [{"score": 0.5, "version": "a", "n": 1}], "status": 0}
    assert not list(
        calls.differences(before, {"answer": [{"score": 0.5 + 1e-12, "version": "a", "n": 1}], "status": 0})
    )
    for after in (
        {"answer": [{"score": 0.5 + 1e-8, "version": "a", "n": 1}], "status": 0},
        {"answer": [{"score": 0.5, "version": "b", "n": 1}], "status": 0},
        {"answer": [{"score": 0.5, "version": "a", "n": 1, "more": 1}], "status": 0},
        {"answer": [{"score": 0.5, "version": "a"}], "status": 0},
        {"answer": [], "status": 0},
        {"answer": [{"score": None, "version": "a", "n": 1}], "status": 0},
        {"answer": [{"score": 0.5, "version": "a", "n": True}], "status": 0},
    ):
        assert list(calls.differences(before, after)), after
    assert not list(calls.differences({"a": 1}, {"a": 1, "b": 2}, frozenset({"b"})))
