"""The Shortlister as a service has it: with the skills of the installed domains, and the catalogue's later changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from arbitrank.domain import Domain
from arbitrank.guard import Fault, guarded
from arbitrank.shortlist.artifact import load_shortlister
from arbitrank.shortlist.changes import with_log
from arbitrank.shortlist.shortlister import Shortlisting, ShortlistSettings
from arbitrank.store.store import Store


def served_shortlisting(
    folder: Path, version: str | None, domains: Mapping[str, Domain], store: Store, settings: ShortlistSettings
) -> Shortlisting:
    """The stage by the Shortlister in a verified folder. Raises `ArtifactError` where that is damaged.

    Changes of the catalogue that cannot be read do not keep it from answering; the follower of the log reports them.
    """
    shortlister = load_shortlister(folder, version).serving(domains)
    applied = guarded(with_log, shortlister, store.catalogue_log())
    return Shortlisting(shortlister if isinstance(applied, Fault) else applied, settings)
