"""OpenAPI 3 documents, JSON or YAML: one skill for each operation, owned by the document's title.

An operation's name is its `operationId`, else its method and path; its parameters are those of the path, the query, the
headers and the cookies, and the properties of its body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arbitrank.errors import DataError
from arbitrank.importers.catalogues.items import CatalogueItem, CatalogueOptions, files_and_owner, skill_items
from arbitrank.importers.catalogues.schemas import resolved, schema_parameters
from arbitrank.importers.corpora.files import SourceFile
from arbitrank.importers.corpora.items import LeftOut
from arbitrank.importers.corpora.placed import Placed, read_json, read_yaml
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.json_text import short

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_OTHERS = {"$ref", "summary", "description", "servers", "parameters", "additionalOperations"}


def read(path: Path, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    """The operations of every document. Raises `DataError` where a file is none."""
    for found in files_and_owner(path, options, (".json", ".yaml", ".yml"), "openapi"):
        if isinstance(found, LeftOut):
            yield found
        else:
            yield from _document(_read(found[0]), found[1], options)


def _read(file: SourceFile) -> Placed:
    if file.path.suffix.lower() == ".json" or file.text.lstrip().startswith("{"):
        return read_json(file)
    return read_yaml(file)


def _document(document: Placed, owner: str, options: CatalogueOptions) -> Iterator[CatalogueItem]:
    value = document.value
    if not isinstance(value, dict):
        raise document.invalid("an OpenAPI document: an object with openapi, info and paths")
    if "swagger" in value:
        raise DataError(
            f"{document.where}: Swagger {short(value['swagger'])}, expected OpenAPI 3; convert it: npx swagger2openapi"
        )
    version = value.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        seen = "lacks the key openapi" if version is None else f"openapi: {short(version)} is invalid"
        raise DataError(f'{document.where}: {seen}, expected "3.0.3" or another version of OpenAPI 3')
    info = document.maybe("info")
    title = None if info is None else info.text_or("title", None)
    if options.owner is None and title and title.strip():
        owner = title.strip()[:200]
    of = None if info is None else info.value.get("version")
    paths = document.maybe("paths")
    for path, item in paths.entries() if paths is not None else ():
        if not path.startswith("x-"):
            yield from _path(document, path, item, owner, of if isinstance(of, str) else None)
    for key in ("webhooks", "callbacks"):
        if value.get(key):
            yield LeftOut(key, document.where)


def _path(document: Placed, path: str, item: Placed, owner: str, version: str | None) -> Iterator[CatalogueItem]:
    value = resolved(item.value, document.value)
    if not isinstance(value, dict):
        yield BadLine(item.where, f"{short(item.value)} is invalid, expected the operations of a path")
        return
    more = value.get("additionalOperations")
    operations = {**value, **(more if isinstance(more, dict) else {})}
    for method, operation in operations.items():
        if method not in _METHODS and not (isinstance(more, dict) and method in more):
            if method not in _OTHERS and not str(method).startswith("x-"):
                yield LeftOut("key of a path", f"{item.where}: {short(method)}")
            continue
        where = f"{item.where}.{method}"
        if not isinstance(operation, dict):
            yield BadLine(where, f"{short(operation)} is invalid, expected an operation")
            continue
        yield from _operation(document.value, where, f"{method.upper()} {path}", value, operation, owner, version)


def _operation(
    document: Any,
    where: str,
    route: str,
    path: Mapping[str, Any],
    operation: Mapping[str, Any],
    owner: str,
    version: str | None,
) -> Iterator[CatalogueItem]:
    parameters: dict[str, str] = {}
    for key, holder in (("path", path), ("operation", operation)):
        listed = holder.get("parameters")
        if listed is not None and not isinstance(listed, list):
            yield BadLine(where, f"parameters of the {key}: {short(listed)} is invalid, expected a list")
            return
        for i, one in enumerate(listed or ()):
            found = resolved(one, document)
            if not isinstance(found, dict) or not isinstance(found.get("name"), str):
                yield LeftOut("parameter that is not in the document", f"{where}.parameters[{i}]: {short(one)}")
                continue
            about = found.get("description")
            parameters[found["name"]] = about if isinstance(about, str) else ""
    body = resolved(operation.get("requestBody"), document)
    content = body.get("content") if isinstance(body, dict) else None
    for media in content.values() if isinstance(content, dict) else ():
        if isinstance(media, dict):
            parameters = {**schema_parameters(media.get("schema"), document), **parameters}
    texts = [text for key in ("summary", "description") if isinstance(text := operation.get(key, path.get(key)), str)]
    tags = operation.get("tags")
    deprecated = operation.get("deprecated") in (True, "true")
    line = {
        "name": operation.get("operationId") or route[:200],
        "owner": owner,
        "description": "\n".join(dict.fromkeys(text.strip() for text in texts if text.strip())),
        "parameters": {"properties": parameters},
        "tags": [*(tags if isinstance(tags, list) else ()), *(["deprecated"] if deprecated else ())],
        "version": version,
    }
    yield from skill_items(where, line)
