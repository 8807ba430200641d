"""The service among clients that send too much, too slowly or the unexpected: they are refused, and others answered."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fakes
import pytest
import services
from services import Service, answer_on, answers_on, raw_call
from waiting import until

from arbitrank.serve import lists
from arbitrank.serve.auth import make_token
from arbitrank.store.store import open_store
from arbitrank.values import Request

TOKEN, GRANT = make_token("tester", ["rank", "metrics"])
PARTNER, PARTNER_GRANT = make_token("partner", ["rank"], rate=0.001, burst=3, quota=8)
DAILY, DAILY_GRANT = make_token("daily", ["rank"], quota=8)
BEARER = f"authorization: Bearer {TOKEN}"
BRIGHT = json.dumps({"utterance": "more light"}).encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, lights_site: Path) -> Iterator[services.Service]:
    """A service with tokens; its lists may take three seconds, bodies that arrive have 2 MB."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "tokens").write_text(f"{GRANT}\n{PARTNER_GRANT}\n{DAILY_GRANT}\n")
    fakes.artifact(folder / "lights", "lights", fakes.CARD)
    open_store(folder / "store", environment={}).publish(folder / "lights", promote=True)
    options = ("--tokens", str(folder / "tokens"), "--limit-list-seconds", "3", "--limit-held", "2000000")
    with Service(lights_site, folder / "store", *options) as one:
        yield one


def sent(service: services.Service, raw: bytes) -> tuple[int, Any]:
    """The status and decoded body of the answer to bytes, and that the connection then ends or goes on."""
    with service.connect() as connection:
        with suppress(OSError):
            connection.sendall(raw)
        status, body = answer_on(connection)
        return status, json.loads(body) if body else None


# ------------------------------------------------------------------------------------------------ by the head alone


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("POST /v1/rank", "", 401),
        ("POST /v1/rank", "authorization: Bearer x\r\n", 401),
        ("POST /v1/nothing", "", 401),
        ("DELETE /v1/rank", "", 401),
        ("POST /v1/nothing", "BEARER\r\n", 404),
        ("PUT /v1/rank", "BEARER\r\n", 405),
        ("POST /v1/feedback", "BEARER\r\n", 403),
        ("POST /v1/domains/absent/canary", "BEARER\r\n", 403),
        ("POST /healthz", "", 405),
        ("POST /v1/rank", "BEARER\r\ncontent-encoding: br\r\n", 415),
        ("POST /v1/choose", "BEARER\r\nexpect: 100-continue\r\n", 413),
    ],
)
def test_a_call_is_refused_before_its_body_is_read(
    service: services.Service, line: str, headers: str, status: int
) -> None:
    with service.connect() as connection:
        headers = headers.replace("BEARER", BEARER)  # here, as a token in a test's name differs in every process
        connection.sendall(f"{line} HTTP/1.1\r\nhost: a\r\n{headers}content-length: 8000000\r\n\r\n".encode())
        seen, body = answer_on(connection)
        assert (seen, list(json.loads(body))) == (status, ["error"])
        assert connection.recv(1) == b""


def test_a_refused_client_that_is_still_sending_gets_its_answer(service: services.Service) -> None:
    assert sent(service, raw_call(b" " * (4 << 20)))[0] == 401
    chunks = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    head = b"POST /v1/rank HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n"
    assert sent(service, head + b"\r\n" + 4 * chunks + b"0\r\n\r\n")[0] == 401
    choose = head.replace(b"rank", b"choose") + f"{BEARER}\r\n\r\n".encode()
    assert sent(service, choose + 4 * chunks + b"0\r\n\r\n")[0] == 413


def test_the_connection_goes_on_after_a_refusal_with_a_small_body(service: services.Service) -> None:
    with service.connect() as connection:
        connection.sendall(raw_call(BRIGHT))
        connection.sendall(b"".join([raw_call(BRIGHT, BEARER), raw_call(BRIGHT), raw_call(BRIGHT, BEARER)]))
        assert [status for status, _ in answers_on(connection, 4)] == [401, 200, 401, 200]


# ------------------------------------------------------------------------------------------------------------ heads


def test_headers_are_bounded_however_they_arrive(service: services.Service) -> None:
    head = b"POST /v1/rank HTTP/1.1\r\nhost: a\r\n"
    chunked = head + f"{BEARER}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    for raw in (
        head + b"x: " + b"a" * 30_000 + b"\r\n\r\n",
        head + b"".join(b"x%d: a\r\n" % n for n in range(2_000)) + b"\r\n",
        b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"".join(b"x%d: a\r\n" % n for n in range(101)) + b"\r\n",
        chunked + b"1;" + b"e" * 30_000 + b"\r\n \r\n0\r\n\r\n",
        chunked + b"1\r\n \r\n0\r\nx: " + b"a" * 30_000 + b"\r\n\r\n",
        chunked + b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n",
        raw_call(BRIGHT, BEARER) + head + b"x: " + b"a" * 30_000,
    ):
        with service.connect() as connection:
            with suppress(OSError):
                connection.sendall(raw)
            with connection.makefile("rb") as stream:
                statuses = re.findall(rb"HTTP/1.1 (\d+) ", stream.read())
            assert statuses[-1:] == [b"431"], raw[:60]
            assert len(statuses) == 1 + raw.count(b"content-length")  # the call before is answered
    with service.connect() as connection:
        for n in range(3_000):  # in many small pieces, without end
            connection.sendall(b"x%05d: a\r\n" % n if n else head)
        assert answer_on(connection)[0] == 431


def test_a_trailer_is_no_header(service: services.Service) -> None:
    head = b"POST /v1/rank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(BRIGHT), BRIGHT, BEARER.encode())
    assert sent(service, head + body)[0] == 401
    assert sent(service, head[:-2] + f"{BEARER}\r\n\r\n".encode() + body.replace(b"Bearer", b"Basic"))[0] == 200


@pytest.mark.parametrize("offer", ["h2c", "websocket", "h2c, websocket", "TLS/1.3"])
def test_an_offer_of_another_protocol_is_ignored(service: services.Service, offer: str) -> None:
    upgrade = (f"upgrade: {offer}", "connection: Upgrade, HTTP2-Settings", "http2-settings: AAMAAABk")
    body = json.dumps({"id": "7", "utterance": "more light"}).encode()
    chunked = raw_call(b"", BEARER, *upgrade).replace(b"content-length: 0", b"transfer-encoding: chunked")
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    health = "\r\n".join(["GET /healthz HTTP/1.1", "host: a", *upgrade, "", ""]).encode()
    calls = [raw_call(body, BEARER, *upgrade), health, chunked, raw_call(body, BEARER)]
    with service.connect() as connection:
        connection.sendall(b"".join(calls))  # all in one piece
        found = answers_on(connection, 4)
        assert [status for status, _ in found] == [200] * 4
        assert [json.loads(found[n][1])["id"] for n in (0, 2, 3)] == ["7"] * 3
        for raw in calls:  # and byte by byte
            for start in range(0, len(raw), 7):
                connection.sendall(raw[start : start + 7])
            assert answer_on(connection)[0] == 200


# -------------------------------------------------------------------------------------------------------- compressed


def test_a_body_may_come_compressed_by_gzip(service: services.Service) -> None:
    def ranked(body: bytes, encoding: str) -> tuple[int, Any]:
        status, answer, headers = service.call("POST", "/v1/rank", body, TOKEN, content_encoding=encoding)
        assert status != 415 or headers["accept-encoding"] == "gzip"
        return status, answer

    assert ranked(gzip.compress(BRIGHT), "gzip")[0] == ranked(gzip.compress(BRIGHT), "X-GZIP")[0] == 200
    assert ranked(BRIGHT, "identity")[0] == 200
    listed = json.dumps([{"utterance": "more light"}] * 10).encode()
    status, answers = ranked(gzip.compress(listed), "gzip")
    assert (status, len(answers)) == (200, 10)
    assert ranked(BRIGHT, "gzip")[0] == 400
    assert ranked(gzip.compress(b" " * (9 << 20)), "gzip")[0] == 413
    for encoding in ("deflate", "br", "gzip, gzip", "zstd"):
        assert ranked(gzip.compress(BRIGHT), encoding)[0] == 415


# ------------------------------------------------------------------------------------------------------- fair shares


def test_those_who_hold_bodies_are_cut_and_no_honest_call_fails(service: services.Service) -> None:
    held = raw_call(b"x" * 1_000_000, BEARER)[:-10]
    holders: list[socket.socket] = []
    for _ in range(6):
        holders.append(service.connect())
        with suppress(OSError):
            holders[-1].sendall(held)
        assert service.rank(BRIGHT, token=TOKEN)[0] == 200
    until(lambda: 'why="held"' in service.call("GET", "/metrics", token=TOKEN)[1])
    assert service.rank(b"[" + BRIGHT + b" " * 900_000 + b"]", token=TOKEN)[0] == 200
    for one in holders:
        one.close()


# -------------------------------------------------------------------------------------------------------- allowances


def test_a_token_has_a_rate_and_a_quota(service: services.Service) -> None:
    found = [service.call("POST", "/v1/rank", BRIGHT, PARTNER) for _ in range(5)]
    assert [status for status, _, _ in found] == [200, 200, 200, 429, 429]
    assert "rate of 0.001 calls a second" in found[3][1]["error"]
    assert int(found[3][2]["retry-after"]) >= 900
    listed = json.dumps([{"utterance": "more light"}] * 6).encode()
    assert service.call("POST", "/v1/rank", listed, DAILY)[0] == 200  # which counts as six
    status, answer, headers = service.call("POST", "/v1/rank", listed, DAILY)
    assert (status, "quota of 8 calls a day" in answer["error"]) == (429, True)
    assert 0 < int(headers["retry-after"]) <= 86_400
    assert service.call("POST", "/v1/rank", BRIGHT, DAILY)[0] == 200
    assert service.call("POST", "/v1/rank", BRIGHT, DAILY)[0] == 429
    assert service.call("GET", "/healthz", token=DAILY)[0] == 200
    page = service.call("GET", "/metrics", token=TOKEN)[1]
    assert 'arbitrank_limited_total{limit="rate",token="partner"} 2.0' in page
    assert 'arbitrank_limited_total{limit="quota",token="daily"} 2.0' in page


# ------------------------------------------------------------------------------------------------------------- lists


def test_a_list_ends_at_its_deadline_and_when_its_client_has_gone(service: services.Service) -> None:
    slow = json.dumps([{"utterance": "sleep 0.02"}] * 900).encode()
    with service.connect() as gone:
        gone.sendall(raw_call(slow, BEARER))
        assert service.rank(BRIGHT, token=TOKEN)[0] == 200
    counted = 'arbitrank_calls_total{route="/v1/rank",status="499"} 1.0'
    until(lambda: counted in service.call("GET", "/metrics", token=TOKEN)[1])
    status, answer = service.rank(slow, token=TOKEN)
    assert status == 503
    assert "of 900 requests were answered in the 3 s that a list may take" in answer["error"]


def test_a_slice_of_a_list_ends_with_the_request_at_hand_where_another_call_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lists, "_SLICE_SECONDS", 60.0)
    requests, asked = [Request(id=str(i), hypotheses=()) for i in range(5)], []

    def arbitrate(request: Request) -> Any:
        asked.append(request.id)
        return request, None

    assert len(lists.answer_slice(arbitrate, requests, lambda: False)) == 5
    asked.clear()
    assert len(lists.answer_slice(arbitrate, requests, lambda: len(asked) == 2)) == 2
    monkeypatch.setattr(lists, "_SLICE_SECONDS", 0.0)
    assert len(lists.answer_slice(arbitrate, requests, lambda: False)) == 1
