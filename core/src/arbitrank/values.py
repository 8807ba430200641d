"""Values of a request's life, from the caller's words to the ranked answer. All are frozen.

They are msgspec structs, decoded from JSON, handed to plugins and encoded into answers. Decoding checks types; building
one in Python checks nothing, so the core checks what plugins return (`arbitrank.arbitration.checks`).
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import force_setattr, replace

from arbitrank.normal_text import visible_length
from arbitrank.selections import AnswerRisk as AnswerRisk  # noqa: PLC0414 — likewise
from arbitrank.selections import Candidate as Candidate  # noqa: PLC0414 — plugins and the toolkit read it here
from arbitrank.selections import ServedSelection
from arbitrank.selections import Shortlist as Shortlist  # noqa: PLC0414 — likewise

Confidence = Annotated[float, Meta(ge=0.0, le=1.0)]
"""A model's probability, in [0, 1]; not comparable between models until it is calibrated."""

Score = Any
"""A confidence as its domain gives it, on the domain's scale (`arbitrank.scales`); re-rankers see a `Confidence`."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
"""The name of a domain, intent, slot or skill: 1 to 200 characters."""

Offset = Annotated[int, Meta(ge=0, le=1 << 31)]  # in a text, in characters

Context = dict[str, Any]
"""The situation of a request: `device`, `has_screen`, `locale`, `previous_domain`, `previous_intent`,
`preference.DOMAIN` and `preference.DOMAIN.INTENT` in [0, 1]; any further key belongs to the domains that read it."""

Action = Literal["accept", "clarify", "none"]
Status = Literal["answered", "failed", "late", "skipped", "unserved"]
_ABSENT: Any = UNSET


class Slot(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One named value in an utterance; `start` and `end`, where given, count characters of the utterance.

    `value` holds the words, `resolved` any JSON that the domain made of them: a date, an entity's id.
    """

    name: Name
    value: str
    confidence: Score | None = None
    start: Offset | None = None
    end: Offset | None = None
    resolved: Any = None


class Hypothesis(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One domain's reading of an utterance, with the domain's own confidence in each part of it.

    Every confidence may be missing. `slots_confidence` is the probability of the whole slot reading, readings without
    slots included; `reading_confidence` is that or its substitute. `features` are numbers that the domain's recogniser
    adds (1 where a title is in its catalogue, say) and its re-ranker weighs.
    """

    domain: Name
    intent: Name
    domain_confidence: Score | None = None
    intent_confidence: Score | None = None
    slots: tuple[Slot, ...] = ()
    slots_confidence: Score | None = None
    skill: str | None = None
    features: dict[str, float] = {}

    @property
    def reading_confidence(self) -> float | None:
        """The probability of the whole slot reading: `slots_confidence`, else the product of the slots' confidences.

        None where one of those is missing or there are no slots.
        """
        if self.slots_confidence is not None or not self.slots:
            return self.slots_confidence
        stated: list[Any] = [slot.confidence for slot in self.slots]
        return None if None in stated else prod(stated)


class Wording(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One of several wordings of an utterance that a speech recogniser returned, with its confidence, in [0, 1]."""

    text: str
    confidence: Confidence | None = None


class Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An utterance with its context and, where the caller brings them, its hypotheses.

    `hypotheses` is None where the domains are to recognise the utterance themselves, and empty where no domain has a
    reading. A plugin is given a request that holds its own hypotheses alone. `utterance_length`, in characters, stands
    for an utterance that must not be shown: its length is a feature of re-rankers. `utterances` are the wordings that a
    speech recogniser returned, best first. `refused` names the domains whose hypotheses could not be read, each with
    its reason; they fail in the answer.
    """

    id: str | None = None
    utterance: str | None = None
    context: Context = {}
    hypotheses: tuple[Hypothesis, ...] | None = None
    session: str | dict[str, Any] | None = None
    account: dict[str, Any] | None = None
    dialogue: str | dict[str, Any] | None = None
    utterance_length: Annotated[int, Meta(ge=0, le=1 << 31)] | None = None
    utterances: tuple[Wording, ...] = ()
    refused: dict[str, str] = {}

    @property
    def length(self) -> int | None:
        """The number of visible characters of the utterance, None where it is unknown."""
        return self.utterance_length if self.utterance is None else visible_length(self.utterance)


class Truth(Struct, frozen=True, omit_defaults=True):
    """The correct reading of a request; `domain` is None where it is out of scope.

    `domains`, where not None, are all the domains whose reading with this intent and these slots is right, `domain`
    being the first; None among them says that declaring the request out of scope is right too. One domain is kept in
    `domain` alone; an empty `domains` is of a request in scope that no domain can serve. `also` holds the further
    truths of an utterance with several intents, any of which is right. Raises `ValueError` without `domain` and
    `domains`.
    """

    domain: str | None = _ABSENT
    intent: str | None = None
    slots: tuple[Slot, ...] = ()
    domains: tuple[str | None, ...] | None = None
    also: tuple[Truth, ...] = ()

    def __post_init__(self) -> None:
        if self.domains is not None:
            given = self.domains if self.domain is None or self.domain is _ABSENT else (self.domain, *self.domains)
            names = sorted(dict.fromkeys(given), key=lambda name: name is None)  # None comes last
            several = len(names) > 1 or (not names and self.intent is not None)
            force_setattr(self, "domain", names[0] if names else None)
            force_setattr(self, "domains", tuple(names) if several else None)
        elif self.domain is _ABSENT:
            raise ValueError("Object missing required field `domain`")
        if any(one.also for one in self.also):
            force_setattr(self, "also", tuple(flat for one in self.also for flat in one.each))

    @property
    def each(self) -> tuple[Truth, ...]:
        """This truth and those of `also`, each without any `also`."""
        return (replace(self, also=()), *self.also) if self.also else (self,)

    @property
    def out_of_scope(self) -> bool:
        """True where declaring the request out of scope is right."""
        return any(None in (one.domains or (one.domain,)) and one.domains != () for one in (self, *self.also))

    @property
    def owners(self) -> tuple[str, ...]:
        """The names of the domains that may serve the request, each once; empty where none should or can."""
        named = (one.domains or (one.domain,) for one in (self, *self.also))
        return tuple(dict.fromkeys(name for names in named for name in names if name is not None))

    def owned_by(self, domain: str) -> bool:
        """True where a reading of this domain can be right."""
        if self.domains is None and not self.also:
            return self.domain == domain
        return domain in self.owners

    def seen_by(self, domain: str) -> Truth:
        """The truth as this domain learns from it: where it can be right, with `domain` as the only one."""
        if self.domains is None and not self.also:
            return self
        own = [replace(one, domain=domain, domains=None, also=()) for one in self.each if one.owned_by(domain)]
        return replace(own[0], also=tuple(own[1:])) if own else self


class Example(Struct, frozen=True):
    """A labelled request: domains are trained and evaluated on them.

    From a corpus it has no hypotheses; from a hypotheses file or a log it has. `extra` keeps the line's unknown keys.
    """

    request: Request
    truth: Truth
    extra: dict[str, Any] = {}

    @property
    def weight(self) -> float:
        """The number of requests that the example stands for: the line's `weight`, 1 where it has none."""
        weight = self.extra.get("weight", 1.0)
        return float(weight) if isinstance(weight, int | float) and not isinstance(weight, bool) else 1.0

    def seen_by(self, domain: str) -> Example:
        """The example as a domain learns from it, with `Truth.seen_by`."""
        truth = self.truth.seen_by(domain)
        return self if truth is self.truth else replace(self, truth=truth)


class Ranked(Struct, frozen=True, omit_defaults=True, gc=False):
    """A hypothesis in the merged list, which `score` = `domain_probability` · `probability` orders.

    `domain_probability` is P(this request is the domain's), `probability` P(this reading is entirely right), the
    calibrated figure to show and to threshold. `why` holds a base and each feature group's contribution, the sum being
    its log-odds, `details` the strongest features' shares as `GROUP.WORDS`. Each is None where a fallback has none.
    """

    domain: str
    intent: str
    slots: tuple[Slot, ...] = field(default=())
    score: float | None = 0.0
    domain_probability: float | None = 0.0
    probability: float | None = 0.0
    version: str | None = None
    skill: str | None = None
    why: dict[str, float] | None = None
    details: dict[str, float] | None = None

    def __repr__(self) -> str:
        slots = "".join(f" {slot.name}={slot.value}" for slot in self.slots)
        return f"<{self.domain} {self.intent}{slots}{'' if self.probability is None else f' {self.probability:.3f}'}>"


class Decision(Struct, frozen=True):
    """The action on the ranked list; `contenders` are indices into it, of the readings that the action is about.

    `reason`: `fallback` where that acts, why it does not, or the operator's rule; unset where probabilities decided.
    """

    action: Action
    contenders: tuple[int, ...] = ()
    reason: str | UnsetType = UNSET


class DomainReport(Struct, frozen=True, gc=False):
    """One domain's status for a request, with the version that was queried, its milliseconds, and the reason.

    `shrunk` is the temperature, where not 1, that divided its log-odds, `shift` was then added. Set where there are
    any: `scales`, by field, of mapped scores, titles of the domain and an intent, `release` of code of its own.
    """

    status: Status
    version: str | None = None
    ms: float = 0.0
    reason: str | None = None
    shrunk: float | None = None
    scales: dict[str, str] | UnsetType = UNSET
    title: str | UnsetType = UNSET
    intent_titles: dict[str, str] | UnsetType = UNSET
    shift: float | UnsetType = UNSET
    release: str | UnsetType = UNSET


class Answer(Struct, frozen=True):
    """The result of a request: the decision, the ranked list, the status of each domain, each stage's milliseconds.

    `shortlist` is set only where one chose the domains; `domains` then holds those on it and those always queried.
    `settings` is the version of the decision settings, set only where the store has stable ones, `out_of_scope_share`
    the share of such requests that they assume now, set only where a service follows it; `risk` the bound on wrong
    answers that their thresholds keep, set only where one was certified for what answers now. `selection` is set only
    in a log: how the answer was drawn.
    """

    id: str | None
    decision: Decision
    ranked: tuple[Ranked, ...]
    domains: dict[str, DomainReport]
    ms: dict[str, float]
    shortlist: Shortlist | UnsetType = UNSET
    settings: str | UnsetType = UNSET
    out_of_scope_share: float | UnsetType = UNSET
    risk: AnswerRisk | UnsetType = UNSET
    selection: ServedSelection | UnsetType = UNSET

    def __repr__(self) -> str:
        best = self.best or "no reading"
        return f"Answer({self.decision.action}, {best}, {len(self.ranked)} readings, {len(self.domains)} domains)"

    @property
    def best(self) -> Ranked | None:
        """The head of the ranked list, None where it is empty; it is `decision` that says whether to act on it."""
        return self.ranked[0] if self.ranked else None

    @property
    def chosen(self) -> Ranked | None:
        """The first reading that the decision is about, the one to act on for `accept`; None for `none`."""
        return self.ranked[self.decision.contenders[0]] if self.decision.contenders else None
