"""How soon is the console's first paint, and what does a page of Live that is open cost the service?

Generated domains are served as by `benchmarks.start`, with a log. A first paint is the browser's own figure
(`first-contentful-paint`, from the beginning of the navigation) in a headless Chromium, for each page, cold, in a new
profile, and again with the files kept; *drawn* is when the page has its data. The cost of Live is the processor time of
the worker for the same requests with and without a look of the page after each twenty of them, in turns.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.common import show, table
from benchmarks.predict import requests
from benchmarks.start import WORKER, children, installed, started

NAME = "console"
PAGES = ("playground", "live", "domains", "calibration", "impact", "health")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
_PAINT = """new Promise((found) => {
  setTimeout(() => found(null), 10_000);
  const first = (seen) => seen.getEntriesByName("first-contentful-paint").forEach((one) => found(one.startTime));
  new PerformanceObserver(first).observe({ type: "paint", buffered: true });
})"""  # the browser notes a paint once it was shown, perhaps after the page has its data
_BETWEEN = 20  # requests between two looks, which the page takes every two seconds
_LOOK = 2.0  # seconds


def paints(port: int, runs: int) -> dict[str, dict[str, list[float]]]:
    """The milliseconds of each page until its first paint, cold and again, and until it was drawn."""
    from playwright.sync_api import sync_playwright

    program = which("chromium") or which("chromium-browser") or which("google-chrome")
    if program is None:
        raise SystemExit(f"{NAME}: no Chromium; install the system's package chromium")
    found: dict[str, dict[str, list[float]]] = {page: {"cold": [], "again": [], "drawn": []} for page in PAGES}
    with sync_playwright() as started_:
        browser = started_.chromium.launch(executable_path=program, args=list(_FLAGS))
        for _ in range(runs):
            for name in PAGES:
                context = browser.new_context()
                page = context.new_page()
                for kind in ("cold", "again"):
                    page.goto("about:blank")
                    began = perf_counter()
                    page.goto(f"http://127.0.0.1:{port}/#/{name}")
                    page.locator(f"main[data-drawn={name}]").wait_for()
                    drawn = 1e3 * (perf_counter() - began)
                    if (paint := page.evaluate(_PAINT)) is None:
                        raise SystemExit(f"{NAME}: {name} painted nothing")
                    found[name][kind].append(paint)
                found[name]["drawn"].append(drawn)
                context.close()
        browser.close()
    return found


def seconds(pid: int) -> float:
    """Processor time of a process so far, that of the system for it included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Client:
    """A connection to a service, which asks as a page of Live and its users do."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self.cursor = 0.0
        self.rows = 0

    def call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The decoded reply."""
        self._connection.request(method, path, body, {"content-type": "application/json"})
        return json.loads(self._connection.getresponse().read())

    def look(self) -> None:
        """Look at the log as the page does."""
        page = self.call("GET", f"/v1/log?limit=100&after={self.cursor}")
        self.cursor = page["cursor"]
        self.rows += len(page["rows"])


def cost(pid: int, port: int, blocks: int, turns: int) -> dict[str, float]:
    """Milliseconds of the worker's processor for a look beside twenty requests, and for a request."""
    client, asked = Client(port), [json.dumps(one).encode() for one in _bodies()]
    for body in asked:
        client.call("POST", "/v1/rank", body)
    client.look()  # the first reads the end of the log
    spent: dict[bool, list[float]] = {True: [], False: []}
    for block in range(2 * blocks):
        looking, before = block % 2 == 0, seconds(pid)
        for _ in range(turns):
            for body in asked[:_BETWEEN]:
                client.call("POST", "/v1/rank", body)
            if looking:
                client.look()
        spent[looking].append(seconds(pid) - before)
        client.look()
    if not client.rows:
        raise SystemExit(f"{NAME}: Live showed none of the requests")
    without, looks = median(spent[False]), median(spent[True])
    return {"request_ms": 1e3 * without / (turns * _BETWEEN), "look_ms": 1e3 * (looks - without) / turns}


def _bodies() -> list[dict[str, Any]]:
    import msgspec

    return [msgspec.to_builtins(one) for one in requests([f"domain{d}" for d in range(3)], 64)]


def measured(runs: int, blocks: int, turns: int) -> dict[str, Any]:
    """The figures."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        site = Path(folder) / "site"
        site.mkdir()
        installed(site, 3)
        with started(site, "--log", str(Path(folder) / "log"), "--no-watch") as (pid, port, _):
            (worker,) = children(pid, WORKER)
            figures: dict[str, Any] = {"cost": cost(worker, port, blocks, turns)}
            found = paints(port, runs)
    figures["paint_ms"] = {
        page: {kind: median(times) for kind, times in kinds.items()} | {"longest": max(kinds["cold"])}
        for page, kinds in found.items()
    }
    return figures


def print_table(figures: Mapping[str, Any]) -> None:
    table(
        ("page", "first paint, cold, ms", "longest", "again", "drawn"),
        [
            (page, *(f"{one[kind]:.0f}" for kind in ("cold", "longest", "again", "drawn")))
            for page, one in figures["paint_ms"].items()
        ],
    )
    one = figures["cost"]
    share = one["look_ms"] / (1e3 * _LOOK)
    print(
        f"an open page of Live takes {one['look_ms']:.2f} ms of a worker every {_LOOK:g} s, {100 * share:.2f} % of a "
        f"processor; a request {one['request_ms']:.2f} ms"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer loads; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    show(NAME, chosen, measured(2, 2, 10) if chosen.quick else measured(9, 7, 40), print_table)


if __name__ == "__main__":
    main()
