"""Candidates of the decision settings, the Shortlister and the HypRank in the console: seen, tried, and acted on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import fakes
import made_stages
import pytest
from browser import Page, Pages, chromium
from distributions import install, serving
from services import Service
from waiting import until

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.serve.auth import make_token
from arbitrank.shortlist.hyprank import save_hyprank
from arbitrank.store.decision_settings import save_decisions
from arbitrank.store.kinds import DECISIONS, HYPRANK, SHORTLIST
from arbitrank.store.store import Store, open_store

__all__ = ["chromium"]

TITLES = {DECISIONS: "Decision settings", SHORTLIST: "Shortlister", HYPRANK: "HypRank"}


class Staged:
    """A service with a stable version and a candidate of every stage, and a page of it with a token."""

    def __init__(self, service: Service, store: Store, token: str, page: Page) -> None:
        self.service, self.store, self.token, self.page, self.asked = service, store, token, page, 0

    def ask(self, n: int) -> None:
        """Have so many sessions ask, and report what they made of the answers."""
        for number in range(self.asked, self.asked + n):
            request = {"id": f"r{number}", "session": f"s{number}", "utterance": "a lamp", "context": {"device": "tv"}}
            assert self.service.rank(request, token=self.token)[0] == 200
            told = {"id": f"r{number}", "outcome": "accepted" if number % 3 else "rejected"}
            assert self.service.call("POST", "/v1/feedback", told, token=self.token)[0] < 300
        self.asked += n

    def go(self, fragment: str) -> None:
        """Follow a link of the page, which keeps the token."""
        follow = "to => { if (location.hash === to) dispatchEvent(new Event('hashchange')); else location.hash = to; }"
        self.page.evaluate("delete document.querySelector('main').dataset.drawn")
        self.page.evaluate(follow, fragment)
        self.page.locator("main[data-drawn]").wait_for()

    def act(self, name: str, label: str, **fields: str) -> str:
        """Preview a change and confirm it below its report, whose text is returned."""
        before = self.store.state(name)
        self.page.get_by_role("button", name=label, exact=True).press("Enter")
        self.page.locator(".impact").wait_for(timeout=60_000)
        report: str = self.page.locator(".impact").inner_text()
        self.page.get_by_role("button", name=f"{label}…").press("Enter")
        dialog = self.page.get_by_role("dialog")
        for field, value in fields.items():
            dialog.get_by_label(field).fill(value)
        assert before == self.store.state(name)
        dialog.get_by_role("button", name=label).press("Enter")
        return report


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Staged]:
    folder = tmp_path_factory.mktemp("stages")
    (folder / "site").mkdir()
    install(folder / "site", "arbitrank-lights", serving("lights", "shades"))
    store = open_store(folder / "store", environment={})
    for name, mine in (("lights", 0.9), ("shades", 0.8)):
        fakes.artifact(folder / name, name, mine=mine)
        store.publish(folder / name, promote=True)
    for number in range(2):
        made_stages.shortlister(store, folder / f"s{number}", 2 + number)
        save_hyprank(made_stages.hyprank(number), folder / f"h{number}")
        save_decisions(DecisionSettings(accept=0.3 + 0.69 * number), folder / f"d{number}")
        for one in ("h", "d"):
            store.publish(folder / f"{one}{number}", promote=number == 0)
    token, grant = make_token("ops", ["admin"])
    (folder / "tokens").write_text(f"{grant}\n")
    options = ("--shortlist", "--poll", "0.1", "--tokens", str(folder / "tokens"), "--log", str(folder / "log"))
    with Service(folder / "site", folder / "store", *options, wait=False) as service:
        until(lambda: service.call("GET", "/readyz")[0] == 200, 90.0)  # eight versions are tested first
        page = Pages(chromium, f"http://127.0.0.1:{service.port}")()
        page.allowed = ["401", "409"]
        page.open("#/domains")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Stages and settings").wait_for()
        yield Staged(service, store, token, page)
        page.context.close()
        page.check()


@pytest.mark.parametrize("name", [HYPRANK, SHORTLIST, DECISIONS])
def test_a_candidate_is_seen_tried_and_valued_and_each_change_shows_its_report(staged: Staged, name: str) -> None:
    page, store = staged.page, staged.store
    stable, candidate = store.state(name)[1].stable, store.state(name)[1].candidate
    assert stable is not None
    assert candidate is not None
    staged.ask(10)

    staged.go("#/domains")
    row = page.get_by_role("group", name="Stages and settings").locator("tbody tr", has_text=TITLES[name])
    assert stable in row.inner_text()
    assert candidate in row.inner_text()

    tried(staged, name, candidate)

    staged.go(f"#/domains?{urlencode({'name': name})}")
    assert "of the log" in staged.act(name, "Canary", Share="50")
    until(lambda: store.state(name)[1].canary == 0.5)
    versions = f"/v1/domains/{name}/versions"
    until(lambda: candidate in staged.service.call("GET", versions, token=staged.token)[1]["serving"]["loaded"], 60.0)
    staged.ask(60)

    staged.go(f"#/domains?{urlencode({'name': name})}")
    page.get_by_role("heading", name="Canary", exact=True).wait_for()
    report = staged.act(name, "Promote")
    assert "Value from outcomes" in report
    assert "reactions in" in report
    until(lambda: store.state(name)[1].stable == candidate, 60.0)
    until(lambda: staged.service.call("GET", versions, token=staged.token)[1]["serving"]["version"] == candidate)

    staged.go(f"#/domains?{urlencode({'name': name})}")
    page.accessible()
    page.fits()
    assert candidate in staged.act(name, "Roll back", **{"Reason, for": "a drill"})
    until(lambda: store.state(name)[1].stable == stable)
    page.get_by_text("a drill").wait_for()


def tried(staged: Staged, name: str, candidate: str) -> None:
    """The playground answers by the candidate, which nobody is served yet, beside what serves."""
    page = staged.page
    staged.go(f"#/playground?{urlencode({'q': 'a lamp', 'c': json.dumps({'device': 'tv'})})}")
    page.locator(".decision").wait_for()
    page.get_by_role("button", name="Compare with another").press("Enter")
    other = page.get_by_role("group", name="Context and versions of B")
    other.get_by_role("button", name="+ version").press("Enter")
    other.get_by_label("Domain or stage").select_option(name)
    other.get_by_label("Version", exact=True).locator(f"option[value='{candidate}']").wait_for(state="attached")
    other.get_by_label("Version", exact=True).select_option(candidate)
    page.get_by_role("button", name="Ask").press("Enter")
    page.get_by_role("region", name="A and B side by side").wait_for(timeout=60_000)
    assert f"{name}={candidate}" in page.locator(".side").nth(1).inner_text()
    sides = [page.locator(".side").nth(i).inner_text() for i in (0, 1)]
    if name != HYPRANK:  # an answer names no HypRank
        assert [candidate in text.replace(f"{name}={candidate}", "") for text in sides] == [False, True]
    page.accessible()
