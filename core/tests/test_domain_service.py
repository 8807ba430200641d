"""A domain as a service of its own: it answers as in a process, and refuses what is no call of a known caller."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from fakes import FakeDomain, FakeModel, artifact
from starlette.exceptions import HTTPException

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.outcomes import Answered
from arbitrank.domain import Model, Scores, Skill
from arbitrank.errors import InputError
from arbitrank.registry import Loaded
from arbitrank.remote.discovery import remotes_in
from arbitrank.serve import domain_service
from arbitrank.serve.auth import make_token
from arbitrank.serve.domain_service import TOKENS, application
from arbitrank.store.artifact import read_manifest
from arbitrank.store.loading import load_domains, load_model
from arbitrank.store.store import open_store
from arbitrank.testing.served import served
from arbitrank.values import Hypothesis, Request


class Counting(FakeModel):
    """A model of two readings, whose scores are on a scale, and which can explain itself."""

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        super().recognise(request)
        return [Hypothesis(self.domain, intent, 90, 50) for intent in ("Do", "Undo")]

    def rerank(self, request: Request) -> Scores:
        sure = np.array([0.5 * (one.domain_confidence or 0.0) for one in request.hypotheses or ()])
        return Scores(0.9, sure / max(len(sure), 1))

    def explain(self, request: Request) -> list[dict[str, float]]:
        return [{"domain": 1.0} for _ in request.hypotheses or ()]


class Lamps(FakeDomain):
    title = "Lamps"
    scales = {"domain_confidence": "0..100", "intent_confidence": "percent"}  # noqa: RUF012


def lamps(folder: Path, model: Model | None = None) -> Lamps:
    if not (folder / "shipped").exists():
        artifact(folder / "shipped", "lamps")
    return Lamps("lamps", folder / "shipped", model or Counting("lamps"), (Skill("lamps", "Light", ("lamp on",)),))


CALL = {"protocol": [1, 0], "remaining_ms": 30_000, "request": {"utterance": "x"}}


def reading(intent: str, **more: object) -> dict[str, object]:
    return {"domain": "lamps", "intent": intent, **more}


def called(url: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """The status and the content of one call."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        sent = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        connection.request(method, path, raw, sent)
        reply = connection.getresponse()
        content = reply.read()
        return reply.status, json.loads(content) if reply.headers.get_content_type() == "application/json" else content
    finally:
        connection.close()


def ranked(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """A call of the protocol, completed by the fields that tests leave out."""
    if isinstance(body, dict):
        body = {**CALL, **body}
    return called(url, "POST", "/v1/rank", body, **headers)


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARBITRANK_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service of the lamps, whose bodies have at most 100,000 bytes."""
    folder = tmp_path_factory.mktemp("lamps")
    with served(application(lamps(folder), store=folder / "store", limit_body=100_000)) as url:
        yield url


def test_it_states_the_domain_and_a_version_of_its_weights(url: str, tmp_path: Path) -> None:
    status, stated = called(url, "GET", "/v1/domain")
    assert (status, stated["protocol"], stated["name"], stated["title"]) == (200, [1, 0], "lamps", "Lamps")
    assert stated["skills"] == [{"name": "lamps", "description": "Light", "phrases": ["lamp on"]}]
    assert stated["scales"] == dict(Lamps.scales)
    assert stated["version"] == artifact(tmp_path / "again", "lamps")
    assert "shipped" not in stated


def test_it_recognises_and_ranks_as_the_domain_does_in_a_process(url: str, tmp_path: Path) -> None:
    _, reply = ranked(url, {"request": {"utterance": "lamp on", "context": {"device": "tv"}}, "explain": True})
    domain = lamps(tmp_path)
    here = dispatch.query("lamps", load_model(domain, domain.shipped), Request(utterance="lamp on"), None, explain=True)
    assert isinstance(here, Answered)
    assert (reply["mine"], reply["right"]) == (here.scores.mine, here.scores.right.tolist())
    assert [one["intent"] for one in reply["hypotheses"]] == ["Do", "Undo"]
    assert [sorted(row) for row in reply["why"]] == [["base", "domain"]] * 2


def test_given_hypotheses_are_ranked_as_probabilities_whatever_scale_the_domain_states(url: str) -> None:
    given = [reading("Do", domain_confidence=0.8), reading("Undo", domain_confidence=0.4, surprise="of a newer core")]
    _, reply = ranked(url, {"request": {"utterance": "x"}, "hypotheses": given, "explain": True})
    assert reply["right"] == pytest.approx([0.2, 0.1])
    assert len(reply["why"]) == 2
    assert reply["hypotheses"] is None


def test_a_confidence_that_is_none_is_a_failure(url: str) -> None:
    _, reply = ranked(url, {"request": {}, "hypotheses": [reading("Do", domain_confidence=7)]})
    assert "7 is out of range" in reply["failure"]


@pytest.mark.parametrize("given", [False, True])
def test_as_a_remote_domain_it_answers_as_it_does_in_the_process_that_answers(
    tmp_path: Path, tokens: tuple[Path, str, str], given: bool
) -> None:
    """Of the same version, with the same probabilities and reasons; of hypotheses on the domain's scale too."""
    domain, folder = lamps(tmp_path), tmp_path / "shipped"
    (tmp_path / "token").write_text(tokens[1])
    hypotheses = (Hypothesis("lamps", "Do", 80, 50), Hypothesis("lamps", "Undo", 40)) if given else None
    request = Request(utterance="lamp on", hypotheses=hypotheses)
    with served(application(domain, tokens=tokens[0])) as url:
        file = tmp_path / "arbitrank.toml"
        file.write_text(f'[domains.lamps]\nurl = "{url}"\ntoken_file = "{tmp_path / "token"}"\n')
        (found,), _ = remotes_in({"ARBITRANK_CONFIG": str(file)}, None)
        assert isinstance(found, Loaded)
        store = open_store(tmp_path / "store", environment={})
        there = Arbitrator(load_domains({"lamps": found.domain}, store)).answer(request, explain=True)
    here = Arbitrator(load_domains({"lamps": domain}, store)).answer(request, explain=True)
    assert here.ranked
    assert there.ranked == here.ranked
    assert there.domains["lamps"].version == here.domains["lamps"].version == read_manifest(folder).version


@pytest.mark.parametrize("does", ["raise", "nan"])
def test_what_the_domain_raises_or_violates_is_the_reason_of_a_failure(tmp_path: Path, does: str) -> None:
    with served(application(lamps(tmp_path, FakeModel("lamps", does=does)))) as url:
        status, reply = ranked(url, {"request": {"utterance": "x"}})
        assert (status, reply["mine"], reply["right"]) == (200, 0.0, [])
        assert ("out of order" if does == "raise" else "right is [nan]") in reply["failure"]


def test_a_call_whose_time_has_gone_is_not_answered(tmp_path: Path) -> None:
    model = Counting("lamps")
    with served(application(lamps(tmp_path, model))) as url:
        _, reply = ranked(url, {"request": {"utterance": "x"}, "remaining_ms": 0})
        assert "no time was left" in reply["failure"]
    assert model.calls == 0


def test_slow_calls_do_not_wait_for_one_another(tmp_path: Path) -> None:
    """Each of six waits for all of them to have begun."""
    together = threading.Barrier(6)

    class Slow(FakeModel):
        def recognise(self, request: Request) -> Sequence[Hypothesis]:
            together.wait(30)
            return super().recognise(request)

    with served(application(lamps(tmp_path, Slow("lamps")))) as url:
        replies: list[Any] = []
        threads = [
            threading.Thread(target=lambda: replies.append(ranked(url, {"request": {"utterance": "x"}})[1]))
            for _ in range(6)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert [one["failure"] for one in replies] == [None] * 6


def test_calls_beyond_what_may_be_open_are_refused_at_once(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    class Waiting(FakeModel):
        def recognise(self, request: Request) -> Sequence[Hypothesis]:
            begun.set()
            go.wait(30)
            return super().recognise(request)

    with served(application(lamps(tmp_path, Waiting("lamps")), pending=1)) as url:
        first: list[int] = []
        thread = threading.Thread(target=lambda: first.append(ranked(url, {"request": {"utterance": "x"}})[0]))
        thread.start()
        assert begun.wait(30)
        status, reply = ranked(url, {"request": {"utterance": "y"}})
        assert (status, reply["error"]) == (503, "1 calls are open, expected at most 1")
        go.set()
        thread.join()
        assert first == [200]


@pytest.mark.parametrize(
    ("body", "headers", "status", "reason"),
    [
        (b"", {}, 400, "the body"),
        (b"[1", {}, 400, "the body"),
        (b'{"request": 5}', {}, 400, "Expected `object`, got `int`"),
        (b'{"request": {"context": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"}", {}, 400, "recursion depth"),
        ({"request": {}, "protocol": [2, 0]}, {}, 400, "protocol 2, expected 1"),
        ({"request": {}, "hypotheses": [{"domain": "shades", "intent": "X"}]}, {}, 400, "'shades', expected 'lamps'"),
        ({"request": {}, "hypotheses": [reading("Do"), reading("Do")]}, {}, 400, "1 distinct hypotheses of 2"),
        (b" " * 100_001, {}, 413, "at most 100000 bytes"),
        (b"{}", {"content_type": "text/plain"}, 415, "'text/plain', expected application/json"),
        (b"{}", {"content_encoding": "gzip"}, 415, "'gzip', expected none"),
        (b"{}", {"host": "evil.example"}, 403, "Host"),
        (b"{}", {"origin": "http://evil.example"}, 403, "Origin"),
    ],
)
def test_what_is_no_call_is_refused(url: str, body: object, headers: dict[str, str], status: int, reason: str) -> None:
    found, reply = ranked(url, body, **headers)
    assert (found, reason in reply["error"]) == (status, True), reply
    assert ranked(url, {"request": {"utterance": "x"}})[0] == 200


def test_other_routes_and_methods_are_refused(url: str) -> None:
    assert called(url, "GET", "/v1/rank")[0] == 405
    status, reply = called(url, "GET", "/")
    assert (status, reply["error"]) == (404, "Not Found")


def test_middleware_of_the_author_sees_every_call(tmp_path: Path) -> None:
    seen: list[str] = []

    class Seeing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope.get("path", "lifespan"))
            await self.app(scope, receive, send)

    app = application(lamps(tmp_path))
    app.add_middleware(Seeing)
    with served(app) as url:
        assert ranked(url, {"request": {"utterance": "x"}})[0] == 200
    assert seen[:2] == ["lifespan", "/v1/rank"]


def test_a_body_that_takes_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_service, "BODY_SECONDS", 0.05)
    with served(application(lamps(tmp_path))) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.putrequest("POST", "/v1/rank")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "100")
        connection.endheaders(b"{")
        assert connection.getresponse().status == 408
        connection.close()


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[Path, str, str]:
    """A file with a caller's token and with one that is for something else."""
    (one, may), (other, may_not) = make_token("core", ["rank"]), make_token("prometheus", ["metrics"])
    path = tmp_path / "tokens"
    path.write_text("".join(f"{','.join(g.scopes)} {g.digest} {g.name}\n" for g in (may, may_not)))
    path.chmod(0o600)
    return path, one, other


def test_with_tokens_a_caller_needs_one_of_the_scope_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: tuple[Path, str, str]
) -> None:
    path, one, other = tokens
    monkeypatch.setenv(TOKENS, str(path))
    with served(application(lamps(tmp_path))) as url:
        for call in (("GET", "/v1/domain", None), ("POST", "/v1/rank", CALL)):
            assert called(url, *call)[0] == 401
            assert called(url, *call, authorization="Bearer guessed")[0] == 401
            assert called(url, *call, authorization=f"Bearer {other}")[0] == 403
            assert called(url, *call, authorization=f"Bearer {one}", host="lamps.example")[0] == 200


def test_tokens_that_cannot_be_read_keep_it_from_starting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokens .*missing: cannot be read"):
        application(lamps(tmp_path), tokens=tmp_path / "missing")


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.1.2.3", 403), ("lamps", 403)])
def test_without_tokens_it_serves_this_machine_alone(tmp_path: Path, host: str, status: int) -> None:
    scope = {"type": "http", "headers": [(b"host", b"localhost")], "server": (host, 8701)}
    if status == 200:
        domain_service.check(scope, None)
    else:
        with pytest.raises(HTTPException, match="this machine alone is served; set ARBITRANK_SERVICE_TOKENS"):
            domain_service.check(scope, None)


def test_a_quick_domain_is_called_in_the_event_loop_until_it_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    class Watched(FakeModel):
        def recognise(self, request: Request) -> Sequence[Hypothesis]:
            threads.append(threading.current_thread().name.startswith("arbitrank"))
            return super().recognise(request)

    with served(application(lamps(tmp_path, Watched("lamps")))) as url:
        for quick in (0.0, 60.0, 60.0, 0.0):
            monkeypatch.setattr(domain_service, "_QUICK", quick)
            assert ranked(url, CALL)[0] == 200
    assert threads == [True, False, False, True]


def test_without_weights_it_does_not_start(tmp_path: Path) -> None:
    with served(application(FakeDomain("lamps"))) as url, pytest.raises(ConnectionError):
        called(url, "GET", "/v1/domain")


def test_started_again_it_answers_by_the_weights_that_are_stable_then(tmp_path: Path, own_store: Path) -> None:
    app = application(FakeDomain("lamps", lamps(tmp_path).shipped))
    with served(app) as url:
        before = ranked(url, {"request": {"utterance": "x"}})[1]
    artifact(tmp_path / "new", "lamps", mine=0.75)
    new = open_store(own_store, environment={}).publish(tmp_path / "new", promote=True)
    with served(app) as url:
        after = ranked(url, {"request": {"utterance": "x"}})[1]
        assert called(url, "GET", "/v1/domain")[1]["version"] == after["version"] == new.version
    assert (before["mine"], after["mine"]) == (0.5, 0.75)
