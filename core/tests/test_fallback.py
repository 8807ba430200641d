"""A fallback: a domain that can answer anything and acts only where no other domain should."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fakes import FakeDomain
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.fallback import merged
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.profiles import profiles_of
from arbitrank.domain import Model, Scores, Settings
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.learn.rerankers import baseline
from arbitrank.live.routing import with_serving
from arbitrank.semer import entirely_right
from arbitrank.serve.policy import read_policy
from arbitrank.shortlist.log_labels import labelled_lists
from arbitrank.titles import DisplayNames
from arbitrank.values import Answer, Candidate, Decision, Example, Hypothesis, Ranked, Request, Slot, Truth
from arbitrank.wire.requests import Logged

SPOKEN = Request(utterance="how tall is everest")
FALLBACK = DecisionSettings(fallback="llm")


class Claims(Model):
    """One reading per score of P(right), with P(mine); readings carry `confidence`, and `fails` raises."""

    def __init__(
        self, name: str, mine: float = 0.9, right: Sequence[float] = (0.8,), confidence: float | None = 0.9,
        fails: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.mine, self.right, self.confidence, self.fails = name, mine, right, confidence, fails
        self.calls = 0

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        self.calls += 1
        if self.fails:
            raise RuntimeError("out of quota")
        return [Hypothesis(self.name, f"Do{i}", domain_confidence=self.confidence) for i in range(len(self.right))]

    def rerank(self, request: Request) -> Scores:
        n = len(request.hypotheses or ())
        return Scores(self.mine, np.array([*self.right, *[0.0] * n][:n]))

    def explain(self, request: Request) -> Sequence[Mapping[str, float]]:
        return [{"domain": 1.0} for _ in request.hypotheses or ()]


def arbitrator(
    *models: Claims, settings: DecisionSettings = FALLBACK, claims: Sequence[str] = (), **more: object
) -> Arbitrator:
    profiles = {}
    for model in models:
        domain = FakeDomain(model.name)
        domain.fallback = model.name in claims
        profiles |= profiles_of({model.name: domain})
    serving = {model.name: Serving(model, "1", "package") for model in models}
    return Arbitrator(serving, settings, fallback=baseline, profiles=profiles, **more)  # type: ignore[arg-type]


HOME, LLM = Claims("home", 0.1, (0.1,)), Claims("llm", 0.95, (0.3, 0.65))
ACTS = Decision("accept", (1,), "fallback")


def test_it_acts_where_no_other_domain_should() -> None:
    answer = arbitrator(HOME, LLM).answer(SPOKEN)
    assert answer.decision == ACTS
    assert [(entry.domain, entry.intent) for entry in answer.ranked] == [("home", "Do0"), ("llm", "Do1")]
    assert answer.chosen == answer.ranked[1]
    assert (answer.chosen.score, answer.chosen.domain_probability, answer.chosen.probability) == (None, 0.95, 0.65)
    assert answer.domains["llm"].status == "answered"
    assert merged(answer) == answer.ranked[:1]


def test_its_claim_enters_neither_the_merge_nor_the_probability_of_no_domain() -> None:
    sure = Claims("home", 0.6, (0.6,))
    alone = Arbitrator({"home": Serving(sure, "1", "package")}).answer(SPOKEN)
    for settings in (FALLBACK, replace(FALLBACK, normalise=True)):
        beside = arbitrator(sure, LLM, settings=settings).answer(SPOKEN)
        assert (beside.ranked, beside.decision) == (alone.ranked, alone.decision)


def test_without_readings_of_others_its_own_stands_first() -> None:
    answer = arbitrator(LLM).answer(SPOKEN)
    assert answer.decision == Decision("accept", (0,), "fallback")


def test_a_clarification_is_no_case_for_it() -> None:
    unsure = Claims("home", 0.9, (0.05,))
    assert arbitrator(unsure, LLM).answer(SPOKEN).decision == Decision("clarify", (0,))


def test_a_reading_without_any_confidence_has_no_probabilities() -> None:
    answer = arbitrator(HOME, Claims("llm", confidence=None)).answer(SPOKEN)
    assert answer.decision == ACTS
    line = msgspec.json.decode(msgspec.json.encode(answer))["ranked"][1]
    assert line == {
        "domain": "llm", "intent": "Do0", "score": None, "domain_probability": None, "probability": None, "version": "1"
    }  # fmt: skip
    assert "llm Do0" in repr(answer.ranked[1])


def test_one_that_is_not_installed_acts_by_the_hypotheses_of_the_request() -> None:
    brought = (
        Hypothesis("home", "Do0", domain_confidence=0.2),
        Hypothesis("gpt", "Chat", domain_confidence=0.95, slots=(Slot("text", "hi"),)),
        Hypothesis("gpt", "Other", domain_confidence=0.2),
    )
    for unserved in (False, True):
        settings = DecisionSettings(fallback="gpt", rank_unserved=unserved)
        answer = arbitrator(HOME, LLM, settings=settings).answer(Request(utterance="hi", hypotheses=brought))
        assert answer.decision == ACTS
        assert answer.ranked[1] == Ranked("gpt", "Chat", (Slot("text", "hi"),), None, None, None)
        assert (answer.domains["gpt"].status, answer.domains["llm"].status) == ("unserved", "skipped")


@pytest.mark.parametrize(
    ("given", "settings", "reason"),
    [
        ((HOME, Claims("llm", fails=True)), FALLBACK, "does not act: failed: RuntimeError: out of quota"),
        ((HOME, Claims("llm", right=())), FALLBACK, "does not act: it has no reading"),
        ((HOME,), FALLBACK, "not installed, and the request brings no hypothesis of it"),
    ],
)
def test_where_it_cannot_act_the_decision_is_none_with_the_reason(
    given: tuple[Claims, ...], settings: DecisionSettings, reason: str
) -> None:
    decision = arbitrator(*given, settings=settings).answer(SPOKEN).decision
    assert (decision.action, decision.contenders) == ("none", ())
    assert reason in str(decision.reason)


def test_one_that_cannot_be_loaded_or_read_is_the_reason_for_none() -> None:
    broken = arbitrator(HOME)
    broken = with_serving(broken, "llm", Broken("its weights are damaged"))
    assert "its weights are damaged" in str(broken.answer(SPOKEN).decision.reason)
    refused = Request(
        utterance="hi",
        hypotheses=(Hypothesis("gpt", "Chat"), Hypothesis("home", "Do0", domain_confidence=0.1)),
        refused={"gpt": "hypotheses[2]: intent: null"},
    )
    answer = arbitrator(HOME, settings=DecisionSettings(fallback="gpt")).answer(refused)
    assert answer.decision.action == "none"
    assert "intent: null" in str(answer.decision.reason)
    assert answer.domains["gpt"].status == "failed"


def test_hypotheses_of_others_alone_do_not_have_it_read_the_utterance() -> None:
    model = Claims("llm")
    answer = arbitrator(HOME, model).answer(Request(utterance="hi", hypotheses=()))
    assert answer.decision.action == "none"
    assert "the request brings no hypothesis of it" in str(answer.decision.reason)
    assert model.calls == 0


def test_without_a_fallback_none_has_no_reason() -> None:
    assert arbitrator(HOME, settings=DecisionSettings()).answer(SPOKEN).decision == Decision("none")


# --------------------------------------------------------------------------------------- the owner's and the operator's


def test_a_domain_that_claims_it_is_the_fallback() -> None:
    assert arbitrator(HOME, LLM, settings=DecisionSettings(), claims=["llm"]).answer(SPOKEN).decision == ACTS


@pytest.mark.parametrize("off", ["none", ""])
def test_the_operator_turns_it_off_and_it_does_not_act_at_all(off: str) -> None:
    """As an ordinary domain it would win every request."""
    model = Claims("llm", 0.99, (0.99,))
    answer = arbitrator(HOME, model, settings=DecisionSettings(fallback=off), claims=["llm"]).answer(SPOKEN)
    assert answer.decision == Decision("none")
    assert answer.domains["llm"].status == "skipped"
    assert "the setting fallback is none" in str(answer.domains["llm"].reason)
    assert model.calls == 0


def test_the_operator_names_another() -> None:
    other = Claims("faq", 0.2, (0.2,))
    answer = arbitrator(HOME, LLM, other, settings=DecisionSettings(fallback="faq"), claims=["llm"]).answer(SPOKEN)
    assert answer.chosen
    assert answer.chosen.domain == "faq"
    assert [entry.domain for entry in answer.ranked] == ["home", "faq"]


def test_of_two_that_claim_it_the_first_by_name_acts_and_the_other_is_reported() -> None:
    for order in ((HOME, LLM, Claims("chat")), (Claims("chat"), LLM, HOME)):
        answer = arbitrator(*order, settings=DecisionSettings(), claims=["llm", "chat"]).answer(SPOKEN)
        assert answer.chosen
        assert answer.chosen.domain == "chat"
        assert answer.domains["llm"].status == "skipped"
        assert "as chat does, which acts" in str(answer.domains["llm"].reason)


def test_a_claim_that_is_no_boolean_or_raises_is_none() -> None:
    domain = FakeDomain("llm")
    domain.fallback = "yes"  # type: ignore[assignment]
    assert not profiles_of({"llm": domain})["llm"].fallback

    class Hostile(FakeDomain):
        @property
        def fallback(self) -> bool:  # type: ignore[override]
            raise SystemExit(3)

    assert not profiles_of({"llm": Hostile("llm")})["llm"].fallback


# ------------------------------------------------------------------------------------------------------ other stages


class Reverses:
    """A HypRank that turns the list round."""

    sorts_readings = True

    def sort_tools(self, request: Request, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        return candidates

    def sort(self, request: Request, ranked: tuple[Ranked, ...], shortlist: Mapping[str, float]) -> tuple[Ranked, ...]:
        assert all(entry.domain != "llm" for entry in ranked)
        return tuple(reversed(ranked))


def test_hyprank_never_sees_it() -> None:
    answer = arbitrator(HOME, Claims("lights", 0.2, (0.2,)), LLM, hyprank=Reverses()).answer(SPOKEN)
    assert [entry.domain for entry in answer.ranked] == ["home", "lights", "llm"]
    assert answer.decision == Decision("accept", (2,), "fallback")


def test_its_reading_is_explained() -> None:
    answer = arbitrator(HOME, LLM).answer(SPOKEN, explain=True)
    (why, p) = answer.ranked[1].why, answer.ranked[1].probability
    assert why is not None
    assert p is not None
    assert why == pytest.approx({"base": math.log(p / (1.0 - p)) - 1.0, "domain": 1.0})


def blocked(tmp_path: Path, text: str, answer: Answer) -> Decision:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    policy: Policy = read_policy(path)
    return policy.apply(SPOKEN, answer, FALLBACK).decision


@pytest.mark.parametrize("confidence", [0.9, None])
def test_the_policy_may_block_it_or_have_it_ask(tmp_path: Path, confidence: float | None) -> None:
    answer = arbitrator(HOME, Claims("llm", confidence=confidence)).answer(SPOKEN)
    assert answer.decision == ACTS
    assert blocked(tmp_path, "", answer) is answer.decision
    none = blocked(tmp_path, '[[blocks]]\ndomain = "llm"', answer)
    assert (none.action, none.contenders) == ("none", ())
    assert "llm Do0 is blocked here" in str(none.reason)
    asks = blocked(tmp_path, "[domains.llm]\nask = true", answer)
    assert (asks.action, asks.contenders) == ("clarify", (1,))
    needs = blocked(tmp_path, "[domains.llm]\naccept = 0.95", answer)
    assert (needs.action, needs.contenders) == ("clarify", (1,))
    assert blocked(tmp_path, '[[pins]]\ndomain = "llm"\nleast = 0.0', answer) is answer.decision


def test_it_is_logged_and_left_out_of_lists_to_learn_from(tmp_path: Path) -> None:
    model = arbitrator(HOME, Claims("llm", confidence=None))
    with AnswerLog(tmp_path) as log:
        arbitration = model.arbitrate(replace(SPOKEN, id="1"))
        log.write(replace(SPOKEN, id="1"), arbitration.answer, arbitration.hypotheses)
    (segment,) = [path for path in tmp_path.iterdir() if path.suffix in (".jsonl", ".open")] or [None]
    assert segment
    line = msgspec.json.decode(segment.read_bytes().splitlines()[0], type=Logged)
    assert line.answer
    assert line.answer.decision == ACTS
    assert line.answer.ranked == arbitration.answer.ranked
    labelled = replace(line, truth=Truth("home", "Do0"))
    assert [entry.domain for entry in labelled_lists([labelled])[0].ranked] == ["home"]


# ------------------------------------------------------------------------------------- every domain in every answer


def test_packages_that_were_refused_or_disabled_are_in_every_answer() -> None:
    from arbitrank.values import DomainReport

    unavailable = {
        "old": DomainReport("failed", reason="needs arbitrank<0.1"),
        "idle": DomainReport("skipped", reason="ARBITRANK_DOMAINS does not name it"),
    }
    one = arbitrator(HOME, unavailable=unavailable)
    for request in (SPOKEN, Request(hypotheses=()), Request(hypotheses=(Hypothesis("old", "X"),))):
        answer = one.answer(request)
        assert list(answer.domains) == ["home", "idle", "old"]
        assert answer.domains["old"] == unavailable["old"]
        assert answer.domains["idle"] == unavailable["idle"]


def test_display_names_come_with_the_answer_where_a_plugin_states_them() -> None:
    one = arbitrator(Claims("home", 0.9), LLM, settings=DecisionSettings())
    plain = one.answer(SPOKEN)
    assert {report.title for report in plain.domains.values()} == {UNSET}
    profiles = {name: replaced(profile) for name, profile in one.profiles.items()}
    from dataclasses import replace as changed

    titled = changed(one, profiles=profiles).answer(SPOKEN)
    assert titled.domains["home"].title == "Smart home"
    assert titled.domains["home"].intent_titles == {"Do0": "switch it"}
    assert titled.ranked == plain.ranked


def replaced(profile):  # type: ignore[no-untyped-def]
    from dataclasses import replace as changed

    return changed(profile, names=DisplayNames("Smart home", {"Do0": "switch it", "Unused": "never"}))


# ------------------------------------------------------------------------------------------------ a learned domain


def heard(rng: np.random.Generator) -> Example:
    """A request to a home: templates match commands and, wrongly, questions; an assistant claims everything."""
    kind = rng.choice(["command", "near question", "question", "talk"], p=[0.4, 0.1, 0.2, 0.3])
    hypotheses = [Hypothesis("llm", "Chat", domain_confidence=0.95)]
    if kind != "talk":
        wild = float(kind != "command")
        known = float(kind != "question" and rng.random() < 0.97)
        hypotheses.append(Hypothesis("home", "Ask" if wild else "Switch", features={"wild": wild, "known": known}))
    truth = Truth("llm", "Chat") if kind in ("question", "talk") else Truth("home", hypotheses[1].intent)
    return Example(Request(utterance="a b c", hypotheses=tuple(hypotheses)), truth)


def test_a_local_domain_without_scores_and_an_assistant_that_claims_everything(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    training, test = ([heard(rng) for _ in range(n)] for n in (1000, 500))
    for name in ("home", "llm"):
        own = [replace(one, request=replace(one.request, hypotheses=own_of(one.request, name))) for one in training]
        ReferenceDomain(name).train(own, tmp_path / name, Settings())
    domains = {name: Serving(ReferenceDomain(name).load(tmp_path / name), "1", "package") for name in ("home", "llm")}
    # Installed with the others, or in the requests alone.
    for serving in (domains, {"home": domains["home"]}):
        served = Arbitrator(serving, FALLBACK)
        answers = [served.answer(one.request) for one in test]
        right = [
            answer.decision.action == "accept"
            and answer.chosen is not None
            and entirely_right(answer.chosen, one.truth)
            for answer, one in zip(answers, test, strict=True)
        ]
        assert np.mean(right) >= 0.98


def own_of(request: Request, name: str) -> tuple[Hypothesis, ...]:
    return tuple(h for h in request.hypotheses or () if h.domain == name)


# ------------------------------------------------------------------------------------------------------- properties

chances = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4)


@given(chances, st.floats(0.0, 1.0), st.booleans(), st.booleans())
def test_it_changes_nothing_but_the_decision_none(
    mine: list[float], claim: float, confident: bool, normalise: bool
) -> None:
    others = [Claims(f"d{i}", p, (p,)) for i, p in enumerate(mine)]
    fallback = Claims("llm", claim, (claim,), 0.9 if confident else None)
    without = arbitrator(*others, settings=DecisionSettings(normalise=normalise)).answer(SPOKEN)
    beside = arbitrator(*others, fallback, settings=replace(FALLBACK, normalise=normalise)).answer(SPOKEN)
    assert merged(beside) == without.ranked
    if without.decision.action == "none":
        assert beside.decision == Decision("accept", (len(without.ranked),), "fallback")
    else:
        assert beside.decision == without.decision
