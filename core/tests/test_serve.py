"""The service as clients and operators use it: a process of its own on a port of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fakes
import pytest
import services
from services import Service, answer_on, answers_on, raw_call
from waiting import until

from arbitrank.serve.auth import make_token
from arbitrank.store.kinds import RESERVED
from arbitrank.store.store import open_store


@pytest.fixture(scope="module")
def site(lights_site: Path) -> Path:
    return lights_site


def artifact(folder: Path, number: int = 0, domain: str = "lights", **more: str) -> str:
    """An artifact that reads every request as `intentN`; its version."""
    return fakes.artifact(folder, domain, fakes.CARD, intent=f"intent{number}", mine=0.6 + number / 100, **more)


class World:
    """A store with three versions of `lights`, `versions[0]` stable and `versions[1]` before it; one of `shades`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "store"
        self.store = open_store(self.root, environment={})
        self.versions = [artifact(folder / f"v{number}", number) for number in range(3)]
        for number in (1, 0):
            self.store.publish(folder / f"v{number}", promote=True)
        self.store.publish(folder / "v2")
        artifact(folder / "shades", domain="shades")
        self.store.publish(folder / "shades", promote=True)

    def add(self, name: str, **more: str) -> str:
        """Publish a version that does something when it is loaded."""
        version = artifact(self.folder / name, 9, **more)
        self.store.publish(self.folder / name)
        return version


@pytest.fixture
def world(tmp_path: Path, site: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Iterator[services.Service]:
    """A service that no test changes; it logs every call."""
    world = World(tmp_path_factory.mktemp("shared"))
    names = world.folder / "names.toml"
    names.write_text('none = ["nothing"]\n', encoding="utf-8")
    with Service(site, world.root, "--sample", "1", "--map", f"rasa={names}") as service:
        service.world = world
        yield service


BRIGHT = {"id": "1", "utterance": "more light", "context": {"device": "tv"}}
READINGS = {"hypotheses": [{"domain": "lights", "intent": "Dim", "domain_confidence": 0.4}]}

# ---------------------------------------------------------------------------------------------------------------- rank


def test_the_service_answers_as_the_command_line_does(shared, site: Path, arbitrank) -> None:
    for request in (BRIGHT, {"id": "2", **READINGS}, {"id": "3", "hypotheses": []}):
        status, answer = shared.rank(request)
        assert status == 200
        done = arbitrank(
            "rank", "--store", str(shared.world.root), input=json.dumps(request), PYTHONPATH=str(site),
            ARBITRANK_DOMAINS="lights,shades",
        )  # fmt: skip
        expected = json.loads(done.stdout)
        for one in (answer, expected):
            one.pop("ms")
            for report in one["domains"].values():
                report.pop("ms")
        assert answer == expected


def test_a_request_without_an_id_is_given_one(shared) -> None:
    ids = {shared.rank({"utterance": "more light"})[1]["id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(ids)


def test_a_list_is_answered_by_a_list_in_its_order(shared) -> None:
    status, answers = shared.rank([{**BRIGHT, "id": str(n)} for n in range(300)])
    assert status == 200
    assert [one["id"] for one in answers] == [str(n) for n in range(300)]
    assert shared.rank([]) == (200, [])
    assert shared.rank(b"  \n [] ") == (200, [])


def test_payloads_of_another_system_are_read_by_their_format(shared) -> None:
    def intents(answer: Any) -> list[str]:
        return [one["intent"] for one in answer["ranked"]]

    ranking = [{"name": name, "confidence": 0.4} for name in ("Dim", "nothing")]
    payload = {"text": "more light", "intent_ranking": ranking}
    status, answer = shared.call("POST", "/v1/rank?format=rasa&domain=lights", payload)[:2]
    assert (status, intents(answer)) == (200, ["Dim"])
    status, answers = shared.call("POST", "/v1/rank?format=rasa&domain=lights", [payload, payload])[:2]
    assert (status, [intents(one) for one in answers]) == (200, [["Dim"], ["Dim"]])
    said = {"type": "question:query.response", "data": {"skill_id": "lights", "phrase": "x", "answer": "y", "conf": 1}}
    for body, shape in (([said, said], dict), ([[said], [said]], list)):  # of OVOS, a list is one payload
        status, answer = shared.call("POST", "/v1/rank?format=ovos", body)[:2]
        assert (status, type(answer)) == (200, shape)
    for query, problem in (
        ("format=rasa", "intent.confidence: 2.0 is out of range, expected a number in [0, 1]"),
        ("format=rasas", 'format "rasas": unknown, expected one of rasa, '),
        ("format=rasa&domain=A%20b", 'domain: "A b" is no domain\'s name, expected '),
    ):
        status, answer = shared.call("POST", f"/v1/rank?{query}", {"intent": {"name": "a", "confidence": 2}})[:2]
        assert status == 400
        assert answer["error"].startswith(problem)


DEEP = {"utterance": "x", "context": {"a": json.loads("[" * 40 + "]" * 40)}}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'"words"', 400, "an object"),
        (b'{"id": {"a": "\\ud800"}}', 400, "surrogates"),
        ({"id": {"a": 1}, "utterance": "x"}, 400, "expected a text"),
        ({}, 400, "neither utterance nor hypotheses"),
        ({"utterance": " "}, 400, "a blank utterance"),
        ({"utterence": "more light"}, 400, "utterence: unknown key, expected utterance"),
        ({"text": "more light", "intent_ranking": []}, 400, "a payload of Rasa"),
        ({"utterances": [{"text": "x" * 2001}]}, 400, "utterances[0]: 2001 characters, expected at most 2000"),
        (b'{"utterance_length": 2.5, "hypotheses": []}', 400, "2.5"),
        (b"[1]", 400, "[0]: "),
        (b"[{]", 400, "not JSON"),
        (b"[" * 100_000, 400, ""),
        (b'{"context":' * 3000 + b"1" + b"}" * 3000, 400, "nested too deeply"),
        ({"utterance": "x" * 2001}, 400, "at most 2000"),
        ({"id": "x" * 201, "utterance": "x"}, 400, "at most 200"),
        (DEEP, 400, "16 levels"),
        ({"hypotheses": [{"domain": "a", "intent": "b"}] * 10_001}, 400, "at most 10000"),
        ([{}] * 1001, 413, "at most 1000"),
        ({"context": {"a": "x" * (1 << 20)}}, 413, "at most 1048576"),
    ],
)
def test_a_bad_request_is_refused_with_its_error(shared, body: object, status: int, error: str) -> None:
    seen, answer = shared.rank(body)
    assert (seen, list(answer)) == (status, ["error"])
    assert error in answer["error"]


@pytest.mark.parametrize(
    ("faulty", "domain", "reason"),
    [
        (b'{"domain": "lights"}', "lights", "hypotheses[1]: lacks the field intent"),
        (b'{"domain": "", "intent": "x"}', "hypotheses[1]", "hypotheses[1].domain: "),
        (b'{"domain": "lights", "intent": "x", "domain_confidence": 1.2}', "lights", "1.2 is out of range"),
        (b'{"domain": "lights", "intent": "x", "domain_confidence": NaN}', "lights", "NaN is out of range"),
        (b'{"domain": "lights", "intent": "x", "conf": 1}', "lights", "hypotheses[1].conf: unknown key"),
    ],
)
def test_a_faulty_hypothesis_costs_its_domain_alone(shared, faulty: bytes, domain: str, reason: str) -> None:
    other = b'{"domain": "heating", "intent": "Warm", "domain_confidence": 0.9}'
    body = b'{"utterance": "warm light", "hypotheses": [%s, %s]}' % (other, faulty)
    for sent in (body, b"\xef\xbb\xbf" + body, b"[%s]" % body):
        status, answer = shared.rank(sent)
        assert status == 200
        domains = (answer[0] if isinstance(answer, list) else answer)["domains"]
        assert domains["heating"]["status"] in ("answered", "unserved")
        assert domains[domain]["status"] == "failed"
        assert reason in domains[domain]["reason"]


def test_what_is_not_as_expected_is_an_event_once(shared) -> None:
    odd = {"utterance": "more light", "id": 7, "colour": "private words", "context": {"devise": "private words"}}
    for _ in range(3):
        status, answer = shared.rank(odd)
        assert (status, answer["id"]) == (200, "7")
    until(lambda: sum(line["event"] == "input" for line in shared.lines) >= 2)
    seen = [line["what"] for line in shared.lines if line["event"] == "input"]
    assert seen.count("id: a number, read as a text; expected a text") == 1
    assert seen.count("colour: unknown key, ignored") == 1
    assert not any("private" in what for what in seen)


def test_a_body_of_faulty_hypotheses_is_answered_with_bounded_reasons(shared) -> None:
    status, answer = shared.rank({"hypotheses": [{"intent": None}] * 10_000})
    assert (status, answer["decision"]["action"]) == (200, "none")
    assert len(answer["domains"]) < 20


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "error"),
    [
        ("GET", "/v1/rank", {}, 405, "expected POST"),
        ("PUT", "/v1/feedback", {}, 405, "expected POST"),
        ("POST", "/v1/rank", {"content_type": "text/plain"}, 415, "application/json"),
        ("POST", "/v1/feedback", {"content_type": "text/plain"}, 415, "application/json"),
        ("GET", "/console", {}, 404, "/docs"),
        ("GET", "/v1/domains/", {}, 404, "/docs"),
        ("GET", "/v1/domains/absent/versions", {}, 404, "not installed"),
        ("POST", "/v1/domains/lights/rollback", {}, 403, "no tokens are set"),
        ("POST", "/v1/rank", {"origin": "https://elsewhere.example"}, 403, "Origin"),
        ("POST", "/v1/rank", {"host": "elsewhere.example"}, 403, "Host"),
        ("GET", "/v1/domains", {"host": "elsewhere.example"}, 403, "Host"),
    ],
)
def test_a_bad_call_is_refused_with_its_error(
    shared, method: str, path: str, headers: dict, status: int, error: str
) -> None:
    seen, answer, got = shared.call(method, path, b"{}" if method != "GET" else None, **headers)
    assert (seen, list(answer)) == (status, ["error"])
    assert error in answer["error"]
    assert (status == 405) == ("allow" in got)


def test_every_answer_carries_the_ids_of_its_call(shared) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    refused = shared.call("GET", "/v1/rank", x_request_id="mine", traceparent=trace)
    assert (refused[0], refused[2]["x-request-id"], refused[2]["traceparent"]) == (405, "mine", trace)
    for method, path, body in [("POST", "/v1/rank", BRIGHT), ("POST", "/v1/rank", {}), ("GET", "/v1/domains", None)]:
        headers = shared.call(method, path, body, x_request_id="mine", traceparent=trace)[2]
        assert (headers.get_all("x-request-id"), headers["traceparent"]) == (["mine"], trace)
        made = shared.call(method, path, body, x_request_id="not mine", traceparent="malformed")[2]
        assert made["x-request-id"] != "not mine"
        assert "traceparent" not in made
        event = shared.event("call", request_id=made["x-request-id"])
        assert event["path"] == path
    assert shared.event("call", request_id="mine")["traceparent"] == trace


def test_a_domain_that_fails_loses_its_own_place_and_is_counted(shared) -> None:
    status, answer = shared.rank({"utterance": "fail"})
    assert status == 200
    assert answer["domains"]["lights"]["status"] == "failed"
    page = shared.call("GET", "/metrics")[1]
    assert 'arbitrank_domain_troubles_total{domain="lights",status="failed"} ' in page
    assert 'arbitrank_calls_total{route="/v1/rank",status="200"}' in page


def test_feedback_needs_an_id_and_a_truth_or_an_outcome(shared) -> None:
    truth = {"domain": "lights", "intent": "intent0"}
    receipt = {"id": "1", "logged": False, "counted": False}
    several = {"domains": ["lights", "shades"], "intent": "intent0"}
    for one in (truth, several, [truth, several]):
        assert shared.call("POST", "/v1/feedback", {"id": "1", "truth": one})[:2] == (200, receipt)
    for given in (
        {"id": 1, "session": 5},
        {"id": 1.0, "session": {"id": "s", "turn": 2}},
    ):  # as a request may have them
        assert shared.call("POST", "/v1/feedback", {**given, "truth": truth})[:2] == (200, receipt)
    for body, error in (
        ({"id": "1"}, "neither"),
        ({"truth": truth}, "id"),
        ({"id": "1", "truth": []}, "truth"),
        (b"[", "body"),
        ({"id": "x" * 201}, ""),
        ({"id": True, "truth": truth}, "id"),
    ):
        status, answer, _ = shared.call("POST", "/v1/feedback", body)
        assert status == 400
        assert error in answer["error"]


def test_the_domains_and_their_versions_are_listed(shared) -> None:
    status, rows, _ = shared.call("GET", "/v1/domains")
    world = shared.world
    assert status == 200
    found = {row["name"]: (row["status"], row["version"]) for row in rows}
    assert found["lights"] == ("loaded", world.versions[0])
    assert {status for status, _ in found.values()} <= {"loaded", "disabled"}
    status, listed, _ = shared.call("GET", "/v1/domains/lights/versions")
    assert sorted(world.versions) == listed["versions"]
    assert listed["state"]["candidate"] == world.versions[2]
    for name in RESERVED:
        status, listed, _ = shared.call("GET", f"/v1/domains/{name}/versions")
        assert (status, listed["domain"], listed["versions"]) == (200, name, [])


def test_the_openapi_page_lists_every_path_and_is_self_contained(shared) -> None:
    status, described, _ = shared.call("GET", "/openapi.json")
    assert (status, described["openapi"]) == (200, "3.1.0")
    status, page, headers = shared.call("GET", "/docs")
    assert status == 200
    assert all(path.replace("{", "{") in page for path in described["paths"])
    assert "<script" not in page
    assert "src=" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_no_event_holds_a_user_s_words(shared) -> None:
    shared.rank({"utterance": "a secret wish"})
    shared.rank({"utterance": "fail a secret wish"})
    shared.rank(b'{"utterance": "a secret wish", "context": 1}')

    def logged() -> bool:
        shared.call("GET", "/healthz")
        return any(line.get("path") == "/healthz" for line in shared.lines)

    until(logged)  # of these events at most 20 a second are written
    assert "secret" not in json.dumps(shared.lines)
    assert {"path", "status", "ms"} <= shared.event("call", path="/v1/rank", status=400).keys()


# ------------------------------------------------------------------------------------- promotion, tokens, policy


def token(arbitrank, file: Path, name: str, *scopes: str) -> str:
    done = arbitrank("token", name, *scopes, "--tokens", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_promotions_are_judged_and_answers_follow(world: World, site: Path, arbitrank, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    admin, team = token(arbitrank, tokens, "op", "admin"), token(arbitrank, tokens, "team", "publish:lights")
    broken = world.add("broken", load="raise")
    world.store.publish(world.folder / "v2")  # the candidate again
    with Service(site, world.root, "--tokens", str(tokens), "--poll", "0.1") as service:

        def version() -> str:
            return service.rank(BRIGHT, token=admin)[1]["domains"]["lights"]["version"]

        def post(verb: str, body: object = None, token: str = team) -> tuple:
            return service.call("POST", f"/v1/domains/lights/{verb}", body, token)[:2]

        assert version() == world.versions[0]
        status, reply = post("promote", {"version": broken})
        assert status == 422
        assert "the gate refuses" in reply["error"]
        assert reply["reasons"][0]["what"] == "self-test"
        assert version() == world.versions[0]
        status, reply = post("promote")
        assert (status, reply["state"]["stable"]) == (200, world.versions[2])
        until(lambda: version() == world.versions[2])
        status, reply = post("rollback", {"reason": "worse"})
        assert (status, reply["state"]["stable"]) == (200, world.versions[0])
        until(lambda: version() == world.versions[0])
        last = world.store.history("lights")[-1]
        assert (last.by, last.via, last.reason) == ("team", "service", "worse")
        status, reply = post("rollback", {"reason": "fine\n    4  promote: by ada"})
        assert status == 400
        assert "control character U+000A" in reply["error"]
        assert post("canary", {"share": 0.5})[0] == 409  # there is no candidate any more
        world.store.publish(world.folder / "v1")
        assert post("canary", {"share": 1})[1]["state"]["canary"] == 1.0
        until(lambda: version() == world.versions[1])
        assert post("promote", {"version": "0" * 12})[0] == 422
        assert service.call("POST", "/v1/domains/.decisions/promote", None, admin)[0] == 409  # no candidate
        assert service.call("POST", "/v1/domains/.decisions/promote", None, team)[0] == 403
        assert post("promote", {"version": "../../x"})[0] == 400
        assert post("promote", {"force": True})[0] == 400
        assert post("canary", {"share": 2})[0] == 400
        assert post("canary", {"share": 1, "more": 1})[0] == 400


def test_a_scope_admits_to_its_own_calls_and_tokens_are_read_again(
    world: World, site: Path, arbitrank, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    by = {scope: token(arbitrank, tokens, "x", scope) for scope in ("rank", "feedback", "publish:lights", "admin")}
    calls = {
        "rank": ("POST", "/v1/rank", BRIGHT),
        "feedback": ("POST", "/v1/feedback", {"id": "1", "outcome": "accepted"}),
        "publish:lights": ("POST", "/v1/domains/lights/canary", {"share": 0}),
        "publish:shades": ("POST", "/v1/domains/shades/canary", {"share": 0}),
        "any": ("GET", "/v1/domains", None),
    }
    assert all(secret not in tokens.read_text() for secret in by.values())
    assert tokens.stat().st_mode & 0o077 == 0
    with Service(site, world.root, "--tokens", str(tokens)) as service:
        for scope, secret in by.items():
            for needed, (method, path, body) in calls.items():
                allowed = needed in (scope, "any") or scope == "admin"
                assert service.call(method, path, body, secret)[0] == (200 if allowed else 403), (scope, needed)
        for method, path, body in calls.values():
            status, reply, headers = service.call(method, path, body)
            assert (status, reply["error"], headers["www-authenticate"]) == (401, "no bearer token", "Bearer")
            assert service.call(method, path, body, "x" * 43)[0] == 401
        assert service.call("GET", "/healthz")[0] == service.call("GET", "/readyz")[0] == 200
        assert service.call("GET", "/metrics")[0] == 401
        assert service.rank(BRIGHT, authorization=f"Basic {by['rank']}")[0] == 401
        # one that is taken away, one that is new, and a file that is wrong
        lines = tokens.read_text().splitlines()
        new = token(arbitrank, tmp_path / "new", "y", "rank")
        tokens.write_text("\n".join([*lines[1:], (tmp_path / "new").read_text()]))
        until(lambda: service.rank(BRIGHT, token=new)[0] == 200)
        assert service.rank(BRIGHT, token=by["rank"])[0] == 401
        tokens.write_text("rank what is this\n")
        until(lambda: service.call("GET", "/readyz")[1]["problems"])
        assert service.rank(BRIGHT, token=new)[0] == 200
        shown = json.dumps(service.lines) + json.dumps(service.call("GET", "/readyz")[1])
        assert not any(secret in shown for secret in by.values())
        assert service.event("refused", path="/v1/rank")["reason"]


def test_the_policy_is_read_again_and_an_invalid_one_rejected(world: World, site: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[domains.lights]\nask = true\n[domains.shades]\nask = true\n")
    with Service(site, world.root, "--policy", str(policy), "--clarify", "0") as service:
        decision = service.rank(BRIGHT)[1]["decision"]
        assert decision == {"action": "clarify", "contenders": [0], "reason": "lights intent0 always asks"}
        policy.write_text("[domains.lights]\nask = 3\n")
        until(lambda: service.call("GET", "/readyz")[1]["problems"])
        assert service.call("GET", "/readyz")[1]["kinds"] == ["policy"]
        assert "ask" in service.event("policy", level="error")["reason"]
        assert service.rank(BRIGHT)[1]["decision"] == decision
        policy.write_text("")
        until(lambda: service.rank(BRIGHT)[1]["decision"] == {"action": "accept", "contenders": [0]})
        ready = service.call("GET", "/readyz")[1]
        assert (ready["ready"], ready["problems"]) == (True, [])
        assert "arbitrank_policy_total 0.0" not in service.call("GET", "/metrics")[1]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--host", "0.0.0.0"], "--open"),
        (["--policy", "none.toml"], "cannot be read"),
        (["--tokens", "none"], "cannot be read"),
        (["--ssl-keyfile", "x"], "--ssl-certfile"),
        (["--deadline", "5"], "--isolate"),
        (["--shadow", "x", "--log", "x"], "the folder of --log"),
        (["--shadow", __file__], "not a folder"),
        (["--host", "192.0.2.1", "--open"], "cannot listen"),
    ],
)
def test_options_that_exclude_each_other_are_refused_in_one_line(arbitrank, options: list[str], error: str) -> None:
    done = arbitrank("serve", "--port", "0", *options)
    assert done.returncode == 2
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["x", "sing"], "scope 'sing'"), (["#x", "rank"], "name"), (["x", "publish:../a"], "scope")],
)
def test_a_token_with_a_bad_scope_or_name_is_not_made(arbitrank, arguments: list[str], error: str) -> None:
    done = arbitrank("token", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr


def test_a_certificate_enables_tls(world: World, site: Path, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem", "-addext", "subjectAltName=DNS:localhost"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    options = ("--ssl-certfile", str(tmp_path / "cert.pem"), "--ssl-keyfile", str(tmp_path / "key.pem"))
    with Service(site, world.root, *options) as service:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with context.wrap_socket(service.connect(), server_hostname="localhost") as connection:
            connection.sendall(raw_call(json.dumps(BRIGHT).encode()))
            assert answer_on(connection)[0] == 200
        with service.connect() as plain:
            plain.sendall(raw_call(b"{}"))
            assert plain.recv(100)[:8] != b"HTTP/1.1"


# -------------------------------------------------------------------------------------------- starting and stopping


def test_the_service_is_ready_once_the_stable_versions_are_loaded(world: World, site: Path, tmp_path: Path) -> None:
    world.store.promote("lights", world.add("waits", load="wait", file=str(tmp_path / "go")))
    with Service(site, world.root, wait=False) as service:
        assert service.call("GET", "/healthz")[0] == 200
        status, health, _ = service.call("GET", "/readyz")
        assert (status, health["ready"]) == (503, False)
        status, _, headers = service.call("POST", "/v1/rank", BRIGHT)
        assert (status, headers["retry-after"]) == (503, "1")
        (tmp_path / "go").touch()
        service.event("ready")
        assert service.call("GET", "/readyz")[0] == 200
        assert service.rank(BRIGHT)[0] == 200


def test_a_stop_finishes_the_calls_that_have_begun(world: World, site: Path, tmp_path: Path) -> None:
    service = Service(site, world.root, "--limit-seconds", "1")
    with service, service.connect() as connection, service.connect() as arriving:
        arriving.sendall(raw_call(b"{}" * 50)[:-40])
        connection.sendall(raw_call(json.dumps({"utterance": f"wait {tmp_path / 'go'}"}).encode()))
        until((tmp_path / "go.begun").exists)
        service.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        status, body = answer_on(connection)
        assert status == 200
        assert json.loads(body)["ranked"]
        assert answer_on(arriving)[0] == 408
        assert service.process.wait(20) == 0
        assert service.event("stopped")


def test_a_draining_service_answers_but_is_not_ready(world: World, site: Path) -> None:
    with Service(site, world.root, "--drain", "1") as service:
        service.process.send_signal(signal.SIGTERM)
        until(lambda: service.call("GET", "/readyz")[0] == 503)
        assert service.call("GET", "/readyz")[1]["problems"] == ["the service is stopping"]
        assert service.rank(BRIGHT)[0] == 200
        assert service.process.wait(20) == 0


def test_two_workers_share_a_port_and_their_counters(world: World, site: Path) -> None:
    with Service(site, world.root, "--workers", "2", "--poll", "0.1") as service:
        service.event("ready", 2)
        workers = {line["worker"] for line in service.lines if line["event"] == "ready"}
        assert len(workers) == 2
        calls = 40
        for _ in range(calls):
            assert service.rank(BRIGHT)[0] == 200
        page = service.call("GET", "/metrics")[1]
        assert f'arbitrank_calls_total{{route="/v1/rank",status="200"}} {float(calls)}' in page
        assert f'arbitrank_domain_answers_total{{arm="stable",domain="lights"}} {float(calls)}' in page
        for name in ("arbitrank_pending", "process_resident_memory_bytes"):
            assert {str(one) for one in workers} <= {
                line.split('"')[1] for line in page.splitlines() if name + "{" in line
            }
        world.store.promote("lights", world.versions[2])
        answers = [service.rank(BRIGHT)[1]["domains"]["lights"]["version"] for _ in range(5)]
        until(
            lambda: {service.rank(BRIGHT)[1]["domains"]["lights"]["version"] for _ in range(20)} == {world.versions[2]}
        )
        assert set(answers) <= {world.versions[0], world.versions[2]}
        os.kill(min(workers), signal.SIGKILL)
        service.event("worker ended")
        service.event("ready", 3)
        page = service.call("GET", "/metrics")[1]
        assert f'worker="{min(workers)}"' not in page
        assert "arbitrank_worker_ends_total 1.0" in page
        counted = page.partition('arbitrank_calls_total{route="/v1/rank",status="200"} ')[2].partition("\n")[0]
        assert float(counted) >= calls + 25  # the killed worker's included
        assert service.rank(BRIGHT)[0] == 200
        assert service.stop() == 0


# ------------------------------------------------------------------------------------------------- limits


def test_beyond_the_pending_limit_requests_are_refused_with_503(world: World, site: Path, tmp_path: Path) -> None:
    with Service(site, world.root, "--limit-waiting", "4") as service:
        connections = [service.connect() for _ in range(30)]
        for one in connections:
            one.sendall(raw_call(json.dumps(BRIGHT).encode()))
            assert answer_on(one)[0] == 200
        first, *others = connections
        first.sendall(raw_call(json.dumps({"utterance": f"wait {tmp_path / 'go'}"}).encode()))
        until((tmp_path / "go.begun").exists)
        for one in others:
            one.sendall(raw_call(json.dumps(BRIGHT).encode()))
        (tmp_path / "go").touch()
        statuses = [answer_on(one)[0] for one in connections]
        assert statuses[0] == 200
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 5
        for one in connections:  # and the connections go on
            one.sendall(raw_call(json.dumps(BRIGHT).encode()))
            assert answer_on(one)[0] == 200
            one.close()
        page = service.call("GET", "/metrics")[1]
        assert f"}} {float(statuses.count(503))}" in page.partition("arbitrank_shed_total")[2]


def test_a_slow_client_is_cut_off_and_others_are_answered_meanwhile(world: World, site: Path) -> None:
    body = json.dumps(BRIGHT).encode()
    with Service(site, world.root, "--limit-seconds", "1", "--limit-waiting", "2") as service:
        silent, drips, half = (service.connect() for _ in range(3))
        drips.sendall(b"POST /v1/rank HTTP/1.1\r\nx: ")
        half.sendall(raw_call(body)[:-5])
        for _ in range(5):
            assert service.rank(BRIGHT)[0] == 200
        assert silent.recv(100) == b""
        assert answer_on(drips)[0] == 408
        assert answer_on(half)[0] == 408
        # one that never takes its answers
        stuck = service.connect()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Different intents, as equal readings count once.
        wide = {"hypotheses": [{"domain": "lights", "intent": f"{i:0200}"} for i in range(4_000)]}
        stuck.sendall(raw_call(json.dumps([wide] * 8).encode()))
        until(lambda: 'why="stuck"' in service.call("GET", "/metrics")[1])
        page = service.call("GET", "/metrics")[1]
        assert f'why="slow",worker="{service.worker}"}} 3.0' in page
        stuck.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT example.org:443 HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"POST /v1/rank HTTP/1.1\r\nx: " + b"a" * 40_000, 431),
        (b"GET /" + b"a" * 70_000, 431),
        (raw_call(b"").replace(b"content-length: 0", b"content-length: x"), 400),
        (raw_call(b"").replace(b"content-length: 0", b"content-length: 9\r\ntransfer-encoding: chunked"), 400),
        (raw_call(b"[" + b" " * (9 << 20)), 413),
        (b"POST /v1/choose HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999\r\n\r\n" + b" " * 99_999, 413),
        (b"\x16\x03\x01\x02\x00\x01", 400),
    ],
)
def test_malformed_http_is_refused_and_the_connection_closed(shared, sent: bytes, status: int) -> None:
    with shared.connect() as connection:
        with suppress(OSError):  # it may be cut off while it is still sending
            connection.sendall(sent)
        with suppress(ConnectionError):
            seen, body = answer_on(connection)
            assert seen in (status, 0)
            assert not body or list(json.loads(body)) == ["error"]
            assert connection.recv(1) == b""
    assert shared.rank(BRIGHT)[0] == 200


def test_calls_of_one_connection_are_answered_in_order(shared) -> None:
    with shared.connect() as connection:
        connection.sendall(b"".join(raw_call(json.dumps({**BRIGHT, "id": str(n)}).encode()) for n in range(6)))
        found = answers_on(connection, 6)
        assert [json.loads(body)["id"] for _, body in found] == [str(n) for n in range(6)]
        connection.sendall(raw_call(json.dumps(BRIGHT).encode(), "expect: 100-continue"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert answer_on(connection)[0] == 200


def test_the_command_shows_open_circuits_of_a_running_service(world: World, site: Path, arbitrank) -> None:
    with Service(site, world.root) as service:
        url = f"http://127.0.0.1:{service.port}"
        for _ in range(5):
            service.rank({"utterance": "fail"})
        done = arbitrank("domains", "--service", url, "--json")
        rows = {row["name"]: row for row in json.loads(done.stdout)}
        assert (rows["lights"]["status"], rows["books"]["status"]) == ("let be", "disabled")
        assert "RuntimeError (" in rows["lights"]["reason"]
        assert "out of order" not in rows["lights"]["reason"]  # which may hold words of another user
        assert "let be" in arbitrank("domains", "--service", url).stdout
    gone = arbitrank("domains", "--service", url)
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)
    assert "cannot be reached" in gone.stderr
    for wrong in ("ftp://a", "a:b", "http://"):
        assert "no URL" in arbitrank("domains", "--service", wrong).stderr


def test_the_command_sends_the_token_that_a_service_needs(world: World, site: Path, tmp_path: Path, arbitrank) -> None:
    token, grant = make_token("judge", ["rank"])
    (tmp_path / "tokens").write_text(f"{grant}\n")
    with Service(site, world.root, "--tokens", str(tmp_path / "tokens")) as service:
        url = f"http://127.0.0.1:{service.port}"
        assert "answered 401" in arbitrank("domains", "--service", url).stderr
        assert arbitrank("domains", "--service", url, ARBITRANK_TOKEN=token).returncode == 0


def test_beyond_the_limit_of_connections_those_that_bring_no_call_are_closed(world: World, site: Path) -> None:
    with Service(site, world.root, "--limit-connections", "3") as service:
        used, silent, drips = (service.connect() for _ in range(3))
        used.sendall(raw_call(json.dumps(BRIGHT).encode()))
        assert answer_on(used)[0] == 200
        drips.sendall(b"POST /v1/rank HTTP/1.1\r\nx: ")
        assert service.rank(BRIGHT)[0] == 200  # the oldest one that has brought no call gives way
        assert silent.recv(1) == b""
        with service.connect(), service.connect():
            assert answer_on(drips)[0] == 503
            used.sendall(raw_call(json.dumps(BRIGHT).encode()))
            assert answer_on(used)[0] == 200
        for one in (used, silent, drips):
            one.close()


def test_other_calls_are_served_during_a_batch(world: World, site: Path) -> None:
    with Service(site, world.root) as service, service.connect() as connection:
        connection.sendall(raw_call(json.dumps([{"utterance": "sleep 0.01"}] * 500).encode()))
        assert service.rank(BRIGHT)[0] == 200
        assert select.select([connection], [], [], 0)[0] == []  # the batch is not done yet
        status, body = answer_on(connection)
        assert (status, len(json.loads(body))) == (200, 500)


def test_an_isolated_domain_that_hangs_is_late_and_holds_up_only_calls_behind_it(
    world: World, site: Path, tmp_path: Path
) -> None:
    hangs = raw_call(json.dumps({"id": "hangs", "utterance": f"wait {tmp_path / 'never'}"}).encode())
    with Service(site, world.root, "--isolate", "all", "--deadline", "300") as service:
        assert service.rank(BRIGHT)[1]["ranked"][0]["domain"] == "lights"
        with service.connect() as leaves, service.connect() as connection:
            connection.sendall(hangs + raw_call(json.dumps({**BRIGHT, "id": "next"}).encode()) + raw_call(b"{}"))
            leaves.sendall(raw_call(json.dumps(BRIGHT).encode()))
            leaves.close()
            assert service.call("GET", "/healthz")[0] == 200
            assert select.select([connection], [], [], 0)[0] == []  # which the event loop did not wait for
            found = answers_on(connection, 3)
        assert [status for status, _ in found] == [200, 200, 400]
        first, second = (json.loads(body) for _, body in found[:2])
        assert (first["id"], second["id"]) == ("hangs", "next")
        assert "late" in {one["status"] for one in first["domains"].values()}
        until(lambda: service.rank(BRIGHT)[1]["domains"]["lights"]["status"] == "answered")
        page = service.call("GET", "/metrics")[1]
        assert f'arbitrank_pending{{worker="{service.worker}"}} 0.0' in page
        assert 'arbitrank_calls_total{route="/v1/rank",status="400"} 1.0' in page


def test_answers_and_feedback_are_logged(world: World, site: Path, tmp_path: Path) -> None:
    from arbitrank.answerlog.reader import read_log
    from arbitrank.answerlog.segments import segments

    with Service(site, world.root, "--log", str(tmp_path / "log")) as service:
        service.rank(BRIGHT)
        feedback = {"id": "1", "truth": {"domain": "lights", "intent": "intent0"}, "request_id": "another's"}
        feedback |= {"outcome": "rejected", "called": "lamp"}
        receipt = service.call("POST", "/v1/feedback", feedback, x_request_id="call-7")[1]
        assert receipt["logged"]
        assert service.stop() == 0
    (line,) = read_log(tmp_path / "log")
    assert (line.id, line.truth.domain, line.outcome, line.called) == ("1", "lights", "rejected", "lamp")
    assert {one.domain for one in line.hypotheses} == {"lights", "shades"}
    assert line.answer.ranked
    lines = [json.loads(line) for path in segments(tmp_path / "log") for line in path.read_bytes().splitlines()]
    assert [one["request_id"] for one in lines if "answer" not in one] == ["call-7"]


def test_the_contender_that_is_meant_by_the_next_words(shared) -> None:
    contenders = [{"domain": name, "intent": "Do", "score": 0.3, "probability": 0.5} for name in ("lights", "blinds")]
    answer = {
        "id": None,
        "decision": {"action": "clarify", "contenders": [0, 1]},
        "ranked": contenders,
        "domains": {"blinds": {"status": "answered", "title": "Shutters"}},
        "ms": {},
    }

    def chosen(**call: Any) -> tuple[int, Any]:
        status, body, _ = shared.call("POST", "/v1/choose", {"answer": answer, **call})
        return status, body.get("choice") if status == 200 else body["error"]

    assert shared.call("POST", "/v1/choose", {"answer": answer, "words": "the second one"})[:2] == (
        200,
        {"choice": 1, "kind": "contender", "reason": "its position: second"},
    )
    assert chosen(words="shutters, please", language="en-GB") == (200, 1)
    assert chosen(words=0) == (200, 0)
    assert chosen(words="turn on the radio") == (200, None)
    for call, refused, error in (
        ({"words": 7}, 409, "7 is no contender"),
        ({"words": "second", "language": "de"}, 409, "no phrases ship"),
        ({"words": True}, 400, "words"),
        ({"words": "x" * 2001}, 400, "words"),
        ({}, 400, "words"),
        (
            {"words": "second", "answer": {**answer, "decision": {"action": "accept", "contenders": [0]}}},
            409,
            "asks nothing",
        ),
        ({"words": "second", "answer": {**answer, "ranked": []}}, 409, "out of range"),
    ):
        status, text = chosen(**call)  # type: ignore[arg-type]
        assert (status, error in text) == (refused, True), (call, text)
