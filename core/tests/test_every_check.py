"""Every check of the suite is failed by a toy: those of the package, of its import and of shipped weights here, the
others by the table of careless domains in `test_check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from careless import Described, Zoo, ZooModel, answering, careless
from test_check import CARELESS

from arbitrank.domain import Domain, Model, Scores, Settings
from arbitrank.registry import Loaded, Source
from arbitrank.store.artifact import read_card, read_manifest, seal
from arbitrank.testing import ALL_CHECKS, answer_checks, metadata_checks
from arbitrank.testing.subject import StableWeights, Subject
from arbitrank.training.build import build
from arbitrank.values import Request

CHECK = {check.__name__: check for check in ALL_CHECKS}
PACKAGE = ("arbitrank-zoo", "0.1.0")

Toy = Callable[[Path, pytest.MonkeyPatch], Subject]


def shipping(folder: Path, domain: Domain | None = None) -> Any:
    """A domain that ships weights of its own data."""
    domain = domain or Zoo()
    build(domain, PACKAGE, list(domain.examples()), folder / "model", Settings())
    type(domain).shipped = property(lambda self: folder / "model")  # type: ignore[method-assign, assignment]
    return domain


def zoo() -> Domain:
    return careless()


def found_as(name: str, distribution: str) -> Toy:
    def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
        return Subject(zoo(), Loaded("zoo", Source(name, distribution, "0.1.0"), zoo()))

    return toy


def packaged(problems: tuple[str, ...] = (), requires: tuple[str, ...] = ("arbitrank>=0.2,<1",)) -> Toy:
    def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
        package: Any = SimpleNamespace(name="arbitrank-zoo", problems=problems, requires=list(requires))
        return Subject(zoo(), package=package)

    return toy


def imported(code: str) -> Toy:
    """A domain whose module has some code at its top."""

    def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
        (folder / "toy_at_import.py").write_text(code)
        monkeypatch.syspath_prepend(str(folder))
        return Subject(careless(__module__="toy_at_import"))

    return toy


def slow_import(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.setattr(metadata_checks, "IMPORT_SECONDS", 0.0)
    return imported("")(folder, monkeypatch)


def slow_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.setattr(answer_checks, "ANSWER_MS", 0.0)
    return Subject(zoo(), trains=True)


def melting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return Subject(answering(extra=1, __dataclass_params__=SimpleNamespace(frozen=False)), trains=True)


def damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    domain = shipping(folder, zoo())
    with (folder / "model" / "reranker" / "rate.json").open("a") as file:
        file.write(" ")
    return Subject(domain)


def of_old_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    domain = shipping(folder, zoo())
    type(domain).examples = lambda self: list(self.rows())[:100]
    return Subject(domain)


class Boastful(ZooModel):
    """Sure of its first reading, which is never entirely right."""

    def rerank(self, request: Request) -> Scores:
        right = np.zeros(len(request.hypotheses or ()))
        right[0] = 0.99
        return Scores(0.99, right)


def with_card(model_class: type[ZooModel] = ZooModel, **changes: Any) -> Toy:
    def toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
        domain, model = shipping(folder, careless(model=model_class)), folder / "model"
        card = msgspec.structs.replace(read_card(model), **changes)
        (model / "card.json").write_bytes(msgspec.json.encode(card))
        seal(model, read_manifest(model))
        return Subject(domain)

    return toy


class Confused(ZooModel):
    """Fails where a confidence is missing, which no example of its own has."""

    def rerank(self, request: Request) -> Scores:
        n = len(request.hypotheses or ())
        if n > 2:
            raise KeyError("confidence")
        return Scores(self.rate, np.full(n, self.rate / n))


class Renamed(ZooModel):
    """Trained on a feature that its hypotheses had under an earlier name."""

    hypothesis_features = ("title_known",)


def renamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return Subject(shipping(folder, careless(model=Renamed)))


def confused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    return Subject(shipping(folder, careless(model=Confused)))


def with_a_pickle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    domain = shipping(folder, zoo())
    (folder / "model" / "reranker" / "cache.pkl").write_bytes(b"")
    return Subject(domain)


class Eager(Model):
    """Takes every text for its own."""

    def recognise(self, request: Request) -> Any:
        return ZooModel(0.9).recognise(Request(utterance="zoo"))

    def rerank(self, request: Request) -> Scores:
        return ZooModel(0.9).rerank(request)


def eager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    kind = type("Eagerly", (Described,), {"load": lambda self, folder: Eager()})
    domain: Any = kind(lambda hypothesis: {})
    (folder / "model").mkdir()
    kind.shipped = property(lambda self: folder / "model")
    return Subject(domain)


TOYS: dict[str, tuple[Toy, str]] = {
    "names_agree": (found_as("animals", "arbitrank-zoo"), "the entry point is 'animals' and the domain 'zoo'"),
    "metadata_can_be_read": (packaged(("METADATA has a malformed line 3",)), "malformed line 3"),
    "range_of_core_is_capped": (packaged(requires=("arbitrank>=0.2",)), "without an end"),
    "import_has_no_effects": (imported("print('hello')"), "printed 'hello'"),
    "import_is_fast": (slow_import, "took 0.0 s"),
    "methods_have_the_names_of_the_contract": (
        lambda folder, monkeypatch: Subject(careless(contxt_keys=("a",))), "has contxt_keys, which the core never calls"
    ),
    "models_are_frozen": (melting, "not frozen"),
    "artifact_holds_no_pickle": (with_a_pickle, "reranker/cache.pkl is a pickle by its name"),
    "shipped_weights_are_intact": (damaged, "rate.json"),
    "shipped_weights_are_of_the_present_data": (of_old_data, "the data changed since the weights were trained"),
    "features_are_those_of_the_weights": (renamed, "feature 'title_known' is gone"),
    "shipped_weights_are_calibrated": (with_card(n=0), "counts no held-out request"),
    "shipped_model_keeps_to_its_card": (
        with_card(Boastful, ece=0.0, ece_interval=(0.0, 0.0), ece_band=(0.0, 0.0)), "held-out requests its ECE is"
    ),
    "shipped_model_passes_the_self_test": (confused, "KeyError: 'confidence' (tests/test_every_check.py"),
    "answers_are_fast": (slow_answers, "the median answer took"),
    "text_without_words_is_out_of_scope": (eager, "'': P(mine) is 0.90"),
}  # fmt: skip


ELSEWHERE = {
    "shared_negatives_are_not_claimed": "test_shared_negatives.py",
    "neighbours_requests_are_not_claimed": "test_shared_negatives.py",
    "names_for_users_are_of_its_requests": "test_shared_negatives.py",
    "topics_are_those_of_shared_negatives": "test_shared_negatives.py",
}
"""Checks that domains in another test module fail, which brings what they need."""


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_fails_the_check(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, text = TOYS[name]
    found = CHECK[name].findings(toy(tmp_path, monkeypatch))
    assert any(text in str(one) for one in found), [str(one) for one in found]
    assert all(one.seen and one.fix and one.check == name for one in found)


def test_the_weights_of_a_built_package_are_trained_in_its_source(tmp_path: Path) -> None:
    domain = shipping(tmp_path, zoo())
    assert Subject(domain).training == f"run: arbitrank train zoo --out {tmp_path / 'model'}"
    (tmp_path / "arbitrank_zoo-0.1.0.dist-info").mkdir()
    told = Subject(domain).training
    assert told == "in the package's source, run: arbitrank train zoo --out FOLDER, its model; build it again"


def test_old_weights_that_are_shipped_and_stable_are_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = of_old_data(tmp_path, monkeypatch)
    subject.stable = StableWeights(str(tmp_path / "model"), "12ab", "store")
    (one,) = CHECK["shipped_weights_are_of_the_present_data"].findings(subject)
    assert one.level == "warning"
    assert one.seen.startswith(
        "the shipped weights and the weights that answer (12ab, stable in store) were trained on"
    )
    assert "--promote --store store" in one.fix


def test_an_entry_point_with_several_domains_has_a_name_of_its_own() -> None:
    several = Subject(zoo(), Loaded("zoo", Source("animals", "arbitrank-animals", "0.1.0"), zoo()), several=True)
    assert not CHECK["names_agree"].findings(several)


def test_every_check_is_failed_by_a_toy() -> None:
    assert {*TOYS, *ELSEWHERE, *(row[0] for row in CARELESS)} == CHECK.keys()
    for name, file in ELSEWHERE.items():
        assert f'"{name}"' in Path(__file__).with_name(file).read_text(encoding="utf-8")
