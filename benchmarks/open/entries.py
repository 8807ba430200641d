"""Systems of others: the requests to hand out, and the files of their answers, which may be of any system.

A file `CORPUS.jsonl` has one line a request, in any order, as `arbitrank rank` answers it:

    {"id": "7", "ranked": [{"domain": "music", "intent": "PlayMusic", "slots": [{"name": "title", "value": "emma"}],
                            "probability": 0.8}], "decision": {"action": "accept"}}

The first of `ranked` is the answer; an empty list, or the action `none`, declares the request out of scope.
`probability` is P(this reading is entirely right), given in all lines or in none. In the place of `ranked` a line may
bring `hypotheses` with their confidences, as `arbitrank import` makes them of a vendor's payload: the answer is then
the one with the highest product of the confidences that it has, which is its probability.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from arbitrank.arbitration.decide import ACTIONS
from arbitrank.errors import DataError, InputError
from arbitrank.values import Hypothesis, Ranked, Slot
from arbitrank.wire.json_lines import BadLine, place, read_lines
from arbitrank.wire.json_text import converted, json_object
from benchmarks.open.answers import Answers
from benchmarks.open.contests import Contest
from benchmarks.open.measures import UNANSWERED

ENDINGS = (".jsonl", ".jsonl.gz")

_Probability = Annotated[float, Meta(ge=0.0, le=1.0)]


class _Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reading of an answer; of the keys that `arbitrank rank` writes, the last ones are not read."""

    domain: str
    intent: str = ""
    slots: tuple[Slot, ...] = ()
    probability: _Probability | None = None
    score: Any = None
    domain_probability: Any = None
    version: Any = None
    skill: Any = None
    why: Any = None
    details: Any = None


class _Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action: str
    contenders: Any = None
    reason: Any = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer; of the keys that `arbitrank rank` and the handed out requests have, the last ones are not read."""

    id: str
    ranked: tuple[_Reading, ...] | None = None
    hypotheses: tuple[Hypothesis, ...] | None = None
    decision: _Decided | None = None
    domains: Any = None
    ms: Any = None
    shortlist: Any = None
    settings: Any = None
    out_of_scope_share: Any = None
    utterance: Any = None
    context: Any = None
    fold: Any = None
    responses: Any = None


def entered(systems: Iterable[str]) -> dict[str, dict[str, Path]]:
    """The files of each corpus by system, from options `NAME=PATH`; a folder stands for all its files.

    Raises `InputError` where an option is malformed, a path does not exist, or a system has two files of a corpus.
    """
    found: dict[str, dict[str, Path]] = {}
    for option in systems:
        name, equals, text = option.partition("=")
        path = Path(text)
        if not (name and equals and text):
            raise InputError(f"--system: {option!r} is invalid, expected NAME=FILE.jsonl or NAME=FOLDER")
        if not path.exists():
            raise InputError(f"--system {option}: no such file or folder")
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
        own = [one for one in paths if one.name.endswith(ENDINGS)]
        if not own:
            raise InputError(f"--system {option}: no file CORPUS.jsonl or CORPUS.jsonl.gz")
        for one in own:
            corpus = one.name.partition(".")[0]
            if name in found.setdefault(corpus, {}):
                raise InputError(
                    f"--system {option}: {name} has two files of {corpus}, {found[corpus][name]} and {one}"
                )
            found[corpus][name] = one
    return found


def handed_out(contest: Contest) -> list[str]:
    """The ids of the requests as they are handed out: digests, as some corpora's own ids name the intent."""
    own = (f"{contest.name} {example.request.id}" for example in contest.examples)
    return [hashlib.blake2s(name.encode(), digest_size=8).hexdigest() for name in own]


def read_answers(path: Path, contest: Contest) -> Answers:
    """The answers of a file to the contest's requests, by the ids that are handed out or by the corpus's own.

    Raises `DataError` that names the line where one cannot be read, is of a request that is not there or was answered
    already, names a domain that is not there, or brings a probability where other lines do not.
    """
    at = {example.request.id: i for i, example in enumerate(contest.examples)}
    at.update((name, i) for i, name in enumerate(handed_out(contest)))
    n, seen = len(contest.examples), dict[int, int]()
    top: list[Hypothesis | Ranked | None] = [None] * n
    none, probability = np.zeros(n, bool), np.full(n, UNANSWERED)
    told: dict[bool, int] = {}
    for number, raw in read_lines(path):
        if isinstance(raw, BadLine):
            raise DataError(str(raw))
        line = _decoded(raw, place(str(path), number))
        if line.id not in at:
            remedy = "get the requests: python -m benchmarks.open --requests FOLDER"
            raise DataError(f"{place(str(path), number)}: id: {contest.name} has no request {line.id!r}; {remedy}")
        i = at[line.id]
        if i in seen:
            raise DataError(f"{place(str(path), number)}: id: {line.id!r} is answered already, in line {seen[i]}")
        seen[i] = number
        ranked = _ranked(line)
        none[i] = not ranked or (line.decision is not None and line.decision.action == "none")
        probability[i] = 0.0
        if ranked:
            top[i], p = ranked[0], ranked[0].probability
            _check_domain(ranked[0].domain, contest, place(str(path), number))
            told.setdefault(p is not None, number)
            probability[i] = 0.0 if p is None else p
    if len(told) == 2:
        raise DataError(
            f"{path}: probability: in line {told[True]} and not in line {told[False]}, expected in all or none"
        )
    return Answers(top, none, probability if told.get(True) else None, n - len(seen))


def _decoded(raw: bytes, where: str) -> _Line:
    try:
        line = converted(json_object(raw), _Line)
        if (line.ranked is None) == (line.hypotheses is None) and not (line.decision and line.ranked is None):
            raise InputError("expected either `ranked` or `hypotheses`")
        if line.decision and line.decision.action not in ACTIONS:
            raise InputError(f"decision.action: {line.decision.action!r} is invalid, expected {', '.join(ACTIONS)}")
    except InputError as error:
        raise DataError(f"{where}: {error}") from None
    return line


def _ranked(line: _Line) -> Sequence[Ranked]:
    """The readings, best first."""
    if line.hypotheses is None:
        return [Ranked(one.domain, one.intent, one.slots, probability=one.probability) for one in line.ranked or ()]
    found = [Ranked(h.domain, h.intent, h.slots, probability=_product(h)) for h in line.hypotheses]
    return sorted(found, key=lambda one: -(one.probability or 0.0))


def _product(h: Hypothesis) -> float | None:
    """The product of the confidences that a hypothesis has, None where it has none."""
    told = [p for p in (h.domain_confidence, h.intent_confidence, h.reading_confidence) if p is not None]
    return math.prod(told) if told else None


def _check_domain(name: str, contest: Contest, where: str) -> None:
    if not contest.any_domain and name not in contest.domains:
        raise DataError(
            f"{where}: domain: {contest.name} has no domain {name!r}, expected {', '.join(contest.domains)}"
        )


def written(contest: Contest, answers: Answers) -> Iterator[dict[str, Any]]:
    """The lines of a file that `read_answers` reads as these answers."""
    p = answers.probability
    for i, (name, one) in enumerate(zip(handed_out(contest), answers.top, strict=True)):
        reading: dict[str, Any] = {}
        if one is not None:
            slots = [{"name": slot.name, "value": slot.value} for slot in one.slots]
            reading = {"domain": one.domain, "intent": one.intent, "slots": slots}
            reading |= {} if p is None else {"probability": float(p[i])}
        action = "none" if answers.none[i] else "accept"
        yield {"id": name, "ranked": [reading] if reading else [], "decision": {"action": action}}


def requests(contest: Contest) -> Iterator[dict[str, Any]]:
    """The requests to hand out, without their truths and in the order of their ids.

    `fold` is theirs where training and measurement share the data.
    """
    for name, i in sorted((name, i) for i, name in enumerate(handed_out(contest))):
        request = contest.examples[i].request
        line: dict[str, Any] = {**msgspec.to_builtins(request), "id": name}
        if contest.fold is not None:
            line["fold"] = int(contest.fold[i])
        yield {**line, **contest.more.get(request.id or "", {})}


def described(contest: Contest) -> dict[str, Any]:
    """The contest for those who enter: what is asked, the domains' names, and what is judged."""
    return {
        "corpus": contest.name,
        "about": contest.about,
        "n": len(contest.examples),
        "domains": list(contest.domains),
        "judged": list(contest.measures),
        "any_domain": contest.any_domain,
        "none_is_an_answer": contest.none_counts,
        "folds": 0 if contest.fold is None else int(contest.fold.max()) + 1,
    }


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write objects as JSON Lines, gzip where the name ends so."""
    with (gzip.open if path.name.endswith(".gz") else open)(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
