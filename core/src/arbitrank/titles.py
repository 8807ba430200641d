"""Display names of a domain, of its intents and of its features, as its plugin gives them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from arbitrank.domain import Domain
from arbitrank.guard import Fault, guarded

__all__ = ["DisplayNames", "display_names", "feature_phrases"]

_LONGEST = 100  # characters of a display name
_MOST = 1_000  # display names of a domain's intents, and of its features
_TOLD = 5  # wrong ones that are reported
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
    intents = _texts(domain, "intent_titles", "an intent's name", problems)
    _texts(domain, "feature_titles", "a feature's name", problems)
    return DisplayNames(str(title), intents, tuple(problems))


def feature_phrases(domain: Domain) -> dict[str, str]:
    """The phrases of a domain for the features of its hypotheses, by feature, without those that are no texts."""
    return _texts(domain, "feature_titles", "a feature's name", [])


def _texts(domain: Domain, attribute: str, key: str, problems: list[str]) -> dict[str, str]:
    """The texts in a mapping of the domain's; what is wrong in it is added to the problems. Never raises."""
    found = guarded(_read, domain, attribute, key, problems)
    if isinstance(found, Fault):
        problems.append(f"{attribute}: {_problem(found)}")
        return {}
    return found


def _read(domain: Domain, attribute: str, key: str, problems: list[str]) -> dict[str, str]:
    given: Any = getattr(domain, attribute, None)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.append(f"{attribute}: {_shown(given)} is invalid, expected a mapping to texts")
        return {}
    found, wrong = {}, 0
    for name, text in islice(given.items(), _MOST):
        problem = None if isinstance(name, str) else f"{_shown(name)} is invalid, expected {key}"
        problem = problem or _problem(text)
        if problem is None:
            found[name] = text
        elif (wrong := wrong + 1) <= _TOLD:
            problems.append(f"{attribute}[{_shown(name)}]: {problem}")
    if len(given) > _MOST:
        problems.append(f"{attribute}: {len(given)} names, expected at most {_MOST}; the rest is left out")
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
