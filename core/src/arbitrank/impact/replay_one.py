"""One logged request, answered again, and what is different now."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.values import Answer, Decision, Ranked, Request, Truth
from arbitrank.wire import Logged, Outcome

_SAME = 1e-6  # how close probabilities have to be to count as the same


class Replay(msgspec.Struct, frozen=True):
    """A logged request, its answer then and now, and what changed, in words; `truth` and `outcome` where told.

    `anew` says that the domains read the words again; else they scored the hypotheses in the log.
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
    """Answer a logged request again: by its words where they were read then and are kept, else by its hypotheses."""
    anew = line.utterance is not None and (line.recognised or line.hypotheses is None)
    fields = {name: getattr(line, name) for name in Request.__struct_fields__}
    request = Request(**{**fields, "hypotheses": None if anew else line.hypotheses})
    today = arbitrator.answer(request, explain=explain)
    changed = list(changes(line.answer, today)) if line.answer else []
    return Replay(line.id, line.utterance, anew, line.truth, line.outcome, line.answer, today, changed)


def changes(then: Answer, now: Answer) -> Iterator[str]:
    """What differs between two answers to one request, what matters most first, a line each."""
    if _head(then) != _head(now):
        yield f"the answer: {_said(then)}, now {_said(now)}"
    elif then.decision.action != now.decision.action:
        yield f"the decision: {_decided(then.decision)}, now {_decided(now.decision)}"
    mine_then, mine_now = _mine(then), _mine(now)
    for name in sorted({*then.domains, *now.domains}):
        before, after = then.domains.get(name), now.domains.get(name)
        if before is None or after is None:
            yield f"{name}: {'was not there' if before is None else 'is not there any more'}"
            continue
        if before.version != after.version:
            yield f"{name}: version {before.version or 'none'}, now {after.version or 'none'}"
        spoke_then, spoke_now = mine_then.get(name), mine_now.get(name)
        if spoke_then is not None and spoke_now is not None:
            if abs(spoke_then - spoke_now) > _SAME:
                yield f"{name}: P(mine) {spoke_then:.4f}, now {spoke_now:.4f}"
        elif (spoke_then is None) != (spoke_now is None):
            yield f"{name}: {'no reading' if spoke_then is None else 'a reading'} then, {_now(spoke_now)} now"
        # A domain without a reading answers so when it reads the words, and is not asked when it would have to score.
        if before.status != after.status and {before.status, after.status} != {"answered", "skipped"}:
            yield f"{name}: {before.status}, now {after.status}{f' ({after.reason})' if after.reason else ''}"


def _now(mine: float | None) -> str:
    return "none" if mine is None else f"one with P(mine) {mine:.4f}"


def _mine(answer: Answer) -> dict[str, float]:
    return {entry.domain: entry.domain_probability for entry in answer.ranked}


def _head(answer: Answer) -> object:
    head = _first(answer)
    return head and (head.domain, head.intent, sorted((slot.name, slot.value) for slot in head.slots))


def _first(answer: Answer) -> Ranked | None:
    return answer.ranked[0] if answer.ranked and answer.decision.action != "none" else None


def _decided(decision: Decision) -> str:
    return decision.action


def _said(answer: Answer) -> str:
    head = _first(answer)
    if head is None:
        return "nobody's"
    slots = ", ".join(f"{slot.name}={slot.value}" for slot in head.slots)
    return f"{head.domain} {head.intent}{f' ({slots})' if slots else ''}, {answer.decision.action}"
