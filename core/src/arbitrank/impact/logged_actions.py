"""Logged actions beside the replayed ones: users' reactions, and the probability with which each action was served."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from msgspec import UNSET

from arbitrank.arbitration.decide import ACTIONS, DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.impact.batch_scores import Reading
from arbitrank.impact.flips import SIDES, Rows, Side, judged
from arbitrank.impact.replayed import Replayed
from arbitrank.outcomes.choices import LoggedChoices, VersionChoices
from arbitrank.outcomes.draws import draw_key
from arbitrank.outcomes.reactions import client_of
from arbitrank.selections import CanaryDraw, ServedSelection
from arbitrank.semer import same_reading
from arbitrank.values import Answer, Ranked
from arbitrank.wire.requests import Logged

NO_SELECTION = "logged without the probability of the answer"
BY_POLICY = "the operator's policy decides, or may decide for the other version"
OTHER_POLICY = "logged under another policy than --policy states, or under one where it states none"
BY_HYPRANK = "sorted by a HypRank, which is not replayed"
CHOSEN = "to a skill that the caller chose from the shortlist"
OTHER_CANARY = "answered by the candidate of another canary"
NO_WORDS = "logged without the words, which one of the two versions reads with another recogniser"

UNPROMOTED = "the package's"
"""The name of the stable version in draws of canaries where none was promoted."""

_Action = tuple[int, Reading | None, float]  # a number in ACTIONS, the list's head, and its P(right)


@dataclass(frozen=True)
class ExchangedVersions:
    """Two versions that are compared under a name, None being no version, and what decides their actions.

    `beside` are the names that draws of canaries have for the version before. `decisions` decide the rows, `policy` is
    the operator's. `sorts`: a HypRank sorts the lists of both sides, as it sorted those of the log.
    """

    name: str
    before: str | None
    after: str
    beside: Collection[str]
    decisions: DecisionSettings
    policy: Policy | None = None
    sorts: bool = False


def fill_logged(
    rows: Rows,
    lines: Sequence[Logged],
    heads: Sequence[Sequence[Reading | None]],
    versions: ExchangedVersions,
    found: Replayed,
    wordless: Collection[int] = (),
) -> None:
    """Fill in the columns of logged reactions; `heads` are the readings that head each list, by side.

    At the places `wordless` it is not known what one of the versions would have read.
    """
    rows["reaction"] = -1
    places = [i for i, line in enumerate(lines) if line.outcome is not None and line.answer is not None]
    if not places:
        return
    sides = [_actions(rows, side, own, versions) for side, own in zip(SIDES, heads, strict=True)]
    moved, used = rows["moved"].tolist(), list[tuple[float, ...]]()
    for i in places:
        line, before, after = lines[i], sides[0][i], sides[1][i]
        answer = line.answer
        assert answer is not None
        selection = answer.selection
        if selection is UNSET:
            found.left_out[NO_SELECTION] += 1
            continue
        reason = NO_WORDS if i in wordless else _left_out(line, answer, selection, (before, after), versions)
        if reason is not None:
            found.left_out[reason] += 1
            continue
        alike = before[0] == after[0] and not moved[i]
        first = _same(answer, before)
        served = first, first if alike else _same(answer, after)
        drawn = _drawn(selection, served, versions)
        if drawn is None:
            found.left_out[OTHER_CANARY] += 1
            continue
        tried = drawn[1] and any(served)
        possible = (
            same or tried or _eligible(answer, selection, one)
            for same, one in zip(served, (before, after), strict=True)
        )
        session = _hash(draw_key(line) or str(rows["line"][i]))
        client = client_of(line)
        known = 0 if client is None else _hash(client)
        used.append((i, line.outcome == "accepted", drawn[0], session, known, *served, *possible))
    if not used:
        return
    at, reaction, propensity, sessions, clients, *each = (np.array(column) for column in zip(*used, strict=True))
    rows["reaction"][at], rows["propensity"][at] = reaction, propensity
    rows["session"][at], rows["client"][at] = sessions, clients
    for side, same, can in zip(SIDES, each[:2], each[2:], strict=True):
        rows[side]["served"][at], rows[side]["possible"][at] = same, can


def _actions(rows: Rows, side: Side, heads: Sequence[Reading | None], versions: ExchangedVersions) -> list[_Action]:
    """The actions of one side."""
    actions, right = judged(rows, side, versions.decisions).actions, rows[side]["probability"]
    return list(zip(actions.tolist(), heads, right.tolist(), strict=True))


def _left_out(
    line: Logged,
    answer: Answer,
    selection: ServedSelection,
    sides: tuple[_Action, _Action],
    versions: ExchangedVersions,
) -> str | None:
    """The reason why a reaction says nothing of what the two versions would have been served with; None where it does.

    But for rules that decide on one of two versions alone, a reason does not depend on which version was drawn.
    """
    if line.called is not None:
        return CHOSEN
    if "hyprank" in answer.ms and not versions.sorts:
        return BY_HYPRANK
    policy = versions.policy
    if selection.policy != (UNSET if policy is None else policy.digest):
        return OTHER_POLICY
    if policy is None:
        return None
    decided = selection.overridden is True
    readings = (*answer.ranked, *(head for _, head, _ in sides if head is not None))
    for action, head, right in sides:
        decided = decided or policy.may_decide(line.context, readings, head, ACTIONS[action], right)
    return BY_POLICY if decided else None


def _hash(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"))


def choices_of(rows: Rows, versions: ExchangedVersions) -> tuple[LoggedChoices, int]:
    """The choices of the rows with a usable reaction; and the reactions that a truth contradicts, which counts then."""
    rows = rows[rows["reaction"] >= 0]
    accepted = rows["reaction"].astype(np.float64)
    sides, results = [], []
    for side in SIDES:
        one, result = rows[side], judged(rows, side, versions.decisions)
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
    client = rows["client"].astype(np.int64)
    choices = LoggedChoices(accepted, rows["propensity"], session, client, sides[0], sides[1], flipped)
    return choices, int(contradicted.sum())


def _same(answer: Answer, side: _Action) -> bool:
    """True where an action is the one that was served."""
    action = ACTIONS[side[0]]
    return action == answer.decision.action and (action == "none" or same_reading(side[1], answer.chosen))


def _eligible(answer: Answer, selection: ServedSelection, side: _Action) -> bool:
    """True for an action that exploration might have served."""
    if len(selection.eligible) < 2 or ACTIONS[side[0]] != "accept":
        return False
    ranked: Sequence[Ranked] = answer.ranked
    return any(same_reading(side[1], ranked[j]) for j in selection.eligible if j < len(ranked))


def _drawn(
    selection: ServedSelection, served: Sequence[bool], versions: ExchangedVersions
) -> tuple[float, bool] | None:
    """The probability of the served action, and True where the two versions were drawn against each other.

    None for the candidate of a canary between other versions. The stable arm of such a canary is a random sample of the
    sessions, in which nothing was drawn by it.
    """
    rest, own = selection.probability, None
    for name, one in selection.canary.items():
        rest /= one.probability
        if name == versions.name and _compares(one, versions):
            own = one
        elif one.arm == "canary":
            return None
    if own is None:
        return rest, False
    arms = ((1.0 - own.share) * served[0]) + own.share * served[1]
    return rest * (arms or own.probability), True


def _compares(one: CanaryDraw, versions: ExchangedVersions) -> bool:
    """True for a canary between these two versions."""
    return one.stable in versions.beside and one.candidate == versions.after
