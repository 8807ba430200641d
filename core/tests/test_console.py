"""The console without a browser: its files, their headers, who is admitted, and the calls that it is made for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest
from services import Service
from waiting import until

from arbitrank.answerlog.writer import AnswerLog
from arbitrank.outcomes.suite_cases import stored_cases
from arbitrank.serve.auth import Denied, make_token, permitted
from arbitrank.serve.console_files import POLICY, console_files
from arbitrank.serve.operations import OPERATIONS
from arbitrank.serve.own_hosts import foreign_host
from arbitrank.store.store import open_store
from arbitrank.values import Answer, Decision, Ranked, Request

FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage|sessionStorage"
    r"|document\.cookie|https?://(?!www\.w3\.org/2000/svg\")|setAttribute\(\"style\""
)
OWN = sorted(name for name in console_files() if name.endswith(".js"))


@pytest.mark.parametrize("name", OWN)
def test_a_script_makes_no_html_of_texts_keeps_nothing_and_calls_nobody_else(name: str) -> None:
    assert FORBIDDEN.findall(console_files()[name].content.decode()) == []


def test_the_page_has_nothing_inline_and_names_files_that_there_are() -> None:
    page = console_files()["index.html"].content.decode()
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=|javascript:", page)
    named = set(re.findall(r"(?:src|href)=\"/console/([^\"]+)\"", page))
    assert named <= console_files().keys()
    imported = {
        found
        for name in OWN
        for found in re.findall(r"(?:from|import\()\s*\"\./([^\"]+)\"", console_files()[name].content.decode())
    }
    assert imported <= console_files().keys()


@pytest.fixture(scope="module")
def service(lights_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a log and a store with two versions of lights, the first of them stable."""
    folder = tmp_path_factory.mktemp("console")
    store = open_store(folder / "store", environment={})
    fakes.artifact(folder / "one", "lights", fakes.CARD, intent="one", mine=0.7)
    store.publish(folder / "one", promote=True)
    other = fakes.artifact(folder / "two", "lights", fakes.CARD, intent="two", mine=0.8)
    store.publish(folder / "two")
    with Service(lights_site, folder / "store", "--log", str(folder / "log")) as service:
        service.other = other  # type: ignore[attr-defined]
        service.store = folder / "store"  # type: ignore[attr-defined]
        yield service


def test_every_file_has_the_policy_and_is_asked_for_again_by_its_tag(service: Service) -> None:
    status, page, headers = service.call("GET", "/")
    assert status == 200
    assert "<title>arbitrank</title>" in page
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    status, body, again = service.call("GET", "/", **{"if_none_match": headers["etag"]})
    assert (status, body, again["etag"]) == (304, "", headers["etag"])
    kinds = {
        "main.js": "text/javascript",
        "style.css": "text/css",
        "icon.svg": "image/svg+xml",
        "plots.css": "text/css",
    }
    for name, kind in kinds.items():
        status, _, headers = service.call("GET", f"/console/{name}")
        assert (status, headers.get_content_type(), headers["content-security-policy"]) == (200, kind, POLICY)
    assert service.call("HEAD", "/")[0] == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fapp.py", "%2e%2e", "index.html%00", "__init__.py"])
def test_no_other_file_is_reached(service: Service, name: str) -> None:
    assert service.call("GET", f"/console/{name}")[0] == 404


@pytest.mark.parametrize("path", ["/", "/console/main.js", "/v1/log", "/v1/service"])
def test_a_name_that_another_had_point_here_is_refused(service: Service, path: str) -> None:
    for host in ("attacker.example", f"attacker.example:{service.port}", "127.0.0.1.attacker.example"):
        status, body, _ = service.call("GET", path, host=host)
        assert status == 403
        assert "Host" in body["error"]
    assert service.call("GET", path, host=f"localhost:{service.port}")[0] == 200
    status, _, _ = service.call("GET", path, origin="http://attacker.example")
    assert status == 403


@pytest.mark.parametrize(
    ("host", "loopback", "other"),
    [
        ("127.0.0.1:8080", True, True), ("[::1]:8080", True, True), ("LocalHost.", True, True),
        ("10.0.0.7:8080", False, True), ("[fd00::7]", False, True), ("arbitrank:8080", False, True),
        ("arbitrank.lan", True, True), ("console.example.com:443", True, True),
        ("attacker.example", False, False), ("127.0.0.1.attacker.example", False, False), ("", False, False),
    ],
)  # fmt: skip
def test_a_service_is_called_by_its_own_names_alone(host: str, loopback: bool, other: bool) -> None:
    """Of this machine, and of one that others reach; an attacker's name has a dot, and points where that wants."""
    for own, expected in ((True, loopback), (False, other)):
        found = foreign_host(host.encode(), "arbitrank.lan", ["console.example.com"], loopback=own)
        assert (found is None) == expected, found
    assert foreign_host(None, "127.0.0.1", [], loopback=True) is None


def test_a_stated_name_is_served_and_a_foreign_one_gets_no_page_with_tokens_either(
    lights_site: Path, tmp_path: Path
) -> None:
    token, grant = make_token("all", ["admin"])
    (tmp_path / "tokens").write_text(f"{grant}\n")
    options = ("--tokens", str(tmp_path / "tokens"), "--allow-host", "Console.Example.com")
    with Service(lights_site, tmp_path / "store", *options) as service:
        assert service.call("GET", "/", host="console.example.com:8443")[0] == 200
        status, error, _ = service.call("GET", "/", host="attacker.example")
        assert (status, "--allow-host attacker.example" in error["error"]) == (403, True)
        assert service.call("GET", "/v1/domains", token=token, host="attacker.example")[0] == 200  # who has a token


def logged(service: Service, n: int, query: str = "") -> dict:
    """The page of the log, once it has n rows."""
    for _ in range(2_000):
        status, page, _ = service.call("GET", f"/v1/log?{query}")
        assert status == 200, page
        if len(page["rows"]) >= n:
            return page
    raise AssertionError(f"{len(page['rows'])} rows, expected {n}")


def test_a_trial_answers_as_the_service_does_and_is_not_logged(service: Service) -> None:
    request = {"utterance": "more light", "session": "tried"}
    status, tried, _ = service.call("POST", "/v1/try", {"request": request})
    assert status == 200
    _, answer = service.rank({**request, "session": "asked"})
    assert tried["decision"] == answer["decision"]
    assert [one["score"] for one in tried["ranked"]] == [one["score"] for one in answer["ranked"]]
    logged(service, 1, "session=asked")
    assert service.call("GET", "/v1/log?session=tried")[1]["rows"] == []


def test_a_request_of_the_log_is_read_whole_by_its_id_and_tried_with_all_of_it(service: Service) -> None:
    request = {"id": "a/whole one", "utterance": "more", "session": {"id": "attic", "turn": 2},
               "account": {"adult": True}, "dialogue": {"turn": 2}}  # fmt: skip
    service.rank(request)
    logged(service, 1, "words=a/whole%20one")
    (row,) = logged(service, 1, "id=a%2Fwhole%20one")["rows"]
    assert {key: row[key] for key in request} == request
    assert row["selection"] == {"eligible": [0], "probability": 1.0, "canary": {}, "decisions": None}
    assert row["versions"]["lights"] == row["version"]
    (short,) = service.call("GET", "/v1/log?words=a/whole%20one")[1]["rows"]
    assert not short.keys() & {"account", "dialogue", "selection", "versions"}
    assert service.call("GET", "/v1/log?id=absent")[1]["rows"] == []
    _, tried, _ = service.call("POST", "/v1/try", {"request": {key: row[key] for key in request}})
    assert tried["selection"] == row["selection"]


def test_a_trial_by_a_version_that_is_not_loaded_answers_by_it(service: Service) -> None:
    versions = {"lights": service.other}  # type: ignore[attr-defined]
    status, answer, _ = service.call("POST", "/v1/try", {"request": {"utterance": "more"}, "versions": versions})
    assert status == 200, answer
    assert (answer["domains"]["lights"]["version"], answer["ranked"][0]["intent"]) == (versions["lights"], "two")
    assert service.rank({"utterance": "more"})[1]["ranked"][0]["intent"] == "one"
    status, error, _ = service.call(
        "POST", "/v1/try", {"request": {"utterance": "more"}, "versions": {"attic": "0" * 12}}
    )
    assert (status, list(error)) == (404, ["error"])
    status, error, _ = service.call(
        "POST", "/v1/try", {"request": {"utterance": "x"}, "versions": {"lights": "0" * 12}}
    )
    assert status in (409, 422)
    assert "0" * 12 in error["error"]


def test_a_trial_of_a_session_is_answered_by_its_arm_of_a_canary(service: Service) -> None:
    def tried(session: str) -> dict:
        return service.call("POST", "/v1/try", {"request": {"utterance": "more", "session": session}})[1]

    store = open_store(service.store, environment={})  # type: ignore[attr-defined]
    store.canary("lights", 0.5)
    until(lambda: tried("s0")["selection"]["canary"])
    arms = {}
    for number in range(20):
        answer = tried(f"s{number}")
        (drawn,) = answer["selection"]["canary"].values()
        arms[drawn["arm"]] = answer["ranked"][0]["intent"], answer["selection"]["probability"]
        _, served = service.rank({"utterance": "more", "session": f"s{number}"})
        assert served["ranked"][0]["intent"] == answer["ranked"][0]["intent"]
    assert arms == {"stable": ("one", 0.5), "canary": ("two", 0.5)}
    store.canary("lights", 0.0)
    until(lambda: not tried("s0")["selection"]["canary"])


def test_the_log_is_filtered_and_followed_and_shows_what_was_reported_since(service: Service) -> None:
    service.rank({"id": "first", "utterance": "<b>on</b>", "session": {"id": "kitchen"}, "context": {"device": "tv"}})
    service.rank({"id": "second", "hypotheses": []})
    page = logged(service, 1, "words=second")
    assert (page["rows"][0]["action"], page["words"]) == ("none", "keep")
    (row,) = logged(service, 1, "session=kitchen")["rows"]
    assert (row["utterance"], row["domain"], row["context"]) == ("<b>on</b>", "lights", {"device": "tv"})
    assert row["probability"] == pytest.approx(0.7)
    for query, found in (
        ("action=none&words=first", 0), ("words=B%3EON", 1), ("below=0.71&words=first", 1),
        ("below=0.69&words=first", 0),
        ("domain=lights&words=first", 1), ("domain=attic&words=first", 0),
        ("domain=shades&words=first", 1), ("failed=true&words=first", 1),  # shades has no weights
        ("limit=1", 1),
    ):  # fmt: skip
        assert len(service.call("GET", f"/v1/log?{query}")[1]["rows"]) == found, query
    cursor = service.call("GET", "/v1/log")[1]["cursor"]
    assert service.call("GET", f"/v1/log?after={cursor + 60}")[1]["rows"] == []
    service.call("POST", "/v1/feedback", {"id": "first", "outcome": "rejected", "truth": {"domain": "shades"}})
    for _ in range(2_000):  # lines of several writers come out of order, so what is recent comes again
        (row,) = logged(service, 1, f"after={cursor}&words=first")["rows"]
        if "truth" in row:
            break
    assert (row["id"], row["outcome"], row["truth"]) == ("first", "rejected", {"domain": "shades"})


def test_a_logged_answer_becomes_an_incident_by_who_may_read_the_log_and_publish(
    lights_site: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    scopes = {"team": ["publish:lights", "log"], "other": ["publish:shades", "log"], "blind": ["publish:lights"]}
    made = {name: make_token(name, of) for name, of in scopes.items()}
    tokens.write_text("".join(f"{grant}\n" for _, grant in made.values()))
    by = {name: token for name, (token, _) in made.items()}
    fakes.artifact(tmp_path / "one", "lights", fakes.CARD, intent="one", mine=0.7)
    open_store(tmp_path / "store", environment={}).publish(tmp_path / "one", promote=True)
    log = tmp_path / "log"
    with AnswerLog(log) as written:
        ranked = (Ranked("lights", "one", score=0.7, probability=0.7),)
        answer = Answer("7", Decision("accept", (0,)), ranked, {}, {})
        written.write(Request(id="7", utterance="it is dark"), answer)
    with Service(lights_site, tmp_path / "store", "--tokens", str(tokens), "--log", str(log)) as service:
        path = "/v1/domains/lights/incidents"
        for name, status in (("other", 403), ("blind", 403), ("team", 200)):
            assert service.call("POST", path, {"id": "7", "reason": "no lamp"}, by[name])[0] == status
        _, again, _ = service.call("POST", path, {"id": "7", "reason": "no lamp"}, by["team"])
        assert again == {"domain": "lights", "name": "7", "new": False, "demands_truth": False}
        assert service.call("POST", path, {"id": "7"}, by["team"])[1]["new"] is False  # it keeps its reason
        assert service.call("POST", path, {"id": "7", "undo": True}, by["other"])[0] == 403
        assert service.call("POST", path, {"id": "7", "undo": True}, by["team"])[1]["new"] is True
        assert stored_cases(open_store(tmp_path / "store", environment={})) == []
        assert service.call("POST", path, {"id": "7", "undo": True}, by["team"])[1]["new"] is False
        assert service.call("POST", path, {"id": "7", "reason": "no lamp"}, by["team"])[1]["new"] is True
        assert service.call("POST", path, {"id": "8"}, by["team"])[0] == 404
        assert service.call("POST", "/v1/domains/.decisions/incidents", {"id": "7"}, by["team"])[0] == 403
    (case,) = stored_cases(open_store(tmp_path / "store", environment={}))
    assert (case.request.utterance, case.notes.reason, case.notes.owner) == ("it is dark", "no lamp", "team")


def test_the_watch_looks_when_it_is_asked(service: Service) -> None:
    def watched() -> float:
        return service.call("GET", "/v1/status")[1]["watched"] or 0.0

    until(watched)
    status, asked, _ = service.call("POST", "/v1/health/look")
    assert (status, asked["watched"]) == (200, watched())
    until(lambda: watched() > asked["watched"])  # the next look by itself is minutes away


@pytest.mark.parametrize("query", ["limit=0", "limit=9999", "limit=x", "action=maybe", "below=much", "colour=red"])
def test_a_bad_query_of_the_log_is_refused(service: Service, query: str) -> None:
    status, error, _ = service.call("GET", f"/v1/log?{query}")
    assert status == 400
    assert query.partition("=")[0] in error["error"]


def test_the_service_tells_which_keys_are_read_and_what_it_has(service: Service) -> None:
    status, found, _ = service.call("GET", "/v1/service")
    assert status == 200
    assert (found["tokens"], found["log"], found["words"], found["scopes"]) == (False, True, "keep", [])
    assert "device" in {one["key"] for one in found["context_keys"]}


def test_with_tokens_pages_documentation_and_health_alone_need_no_scope() -> None:
    public = {one.path for one in OPERATIONS if one.scope is None}
    assert public == {"/", "/console/{file}", "/docs", "/openapi.json", "/healthz", "/readyz"}


def test_with_tokens_each_call_needs_its_scope_and_without_the_console_its_calls_stay(
    lights_site: Path, tmp_path: Path
) -> None:
    tokens, made = tmp_path / "tokens", {scope: make_token(scope, [scope]) for scope in ("rank", "log", "admin")}
    tokens.write_text("".join(f"{grant}\n" for _, grant in made.values()))
    by = {scope: token for scope, (token, _) in made.items()}
    options = ("--tokens", str(tokens), "--no-console", "--log", str(tmp_path / "log"), "--log-words", "drop")
    with Service(lights_site, tmp_path / "store", *options) as service:
        for path in ("/", "/console/main.js"):
            assert service.call("GET", path)[0] == 404
        assert service.call("GET", "/v1/log")[0] == 401
        assert service.call("GET", "/v1/log", token=by["rank"])[0] == 403
        assert service.call("GET", "/v1/log", token=by["log"])[0] == 200
        assert service.call("POST", "/v1/try", {"request": {"utterance": "x"}}, by["log"])[0] == 403
        assert service.call("GET", "/v1/service", token=by["log"])[1]["scopes"] == ["log"]
        service.rank({"id": "secret", "utterance": "my secret", "session": "mine"}, token=by["rank"])
        for _ in range(2_000):
            _, page, _ = service.call("GET", "/v1/log", token=by["admin"])
            if page["rows"]:
                break
        made = service.call("POST", "/v1/domains/lights/incidents", {"id": "secret", "reason": "dark"}, by["admin"])
        assert (made[0], made[1]["error"]) == (
            409,
            "secret: the log keeps neither its words nor hypotheses, so it cannot be answered again",
        )
        assert "secret" not in json.dumps(page).replace('"id":"secret"', "").replace('"id": "secret"', "")
        assert (page["words"], page["rows"][0]["utterance_length"]) == ("drop", len("my secret"))


def test_where_others_can_reach_it_the_log_needs_tokens() -> None:
    assert permitted(None, "log", {}, open_=True, loopback=True) is None
    found = permitted(None, "log", {}, open_=True, loopback=False)
    assert isinstance(found, Denied)
    assert "--tokens" in found.reason
