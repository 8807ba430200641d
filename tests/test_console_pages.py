"""The console's Playground and Live in a browser: what they show, by keyboard, at three widths, in both themes."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from browser import DOMAINS, THEMES, WIDTHS, Page, Pages, chromium, console, pages
from services import Service
from waiting import until

from arbitrank.outcomes.suite_cases import stored_cases
from arbitrank.serve.auth import make_token
from arbitrank.store.store import open_store

__all__ = ["chromium", "console", "pages"]

HOSTILE = "<img src=x onerror=alert(1)> play <b>dune</b> \u202e'\"&amp;"


def playground(**parts: Any) -> str:
    """The fragment of a playground; objects become JSON."""
    query = {key: value if isinstance(value, str) else json.dumps(value) for key, value in parts.items()}
    return f"#/playground?{urlencode(query)}"


def numbers(page: Page, selector: str) -> list[float]:
    texts = page.locator(selector).all_inner_texts()
    return [float(text.replace("−", "-").replace("±", "")) for text in texts]


def test_the_bars_of_a_reading_add_up_to_its_log_odds_and_these_to_its_probability(pages: Pages) -> None:
    page = pages()
    page.open(playground(q="play dune on the tv", c={"device": "tv"}))
    reading = page.locator(".reading[open]")
    parts = numbers(page, ".reading[open] tr[data-group] td:last-child")
    (total,) = numbers(page, ".reading[open] .total td:last-child")
    groups = [row.get_attribute("data-group") for row in reading.locator("tr[data-group]").all()]
    assert groups[:6] == ["base", "domain", "intent", "slots", "context", "features"]
    assert sum(parts) == pytest.approx(total, abs=1e-9)
    right = float(re.search(r"([\d.]+) % right", reading.locator(".right").inner_text())[1])  # type: ignore[index]
    assert right == pytest.approx(100 / (1 + math.exp(-total)), abs=0.3)
    ends = [
        row.evaluate("e => [parseFloat(e.style.left), parseFloat(e.style.left) + e.getBoundingClientRect().width /"
                     " e.parentNode.getBoundingClientRect().width * 100]")
        for row in reading.locator("tr[data-group] .fill").all()
    ]  # fmt: skip
    for value, (left, end), (next_left, next_end) in zip(parts, ends, ends[1:], strict=False):
        reached = end if value > 0 else left
        assert min(abs(reached - next_left), abs(reached - next_end)) < 1.5  # each begins where the one before ends
    assert page.locator("mark").inner_text().split() == ["dune", "title"]
    assert page.locator(".decision .badge").inner_text() == "accept"


def test_a_request_is_typed_and_asked_by_keyboard_and_its_link_opens_the_same(pages: Pages) -> None:
    page = pages(width=360)
    page.open()
    page.keyboard.type("play mary poppins")  # the words have the focus
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("speaker")
    page.keyboard.press("Enter")
    page.locator(".decision").wait_for()
    link, decision = page.url, page.locator(".decision").inner_text()
    assert "speaker" in link
    assert "?" not in link.partition("#")[0]  # nothing of it reaches a server's log
    again = pages()
    again.open(link.partition("/#")[2].join(["#", ""]))
    assert again.locator(".decision").inner_text() == decision
    page.locator(".reading > summary").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator(".reading[open]").count() == 2


def test_a_link_keeps_the_kinds_of_values_and_a_broken_one_says_so(pages: Pages) -> None:
    context = {
        "a": "true",
        "b": "5",
        "c": None,
        "d": [1, {"x": "y"}],
        "e": " x ",
        "f": True,
        "g": -0.5,
        "h": "x=y",
        "i": "",
    }
    page = pages()
    page.open(playground(q="play dune", c=context))
    page.locator(".decision").wait_for()
    seen = parse_qs(page.url.partition("?")[2], keep_blank_values=True)
    assert json.loads(seen["c"][0]) == context
    page.get_by_role("tab", name="CLI").click()
    assert "| arbitrank rank" in page.locator(".copyable pre").inner_text()  # KEY=VALUE would read "5" as a number
    page.open(playground(q="play dune", c="[1]", v="{"))
    page.locator(".decision").wait_for()
    assert page.locator(".failed").all_inner_texts() == [
        "The link's versions: no JSON: Expected property name or '}' in JSON at position 1 (line 1 column 2)",
        "The link's context: expected an object",
    ]
    page.open(playground(q="play dune", h="[{]"))
    page.get_by_text("Hypotheses: no JSON").wait_for()


def test_two_contexts_are_shown_side_by_side_with_what_differs(pages: Pages) -> None:
    page = pages()
    page.open(playground(q="play mary poppins", c={"device": "tv"}))
    page.get_by_role("button", name="Compare with another").click()
    page.get_by_label("Context and versions of B").get_by_label("Value").fill("speaker")
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("region", name="A and B side by side").wait_for()
    assert page.locator(".side").count() == 2
    first, second = (page.locator(".side").nth(i).locator(".decision").inner_text() for i in (0, 1))
    assert first != second
    assert "c2=" in page.url


def test_the_copies_are_the_request_and_a_shell_reads_them_as_it_is(pages: Pages) -> None:
    words = "play 'dune' \"now\" $HOME `x` \\ 音乐"
    page = pages()
    page.open(playground(q=words, c={"device": "tv", "has_screen": True}))
    texts = {}
    for name in ("curl", "CLI", "Python"):
        page.get_by_role("tab", name=name).click()
        texts[name] = page.locator(".copyable pre").inner_text()
    page.get_by_role("button", name="Copy Python").click()
    page.get_by_text("Copied", exact=True).wait_for()
    assert page.locator("#announcer").text_content() == "Python copied"
    command = texts["curl"].removeprefix("curl ")
    seen = json.loads(subprocess.check_output(["bash", "-c", f'printf "%s\\n" {command} | tail -1'], text=True))
    assert seen == {"request": {"utterance": words, "context": {"device": "tv", "has_screen": True}}}
    program = f"import json,sys; print(json.dumps(sys.argv[1:]))' {texts['CLI'].removeprefix('arbitrank ')}"
    arguments = json.loads(subprocess.check_output(["bash", "-c", f"{sys.executable} -c '{program}"], text=True))
    assert arguments == ["ask", "--device", "tv", "--context", "has_screen=true", "--explain", "--", words]
    called: list[Any] = []
    fake = type("arbitrank", (), {"answer": lambda self, *a, **k: called.append((a, k)) or self.found, "found": None})
    code = re.search(r"arbitrator\.answer\((.*)\)\n", texts["Python"])
    assert code
    eval(f"one.answer({code[1]})", {"one": fake()})  # the page's own text, which holds a literal
    assert called == [((words,), {"context": {"device": "tv", "has_screen": True}, "explain": True})]


def test_live_shows_what_is_asked_filtered_and_each_opens_its_playground(pages: Pages, console: Service) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    for number, words in enumerate([HOSTILE, "play some jazz", "how tall is the eiffel tower"]):
        assert console.rank({"id": f"live{number}", "utterance": words, "session": "<i>s</i>"})[0] == 200
    page = pages()
    page.open("#/live?session=" + "%3Ci%3Es%3C%2Fi%3E")
    row = page.locator("tbody tr")
    page.locator("tbody tr").nth(2).wait_for()
    assert HOSTILE in row.nth(2).locator("th").inner_text()
    console.rank({"id": "live3", "utterance": "read me the hobbit", "session": "<i>s</i>"})
    page.get_by_text("read me the hobbit").wait_for()  # it comes by itself
    console.call("POST", "/v1/feedback", {"id": "live3", "outcome": "rejected"})
    row.filter(has_text="the hobbit").get_by_text("rejected").wait_for()
    page.get_by_label("Decision").select_option("none")
    expect(row).to_have_count(2)
    assert "eiffel" in row.first.inner_text()
    assert "action=none" in page.url
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Words or id").fill("onerror")
    expect(row).to_have_count(1)
    row.get_by_role("link", name="Why").click()
    page.locator("main[data-drawn=playground]").wait_for()
    assert page.locator("textarea").first.input_value() == HOSTILE
    assert page.locator("main img, main b b").count() == 0


def test_why_asks_with_all_that_the_log_has_and_shows_how_it_was_chosen(pages: Pages, console: Service) -> None:
    asked = {"session": "why", "account": {"adult": True}, "dialogue": {"turn": 2}, "context": {"device": "tv"}}
    console.rank({"id": "why/1", "utterance": "play dune on the tv", **asked})
    console.call("POST", "/v1/feedback", {"id": "why/1", "outcome": "accepted"})
    page = pages(width=360)
    page.open("#/live?words=why%2F1")
    page.locator("tbody tr").get_by_text("accepted").wait_for()
    page.get_by_role("link", name="Why").press("Enter")
    then = page.get_by_role("region", name="As logged")
    then.wait_for()
    assert json.loads(page.get_by_label("Further keys").input_value()) == {
        key: asked[key] for key in ("session", "account", "dialogue")
    }
    text = then.inner_text()
    assert all(part in text for part in ("the same today", "The user accepted", "may be acted on", "certain"))
    page.get_by_text("How it is chosen: certain").press("Enter")
    page.get_by_text("nothing is drawn").nth(1).wait_for()
    page.accessible()
    page.fits()
    link = page.url
    page.get_by_label("Request", exact=True).fill("play some jazz")
    page.get_by_role("button", name="Ask").press("Enter")
    then.wait_for(state="detached")
    assert "id=" not in page.url
    page.open(link.partition("/#")[2].join(["#", ""]).replace("why%2F1", "gone"))
    page.get_by_text("no longer among the last").wait_for()
    assert json.loads(page.get_by_label("Further keys").input_value())["session"] == "why"


def test_where_others_reach_a_service_without_tokens_live_says_why_it_shows_nothing(pages: Pages) -> None:
    error = {"error": "no tokens are set, so the log is shown on this machine only; start it with --tokens FILE"}
    page = pages()
    page.allowed = ["403"]
    page.route("**/v1/log**", lambda route: route.fulfill(status=403, json=error))
    page.open("#/live")
    assert "shown to nobody" in page.locator("main .empty").inner_text()
    assert "arbitrank serve --tokens" in page.locator("main .empty").inner_text()


def test_a_token_stays_in_the_pages_memory_and_live_obeys_scope_and_redaction(chromium: Any, tmp_path: Path) -> None:
    made = {name: make_token(name, [name]) for name in ("rank", "admin")}
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(f"{grant}\n" for _, grant in made.values()))
    options = ("--tokens", str(tokens), "--log", str(tmp_path / "log"), "--log-words", "drop")
    with Service(tmp_path, tmp_path / "store", *options, ARBITRANK_DOMAINS=DOMAINS) as service:
        opened = Pages(chromium, f"http://127.0.0.1:{service.port}")
        page = opened()
        page.allowed = ["401", "403"]
        page.open(playground(q="play dune"))
        page.get_by_label("Token").fill(made["rank"][0])
        page.keyboard.press("Enter")
        page.locator(".decision").wait_for()
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept[:3] == [0, 0, ""]
        assert made["rank"][0] not in page.content() + kept[3]
        page.get_by_role("link", name="Live").click()
        page.get_by_text("the token lacks the scope log").wait_for()
        page.get_by_role("button", name="Token: set").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        assert page.get_by_role("dialog").count() == 0
        page.keyboard.press("Enter")
        page.keyboard.type(made["admin"][0])
        page.keyboard.press("Enter")
        page.locator("main[data-drawn=live]").wait_for()
        service.rank({"utterance": "play dune on the tv", "session": "mine"}, token=made["rank"][0])
        page.get_by_text("19 characters, not kept").wait_for()
        incidents_by_keyboard(page, tmp_path / "store")
        page.get_by_role("link", name="Why").click()
        page.locator(".decision").wait_for()
        assert "dune" not in page.locator("main").inner_text()
        assert page.get_by_role("region", name="As logged").count() == 1
        page.accessible()
        page.reload()
        page.get_by_text("no bearer token").wait_for()
        page.context.close()
        page.check()


def incidents_by_keyboard(page: Page, store: Path) -> None:
    """One press makes an incident of the one request, another undoes it, and its reason is added afterwards."""

    def reasons() -> list[str | None]:
        return [case.notes.reason for case in stored_cases(open_store(store, environment={}))]

    page.get_by_role("button", name="Incident").press("Enter")
    page.locator(".toast", has_text="is an incident of video now").wait_for()
    assert reasons() == [None]
    page.get_by_role("button", name="Undo incident").press("Enter")
    page.locator(".toast", has_text="is no incident any more").wait_for()
    assert reasons() == []
    page.get_by_role("button", name="Incident", exact=True).press("Enter")
    page.get_by_role("button", name="Domain and reason…").press("Enter")
    page.get_by_label("Reason").fill("<b>no</b> film")
    page.accessible()
    page.keyboard.press("Enter")
    until(lambda: reasons() == ["<b>no</b> film"])
    page.get_by_role("button", name="Dismiss").press("Enter")
    assert page.locator(".toast").count() == 0


def test_the_theme_is_chosen_and_the_links_are_reached_by_keyboard(pages: Pages) -> None:
    page = pages(theme="light")
    page.open("#/live")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").press("Enter")
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme: light").press("Enter")
    assert page.evaluate(ground) != light
    page.get_by_role("link", name="Skip to the page").press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert "#/live" in page.url
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"


TEXTS = frozenset(
    ["action", "breaker", "by", "intent", "key", "meaning", "name", "notes", "package", "problem", "problems", "reason",
     "release", "remark", "skill", "text", "title", "titles", "utterance", "value", "version", "what", "words"]
)  # fmt: skip
"""Keys of replies whose texts come from users, plugins and operators, or might."""


def hostile(value: Any, key: str = "") -> Any:
    """A reply with HTML in every text of such a key, and among the names in it."""
    if isinstance(value, dict):
        return {name: hostile(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, key) for one in value]
    return f"{value}{MARKUP}" if isinstance(value, str) and key in TEXTS else value


MARKUP = "<img src=x onerror=document.title='run'><b class=made>"


@pytest.mark.parametrize("name", ["playground", "live", "domains", "calibration", "impact", "health"])
def test_html_in_whatever_the_service_replies_is_shown_as_text(pages: Pages, console: Service, name: str) -> None:
    def reply(route: Any) -> None:
        response = route.fetch()
        found = response.json() if "json" in response.headers["content-type"] else None
        route.fulfill(response=response, json=hostile(found))

    console.rank({"utterance": "play dune on the tv", "session": "x"})
    page = pages()
    page.allowed = ["Failed to load resource"]  # names of versions that there are not
    page.route("**/v1/**", reply)
    page.open(playground(q="play dune") if name == "playground" else f"#/{name}")
    assert page.locator("img, .made").count() == 0
    assert page.title() != "run"
    assert page.locator("main").inner_text().count("<img") > 0 or name in ("calibration", "impact")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_and_are_accessible_in_each_theme(pages: Pages, console: Service, width: int, theme: str) -> None:
    console.rank({"id": "fits", "utterance": "play some jazz in a rather long sentence " * 8})
    page = pages(width, theme)
    for fragment in (playground(q="play mary poppins " * 9, c={"device": "tv"}, c2={"device": "speaker"}), "#/live"):
        page.open(fragment)
        page.fits()
        page.accessible()
