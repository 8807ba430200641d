"""Digests of the code that determines a domain's weights: its package's, the toolkit's and the libraries' versions."""

from __future__ import annotations

import hashlib
import importlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from arbitrank.arbitration.hosted_domain import HostedDomain
from arbitrank.domain import Domain

_LIBRARIES = ("arbitrank", "numpy", "scipy", "scikit-learn", "python-crfsuite", "lightgbm", "msgspec")
# In a checkout these change under one version.
_SOURCES = ("arbitrank.learn", "arbitrank.nlu", "arbitrank.probability", "arbitrank.values")


def code_of(domain: Domain) -> dict[str, str]:
    """The version of each library, and the digest of each package's sources, by name.

    Of a domain in an environment of its own the release stands for all of it: its name has the digest of the packages.
    """
    if isinstance(domain, HostedDomain):
        return {"release": domain.release_name, **{name: _version(name) for name in _LIBRARIES}}
    package = type(domain).__module__.partition(".")[0]
    sources = (*_SOURCES, *([] if package == "arbitrank" else [package]))
    return {**{name: _version(name) for name in _LIBRARIES}, **{name: sources_of(name) for name in sources}}


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@cache
def sources_of(package: str) -> str:
    """The digest of a package's Python files, or of a module's own."""
    found = hashlib.sha256()
    module = importlib.import_module(package)
    folders = sorted(map(Path, getattr(module, "__path__", ())))
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    for path in files or [Path(module.__file__ or "")]:
        if path.is_file():
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
