"""Query of `GET /v1/log`: its parameters, and the rows of a log that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.tail import FAILURES, LINES, LogTail, TailLine
from arbitrank.arbitration.decide import ACTIONS
from arbitrank.errors import InputError
from arbitrank.serve.messages import LogPage, LogRow
from arbitrank.wire.requests import Logged, identity

LOG_QUERY: Mapping[str, Mapping[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LINES, "default": 100, "description": "Rows at most."},
    "after": {"type": "number", "description": "Only what changed after this time, a `cursor`."},
    "action": {"enum": list(ACTIONS), "description": "Only this decision."},
    "below": {"type": "number", "minimum": 0, "maximum": 1, "description": "Only heads with P(right) below this."},
    "domain": {"type": "string", "description": "Only requests that this domain won, or failed at."},
    "session": {"type": "string", "description": "Only requests of this session."},
    "failed": {"type": "boolean", "description": "Only requests at which a domain failed or was late."},
    "words": {"type": "string", "description": "Only utterances with these words, or the request with this id."},
    "id": {"type": "string", "description": "Only the request with this id, with all that the log holds of it."},
}
"""The parameters and their schemas."""

_LATE = 5.0  # seconds by which a line may be written, or its writer's clock be, later than another's


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows that a call asks for, as `LOG_QUERY` says."""

    limit: int = 100
    after: float | None = None
    action: str | None = None
    below: float | None = None
    domain: str | None = None
    session: str | None = None
    failed: bool = False
    words: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> LogQuery:
        """The query in a URL's parameters. Raises `InputError`."""
        try:
            found = msgspec.convert(dict(given), cls, strict=False)
        except msgspec.ValidationError as error:
            raise InputError(f"the query: {error}") from None
        if not 1 <= found.limit <= LINES:
            raise InputError(f"limit: {found.limit} is out of range, expected 1 to {LINES}")
        if found.action is not None and found.action not in ACTIONS:
            raise InputError(f"action: {found.action[:40]!r} is unknown, expected {', '.join(ACTIONS)}")
        return found

    def wants(self, row: LogRow) -> bool:
        """True for a row that the call asks for."""
        return (
            (self.after is None or row.changed > self.after)
            and (self.action is None or row.action == self.action)
            and (self.below is None or (row.probability is not None and row.probability < self.below))
            and (self.domain is None or self.domain == row.domain or self.domain in row.failed)
            and (self.session is None or self.session == identity(row.session))
            and (not self.failed or bool(row.failed))
            and (
                self.words is None or row.id == self.words or self.words.casefold() in (row.utterance or "").casefold()
            )
        )


def page(log: LogTail, query: LogQuery, words: str) -> LogPage:
    """The rows that a query asks for, of the last requests of a log, the latest first. Raises `DataError`."""
    tail, rows = log.lines(), list[LogRow]()
    if query.id is not None:
        whole = log.whole(query.id)
        return LogPage(() if whole is None else (_whole_row(whole),), len(tail), query.after or 0.0, words)
    for one in _since(tail, query.after):
        row = log_row(one.line, one.changed)
        if query.wants(row):
            rows.append(row)
            if len(rows) == query.limit:
                break
    cursor = max((one.changed - _LATE for one in tail), default=query.after or 0.0)
    return LogPage(tuple(rows), len(tail), cursor, words)


def _whole_row(line: Logged) -> LogRow:
    """A logged request with all that the log holds of it, but for the readings and what was recognised from words."""
    answer = line.answer
    assert answer is not None
    row = log_row(line, line.time or 0.0)
    return replace(
        row,
        hypotheses=None if line.recognised and line.utterance is not None else line.hypotheses,
        account=line.account,
        dialogue=line.dialogue,
        utterances=line.utterances,
        failed={name: row.failed[name] for name, one in answer.domains.items() if one.status in FAILURES},
        selection=None if answer.selection is UNSET else answer.selection,
        versions={name: one.version for name, one in answer.domains.items() if one.version is not None},
    )


def _since(tail: Iterable[TailLine], after: float | None) -> Iterable[TailLine]:
    return tail if after is None else (one for one in tail if one.changed > after)


def log_row(line: Logged, changed: float) -> LogRow:
    """A logged request in short; `changed` is the time of the last line on it."""
    answer = line.answer
    assert answer is not None
    head = answer.chosen or answer.best
    return LogRow(
        changed=changed,
        action=answer.decision.action,
        time=line.time,
        id=line.id,
        utterance=line.utterance,
        utterance_length=line.utterance_length,
        context=line.context,
        hypotheses=line.hypotheses,
        session=line.session,
        reason=None if answer.decision.reason is UNSET else answer.decision.reason,
        domain=None if head is None else head.domain,
        intent=None if head is None else head.intent,
        slots=() if head is None else head.slots,
        version=None if head is None else head.version,
        probability=None if head is None else head.probability,
        failed={name: report.reason or report.status for name, report in answer.domains.items()},
        canary=tuple(name for name, arm in (line.arms or {}).items() if arm == "canary"),
        outcome=line.outcome,
        called=line.called,
        truth=line.truth,
    )
