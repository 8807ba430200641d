"""Remote domains: what is sent and read, retries, deadlines, bounds and faults, and that no call waits for another."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from certificates import made
from fake_remote import READING, STATED, Call, domain_at, fake_remote, model_at, outcome, ranked, reply, usual

from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.arbitration.dispatch import query_all
from arbitrank.arbitration.outcomes import Answered, Failed, Late, Skipped
from arbitrank.errors import RemoteError
from arbitrank.remote.client import Client
from arbitrank.remote.http_reply import BadReply, ReplyReader
from arbitrank.remote.messages import MAX_REPLY
from arbitrank.values import Hypothesis, Request, Slot

RAIN = Request(
    id="7",
    utterance="will it rain",
    context={"device": "tv", "locale": "en", "preference.weather": 1.0},
    session="s-17",
    account={"name": "Ann"},
    dialogue="d-1",
)


def ranking(**fields: Any) -> Callable[[Call], bytes]:
    return lambda call: reply(STATED) if call.method == "GET" else ranked(call, **fields)


def then(raw: bytes | None) -> Callable[[Call], bytes | None]:
    """A remote that states itself, and replies this to calls."""
    return lambda call: reply(STATED) if call.method == "GET" else raw


# ------------------------------------------------------------------------------------------------- answers


def test_a_remote_recognises_and_ranks_and_names_its_version() -> None:
    with fake_remote(ranking(version="v1.1")) as server:
        found = outcome(model_at(f"{server.url}/base"), RAIN)
    assert isinstance(found, Answered)
    assert [h.intent for h in found.hypotheses] == ["AskRain"]
    assert (found.scores.mine, found.scores.right.tolist(), found.version) == (0.9, [0.8], "v1.1")
    assert [call.target for call in server.calls] == ["/base/v1/domain", "/base/v1/rank"]


@pytest.mark.parametrize(
    ("send", "expected"),
    [
        (["utterance"], {"utterance": "will it rain"}),
        ([], {}),
        (["context.device", "context.gone"], {"context": {"device": "tv"}}),
        (["context.preference.weather"], {"context": {"preference.weather": 1.0}}),
        (["context"], {"context": dict(RAIN.context)}),
        (["session", "id"], {"session": "s-17", "id": "7"}),
        (["account", "dialogue"], {"account": {"name": "Ann"}, "dialogue": "d-1"}),
    ],
)
def test_nothing_but_what_the_entry_allows_is_sent(send: list[str], expected: dict[str, Any]) -> None:
    with fake_remote() as server:
        outcome(model_at(server.url, send=send), RAIN)
    body = server.calls[-1].body
    assert body["request"] == expected
    assert body.keys() == {"protocol", "remaining_ms", "explain", "request"}
    assert 0 < body["remaining_ms"] <= 1_000


def test_hypotheses_are_read_before_they_are_sent() -> None:
    given = [
        Hypothesis("weather", "AskRain", 80, slots=(Slot("day", "today"),)),
        Hypothesis("weather", "AskSnow", 20),
        Hypothesis("weather", "AskRain", 70, slots=(Slot("day", "today"),)),
    ]
    with fake_remote() as server:
        found = outcome(model_at(server.url, scale="0..100", send=["hypotheses"]), RAIN, given)
    assert isinstance(found, Answered)
    sent = server.calls[-1].body["hypotheses"]
    assert [(h["intent"], h["domain_confidence"]) for h in sent] == [("AskRain", 0.8), ("AskSnow", 0.2)]
    assert [h.domain_confidence for h in found.hypotheses] == [80, 20]  # as they were given
    assert (found.kept, found.scales) == (((0, 2), (1, 1)), {"domain_confidence": "0..100"})


def test_a_hypothesis_that_cannot_be_read_is_not_sent_and_blames_nobody() -> None:
    with fake_remote() as server:
        found = outcome(model_at(server.url), RAIN, [Hypothesis("weather", "A", 0.5), Hypothesis("weather", "B", 7.0)])
    assert isinstance(found, Failed)
    assert (found.counts, found.unread, len(server.calls)) == (0, 1, 1)


def test_hypotheses_are_not_sent_where_the_entry_has_not_that_word() -> None:
    with fake_remote() as server:
        found = outcome(model_at(server.url, send=["utterance"]), RAIN, [Hypothesis("weather", "A", 0.5)])
    assert isinstance(found, Failed)
    assert "sends no hypotheses" in found.reason
    assert (found.counts, len(server.calls)) == (0, 1)


def test_an_explanation_adds_up_and_may_be_absent() -> None:
    with fake_remote(ranking(why=[{"words": 1.0}])) as server:
        found = outcome(model_at(server.url), RAIN, explain=True)
    assert isinstance(found, Answered)
    assert found.why is not None
    assert found.why[0]["words"] == 1.0
    assert server.calls[-1].body["explain"] is True
    with fake_remote() as server:
        found = outcome(model_at(server.url), RAIN, explain=True)
    assert isinstance(found, Answered)
    assert found.why is not None
    assert list(found.why[0]) == ["base"]


def test_a_reading_that_is_named_twice_counts_once() -> None:
    with fake_remote(ranking(hypotheses=[READING, READING], right=[0.5, 0.2])) as server:
        found = outcome(model_at(server.url), RAIN)
    assert isinstance(found, Answered)
    assert (len(found.hypotheses), found.scores.right.tolist()) == (1, [0.5])


def test_what_a_newer_remote_adds_is_ignored() -> None:
    with fake_remote(ranking(hypotheses=[{**READING, "mood": "fine"}], weather="fine")) as server:
        assert isinstance(outcome(model_at(server.url), RAIN), Answered)


# -------------------------------------------------------------------------------------------- connections


def test_connections_stay_open_between_calls() -> None:
    with fake_remote() as server:
        model = model_at(server.url)
        for _ in range(3):
            assert isinstance(outcome(model, RAIN), Answered)
        assert (len(server.calls), server.connections) == (4, 1)


def test_a_connection_that_the_remote_has_closed_is_replaced() -> None:
    with fake_remote() as server:
        model = model_at(server.url)
        server.hang_up()
        assert isinstance(outcome(model, RAIN), Answered)
        assert server.connections == 2


def test_a_connection_that_ends_with_the_call_is_replaced_within_it() -> None:
    """As a server may close a connection that was idle for long just when a call is sent."""
    first = threading.Event()

    def answer(call: Call) -> bytes | None:
        if call.method == "POST" and not first.is_set():
            first.set()
            return None
        return usual(call)

    with fake_remote(answer) as server:
        assert isinstance(outcome(model_at(server.url), RAIN), Answered)
        assert [call.method for call in server.calls] == ["GET", "POST", "POST"]


def test_a_call_that_was_refused_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []
    connect = Client.connect

    def refusing(self: Client, until: float) -> Any:
        tried.append(until)
        if len(tried) < 3:
            raise ConnectionRefusedError(111, "Connection refused")
        return connect(self, until)

    with fake_remote() as server:
        model = model_at(server.url)
        server.hang_up()
        monkeypatch.setattr(Client, "connect", refusing)
        assert isinstance(outcome(model, RAIN), Answered)
    assert len(tried) == 3


def test_a_remote_that_is_gone_fails_with_what_the_system_says() -> None:
    with fake_remote() as server:
        model = model_at(server.url)
    found = outcome(model, RAIN)
    assert isinstance(found, Failed)
    assert found.reason == f"http://localhost:{server.port}: it cannot be reached: Connection refused"
    assert (found.kind, found.counts) == ("unavailable", 1)


def test_a_call_is_not_sent_again_once_a_byte_came_back() -> None:
    with fake_remote(then(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n")) as server:

        def answer(call: Call) -> bytes | None:
            if call.method == "GET":
                return reply(STATED)
            call.connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\n{")
            return None

        server.answer = answer
        found = outcome(model_at(server.url), RAIN)
        assert isinstance(found, Failed)
        assert "ends before its end" in found.reason
        assert [call.method for call in server.calls] == ["GET", "POST"]


# ------------------------------------------------------------------------------------------ deadlines, bounds


def held(released: threading.Event, sent: bytes = b"") -> Callable[[Call], bytes | None]:
    """A remote that sends some bytes of its reply, and no more until it is released."""

    def answer(call: Call) -> bytes | None:
        if call.method == "GET":
            return reply(STATED)
        call.connection.sendall(sent)
        released.wait(30)
        return None

    return answer


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-", reply({"version": "v1"})[:-3]])
def test_what_is_not_there_by_the_deadline_is_late(sent: bytes) -> None:
    released = threading.Event()
    with fake_remote(held(released, sent)) as server:
        model = model_at(server.url, deadline_ms=40)
        began = perf_counter()
        found = outcome(model, RAIN)
        released.set()
    assert isinstance(found, Late)
    assert found.reason == f"http://localhost:{server.port}: no answer within 40 ms"
    assert found.ms >= 40
    assert perf_counter() - began < 10
    assert found.counts == 1


def test_headers_that_drip_end_at_the_deadline_and_so_does_their_connection() -> None:
    ended = threading.Event()

    def dripping(call: Call) -> bytes | None:
        if call.method == "GET":
            return reply(STATED)
        try:
            while True:
                call.connection.sendall(b"x")
        except OSError:
            ended.set()
        return None

    with fake_remote(dripping) as server:
        found = outcome(model_at(server.url, deadline_ms=50), RAIN)
        assert isinstance(found, Failed | Late)
        assert ended.wait(30)


def test_a_body_without_an_end_is_read_to_its_bound() -> None:
    ended = threading.Event()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    def endless(call: Call) -> bytes | None:
        if call.method == "GET":
            return reply(STATED)
        try:
            call.connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            while True:
                call.connection.sendall(chunk)
        except OSError:
            ended.set()
        return None

    with fake_remote(endless) as server:
        found = outcome(model_at(server.url, deadline_ms=30_000), RAIN)
        assert isinstance(found, Failed)
        assert f"a body of more than {MAX_REPLY} bytes" in found.reason
        assert ended.wait(30)


def test_more_calls_than_the_entry_allows_are_late_at_once_and_blame_nobody() -> None:
    released = threading.Event()
    with fake_remote(held(released)) as server:
        model = model_at(server.url, connections=1, deadline_ms=20_000)
        first = threading.Thread(target=outcome, args=(model, RAIN))
        first.start()
        with server.arrived:
            assert server.arrived.wait_for(lambda: len(server.calls) == 2, 30)
        found = outcome(model, RAIN)
        released.set()
        first.join()
    assert isinstance(found, Late)
    assert "1 calls are with it already" in found.reason
    assert found.counts == 0


# ------------------------------------------------------------------------------------------------ side by side


def together(n: int) -> Callable[[Call], bytes | None]:
    """Remotes that reply once n calls are with them at a time: calls in turn would all be late."""
    barrier = threading.Barrier(n, timeout=20)

    def answer(call: Call) -> bytes | None:
        if call.method == "GET":
            name = call.target.split("/")[1]
            return reply({**STATED, "name": name})
        barrier.wait()
        name = call.target.split("/")[1]
        return ranked(call, hypotheses=[{**READING, "domain": name}])

    return answer


def test_six_slow_calls_of_six_requests_do_not_queue() -> None:
    with fake_remote(together(6)) as server:
        model = model_at(f"{server.url}/weather", deadline_ms=20_000)
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(outcome(model, RAIN))) for _ in range(6)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert [type(one) for one in found] == [Answered] * 6


def test_six_remotes_of_one_request_are_called_at_once() -> None:
    names = [f"weather{i}" for i in range(6)]
    with fake_remote(together(6)) as server:
        models = {name: model_at(f"{server.url}/{name}", name, deadline_ms=20_000) for name in names}
        found = query_all(models, RAIN)
    assert {name: type(one) for name, one in found.items()} == dict.fromkeys(names, Answered)


def test_each_remote_has_its_own_deadline() -> None:
    released = threading.Event()
    with fake_remote(held(released)) as slow, fake_remote() as quick:
        models = {"slow": model_at(slow.url, deadline_ms=60), "quick": model_at(quick.url, deadline_ms=20_000)}
        models["slow"].name = "slow"
        found = query_all(models, RAIN)
        released.set()
    assert isinstance(found["slow"], Late)
    assert isinstance(found["quick"], Answered)


def test_a_remote_that_fails_repeatedly_is_skipped() -> None:
    breakers = Breakers(BreakerSettings(failures=2))
    with fake_remote(then(reply({}, "500 Oops"))) as server:
        model = model_at(server.url)
        for _ in range(2):
            assert isinstance(outcome(model, RAIN, breakers=breakers), Failed)
        found = outcome(model, RAIN, breakers=breakers)
        assert isinstance(found, Skipped)
        assert "the status 500, expected 200" in found.reason


# -------------------------------------------------------------------------------------------------------- faults

FAULTS: dict[str, tuple[bytes, str]] = {
    "status": (reply({"error": "no"}, "500 Oops"), "it sent the status 500, expected 200"),
    "redirect": (reply({}, "307 There", "application/json", "location: /v2"), "a redirect is not followed"),
    "type": (reply({}, kind="text/html"), "it sent the content type 'text/html', expected application/json"),
    "no type": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "it sent no content type"),
    "coding": (reply({}, "200 OK", "application/json", "content-encoding: gzip"), "the content coding 'gzip'"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "no reply of HTTP/1.1"),
    "long headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 30_000, "bytes of headers"),
    "long body": (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", "a body of 99999999 bytes"),
    "no JSON": (reply(b"{nope"), "its reply: JSON is malformed"),
    "no version": (reply({"mine": 0.5}), "its reply: Object missing required field `version`"),
    "a bad version": (reply({"version": "a b"}), "its reply: Expected `str` matching"),
    "a text as score": (
        reply({"version": "v1", "mine": "much"}),
        "its reply: Expected `float`, got `str` - at `$.mine`",
    ),
    "beyond 1": (reply({"version": "v1", "mine": 1.5}), "its reply: mine is 1.5, expected a number in [0, 1]"),
    "too few": (reply({"version": "v1", "mine": 0.5, "hypotheses": [READING]}), "right has shape (0,), expected (1,)"),
    "too much": (
        reply({"version": "v1", "mine": 0.5, "right": [0.6], "hypotheses": [READING]}),
        "expected numbers of at least 0 that sum to at most mine",
    ),
    "another domain": (
        reply({"version": "v1", "mine": 0.5, "right": [0.5], "hypotheses": [{**READING, "domain": "maps"}]}),
        "hypothesis 0 is of domain 'maps', expected 'weather'",
    ),
    "off its scale": (
        reply({"version": "v1", "mine": 0.5, "right": [0.5], "hypotheses": [{**READING, "domain_confidence": 55}]}),
        "55 is out of range",
    ),
    "too many": (
        reply({"version": "v1", "mine": 0.5, "right": [0.0] * 101, "hypotheses": [READING] * 101}),
        "more than 100 hypotheses",
    ),
    "a failure": (reply({"version": "v1", "failure": "no radar"}), "the remote reports a failure: no radar"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_the_remote_its_place_in_that_answer(fault: str) -> None:
    raw, expected = FAULTS[fault]
    with fake_remote(then(raw)) as server:
        model = model_at(server.url)
        found = outcome(model, RAIN)
        assert isinstance(found, Failed), found
        assert expected in found.reason
        assert str(server.port) in found.reason
        assert found.counts == 1
        server.answer = usual
        assert isinstance(outcome(model, RAIN), Answered)


def test_neither_a_body_of_an_error_nor_a_token_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_TOKEN", "s3cret")
    with fake_remote() as elsewhere:
        moved = reply(
            {"error": "s3cret will it rain"}, "302 There", "application/json", f"location: {elsewhere.url}/v1"
        )
        with fake_remote(then(moved)) as server:
            model = model_at(server.url, token_env="WEATHER_TOKEN")
            found = outcome(model, RAIN)
        assert elsewhere.connections == 0
    assert isinstance(found, Failed)
    assert "s3cret" not in repr((found, model.__dict__))
    assert "rain" not in found.reason
    assert server.calls[-1].headers["authorization"] == "Bearer s3cret"


def test_a_token_is_sent_in_its_header_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.remote.client._AGAIN", 0.0)
    file = tmp_path / "token"
    file.write_text("one\n")
    with fake_remote() as server:
        model = model_at(server.url, token_file=str(file), token_header="X-Api-Key")
        file.write_text("two\n")
        assert isinstance(outcome(model, RAIN), Answered)
        assert [call.headers["x-api-key"] for call in server.calls] == ["one", "two"]
        assert "authorization" not in server.calls[0].headers
        file.unlink()
        found = outcome(model, RAIN)
    assert isinstance(found, Failed)
    assert "token_file" in found.reason


# ------------------------------------------------------------------------------------------------------------- TLS


def context_of(folder: Path, name: str) -> tuple[ssl.SSLContext, str]:
    tls, _ = made(folder, name)
    assert tls.certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context, str(tls.certificate)


def test_certificates_and_names_are_verified(tmp_path: Path) -> None:
    context, certificate = context_of(tmp_path, "own")
    _, other = context_of(tmp_path, "other")
    with fake_remote(usual, context) as server:
        model = model_at(server.url, ca_file=certificate)
        for _ in range(2):
            assert isinstance(outcome(model, RAIN), Answered)
        assert server.connections == 1
        for url, trusted, expected in [
            (server.url, other, "its certificate is not trusted: self-signed certificate"),
            (server.url, None, "its certificate is not trusted: self-signed certificate"),
            (server.url.replace("localhost", "127.0.0.1"), certificate, "IP address mismatch"),
        ]:
            domain = domain_at(url, **({} if trusted is None else {"ca_file": trusted}))
            domain.look()()
            assert expected in (domain.problem or "")
        assert len(server.calls) == 3


def test_a_remote_without_tls_is_told_from_one_with_it() -> None:
    with fake_remote() as server:
        domain = domain_at(server.url.replace("http:", "https:"))
        domain.look()()
    assert "cannot be reached: TLS: " in (domain.problem or "")


# ------------------------------------------------------------------------------------------------ what it states


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({**STATED, "protocol": [2, 0]}, "it speaks protocol 2.0, expected 1.x"),
        ({**STATED, "name": "maps"}, "it is the domain 'maps', expected 'weather'"),
        ({**STATED, "scales": {"domain_confidence": "huge"}}, 'what it states at /v1/domain: scale "huge"'),
        ({"name": "weather"}, "what it states at /v1/domain: Object missing required field `protocol`"),
        ({**STATED, "skills": 7}, "what it states at /v1/domain: Expected `array`, got `int` - at `$.skills`"),
    ],
)
def test_what_a_remote_may_not_state_keeps_it_from_answering(stated: dict[str, Any], expected: str) -> None:
    with fake_remote(lambda call: reply(stated)) as server:
        domain = domain_at(server.url)
        assert domain.look()() is False
    assert expected in domain.problem
    with pytest.raises(RemoteError):
        domain.serving({})


def test_a_remote_states_itself_as_a_domain() -> None:
    facts = {
        "intent_titles": {"AskRain": "hear of rain"}, "context_keys": ["season"],
        "scales": {"intent_confidence": "percent"},
        "skills": [{"name": "rain", "phrases": ["will it rain"], "parameters": [{"name": "day"}]}], "future": 1,
    }  # fmt: skip
    with fake_remote(lambda call: reply({**STATED, **facts})) as server:
        domain = domain_at(server.url)
        assert [skill.name for skill in domain.skills] == ["weather"]
        assert domain.look()() is True
        assert domain.look()() is False
    assert (domain.title, domain.context_keys, domain.fallback) == ("The weather", ("season",), False)
    assert domain.skills[0].parameters[0].name == "day"
    assert domain.serving({}).version == "v1"


def test_a_remote_that_is_down_is_known_by_its_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    domain = domain_at(f"http://127.0.0.1:{port}/base")
    domain.look()()
    with pytest.raises(RemoteError, match=f"^http://127.0.0.1:{port}/base: it cannot be reached: Connection refused$"):
        domain.serving({})


# ------------------------------------------------------------------------------------------------ replies of HTTP


@pytest.mark.parametrize("size", [1, 7, 1_000])
@pytest.mark.parametrize(
    "raw",
    [
        reply({"a": 1}),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x+json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n',
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + reply({"a": 1}),
    ],
)
def test_a_reply_is_read_however_it_arrives(raw: bytes, size: int) -> None:
    reader = ReplyReader(100)
    for start in range(0, len(raw), size):
        assert not reader.complete
        reader.feed(raw[start : start + size])
    assert (bytes(reader.body), reader.complete, reader.reusable) == (b'{"a": 1}', True, True)


def test_a_reply_may_end_with_its_connection_which_is_not_kept() -> None:
    reader = ReplyReader(100)
    reader.feed(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{}")
    assert not reader.complete
    reader.end()
    assert (reader.complete, reader.reusable, bytes(reader.body)) == (True, False, b"{}")


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", b"garbage"])
def test_a_connection_with_more_than_a_reply_is_not_kept(more: bytes) -> None:
    reader = ReplyReader(100)
    try:
        reader.feed(reply({}) + more)
    except BadReply:
        return
    assert not reader.reusable


def test_connections_that_the_remote_has_closed_are_not_kept() -> None:
    barrier = threading.Barrier(2, timeout=20)
    opening = threading.Event()

    def answer(call: Call) -> bytes | None:
        if call.method == "POST" and not opening.is_set():
            barrier.wait()
        return usual(call)

    with fake_remote(answer) as server:
        model = model_at(server.url, deadline_ms=20_000)
        threads = [threading.Thread(target=outcome, args=(model, RAIN)) for _ in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        opening.set()
        client: Client = model.client  # type: ignore[attr-defined]
        kept = list(client._open)
        assert len(kept) == 2
        server.hang_up()
        assert isinstance(outcome(model, RAIN), Answered)
        assert [one in kept for one in client._open] == [False]
