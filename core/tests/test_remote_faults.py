"""Remote domains on a hostile network: each fault costs that domain its place in that answer alone."""

from __future__ import annotations

import json
import re
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from certificates import made
from fakes import FakeModel
from hostile_http import (
    Behaviour,
    HostileServer,
    Received,
    bomb,
    closes,
    floods,
    hangs,
    hostile,
    reset,
    response,
    sends,
    then,
    trickles,
)

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.registry import loaded
from arbitrank.remote.discovery import remotes_in
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Answer, Hypothesis, Request, Slot

DEADLINE = 250
"""Milliseconds of a remote that is to be late."""

PATIENCE = 30_000
"""Milliseconds of one that is not, however busy the machine is."""


def stated(name: str) -> bytes:
    return json.dumps({"protocol": [1, 0], "name": name, "version": "1"}).encode()


def reading(name: str, **changes: object) -> dict[str, object]:
    return {"domain": name, "intent": "Fly", "domain_confidence": 0.9, **changes}


def reply(name: str, **changes: object) -> bytes:
    """What a remote with one reading sends, with other values in the places of its own; None takes one away."""
    own = {"version": "1", "mine": 0.9, "right": [0.7], "hypotheses": [reading(name)], **changes}
    return json.dumps({key: value for key, value in own.items() if value is not None}).encode()


def answers(name: str) -> Behaviour:
    """A remote that does as the protocol says."""

    def behave(connection: Any, request: Received) -> None:
        domain = request.path.endswith("/v1/domain")
        given = None if domain else request.content.get("hypotheses")
        right = None if given is None else {"right": [0.9 / len(given)] * len(given), "hypotheses": None}
        connection.sendall(response(stated(name) if domain else reply(name, **right or {})))

    return behave


@dataclass
class Neighbours:
    """An arbitrator with the remote domains kite and swing, and lights, which is in this process."""

    folder: Path
    entries: Mapping[str, Mapping[str, object]]
    breakers: Breakers | None = None

    def __post_init__(self) -> None:
        lines = []
        for name, entry in self.entries.items():
            lines += [f"[domains.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
        file = self.folder / "arbitrank.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        found, problems = remotes_in({"ARBITRANK_CONFIG": str(file)}, None)
        assert problems == []
        serving = load_domains(loaded(found), open_store(self.folder / "store", environment={}))
        lights = Serving(FakeModel("lights", mine=0.5), "1", "package")
        self.arbitrator = Arbitrator({**serving, "lights": lights}, breakers=self.breakers)

    def answer(self, request: Request = Request(utterance="fly")) -> Answer:
        found = self.arbitrator.answer(request)
        json.loads(msgspec.json.encode(found))  # whatever a remote sent, it can be written
        return found


@pytest.fixture
def swing() -> Iterator[HostileServer]:
    with hostile(answers("swing")) as server:
        yield server


@pytest.fixture
def kite() -> Iterator[HostileServer]:
    with hostile(answers("kite")) as server:
        yield server


def beside(
    folder: Path, kite: HostileServer, swing: HostileServer, breakers: Breakers | None = None, **entry: object
) -> Neighbours:
    """The two remotes as their entries have them; `entry` is of the kite."""
    entries = {name: {"url": one.url, "deadline_ms": PATIENCE} for name, one in (("kite", kite), ("swing", swing))}
    return Neighbours(folder, {**entries, "kite": {**entries["kite"], **entry}}, breakers)


def cost(answer: Answer) -> tuple[str, str]:
    """The status of the kite and its reason, once it is certain that the others have answered."""
    assert (answer.domains["swing"].status, answer.domains["lights"].status) == ("answered", "answered"), answer.domains
    assert {one.domain for one in answer.ranked} >= {"swing", "lights"}
    assert answer.decision.action in ("accept", "clarify")
    return answer.domains["kite"].status, answer.domains["kite"].reason or ""


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
LONG = b"y" * 30_000

LATE: dict[str, Behaviour] = {
    "nothing": hangs,
    "slow empty lines": trickles(b"", b"\r\n"),
    "slow headers": trickles(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "slow body": trickles(HEAD + b"content-length: 1000000\r\n\r\n{", b" "),
    "slow chunks": trickles(CHUNKED, b"1\r\n \r\n"),
    "half a body": then(response(reply("kite"))[:-1], hangs),
}


@pytest.mark.parametrize("fault", LATE)
def test_what_takes_too_long_is_late(tmp_path: Path, kite: HostileServer, swing: HostileServer, fault: str) -> None:
    neighbours = beside(tmp_path, kite, swing, deadline_ms=DEADLINE)
    kite.behaviour = LATE[fault]
    assert cost(neighbours.answer()) == ("late", f"{kite.url}: no answer within {DEADLINE} ms")
    kite.behaviour = answers("kite")
    # Its deadline is short, and a busy machine may not keep even that once.
    assert any(cost(neighbours.answer())[0] == "answered" for _ in range(20))


NETWORK: dict[str, tuple[Behaviour, str]] = {
    "reset": (reset, "closed before its reply|reset"),
    "closed": (closes, "closed"),
    "closed in the headers": (then(HEAD, closes), "ends before its end"),
    "closed in the body": (then(response(reply("kite"))[:-5], closes), "ends before its end"),
    "another protocol": (sends(b"220 mail.example ESMTP\r\n"), r"no reply of HTTP/1\.1"),
    "binary": (sends(bytes(range(256))), r"no reply of HTTP/1\.1"),
    "endless headers": (floods(b"HTTP/1.1 200 OK\r\n", b"x: " + LONG + b"\r\n"), "65536 bytes of headers|HTTP/1.1"),
    "one endless header": (floods(b"HTTP/1.1 200 OK\r\nx: ", LONG), "65536 bytes of headers|HTTP/1.1"),
    "endless interim replies": (floods(b"", b"HTTP/1.1 103 Hints\r\n\r\n" * 1000), "bytes of headers"),
    "endless body": (floods(CHUNKED, b"7530\r\n" + LONG + b"\r\n"), "a body of more than 4194304 bytes"),
    "endless body without a length": (floods(HEAD + b"\r\n", LONG), "a body of more than 4194304 bytes"),
    "endless chunk extension": (floods(CHUNKED + b"1;", LONG), "65536 bytes beside its body"),
    "endless trailers": (floods(CHUNKED + b"0\r\n", b"x: " + LONG + b"\r\n"), "65536 bytes beside its body"),
    "endless chunks of one byte": (floods(CHUNKED, b"1\r\n \r\n" * 10_000), "65536 bytes beside its body"),
    "endless empty lines": (floods(b"", b"\r\n" * 10_000), "it sent"),
    "a large length": (sends(HEAD + b"content-length: 1000000000\r\n\r\n"), "a body of 1000000000 bytes, expected"),
    "a length beyond numbers": (sends(HEAD + b"content-length: 99999999999999999999999\r\n\r\n"), "it sent"),
    "a negative length": (sends(HEAD + b"content-length: -1\r\n\r\n"), "it sent"),
    "two lengths": (sends(HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x"), "it sent|its reply"),
    "a length and chunks": (sends(HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"), "it sent"),
    "chunks of garbage": (sends(CHUNKED + b"zz\r\n{}\r\n"), r"no reply of HTTP/1\.1"),
    "a chunk longer than it is": (sends(CHUNKED + b"2\r\n{}garbage\r\n"), r"no reply of HTTP/1\.1"),
    "a chunk of a negative size": (sends(CHUNKED + b"-5\r\nhello\r\n"), r"no reply of HTTP/1\.1"),
    "chunks in a coding": (sends(HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "it sent|its reply"),
    "a bomb": (sends(response(bomb(64), "content-encoding: gzip")), "content coding 'gzip', expected none"),
    "a bomb without its name": (sends(response(bomb(64))), "its reply"),
    "another type": (sends(response(b"<html>", kind="text/html")), "content type 'text/html', expected application"),
    "no type": (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"), "no content type, expected application"),
    **{
        f"status {status[:3]}": (sends(response(b'"secret"', status=status)), f"the status {status[:3]}, expected 200")
        for status in ("500 Error", "503 Busy", "401 No", "404 No", "201 Created", "206 Part")
    },
    "no content": (sends(b"HTTP/1.1 204 No Content\r\n\r\n"), "the status 204"),
    "switching protocols": (sends(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"), ""),
}


@pytest.mark.parametrize("fault", NETWORK)
def test_a_fault_of_the_network_or_of_http_costs_its_place_alone(
    tmp_path: Path, kite: HostileServer, swing: HostileServer, fault: str
) -> None:
    neighbours = beside(tmp_path, kite, swing, deadline_ms=5_000)
    kite.behaviour, reason = NETWORK[fault]
    status, found = cost(neighbours.answer())
    assert status == "failed", found
    assert found.startswith(f"{kite.url}: ")
    assert re.search(reason, found), found
    assert "secret" not in found
    kite.behaviour = answers("kite")
    assert cost(neighbours.answer())[0] == "answered"


CONTENT: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "half": (reply("kite")[:-1], ""),
    "a list": (b"[]", ""),
    "a number": (b"5", ""),
    "Latin-1": (reply("kite", version="é").decode().encode("latin-1"), ""),
    "deep": (b'{"version": "1", "why": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
    "NaN": (reply("kite", mine=float("nan")), ""),
    "infinity": (reply("kite", right=[float("inf")]), ""),
    "infinity as a number": (reply("kite").replace(b"0.7", b"1e999"), ""),
    "a text for a number": (reply("kite", mine="0.9"), ""),
    "beyond one": (reply("kite", mine=1.5), "mine is 1.5"),
    "negative": (reply("kite", right=[-0.1]), "right is"),
    "more right than mine": (reply("kite", right=[0.95]), "sum to at most mine = 0.9"),
    "too many numbers": (reply("kite", right=[0.1, 0.1]), "shape"),
    "too few numbers": (reply("kite", right=[]), "shape"),
    "no hypotheses": (reply("kite", hypotheses=None), "shape"),
    "another domain": (reply("kite", hypotheses=[reading("swing")]), "'swing', expected 'kite'"),
    "an empty intent": (reply("kite", hypotheses=[reading("kite", intent="")]), "intent"),
    "a long intent": (reply("kite", hypotheses=[reading("kite", intent="x" * 1000)]), "intent"),
    "a confidence of NaN": (reply("kite", hypotheses=[reading("kite", domain_confidence=float("nan"))]), ""),
    "a confidence beyond its scale": (reply("kite", hypotheses=[reading("kite", domain_confidence=7)]), "7"),
    "a feature of NaN": (reply("kite", hypotheses=[reading("kite", features={"x": float("nan")})]), ""),
    "many hypotheses": (
        reply("kite", hypotheses=[reading("kite", intent=f"I{i}") for i in range(101)], right=[0.0] * 101),
        "more than 100",
    ),
    "large hypotheses": (
        reply("kite", hypotheses=[reading("kite", slots=[{"name": "x", "value": "y" * (2 << 20)}])]),
        "expected at most 1048576",
    ),
    "half a surrogate pair": (reply("kite", hypotheses=[reading("kite", intent="\ud800")]), ""),
    "no version": (reply("kite", version=None), "version"),
    "a version of control characters": (reply("kite", version="1\r\nx: y"), "version"),
    "a long version": (reply("kite", version="1" * 65), "version"),
    "a failure": (json.dumps({"version": "1", "failure": "out of order"}).encode(), "out of order"),
    "a long failure": (json.dumps({"version": "1", "failure": "x" * 1_000_000}).encode(), "xxx"),
}


@pytest.mark.parametrize("content", CONTENT)
def test_content_that_is_no_answer_costs_its_place_alone(
    tmp_path: Path, kite: HostileServer, swing: HostileServer, content: str
) -> None:
    neighbours = beside(tmp_path, kite, swing)
    body, reason = CONTENT[content]
    kite.behaviour = sends(response(body))
    status, found = cost(neighbours.answer())
    assert (status, reason in found) == ("failed", True), found
    assert kite.url in found
    assert len(found) < 1_000
    kite.behaviour = answers("kite")
    assert cost(neighbours.answer())[0] == "answered"


def test_a_remote_that_is_not_there_costs_its_place_alone(
    tmp_path: Path, kite: HostileServer, swing: HostileServer
) -> None:
    neighbours = beside(tmp_path, kite, swing)
    kite.close()
    status, reason = cost(neighbours.answer())
    assert (status, "Connection refused" in reason) == ("failed", True), reason


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(tmp_path: Path, kite: HostileServer, swing: HostileServer, status: str) -> None:
    neighbours = beside(tmp_path, kite, swing)
    with hostile(answers("kite")) as elsewhere:
        kite.behaviour = sends(response(b"{}", f"location: {elsewhere.url}/v1/rank", status=status))
        found = cost(neighbours.answer())
        assert found[0] == "failed"
        assert f"the status {status[:3]}, expected 200; a redirect is not followed" in found[1]
        assert (elsewhere.connections, elsewhere.received) == (0, [])


def test_nothing_of_a_remote_is_run_or_written_here(tmp_path: Path, kite: HostileServer, swing: HostileServer) -> None:
    """It starts no process, as an environment does, and leaves no file."""

    def seen() -> tuple[set[Path], set[str]]:
        children = {path.read_text() for path in Path("/proc/self/task").glob("*/children")}
        return set(tmp_path.rglob("*")), children

    neighbours = beside(tmp_path, kite, swing)
    before = seen()
    assert cost(neighbours.answer())[0] == "answered"
    assert seen() == before
    assert "arbitrank_kite" not in sys.modules


# ----------------------------------------------------------------------------------------------------------------- TLS


def context_of(folder: Path, name: str = "kite") -> tuple[ssl.SSLContext, Path]:
    """A server's TLS with a certificate of localhost, and the file of that."""
    tls, _ = made(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert tls.certificate
    context.load_cert_chain(tls.certificate, tls.key)
    return context, tls.certificate


def test_a_certificate_that_the_entry_trusts_is_verified_by_its_name(tmp_path: Path, swing: HostileServer) -> None:
    context, certificate = context_of(tmp_path)
    with hostile(answers("kite"), context) as kite:
        right = beside(tmp_path, kite, swing, url=f"https://localhost:{kite.port}", ca_file=str(certificate))
        assert cost(right.answer())[0] == "answered"
        seen = len(kite.received)
        wrong = beside(tmp_path, kite, swing, url=kite.url, ca_file=str(certificate))
        assert "localhost" not in wrong.entries["kite"]["url"]  # type: ignore[operator]
        assert wrong.answer().domains["kite"].status == "failed"
        assert "certificate is not trusted: IP address mismatch" in (wrong.answer().domains["kite"].reason or "")
        assert len(kite.received) == seen


@pytest.mark.parametrize("trusted", [None, "another"])
def test_nothing_is_sent_to_a_server_whose_certificate_is_not_trusted(
    tmp_path: Path, swing: HostileServer, trusted: str | None
) -> None:
    context, _ = context_of(tmp_path)
    entry = {} if trusted is None else {"ca_file": str(context_of(tmp_path, trusted)[1])}
    with hostile(answers("kite"), context) as kite:
        neighbours = beside(tmp_path, kite, swing, url=f"https://localhost:{kite.port}", **entry)
        status, reason = cost(neighbours.answer())
        assert (status, "certificate is not trusted" in reason) == ("failed", True), reason
        assert kite.received == []


def test_a_server_without_tls_at_an_address_of_https_gets_nothing(
    tmp_path: Path, kite: HostileServer, swing: HostileServer
) -> None:
    kite.behaviour = sends(response(reply("kite")))
    neighbours = beside(tmp_path, kite, swing, url=f"https://localhost:{kite.port}", deadline_ms=DEADLINE)
    assert cost(neighbours.answer())[0] in ("failed", "late")
    assert b"fly" not in b"".join(one.body for one in kite.received)


# ------------------------------------------------------------------------------------------------------ what is sent

SECRETS = {
    "utterance": "fly to the moon",
    "id": "id-of-the-call",
    "session": "session-of-ana",
    "account": {"name": "account-of-ana"},
    "dialogue": {"last": "dialogue-of-ana"},
}
CONTEXT = {"device": "device-of-ana", "room": "room-of-ana", "nested": {"deep": "nested-of-ana"}}
GIVEN = tuple(
    Hypothesis(name, "Fly", 0.9, slots=(Slot("words", f"reading of {name}"),)) for name in ("kite", "swing", "lights")
)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("send", "fields", "context"),
    [
        (None, {"utterance"}, None),
        (["utterance"], {"utterance"}, None),
        (["context.device", "context.missing"], set(), {"device"}),
        (["context", "session"], {"session"}, {"device", "room", "nested"}),
        (["account", "dialogue", "id", "hypotheses"], {"account", "dialogue", "id"}, None),
        ([], set(), None),
    ],
)
def test_nothing_is_sent_beyond_what_the_entry_allows(
    tmp_path: Path, kite: HostileServer, swing: HostileServer, send: list[str] | None, fields: set[str],
    context: set[str] | None, given: bool,
) -> None:  # fmt: skip
    """Looked for in all bytes that were on the wire."""
    neighbours = beside(tmp_path, kite, swing, **({} if send is None else {"send": send}))
    request = Request(**SECRETS, context=CONTEXT, hypotheses=GIVEN if given else None)  # type: ignore[arg-type]
    answer = neighbours.answer(request)
    calls = [one for one in kite.received if one.path.endswith("/v1/rank")]
    whole = repr(kite.received)
    if given and not (send is None or "hypotheses" in send):
        assert (answer.domains["kite"].status, calls) == ("failed", [])
    else:
        (call,) = calls
        assert cost(answer)[0] == "answered"
        assert call.content.keys() - {"hypotheses"} == {"protocol", "remaining_ms", "explain", "request"}
        assert call.content["request"].keys() == fields | ({"context"} if context else set())
        assert call.content["request"].get("context", {}).keys() == (context or set())
        assert [one["domain"] for one in call.content.get("hypotheses", [])] == (["kite"] if given else [])
        assert call.headers.keys() == {
            "host", "user-agent", "accept", "accept-encoding", "content-type", "content-length",
        }  # fmt: skip
    for name, value in SECRETS.items():
        text = value if isinstance(value, str) else next(iter(value.values()))
        assert (text in whole) == (bool(calls) and name in fields), name
    for key in CONTEXT:
        assert (f"{key}-of-ana" in whole) == (bool(calls) and key in (context or ())), key
    assert "reading of swing" not in whole
    assert "reading of lights" not in whole


def test_a_token_is_sent_to_the_entrys_own_host_alone_and_never_shown(
    tmp_path: Path, kite: HostileServer, swing: HostileServer
) -> None:
    (tmp_path / "token").write_text("token-of-the-kite\n")
    neighbours = beside(tmp_path, kite, swing, token_file=str(tmp_path / "token"))
    assert cost(neighbours.answer())[0] == "answered"
    assert {one.headers["authorization"] for one in kite.received} == {"Bearer token-of-the-kite"}
    kite.behaviour = lambda connection, request: connection.sendall(
        response(json.dumps({"version": "1", "failure": request.headers["authorization"]}).encode(), status="401 No")
    )
    answer = neighbours.answer()
    assert cost(answer)[0] == "failed"
    assert b"token-of-the-kite" not in msgspec.json.encode(answer)
    assert "token-of-the-kite" not in repr(swing.received)


# ----------------------------------------------------------------------------------------------- breakers, and reading


def test_a_breaker_skips_a_remote_that_fails_and_tries_it_again(
    tmp_path: Path, kite: HostileServer, swing: HostileServer
) -> None:
    now = 0.0
    neighbours = beside(tmp_path, kite, swing, Breakers(BreakerSettings(failures=3, pause=1.0), lambda: now))
    kite.behaviour = reset
    statuses = [cost(neighbours.answer())[0] for _ in range(4)]
    assert statuses == ["failed"] * 3 + ["skipped"]
    seen = len(kite.received)
    kite.behaviour = answers("kite")
    assert cost(neighbours.answer())[0] == "skipped"
    assert len(kite.received) == seen
    now = 1.5
    assert [cost(neighbours.answer())[0] for _ in range(2)] == ["answered"] * 2


def test_a_remote_that_is_away_when_it_is_to_be_read_keeps_no_other_from_answering(
    tmp_path: Path, kite: HostileServer, swing: HostileServer
) -> None:
    kite.close()
    status, reason = cost(beside(tmp_path, kite, swing).answer())
    assert (status, "Connection refused" in reason) == ("failed", True), reason


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (stated("swing"), "'swing'"),
        (b"{}", "missing required field"),
        (stated("kite").replace(b"[1, 0]", b"[2, 0]"), "2"),
        (json.dumps({"protocol": [1, 0], "name": "kite", "version": "no version"}).encode(), "version"),
        (stated("kite") + b" " * (2 << 20), "expected at most 1048576"),
        (b"[" * 100_000, ""),
    ],
)
def test_a_remote_that_states_what_it_is_not_is_refused_alone(
    tmp_path: Path, kite: HostileServer, swing: HostileServer, content: bytes, expected: str
) -> None:
    kite.behaviour = sends(response(content))
    status, reason = cost(beside(tmp_path, kite, swing).answer())
    assert (status, expected in reason) == ("failed", True), reason
    assert [one.path for one in kite.received] == ["/v1/domain"]
