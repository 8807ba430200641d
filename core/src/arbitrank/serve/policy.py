"""What an operator wants otherwise than the probabilities would have it; applied to an answer once it is decided.

    [domains.shop]
    accept = 0.8                         # act only where P(right) is at least that, else ask
    [domains.shop.intents.Buy]
    cost = 20                            # to buy wrongly is 20 times as bad as to ask needlessly
    [[blocks]]
    domain = "shop"
    when = { device = "kitchen" }        # this device never buys

The list stays as it is ranked; the decision alone changes, and says why.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings, decide
from arbitrank.errors import InputError
from arbitrank.values import Answer, Confidence, Context, Decision, Name, Ranked, Request

_Value = str | bool | int | float


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it takes to act on a reading; what an intent's rule leaves out its domain's says.

    `least`: below that P(mine) the decision is none. `accept`: below that P(right) the user is asked. `cost`: how many
    times worse it is to act wrongly than to ask needlessly; to act costs (1 − p) · cost, to ask p, so the user is asked
    below P(right) = cost / (1 + cost). `clarify`: the user is asked where another domain's P(mine) is closer than that.
    `ask`: always.
    """

    least: Confidence | None = None
    accept: Confidence | None = None
    cost: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    clarify: Confidence | None = None
    ask: bool | None = None

    def over(self, other: Rule) -> Rule:
        """This rule, and the other's word where this one says nothing."""
        said = {name: getattr(self, name) for name in self.__struct_fields__}
        return replace(other, **{name: value for name, value in said.items() if value is not None})

    @property
    def bar(self) -> float:
        """The P(right) from which on to act."""
        cost = self.cost or 0.0
        return max(self.accept or 0.0, cost / (1.0 + cost))


class DomainRule(Rule, frozen=True, forbid_unknown_fields=True):
    """What it takes to act on a domain's readings, and on those of some of its intents."""

    intents: dict[Name, Rule] = {}


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings in a situation: of a domain, or of some of its intents, where the context has all values of `when`.

    A list in `when` stands for any of its values.
    """

    domain: Name
    intents: tuple[Name, ...] = ()
    when: dict[str, _Value | tuple[_Value, ...]] = {}

    def reading(self, entry: Ranked) -> bool:
        """Whether a reading is meant."""
        return entry.domain == self.domain and (not self.intents or entry.intent in self.intents)

    def situation(self, context: Context) -> bool:
        """Whether a situation is meant."""
        return all(_fits(context.get(key), wanted) for key, wanted in self.when.items())


class Block(Which, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings that are never acted on."""


class Pin(Which, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings that are acted on before all others, where their domain's P(mine) is at least `least`."""

    least: Confidence = 0.5


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The whole policy. `locales` holds the domains that may act in a locale, or in a language; others may all."""

    domains: dict[Name, DomainRule] = {}
    pins: tuple[Pin, ...] = ()
    blocks: tuple[Block, ...] = ()
    locales: dict[str, tuple[Name, ...]] = {}

    def apply(self, request: Request, answer: Answer, decisions: DecisionSettings = DecisionSettings()) -> Answer:
        """The answer with the decision that this policy makes of it, and the reason where that is another one.

        `decisions` are the settings that the answer was decided by.
        """
        decision = self._decided(request, answer, decisions)
        return answer if decision is answer.decision else replace(answer, decision=decision)

    def rule(self, entry: Ranked) -> Rule:
        """What it takes to act on a reading."""
        rule = self.domains.get(entry.domain)
        if rule is None:
            return _NONE
        return rule.intents[entry.intent].over(rule) if entry.intent in rule.intents else rule

    def _decided(self, request: Request, answer: Answer, decisions: DecisionSettings) -> Decision:
        ranked, decision = answer.ranked, answer.decision
        reasons: list[str] = []
        barred = self._barred(request.context, ranked)
        if barred and not barred.keys().isdisjoint(decision.contenders):
            decision = _without(barred, ranked, decisions)
            reasons.append(barred[min(barred)])
        pin = self._pinned(request.context, ranked, barred)
        if pin is not None and (decision.action, decision.contenders) != ("accept", (pin,)):
            decision = Decision("accept", (pin,))
            reasons.append(f"{ranked[pin].domain} is pinned")
        if decision.action == "accept":
            stricter, reason = self._stricter(ranked, decision.contenders[0], barred)
            if stricter is not None:
                decision = stricter
                reasons.append(reason)
        return Decision(decision.action, decision.contenders, "; ".join(reasons)) if reasons else decision

    def _barred(self, context: Context, ranked: tuple[Ranked, ...]) -> dict[int, str]:
        """The places of the readings that may not be acted on, and why."""
        blocks = [block for block in self.blocks if block.situation(context)]
        allowed = self._allowed(context.get("locale")) if self._languages else None
        barred = {}
        for i, entry in enumerate(ranked):
            if allowed is not None and entry.domain not in allowed:
                barred[i] = f"{entry.domain} is not allowed in {context['locale']}"
            elif any(block.reading(entry) for block in blocks):
                barred[i] = f"{entry.domain} {entry.intent} is blocked here"
        return barred

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
            if pin.situation(context):
                for i, entry in enumerate(ranked):
                    if i not in barred and pin.reading(entry) and entry.domain_probability >= pin.least:
                        return i
        return None

    def _stricter(
        self, ranked: tuple[Ranked, ...], head: int, barred: Mapping[int, str]
    ) -> tuple[Decision | None, str]:
        """What is decided in the place of acting on a reading, and why; None where to act is right."""
        entry = ranked[head]
        rule, name = self.rule(entry), f"{entry.domain} {entry.intent}"
        if rule.least is not None and entry.domain_probability < rule.least:
            return Decision("none"), f"P(mine) of {entry.domain} is below {rule.least:g}"
        if rule.clarify is not None:
            close = tuple(_close(ranked, head, rule.clarify, barred))
            if close:
                return Decision("clarify", (head, *close)), f"{name} asks where P(mine) is closer than {rule.clarify:g}"
        if entry.probability < rule.bar:
            return Decision("clarify", (head,)), f"{name} needs P(right) of {rule.bar:.4g}"
        if rule.ask:
            return Decision("clarify", (head,)), f"{name} always asks"
        return None, ""


_NONE = Rule()


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file. Raises `InputError` that names the key, and what was promised of it."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Policy)
    except OSError as error:
        raise InputError(f"policy {path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML's and msgspec's errors are among these
        raise InputError(f"policy {path}: {' '.join(str(error).split())}") from error


def _fits(value: Any, wanted: _Value | tuple[_Value, ...]) -> bool:
    if isinstance(wanted, tuple):
        return any(_fits(value, one) for one in wanted)
    return (type(value) is type(wanted) and value == wanted) or (_number(value) and _number(wanted) and value == wanted)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _locale(name: str) -> str:
    return name.lower().replace("_", "-")


def _without(barred: Mapping[int, str], ranked: tuple[Ranked, ...], decisions: DecisionSettings) -> Decision:
    """What is decided of the others, by what they claim: where it is a barred domain's request, nobody's."""
    places = [i for i in range(len(ranked)) if i not in barred]
    decision = decide([ranked[i] for i in places], decisions)
    return Decision(decision.action, tuple(places[i] for i in decision.contenders))


def _close(ranked: tuple[Ranked, ...], head: int, margin: float, barred: Mapping[int, str]) -> Iterator[int]:
    """The best readings of the other domains whose P(mine) is close to the head's, or above it."""
    seen = {ranked[head].domain}
    for i, entry in enumerate(ranked):
        if i in barred or entry.domain in seen:
            continue
        seen.add(entry.domain)
        if ranked[head].domain_probability - entry.domain_probability < margin:
            yield i
