"""Context keys that no domain reads are remarked on, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeDomain, FakeModel

from arbitrank.context_keys import ContextCount, UnreadKeys, keys_of, keys_read, named_for
from arbitrank.domain import Domain


def model(*keys: str) -> FakeModel:
    made = FakeModel("lights")
    made.context_keys = keys
    return made


def remarks(*contexts: dict[str, Any], models: Sequence[Any] = (), also: Sequence[str] = ()) -> list[str]:
    unread = UnreadKeys(lambda: models or [model("device", "playing")], also)
    return [text for context in contexts for text in unread(context)]


def test_a_key_that_no_domain_reads_is_remarked_on_once_with_the_way_to_name_it() -> None:
    (text,) = remarks({"audience": "guest"}, {"audience": "employee"}, {"playing": True})
    assert text.startswith("context key 'audience' is read by no domain")
    assert "--context-key audience" in text
    assert '[domains.NAME] context_keys = ["audience"] in arbitrank.toml' in text


def test_a_key_is_quoted_as_the_shell_and_toml_need_it() -> None:
    (text,) = remarks({'the "big" one': 1})
    assert "--context-key 'the \"big\" one'" in text
    assert 'context_keys = ["the \\"big\\" one"]' in text


@pytest.mark.parametrize(
    "key", ["device", "has_screen", "locale", "previous_domain", "previous_intent", "preference.music", "playing"]
)
def test_a_key_that_the_core_knows_or_a_domain_reads_is_not(key: str) -> None:
    assert remarks({key: "x"}) == []


def test_a_key_that_a_policy_reads_is_not() -> None:
    assert remarks({"kiosk": True}, also=["kiosk"]) == []


@pytest.mark.parametrize(("key", "meant"), [("Device", "device"), ("devise", "device"), ("playin", "playing")])
def test_a_near_miss_is_named(key: str, meant: str) -> None:
    (text,) = remarks({key: "tv"})
    assert text.startswith(
        f"context key {key!r} is read by no domain (did you mean {meant!r}?), so it changes no answer"
    )


def test_keys_in_data_are_counted_and_misspelt_names_are_told() -> None:
    count = ContextCount()
    for number in range(20):
        count.add({"audience": "guest", "device": "tv"} if number % 2 else {"tier": number})
    assert count.remarks({"device", "tier"}, ["audience"]) == []
    assert count.remarks(None) == []
    absent, unread = count.remarks({"device", "tier"}, ["audienc"])
    assert absent == "context key 'audienc' is named, and in no request; did you mean 'audience'?"
    assert unread.startswith("context key 'audience' (in 10 of 20 requests) is read by no domain, so")
    (own, _) = count.remarks(set(), domain="faq")
    assert own.startswith("context key 'tier' (in 10 of 20 requests) is not read by domain faq")
    assert '[domains.faq] context_keys = ["tier"]' in own


def test_a_count_of_many_keys_is_bounded() -> None:
    count = ContextCount()
    for number in range(20_000):
        count.add({f"key{number}": 1})
    assert len(count.remarks(set())) == 11


def test_keys_are_named_for_one_domain_or_for_all() -> None:
    named = {None: ["tier", "tier"], "faq": ["audience", "tier"]}
    assert named_for("faq", named) == ("tier", "audience")
    assert named_for("home", named) == ("tier",)


def test_nothing_is_said_where_a_domain_does_not_state_its_keys() -> None:
    assert remarks({"audience": "guest"}, models=[model("device"), FakeModel("shades")]) == []


@pytest.mark.parametrize("stated", ["audience", 5, ["audience", 5], None])
def test_a_statement_that_is_no_list_of_texts_counts_as_none(stated: Any) -> None:
    domain: Domain = FakeDomain("lights")
    domain.context_keys = stated
    assert keys_of(domain) is None
    assert keys_read([domain, model("device")]) is None


def test_remarks_are_bounded_in_number_and_length() -> None:
    found = remarks(*({f"{number}{'k' * 10_000}": 1} for number in range(5_000)))
    assert len(found) == 10
    assert all(len(text) < 500 for text in found)
