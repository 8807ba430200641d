"""Labels of utterances as skills of a catalogue: by owner and name, by a qualified or an unambiguous name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.gathering import GatheredSkills, qualified_name
from arbitrank.store.catalogue_log import SkillKey
from arbitrank.values import Candidate, Truth

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["LabelledLines", "SkillLabels", "labelled_lines", "right_tools"]


class SkillLabels:
    """Unique names of a catalogue's present skills by what a label states of them."""

    def __init__(self, skills: SkillCatalogue) -> None:
        self._skills = skills
        self._qualified: dict[str, list[str]] = {}  # unique names by the skills' own
        for number, name in skills.own.items():
            if number not in skills.gone:
                self._qualified.setdefault(name, []).append(skills[number][0])

    @classmethod
    def of(cls, skills: GatheredSkills | SkillCatalogue) -> SkillLabels:
        """The labels of a catalogue's present skills."""
        return cls(SkillCatalogue.of(skills) if isinstance(skills, GatheredSkills) else skills)

    def owner(self, unique: str) -> str:
        """The owner of a unique name."""
        number = self._skills.number(unique)
        assert number is not None
        return self._skills[number][1]

    def find(self, label: str, domain: str) -> Sequence[str]:
        """The unique names that a line with this skill and domain means: none is known, or one, or it is ambiguous.

        A label without an owner comes with itself as the domain.
        """
        if (number := self._skills.number_of(domain, label)) is not None:
            return (self._skills[number][0],)
        if domain != label and "/" not in label:
            return ()
        if self._skills.number(label) is not None:
            return (label,)
        return self._qualified.get(label, ()) if domain == label else ()

    def has(self, domain: str, name: str) -> bool:
        """True where the domain has a skill of this own name."""
        return self._skills.number_of(domain, name) is not None


class RemovedLabels:
    """Labels of skills that were removed from a catalogue, in every form that they had while these were there."""

    def __init__(self, removed: Collection[SkillKey], present: SkillLabels) -> None:
        self._removed, self._present = removed, present
        self._qualified = {qualified_name(key.domain, key.name) for key in removed}
        self._names = {key.name for key in removed}

    def mean(self, label: str, domain: str) -> bool:
        """True where a line with this skill and domain means a removed skill.

        A name that is left to one present skill means that one.
        """
        if not self._removed or self._present.has(domain, label):
            return False
        if SkillKey(domain, label) in self._removed or ("/" in label and label in self._qualified):
            return True
        return domain == label and label in self._names and not self._present.find(label, label)


class LabelledLines(NamedTuple):
    """Lines whose skills are unique names of the catalogue, without those that were left out.

    These are the `ambiguous` ones, with an `example`, and those of `removed` skills.
    """

    lines: list[SkillUtterance]
    ambiguous: int
    example: str | None = None
    removed: int = 0


def labelled_lines(lines: Iterable[SkillUtterance], labels: SkillLabels) -> LabelledLines:
    """The lines with unique names in the place of labels; a label that no skill has stays.

    A line whose skill several owners have is left out; of acceptable skills all of that name count.
    """
    kept, ambiguous, example = [], 0, None
    for line in lines:
        found = labels.find(line.skill, line.domain)
        if len(found) > 1:
            ambiguous, example = ambiguous + 1, example or line.skill
            continue
        skill, domain = (found[0], labels.owner(found[0])) if found else (line.skill, line.domain)
        named = (labels.find(one, line.domain) or labels.find(one, one) or (one,) for one in line.acceptable)
        acceptable = frozenset((skill, *(unique for each in named for unique in each)))
        same = (skill, domain, acceptable) == (line.skill, line.domain, line.acceptable)
        kept.append(line if same else replace(line, skill=skill, domain=domain, acceptable=acceptable))
    return LabelledLines(kept, ambiguous, example)


def right_tools(candidates: Sequence[Candidate], truth: Truth, skill: str | None = None) -> frozenset[str] | None:
    """The candidates that a truth, or the name of its skill, stands for; None where the truth's intent is no skill.

    A truth without an intent stands for all skills of its domain; a skill without an owner is its own domain.
    """
    own = [one for one in candidates if truth.owned_by(one.domain) or truth.owned_by(one.skill)]
    named = {skill} if skill else {one.intent for one in truth.each}
    exact = [one.skill for one in own if named & {None, *_names(one)} or (not skill and truth.owned_by(one.skill))]
    return frozenset(exact) if exact or not own or skill else None


def _names(one: Candidate) -> tuple[str, str]:
    """The names of a skill: the unique one and, where that is qualified, its own."""
    return one.skill, one.skill.removeprefix(qualified_name(one.domain, ""))
