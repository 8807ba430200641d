"""Cases of a domain's suites: requests with what has to become of them, as lines of JSON.

    must_win        the domain's reading is acted on or asked about first, and right in what a truth gives of it
    must_not_win    no reading of the domain is
    incidents       a logged answer that was wrong: its truth is answered where it is known, else not the same again

A truth's intent and slots count where they are given (`arbitrank.outcomes.suite_truths`). A case has a `name`, a
`date`, a `reason` and an `owner`. Cases of any domains that no answer can satisfy together conflict.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from arbitrank.answerlog.redaction import Redactor
from arbitrank.errors import DataError, InputError
from arbitrank.normal_text import comparable
from arbitrank.outcomes.suite_truths import NOTHING, contradiction, differences, slots_given, truth_fields
from arbitrank.semer import same_reading
from arbitrank.store.store import Store
from arbitrank.store.suites import KINDS, Contents, SuiteKind, read_suites, suite_domains
from arbitrank.values import Answer, Hypothesis, Request, Slot, Truth
from arbitrank.wire.json_lines import BadLine, lines_in, place
from arbitrank.wire.json_text import explained, json_object, short
from arbitrank.wire.requests import Logged, decode_logged

_LONGEST = 300  # characters of a name, a reason or an owner
_DROPPED = ("session", "account", "dialogue", "utterances")  # of whom a request was is no part of a case
_NAME = re.compile(r"[\w.:@+-]+")


class WrongReading(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reading that was answered in an incident; no domain where none was."""

    domain: str | None = None
    intent: str | None = None
    slots: tuple[Slot, ...] = ()


class CaseNotes(msgspec.Struct, frozen=True, omit_defaults=True):
    """The keys of a case beside those of its request: its name, date (YYYY-MM-DD), reason, owner, and wrong answer."""

    name: str | None = None
    date: str | None = None
    reason: str | None = None
    owner: str | None = None
    wrong: WrongReading | None = None

    def __post_init__(self) -> None:
        for key in ("name", "reason", "owner"):
            value = getattr(self, key)
            if value is not None and not 0 < len(value) <= _LONGEST:
                raise ValueError(f"{key}: {len(value)} characters, expected 1 to {_LONGEST}")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is no name, expected letters, digits and any of . : @ + - _")
        if self.date is not None:
            _check_date(self.date)


def _check_date(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date: {short(text)} is invalid, expected a day as YYYY-MM-DD") from None


@dataclass(frozen=True)
class Case:
    """A case of the suites of `domain`: the request, and what has to become of it by its kind.

    `slots` says of each of its truths, in the order of `Truth.each`, whether its slots are given.
    """

    domain: str
    kind: SuiteKind
    request: Request
    notes: CaseNotes
    truth: Truth | None = None
    words: str | None = None
    slots: tuple[bool, ...] = ()

    @property
    def name(self) -> str:
        """The name, for people, without any word of the request."""
        return f"{self.domain} {self.kind} {self.notes.name}"

    def passes(self, answer: Answer) -> bool:
        """True where the answer is as the case demands."""
        chosen = answer.chosen
        if self.kind == "must_not_win":
            return chosen is None or chosen.domain != self.domain
        if self.kind == "must_win" and (chosen is None or chosen.domain != self.domain):
            return False
        if self.truth is not None:
            return not self.differences(answer)
        if self.kind == "must_win":
            return True
        wrong = self.notes.wrong
        if wrong is None or wrong.domain is None:
            return chosen is not None
        return not same_reading(chosen, Hypothesis(wrong.domain, wrong.intent or "", slots=wrong.slots))

    def differences(self, answer: Answer) -> tuple[str, ...]:
        """Differences of the answer from the truth where that counts: domain, intent, slots, without values."""
        if self.truth is None or self.kind == "must_not_win":
            return ()
        return differences(answer.chosen, self.truth, self.slots)

    def redacted(self, redact: Redactor | None) -> Case:
        """The case without words, as a log's redactor has them. Raises `InputError` where it could not be answered."""
        if redact is None:
            return self
        fields = {name: getattr(self.request, name) for name in Request.__struct_fields__}
        wrong = self.notes.wrong
        line = redact.line(Logged(**fields, truth=self.truth))
        if line.hypotheses is None:
            raise InputError(f"{self.name}: it has no hypotheses, so it cannot be answered without its words")
        if wrong is not None:
            wrong = replace(wrong, slots=redact.truth(Truth(wrong.domain, slots=wrong.slots)).slots)
        words = line.utterance_hash or self.words
        notes = replace(self.notes, wrong=wrong)
        return Case(self.domain, self.kind, request_of(line), notes, line.truth, words, self.slots)

    @property
    def demanded(self) -> frozenset[str | None] | None:
        """The domains of which one has to win, None among them where none may; None where that is open."""
        if self.kind == "must_win":
            return frozenset({self.domain})
        if self.kind == "must_not_win" or self.truth is None:
            return None
        return frozenset([*self.truth.owners, *([None] if self.truth.out_of_scope else [])])

    def conflicts(self, other: Case) -> bool:
        """True where no answer to the same request satisfies both."""
        one, two = self.demanded, other.demanded
        if one is not None and two is not None:
            return not one & two
        barred = {case.domain for case in (self, other) if case.kind == "must_not_win"}
        return any(wanted is not None and wanted <= barred for wanted in (one, two))


def cases_of(domain: str, contents: Contents, called: str = "suites") -> list[Case]:
    """The cases of a domain's files, in their order. Raises `DataError` for a line that cannot be read."""
    return [case for kind in KINDS for _, case in _numbered(domain, kind, contents.get(kind, b""), f"{called}: {kind}")]


def new_cases(domain: str, kind: SuiteKind, content: bytes, path: str) -> list[Case]:
    """The cases of a file that is to be stored. Raises `DataError`, also for a case that no right answer passes."""
    cases = []
    for number, case in _numbered(domain, kind, content, path):
        if wrong := contradiction(domain, kind, case.truth):
            raise DataError(f"{place(path, number)}: {wrong}")
        cases.append(case)
    return cases


def _numbered(domain: str, kind: SuiteKind, content: bytes, called: str) -> Iterator[tuple[int, Case]]:
    """The cases of a file with the numbers of their lines; messages call it `called`."""
    for number, raw in lines_in(BytesIO(content), called):
        try:
            if isinstance(raw, BadLine):
                raise InputError(raw.reason)
            yield number, case_of(domain, kind, raw)
        except InputError as error:
            raise DataError(f"{place(called, number)}: {error}; see docs/reference/formats/suites.md") from None


def case_of(domain: str, kind: SuiteKind, raw: bytes | str) -> Case:
    """The case of a line. Raises `InputError`.

    One without a name has its request's id for it, where that can be a name, else a digest of the request.
    """
    keys = json_object(raw)
    if all(keys.get(key) is None for key in ("utterance", "hypotheses", "text")):
        raise InputError("neither utterance nor hypotheses, expected one of them")
    line, notes = decode_logged(raw), _notes_of(keys)
    request = request_of(line)
    if notes.name is None:
        usable = line.id is not None and len(line.id) <= _LONGEST and _NAME.fullmatch(line.id)
        notes = replace(notes, name=line.id if usable else key_of(request, line.utterance_hash)[:12])
    corpus = all(keys.get(key) is None for key in ("utterance", "hypotheses"))  # its line has the truth beside the text
    stated = {"slots": keys.get("slots")} if corpus else keys.get("truth")
    slots = () if line.truth is None else slots_given(stated)
    return Case(domain, kind, request, notes, line.truth, line.utterance_hash, slots)


def _notes_of(keys: Mapping[str, Any]) -> CaseNotes:
    own = {key: value for key, value in keys.items() if key in CaseNotes.__struct_fields__}
    try:
        return msgspec.convert(own, CaseNotes)
    except msgspec.ValidationError as error:
        # What `CaseNotes` raises itself names the field and the value already.
        raise InputError(str(error) if error.__cause__ is not None else explained(str(error), own)) from None


def request_of(line: Logged) -> Request:
    """The request of a logged line, as it is answered again: recognised words without the hypotheses of then."""
    again = line.utterance is not None and line.recognised
    fields = {name: getattr(line, name) for name in Request.__struct_fields__ if name not in _DROPPED}
    return Request(**{**fields, "hypotheses": None if again else line.hypotheses, "id": None, "refused": {}})


def key_of(request: Request, words: str | None = None) -> str:
    """A digest of a request: the same for the same words, context and hypotheses; `words` stands for those that a log
    does not keep."""
    text = words if request.utterance is None else comparable(request.utterance)
    content = [text, request.context, None if request.utterance is not None else request.hypotheses]
    return hashlib.blake2b(msgspec.json.encode(content, order="sorted"), digest_size=16).hexdigest()


def encoded(case: Case) -> bytes:
    """The case as a line."""
    fields: dict[str, Any] = {key: value for key, value in asdict(case.notes).items() if value is not None}
    fields |= msgspec.to_builtins(case.request)
    if case.words is not None:
        fields["utterance_hash"] = case.words
    if case.truth is not None:
        fields["truth"] = truth_fields(case.truth, case.slots)
    return msgspec.json.encode(fields) + b"\n"


def conflicts(cases: Iterable[Case]) -> list[tuple[Case, Case]]:
    """The pairs of cases that no answer can satisfy together."""
    same: dict[str, list[Case]] = {}
    for case in cases:
        same.setdefault(key_of(case.request, case.words), []).append(case)
    return [pair for group in same.values() for pair in _conflicting(group)]


def conflict_text(one: Case, other: Case) -> str:
    """The conflict of two cases in words."""
    return f"{one.name} and {other.name} demand contrary answers to the same request; neither refuses a promotion"


def _conflicting(group: Sequence[Case]) -> Iterator[tuple[Case, Case]]:
    for i, one in enumerate(group):
        yield from ((one, other) for other in group[i + 1 :] if one.conflicts(other))


def stored_cases(store: Store) -> list[Case]:
    """The cases of all domains' suites. Raises `StoreError` and `DataError` where one cannot be read."""
    return [
        case
        for domain in suite_domains(store.backend)
        for case in cases_of(domain, read_suites(store.suite_history(domain), domain), f"{store}: suites of {domain}")
    ]


def answer_text(answer: Answer) -> str:
    """The answer's decision, domain and intent, without any value of a slot."""
    chosen = answer.chosen
    return NOTHING if chosen is None else f"{chosen.domain} {chosen.intent}"
