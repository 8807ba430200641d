"""Names of a new domain: of the domain, its distribution, its package and its class, of one that the user gives."""

from __future__ import annotations

import re
import sys
import unicodedata
from importlib.metadata import distributions
from importlib.util import find_spec
from keyword import iskeyword
from typing import NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from arbitrank.errors import InputError
from arbitrank.packages import core_version, packages
from arbitrank.registry import discover
from arbitrank.store.kinds import RESERVED
from arbitrank.wire.json_text import short

__all__ = ["LONGEST", "DomainNames", "names_of"]

LONGEST = 40
"""Characters of a name at most."""

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
_EXPECTED = f"a letter first, then lower-case letters, digits, and single - or _ between them, at most {LONGEST}"
_OURS = {"all", "arbitrank", "core", "each", "negatives", "none", "reference", "test", "tests", "workspace"}
"""Names that mean something else to commands, files or templates."""


class DomainNames(NamedTuple):
    """The names of a new domain. `core` is the range of the core that it is made for."""

    name: str

    @property
    def module(self) -> str:
        """The name as a part of a module's name."""
        return self.name.replace("-", "_")

    @property
    def package(self) -> str:
        """The import package."""
        return f"arbitrank_{self.module}"

    @property
    def distribution(self) -> str:
        """The distribution."""
        return f"arbitrank-{self.name}"

    @property
    def title(self) -> str:
        """The display name."""
        return re.sub("[_-]", " ", self.name).capitalize()

    @property
    def stem(self) -> str:
        """The name as the beginning of a class's name."""
        return "".join(part.capitalize() for part in re.split("[_-]", self.name))

    @property
    def core(self) -> str:
        """The requirement of the core: from the installed version on, below the next major one."""
        try:
            version = Version(core_version())
        except InvalidVersion:
            version = Version("0.2")
        return f"arbitrank>={version.major}.{version.minor},<{version.major + 1}"


def names_of(name: str) -> DomainNames:
    """The names of a new domain. Raises `InputError` where it cannot be called so, or the name is taken."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST or name.startswith(("arbitrank-", "arbitrank_")):
        other = _similar(name)
        meant = f"; did you mean {other}?" if other else ""
        raise InputError(f"NAME: {short(name)} is no domain's name, expected {_EXPECTED}{meant}")
    names = DomainNames(name)
    if name in _OURS or name in {key.removeprefix(".") for key in RESERVED} or iskeyword(name):
        raise InputError(f"NAME: {name!r} is reserved; expected a name of your own, as my-{name}")
    for found in discover():
        remote = not found.source.version  # whose package this may be
        if found.name.replace("-", "_") == names.module and not remote:
            raise InputError(f"NAME: the domain {found.source} is installed; expected another name")
    for package in packages(distributions()):
        if canonicalize_name(package.name) == canonicalize_name(names.distribution):
            raise InputError(f"NAME: the distribution {package.name} {package.version} is installed; expected another")
    if names.package in sys.stdlib_module_names or find_spec(names.package) is not None:
        raise InputError(f"NAME: a module {names.package} can be imported already; expected another name")
    return names


def _similar(name: str) -> str | None:
    """A name that the user may have meant; None where there is none."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", plain.removeprefix("arbitrank-").removeprefix("arbitrank_"))
    plain = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-0123456789")[:LONGEST].strip("-")
    return plain if _NAME.fullmatch(plain) and len(plain) > 1 else None
