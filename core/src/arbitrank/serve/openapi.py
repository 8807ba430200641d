"""OpenAPI 3.1 document of the service, generated from the table of operations, and the page made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import msgspec

from arbitrank.normal_text import BLANK
from arbitrank.packages import core_version
from arbitrank.pages import render
from arbitrank.serve.auth import ANY, PREVIEW
from arbitrank.serve.messages import Error
from arbitrank.serve.operations import OPERATIONS, Operation
from arbitrank.serve.settings import MAX_BATCH, MAX_ID, MAX_UTTERANCE
from arbitrank.store.kinds import RESERVED
from arbitrank.wire.lenient import MAX_HYPOTHESES, MAX_WORDINGS

SECURITY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security policy of the page, which holds no script."""

_FILE = {"name": "file", "in": "path", "required": True, "description": "A file's name.", "schema": {"type": "string"}}
_REF = "#/components/schemas/{name}"
_DOMAIN = {
    "name": "domain", "in": "path", "required": True, "description": f"A domain's name, or {', '.join(RESERVED)}.",
    "schema": {"type": "string", "pattern": f"^([a-z0-9][a-z0-9_-]{{0,63}}|{'|'.join(map(re.escape, RESERVED))})$"},
}  # fmt: skip
_ERRORS = {
    400: "The call is malformed.",
    401: "No known token.",
    403: "The token lacks the scope; or no tokens are set, and the call needs one.",
    404: "No such domain, or file.",
    409: "Not possible in the current state, or the domain was changed in the meantime.",
    413: "Larger than one call may be.",
    415: "Content-Type is not JSON.",
    422: "The gate refuses the version, or it is unsound.",
    429: "The token's rate or quota is used up. `Retry-After` says when to try again.",
    501: "The service lacks the packages of `arbitrank[train]`, which the gate needs.",
    503: "Not ready, overloaded, or the store does not answer. `Retry-After` says when to try again.",
}
_TOKEN = {
    "type": "http", "scheme": "bearer",
    "description": "A token made by `arbitrank token`. Where no tokens are set, rank, feedback and calls that only "
    "read need none.",
}  # fmt: skip
_PLAIN = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]*$"  # `checked_reason`
_RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}


@cache
def document() -> bytes:
    """The OpenAPI document, as JSON."""
    return msgspec.json.encode(description())


@cache
def page() -> str:
    """The OpenAPI document as an HTML page, without scripts or links to other servers."""
    whole = description()
    schemas = whole["components"]["schemas"]
    texts = {name: msgspec.json.format(msgspec.json.encode(schemas[name]), indent=1).decode() for name in schemas}
    return render("docs.html", **whole, texts=texts)


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document."""
    kinds = [kind for operation in OPERATIONS for kind in (operation.body, operation.reply)]
    types = [kind for kind in kinds if kind is not None and not isinstance(kind, dict)]
    _, schemas = msgspec.json.schema_components((*types, Error), ref_template=_REF)
    _add_bounds(schemas)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        item = paths.setdefault(operation.path, {})
        item[operation.method.lower()] = _operation(operation)
        for parameter in (_DOMAIN, _FILE):
            if f"{{{parameter['name']}}}" in operation.path:
                item["parameters"] = [parameter]
    about = "Decides which of many independently built domains should answer a request."
    return {
        "openapi": "3.1.0",
        "info": {"title": "arbitrank", "version": core_version(), "description": about},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": _TOKEN}},
        "security": [{}, {"token": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    scope = {"publish": "publish:DOMAIN", PREVIEW: "publish:DOMAIN` or `log"}.get(
        operation.scope or "", operation.scope
    )
    needs = {None: "", ANY: "Needs any token."}.get(scope, f"Needs a token with the scope `{scope}`, or `admin`.")
    content = {operation.media_type: {"schema": _schema(operation.reply, operation.batch)}}
    call: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.description, needs))) or operation.summary,
        "responses": {
            "200": {"description": "Done.", "content": content},
            **{str(status): {"description": meaning, "content": content} for status, meaning in operation.statuses},
            **{str(status): _error(status) for status in operation.refusals},
        },
    }
    if operation.body is not None:
        schema = _schema(operation.body, operation.batch, maxItems=MAX_BATCH)
        call["requestBody"] = {"required": not operation.optional, "content": {"application/json": {"schema": schema}}}
    if operation.query:
        call["parameters"] = [
            {"name": name, "in": "query", "description": schema["description"], "schema": _undescribed(schema)}
            for name, schema in operation.query.items()
        ]
    if operation.scope is None:
        call["security"] = []
    return call


def _undescribed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "description"}


def _error(status: int) -> dict[str, Any]:
    error = {"description": _ERRORS[status], "content": {"application/json": {"schema": _schema(Error)}}}
    return {**error, "headers": _RETRY} if status in (429, 503) else error


def _schema(kind: Any, batch: bool = False, **bounds: int) -> dict[str, Any]:
    """The schema of a type, which may be a list; with `batch` that of one value or a list of them."""
    if isinstance(kind, dict):
        return kind
    if items := get_args(kind):
        return {"type": "array", "items": _schema(items[0])}
    one = {"$ref": _REF.format(name=kind.__name__)}
    return {"oneOf": [one, {"type": "array", "items": one, **bounds}]} if batch else one


def _open(schemas: dict[str, Any]) -> None:
    """Describe a request as it is read: what is wrong with one hypothesis is no error of the request."""
    for name in ("Hypothesis", "Slot", "Wording"):
        schemas[name].pop("additionalProperties")
    request = schemas["Request"]
    null: dict[str, Any] = {"type": "null"}
    text: dict[str, Any] = {"type": "string", "maxLength": MAX_UTTERANCE}
    worded = {"type": "string", "pattern": f"[^\\s{BLANK}]"}
    identifier: list[dict[str, Any]] = [{"type": "string", "maxLength": MAX_ID}, {"type": "number"}]
    of_domain = {"description": "Anything else costs the domain that it names its place in the answer, and no more."}
    of_wording = {"type": "object", "required": ["text"], "properties": {"text": text}}
    wordings = {"anyOf": [{"$ref": _REF.format(name="Wording")}, of_wording, text, null]}
    json_object: dict[str, Any] = {"type": "object"}
    fields: dict[str, list[dict[str, Any]]] = {
        "id": [*identifier, null],
        "utterance": [text, null],
        "context": [json_object, null],
        "session": [*identifier, json_object, null],
        "dialogue": [{"type": "string"}, {"type": "number"}, json_object, null],
        "hypotheses": [
            {
                "type": "array",
                "maxItems": MAX_HYPOTHESES,
                "items": {"anyOf": [{"$ref": _REF.format(name="Hypothesis")}, of_domain]},
            },
            null,
        ],
        "utterances": [{"type": "array", "maxItems": MAX_WORDINGS, "items": wordings}, null],
        "refused": [json_object, null],
    }
    for name, kinds in fields.items():
        request["properties"][name] = {"anyOf": kinds, "default": None}
    said = {"anyOf": [worded, {"type": "object", "properties": {"text": worded}, "required": ["text"]}]}
    request["anyOf"] = [
        {"required": ["hypotheses"], "properties": {"hypotheses": {"type": "array"}}},
        {"required": ["utterance"], "properties": {"utterance": worded}},
        {"required": ["utterances"], "properties": {"utterances": {"type": "array", "contains": said}}},
    ]


def _add_bounds(schemas: dict[str, Any]) -> None:
    """Add what is checked beyond types: lengths, fields that depend on others, and what a request may leave open."""
    feedback, promote = schemas["Feedback"], schemas["PromoteCall"]
    _open(schemas)
    feedback["properties"]["id"]["maxLength"] = MAX_ID
    for own in ("request_id", "traceparent"):  # of the line in the log, whatever the body states
        del feedback["properties"][own]
    for kind in feedback["properties"]["truth"].get("anyOf", ()):
        if kind.get("type") == "array":
            kind["minItems"] = 1
    several = {"required": ["domains"], "properties": {"domains": {"type": "array"}}}
    schemas["Truth"]["anyOf"] = [{"required": ["domain"]}, several]
    feedback["anyOf"] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in ("truth", "outcome")
    ]
    for call in ("PromoteCall", "RollbackCall", "CanaryCall", "ShrinkCall", "IncidentCall"):
        for kind in schemas[call]["properties"]["reason"]["anyOf"]:
            if kind.get("type") == "string":
                kind["pattern"] = _PLAIN
    tried = schemas["TryCall"]["properties"]
    tried["request"] = {"$ref": _REF.format(name="Request")}  # read as that of `/v1/rank`
    reason = promote["properties"]["reason"]
    promote["if"] = {"properties": {"force": {"const": True}}, "required": ["force"]}
    promote["then"] = {
        "required": ["reason"],
        "properties": {"reason": {**reason, "type": "string", "pattern": "\\S"}},
    }
    reason.pop("default", None)
