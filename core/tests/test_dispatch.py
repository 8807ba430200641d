"""A domain that misbehaves costs its own place in one answer and no more; the answer says who failed, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations, repeat
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.arbitration.breaker import Breakers, BreakerSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.outcomes import Failed
from arbitrank.domain import Domain, Model, Scores
from arbitrank.errors import ArtifactError
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Answer, Hypothesis, Request, Slot

ASKED = Request(
    id="7",
    utterance="turn it up",
    context={"device": "tv", "playing": {"title": "Dune", "cast": ["Zendaya"]}},
    session={"turns": [1]},
    account={"owns": {"tv": 1}},
    dialogue={"acts": ["greet"]},
)


class Steady(Model):
    """A sound model: two readings, always scored alike."""

    def __init__(self, name: str, mine: float = 0.6) -> None:
        self.name, self.mine = name, mine

    def recognise(self, request: Request) -> list[Hypothesis]:
        slots = (Slot("title", "it", 0.5, 5, 7),)
        return [Hypothesis(self.name, "First", 0.9, 0.8, slots, 0.5), Hypothesis(self.name, "Second", 0.9, 0.2)]

    def rerank(self, request: Request) -> Scores:
        shares = np.full(len(request.hypotheses or ()), 1 / max(len(request.hypotheses or ()), 1))
        return Scores(self.mine, self.mine * shares)

    def explain(self, request: Request) -> list[dict[str, float]]:
        return [{"domain": 0.5} for _ in request.hypotheses or ()]


class Hostile(Steady):
    """A steady model of which some methods are replaced."""

    def __init__(self, **methods: Callable[[Request], Any]) -> None:
        super().__init__("hostile")
        self.__dict__.update(methods)


def served(*models: Steady) -> dict[str, Serving | Broken]:
    return {model.name: Serving(model, f"v-{model.name}", "package") for model in models}


def raising(error: BaseException) -> Callable[[Request], Any]:
    def method(request: Request) -> Any:
        raise error

    return method


def returning(value: Any) -> Callable[[Request], Any]:
    return lambda request: value


def hypotheses(n: int) -> Iterator[Hypothesis]:
    return (Hypothesis("hostile", f"Intent{i}", 0.5, 0.5) for i in range(n))


def reading(**fields: Any) -> Callable[[Request], Any]:
    return returning([Hypothesis(**{"domain": "hostile", "intent": "Do", **fields})])


def endless(request: Request) -> Any:
    return endless(request)


class Panic(BaseException):
    """What native code raises when it gives up; no Exception."""


class Mute(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


RECOGNISES = {
    "raises": (raising(RuntimeError("no\nmemory")), "RuntimeError: no memory"),
    "raises SystemExit": (raising(SystemExit(1)), "SystemExit: 1"),
    "raises what is no Exception": (raising(Panic("gave up")), "Panic: gave up"),
    "raises an error without a text": (raising(Mute()), "Mute: its text raises ValueError"),
    "recurses without end": (endless, "RecursionError"),
    "returns None": (returning(None), "recognise returned NoneType, expected a sequence of Hypothesis"),
    "returns a number": (returning(3), "recognise returned int, expected a sequence of Hypothesis"),
    "returns texts": (returning(["Do"]), "hypothesis 0 is of type str, expected a Hypothesis"),
    "returns 101 hypotheses": (lambda request: hypotheses(101), "more than 100 hypotheses, expected at most 100"),
    "returns hypotheses without end": (
        lambda request: repeat(Hypothesis("hostile", "Do")),
        "more than 100 hypotheses, expected at most 100",
    ),
    "speaks for another domain": (reading(domain="one"), "hypothesis 0 is of domain 'one', expected 'hostile'"),
    "is NaN sure": (
        reading(domain_confidence=float("nan")),
        "domain_confidence: nan is out of range, expected a finite number",
    ),
    "is 1.2 sure": (
        reading(intent_confidence=1.2),
        "intent_confidence: 1.2 is out of range, expected a number in [0, 1]",
    ),
    "is -0.1 sure of a slot": (
        reading(slots=(Slot("title", "it", -0.1),)),
        "hypotheses[0].slots[0].confidence: -0.1 is out of range, expected a number in [0, 1]",
    ),
    "is NaN sure of a slot": (reading(slots=(Slot("title", "it", float("nan")),)), "slot 'title': nan"),
    "is sure in words": (reading(domain_confidence="very"), 'domain_confidence: "very" is invalid, expected a number'),
    "gives an infinite feature": (reading(features={"x": float("inf")}), "feature 'x' is inf, expected a finite"),
    "gives a feature in words": (reading(features={"x": "y"}), "feature 'x' is the str 'y', expected a finite"),
    "gives no features at all": (reading(features=None), "features is None, expected a mapping to numbers"),
    "gives a number as intent": (reading(intent=7), "Expected `str`, got `int` - at `$[0].intent`"),
    "gives an empty intent": (reading(intent=""), "at `$[0].intent`"),
    "gives no slots at all": (reading(slots=None), "slots is None, expected a tuple of Slot"),
    "gives an object as a slot's value": (reading(slots=(Slot("title", object()),)), "object is not one of JSON's"),
    "gives half a character": (reading(slots=(Slot("title", "\ud83d"),)), "surrogates not allowed"),
    "changes the context": (lambda request: request.context.update(device="phone"), "AttributeError"),
    "adds to the context": (lambda request: request.context.__setitem__("x", 1), "AttributeError"),
    "changes the context's depths": (lambda request: request.context["playing"].clear(), "AttributeError"),
    "changes a list in the context": (
        lambda request: request.context["playing"]["cast"].append("me"),
        "AttributeError",
    ),
    "changes the session": (lambda request: request.session["turns"].append(2), "AttributeError"),
    "changes the account": (lambda request: request.account["owns"].clear(), "AttributeError"),
    "changes the dialogue": (lambda request: request.dialogue["acts"].clear(), "AttributeError"),
    "changes the utterance": (lambda request: setattr(request, "utterance", "mine"), "AttributeError"),
}

RERANKS = {
    "raises": (raising(ZeroDivisionError("division by zero")), "ZeroDivisionError: division by zero"),
    "raises SystemExit": (raising(SystemExit()), "SystemExit"),
    "raises what is no Exception": (raising(Panic("gave up")), "Panic: gave up"),
    "returns None": (returning(None), "rerank returned NoneType, expected Scores"),
    "returns an array": (returning(np.array([0.1, 0.2])), "rerank returned ndarray, expected Scores"),
    "scores one too few": (returning(Scores(0.5, np.array([0.1]))), "right has shape (1,), expected (2,)"),
    "scores one too many": (returning(Scores(0.5, np.zeros(3))), "right has shape (3,), expected (2,)"),
    "scores in a column": (returning(Scores(0.5, np.zeros((2, 1)))), "right has shape (2, 1), expected (2,)"),
    "scores in words": (returning(Scores(0.5, np.array(["a", "b"]))), "expected an array of numbers"),  # type: ignore[arg-type]
    "scores nothing": (returning(Scores(0.5, None)), "right has shape (), expected (2,)"),  # type: ignore[arg-type]
    "scores NaN": (returning(Scores(0.5, np.array([0.1, np.nan]))), "right is [0.1, nan], expected"),
    "scores infinity": (returning(Scores(0.5, np.array([0.1, np.inf]))), "right is [0.1, inf], expected"),
    "scores below 0": (returning(Scores(0.5, np.array([0.5, -0.1]))), "right is [0.5, -0.1], expected"),
    "scores above mine": (returning(Scores(0.5, np.array([0.3, 0.3]))), "sum to at most mine = 0.5"),
    "scores just above mine": (returning(Scores(0.5, np.array([0.5, 2e-9]))), "sum to at most mine = 0.5"),
    "is NaN sure that it is its own": (returning(Scores(float("nan"), np.zeros(2))), "mine is nan, expected"),
    "is 1.2 sure that it is its own": (returning(Scores(1.2, np.zeros(2))), "mine is 1.2, expected a number in [0, 1]"),
    "is -1 sure that it is its own": (returning(Scores(-1, np.zeros(2))), "mine is -1.0, expected a number in [0, 1]"),
    "does not know whether it is its own": (returning(Scores(None, np.zeros(2))), "mine is None, expected"),  # type: ignore[arg-type]
    "changes the context": (lambda request: request.context.update(device="phone"), "AttributeError"),
    "changes the hypotheses": (lambda request: request.hypotheses.append(1), "AttributeError"),
    "changes a hypothesis": (lambda request: setattr(request.hypotheses[0], "intent", "Mine"), "AttributeError"),
}

EXPLAINS = {
    "raises": (raising(KeyError("weights")), "KeyError: 'weights'"),
    "returns None": (returning(None), "explain returned None, expected a mapping of numbers for each of 2"),
    "explains one too few": (returning([{"domain": 1.0}]), "explain returned 1 rows, expected 2 of finite numbers"),
    "explains NaN": (
        returning([{"domain": float("nan")}] * 2),
        "explain returned 2 rows, expected 2 of finite numbers",
    ),
    "explains in words": (returning([{"domain": "sure"}] * 2), "explain returned 'domain': the str 'sure', expected"),
}

CASES = [
    pytest.param({method: behaviour}, reason, id=f"{method} {what}")
    for method, cases in (("recognise", RECOGNISES), ("rerank", RERANKS), ("explain", EXPLAINS))
    for what, (behaviour, reason) in cases.items()
]


def place(answer: Answer, *names: str) -> list[Any]:
    return [entry for entry in answer.ranked if entry.domain in names]


@pytest.mark.parametrize(("methods", "reason"), CASES)
def test_a_domain_that(methods: dict[str, Any], reason: str) -> None:
    one, two = Steady("one", 0.7), Steady("two", 0.3)
    alone = Arbitrator(served(one, two)).answer(ASKED, explain=True)
    asked = msgspec.json.encode(ASKED)

    beside = Arbitrator(served(Hostile(**methods), one, two)).answer(ASKED, explain=True)

    assert beside.ranked == alone.ranked
    assert beside.decision == alone.decision
    assert beside.domains["one"].status == beside.domains["two"].status == "answered"
    failed = beside.domains["hostile"]
    assert (failed.status, failed.version) == ("failed", "v-hostile")
    assert failed.reason is not None
    assert reason in failed.reason
    assert "\n" not in failed.reason
    assert msgspec.json.encode(ASKED) == asked
    assert msgspec.json.decode(msgspec.json.encode(beside), type=Answer).ranked == beside.ranked


@pytest.mark.usefixtures("interruptible")
def test_the_user_may_still_interrupt() -> None:
    for method in ("recognise", "rerank"):
        with pytest.raises(KeyboardInterrupt):
            Arbitrator(served(Hostile(**{method: raising(KeyboardInterrupt())}))).answer(ASKED)


def test_where_all_domains_fail_none_is_chosen() -> None:
    answer = Arbitrator(served(Hostile(recognise=raising(OSError("disk"))))).answer(ASKED)
    assert answer.ranked == ()
    assert answer.decision.action == "none"
    assert answer.domains["hostile"].reason == "OSError: disk; run: arbitrank check hostile"


def test_a_hundred_hypotheses_are_served() -> None:
    model = Hostile(recognise=lambda request: hypotheses(100))
    answer = Arbitrator(served(model)).answer(ASKED)
    assert len(answer.ranked) == 100
    assert answer.domains["hostile"].status == "answered"


def test_right_may_sum_to_mine_and_no_more_than_rounding_above() -> None:
    for excess in (0.0, 5e-10):
        model = Hostile(rerank=returning(Scores(0.5, np.array([0.25, 0.25 + excess]))))
        assert Arbitrator(served(model)).answer(ASKED).domains["hostile"].status == "answered"


def test_numbers_of_numpy_are_numbers() -> None:
    slots = (Slot("title", "it", np.float32(0.5)),)  # type: ignore[arg-type]
    model = Hostile(
        recognise=reading(domain_confidence=np.float64(0.25), slots=slots, features={"n": np.int64(3)}),
        rerank=returning(Scores(np.float32(0.5), np.array([0.5], np.float32))),  # type: ignore[arg-type]
    )
    outcome = dispatch.query("hostile", model, ASKED, None)
    assert isinstance(outcome, dispatch.Answered)
    (hypothesis,) = outcome.hypotheses
    assert (hypothesis.domain_confidence, hypothesis.slots[0].confidence, hypothesis.features) == (0.25, 0.5, {"n": 3})
    assert {type(hypothesis.domain_confidence), type(hypothesis.features["n"])} == {float}


def test_no_reading_is_an_answer_and_is_not_reranked() -> None:
    for nothing in ((), [], iter(())):
        model = Hostile(recognise=returning(nothing), rerank=raising(AssertionError("it was asked to rerank nothing")))
        answer = Arbitrator(served(model)).answer(ASKED, explain=True)
        assert answer.domains["hostile"].status == "answered"
        assert answer.ranked == ()


def test_a_domain_sees_its_own_hypotheses_alone_in_their_order() -> None:
    seen: list[Request] = []

    def rerank(request: Request) -> Scores:
        seen.append(request)
        return Scores(0.0, np.zeros(2))

    brought = [Hypothesis(domain, intent) for intent in ("A", "B") for domain in ("one", "hostile", "nobody")]
    answer = Arbitrator(served(Hostile(rerank=rerank, recognise=raising(AssertionError())), Steady("one"))).answer(
        replace(ASKED, hypotheses=tuple(brought))
    )
    (request,) = seen
    assert request.hypotheses == (Hypothesis("hostile", "A"), Hypothesis("hostile", "B"))
    assert request.utterance == ASKED.utterance
    assert answer.domains["hostile"].status == "answered"
    assert answer.domains["nobody"].status == "unserved"


def test_a_recogniser_is_handed_no_hypotheses() -> None:
    def recognise(request: Request) -> list[Hypothesis]:
        assert request.hypotheses is None
        return []

    assert Arbitrator(served(Hostile(recognise=recognise))).answer(ASKED).domains["hostile"].status == "answered"


def test_ties_fall_the_same_way_under_any_order_of_plugins() -> None:
    models = [Steady("a"), Steady("b"), Steady("c"), Hostile(rerank=raising(ValueError()))]
    answers = {
        msgspec.json.encode((answer.ranked, answer.decision, sorted(answer.domains)))
        for order in permutations(models)
        for answer in [Arbitrator(served(*order)).answer(ASKED)]
    }
    assert len(answers) == 1
    ranked = Arbitrator(served(*models)).answer(ASKED).ranked
    assert [(entry.domain, entry.intent) for entry in ranked] == [
        (domain, intent) for domain in "abc" for intent in ("First", "Second")
    ]


def test_ties_fall_the_same_way_under_any_order_of_hypotheses_between_domains() -> None:
    own = {name: [Hypothesis(name, intent) for intent in ("A", "B")] for name in ("a", "b")}
    arbitrator = Arbitrator(served(Steady("a"), Steady("b")))
    orders = (
        [*own["a"], *own["b"]],
        [*own["b"], *own["a"]],
        [h for pair in zip(own["b"], own["a"], strict=True) for h in pair],
    )
    answers = [arbitrator.answer(Request(hypotheses=tuple(order))) for order in orders]
    assert all(answer.ranked == answers[0].ranked for answer in answers)
    assert answers[0].decision.contenders == (0, 2)


def test_many_threads_get_the_answers_that_one_gets() -> None:
    arbitrator = Arbitrator(served(Steady("one"), Steady("two"), Hostile(recognise=raising(ValueError("no")))))
    alone = arbitrator.answer(ASKED)
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(arbitrator.answer, [ASKED] * 200):
            assert (answer.ranked, answer.decision) == (alone.ranked, alone.decision)


@pytest.mark.parametrize(
    ("mine", "none", "clarify", "action", "contenders"),
    [
        ((0.7, 0.3), 0.5, 0.1, "accept", (0,)),
        ((0.6, 0.58), 0.5, 0.1, "clarify", (0, 2)),
        ((0.3, 0.25), 0.5, 0.1, "none", ()),  # 0.7 · 0.75 = 0.525: more likely nobody's
        ((0.3, 0.25), 0.525, 0.2, "clarify", (0, 2)),  # at a threshold is not above it
        ((0.75, 0.5), 0.5, 0.5, "accept", (0,)),  # nor below it
        ((0.6, 0.6), 0.5, 0.0, "accept", (0,)),  # 0 never asks back, not even in a tie
        ((0.9, 0.9), 0.0, 0.1, "none", ()),  # 0 acts only where it's certain whose it is
        ((1.0, 0.0), 0.0, 0.0, "accept", (0,)),
        ((1.0, 1.0), 0.0, 1.0, "clarify", (0, 2)),
        ((0.0, 0.0), 1.0, 0.0, "clarify", (0,)),  # 1 never decides none
        ((0.9, 0.1), 0.5, 1.0, "clarify", (0, 2)),
    ],
)
def test_the_thresholds_decide(
    mine: tuple[float, float], none: float, clarify: float, action: str, contenders: tuple[int, ...]
) -> None:
    models = served(Steady("one", mine[0]), Steady("two", mine[1]))
    decision = Arbitrator(models, DecisionSettings(none, clarify)).answer(ASKED).decision
    assert (decision.action, decision.contenders) == (action, contenders)


def test_after_winning_the_claims_grow_and_out_of_scope_stays_out_of_scope() -> None:
    models = served(Steady("one", 0.5), Steady("two", 0.25), Steady("silent", 0.0))
    plain, measured = (
        Arbitrator(models, DecisionSettings(normalise=n, independence=1.0)).answer(ASKED).ranked for n in (False, True)
    )
    assert [entry.domain for entry in measured] == [entry.domain for entry in plain]
    assert {entry.domain: round(entry.domain_probability, 9) for entry in measured} == {
        "one": 0.75,
        "two": 0.25,
        "silent": 0.0,
    }
    assert all(entry.score == entry.domain_probability * entry.probability for entry in measured)
    unlikely = served(Steady("one", 0.3), Steady("two", 0.0))
    assert (
        Arbitrator(unlikely, DecisionSettings(normalise=True, independence=1.0)).answer(ASKED).decision.action == "none"
    )


class Unloadable(Domain):
    """A domain whose weights cannot be had, in a way to be set."""

    def __init__(self, name: str, shipped: Callable[[], Any], load: Callable[[], Any]) -> None:
        self.name, self._shipped, self._load = name, shipped, load

    @property
    def shipped(self) -> Any:
        return self._shipped()

    def train(self, *_: Any) -> dict[str, Any]:
        return {}

    def load(self, folder: Any) -> Any:
        return self._load()


def fails(error: BaseException) -> Callable[[], Any]:
    def function() -> Any:
        raise error

    return function


def test_a_domain_that_cannot_be_loaded_is_reported_and_the_others_serve(tmp_path, sealed) -> None:
    cases = {
        "ships-nothing": (lambda: None, fails(AssertionError()), "run: arbitrank train ships-nothing --promote"),
        "ships-raising": (fails(LookupError("gone")), fails(AssertionError()), "LookupError: gone"),
        "ships-text": (lambda: "model", fails(AssertionError()), "shipped is the str 'model', expected a Path or None"),
        "ships-air": (
            lambda: tmp_path / "air",
            fails(AssertionError()),
            "which is no folder; run: arbitrank train ships-air",
        ),
        "ships-other": (lambda: sealed("other"), fails(AssertionError()), "an artifact of 'other', expected one of"),
        "loads-raising": (None, fails(RuntimeError("bits")), "cannot be loaded: RuntimeError: bits"),
        "loads-exiting": (None, fails(SystemExit(4)), "cannot be loaded: SystemExit: 4"),
        "loads-panicking": (None, fails(Panic("gave up")), "cannot be loaded: Panic: gave up"),
        "loads-refusing": (None, fails(ArtifactError("too old; publish it again")), "too old; publish it again"),
        "loads-nothing": (None, lambda: None, "load returned NoneType, expected a Model"),
    }
    domains = {
        name: Unloadable(name, shipped or (lambda name=name: sealed(name)), load)
        for name, (shipped, load, _) in cases.items()
    }
    domains["steady"] = Unloadable("steady", lambda: sealed("steady"), lambda: Steady("steady"))
    models = load_domains(domains, open_store(tmp_path / "store"))
    answer = Arbitrator(models).answer(ASKED)
    assert [entry.domain for entry in answer.ranked] == ["steady", "steady"]
    for name, (_, _, reason) in cases.items():
        report = answer.domains[name]
        assert report.status == "failed"
        assert report.reason is not None
        assert reason in report.reason, name


@pytest.fixture
def sealed(tmp_path):
    """Seal an artifact of a domain, of no weights at all, and give its folder."""
    from arbitrank.store.artifact import Manifest, seal

    def make(name: str) -> Any:
        folder = tmp_path / "artifacts" / name
        folder.mkdir(parents=True, exist_ok=True)
        seal(folder, Manifest(domain=name, package=f"arbitrank-{name}", package_version="1"))
        return folder

    return make


class Unsaid(BaseException):
    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "recognise",
    [
        *map(
            raising, [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), StopIteration(), Unsaid(), BaseException()]
        ),
        raising(ValueError("x" * 10_000_000)),
        reading(features={str(n): 1.0 for n in range(1_000_000)}),
        reading(features={"x" * 5_000_000: 1.0}),
        reading(features={"x": float("nan")}),
        reading(slots=tuple(Slot("a", "b") for _ in range(100_000))),
        lambda request: [Hypothesis("hostile", "x" * 5_000_000, 0.9)],
        lambda request: repeat(Hypothesis("hostile", "First", 0.9)),
    ],
)
def test_whatever_a_domain_raises_or_returns_costs_it_alone_in_a_service(recognise: Callable[[Request], Any]) -> None:
    arbitrator = Arbitrator(served(Steady("steady"), Hostile(recognise=recognise)))
    with ThreadPoolExecutor(1) as pool:  # where no interrupt is the user's
        answer = pool.submit(arbitrator.answer, Request(utterance="x")).result()
    assert answer.domains["steady"].status == "answered"
    assert answer.domains["hostile"].status == "failed"
    assert 0 < len(answer.domains["hostile"].reason or "") < 700
    assert len(msgspec.json.encode(answer)) < 4_000


def test_other_callers_are_not_shown_what_an_exception_says() -> None:
    breakers = Breakers(BreakerSettings(failures=1))
    hostile = Hostile(recognise=raising(ValueError("the words of a user")))
    failed = dispatch.query_all({"hostile": hostile}, Request(utterance="x"), breakers=breakers)["hostile"]
    assert isinstance(failed, Failed)
    assert "the words" in failed.reason
    assert "the last failure: ValueError" in breakers.status()["hostile"]
    assert "the words" not in breakers.status()["hostile"]
