"""The Shortlister in the store and in a running process: published, judged, followed and swapped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fakes
import pytest
import services
from click.testing import CliRunner
from fakes import FakeDomain
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.cli.main import cli
from arbitrank.domain import Domain, Skill
from arbitrank.impact.gate import GateLimits
from arbitrank.live.live import Live
from arbitrank.promotion import consider, promote
from arbitrank.serve.auth import make_token
from arbitrank.shortlist.build import SkillUtterance, build, write
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.kinds import SHORTLIST, kind_of
from arbitrank.store.store import Store, open_store
from arbitrank.values import Request

PHRASES = {"lights": "turn on the lamp", "blinds": "pull down the shades", "kettle": "boil some water"}


def lines(*skills: str) -> list[SkillUtterance]:
    """Thirty utterances of each skill."""
    texts = [(name, f"{PHRASES[name]} x{n}") for n in range(30) for name in skills]
    return [SkillUtterance(text, name, name, frozenset([name]), Request(utterance=text)) for name, text in texts]


def publish(store: Store, folder: Path, *skills: str, promoted: bool = False) -> str:
    write(build(lines(*skills)), folder)
    return store.publish(folder, promote=promoted).version


@pytest.fixture
def domains(tmp_path: Path) -> dict[str, Domain]:
    folder = tmp_path / "domains"
    for name in PHRASES:
        fakes.artifact(folder / name, name, mine=0.7)
    return {name: FakeDomain(name, folder / name, skills=[Skill(name, text)]) for name, text in PHRASES.items()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def live(domains: Mapping[str, Domain], store: Store, **settings: Any) -> Live:
    found = Live(domains, store, selftest=lambda folder, name: None, shortlist=ShortlistSettings(k=1, **settings))
    found.look()
    return found


LAMP = Request(id="1", utterance="the lamp")


def seal_damaged(folder: Path) -> None:
    """A complete Shortlister that cannot be decoded."""
    for name in kind_of(SHORTLIST).files:
        (folder / name).write_text("damaged")
    seal(folder, Manifest(domain=SHORTLIST, package="arbitrank", package_version="0"))


def test_while_no_shortlister_is_stable_every_domain_is_queried(domains: dict[str, Domain], store: Store) -> None:
    one = live(domains, store)
    answer = one.answer(LAMP)
    assert answer.shortlist is UNSET
    assert set(answer.domains) == set(PHRASES)
    assert "arbitrank shortlist train" in (one.status().domains[SHORTLIST].problem or "")


def test_promotion_and_rollback_take_effect_at_the_next_look(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    one = live(domains, store)
    first = publish(store, tmp_path / "one", *PHRASES, promoted=True)
    one.look()
    answer = one.answer(LAMP)
    assert answer.shortlist
    assert (list(answer.domains), answer.shortlist.version) == (["lights"], first)
    second = publish(store, tmp_path / "two", "lights", promoted=True)
    one.look()
    changed = one.answer(LAMP)
    assert changed.shortlist
    assert changed.shortlist.version == second
    assert one.status().domains[SHORTLIST].version == second
    store.rollback(SHORTLIST)
    one.look()
    back = one.answer(LAMP)
    assert back.shortlist
    assert back.shortlist.version == first


def test_the_previous_version_serves_where_a_new_one_cannot_be_loaded(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    first = publish(store, tmp_path / "one", *PHRASES, promoted=True)
    one = live(domains, store)
    empty = tmp_path / "empty"
    empty.mkdir()
    seal_damaged(empty)
    bad = store.publish(empty, promote=True).version
    one.look()
    answer = one.answer(LAMP)
    assert answer.shortlist
    assert answer.shortlist.version == first
    assert bad in one.status().domains[SHORTLIST].refused


def test_skills_of_installed_domains_that_training_lacked_are_found(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    publish(store, tmp_path / "one", "lights", promoted=True)
    answer = live(domains, store).answer(Request(utterance="boil water"))
    assert list(answer.domains) == ["kettle"]


def test_feedback_for_an_unknown_request_is_reported(domains: dict[str, Domain], store: Store) -> None:
    from arbitrank.values import Truth

    assert live(domains, store).feedback("never asked", Truth("lights")) is False


def test_domains_are_swapped_while_the_shortlister_stays(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    publish(store, tmp_path / "one", *PHRASES, promoted=True)
    one = live(domains, store)
    fakes.artifact(tmp_path / "weights", mine=0.9)
    version = store.publish(tmp_path / "weights", promote=True).version
    one.look()
    answer = one.answer(LAMP)
    assert answer.domains["lights"].version == version
    assert list(answer.domains) == ["lights"]


def test_a_candidate_that_is_not_shortlisted_is_not_counted(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    publish(store, tmp_path / "one", *PHRASES, promoted=True)
    fakes.artifact(tmp_path / "weights", "kettle", mine=0.9)
    store.publish(tmp_path / "weights")
    store.canary("kettle", 0.0)
    found = Live(
        domains, store, selftest=lambda folder, name: None, shadow=["kettle"], shortlist=ShortlistSettings(k=1)
    )
    found.look()
    found.answer(LAMP)
    assert not found.report()
    found.answer(Request(utterance="boil water"))
    assert found.report()["kettle"].arms["stable"].answers == 1


def test_a_canary_lists_for_its_share_of_the_requests_and_is_compared(
    domains: dict[str, Domain], store: Store, tmp_path: Path
) -> None:
    stable = publish(store, tmp_path / "one", *PHRASES, promoted=True)
    candidate = publish(store, tmp_path / "two", "lights", "kettle")
    store.canary(SHORTLIST, 0.5)
    one = live(domains, store)
    answers = [one.answer(replace(LAMP, id=str(number))) for number in range(100)]
    versions = [answer.shortlist.version for answer in answers if answer.shortlist]
    assert set(versions) == {stable, candidate}
    arms = one.report()[SHORTLIST].arms
    assert (arms["stable"].answers, arms["canary"].answers) == (versions.count(stable), versions.count(candidate))
    store.promote(SHORTLIST, candidate)
    one.look()
    shortlist = one.answer(LAMP).shortlist
    assert shortlist
    assert shortlist.version == candidate


def test_the_service_queries_the_domains_that_the_stores_shortlister_chooses(tmp_path: Path, lights_site: Path) -> None:
    store = open_store(tmp_path / "store", environment={})
    for name in ("lights", "shades"):
        fakes.artifact(tmp_path / name, name, mine=0.9)
        store.publish(tmp_path / name, promote=True)
    utterances = [
        SkillUtterance(text, name, name, frozenset([name]), Request(utterance=text))
        for name, text in (("lights", "the lamp"), ("shades", "the window"))
    ]
    write(build(utterances), tmp_path / "artifact")
    version = store.publish(tmp_path / "artifact", promote=True).version
    token, grant = make_token("lights", ["publish:lights", "rank", "metrics"])
    (tmp_path / "tokens").write_text(f"{grant}\n")
    options = ("--shortlist", "--shortlist-k", "1", "--poll", "0.1", "--tokens", str(tmp_path / "tokens"))
    with services.Service(lights_site, tmp_path / "store", *options) as service:
        rank = partial(service.rank, token=token)
        status, answer = rank({"utterance": "a lamp"})
        assert (status, list(answer["domains"])) == (200, ["lights"])
        assert [one["skill"] for one in answer["shortlist"]["candidates"]] == ["lights"]
        assert (answer["shortlist"]["version"], answer["shortlist"]["skipped"]) == (version, 1)
        assert rank({"utterance": "xyzzy"})[1]["shortlist"]["miss"] is True
        assert "arbitrank_shortlist_misses_total 1.0" in service.call("GET", "/metrics", token=token)[1]
        change = partial(service.call, "POST", token=token)
        skill = {"name": "dimmer", "description": "xyzzy"}
        status, changed, _ = change("/v1/domains/lights/skills", {"skills": [skill]})
        counts = {"change": 1, "added": 1, "removed": 0, "cut": [], "unknown": []}
        assert (status, changed) == (200, {"domain": "lights", **counts})
        assert rank({"utterance": "xyzzy"})[1]["shortlist"]["candidates"][0]["skill"] == "dimmer"
        assert change("/v1/domains/lights/skills", {"removed": [{"name": "dimmer"}]})[1]["change"] == 2
        assert rank({"utterance": "xyzzy"})[1]["shortlist"]["miss"] is True
        status, nothing, _ = change("/v1/domains/lights/skills", {"removed": [{"name": "dimmer"}, {"name": "dimmer"}]})
        counts = {"change": 2, "added": 0, "removed": 0, "cut": [], "unknown": ["lights/dimmer"]}
        assert (status, nothing) == (200, {"domain": "lights", **counts})
        assert change("/v1/domains/shades/skills", {"skills": [skill]})[0] == 403
        status, refused, _ = change("/v1/domains/lights/skills", {"skills": [{"nam": "x"}]})
        assert (status, refused["error"]) == (400, "skills[0]: 'nam': unknown key; did you mean name?")
        write(build(utterances[:1]), tmp_path / "second")
        second = store.publish(tmp_path / "second", promote=True).version
        service.event("store", what=f"{SHORTLIST}: {second} (store) answers")
        assert rank({"utterance": "a lamp"})[1]["shortlist"]["version"] == second


# ----------------------------------------------------------------------------------------------------------------- gate


def audit(path: Path, *names: str, n: int = 40) -> Path:
    rows = [
        {"utterance": PHRASES[name], "truth": {"domain": name}, "hypotheses": []} for name in names for _ in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def judged(store: Store, **options: Any) -> Any:
    return consider(store, {}, SHORTLIST, limits=GateLimits(), **options)


def test_the_gate_refuses_a_version_that_loses_a_domains_requests(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path / "one", *PHRASES, promoted=True)
    publish(store, tmp_path / "two", "lights", "blinds")
    store.set_audit_set(audit(tmp_path / "audit.jsonl", *PHRASES))
    judgement = judged(store)
    assert [one.what for one in judgement.reasons] == ["recall", "recall"]
    assert "kettle: 40 of 40 requests lost" in judgement.reasons[1].text
    assert promote(store, judgement) is None


def test_the_gate_passes_a_version_that_loses_nothing(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path / "one", "lights", "blinds", promoted=True)
    better = publish(store, tmp_path / "two", *PHRASES)
    store.set_audit_set(audit(tmp_path / "audit.jsonl", *PHRASES))
    judgement = judged(store)
    assert judgement.reasons == ()
    change = promote(store, judgement)
    assert change
    assert change.state.stable == better


def test_the_gate_refuses_a_version_that_fails_its_self_test(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    write(build(lines("lights")), folder)
    (folder / "manifest.json").unlink()
    (folder / "index.npz").write_bytes(b"PK\x05\x06")
    seal_damaged(folder)
    store.publish(folder)
    assert [one.what for one in judged(store).reasons] == ["self-test"]


# -------------------------------------------------------------------------------------------------------------- command


def invoked(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["shortlist", *arguments])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = [{"text": one.utterance, "domain": "home", "intent": "Do", "skill": one.skill} for one in lines(*PHRASES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"text": 5}\n')
    return path


def test_train_evaluate_query(corpus: Path, tmp_path: Path) -> None:
    place = ["--store", str(tmp_path / "store")]
    trained = invoked("train", "--data", str(corpus), "--no-domains", "--promote", *place)
    assert trained.exit_code == 0, trained.output
    assert f"{SHORTLIST} " in trained.output
    assert "3 skills" in trained.output
    measured = invoked("evaluate", str(corpus), "--json", *place)
    found = json.loads(measured.stdout)
    assert (found["n"], found["recall@10"]) == (90, 1.0)
    found = invoked("query", "the lamp", "--json", "--no-domains", "--shortlist-k", "1", *place)
    assert [one["skill"] for one in json.loads(found.stdout)] == ["lights"]
    nothing = invoked("query", "xyzzy", "--no-domains", *place)
    assert "none of the words is known" in nothing.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["query", "the lamp"], "no shortlister is stable"),
        (["train", "--no-domains"], "no skill"),
        (["train", "--data", "no-such-file", "--no-domains"], "cannot be read"),
        (["evaluate", "no-such-file", "--version", "0123456789ab", "--folder", "f"], "cannot be read"),
        (["query", "lamp", "--version", "0123456789ab", "--folder", "f"], "both given"),
    ],
)
def test_a_wrong_call_is_refused_with_a_reason(arguments: list[str], reason: str, tmp_path: Path) -> None:
    result = invoked(*arguments, "--store", str(tmp_path / "store"))
    assert reason in str(result.exception)


def test_a_classifier_is_trained_on_request(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "artifact"
    done = invoked("train", "--data", str(corpus), "--no-domains", "--learned", "--epochs", "1", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert (out / "learned").is_dir()
    found = invoked("query", "the lamp", "--folder", str(out), "--no-domains")
    assert "lights" in found.output
