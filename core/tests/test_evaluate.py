"""The experiment, on a corpus small enough to read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from benchmarks.common import results

from arbitrank.arbitration.conditioning import after_winning
from arbitrank.arbitration.decide import DecisionSettings, decide, p_out_of_scope
from arbitrank.arbitration.merge import BestReadings, Contribution, merge
from arbitrank.decisions.observed import Observed
from arbitrank.domain import Scores
from arbitrank.errors import DataError
from arbitrank.evaluate.corpus import read_corpus, read_hypotheses
from arbitrank.evaluate.experiment import evaluate
from arbitrank.evaluate.joint import sampled
from arbitrank.evaluate.report import MOST_DOMAINS, write_report
from arbitrank.evaluate.results import cost
from arbitrank.evaluate.runs import Peak, total
from arbitrank.evaluate.tuning import SystemReadings, SystemTuning, TuningData, tune_all
from arbitrank.nlu.text import crc
from arbitrank.probability import sigmoid
from arbitrank.values import Hypothesis, Truth

ROOMS, ARTISTS = ("kitchen", "hall", "attic", "garage", "study", "cellar"), ("anna", "berta", "carla", "dora", "emil")
UNTUNED = {"R0", "R0 temperature", "R1", "R2", "R3", "factored", "boosted", "corrected", "auto", "joint"}
SYSTEMS = UNTUNED | {f"{name} tuned" for name in UNTUNED}
BOOSTED = {f"{name}{kind}" for name in ("boosted", "corrected", "joint") for kind in ("", " tuned")}


def lines(seed: int, n: int) -> list[dict[str, Any]]:
    """Requests to lamps and tunes, one in five out of scope."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        kind = rng.integers(5)
        if kind < 2:
            room = str(rng.choice(ROOMS))
            verb = str(rng.choice(["on", "off"]))
            text = f"turn {verb} the light in the {room} {rng.integers(90)}"
            start = text.index(room)
            slots = [{"name": "room", "value": room, "start": start, "end": start + len(room)}]
            found.append({"domain": "lamps", "intent": f"turn_{verb}", "text": text, "slots": slots})
        elif kind < 4:
            artist = str(rng.choice(ARTISTS))
            text = f"{rng.choice(['play', 'hear', 'turn on'])} something by {artist} {rng.integers(90)}"
            start = text.index(artist)
            slots = [{"name": "artist", "value": artist, "start": start, "end": start + len(artist)}]
            found.append({"domain": "tunes", "intent": "play", "text": text, "slots": slots})
        else:
            text = f"{rng.choice(['what is the weather', 'how late is it', 'light rain'])} {rng.integers(90)}"
            found.append({"domain": None, "text": text, "slots": []})
        found[-1] |= {"id": f"{seed}-{i}", "context": {"device": str(rng.choice(["hub", "phone"]))}}
    return found


def of(domain: str | None) -> list[dict[str, Any]]:
    return [row for row in lines(0, 40) if row["domain"] == domain]


def broken(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with slots whose offsets are wrong."""
    return [row | {"slots": [{"name": "room", "value": "x", "start": 0, "end": 1}]} for row in rows]


def write(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "home", train=lines(0, 250), dev=lines(1, 120))


@pytest.fixture(scope="module")
def evaluated(corpus: Path) -> Any:
    return evaluate(corpus, jobs=1, shift=True, progress=lambda stage, done, total: None)


def test_every_system_is_measured_and_trained_models_beat_chance(evaluated: Any) -> None:
    metrics, _, _ = evaluated
    assert set(metrics["systems"]) == SYSTEMS
    assert metrics["split"] == "dev"
    assert metrics["out_of_scope"] is True
    assert metrics["systems"]["factored"]["domain_accuracy"] > 0.85


def test_figures_can_be_computed_again_from_the_predictions(evaluated: Any, tmp_path: Path) -> None:
    metrics, outcomes, corpus = evaluated
    write_report(metrics, outcomes, corpus.held, "factored", tmp_path)
    truths = {e.request.id: e.truth for e in corpus.held}
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    for system in SYSTEMS:
        own = [row for row in rows if row["system"] == system]
        assert len(own) == metrics["n"]
        right = [(None if r["decision"] == "none" else r["domain"]) == truths[r["id"]].domain for r in own]
        assert np.mean(right) == pytest.approx(metrics["systems"][system]["domain_accuracy"])
    assert json.loads((tmp_path / "metrics.json").read_text())["n"] == metrics["n"]
    page = (tmp_path / "report.html").read_text()
    assert re.findall('data-plot="([a-z]+)"', page) == ["calibration", "calibration", "lines"]
    assert {f"{name}.png" for name in ("calibration", "domains", "coverage")} <= {
        one.name for one in tmp_path.iterdir()
    }
    assert "http" not in page.replace("<!doctype html>", "")
    assert cost(metrics) in page


def test_the_time_of_each_stage_and_the_memory_of_all_processes_are_reported(evaluated: Any) -> None:
    metrics, _, _ = evaluated
    text = cost(metrics)
    assert all(stage in text for stage in ("recognise", "re-rankers", "joint and merge", "factored"))
    assert text.endswith("GB of memory") == (metrics["peak_memory_bytes"] is not None)
    assert total([Peak(1, 5), Peak(2, 3), Peak(1, 4)]) == 8  # each process once, at its highest
    assert total([Peak(1, 5), None]) is None


def test_the_number_of_jobs_and_a_second_run_change_no_figure(evaluated: Any, corpus: Path) -> None:
    again, _, _ = evaluate(corpus, jobs=2, shift=True, progress=lambda stage, done, total: None)
    first = evaluated[0]
    compared = first.keys() - {"seconds", "peak_memory_bytes"}
    for key in compared:
        assert msgspec.json.encode(again[key]) == msgspec.json.encode(first[key])


def test_every_system_is_tuned_on_requests_that_the_report_is_not_on(evaluated: Any) -> None:
    metrics, outcomes, corpus = evaluated
    assert set(metrics["tuning"]) == SYSTEMS - UNTUNED
    for name, one in metrics["tuning"].items():
        assert one.n == len(corpus.train)  # there is no test split, so that dev is reported on
        assert one.out_of_scope > 0
        assert metrics["settings"][name] == one.settings
        if one.refusal:
            assert outcomes[name] is outcomes[one.system]
        else:
            assert sum(choice.taken for choice in one.choices) == 1
        assert one.tuned_on == "train, cross-fitted"
    assert metrics["after_winning_choice"] is None  # some requests are out of scope
    assert set(metrics["none_choice"]) == UNTUNED


def test_other_shares_of_out_of_scope_requests_are_reported(evaluated: Any) -> None:
    metrics, outcomes, corpus = evaluated
    none = np.array([e.truth.out_of_scope for e in corpus.held])
    assert list(metrics["out_of_scope_shares"]) == ["0.01", "0.05", "0.2"]
    for share, systems in metrics["out_of_scope_shares"].items():
        assert {"R0", "R0 tuned", "factored tuned", "auto tuned", "joint"} <= systems.keys()
        for name, one in systems.items():
            right = outcomes[name].domain_right
            parts = right[~none].mean(), right[none].mean()
            assert one["domain_accuracy"] == pytest.approx((1 - float(share)) * parts[0] + float(share) * parts[1])
            assert one["ci"]["nll"][0] <= one["nll"] <= one["ci"]["nll"][1]
        against = systems["factored tuned"]["against"]["R0"]["nll"]
        assert against.mean == pytest.approx(systems["factored tuned"]["nll"] - systems["R0"]["nll"])


def test_the_main_systems_are_measured_under_shifts(evaluated: Any) -> None:
    metrics, _, corpus = evaluated
    rows = {row["shift"]: row["systems"] for row in metrics["shift"]}
    plain = rows["as held out"]
    assert list(plain) == ["R0", "R0 tuned", "factored tuned", "auto tuned", "joint tuned"]
    shares = metrics["out_of_scope_shares"]
    for shifted, reported in ((plain, metrics["systems"]), (rows["20 % out of scope"], shares["0.2"])):
        for name, one in shifted.items():
            for measure in ("domain_accuracy", "irer", "nll", "ece", "ece_floor"):
                assert one[measure] == pytest.approx(reported[name][measure]), (name, measure)
    assert {"device=hub × 4", "device: a value never seen", "device: missing", "random shares 1"} <= rows.keys()
    largest = max(corpus.domains, key=lambda name: sum(e.truth.owned_by(name) for e in corpus.held))
    for text in (f"{largest}: P(mine) × 2", f"{largest}: confidences × 2"):
        assert rows[text]["R0"]["nll"] != plain["R0"]["nll"]
        assert all(one["re_estimated"] is not None for one in rows[text].values())
    assert rows["device: missing"]["R0"]["nll"] == plain["R0"]["nll"]  # which sees no context


def test_traffic_without_truths_says_how_many_requests_are_out_of_scope() -> None:
    systems, reports = small_experiment(share=0.3, traffic=("R0",))
    one = reports["R0 tuned on traffic"]
    assert one.unlabelled == 400
    assert one.share is not None
    assert one.share.low < 0.3 < one.share.high
    assert list(systems) == ["R0", "R0 tuned", "R0 tuned on traffic"]


def test_the_settings_of_a_fold_are_tuned_on_the_others() -> None:
    folds = [np.arange(0, 200), np.arange(200, 400)]
    systems, reports = small_experiment(share=0.0, folds=folds)
    one = reports["R0 tuned"]
    assert len(one.folds) == 2
    assert one.folds[0] != one.folds[1]
    assert [settings for _, settings in systems["R0 tuned"].parts] == list(one.folds)
    # The truths of a fold say nothing of its settings.
    again, _ = small_experiment(share=0.0, folds=folds, spoilt=folds[0])
    assert again["R0 tuned"].parts[0][1] == one.folds[0]
    assert again["R0 tuned"].parts[1][1] != one.folds[1]


def small_experiment(
    *, share: float = 0.1, folds: Any = None, traffic: Any = (), spoilt: Any = ()
) -> tuple[Any, Mapping[str, SystemTuning]]:
    """R0 of two domains that claim too much, on 400 requests, with a share out of scope."""
    rng = np.random.default_rng(0)
    owner = np.where(rng.random(400) < share, 2, rng.integers(0, 2, 400))
    readings = []
    for d in range(2):
        rng = np.random.default_rng(d + 1)
        mine = sigmoid(2.5 * (rng.normal(np.where(owner == d, 1.0, -1.0), 1.0)))
        readings.append(BestReadings(mine, mine, np.zeros(400, np.int32), mine))
    owner[list(spoilt)] = rng.integers(0, 2, len(spoilt))
    owners = owner[:, None] == np.arange(3)
    data = TuningData(Observed(("a", "b"), tuple(readings), owners[:, :2], owners), "dev")
    return tune_all(
        SystemReadings({"R0": readings}, {"R0": data}),
        {"R0": DecisionSettings()},
        folds or [np.arange(400)],
        traffic,
        seed=0,
        progress=lambda *_: None,
    )


def votes(truths: list[Any], path: Path) -> Path:
    """Requests that three domains claim, the first most, each with its truth."""
    with path.open("w") as file:
        for i, truth in enumerate(truths):
            sure = {"intent": "go", "intent_confidence": 1.0, "slots_confidence": 1.0}
            claims = {"a": 0.9, "b": 0.8, "c": 0.3}
            hypotheses = [{"domain": name, "domain_confidence": p, **sure} for name, p in claims.items()]
            file.write(json.dumps({"id": str(i), "hypotheses": hypotheses, "truth": truth}) + "\n")
    return path


def r0(path: Path, **settings: Any) -> Any:
    return evaluate(path, decisions=settings, progress=lambda stage, done, total: None)[0]["systems"]["R0"]


def test_any_of_several_domains_is_right_and_one_in_a_list_is_that_domain(tmp_path: Path) -> None:
    owners = ["a", "b", "c", "b"] * 5
    one = r0(votes([{"domain": name, "intent": "go"} for name in owners], tmp_path / "one.jsonl"))
    alone = r0(votes([{"domains": [name], "intent": "go"} for name in owners], tmp_path / "one.jsonl"))
    assert msgspec.json.encode(one) == msgspec.json.encode(alone)
    more = r0(votes([{"domain": n, "domains": ["a"], "intent": "go"} for n in owners], tmp_path / "more.jsonl"))
    assert (one["domain_accuracy"], more["domain_accuracy"], more["irer"]) == (0.25, 1.0, 0.0)
    assert {name: of["n"] for name, of in more["per_domain"].items()} == {"a": 20, "b": 10, "c": 5}
    other = r0(votes([{"domains": [n, "a"], "intent": "stop"} for n in owners], tmp_path / "other.jsonl"))
    assert (other["domain_accuracy"], other["irer"]) == (1.0, 1.0)  # the domain is right, its reading is not


def test_of_several_intents_one_is_enough_and_the_share_of_all_is_reported(tmp_path: Path) -> None:
    both = [[{"domain": "c", "intent": "go"}, {"domain": "a", "intent": "go"}]] * 20
    found = r0(votes(both, tmp_path / "both.jsonl"))
    assert (found["irer"], found["found"]) == (0.0, 0.5)
    pair = [[{"domain": "a", "intent": "go"}, {"domain": "b", "intent": "go"}]] * 20
    asked = r0(votes(pair, tmp_path / "pair.jsonl"), clarify=0.9)
    assert (asked["decisions"]["clarify"], asked["found"]) == (1.0, 1.0)
    assert "found" not in r0(votes([{"domain": "a"}] * 20, tmp_path / "single.jsonl"))


def test_none_is_right_where_it_is_among_the_domains(tmp_path: Path) -> None:
    rows = [{"domains": ["b", None], "intent": "go"}] * 20
    assert r0(votes(rows, tmp_path / "x.jsonl"), none=0.0)["domain_accuracy"] == 1.0
    assert r0(votes(rows, tmp_path / "x.jsonl"), none=1.0)["domain_accuracy"] == 0.0


def test_a_fallback_that_is_no_domain_of_the_data_is_noted(tmp_path: Path) -> None:
    path = votes([{"domain": "a"}] * 20, tmp_path / "x.jsonl")
    metrics = evaluate(path, decisions={"fallback": "d"}, progress=lambda *_: None)[0]
    assert "fallback 'd': x has no such domain, so none acts (it has a, b, c)" in metrics["notes"]
    assert metrics["systems"]["R0"]["decisions"]["fallback"] == 0.0
    assert r0(path, fallback="none")["decisions"]["fallback"] == 0.0


def test_hypotheses_with_truths_are_measured_without_building_recognisers(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for i in range(120):
            owner = str(rng.choice(["lamps", "tunes"]))
            hypotheses = [
                {
                    "domain": d,
                    "intent": "go",
                    "domain_confidence": float(np.clip(rng.normal(0.7 if d == owner else 0.3, 0.2), 0, 1)),
                    "intent_confidence": 0.9,
                }
                for d in ("lamps", "tunes")
            ]
            file.write(
                json.dumps({"id": str(i), "hypotheses": hypotheses, "truth": {"domain": owner, "intent": "go"}}) + "\n"
            )
    metrics, _, _ = evaluate(path, jobs=1, progress=lambda stage, done, total: None)
    assert set(metrics["systems"]) == SYSTEMS
    assert metrics["split"] == "cross-fitted"
    assert metrics["after_winning"] is False
    assert metrics["after_winning_choice"] is None
    assert metrics["systems"]["factored"]["domain_accuracy"] > 0.7


@cache
def _scores(seed: int, domains: int = 3, requests: int = 30) -> Any:
    rng = np.random.default_rng(seed)
    hypotheses, scores = [], []
    for d in range(domains):
        hypotheses.append([tuple(Hypothesis(f"d{d}", f"i{k}") for k in range(3)) for _ in range(requests)])
        raw = [rng.dirichlet(np.ones(4))[:3] * rng.random() for _ in range(requests)]
        scores.append([Scores(float(min(1.0, r.sum() + 0.1)), r) for r in raw])
    return hypotheses, scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("normalise", [False, True])
def test_the_experiment_merges_and_decides_as_the_service_does(seed: int, normalise: bool) -> None:
    hypotheses, scores = _scores(seed)
    truths = [Truth("d0", "i0")] * 30
    found = results(hypotheses, scores, truths, none_counts=True, decisions=DecisionSettings(normalise=normalise))
    for i in range(30):
        returned = [scores[d][i] for d in range(3)]
        measured = after_winning(returned) if normalise else returned
        ranked = merge(Contribution(f"d{d}", hypotheses[d][i], measured[d]) for d in range(3))
        top = found.top[i]
        assert top is not None
        assert (ranked[0].domain, ranked[0].intent) == (top.domain, top.intent)
        assert ranked[0].probability == pytest.approx(found.probability[i])
        assert (decide(ranked, out_of_scope=p_out_of_scope(one.mine for one in returned)).action == "none") == bool(
            found.none[i]
        )


def test_utterances_that_a_later_split_repeats_are_dropped_from_train_and_noted(tmp_path: Path) -> None:
    rows = lines(0, 40)
    found = read_corpus(write(tmp_path / "c", train=rows, dev=rows[:5] + lines(1, 10)))
    held = {e.request.utterance for e in found.held}
    assert not held & {e.request.utterance for e in found.train}
    assert any("later split" in note for note in found.notes)


def test_bad_lines_and_unknown_domains_are_left_out_and_noted(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", train=lines(0, 40), dev=[*lines(1, 10), {"text": "x", "domain": "boats", "id": "b"}])
    with (folder / "train.jsonl").open("a") as file:
        file.write(
            '{"text": "abc", "domain": "lamps", "slots": [{"name": "a", "value": "b", "start": 0, "end": 1}]}\n{"te'
        )
    notes = " ".join(read_corpus(folder).notes)
    assert "2 bad lines" in notes
    assert "domains that train lacks, such as boats" in notes


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"[\n{}\n]", "a JSON array, expected one object per line; convert it: jq"),
        ('{"text": "x"}'.encode("utf-16"), "it seems to be UTF-16, expected UTF-8; convert it: iconv"),
        (b"// a corpus", "it seems to be a comment"),
        (b'{"text": "caf\xe9", "domain": "lamps"}', "it seems to be Latin-1 or Windows-1252"),
    ],
)
def test_a_corpus_of_another_kind_is_named_with_the_remedy(tmp_path: Path, text: bytes, what: str) -> None:
    folder = write(tmp_path / "c", train=[], dev=lines(1, 10))
    (folder / "train.jsonl").write_bytes(text)
    with pytest.raises(DataError, match=what):
        read_corpus(folder)


def test_offsets_in_utf_16_are_read_where_that_is_said(tmp_path: Path) -> None:
    def wide(row: dict[str, Any]) -> dict[str, Any]:
        slots = [{**slot, "start": slot["start"] + 2, "end": slot["end"] + 2} for slot in row["slots"]]
        return {**row, "text": f"🎬{row['text']}", "slots": slots}

    folder = write(tmp_path / "c", train=[wide(row) for row in lines(0, 40)], dev=[wide(row) for row in lines(1, 10)])
    with pytest.raises(DataError, match="its offsets fit as UTF-16 code units, which `evaluate` and `train` read with"):
        read_corpus(folder)
    found = read_corpus(folder, "utf16")
    assert not any("bad lines" in note for note in found.notes)
    for example in found.held:
        for slot in example.truth.slots:
            assert (example.request.utterance or "")[slot.start : slot.end] == slot.value


def test_a_domain_with_three_utterances_and_an_unseen_intent_are_measured(tmp_path: Path) -> None:
    few = [{"id": f"f{i}", "text": f"water the plants {i}", "domain": "garden", "intent": "water"} for i in range(3)]
    strange = [{"id": "s", "text": "dim the light in the hall", "domain": "lamps", "intent": "dim"}]
    folder = write(tmp_path / "c", train=lines(0, 100) + few, dev=lines(1, 30) + strange)
    metrics, _, _ = evaluate(folder, jobs=1, progress=lambda stage, done, total: None)
    assert metrics["n"] == 31
    assert 0.0 <= metrics["systems"]["factored"]["ece"] <= 1.0


@pytest.mark.parametrize(
    ("splits", "what"),
    [
        ({"train": lines(0, 20)}, "found train.jsonl"),
        ({"dev": lines(0, 20)}, "found dev.jsonl"),
        ({"train": [], "dev": lines(0, 20)}, "of which empty: train.jsonl"),
        ({"train": lines(0, 20), "dev": []}, "of which empty: dev.jsonl"),
        ({"train": of("lamps"), "dev": lines(1, 9)}, "one domain, lamps, expected at least 2"),
        ({"train": of(None), "dev": lines(1, 9)}, "train has no domain"),
        ({"train": lines(0, 40), "dev": lines(0, 40)}, "no domain.*in a later split"),
        ({"train": broken(lines(0, 40)), "dev": lines(1, 9)}, r"bad lines left out; the first: .*slots\[0\]: text"),
        ({"train": lines(0, 40), "dev": [{"text": "row", "domain": "boats"}]}, "no request to measure on; .*boats"),
    ],
)
def test_a_corpus_that_cannot_be_measured_is_refused(tmp_path: Path, splits: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_corpus(write(tmp_path / "c", **splits))


def test_a_file_without_enough_hypotheses_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_text('{"hypotheses": [], "truth": {"domain": "lamps"}}\n' * 20)
    with pytest.raises(DataError, match="0 labelled requests with hypotheses"):
        read_hypotheses(path)


def labelled(owners: list[str | None], brought: list[list[str]], **of_first: Any) -> list[dict[str, Any]]:
    """Requests with hypotheses of the domains named; `of_first` goes into the first hypothesis of all."""
    rows = [
        {
            "hypotheses": [
                {"domain": d, "intent": "go", "domain_confidence": 0.8 if d == owner else 0.2} for d in names
            ],
            "truth": {"domain": owner, "intent": "go"},
        }
        for owner, names in zip(owners, brought, strict=True)
    ]
    rows[0]["hypotheses"][0].update(of_first)  # type: ignore[index]
    return rows


def hypotheses(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


BOTH = ["lamps", "tunes"]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (
            labelled(["lamps", "tunes"], [["lamps"], ["tunes"]]),
            "2 labelled requests with hypotheses, expected at least 10",
        ),
        (labelled(["lamps"] * 9, [BOTH] * 9), "expected at least 10"),
        (
            labelled(["lamps"] * 10, [["lamps"], *[BOTH] * 9], intent=None)[:1] * 20,
            "20 requests have hypotheses that cannot be read; the first: hypotheses",
        ),
        (labelled([None] * 20, [BOTH] * 20), "nothing to learn"),
        (labelled(["boats"] * 20, [BOTH] * 20), "nothing to learn"),
    ],
)
def test_hypotheses_that_cannot_be_measured_are_refused(tmp_path: Path, rows: list[dict[str, Any]], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_hypotheses(hypotheses(tmp_path / "h.jsonl", rows))


def test_hypotheses_of_one_domain_are_measured_with_a_note_on_its_report(tmp_path: Path) -> None:
    rows = labelled([*["lamps", "tunes", None] * 10], [["lamps"]] * 30)
    path = hypotheses(tmp_path / "h.jsonl", rows)
    metrics, _, _ = evaluate(path, progress=lambda *_: None)
    assert metrics["domains"] == ["lamps"]
    assert any(f"run: arbitrank report lamps --on {path}" in note for note in metrics["notes"])
    assert metrics["systems"]["factored"]["per_domain"]["lamps"]["n"] == 10


def test_more_hypotheses_than_fit_in_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.evaluate.corpus.MAX_HYPOTHESES", 30)
    with pytest.raises(DataError, match=r"more than 30 hypotheses by line 16, .*; measure a sample"):
        read_hypotheses(hypotheses(tmp_path / "h.jsonl", labelled(["lamps"] * 20, [BOTH] * 20)))


def test_a_domain_with_one_request_falls_back_to_the_baseline(tmp_path: Path) -> None:
    """Cross-fitted, it has nothing to learn from when its only request is scored."""
    rows = labelled(["tunes", *["lamps"] * 20], [["tunes"], *[["lamps"]] * 20])
    metrics, outcomes, _ = evaluate(
        hypotheses(tmp_path / "h.jsonl", rows), jobs=1, progress=lambda stage, done, total: None
    )
    assert set(metrics["systems"]) == SYSTEMS
    for system in UNTUNED - {"joint"}:
        assert outcomes[system].probability[0] == outcomes["R0"].probability[0]


def test_training_requests_without_any_reading_leave_nothing_to_measure(tmp_path: Path) -> None:
    """Two utterances in one fold: no recogniser is trained apart from them."""
    same = [text for text in (f"light {i}" for i in range(99)) if crc(f"0/{text}") % 5 == 0][:4]
    train = [{"text": text, "domain": "ab"[i % 2]} for i, text in enumerate(same)]
    folder = write(tmp_path / "c", train=train, dev=[{"text": "light x", "domain": "a"}])
    with pytest.raises(DataError, match="no domain has a reading"):
        evaluate(folder, jobs=1, progress=lambda stage, done, total: None)


def test_utterances_without_words_and_out_of_scope_alone_are_measured(tmp_path: Path) -> None:
    train = [*lines(0, 100), {"text": " ", "domain": "lamps"}, {"text": "", "domain": "lamps"}]
    held = [row for row in lines(1, 90) if row["domain"] is None] + [{"text": " ", "domain": None}]
    folder = write(tmp_path / "c", train=train, dev=held)
    metrics, outcomes, _ = evaluate(folder, jobs=1, progress=lambda stage, done, total: None)
    assert metrics["systems"]["factored"]["domain_accuracy"] > 0.9
    assert outcomes["factored"].top[-1] is None


@pytest.mark.parametrize("lacks", ["the package", "libgomp"])
def test_without_lightgbm_everything_else_is_measured_and_the_package_named(
    tmp_path: Path, fresh: Any, lacks: str
) -> None:
    """In the workers too: each process finds the same break at its start."""
    corpus = write(tmp_path / "home", train=lines(0, 100), dev=lines(1, 50))
    breaks = {
        "the package": "import sys; sys.modules['lightgbm'] = None",
        "libgomp": "import ctypes\n"
        "class Broken(ctypes.CDLL):\n"
        "    def __init__(self, name, *args, **kwargs):\n"
        "        if 'lightgbm' in str(name):\n"
        "            raise OSError('libgomp.so.1: cannot open shared object file: No such file or directory')\n"
        "        super().__init__(name, *args, **kwargs)\n"
        "ctypes.cdll._dlltype = Broken",
    }
    (tmp_path / "sitecustomize.py").write_text(breaks[lacks])
    out = tmp_path / "out"
    done = fresh("evaluate", str(corpus), "--out", str(out), "--jobs", "2", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    advice = {"the package": "pip install lightgbm", "libgomp": "apt-get install libgomp1"}[lacks]
    metrics = json.loads((out / "metrics.json").read_bytes())
    assert set(metrics["systems"]) == SYSTEMS - BOOSTED
    (note,) = [note for note in metrics["notes"] if note.startswith("left out: boosted, corrected, joint: ")]
    assert note.endswith(advice)
    assert advice in (out / "report.html").read_text()
    assert advice in " ".join(done.stdout.split())


def test_the_joint_model_learns_from_as_many_requests_as_fit() -> None:
    assert sampled(1_000, domains=18, readings=5).all()
    assert sampled(180_000, domains=18, readings=5).sum() == 4_000_000 // 90
    assert sampled(5_000, domains=10_000_000, readings=5).sum() == 1


def test_many_domains_with_few_utterances_are_measured_and_the_page_stays_small(tmp_path: Path) -> None:
    rows = [{"text": f"word{d} {kind}", "domain": f"d{d}"} for d in range(26) for kind in ("one", "two", "three")]
    folder = write(tmp_path / "c", train=rows, dev=[row | {"text": f"{row['text']} now"} for row in rows])
    metrics, outcomes, found = evaluate(folder, jobs=1, progress=lambda stage, done, total: None)
    assert metrics["systems"]["R0"]["domain_accuracy"] > 0.9
    assert len(metrics["systems"]["R0"]["per_domain"]) == 26
    write_report(metrics, outcomes, found.held, "factored", tmp_path / "out")
    assert f"the {MOST_DOMAINS} of 26 that win most" in (tmp_path / "out" / "report.html").read_text()
