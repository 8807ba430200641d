"""A domain built on the toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from arbitrank.domain import Settings
from arbitrank.errors import ArtifactError, DataError
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.learn.rerankers import Factored, LogLinear
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

PLAIN = Settings(calibrate=False)
ROOMS = ("hall", "attic", "kitchen", "shed", "garden", "cellar")


class Lights(ReferenceDomain):
    """A domain that knows two of its rooms."""

    name = "lights"
    context_keys = ("device", "dark")

    def describe(self, hypothesis: Hypothesis) -> Mapping[str, float]:
        return {"room_known": float(any(slot.value in ("hall", "attic") for slot in hypothesis.slots))}


def corpus() -> list[Example]:
    examples = []
    for i, (do, room) in enumerate(product(("dim", "turn on", "turn off", "light"), ROOMS)):
        text = f"{do} the {room}"
        slot = Slot("room", room, start=len(text) - len(room), end=len(text))
        context = {"device": "hub", "dark": bool(i % 3)}
        truth = Truth("lights", "Dim" if do == "dim" else "Switch", (slot,))
        examples.append(Example(Request(utterance=text, context=context), truth))
    for do, what in product(("buy", "cook", "find", "turn"), ("milk", "eggs", "rice", "the page")):
        examples.append(
            Example(Request(utterance=f"{do} {what}", context={"device": "phone", "dark": False}), Truth(None))
        )
    return examples


def with_hypotheses(n: int = 60) -> list[Example]:
    """Requests that bring hypotheses of two domains."""
    examples = []
    for i in range(n):
        own = i % 2 == 0
        hypotheses = (
            Hypothesis("lights", "Switch", 0.7 if own else 0.3, 0.9, features={"given": float(own)}),
            Hypothesis("heating", "Warm", 0.99, 0.99),
            Hypothesis("lights", "Dim", 0.7 if own else 0.3, 0.1),
        )
        truth = Truth("lights", "Switch") if own else Truth("heating", "Warm")
        examples.append(Example(Request(id=str(i), hypotheses=hypotheses), truth))
    return examples


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    folder = tmp_path_factory.mktemp("lights")
    return folder, Lights().train(corpus(), folder, PLAIN)


@pytest.fixture(scope="module")
def model(trained: tuple[Path, Mapping[str, Any]]) -> ReferenceModel:
    loaded = Lights().load(trained[0])
    assert isinstance(loaded, ReferenceModel)
    return loaded


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_training_writes_a_recogniser_and_a_reranker_and_reports(trained: tuple[Path, Mapping[str, Any]]) -> None:
    folder, report = trained
    files = {"reranker/weights.json"} | {
        f"recogniser/{name}" for name in ("recogniser.json", "classifier.npz", "tagger.npz")
    }
    assert set(content(folder)) == files
    assert (report["examples"], report["own"], report["model"]) == (40, 24, "factored")
    assert report["hypotheses"] > 40
    assert "features.room_known" in report["features"]
    assert "context.dark" in report["features"]


def test_training_twice_gives_the_same_bytes(trained: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    Lights().train(corpus(), tmp_path, PLAIN)
    assert content(tmp_path) == content(trained[0])


def test_it_reads_and_scores_what_it_never_saw(model: ReferenceModel) -> None:
    own, other = Request(utterance="dim the hall please", context={"device": "hub"}), Request(utterance="buy bread")
    scores = {}
    for request in (own, other):
        hypotheses = model.recognise(request)
        scores[request.utterance] = model.rerank(
            Request(utterance=request.utterance, context=request.context, hypotheses=tuple(hypotheses))
        )
    assert model.recognise(own)[0].intent == "Dim"
    assert scores["dim the hall please"].mine > 0.6
    assert scores["buy bread"].mine < 0.4


def test_a_domains_own_features_are_on_every_hypothesis(model: ReferenceModel) -> None:
    best = model.recognise(Request(utterance="turn on the hall"))[0]
    assert [(slot.name, slot.value) for slot in best.slots] == [("room", "hall")]
    assert best.features == {"room_known": 1.0}
    assert all(set(h.features) == {"room_known"} for h in model.recognise(Request(utterance="turn on the sun")))


@pytest.mark.parametrize("utterance", [None, "", "   ", "\n"])
def test_without_a_word_there_is_no_reading(model: ReferenceModel, utterance: str | None) -> None:
    assert model.recognise(Request(utterance=utterance)) in ((), [])


def test_the_answer_is_the_same_in_any_order_and_from_any_thread(model: ReferenceModel) -> None:
    utterances = [f"{do} the {room} {please}" for do, room, please in product(("dim", "light"), ROOMS, ("", "now"))]

    def answer(utterance: str) -> tuple[Any, float, list[float]]:
        hypotheses = tuple(model.recognise(Request(utterance=utterance)))
        scores = model.rerank(Request(utterance=utterance, hypotheses=hypotheses))
        return hypotheses, scores.mine, scores.right.tolist()

    first = [answer(utterance) for utterance in utterances]
    assert [answer(utterance) for utterance in reversed(utterances)] == first[::-1]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, utterances * 3)) == first * 3


def test_hypotheses_that_the_examples_bring_are_used_the_domains_own_alone(tmp_path: Path) -> None:
    report = Lights().train(with_hypotheses(), tmp_path, PLAIN)
    assert set(content(tmp_path)) == {"reranker/weights.json"}
    assert report["hypotheses"] == 120
    assert "features.given" in report["features"]
    blind = Lights().load(tmp_path)
    assert blind.recognise(Request(utterance="dim the hall")) == ()
    own = tuple(h for h in with_hypotheses()[0].request.hypotheses or () if h.domain == "lights")
    assert blind.rerank(Request(hypotheses=own)).right.argmax() == 0


def test_another_domains_hypotheses_change_nothing(tmp_path: Path) -> None:
    examples = with_hypotheses()
    alone = [
        Example(
            Request(id=e.request.id, hypotheses=tuple(h for h in e.request.hypotheses or () if h.domain == "lights")),
            e.truth,
        )
        for e in examples
    ]
    Lights().train(examples, tmp_path / "with", Settings())
    Lights().train(alone, tmp_path / "without", Settings())
    assert content(tmp_path / "with") == content(tmp_path / "without")


@pytest.mark.parametrize("form", ["sigmoid", "softmax", "null"])
def test_the_settings_choose_the_model(tmp_path: Path, form: Any) -> None:
    Lights().train(with_hypotheses(), tmp_path, Settings(model="loglinear", loss="r2", form=form, calibrate=False))
    model = Lights().load(tmp_path)
    assert isinstance(model, ReferenceModel)
    assert isinstance(model.reranker, LogLinear)
    assert model.reranker.form == form


def test_by_default_the_model_is_factored(model: ReferenceModel) -> None:
    assert isinstance(model.reranker, Factored)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (corpus() + with_hypotheses(), "60 of 100 examples bring hypotheses, expected all or none"),
        ([e for e in corpus() if e.truth.domain is None], "0 of 16 examples are its own"),
        ([], "0 of 0 examples are its own"),
        (
            [
                Example(Request(hypotheses=(Hypothesis("heating", "Warm"),)), truth)
                for truth in (Truth("lights"), Truth(None))
            ],
            "no hypothesis of 2 examples is its own",
        ),
        (corpus()[-16:] + corpus()[:1], "none of its 1 own examples is read by a recogniser"),
    ],
)
def test_examples_that_do_not_suffice_are_refused(tmp_path: Path, examples: list[Example], message: str) -> None:
    with pytest.raises(DataError, match=f"domain lights: {message}"):
        Lights().train(examples, tmp_path, Settings())


def test_progress_is_reported_by_stage(tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    Lights().train(corpus(), tmp_path, Settings(folds=2, progress=lambda *step: reported.append(step)))
    assert reported == [
        ("recogniser", 0, 1),
        ("recogniser", 1, 1),
        ("cross-fitting", 0, 2),
        ("cross-fitting", 1, 2),
        ("cross-fitting", 2, 2),
        ("re-ranker", 0, 1),
        ("re-ranker", 1, 1),
    ]


@pytest.mark.parametrize("part", ["reranker", "recogniser"])
def test_what_another_domain_was_trained_for_is_refused(
    trained: tuple[Path, Mapping[str, Any]], tmp_path: Path, part: str
) -> None:
    ReferenceDomain("heating").train(
        [Example(e.request, Truth(e.truth.domain and "heating")) for e in corpus()], tmp_path, Settings(folds=2)
    )
    other = "recogniser" if part == "reranker" else "reranker"
    (tmp_path / other).rename(tmp_path / "away")
    (tmp_path / other).mkdir()
    for path in (trained[0] / other).iterdir():
        (tmp_path / other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ArtifactError, match="of 'heating', expected one of 'lights'"):
        Lights().load(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"weights\.json"):
        Lights().load(tmp_path)


def test_a_domain_without_more_to_say_needs_only_a_name() -> None:
    domain = ReferenceDomain("heating")
    assert domain.name == "heating"
    assert [skill.name for skill in domain.skills] == ["heating"]
    assert domain.shipped is None
    assert list(domain.examples()) == []
    assert domain.describe(Hypothesis("heating", "Warm")) == {}
