"""Shared negatives: their discovery, and the choice of those that suit a domain."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negative_sets import install_set, line, only

from arbitrank.negatives import installed
from arbitrank.negatives.installed import NegativeSet, installed_negatives, topic_of
from arbitrank.negatives.selection import in_turns, situated, suited
from arbitrank.packages import is_near_group
from arbitrank.values import Example, Request, Truth

TEXTS = {
    "weather": ["will it rain in oslo", "how hot is it today", "is there a storm coming"],
    "timers": ["set a timer for ten minutes", "cancel the timer", "how much time is left"],
    "chat": ["hello there", "you are funny", "never mind", "what is your name"],
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return only(monkeypatch, tmp_path / "site")


def made(texts: dict[str, list[str]] = TEXTS) -> NegativeSet:
    every = [
        Example(Request(utterance=text), Truth(None), {"topic": topic})
        for topic, some in texts.items()
        for text in some
    ]
    return NegativeSet("made", "made-negatives", "1.0", "0" * 64, tuple(every))


def utterances(examples: object) -> list[str | None]:
    return [one.request.utterance for one in examples]  # type: ignore[attr-defined]


def test_a_set_is_read_and_none_of_its_packages_code_runs(site: Path) -> None:
    lines = [
        line("will it  rain", topic="Bad Weather", context={"device": "tv"}, id="w-1"),
        line("call me", domain="phone"),
        line("hello"),
    ]
    file = install_set(site, "acme-negatives", lines, version="2.1")
    (one,) = installed_negatives().sets
    assert (str(one), one.name) == ("acme-negatives 2.1", "set")
    assert one.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert utterances(one.examples) == ["will it rain", "call me", "hello"]
    assert [topic_of(example) for example in one.examples] == ["bad_weather", "phone", "other"]
    assert all(example.request.context == {} for example in one.examples)
    assert one.notes == installed_negatives().refused == ()


def test_sets_are_read_in_the_order_of_their_distributions_names_and_a_request_counts_once(site: Path) -> None:
    install_set(site, "b-negatives", [line("Hello"), line("what now")])
    install_set(site, "a-negatives", [line("hello"), line("hello"), line("go on")])
    first, second = installed_negatives().sets
    assert (str(first), utterances(first.examples)) == ("a-negatives 1.0", ["hello", "go on"])
    assert (str(second), utterances(second.examples)) == ("b-negatives 1.0", ["what now"])
    assert [note.split(": ")[1] for note in installed_negatives().notes] == [
        "1 requests are there already, in it or in another set, and left out"
    ] * 2


def test_lines_that_cannot_be_read_are_left_out_and_named(site: Path) -> None:
    bad = ["{]", '{"text": "no domain"}', line(""), line("x" * 201), '{"utterance": "a", "truth": {"domain": null}}']
    hypotheses = '{"utterance": "a", "hypotheses": [], "truth": {"domain": null}}'
    file = install_set(site, "acme-negatives", [*bad[:3], hypotheses, *bad[3:4], line("hello"), line("\u200b")])
    (one,) = installed_negatives().sets
    assert utterances(one.examples) == ["hello"]
    assert [note.split(": ")[0] for note in one.notes] == [f"{file}:1", f"{file}:2", f"{file}:3", f"{file}"]
    assert one.notes[-1].endswith("and 3 lines more that cannot be read")


@pytest.mark.parametrize(
    ("lines", "options", "reason"),
    [
        (None, {}, "negatives.jsonl is not there, expected JSON Lines; add it to the package"),
        ([], {}, "has no request that can be read, expected a corpus; see docs/how-to/negatives.md"),
        (["{}", "[]"], {}, "has no request that can be read, expected a corpus; the first: "),
        ('{"text": "a"}\n'.encode("utf-16"), {}, "it seems to be UTF-16, expected UTF-8"),
        ([line("a")], {"value": "bad_negatives:DATA"}, "'bad_negatives:DATA', expected the name of a package alone"),
        ([line("a")], {"value": "nowhere_negatives"}, "its package nowhere_negatives is not there, expected a package"),
        ([line("a")], {"value": "json.decoder"}, "expected the name of a package alone"),
        ([line("a")], {"value": "bisect"}, "its package bisect is a module, expected a package with negatives.jsonl"),
        ([line("a")], {"group": "arbitrank.negative"}, "in the group 'arbitrank.negative', expected 'arbitrank.neg"),
        ([line("a")], {"group": "arbitrank.negatives.v1"}, "expected 'arbitrank.negatives'; correct it"),
        ([line(f"a {i}") for i in range(9)], {}, "has more than 8 lines, expected at most that; ship a sample"),
        ([line("a" * 150)] * 8, {}, "has 1,4"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused_by_name_and_the_others_are_read(
    site: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str] | None, options: dict[str, str], reason: str
) -> None:
    monkeypatch.setattr(installed, "MAX_LINES", 8)
    monkeypatch.setattr(installed, "MAX_BYTES", 1_000)
    install_set(site, "bad-negatives", lines, **options)  # type: ignore[arg-type]
    install_set(site, "good-negatives", [line("hello")])
    found = installed_negatives()
    assert list(map(str, found.sets)) == ["good-negatives 1.0"]
    (text,) = found.refused
    assert text.startswith("negatives set (bad-negatives 1.0): ")
    assert reason in text


@pytest.mark.parametrize("group", ["arbitrank.negatives", "arbitrank.negative", "Arbitrank.Negatives.v2"])
def test_a_set_is_no_domain(group: str) -> None:
    assert not is_near_group(group)


def test_topics_of_the_domain_its_name_and_its_requests_are_left_out() -> None:
    owned = Example(Request(utterance="light the lamp"), Truth("lamps"), {"topic": "home"})
    one = made()
    sets = [NegativeSet(one.name, one.distribution, "1", "", (*one.examples, owned))]
    chosen = suited(sets, "lamps", ["Weather"], [])
    assert utterances(chosen.examples) == [*TEXTS["timers"], *TEXTS["chat"]]
    assert chosen.stated == ("weather",)
    assert utterances(suited(sets, "chat", [], []).examples)[-1] == "light the lamp"
    assert suited([], "lamps", [], ["a"]).examples == ()


def test_a_topic_whose_requests_are_like_the_domains_own_is_left_out_although_it_is_not_stated() -> None:
    own = ["set a timer for ten minutes please", "please cancel the timer", "start the stopwatch"]
    chosen = suited([made()], "lamps", [], own)
    assert utterances(chosen.examples) == [*TEXTS["weather"], *TEXTS["chat"]]
    assert (chosen.stated, chosen.alike) == ((), ("timers",))


EVERY = [text for some in TEXTS.values() for text in some]


@given(st.sets(st.sampled_from(EVERY)), st.sets(st.sampled_from(list(TEXTS))))
def test_no_negative_is_the_domains_own(own: set[str], topics: set[str]) -> None:
    chosen = suited([made()], "lamps", topics, [text.upper() for text in own])
    assert not own & set(utterances(chosen.examples))
    assert not topics & set(map(topic_of, chosen.examples))
    assert chosen == suited([made()], "lamps", sorted(topics), sorted(text.upper() for text in own))


@given(st.integers(0, 12))
def test_topics_take_turns(most: int) -> None:
    examples = made().examples
    chosen = in_turns(examples, most)
    assert len(chosen) == min(most, len(examples))
    assert chosen == [one for one in examples if one in chosen] == in_turns(examples, most)
    counts = [list(map(topic_of, chosen)).count(topic) for topic in TEXTS]
    assert all(max(counts) - n <= 1 or n == len(TEXTS[topic]) for n, topic in zip(counts, TEXTS, strict=True))


def test_negatives_come_in_situations_of_the_domains_own_requests() -> None:
    own = [Example(Request(utterance="on", context={"device": name}), Truth("lamps", "On")) for name in ("tv", "watch")]
    placed = situated(made().examples, own)
    assert {one.request.context["device"] for one in placed} == {"tv", "watch"}
    assert utterances(placed) == EVERY
    assert placed == situated(made().examples, own)
    assert situated(made().examples, [])[0].request.context == {}
