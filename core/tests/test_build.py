"""From examples to a sealed artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeDomain, FakeModel
from msgspec import UNSET

from arbitrank.domain import Settings
from arbitrank.errors import DataError, InputError, PluginError
from arbitrank.learn.kind_choice import KindChoice
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.packages import core_version
from arbitrank.store.artifact import read_card, read_manifest
from arbitrank.store.artifact_checks import verified
from arbitrank.training.build import build, data_digest
from arbitrank.training.figures import measure
from arbitrank.training_environment import read_environment
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

PACKAGE = ("arbitrank-lights", "1.2")


class Lights(FakeDomain):
    """Writes down which words it was trained on, and learns nothing."""

    def __init__(self) -> None:
        super().__init__("lights", model=FakeModel("lights", "On"))

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> dict[str, Any]:
        if any(example.request.utterance == "fail" for example in examples):
            (out / "half").write_text("written")
            raise DataError("the training failed")
        (out / "reranker").mkdir()
        words = "\n".join(example.request.utterance or "" for example in examples)
        (out / "reranker" / "weights.json").write_text(f"{settings.seed}\n{words}")
        return {"features": ["a", "b"]}


def example(text: str, domain: str | None = None) -> Example:
    return Example(Request(utterance=text), Truth(domain, "On" if domain else None))


EXAMPLES = [example(f"turn on {i}", "lights" if i % 2 else None) for i in range(200)]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_artifact_is_sealed_with_the_settings_of_its_training(tmp_path: Path) -> None:
    built = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "a", Settings(seed=3))
    manifest = verified(tmp_path / "a")
    assert manifest == built.manifest
    assert (manifest.domain, manifest.package, manifest.package_version) == ("lights", *PACKAGE)
    assert (manifest.model, manifest.loss, manifest.seed, manifest.features) == ("auto", "", 3, ("a", "b"))
    assert manifest.data_digest == data_digest(EXAMPLES)
    assert set(manifest.files) == {"reranker/weights.json", "card.json", "environment.json"}
    trained = read_environment(tmp_path / "a")
    assert trained is not None
    assert (trained.package, trained.package_version, trained.core) == (*PACKAGE, core_version())
    assert read_card(tmp_path / "a") == built.measured.card
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_card_is_of_requests_that_the_training_never_saw(tmp_path: Path) -> None:
    built = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "a", Settings())
    seen = (tmp_path / "a" / "reranker" / "weights.json").read_text().splitlines()[1:]
    assert built.manifest.rows == len(seen)
    assert built.measured.card.n == len(EXAMPLES) - len(seen)
    assert 0.03 * len(EXAMPLES) < built.measured.card.n < 0.2 * len(EXAMPLES)


def test_the_same_words_are_never_on_both_sides(tmp_path: Path) -> None:
    each = [example(case(f"turn on {i}")) for i in range(60) for case in (str.lower, str.upper, str.title)]
    built = build(Lights(), PACKAGE, [*each, *EXAMPLES], tmp_path / "a", Settings())
    seen = (tmp_path / "a" / "reranker" / "weights.json").read_text().splitlines()[1:]
    assert built.measured.card.n > 0
    words = [text.casefold() for text in seen]
    assert all(words.count(word) in (1, 4) for word in words)


def test_the_same_data_and_seed_give_the_same_version_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    first = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "a", Settings()).manifest
    again = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "b", Settings(jobs=2)).manifest
    assert content(tmp_path / "a") == content(tmp_path / "b")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2")
    later = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "c", Settings()).manifest
    assert first.version == again.version == later.version
    assert first.time != later.time
    assert build(Lights(), PACKAGE, EXAMPLES, tmp_path / "d", Settings(seed=1)).manifest.version != first.version
    assert build(Lights(), PACKAGE, EXAMPLES[1:], tmp_path / "e", Settings()).manifest.version != first.version


def real_corpus() -> list[Example]:
    examples = []
    for i in range(120):
        room = ("hall", "attic", "kitchen", "shed")[i % 4]
        text = f"{('dim', 'turn on', 'light')[i % 3]} the {room} {i}"
        slot = Slot("room", room, start=text.index(room), end=text.index(room) + len(room))
        own = Example(Request(utterance=text), Truth("lights", "Dim" if i % 3 == 0 else "On", (slot,)))
        examples.append(own if i % 2 else example(f"{('buy', 'cook')[i % 4 // 2]} {i} eggs"))
    return examples


def test_a_trained_domain_is_reproducible_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    for name in ("a", "b"):
        build(ReferenceDomain("lights"), PACKAGE, real_corpus(), tmp_path / name, Settings(folds=2))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert {path.split("/")[0] for path in content(tmp_path / "a")} == {
        "manifest.json",
        "card.json",
        "environment.json",
        "reranker",
        "recogniser",
    }


def hypotheses(n: int) -> list[Example]:
    return [
        Example(
            Request(id=str(i), utterance=f"on {i}", hypotheses=(Hypothesis("lights", "On", 0.3 + 0.4 * (i % 2), 0.9),)),
            Truth("lights" if i % 2 else None, "On"),
        )
        for i in range(n)
    ]


def test_the_card_says_which_kind_of_reranker_was_chosen(tmp_path: Path) -> None:
    domain = ReferenceDomain("lights")
    auto = build(domain, PACKAGE, hypotheses(80), tmp_path / "auto", Settings())
    assert auto.manifest.model == "factored"
    choice = read_card(tmp_path / "auto").choice
    assert choice == KindChoice("factored", auto.manifest.rows, reason=choice.reason)
    assert choice.sentence.endswith("requests of its own, below 200: no other kind is tried")
    build(domain, PACKAGE, hypotheses(80), tmp_path / "factored", Settings(model="factored"))
    assert content(tmp_path / "factored" / "reranker") == content(tmp_path / "auto" / "reranker")
    assert "choice" not in (tmp_path / "factored" / "card.json").read_text()


@pytest.mark.parametrize("choice", [None, "corrected", {"model": "magic"}, {"model": "corrected", "tried": 1}])
def test_a_choice_that_a_domain_misreports_is_left_out(choice: Any, tmp_path: Path) -> None:
    class Odd(Lights):
        """Reports something else than a choice."""

        def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> dict[str, Any]:
            return {**super().train(examples, out, settings), "choice": choice}

    built = build(Odd(), PACKAGE, EXAMPLES, tmp_path / "a", Settings())
    assert (built.manifest.model, built.measured.card.choice) == ("auto", UNSET)


def test_where_training_gives_no_recogniser_the_present_one_is_kept(tmp_path: Path) -> None:
    domain = ReferenceDomain("lights")
    build(domain, PACKAGE, real_corpus(), tmp_path / "base", Settings(folds=2))
    build(domain, PACKAGE, hypotheses(80), tmp_path / "new", Settings(), base=tmp_path / "base")
    assert content(tmp_path / "new" / "recogniser") == content(tmp_path / "base" / "recogniser")
    verified(tmp_path / "new")
    assert domain.load(tmp_path / "new").recognise(Request(utterance="dim the hall"))
    build(domain, PACKAGE, hypotheses(80), tmp_path / "none", Settings())
    assert not (tmp_path / "none" / "recogniser").exists()


def test_where_training_fails_nothing_is_left_and_nothing_is_lost(tmp_path: Path) -> None:
    bad = [*EXAMPLES, *(example("fail") for _ in range(3))]
    with pytest.raises(DataError, match="the training failed"):
        build(Lights(), PACKAGE, bad, tmp_path / "a", Settings())
    assert list(tmp_path.iterdir()) == []
    version = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "a", Settings()).manifest.version
    with pytest.raises(DataError):
        build(Lights(), PACKAGE, bad, tmp_path / "a", Settings())
    assert read_manifest(tmp_path / "a").version == version
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_artifact_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "a", Settings()).manifest  # empty: taken
    second = build(Lights(), PACKAGE, EXAMPLES, tmp_path / "a", Settings(seed=1)).manifest
    assert verified(tmp_path / "a").version == second.version != first.version


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_artifact_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "notes"
    precious = target / "thesis.txt" if kind == "folder" else target
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("years of work")
    with pytest.raises(InputError, match="notes: holds something else"):
        build(Lights(), PACKAGE, EXAMPLES, target, Settings())
    assert precious.read_text() == "years of work"


def test_too_few_examples_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 examples are too few"):
        build(Lights(), PACKAGE, [], tmp_path / "a", Settings())


def test_a_card_measures_the_best_reading_of_every_request_its_own_or_not() -> None:
    card = measure(
        "lights", FakeModel("lights", "On", 0.5), [example("on", "lights"), example("off"), example("", "lights")]
    ).card
    assert card.n == 2  # of the blank one there is no reading
    assert card.over == pytest.approx(0.0)
    given = Example(
        Request(hypotheses=(Hypothesis("lights", "On"), Hypothesis("heating", "On"))), Truth("lights", "On")
    )
    assert measure("lights", FakeModel("lights", "On", 1.0), [given]).card.brier == 0.0
    assert measure("lights", FakeModel("lights", "On", 1.0), []).card.n == 0


def test_a_model_that_fails_on_an_example_is_named_with_it() -> None:
    with pytest.raises(DataError, match="domain lights: fails on example '7': PluginError"):
        measure("lights", FakeModel("lights", "On", 1.5), [Example(Request(id="7", utterance="on"), Truth("lights"))])


def test_the_digest_of_a_data_set_is_of_its_examples_in_order() -> None:
    assert data_digest(EXAMPLES) == data_digest(list(EXAMPLES))
    assert len(data_digest([])) == 64
    assert data_digest(EXAMPLES) != data_digest(EXAMPLES[::-1])
    assert data_digest(EXAMPLES) != data_digest([*EXAMPLES[:-1], example("turn on 199", None)])
    same = [
        Example(Request(context={"a": 1, "b": 2}), Truth(None)),
        Example(Request(context={"b": 2, "a": 1}), Truth(None)),
    ]
    assert data_digest(same[:1]) == data_digest(same[1:])


def test_training_that_writes_a_file_of_the_environments_name_is_refused(tmp_path: Path) -> None:
    """It would be taken for the core's own."""

    class Own(Lights):
        def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> dict[str, Any]:
            (out / "environment.json").write_text("{}")
            return super().train(examples, out, settings)

    with pytest.raises(PluginError, match=r"train wrote environment.json, which core writes"):
        build(Own(), PACKAGE, EXAMPLES, tmp_path / "a", Settings())


def test_a_domain_states_by_which_versions_its_weights_are_loadable(tmp_path: Path) -> None:
    class Stating(Lights):
        loadable_by = ">=1.0,<3"

    build(Stating(), PACKAGE, EXAMPLES, tmp_path / "a", Settings())
    trained = read_environment(tmp_path / "a")
    assert trained is not None
    assert trained.loadable_by == ">=1.0,<3"
