"""The Shortlister's linear kernel, P(no skill fits), adaptive length, overlapping skills, artifacts of before."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.domain import Skill
from arbitrank.errors import ArtifactError
from arbitrank.shortlist.artifact import load_shortlister, save_shortlister
from arbitrank.shortlist.build import SkillUtterance, build
from arbitrank.shortlist.calibration import FEATURES, CandidateCalibration, needed
from arbitrank.shortlist.index import Index
from arbitrank.shortlist.linear import _NEAREST, LinearKernel
from arbitrank.shortlist.linear_training import can_train, train_linear
from arbitrank.shortlist.ngrams import words
from arbitrank.shortlist.overlaps import overlapping_skills
from arbitrank.shortlist.ranking_grams import RankingGrams, ranking_grams
from arbitrank.shortlist.selftests import shortlister_problem
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Request

THINGS = {
    "taxi": ("taxi", "cab", "ride"),
    "tunes": ("song", "tune", "music"),
    "table": ("table", "dinner", "restaurant"),
    "flight": ("flight", "plane", "ticket"),
    "news": ("news", "headlines", "paper"),
    "lamp": ("lamp", "light", "bulb"),
}
TEMPLATES = ("get me a {}", "a {} please", "i need one {} now", "{} for two", "could you find a {}")


def lines(n: int = 900, seed: int = 0, twin: bool = False) -> list[SkillUtterance]:
    """Requests of six skills; with `twin`, half of those of the first name a seventh that serves the same."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        skill = list(THINGS)[number % len(THINGS)]
        text = f"{rng.choice(TEMPLATES)} x{rng.integers(300)}".format(rng.choice(THINGS[skill]))
        named = "twin" if twin and skill == "taxi" and rng.random() < 0.5 else skill
        found.append(SkillUtterance(text, named, named, frozenset([named]), Request(utterance=text)))
    return found


@pytest.fixture(scope="module")
def kernel() -> LinearKernel:
    return train_linear([one.utterance for one in lines()], [3 * list(THINGS).index(one.skill) for one in lines()])


@pytest.fixture(scope="module")
def shortlister() -> Shortlister:
    return build(lines(), linear=train_linear).shortlister


@given(st.text(max_size=60))
def test_grams_of_a_text_are_words_and_stems_with_their_pairs_and_characters(text: str) -> None:
    grams = ranking_grams(text)
    assert all(kind.dtype == np.uint32 for kind in grams)
    assert len(grams.characters) == sum(max(0, len(word) - 1) for word in words(text))  # with a blank before and after
    assert len(grams.words) == (len(grams.cut) + 2 if len(grams.cut) else 0)  # the pairs of words with both ends


def test_words_of_one_meaning_have_a_concept_in_common() -> None:
    search, find = ranking_grams("search it").concepts, ranking_grams("find it").concepts
    assert set(search.tolist()) & set(find.tolist())
    assert len(ranking_grams("天气").concepts)  # a word of two characters


def test_the_kernel_puts_the_right_skill_first(kernel: LinearKernel) -> None:
    logits = kernel.logits("is there any plane")
    assert logits is not None
    assert kernel.skills[logits.argmax()] == 3 * list(THINGS).index("flight")


def test_a_text_without_a_known_word_has_no_logits(kernel: LinearKernel) -> None:
    assert kernel.logits("zzz qqq") is None
    assert kernel.logits("") is None


def test_the_same_data_and_seed_give_the_same_weights(kernel: LinearKernel) -> None:
    again = train_linear([one.utterance for one in lines()], [3 * list(THINGS).index(one.skill) for one in lines()])
    assert np.array_equal(kernel.output, again.output)
    assert np.array_equal(kernel.scale, again.scale)


def test_trainings_of_one_build_share_the_grams_of_texts(
    monkeypatch: pytest.MonkeyPatch, shortlister: Shortlister
) -> None:
    hashed: Counter[str] = Counter()

    def counted(text: str) -> RankingGrams:
        hashed[text] += 1
        return ranking_grams(text)

    monkeypatch.setattr("arbitrank.shortlist.build.ranking_grams", counted)
    again = build(lines(), linear=train_linear).shortlister
    assert hashed.keys() == {one.utterance for one in lines()}
    assert max(hashed.values()) <= 2  # of three trainings, two threads may come upon a text at once
    assert again.linear is not None
    assert shortlister.linear is not None
    assert np.array_equal(again.linear.output, shortlister.linear.output)


def test_characters_read_a_misspelt_word(kernel: LinearKernel) -> None:
    logits = kernel.logits("myrestaurants")
    assert logits is not None
    assert kernel.skills[logits.argmax()] == 3 * list(THINGS).index("table")


def test_the_nearest_request_is_found_among_those_of_each_skill() -> None:
    texts = ["red apple pie", "green apple tart", "red wine", "green wine", "red apple cake", "blue wine"]
    kernel = train_linear(texts, [0, 0, 1, 1, 0, 1])
    without = replace(
        kernel, starts=np.zeros_like(kernel.starts), requests=kernel.requests[:0], shares=kernel.shares[:0]
    )
    near = [(kernel.logits(text) - without.logits(text)) / _NEAREST for text in texts]
    vectors = [kernel._unit_vectors(ranking_grams(text)) for text in texts]
    for (rows, x), found in zip(vectors, near, strict=True):
        kept = np.diff(kernel.starts)[rows] > 0
        for column, mine in enumerate(([0, 1, 4], [2, 3, 5])):
            similar = []
            for other, y in (vectors[at] for at in mine):
                _, here, there = np.intersect1d(rows[kept], other, return_indices=True)
                similar.append(float(x[kept][here] @ y[there]))
            assert found[column] == pytest.approx(max(similar), abs=0.01)


def test_each_skill_keeps_some_of_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.shortlist.linear_training._KEPT", 5)
    kernel = train_linear(["a cab now", "a song now"] * 20, [0, 1] * 20)
    assert kernel.first.tolist() == [0, 2]
    assert kernel.requests.max(initial=0) < 4


def test_two_skills_are_enough_for_a_kernel() -> None:
    kernel = train_linear(["a cab now", "a song now"] * 20, [0, 1] * 20)
    logits = kernel.logits("song")
    assert logits is not None
    assert logits[1] > logits[0]


def test_rare_grams_are_left_out_where_weights_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.shortlist.linear_training._WEIGHTS", 20)
    kernel = train_linear(["a cab now", "a song now"] * 20, [0, 1] * 20)
    assert 0 < kernel.output.size <= 20


def test_a_kernel_is_for_a_bounded_amount_of_work() -> None:
    assert can_train(10_000, 200)
    assert not can_train(1_000_000, 100_000)
    assert not can_train(100, 1)


def test_skills_added_later_are_found_beside_the_kernel_and_removed_ones_are_not(shortlister: Shortlister) -> None:
    more = shortlister.with_skills({"tides": [Skill("tides", "high tide and low tide at the pier")]})
    assert more.shortlist("when is high tide", 1)[0].skill == "tides"
    assert more.shortlist("a cab please", 1)[0].skill == "taxi"
    assert "taxi" not in {one.skill for one in more.without(["taxi"]).shortlist("a cab please")}


def test_a_removed_skill_has_no_part_in_the_scores_of_others_and_in_none(shortlister: Shortlister) -> None:
    """A request for it alone fits no skill then, and the best one left is compared with those that are left."""
    text = "get me a cab x7"
    without = shortlister.without(["taxi"])
    assert without.linear is not None
    gone = np.array([number for number, name, _ in shortlister.catalogue.present() if name == "taxi"])
    logits = without.linear.logits(text, gone)
    assert logits is not None
    assert np.isneginf(logits[np.isin(without.linear.skills, gone)]).all()
    numbers, x, _ = without.first_stage(text)
    best = numbers.tolist().index(without.linear.skills[logits.argmax()])
    assert x[best, FEATURES.index("linear")] == 0.0
    assert shortlister.judge(text)[1] < without.judge(text)[1]
    assert without.linear.logits(text, without.linear.skills) is None


def test_its_artifact_answers_the_same(shortlister: Shortlister, tmp_path: Path) -> None:
    save_shortlister(shortlister, tmp_path)
    again = load_shortlister(tmp_path)
    for text in ("a cab please", "headlines", "zzz"):
        assert again.judge(text) == shortlister.judge(text)
    assert shortlister_problem(again) is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("output", lambda a: a[:, 1:]),
        ("output", lambda a: a.astype(np.float32)),
        ("scale", lambda a: a * np.nan),
        ("skills", lambda a: a + 100),
        ("vocabulary", lambda a: a[::-1].copy()),
    ],
)
def test_a_damaged_kernel_is_refused(shortlister: Shortlister, tmp_path: Path, name: str, change: object) -> None:
    save_shortlister(shortlister, tmp_path)
    path = tmp_path / "linear" / "weights.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, name: change(arrays[name])})  # type: ignore[operator]
    with pytest.raises(ArtifactError, match="train it again"):
        load_shortlister(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match="train it again"):
        load_shortlister(tmp_path)


def test_an_artifact_of_before_is_read_with_a_sigmoid_for_each_candidate(
    shortlister: Shortlister, tmp_path: Path
) -> None:
    save_shortlister(replace(shortlister, linear=None), tmp_path)
    path = tmp_path / "shortlist.json"
    before = json.loads(path.read_text())
    del before["format"]
    before["calibration"] = {"weights": [1.0, 0.5, 0.0, 0.5, 0.0, 1.0, 0.5, 1.0]}
    path.write_text(json.dumps(before))
    found = load_shortlister(tmp_path)
    numbers, x, _ = found.first_stage("a cab please")
    best = found.shortlist("a cab please", 1)[0]
    z = 1.0 + 0.5 * x[:, 1]
    assert best.score == pytest.approx(1.0 / (1.0 + np.exp(-z.max())))
    assert len(numbers) == len(x)
    save_shortlister(found, tmp_path / "again")
    assert load_shortlister(tmp_path / "again").shortlist("a cab please", 1)[0].score == best.score


# ----------------------------------------------------------------------------------------------------------------- none


def test_requests_that_fit_no_skill_are_told_apart(shortlister: Shortlister) -> None:
    inside = [shortlister.judge(one.utterance)[1] for one in lines(60, seed=5)]
    outside = [shortlister.judge(text)[1] for text in ("how tall is everest now", "the meaning of life please", "zzz")]
    assert max(inside) < min(outside)


def test_known_requests_out_of_scope_set_the_share_to_expect() -> None:
    strange = [f"how tall is mount number {n} please" for n in range(100)]
    built = build(lines(), linear=train_linear, unowned=strange).shortlister
    assert built.calibration.outside == pytest.approx(0.1)
    assert built.judge("how tall is mount blanc please")[1] > 0.5 > built.judge("a cab please")[1]


def test_a_mass_shortens_the_list_and_may_empty_it(shortlister: Shortlister) -> None:
    text = "a cab please"
    whole = shortlister.shortlist(text)
    short = shortlister.shortlist(text, mass=0.9)
    assert whole[: len(short)] == short
    assert 0 < len(short) < len(whole)
    assert len(shortlister.shortlist(text, 1, mass=0.999)) == 1
    assert shortlister.shortlist("how tall is everest", mass=0.5, outside=0.99) == ()


def test_acceptable_skills_together_count_as_no_more_than_that_one_fits() -> None:
    """Where P(no skill fits) is above the mass no skill is needed, however many may be acceptable."""
    assert needed(0.04 * np.array([0.9, 0.8, 0.7]), 0.96, 0.95) == 0
    assert needed(0.06 * np.array([0.9, 0.8, 0.7]), 0.94, 0.95) == 1
    assert needed(np.array([0.5, 0.3]), 0.1, 0.95) == 2  # less than 1 in all
    assert needed(np.array([0.5, 0.3]), 0.0, 1.0) == 2


@given(st.floats(0.01, 1.0), st.floats(0.0, 1.0), st.integers(1, 12))
def test_a_larger_mass_never_shortens_a_list(shortlister: Shortlister, mass: float, outside: float, k: int) -> None:
    small = shortlister.shortlist("a light for two", k, mass=mass / 2, outside=outside)
    large = shortlister.shortlist("a light for two", k, mass=mass, outside=outside)
    assert large[: len(small)] == small
    assert len(large) <= k


# ------------------------------------------------------------------------------------------------------------- overlaps


def test_overlapping_skills_are_reported_with_an_example() -> None:
    built = build(lines(twin=True), linear=train_linear).shortlister
    fresh = lines(240, seed=9, twin=True)
    pairs = overlapping_skills(built, fresh)
    assert {(pair.skill, pair.other) for pair in pairs} == {("taxi", "twin"), ("twin", "taxi")}
    assert all(pair.first <= pair.requests <= pair.of for pair in pairs)
    assert any(pair.example == one.utterance for pair in pairs for one in fresh)
    both = [replace(one, acceptable=frozenset(["taxi", "twin", one.skill])) for one in fresh]
    assert overlapping_skills(built, both) == []


def test_signs_are_computed_only_where_something_was_fitted_to_them(
    shortlister: Shortlister, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfitted = replace(shortlister, calibration=CandidateCalibration(), cold=None)
    asked: list[str] = []
    known = Index.known_words
    monkeypatch.setattr(Index, "known_words", lambda index, text: asked.append(text) or known(index, text))
    assert unfitted.judge("a cab please")[1] == 0.0
    assert not asked
    assert shortlister.judge("a cab please")[1] > 0.0
    assert asked == ["a cab please"]
