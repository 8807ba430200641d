"""Training of re-rankers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from arbitrank.domain import Settings
from arbitrank.evaluate.metrics import brier, nll
from arbitrank.learn.evidence import gather, label, own_request
from arbitrank.learn.linear_training import train_factored, train_loglinear
from arbitrank.learn.losses import mixed
from arbitrank.learn.matrices import plain_matrix
from arbitrank.learn.model_selection import learn
from arbitrank.learn.rerankers import Factored, LogLinear, baseline
from arbitrank.probability import log_loss
from arbitrank.values import Hypothesis, Request, Slot, Truth

Traffic = tuple[list[Request], list[Truth]]
LOSSES, FORMS = ("r1", "r2", "r3"), ("sigmoid", "softmax", "null")


def traffic(n: int, seed: int, own: float = 0.4) -> Traffic:
    """Requests of which a share is the domain's own, its recogniser being too sure of itself in every part.

    On a phone the request is the domain's more often than its recogniser believes.
    """
    rng = np.random.default_rng(seed)
    requests, truths = [], []
    for i in range(n):
        phone = bool(rng.random() < 0.5)
        mine = bool(rng.random() < own * (1.5 if phone else 0.5))
        belief = rng.normal(1.2 if mine else -1.2, 1.2)
        odds = np.append(rng.normal(0.0, 1.0, 3), 0.0)
        right = int(rng.choice(3, p=np.exp(0.7 * odds[:3]) / np.exp(0.7 * odds[:3]).sum()))
        chances = np.exp(2.0 * odds[:3]) / np.exp(2.0 * odds[:3]).sum()
        domain = 1.0 / (1.0 + np.exp(-2.0 * belief))
        slots = float(rng.uniform(0.6, 1.0))
        hypotheses = tuple(
            Hypothesis("lights", f"i{k}", domain, float(chances[k]), slots_confidence=slots)
            for k in np.argsort(-chances)
        )
        context = {"device": "phone" if phone else "hub"}
        requests.append(Request(id=str(i), utterance="turn it on", context=context, hypotheses=hypotheses))
        truths.append(Truth("lights", f"i{right}") if mine else Truth(None))
    return requests, truths


@cache
def plenty() -> Traffic:
    return traffic(2000, 1)


@cache
def fresh() -> Traffic:
    return traffic(2000, 2)


def some() -> Traffic:
    return fresh()[0][:800], fresh()[1][:800]


def fitted(data: Traffic, *, context: bool = True, **options: Any) -> Factored | LogLinear:
    chosen = Settings(**{"model": "factored", **options})
    evidence = gather("lights", *data, context=context)
    return (train_factored if chosen.model == "factored" else train_loglinear)(evidence, chosen)


def outcomes(reranker: Any, data: Traffic) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each request's best hypothesis, and whether it was entirely right."""
    p, y = [], []
    for request, truth in zip(*data, strict=True):
        right = reranker.rerank(request).right
        best = int(right.argmax())
        p.append(right[best])
        y.append(float((request.hypotheses or ())[best].intent == truth.intent))
    return np.array(p), np.array(y)


def mine(reranker: Any, data: Traffic) -> np.ndarray:
    return np.array([reranker.rerank(request).mine for request in data[0]])


def owned(data: Traffic) -> np.ndarray:
    return np.array([float(truth.domain == "lights") for truth in data[1]])


def test_a_trained_reranker_is_better_calibrated_than_the_baseline_on_requests_it_never_saw() -> None:
    start = baseline("lights", plenty()[0])
    for reranker in (fitted(plenty()), fitted(plenty(), model="loglinear", loss="r2", form="null")):
        for score in (nll, brier):
            assert score(*outcomes(reranker, fresh())) < 0.97 * score(*outcomes(start, fresh()))
    factored = fitted(plenty())
    assert nll(mine(factored, fresh()), owned(fresh())) < 0.95 * nll(mine(start, fresh()), owned(fresh()))
    assert abs(mine(factored, fresh()).mean() - owned(fresh()).mean()) < 0.03


def test_the_situation_is_learned() -> None:
    reranker = fitted(plenty())
    assert {s.name for s in reranker.spec.situations} == {"context.device=hub", "context.device=phone"}
    (request, *_), _ = fresh()
    chances = []
    for device in ("phone", "unknown", "hub"):
        queried = Request(utterance=request.utterance, context={"device": device}, hypotheses=request.hypotheses)
        chances.append(reranker.rerank(queried).mine)
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > chances[2] + 0.05
    assert fitted(plenty(), context=False).spec.situations == ()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_training_lowers_the_loss_it_is_for(loss: str, form: Any) -> None:
    data = traffic(400, 3)
    evidence = gather("lights", *data)
    reranker = train_loglinear(evidence, Settings(model="loglinear", loss=loss, form=form, l2=1e-6))  # type: ignore[arg-type]
    assert isinstance(reranker, LogLinear)
    assert reranker.form == form
    matrix = plain_matrix(reranker.spec, evidence.requests, evidence.batch.starts)
    r1, r2 = {"r1": (1.0, 0.0), "r2": (0.0, 1.0), "r3": (1.0, 1.0)}[loss]
    start = np.array([float(name in ("domain.logit", "intent.log", "slots.log")) for name in reranker.spec.plain_names])
    before, _ = mixed(matrix @ start, evidence.batch, form, r1, r2)
    after, slope = mixed(matrix @ np.array(reranker.weights.values), evidence.batch, form, r1, r2)
    assert after < before
    if loss != "r1":  # R1 has no minimum to arrive at: it goes on falling where weights grow
        assert np.abs(matrix.T @ slope).max() < 0.01


@pytest.mark.parametrize("model", ["factored", "loglinear"])
def test_a_strong_pull_leaves_the_weights_of_r0(model: Any) -> None:
    reranker = fitted(traffic(200, 4), model=model, l2=1e9)
    weights = [reranker.mine, reranker.right] if isinstance(reranker, Factored) else [reranker.weights]
    ones = (
        {"domain.logit", "reading.null_odds"}
        if isinstance(reranker, Factored)
        else {"domain.logit", "intent.log", "slots.log"}
    )
    for one in weights:
        assert one.values == pytest.approx([float(name in ones) for name in one.names], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_requests_are_enough_not_to_be_worse_than_the_baseline(seed: int) -> None:
    assert nll(*outcomes(fitted(traffic(100, seed)), some())) < nll(*outcomes(baseline("lights", some()[0]), some()))


@pytest.mark.parametrize("n", [10, 20, 40])
def test_next_to_no_data_do_no_harm(n: int) -> None:
    """Averaged over what can happen to be drawn, which one small sample is not."""
    start = nll(*outcomes(baseline("lights", some()[0]), some()))
    trained = [nll(*outcomes(fitted(traffic(n, seed)), some())) for seed in range(8)]
    assert np.mean(trained) < start + 0.005
    assert max(trained) < start + 0.03


@pytest.mark.parametrize(
    "data",
    [traffic(1, 0, own=0.6), traffic(30, 0, own=0.0), traffic(1, 6, own=0.0)],
    ids=["one request", "none of its own", "one of another"],
)
def test_the_least_there_can_be_is_enough(data: Traffic) -> None:
    for options in ({}, *({"model": "loglinear", "loss": loss, "form": form} for loss in LOSSES for form in FORMS)):
        scores = fitted(data, **options).rerank(data[0][0])
        assert np.isfinite(scores.right).all()
        assert 0.0 <= scores.right.sum() <= scores.mine + 1e-9 <= 1.0 + 1e-9


def test_training_twice_gives_equal_weights() -> None:
    data = traffic(300, 7)
    for options in ({}, {"model": "loglinear", "loss": "r3", "form": "sigmoid"}):
        assert fitted(data, **options) == fitted(data, **options)


def sampled(data: Traffic, kept: float, seed: int = 0) -> Traffic:
    """All of the domain's own requests, and a share of the others."""
    rng = np.random.default_rng(seed)
    pairs = [(r, t) for r, t in zip(*data, strict=True) if t.domain == "lights" or rng.random() < kept]
    return [r for r, _ in pairs], [t for _, t in pairs]


@pytest.mark.parametrize(
    "options",
    [
        {"model": "factored"},
        {"model": "loglinear", "loss": "r2", "form": "sigmoid"},
        {"model": "loglinear", "loss": "r2", "form": "null"},
    ],
    ids=["factored", "sigmoid", "null"],
)
def test_sampled_traffic_gives_the_chances_of_the_full_traffic(options: dict[str, Any]) -> None:
    """With one in ten of the others' requests, corrected: about what all of them give. Uncorrected: far too sure."""
    data = traffic(6000, 8, own=0.1)
    few = sampled(data, 0.1)
    whole = mine(fitted(data, **options), some())
    corrected = mine(fitted(few, kept=0.1, **options), some())
    uncorrected = mine(fitted(few, **options), some())
    assert np.abs(corrected - whole).mean() < 0.04
    assert abs(corrected.mean() - whole.mean()) < 0.04
    assert uncorrected.mean() - whole.mean() > 0.15


def test_requests_without_a_hypothesis_teach_nothing() -> None:
    requests, truths = traffic(100, 9)
    more = [*requests, Request(hypotheses=()), Request()]
    assert fitted((more, [*truths, Truth("lights", "i0"), Truth(None)])) == fitted((requests, truths))


def test_labels_and_errors_of_hypotheses() -> None:
    hall = (Slot("room", "hall"),)
    requests = [
        Request(hypotheses=(Hypothesis("lights", "On", slots=hall), Hypothesis("lights", "Off"))),
        Request(hypotheses=(Hypothesis("lights", "On"),)),
        Request(hypotheses=(Hypothesis("lights", "On"), Hypothesis("lights", "Off"), Hypothesis("lights", "Dim"))),
    ]
    batch = label("lights", requests, [Truth("lights", "On", hall), Truth("heating", "On"), Truth("lights", "Off")])
    assert batch.starts.tolist() == [0, 2, 3]
    assert batch.sizes.tolist() == [2, 1, 3]
    assert batch.right.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert batch.semer.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    assert batch.mine.tolist() == [1.0, 0.0, 1.0]
    assert batch.weight.tolist() == [1.0, 1.0, 1.0]


def test_a_domain_sees_the_request_with_its_own_hypotheses_alone() -> None:
    whole = Request(
        id="1",
        utterance="on",
        context={"device": "tv"},
        hypotheses=(Hypothesis("lights", "On"), Hypothesis("heating", "On")),
        session="s",
        account={"a": 1},
        dialogue="d",
    )
    own = own_request(whole, [Hypothesis("lights", "On")])
    assert own.hypotheses == (Hypothesis("lights", "On"),)
    assert [getattr(own, name) for name in ("id", "utterance", "context", "session", "account", "dialogue")] == [
        "1", "on", {"device": "tv"}, "s", {"a": 1}, "d",
    ]  # fmt: skip


def test_missing_confidences_are_filled_with_the_means_of_the_training_data() -> None:
    requests, truths = traffic(60, 10)
    silent = [
        Request(
            context=r.context,
            hypotheses=tuple(Hypothesis("lights", h.intent, None, h.intent_confidence) for h in r.hypotheses or ()),
        )
        for r in requests
    ]
    spec = gather("lights", requests + silent, truths + truths).spec
    known = [h for r in requests for h in r.hypotheses or ()]
    assert spec.fill.domain == pytest.approx(np.mean([h.domain_confidence for h in known]))
    assert spec.fill.slots == pytest.approx(np.mean([h.slots_confidence for h in known]))
    assert baseline("lights", silent).spec.fill.slots == 0.5
    scores = fitted((requests + silent, truths + truths)).rerank(silent[0])
    assert 0.0 < scores.mine < 1.0


@pytest.mark.parametrize(
    ("stated", "fill"),
    [
        ({}, (10 / 21) ** 0.5),  # 9 of 19 readings right, and neither confidence says how many to expect
        ({"slots_confidence": 0.25}, 0.99),  # expected to be right less often than they are
        ({"intent_confidence": 0.95}, 10 / (19 * 0.95 + 2)),
    ],
)
def test_a_confidence_that_is_never_stated_is_worth_what_the_own_readings_are(stated: dict, fill: float) -> None:
    requests = [Request(hypotheses=(Hypothesis("lights", "On", 0.8, **stated),)) for _ in range(39)]
    truths = [Truth("lights", "On" if i < 9 else "Off") for i in range(19)] + [Truth(None)] * 20
    spec = baseline("lights", requests, truths).spec
    lacking = spec.fill.slots if "intent_confidence" in stated else spec.fill.intent
    assert lacking == pytest.approx(fill)
    assert gather("lights", requests, truths).spec.fill == spec.fill
    assert spec.fill.domain == pytest.approx(0.8)


@pytest.mark.parametrize("model", ["factored", "loglinear"])
def test_a_cosine_as_the_domains_confidence_teaches_as_much_as_a_probability(model: Any) -> None:
    """Read as a probability it is narrow; its weight is regularised by its spread."""

    def traffic(seed: int, unit: Callable[[float], float]) -> tuple[list[Request], list[Truth]]:
        rng = np.random.default_rng(seed)
        mine = rng.random(1_000) < 0.4
        cosines = rng.normal(np.where(mine, 0.78, 0.62), 0.07).clip(-1.0, 1.0).tolist()
        requests = [Request(utterance="go", hypotheses=(Hypothesis("lights", "On", unit(x)),)) for x in cosines]
        return requests, [Truth("lights", "On") if own else Truth(None) for own in mine]

    units: list[Callable[[float], float]] = [
        lambda x: 1.0 / (1.0 + math.exp(-30.0 * (x - 0.7))),
        lambda x: max(x, 0.0),
        lambda x: 0.5 * (1.0 + x),
        lambda x: max(x, 0.0) / 100.0,
    ]
    found = []
    for unit in units:
        reranker = learn(gather("lights", *traffic(1, unit)), Settings(model=model))
        requests, truths = traffic(2, unit)
        p = np.array([reranker.rerank(request).mine for request in requests])
        found.append(log_loss(p, np.array([float(truth.domain == "lights") for truth in truths])).mean())
    assert max(found) - min(found) < 0.01
