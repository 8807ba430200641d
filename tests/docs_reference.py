"""The generated parts of the reference: the service's calls, and the fields of formats, from the code's types.

`python tests/test_docs.py` writes them. In a page, a comment `<!-- fields of MODULE:TYPE -->` stands before the
table of a type's fields; names, types and defaults are generated, and what is written as a field's meaning stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import AnyType, Field, NoneType, StructType, UnionType, type_info

from arbitrank.serve.auth import ANY, PREVIEW
from arbitrank.serve.metric_table import FAILURE_KINDS, METRICS
from arbitrank.serve.openapi import description
from arbitrank.serve.operations import OPERATIONS

DOCS = Path(__file__).parents[1] / "docs"
HTTP = DOCS / "reference/http.md"
METRICS_PAGE = DOCS / "reference/metrics.md"
MARK = re.compile(
    r"<!-- fields of ([\w.]+):(\w+)(?: without ([\w, ]+))? -->\n\n((?:\|.*\n)*)",
)
SCOPES = {None: "none", ANY: "any", "publish": "`publish:DOMAIN`", PREVIEW: "`publish:DOMAIN` or `log`"}
HEAD = "| field | type | default | meaning |\n|---|---|---|---|\n"
PAGES = {
    "Request": "formats/requests.md", "Answer": "formats/answers.md", "Truth": "formats/hypotheses.md",
    "Feedback": "formats/logs.md", "State": "formats/store.md",
}  # fmt: skip
"""Where the fields of a type are described, for types that the service's calls mention."""


# -------------------------------------------------------------------------------------------------------------- fields


def kind(info: Any) -> str:
    """A type in words, with its range."""
    name = type(info).__name__
    if name in KINDS:
        return KINDS[name](info)
    return {"BoolType": "boolean", "AnyType": "any JSON", "NoneType": "null"}[name]


def union(info: Any) -> str:
    """The types of a union, null apart."""
    parts = [kind(one) for one in info.types if type(one).__name__ not in ("NoneType", "UnsetType")]
    return " or ".join(dict.fromkeys(parts))


def text(info: Any) -> str:
    """A text with its length and pattern."""
    pattern = f" `{info.pattern}`" if info.pattern else ""
    return "text" + bounds(info.min_length, info.max_length, " characters") + pattern


def number(info: Any) -> str:
    """A number with its range."""
    name = "integer" if type(info).__name__ == "IntType" else "number"
    return name + bounds(info.ge, info.le) + ("" if info.gt is None else f" above {info.gt:g}")


def mapping(info: Any) -> str:
    """An object, with the type of its values where they have one."""
    of = kind(info.value_type)
    return "object" if of == "any JSON" else f"object of {of}"


KINDS: dict[str, Callable[[Any], str]] = {
    "UnionType": union,
    "StrType": text,
    "IntType": number,
    "FloatType": number,
    "DictType": mapping,
    "ListType": lambda info: f"list of {kind(info.item_type)}",
    "VarTupleType": lambda info: f"list of {kind(info.item_type)}",
    "TupleType": lambda info: f"list of {len(info.item_types)}: {', '.join(map(kind, info.item_types))}",
    "LiteralType": lambda info: ", ".join(f"`{value}`" for value in info.values),
    "StructType": lambda info: f"`{info.cls.__name__}`",
}


def may_be_null(info: Any) -> bool:
    """True for a type that null is of."""
    return isinstance(info, UnionType) and any(isinstance(one, NoneType) for one in info.types)


def bounds(low: float | None, high: float | None, unit: str = "") -> str:
    """A range in words, empty where there is none."""
    if low is None and high is None:
        return ""
    if high is None:
        return f" of {low:g}{unit} or more"
    return f" of at most {high:,}{unit}" if low is None else f", {low:g} to {high:,.10g}{unit}"


def default(field: Field) -> str:
    """The default of a field: required, absent, or its JSON."""
    if field.required:
        return "required"
    if field.default is msgspec.UNSET:
        return "absent"
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "absent"  # a default that the type works out itself
    if field.default is msgspec.NODEFAULT and field.default_factory not in (list, dict, set):
        return "filled in"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "null" if value is None else f"`{msgspec.json.encode(value).decode()}`"


def rows(of: type, without: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """Each field's name, and its cells of name, type and default."""
    info = type_info(of)
    assert isinstance(info, StructType)
    for field in info.fields:
        if field.name not in without:
            name = field.encode_name
            told = "score" if name.endswith("confidence") and isinstance(field.type, AnyType) else kind(field.type)
            null = " or null" if field.required and may_be_null(field.type) else ""
            yield name, f"| `{name}` | {told}{null} | {default(field)} |"


def said(of: type, name: str) -> str:
    """What the docstring of a type says of a field: the parts of sentences that name it."""
    text = " ".join((of.__doc__ or "").split())
    parts = re.split(r"(?<=[.;:]) (?=[A-Z`])|; ", text)
    found = [part for part in parts if f"`{name}`" in part]
    return " ".join(found).rstrip(".;")


def table(of: type, without: frozenset[str], before: str) -> str:
    """The table of a type's fields, with the meanings that are written already."""
    kept = dict(re.findall(r"^\| `([\w-]+)` \|.*\| (.*) \|$", before, re.M))
    lines = []
    for name, cells in rows(of, without):
        meaning = kept.get(name) or said(of, name).replace("|", "\\|")
        lines.append(f"{cells} {meaning} |\n")
    return HEAD + "".join(lines)


def plain_table(of: type) -> str:
    """The table of a type's fields without their meanings, which its docstring gives."""
    return "| field | type | default |\n|---|---|---|\n" + "".join(f"{cells}\n" for _, cells in rows(of))


def with_fields(page: str) -> str:
    """A page with its tables of fields as the code has them."""

    def one(found: re.Match[str]) -> str:
        of = getattr(import_module(found[1]), found[2])
        without = frozenset(re.findall(r"\w+", found[3] or ""))
        mark = found[0].partition("-->")[0]
        return f"{mark}-->\n\n{table(of, without, found[4])}"

    return MARK.sub(one, page)


def pages_with_fields() -> list[Path]:
    """The pages that have tables of fields."""
    return [path for path in sorted(DOCS.rglob("*.md")) if "<!-- fields of" in path.read_text(encoding="utf-8")]


# ------------------------------------------------------------------------------------------------------- the service


def service() -> str:
    """docs/reference/http.md: every call of the service, from its OpenAPI document."""
    paths = description()["paths"]
    found = ["# HTTP\n", NOTE, "| call | does | token's scope |", "|---|---|---|"]
    for operation in OPERATIONS:
        call = f"{operation.method} {operation.path}"
        scope = SCOPES.get(operation.scope, f"`{operation.scope}`")
        found.append(f"| [`{call}`](#{anchor(call)}) | {operation.summary} | {scope} |")
    for operation in OPERATIONS:
        document = paths[operation.path][operation.method.lower()]
        found += [
            f"\n## {operation.method} {operation.path}\n",
            f"{operation.summary} {operation.description}".strip() + "\n",
        ]
        if operation.body is not None:
            optional = ", optional" if operation.optional else ""
            batch = ", or a list of them" if operation.batch else ""
            found.append(f"Body{optional}: {type_name(operation.body)}{batch}.\n")
        if operation.query:
            found += ["| in the query | default | meaning |", "|---|---|---|"]
            found += [
                f"| `{name}` | {one.get('default', '')} | {one['description'].rstrip('.')} |"
                for name, one in operation.query.items()
            ]
            found.append("")
        found += ["| status | reply |", "|---|---|"]
        for status, reply in sorted(document["responses"].items()):
            says = reply["description"].rstrip(".")
            if status == "200":
                reply_type = type_name(operation.reply)
                says = (reply_type + (", or a list of them" if operation.batch else "")) if reply_type else "done"
            found.append(f"| {status} | {says} |")
    found.append("\n## Types\n")
    for of in named_types():
        found += [f"### {of.__name__}\n", " ".join((of.__doc__ or "").split()) + "\n", plain_table(of)]
    return "\n".join(found).rstrip("\n") + "\n"


NOTE = """\
Every call of [the service](../how-to/serve.md), as its OpenAPI document has it. `GET /openapi.json` is that document,
and `GET /docs` shows it. Bodies are JSON, and [some are shown](http-bodies.md). Every error is an [`Error`](#error).
Written by `python tests/test_docs.py`.
"""


def metrics() -> str:
    """docs/reference/metrics.md: every metric of the service, from the table that the page is made of."""
    found = [METRICS_NOTE, "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for one in METRICS:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        found.append(f"| `{one.full_name}` | {one.kind} | {labels} | {one.text} |")
    found += ["\n## Kinds of failure\n", "| `kind` | the domain did not answer, as |", "|---|---|"]
    found += [f"| `{name}` | {text} |" for name, text in FAILURE_KINDS.items()]
    found += [f"\nBounds of the buckets in seconds, `{one.full_name}`: {', '.join(map(str, one.bounds))}."
              for one in METRICS if one.bounds]  # fmt: skip
    return "\n".join(found) + "\n"


METRICS_NOTE = """\
# Metrics of the service

All metrics of `GET /metrics` and of [`--metrics-port`](../how-to/monitor.md#metrics), written by `python
tests/test_docs.py`. A metric with the label `worker` has one series for each process that runs, by its number; all
others are of the whole service. `arm` is `stable` or `canary`, `stage` a reserved name as `.shortlist`, `action` the
decision. No label holds anything of a request, so that the number of series is bounded by the domains installed.
"""


def anchor(heading: str) -> str:
    """What a heading can be linked to by, as GitHub names it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def named_types() -> list[type]:
    """The types of bodies and replies that no page of the formats describes."""
    from arbitrank.serve.messages import Error

    found: dict[type, None] = {}
    for operation in OPERATIONS:
        for whole in (operation.body, operation.reply):
            of = getattr(whole, "__args__", (whole,))[0]
            if isinstance(of, type) and issubclass(of, msgspec.Struct) and of.__name__ not in PAGES:
                found[of] = None
    return [*found, Error]


def type_name(of: Any) -> str:
    """A type by a link to its fields; JSON schemas have no name."""
    if of is None or isinstance(of, dict):
        return ""
    inner = getattr(of, "__args__", None)
    if inner:
        return f"a list of {type_name(inner[0])}"
    name = of.__name__
    return f"[`{name}`]({PAGES.get(name, '#' + name.lower())})"


def write() -> None:
    """Write all of it."""
    HTTP.write_text(service(), encoding="utf-8")
    METRICS_PAGE.write_text(metrics(), encoding="utf-8")
    for path in pages_with_fields():
        path.write_text(with_fields(path.read_text(encoding="utf-8")), encoding="utf-8")
