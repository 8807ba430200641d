"""Call that changes the catalogue: skills to add and to remove, read as lines of a catalogue are."""

from __future__ import annotations

from arbitrank.errors import InputError
from arbitrank.serve.messages import SkillsCall
from arbitrank.store.catalogue_log import SkillKey
from arbitrank.store.kinds import SHORTLIST
from arbitrank.wire.catalogue_lines import CatalogueSkill, catalogue_skill
from arbitrank.wire.json_text import short

__all__ = ["changed_skills"]


def changed_skills(name: str, body: SkillsCall) -> tuple[tuple[CatalogueSkill, ...], tuple[SkillKey, ...], list[str]]:
    """The skills to add, those to remove, and what was cut of texts, of a call for a domain or for `.shortlist`.

    A domain's call changes its own skills alone; in one for `.shortlist` every skill may name its owner. Raises
    `InputError` with the place of what cannot be read.
    """
    owner = None if name == SHORTLIST else name
    cuts: list[str] = []
    added = []
    for i, line in enumerate(body.skills):
        try:
            added.append(catalogue_skill(line, lambda key, text: cuts.append(text), owner))
        except InputError as error:
            raise InputError(f"skills[{i}]: {error}") from None
        _check_owner(f"skills[{i}]", added[-1].domain, owner)
    removed = tuple(SkillKey(one.domain or owner or one.name, one.name) for one in body.removed)
    for i, key in enumerate(removed):
        _check_owner(f"removed[{i}]", key.domain, owner)
    if not added and not removed:
        raise InputError("skills and removed: both empty, expected a skill in one of them")
    return tuple(added), removed, cuts


def _check_owner(where: str, domain: str, owner: str | None) -> None:
    if owner is not None and domain != owner:
        route = f"POST /v1/domains/{SHORTLIST}/skills"
        raise InputError(f"{where}.domain: {short(domain)} is another owner, expected {owner}; any owner's: {route}")
