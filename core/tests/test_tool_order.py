"""HypRank on the tools of a shortlist: outcomes of calls, words, training, gate, and the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.errors import ArtifactError
from arbitrank.live.live import Live
from arbitrank.promotion import consider, promote
from arbitrank.shortlist.build import SkillUtterance, build, write
from arbitrank.shortlist.crossed_lists import crossed_lists
from arbitrank.shortlist.gathering import ListedSkills, gather_skills
from arbitrank.shortlist.hyprank import HypRank, load_hyprank, save_hyprank
from arbitrank.shortlist.labels import right_tools
from arbitrank.shortlist.log_labels import tool_lists
from arbitrank.shortlist.selftests import hyprank_problem
from arbitrank.shortlist.shortlister import Shortlisting, ShortlistSettings
from arbitrank.shortlist.tool_order import TOOL_FEATURES, ToolOrder, tool_features
from arbitrank.shortlist.tool_order_training import ToolList, train_tools
from arbitrank.shortlist.tool_outcomes import OutcomeTally
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.store.artifact import seal
from arbitrank.store.kinds import HYPRANK
from arbitrank.store.store import Store, open_store
from arbitrank.values import Answer, Candidate, Decision, Ranked, Request, Shortlist, Truth
from arbitrank.wire.catalogue_lines import CatalogueSkill
from arbitrank.wire.requests import Logged

TOOLS = (
    CatalogueSkill("high_tide", "harbour", "Times of high water at a port"),
    CatalogueSkill("TideTable", "almanac", "Times of high water at a port, in a table"),
    CatalogueSkill("find_book", "library", "Search the books by title or author"),
    CatalogueSkill("bake", "kitchen", "Bake a loaf of bread"),
)
OWNERS = {one.name: one.domain for one in TOOLS}
WORDS = ToolWords.of((one.name, one) for one in TOOLS)


def listed(**scores: float) -> tuple[Candidate, ...]:
    found = [Candidate(name, OWNERS.get(name, "other"), score) for name, score in scores.items()]
    return tuple(sorted(found, key=lambda one: -one.score))


def names(found: tuple[Candidate, ...]) -> list[str]:
    return [one.skill for one in found]


def tally(**calls: str) -> OutcomeTally:
    """A tally of calls: "+" for one that succeeded, "-" for one that failed."""
    found = OutcomeTally()
    for tool, outcomes in calls.items():
        for outcome in outcomes:
            found = found.after(tool, failed=outcome == "-")
    return found


# Outcomes


def test_a_tool_that_fails_often_goes_behind_one_that_does_not() -> None:
    candidates = listed(high_tide=0.5, TideTable=0.45)
    order = ToolOrder(tally(high_tide="-+-+-+--", TideTable="++++++++"))
    found = order.sort(Request(utterance="high water"), candidates)
    assert names(found) == ["TideTable", "high_tide"]
    assert {one.skill: one.shortlisted for one in found} == {"high_tide": 0.5, "TideTable": 0.45}
    assert found[1].score < 0.45


def test_a_tool_that_was_mended_comes_back() -> None:
    failing, mended = tally(bake="-" * 20), tally(bake="-" * 20 + "+" * 200)
    assert failing.success("bake") < -1.5
    assert mended.success("bake") > -0.1


def test_the_failures_of_a_tool_fade_while_others_are_called() -> None:
    failing = tally(bake="-" * 20)
    later = replace(failing, number=failing.number + 6_000)
    assert failing.success("bake") < 2 * later.success("bake") < 0.0


candidates_ = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20).map(
    lambda scores: tuple(Candidate(f"t{i}", "d", s) for i, s in enumerate(sorted(scores, reverse=True)))
)
calls_ = st.lists(st.tuples(st.sampled_from(["t0", "t1", "t2", "other"]), st.booleans()), max_size=60)


@given(candidates_)
def test_without_outcomes_nothing_changes(candidates: tuple[Candidate, ...]) -> None:
    assert ToolOrder(words=WORDS).sort(Request(utterance="tide"), candidates) == candidates


@given(candidates_, calls_)
def test_a_sorted_list_has_the_same_tools_by_their_scores(
    candidates: tuple[Candidate, ...], calls: list[tuple[str, bool]]
) -> None:
    known = OutcomeTally()
    for tool, failed in calls:
        known = known.after(tool, failed=failed)
    order = ToolOrder(known)
    found = order.sort(Request(utterance="tide"), candidates)
    assert sorted(names(found)) == sorted(names(candidates))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0.0 <= one.score <= 1.0 for one in found)
    assert order.sort(Request(utterance="tide"), found) == found  # it is sorted by the Shortlister's own scores


@given(calls_)
def test_a_failure_never_raises_a_tool_relative_to_another(calls: list[tuple[str, bool]]) -> None:
    before = OutcomeTally()
    for tool, failed in calls:
        before = before.after(tool, failed=failed)
    after = before.after("t0", failed=True)
    for other in ("t1", "t2", "unknown"):
        gap = before.success("t0") - before.success(other)
        assert after.success("t0") - after.success(other) <= gap + 1e-9


# Words


def test_words_tell_how_much_of_a_name_and_of_a_description_is_asked_for() -> None:
    x = WORDS.features("a table of the tides", listed(high_tide=0.5, TideTable=0.4, stranger=0.3))
    name, described, _, owner, behind, _ = x.T
    assert name[1] > name[0] > 0.0
    assert described[1] > described[0]
    assert (behind[1], owner.tolist()[:2]) == (0.0, [0.0, 0.0])
    assert np.isnan(x[2]).all()
    assert np.isnan(WORDS.features(None, listed(bake=0.5))).all()
    assert np.isnan(ToolWords().features("bread", listed(bake=0.5))).all()


_DIGEST = """
import hashlib
import numpy as np
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.values import Candidate
from arbitrank.wire.catalogue_lines import CatalogueSkill
rng = np.random.default_rng(0)
said = [f"{chr(97 + i // 26)}{chr(97 + i % 26)}x" for i in range(600)]
skills = [CatalogueSkill(f"t{i}", "d", " ".join(rng.permutation(said)[: 20 * i].tolist())) for i in range(1, 16)]
words = ToolWords.of((one.name, one) for one in skills)
candidates = [Candidate(one.name, "d", 0.5) for one in skills]
asked = [" ".join(rng.permutation(said)[:25].tolist()) for _ in range(50)]
print(hashlib.sha256(b"".join(words.features(one, candidates).tobytes() for one in asked)).hexdigest())
"""


def test_every_process_computes_the_same_features_to_the_bit() -> None:
    """Sets of words have another order in each process."""
    run = partial(subprocess.run, [sys.executable, "-c", _DIGEST], check=True, capture_output=True)
    first, second = (run(env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2"))
    assert first == second != b""


# Training


def lists(n: int = 900, *, fails: str = "high_tide", seed: int = 0) -> list[ToolList]:
    """Two tools that serve the same requests, of which one fails in two of three calls, and the others.

    The first tool is called; where that fails, the other one of the two.
    """
    rng = np.random.default_rng(seed)
    found = []
    for group in range(n):
        tide = rng.random() < 0.7
        scores = {name: float(rng.uniform(0.3, 0.5) if tide == ("ide" in name) else rng.uniform(0, 0.1))
                  for name in OWNERS}  # fmt: skip
        candidates = listed(**scores)
        for called in names(candidates[:2]):
            failed = called == fails and rng.random() < 2 / 3
            right = None if failed else frozenset([called])
            found.append(ToolList(Request(utterance="x"), candidates, right, called, failed, float(group), group))
            if not failed:
                break
    return found


@pytest.fixture(scope="module")
def order() -> ToolOrder:
    return train_tools(lists(), WORDS, rounds=30)


def test_training_learns_which_of_two_tools_fails(order: ToolOrder) -> None:
    assert order.lists == order.kept == order.tally.number > 1_000
    assert (bool(order.text), order.tally.until) == (True, 899.0)
    first = [order.sort(one.request, one.candidates)[0].skill for one in lists(200, seed=1)]
    assert first.count("high_tide") < 0.05 * first.count("TideTable")


def test_its_probability_is_that_of_a_call_that_succeeds(order: ToolOrder) -> None:
    claimed, came = [], []
    for one in lists(600, seed=2):
        for candidate in order.sort(one.request, one.candidates):
            if candidate.skill == "high_tide" == one.candidates[0].skill == one.called:
                claimed.append(candidate.score)
                came.append(not one.failed)
    assert np.mean(came) == pytest.approx(1 / 3, abs=0.07)
    assert np.mean(claimed) == pytest.approx(1 / 3, abs=0.15)


@pytest.mark.parametrize("complete", [False, True])
def test_a_tool_that_fits_counts_as_fitting_where_lists_name_another(complete: bool) -> None:
    rng = np.random.default_rng(0)
    found, fits = [], []
    for group in range(600):
        p = float(rng.uniform(0.7, 0.9))
        tide = rng.random() < p
        both = ["high_tide", "TideTable"]
        right = (both if complete else [both[group % 2]]) if tide else ["bake"]
        candidates = listed(high_tide=p, TideTable=p, bake=1.0 - p)
        found.append(ToolList(Request(utterance="x"), candidates, frozenset(right), group=group))
        fits.append(tide)
    order = train_tools(found, rounds=5)
    claimed = [order.sort(one.request, one.candidates)[0].score for one in found]
    assert np.mean(claimed) == pytest.approx(np.mean(fits), abs=0.06)


def test_more_success_never_lowers_a_score(order: ToolOrder) -> None:
    candidates = list(listed(high_tide=0.4, TideTable=0.3, bake=0.1))
    x = np.stack([tool_features(Request(), candidates, np.array([s, 0.0, 0.0]), WORDS)[0] for s in (-2.0, -0.5, 0.0)])
    assert x[:, TOOL_FEATURES.index("success")].tolist() == [-2.0, -0.5, 0.0]
    raw = order.trees(np.ascontiguousarray(x))
    assert raw.tolist() == sorted(raw.tolist())


def test_few_lists_give_the_outcomes_alone_and_the_same_lists_the_same_order() -> None:
    few = train_tools(lists(50), WORDS)
    assert (few.text, few.odds, few.tally.number) == ("", (0.0, 1.0, 1.0), few.lists)
    assert train_tools(lists(250), WORDS, rounds=3) == train_tools(lists(250), WORDS, rounds=3)


def test_lists_that_say_nothing_are_not_kept() -> None:
    silent = ToolList(Request(utterance="x"), listed(bake=0.5, find_book=0.4), frozenset(["elsewhere"]))
    gone = ToolList(Request(utterance="x"), listed(bake=0.5), None, "elsewhere", failed=True)
    assert train_tools([silent, gone]).kept == 0


def utterances(n: int) -> list[SkillUtterance]:
    """Requests of tools; every other one of high_tide is in the words of TideTable."""
    said = {"high_tide": "high water", "TideTable": "water table", "find_book": "novel", "bake": "rye loaf"}
    found = []
    for i in range(n):
        name = [*said][i % 4]
        text = f"{said[name]} {i}"
        found.append(SkillUtterance(text, name, OWNERS[name], frozenset([name]), Request(utterance=text)))
    return found


def test_crossed_lists_are_of_shortlisters_that_did_not_see_the_request() -> None:
    gathered = gather_skills((one.name, one) for one in TOOLS)
    found = crossed_lists(utterances(60), gathered)
    assert len(found) == 60
    assert np.mean([one.candidates[0].skill in (one.right or ()) for one in found]) > 0.9
    assert crossed_lists(utterances(1), gathered) == []


# From a log


def line(
    candidates: tuple[Candidate, ...], called: str | None = None, outcome: str | None = None, truth: Truth | None = None
) -> Logged:
    reading = () if called is None else (Ranked(OWNERS.get(called, "d"), "i", skill=called),)
    decision = Decision("accept", (0,)) if reading else Decision("none")
    answer = Answer("1", decision, reading, {}, {}, Shortlist(candidates, False, 0))
    return Logged(id="1", utterance="x", answer=answer, outcome=outcome, truth=truth)  # type: ignore[arg-type]


def test_a_log_says_which_tool_was_right_and_which_call_failed() -> None:
    both = listed(high_tide=0.5, TideTable=0.4)
    found = tool_lists(
        [
            line(both, "TideTable", "accepted", Truth("almanac", "TideTable")),
            line(both, "high_tide", "rejected"),
            line(both, "high_tide", "accepted"),
            line(both, truth=Truth(None)),
            line(both, truth=Truth("almanac", "some intent")),  # no skill has the name of an intent
            line(both),
            line((), "bake", "accepted"),
            Logged(id="1", utterance="x"),
            replace(line(both, "high_tide", "rejected"), called="TideTable"),  # another than the one that acted
            replace(line(both), outcome="accepted", called="high_tide"),  # none acted: the caller chose
            replace(line(both), called="high_tide"),  # without an outcome this says nothing
        ]
    )
    assert [(one.right, one.called, one.failed) for one in found] == [
        (frozenset({"TideTable"}), "TideTable", False),
        (None, "high_tide", True),
        (frozenset({"high_tide"}), "high_tide", False),
        (frozenset(), None, False),
        (None, "TideTable", True),
        (frozenset({"high_tide"}), "high_tide", False),
    ]
    assert len({one.group for one in found}) == 6


@pytest.mark.parametrize(
    ("truth", "skill", "right"),
    [
        (Truth("library", "search"), None, {"library/search"}),
        (Truth("library", "library/search"), None, {"library/search"}),
        (Truth("ships", None), None, {"ships/search"}),
        (Truth("library", "other"), None, None),
        (Truth("elsewhere", "search"), None, set()),
        (Truth("bake"), None, {"bake"}),
        (Truth("bake"), "bake", {"bake"}),
        (Truth("library"), "search", {"library/search"}),
        (Truth("library"), "gone", set()),
        (Truth(None), None, set()),
    ],
)
def test_a_truth_stands_for_the_tools_that_it_names(truth: Truth, skill: str | None, right: set[str] | None) -> None:
    candidates = [Candidate("library/search", "library", 0.5), Candidate("ships/search", "ships", 0.4),
                  Candidate("bake", "kitchen", 0.1)]  # fmt: skip
    found = right_tools(candidates, truth, skill)
    assert found == (None if right is None else frozenset(right))


# Files, the life of a request, the store


def test_a_saved_order_sorts_the_same_and_damage_is_refused(order: ToolOrder, tmp_path: Path) -> None:
    made = save_hyprank(HypRank(tools=order), tmp_path / "made")
    found = load_hyprank(tmp_path / "made")
    assert (found.tools, found.sorts_readings) == (order, False)
    assert hyprank_problem(found) is None
    ranked = (Ranked("a", "i"),)
    assert found.sort(Request(), ranked) is ranked
    spec = tmp_path / "made" / "tools.json"
    kept = json.loads(spec.read_text())
    for damage in ({"words": {"tools": {"bake": [[9], [], [], []]}}}, {"text": "tree"}, {"odds": 7}):
        spec.write_text(json.dumps({**kept, **damage}))
        seal(tmp_path / "made", made)
        with pytest.raises(ArtifactError, match="train it again"):
            load_hyprank(tmp_path / "made")


@pytest.fixture(scope="module")
def shortlister_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a Shortlister over the tools."""
    folder = tmp_path_factory.mktemp("shortlister") / "made"
    write(build(utterances(40), listed=ListedSkills((one.name, one) for one in TOOLS)), folder)
    return folder


@pytest.fixture
def store(tmp_path: Path, shortlister_folder: Path) -> Store:
    """A store in which it is stable."""
    found = open_store(tmp_path / "store", environment={})
    found.publish(shortlister_folder, promote=True)
    return found


ASKED = Request(id="1", utterance="high water table")


def publish(store: Store, folder: Path, failing: str, *, promoted: bool = False) -> str:
    """A HypRank that knows that a tool fails."""
    save_hyprank(HypRank(tools=ToolOrder(tally(**{failing: "-" * 40}))), folder)
    return store.publish(folder, promote=promoted).version


def first(answer: Answer) -> str:
    assert answer.shortlist is not UNSET
    return answer.shortlist.candidates[0].skill


def test_a_service_sorts_its_shortlists_follows_canaries_and_rolls_back(store: Store, tmp_path: Path) -> None:
    live = Live({}, store, selftest=lambda folder, name: None, shortlist=ShortlistSettings())
    live.look()
    head = first(live.answer(ASKED))
    assert head in {"high_tide", "TideTable"}
    other = {"high_tide": "TideTable", "TideTable": "high_tide"}[head]
    stable = publish(store, tmp_path / "one", head, promoted=True)
    live.look()
    answer = live.answer(ASKED)
    assert first(answer) == other
    assert answer.shortlist is not UNSET
    assert all(one.shortlisted is not UNSET for one in answer.shortlist.candidates)
    assert "hyprank" not in answer.ms  # readings are not sorted
    candidate = publish(store, tmp_path / "two", other)
    store.canary(HYPRANK, 0.5)
    live.look()
    heads = [first(live.answer(replace(ASKED, id=str(number)))) for number in range(60)]
    assert set(heads) == {head, other}
    arms = live.report()[HYPRANK].arms
    assert (arms["stable"].version, arms["stable"].answers) == (stable, heads.count(other))
    assert (arms["canary"].version, arms["canary"].answers) == (candidate, heads.count(head))
    store.promote(HYPRANK, candidate)
    live.look()
    assert first(live.answer(ASKED)) == head
    store.rollback(HYPRANK)
    live.look()
    assert first(live.answer(ASKED)) == other
    store.rollback(HYPRANK, to_package=True)
    live.look()
    assert first(live.answer(ASKED)) == head


def test_the_scores_before_sorting_are_those_of_the_shortlister(store: Store, tmp_path: Path) -> None:
    live = Live({}, store, selftest=lambda folder, name: None, shortlist=ShortlistSettings())
    live.look()
    before = live.answer(ASKED).shortlist
    publish(store, tmp_path / "one", first(live.answer(ASKED)), promoted=True)
    live.look()
    after = live.answer(ASKED).shortlist
    assert before is not UNSET
    assert after is not UNSET
    own = {one.skill: one.shortlisted for one in after.candidates}
    assert own == {one.skill: one.score for one in before.candidates}
    (again,) = tool_lists([Logged(id="1", utterance="x", truth=Truth("bake"), answer=live.answer(ASKED))])
    assert again.candidates == after.candidates


def test_the_gate_refuses_an_order_that_loses_requests(store: Store, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    lines = [{"text": one.utterance, "skill": one.skill, "domain": one.domain} for one in utterances(400)]
    audit.write_text("".join(json.dumps(one) + "\n" for one in lines))
    store.set_audit_set(audit)
    good = publish(store, tmp_path / "good", "bake")  # no other tool bakes, so nothing is lost
    judgement = consider(store, {}, HYPRANK)
    assert (judgement.problem, judgement.reasons) == (None, ())
    assert promote(store, judgement)
    save_hyprank(HypRank(tools=ToolOrder(odds=(0.0, -1.0, 0.0), text=turned())), tmp_path / "bad")
    bad = store.publish(tmp_path / "bad").version
    judgement = consider(store, {}, HYPRANK)
    assert (judgement.version, judgement.problem) == (bad, None)
    assert {one.what for one in judgement.reasons} == {"tools"}
    assert promote(store, judgement) is None
    assert store.state(HYPRANK)[1].stable == good


def turned() -> str:
    """Trees, of an order whose odds turn lists round."""
    return train_tools(lists(250), rounds=1).text


def test_an_arbitrator_without_a_shortlister_has_no_tools_to_sort() -> None:
    hyprank = HypRank(tools=ToolOrder(tally(bake="-" * 9)))
    answer = Arbitrator({}, hyprank=hyprank).answer("bread")
    assert answer.shortlist is UNSET


# The commands


def logged_calls(folder: Path, shortlisting: Shortlisting, n: int = 40) -> None:
    """A log in which every call of the first tool fails."""
    with AnswerLog(folder, LogSettings(words="keep")) as log:
        for i in range(n):
            found, _ = shortlisting(replace(ASKED, id=str(i)))
            reading = Ranked(found[0].domain, found[0].skill, skill=found[0].skill)
            answer = Answer(str(i), Decision("accept", (0,)), (reading,), {}, {}, Shortlist(found, False, 0))
            log.append(Logged(id=str(i), utterance=ASKED.utterance, answer=answer, outcome="rejected"))


def test_the_commands_train_promote_and_roll_back_the_order_of_tools(store: Store, tmp_path: Path, arbitrank) -> None:
    def query() -> list[str]:
        done = arbitrank("shortlist", "query", "high water table", "--no-domains", "--json", "--store", str(store))
        return [one["skill"] for one in json.loads(done.stdout)]

    before = query()
    live = Live({}, store, selftest=lambda folder, name: None, shortlist=ShortlistSettings())
    live.look()
    stage = live.routing.stable.shortlisting
    assert isinstance(stage, Shortlisting)
    logged_calls(tmp_path / "log", stage)
    done = arbitrank("shortlist", "hyprank", str(tmp_path / "log"), "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert "40 shortlists, outcomes of 1 tool; too few to learn more than the outcomes; candidate in" in done.stdout
    assert query() == before
    assert arbitrank("promote", HYPRANK, "--store", str(store)).returncode == 0
    after = query()
    assert (after[0], sorted(after)) == (before[1], sorted(before))
    assert arbitrank("rollback", HYPRANK, "--to-package", "--store", str(store)).returncode == 0
    assert query() == before


def test_the_command_trains_on_labelled_utterances(store: Store, tmp_path: Path, arbitrank) -> None:
    data = tmp_path / "labelled.jsonl"
    lines = [{"text": one.utterance, "skill": one.skill, "domain": one.domain} for one in utterances(240)]
    data.write_text("".join(json.dumps(one) + "\n" for one in lines))
    out = tmp_path / "made"
    done = arbitrank("shortlist", "hyprank", "--data", str(data), "--rounds", "5", "--out", str(out))
    assert (done.returncode, "240 shortlists, outcomes of 0 tools" in done.stdout) == (0, True), done.stderr
    assert load_hyprank(out).tools is not None
    refused = arbitrank("shortlist", "hyprank", "--out", str(out))
    assert (refused.returncode, "neither given" in refused.stderr) == (2, True)
