"""The values a request is made of, from the caller's words to the ranked answer. All are frozen.

They are msgspec structs: the same classes are decoded from JSON, handed to plugins and encoded into answers.
Decoding checks types and ranges; building one in Python checks nothing, so the core checks what plugins return
(`arbitrank.arbitration.dispatch`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Confidence = Annotated[float, Meta(ge=0.0, le=1.0)]
"""A probability as some model claims it, in [0, 1]; not comparable between models until it is calibrated."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
"""The name of a domain, intent, slot or skill: 1 to 200 characters."""

Place = Annotated[int, Meta(ge=0, le=1 << 31)]
"""A place in a text, in characters."""

Context = dict[str, Any]
"""What is known of the situation: `device`, `has_screen`, `locale`, `previous_domain`, `previous_intent`,
`preference.DOMAIN` and `preference.DOMAIN.INTENT` in [0, 1]; any further key belongs to the domains that read it."""

Action = Literal["accept", "clarify", "none"]
Status = Literal["answered", "failed", "late", "skipped", "unserved"]


class Slot(Struct, frozen=True, omit_defaults=True, gc=False):
    """One named value in an utterance; `start` and `end`, where given, count characters of the utterance."""

    name: Name
    value: str
    confidence: Confidence | None = None
    start: Place | None = None
    end: Place | None = None


class Hypothesis(Struct, frozen=True, omit_defaults=True, gc=False):
    """One domain's reading of an utterance, with the domain's own confidence in each part of it.

    Every confidence may be missing. `slots_confidence` is the probability of the whole slot reading, readings
    without slots included; `reading_confidence` gives it, or what stands for it. `features` are numbers that the
    domain's recogniser adds (a title found in its catalogue, say) and its re-ranker weighs.
    """

    domain: Name
    intent: Name
    domain_confidence: Confidence | None = None
    intent_confidence: Confidence | None = None
    slots: tuple[Slot, ...] = ()
    slots_confidence: Confidence | None = None
    skill: str | None = None
    features: dict[str, float] = {}

    @property
    def reading_confidence(self) -> float | None:
        """The confidence in the whole slot reading, or None where it is missing.

        Absent `slots_confidence`, it is the product of the slots' confidences; missing where one of those is
        missing or there are no slots.
        """
        if self.slots_confidence is not None or not self.slots:
            return self.slots_confidence
        product = 1.0
        for slot in self.slots:
            if slot.confidence is None:
                return None
            product *= slot.confidence
        return product


class Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody asked, where and when; with hypotheses, if the caller brings them.

    `hypotheses` is None when the domains are to recognise the utterance themselves, and empty when nobody has a
    reading. A plugin is handed a request that holds its own hypotheses alone. `utterance_length`, in characters, may
    stand in the place of an utterance that is not to be shown: re-rankers look at how long it is.
    """

    id: str | None = None
    utterance: str | None = None
    context: Context = {}
    hypotheses: tuple[Hypothesis, ...] | None = None
    session: str | dict[str, Any] | None = None
    account: dict[str, Any] | None = None
    dialogue: str | dict[str, Any] | None = None
    utterance_length: Annotated[int, Meta(ge=0, le=1 << 31)] | None = None

    @property
    def length(self) -> int | None:
        """The characters of the utterance, None where that is not known."""
        return self.utterance_length if self.utterance is None else len(self.utterance)


class Truth(Struct, frozen=True, omit_defaults=True):
    """What the request really meant; `domain` None says that it is out of scope for everybody."""

    domain: str | None
    intent: str | None = None
    slots: tuple[Slot, ...] = ()


class Example(Struct, frozen=True):
    """A request with its truth: what domains learn from and are measured on.

    From a corpus it has an utterance and no hypotheses; from a hypotheses file or a log it has both. `extra` keeps
    the keys of the line that the format does not know.
    """

    request: Request
    truth: Truth
    extra: dict[str, Any] = {}

    @property
    def weight(self) -> float:
        """How many requests the example stands for, by the line's `weight`; 1 where it says nothing."""
        weight = self.extra.get("weight", 1.0)
        return float(weight) if isinstance(weight, int | float) and not isinstance(weight, bool) else 1.0


class Ranked(Struct, frozen=True, omit_defaults=True, gc=False):
    """A hypothesis in its place in the merged list.

    `score` = `domain_probability` · `probability` orders the list; `domain_probability` is P(this request is the
    domain's), `probability` is P(this reading is entirely right), the calibrated figure to show and to threshold.
    `why` holds what each group of features added to the log of the score, in nats.
    """

    domain: str
    intent: str
    slots: tuple[Slot, ...] = field(default=())
    score: float = 0.0
    domain_probability: float = 0.0
    probability: float = 0.0
    version: str | None = None
    skill: str | None = None
    why: dict[str, float] | None = None


class Decision(Struct, frozen=True):
    """What to do with the ranked list; `contenders` are the indices into it that the action speaks of.

    `reason` is there only where the operator's policy made it another decision than the probabilities would.
    """

    action: Action
    contenders: tuple[int, ...] = ()
    reason: str | UnsetType = UNSET


class DomainReport(Struct, frozen=True, gc=False):
    """How one domain fared with a request: its status, the version that spoke, its milliseconds, what went wrong.

    `shrunk`, where it is not None, is the temperature by which the operator has the log-odds of its claims divided.
    """

    status: Status
    version: str | None = None
    ms: float = 0.0
    reason: str | None = None
    shrunk: float | None = None


class Candidate(Struct, frozen=True, gc=False):
    """One skill of a shortlist; `score` is the calibrated probability, in [0, 1], that it is acceptable."""

    skill: str
    domain: str
    score: float


class Shortlist(Struct, frozen=True):
    """The skills whose domains were asked, best first, and the version of the shortlister that chose them.

    `miss` says that no skill came into question, so that only the domains that are always asked were. `skipped` counts
    the domains that serve and weren't asked; an answer doesn't name them.
    """

    candidates: tuple[Candidate, ...]
    miss: bool
    skipped: int
    version: str | None = None


class Answer(Struct, frozen=True):
    """All that came of a request: the list, the decision, and who spoke, failed or was not served.

    `shortlist` is there only where one chose the domains; `domains` then holds those alone that it speaks of.
    """

    id: str | None
    decision: Decision
    ranked: tuple[Ranked, ...]
    domains: dict[str, DomainReport]
    ms: dict[str, float]
    shortlist: Shortlist | UnsetType = UNSET
