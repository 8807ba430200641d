"""The Shortlister: candidates, calibration, added and removed skills, artifacts."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from arbitrank.domain import Skill
from arbitrank.errors import ArtifactError, DataError, InputError
from arbitrank.selftest import problem
from arbitrank.shortlist import build as building
from arbitrank.shortlist.artifact import NAME, load_shortlister, save_shortlister
from arbitrank.shortlist.build import SkillUtterance, build, catalogue, fitted, quality, skill_utterance, write
from arbitrank.shortlist.calibration import (
    DEFAULT,
    FEATURES,
    SIGNS,
    AccountProfile,
    CandidateCalibration,
    account_profile,
    request_signs,
)
from arbitrank.shortlist.calibration_fitting import HeldRequest, OutOfScope, fit
from arbitrank.shortlist.catalogue import SkillCatalogue, descriptive_texts
from arbitrank.shortlist.classifier_training import train_classifier
from arbitrank.shortlist.epochs import TrainingPlan
from arbitrank.shortlist.index import Index, IndexSettings
from arbitrank.shortlist.index_training import train_index
from arbitrank.shortlist.kernels import with_kernels
from arbitrank.shortlist.selftests import shortlister_problem
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting, ShortlistSettings
from arbitrank.store.artifact import read_manifest
from arbitrank.store.artifact_checks import verified
from arbitrank.store.kinds import SHORTLIST
from arbitrank.values import Request
from arbitrank.wire.requests import decode_example

WORDS = {
    "jazz-radio": ("play", "jazz", "radio", "music", "saxophone"),
    "rock-radio": ("play", "rock", "radio", "music", "guitar"),
    "rain": ("rain", "weather", "umbrella", "wet", "tomorrow"),
    "alarm": ("wake", "alarm", "seven", "morning", "clock"),
}


def lines(n: int = 400, seed: int = 0, skills: Sequence[str] = tuple(WORDS)) -> list[SkillUtterance]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        skill = skills[number % len(skills)]
        text = " ".join([*rng.choice(WORDS[skill], 3), f"x{rng.integers(500)}"])
        found.append(SkillUtterance(text, skill, f"domain of {skill}", frozenset([skill]), Request(utterance=text)))
    return found


@pytest.fixture(scope="module")
def shortlister() -> Shortlister:
    return build(lines()).shortlister


def test_the_best_skill_comes_first_with_its_domain_and_a_probability(shortlister: Shortlister) -> None:
    found = shortlister.shortlist("will it be wet tomorrow", 3)
    assert (found[0].skill, found[0].domain) == ("rain", "domain of rain")
    assert all(0.0 <= one.score <= 1.0 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_its_repr_is_short(shortlister: Shortlister) -> None:
    assert repr(shortlister) == "Shortlister(4 skills, version None)"


def test_k_and_the_floor_cut_the_list(shortlister: Shortlister) -> None:
    whole = shortlister.shortlist("play radio music", 4)
    assert len(whole) > 1
    assert shortlister.shortlist("play radio music", 1) == whole[:1]
    assert shortlister.shortlist("play radio music", 4, floor=whole[1].score) == whole[:2]
    assert shortlister.shortlist("play radio music", 4, floor=1.0) == ()
    assert shortlister.shortlist("play radio music", 0) == ()


@pytest.mark.parametrize("utterance", [None, "", "zzz qqq", "?!"])
def test_without_a_known_word_the_list_is_empty(shortlister: Shortlister, utterance: str | None) -> None:
    assert shortlister.shortlist(utterance, 3) == ()
    assert shortlister.shortlist(utterance, 3, profile=AccountProfile(enabled=frozenset(["rain"]))) == ()


def test_an_empty_catalogue_gives_an_empty_list_and_takes_skills() -> None:
    empty = Shortlister(SkillCatalogue(), train_index([], np.zeros(0, np.int64), 0))
    assert empty.shortlist("play jazz") == ()
    one = empty.with_skills({"music": [Skill("jazz", "plays jazz")]})
    assert [found.skill for found in one.shortlist("play jazz")] == ["jazz"]
    assert one.without(["jazz"]).shortlist("play jazz") == ()


def test_training_on_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="no skill"):
        build([])


def test_an_index_is_let_go_of_before_the_next_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three are trained: without half of the skills, without the held-out lines, and on all."""
    made: list[weakref.ref[Index]] = []

    def alone(*args: Any, **named: Any) -> Shortlister:
        gc.collect()
        assert [one() for one in made] == [None] * len(made)
        found = with_kernels(*args, **named)
        made.append(weakref.ref(found.index))
        return found

    monkeypatch.setattr(building, "with_kernels", alone)
    assert build(lines(800)).shortlister.index is made[-1]()
    assert len(made) == 3


def test_scores_are_calibrated_on_held_out_utterances() -> None:
    """Requests go to either of two skills at random, 70 % to the first, so its score has to be 0.7."""
    rng = np.random.default_rng(1)
    confused = []
    for number in range(2_000):
        skill = "rain" if rng.random() < 0.7 else "alarm"
        text = f"do it now x{number % 150} y{number}"
        confused.append(SkillUtterance(text, skill, skill, frozenset([skill]), Request(utterance=text)))
    found = quality(build(confused).shortlister, confused[:500])
    best = build(confused).shortlister.shortlist("do it now please")[0]
    assert best.skill == "rain"
    assert best.score == pytest.approx(0.7, abs=0.1)
    assert found.n == 500
    assert found.recall[5] == 1.0


def test_a_skill_is_added_and_removed_and_its_name_can_be_used_again(shortlister: Shortlister) -> None:
    lava = Skill("lamp", "lights the lava lamp", ("turn on the lava",))
    more = shortlister.with_skills({"lights": [lava]})
    assert more.shortlist("lava lamp", 1)[0].domain == "lights"
    assert shortlister.shortlist("lava lamp", 1) == ()
    less = more.without(["lamp"])
    assert less.shortlist("lava lamp") == ()
    assert less.with_skills({"other": [lava]}).shortlist("lava lamp", 1)[0].domain == "other"
    assert more.catalogue.number("lamp") is not None
    assert "lamp" not in less.catalogue
    assert "lamp" not in [name for _, name, _ in less.catalogue.present()]


def test_a_name_of_two_owners_is_qualified(shortlister: Shortlister) -> None:
    more = shortlister.with_skills({"weather station": [Skill("rain", "measures barometers")]})
    assert more.shortlist("barometers", 1)[0].skill == "weather station/rain"
    assert more.shortlist("umbrella wet", 1)[0].skill == "rain"
    both = SkillCatalogue().with_skills([("one", Skill("same")), ("two", Skill("same"))])
    assert [name for _, name, _ in both.present()] == ["same", "two/same"]
    assert (both.number_of("one", "same"), both.number_of("two", "same")) == (0, 1)
    a, b = lines(1)[0], lines(1)[0]
    skills, labelled = catalogue([a, elsewhere(b, domain="else/where")])
    assert skills.names == (f"{a.domain}/{a.skill}", f"else%2Fwhere/{a.skill}")
    assert [line.skill for line in labelled.lines] == [*skills.names]


def elsewhere(line: SkillUtterance, **changes: str) -> SkillUtterance:
    return replace(line, **changes)  # type: ignore[arg-type]


def test_removing_an_absent_skill_is_refused(shortlister: Shortlister) -> None:
    with pytest.raises(InputError, match="skill 'nothing': not in the catalogue of 4 skills"):
        shortlister.without(["nothing"])


@pytest.mark.parametrize(
    ("skill", "texts"),
    [
        (Skill("GetWeather"), ["Get Weather", "Get Weather"]),
        (Skill("play_music.HQ2", "plays", ("go",)), ["go", "plays", "play music HQ 2", "play music HQ 2"]),
        (Skill("天気"), ["天気", "天気"]),
        (Skill("---"), ["---", "---"]),
    ],
)
def test_a_skill_without_an_example_is_known_by_its_descriptive_texts(skill: Skill, texts: list[str]) -> None:
    assert descriptive_texts(skill) == texts


def test_a_word_of_too_many_skills_finds_those_that_have_it_in_their_names() -> None:
    skills = [*(Skill(f"place-{n}", "a tool for the tide") for n in range(40)), Skill("tide", "high and low water")]
    texts = [descriptive_texts(skill) for skill in skills]
    numbers = np.repeat(np.arange(len(skills)), [len(own) for own in texts])
    few = IndexSettings(postings=3)
    index = train_index([text for own in texts for text in own], numbers, len(skills), few, uses=np.zeros(41, np.int64))
    found, _ = index.best("tide", 10)
    assert len(found) == 3
    assert found[0] == 40


def test_a_skill_without_an_example_is_found_beside_trained_ones() -> None:
    class Tides:
        name = "tides"
        skills = (Skill("tide-table", "high and low tide at the pier"),)

    built = build(lines(), {"tides": Tides()})  # type: ignore[dict-item]
    assert built.shortlister.shortlist("when is high tide at the pier", 1)[0].skill == "tide-table"
    assert built.shortlister.shortlist("play jazz music", 1)[0].skill == "jazz-radio"


def test_serving_adds_the_skills_of_installed_domains_and_tolerates_those_that_raise(shortlister: Shortlister) -> None:
    class Fine:
        skills = (Skill("tide-table", "high tide"), Skill("rain"), "no skill")

    class Good:
        skills = (Skill("tide-table", "high tide"), Skill("rain", "taken"))

    class Bad:
        @property
        def skills(self) -> Sequence[Skill]:
            raise RuntimeError("no")

    more = shortlister.serving({"good": Good(), "bad": Bad(), "fine": Fine()})  # type: ignore[dict-item]
    assert more.shortlist("high tide", 1)[0].domain == "good"
    assert more.shortlist("rain", 1)[0].domain == "domain of rain"
    assert {"bad", "fine"} <= {name for _, name, _ in more.catalogue.present()}


# ------------------------------------------------------------------------------------------------------ personalisation


def test_the_account_profile_ignores_values_of_other_types() -> None:
    request = Request(
        account={"enabled": ["a", 5], "used": {"b": 3}}, context={"preference.music": 0.9, "device": "tv"}
    )
    known = account_profile(request)
    assert (set(known.enabled), known.used, known.preferred) == ({"a", "5"}, {"b": 3.0}, {"music": 0.9})
    assert account_profile(Request(account={"used": ["c"]})).used == {"c": 1.0}
    odd = Request(account={"enabled": "all", "used": 7}, context={"preference.x": "much"})
    assert account_profile(odd) == AccountProfile((), {}, {"x": 0.0})


def test_an_enabled_skill_gains_score_and_excludes_no_other(shortlister: Shortlister) -> None:
    query = "play radio music"
    plain = {one.skill: one.score for one in shortlister.shortlist(query)}
    enabled = shortlister.shortlist(query, profile=AccountProfile(enabled=frozenset(["rock-radio", "no such skill"])))
    assert enabled[0].skill == "rock-radio"
    assert enabled[0].score > plain["rock-radio"]
    assert {one.skill for one in enabled} >= set(plain)


def test_an_enabled_skill_is_a_candidate_without_its_words(shortlister: Shortlister) -> None:
    found = {
        one.skill for one in shortlister.shortlist("umbrella", profile=AccountProfile(enabled=frozenset(["alarm"])))
    }
    assert found == {"rain", "alarm"}


def test_the_weight_of_enabling_is_learned_from_data() -> None:
    """It weighs more than by default where accounts use their enabled skills, and less where they do not."""
    weights = {}
    for follows in (True, False):
        rng = np.random.default_rng(2)
        utterances = []
        for number in range(1_500):
            pair = ["jazz-radio", "rock-radio"]
            skill = pair[int(rng.integers(2))]
            other = pair[1 - pair.index(skill)]
            request = Request(
                utterance=f"play radio music x{number}", account={"enabled": [skill if follows else other]}
            )
            utterances.append(SkillUtterance(request.utterance or "", skill, skill, frozenset([skill]), request))
        weights[follows] = build(utterances).shortlister.calibration.weights[FEATURES.index("enabled")]
    assert weights[True] > DEFAULT[FEATURES.index("enabled")] > weights[False]


# ---------------------------------------------------------------------------------------------------------- calibration


def test_calibration_has_the_shape_of_its_features() -> None:
    assert len(DEFAULT) == len(FEATURES)
    nothing = HeldRequest(np.zeros((3, len(FEATURES))), np.zeros(3, np.bool_), np.zeros(len(SIGNS)))
    assert fit([nothing]) == CandidateCalibration()


def test_too_few_lines_leave_the_default(shortlister: Shortlister) -> None:
    assert fitted(shortlister, lines(5)) == CandidateCalibration()


def drawn(n: int, true: np.ndarray, seed: int = 0) -> list[HeldRequest]:
    """Requests whose acceptable one of five candidates is drawn by a softmax of these weights."""
    rng = np.random.default_rng(seed)
    held = []
    for _ in range(n):
        x = rng.normal(size=(5, len(FEATURES)))
        x[:, FEATURES.index("bias")] = x[:, FEATURES.index("linear_knows")] = 1.0
        share = np.exp(x @ true) / np.exp(x @ true).sum()
        held.append(HeldRequest(x, np.arange(5) == rng.choice(5, p=share), np.array([1.0, 0.0, 1.0, 1.0])))
    return held


def test_the_fit_recovers_the_weights_that_generated_the_data() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(size=len(FEATURES))
    found = fit(drawn(6_000, true))
    distinct = [i for i, name in enumerate(FEATURES) if name not in ("bias", "linear_knows")]
    np.testing.assert_allclose(np.array(found.weights)[distinct], true[distinct], atol=0.2)
    assert found.odds == pytest.approx((0.0, 1.0, 0.0), abs=0.2)


def test_none_is_likely_where_the_signs_are_those_of_requests_that_fit_no_skill() -> None:
    held = drawn(200, np.zeros(len(FEATURES)))
    found = fit(held, OutOfScope(np.tile([1.0, 0.0, -1.0, 0.2], (200, 1)), np.ones(200), 0.1))
    assert found.none(np.array([1.0, 0.0, 1.0, 1.0])) < 0.1 < found.none(np.array([1.0, 0.0, -1.0, 0.2]))
    assert found.none(np.array([1.0, 0.0, -1.0, 0.2]), outside=0.5) > found.none(np.array([1.0, 0.0, -1.0, 0.2]))
    assert CandidateCalibration().none(np.zeros(len(SIGNS))) == 0.0


def test_none_is_as_frequent_as_expected_where_some_requests_that_fit_none_look_as_if_they_did() -> None:
    rng = np.random.default_rng(0)

    def signs(levels: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([np.ones(len(levels)), np.zeros(len(levels)), levels, np.ones(len(levels))])

    fitting = signs(rng.normal(10.0, 2.0, 1_000))
    none = signs(np.concatenate([rng.normal(10.0, 2.0, 100), rng.normal(0.0, 2.0, 400)]))
    found = fit(drawn(200, np.zeros(len(FEATURES))), OutOfScope(none, np.ones(len(none)), 0.05), fitting)
    mean = [float(np.mean([found.none(one) for one in some])) for some in (fitting, none)]
    assert 0.95 * mean[0] + 0.05 * mean[1] == pytest.approx(0.05, abs=0.005)


def test_evidence_is_a_sign_that_a_skill_fits_where_the_linear_kernel_takes_that_skill_for_the_best() -> None:
    evidence, best_second = np.array([8.0, 3.0, 5.0]), np.array([-4.0, 0.0, np.nan])
    told = [
        float(np.expm1(request_signs(evidence, linear, 7.0, 0.5, described)[1]))
        for linear, described in ((None, False), (best_second, False), (best_second, True), (np.full(3, np.nan), True))
    ]
    assert told == pytest.approx([8.0, 5.0, 3.0, 8.0])
    assert request_signs(np.empty(0), None, 7.0, 0.5).tolist() == [1.0, 0.0, 7.0, 0.5]


def test_a_share_says_less_of_a_request_that_is_unlike_those_of_the_training() -> None:
    """Of requests with the lower sign, which known skills share with unknown ones, every second is of none of them."""
    true = np.zeros(len(FEATURES))
    true[FEATURES.index("linear")] = 3.0
    rng = np.random.default_rng(3)
    alike = drawn(400, true)
    shared = [
        HeldRequest(one.x, one.acceptable & bool(rng.integers(2)), np.array([1.0, 0.0, -1.0, 1.0]))
        for one in drawn(200, true, seed=1)
    ]
    found = fit(alike, shared=shared)
    assert found.weights == fit(alike).weights
    x = min((one.x for one in alike), key=lambda x: abs(found.shares(x).max() - 0.9))
    near, far = (found.probabilities(x, np.array([1.0, 0.0, sign, 1.0])).max() for sign in (1.0, -1.0))
    assert far < 0.65
    assert near > 0.85


def test_a_share_says_less_where_many_skills_share_the_rest() -> None:
    """The best skill has three quarters; where seven have the rest, every second request fits none of them."""
    rng = np.random.default_rng(4)
    held = []
    for rivals in (1, 7):
        x = np.zeros((1 + rivals, len(FEATURES)))
        x[1:, FEATURES.index("linear")] = np.log(1.0 / (3.0 * rivals))
        x[:, FEATURES.index("linear_knows")] = 1.0
        share = np.array([0.75, *[0.25 / rivals] * rivals])
        for turn in range(400):
            right = np.arange(len(x)) == rng.choice(len(x), p=share)
            held.append(HeldRequest(x, right & (rivals == 1 or turn % 2 == 0), np.array([1.0, 0.0, 0.0, 1.0])))
    found = fit(held)
    few, many = (found.probabilities(one.x, one.signs).max() for one in (held[0], held[-1]))
    assert few > 0.65
    assert many < 0.5


@given(
    st.lists(st.floats(-50, 0), min_size=2, max_size=20),
    st.tuples(st.floats(-5, 5), st.floats(0.1, 5), st.floats(-9, 5)),
    st.lists(st.floats(-9, 9), min_size=6, max_size=6),
    st.tuples(st.floats(0, 9), st.floats(-9, 30), st.floats(0, 1)),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
)
def test_a_greater_share_is_never_less_likely_whatever_the_signs(
    linear: list[float],
    odds: tuple[float, float, float],
    of_signs: list[float],
    signs: tuple[float, float, float],
    of_entropy: tuple[float, float],
) -> None:
    x = np.zeros((len(linear), len(FEATURES)))
    x[:, FEATURES.index("linear")], x[:, FEATURES.index("linear_knows")] = linear, 1.0
    calibration = CandidateCalibration(odds=odds, signs=tuple(of_signs), entropy=of_entropy)
    by_share = np.argsort(calibration.shares(x))
    p = calibration.probabilities(x, np.array([1.0, *signs]))[by_share]
    assert (np.diff(p) >= -1e-9).all()
    assert ((p >= 0.0) & (p <= 1.0)).all()


@given(st.lists(st.tuples(st.floats(-50, 0), st.floats(-50, 0), st.booleans()), min_size=1, max_size=20))
def test_shares_sum_to_one_and_the_linear_kernel_moves_none_to_skills_it_lacks(
    candidates: list[tuple[float, float, bool]],
) -> None:
    x = np.zeros((len(candidates), len(FEATURES)))
    for row, (posterior, linear, knows) in enumerate(candidates):
        x[row, [1, 8, 9]] = posterior, linear if knows else 0.0, knows
    share = CandidateCalibration().shares(x)
    assert share.sum() == pytest.approx(1.0)
    without = x.copy()
    without[:, 8:] = 0.0
    lacking = x[:, 9] == 0
    if not lacking.all():
        np.testing.assert_allclose(share[lacking], CandidateCalibration().shares(without)[lacking], atol=1e-9)


# ---------------------------------------------------------------------------------------------------------- two kernels


def test_the_classifier_scores_the_candidates_of_the_index() -> None:
    built = build(lines(), classifier=partial(train_classifier, plan=TrainingPlan(epochs=2)))
    found = built.shortlister.shortlist("will it be wet tomorrow", 2)
    assert found[0].skill == "rain"
    more = built.shortlister.with_skills({"lights": [Skill("lamp", "lava lamp")]})
    assert more.shortlist("lava lamp", 1)[0].skill == "lamp"
    assert more.without(["rain"]).shortlist("wet tomorrow", 1)[0].skill != "rain"


def test_above_many_skills_the_classifier_scores_only_the_candidates_of_the_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("arbitrank.shortlist.shortlister.TWO_STAGES", 3)
    built = build(lines(), classifier=partial(train_classifier, plan=TrainingPlan(epochs=1)))
    scored = []

    class Watched:
        def best(self, utterance: str, k: int) -> tuple[object, object]:
            raise AssertionError("the classifier was used to search")

        def scores(self, utterance: str, skills: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
            scored.append(skills.tolist())
            return np.full(len(skills), np.nan)

    watched = with_kernel(built.shortlister, Watched())
    assert watched.shortlist("umbrella", 1)[0].skill == "rain"
    assert scored == [[2]]


def with_kernel(shortlister: Shortlister, kernel: object) -> Shortlister:
    return Shortlister(shortlister.catalogue, shortlister.index, shortlister.calibration, kernel)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("line", "of", "skill"),
    [
        ({"text": "a", "domain": "d", "intent": "i"}, "skill", "d"),
        ({"text": "a", "domain": "d", "intent": "i", "skill": "s"}, "skill", "s"),
        ({"text": "a", "domain": "d", "intent": "i", "skill": "s"}, "intent", "i"),
        ({"text": "a", "domain": "d", "intent": "i", "skill": "s"}, "domain", "d"),
        ({"text": "a", "domain": "d"}, "intent", None),
        ({"text": "a", "domain": None}, "skill", None),
        ({"text": "", "domain": "d"}, "skill", None),
        ({"text": "a", "domain": "d", "skill": 5}, "skill", None),
    ],
)
def test_the_skill_of_a_line(line: dict[str, object], of: str, skill: str | None) -> None:
    line_of_skill = skill_utterance(decode_example(json.dumps(line)), of)  # type: ignore[arg-type]
    assert (line_of_skill and line_of_skill.skill) == skill


def test_a_line_may_name_further_acceptable_skills() -> None:
    line = {"text": "a", "domain": "d", "skill": "s", "acceptable": ["t", 5]}
    line_of_skill = skill_utterance(decode_example(json.dumps(line)))
    assert line_of_skill
    assert line_of_skill.acceptable == {"s", "t"}


# ------------------------------------------------------------------------------------------------------------ artifacts


def test_a_written_shortlister_answers_the_same_and_has_the_same_version(tmp_path: Path) -> None:
    built = build(lines(), classifier=partial(train_classifier, plan=TrainingPlan(epochs=1)))
    one, two = (
        write(built, tmp_path / "one"),
        write(build(lines(), classifier=partial(train_classifier, plan=TrainingPlan(epochs=1))), tmp_path / "two"),
    )
    assert one.version == two.version
    assert verified(tmp_path / "one").domain == NAME
    again = load_shortlister(tmp_path / "one", one.version)
    for query in ("play jazz radio", "wet tomorrow", "wake me"):
        assert again.shortlist(query) == built.shortlister.shortlist(query)
    assert again.version == read_manifest(tmp_path / "two").version


def test_a_shortlister_with_skills_added_later_is_not_written(tmp_path: Path, shortlister: Shortlister) -> None:
    with pytest.raises(InputError, match="added or removed"):
        save_shortlister(shortlister.with_skills({"d": [Skill("s")]}), tmp_path)


def test_a_folder_with_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="holds something else"):
        write(build(lines(50)), tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


DAMAGE = {
    "no index": lambda folder: (folder / "index.npz").unlink(),
    "half an index": lambda folder: (folder / "index.npz").write_bytes((folder / "index.npz").read_bytes()[:999]),
    "skills that are none": lambda folder: (folder / "skills.json").write_text('{"names": [5], "domains": []}'),
    "a skill too few": lambda folder: (folder / "skills.json").write_text('{"names": ["a"], "domains": ["b"]}'),
    "other features": lambda folder: changed(folder, "calibration", {"weights": [1.0]}),
    "other signs": lambda folder: changed(folder, "calibration", {"weights": [0.0] * len(FEATURES), "signs": [1.0]}),
    "a step of nothing": lambda folder: changed(folder, "step", 0.0),
}


def changed(folder: Path, key: str, value: object) -> None:
    path = folder / "shortlist.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_artifact_is_refused_with_a_reason(tmp_path: Path, shortlister: Shortlister, damage: str) -> None:
    save_shortlister(shortlister, tmp_path)
    DAMAGE[damage](tmp_path)
    with pytest.raises(ArtifactError, match="train it again"):
        load_shortlister(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("postings", lambda a: a | np.uint32(1 << 31)),
        ("starts", lambda a: a[::-1].copy()),
        ("grams", lambda a: a[::-1].copy()),
        ("base", lambda a: a * np.nan),
        ("rarity", lambda a: a.astype(np.float32)),
        ("missing", lambda a: a[:1]),
        ("grams", lambda a: np.array([{}], dtype=object)),
    ],
)
def test_arrays_that_a_lookup_would_fail_on_are_refused(
    tmp_path: Path, shortlister: Shortlister, name: str, change: object
) -> None:
    save_shortlister(shortlister, tmp_path)
    arrays = dict(np.load(tmp_path / "index.npz"))
    arrays[name] = change(arrays[name])  # type: ignore[operator]
    np.savez(tmp_path / "index.npz", **arrays)
    with pytest.raises(ArtifactError, match="shortlister"):
        load_shortlister(tmp_path)


def test_the_stores_self_test_covers_a_shortlister(tmp_path: Path) -> None:
    write(build(lines(100)), tmp_path / "artifact")
    assert problem(tmp_path / "artifact", NAME) is None
    (tmp_path / "artifact" / "index.npz").write_bytes(b"PK")
    assert problem(tmp_path / "artifact", NAME)


def test_the_self_test_names_the_broken_guarantee(shortlister: Shortlister) -> None:
    assert shortlister_problem(shortlister) is None

    class Drifting:
        called = 0

        def best(self, utterance: str, k: int) -> tuple[np.ndarray, np.ndarray]:
            return np.arange(4), np.zeros(4)

        def scores(self, utterance: str, skills: np.ndarray) -> np.ndarray:
            self.called += 1
            return np.full(len(skills), float(self.called % 7))

    assert "another shortlist later" in (shortlister_problem(with_kernel(shortlister, Drifting())) or "")


def test_the_stage_reads_its_settings_and_the_account(shortlister: Shortlister) -> None:
    stage = Shortlisting(shortlister, ShortlistSettings(k=1, floor=0.0))
    found, _ = stage(Request(utterance="play radio music", account={"enabled": ["rock-radio"]}))
    assert [one.skill for one in found] == ["rock-radio"]


def test_the_command_reports_skipped_lines_and_the_next_command(tmp_path: Path, arbitrank) -> None:
    store = ("--store", str(tmp_path / "store"))
    absent = arbitrank("shortlist", "query", "hi", *store)
    assert f"run: arbitrank shortlist train --data … --promote --store {tmp_path / 'store'}" in absent.stderr
    data = tmp_path / "data.jsonl"
    lines = [{"text": f"say number {i}", "domain": "d", "skill": "a\nb"} for i in range(5)]
    data.write_text("\n".join(map(json.dumps, [*lines, {"text": "x", "domain": "d", "skill": 5}])))
    done = arbitrank("shortlist", "train", "--data", str(data), "--no-domains", *store)
    assert "1 lines without words, or whose skill is no name, are left out" in done.stderr
    assert "kept back" in done.stdout or "too few" in done.stdout
    assert "arbitrank promote .shortlist" in arbitrank("shortlist", "query", "hi", *store).stderr
    arbitrank("promote", "shortlist", *store)
    found = arbitrank("shortlist", "query", "say number 3", "--no-domains", *store).stdout
    assert "a\ufffdb" in found or "a b" in found
    assert "every domain is queried" in arbitrank("rollback", "shortlist", "--to-package", *store).stdout


def test_no_domain_may_have_the_shortlisters_reserved_name() -> None:
    line = skill_utterance(decode_example(json.dumps({"text": "a", "domain": SHORTLIST})))
    assert line
    with pytest.raises(InputError, match="no domain may have"):
        build([line])
