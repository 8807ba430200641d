"""OpenTelemetry spans: of a call, of each domain, of loads; and nothing of it where it is off."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
from fakes import FakeDomain
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from arbitrank.arbitration.outcomes import Arbitration
from arbitrank.live.live import Live
from arbitrank.serve.call_ids import CURRENT, CallIds
from arbitrank.serve.tracing import Tracing
from arbitrank.store.store import open_store
from arbitrank.values import Request

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7


class Traced:
    """Tracing whose spans are kept."""

    def __init__(self) -> None:
        self.exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(provider)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def call(self, serve: Any, *headers: tuple[bytes, bytes], traceparent: str | None = None) -> list[CallIds]:
        """Serve `POST /v1/rank`; the ids that it was served with."""
        seen = []

        async def served(scope: Any, receive: Any, send: Any, ids: CallIds) -> None:
            seen.append(ids)
            assert CURRENT.get() == ids
            await serve(send)

        async def send(message: Any) -> None:
            pass

        scope = {"method": "POST", "path": "/v1/rank", "scheme": "http", "headers": headers}
        asyncio.run(self.tracing.call(served, scope, None, send, CallIds("mine", traceparent)))  # type: ignore[arg-type]
        return seen


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
def live(tmp_path: Path, traced: Traced) -> Iterator[Live]:
    for name, mine in (("music", 0.6), ("books", 0.5)):
        fakes.artifact(tmp_path / name, name, mine=mine)
    domains = {name: FakeDomain(name, tmp_path / name) for name in ("music", "books")}
    store = open_store(tmp_path / "store", environment={})
    with Live(domains, store, selftest=lambda *_, **__: None, loading=traced.tracing.loading) as found:
        yield found


async def replied(send: Any, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status})


def test_a_call_is_a_span_of_the_callers_trace_and_answers_with_its_own_traceparent(traced: Traced) -> None:
    (ids,) = traced.call(replied, (b"tracestate", b"vendor=1"), traceparent=f"00-{TRACE:032x}-{SPAN:016x}-01")
    span = traced.spans()["POST /v1/rank"]
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id, span.parent.is_remote) == (TRACE, SPAN, True)
    assert span.context.trace_state.get("vendor") == "1"
    assert ids.request_id == "mine"
    assert ids.traceparent is not None
    assert ids.traceparent[:-2] == f"00-{TRACE:032x}-{span.context.span_id:016x}-"
    assert span.kind == SpanKind.SERVER
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/rank",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "arbitrank.request_id": "mine",
    }


def test_a_call_without_a_traceparent_begins_a_trace(traced: Traced) -> None:
    (ids,) = traced.call(replied)
    span = traced.spans()["POST /v1/rank"]
    assert span.parent is None
    assert ids.traceparent is not None
    assert ids.traceparent[:-2] == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    assert int(ids.traceparent[-2:], 16) & 1


def test_a_callers_decision_not_to_sample_is_kept(traced: Traced) -> None:
    (ids,) = traced.call(replied, traceparent=f"00-{TRACE:032x}-{SPAN:016x}-00")
    assert not traced.spans()
    assert ids.traceparent is not None
    assert ids.traceparent.startswith(f"00-{TRACE:032x}-")
    assert not int(ids.traceparent[-2:], 16) & 1


def test_a_failed_call_is_an_error_without_its_text(traced: Traced) -> None:
    async def fails(send: Any) -> None:
        await replied(send, 500)
        raise RuntimeError("a user's words")

    with pytest.raises(RuntimeError):
        traced.call(fails)
    span = traced.spans()["POST /v1/rank"]
    assert span.status.status_code == StatusCode.ERROR
    assert "words" not in span.to_json()


def test_each_domain_is_a_span_below_its_request_below_the_call(traced: Traced, live: Live) -> None:
    found: list[Arbitration] = []

    async def serve(send: Any) -> None:
        arbitrate = traced.tracing.arbitrating(live.held())
        found.append(await asyncio.to_thread(arbitrate, Request(id="1", utterance="a user's words")))
        await replied(send)

    traced.call(serve)
    spans = traced.spans()
    call, request = spans["POST /v1/rank"], spans["arbitrate"]
    assert request.parent == call.context
    for name in ("music", "books"):
        span = spans[f"domain {name}"]
        assert span.parent == request.context
        assert span.start_time is not None
        assert span.end_time is not None
        assert request.start_time is not None
        assert request.end_time is not None
        assert request.start_time - 2_000_000 <= span.start_time <= span.end_time <= request.end_time + 2_000_000
        assert span.attributes is not None
        assert span.attributes["arbitrank.version"] == found[0].answer.domains[name].version
        assert span.attributes["arbitrank.arm"] == "stable"
    assert not any("words" in span.to_json() for span in spans.values())


def test_each_load_is_a_span(traced: Traced, live: Live) -> None:
    spans = traced.spans()
    assert spans.keys() >= {"load music", "load books"}
    attributes = spans["load music"].attributes
    assert attributes is not None
    assert (attributes["arbitrank.origin"], attributes["arbitrank.version"]) == (
        "package",
        live.status().domains["music"].version,
    )


def test_a_service_without_the_option_imports_nothing_of_it() -> None:
    code = (
        "import sys; import arbitrank.serve.server; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
