"""The console's Domains, Calibration, Impact and Health in a browser: reports, changes behind them, hostile texts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

import fakes
import numpy as np
import pytest
from browser import THEMES, WIDTHS, Page, Pages, chromium, pages
from distributions import install, serving
from services import Service
from waiting import until

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.evaluate.plot_data import calibration_data
from arbitrank.evaluate.reliability import reliability_curve
from arbitrank.pages import _environment
from arbitrank.serve.auth import make_token
from arbitrank.store.decision_settings import save_decisions
from arbitrank.store.store import Store, open_store

__all__ = ["chromium", "pages"]

HOSTILE = "<img src=x onerror=alert(1)> <b>on</b> \u202e'\"&amp; 灯をつけて"
TITLE = "<b>Lights</b> & 照明"
DAY = 86_400.0
PAGES = ("#/domains", "#/domains?name=lights", "#/calibration", "#/health", "#/impact")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with a domain whose display name is hostile."""
    folder = tmp_path_factory.mktemp("site") / "site"
    folder.mkdir()
    code = serving("lights", "shades").replace("[FakeDomain(name)", "[Titled(name)")
    titled = (
        f"class Titled(FakeDomain):\n    title = property(lambda self: {TITLE!r} if self.name == 'lights' else None)\n"
    )
    install(folder, "arbitrank-lights", code.replace("@hookimpl", f"{titled}\n\n@hookimpl"))
    return folder


def filled(folder: Path) -> Store:
    """A store in which `lights` has a candidate that claims everything, and a version before the stable one."""
    store = open_store(folder / "store", environment={})
    for name, weights in (("lights", {"mine": 0.4}), ("lights", {"strength": 1.0}), ("shades", {"strength": 1.0})):
        made = folder / f"{name}-{len(list(folder.iterdir()))}"
        fakes.artifact(made, name, fakes.CARD, **weights)
        store.publish(made, promote=True)
    fakes.artifact(folder / "candidate", "lights", fakes.CARD, mine=0.95)
    store.publish(folder / "candidate")
    store.set_audit_set(written(folder / "audit.jsonl", list(requests(120))))
    return store


def requests(n: int) -> Iterator[dict[str, Any]]:
    """Labelled requests: confidences are right on average, each of three belongs to `shades`."""
    rng = random.Random(0)
    for i in range(n):
        owner, other = ("shades", "lights") if i % 3 == 0 else ("lights", "shades")
        p = rng.choice([0.7, 0.9]) if rng.random() < 0.9 else 0.2
        hypotheses = [{"domain": name, "intent": "Do", "domain_confidence": one, "intent_confidence": 1.0}
                      for name, one in ((owner, p), (other, 1.0 - p))]  # fmt: skip
        yield {"id": f"r{i}", "utterance": f"{HOSTILE} {i}", "context": {"device": "tv" if i % 2 else "phone"},
               "hypotheses": hypotheses, "truth": {"domain": owner, "intent": "Do"}}  # fmt: skip


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def _ranked(domain: str, p: float) -> dict[str, Any]:
    return {"domain": domain, "intent": "Do", "score": p, "domain_probability": p, "probability": p}


def log_of(store: Store, folder: Path) -> Path:
    """Three days of a log in which both domains answered and claimed what their recognisers said."""
    lines = list(requests(300))
    versions = {name: store.state(name)[1].stable for name in ("lights", "shades")}
    for i, one in enumerate(lines):
        ranked = sorted(one["hypotheses"], key=lambda h: -h["domain_confidence"])
        read = [_ranked(h["domain"], h["domain_confidence"]) for h in ranked]
        reports = {name: {"status": "answered", "version": version} for name, version in versions.items()}
        one["answer"] = {"id": one["id"], "decision": {"action": "accept", "contenders": [0]}, "ranked": read,
                         "domains": reports, "ms": {}}  # fmt: skip
        one["claims"] = {h["domain"]: [h["domain_confidence"]] * 2 for h in ranked}
        one["time"] = time() - 3 * DAY * (1 - i / len(lines))
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ-1-000001.jsonl")
    written(folder / name, lines)
    return folder


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, site: Path, chromium: Any) -> Iterator[Service]:
    """A service of two domains with a candidate, an audit set and three days of log, without tokens."""
    folder = tmp_path_factory.mktemp("reports")
    log = log_of(filled(folder), folder / "log")
    with Service(site, folder / "store", "--log", str(log), "--watch-every", "1") as service:
        service.folder = folder  # type: ignore[attr-defined]
        until(lambda: service.call("GET", "/v1/status")[1]["watched"])
        yield service


def plot(page: Page, number: int = 0) -> Any:
    return page.locator("figure.plot").nth(number)


def test_a_domain_is_seen_with_its_calibration_numbers_and_versions_and_no_text_of_it_is_html(
    pages: Pages, console: Service
) -> None:
    console.rank({"utterance": "on"})
    page = pages()
    page.open("#/domains")
    row = page.locator("tbody tr").filter(has_text=TITLE)
    assert TITLE in row.inner_text()
    assert "answers" in row.inner_text()
    assert "n = 300" in row.inner_text()
    row.get_by_role("link").press("Enter")
    page.get_by_role("heading", name="Versions and their cards").wait_for()
    text = page.locator("main").inner_text()
    assert all(part in text for part in (TITLE, "candidate", "previous", "P(mine)", "requests read", "publish"))
    assert page.locator("main b, main img").count() == 0
    first, second = (plot(page).locator(".legend button").nth(i) for i in (0, 1))
    assert first.get_attribute("aria-pressed") == "true"
    second.press("Enter")
    assert (first.get_attribute("aria-pressed"), second.get_attribute("aria-pressed")) == ("false", "true")
    assert plot(page).locator(".line.highlighted").count() == plot(page).locator(".line.faint").count() == 1
    assert plot(page).locator(".band, .perfect").count() == 2
    plot(page).locator(".legend input").nth(1).press("Space")
    assert plot(page).locator(".line").count() == 1
    plot(page).locator("summary").press("Enter")
    plot(page).locator(".figures tbody tr").nth(10).wait_for()


def test_calibration_is_shown_by_context_by_domain_and_over_time(pages: Pages) -> None:
    page = pages()
    page.open("#/calibration")
    assert plot(page).locator(".line").count() == 4  # answers, R0 and two domains
    assert plot(page).locator(".line.dotted").count() == 1
    assert page.locator("figure.plot").count() == 3
    page.get_by_label("Requests").select_option("device tv")
    page.get_by_label("Highlight").select_option("shades")
    assert "slice=device+tv" in page.url
    assert "n = 150" in plot(page).locator("button[aria-pressed=true]").inner_text()
    assert "shades" in plot(page, 1).locator("figcaption").inner_text()
    page.get_by_label("Claim", exact=True).select_option("mine")
    assert plot(page).locator(".line").count() == 2
    page.get_by_role("button", name="Look now").press("Enter")
    page.get_by_role("button", name="Look now").wait_for()
    until(  # the page draws the plot anew
        lambda: plot(page).locator("text.label").all_text_contents() == ["claimed probability", "share that is its own"]
    )


def test_a_candidates_impact_is_replayed_and_read(pages: Pages) -> None:
    page = pages()
    page.open("#/impact?name=lights&change=promote&on=audit+set")
    page.locator(".impact").wait_for(timeout=60_000)
    text = page.locator(".impact").inner_text()
    assert "120 requests of the audit set" in text
    assert "The gate refuses the candidate" in text
    versions = page.get_by_label("Version").locator("option")
    versions.nth(1).wait_for(state="attached")
    assert [one.partition(" ")[2] for one in versions.all_inner_texts()] == ["(candidate)", "(previous)"]
    assert HOSTILE in text
    assert page.locator(".impact img, .impact b").count() == 0
    assert page.locator("path.flow.worse").count() >= 1
    assert page.get_by_text("Who gains, who loses").count() == 1
    page.accessible()
    page.fits()
    previous = versions.nth(1).get_attribute("value")
    page.get_by_label("Version").select_option(previous)
    page.get_by_role("button", name="Replay").press("Enter")
    page.locator(".impact").get_by_text(previous).first.wait_for(timeout=60_000)
    assert f"version={previous}" in page.url
    page.get_by_label("Change", exact=True).select_option("rollback")
    assert page.get_by_label("Version").is_disabled()


def test_health_says_in_one_line_whether_all_is_well(pages: Pages) -> None:
    page = pages()
    page.open("#/health")
    assert page.locator(".summary .badge").inner_text() in ("all is well", "answers, with problems")
    assert page.get_by_role("rowheader", name="supervisor").count() == 1
    assert page.locator("tbody tr").count() >= 5
    assert "As of" in page.locator("main").inner_text()


def refused(page: Page) -> None:
    """Neither a domain's page nor Impact replays anything for a token that may only rank."""
    page.get_by_role("button", name="Promote", exact=True).click()
    page.get_by_text("the token lacks the scope").wait_for()
    page.get_by_role("link", name="Impact", exact=True).click()
    page.get_by_role("button", name="Replay").click()
    page.get_by_text("the token lacks the scope").wait_for()


def test_a_change_shows_its_report_before_it_acts_and_needs_a_token(chromium: Any, site: Path, tmp_path: Path) -> None:
    store = filled(tmp_path)
    (token, grant), (reader, other) = make_token("lights-team", ["publish:lights"]), make_token("reader", ["rank"])
    (tmp_path / "tokens").write_text(f"{grant}\n{other}\n")
    with Service(site, tmp_path / "store", "--tokens", str(tmp_path / "tokens"), "--poll", "0.2") as service:
        opened = Pages(chromium, f"http://127.0.0.1:{service.port}")
        page = opened(width=360)
        page.allowed = ["401", "403", "409", "422"]

        def signed_in(text: str) -> None:
            page.open("#/domains?name=lights")
            page.get_by_label("Token").fill(text)
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="Change what serves").wait_for()

        def act(label: str, **fields: str) -> None:
            page.get_by_role("button", name=label, exact=True).press("Enter")
            page.locator(".impact").wait_for(timeout=60_000)
            page.get_by_role("button", name=f"{label}…").press("Enter")
            for name, value in fields.items():
                page.get_by_role("dialog").get_by_label(name).fill(value)

        signed_in(reader)
        refused(page)
        signed_in(token)
        assert "not watched" in page.locator("main").inner_text()
        act("Canary", **{"Share": "20"})
        page.get_by_role("dialog").get_by_role("button", name="Canary").press("Enter")
        until(lambda: store.state("lights")[1].canary == 0.2)
        page.get_by_text("20.0 %").first.wait_for()
        assert page.get_by_role("heading", name="Canary", exact=True).count() == 1
        before = store.state("lights")
        act("Promote", **{"Reason, for": "the audit set is old"})
        assert store.state("lights") == before
        dialog = page.get_by_role("dialog")
        page.accessible()
        dialog.get_by_role("button", name="Promote").click()
        dialog.get_by_text("the gate refuses").wait_for(timeout=60_000)
        assert store.state("lights") == before
        dialog.get_by_label("Override").check()
        dialog.get_by_role("button", name="Promote").click()
        page.get_by_text("the audit set is old").wait_for(timeout=60_000)
        assert store.state("lights")[1].stable == before[1].candidate
        act("Roll back", **{"Reason, for": HOSTILE.replace("\u202e", "")})
        page.get_by_role("dialog").get_by_role("button", name="Roll back").press("Enter")
        until(lambda: store.state("lights")[1].stable == before[1].stable)
        act("Shrink", **{"Divide": "2", "Then": "-0.5"})
        page.get_by_role("dialog").get_by_role("button", name="Shrink").press("Enter")
        until(lambda: store.state("lights")[1].temperature == 2.0)
        page.get_by_text("log-odds / 2.00 − 0.50").first.wait_for()
        assert HOSTILE.replace("\u202e", "") in page.locator("main").inner_text()
        assert page.locator("main b, main img").count() == 0
        page.fits()
        page.context.close()
        page.check()


def test_without_domains_log_and_history_every_page_says_what_is_missing(chromium: Any, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with Service(tmp_path / "site", tmp_path / "store", ARBITRANK_DOMAINS="nothing") as service:
        page = Pages(chromium, f"http://127.0.0.1:{service.port}")(width=360)
        page.allowed = ["503"]
        texts = {}
        for fragment in (*PAGES, "#/domains?name=%3Cb%3E"):
            page.open(fragment)
            texts[fragment] = page.locator("main").inner_text()
            page.fits()
        assert "disabled" in texts["#/domains"]
        assert "No domain is loaded" in texts["#/impact"]
        assert "not watched" in texts["#/calibration"]
        assert "not ready" in texts["#/health"]
        assert "No domain of the name <b>" in texts["#/domains?name=%3Cb%3E"]
        page.context.close()
        page.check()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_reports_fit_and_are_accessible_in_each_theme(pages: Pages, width: int, theme: str) -> None:
    page = pages(width, theme)
    for fragment in PAGES:
        page.open(fragment)
        page.fits()
        page.accessible()


def test_decision_settings_have_a_page_with_their_history(pages: Pages, console: Service) -> None:
    page = pages()
    page.open("#/domains?name=.decisions")
    assert "Nothing was ever changed" in page.locator("main").inner_text()
    assert page.get_by_role("button", name="Shrink", exact=True).is_disabled()
    page.fits()


def test_a_stage_is_seen_with_its_versions_and_its_change_has_a_report(pages: Pages, console: Service) -> None:
    folder = console.folder  # type: ignore[attr-defined]
    save_decisions(DecisionSettings(none=0.0), folder / "none")
    version = open_store(folder / "store", environment={}).publish(folder / "none").version
    until(lambda: console.call("GET", "/v1/domains/.decisions/versions")[1]["serving"])  # the service has followed
    page = pages(width=360)
    page.open("#/domains")
    row = page.get_by_role("group", name="Stages and settings").locator("tbody tr")
    assert version in row.inner_text()
    assert "the command line's settings" in row.inner_text()
    row.get_by_role("link").press("Enter")
    page.get_by_role("button", name="Promote", exact=True).press("Enter")
    page.locator(".impact").wait_for(timeout=60_000)
    text = page.locator(".impact").inner_text()
    assert all(
        part in text for part in ("Its gate judges it on the audit set", "this report does", "out of scope", HOSTILE)
    )
    assert page.locator("path.flow").count() >= 1
    page.accessible()
    page.fits()
    page.open("#/impact")
    assert "Decision settings – has a candidate" in page.get_by_label("Domain or stage").inner_text()


def test_the_plots_of_a_reports_page_highlight_and_hide_and_no_name_ends_its_script(pages: Pages) -> None:
    names = ["music", f"</script>{HOSTILE}", "إضاءة", "x" * 80]
    curves = {name: reliability_curve(np.array([0.2, 0.8] * 20), np.array([0.0, 1.0] * 20)) for name in names}
    text = "{% extends 'plotted.html' %}{% from 'plot.html' import plot %}{% block title %}{{ title }}{% endblock %}"
    text += "{% block content %}{{ plot('calibration', curves) }}{{ plot('flow', flow) }}{% endblock %}"
    pair = {
        "before": names[1],
        "after": None,
        "n": 3,
        "right_to_wrong": 2,
        "wrong_to_right": 0,
        "other": 1,
        "no_truth": 0,
    }
    template = _environment().from_string(text)
    made = template.render(title="A report", curves=calibration_data(curves, "music"), flow={"flips": [pair]})
    page = pages(width=360)
    page.page.set_content(made)
    legend = plot(page).locator(".legend li")
    assert [names[1] in one for one in legend.all_inner_texts()] == [False, True, False, False]
    legend.nth(3).locator("button").press("Enter")
    assert plot(page).locator("button[aria-pressed=true]").inner_text().startswith("x" * 80)
    assert plot(page).locator(".line.faint").count() == 3
    assert page.locator("path.flow").count() == 2
    assert page.locator("img, b").count() == 0
    page.fits()
    page.accessible()
