"""What a log keeps of what people said: all of it, keyed hashes of it, or nothing.

Words are the utterance and the values of slots, wherever they stand: in hypotheses, the answer and the truth. The same
value gives the same hash under the same key, so re-rankers learn from a hashed log as from a plain one. Of the context
only allowed keys are kept; session, account, dialogue, offsets and the texts of plugins' errors are not (a session is
hashed where words are). What stays are the length of the utterance, which re-rankers look at, and names: of domains,
intents, slots, skills and features, ids, versions.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from arbitrank.errors import InputError
from arbitrank.values import Answer, Context, DomainReport, Hypothesis, Ranked, Slot, Truth
from arbitrank.wire import Logged

Words = Literal["keep", "hash", "drop"]

CONTEXT = ("device", "has_screen", "locale", "previous_domain", "previous_intent", "preference.*")
"""The keys of the context that are kept where nothing else is said; `*` at the end stands for any end."""

KEY_BYTES = 16
"""Bytes that a key has at least."""

_HEX = 24  # characters of a hash that are kept: 96 bits, so that no two values ever share one
_LONGEST = 200  # characters of a context's text
_OWN = ("answered", "skipped", "unserved")  # statuses of which the core gives the reason in words of its own

Reading = TypeVar("Reading", Hypothesis, Ranked)


class Redactor:
    """Takes the words out of lines, `hash` or `drop`; needs a key to hash. The key is never shown."""

    def __init__(self, words: Literal["hash", "drop"], key: bytes | None, context: Collection[str] = CONTEXT) -> None:
        self._word: Callable[[str], str] = _nothing
        if words == "hash":
            if key is None or len(key) < KEY_BYTES:
                raise InputError(f"a key of {0 if key is None else len(key)} bytes, promised at least {KEY_BYTES}")
            self._word = _hasher(key)
        self._hashes = words == "hash"
        self._context = {key for key in context if not key.endswith("*")}
        self._starts = tuple(key[:-1] for key in context if key.endswith("*"))

    def line(self, line: Logged) -> Logged:
        """The line without words."""
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
            truth=None if line.truth is None else self.truth(line.truth),
            answer=None if line.answer is None else self._answer(line.answer),
        )

    def truth(self, truth: Truth) -> Truth:
        """The truth without words."""
        return replace(truth, slots=self._slots(truth.slots))

    def _answer(self, answer: Answer) -> Answer:
        ranked = tuple(map(self._reading, answer.ranked))
        return replace(answer, ranked=ranked, domains={name: _report(one) for name, one in answer.domains.items()})

    def _reading(self, reading: Reading) -> Reading:
        return replace(reading, slots=self._slots(reading.slots)) if reading.slots else reading

    def _slots(self, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        return tuple(Slot(slot.name, self._word(slot.value), slot.confidence) for slot in slots)

    def _session(self, session: Any) -> str | None:
        if not self._hashes or session is None:
            return None
        whose = session.get("id", session) if isinstance(session, dict) else session
        return self._word(whose if isinstance(whose, str) else msgspec.json.encode(whose, order="sorted").decode())

    def _allowed(self, context: Context) -> Context:
        return {
            key: value
            for key, value in context.items()
            if (key in self._context or key.startswith(self._starts or ("\0",))) and _plain(value)
        }


def read_key(path: Path) -> bytes:
    """The key in a file, blanks around it left out. Raises `InputError` where it can't be read or is too short."""
    try:
        key = path.expanduser().read_bytes().strip()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; promised a key; make one: openssl rand -hex 32 > {path}"
        ) from error
    if len(key) < KEY_BYTES:
        raise InputError(
            f"{path}: {len(key)} bytes, promised a key of at least {KEY_BYTES}; make one: openssl rand -hex 32 > {path}"
        )
    return key


def _hasher(key: bytes) -> Callable[[str], str]:
    @lru_cache(1024)  # the readings of a request share their values
    def hashed(word: str) -> str:
        # What a truth is compared by (`arbitrank.semer`): case and outer blanks don't count.
        content = word.strip().casefold().encode("utf-8", "surrogatepass")
        return hmac.digest(key, content, "sha256").hex()[:_HEX]

    return hashed


def _nothing(word: str) -> str:
    return ""


def _report(report: DomainReport) -> DomainReport:
    """The report without what a plugin said, which may quote what it was asked: of its error the class alone.

    The core quotes plugins behind a colon.
    """
    if report.reason is None:
        return report
    first = report.reason.partition(":")[0]
    return replace(report, reason=first if report.status in _OWN or first.isidentifier() else None)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _LONGEST)
