"""HypRank: the merged list, sorted by the account and the dialogue."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.reader import read_log
from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import Scores
from arbitrank.errors import ArtifactError, DataError, InputError
from arbitrank.shortlist.classifier_training import Corrections
from arbitrank.shortlist.gates import order_reasons
from arbitrank.shortlist.hyprank import HypRank, load_hyprank, save_hyprank
from arbitrank.shortlist.hyprank_features import FEATURES, best_of_skills, features, skill_of
from arbitrank.shortlist.hyprank_training import LabelledList, train_hyprank
from arbitrank.shortlist.log_labels import corrections, labelled_lists
from arbitrank.shortlist.selftests import hyprank_problem
from arbitrank.store.artifact import read_manifest, seal
from arbitrank.values import Answer, Decision, Hypothesis, Ranked, Request, Truth
from arbitrank.wire.requests import Logged

SKILLS = ("a", "b", "c")


def reading(
    domain: str, mine: float, right: float | None = None, intent: str = "i", skill: str | None = None
) -> Ranked:
    right = mine if right is None else right
    return Ranked(domain, intent, score=mine * right, domain_probability=mine, probability=right, skill=skill)


def lists(n: int = 1_200, seed: int = 0) -> list[LabelledList]:
    """Random domain scores; right is the previous skill or, where that failed, the best of the others.

    One list in ten lacks the right skill.
    """
    rng = np.random.default_rng(seed)
    found = []
    for group in range(n):
        previous, failed = SKILLS[rng.integers(3)], bool(rng.random() < 0.2)
        ranked = sorted((reading(skill, float(rng.uniform(0.2, 0.8))) for skill in SKILLS), key=lambda one: -one.score)
        meant = next(one.domain for one in ranked if one.domain != previous) if failed else previous
        acts = ["failure"] if failed else ["offer"]
        dialogue = {"previous_skill": previous, "failed": failed, "acts": acts}
        request = Request(dialogue=dialogue, account={"child": bool(rng.random() < 0.5)})
        right = frozenset(["elsewhere"] if group % 10 == 0 else [meant])
        found.append(LabelledList(request, tuple(ranked), right, {}, group))
    return found


@pytest.fixture(scope="module")
def hyprank() -> HypRank:
    return train_hyprank(lists(), rounds=60)


def test_it_learns_from_the_dialogue(hyprank: HypRank) -> None:
    fresh = [one for one in lists(200, seed=1) if "elsewhere" not in one.right]
    before = np.mean([skill_of(one.ranked[0]) in one.right for one in fresh])
    after = np.mean([skill_of(hyprank.sort(one.request, one.ranked)[0]) in one.right for one in fresh])
    assert before < 0.6
    assert after > 0.95


def test_lists_without_a_right_answer_are_dropped_and_counted(hyprank: HypRank) -> None:
    assert (hyprank.lists, hyprank.kept) == (1_200, 1_080)
    with pytest.raises(DataError, match="nothing to sort"):
        train_hyprank([replace(one, right=frozenset(["elsewhere"])) for one in lists(5)])
    with pytest.raises(DataError, match="0 merged lists"):
        train_hyprank([])


def test_its_probabilities_are_calibrated(hyprank: HypRank) -> None:
    """Lists without a right answer, which the trees never saw, are included."""
    fresh = lists(1_000, seed=2)
    first = [hyprank.sort(one.request, one.ranked)[0] for one in fresh]
    claimed = np.mean([one.domain_probability for one in first])
    came_true = np.mean([skill_of(top) in one.right for top, one in zip(first, fresh, strict=True)])
    assert claimed == pytest.approx(came_true, abs=0.05)


def test_training_names_the_features_that_serving_reads(hyprank: HypRank) -> None:
    assert hyprank.acts == ("failure", "offer")
    assert hyprank.settings == ("child",)
    assert hyprank.names == (*FEATURES, "act.failure", "act.offer", "account.child")


def test_its_repr_is_short(hyprank: HypRank) -> None:
    assert repr(hyprank) == "HypRank(22 features, 1080 lists)"


def test_the_same_lists_and_seed_give_the_same_model(hyprank: HypRank) -> None:
    assert train_hyprank(lists(), rounds=60) == hyprank


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_the_sorted_list_holds_the_same_readings_in_the_order_of_their_scores(
    hyprank: HypRank, drawn: list[tuple[str, float, float]]
) -> None:
    ranked = [reading(domain, mine, mine * share, str(i)) for i, (domain, mine, share) in enumerate(drawn)]
    ranked.sort(key=lambda one: -one.score)
    found = hyprank.sort(Request(), tuple(ranked))
    assert sorted((one.domain, one.intent) for one in found) == sorted((one.domain, one.intent) for one in ranked)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert 0.0 <= one.score <= 1.0
        assert 0.0 <= one.probability <= one.domain_probability <= 1.0


def test_the_readings_of_a_skill_keep_their_order_and_their_shares(hyprank: HypRank) -> None:
    ranked = (reading("a", 0.8, 0.6, "first"), reading("b", 0.7, 0.7), reading("a", 0.8, 0.2, "second"))
    found = {one.intent: one for one in hyprank.sort(Request(), ranked) if one.domain == "a"}
    assert found["first"].score == found["first"].domain_probability
    assert found["second"].score == pytest.approx(found["first"].score / 3)
    assert found["first"].probability == pytest.approx(0.75 * found["first"].domain_probability)


def test_skills_beyond_the_limit_stay_behind_in_their_order(hyprank: HypRank) -> None:
    ranked = tuple(reading(f"d{i:02}", 0.9 - 0.02 * i) for i in range(30))
    found = hyprank.sort(Request(), ranked)
    assert len(best_of_skills(ranked)) == 16
    assert [one.domain for one in found[16:]] == [f"d{i:02}" for i in range(16, 30)]
    assert found[16].domain_probability <= min(one.domain_probability for one in found[:16])


def test_an_empty_list_stays_empty(hyprank: HypRank) -> None:
    assert hyprank.sort(Request(), ()) == ()


@pytest.mark.parametrize(
    "request_",
    [
        Request(dialogue="an id"),
        Request(dialogue={"previous_skill": 7, "acts": "offer", "failed": "yes", "turn": [1]}),
        Request(account={"enabled": "a", "used": 3, "child": "yes"}),
        Request(context={"previous_domain": None, "preference.a": "much"}),
    ],
)
def test_values_of_other_types_count_as_absent(hyprank: HypRank, request_: Request) -> None:
    ranked = (reading("a", 0.6), reading("b", 0.5))
    seen = features(request_, ranked, {}, hyprank.acts, hyprank.settings)
    silent = features(Request(dialogue={}), ranked, {}, hyprank.acts, hyprank.settings)
    names = [name for name in hyprank.names if name != "has_previous" and not name.startswith("act.")]
    at = [hyprank.names.index(name) for name in names]
    assert np.array_equal(seen[:, at], silent[:, at], equal_nan=True)


def test_account_and_shortlist_are_features() -> None:
    account = {"enabled": ["b"], "used": {"a": 3}}
    seen = features(Request(account=account), (reading("a", 0.6), reading("b", 0.5)), {"b": 0.5})
    column = {name: seen[:, i].tolist() for i, name in enumerate(FEATURES)}
    assert column["enabled"] == [0.0, 1.0]
    assert column["used"] == [3.0, 0.0]
    assert np.isnan(column["shortlist"][0])
    assert column["shortlist"][1] == 0.0


# Files


def test_a_saved_model_sorts_the_same(hyprank: HypRank, tmp_path: Path) -> None:
    save_hyprank(hyprank, tmp_path / "made")
    one = lists(1, seed=3)[0]
    assert load_hyprank(tmp_path / "made").sort(one.request, one.ranked) == hyprank.sort(one.request, one.ranked)


@pytest.mark.parametrize("name", ["hyprank.json", "trees.txt"])
@pytest.mark.parametrize("content", ["", "{}", "tree\nnum_leaves=3\nleft_child=99999\n"])
def test_changed_files_are_refused_before_lightgbm_reads_them(
    hyprank: HypRank, tmp_path: Path, name: str, content: str
) -> None:
    save_hyprank(hyprank, tmp_path / "made")
    (tmp_path / "made" / name).write_text(content)
    with pytest.raises(ArtifactError, match="shortlist hyprank"):
        load_hyprank(tmp_path / "made")


def test_a_folder_that_is_absent_or_another_artifact_or_sealed_with_other_features_is_refused(
    hyprank: HypRank, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="shortlist hyprank"):
        load_hyprank(tmp_path / "nothing")
    made = save_hyprank(hyprank, tmp_path / "made")
    spec = tmp_path / "made" / "hyprank.json"
    spec.write_text(json.dumps({**json.loads(spec.read_text()), "settings": ["age"]}))
    seal(tmp_path / "made", made)
    with pytest.raises(ArtifactError, match="expected"):
        load_hyprank(tmp_path / "made")
    seal(tmp_path / "made", msgspec.structs.replace(made, domain="music"))
    with pytest.raises(ArtifactError, match=r"an artifact of 'music', expected one of '\.hyprank'"):
        load_hyprank(tmp_path / "made")


def test_other_files_are_never_overwritten(hyprank: HypRank, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path, tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError):
            save_hyprank(hyprank, folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_too_few_lists_to_grow_a_tree_are_refused() -> None:
    with pytest.raises(DataError, match="collect more"):
        train_hyprank(lists(3, seed=1))


# In the life of a request


class Says:
    """A model that gives each of its hypotheses the same probability."""

    def __init__(self, mine: float) -> None:
        self.mine = mine

    def recognise(self, request: Request) -> list[Hypothesis]:
        return []

    def rerank(self, request: Request) -> Scores:
        n = len(request.hypotheses or ())
        return Scores(self.mine, np.full(n, self.mine / max(n, 1)))

    def explain(self, request: Request) -> list[dict[str, float]]:
        return [{"domain": 1.0} for _ in request.hypotheses or ()]


def arbitrators(hyprank: HypRank) -> tuple[Arbitrator, Arbitrator]:
    domains = {name: Serving(Says(mine), "v", "store") for name, mine in zip(SKILLS, (0.7, 0.6, 0.5), strict=True)}
    return Arbitrator(domains), Arbitrator(domains, hyprank=hyprank)


def request_after(previous: str) -> Request:
    dialogue = {"previous_skill": previous, "failed": False, "acts": ["offer"]}
    return Request(id="1", dialogue=dialogue, hypotheses=tuple(Hypothesis(name, "i") for name in SKILLS))


def test_it_is_a_stage_after_merge(hyprank: HypRank) -> None:
    without, with_it = arbitrators(hyprank)
    assert [one.domain for one in without.answer(request_after("c")).ranked] == ["a", "b", "c"]
    answer = with_it.answer(request_after("c"), explain=True)
    assert answer.ranked[0].domain == "c"
    assert answer.decision.contenders == (0,)
    assert answer.ms["hyprank"] >= 0.0
    why = answer.ranked[0].why
    assert why is not None
    assert why["hyprank"] > 0.0


def test_without_it_the_answer_has_no_trace_of_it(hyprank: HypRank) -> None:
    without, _ = arbitrators(hyprank)
    assert "hyprank" not in without.answer(request_after("c")).ms


# From a log, and by the command line


def log_of(folder: Path, n: int) -> Path:
    """A log in which the previous domain is the right one, answered by domains with random scores."""
    rng = np.random.default_rng(0)
    with AnswerLog(folder, LogSettings(words="keep")) as log:
        for i in range(n):
            previous = SKILLS[rng.integers(3)]
            domains = {name: Serving(Says(float(rng.uniform(0.3, 0.7))), "v", "store") for name in SKILLS}
            hypotheses = tuple(Hypothesis(name, "i") for name in SKILLS)
            request = Request(
                id=str(i), utterance="go on", context={"previous_domain": previous}, hypotheses=hypotheses
            )
            log.write(request, Arbitrator(domains).answer(request))
            log.feedback(Feedback(id=str(i), truth=Truth(previous, "i"), outcome="accepted" if i % 3 else "rejected"))
        log.flush()
    return folder


def test_a_log_gives_refusals_and_right_skills(tmp_path: Path) -> None:
    lines = [line for line in read_log(log_of(tmp_path, 9)) if isinstance(line, Logged)]
    refused = corrections(lines, SKILLS)
    assert {utterance for utterance, _ in refused.refusals} == {"go on"}
    assert refused.unknown == 0
    found = labelled_lists(lines)
    assert len(found) == 9
    assert all(one.right == {one.request.context["previous_domain"]} for one in found)
    assert len({one.group for one in found}) == 9


def test_refusals_are_net_of_confirmations_and_unusable_feedback_is_counted() -> None:
    def line(id: str, skill: str, outcome: str, utterance: str | None = None) -> Logged:
        answer = Answer(id, Decision("accept", (0,)), (reading(skill, 0.9),), {}, {})
        return Logged(id=id, utterance=utterance, answer=answer, outcome=outcome)  # type: ignore[arg-type]

    lines = [
        line("1", "cabs", "rejected", "a taxi"),
        line("2", "cabs", "rejected", "a taxi"),
        line("3", "songs", "rejected", "a tune"),
        line("3", "songs", "accepted"),
        line("1", "songs", "accepted"),
        line("9", "cabs", "rejected"),
        line("1", "gone", "rejected"),
        msgspec.structs.replace(line("1", "songs", "rejected"), called="cabs"),
    ]
    assert corrections(lines, ["cabs", "songs"]) == Corrections({("a taxi", "cabs"): 3}, unknown=2, contradictory=1)


def test_lists_sorted_by_hyprank_are_not_learned_from(hyprank: HypRank) -> None:
    _, with_it = arbitrators(hyprank)
    answer = with_it.answer(request_after("c"))
    line = Logged(id="1", truth=Truth("c", "i"), answer=answer)
    assert labelled_lists([line]) == []


def test_it_is_trained_on_a_log_and_switched_in_by_an_option(tmp_path: Path, arbitrank) -> None:
    log, out = log_of(tmp_path / "log", 300), tmp_path / "hyprank"
    done = arbitrank("shortlist", "hyprank", str(log), "--out", str(out), "--rounds", "20")
    version = read_manifest(out).version
    lists = "300 lists, 0 of them dropped, as they hold no right answer"
    assert (done.returncode, done.stdout) == (0, f".hyprank {version}: {lists}; {out}\n")
    request = {
        "context": {"previous_domain": "b"},
        "hypotheses": [
            {"domain": name, "intent": "i", "domain_confidence": p, "intent_confidence": 0.9, "slots_confidence": 0.9}
            for name, p in (("a", 0.6), ("b", 0.5))
        ],
    }
    first = [
        json.loads(arbitrank("rank", "--rank-unserved", *more, input=json.dumps(request)).stdout)["ranked"][0]["domain"]
        for more in ((), ("--hyprank", str(out)))
    ]
    assert first == ["a", "b"]
    refused = arbitrank("rank", "--hyprank", str(tmp_path / "nothing"), input="")
    assert refused.returncode == 2
    assert "no manifest that can be read" in refused.stderr


# Self-test and gate


class Dropping(HypRank):
    """A HypRank that drops the first reading."""

    def sort(self, request: Request, ranked: tuple[Ranked, ...], shortlist: object = None) -> tuple[Ranked, ...]:
        return ranked[1:]


def test_the_self_test_names_the_broken_guarantee(hyprank: HypRank) -> None:
    assert hyprank_problem(hyprank) is None
    assert "readings of the merged one" in (hyprank_problem(Dropping()) or "")


def audit_set(path: Path, n: int = 60) -> Path:
    """Requests whose owner is the previous skill, at odds with the merged list, whose first skill is always a."""
    lines = [
        {
            "utterance": "go on",
            "dialogue": {"previous_skill": name, "failed": False, "acts": ["offer"]},
            "hypotheses": [{"domain": skill, "intent": "i"} for skill in SKILLS],
            "truth": {"domain": name, "intent": "i"},
        }
        for name in SKILLS
        for _ in range(n)
    ]
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in [*lines, {"utterance": "?", "truth": {"domain": None}}])
    )
    return path


def test_the_gate_refuses_a_hyprank_whose_order_loses_requests(hyprank: HypRank, tmp_path: Path) -> None:
    """The HypRank knows the dialogue; one trained on lists whose first reading is right keeps the merged order."""
    merged, _ = arbitrators(hyprank)
    audit = audit_set(tmp_path / "audit.jsonl")
    naive = train_hyprank([replace(one, right=frozenset([skill_of(one.ranked[0])])) for one in lists()], rounds=5)
    assert order_reasons(None, hyprank, audit, merged.answer) == ()
    assert order_reasons(None, naive, audit, merged.answer) == ()
    reasons = order_reasons(hyprank, naive, audit, merged.answer)
    assert [(one.what, one.neighbours) for one in reasons] == [
        ("irer", ()),
        ("neighbour", ("b",)),
        ("neighbour", ("c",)),
    ]
    assert "b: 60 of 60 requests lost, 0 won" in reasons[1].text
