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
    """A kind of artifact: `title` for messages, `train` the verb that produces one, `files` those that each contains.

    `earlier` is the name that it had up to version 0.1, in stores or in artifacts. `fallback` says what serves while
    none is stable.
    """

    title: str
    train: str
    files: tuple[str, ...] = ()
    earlier: str | None = None
    fallback: str = "the weights in its package serve"


DOMAIN = Kind("domain", "train")

RESERVED = {
    SHORTLIST: Kind(
        "Shortlister",
        "shortlist train",
        ("shortlist.json", "skills.json", "index.npz"),
        "shortlist",
        "every domain is queried",
    ),
    HYPRANK: Kind(
        "HypRank",
        "shortlist hyprank",
        ("hyprank.json", "trees.txt"),
        "hyprank",
        "lists stay in the order of the merge",
    ),
    DECISIONS: Kind(
        "decision settings",
        "publish",
        ("decisions.json",),
        fallback="the settings of the command line decide",
    ),
}
"""The kinds of which a store has one, by their reserved names."""


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
    return RESERVED.get(name, DOMAIN)


def folders(name: str) -> tuple[str, ...]:
    """The folders of a store that keep the versions and changes of a name: the present one first."""
    name = checked_name(name)
    earlier = kind_of(name).earlier
    return (name, earlier) if earlier and checked_name(earlier) == name else (name,)


def train_command(name: str) -> str:
    """The command that produces a candidate of this name."""
    kind = kind_of(name)
    return f"arbitrank {kind.train}" if name in RESERVED else f"arbitrank {kind.train} {name}"


def name_in_store(name: str, files: Iterable[str]) -> str:
    """The name under which a store keeps an artifact whose manifest has this name and these files.

    Up to version 0.1 a Shortlister and a HypRank had names that a domain could have too; their files tell.
    """
    for reserved, kind in RESERVED.items():
        if name == kind.earlier and set(kind.files) <= set(files):
            return reserved
    return name


def missing_file(name: str, files: Iterable[str]) -> str | None:
    """The first file that an artifact of this name lacks, None where it is complete."""
    present = set(files)
    return next((path for path in kind_of(name_in_store(name, present)).files if path not in present), None)
