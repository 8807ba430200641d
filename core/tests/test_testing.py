"""The shipped suite of checks for data folders, and a sound domain that ships nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from arbitrank.domain import Domain, Model, Settings, Skill
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.testing import CHECKS, Check, CheckFailed
from arbitrank.testing.catalogue import check_catalogue, check_corpus, check_features, check_screens
from arbitrank.values import Example, Request, Slot, Truth


def example(text: str | None, domain: str | None = "plain", slots: Sequence[Slot] = ()) -> Example:
    return Example(Request(utterance=text), Truth(domain, "Do", tuple(slots)))


class Plain(Domain):
    """A sound domain that ships nothing."""

    name = "plain"

    @property
    def skills(self) -> Sequence[Skill]:
        return (Skill("plain", "says hello", ("hello",)),)

    def examples(self) -> Sequence[Example]:
        return [example("hello there", slots=[Slot("who", "there", start=6, end=11)]), example("stop", None)]

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> dict[str, float]:
        return {}

    def load(self, folder: Path) -> Model:
        raise NotImplementedError


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_domain_without_weights_passes(check: Check) -> None:
    check(Plain())


def write_data(folder: Path, works: str = "dune\tfrank\t1965\tnovel\tfilms\n") -> Path:
    (folder / "works.tsv").write_text("title\tauthor\tyear\tkind\talso\n" + works)
    (folder / "lists.toml").write_text('name = ["ann", "bob", "cid", "dan"]\n')
    (folder / "patterns.toml").write_text(
        '[own.Read]\npatterns = ["read {title} to {name}"]\ncount = 4\n'
        '[others.films]\npatterns = ["watch {=title} with {=name}"]\ncount = 4\n'
        '[none.chat]\npatterns = ["hello {=name}"]\ncount = 4\n'
    )
    return folder


def test_a_catalogue_that_is_complete_passes_and_gaps_are_named(tmp_path: Path) -> None:
    check_catalogue(write_data(tmp_path), "author", ["novel"], ["films"], works=1, shared=1)
    for works, reason in (
        ("dune\t\t1965\tnovel\tfilms\n", "a value is missing"),
        ("dune\tfrank\t1965\tnovel\tsongs\n", "`also` names no other domain"),
        ("dune\tfrank\t9999\tnovel\tfilms\n", "year out of range"),
        ("dune\tfrank\t1965\tnovel\tfilms\n" * 2, "repeated"),
        ("dune\tfrank\t1965\tplay\tfilms\n", "kinds"),
    ):
        with pytest.raises(CheckFailed, match=reason):
            check_catalogue(write_data(tmp_path, works), "author", ["novel"], ["films"], works=1, shared=1)


def test_a_corpus_that_lacks_requests_is_named(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    for changed, reason in (
        ({"intents": ["Buy"]}, "expected \\['Buy'\\]"),
        ({"each": 5}, "fewer than 5 requests"),
        ({"of_others": 5}, "4 requests of films"),
        ({"out_of_scope": 5}, "4 out-of-scope requests"),
        ({"kinds": 1}, "kinds of out-of-scope"),
    ):
        limits = {"intents": ["Read"], "each": 1, "of_others": 1, "out_of_scope": 1, "kinds": 0, **changed}
        with pytest.raises(CheckFailed, match=reason):
            check_corpus(folder, "books", others=["films"], **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("context", [{"device": "tv"}, {"has_screen": True}, {"device": "car", "has_screen": True}])
def test_a_context_whose_screen_does_not_follow_from_its_device_is_named(context: dict[str, object]) -> None:
    check_screens([Example(Request(context={"device": "tv", "has_screen": True}), Truth(None))])
    with pytest.raises(CheckFailed, match="context"):
        check_screens([Example(Request(context=context), Truth(None))])


def test_a_domain_that_does_not_describe_its_titles_is_named() -> None:
    with pytest.raises(CheckFailed, match="features"):
        check_features(ReferenceDomain("plain"), "author", "frank")
