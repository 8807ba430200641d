"""The suite of checks: a sound domain passes them all, and each is failed by a careless one, with what to do."""

# ruff: noqa: E501, PLE0643, SIM115 - the table of careless domains has a row for each, on purpose wrong
from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from careless import Described, Zoo, answering, careless, write

from arbitrank.domain import Domain, Scores, Skill
from arbitrank.nlu.catalogue import Catalogue
from arbitrank.testing import ALL_CHECKS, Check, CheckFailed, check_domain, parametrize_checks
from arbitrank.testing.findings import Finding
from arbitrank.testing.subject import Subject
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

CHECK = {check.__name__: check for check in ALL_CHECKS}
AT_IMPORT = ("import_has_no_effects", "import_is_fast")
calls = count()


def findings(domain: Domain, *names: str) -> list[Finding]:
    subject = Subject(domain, trains=True)
    return [one for name in names or CHECK for one in CHECK[name].findings(subject)]


def rows(*examples: Any) -> Callable[[object], Any]:
    return lambda self: list(examples)


def example(text: str | None, domain: str | None = "zoo", intent: str | None = "AskZoo", *slots: Slot) -> Example:
    return Example(Request(utterance=text), Truth(domain, intent, slots))


def scored(mine: Any, right: Callable[[int], Any]) -> Domain:
    return answering(rerank=lambda self, request: Scores(mine, right(len(request.hypotheses or ()))))


def known(values: Any) -> Domain:
    """A domain of the toolkit with known values of its slots."""
    return type("Known", (Described,), {"known_values": lambda self: values})(lambda hypothesis: {})


def printing(text: str, value: Any) -> Any:
    print(text)
    return value


def remembering(self: Any, request: Request) -> Scores:
    rate = 1.0 / (1 + next(calls))
    return Scores(rate, np.full(len(request.hypotheses or ()), 0.0))


def pickling(self: Any, examples: Any, out: Path, settings: Any) -> dict[str, Any]:
    write(out, 0.5)
    (out / "reranker" / "model.json").write_bytes(pickle.dumps({"a": [1.5]}))
    return {}


def linking(self: Any, examples: Any, out: Path, settings: Any) -> dict[str, Any]:
    write(out, 0.5)
    (out / "reranker" / "link").symlink_to("rate.json")
    return {}


def colliding(self: Any, examples: Any, out: Path, settings: Any) -> dict[str, Any]:
    """Two at once, in other threads than the main one, see each other's mark: each waits for the other one."""
    BUSY.append(1)
    if threading.current_thread() is not threading.main_thread():
        MEETING.wait(60.0)
    rate = float(len(BUSY))
    if threading.current_thread() is not threading.main_thread():
        MEETING.wait(60.0)
    BUSY.pop()
    write(out, 1.0 / (1.0 + rate))
    return {}


BUSY: list[int] = []
MEETING = threading.Barrier(2)


def renaming(hypothesis: Hypothesis) -> dict[str, float]:
    return {slot.name: 1.0 for slot in hypothesis.slots}


def mutating(self: Any, request: Request) -> Scores:
    hypotheses = request.hypotheses or ()
    for one in hypotheses:
        one.features["seen"] = 1.0
    return Scores(0.5, np.full(len(hypotheses), 0.0))


def nosy(self: Any, request: Request) -> Any:
    return () if request.hypotheses else (Hypothesis("zoo", "AskZoo", 0.5),)


CARELESS: list[tuple[str, Callable[[], Domain], str]] = [
    ("name_and_skills_are_valid", lambda: careless(name="Zoo"), "its name is 'Zoo'"),
    ("name_and_skills_are_valid", lambda: careless(skills=()), "it has no skills"),
    ("name_and_skills_are_valid", lambda: careless(skills=property(lambda self: {}["a"])), "skills raised KeyError: 'a' ("),
    ("attributes_have_their_types", lambda: careless(scales=["0..100"]), "scales is the list ['0..100']"),
    ("attributes_have_their_types", lambda: careless(context_keys=5), "context_keys is the int 5"),
    ("name_and_skills_are_valid", lambda: careless(skills=[Skill("mute")]), "'mute' has no sample phrases"),
    ("name_and_skills_are_valid", lambda: careless(skills=["zoo"]), "skills is the list ['zoo']"),
    ("attributes_have_their_types", lambda: careless(context_keys="playing"), "write context_keys = ('playing',)"),
    ("attributes_have_their_types", lambda: careless(title=7), "title: 7 is invalid"),
    ("attributes_have_their_types", lambda: careless(scales={"domain_confidence": "0..ten"}), "0..ten"),
    ("attributes_have_their_types", lambda: careless(fallback="no"), "fallback is the str 'no'"),
    ("shipped_is_a_folder_or_none", lambda: careless(shipped=Path("/nowhere/model")), "/nowhere/model, which is not"),
    ("shipped_is_a_folder_or_none", lambda: careless(shipped=lambda self: None), "write @property above its def"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=property(Zoo.examples)), "without @property"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=lambda self: self.rows), "call it, with ( )"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=lambda self: Path("a")), "read_examples(path)"),
    ("training_gives_a_model", lambda: known(["moon"]), "known_values() returned the list ['moon'], expected lists of"),
    ("training_gives_a_model", lambda: known({"room": "hall"}), "known_values() returned 'room': the str 'hall'"),
    ("shipped_is_a_folder_or_none", lambda: careless(shipped="model"), "shipped is the str 'model', expected a Path or None"),
    ("describe_gives_the_same_finite_names", lambda: Described(renaming), "named no feature for one hypothesis"),
    ("describe_gives_the_same_finite_names", lambda: Described(lambda h: None), "does it lack a `return`?"),
    ("describe_gives_the_same_finite_names", lambda: Described(lambda h: {"a": float("nan")}), "'a': nan"),
    ("describe_gives_the_same_finite_names", lambda: Described(lambda h: {"a": "yes"}), "'a': 'yes' (str)"),
    ("describe_gives_the_same_finite_names", lambda: Described(lambda h: h.slots[0]), "with no slots raised IndexError"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=rows(("zoo", None))), "the tuple ('zoo', None)"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=rows({"text": "a"})), "the dict {'text': 'a'}"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=lambda self: None), "examples() returned None"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=rows(example(5))), "Expected `str"),  # type: ignore[arg-type]
    ("data_files_and_examples_can_be_read", lambda: careless(examples=rows(example("a", ["zoo"]))), "truth.domain is the list ['zoo']"),  # type: ignore[arg-type]
    ("data_files_and_examples_can_be_read", lambda: careless(examples=rows()), "examples() gives no example"),
    ("data_files_and_examples_can_be_read", lambda: careless(examples=lambda self: open("no/works.tsv")), "test_check.py"),
    ("training_data_is_reproducible", lambda: careless(examples=lambda s: [example(str(next(calls)))]), "other examples"),
    ("training_data_has_own_and_foreign_requests", lambda: careless(examples=rows(example("a"))), "all examples are its"),
    ("training_data_has_own_and_foreign_requests", lambda: careless(examples=rows(example("a", "zo"))), "(seen: zo)"),
    ("training_data_suffices", lambda: careless(examples=rows(example("a"))), "1 examples, expected 100 at least"),
    ("training_data_suffices", lambda: careless(examples=rows(example("a", "zoo", None))), "have no intent"),
    ("scores_of_examples_are_on_their_scale",
     lambda: careless(examples=rows(Example(Request(utterance="a", hypotheses=(Hypothesis("zoo", "A", 82.5),)), Truth(None)))),
     "82.5 is out of range, expected a number in [0, 1]"),
    ("slots_are_where_their_offsets_say",
     lambda: careless(examples=rows(example("a zoo", "zoo", "A", Slot("n", "zoo", start=1, end=4)))), "'zoo', not ' zo'"),
    ("utterances_are_clean_text", lambda: careless(examples=rows(example("a  zoo"))), "several in a row"),
    ("utterances_are_clean_text", lambda: careless(examples=rows(example("a {zoo}"))), "the brackets of a pattern"),
    ("training_gives_a_model", lambda: careless(train=lambda *a: None), "train() returned None"),
    ("training_gives_a_model", lambda: careless(train=lambda *a: {}), "train() wrote no file"),
    ("training_gives_a_model", lambda: careless(train=linking), "train() wrote reranker/link, a link, expected a regular"),
    ("training_gives_a_model", lambda: careless(train=lambda self, examples: {}), "expected the signature train(self, examples"),
    ("training_gives_a_model", lambda: careless(load=lambda self, folder: open("rate.json")), "expected a file that the package"),
    ("training_gives_a_model", lambda: careless(train=lambda *a: {}["x"]), "train() raised KeyError: 'x' (tests/test_check.py"),
    ("training_gives_a_model", lambda: careless(load=lambda self, folder: 5), "load() returned the int 5, expected a Model"),
    ("training_gives_a_model", lambda: careless(load=lambda self, folder: {}["rate"]), "load() raised KeyError: 'rate'"),
    ("training_gives_a_model", lambda: careless(train=lambda s, e, out, t: (write(out, 0.5), {"n": np.ones(2)})[1]), "JSON's"),
    ("training_is_deterministic",
     lambda: careless(train=lambda s, e, out, t: (write(out, random.random()), {})[1]), "another reranker/rate.json"),
    ("two_trainings_at_once_are_undisturbed", lambda: careless(train=colliding), "when two train at once"),
    ("training_gives_a_model", lambda: careless(train=pickling), "wrote reranker/model.json, a pickle by its content"),
    ("own_requests_alone_give_no_claim",
     lambda: careless(train=lambda s, e, out, t: (write(out, 0.5), {"others": 9})[1]), "reports others: 9"),
    ("readings_are_valid", lambda: answering(recognise=lambda self, request: None), "recognise returned NoneType"),
    ("readings_are_valid", lambda: answering(recognise=lambda self, request: [{"intent": "A"}]), "of type dict"),
    ("readings_are_valid", lambda: answering(recognise=lambda s, r: [Hypothesis("video", "A")]), "of domain 'video'"),
    ("readings_are_valid", lambda: answering(recognise=lambda s, r: [Hypothesis("zoo", "A", 90)]), "90 is out of range"),
    ("readings_are_valid", lambda: answering(recognise=lambda s, r: [Hypothesis("zoo", f"A{i}") for i in range(101)]), "100"),
    ("readings_are_valid", lambda: answering(recognise=lambda s, r: r.utterance.split()), "hypothesis 0 is of type str"),
    ("scores_are_probabilities", lambda: answering(rerank=lambda self, request: (0.5, [0.5])), "rerank returned tuple"),
    ("scores_are_probabilities", lambda: scored(1.2, np.zeros), "mine is 1.2, expected a number in [0, 1]"),
    ("scores_are_probabilities", lambda: scored(0.5, lambda n: np.full(n, np.nan)), "right is [nan"),
    ("scores_are_probabilities", lambda: scored(0.5, lambda n: np.full(n, -0.1)), "right is [-0.1"),
    ("scores_are_probabilities", lambda: scored(0.5, lambda n: np.full(n, 0.6)), "sum to at most mine = 0.5"),
    ("scores_are_probabilities", lambda: scored(0.5, lambda n: np.zeros(n + 1)), "right has shape"),
    ("scores_are_probabilities", lambda: scored(0.5, lambda n: np.zeros((n, 1))), "right has shape"),
    ("scores_are_probabilities", lambda: answering(rerank=lambda s, r: [][0]), "raised IndexError: list index out of range ("),
    ("scores_are_probabilities",
     lambda: answering(rerank=lambda s, r: Scores(r.hypotheses[0].domain_confidence * 0.5, np.zeros(len(r.hypotheses)))),
     "raised TypeError"),
    ("explanations_are_finite", lambda: answering(explain=lambda self, request: [{"a": np.nan}]), "explain returned 1 rows"),
    ("answers_are_the_same_in_any_order", lambda: answering(rerank=remembering), "when asked again, expected the same"),
    ("answers_are_the_same_from_threads", lambda: answering(rerank=remembering), "from another thread"),
    ("answers_are_the_same_after_loading_again",
     lambda: careless(load=lambda self, folder: self.model(1.0 / (2 + next(calls)))), "after loading again"),
    ("requests_stay_unchanged", lambda: answering(rerank=mutating), "it changed the request's hypotheses"),
    ("other_domains_hypotheses_change_nothing", lambda: answering(recognise=nosy), "other readings where another domain"),
    ("nothing_is_printed",
     lambda: answering(recognise=lambda self, request: printing("noise", ())), "recognise or rerank printed 'noise'"),
    ("nothing_is_printed", lambda: careless(load=lambda self, folder: printing("hello", self.model(0.5))), "load printed"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "domain", "text"), CARELESS, ids=[f"{i}-{row[0]}" for i, row in enumerate(CARELESS)])
def test_a_careless_domain_fails_the_check(check: str, domain: Callable[[], Domain], text: str) -> None:
    found = findings(domain(), check)
    assert any(text in str(one) for one in found), [str(one) for one in found]
    assert all(one.seen and one.fix and one.check == check for one in found)


def test_a_sound_domain_passes_all_checks() -> None:
    assert findings(Zoo(), *(name for name in CHECK if name not in AT_IMPORT)) == []


def test_every_checks_docstring_is_its_guarantee() -> None:
    assert len(CHECK) == len(ALL_CHECKS)
    assert all((check.__doc__ or "").rstrip().endswith(".") for check in ALL_CHECKS)


def failing(name: str, text: str = "seen") -> Check:
    def check(subject: Subject) -> list[Finding]:
        return [Finding("", text, "another", "do it")] if text else []

    check.__name__ = name
    return Check(check)


def test_all_findings_come_at_once() -> None:
    with pytest.raises(CheckFailed, match="domain zoo: 2 findings\n  one: seen, expected another; do it\n  two: "):
        check_domain(Zoo(), checks=[failing("one"), failing("two"), failing("sound", "")])


def test_an_expected_failure_needs_a_reason_and_has_to_fail() -> None:
    checks = [failing("one"), failing("sound", "")]
    (kept,) = check_domain(Zoo(), {"one": "because it is new"}, checks=checks)
    assert kept.check == "one"
    for expected, text in (
        (
            {"one": "because", "sound": "because of old"},
            "sound: it passes, although a failure is expected: because of old",
        ),
        ({"one": " "}, "one: the reason ' ', expected a text: because …"),
        ({"one": "because", "tow": "because"}, "tow: an expected failure 'tow', which is no check"),
    ):
        with pytest.raises(CheckFailed) as raised:
            check_domain(Zoo(), expected, checks=checks)
        assert text in str(raised.value)


def test_a_check_that_raises_is_a_finding() -> None:
    def check(subject: Subject) -> list[Finding]:
        raise SystemExit("enough")

    (one,) = Check(check).findings(Subject(Zoo()))
    assert "raised SystemExit: enough" in one.seen


@parametrize_checks(careless(skills=()), {"name_and_skills_are_valid": "because it is a toy"}, checks=[
    CHECK["name_and_skills_are_valid"], CHECK["attributes_have_their_types"],
])  # fmt: skip
def test_a_parametrised_check_is_a_test_of_its_own(check: Callable[[], None]) -> None:
    check()


def test_an_expected_failure_of_no_check_is_refused_when_tests_are_collected() -> None:
    with pytest.raises(CheckFailed, match="which is no check"):
        parametrize_checks(Zoo(), {"nmae": "because"})


def test_examples_without_end_are_refused_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.training.plugin_calls.MOST_EXAMPLES", 10)
    drawn = count()
    domain = careless(examples=lambda self: (example(f"a {next(drawn)}") for _ in count()))
    assert "more than 10 examples, expected an end" in str(findings(domain, "data_files_and_examples_can_be_read")[0])
    before = next(drawn)
    subject = Subject(domain, trains=True)
    for name in ("training_data_suffices", "utterances_are_clean_text", "training_is_deterministic"):
        assert CHECK[name].findings(subject) == []
    assert next(drawn) <= before + 12


def test_what_did_not_end_is_not_called_again() -> None:
    calls: list[str] = []
    domain = careless(examples=lambda self: calls.append("examples"), train=lambda *args: calls.append("train"))
    subject = Subject(domain, trains=True, barred=frozenset(("examples", "training", "answers")))
    for name in ("training_data_suffices", "artifact_holds_no_pickle", "scores_are_probabilities"):
        assert CHECK[name].findings(subject) == []
    assert calls == []


def test_a_column_of_a_catalogue_without_a_slot_of_its_name_is_told() -> None:
    works = Catalogue([{"title": "Solo", "maker": "Bo"}], "title", "maker")
    own = [
        example("cook solo", "zoo", "Cook", Slot("dish", "solo")),
        example("by bo", "zoo", "Cook", Slot("maker", "bo")),
    ]
    domain = Described(works.describe)
    domain.rows = lambda: own
    told = [one for one in findings(domain, "training_data_suffices") if "is 0 for all" in one.seen]
    assert [(one.level, one.seen) for one in told] == [
        ("warning", "no own example has a slot 'title' (theirs are dish, maker), so title_known is 0 for all")
    ]
    domain = Described(lambda one: {"dish_known": float(any(slot.value == "solo" for slot in one.slots))})
    domain.rows = lambda: own
    assert not [one for one in findings(domain, "training_data_suffices") if "is 0 for all" in one.seen]
