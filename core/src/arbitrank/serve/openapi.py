"""What describes the service: an OpenAPI 3.1 document for programs, and a page made of it for people.

The paths are written by hand; what goes in and comes out has the schemas of the values themselves.
"""

from __future__ import annotations

import html
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from arbitrank.answerlog.settings import Feedback
from arbitrank.serve import routes as rest
from arbitrank.serve.settings import MAX_BATCH, MAX_ID, MAX_UTTERANCE
from arbitrank.store.state import State
from arbitrank.values import Answer, Request
from arbitrank.wire import MAX_HYPOTHESES

SECURITY = "default-src 'none'; style-src 'unsafe-inline'"
"""The content security policy of the page, which holds no script."""

_REF = "#/components/schemas/{name}"
_DOMAIN = {
    "name": "domain", "in": "path", "required": True, "description": "A domain's name.",
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
}  # fmt: skip
_ERRORS = {
    400: "The call is not what is promised.",
    401: "No token that is known.",
    403: "The token's scopes don't suffice; or no tokens are set, and the call needs one.",
    404: "No such domain.",
    409: "Not possible as things are, or somebody else changed the domain first.",
    413: "More than is taken in one call.",
    415: "Not JSON by its Content-Type.",
    422: "The gate refuses the version, or it isn't sound.",
    503: "Not now: not ready, too much at once, or the store doesn't answer. `Retry-After` says when to try again.",
}


@cache
def document() -> bytes:
    """The OpenAPI document, as JSON."""
    return msgspec.json.encode(description())


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document."""
    kinds = (
        Request, Answer, Feedback, State, rest.Taken, rest.DomainRow, rest.Versions, rest.PromoteCall,
        rest.RollbackCall, rest.CanaryCall, rest.Changed, rest.Health, rest.Error,
    )  # fmt: skip
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    _bound(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "arbitrank",
            "version": version("arbitrank"),
            "description": "Decides which of many independently built domains should answer a request.",
        },
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token that `arbitrank token` made. Where no tokens are set, rank, feedback and "
                    "what only reads need none.",
                }
            },
        },
        "security": [{}, {"token": []}],
    }


def _bound(schemas: dict[str, Any]) -> None:
    """What is checked beyond types: lengths, and preferences in the context."""
    request = schemas["Request"]["properties"]
    short, words = {"maxLength": MAX_ID}, {"maxLength": MAX_UTTERANCE}
    for owner, key, bounds in (
        (request, "id", short),
        (request, "session", short),
        (request, "utterance", words),
        (request, "hypotheses", {"maxItems": MAX_HYPOTHESES}),
        (schemas["Feedback"]["properties"], "id", short),
    ):
        for one in owner[key].get("anyOf", [owner[key]]):
            if one.get("type") in ("string", "array"):
                one.update(bounds)
    request["context"]["patternProperties"] = {"^preference\\.": {"type": "number", "minimum": 0, "maximum": 1}}
    schemas["Feedback"]["anyOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("truth", "outcome")
    ]
    state = schemas["PromoteCall"]["properties"]
    schemas["PromoteCall"]["if"] = {"properties": {"force": {"const": True}}, "required": ["force"]}
    schemas["PromoteCall"]["then"] = {
        "required": ["reason"],
        "properties": {"reason": {**state["reason"], "type": "string", "pattern": "\\S"}},
    }
    schemas["PromoteCall"]["properties"]["reason"].pop("default", None)


def _paths() -> dict[str, Any]:
    rank = _call(
        "rank", "Rank", "Decide which domain should answer a request, or each of several.",
        "`hypotheses` absent: the domains recognise the utterance themselves. A list is answered by a list in its "
        "order, by the same versions. A request without an id is given one, by which feedback can be told.",
        body={"oneOf": [_ref("Request"), {"type": "array", "items": _ref("Request"), "maxItems": MAX_BATCH}]},
        reply={"oneOf": [_ref("Answer"), {"type": "array", "items": _ref("Answer")}]},
        errors=(400, 401, 403, 413, 415, 503), scope="rank",
    )  # fmt: skip
    feedback = _call(
        "feedback", "Feedback", "Say what a request really meant, or what became of its answer.",
        "By the answer's id, at any time, to any worker.",
        body=_ref("Feedback"), reply=_ref("Taken"), errors=(400, 401, 403, 413, 415, 503), scope="feedback",
    )  # fmt: skip
    domains = _call(
        "domains", "Domains", "Every installed domain, and what answers for it.", "",
        reply={"type": "array", "items": _ref("DomainRow")}, errors=(401, 403), scope="any",
    )  # fmt: skip
    versions = _call(
        "versions", "Domains", "A domain's versions in the store, and its state.", "",
        reply=_ref("Versions"), errors=(401, 403, 404, 503), scope="any",
    )  # fmt: skip
    changes = {
        verb: _call(
            verb, "Domains", said, more, body=_ref(f"{verb.capitalize()}Call"), optional=verb != "canary",
            reply=_ref("Changed"), errors=(400, 401, 403, 404, 409, 413, 415, 422, 503), scope="publish:DOMAIN",
        )
        for verb, said, more in (
            ("promote", "Make a version serve, if the gate lets it.",
             "The candidate by default. It is tested and the store's audit set is replayed with it, which takes a "
             "while; one version is judged at a time."),
            ("rollback", "Make what served before serve again.", ""),
            ("canary", "Have the candidate answer a share of the requests.", "0 ends it."),
        )
    }  # fmt: skip
    return {
        "/v1/rank": {"post": rank},
        "/v1/feedback": {"post": feedback},
        "/v1/domains": {"get": domains},
        "/v1/domains/{domain}/versions": {"get": versions, "parameters": [_DOMAIN]},
        **{f"/v1/domains/{{domain}}/{verb}": {"post": one, "parameters": [_DOMAIN]} for verb, one in changes.items()},
        "/healthz": {"get": _call("healthz", "Health", "Whether the process is alive.", "", reply={
            "type": "object", "properties": {"alive": {"const": True}}, "required": ["alive"]})},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _call("metrics", "Health", "Counters and timings, as Prometheus reads them.", "",
                                  reply={"type": "string"}, kind="text/plain", errors=(401, 403), scope="any")},
        "/openapi.json": {"get": _call("openapi", "About", "This document.", "", reply={"type": "object"})},
        "/docs": {"get": _call("docs", "About", "A page of it.", "", reply={"type": "string"}, kind="text/html")},
    }  # fmt: skip


def _ready() -> dict[str, Any]:
    call = _call("readyz", "Health", "Whether requests are answered, and all that is wrong.", "", reply=_ref("Health"))
    content = {"application/json": {"schema": _ref("Health")}}
    call["responses"]["503"] = {"description": "They aren't: loading, or stopping.", "content": content}
    return call


def _call(
    name: str,
    tag: str,
    summary: str,
    more: str,
    *,
    reply: dict[str, Any],
    body: dict[str, Any] | None = None,
    optional: bool = False,
    errors: tuple[int, ...] = (),
    scope: str | None = None,
    kind: str = "application/json",
) -> dict[str, Any]:
    needs = {None: "", "any": "Needs any token."}.get(scope, f"Needs a token with the scope `{scope}`, or `admin`.")
    call: dict[str, Any] = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": " ".join(filter(None, (more, needs))) or summary,
        "responses": {
            "200": {"description": "Done.", "content": {kind: {"schema": reply}}},
            **{str(status): _problem(status) for status in errors},
        },
    }
    if body is not None:
        call["requestBody"] = {"required": not optional, "content": {"application/json": {"schema": body}}}
    if scope is None:
        call["security"] = []
    return call


def _problem(status: int) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "description": _ERRORS[status],
        "content": {"application/json": {"schema": _ref("Error")}},
    }
    if status == 503:
        problem["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
    return problem


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


# ------------------------------------------------------------------------------------------------------- for people

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { border-bottom: 1px solid #ddd; padding-bottom: .2rem; margin-top: 2.5rem; } h3 { margin-bottom: .2rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; } pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; }
.verb { background: #225; color: #fff; padding: .1rem .5rem; border-radius: .2rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } pre { background: #262626; } }
"""


@cache
def page() -> str:
    """The description as a page that needs nothing else: no script, and nothing of another server."""
    whole = description()
    info = whole["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{info['title']}</title><style>{_STYLE}</style>"
        f"<h1>{info['title']} {info['version']}</h1><p>{_text(info['description'])} "
        f"The same for programs: <a href=/openapi.json>openapi.json</a>.</p>"
    ]
    for path, calls in whole["paths"].items():
        for verb, call in calls.items():
            if verb != "parameters":
                parts.append(_call_of_page(verb, path, call))
    parts.append("<h2>Values</h2>")
    parts += [_schema_of_page(name, schema) for name, schema in whole["components"]["schemas"].items()]
    return "".join(parts)


def _call_of_page(verb: str, path: str, call: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{status}<td>{_text(reply['description'])}<td>{_kinds(reply.get('content', {}))}"
        for status, reply in call["responses"].items()
    )
    body = call.get("requestBody")
    takes = f"<p>Takes {_kinds(body['content'])}{'' if body['required'] else ', or nothing'}.</p>" if body else ""
    return (
        f"<h2 id={call['operationId']}><span class=verb>{verb.upper()}</span> <code>{_text(path)}</code></h2>"
        f"<p>{_text(call['summary'])} {_text(call['description']) if call['description'] != call['summary'] else ''}"
        f"</p>{takes}<table>{rows}</table>"
    )


def _schema_of_page(name: str, schema: dict[str, Any]) -> str:
    text = msgspec.json.format(msgspec.json.encode({k: v for k, v in schema.items() if k != "description"}), indent=1)
    said = _text(schema.get("description", ""))
    return f"<h3 id=schema-{name}>{name}</h3><p>{said}</p><pre>{_text(text.decode())}</pre>"


def _kinds(content: dict[str, Any]) -> str:
    found = []
    for one in content.values():
        schema = one["schema"]
        for inner in schema.get("oneOf", [schema]):
            named = inner.get("$ref") or inner.get("items", {}).get("$ref")
            if named:
                name = named.rpartition("/")[2]
                many = "a list of " if "items" in inner else ""
                found.append(f"{many}<a href=#schema-{name}>{name}</a>")
    return " or ".join(found)


def _text(text: str) -> str:
    return html.escape(" ".join(text.split()) if "\n\n" in text else text)
