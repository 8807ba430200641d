"""Catalogue of the skills: the number and the domain of each. Skills are added and removed; numbers stay.

A skill's number is its position in the order in which skills joined, from 0. It is never reused, so the index and the
classifier, trained at different times, agree on its meaning.

A frozen value: adding or removing skills gives a new catalogue that shares its data with the old one.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from arbitrank.domain import Domain, Skill
from arbitrank.errors import InputError
from arbitrank.guard import Fault, guarded
from arbitrank.shortlist.gathering import GatheredSkills, qualified_name
from arbitrank.store.catalogue_log import SkillKey

K = TypeVar("K")
V = TypeVar("V")

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z_\W]+")


@dataclass(frozen=True, eq=False)
class SkillCatalogue:
    """Names and domains by number: `names` and `domains` of training, `later` (name, domain) of skills added since.

    `gone` are the numbers of removed skills. Names are unique among the present skills; a removed skill can be added
    again and then gets another number. `own` are the own names of skills whose name is qualified, by number.
    `installed` are the owners and own names of skills that the training lacked and installed domains have.
    """

    names: Sequence[str] = ()
    domains: Sequence[str] = ()
    later: tuple[tuple[str, str], ...] = ()
    gone: frozenset[int] = frozenset()
    own: Mapping[int, str] = field(default_factory=dict)
    installed: frozenset[tuple[str, str]] = frozenset()
    _added: Mapping[str, int] = field(default_factory=dict)
    _numbers: Mapping[str, int] = field(default_factory=dict)
    _qualified: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self._numbers) != len(self.names):  # built once and shared with every catalogue derived from this one
            numbers = {name: number for number, name in enumerate(self.names)}
            if len(numbers) != len(self.names):
                raise InputError(f"{len(self.names)} skills have {len(numbers)} names, expected unique names")
            object.__setattr__(self, "_numbers", numbers)
            qualified = {(self.domains[number], name): number for number, name in self.own.items()}
            object.__setattr__(self, "_qualified", qualified)

    @classmethod
    def of(cls, gathered: GatheredSkills) -> SkillCatalogue:
        """The catalogue of gathered skills."""
        return cls(gathered.names, gathered.domains, own=gathered.own)

    def __len__(self) -> int:
        """The count of numbers in use, including those of removed skills."""
        return len(self.names) + len(self.later)

    def __getitem__(self, number: int) -> tuple[str, str]:
        """The name and the domain of a skill by its number."""
        if number < len(self.names):
            return self.names[number], self.domains[number]
        return self.later[number - len(self.names)]

    def number(self, name: str) -> int | None:
        """The number of a present skill, None where no skill has this name."""
        number = self._added.get(name, self._numbers.get(name))
        return None if number is None or number in self.gone else number

    @property
    def changed(self) -> frozenset[SkillKey]:
        """The skills that were added or removed after the training, without `installed` ones."""
        numbers = self.gone.union(range(len(self.names), len(self)))
        keys = ((self[number][1], self.own.get(number, self[number][0])) for number in numbers)
        return frozenset(SkillKey(*key) for key in keys if key not in self.installed)

    def present(self) -> Iterator[tuple[int, str, str]]:
        """Number, name and domain of every skill that was not removed."""
        for number in range(len(self)):
            if number not in self.gone:
                yield number, *self[number]

    def number_of(self, domain: str, name: str) -> int | None:
        """The number of a domain's present skill by its own name, qualified or not; None where it has none."""
        number = self._qualified.get((domain, name))
        if number is None or number in self.gone:
            number = self.number(name)
            if number is None or number in self.own or self[number][1] != domain:
                return None
        return number

    def with_skills(self, skills: Iterable[tuple[str, Skill]]) -> SkillCatalogue:
        """A copy with more skills, each with its domain; a name that another domain has, or had, is qualified.

        A skill that the domain has already gets another number.
        """
        added, later, gone = dict(self._added), list(self.later), set(self.gone)
        own, qualified = _grown(self.own), _grown(self._qualified)
        for domain, skill in skills:
            unique = skill.name
            while (taken := added.get(unique, self._numbers.get(unique))) is not None:
                place = taken - len(self.names)
                owner = self.domains[taken] if place < 0 else later[place][1]
                if owner == domain and own.get(taken, unique) == skill.name:
                    gone.add(taken)
                    break
                unique = qualified_name(domain, unique)
            if (before := qualified.get((domain, skill.name))) is not None:
                gone.add(before)
            number = added[unique] = len(self.names) + len(later)
            later.append((unique, domain))
            if unique != skill.name:
                own[number], qualified[domain, skill.name] = skill.name, number
        return replace(self, later=tuple(later), gone=frozenset(gone), own=own, _added=added, _qualified=qualified)

    def without(self, names: Iterable[str]) -> SkillCatalogue:
        """A copy without these skills. Raises `InputError` where one is not in the catalogue."""
        numbers = []
        for name in names:
            number = self.number(name)
            if number is None:
                raise InputError(f"skill {name!r}: not in the catalogue of {len(self) - len(self.gone)} skills")
            numbers.append(number)
        return replace(self, gone=self.gone.union(numbers))


def _grown(before: Mapping[K, V]) -> ChainMap[K, V]:
    """A copy to add to, which shares what the training had: that may be large."""
    if isinstance(before, ChainMap):
        return ChainMap(dict(before.maps[0]), *before.maps[1:])
    return ChainMap({}, before)  # type: ignore[arg-type] # only the first is written to


def skills_of(name: str, domain: Domain) -> Sequence[Skill]:
    """The skills of a domain; its name alone where its code raises or returns something else."""
    skills = guarded(lambda: list(domain.skills))
    if isinstance(skills, Fault) or not skills or not all(isinstance(skill, Skill) for skill in skills):
        return (Skill(name),)
    return skills


def descriptive_texts(skill: Skill) -> list[str]:
    """Texts that describe a skill without usage data: sample phrases, description, and twice the words of its name.

    Where a word is in too many descriptions for all to be found by it, those are that have it in their name.
    """
    texts = [*skill.phrases, skill.description, *[name_words(skill.name)] * 2]
    return [text for text in texts if text.strip()]


def name_words(name: str) -> str:
    """The words that a name is made of, as `tide_table` and `TideTable` are."""
    return " ".join(_PART.findall(name)) or name
