"""The benchmark of environments: two of its sides, whatever they measure, and its table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import isolate
from benchmarks.common import distribution
from benchmarks.environments import THIRTY, Built, Side, compared, print_table, sides, written


class Installed(Built):
    """This environment in the place of those that are built."""

    def python(self, name: str) -> Path:
        return Path(sys.executable)


def test_two_sides_take_turns_and_say_what_they_took(tmp_path: Path) -> None:
    distribution(tmp_path, "bench", isolate._PLUGIN)
    built, asked = Installed(tmp_path), written(tmp_path / "asked.jsonl", isolate.requests(THIRTY, True)[:3])
    more = {"PYTHONPATH": str(tmp_path)}
    with sides(Side(built, "core", "shared", THIRTY, **more), Side(built, "one", "here", THIRTY, **more)) as (
        one,
        other,
    ):
        found = compared(one, other, asked, 2)
        assert found["us"] > 0 < found["against_us"]
        assert one.ask("memory")[0] > 1 > other.ask("memory")[0]


def test_the_table_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    ratios = {"us": 1.0, "against_us": 2.0, "ratio": 0.5, "processor_ratio": 0.25}
    report = {"requests": 7, "seconds": 3.0, "against_s": 2.0, "ratio": 1.5, "processor_ratio": 1.4}
    print_table(
        {
            "load": 0.5,
            "three_text_against_before": ratios,
            "memory_mb": {"environment": 70.0},
            "hang_beyond_deadline_ms": {"median": 1.0, "most": 2.0},
            "install": {"uv": {"seconds": 9.0, "processor_s": 4.0}},
            "impact": {"text": report},
        }
    )
    out = capsys.readouterr().out
    for text in ("three text against before", "0.50       0.25", "7 requests, text", "9.0 (4.0)", "70"):
        assert text in out
