"""The benchmark of starting: the generated domains are served, and its memory is that of a process."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from benchmarks.predict import requests
from benchmarks.serve import call
from benchmarks.start import ISOLATED, check, children, installed, memory, started


def test_the_generated_domains_answer_and_processes_are_found(tmp_path: Path) -> None:
    names = installed(tmp_path, 3)
    asked = call(msgspec.json.encode(requests(names, 1)[0]))
    strangers = call(msgspec.json.encode(requests(["nobody"], 1)[0]))
    with started(tmp_path, "--isolate", "all") as (pid, port, took):
        check(port, asked)
        with pytest.raises(SystemExit, match="0 answered"):
            check(port, strangers)
        isolated = children(pid, ISOLATED)
        assert len(isolated) == 2
        assert all(memory(one) > 5 for one in (pid, *isolated))
    assert took > 0
    assert memory(os.getpid()) > 5
