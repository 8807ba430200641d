"""Work in the background has a lower priority, and what comes after it has the one before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from arbitrank.background import giving_way

PROGRAM = """
import os
from arbitrank.background import give_way
before = os.nice(0)
give_way()
assert os.nice(0) > before or before == 19, os.nice(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the priority is the whole process's")
def test_a_function_gives_way_while_it_runs_and_its_caller_does_not() -> None:
    before = os.nice(0)
    assert giving_way(lambda: os.nice(0)) == min(before + 5, 19)
    assert os.nice(0) == before


def test_its_exception_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        giving_way(lambda: 1 // 0)


def test_a_process_gives_way_for_good_with_its_session_or_without() -> None:
    for session in (False, True):
        subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=30, start_new_session=session)
