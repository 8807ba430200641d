"""Facts that an installed domain states of itself, read once when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from arbitrank.domain import Domain
from arbitrank.guard import guarded
from arbitrank.titles import DisplayNames, display_names


@dataclass(frozen=True)
class DomainProfile:
    """Facts that a domain states of itself: its display names, and its claim to be the fallback."""

    names: DisplayNames
    fallback: bool = False


def profiles_of(domains: Mapping[str, Domain]) -> dict[str, DomainProfile]:
    """The profile of each domain, by name. Never raises."""
    return {
        name: DomainProfile(display_names(name, domain), guarded(getattr, domain, "fallback", False) is True)
        for name, domain in domains.items()
    }
