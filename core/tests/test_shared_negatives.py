"""Shared negatives in training and in checks: where they are added, what records them, and claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from careless import Lone, Zoo, ZooModel, careless, lone
from negative_sets import install_set, line, only

from arbitrank.child import Expired
from arbitrank.domain import Domain, Scores, Settings, Skill
from arbitrank.errors import PluginError
from arbitrank.store.artifact import read_card, read_manifest
from arbitrank.testing import ALL_CHECKS, claim_checks, neighbours
from arbitrank.testing.findings import Finding
from arbitrank.testing.neighbours import Neighbour
from arbitrank.testing.subject import Subject
from arbitrank.training import shared_negatives
from arbitrank.training.build import build
from arbitrank.training.example_file import write_examples
from arbitrank.training.outcome import TrainingOutcome
from arbitrank.training.shared_negatives import added_negatives
from arbitrank.training.task import ARTIFACT, TrainingTask, run
from arbitrank.values import Example, Hypothesis, Request, Truth

CHECK = {check.__name__: check for check in ALL_CHECKS}
TOPICS = ("weather", "chat", "lists", "news")


@pytest.fixture
def negatives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    site = only(monkeypatch, tmp_path / "site")
    lines = [line(f"{topic} sentence {i} about a zoo", topic=topic) for topic in TOPICS for i in range(50)]
    return install_set(site, "acme-negatives", lines)


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return only(monkeypatch, tmp_path / "site")


def own(domain: Domain) -> list[Example]:
    return list(domain.examples())


def trained(tmp_path: Path, **task: Any) -> TrainingOutcome:
    folder = tmp_path / "task"
    folder.mkdir()
    wanted = TrainingTask(domain="zoo", folder=str(folder), factory="careless:lone", **task)
    return run(wanted, progress=lambda *_: None, figures=lambda *_: None)


def findings(domain: Domain, *names: str) -> list[Finding]:
    subject = Subject(domain, trains=True)
    return [one for name in names for one in CHECK[name].findings(subject)]


def test_a_domain_without_negatives_of_its_own_gets_shared_ones(negatives: Path) -> None:
    added = added_negatives(Lone(), own(Lone()))
    (used,) = added.used
    assert (str(used), len(added.examples)) == ("200 shared negatives of acme-negatives 1.0", 200)
    assert not any(one.truth.owned_by("zoo") for one in added.examples)
    assert added == added_negatives(Lone(), own(Lone()))


@pytest.mark.parametrize(
    ("domain", "wanted", "silent", "n"),
    [
        (Zoo(), None, 0, 0),
        (Zoo(), True, 0, 200),
        (Lone(), False, 0, 0),
        (Lone(), None, 3, 0),
        (type("Fallback", (Lone,), {"fallback": True})(), None, 0, 0),
        (careless(shared_negatives=True), None, 0, 200),
        (careless(shared_negatives=True), False, 0, 0),
        (type("Silent", (Lone,), {"shared_negatives": False})(), None, 0, 0),
        (type("Chatty", (Lone,), {"topics": ("chat", "news")})(), None, 0, 100),
    ],
)
def test_where_shared_negatives_are_added(
    negatives: Path, domain: Domain, wanted: bool | None, silent: int, n: int
) -> None:
    assert len(added_negatives(domain, own(domain), wanted, silent).examples) == n


def test_their_number_follows_the_domains_own_requests(negatives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_negatives, "LEAST", 30)
    few = own(Lone())[:20]
    assert [len(added_negatives(Lone(), few[:n]).examples) for n in (5, 15, 20)] == [30, 30, 40]


def test_examples_with_hypotheses_get_none(negatives: Path) -> None:
    read = [Example(Request(utterance="a", hypotheses=(Hypothesis("zoo", "AskZoo"),)), Truth("zoo", "AskZoo"))]
    assert added_negatives(Lone(), read).notes == ()
    (note,) = added_negatives(Lone(), read, True).notes
    assert note.startswith("domain zoo: shared negatives are not used: its data bring hypotheses")


def test_without_an_installed_set_a_remark_says_so(nothing: Path) -> None:
    (note,) = added_negatives(Lone(), own(Lone())).notes
    assert note.endswith("from which it would learn when to be silent; pip install arbitrank-negatives")
    assert added_negatives(Zoo(), own(Zoo())).notes == ()


@pytest.mark.parametrize("topics", ["weather", 5, None, [5]])
def test_wrong_topics_are_named(negatives: Path, topics: Any) -> None:
    domain = type("Wrong", (Lone,), {"topics": topics})()
    with pytest.raises(PluginError, match=r"domain zoo: topics is .*, expected a tuple of texts; write topics ="):
        added_negatives(domain, own(domain))
    (finding,) = findings(domain, "attributes_have_their_types")
    assert "topics is " in finding.seen


def test_training_records_the_set_and_its_digest(negatives: Path, tmp_path: Path) -> None:
    outcome = trained(tmp_path)
    folder = tmp_path / "task" / ARTIFACT
    manifest = read_manifest(folder)
    assert outcome.negatives == manifest.negatives
    (used,) = outcome.negatives
    assert (used.distribution, used.version, used.requests, len(used.digest)) == ("acme-negatives", "1.0", 200, 64)
    assert (outcome.unproven, outcome.rows + 0) == (None, manifest.rows)
    assert 90 < manifest.rows < 290  # a tenth is held out
    card = read_card(folder)
    assert isinstance(card.others, int)
    assert card.others > 100


def test_training_without_them_is_what_it_was(negatives: Path, tmp_path: Path) -> None:
    outcome = trained(tmp_path, negatives=False)
    manifest = read_manifest(tmp_path / "task" / ARTIFACT)
    assert (outcome.negatives, manifest.negatives) == ((), msgspec.UNSET)
    assert "negatives" not in msgspec.json.decode((tmp_path / "task" / ARTIFACT / "manifest.json").read_bytes())
    assert outcome.unproven is not None


def test_the_digest_of_the_data_is_that_of_the_domains_own(negatives: Path, tmp_path: Path) -> None:
    data = write_examples(tmp_path / "data", own(Lone()))
    added = added_negatives(Lone(), data)
    plain = build(Lone(), ("", ""), data, tmp_path / "plain", Settings()).manifest
    both = build(
        Lone(), ("", ""), [*data, *added.examples], tmp_path / "both", Settings(), negatives=added.used
    ).manifest
    assert both.data_digest == plain.data_digest
    assert both.version != plain.version


def shipping(tmp_path: Path, base: type[Zoo] = Lone, **attributes: Any) -> Domain:
    """A domain that ships weights which were trained as `train` does."""
    domain = type("Shipping", (base,), {"shipped": None, **attributes})()
    added = added_negatives(domain, own(domain))
    examples = [*domain.examples(), *added.examples]
    build(domain, ("", ""), examples, tmp_path / "model", Settings(), negatives=added.used)
    type(domain).shipped = tmp_path / "model"  # type: ignore[method-assign,assignment]
    return domain


def test_a_check_finds_data_without_others_a_warning_where_shared_ones_are_used(negatives: Path) -> None:
    (one,) = findings(Lone(), "training_data_has_own_and_foreign_requests")
    assert (one.level, one.seen) == (
        "warning",
        "all examples are its own (90), so that training adds 200 shared negatives of acme-negatives 1.0",
    )


def test_a_check_finds_data_without_others_broken_where_there_are_no_shared_ones(nothing: Path) -> None:
    (one,) = findings(Lone(), "training_data_has_own_and_foreign_requests")
    assert one.level == "broken"
    assert one.fix.endswith("; or pip install arbitrank-negatives")


def test_another_version_of_the_set_is_a_warning_and_breaks_nothing(
    negatives: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    domain = shipping(tmp_path)
    checks = ("shipped_weights_are_of_the_present_data", "shipped_weights_are_intact")
    assert findings(domain, *checks) == []
    info = next(negatives.parents[1].glob("*.dist-info"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-negatives\nVersion: 1.1\n", encoding="utf-8")
    (one,) = findings(domain, *checks)
    assert (one.level, one.seen) == (
        "warning",
        "the weights were trained with 200 shared negatives of acme-negatives 1.0",
    )
    assert one.expected.startswith("200 shared negatives of acme-negatives 1.1, ")


class Greedy(ZooModel):
    """Claims whatever it reads."""

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        return (Hypothesis("zoo", "AskZoo", domain_confidence=0.9),)

    def rerank(self, request: Request) -> Scores:
        known = "list" in (request.utterance or "")
        return Scores(0.1 if known else 0.9, super().rerank(request).right * 0.0)


def test_claims_of_shared_negatives_are_told_by_topic_and_in_words(negatives: Path, tmp_path: Path) -> None:
    domain = shipping(tmp_path, Zoo, model=Greedy)
    (one,) = findings(domain, "shared_negatives_are_not_claimed")
    assert one.level == "warning"
    assert one.seen.startswith("it claims 150 of 200 requests that are none of its own (")
    assert "chat 50 of 50" in one.seen
    assert "lists" not in one.seen
    assert one.seen.endswith(" 0.90")
    assert one.fix.startswith("write shared_negatives = True, or topics = (")


def test_names_and_phrases_that_are_left_from_a_template_are_told(negatives: Path, tmp_path: Path) -> None:
    skills = (Skill("zoo", "opening hours", ("when does the zoo open", "play tetris")),)
    domain = shipping(tmp_path, Zoo, skills=skills, intent_titles={"PlayGame": "play", "AskZo": "ask"})
    found = findings(domain, "names_for_users_are_of_its_requests")
    assert [(one.level, one.seen, one.fix.split(",")[0]) for one in found] == [
        ("warning", "intent_titles has 'PlayGame', an intent of no example", "remove it"),
        ("warning", "intent_titles has 'AskZo', an intent of no example", "did you mean 'AskZoo'?"),
        ("warning", "the intent AskZoo has no display name", "add it to intent_titles"),
        (
            "warning",
            "it does not claim its sample phrases 'play tetris' 0.00",
            "write phrases in `skills` that its users say",
        ),
    ]


def test_a_topic_that_no_shared_negative_has_is_told(negatives: Path) -> None:
    domain = type("Topical", (Zoo,), {"topics": ("chat", "chats")})()
    (one,) = findings(domain, "topics_are_those_of_shared_negatives")
    assert (one.level, one.seen, one.fix) == (
        "warning",
        "topics has 'chats', of which there are no shared negatives",
        "did you mean 'chat'?",
    )


def test_claims_are_tried_on_negatives_that_the_domain_did_not_learn_from(
    negatives: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared_negatives, "LEAST", 150)
    monkeypatch.setattr(shared_negatives, "PER_OWN", 0)
    domain = shipping(tmp_path, model=Greedy)
    (one,) = findings(domain, "shared_negatives_are_not_claimed")
    assert " of 50 requests that are none of its own" in one.seen
    assert one.fix.startswith("add requests of these topics as negatives")


def test_a_domain_that_is_silent_on_them_has_no_finding(
    negatives: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    near = (Neighbour("doors", (Request(utterance="open the door"),) * 9),)
    monkeypatch.setattr(claim_checks, "neighbours_of", lambda name: near)
    assert findings(shipping(tmp_path), "shared_negatives_are_not_claimed", "neighbours_requests_are_not_claimed") == []


def test_claims_of_neighbours_requests_are_told_by_neighbour(
    negatives: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = ("zoo 5 opens when", "open the door", "lock up", "my list", "let me in")
    doors = Neighbour("doors", tuple(Request(utterance=text) for text in texts))
    near = (doors, Neighbour("late", reason="not done after 60 s"), Neighbour("quiet"))
    monkeypatch.setattr(claim_checks, "neighbours_of", lambda name: near)
    first, second = findings(shipping(tmp_path, Zoo, model=Greedy), "neighbours_requests_are_not_claimed")
    assert first.seen == (
        "it claims 3 of 4 own requests of doors: 'open the door' 0.90; 'lock up' 0.90; 'let me in' 0.90"
    )
    assert first.fix.startswith("add some as [others.doors]; see them: arbitrank examples doors")
    assert (second.level, second.seen) == ("warning", "the requests of late cannot be read: not done after 60 s")


def test_a_fallback_may_claim_whatever_it_likes(negatives: Path, tmp_path: Path) -> None:
    domain = shipping(tmp_path, Zoo, model=Greedy, fallback=True)
    assert findings(domain, "shared_negatives_are_not_claimed", "neighbours_requests_are_not_claimed") == []


def test_a_factory_makes_the_domain_without_negatives() -> None:
    assert all(one.truth.owned_by("zoo") for one in lone("zoo").examples())


def test_a_neighbour_that_hangs_or_fails_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answering:
        """A child that hangs for one neighbour, and fails for another."""

        def __init__(self, *arguments: str) -> None:
            started.append(1)

        def exchange(self, message: bytes, seconds: float) -> bytes:
            if message == b"stuck":
                raise Expired(f"not done after {seconds:g} s")
            names = ["doors", "stuck", "torn", "zoo"]
            return msgspec.json.encode(Neighbour(message.decode(), reason="it fails") if message else names)

        def close(self) -> None:
            ended.append(1)

    started: list[int] = []
    ended: list[int] = []
    monkeypatch.setattr(neighbours, "Child", Answering)
    neighbours.neighbours_of.cache_clear()
    found = neighbours.neighbours_of("zoo")
    neighbours.neighbours_of.cache_clear()
    assert [(one.name, one.reason) for one in found] == [
        ("doors", "it fails"), ("stuck", "not done after 30 s"), ("torn", "it fails")
    ]  # fmt: skip
    assert len(started) == len(ended) == 2
