"""Call that changes the catalogue: skills to add and to remove, read as lines of a catalogue are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from arbitrank.errors import InputError
from arbitrank.serve.messages import SkillsCall, SkillsChanged
from arbitrank.serve.store_calls import StoreCalls
from arbitrank.store.catalogue_log import SkillKey
from arbitrank.store.kinds import SHORTLIST
from arbitrank.wire.catalogue_lines import CatalogueSkill, catalogue_skill
from arbitrank.wire.json_text import short

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState

__all__ = ["change_skills", "changed_skills"]


async def change_skills(
    state: WorkerState, call_store: StoreCalls, domain: str, body: SkillsCall, by: str | None
) -> SkillsChanged:
    """Change the catalogue of a service. Raises `HTTPException` where it has none, or a skill cannot be read."""
    if state.live is None:
        raise HTTPException(503, "not ready", {"retry-after": "1"})
    if state.settings.shortlist is None:
        raise HTTPException(409, "this service has no Shortlister; start it with --shortlist")
    try:
        added, removed, cut = changed_skills(domain, body)
    except InputError as error:
        raise HTTPException(400, str(error)) from None
    known = await call_store(state.live.catalogue.known, removed) if removed else frozenset()
    catalogue = state.live.catalogue
    if added or known:
        number = await call_store(catalogue.change, added, known, by=by)
    else:  # nothing is changed
        number = await call_store(catalogue.last)
    state.events.write("skills", domain=domain, change=number, added=len(added), removed=len(known))
    unknown = tuple(f"{key.domain}/{key.name}" for key in removed if key not in known)
    return SkillsChanged(domain, number, len(added), len(known), tuple(cut), unknown)


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
    removed = [SkillKey(one.domain or owner or one.name, one.name) for one in body.removed]
    for i, key in enumerate(removed):
        _check_owner(f"removed[{i}]", key.domain, owner)
    if not added and not removed:
        raise InputError("skills and removed: both empty, expected a skill in one of them")
    return tuple(added), tuple(dict.fromkeys(removed)), cuts


def _check_owner(where: str, domain: str, owner: str | None) -> None:
    if owner is not None and domain != owner:
        route = f"POST /v1/domains/{SHORTLIST}/skills"
        raise InputError(f"{where}.domain: {short(domain)} is another owner, expected {owner}; any owner's: {route}")
