"""A HypRank in the store: published, judged, promoted, followed, canaried and rolled back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
import services
from fakes import FakeDomain
from waiting import until

from arbitrank.domain import Domain
from arbitrank.live.live import Live
from arbitrank.promotion import consider, promote
from arbitrank.shortlist.hyprank import HypRank, save_hyprank
from arbitrank.shortlist.hyprank_features import skill_of
from arbitrank.shortlist.hyprank_training import LabelledList, train_hyprank
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.kinds import HYPRANK, SHORTLIST, kind_of
from arbitrank.store.state import State
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Hypothesis, Ranked, Request

SKILLS = {"a": 0.7, "b": 0.6, "c": 0.5}


@pytest.fixture
def domains(tmp_path: Path) -> dict[str, Domain]:
    folder = tmp_path / "domains"
    for name, mine in SKILLS.items():
        fakes.artifact(folder / name, name, mine=mine)
    return {name: FakeDomain(name, folder / name) for name in SKILLS}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def trained(*, follows_dialogue: bool, skills: Sequence[str] = tuple(SKILLS)) -> HypRank:
    """One for which the previous skill is right, or the first of the merged list."""
    rng = np.random.default_rng(0)
    lists = []
    for group in range(600):
        previous = skills[rng.integers(len(skills))]
        scores = sorted(((float(rng.uniform(0.2, 0.8)), name) for name in skills), reverse=True)
        ranked = tuple(Ranked(name, "i", score=p * p, domain_probability=p, probability=p) for p, name in scores)
        right = previous if follows_dialogue else skill_of(ranked[0])
        request = Request(dialogue={"previous_skill": previous, "failed": False})
        lists.append(LabelledList(request, ranked, frozenset([right]), {}, group))
    return train_hyprank(lists, rounds=30)


@pytest.fixture(scope="module")
def dialogue() -> HypRank:
    return trained(follows_dialogue=True)


@pytest.fixture(scope="module")
def plain() -> HypRank:
    return trained(follows_dialogue=False)


def publish(store: Store, model: HypRank, folder: Path, *, promoted: bool = False) -> str:
    save_hyprank(model, folder)
    return store.publish(folder, promote=promoted).version


def after(previous: str, id: str = "1") -> Request:
    dialogue = {"previous_skill": previous, "failed": False}
    return Request(id=id, dialogue=dialogue, hypotheses=tuple(Hypothesis(name, "i") for name in SKILLS))


def first(answer: Answer) -> str:
    return answer.ranked[0].domain


def live(domains: dict[str, Domain], store: Store) -> Live:
    one = Live(domains, store, selftest=lambda folder, name: None)
    one.look()
    return one


def test_live_sorts_by_the_stable_one_from_its_promotion_to_its_rollback(
    domains: dict[str, Domain], store: Store, dialogue: HypRank, tmp_path: Path
) -> None:
    one = live(domains, store)
    assert first(one.answer(after("c"))) == "a"
    assert HYPRANK not in one.status().domains
    version = publish(store, dialogue, tmp_path / "made", promoted=True)
    one.look()
    assert first(one.answer(after("c"))) == "c"
    assert one.status().domains[HYPRANK].version == version
    store.rollback(HYPRANK, to_package=True)
    one.look()
    assert first(one.answer(after("c"))) == "a"


def test_a_version_that_cannot_be_loaded_leaves_the_one_before(
    domains: dict[str, Domain], store: Store, dialogue: HypRank, tmp_path: Path
) -> None:
    publish(store, dialogue, tmp_path / "made", promoted=True)
    one = live(domains, store)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in kind_of(HYPRANK).files:
        (damaged / name).write_text("damaged")
    seal(damaged, Manifest(domain=HYPRANK, package="arbitrank", package_version="0"))
    bad = store.publish(damaged, promote=True).version
    one.look()
    assert first(one.answer(after("c"))) == "c"
    assert bad in one.status().domains[HYPRANK].refused


def test_a_canary_sorts_its_share_of_the_requests_and_is_compared(
    domains: dict[str, Domain], store: Store, dialogue: HypRank, plain: HypRank, tmp_path: Path
) -> None:
    publish(store, plain, tmp_path / "plain", promoted=True)
    publish(store, dialogue, tmp_path / "dialogue")
    store.canary(HYPRANK, 0.5)
    one = live(domains, store)
    heads = [first(one.answer(after("c", str(number)))) for number in range(100)]
    assert set(heads) == {"a", "c"}
    arms = one.report()[HYPRANK].arms
    assert arms["canary"].answers == heads.count("c")
    assert arms["stable"].answers == heads.count("a")
    assert 25 < arms["canary"].answers < 75
    store.canary(HYPRANK, 1.0)
    one.look()
    assert {first(one.answer(after("c", str(number)))) for number in range(20)} == {"c"}


def test_the_gate_judges_its_order_on_the_audit_set(
    domains: dict[str, Domain], store: Store, dialogue: HypRank, plain: HypRank, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    lines = [
        {
            "utterance": "go on",
            "dialogue": {"previous_skill": name, "failed": False},
            "hypotheses": [{"domain": skill, "intent": "i"} for skill in SKILLS],
            "truth": {"domain": name, "intent": "i"},
        }
        for name in SKILLS
        for _ in range(60)
    ]
    audit.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store.set_audit_set(audit)
    good = publish(store, dialogue, tmp_path / "dialogue")
    judgement = consider(store, domains, HYPRANK)
    assert judgement.reasons == ()
    assert promote(store, judgement)
    bad = publish(store, plain, tmp_path / "plain")
    judgement = consider(store, domains, HYPRANK)
    assert (judgement.version, judgement.problem) == (bad, None)
    assert [(one.what, one.neighbours) for one in judgement.reasons] == [
        ("irer", ()),
        ("neighbour", ("b",)),
        ("neighbour", ("c",)),
    ]
    assert promote(store, judgement) is None
    change = promote(store, judgement, force=True, reason="a trial")
    assert change
    assert change.forced
    assert store.rollback(HYPRANK).state == State(stable=good, previous=bad)


def test_ask_and_rank_sort_by_the_stable_one(dialogue: HypRank, store: Store, tmp_path: Path, arbitrank) -> None:
    request = {
        "dialogue": {"previous_skill": "b", "failed": False},
        "hypotheses": [
            {"domain": name, "intent": "i", "domain_confidence": p, "intent_confidence": 0.9, "slots_confidence": 0.9}
            for name, p in (("a", 0.6), ("b", 0.5))
        ],
    }

    def ranked() -> str:
        done = arbitrank("rank", "--rank-unserved", "--store", str(store), input=json.dumps(request))
        return str(json.loads(done.stdout)["ranked"][0]["domain"])

    assert ranked() == "a"
    publish(store, dialogue, tmp_path / "made")
    done = arbitrank("promote", HYPRANK, "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert ranked() == "b"
    done = arbitrank("rollback", HYPRANK, "--to-package", "--store", str(store))
    assert "lists stay in the order of the merge" in done.stdout
    assert ranked() == "a"


def test_the_service_promotes_follows_and_rolls_back_by_its_routes(
    tmp_path: Path, lights_site: Path, arbitrank
) -> None:
    store = open_store(tmp_path / "store", environment={})
    for name, mine in (("lights", 0.7), ("shades", 0.6)):
        fakes.artifact(tmp_path / name, name, mine=mine)
        store.publish(tmp_path / name, promote=True)
    version = publish(store, trained(follows_dialogue=True, skills=("lights", "shades")), tmp_path / "made")
    tokens = tmp_path / "tokens"
    team = arbitrank("token", "team", f"publish:{HYPRANK},rank", "--tokens", str(tokens)).stdout.strip()
    request = {"utterance": "go on", "dialogue": {"previous_skill": "shades", "failed": False}}
    with services.Service(lights_site, tmp_path / "store", "--tokens", str(tokens), "--poll", "0.1") as service:

        def first() -> str:
            return str(service.rank(request, token=team)[1]["ranked"][0]["domain"])

        def call(method: str, verb: str, body: object = None, name: str = HYPRANK) -> tuple[int, Any]:
            return service.call(method, f"/v1/domains/{name}/{verb}", body, team)[:2]

        assert first() == "lights"
        assert call("GET", "versions")[1]["versions"] == [version]
        status, reply = call("POST", "promote")
        assert (status, reply["domain"], reply["state"]["stable"]) == (200, HYPRANK, version)
        until(lambda: first() == "shades")
        assert call("POST", "canary", {"share": 0.5})[0] == 409  # there is no candidate any more
        assert call("POST", "rollback")[0] == 409  # nor a previous version
        store.rollback(HYPRANK, to_package=True)
        until(lambda: first() == "lights")
        assert call("GET", "versions", name="shortlist")[1]["domain"] == SHORTLIST
        assert call("POST", "promote", name="shortlist")[0] == 403  # of another scope
