"""Labels of utterances as skills of a catalogue: by owner and name, by a qualified or an unambiguous name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.gathering import GatheredSkills

if TYPE_CHECKING:
    from arbitrank.shortlist.build import SkillUtterance

__all__ = ["LabelledLines", "SkillLabels", "labelled_lines"]


class SkillLabels:
    """Unique names of skills by what a label states of them."""

    def __init__(self, skills: Iterable[tuple[str, str, str]]) -> None:
        """Of triples of unique name, owner and own name."""
        self._unique: dict[str, str] = {}  # the owner of each unique name
        self._of_owner: dict[tuple[str, str], str] = {}
        self._of_name: dict[str, list[str]] = {}
        for unique, domain, name in skills:
            self._unique[unique] = domain
            self._of_owner[domain, name] = unique
            self._of_name.setdefault(name, []).append(unique)

    @classmethod
    def of(cls, skills: GatheredSkills | SkillCatalogue) -> SkillLabels:
        """The labels of a catalogue's present skills."""
        if isinstance(skills, GatheredSkills):
            return cls((unique, one.domain, one.name) for unique, one in zip(skills.names, skills.skills, strict=True))
        return cls((unique, domain, skills.own.get(number, unique)) for number, unique, domain in skills.present())

    def owner(self, unique: str) -> str:
        """The owner of a unique name."""
        return self._unique[unique]

    def find(self, label: str, domain: str) -> Sequence[str]:
        """The unique names that a line with this skill and domain means: none is known, or one, or it is ambiguous.

        A label without an owner comes with itself as the domain.
        """
        if (own := self._of_owner.get((domain, label))) is not None:
            return (own,)
        if label in self._unique and (domain == label or "/" in label):
            return (label,)
        return self._of_name.get(label, ()) if domain == label else ()


class LabelledLines(NamedTuple):
    """Lines whose skills are unique names of the catalogue; `ambiguous` counts lines that were left out, with one."""

    lines: list[SkillUtterance]
    ambiguous: int
    example: str | None = None


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
