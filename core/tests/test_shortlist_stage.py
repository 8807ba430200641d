"""The shortlist in a request's life: the domains that are queried, and the answer with and without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from arbitrank.arbitration.arbitrator import Arbitrator, Broken, Serving
from arbitrank.domain import Model, Scores, Skill
from arbitrank.shortlist.calibration import SIGNS, CandidateCalibration
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.index_training import train_index
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting, ShortlistSettings
from arbitrank.values import Answer, Hypothesis, Request

PHRASES = {"lights": "turn on the lamp", "blinds": "pull down the blinds", "kettle": "boil some water"}


@dataclass(eq=False)
class Claims(Model):
    """A model with one reading, which records the queries."""

    name: str
    mine: float = 0.8
    queries: list[str | None] = field(default_factory=list)

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        self.queries.append(request.utterance)
        return (Hypothesis(self.name, "Do", domain_confidence=self.mine, skill=f"{self.name}-skill"),)

    def rerank(self, request: Request) -> Scores:
        return Scores(self.mine, np.full(len(request.hypotheses or ()), self.mine))


def stage(**settings: object) -> Shortlisting:
    names = tuple(PHRASES)
    shortlister = Shortlister(
        SkillCatalogue(tuple(f"{name}-skill" for name in names), names),
        train_index(PHRASES.values(), np.arange(3), 3),
        version="v1",
    )
    return Shortlisting(shortlister, ShortlistSettings(**settings))  # type: ignore[arg-type]


def models_of(*others: str) -> dict[str, Claims]:
    return {name: Claims(name) for name in (*PHRASES, *others)}


def arbitrator(models: Mapping[str, Model], shortlisting: Shortlisting | None = None) -> Arbitrator:
    serving = {name: Serving(model, "1", "package") for name, model in models.items()}
    return Arbitrator(serving, shortlisting=shortlisting)


def test_only_the_domains_of_shortlisted_skills_are_queried_and_named() -> None:
    models = models_of("safe", "door")
    answer = arbitrator(models, stage(k=1)).answer(Request(utterance="the lamp please"))
    assert [name for name, model in models.items() if model.queries] == ["lights"]
    assert list(answer.domains) == ["lights"]
    assert answer.domains["lights"].status == "answered"
    assert answer.shortlist
    assert [one.skill for one in answer.shortlist.candidates] == ["lights-skill"]
    assert (answer.shortlist.miss, answer.shortlist.skipped, answer.shortlist.version) == (False, 4, "v1")
    assert answer.ms["shortlist"] > 0.0


def test_an_answer_states_the_probability_of_no_skill_where_it_was_fitted() -> None:
    unfitted = stage()
    signs = len(SIGNS)
    calibration = CandidateCalibration(fits=(0.5, *[0.0] * (signs - 1)), outside=0.5)
    fitted = replace(unfitted, shortlister=replace(unfitted.shortlister, calibration=calibration))
    for words, expected in (("the lamp", 1 / (1 + np.exp(0.5))), ("zzz", 1.0)):
        answer = arbitrator(models_of(), fitted).answer(Request(utterance=words))
        assert answer.shortlist
        assert answer.shortlist.none == pytest.approx(expected)
        before = arbitrator(models_of(), unfitted).answer(Request(utterance=words))
        assert before.shortlist
        assert before.shortlist.none is UNSET


def test_the_size_of_an_answer_grows_with_k_and_not_with_the_domains() -> None:
    few, many = models_of(), models_of(*(f"other-{n}" for n in range(500)))
    request = Request(utterance="the lamp please")
    sizes = [len(msgspec.json.encode(arbitrator(m, stage(k=1)).answer(request).domains)) for m in (few, many)]
    assert abs(sizes[0] - sizes[1]) < 20  # digits of milliseconds
    assert sum(bool(model.queries) for model in many.values()) == 1


def test_domains_that_are_always_queried_are_queried() -> None:
    models = models_of("safe")
    answer = arbitrator(models, stage(k=1, always=frozenset(["safe", "absent"]))).answer(Request(utterance="the lamp"))
    assert list(answer.domains) == ["lights", "safe"]
    assert models["safe"].queries == ["the lamp"]


@pytest.mark.parametrize("utterance", ["xyzzy plugh", "?", "…"])
def test_a_miss_shows_in_the_answer_and_queries_only_the_constant_domains(utterance: str) -> None:
    models = models_of("safe")
    answer = arbitrator(models, stage(always=frozenset(["safe"]))).answer(Request(utterance=utterance))
    assert answer.shortlist
    assert (answer.shortlist.miss, answer.shortlist.candidates, answer.shortlist.skipped) == (True, (), 3)
    assert [name for name, model in models.items() if model.queries] == ["safe"]
    missed = arbitrator(models_of(), stage()).answer(Request(utterance=utterance))
    assert (missed.decision.action, missed.ranked, missed.domains) == ("none", (), {})


def test_scores_below_the_floor_are_a_miss() -> None:
    answer = arbitrator(models_of(), stage(floor=1.0)).answer(Request(utterance="the lamp"))
    assert answer.shortlist
    assert answer.shortlist.miss


def test_an_empty_catalogue_misses() -> None:
    empty = Shortlister(SkillCatalogue(), train_index([], np.zeros(0, np.int64), 0))
    answer = arbitrator(models_of(), Shortlisting(empty)).answer(Request(utterance="the lamp"))
    assert answer.shortlist
    assert answer.shortlist.miss


def test_a_shortlisted_domain_that_is_not_installed_is_reported_unserved() -> None:
    models = models_of()
    del models["lights"]
    answer = arbitrator(models, stage(k=1)).answer(Request(utterance="the lamp"))
    assert answer.domains["lights"].status == "unserved"
    assert "not installed" in (answer.domains["lights"].reason or "")
    assert answer.decision.action == "none"
    assert answer.shortlist
    assert not answer.shortlist.miss


def test_a_shortlisted_domain_that_cannot_be_loaded_is_reported_failed() -> None:
    whole = arbitrator(models_of(), stage(k=1, always=frozenset(["blinds"])))
    domains = {**whole.domains, "lights": Broken("its weights are damaged"), "blinds": Broken("so are these")}
    answer = replace(whole, domains=domains).answer(Request(utterance="the lamp"))
    assert {name: one.status for name, one in answer.domains.items()} == {"lights": "failed", "blinds": "failed"}


def test_a_removed_skill_is_not_queried_by_the_next_request() -> None:
    before = stage(k=1)
    after = replace(before, shortlister=before.shortlister.without(["lights-skill"]))
    models = models_of()
    answer = arbitrator(models, after).answer(Request(utterance="the lamp"))
    assert answer.shortlist
    assert "lights-skill" not in [one.skill for one in answer.shortlist.candidates]
    assert not models["lights"].queries
    added = replace(after, shortlister=after.shortlister.with_skills({"lights": [Skill("new", "lamp")]}))
    assert arbitrator(models, added).answer(Request(utterance="the lamp")).ranked[0].domain == "lights"


def test_supplied_hypotheses_need_no_shortlist() -> None:
    brought = (Hypothesis("kettle", "Do", domain_confidence=0.9),)
    answer = arbitrator(models_of(), stage(k=1)).answer(Request(utterance="the lamp", hypotheses=brought))
    assert answer.shortlist is UNSET
    assert answer.ranked[0].domain == "kettle"
    assert answer.domains["lights"].status == "skipped"


def test_without_a_shortlist_the_answer_has_no_trace_of_it() -> None:
    request = Request(id="7", utterance="the lamp")
    plain = arbitrator(models_of()).answer(request)
    assert plain.shortlist is UNSET
    assert "shortlist" not in msgspec.to_builtins(plain)
    assert set(plain.domains) == set(PHRASES)
    wide = arbitrator(models_of(), stage(k=10)).answer(request)
    assert [one.domain for one in wide.ranked] == ["blinds", "lights"]
    assert all(one in plain.ranked for one in wide.ranked)


def test_an_answer_with_a_shortlist_survives_encoding() -> None:
    answer = arbitrator(models_of(), stage(k=2)).answer(Request(utterance="the lamp"))
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer
