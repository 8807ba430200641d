"""A renamed, new or missing feature of hypotheses is named once, under its domain."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from fakes import FakeModel

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.cli import options
from arbitrank.cli.main import cli
from arbitrank.feature_names import FeatureWatch, changed, features_of
from arbitrank.scores import REPEATED
from arbitrank.values import Hypothesis


def model(*features: str) -> FakeModel:
    made = FakeModel("lights")
    made.hypothesis_features = features
    return made


def hypothesis(**features: float) -> Hypothesis:
    return Hypothesis("lights", "On", features=features)


@pytest.mark.parametrize(
    ("known", "seen", "text"),
    [
        (["match"], ["exact"], "feature 'match' is gone; feature 'exact' is new"),
        (["match"], [], "feature 'match' is gone"),
        ([], ["exact"], "feature 'exact' is new"),
        (["a", "b", "c"], ["c"], "features 'a' and 'b' are gone"),
        ([], "abcdefg", "features 'a', 'b', 'c', 'd', 'e' and 2 more are new"),
        (["match"], ["match"], ""),
        (["match", REPEATED], ["match"], ""),  # the core's own, which hardly ever comes
        (["match"], ["match", REPEATED], ""),
    ],
)
def test_the_difference_is_told_by_names(known: list[str], seen: list[str], text: str) -> None:
    assert str(changed(known, seen)) == text
    assert bool(changed(known, seen)) == bool(text)


def watched(*requests: dict[str, list[Hypothesis]], times: int = 1, of: Any = None) -> dict[str, str]:
    watch = FeatureWatch(lambda: {"lights": model("match") if of is None else of})
    for _ in range(times):
        for request in requests:
            watch(request)
    return {name: str(change) for name, change in watch.changes().items()}


def test_an_unknown_feature_is_told_at_once_and_a_missing_one_after_some_requests() -> None:
    renamed = {"lights": [hypothesis(exact=1.0)]}
    assert watched(renamed) == {"lights": "feature 'exact' is new"}
    assert watched(renamed, times=50) == {"lights": "feature 'match' is gone; feature 'exact' is new"}
    assert watched({"lights": [hypothesis(), hypothesis(match=0.0)]}, times=50) == {}
    assert watched({"shades": [hypothesis(exact=1.0)]}, times=50) == {}


def test_the_sentence_names_the_command() -> None:
    watch = FeatureWatch(lambda: {"lights": model()})
    watch({"lights": [hypothesis(exact=1.0)]})
    assert watch.notes() == {
        "lights": "its hypotheses have changed since its weights were trained: feature 'exact' is new; "
        "run: arbitrank train lights"
    }


def test_nothing_is_told_of_a_model_that_does_not_state_its_features() -> None:
    assert watched({"lights": [hypothesis(exact=1.0)]}, of=FakeModel("lights")) == {}
    for stated in ("match", 5, ["match", 5]):
        wrong = FakeModel("lights")
        wrong.hypothesis_features = stated  # type: ignore[assignment]
        assert features_of(wrong) is None


def test_a_feature_that_stops_coming_is_told_later_and_one_that_comes_again_is_not() -> None:
    watch = FeatureWatch(lambda: {"lights": model("match")})
    for _ in range(50):
        watch({"lights": [hypothesis(match=1.0)]})
    assert watch.changes() == {}
    for _ in range(300):
        watch({"lights": [hypothesis()]})
    assert watch.changes() == {"lights": (("match",), ())}
    watch({"lights": [hypothesis(match=1.0)]})
    assert watch.changes() == {}


def test_a_sample_of_the_requests_is_looked_at() -> None:
    watch = FeatureWatch(dict)
    due = [watch.due() for _ in range(1_000)]
    assert all(due[:100])
    assert sum(due[100:]) == 56


def test_what_is_remembered_is_bounded() -> None:
    watch = FeatureWatch(lambda: {"lights": model()})
    for number in range(100):
        watch({"lights": [hypothesis(**{f"f{number}_{i}_{'x' * 500}": 1.0 for i in range(100)})]})
    assert len(watch.changes()["lights"].new) <= 400
    assert len(watch.notes()["lights"]) < 1_000


def test_ask_says_which_features_the_weights_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model("match")
    made.recognise = lambda request: [hypothesis(exact=1.0)]  # type: ignore[method-assign]
    arbitrator = Arbitrator({"lights": Serving(made, "1", "package")})
    monkeypatch.setattr(options, "arbitrator", lambda *arguments: arbitrator)
    done = CliRunner().invoke(cli, ["ask", "light please", "--json"])
    assert done.exit_code == 0
    assert "lights: its hypotheses have changed since its weights were trained: feature 'exact' is new" in done.stderr
    made.hypothesis_features = ("exact",)
    assert not CliRunner().invoke(cli, ["ask", "light please", "--json"]).stderr
