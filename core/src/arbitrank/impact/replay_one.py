"""Replay of one logged request: its answer then and now, and the differences."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.semer import same_reading
from arbitrank.values import Answer, DomainReport, Ranked, Request, Truth
from arbitrank.wire.requests import Logged, Outcome

_SAME = 1e-6  # largest distance of probabilities that count as equal


class Replay(msgspec.Struct, frozen=True):
    """A logged request, its answer then and now, and the changes in words; `truth` and `outcome` where they are known.

    `anew` says that the domains read the utterance again; else they scored the hypotheses in the log.
    """

    id: str | None
    utterance: str | None
    anew: bool
    truth: Truth | None
    outcome: Outcome | None
    logged: Answer | None
    today: Answer
    changed: list[str]


def replay(line: Logged, arbitrator: Arbitrator, *, explain: bool = False) -> Replay:
    """Answer a logged request again: by its utterance where the domains read it then, else by its hypotheses."""
    again = line.utterance is not None and (line.recognised or line.hypotheses is None)
    fields = {name: getattr(line, name) for name in Request.__struct_fields__}
    request = Request(**{**fields, "hypotheses": None if again else line.hypotheses})
    today = arbitrator.answer(request, explain=explain)
    changed = list(changes(line.answer, today)) if line.answer else []
    return Replay(line.id, line.utterance, again, line.truth, line.outcome, line.answer, today, changed)


def changes(then: Answer, now: Answer) -> Iterator[str]:
    """The differences between two answers to one request, the most important first, one a line."""
    if not same_reading(_head(then), _head(now)):
        yield f"the answer: {_text(then)}, now {_text(now)}"
    elif then.decision.action != now.decision.action:
        yield f"the decision: {then.decision.action}, now {now.decision.action}"
    mine_then, mine_now = ({entry.domain: entry.domain_probability for entry in one.ranked} for one in (then, now))
    for name in sorted({*then.domains, *now.domains}):
        before, after = then.domains.get(name), now.domains.get(name)
        if before is None or after is None:
            yield f"{name}: {'was not there' if before is None else 'is no longer there'}"
        else:
            for change in _domain_changes(before, after, mine_then.get(name), mine_now.get(name)):
                yield f"{name}: {change}"


def _domain_changes(
    before: DomainReport, after: DomainReport, mine_before: float | None, mine_after: float | None
) -> Iterator[str]:
    if before.version != after.version:
        yield f"version {before.version or 'none'}, now {after.version or 'none'}"
    if mine_before is not None and mine_after is not None:
        if abs(mine_before - mine_after) > _SAME:
            yield f"P(mine) {mine_before:.4f}, now {mine_after:.4f}"
    elif mine_after is not None:
        yield f"no reading then, one with P(mine) {mine_after:.4f} now"
    elif mine_before is not None:
        yield "a reading then, none now"
    # A domain without a reading has answered where it read the utterance, and is skipped where it would have to score.
    if before.status != after.status and {before.status, after.status} != {"answered", "skipped"}:
        yield f"{before.status}, now {after.status}{f' ({after.reason})' if after.reason else ''}"


def _head(answer: Answer) -> Ranked | None:
    return answer.chosen


def _text(answer: Answer) -> str:
    head = _head(answer)
    if head is None:
        return "out of scope"
    slots = ", ".join(f"{slot.name}={slot.value}" for slot in head.slots)
    return f"{head.domain} {head.intent}{f' ({slots})' if slots else ''}, {answer.decision.action}"
