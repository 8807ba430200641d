"""Redaction of users' words in a log: kept, replaced by keyed hashes, or dropped.

Words are the utterance and the values of slots, in hypotheses, the answer and the truth. Equal values have equal hashes
under one key, so re-rankers learn from a hashed log as from a plain one. Of the context only allowed keys are kept;
session, account, dialogue, offsets and the texts of plugins' errors are dropped (a session is hashed where words are).
The length of the utterance, a feature of re-rankers, and names (domains, intents, slots, skills, features, ids,
versions) stay.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.shadow_lines import ShadowLine
from arbitrank.errors import InputError, os_errors
from arbitrank.normal_text import comparable
from arbitrank.regular_files import read_regular
from arbitrank.values import Answer, Context, DomainReport, Hypothesis, Ranked, Slot, Truth
from arbitrank.wire.requests import Logged, identity

Words = Literal["keep", "hash", "drop"]

CONTEXT = ("device", "has_screen", "locale", "previous_domain", "previous_intent", "preference.*")
"""The context keys kept by default; a final `*` matches any ending."""

KEY_BYTES = 16
"""The least length of a key, in bytes."""

_MAX_KEY = 1 << 16
_HEX = 24  # characters kept of a hash: 96 bits, so that collisions do not occur
_LONGEST = 200  # characters of a text in the context
_OWN = ("answered", "skipped", "unserved")  # statuses whose reason is the core's own text

R = TypeVar("R", Hypothesis, Ranked)


class Redactor:
    """Redacts lines: hashes words with a key, drops them without one. The key does not appear in its repr."""

    def __init__(self, key: bytes | None, context: Collection[str] = CONTEXT) -> None:
        self._word = _hasher(key) if key else lambda word: ""
        self._hashes = key is not None
        self._context = {key for key in context if not key.endswith("*")}
        self._starts = tuple(key[:-1] for key in context if key.endswith("*"))

    def line(self, line: Logged) -> Logged:
        """The line without words."""
        if isinstance(line, ShadowLine):
            others = {name: replace(one, answer=self._answer(one.answer)) for name, one in line.shadow.items()}
            line = replace(line, shadow=others)
        return replace(
            line,
            utterance=None,
            utterance_length=line.length,
            utterance_hash=self._word(line.utterance) if self._hashes and line.utterance is not None else None,
            context=self._allowed(line.context),
            hypotheses=None if line.hypotheses is None else tuple(map(self._reading, line.hypotheses)),
            session=self._session(line.session),
            account=None,
            dialogue=None,
            utterances=(),
            refused=dict.fromkeys(line.refused, "refused"),
            truth=None if line.truth is None else self.truth(line.truth),
            answer=None if line.answer is None else self._answer(line.answer),
        )

    def feedback(self, feedback: Feedback) -> Feedback:
        """Feedback without words."""
        truth = None if feedback.truth is None else self.truth(feedback.truth)
        return replace(feedback, truth=truth, session=self._session(feedback.session))

    def truth(self, truth: Truth) -> Truth:
        """The truth without words."""
        return replace(truth, slots=self._slots(truth.slots), also=tuple(map(self.truth, truth.also)))

    def _answer(self, answer: Answer) -> Answer:
        ranked = tuple(map(self._reading, answer.ranked))
        return replace(answer, ranked=ranked, domains={name: _report(one) for name, one in answer.domains.items()})

    def _reading(self, reading: R) -> R:
        return replace(reading, slots=self._slots(reading.slots)) if reading.slots else reading

    def _slots(self, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        return tuple(Slot(slot.name, self._word(slot.value), slot.confidence) for slot in slots)

    def _session(self, session: Any) -> str | None:
        key = identity(session) if self._hashes else None
        return None if key is None else self._word(key)

    def _allowed(self, context: Context) -> Context:
        return {
            key: value
            for key, value in context.items()
            if (key in self._context or key.startswith(self._starts or ("\0",))) and _plain(value)
        }


def redactor(words: Words, key: Path | None, context: Collection[str] = CONTEXT) -> Redactor | None:
    """The redactor of a log, None where words are kept. Raises `InputError` where there is no key to hash with."""
    if words == "keep":
        return None
    if words == "drop":
        return Redactor(None, context)
    if key is None:
        raise InputError("a log of hashed words needs a key to hash with; make one: openssl rand -hex 32 > log.key")
    return Redactor(_read_key(key), context)


def _read_key(path: Path) -> bytes:
    remedy = f"expected a key of at least {KEY_BYTES} bytes; make one: openssl rand -hex 32 > {path}"
    with os_errors(InputError, f"{path}: cannot be read", f"; {remedy}"):
        key = read_regular(path.expanduser(), _MAX_KEY).strip()
    if len(key) < KEY_BYTES:
        raise InputError(f"{path}: {len(key)} bytes, {remedy}")
    return key


def _hasher(key: bytes) -> Callable[[str], str]:
    @lru_cache(1024)  # readings of a request share values
    def hashed(word: str) -> str:
        # Normalised as `arbitrank.semer` compares.
        content = comparable(word).encode("utf-8", "surrogatepass")
        return hmac.digest(key, content, "sha256").hex()[:_HEX]

    return hashed


def _report(report: DomainReport) -> DomainReport:
    """The report without a plugin's error text, which may quote the request: only the error's class is kept.

    The core puts a plugin's text behind a colon.
    """
    if report.reason is None:
        return report
    first = report.reason.partition(":")[0]
    return replace(report, reason=first if report.status in _OWN or first.isidentifier() else None)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _LONGEST)
