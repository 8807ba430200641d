"""`arbitrank import`: payloads in any layout of a file, bad ones reported by place; `rank --format` reads them too."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from arbitrank.cli.main import cli
from arbitrank.errors import InputError
from arbitrank.importers.documents import documents
from arbitrank.values import Truth
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import decode_example

ONE = {"text": "a", "intent": {"name": "x", "confidence": 0.5}}
OF_A_LINE = "expected one complete JSON object per line"
TWO = {"text": "b", "intent": None}


def run(*args: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["import", *args], input=input)


def written(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


LAYOUTS = {
    "lines": "\n".join(map(json.dumps, (ONE, TWO))),
    "lines, blank ones and byte order mark": "\ufeff\n" + "\n\n".join(map(json.dumps, (ONE, TWO))) + "\n",
    "a list in one line": json.dumps([ONE, TWO]),
    "a list over several lines": json.dumps([ONE, TWO], indent=1),
    "documents over several lines": "\n".join(json.dumps(each, indent=1) for each in (ONE, TWO)),
    "documents side by side": json.dumps(ONE, indent=1) + json.dumps(TWO),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_may_have_any_layout(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(LAYOUTS[layout], encoding="utf-8")
    result = run("rasa", str(path), "--domain", "tea")
    assert result.exit_code == 0
    first = {"domain": "tea", "intent": "x", "intent_confidence": 0.5}
    assert written(result) == [{"utterance": "a", "hypotheses": [first]}, {"utterance": "b", "hypotheses": []}]


def test_standard_input_and_gzip_are_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.json.gz", "wt") as file:
        file.write(json.dumps(ONE, indent=2))
    assert written(run("rasa", str(tmp_path / "a.json.gz"))) == written(run("rasa", input=json.dumps(ONE)))
    assert written(run("rasa", input=json.dumps(ONE)))[0]["hypotheses"][0]["domain"] == "rasa"


def test_a_bad_payload_is_reported_by_its_place_and_the_others_are_imported(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"intent": 1}\n{"text": "b", "intent": null}\n{"text":\n[]\n', encoding="utf-8")
    result = run("rasa", str(path))
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == f"2 payloads of {path} could not be read, the others were imported"
    assert written(result) == [{"utterance": "b", "hypotheses": []}]
    assert result.stderr.splitlines() == [
        f"arbitrank: {path}:1: intent: 1 is invalid, expected an object",
        f"arbitrank: {path}:3: not JSON: Expecting value: column 9; expected one complete JSON object per line",
    ]


def test_where_all_payloads_are_bad_no_other_is_mentioned() -> None:
    assert str(run("rasa", input='{"intent": 1}').exception) == "1 payload of standard input could not be read"


def found(path: Path, text: bytes, **settings: bool) -> list[str]:
    """The places of the documents in a file, and the faults of bad ones."""
    path.write_bytes(text)
    each = documents(str(path), **settings)
    return [
        str(one).removeprefix(f"{path}:") if isinstance(one, BadLine) else one.where.removeprefix(f"{path}:")
        for one in each
    ]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (b"", []),
        (b"\n \n", []),
        (b'{"a": 1}\n\n{"a": 2}', ["1", "3"]),
        (b'\n{\n"a": 1}\n\n[{},\n{}]', ["2", "5[0]", "5[1]"]),
        (b'{\n"a": 1}\n{"a": }', ["1", f"3: not JSON: Expecting value: column 7; {OF_A_LINE}"]),
        (b'{\n"a": 1,\n"b": 2', ["3: not JSON: Expecting ',' delimiter: column 7; expected complete JSON objects"]),
        (b"{'a': 1}", ["1: not JSON: Expecting property name enclosed in double quotes: column 2; it seems to be "
                       f"quoted with '; JSON has double quotes, as json.dumps writes them; {OF_A_LINE}"]),
        (b'{"a": \n{"a": 1}\n{"a": 2}\n', [f"1: not JSON: Expecting value: column 6; {OF_A_LINE}", "2", "3"]),
        (b'{\n "a": "\xe9"}', ["2: not JSON: byte 0xe9 at column 8 is no UTF-8; it seems to be Latin-1 or "
                               "Windows-1252, expected UTF-8: iconv -f WINDOWS-1252 -t UTF-8"]),
        (b"\xff\xfe{\0", ["1: it seems to be UTF-16, expected UTF-8; convert it: "
                          "iconv -f UTF-16 -t UTF-8 {path} > NEW"]),
        (b"[" * 20_000, ["1: nested too deeply to be read"]),
    ],
)  # fmt: skip
def test_documents_have_their_line_as_place(tmp_path: Path, text: bytes, places: list[str]) -> None:
    path = tmp_path / "f"
    assert found(path, text) == [place.replace("{path}", str(path)) for place in places]


def test_a_list_is_one_payload_where_a_format_has_lists(tmp_path: Path) -> None:
    assert found(tmp_path / "f", b"[{}, {}]\n[[{}], [{}, {}]]", listed=True) == ["1", "2[0]", "2[1]"]


def test_a_line_is_too_long(tmp_path: Path) -> None:
    long = json.dumps({"a": "b" * (1 << 20)}).encode()
    assert found(tmp_path / "f", b"{}\n" + long + b"\n{}") == ["1", "2: longer than the 1048576 bytes allowed", "3"]


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("rasas",), 'format "rasas": unknown, expected one of rasa, '),
        (("rasa", "--domain", "Tea Room"), 'domain: "Tea Room" is no domain\'s name, expected lower-case letters'),
        (
            ("rasa", "--map", "nowhere.toml"),
            "nowhere.toml: cannot be read: No such file or directory; expected a mapping",
        ),
        (("rasa", "nowhere.json"), "nowhere.json: cannot be read: "),
    ],
)
def test_a_wrong_call_is_refused(args: tuple[str, ...], problem: str) -> None:
    result = run(*args, input="{}")
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(problem)


def test_an_envelope_keeps_the_truth_to_learn_from() -> None:
    line = {"id": "7", "payload": ONE, "truth": {"domain": "rasa", "intent": "x"}, "weight": 2}
    (made,) = written(run("rasa", input=json.dumps(line)))
    example = decode_example(json.dumps(made))
    assert (example.request.id, example.request.utterance, example.weight) == ("7", "a", 2.0)
    assert example.truth == Truth("rasa", "x")


def test_a_remark_is_made_once(tmp_path: Path) -> None:
    entity = {"entity": "e", "start": 5, "end": 9, "value": "a"}
    line = json.dumps({**ONE, "entities": [entity]})
    result = run("rasa", input=f"{line}\n{line}\n")
    assert result.exit_code == 0
    assert result.stderr == (
        "arbitrank: standard input:1: a slot's offsets do not cut its words from the text, and are left out\n"
    )


def test_rank_reads_payloads_of_a_format(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ranked = CliRunner().invoke(
        cli,
        ["rank", "-", "--format", "rasa", "--domain", "music", "--store", str(tmp_path)],
        input=json.dumps(ONE, indent=1),
    )
    assert ranked.exit_code == 0
    assert [one["intent"] for one in json.loads(capfd.readouterr().out)["ranked"]] == ["x"]
    refused = CliRunner().invoke(cli, ["rank", "-", "--domain", "music"], input="{}")
    assert str(refused.exception) == "--domain: no --format; expected both"


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ("rasa", "--map: 'rasa' is no pair, expected VENDOR=FILE, as in rasa=names.toml"),
        ("rasas=a.toml", 'format "rasas": unknown, expected one of rasa, '),
        ("rasa=nowhere.toml", "nowhere.toml: cannot be read: "),
    ],
)
def test_a_bad_mapping_of_the_service_is_refused_at_its_start(stated: str, problem: str) -> None:
    result = CliRunner().invoke(cli, ["serve", "--map", stated])
    assert str(result.exception).startswith(problem)
