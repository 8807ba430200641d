"""The quality report of one domain alone: each part on made readings, and the command on made files."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings
from arbitrank.cli.main import cli
from arbitrank.errors import InputError
from arbitrank.nlu.patterns import is_drawn
from arbitrank.report import claims, readings
from arbitrank.report.coverage import coverage, delexicalised_words
from arbitrank.report.curve import learning_curve
from arbitrank.report.measured import CountedShare, MeasuredDomain
from arbitrank.report.neighbours import NONE, merged
from arbitrank.report.scoring import TrainedPoint, fold_count, share_of
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth


def own(text: str, intent: str, **slots: str) -> Example:
    """A request of the domain lamps."""
    return Example(Request(utterance=text), Truth("lamps", intent, tuple(Slot(*pair) for pair in slots.items())))


def other(text: str, domain: str | None) -> Example:
    return Example(Request(utterance=text), Truth(domain))


def reading(intent: str, **slots: str) -> Hypothesis:
    return Hypothesis("lamps", intent, slots=tuple(Slot(*pair) for pair in slots.items()))


def measured(rows: Sequence[tuple[Example, list[Hypothesis], float]]) -> MeasuredDomain:
    """The domain lamps with these readings, the first being the best, and P(mine)."""
    best = BestReadings.empty(len(rows))
    for i, (_, found, mine) in enumerate(rows):
        if found:
            best.mine[i], best.right[i], best.best[i], best.total[i] = mine, mine, 0, mine
    return MeasuredDomain("lamps", [row[0] for row in rows], best, [row[1] for row in rows])


ROWS = [
    (own("light on", "On"), [reading("On"), reading("Off")], 0.9),
    (own("light off", "Off"), [reading("On"), reading("Off")], 0.8),
    (own("dim the hall", "Dim", room="hall"), [reading("Dim", place="hall")], 0.9),
    (own("dim the den", "Dim", room="den"), [reading("Dim", room="the den")], 0.3),
    (own("glow", "On"), [], 0.0),
    (other("play jazz", "radio"), [reading("On")], 0.7),
    (other("play rock", "radio"), [reading("On")], 0.2),
    (other("who am i", None), [], 0.0),
]


def share(one: CountedShare | None) -> Any:
    return None if one is None else (one.of, one.share)


def test_own_requests_count_by_the_place_of_the_right_reading() -> None:
    found = readings.own_readings(measured(ROWS))
    assert share(found.claimed) == (5, pytest.approx(0.6))
    assert share(found.first) == (5, pytest.approx(0.2))
    assert share(found.later) == (5, pytest.approx(0.2))
    assert share(found.absent) == (5, pytest.approx(0.4))
    assert share(found.unread) == (5, pytest.approx(0.2))


def test_intents_have_precision_and_recall_and_confusions() -> None:
    scores, confusions = readings.intents(measured(ROWS))
    assert {one.name: (one.n, one.read, one.right) for one in scores} == {
        "On": (2, 2, 1),
        "Dim": (2, 2, 2),
        "Off": (1, 0, 0),
    }
    assert {one.name: one.f1 for one in scores} == {"On": pytest.approx(0.5), "Dim": 1.0, "Off": 0.0}
    assert {one.name: one.precision for one in scores}["Off"] is None
    assert {(one.truth, one.read, one.example) for one in confusions} == {
        ("Off", "On", "light off"),
        ("On", "no reading", "glow"),
    }


def test_a_slot_is_confused_with_that_of_its_value_else_with_another_value_of_its_name() -> None:
    scores, confusions = readings.slots(measured(ROWS))
    assert [(one.name, one.n, one.read, one.right) for one in scores] == [("room", 2, 1, 0), ("place", 0, 1, 0)]
    assert {(one.truth, one.read) for one in confusions} == {("room", "place"), ("room", "another value")}
    rows = [(own("dim", "Dim", room="a"), [reading("Dim")], 0.9), (own("on", "On"), [reading("On", room="b")], 0.9)]
    assert {(one.truth, one.read) for one in readings.slots(measured(rows)).confusions} == {
        ("room", "missed"),
        ("not there", "room"),
    }


def test_false_claims_go_by_the_owner() -> None:
    found = claims.false_claims(measured(ROWS))
    assert [(one.neighbour, one.claimed.of, one.claimed.share, one.intents) for one in found] == [
        ("radio", 2, 0.5, {"On": 1}),
        ("out of scope", 1, 0.0, {}),
    ]
    assert found[0].mean_mine == pytest.approx(0.45)
    assert share(claims.summed(found)) == (3, pytest.approx(1 / 3))


def test_the_worst_are_the_costliest_errors_each_wording_once() -> None:
    found = claims.worst(measured([*ROWS, *ROWS]))
    assert [(one.utterance, one.kind) for one in found] == [
        ("glow", "no reading"),
        ("dim the hall", "misread"),
        ("light off", "misread"),
        ("dim the den", "not claimed"),
        ("play jazz", "false claim"),
    ]
    assert found[1].reading == "lamps: Dim (place “hall”)"
    assert found[1].truth == "lamps: Dim (room “hall”)"


def test_values_of_the_context_that_enough_requests_have_are_slices() -> None:
    rows = []
    for i in range(80):
        request = Request(utterance=str(i), context={"device": "tv" if i < 40 else f"phone {i}", "loud": i < 35})
        rows.append((Example(request, Truth("lamps", "On")), [reading("On")], 0.9 if i < 30 else 0.1))
    found = claims.by_context(measured(rows))
    assert list(found) == ["device=tv", "loud=false", "loud=true"]
    assert share(found["device=tv"].own_claimed) == (40, pytest.approx(0.75))
    assert found["device=tv"].false_claims is None


def test_probabilities_are_of_requests_with_a_reading() -> None:
    found = claims.probabilities(measured(ROWS), seed=0)
    assert found["mine"].figures.n == found["right"].figures.n == 6
    assert sum(one.n for one in found["mine"].bins) == 6
    assert all(one.low <= one.share + 1e-12 and one.share <= one.high + 1e-12 for one in found["right"].bins)


def test_requests_are_lost_to_the_neighbour_that_answers_unless_it_may() -> None:
    one = measured([(own(str(i), "On"), [reading("On")], p) for i, p in enumerate((0.9, 0.6, 0.6, 0.1))])
    radio = measured([(own(str(i), "On"), [reading("On")], p) for i, p in enumerate((0.2, 0.9, 0.9, 0.1))])
    truths = [Truth("lamps"), Truth("lamps"), Truth(domains=("lamps", "radio")), Truth("lamps")]
    found = merged(
        one, {"radio": MeasuredDomain("radio", *list(vars(radio).values())[1:4])}, truths, DecisionSettings()
    )
    assert found is not None
    assert (share(found.won), found.lost, found.shared) == ((4, 0.25), {"radio": 1, NONE: 1}, 1)
    assert merged(one, {}, truths, DecisionSettings()) is None


def points(n: int, *rates: float) -> list[TrainedPoint]:
    """Points of a curve at 100, 200, 400 … examples with these error rates, on requests of which the same ones err."""
    return [TrainedPoint(100.0 * 2**k, (np.arange(n) < rate * n).astype(float)) for k, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        (points(2_000, 0.4, 0.3, 0.2), "yes"),
        (points(2_000, 0.4, 0.1, 0.1), "no"),
        (points(150, 0.4, 0.2, 0.19), "cannot tell"),
        (points(50, 0.4, 0.3, 0.2), "cannot tell"),
        ([points(2_000, 0.4)[0], points(2_000, 0, 0, 0, 0.1)[3]], "cannot tell"),
    ],
)
def test_more_data_are_worth_it_where_their_gain_is_sure(curve: list[TrainedPoint], verdict: str) -> None:
    found = learning_curve(curve, own=len(curve[0].wrong))
    assert found is not None
    assert found.more_data == verdict, found.reason


def test_a_curve_needs_two_points() -> None:
    assert learning_curve(points(100, 0.1), own=100) is None


def test_patterns_cover_words_outside_of_slots() -> None:
    drawn = [own("play jazz now", "Play", genre="jazz"), own("stop", "Stop")]
    real = [own("play some rock now", "Play", genre="rock"), own("stop it", "Stop"), own("louder", "Louder")]
    found = coverage(real, drawn)
    assert found is not None
    assert share(found.words) == (7, pytest.approx(4 / 7))
    assert share(found.utterances) == (3, pytest.approx(0.0))
    assert (found.missing_intents, share(found.intents)) == ({"Louder": 1}, (3, pytest.approx(2 / 3)))
    assert found.missing_words == {"some": 1, "it": 1, "louder": 1}
    assert delexicalised_words(real[0]) == ("play", "some", "•", "now")
    assert coverage(real, []) is None


def test_drawn_examples_are_known_by_their_ids() -> None:
    def of(id: str, truth: Truth, **extra: Any) -> bool:
        return is_drawn(Example(Request(id=id, utterance="x"), truth, extra), "lamps")

    assert of("lamps-lamps-On-3", Truth("lamps", "On"))
    assert of("lamps-none-small_talk-0", Truth(None), kind="small_talk")
    assert of("lamps-radio-other-12", Truth("radio", "other"))
    assert not of("lamps-lamps-On-x", Truth("lamps", "On"))
    assert not of("17", Truth("lamps", "On"))


@given(st.lists(st.sampled_from(["On", "Off", "Dim"]), min_size=1, max_size=60), st.integers(0, 3))
def test_a_greater_share_of_examples_holds_a_smaller_one(intents: list[str], seed: int) -> None:
    examples = [own(str(i), intent) for i, intent in enumerate(intents)]
    few, more = share_of(examples, 0.25, seed), share_of(examples, 0.5, seed)
    assert all(example in more for example in few)
    assert abs(len(more) - 0.5 * len(examples)) <= len(set(intents))
    assert share_of(examples, 1.0, seed) == examples


def test_many_examples_are_cross_fitted_in_fewer_folds_and_very_many_not_at_all() -> None:
    example = own("x", "On")
    assert [fold_count([example] * n) for n in (50, 1_000, 2_000, 9_000)] == [5, 3, 2, 0]


# ------------------------------------------------------------------------------------------------------- the command


def hypotheses(n: int = 120, *, domains: Sequence[str] = ("lamps", "radio")) -> str:
    """Lines of requests of lamps, of radio and out of scope, each with a hypothesis of these domains."""
    rng, lines = random.Random(0), []
    for i in range(n):
        owner = ("lamps", "radio", None)[i % 3]
        found = [
            {
                "domain": name,
                "intent": "On",
                "domain_confidence": round(rng.uniform(0.5, 1) if owner == name else rng.uniform(0, 0.6), 3),
            }
            for name in domains
        ]
        truth = {"domain": owner} if owner is None else {"domain": owner, "intent": "On"}
        lines.append(json.dumps({"id": str(i), "utterance": f"request {i}", "hypotheses": found, "truth": truth}))
    return "\n".join(lines)


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["report", *map(str, args)])


def test_a_domain_that_is_not_installed_is_reported_from_a_file_of_several(tmp_path: Path) -> None:
    file = tmp_path / "hypotheses.jsonl"
    file.write_text(hypotheses(), encoding="utf-8")
    result = run("lamps", "--on", file, "--json", "--out", tmp_path / "out", "--page", tmp_path / "page.html")
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout.splitlines()[-1])
    assert (found["n"], found["own"], found["others"], found["out_of_scope"]) == (120, 40, 40, 40)
    assert found["source"] == "cross-fitted"
    assert found["weights"] is None
    assert any("not installed" in text for text in found["warnings"])
    assert any("only 40 of its own requests" in text for text in found["warnings"])
    assert {one["neighbour"] for one in found["false_claims"]} == {"radio", "out of scope"}
    assert found["merged"]["neighbours"] == ["radio"]
    assert [point["examples"] for point in found["curve"]["points"]] == [24, 48, 96]
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == found
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "only 40 of its own requests" in page
    assert re.findall('data-plot="([a-z]+)"', page) == ["calibration", "lines"]


def test_the_text_begins_with_the_warnings(tmp_path: Path) -> None:
    file = tmp_path / "hypotheses.jsonl"
    file.write_text(hypotheses(domains=["lamps"]), encoding="utf-8")
    result = run("lamps", "--on", file, "--curve", "none")
    assert result.exit_code == 0, result.exception
    first, second = result.stdout.splitlines()[:2]
    assert first.startswith("lamps on ")
    assert second.startswith("WARNING only 40 of its own requests")
    assert "not known from these data: give --on a log" in result.stdout


UNLABELLED = '{"id": "1", "utterance": "x", "hypotheses": []}\n'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "is empty, expected labelled requests"),
        (UNLABELLED * 20, "no line of 20 is a labelled request"),
        ('{"query": "x"}\n' * 12, "no line of 12 is a labelled request"),
        ("text,domain\nx,lamps\n", "no line of 2 is"),
        (hypotheses(3), "3 labelled requests, expected at least 10"),
        (hypotheses(30, domains=["radio"]), "no hypothesis of lamps in 30 labelled requests, expected some"),
        (
            hypotheses(30).replace('"domain": "lamps", "intent": "On"}}', '"domain": null}}'),
            "is of lamps, expected some",
        ),
        ('{"text": "x", "domain": "lamps", "intent": "On"}\n' * 20, "domain 'lamps' is not loaded"),
    ],
)
def test_data_that_are_of_no_use_are_refused_by_name(lines: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "given.jsonl"
    file.write_text(lines, encoding="utf-8")
    error = run("lamps", "--on", file).exception
    assert isinstance(error, InputError)
    assert message in str(error)


def test_a_log_without_a_truth_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "20261120T124605.123456Z-4711-000001.jsonl").write_text(UNLABELLED, encoding="utf-8")
    error = run("lamps", "--on", tmp_path).exception
    assert isinstance(error, InputError)
    assert "none of the log's 1 requests has a truth, expected some; report truths with" in str(error)


def test_a_domain_that_is_not_installed_is_refused_without_data() -> None:
    error = run("lamps").exception
    assert isinstance(error, InputError)
    assert "domain 'lamps' is not loaded" in str(error)


def test_hypotheses_of_another_domain_name_the_command_for_that(tmp_path: Path) -> None:
    file = tmp_path / "given.jsonl"
    file.write_text(hypotheses(30, domains=["radio"]), encoding="utf-8")
    assert f"run: arbitrank report radio --on {file}" in str(run("lamps", "--on", file).exception)
