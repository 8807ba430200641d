"""The kinds of artifact that a store keeps, by name: the domains, and three stages under reserved names.

    NAME          the weights of the domain NAME
    .shortlist    the Shortlister (`shortlist` up to version 0.1, which is still read)
    .hyprank      the HypRank
    .decisions    the decision settings

Only names and files are described here; `arbitrank.selftest` and `arbitrank.promotion` attach the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from arbitrank.errors import InputError

SHORTLIST, HYPRANK, DECISIONS = ".shortlist", ".hyprank", ".decisions"
"""The reserved names. No domain's name begins with a dot."""

NAMES = "lower-case letters, digits, '_' and '-', or one of .shortlist, .hyprank and .decisions"
"""The names that an artifact can have, for error messages."""


@dataclass(frozen=True)
class Kind:
    """A kind of artifact: the verb that makes one, what serves while none is stable, and the files each contains.

    `earlier` is the name that it had up to version 0.1, in stores or in artifacts.
    """

    verb: str
    fallback: str
    files: tuple[str, ...] = ()
    earlier: str | None = None


_DOMAIN = Kind("train", "the weights in its package serve")
RESERVED = {
    SHORTLIST: Kind(
        "shortlist train", "every domain is queried", ("shortlist.json", "skills.json", "index.npz"), "shortlist"
    ),
    HYPRANK: Kind(
        "shortlist hyprank", "lists stay in the order of the merge", ("hyprank.json", "trees.txt"), "hyprank"
    ),
    DECISIONS: Kind("tune", "the settings of the command line decide", ("decisions.json",)),
}
"""The kinds of which a store has one artifact, by their reserved names."""


def is_domain(name: str) -> bool:
    """True if a domain can have this name."""
    return re.fullmatch("[a-z0-9_-]+", name) is not None


def is_name(name: str) -> bool:
    """True if an artifact can have this name: a domain's, or a reserved one."""
    return name in RESERVED or is_domain(name)


def canonical(name: str) -> str:
    """The name itself, or `.shortlist` for its earlier spelling `shortlist`, which no domain has."""
    return SHORTLIST if name == RESERVED[SHORTLIST].earlier else name


def checked_name(name: str) -> str:
    """The canonical name. Raises `InputError` where no artifact can have it."""
    if not is_name(name):
        raise InputError(f"{name!r} is no domain's name, expected {NAMES}")
    return canonical(name)


def kind_of(name: str) -> Kind:
    """The kind of the artifacts under a name."""
    return RESERVED.get(name, _DOMAIN)


def folders(name: str) -> tuple[str, ...]:
    """The folders of a store that keep the versions and changes of a name: the present one first."""
    name = checked_name(name)
    return (name, "shortlist") if name == SHORTLIST else (name,)


def train_command(name: str) -> str:
    """The command that makes a candidate of this name."""
    verb = kind_of(name).verb
    return f"arbitrank {verb}" if name in RESERVED else f"arbitrank {verb} {name}"


def name_in_store(name: str, files: Iterable[str]) -> str:
    """The name under which a store keeps an artifact whose manifest has this name and these files.

    Up to version 0.1 a HypRank had a name that a domain can have too; its files tell which it is.
    """
    present = set(files)
    earlier = (key for key, kind in RESERVED.items() if name == kind.earlier and present.issuperset(kind.files))
    return next(earlier, canonical(name))


def missing_file(name: str, files: Iterable[str]) -> str | None:
    """The first file that an artifact of this name lacks, None where it is complete."""
    present = set(files)
    return next((path for path in kind_of(name_in_store(name, present)).files if path not in present), None)
