"""The catalogue: which skills there are, each one's number and its domain. Skills come and go; numbers stay.

A frozen value: one with a skill more or less shares what it has with the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from arbitrank.domain import Skill
from arbitrank.errors import InputError

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z_\W]+")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """`names` and `domains` of the skills by number; `later` those that joined afterwards; `gone` those that left.

    Names are unique among the skills that are there; one that left may come again, under another number.
    """

    names: Sequence[str] = ()
    domains: Sequence[str] = ()
    later: tuple[tuple[str, str], ...] = ()
    gone: frozenset[int] = frozenset()
    _added: Mapping[str, int] = field(default_factory=dict)
    _numbers: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self._numbers) != len(self.names):  # made once, and shared with every catalogue that comes of this one
            numbers = {name: number for number, name in enumerate(self.names)}
            if len(numbers) != len(self.names):
                raise InputError(f"{len(self.names)} skills, {len(numbers)} names: promised a name of its own to each")
            object.__setattr__(self, "_numbers", numbers)

    def __len__(self) -> int:
        """Numbers that were given, those of skills that left included."""
        return len(self.names) + len(self.later)

    def __getitem__(self, number: int) -> tuple[str, str]:
        """The name and the domain of a skill by its number."""
        if number < len(self.names):
            return self.names[number], self.domains[number]
        return self.later[number - len(self.names)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.number(name) is not None

    def number(self, name: str) -> int | None:
        """The number of a skill that is there, None where none has this name."""
        number = self._added.get(name, self._numbers.get(name))
        return None if number is None or number in self.gone else number

    def present(self) -> Iterator[tuple[int, str, str]]:
        """The skills that are there: number, name and domain."""
        for number in range(len(self)):
            if number not in self.gone:
                yield number, *self[number]

    def joined(self, domain: str, skills: Iterable[Skill]) -> Catalogue:
        """The same with more skills of a domain. Raises `InputError` where one has the name of another, naming both."""
        added, later = dict(self._added), list(self.later)
        for skill in skills:
            taken = added.get(skill.name, self._numbers.get(skill.name))
            if taken is not None and taken not in self.gone:
                owner = self[taken][1] if taken < len(self) else domain
                raise InputError(f"skill {skill.name!r}: domain {domain!r} and domain {owner!r} have one; rename one")
            added[skill.name] = len(self.names) + len(later)
            later.append((skill.name, domain))
        return replace(self, later=tuple(later), _added=added)

    def left(self, names: Iterable[str]) -> Catalogue:
        """The same without these skills. Raises `InputError` where one isn't there."""
        numbers = []
        for name in names:
            number = self.number(name)
            if number is None:
                raise InputError(f"skill {name!r}: not in the catalogue of {len(self) - len(self.gone)} skills")
            numbers.append(number)
        return replace(self, gone=self.gone.union(numbers))


def sayings(skill: Skill) -> list[str]:
    """What stands for a skill that nobody used yet: its sample phrases, its description and the words of its name."""
    said = [*skill.phrases, skill.description, " ".join(_PART.findall(skill.name)) or skill.name]
    return [one for one in said if one.strip()]
