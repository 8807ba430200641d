"""Skills of several sources as one catalogue: each of an owner once, under a name that is unique.

The name of a skill that several owners have is qualified, as `owner/name`; every other name stays as it is. Lines of
one owner and name are one skill, known by the texts of all of them. Names that differ by case are different names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from msgspec import structs

from arbitrank.shortlist.skill_file import SkillFile
from arbitrank.store.catalogue_log import CatalogueChanges, SkillKey
from arbitrank.wire.catalogue_lines import LIMITS, CatalogueSkill

__all__ = ["GatheredSkills", "ListedSkills", "SkillCount", "gather_skills", "qualified_name"]

_SHOWN = 5  # names in a report


def qualified_name(domain: str, name: str) -> str:
    """`owner/name`. A slash in the owner is written as %2F, so that the first one ends the owner."""
    return f"{domain.replace('%', '%25').replace('/', '%2F')}/{name}"


def counted(n: int, noun: str) -> str:
    """A number with its noun, for messages."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


@dataclass(frozen=True, eq=False)
class GatheredSkills:
    """The skills by number, their unique `names`, and their `domains`.

    `own`: the own name of each skill whose name is qualified, by number. `clashing`: the owners of each name that
    several have. `repeated`: lines that added nothing to a skill, `joined`: those that added texts to one, the first of
    each with its place. `skills` are in a file, as texts take most of the memory of a large catalogue.
    """

    names: Sequence[str] = ()
    domains: Sequence[str] = ()
    own: Mapping[int, str] = field(default_factory=dict)
    skills: Sequence[CatalogueSkill] = ()
    clashing: Mapping[str, Sequence[str]] = field(default_factory=dict)
    repeated: tuple[int, str] = (0, "")
    joined: tuple[int, str] = (0, "")

    def __len__(self) -> int:
        return len(self.skills)

    def with_skills(self, more: Iterable[CatalogueSkill]) -> GatheredSkills:
        """A catalogue with more skills, which may make further names clash."""
        return gather_skills(((self.joined[1], one) for one in more), before=self)

    def remarks(self) -> list[str]:
        """The report in words: qualified names, repeated lines, skills without a description."""
        found = []
        if self.clashing:
            n = sum(map(len, self.clashing.values()))
            some = "; ".join(
                f"{name} of {', '.join(owners[:3])}{' and others' if len(owners) > 3 else ''}"
                for name, owners in islice(self.clashing.items(), _SHOWN)
            )
            more = "; …" if len(self.clashing) > _SHOWN else ""
            found.append(f"{n:,} skills have a name of several owners and are named OWNER/NAME: {some}{more}")
        if self.joined[0]:
            lines = counted(self.joined[0], "line")
            found.append(
                f"{lines} of a skill that its owner has already, which is known by the texts of all: {self.joined[1]}"
            )
        if self.repeated[0]:
            found.append(f"{counted(self.repeated[0], 'line')} like another one: {self.repeated[1]}")
        bare = [name for name, one in zip(self.names, self.skills, strict=True) if not _told(one)]
        if bare:
            some = ", ".join(bare[:_SHOWN])
            found.append(f"{counted(len(bare), 'skill')} without description and phrases, known by the name: {some}")
        return found


@dataclass(frozen=True)
class ListedSkills:
    """Skills of a catalogue, each with its place for messages, for a training.

    `removed` are skills that are left out wherever they come from. `change` is the number of the last change of the
    store's catalogue log that they have.
    """

    skills: Iterable[tuple[str, CatalogueSkill]] = ()
    removed: frozenset[SkillKey] = frozenset()
    change: int = 0

    @classmethod
    def with_changes(
        cls, skills: Iterable[tuple[str, CatalogueSkill]], changes: CatalogueChanges | None, change: int = 0
    ) -> ListedSkills:
        """Skills with the later changes of a catalogue log; `change` is its number where there are none."""
        if changes is None:
            return cls(skills, change=change)
        added = {SkillKey(one.domain, one.name) for one in changes.present}
        before = changes.removed | changes.gone | added
        kept = (found for found in skills if SkillKey(found[1].domain, found[1].name) not in before)
        new = (("the catalogue log", one) for one in changes.present)
        return cls(chain(kept, new), frozenset(before - added), changes.number)


class SkillCount:
    """Counts of skills, without their texts: `owners`, names that several owners have (`clashing`), and `repeated`."""

    def __init__(self) -> None:
        self.skills = self.repeated = 0
        self.owners: dict[str, str] = {}
        self._of_name: dict[str, str | set[str]] = {}

    @property
    def clashing(self) -> list[str]:
        """The names that several owners have, in the order of their first lines."""
        return [name for name, each in self._of_name.items() if isinstance(each, set)]

    def add(self, one: CatalogueSkill) -> None:
        """Count a skill."""
        self.skills += 1
        owner = self.owners.setdefault(one.domain, one.domain)
        known = self._of_name.get(one.name)
        if known is None:
            self._of_name[one.name] = owner
        elif isinstance(known, set):
            self.repeated += owner in known
            known.add(owner)
        elif known == owner:
            self.repeated += 1
        else:
            self._of_name[one.name] = {known, owner}


def gather_skills(
    found: Iterable[tuple[str, CatalogueSkill]],
    progress: Callable[[int], object] = lambda n: None,
    before: GatheredSkills = GatheredSkills(),
) -> GatheredSkills:
    """One catalogue of skills, each with its place for messages, in the order of their first lines, after those before.

    Raises `InputError` where a text is no Unicode, `StoreError` where there is no room for the skills' file.
    """
    numbers, skills = _Numbers(before), SkillFile(before.skills if isinstance(before.skills, SkillFile) else None)
    repeated, joined = before.repeated, before.joined
    for n, (where, one) in enumerate(found, 1):
        if n % 10_000 == 0:
            progress(n)
        number = numbers.add(one.domain, one.name)
        if number == len(skills):
            skills.add(one)
        elif (both := _joined(known := skills[number], one)) == known:
            repeated = repeated[0] + 1, repeated[1] or where
        else:
            skills.add(both, number)
            joined = joined[0] + 1, joined[1] or where
    names, own = numbers.unique()
    return GatheredSkills(names, tuple(numbers.domains), own, skills, numbers.clashing(), repeated, joined)


class _Numbers:
    """Numbers of skills in the order in which they are added, by owner and name."""

    def __init__(self, before: GatheredSkills) -> None:
        self.domains: list[str] = []
        self._names: list[str] = []
        self._of_name: dict[str, int | dict[str, int]] = {}  # by owner where several have the name
        self._domains: dict[str, str] = {}  # the name of each is kept in memory once
        for number, (name, domain) in enumerate(zip(before.names, before.domains, strict=True)):
            self.add(domain, before.own.get(number, name))

    def add(self, domain: str, name: str) -> int:
        """The number of an owner's skill, the next one where it is new."""
        new = len(self.domains)
        number = self._of_name.setdefault(name, new)
        if isinstance(number, int) and number != new:
            if self.domains[number] == domain:
                return number
            number = self._of_name[name] = {self.domains[number]: number}
        if isinstance(number, dict):
            number = number.setdefault(domain, new)
        if number == new:
            self.domains.append(self._domains.setdefault(domain, domain))
            self._names.append(name)
        return number

    def unique(self) -> tuple[tuple[str, ...], dict[int, str]]:
        """The unique name of each skill, and the own names of those whose unique one is another.

        A skill's own name is unique unless another has it or it reads as a qualified one.
        """
        names, own = list(self._names), {}
        for number, (name, domain) in enumerate(zip(self._names, self.domains, strict=True)):
            if isinstance(self._of_name[name], dict) or ("/" in name and self._reads_as_qualified(name)):
                names[number], own[number] = qualified_name(domain, name), name
        return tuple(names), own

    def clashing(self) -> dict[str, list[str]]:
        """The owners of each name that several have."""
        return {name: list(each) for name, each in self._of_name.items() if isinstance(each, dict)}

    def _reads_as_qualified(self, name: str) -> bool:
        """True where a name is also that of a skill with its owner."""
        escaped, _, own = name.partition("/")
        domain, number = escaped.replace("%2F", "/").replace("%25", "%"), self._of_name.get(own)
        if number is None or qualified_name(domain, own) != name:
            return False
        return domain in number if isinstance(number, dict) else self.domains[number] == domain


def _joined(one: CatalogueSkill, other: CatalogueSkill) -> CatalogueSkill:
    """One skill with the texts of two lines; the version is the later line's."""
    texts = (one.description, other.description)
    description = one.description if other.description in one.description else "\n".join(filter(None, texts))
    return structs.replace(
        one,
        description=description[: LIMITS.description],
        phrases=tuple(dict.fromkeys((*one.phrases, *other.phrases)))[: LIMITS.phrases],
        parameters=tuple({each.name: each for each in (*other.parameters, *one.parameters)}.values())[
            : LIMITS.parameters
        ],
        language=one.language if one.language == other.language else None,
        version=other.version or one.version,
        tags=tuple(dict.fromkeys((*one.tags, *other.tags)))[: LIMITS.tags],
    )


def _told(one: CatalogueSkill) -> bool:
    return bool(one.description.strip() or one.phrases)
