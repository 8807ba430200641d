"""The Shortlister's classifier, and the techniques that change its targets between epochs."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from arbitrank.errors import ArtifactError, DataError, InputError
from arbitrank.probability import sigmoid
from arbitrank.shortlist.artifact import load_shortlister, save_shortlister
from arbitrank.shortlist.build import SkillUtterance
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.classifier import SkillClassifier, statistics
from arbitrank.shortlist.classifier_training import (
    Corrections,
    FineTuning,
    SelfTraining,
    fine_tune,
    retrain,
    train_classifier,
)
from arbitrank.shortlist.epochs import (
    Distillation,
    PseudoLabels,
    TrainingPlan,
    above,
    frequent_pairs,
    highest,
    lasting,
    streaks,
    train,
)
from arbitrank.shortlist.index_training import train_index
from arbitrank.shortlist.network import Network, NetworkShape, inputs, one_label
from arbitrank.shortlist.ngrams import bags, classifier_grams, vocabulary
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Request

THINGS = ("taxi", "tune", "table", "flight")
TEMPLATES = ("get me a {}", "a {} please", "i need one {} now", "{} for two", "could you find a {}")
# The first two skills serve the same requests; each training example names one of them.
OWNERS = ((0, 1), (2,), (3,), (4,))


def corpus(each: int = 40, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Utterances, the skill named by each, and the acceptable skills: bool, shape (n, 5)."""
    rng = np.random.default_rng(seed)
    utterances, named, acceptable = [], [], np.zeros((each * len(THINGS), 5), bool)
    for thing, owners in zip(THINGS, OWNERS, strict=True):
        for i in range(each):
            acceptable[len(utterances), list(owners)] = True
            utterances.append(str(rng.choice(TEMPLATES)).format(thing))
            named.append(owners[i % len(owners)])
    return utterances, np.array(named), acceptable


def matrices(utterances: list[str], named: np.ndarray, skills: int = 5) -> tuple[csr_array, csr_array, np.ndarray]:
    words = vocabulary(bags(utterances), least=1)
    return inputs(bags(utterances), words), one_label(named, skills), words


def saved(classifier: SkillClassifier, folder: Path) -> Path:
    """A Shortlister with this classifier, saved; the path of the classifier's arrays."""
    index = train_index([], np.empty(0, np.int64), 0)
    save_shortlister(Shortlister(SkillCatalogue(), index, classifier=classifier), folder)
    return folder / "learned" / "weights.npz"


@pytest.fixture(scope="module")
def learned() -> SkillClassifier:
    utterances, named, _ = corpus()
    x, y, words = matrices(utterances, named)
    return train(x, y, TrainingPlan(NetworkShape(rate=0.1, batch=16), epochs=8)).network.frozen(
        np.array([3, 5, 6, 8, 13]), words
    )


# Hashing


@given(st.text(max_size=40))
def test_grams_are_ascending_and_unique(utterance: str) -> None:
    found = classifier_grams(utterance)
    assert found.dtype == np.uint32
    assert (np.diff(found.astype(np.int64)) > 0).all()


def test_a_bag_holds_the_grams_of_each_utterance() -> None:
    found = bags(["play a tune", "", "tune"])
    assert len(found) == 3
    for i, utterance in enumerate(["play a tune", "", "tune"]):
        assert found.hashes[found.starts[i] : found.starts[i + 1]].tolist() == classifier_grams(utterance).tolist()


def test_inputs_have_length_one_over_the_known_grams() -> None:
    words = vocabulary(bags(["a tune", "a tune", "taxi"]), least=2)
    x = inputs(bags(["a tune", "taxi", "a tune and more"]), words)
    assert np.allclose(np.asarray((x * x).sum(axis=1)), [1.0, 0.0, 1.0])


# The model as it serves


def test_the_best_skill_comes_first(learned: SkillClassifier) -> None:
    numbers, z = learned.best("could you find a flight", 2)
    assert numbers[0] == 13
    assert z[0] > z[1]


def test_scores_equal_those_of_best_and_are_nan_for_unknown_skills(learned: SkillClassifier) -> None:
    numbers, z = learned.best("a taxi please", 5)
    assert learned.scores("a taxi please", numbers).tolist() == z.tolist()
    scores = learned.scores("a taxi please", np.array([4, 13, 99]))
    assert np.isnan(scores).tolist() == [True, False, True]


def test_unknown_words_give_nothing(learned: SkillClassifier) -> None:
    assert len(learned.best("zzz qqq", 3)[0]) == 0
    assert np.isnan(learned.scores("", np.array([3, 13]))).all()


def test_ties_go_to_the_lower_number(learned: SkillClassifier) -> None:
    same = replace(learned, output=np.zeros_like(learned.output), bias=np.zeros_like(learned.bias))
    assert same.best("a taxi", 3)[0].tolist() == [3, 5, 6]


@pytest.mark.parametrize(("hidden", "with_statistics"), [(0, False), (8, False), (0, True), (8, True)])
def test_the_served_classifier_equals_the_trained_network(hidden: int, with_statistics: bool, tmp_path: Path) -> None:
    utterances, named, _ = corpus(each=15)
    x, y, words = matrices(utterances, named)
    plan = TrainingPlan(
        NetworkShape(hidden=hidden, batch=16), epochs=4, distil=Distillation(0.2, statistics=with_statistics)
    )
    trained = train(x, y, plan)
    saved(trained.network.frozen(np.arange(5), words, trained.usual), tmp_path)
    model = load_shortlister(tmp_path).classifier
    assert model is not None
    expected = trained.log_odds(x)
    for i in range(0, len(utterances), 7):
        assert model.scores(utterances[i], np.arange(5)) == pytest.approx(expected[i], abs=1e-4)


def test_damaged_weights_are_refused_by_name(learned: SkillClassifier, tmp_path: Path) -> None:
    path = saved(learned, tmp_path)
    arrays = {field.name: getattr(learned, field.name) for field in fields(SkillClassifier)}
    for name, wrong in [
        ("bias", np.full_like(learned.bias, np.nan)),
        ("output", learned.output[:, :2]),
        ("skills", learned.skills[::-1].copy()),
        ("vocabulary", learned.vocabulary.astype(np.int64)),
    ]:
        np.savez(path, **{**arrays, name: wrong})
        with pytest.raises(ArtifactError, match=name):
            load_shortlister(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtifactError, match="train it again"):
        load_shortlister(tmp_path)


def test_pickled_arrays_are_never_read(learned: SkillClassifier, tmp_path: Path) -> None:
    path = saved(learned, tmp_path)
    arrays = {field.name: getattr(learned, field.name) for field in fields(SkillClassifier)}
    np.savez(path, **{**arrays, "bias": np.array([{}, None], object)})
    with pytest.raises(ArtifactError, match="not a readable shortlister"):
        load_shortlister(tmp_path)


# Training


def test_the_same_seed_gives_the_same_weights_to_the_bit() -> None:
    utterances, named, _ = corpus(each=10)
    x, y, words = matrices(utterances, named)
    plan = TrainingPlan(
        NetworkShape(hidden=4, batch=8, sampled=9), 3, PseudoLabels(1, 1, 0.5), Distillation(0.3), seed=7
    )
    one, two, other = (train(x, y, p).network.frozen(np.arange(5), words) for p in (plan, plan, replace(plan, seed=8)))
    assert one.output.tobytes() == two.output.tobytes()
    assert one.output.tobytes() != other.output.tobytes()


def test_a_sample_of_the_skills_ranks_as_all_of_them_do() -> None:
    """With far more skills than a batch's negatives, each utterance's own is still found."""
    skills, rng = 400, np.random.default_rng(0)
    named = np.repeat(np.arange(skills), 3)
    utterances = [f"{rng.choice(['open', 'ask', 'start'])} word{skill}" for skill in named]
    x, y, _ = matrices(utterances, named, skills)
    z = train(x, y, TrainingPlan(NetworkShape(rate=0.1, batch=64, all_skills=100, sampled=40), epochs=8)).log_odds(x)
    assert (z.argmax(axis=1) == named).mean() > 0.95


def test_training_without_data_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        train(csr_array((0, 3), dtype=np.float32), csr_array((0, 2), dtype=np.float32))
    with pytest.raises(InputError, match="expected at least 1"):
        TrainingPlan(epochs=0)


# Pseudo-labels


def test_only_labels_above_the_assigned_one_are_found_and_at_most_the_given_number() -> None:
    p = np.array([[0.5, 0.6, 0.7, 0.8], [0.5, 0.4, 0.3, 0.2]])
    truth = one_label(np.array([0, 0]), 4)
    assert above(p, truth, PseudoLabels(most=2)).toarray().tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
    assert above(p, truth, PseudoLabels(most=2, ratio=0.7)).toarray().tolist()[1] == [0, 1, 0, 0]
    assert above(p, truth, PseudoLabels(most=3, ratio=0.3, least=0.35)).toarray().tolist()[1] == [0, 1, 0, 0]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12), st.integers(1, 4))
def test_a_pseudo_label_is_found_in_all_of_the_trailing_epochs(history: list[list[bool]], epochs: int) -> None:
    length, truth = csr_array((1, 3), dtype=np.int32), csr_array((1, 3), dtype=np.float32)
    for past, found in enumerate(history, 1):
        length = streaks(length, csr_array(np.array([found], np.int32)))
        labels = lasting(length, truth, PseudoLabels(epochs=epochs)).toarray()[0] > 0
        trailing = np.array(history[max(0, past - epochs) : past]).all(axis=0)
        assert labels.tolist() == (trailing if past >= epochs else np.zeros(3, bool)).tolist()


def test_a_pair_that_is_seldom_found_together_gives_no_label() -> None:
    assigned = one_label(np.array([0, 0, 0, 0, 1]), 3)
    labels = csr_array(np.array([[0, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]], np.float32))
    assert frequent_pairs(labels, assigned, 0.5).toarray().tolist() == [
        [0, 1, 0],
        [0, 1, 0],
        [0, 1, 0],
        [0, 0, 0],
        [1, 0, 0],
    ]


def test_pseudo_labels_find_the_second_acceptable_skill() -> None:
    utterances, named, acceptable = corpus()
    x, y, _ = matrices(utterances, named)
    plan = TrainingPlan(NetworkShape(rate=0.1, batch=16), 10, PseudoLabels(most=2, epochs=3, ratio=0.25, least=0.2))
    labels = train(x, y, plan).labels.toarray() > 0
    both = acceptable.sum(axis=1) == 2
    assert labels[both][:, :2].all(axis=1).mean() > 0.9
    assert (labels & ~acceptable).mean() < 0.01
    assert (train(x, y, replace(plan, pseudo=None)).labels != y).nnz == 0


@pytest.mark.parametrize("wrong", [{"most": 0}, {"epochs": 0}, {"ratio": 0.0}, {"ratio": 1.5}, {"share": 2.0}])
def test_rules_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        PseudoLabels(**wrong)  # type: ignore[arg-type]


# Self-distillation


def test_the_highest_outputs_of_each_row_are_kept() -> None:
    outputs = highest(np.array([[0.9, 0.2, 0.4]]), 2)
    assert outputs.toarray() == pytest.approx(np.array([[0.9, 0.0, 0.4]]))


@given(st.lists(st.floats(-8, 8), min_size=1, max_size=6))
def test_statistics_are_those_of_the_probabilities(z: list[float]) -> None:
    best, second, total, entropy = statistics(np.array([z]))[0]
    p = sorted(sigmoid(np.array(z)), reverse=True)
    assert best == pytest.approx(p[0], abs=1e-5)
    assert second == pytest.approx(p[min(1, len(p) - 1)], abs=1e-5)
    assert total == pytest.approx(sum(p), abs=1e-4)
    assert entropy >= 0.0


# Negative feedback


def probabilities(wrong: float, flipped: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Before and after feedback that skill 1 cannot serve the taxi utterances; `flipped` of it is against skill 0."""
    utterances, named, _ = corpus()
    x, y, _ = matrices(utterances, named)
    before, after = (train(x, y, TrainingPlan(NetworkShape(rate=0.1, batch=16), epochs=8)) for _ in range(2))
    taxis = np.flatnonzero(np.isin(named, (0, 1)))
    columns = (np.random.default_rng(seed).random(len(taxis)) >= flipped).astype(np.int64)
    fine_tune(after, x, x[taxis], columns, FineTuning(wrong, epochs=6, slower=1.0))
    return sigmoid(before.log_odds(x).astype(float)), sigmoid(after.log_odds(x).astype(float))


def test_a_correction_lowers_that_label_and_no_other() -> None:
    before, after = probabilities(wrong=0.1, flipped=0.0)
    taxis = slice(0, 40)
    assert after[taxis, 1].mean() < before[taxis, 1].mean() - 0.1
    assert after[taxis, 0].mean() > before[taxis, 0].mean() - 0.05
    for skill in (2, 3, 4):
        own = slice(40 * (skill - 1), 40 * skill)
        assert after[own, skill].mean() > before[own, skill].mean() - 0.05


def test_feedback_with_30_per_cent_errors_still_lowers_the_wrong_skill() -> None:
    before, after = probabilities(wrong=0.3, flipped=0.3)
    taxis = slice(0, 40)
    assert after[taxis, 0].mean() > after[taxis, 1].mean() + 0.05
    assert after[taxis, 0].mean() > 0.5 * before[taxis, 0].mean()
    assert (after[40:].argmax(axis=1) == before[40:].argmax(axis=1)).all()


def test_more_reliable_feedback_moves_scores_further() -> None:
    moved = [before[:40, 1].mean() - after[:40, 1].mean() for before, after in map(probabilities, (0.05, 0.3), (0, 0))]
    assert moved[0] > moved[1] > 0.0


def test_no_feedback_changes_nothing() -> None:
    utterances, named, _ = corpus(each=5)
    x, y, _ = matrices(utterances, named)
    trained = train(x, y, TrainingPlan(epochs=1))
    before = trained.log_odds(x)
    fine_tune(trained, x, x[:0], np.empty(0, np.int64))
    assert (trained.log_odds(x) == before).all()


def test_a_row_of_one_skill_changes_only_that_skill() -> None:
    """The gradient of one correction is zero for every other skill's weights."""
    x, y = csr_array(np.array([[1.0]], np.float32)), csr_array((1, 3), dtype=np.float32)
    network = Network(1, 3, NetworkShape(decay=0.0))
    before = network.log_odds(x)
    network.epoch(x, y, np.arange(1), only=one_label(np.array([1]), 3))
    assert (network.log_odds(x) != before).tolist() == [[False, True, False]]


# Unlabelled utterances


def test_unlabelled_utterances_teach_words_that_labelled_ones_lack() -> None:
    utterances = ["book a taxi"] * 20 + ["hear a tune"] * 20
    more = ["taxi cab"] * 20 + ["tune song"] * 20
    words = vocabulary(bags(utterances + more), least=1)
    x, unlabelled = inputs(bags(utterances), words), inputs(bags(more), words)
    y = one_label(np.repeat([0, 1], 20), 2)
    plan = TrainingPlan(NetworkShape(rate=0.2, batch=8), epochs=12)
    first = train(x, y, plan)
    second = retrain(first, x, unlabelled, plan, SelfTraining(least=0.5))
    cab = inputs(bags(["cab"]), words)
    gap = [float(np.diff(trained.log_odds(cab)[0])[0]) for trained in (first, second)]
    assert gap[0] == pytest.approx(0.0, abs=0.2)
    assert gap[1] < -0.5


# The second kernel, and the command


def line_of(utterance: str, skill: str) -> SkillUtterance:
    return SkillUtterance(utterance, skill, skill, frozenset([skill]), Request(utterance=utterance))


def test_the_second_kernel_knows_skills_by_their_numbers() -> None:
    lines = [line_of(f"a {thing} please", thing) for thing in THINGS for _ in range(10)]
    numbers = [7 * THINGS.index(line.skill) for line in lines]
    plan = TrainingPlan(NetworkShape(rate=0.1, batch=16), epochs=6)
    kernel = train_classifier(lines, numbers, plan, unlabelled=("one taxi", "one tune"))
    assert kernel.skills.tolist() == [0, 7, 14, 21]
    assert kernel.best("a flight please", 1)[0].tolist() == [21]


def test_a_model_that_would_be_too_large_gets_a_hidden_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.shortlist.classifier_training._WEIGHTS", 20)
    lines = [line_of(f"a {thing} please", thing) for thing in THINGS for _ in range(60)]
    kernel = train_classifier(lines, [THINGS.index(line.skill) for line in lines])
    assert kernel.hidden.shape[1] == 64
    assert kernel.best("a flight please", 1)[0].tolist() == [3]


def test_corrections_of_known_skills_reach_the_second_kernel() -> None:
    lines = [line_of("a taxi please", skill) for skill in ("cabs", "cars") for _ in range(20)]
    wrong = Corrections({("a taxi please", "cars"): 3, ("a taxi please", "gone"): 3})
    plan, rule = TrainingPlan(NetworkShape(rate=0.1, batch=8), epochs=6), FineTuning(epochs=8, weight=4.0, slower=1.0)
    kernel = train_classifier(lines, [0] * 20 + [1] * 20, plan, corrections=wrong, fine_tuning=rule)
    assert kernel.best("a taxi please", 1)[0].tolist() == [0]


def test_the_command_trains_it_with_every_technique(tmp_path: Path, arbitrank) -> None:
    utterances, named, _ = corpus(each=15)
    data, more, out = tmp_path / "data.jsonl", tmp_path / "more.txt", tmp_path / "out"
    lines = [
        {"text": text, "domain": f"d{skill}", "intent": "i"} for text, skill in zip(utterances, named, strict=True)
    ]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    more.write_text("one taxi\n\none tune\n")
    train_ = ("shortlist", "train", "--data", str(data), "--no-domains", "--out", str(out))
    lesson = (
        "--epochs",
        "4",
        "--pseudo-labels",
        "0.25",
        "--in-a-row",
        "2",
        "--distil",
        "0.2",
        "--unlabelled",
        str(more),
    )
    done = arbitrank(*train_, "--learned", *lesson)
    assert done.returncode == 0, done.stderr
    found = arbitrank("shortlist", "query", "a flight please", "--folder", str(out), "--no-domains", "--json")
    assert json.loads(found.stdout)[0]["skill"] == "d4"
    refused = arbitrank(*train_, "--distil", "0.2")
    assert refused.returncode == 2
    assert "--distil: no --learned; expected both" in refused.stderr
    refused = arbitrank(*train_, "--learned", "--unlabelled", str(tmp_path / "nothing"))
    assert refused.returncode == 2
    assert "expected a text file" in refused.stderr
