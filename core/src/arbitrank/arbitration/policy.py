"""Policy of the operator: rules that override an answer's decision, after it was made from the probabilities.

    [domains.shop]
    accept = 0.8                         # act only where P(right) is at least that, else clarify
    [domains.shop.intents.Buy]
    cost = 20                            # a wrong purchase costs 20 times as much as a needless question
    [[blocks]]
    domain = "shop"
    when = { device = "kitchen" }        # this device never buys

The ranking stays as it is; only the decision changes, and holds the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import asdict, replace

from arbitrank.arbitration.claims import Groups, without_agreeing
from arbitrank.arbitration.decide import DecisionSettings, decide
from arbitrank.arbitration.fallback import FALLBACK
from arbitrank.values import Action, Answer, Confidence, Context, Decision, Hypothesis, Name, Ranked, Request

Reading = Hypothesis | Ranked
_Value = str | bool | int | float


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions for acting on a reading; an intent's rule inherits from its domain's what it leaves out.

    `least`: below that P(mine) the decision is none. `accept`: below that P(right) it is clarify. `cost`: of a wrong
    action, in needless questions: acting costs (1 − p) · cost and asking p, so the decision is clarify below P(right) =
    cost / (1 + cost). `clarify`: the decision is clarify where another domain's P(mine) is closer than that. `ask`: it
    always is.
    """

    least: Confidence | None = None
    accept: Confidence | None = None
    cost: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    clarify: Confidence | None = None
    ask: bool | None = None

    def over(self, other: Rule) -> Rule:
        """The rule, with the other's values where it has none."""
        return replace(other, **{name: value for name, value in asdict(self).items() if value is not None})

    @property
    def bar(self) -> float:
        """The least P(right) to act on."""
        cost = self.cost or 0.0
        return max(self.accept or 0.0, cost / (1.0 + cost))


class DomainRule(Rule, frozen=True, forbid_unknown_fields=True):
    """Conditions for acting on a domain's readings, and on those of some of its intents."""

    intents: dict[Name, Rule] = {}


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings of a domain or of some of its intents, in contexts that have all values of `when`.

    A list in `when` stands for any of its values.
    """

    domain: Name
    intents: tuple[Name, ...] = ()
    when: dict[str, _Value | tuple[_Value, ...]] = {}

    def matches(self, entry: Reading) -> bool:
        """True for a selected reading."""
        return entry.domain == self.domain and (not self.intents or entry.intent in self.intents)

    def applies(self, context: Context) -> bool:
        """True in a selected context."""
        return all(_equals(context.get(key), expected) for key, expected in self.when.items())


class Pin(Selector, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings that are acted on before all others, where their domain's P(mine) is at least `least`."""

    least: Confidence = 0.5


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """All rules. Readings of `blocks` are never acted on.

    `locales`: the only domains that may act in a locale, or in a language; other locales allow all.
    """

    domains: dict[Name, DomainRule] = {}
    pins: tuple[Pin, ...] = ()
    blocks: tuple[Selector, ...] = ()
    locales: dict[str, tuple[Name, ...]] = {}

    def apply(self, request: Request, answer: Answer, decisions: DecisionSettings = DecisionSettings()) -> Answer:
        """The answer with the decision by this policy, and its reason where it differs.

        `decisions` are the settings that the answer was decided by.
        """
        ranked, decision = answer.ranked, answer.decision
        reasons: list[str] = []
        barred = self.barred(request.context, ranked)
        exclusive = decisions.exclusive or "hyprank" in answer.ms
        if not barred.keys().isdisjoint(decision.contenders):
            fallback = decision.reason == FALLBACK
            decision = Decision("none") if fallback else _without(barred, ranked, decisions, exclusive, request.context)
            reasons.append(barred[min(barred)])
        pin = self._pinned(request.context, ranked, barred)
        if pin is not None and (decision.action, decision.contenders) != ("accept", (pin,)):
            decision = Decision("accept", (pin,))
            reasons.append(f"{ranked[pin].domain} is pinned")
        if decision.action == "accept":
            stricter = self._stricter(ranked, decision.contenders[0], barred, decisions.groups)
            if stricter is not None:
                decision = stricter
                reasons.append(str(stricter.reason))
        if not reasons:
            return answer
        return replace(answer, decision=Decision(decision.action, decision.contenders, "; ".join(reasons)))

    @cached_property
    def digest(self) -> str:
        """A digest of the rules, by which a log says which policy decided."""
        content = msgspec.json.encode(self, order="deterministic")
        return hashlib.blake2b(content, digest_size=6).hexdigest()

    def may_decide(
        self, context: Context, readings: Iterable[Reading], head: Reading | None, action: Action, right: float
    ) -> bool:
        """True where a rule might decide otherwise than for an action on the head of a list, of P(right) `right`.

        `readings` are those of the list, whose P(mine) and order need not be known: a rule that depends on these might.
        """
        for pin in self.pins:
            pinned = action == "accept" and head is not None and pin.matches(head)
            if not pinned and pin.applies(context) and any(map(pin.matches, readings)):
                return True
        if action == "none" or head is None:
            return False
        allowed = self._allowed(context.get("locale"))
        for one in (head,) if action == "accept" else readings:
            if allowed is not None and one.domain not in allowed:
                return True
            if any(block.matches(one) and block.applies(context) for block in self.blocks):
                return True
        rule = self.rule(head)
        unknown = rule.least is not None or rule.clarify is not None
        return action == "accept" and (unknown or bool(rule.ask) or right < rule.bar)

    @property
    def decides(self) -> bool:
        """True where any rule might make a decision."""
        return bool(self.pins or self.blocks or self.locales or self.domains)

    def free(self, context: Context, answer: Answer, place: int) -> bool:
        """True for a reading that no rule asks about, blocks or gives a cost: exploration may act on it."""
        barred = self.barred(context, answer.ranked)
        rule = self.rule(answer.ranked[place])
        if place in barred or rule.cost or rule.ask or self._pinned(context, answer.ranked, barred) is not None:
            return False
        return self._stricter(answer.ranked, place, barred, ()) is None

    def rule(self, entry: Reading) -> Rule:
        """The conditions for acting on a reading."""
        rule = self.domains.get(entry.domain, _NO_RULE)
        own = rule.intents.get(entry.intent)
        return own.over(rule) if own else rule

    def barred(self, context: Context, ranked: tuple[Ranked, ...]) -> dict[int, str]:
        """Indices of the readings that may not be acted on, with the reasons."""
        blocks = [block for block in self.blocks if block.applies(context)]
        allowed = self._allowed(context.get("locale"))
        barred = {}
        for i, entry in enumerate(ranked):
            if allowed is not None and entry.domain not in allowed:
                barred[i] = f"{entry.domain} is not allowed in {context['locale']}"
            elif any(block.matches(entry) for block in blocks):
                barred[i] = f"{entry.domain} {entry.intent} is blocked here"
        return barred

    @property
    def context_keys(self) -> frozenset[str]:
        """The context keys that a rule depends on."""
        return frozenset(key for selector in (*self.pins, *self.blocks) for key in selector.when)

    @cached_property
    def _languages(self) -> Mapping[str, frozenset[str]]:
        return {_locale(name): frozenset(domains) for name, domains in self.locales.items()}

    def _allowed(self, locale: Any) -> frozenset[str] | None:
        if not isinstance(locale, str):
            return None
        name = _locale(locale)
        return self._languages.get(name, self._languages.get(name.partition("-")[0]))

    def _pinned(self, context: Context, ranked: tuple[Ranked, ...], barred: Mapping[int, str]) -> int | None:
        for pin in self.pins:
            if pin.applies(context):
                for i, entry in enumerate(ranked):
                    if i in barred or entry.score is None or not pin.matches(entry):
                        continue
                    if (entry.domain_probability or 0.0) >= pin.least:
                        return i
        return None

    def _stricter(
        self, ranked: tuple[Ranked, ...], head: int, barred: Mapping[int, str], groups: Groups
    ) -> Decision | None:
        """The decision instead of acting on a reading, with the reason; None where acting on it is allowed.

        Probabilities that a fallback's reading lacks count as 0.
        """
        entry = ranked[head]
        rule, name = self.rule(entry), f"{entry.domain} {entry.intent}"
        if rule.least is not None and (entry.domain_probability or 0.0) < rule.least:
            return Decision("none", (), f"P(mine) of {entry.domain} is below {rule.least:g}")
        if rule.clarify is not None:
            close = without_agreeing(ranked, (head, *_close(ranked, head, rule.clarify, barred)), groups)
            if len(close) > 1:
                reason = f"{name} asks where P(mine) is closer than {rule.clarify:g}"
                return Decision("clarify", tuple(close), reason)
        if (entry.probability or 0.0) < rule.bar:
            return Decision("clarify", (head,), f"{name} needs P(right) of {rule.bar:.4g}")
        if rule.ask:
            return Decision("clarify", (head,), f"{name} always asks")
        return None


_NO_RULE = DomainRule()


def _equals(value: Any, expected: _Value | tuple[_Value, ...]) -> bool:
    """Equality of JSON values, in which true is not 1; a tuple stands for any of its values."""
    if isinstance(expected, tuple):
        return any(_equals(value, one) for one in expected)
    return isinstance(value, bool) == isinstance(expected, bool) and bool(value == expected)


def _locale(name: str) -> str:
    return name.lower().replace("_", "-")


def _without(
    barred: Mapping[int, str],
    ranked: tuple[Ranked, ...],
    decisions: DecisionSettings,
    exclusive: bool,
    context: Context,
) -> Decision:
    """The decision on the other readings by their own probabilities: none where the request is a barred domain's."""
    places = [i for i, entry in enumerate(ranked) if i not in barred and entry.score is not None]
    decision = decide([ranked[i] for i in places], decisions, exclusive=exclusive, context=context)
    return Decision(decision.action, tuple(places[i] for i in decision.contenders))


def _close(ranked: tuple[Ranked, ...], head: int, margin: float, barred: Mapping[int, str]) -> Iterator[int]:
    """Indices of the other domains' best readings whose P(mine) is close to the head's, or above it."""
    seen, mine = {ranked[head].domain}, ranked[head].domain_probability
    for i, entry in enumerate(ranked):
        other = entry.domain_probability
        if i in barred or entry.domain in seen or entry.score is None or mine is None or other is None:
            continue
        seen.add(entry.domain)
        if mine - other < margin:
            yield i
