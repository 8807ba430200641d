"""A new domain as a service of its own: the files that it has for that, and the lines that name it elsewhere."""

from __future__ import annotations

import json

from arbitrank.scaffold.files import SERVICE, filled
from arbitrank.scaffold.names import DomainNames

__all__ = ["configuration", "start", "with_service"]

_PORT = 8701
_RELEASE = "\n## Release\n"


def configuration(names: DomainNames) -> str:
    """The lines of an `arbitrank.toml` by which the service is queried from this machine."""
    sent = json.dumps(["utterance", "hypotheses", "context.device", "context.has_screen", "context.locale"])
    return f'[domains.{names.name}]\nurl = "http://127.0.0.1:{_PORT}"\nsend = {sent}\n'


def start(names: DomainNames) -> str:
    """The command that starts the service."""
    return f"uvicorn {names.package}.service:app --port {_PORT}"


def with_service(files: dict[str, str], names: DomainNames, phrase: str) -> None:
    """Add the service to the files of a new distribution; `phrase` is a request of the domain."""
    token = f"{names.module.upper()}_TOKEN"
    texts = {
        "configuration": configuration(names),
        "phrase": json.dumps(phrase, ensure_ascii=False),
        "start": start(names),
        "token": token,
    }
    own = filled(SERVICE, names, texts)
    before, release, after = files["README.md"].partition(_RELEASE)
    files["README.md"] = before + own.pop("README.md") + release + after
    core = names.core.replace("arbitrank", "arbitrank[serve]", 1)
    files["pyproject.toml"] = files["pyproject.toml"].replace(f'"{names.core}"', f'"{core}"')
    files.update(own)
