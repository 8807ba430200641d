"""The benchmark of commands has the documented figures."""

from __future__ import annotations

import sys

import pytest
from benchmarks import commands
from benchmarks.commands import measured, print_table


def test_commands_are_compared_with_numpy_and_another_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([9.0, 9.0, 9.0, 3.0, 1.0, 4.0, 6.0, 2.0, 4.0])  # one of each to begin with, then two in turns
    monkeypatch.setattr(commands, "COMMANDS", {"ask": ("-c", "pass")})
    monkeypatch.setattr(commands, "spent", lambda python, words, store: next(times))
    found = measured(2, "another")
    assert found == {"ask": {"seconds": 4.5, "over_numpy": 3.0, "over_before": pytest.approx(1.125)}}
    print_table(found)
    assert "over before" in capsys.readouterr().out


def test_a_process_is_measured_to_its_end(tmp_path: object) -> None:
    assert commands.spent(sys.executable, ("-S", "-c", "sum(range(10**6))"), str(tmp_path)) > 0.0
