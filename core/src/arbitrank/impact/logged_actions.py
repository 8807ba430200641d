"""Logged actions beside the replayed ones: users' reactions, and the probability with which each action was served."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
from msgspec import UNSET

from arbitrank.arbitration.decide import ACTIONS
from arbitrank.impact.batch_scores import Reading
from arbitrank.impact.flips import SIDES, Rows, judged
from arbitrank.impact.plan import ReplayPlan
from arbitrank.impact.replayed import Replayed
from arbitrank.outcomes.choices import LoggedChoices, VersionChoices
from arbitrank.outcomes.draws import draw_key
from arbitrank.selections import CanaryDraw, ServedSelection
from arbitrank.semer import same_reading
from arbitrank.values import Answer, Ranked
from arbitrank.wire.requests import Logged

NO_SELECTION = "logged without the probability of the answer"
BY_POLICY = "decided by the operator's policy"
CHOSEN = "to a skill that the caller chose from the shortlist"
OTHER_CANARY = "answered by the candidate of another canary"

_PACKAGE = "the package's"  # stands for the stable version where none was promoted


def fill_logged(
    rows: Rows,
    lines: Sequence[Logged],
    heads: Sequence[Sequence[Reading | None]],
    plan: ReplayPlan,
    found: Replayed,
) -> None:
    """Fill in the columns of logged reactions; `heads` are the readings that head each list, by side."""
    rows["reaction"] = -1
    places = [i for i, line in enumerate(lines) if line.outcome is not None and line.answer is not None]
    if not places:
        return
    actions = [judged(rows, side, plan.decisions).actions.tolist() for side in SIDES]
    used: list[tuple[float, ...]] = []
    for i in places:
        line = lines[i]
        answer = line.answer
        reason = _left_out(line) if answer is not None else None
        if answer is None or answer.selection is UNSET or reason is not None:
            found.left_out[reason or NO_SELECTION] += 1
            continue
        selection = answer.selection
        if selection.policy is not UNSET:
            found.policies[selection.policy] += 1
        before, after = ((actions[side][i], heads[side][i]) for side in (0, 1))
        served = _same(answer, *before), _same(answer, *after)
        drawn = _drawn(selection, served, plan)
        if drawn is None:
            found.left_out[OTHER_CANARY] += 1
            continue
        tried = drawn[1] and any(served)
        possible = (
            same or tried or _eligible(answer, selection, *one)
            for same, one in zip(served, (before, after), strict=True)
        )
        session = crc32((draw_key(line) or str(rows["line"][i])).encode("utf-8", "surrogatepass"))
        used.append((i, line.outcome == "accepted", drawn[0], session, *served, *possible))
    if not used:
        return
    at, reaction, propensity, sessions, *sides = (np.array(column) for column in zip(*used, strict=True))
    rows["reaction"][at], rows["propensity"][at], rows["session"][at] = reaction, propensity, sessions
    for side, same, can in zip(SIDES, sides[:2], sides[2:], strict=True):
        rows[side]["served"][at], rows[side]["possible"][at] = same, can


def _left_out(line: Logged) -> str | None:
    """The reason why a reaction says nothing of what was served by the domains' versions; None where it does."""
    selection = UNSET if line.answer is None else line.answer.selection
    if selection is UNSET:
        return NO_SELECTION
    if line.called is not None:
        return CHOSEN
    return BY_POLICY if selection.overridden is True else None


def choices_of(rows: Rows, plan: ReplayPlan) -> tuple[LoggedChoices, int]:
    """The choices of the rows with a usable reaction; and the reactions that a truth contradicts, which counts then."""
    rows = rows[rows["reaction"] >= 0]
    accepted = rows["reaction"].astype(np.float64)
    sides, results = [], []
    for side in SIDES:
        one, result = rows[side], judged(rows, side, plan.decisions)
        claim = np.where(result.none, one["out_of_scope"], one["probability"])
        sides.append(VersionChoices(one["served"], one["possible"], claim, result.actions))
        results.append(result)
    known, contradicted = rows["labelled"], np.zeros(len(rows), np.bool_)
    for version, result in zip(sides, results, strict=True):
        wrong = known & version.served & (result.answer_right != accepted)
        accepted = np.where(wrong, result.answer_right, accepted)
        contradicted |= wrong
    none = [result.none for result in results]
    flipped = (sides[0].action != sides[1].action) | (rows["moved"] & ~none[0])
    session = np.unique(rows["session"], return_inverse=True)[1].astype(np.int64)
    choices = LoggedChoices(accepted, rows["propensity"], session, sides[0], sides[1], flipped)
    return choices, int(contradicted.sum())


def _same(answer: Answer, action: int, head: Reading | None) -> bool:
    """True where an action is the one that was served."""
    if ACTIONS[action] != answer.decision.action:
        return False
    return ACTIONS[action] == "none" or same_reading(head, answer.chosen)


def _eligible(answer: Answer, selection: ServedSelection, action: int, head: Reading | None) -> bool:
    """True for an action that exploration might have served."""
    if len(selection.eligible) < 2 or ACTIONS[action] != "accept":
        return False
    ranked: Sequence[Ranked] = answer.ranked
    return any(same_reading(head, ranked[j]) for j in selection.eligible if j < len(ranked))


def _drawn(selection: ServedSelection, served: Sequence[bool], plan: ReplayPlan) -> tuple[float, bool] | None:
    """The probability of the served action, and True where the two versions were drawn against each other.

    None for the candidate of a canary between other versions. The stable arm of such a canary is a random sample of the
    sessions, in which nothing was drawn by it.
    """
    rest, own = selection.probability, None
    for name, one in selection.canary.items():
        rest /= one.probability
        if name == plan.name and _compares(one, plan):
            own = one
        elif one.arm == "canary":
            return None
    if own is None:
        return rest, False
    arms = ((1.0 - own.share) * served[0]) + own.share * served[1]
    return rest * (arms or own.probability), True


def _compares(one: CanaryDraw, plan: ReplayPlan) -> bool:
    """True for a canary between the two versions of a plan."""
    before = plan.parts.get(plan.name)
    known = before is not None and one.stable in (before.version, _PACKAGE)
    return known and one.candidate == plan.candidate.version
