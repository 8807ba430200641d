"""The benchmark of the console: it measures the looks of an open page, and finds the pages that there are."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.console import PAGES, cost
from benchmarks.start import WORKER, children, installed, started

from arbitrank.serve.console_files import console_files


def test_every_page_of_the_console_is_measured() -> None:
    listed = re.findall(r"^  (\w+): \(\) => import", console_files()["main.js"].content.decode(), re.MULTILINE)
    assert set(listed) == set(PAGES)


def test_a_look_shows_what_was_asked_and_takes_time_of_the_worker(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    installed(site, 3)
    with started(site, "--log", str(tmp_path / "log"), "--no-watch") as (pid, port, _):
        (worker,) = children(pid, WORKER)
        figures = cost(worker, port, 1, 20)
    assert figures["request_ms"] > 0
    assert figures["look_ms"] < 100
