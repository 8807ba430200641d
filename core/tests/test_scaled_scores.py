"""Scores on other scales where requests are answered, domains trained and measured, and weights loaded."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fakes import FakeDomain, FakeModel, artifact

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.scaled_model import ScaledModel, scaled
from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.errors import ArtifactError, DataError
from arbitrank.evaluate.corpus import read_hypotheses
from arbitrank.evaluate.scored_corpus import with_scales
from arbitrank.impact.batch_scores import score_batch
from arbitrank.impact.plan import plan
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.learn.rerankers import baseline
from arbitrank.live.live import Live
from arbitrank.scales import FIELDS, domain_scales
from arbitrank.selftest import problem
from arbitrank.store.artifact import Manifest, read_manifest, seal, version_of
from arbitrank.store.decision_settings import save_decisions
from arbitrank.store.loading import load_domains, settled
from arbitrank.store.store import Store, open_store
from arbitrank.training.build import build
from arbitrank.training.example_file import ExampleFile, write_examples
from arbitrank.training.scored_examples import DomainScales, write_read
from arbitrank.training.task import DATA, TrainingTask, run
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

PERCENT = dict.fromkeys(FIELDS, "0..100")


class Echo(Model):
    """P(mine) is the first hypothesis's domain confidence; remembers what it was given."""

    def __init__(self, recognised: Sequence[Hypothesis] = ()) -> None:
        self.recognised, self.seen = recognised, list[tuple[Hypothesis, ...]]()

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        return self.recognised

    def rerank(self, request: Request) -> Scores:
        hypotheses = request.hypotheses or ()
        self.seen.append(hypotheses)
        mine = hypotheses[0].domain_confidence or 0.0
        return Scores(mine, np.full(len(hypotheses), mine / len(hypotheses)))


class Probabilities(Echo):
    recognises_probabilities = True


def reading(value: Any, domain: str = "lights", intent: str = "Do", **more: Any) -> Hypothesis:
    return Hypothesis(domain, intent, value, **more)


def served(**models: Model) -> Arbitrator:
    return Arbitrator({name: Serving(model, f"v-{name}", "store") for name, model in models.items()})


def percent(model: Model) -> Model:
    return scaled(model, domain_scales(PERCENT))


# ------------------------------------------------------------------------------------------------------------ answers


def test_a_score_that_cannot_be_read_costs_its_domain_its_place_and_nothing_else() -> None:
    model, other = Echo(), Echo()
    request = Request(hypotheses=(reading(0.5, "shades"), reading(0.7), reading(60)))
    answer = served(lights=model, shades=other).answer(request)
    report = answer.domains["lights"]
    assert (report.status, answer.domains["shades"].status) == ("failed", "answered")
    assert str(report.reason).startswith("hypotheses[2].domain_confidence: 60 is out of range, expected a number in")
    assert [entry.domain for entry in answer.ranked] == ["shades"]
    assert not model.seen


def test_hypotheses_that_a_caller_brings_do_not_open_a_breaker_and_a_domains_own_do() -> None:
    breakers = Breakers(BreakerSettings(failures=1))
    models: Mapping[str, Model] = {"lights": Echo((reading(60),))}
    given = {"lights": [reading(60)]}
    dispatch.query_all(models, Request(hypotheses=(reading(60),)), given, breakers=breakers)
    assert not breakers.status()
    dispatch.query_all(models, Request(utterance="x"), breakers=breakers)
    assert "60 is out of range" in breakers.status()["lights"]


def test_scores_are_read_by_their_scale_and_marked_in_the_answer() -> None:
    model = Echo()
    answer = served(lights=percent(model), shades=Echo()).answer(
        Request(hypotheses=(reading(1), reading(0.5, "shades")))
    )
    assert answer.ranked[1].domain_probability == 0.01
    assert answer.domains["lights"].scales == PERCENT
    encoded = json.loads(json.dumps({name: str(one.scales) for name, one in answer.domains.items()}))
    assert encoded["shades"] == "UNSET"
    assert model.seen[0][0].domain_confidence == 0.01


def test_a_log_keeps_the_scores_as_they_were_given() -> None:
    raw = (reading("60%"), reading(None, intent="Other"))
    arbitration = served(lights=scaled(Echo(), domain_scales(dict.fromkeys(FIELDS, "percent")))).arbitrate(
        Request(hypotheses=raw)
    )
    assert arbitration.hypotheses == raw


@pytest.mark.parametrize("times", [1, 2, 56])
def test_equal_readings_do_not_change_the_probability_of_the_best(times: int) -> None:
    one = reading(60)
    answer = served(lights=percent(Echo())).answer(Request(hypotheses=(one,) * times))
    assert [entry.probability for entry in answer.ranked] == [0.6]


def test_a_domains_own_readings_are_on_its_scale_too_unless_they_are_probabilities() -> None:
    own = domain_scales(PERCENT)
    for model, mine in ((Echo((reading(60.0),)), 0.6), (Probabilities((reading(0.6),)), 0.6)):
        answer = served(lights=scaled(model, own)).answer("x")
        assert answer.ranked[0].domain_probability == mine
        answer = served(lights=scaled(model, own)).answer(Request(hypotheses=(reading(30),)))
        assert answer.ranked[0].domain_probability == 0.3
    assert served(lights=scaled(Probabilities((reading(0.6),)), own)).answer("x").domains["lights"].scales != PERCENT


def test_domains_that_are_not_installed_are_ranked_by_their_scale_or_fail() -> None:
    request = Request(hypotheses=(reading(60, "away"),))
    settings = DecisionSettings(rank_unserved=True)
    answer = Arbitrator({}, settings, fallback=baseline).answer(request)
    assert answer.domains["away"].status == "failed"
    assert "hypotheses[0].domain_confidence: 60 is out of range" in str(answer.domains["away"].reason)
    settings = DecisionSettings(rank_unserved=True, scales={"away": PERCENT})
    answer = Arbitrator({}, settings, fallback=baseline).answer(request)
    assert (answer.domains["away"].status, answer.domains["away"].scales) == ("unserved", PERCENT)
    assert answer.ranked[0].domain == "away"


# ------------------------------------------------------------------------------------------------------------ loading


def store_with(folder: Path, scales: dict[str, str] | None) -> Store:
    """A store whose stable version of `lights` was trained on scores of these scales; None: on no scores."""
    made = folder / "artifact"
    artifact(made, strength=1.0)
    if scales is not None:
        manifest = Manifest(domain="lights", package="p", package_version="1", scales=scales)
        seal(made, manifest)
    store = open_store(folder / "store", environment={})
    store.publish(made, promote=True)
    return store


STATED: list[tuple[dict[str, str] | None, dict[str, str], dict[str, str], bool]] = [
    (None, {}, {}, True),
    (None, PERCENT, {}, True),
    ({}, {}, {}, True),
    ({}, PERCENT, {}, False),
    ({}, dict.fromkeys(FIELDS, "text"), {}, True),
    (PERCENT, {}, {}, False),
    (PERCENT, PERCENT, {}, True),
    (PERCENT, dict.fromkeys(FIELDS, "percent"), {}, True),
    (PERCENT, dict.fromkeys(FIELDS, "0..10"), {}, False),
    (PERCENT, {}, PERCENT, True),
    (PERCENT, {"domain_confidence": "rank"}, PERCENT, False),
    ({}, dict.fromkeys(FIELDS, "0..1"), PERCENT, True),
]


@pytest.mark.parametrize(("trained", "stated", "plugin", "good"), STATED)
def test_weights_of_another_scale_are_refused(
    tmp_path: Path, trained: dict[str, str] | None, stated: dict[str, str], plugin: dict[str, str], good: bool
) -> None:
    domain = FakeDomain("lights")
    domain.scales = plugin
    store = store_with(tmp_path, trained)
    (loaded,) = load_domains({"lights": domain}, store, {"lights": stated}).values()
    assert isinstance(loaded, Serving if good else Broken)
    if isinstance(loaded, Broken):
        assert "trained on scores of the scale" in loaded.reason
        assert "run: arbitrank train lights" in loaded.reason
    settings = DecisionSettings(scales={"lights": stated})
    with Live({"lights": domain}, store, decisions=settings, selftest=lambda folder, name: None) as live:
        report = live.answer(Request(hypotheses=(reading(None),))).domains["lights"]
    assert (report.status == "answered") is good
    if not good:
        with pytest.raises(ArtifactError, match="trained on scores"):
            plan(
                {"lights": domain},
                store,
                "lights",
                tmp_path / "artifact",
                decisions=DecisionSettings(scales={"lights": stated}),
            )


def test_the_refusal_names_both_scales_and_the_next_command(tmp_path: Path) -> None:
    (broken,) = load_domains({"lights": FakeDomain("lights")}, store_with(tmp_path, PERCENT)).values()
    assert isinstance(broken, Broken)
    assert (
        "trained on scores of the scale 0..100, stated is 0..1; state --scale lights=0..100, or run:" in broken.reason
    )
    assert len(broken.reason) < 200


def test_an_unknown_scale_of_a_plugin_is_its_domains_fault(tmp_path: Path) -> None:
    domain = FakeDomain("lights")
    domain.scales = {"domain_confidence": "prcent"}
    (broken,) = load_domains({"lights": domain}, store_with(tmp_path, None)).values()
    assert isinstance(broken, Broken)
    assert "did you mean percent?" in broken.reason


def test_the_stores_decision_settings_state_scales_behind_the_operator(tmp_path: Path) -> None:
    store = store_with(tmp_path, PERCENT)
    save_decisions(DecisionSettings(scales={"lights": PERCENT}), tmp_path / "decisions")
    store.publish(tmp_path / "decisions", promote=True)
    domains: dict[str, Domain] = {"lights": FakeDomain("lights")}
    assert isinstance(load_domains(domains, store)["lights"], Serving)
    assert isinstance(load_domains(domains, store, {"lights": dict.fromkeys(FIELDS, "0..1")})["lights"], Broken)


def test_the_version_of_weights_without_scales_is_as_before() -> None:
    bare = b'{"domain":"lights","package":"p","package_version":"1"}'
    manifest = msgspec.json.decode(bare, type=Manifest)
    assert "scales" not in msgspec.to_builtins(manifest)
    assert version_of(manifest) != version_of(msgspec.structs.replace(manifest, scales={}))


def test_the_self_test_knows_the_scale_of_a_domains_own_readings(tmp_path: Path) -> None:
    made = tmp_path / "artifact"
    artifact(made)
    domain = FakeDomain("lights", model=Echo((reading(60.0),)))
    assert "60.0 is out of range" in str(problem(made, "lights", domain))
    assert problem(made, "lights", domain, PERCENT) is None
    domain.scales = PERCENT
    assert problem(made, "lights", domain) is None


# ------------------------------------------------------------------------------------------------------------ training


def lines(scale: float | None = None, n: int = 400) -> list[Example]:
    rng = random.Random(7)
    examples = []
    for i in range(n):
        mine = rng.random() < 0.4
        scores = [round(min(max(rng.gauss(0.75 if mine else 0.35, 0.15), 0.0), 1.0), 6) for _ in range(2)]
        given: list[Any] = scores if scale is None else [score * scale for score in scores]
        hypotheses = (reading(given[0], intent_confidence=given[1]), reading(given[1], intent="Other"))
        truth = Truth("lights", "Do") if mine else Truth(None)
        examples.append(Example(Request(id=str(i), utterance=f"u{i}", hypotheses=hypotheses), truth))
    return examples


def trained(folder: Path, examples: Sequence[Example], stated: Mapping[str, str] = {}) -> tuple[Any, Manifest]:
    domain = ReferenceDomain("lights")
    scales = DomainScales.of(domain, stated)
    folder.mkdir()
    read, notes = write_read(folder / "read", "lights", write_examples(folder / "raw", examples), scales)
    assert not notes
    build(domain, ("p", "1"), read, folder / "artifact", Settings(), scales=scales)
    weights = json.loads((folder / "artifact" / "reranker" / "weights.json").read_text())
    return weights, read_manifest(folder / "artifact")


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in numbers(value[key])]
    if isinstance(value, list):
        return [x for one in value for x in numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []


def test_scores_on_another_scale_train_to_the_same_weights(tmp_path: Path) -> None:
    plain, of_plain = trained(tmp_path / "plain", lines())
    scaled_, of_scaled = trained(tmp_path / "scaled", lines(100.0), PERCENT)
    assert numbers(scaled_) == pytest.approx(numbers(plain), abs=1e-9)
    assert of_plain.scales == {}
    assert of_scaled.scales == {"domain_confidence": "0..100", "intent_confidence": "0..100"}


def test_a_field_without_scores_in_training_serves_with_any_scale(tmp_path: Path) -> None:
    trained(tmp_path / "made", lines(100.0), {"domain_confidence": "0..100", "intent_confidence": "0..100"})
    store = open_store(tmp_path / "store", environment={})
    store.publish(tmp_path / "made" / "artifact", promote=True)
    domains: dict[str, Domain] = {"lights": ReferenceDomain("lights")}
    assert isinstance(load_domains(domains, store, {"lights": PERCENT})["lights"], Serving)
    other = load_domains(domains, store, {"lights": {**PERCENT, "intent_confidence": "rank"}})["lights"]
    assert isinstance(other, Broken)
    assert "trained on scores of the scale intent_confidence=0..100, stated is intent_confidence=rank" in other.reason


def test_probabilities_beside_scores_on_another_scale_are_recorded(tmp_path: Path) -> None:
    examples = [
        Example(Request(hypotheses=(reading(50.0, slots=(Slot(name="s", value="v", confidence=0.5),)),)), Truth(None))
    ]
    scales = DomainScales.of(ReferenceDomain("lights"), {"domain_confidence": "percent"})
    assert scales.recorded(examples) == {"domain_confidence": "percent", "slots_confidence": "0..1"}
    ignored = DomainScales.of(ReferenceDomain("lights"), {"intent_confidence": "missing"})
    assert ignored.recorded(examples) == {
        "domain_confidence": "0..1",
        "intent_confidence": "missing",
        "slots_confidence": "0..1",
    }


def test_weights_that_were_trained_on_no_scores_record_no_scales() -> None:
    bare = [Example(Request(utterance="x"), Truth("lights", "Do"))]
    assert not isinstance(DomainScales.of(ReferenceDomain("lights"), PERCENT).recorded(bare), dict)


def test_examples_that_cannot_be_read_are_left_out_and_reported(tmp_path: Path) -> None:
    own, others = Truth("lights", "Do"), Truth("shades", "Do")
    examples = [
        Example(Request(id="good", hypotheses=(reading(0.5), reading(0.4))), own),
        Example(Request(id="bad", hypotheses=(reading(60),)), own),
        Example(Request(id="useless", hypotheses=(reading("x"),)), others),
    ]
    scales = DomainScales.of(FakeDomain("lights"), {})
    read, (note,) = write_read(tmp_path / "read", "lights", write_examples(tmp_path / "raw", examples), scales)
    assert isinstance(read, ExampleFile)
    assert [(e.request.id, len(e.request.hypotheses or ())) for e in read] == [("good", 1), ("bad", 0)]
    assert note.startswith("lights: the hypotheses of 2 examples cannot be read and are left out; the first: bad: hyp")


def test_training_where_no_score_can_be_read_fails_with_the_scale_to_state(tmp_path: Path) -> None:
    write_examples(tmp_path / DATA, lines(100.0))
    task = TrainingTask(
        domain="lights", factory="training_domains:reference", data=str(tmp_path / DATA), folder=str(tmp_path)
    )
    outcome = run(task, progress=lambda *_: None, figures=lambda _: None)
    assert outcome.kind == "failed"
    assert outcome.reason is not None
    assert "the hypotheses of 400 examples cannot be read" in outcome.reason
    assert "state its scale: --scale lights.domain_confidence=0..100" in outcome.reason


def test_examples_of_plain_scores_are_read_where_they_are(tmp_path: Path) -> None:
    plain = [Example(Request(hypotheses=(reading(0.5),)), Truth("lights", "Do"))]
    assert write_read(tmp_path / "read", "lights", plain, DomainScales.of(FakeDomain("lights"), {})) == (plain, ())


# -------------------------------------------------------------------------------------------- measuring and replaying


def hypotheses_file(path: Path, scale: float) -> Path:
    with path.open("w") as file:
        for i in range(20):
            rows = [
                {"domain": name, "intent": "Do", "domain_confidence": scale * (0.9 if (i % 2 == 0) == first else 0.2)}
                for name, first in (("lights", True), ("shades", False))
            ]
            rows.append(rows[0])
            truth = {"domain": "lights" if i % 2 == 0 else "shades", "intent": "Do"}
            file.write(json.dumps({"id": str(i), "utterance": "x", "hypotheses": rows, "truth": truth}) + "\n")
    return path


def test_a_corpus_is_read_by_its_scales_each_reading_once(tmp_path: Path) -> None:
    stated = {"lights": PERCENT, "shades": PERCENT}
    plain = with_scales(read_hypotheses(hypotheses_file(tmp_path / "a.jsonl", 1.0)), {}, None)
    read = with_scales(read_hypotheses(hypotheses_file(tmp_path / "b.jsonl", 100.0)), stated, None)
    of_both = (
        [[(h.domain, h.domain_confidence) for h in e.request.hypotheses or ()] for e in c.held] for c in (plain, read)
    )
    assert [len(e.request.hypotheses or ()) for e in read.held] == [2] * 20
    assert next(of_both) == next(of_both)
    unread = with_scales(read_hypotheses(tmp_path / "b.jsonl"), {"lights": PERCENT}, None)
    assert [note.partition(";")[0] for note in unread.notes] == [
        "shades: the hypotheses of 20 requests cannot be read and are left out"
    ]
    misspelt = with_scales(read_hypotheses(tmp_path / "a.jsonl"), {"lihgts": PERCENT}, None)
    assert misspelt.notes == (
        "a scale is stated for lihgts, which is no domain here (there are: lights, shades); did you mean lights?",
    )


def test_a_corpus_of_which_no_hypothesis_can_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    corpus = read_hypotheses(hypotheses_file(tmp_path / "b.jsonl", 100.0))
    with pytest.raises(DataError, match=r"no hypothesis can be read; lights: .*; state its scale: --scale lights"):
        with_scales(corpus, {}, None)


def test_a_replay_scores_as_a_service_does(tmp_path: Path) -> None:
    requests = [Request(hypotheses=(reading(60), reading(60), reading(30, intent="Other")))]
    requests += [Request(hypotheses=(reading("x"),)), Request(hypotheses=(reading(10),))]
    model = percent(FakeModel("lights", strength=1.0))
    found = score_batch("lights", model, requests, [one.hypotheses for one in requests])
    assert [len(one) for one in found.readings] == [2, 0, 1]
    assert found.readings[0][0].domain_confidence == 60
    assert len(found.failures) == 1
    for i in (0, 2):
        outcome = dispatch.query("lights", model, requests[i], requests[i].hypotheses)
        assert isinstance(outcome, dispatch.Answered)
        assert found.best.mine[i] == outcome.scores.mine
        assert found.best.right[i] == outcome.scores.right[0]


def test_a_scaled_model_scores_like_the_one_inside() -> None:
    model = percent(Echo())
    assert isinstance(model, ScaledModel)
    assert model.rerank(Request(hypotheses=(reading(60),))).mine == 0.6
    assert model.recognise(Request(utterance="x")) == ()
    assert model.explain(Request(hypotheses=(reading(60),))) == [{}]


def test_the_stores_decision_settings_state_the_fallback_behind_the_operator(tmp_path: Path) -> None:
    store = store_with(tmp_path, None)
    assert settled(DecisionSettings(), store) == DecisionSettings()
    save_decisions(DecisionSettings(fallback="llm", none=0.9), tmp_path / "decisions")
    version = store.publish(tmp_path / "decisions", promote=True).version
    assert settled(DecisionSettings(), store) == DecisionSettings(fallback="llm", none=0.9, version=version)
    assert settled(DecisionSettings(fallback="other"), store).fallback == "other"
    assert settled(DecisionSettings(stated=("none",)), store).none == 0.5  # the default, which the operator states


def test_altered_decision_settings_are_not_used_and_named(tmp_path: Path) -> None:
    store, said = store_with(tmp_path, None), list[str]()
    save_decisions(DecisionSettings(none=0.9), tmp_path / "decisions")
    version = store.publish(tmp_path / "decisions", promote=True).version
    path = tmp_path / "store" / ".decisions" / version / "decisions.json"
    path.write_text(path.read_text().replace("0.9", "0.1"))
    assert settled(DecisionSettings(), store, said.append) == DecisionSettings()
    assert said[0].startswith(".decisions: not used: ")
