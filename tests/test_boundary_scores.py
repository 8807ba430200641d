"""The cases of requests as they come: scores on other scales and repeated readings, by the installed domains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.scales import FIELDS
from arbitrank.wire.requests import read_requests

CASES = Path(__file__).parents[2] / "shared" / "cases" / "boundary"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the shared cases are not beside the checkout: {CASES}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def answered(name: str, store: Path, scale: str | None = None) -> dict[str, Any]:
    """The answers to a file's requests, by id, as JSON has them."""
    scales = {} if scale is None else {"books": dict.fromkeys(FIELDS, scale)}
    arbitrator = Arbitrator.from_installed(store=store, decisions=DecisionSettings(scales=scales))
    found = {}
    for request in read_requests(str(CASES / name)):
        assert not isinstance(request, tuple), request
        answer = json.loads(msgspec.json.encode(arbitrator.answer(request)))
        found[answer["id"]] = answer
    return found


def status(answer: Any, domain: str = "books") -> str:
    return str(answer["domains"][domain]["status"])


def claim(answer: Any) -> float | None:
    return next((entry["domain_probability"] for entry in answer["ranked"] if entry["domain"] == "books"), None)


def test_a_score_out_of_range_costs_the_one_domain_its_place(folder: Path) -> None:
    answers = answered("scales.jsonl", folder)
    seen = {"ocp60": "60", "clamped": "1.2", "neg": "-0.12"}
    for id, answer in answers.items():
        assert status(answer, "video") == "answered"
        assert status(answer) == ("failed" if id in seen else "answered")
    for id, value in seen.items():
        reason = answers[id]["domains"]["books"]["reason"]
        assert reason.startswith(
            f"hypotheses[0].domain_confidence: {value} is out of range, expected a number in [0, 1]"
        )
    assert claim(answers["eps"]) == claim(answers["ocp1"])


def test_a_stated_scale_reads_them(folder: Path) -> None:
    answers, plain = answered("scales.jsonl", folder, "0..100"), answered("scales.jsonl", folder)
    assert {id for id, answer in answers.items() if status(answer) == "failed"} == {"neg"}
    one, certain = claim(answers["ocp1"]), claim(plain["ocp1"])
    assert one is not None
    assert certain is not None
    assert one < 0.01
    assert certain > 0.9


@pytest.mark.parametrize(
    ("scale", "read"),
    [(None, set()), ("percent", {"pct", "numstr"}), ("low,medium,high", {"label"}), ("text", {"numstr"})],
)
def test_texts_are_read_only_by_a_stated_scale(folder: Path, scale: str | None, read: set[str]) -> None:
    answers = answered("percent.jsonl", folder, scale)
    assert {id for id, answer in answers.items() if status(answer) == "answered"} == read
    assert all(status(answer, "video") == "answered" for answer in answers.values())
    for id in set(answers) - read:
        assert "hypotheses[0].domain_confidence: " in answers[id]["domains"]["books"]["reason"]


def test_a_reading_that_is_repeated_is_as_probable(folder: Path) -> None:
    answers = answered("repeated.jsonl", folder)
    lists = [[(entry["domain"], entry["probability"]) for entry in answer["ranked"]] for answer in answers.values()]
    assert len(lists) > 1
    assert all(one == lists[0] for one in lists)
    assert len(lists[0]) == 1
