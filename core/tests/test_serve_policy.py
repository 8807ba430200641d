"""The policy overrides decisions and gives reasons; the ranking stays as it is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.decide import decide
from arbitrank.arbitration.policy import Policy
from arbitrank.errors import InputError
from arbitrank.serve.policy import read_policy
from arbitrank.values import Answer, Decision, Ranked, Request


def policy(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return read_policy(path)


def entry(domain: str, intent: str, mine: float, right: float) -> Ranked:
    return Ranked(domain, intent, score=mine * right, domain_probability=mine, probability=right)


def answer(*ranked: Ranked) -> Answer:
    ordered = tuple(sorted(ranked, key=lambda one: -one.score))
    return Answer("1", decide(ordered), ordered, {}, {})


SONG = entry("music", "PlayMusic", 0.9, 0.7)
PURCHASE = entry("shop", "Buy", 0.9, 0.85)
BOOK = entry("books", "ReadBook", 0.3, 0.2)


def applied(text: str, tmp_path: Path, given: Answer, **context: object) -> Decision:
    return policy(tmp_path, text).apply(Request(context=context), given).decision


@pytest.mark.parametrize(
    ("text", "given", "context", "action", "contenders", "reason"),
    [
        ("", answer(SONG, BOOK), {}, "accept", (0,), None),
        # thresholds of a domain, and of one of its intents
        ("[domains.music]\naccept = 0.8", answer(SONG), {}, "clarify", (0,), "music PlayMusic needs P(right) of 0.8"),
        ("[domains.music]\naccept = 0.7", answer(SONG), {}, "accept", (0,), None),
        ("[domains.music]\naccept = 0.8\nintents.PlayMusic.accept = 0.5", answer(SONG), {}, "accept", (0,), None),
        ("[domains.music]\nleast = 0.95", answer(SONG), {}, "none", (), "P(mine) of music is below 0.95"),
        ("[domains.music]\nclarify = 0.7", answer(SONG, BOOK), {}, "clarify", (0, 1), "music PlayMusic asks where"),
        # the cost of a wrong action: 20 / 21 = 0.952, 5 / 6 = 0.833
        ("[domains.shop.intents.Buy]\ncost = 20", answer(PURCHASE), {}, "clarify", (0,), "needs P(right) of 0.9524"),
        ("[domains.shop.intents.Buy]\ncost = 5", answer(PURCHASE), {}, "accept", (0,), None),
        ("[domains.shop]\nask = true", answer(PURCHASE), {}, "clarify", (0,), "shop Buy always asks"),
        ("[domains.shop]\nask = true\nintents.Buy.ask = false", answer(PURCHASE), {}, "accept", (0,), None),
        # blocks: a request that belongs to a barred domain becomes none
        ('[[blocks]]\ndomain = "shop"\nwhen = {device = "toy"}', answer(PURCHASE, BOOK), {"device": "toy"}, "none", (),
         "shop Buy is blocked here"),
        ('[[blocks]]\ndomain = "shop"\nwhen = {device = ["tv", "toy"]}', answer(PURCHASE), {"device": "tv"}, "none", (),
         "blocked"),
        ('[[blocks]]\ndomain = "shop"\nwhen = {device = "toy"}', answer(PURCHASE), {"device": 1}, "accept", (0,), None),
        ('[[blocks]]\ndomain = "shop"\nintents = ["Return"]', answer(PURCHASE), {}, "accept", (0,), None),
        ('[[blocks]]\ndomain = "shop"\nwhen = {has_screen = false}', answer(PURCHASE), {"has_screen": 0}, "accept",
         (0,), None),
        ('[[blocks]]\ndomain = "music"', answer(SONG, PURCHASE), {}, "accept", (0,), "music PlayMusic is blocked"),
        ('[[blocks]]\ndomain = "shop"', answer(SONG, PURCHASE), {}, "accept", (1,), "blocked"),
        # locales
        ('[locales]\nde = ["music"]', answer(PURCHASE, BOOK), {"locale": "de-AT"}, "none", (), "not allowed in de-AT"),
        ('[locales]\nde = ["music"]\nde-at = ["shop"]', answer(PURCHASE), {"locale": "de_AT"}, "accept", (0,), None),
        ('[locales]\nde = ["music"]', answer(PURCHASE), {"locale": "en-GB"}, "accept", (0,), None),
        ('[locales]\nde = ["music"]', answer(PURCHASE), {"locale": 7}, "accept", (0,), None),
        # pins
        ('[[pins]]\ndomain = "books"\nleast = 0.2', answer(SONG, BOOK), {}, "accept", (1,), "books is pinned"),
        ('[[pins]]\ndomain = "books"', answer(SONG, BOOK), {}, "accept", (0,), None),
        ('[[pins]]\ndomain = "music"', answer(SONG, PURCHASE), {}, "accept", (1,), "music is pinned"),
        ('[[pins]]\ndomain = "music"\n[domains.music]\nask = true', answer(SONG), {}, "clarify", (0,), "always asks"),
    ],
)  # fmt: skip
def test_the_policy_overrides_a_decision(
    text: str, given: Answer, context: dict, action: str, contenders: tuple, reason: str | None, tmp_path: Path
) -> None:
    decision = applied(text, tmp_path, given, **context)
    assert (decision.action, decision.contenders) == (action, contenders)
    if reason is None:
        assert decision is given.decision
    else:
        assert reason in decision.reason  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[domains.music]\naccept = 1.4", "accept"),
        ("[domains.music]\naccept = nan", "accept"),
        ("[domains.music]\ncost = inf", "cost"),
        ("[domains.music]\ncost = -1", "cost"),
        ("[domains.music]\nacept = 0.4", "acept"),
        ("[[blocks]]\nwhen = {device = 'tv'}", "domain"),
        ("pins = 3", "pins"),
        ("= =", "line 1"),
    ],
)
def test_an_invalid_policy_is_refused_by_its_key(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=error) as raised:
        policy(tmp_path, text)
    assert "policy.toml" in str(raised.value)


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")


shares = st.floats(0, 1)
entries = st.builds(entry, st.sampled_from(["music", "shop", "books"]), st.sampled_from(["A", "B"]), shares, shares)
rules = st.fixed_dictionaries(
    {},
    optional={"least": shares, "accept": shares, "cost": st.floats(0, 100), "clarify": shares, "ask": st.booleans()},
)
which = st.fixed_dictionaries(
    {"domain": st.sampled_from(["music", "shop"])},
    optional={"intents": st.just(["A"]), "when": st.just({"device": "tv"})},
)
policies = st.fixed_dictionaries(
    {},
    optional={
        "domains": st.dictionaries(st.sampled_from(["music", "shop"]), rules),
        "pins": st.lists(which, max_size=2),
        "blocks": st.lists(which, max_size=2),
        "locales": st.just({"de": ["books"]}),
    },
)


@given(
    policies,
    st.lists(entries, max_size=6),
    st.fixed_dictionaries({}, optional={"device": st.just("tv"), "locale": st.just("de")}),
)
def test_contenders_are_readings_that_may_be_acted_on_under_any_policy(
    spec: dict, ranked: list[Ranked], context: dict
) -> None:
    made, before = msgspec.convert(spec, Policy), answer(*ranked)
    after = made.apply(Request(context=context), before)
    assert after.ranked == before.ranked
    barred = made.barred(context, before.ranked)
    decision = after.decision
    assert not set(decision.contenders) & set(barred)
    assert all(0 <= i < len(ranked) for i in decision.contenders)
    assert (decision.action == "none") == (not decision.contenders)
    if decision.action == "accept":
        head = before.ranked[decision.contenders[0]]
        assert head.probability >= made.rule(head).bar
        assert not made.rule(head).ask
    assert (decision is before.decision) == (type(decision.reason) is not str)
