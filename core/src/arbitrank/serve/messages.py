"""Bodies of calls and replies beside `POST /v1/rank`, whose schemas the OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arbitrank.arbitration.choose import MAX_WORDS
from arbitrank.live.domain_state import DomainStatus
from arbitrank.live.share import ShareStatus
from arbitrank.selections import ServedSelection
from arbitrank.store.state import State
from arbitrank.values import Action, Answer, Context, Hypothesis, Name, Slot, Truth, Wording

Note = Annotated[str, Meta(max_length=1_000)]
"""Reason of a change."""


class Reason(msgspec.Struct, frozen=True):
    """A condition of the gate that a version fails: its kind, in words, and the neighbours concerned."""

    what: str
    text: str
    neighbours: tuple[str, ...] = ()


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """Error of a call; `reasons` are the gate's, where it refused."""

    error: str
    reasons: tuple[Reason, ...] = ()

    @classmethod
    def of(cls, text: str, reasons: tuple[Reason, ...] = ()) -> Error:
        """The error with a text; lone surrogates in it, which JSON cannot hold, are written as escapes."""
        return cls(text.encode("utf-8", "backslashreplace").decode(), reasons)


class Taken(msgspec.Struct, frozen=True):
    """Receipt of feedback: whether the log keeps it, and whether this worker counted it for a canary."""

    id: str
    logged: bool
    counted: bool


class DomainRow(msgspec.Struct, frozen=True):
    """An installed domain: the `version` that answers, the `problem` that keeps another from answering.

    `breaker` is the reason why it is skipped for a while (its circuit is open). `title` is its display name, `notes`
    are remarks that do not keep it from answering. `release` is that of the code which answers, where that is in an
    environment of its own, and `box` the measures of its box: null where one is active, else the reason why it is
    missing. `url` is that of a remote domain, whose package is `remote`. A row of the status `unreadable` is no domain,
    but a package whose metadata are damaged, or a name that no package has.
    """

    name: str
    status: str
    package: str
    package_version: str
    version: str | None = None
    origin: str | None = None
    state: State | None = None
    problem: str | None = None
    breaker: str | None = None
    title: str | None = None
    notes: tuple[str, ...] = ()
    release: str | None = None
    box: dict[str, str | None] | None = None
    url: str | None = None


class Versions(msgspec.Struct, frozen=True):
    """Versions in the store, and the state after the last change, whose number is `change`.

    `serving` is the status in the replying worker, null where it does not follow the name.
    """

    domain: str
    change: int
    state: State
    versions: list[str]
    serving: DomainStatus | None = None


class ChooseCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer whose decision is `clarify`, as it was received, and the user's next words, or a contender's index.

    `language` is the tag of a language that the service has phrases of.
    """

    answer: Answer
    words: Annotated[str, Meta(max_length=MAX_WORDS)] | int
    language: Annotated[str, Meta(max_length=35)] = "en"


class RemovedSkill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Skill to remove: its own name, and its owner where the call is not for that domain."""

    name: Name
    domain: Name | None = None


class SkillsCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Skills to remove from the catalogue, and skills to add to it, in the place of those of the same owner and name.

    A skill is a line of a catalogue: `name`, `domain`, `description`, `phrases`, `parameters`, `language`, `version`,
    `tags`.
    """

    skills: Annotated[list[dict[str, Any]], Meta(max_length=10_000)] = []
    removed: Annotated[list[RemovedSkill], Meta(max_length=10_000)] = []


class SkillsChanged(msgspec.Struct, frozen=True):
    """Receipt of a change of the catalogue: the number of the last change of its log, and counts.

    `cut` are texts that were longer than is allowed, `unknown` the skills to remove, as `OWNER/NAME`, that were not in
    the catalogue.
    """

    domain: str
    change: int
    added: int
    removed: int
    cut: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Changed(msgspec.Struct, frozen=True):
    """State after a change, and the change's number.

    `audited` is of a promotion: whether an audit set stood behind it; where none did, `remark` says so.
    """

    domain: str
    change: int
    state: State
    audited: bool | msgspec.UnsetType = msgspec.UNSET
    remark: str | msgspec.UnsetType = msgspec.UNSET


class Health(msgspec.Struct, frozen=True):
    """Readiness to answer requests, all current problems, and notes on input that is not as the weights know it.

    `out_of_scope` is the share of such requests that this worker follows, set only where it does. `kinds` are those of
    the problems, in their order, each a heading of the runbook; set only where there are problems.
    """

    ready: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    out_of_scope: ShareStatus | msgspec.UnsetType = msgspec.UNSET
    kinds: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class ContextKey(msgspec.Struct, frozen=True):
    """A key of the context, and the domains that read it; those that the core knows are named even where none does."""

    key: str
    domains: tuple[str, ...]


class Service(msgspec.Struct, frozen=True):
    """A service: its release, its workers, whether it has tokens, a log, a watch and a shadow log, and its context.

    `scopes` are those of the caller's token, empty without one. `words` says what the log does with users' words.
    `context_open` are domains that do not state which keys they read, so may read any.
    """

    version: str
    workers: int
    tokens: bool
    scopes: tuple[str, ...]
    log: bool
    words: str
    watch: bool
    shadow: bool
    context_keys: tuple[ContextKey, ...]
    context_open: tuple[str, ...]


class TryCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request, as for `/v1/rank`, and versions of domains or stages to answer it by, by name.

    With `explain` every reading has its `why`.
    """

    request: dict[str, Any]
    versions: dict[Name, Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]] = {}
    explain: bool = True


class LogRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A logged request in short: its words as the log holds them, its answer, and what was said of it since.

    `probability` is P(right) of the head, `failed` are domains that failed or were late, with the reason. `hypotheses`
    are those that the caller brought, or that stand for an utterance which is not kept. `called` is the skill that the
    `outcome` is of, where the caller chose it itself. `changed` is the time of the last line on it, `time` of its own,
    in seconds since 1970. Account, dialogue, wordings, the `versions` that answered and the `selection`, how the answer
    was drawn, are there where one request is asked for by its id.
    """

    changed: float
    action: Action
    time: float | None = None
    id: str | None = None
    utterance: str | None = None
    utterance_length: int | None = None
    context: Context = {}
    hypotheses: tuple[Hypothesis, ...] | None = None
    session: Any = None
    account: dict[str, Any] | None = None
    dialogue: Any = None
    utterances: tuple[Wording, ...] = ()
    versions: dict[str, str] = {}
    selection: ServedSelection | None = None
    reason: str | None = None
    domain: str | None = None
    intent: str | None = None
    slots: tuple[Slot, ...] = ()
    version: str | None = None
    probability: float | None = None
    failed: dict[str, str] = {}
    canary: tuple[str, ...] = ()
    outcome: str | None = None
    called: str | None = None
    truth: Truth | None = None


class LookAsked(msgspec.Struct, frozen=True):
    """Receipt of a call for a look of the watch: when it last wrote its reports, null before the first."""

    watched: float | None


class LogPage(msgspec.Struct, frozen=True):
    """The latest requests of a log that a call asked for, the latest first; `looked` is how many were looked at.

    `cursor` is to be sent as `after` for what changes from now on; a row may come again then, as lines of several
    writers come out of order. `words` says what the log does with users' words.
    """

    rows: tuple[LogRow, ...]
    looked: int
    cursor: float
    words: str
