"""The benchmark of the service: its client counts answers and refusals."""

from __future__ import annotations

import json

from benchmarks.serve import bodies, call, closed_loop, open_loop, running

from arbitrank.wire.requests import decode_request

CALLS = [call(body) for body in bodies()]


def test_requests_have_fifteen_hypotheses_of_three_domains_and_differ() -> None:
    requests = [decode_request(body) for body in bodies()]
    assert {len(request.hypotheses or ()) for request in requests} == {15}
    assert {h.domain for request in requests for h in request.hypotheses or ()} == {"books", "music", "video"}
    assert len({json.dumps(json.loads(body)["hypotheses"]) for body in bodies()}) == len(bodies())


def test_the_echo_answers_every_request() -> None:
    with running("echo", None) as (_, port):
        assert closed_loop(port, CALLS, 0.3) > 0
        seen = open_loop(port, CALLS, 100, 0.5)
    assert len(seen.latencies) + seen.unsent > 0
    assert seen.shed == 0
    assert min(seen.latencies) > 0


def test_an_overloaded_service_refuses_some_requests_and_answers_others() -> None:
    with running("service", None, **{"limit-waiting": 1}) as (_, port):
        seen = open_loop(port, CALLS, 20_000, 0.5)
    assert seen.latencies
    assert seen.shed
