"""OpenTelemetry spans of the service, with the extra `otel`: of each call, each domain's part in it, and each load.

    POST /v1/rank                 the call; a child of the caller's span where its traceparent says so
      arbitrate                   one request of it
        domain weather            its recognition and scoring
    load weather                  a version that is loaded from the store or a package

No attribute holds a user's words or an exception's text. The exporter, the sampler and the service's name are set by
OpenTelemetry's own environment variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, …).
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, TypeAlias

from arbitrank.arbitration.outcomes import Answered, Arbitration, Failed, Late, Outcome
from arbitrank.extras import required
from arbitrank.live.domain_state import Load, LoadedVersion
from arbitrank.packages import core_version
from arbitrank.serve.call_ids import CURRENT, CallIds
from arbitrank.serve.metrics import failure_kind
from arbitrank.serve.operations import route_of
from arbitrank.values import Request

with required("--otel"):
    from opentelemetry.context import Context, attach, detach, get_current
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

Serve: TypeAlias = "Callable[[Scope, Receive, Send, CallIds], Awaitable[None]]"

_NAME = "arbitrank"


def exporting() -> TracerProvider:
    """A provider that sends spans by OTLP over HTTP, as the environment says."""
    with required("--otel"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": _NAME}))
    provider = TracerProvider(resource=resource.merge(Resource({"service.version": core_version()})))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """Spans of one worker, ended by `close`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME, core_version())
        self._propagator = TraceContextTextMapPropagator()

    async def call(self, serve: Serve, scope: Scope, receive: Receive, send: Send, ids: CallIds) -> None:
        """Serve a call within a span, whose `traceparent` the reply, the log and events then carry."""
        with self._span(scope["method"], self._parent(scope, ids), SpanKind.SERVER) as span:
            ids = CallIds(ids.request_id, _traceparent(span) or ids.traceparent)
            CURRENT.set(ids)

            async def observe(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await serve(scope, receive, observe, ids)
            finally:
                route = route_of(scope)
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes({
                    "http.request.method": scope["method"], "http.route": route, "url.scheme": scope["scheme"],
                    "arbitrank.request_id": ids.request_id,
                })  # fmt: skip

    def arbitrating(self, arbitrate: Callable[[Request], Arbitration]) -> Callable[[Request], Arbitration]:
        """The function with a span for each request, below the span of this moment, and one for each domain."""
        context = get_current()

        def traced(request: Request) -> Arbitration:
            token = attach(context)  # the function may run in another thread
            try:
                with self._span("arbitrate") as span:
                    began = perf_counter()
                    arbitration = arbitrate(request)
                    if span.is_recording():
                        span.set_attribute("arbitrank.action", arbitration.answer.decision.action)
                        self._domains(arbitration, began)
                    return arbitration
            finally:
                detach(token)

        return traced

    def loading(self, load: Load) -> Load:
        """The function with a span for each version that is loaded."""

        def traced(name: str, version: str | None) -> LoadedVersion:
            with self._span(f"load {name}", Context()) as span:
                span.set_attribute("arbitrank.domain", name)
                found = load(name, version)
                span.set_attributes({"arbitrank.version": found.manifest.version, "arbitrank.origin": found.origin})
                return found

        return traced

    def close(self) -> None:
        """Send the spans that wait, for as long as the exporter's timeout allows."""
        self._provider.shutdown()

    @contextmanager
    def _span(self, name: str, context: Context | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
        """A span that is current in the block; of an exception it names the class, never the text."""
        with self._tracer.start_as_current_span(
            name, context, kind, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            finally:
                if (error := sys.exception()) is not None:
                    span.set_attribute("error.type", type(error).__name__)
                    span.set_status(StatusCode.ERROR)

    def _parent(self, scope: Scope, ids: CallIds) -> Context:
        """The caller's span, where it names one."""
        if ids.traceparent is None:
            return Context()
        state = b",".join(value for name, value in scope["headers"] if name == b"tracestate").decode("latin-1")
        return self._propagator.extract({"traceparent": ids.traceparent, "tracestate": state}, Context())

    def _domains(self, arbitration: Arbitration, began: float) -> None:
        """Add the span of each domain, which has ended; of one in another process it begins with the request."""
        epoch = time_ns() - int(1e9 * perf_counter())
        for name, outcome in arbitration.outcomes.items():
            start, seconds = _times(outcome, began)
            span = self._tracer.start_span(f"domain {name}", start_time=epoch + int(1e9 * start))
            report = arbitration.answer.domains.get(name)
            span.set_attributes({
                "arbitrank.domain": name,
                "arbitrank.arm": arbitration.arms.get(name, "stable"),
                "arbitrank.version": (report and report.version) or "",
            })  # fmt: skip
            if isinstance(outcome, Answered):
                span.set_attribute("arbitrank.hypotheses", len(outcome.hypotheses))
            else:
                span.set_attribute("error.type", failure_kind(outcome))
                span.set_status(StatusCode.ERROR)
            span.end(epoch + int(1e9 * (start + seconds)))


def _times(outcome: Outcome, began: float) -> tuple[float, float]:
    """When a domain began, as `perf_counter` tells it, and its seconds."""
    if isinstance(outcome, Answered):
        ms, start = outcome.recognise_ms + outcome.rerank_ms, outcome.began
    elif isinstance(outcome, Failed):
        ms, start = outcome.ms, outcome.began
    else:
        ms, start = outcome.ms if isinstance(outcome, Late) else 0.0, None
    return began if start is None else start, 1e-3 * ms


def _traceparent(span: Span) -> str | None:
    """The `traceparent` of a span, None where it is none of a trace."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span, Context()))
    return carrier.get("traceparent")
