"""Log-probabilities of a language model's first tokens, each of which is the label of an option.

The probability of a label is the sum over its spellings, with and without a blank before it; -9999 stands for 0, and a
label that is not among the most probable tokens is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from arbitrank.errors import InputError
from arbitrank.importers.distributions import readings_of
from arbitrank.importers.options import ImportOptions
from arbitrank.importers.readings import decoded, request_of
from arbitrank.values import Request
from arbitrank.wire.json_text import short

_NEVER = -9999.0  # what some services write for a probability of 0
_SLACK = 1e-3  # of the sum of rounded probabilities
_CERTAIN = 0.001  # nearer to 0 and 1 than this, a probability is given in full
_ENDS = ("", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "</s>", ".")


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token with its log-probability."""

    token: str
    logprob: float


class TokenStep(msgspec.Struct, frozen=True):
    """A token that was written, and the most probable ones in its place."""

    token: str
    logprob: float
    top_logprobs: list[TokenLogprob] | None = None


class Step(NamedTuple):
    """One place of the answer: its token, and log-probabilities by token."""

    token: str
    logprobs: dict[str, float]
    where: str


def token_logprobs(payload: Any, options: ImportOptions) -> Request:
    """The request that the log-probabilities of the first token make, best first."""
    steps = steps_of(payload)
    if not steps:
        raise InputError("lacks the field logprobs, expected those of an answer's tokens; ask for top_logprobs")
    first, rest = steps[0], [step for step in steps[1:] if step.token.strip() not in _ENDS]
    sums: dict[str, float] = {}
    for token, value in first.logprobs.items():
        label = token.strip()
        if not any(map(str.isalnum, label)) or (rest and not _is_label(label, options)):
            continue
        sums[label] = sums.get(label, 0.0) + _probability(value, first.where)
    if rest:  # the label that was written has several tokens
        written = "".join(step.token for step in (first, *rest)).strip()
        sums[written] = math.prod(_probability(step.logprobs[step.token], step.where) for step in (first, *rest))
    scores = [(label, _rounded(p), first.where) for label, p in sums.items() if _readable(label, options)]
    return request_of(None, readings_of(scores, options), options)


def _is_label(label: str, options: ImportOptions) -> bool:
    return label in options.domains or options.is_none(label)


def _readable(label: str, options: ImportOptions) -> bool:
    """True of a label that is mapped or can be the name of a domain, as a stray token of other signs can't."""
    return bool(options.domains) or options.is_none(label) or any(one.isascii() and one.isalnum() for one in label)


def _probability(value: float, where: str) -> float:
    if not value <= _SLACK:
        raise InputError(f"{where}.logprob: {short(value)} is out of range, expected a logarithm, at most 0")
    return 0.0 if value <= _NEVER else math.exp(min(value, 0.0))


def _rounded(p: float) -> float:
    """The probability to four decimals, by more of which two calls of a service differ, and in full near 0 and 1."""
    if p > 1.0 + _SLACK:
        return p
    p = min(p, 1.0)
    return round(p, 4) if _CERTAIN <= p <= 1.0 - _CERTAIN else p


def steps_of(payload: Any) -> Sequence[Step]:
    """The places of an answer with their log-probabilities; none where the payload has no such."""
    if not isinstance(payload, dict):
        return []
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else payload
    where = "choices[0].logprobs" if choice is not payload else "logprobs"
    found = choice.get("logprobs")
    if isinstance(found, dict) and isinstance(found.get("top_logprobs"), list):
        return _completion(found, where)
    if isinstance(found, dict):
        found, where = found.get("content"), f"{where}.content"
    if not isinstance(found, list):
        return []
    steps = []
    for i, one in enumerate(decoded(found, list[TokenStep], where)):
        tokens = {one.token: one.logprob, **{each.token: each.logprob for each in one.top_logprobs or ()}}
        steps.append(Step(one.token, tokens, f"{where}[{i}]"))
    return steps


class Completion(msgspec.Struct, frozen=True):
    """Log-probabilities as the older completions have them."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]


def _completion(found: Any, where: str) -> list[Step]:
    one = decoded(found, Completion, where)
    steps = []
    for i, (token, own, top) in enumerate(zip(one.tokens, one.token_logprobs, one.top_logprobs, strict=False)):
        tokens = {**({} if own is None else {token: own}), **(top or {})}
        if tokens.get(token) is not None:
            steps.append(Step(token, tokens, f"{where}.top_logprobs[{i}]"))
    return steps
