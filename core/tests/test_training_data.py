"""Data for training: their location, what is read of them, and what is reported of the rest."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from arbitrank.domain import Settings
from arbitrank.errors import DataError, InputError
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.training.build import build, held_out, time_of
from arbitrank.training.datasets import Dataset, is_partitioned, prepare
from arbitrank.training.example_file import ExampleFile, Writer, data_digest, write_examples
from arbitrank.training.figures import ClaimRows, figures_of
from arbitrank.training.locations import DataFile, files, opened, since
from arbitrank.training.read_report import COMMON, ReadReport
from arbitrank.training.sufficiency import shortage_notes, shortages
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

DAY = 86_400


def line(i: int, domain: str = "lamps", own: bool | None = None, **more: Any) -> dict[str, Any]:
    """A request that the domain reads twice, its own or not."""
    own = i % 2 == 0 if own is None else own
    rng = np.random.default_rng(i)
    belief = float(np.clip(rng.normal(0.7 if own else 0.4, 0.15), 0.01, 0.99))
    hypotheses = [
        {"domain": domain, "intent": "On", "domain_confidence": belief, "intent_confidence": 0.7},
        {"domain": domain, "intent": "Off", "domain_confidence": belief, "intent_confidence": 0.2},
    ]
    truth = {"domain": domain, "intent": "On"} if own else {"domain": None}
    return {"id": str(i), "utterance": f"words {i}", "hypotheses": hypotheses, "truth": truth, **more}


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=50)
        return path
    raw = b"".join((one if isinstance(one, bytes) else msgspec.json.encode(one)) + b"\n" for one in rows)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def read(
    location: Path | str, folder: Path, *domains: str, begins: float | None = None
) -> tuple[ReadReport, list[Example]]:
    """The report on the data, and the first domain's examples."""
    names = domains or ("lamps",)
    paths = {name: folder / f"{name}.examples" for name in names}
    report = prepare(Dataset(str(location), begins), names, paths, known=["heating"])
    return report, list(ExampleFile(paths[names[0]]))


# -------------------------------------------------------------------------------------------------------------- on disk


@given(
    st.lists(
        st.builds(
            Example,
            st.builds(
                Request,
                id=st.none() | st.text(max_size=3),
                utterance=st.none() | st.text(max_size=5),
                context=st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2),
                hypotheses=st.none() | st.just((Hypothesis("lamps", "On", 0.5, slots=(Slot("room", "x"),)),)),
            ),
            st.builds(Truth, st.none() | st.just("lamps")),
            st.dictionaries(st.sampled_from(["time", "weight"]), st.floats(1, 9), max_size=2),
        ),
        max_size=8,
    )
)
def test_examples_come_back_as_they_were_and_of_a_repeated_id_the_last(
    tmp_path_factory: pytest.TempPathFactory, examples: list[Example]
) -> None:
    path = tmp_path_factory.mktemp("examples") / "data"
    with Writer(path) as writer:
        for one in examples:
            writer.add(one)
    later = {one.request.id: i for i, one in enumerate(examples)}
    kept = [one for i, one in enumerate(examples) if one.request.id is None or later[one.request.id] == i]
    found = ExampleFile(path)
    assert list(found) == kept
    assert [found[i] for i in range(len(found))] == kept
    assert list(found[1:]) == kept[1:]
    assert writer.repeated == len(examples) - len(kept)
    assert data_digest(found) == data_digest(kept)


def test_a_domains_own_examples_all_count_whatever_their_ids(tmp_path: Path) -> None:
    own = [Example(Request(id="1", utterance=words), Truth("lamps")) for words in ("on", "off")]
    assert list(write_examples(tmp_path / "data", own)) == own


# ---------------------------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz", "data.parquet", "many/data.parquet"])
def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    rows = [line(i, context={"device": "hub"}, time=1e9 + i, weight=2.0) for i in range(120)]
    write(tmp_path / "data" / name, rows)
    _, found = read(tmp_path / "data" / name.split("/", maxsplit=1)[0], tmp_path)
    _, plain = read(write(tmp_path / "plain.jsonl", rows), tmp_path)
    assert found == plain
    assert len(found) == 120
    assert (found[7].weight, time_of(found[7])) == (2.0, 1e9 + 7)


def test_parquet_has_nulls_times_maps_and_json_in_texts(tmp_path: Path) -> None:
    when = pa.array([1_700_000_000_000_000, None], pa.timestamp("us", tz="UTC"))
    hypotheses = [[{"domain": "lamps", "intent": "On", "domain_confidence": None}], []]
    context = pa.array([[("device", "hub")], None], pa.map_(pa.string(), pa.string()))
    truth = ['{"domain": "lamps", "intent": "On"}', '{"domain": null}']
    columns = {"id": ["1", "2"], "utterance": ["on", None], "context": context, "time": when}
    table = pa.table({**columns, "hypotheses": hypotheses, "truth": truth})
    parquet.write_table(table, tmp_path / "data.parquet")
    _, (found,) = read(tmp_path / "data.parquet", tmp_path)
    assert found.request.context == {"device": "hub"}
    assert found.request.hypotheses == (Hypothesis("lamps", "On"),)
    assert (found.truth, time_of(found)) == (Truth("lamps", "On"), 1_700_000_000.0)


def test_an_object_store_is_read_by_its_url(tmp_path: Path) -> None:
    for day in (1, 2):
        write(tmp_path / "log" / "domain=lamps" / f"day=2026-11-0{day}" / "part.parquet", [line(day)])
        write(tmp_path / "log" / "domain=ovens" / f"day=2026-11-0{day}" / "part.jsonl.gz", [line(day, "ovens")])
    url = (tmp_path / "log").as_uri()
    assert is_partitioned(url)
    _, found = read(url, tmp_path)
    assert [one.request.id for one in found] == ["1", "2"]
    _, found = read(f"{url}/domain=lamps/day=2026-11-02/part.parquet", tmp_path)
    assert [one.request.id for one in found] == ["2"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "s3://: names no bucket or host, expected s3://NAME/PATH"),
        ("s4://bucket/data", "s4://bucket/data: cannot be read: .*Unable to recognise URL .*"),
        ("https://[", r"https://\[: cannot be read: Invalid IPv6 URL.*"),
    ],
)
def test_a_url_that_is_none_is_refused_in_one_line(url: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        files(url)
    assert re.fullmatch(said, str(caught.value))  # `.` is no end of a line


def test_an_object_store_that_does_not_answer_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from obstore.store import from_url

    at_once = partial(from_url, retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)})
    monkeypatch.setattr("obstore.store.from_url", at_once)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/data.jsonl", f"http://127.0.0.1:{port}/data"):
        for read_it in (files, lambda url: opened(DataFile(url, 1))):
            with pytest.raises(DataError, match=f"^{url}: cannot be read: Connection refused") as caught:
                read_it(url)
            assert len(str(caught.value).splitlines()) == 1
            assert "{" not in str(caught.value)


def test_a_file_that_is_gone_from_an_object_store_is_reported_in_one_line(tmp_path: Path) -> None:
    url = f"{tmp_path.as_uri()}/data.jsonl"
    with pytest.raises(DataError, match=f"^{url}: cannot be read: No such file") as caught:
        opened(DataFile(url, 1))
    assert len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------------------------------------------ whose, and when


def test_a_domain_gets_its_own_hypotheses_and_the_requests_that_were_meant_for_it(tmp_path: Path) -> None:
    both = line(1, own=False)
    both["hypotheses"] += line(1, "ovens")["hypotheses"]
    missed = {**line(3, "ovens"), "truth": {"domain": "lamps", "intent": "On"}}
    rows = [both, line(2, "ovens"), missed]
    _, found = read(write(tmp_path / "data.jsonl", rows), tmp_path, "lamps", "ovens")
    assert [one.request.id for one in found] == ["1", "3"]
    assert [len(one.request.hypotheses or ()) for one in found] == [2, 0]
    assert all(h.domain == "lamps" for one in found for h in one.request.hypotheses or ())


def test_what_brings_no_hypotheses_is_written_once_for_all(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [{"text": "dim the hall", "domain": "lamps"}] * 3)
    paths = {name: tmp_path / name for name in ("lamps", "ovens")}
    report = prepare(Dataset(str(path)), list(paths), paths, common=tmp_path / "common")
    assert report.examples == {COMMON: 3}
    assert len(ExampleFile(tmp_path / "common")) == 3


def test_partitions_tell_the_domain_and_the_day(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log / "domain=lamps" / "day=2026-11-01" / "a.jsonl", [line(1), line(2)])
    write(log / "domain=lamps" / "day=2026-11-20" / "a.jsonl", [line(3), line(4)])
    write(log / "domain=ovens" / "day=2026-11-20" / "a.jsonl", [b"not read at all"])
    assert is_partitioned(str(log))
    _, found = read(log, tmp_path, begins=since("2026-11-10"))
    assert [one.request.id for one in found] == ["3", "4"]
    _, found = read(log, tmp_path, begins=since("2026-11-20T12:00"))  # that day is not over then
    assert [one.request.id for one in found] == ["3", "4"]


def test_a_window_leaves_out_what_is_earlier_and_what_has_no_time(tmp_path: Path) -> None:
    rows = [line(1, time=5.0), line(2, time=15.0), line(3), line(4, time=10.0)]
    report, found = read(write(tmp_path / "data.jsonl", rows), tmp_path, begins=10.0)
    assert [one.request.id for one in found] == ["2", "4"]
    assert (report.early, report.undated) == (1, 1)
    assert "1 requests without a time are left out with --since" in report.notes()[0]


@pytest.mark.parametrize("text", ["yesterday", "d", "2026-13-01", ""])
def test_a_window_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--since: {text!r} is no date, expected one"):
        since(text)
    assert since("1970-01-02") == DAY


def examples(n: int, **more: Any) -> list[Example]:
    return [
        Example(Request(utterance=f"words {i}"), Truth("lamps" if i % 2 else None), {"time": float(i % 50), **more})
        for i in range(n)
    ]


def test_by_time_what_is_measured_on_is_later_than_all_that_was_learned(tmp_path: Path) -> None:
    some = write_examples(tmp_path / "data", examples(200))
    held = held_out("lamps", some, "time")
    times = np.array([time_of(one) for one in some], np.float64)
    assert 0.05 < held.mean() < 0.15
    assert times[held].min() > times[~held].max()
    with pytest.raises(DataError, match="example 1 of 2 has no time"):
        held_out("lamps", [Example(Request(utterance="x"), Truth(None))] * 2, "time")


# ----------------------------------------------------------------------------------------------------------- bad data


LAMPS = [line(i) for i in range(100)]
CORPUS = {"text": "dim the hall", "domain": "lamps", "intent": "dim"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([], "no example to train on", id="an empty file"),
        pytest.param([line(i, own=False) for i in range(50)], "0 of [0-9]+ examples are its own", id="no positive"),
        pytest.param(["one class"], "no example to train on .1 bad lines", id="no line"),
        pytest.param(
            [*LAMPS, CORPUS],
            "1 examples bring no hypotheses|expected all or none|promised all or none",
            id="mixed kinds of lines",
        ),
        pytest.param([line(i, "ovens") for i in range(9)], "no example to train on", id="other domains only"),
    ],
)
def test_data_that_nothing_can_be_learned_from_are_refused(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        trained(tmp_path, rows)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param({**line(7), "weight": -1}, "weight: -1 is out of range, expected a", id="a negative weight"),
        pytest.param({**line(7), "weight": "much"}, "weight: 'much' is out of range", id="a weight that is none"),
        pytest.param({**line(7), "hypotheses": {"domain": "lamps"}}, "hypotheses: {", id="another schema"),
        pytest.param(b'{"truth"', "not JSON", id="a torn line"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_the_others_teach(tmp_path: Path, bad: Any, reason: str) -> None:
    report, found = read(write(tmp_path / "data.jsonl", [line(1), bad, line(2)]), tmp_path)
    assert [one.request.id for one in found] == ["1", "2"]
    (note,) = report.notes()
    assert note.startswith(f"{tmp_path / 'data.jsonl'}:2: ")
    assert report.n_bad == 1
    assert reason in note


WORDLESS = {"utterance": "dim the hall", "domain": "lamps", "intent": "dim"}


def test_lines_that_tell_no_truth_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [CORPUS, WORDLESS, CORPUS, WORDLESS])
    report, found = read(path, tmp_path)
    assert len(found) == 2
    assert report.notes() == (
        f"{path}: 2 lines are unlabelled and left out; the first: {path}:2: its fields are utterance, domain, "
        "intent; expected text (a corpus) or truth (hypotheses)",
    )


@pytest.mark.parametrize(
    ("given", "truth", "why"),
    [
        ({"confidence": 0.5}, "lamps", "hypotheses that cannot be read, of lamps (3); the first: hypotheses[0].confid"),
        (
            {"domain": "lmps"},
            "lmps",
            "requests of other domains, without a hypothesis of lamps (3), no plugin is loaded for lmps (3)); see",
        ),
    ],
)
def test_where_no_hypothesis_is_the_domains_the_reason_is_named(
    tmp_path: Path, given: dict[str, Any], truth: str, why: str
) -> None:
    hypothesis = {"domain": "lamps", "intent": "On", **given}
    row = {"utterance": "on", "hypotheses": [hypothesis], "truth": {"domain": truth, "intent": "On"}}
    path = write(tmp_path / "data.jsonl", [row] * 3)
    with pytest.raises(DataError) as caught:
        prepare(Dataset(str(path)), ["lamps"], {"lamps": tmp_path / "lamps"}, known=["lamps"])
    assert f"no example to train on (0 bad lines, {why}" in str(caught.value)


@pytest.mark.parametrize("name", ["data.jsonl", "data.parquet"])
@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (WORDLESS, "utterance, domain, intent"),
        ({"phrase": "dim the hall", "label": "lamps"}, "phrase, label"),
        (dict.fromkeys("ghijklmnop", 1), "g, h, i, j, k, l, m, n, …"),
    ],
)
def test_where_no_line_is_labelled_the_missing_field_is_named(
    tmp_path: Path, name: str, row: dict[str, Any], fields: str
) -> None:
    path = write(tmp_path / name, [row] * 3)
    with pytest.raises(DataError) as caught:
        read(path, tmp_path)
    assert str(caught.value).startswith(
        f"{path}: no example to train on (0 bad lines, 3 unlabelled; the first: {path}:1: its fields are "
        f"{fields}; expected text (a corpus) or truth (hypotheses))"
    )


def test_parquet_names_a_row_that_is_not_a_number_and_a_file_that_is_none(tmp_path: Path) -> None:
    rows = [line(i) for i in range(3)]
    rows[1]["hypotheses"][0]["intent_confidence"] = float("nan")
    report, found = read(write(tmp_path / "data.parquet", rows), tmp_path)
    assert len(found) == 2
    assert ":2: hypotheses[0].intent_confidence: nan is out of range, expected a finite number" in report.notes()[0]
    (tmp_path / "data.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read(tmp_path / "data.parquet", tmp_path)


def test_parquet_files_of_several_schemas_are_read_each_by_its_own(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.parquet", [line(1)])
    write(tmp_path / "data" / "b.parquet", [{**line(2), "context": {"device": "hub"}, "later": 1}])
    write(tmp_path / "data" / "c.parquet", [{**line(3), "hypotheses": "many"}])
    report, found = read(tmp_path / "data", tmp_path)
    assert [one.request.id for one in found] == ["1", "2"]
    assert report.n_bad == 1


def test_repeated_ids_count_once_unknown_domains_are_negatives_and_both_are_reported(tmp_path: Path) -> None:
    rows = [line(1), line(2), {**line(1), "utterance": "later"}, {**line(3), "truth": {"domain": "lams"}}]
    report, found = read(write(tmp_path / "data.jsonl", rows), tmp_path)
    assert [one.request.utterance for one in found] == ["words 2", "later", "words 3"]
    assert [note.partition(": ")[2] for note in report.notes()] == [
        "no plugin is loaded for lams (1); their requests serve other domains as negatives",
        "1 examples repeat an id; of each the last counts",
    ]


def trained(tmp_path: Path, rows: list[Any], **settings: Any) -> Any:
    _, found = read(write(tmp_path / "data.jsonl", rows), tmp_path)
    return build(ReferenceDomain("lamps"), ("", ""), found, tmp_path / "artifact", Settings(**settings))


@pytest.mark.parametrize("model", ["factored", "loglinear", "boosted"])
@pytest.mark.parametrize("kind", ["constant", "one in a great many", "no confidences"])
def test_poor_data_give_weights_that_are_finite_and_no_worse_than_none_or_a_refusal(
    tmp_path: Path, model: str, kind: str
) -> None:
    rows = [line(i) for i in range(300)]
    if kind == "one in a great many":
        rows = [line(i, own=i in (11, 12), weight=1.0 if i in (11, 12) else 5e7) for i in range(300)]
    for row in rows if kind != "one in a great many" else []:
        for h in row["hypotheses"]:
            if kind == "no confidences":
                del h["domain_confidence"], h["intent_confidence"]
            else:
                h["domain_confidence"], h["intent_confidence"] = 0.5, 0.5
    built = trained(tmp_path, rows, model=model)
    assert np.isfinite(built.measured.nll)
    assert np.isfinite(built.measured.baseline)
    assert not built.measured.worse or built.measured.nll > built.measured.baseline
    assert built.measured.nll < built.measured.baseline + 0.1


def test_a_weight_counts_as_often_as_it_says(tmp_path: Path) -> None:
    some = []
    for i in range(80):
        readings = (Hypothesis("lamps", "On", 0.2 + 0.06 * ((i * 7) % 10), 0.8),)
        truth = Truth("lamps" if (i * 3) % 7 < 3 else None, "On")
        some.append(Example(Request(id=str(i), utterance=f"words {i}", hypotheses=readings), truth))
    heavy = [Example(e.request, e.truth, {"weight": 3.0}) if i % 4 == 0 else e for i, e in enumerate(some)]
    often = [e for i, e in enumerate(some) for _ in range(3 if i % 4 == 0 else 1)]
    settings = Settings(calibrate=False, l2=1e-3)
    found = []
    for name, data in (("heavy", heavy), ("often", often)):
        ReferenceDomain("lamps").train(data, tmp_path / name, settings)
        weights = msgspec.json.decode((tmp_path / name / "reranker" / "weights.json").read_bytes())
        found.append(np.array(weights["mine"]["values"]))
    # The mean that stands for missing confidences is of the lines; nothing is missing here.
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)


def test_a_warm_start_ends_where_a_cold_one_does_and_sooner(tmp_path: Path) -> None:
    built = trained(tmp_path, [line(i) for i in range(400)], calibrate=False)
    rounds: dict[str, list[float]] = {"cold": [], "warm": []}
    found = {}
    data = list(ExampleFile(tmp_path / "lamps.examples"))
    for name, warm in (("cold", None), ("warm", tmp_path / "artifact")):
        settings = Settings(
            calibrate=False, l2=1e-4, warm=warm, figures=lambda f, name=name: rounds[name].append(f["round"])
        )
        again = build(ReferenceDomain("lamps"), ("", ""), data, tmp_path / name, settings)
        found[name] = again.measured.nll
    assert found["warm"] == pytest.approx(found["cold"], abs=0.01)
    assert len(rounds["warm"]) < len(rounds["cold"])
    assert built.manifest.rows


def test_unreadable_hypotheses_leave_their_domain_without_the_example_and_are_reported(tmp_path: Path) -> None:
    faulty = line(2)
    faulty["hypotheses"][0]["conf"] = 0.5
    odd = line(4)
    odd["hypotheses"][0]["rank"] = 1
    path = write(tmp_path / "data.jsonl", [faulty, odd, {**odd, "id": "6"}, line(8)])
    report, found = read(path, tmp_path)
    assert [one.request.id for one in found] == ["4", "6", "8"]
    notes = report.notes("lamps")
    assert f"{path}:2: hypotheses[0].rank: unknown key, ignored" in notes
    (unread,) = [note for note in notes if "cannot be read" in note]
    assert unread.startswith(
        f"{path}: hypotheses that cannot be read are left out, of lamps (1); the first: hypotheses[0]"
    )
    assert report.notes("ovens") == (f"{path}:2: hypotheses[0].rank: unknown key, ignored",)


def test_offsets_in_utf_16_are_read_where_that_is_said(tmp_path: Path) -> None:
    slot = {"name": "room", "value": "hall", "start": 9, "end": 13}
    path = write(tmp_path / "data.jsonl", [{"text": "💡💡 dim hall", "domain": "lamps", "slots": [slot]}])
    with pytest.raises(DataError, match="its offsets fit as UTF-16 code units, which `evaluate` and `train` read with"):
        read(path, tmp_path)
    examples = tmp_path / "lamps.examples"
    prepare(Dataset(str(path), offsets="utf16"), ["lamps"], {"lamps": examples})
    (found,) = ExampleFile(examples)
    assert found.truth.slots == (Slot("room", "hall", start=7, end=11),)


@pytest.mark.parametrize("marked", ["\ufeff{}\n", "\ufeff{}\r\n"])
def test_byte_order_marks_and_line_ends_of_windows_are_read(tmp_path: Path, marked: str) -> None:
    row = '{"text": "dim the hall", "domain": "lamps"}'
    (tmp_path / "data.jsonl").write_text(marked.format(row) + row, encoding="utf-8", newline="")
    _, found = read(tmp_path / "data.jsonl", tmp_path)
    assert len(found) == 2


# ----------------------------------------------------------------------------------------------- several truths


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_request_of_several_domains_is_an_own_request_of_each(tmp_path: Path, form: str) -> None:
    rows = [
        {**line(1, "lamps", own=True), "truth": {"domains": ["lamps", "shades"], "intent": "On"}},
        {**line(2, "lamps", own=True), "truth": {"domains": ["lamps", "tunes"], "intent": "On"}},
    ]
    report, own = read(write(tmp_path / f"data.{form}", rows), tmp_path, "shades", "lamps")
    assert [example.request.id for example in own] == ["1"]  # without a reading of its own
    assert own[0].truth.owned_by("shades")
    assert report.examples == {"shades": 1, "lamps": 2}


class Attentive(ReferenceDomain):
    """Remembers the truths that it is trained on."""

    name = "shades"

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> Any:
        self.truths = [example.truth for example in examples]
        raise DataError("enough")


def test_a_domain_is_trained_on_truths_that_name_it_alone(tmp_path: Path) -> None:
    truths = (
        Truth(None, "On", domains=("lamps", "shades")),
        Truth("lamps", "On"),
        Truth("tunes", also=(Truth("shades"),)),
    )
    examples = [Example(Request(id=str(i), utterance=f"words {i}"), truths[i % 3]) for i in range(60)]
    domain = Attentive()
    with pytest.raises(DataError, match="enough"):
        build(domain, ("p", "1"), examples, tmp_path / "out", Settings())
    assert {*domain.truths} == {Truth("shades", "On"), Truth("lamps", "On"), Truth("shades")}


def test_training_says_what_the_data_have_too_little_of_as_the_check_does() -> None:
    def few(n: int, intent: str) -> list[Example]:
        return [Example(Request(utterance=f"{intent} {i}"), Truth("lamps", intent)) for i in range(n)]

    (note,) = shortage_notes("lamps", [*few(40, "On"), *few(3, "Dim")])
    assert note == (
        "domain lamps: little data, so its weights stay close to its scores: 43 examples, expected 100 at least; 3 "
        "examples of the intent Dim, expected 10 at least; run: arbitrank check lamps"
    )
    assert shortage_notes("lamps", few(100, "On")) == ()
    read = Example(Request(hypotheses=(Hypothesis("lamps", "On"),)), Truth("lamps", "On"))
    assert [one.fix for one in shortages("lamps", [*few(40, "On"), read])] == [
        "add logged requests, with the readings that your system gave and what was meant"
    ]
    assert shortage_notes("lamps", [*few(100, "On"), Example(Request(utterance="no"), Truth(None))]) == ()


@pytest.mark.parametrize(("n", "worse"), [(8, False), (400, True)])
def test_weights_are_worse_than_none_only_by_more_than_chance(n: int, worse: bool) -> None:
    right = (np.arange(n) % 8 > 0).astype(float)  # 7 of 8, of which the weights expect more
    rows = np.column_stack([np.full(n, 0.94), right, np.full(n, 0.87), right, np.ones(n)])
    figures = figures_of(ClaimRows(rows, [()] * n))
    assert figures.nll > figures.baseline
    assert figures.worse == worse
    assert not figures_of(ClaimRows(rows[:0], [])).worse
