"""Display names of a domain and of its intents, as its plugin gives them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from arbitrank.domain import Domain
from arbitrank.guard import Fault, guarded

__all__ = ["DisplayNames", "display_names"]

_LONGEST = 100  # characters of a display name
_INTENTS = 1_000  # of a domain that have one
_QUOTED = 60  # characters of a wrong value that are shown


@dataclass(frozen=True)
class DisplayNames:
    """The display names of a domain: its `title`, its name where it has none, and those of its `intents`.

    `problems` tell which of the plugin's are left out, and why.
    """

    title: str
    intents: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def intent(self, name: str) -> str:
        """The display name of an intent, by default its name."""
        return self.intents.get(name, name)


def display_names(name: str, domain: Domain) -> DisplayNames:
    """The display names of the domain `name`. Never raises: what is not a short line of text is left out."""
    problems: list[str] = []
    title = guarded(getattr, domain, "title", None)
    if title is None:
        title = name
    elif problem := _problem(title):
        problems.append(f"title: {problem}")
        title = name
    intents = guarded(_intents, domain, problems)
    if isinstance(intents, Fault):
        problems.append(f"intent_titles: {_problem(intents)}")
        intents = {}
    return DisplayNames(str(title), intents, tuple(problems))


def _intents(domain: Domain, problems: list[str]) -> dict[str, str]:
    given: Any = getattr(domain, "intent_titles", None)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.append(f"intent_titles: {_shown(given)} is invalid, expected a mapping from intents to texts")
        return {}
    found = {}
    for intent, title in islice(given.items(), _INTENTS):
        problem = None if isinstance(intent, str) else f"{_shown(intent)} is invalid, expected an intent's name"
        problem = problem or _problem(title)
        if problem is None:
            found[intent] = title
        elif len(problems) < 5:
            problems.append(f"intent_titles[{_shown(intent)}]: {problem}")
    if len(given) > _INTENTS:
        problems.append(f"intent_titles: {len(given)} intents, expected at most {_INTENTS}; the rest is left out")
    return found


def _problem(title: Any) -> str | None:
    """The reason why a value is no display name, None where it is one."""
    if isinstance(title, Fault):
        return f"raises {title.reason}"
    if not isinstance(title, str):
        return f"{_shown(title)} is invalid, expected a text"
    if len(title) > _LONGEST:
        return f"{len(title)} characters, expected at most {_LONGEST}"
    if not title.strip() or not title.isprintable():
        return f"{_shown(title)} is invalid, expected a line of text"
    return None


def _shown(value: Any) -> str:
    text = guarded(repr, value)
    if isinstance(text, Fault):
        return type(value).__name__
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1]}…"
