"""The console in a real browser: a service with the shipped domains, and pages of a headless Chromium.

A page fails its test where its console has an error, a script raises, the content security policy is violated, or a
request goes anywhere but to the service. The fixtures are a module's: Playwright's event loop must not outlive it, as
other tests run loops of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from services import Service

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (360, 800, 1400)
THEMES = ("light", "dark")
DOMAINS = "books,music,video"


class Page:
    """A page of the console: Playwright's, and what went wrong on it."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page, self.origin = page, origin
        self.problems: list[str] = []
        self.allowed: list[str] = []  # parts of texts of problems that a test expects
        page.on("console", lambda one: self._said(one.type, f"{one.text} {one.location.get('url', '')}"))
        page.on("pageerror", lambda error: self.problems.append(f"raised: {error}"))
        page.on("request", lambda one: self._request(one.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(text)

    def _request(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.problems.append(f"request to {url}")

    def open(self, fragment: str = "") -> None:
        """Load the console anew at a fragment, as `#/live`, and wait until its page is drawn."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.origin}/{fragment}")
        self.page.locator("main[data-drawn]").wait_for()

    def check(self) -> None:
        """Fail where anything went wrong that was not expected."""
        found = [one for one in self.problems if not any(part in one for part in self.allowed)]
        assert not found, found

    def accessible(self) -> None:
        """Fail where axe finds a serious or critical violation of WCAG 2.2 AA."""
        from axe_playwright_python.sync_playwright import Axe

        rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
        found = Axe().run(self.page, options=rules).response["violations"]
        serious = [
            (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, json.dumps(serious, indent=1)

    def fits(self) -> None:
        """Fail where the page is wider than the window, so that it has to be scrolled sideways."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{wide} px too wide at {self.page.viewport_size}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)


@dataclass
class Pages:
    """Pages of one browser, each in a context of its own."""

    browser: Any
    origin: str
    opened: list[Page] = field(default_factory=list)

    def __call__(self, width: int = 1400, theme: str = "light", **more: Any) -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce", **more
        )
        context.set_default_timeout(15_000)
        page = Page(context.new_page(), self.origin)
        self.opened.append(page)
        return page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium of the system; where there is none, the tests skip with the reason."""
    program = which("chromium") or which("chromium-browser") or which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: install the system's package chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Service]:
    """A service with the shipped domains and a log, without tokens."""
    folder = tmp_path_factory.mktemp("console")
    log = folder / "log"
    with Service(folder, folder / "store", "--log", str(log), ARBITRANK_DOMAINS=DOMAINS) as service:
        service.log_folder = log  # type: ignore[attr-defined]
        yield service


@pytest.fixture
def pages(chromium: Any, console: Service) -> Iterator[Pages]:
    """A function that opens a page of a width and a theme; what goes wrong on any fails the test."""
    made = Pages(chromium, f"http://127.0.0.1:{console.port}")
    yield made
    for page in made.opened:
        page.page.context.close()
    for page in made.opened:
        page.check()


def screenshot(page: Page, folder: Path, name: str) -> Path:
    """A picture of the whole page, to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=str(path), full_page=True)
    return path
