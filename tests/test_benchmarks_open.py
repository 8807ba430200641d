"""The open benchmark: files of any system's answers, what they are refused for, and that all are judged alike."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.common import DATA
from benchmarks.open import __main__ as command
from benchmarks.open.answers import OURS, ROWS, Answers, our_answers
from benchmarks.open.contests import NAMES, READING, Contest, contests, made
from benchmarks.open.entries import entered, handed_out, read_answers, requests, write_lines, written
from benchmarks.open.measures import figures, judge
from benchmarks.open.published import PUBLISHED, SOURCES
from benchmarks.open.tables import print_tables

from arbitrank.errors import DataError, InputError
from arbitrank.values import Example, Request, Slot, Truth

ROOT = Path(__file__).parents[1]


def _no_benches(*_: Any) -> Iterator[Any]:
    raise AssertionError("nothing is to be trained here")


def truth(domain: str, intent: str, *values: str) -> Truth:
    return Truth(domain, intent, tuple(Slot("title", value) for value in values))


EXAMPLES = tuple(
    Example(Request(id=name, utterance=f"words of {name}"), of)
    for name, of in {
        "a": truth("music", "Play", "emma"),
        "b": truth("music", "Stop"),
        "c": truth("books", "Read", "emma"),
        "d": Truth(None),
    }.items()
)
CONTEST = Contest("four", "four requests", ("books", "music"), EXAMPLES, READING, _no_benches, none_counts=True)


def line(id: str, domain: str, intent: str, *values: str, p: float | None = None) -> dict[str, Any]:
    slots = [{"name": "title", "value": value} for value in values]
    reading: dict[str, Any] = {"domain": domain, "intent": intent, "slots": slots}
    return {"id": id, "ranked": [reading if p is None else {**reading, "probability": p}]}


RIGHT = (
    line("a", "music", "Play", "Emma", p=0.9),
    line("b", "music", "Stop", p=0.8),
    line("c", "books", "Read", "emma", p=0.7),
    {"id": "d", "ranked": [], "decision": {"action": "none"}},
)


def answers(tmp_path: Path, lines: Sequence[Mapping[str, Any]], contest: Contest = CONTEST) -> Answers:
    path = tmp_path / f"{contest.name}.jsonl"
    write_lines(path, lines)
    return read_answers(path, contest)


def shares(given: Answers, contest: Contest = CONTEST) -> dict[str, float]:
    return {measure: float(own.mean()) for measure, own in judge(contest, given).answers.items()}


# ----------------------------------------------------------------------------------------------------- how it is judged


def test_what_is_right_counts_by_domain_intent_and_whole_reading(tmp_path: Path) -> None:
    assert shares(answers(tmp_path, RIGHT)) == {"domain": 1.0, "intent": 1.0, "reading": 1.0}
    half = [line("a", "music", "Stop"), line("b", "music", "Stop", "x"), RIGHT[3]]
    assert shares(answers(tmp_path, half)) == {"domain": 0.75, "intent": 0.5, "reading": 0.25}


def test_a_request_that_is_not_answered_is_wrong_and_its_probability_gains_nothing(tmp_path: Path) -> None:
    given = answers(tmp_path, RIGHT[:2])
    assert given.missing == 2
    assert shares(given)["domain"] == 0.5  # out of scope it is wrong too
    assert given.probability is not None
    assert given.probability.tolist() == [0.9, 0.8, 0.5, 0.5]


def test_none_is_an_answer_where_requests_may_be_out_of_scope_and_is_ignored_elsewhere(tmp_path: Path) -> None:
    none = [{**RIGHT[0], "decision": {"action": "none"}}, *RIGHT[1:]]
    assert shares(answers(tmp_path, none))["domain"] == 0.75
    without = Contest("four", "", CONTEST.domains, EXAMPLES, READING, _no_benches)
    assert judge(without, answers(tmp_path, none, without)).answers["domain"].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_where_the_intent_alone_is_judged_any_domain_may_name_it(tmp_path: Path) -> None:
    bot = Contest("four", "", ("x",), EXAMPLES, ("intent",), _no_benches, none_counts=True, any_domain=True)
    given = [line("a", "mine", "Play"), line("b", "mine", "Play"), line("c", "", "Read"), line("d", "", "Read")]
    assert judge(bot, answers(tmp_path, given, bot)).answers["intent"].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_several_owners_are_right(tmp_path: Path) -> None:
    both = Example(Request(id="e", utterance="x"), Truth(None, "Play", (), ("books", "music")))
    contest = Contest("two", "", ("books", "music"), (both,), ("domain", "intent"), _no_benches)
    for domain in ("books", "music"):
        assert shares(answers(tmp_path, [line("e", domain, "Play")], contest), contest) == {
            "domain": 1.0,
            "intent": 1.0,
        }


def test_hypotheses_as_imported_are_ordered_by_the_product_of_their_confidences(tmp_path: Path) -> None:
    given = [
        {
            "id": "a",
            "hypotheses": [
                {"domain": "books", "intent": "Read", "domain_confidence": 0.4, "intent_confidence": 0.9},
                {"domain": "music", "intent": "Play", "domain_confidence": 0.6, "intent_confidence": 0.8},
            ],
        }
    ]
    found = answers(tmp_path, given)
    assert found.top[0] is not None
    assert found.top[0].domain == "music"
    assert found.probability is not None
    assert found.probability[0] == pytest.approx(0.48)


def test_differences_are_paired_and_without_probabilities_there_is_no_nll(tmp_path: Path) -> None:
    ours, bare = answers(tmp_path, RIGHT), answers(tmp_path, [line("a", "music", "Play", "emma")])
    found = figures(CONTEST, {OURS: ours, "bare": bare}, OURS)["systems"]
    assert found["bare"]["against"]["domain"][0] == pytest.approx(-0.75)
    assert found["bare"]["missing"] == 3
    assert "nll" not in found["bare"]
    assert found[OURS]["out_of_scope"] == 1.0


# ----------------------------------------------------------------------------------------------- what it is refused for


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([line("x", "music", "Play")], "four.jsonl:1: id: four has no request 'x'; get the requests: python -m"),
        ([RIGHT[0], RIGHT[1], RIGHT[0]], "four.jsonl:3: id: 'a' is answered already, in line 1"),
        ([RIGHT[0], {**RIGHT[0], "id": handed_out(CONTEST)[0]}], "is answered already, in line 1"),
        (
            [line("a", "musik", "Play")],
            "four.jsonl:1: domain: four has no domain 'musik', expected books, music",
        ),
        ([RIGHT[0], line("b", "music", "Stop")], "probability: in line 1 and not in line 2, expected in all or none"),
        ([line("a", "music", "Play", p=1.2)], "four.jsonl:1: ranked[0].probability: 1.2"),
        ([{"id": "a", "ranked": [{"domain": "music", "intnt": "Play"}]}], "four.jsonl:1: ranked[0]"),
        ([{"id": "a", "rank": []}], "four.jsonl:1: "),
        ([{"id": "a"}], "four.jsonl:1: expected either `ranked` or `hypotheses`"),
        ([{"id": "a", "decision": {"action": "reject"}}], "four.jsonl:1: decision.action: 'reject'"),
        ([{"ranked": []}], "four.jsonl:1: "),
    ],
)
def test_a_line_that_is_not_as_expected_is_refused_with_its_place(
    tmp_path: Path, lines: Sequence[Mapping[str, Any]], text: str
) -> None:
    with pytest.raises(DataError) as error:
        answers(tmp_path, lines)
    assert text in str(error.value)


def test_a_system_is_a_file_or_a_folder_of_files_named_as_the_corpora(tmp_path: Path) -> None:
    for name in ("snips.jsonl", "slurp.jsonl.gz", "notes.txt"):
        (tmp_path / name).touch()
    assert set(entered([f"mine={tmp_path}"])) == {"snips", "slurp"}
    assert entered([f"mine={tmp_path / 'snips.jsonl'}"]) == {"snips": {"mine": tmp_path / "snips.jsonl"}}
    for option, text in {
        "mine": "expected NAME=FILE.jsonl or NAME=FOLDER",
        f"mine={tmp_path / 'absent'}": "no such file or folder",
        f"mine={tmp_path / 'notes.txt'}": "no file CORPUS.jsonl",
    }.items():
        with pytest.raises(InputError, match=text):
            entered([option])
    with pytest.raises(InputError, match="two files of snips"):
        entered([f"mine={tmp_path}", f"mine={tmp_path / 'snips.jsonl'}"])


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contest, dict[str, Answers]]:
    """A small made contest with requests out of scope, and the answers of our systems."""
    folder = tmp_path_factory.mktemp("open")
    *_, contest = made(folder, 1, train=60, held=150)
    return contest, our_answers(contest, folder, seed=1)


def test_our_answers_entered_as_a_file_have_our_figures(
    quick: tuple[Contest, dict[str, Answers]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contest, ours = quick
    assert set(ours) <= set(ROWS)
    again = answers(tmp_path, list(written(contest, ours[OURS])), contest)
    found = figures(contest, {**ours, "again": again}, OURS)
    systems = found["systems"]
    for key in ("intent", "nll", "ece", "ece_band", "in_scope", "out_of_scope"):
        assert systems["again"][key] == pytest.approx(systems[OURS][key])
    assert all(one == pytest.approx([0.0, 0.0, 0.0]) for one in systems["again"]["against"].values())
    assert 0.3 < systems[OURS]["intent"][1] < systems[OURS]["intent"][2] < 1.0
    assert systems[OURS]["nll"][0] < systems["R0"]["nll"][0]
    print_tables({contest.name: {"about": contest.about, **found}})
    printed = capsys.readouterr().out
    assert f"{contest.name}: 150 requests" in printed
    assert "  again" in printed
    assert "difference from auto tuned" in printed


def test_our_answers_are_kept_and_read_again_where_they_are_whole(
    quick: tuple[Contest, dict[str, Answers]], tmp_path: Path
) -> None:
    contest, ours = quick
    for name, one in ours.items():
        (tmp_path / name.replace(" ", "-")).mkdir()
        write_lines(tmp_path / name.replace(" ", "-") / f"{contest.name}.jsonl", written(contest, one))
    untrained = dataclasses.replace(contest, benches=_no_benches)
    found = command.measured(untrained, {}, tmp_path, out=tmp_path)
    assert found["systems"]["R0"]["intent"] == pytest.approx(figures(contest, ours, OURS)["systems"]["R0"]["intent"])
    write_lines(tmp_path / "R0" / f"{contest.name}.jsonl", [])
    with pytest.raises(AssertionError, match="nothing is to be trained"):
        command.measured(untrained, {}, tmp_path, out=tmp_path)


def test_the_answer_that_the_docs_show_can_be_entered(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "open-benchmark.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    example = Example(Request(id="7"), Truth("music", "PlayMusic", (Slot("artist", "Nina Simone"),)))
    contest = Contest("shown", "", ("music",), (example,), READING, _no_benches)
    assert shares(answers(tmp_path, shown, contest), contest)["reading"] == 1.0


def test_requests_are_handed_out_without_their_truths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quick: tuple[Contest, dict[str, Answers]]
) -> None:
    lines = list(requests(quick[0]))
    assert {line["fold"] for line in lines} == set(range(5))
    assert all(set(line) == {"id", "utterance", "fold"} for line in lines)
    assert command.main(["--quick", "--requests", str(tmp_path)]) == 0
    told = [json.loads(line) for line in (tmp_path / "corpora.jsonl").read_text().splitlines()]
    assert [one["corpus"] for one in told] == ["made", "made-bot"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpora.jsonl", "made-bot.jsonl", "made.jsonl"]
    assert capsys.readouterr().out == ""


def test_a_corpus_that_is_absent_is_skipped_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["snips", "--data", str(tmp_path), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["figures"] == {}
    assert f"snips: skipped, as {tmp_path / 'snips'} is not there" in printed.err


def test_answers_to_a_corpus_that_is_not_measured_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "snip.jsonl", RIGHT)
    assert command.main(["snips", "--data", str(tmp_path), "--system", f"mine={tmp_path}"]) == 2
    assert "error: --system: no such corpus measured: snip; measured: none" in capsys.readouterr().err


def test_every_published_figure_has_a_source_and_a_column() -> None:
    rows = [row for rows in PUBLISHED.values() for row in rows]
    assert {row.source for row in rows} == set(SOURCES)
    for row in rows:
        assert set(row.figures) <= {"domain", "intent", "irer", "in_scope", "out_of_scope"}
        assert all(0.0 < value < 100.0 for value in row.figures.values())


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
@pytest.mark.parametrize("name", ["hint3", "bbai", "proslu"])
def test_published_requests_have_ids_of_their_own_and_known_owners(name: str) -> None:
    assert name in NAMES
    for contest in contests(name, DATA, 0):
        ids = [example.request.id for example in contest.examples]
        assert len(set(ids)) == len(ids) > 0
        owners = {owner for example in contest.examples for owner in example.truth.owners}
        assert owners <= set(contest.domains)
        assert contest.fold is not None
        assert np.bincount(contest.fold).min() > 30
        told = {"hint3": "hypotheses", "proslu": "context"}.get(name, "utterance")
        lines = list(requests(contest))
        assert all(line[told] and "truth" not in line and line["id"] not in ids for line in lines)
        assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there")
def test_the_vendors_of_hint3_entered_by_their_hypotheses_have_their_published_figures(tmp_path: Path) -> None:
    for contest in contests("hint3", DATA, 0):
        for row in PUBLISHED[contest.name]:
            vendor, _, threshold = row.system.partition(", threshold ")
            entry: list[dict[str, Any]] = []
            for request in requests(contest):
                own = [h for h in request["hypotheses"] if h["domain"] == vendor.lower()]
                sure = any(h["intent_confidence"] > float(threshold) for h in own)
                action = {} if sure else {"decision": {"action": "none"}}
                entry.append({"id": request["id"], "hypotheses": own, **action})
            found = figures(contest, {vendor: answers(tmp_path, entry, contest)}, OURS)["systems"][vendor]
            assert 100 * found["intent"][0] == pytest.approx(row.figures["intent"], abs=0.051)
            for key in ("in_scope", "out_of_scope"):
                assert 100 * found[key] == pytest.approx(row.figures[key], abs=0.051)
