"""Skills of several sources as one catalogue: each of an owner once, under a name that is unique.

The name of a skill that several owners have is qualified, as `owner/name`; every other name stays as it is. Lines of
one owner and name are one skill, known by the texts of all of them. Names that differ by case are different names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from msgspec import structs

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
    """The skills by number, and their unique `names`.

    `clashing`: the owners of each name that several have. `repeated`: lines that added nothing to a skill, `joined`:
    those that added texts to one, the first of each with its place.
    """

    names: Sequence[str] = ()
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

    Of a million skills each object counts: what many have in common, as owners and tags, is kept once.
    """
    skills, numbers = list(before.skills), _Numbers(before.skills)
    repeated, joined = before.repeated, before.joined
    shared: dict[object, object] = {}
    for n, (where, one) in enumerate(found, 1):
        if n % 10_000 == 0:
            progress(n)
        number = numbers.add(one.domain, one.name)
        if number == len(skills):
            domain, tags = shared.setdefault(one.domain, one.domain), shared.setdefault(one.tags, one.tags)
            skills.append(structs.replace(one, domain=domain, tags=tags))
        elif (both := _joined(skills[number], one)) == skills[number]:
            repeated = repeated[0] + 1, repeated[1] or where
        else:
            skills[number] = both
            joined = joined[0] + 1, joined[1] or where
    names = tuple(map(numbers.unique, skills))
    return GatheredSkills(names, tuple(skills), numbers.clashing(), repeated, joined)


class _Numbers:
    """Numbers of skills in the order in which they are added, by owner and name."""

    def __init__(self, skills: Iterable[CatalogueSkill]) -> None:
        self._owners: list[str] = []  # by number
        self._of_name: dict[str, int | dict[str, int]] = {}  # by owner where several have the name
        for one in skills:
            self.add(one.domain, one.name)

    def add(self, domain: str, name: str) -> int:
        """The number of an owner's skill, the next one where it is new."""
        new = len(self._owners)
        number = self._of_name.setdefault(name, new)
        if isinstance(number, int) and number != new:
            if self._owners[number] == domain:
                return number
            number = self._of_name[name] = {self._owners[number]: number}
        if isinstance(number, dict):
            number = number.setdefault(domain, new)
        if number == new:
            self._owners.append(domain)
        return number

    def unique(self, one: CatalogueSkill) -> str:
        """The unique name of a skill: its own, unless another has it or it reads as a qualified one."""
        qualified = isinstance(self._of_name[one.name], dict) or (
            "/" in one.name and self._reads_as_qualified(one.name)
        )
        return qualified_name(one.domain, one.name) if qualified else one.name

    def clashing(self) -> dict[str, list[str]]:
        """The owners of each name that several have."""
        return {name: list(each) for name, each in self._of_name.items() if isinstance(each, dict)}

    def _reads_as_qualified(self, name: str) -> bool:
        """True where a name is also that of a skill with its owner."""
        escaped, _, own = name.partition("/")
        domain, number = escaped.replace("%2F", "/").replace("%25", "%"), self._of_name.get(own)
        if number is None or qualified_name(domain, own) != name:
            return False
        return domain in number if isinstance(number, dict) else self._owners[number] == domain


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
