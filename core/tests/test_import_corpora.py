"""`arbitrank import --corpus`: corpora of other systems as lines of a corpus, patterns and lists."""

from __future__ import annotations

import copy
import gzip
import io
import json
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from corpus_samples import SAMPLES, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arbitrank.cli.main import cli
from arbitrank.errors import DataError, InputError
from arbitrank.importers.corpora import FORMATS, CorpusOptions, Gathered, format_of, import_corpus
from arbitrank.importers.corpora.files import locale_in, source_files, split_in
from arbitrank.importers.corpora.templates import Notation, number_of_texts, pattern_of, place, wordings
from arbitrank.importers.corpora.writing import files_of, write_files
from arbitrank.nlu.patterns import generate
from arbitrank.values import Example, Slot
from arbitrank.wire.requests import decode_example, read_examples

CASES = Path(__file__).parents[3] / "shared" / "cases" / "corpora"
OURS = CorpusOptions(domain="kites")


def imported(name: str, folder: Path, options: CorpusOptions = OURS) -> Gathered:
    format, files = SAMPLES[name]
    return import_corpus(format, written(files, folder), options)


def drawn(found: Gathered, folder: Path) -> list[Example]:
    """The utterances that imported patterns draw in the toolkit."""
    out = folder / "imported"
    write_files(files_of(found), out)
    return generate(out, "kites")


def slots(lines: list[dict[str, Any]]) -> list[tuple[str, str, object]]:
    return [(s["name"], s["value"], s.get("resolved")) for line in lines for s in line.get("slots", ())]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_read_again_without_a_bad_line(name: str, tmp_path: Path) -> None:
    found = imported(name, tmp_path)
    write_files(files_of(found), tmp_path / "out")
    for split, lines in found.splits.items():
        read = list(read_examples(tmp_path / "out" / f"{split}.jsonl"))
        assert len(read) == len(lines) > 0
        assert all(isinstance(one, Example) for one in read)
    if found.patterns:
        examples = generate(tmp_path / "out", "kites")
        expected = {intent for section in found.patterns.values() for intent in section}
        assert {e.truth.intent or e.extra["kind"] for e in examples} == expected
        for example in examples:
            assert all(example.request.utterance[s.start : s.end] == s.value for s in example.truth.slots)  # type: ignore[index]


@pytest.mark.parametrize("name", ["rasa-yaml", "rasa-markdown"])
def test_rasa_keeps_words_and_canonical_forms(name: str, tmp_path: Path) -> None:
    lines = list(imported(name, tmp_path).lines)
    assert ("kite", "red one", None) in slots(lines)
    crimson = next(one for one in slots(lines) if one[1] == "crimson")
    assert crimson == ("kite.wanted" if name == "rasa-yaml" else "kite", "crimson", "red")


def test_rasa_lists_what_it_leaves_out_and_makes_lists_of_tables_and_synonyms(tmp_path: Path) -> None:
    found = imported("rasa-yaml", tmp_path)
    assert {kind: count for kind, (count, _) in found.left_out.items()} == {
        "group of an entity": 1,
        "key metadata": 1,
        "regular expression": 1,
    }
    assert found.lists["kite"][:2] == ["delta", {"value": "ruby", "resolved": "red"}]
    assert {"text": "who won", "domain": None, "kind": "out_of_scope"} in found.lines
    assert {"text": "is it windy", "domain": "kites", "intent": "help/wind"} in found.lines


def test_a_lookup_tables_file_is_read(tmp_path: Path) -> None:
    assert imported("rasa-markdown", tmp_path).lists["kite"][0] == "delta"


def test_templates_become_patterns_that_draw_synonyms_with_their_canonical_form(tmp_path: Path) -> None:
    for name, slot in (("alexa", "kite"), ("lex-v1", "kite"), ("lex-v2", "kite"), ("luis", "wanted")):
        examples = drawn(imported(name, tmp_path / name), tmp_path / name)
        found = [s for e in examples for s in e.truth.slots if s.value == "ruby"]
        assert found
        assert {(s.name, s.resolved) for s in found} == {(slot, "red")}


def test_a_fallback_intents_templates_are_out_of_scope(tmp_path: Path) -> None:
    found = imported("alexa", tmp_path)
    assert found.patterns["none"]["AMAZON.FallbackIntent"]["patterns"] == ["who won"]
    assert "AMAZON.FallbackIntent" not in found.patterns["own"]


def test_dialogflow_has_utterances_and_templates_with_their_signs_kept(tmp_path: Path) -> None:
    found = imported("dialogflow", tmp_path)
    assert slots(found.splits["corpus"]) == [("kite", "ruby", "red")]
    texts = {e.request.utterance for e in drawn(found, tmp_path)}
    assert "red at noon (please)" in texts
    assert {e.truth.slots[1].name for e in generate(tmp_path / "imported", "kites")} == {"time-of-day"}
    assert found.supplied == {"sys.time": "@sys.time"}


def test_clu_counts_utf_16_units_and_luis_counts_to_the_last_character(tmp_path: Path) -> None:
    clu = imported("clu", tmp_path)
    assert clu.splits["train"][0]["slots"][0] == {
        "name": "kite", "value": "ruby", "start": 3, "end": 7, "resolved": "red"}  # fmt: skip
    assert clu.splits["test"] == [{"text": "who won", "domain": None, "kind": "None", "locale": "en-us"}]
    assert "the offsets 7 to 8 are no part" in clu.left_out["utterance with offsets that do not fit"][1][0]
    (line, none) = imported("luis", tmp_path / "luis").splits["corpus"]
    assert slots([line]) == [("wanted", "ruby", "red"), ("Order.Count", "two", None)]
    assert none["domain"] is None


@pytest.mark.parametrize(
    ("unit", "offset"), [("Utf16CodeUnit", 16), ("UnicodeCodePoint", 10), ("TextElement_V8", 5), ("TextElements_v8", 5)]
)
def test_clu_counts_in_the_unit_that_the_project_states(unit: str, offset: int, tmp_path: Path) -> None:
    """Two flags (as many elements, twice the characters), a joined emoji of three characters, and an accent."""
    text = "🇩🇪🇫🇷👩‍🚀é ruby"  # 4 + 3 + 2 characters and a space, of which 6 need two code units
    labelled = {"text": text, "intent": "Fly", "entities": [{"category": "kite", "offset": offset, "length": 4}]}
    path = tmp_path / "clu.json"
    path.write_text(json.dumps({"stringIndexType": unit, "assets": {"utterances": [labelled]}}))
    (line,) = import_corpus("clu", path, OURS).lines
    assert line["slots"] == [{"name": "kite", "value": "ruby", "start": 10, "end": 14}]


def test_an_orchestrations_targets_are_domains(tmp_path: Path) -> None:
    path = tmp_path / "clu.json"
    utterances = [{"text": text, "intent": intent} for text, intent in (("fly", "My Kites"), ("who won", "None"))]
    path.write_text(json.dumps({"assets": {"projectKind": "Orchestration", "utterances": utterances}}))
    assert list(import_corpus("clu", path, CorpusOptions()).lines) == [
        {"text": "fly", "domain": "my-kites"},
        {"text": "who won", "domain": None, "kind": "None"},
    ]
    assert [line.get("intent") for line in import_corpus("clu", path, OURS).lines] == ["My Kites", None]


def test_home_assistants_rules_ranges_orders_and_wildcards(tmp_path: Path) -> None:
    found = imported("home-assistant", tmp_path)
    (first, second) = found.patterns["own"]["FlyKite"]["patterns"]
    assert first == "(fly|[please] launch) {kite} [(now [in] {place}|[in] {place} now)]"
    assert second == "{other=kite} up {height}"
    assert found.lists["height"] == ["10", "20", "30"]
    assert found.lists["kite"][-1] == {"value": "any", "resolved": ["box", "red"]}
    assert found.supplied == {"place": "wildcard"}
    assert "the rule <unknown> is not known" in found.left_out["template that cannot be read"][1][0]


def test_ovos_takes_digits_and_leaves_any_word_out(tmp_path: Path) -> None:
    found = imported("ovos", tmp_path)
    (pattern,) = found.patterns["own"]["fly"]["patterns"]
    assert pattern == "(fly|launch) [(the|my)] {kite} [at {=digit}{=digit}:{=digit}{=digit}]"
    assert found.lists["kite"] == ["box kite", "delta kite"]
    assert found.lists["Stop"] == ["stop", "halt"]
    assert {"template with any word, :0:", "any word, :0:, among values", ".rx file"} <= found.left_out.keys()


def test_massive_finds_the_same_words_again_and_keeps_ids_apart(tmp_path: Path) -> None:
    found = imported("massive", tmp_path, CorpusOptions())
    assert [(s["value"], s["start"]) for s in found.splits["train"][0]["slots"]] == [
        ("fünf", 8), ("roten", 17), ("acht", 26)]  # fmt: skip
    assert found.splits["train"][0]["domain"] == "kites"
    assert [line["id"] for line in found.lines] == ["0", "0-en-US"]


def test_bio_tags_are_placed_in_the_text_that_is_given(tmp_path: Path) -> None:
    (first, second) = imported("bio", tmp_path).splits["corpus"]
    assert first["text"] == "fly-the ruby, now"
    assert first["slots"] == [{"name": "kite", "value": "ruby", "start": 8, "end": 12}]
    assert (second["text"], second["intent"]) == ("box kite", "fly")


def test_a_turn_of_several_services_has_a_truth_of_each(tmp_path: Path) -> None:
    found = imported("sgd", tmp_path, CorpusOptions())
    several, none, counted = found.splits["train"]
    assert several["dialogue"] == "1"
    assert none["context"] == {"previous_domain": "kites_1", "previous_intent": "Fly"}
    assert "context" not in counted
    assert counted["slots"] == [{"name": "count", "value": "two", "start": 5, "end": 8}]
    assert {kind: count for kind, (count, _) in found.left_out.items()} == {
        "file of another kind": 1,
        "turn of the system": 1,
        "value of the state that the turn does not say once": 1,
    }
    assert [truth["domain"] for truth in several["truth"]] == ["kites_1", "winds_1"]
    assert decode_example(json.dumps(several)).truth.owners == ("kites_1", "winds_1")
    assert none["domain"] is None


def test_a_tables_columns_are_known_or_named(tmp_path: Path) -> None:
    found = imported("csv", tmp_path)
    assert found.splits["corpus"][0]["slots"] == [{"name": "kite", "value": "ruby,", "start": 4, "end": 9}]
    assert found.splits["corpus"][0]["note"] == "x"
    path = tmp_path / "other.tsv"
    path.write_text('words\tmeaning\tmarks\nfly ruby\tfly\t"[{""name"": ""kite"", ""value"": ""ruby""}]"\n')
    with pytest.raises(DataError, match=r'no column of texts among "words", .* --column text=NAME'):
        import_corpus("csv", path, OURS)
    named = CorpusOptions("kites", columns={"text": "words", "intent": "meaning", "slots": "marks"})
    assert list(import_corpus("csv", path, named).lines) == [
        {"text": "fly ruby", "domain": "kites", "intent": "fly",
         "slots": [{"name": "kite", "value": "ruby", "start": 4, "end": 8}]}]  # fmt: skip


def test_further_intents_can_be_out_of_scope(tmp_path: Path) -> None:
    found = imported("rasa-yaml", tmp_path, CorpusOptions("kites", out_of_scope=("help/wind",)))
    assert {"text": "is it windy", "domain": None, "kind": "help/wind"} in found.lines


def test_templates_of_several_locales_are_refused_and_one_is_chosen(tmp_path: Path) -> None:
    model = SAMPLES["alexa"][1]["en-US.json"]
    written({"models/en-US.json": model, "models/de-DE.json": model}, tmp_path)
    with pytest.raises(InputError, match="templates of 2 locales, de-DE, en-US; choose one: --locale de-DE"):
        import_corpus("alexa", tmp_path, OURS)
    found = import_corpus("alexa", tmp_path, CorpusOptions("kites", locale="en"))
    assert found.left_out["file of another locale"][0] == 1
    written({"models/en.json": model}, tmp_path)
    found = import_corpus("alexa", tmp_path, CorpusOptions("kites", locale="en"))
    assert found.left_out["in another locale"] == (5, ["en-US"])


def test_a_value_of_endless_wordings_is_cut(tmp_path: Path) -> None:
    words = " ".join(["[a]"] * 40)
    found = import_corpus("ovos", written({"kite.entity": f"{words}\n", "b.voc": "(c|d)"}, tmp_path), OURS)
    assert found.lists["kite"][:2] == [" ".join(["a"] * 40), " ".join(["a"] * 39)]
    assert found.lists["b"] == ["c", "d"]
    assert next(iter(found.left_out)).startswith("wording of a value beyond")


def test_an_utterance_needs_a_domain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"utterances\[0\]: the format names no domain; name yours: --domain NAME"):
        imported("luis", tmp_path, CorpusOptions())
    with pytest.raises(InputError, match=r'--domain: "My Kites" is no domain\'s name'):
        CorpusOptions("My Kites")


def test_a_zip_archive_is_read_as_its_folder(tmp_path: Path) -> None:
    folder = written(dict(SAMPLES["dialogflow"][1]), tmp_path / "agent")
    with zipfile.ZipFile(tmp_path / "agent.zip", "w") as archive:
        for path in sorted(folder.rglob("*.json")):
            archive.write(path, path.relative_to(folder))
    packed = import_corpus("dialogflow", tmp_path / "agent.zip", OURS)
    plain = import_corpus("dialogflow", folder, OURS)
    assert (packed.splits, packed.patterns, packed.lists) == (plain.splits, plain.patterns, plain.lists)


def test_gzip_is_unpacked_and_a_tar_archive_is_named(tmp_path: Path) -> None:
    name, text = next(iter(SAMPLES["massive"][1].items()))
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(str(text).encode()))
    found = import_corpus("massive", tmp_path / f"{name}.gz", OURS)
    assert [len(lines) for lines in found.splits.values()] == [1, 1]
    with tarfile.open(tmp_path / "massive.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / f"{name}.gz", "x")
    with pytest.raises(DataError, match="a tar archive, expected a folder or a zip archive; unpack it"):
        import_corpus("massive", tmp_path / "massive.tar.gz", OURS)


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        ("clu", "{", r"x\.json:1: column 2: not JSON"),
        ("clu", "{}", "lacks the key assets"),
        ("clu", '{"assets": {"utterances": [{"text": 5}]}}', r"assets\.utterances\[0\]\.text: 5 is invalid"),
        ("clu", '{"assets": {}, "assets": {}}', 'the key "assets" occurs twice'),
        ("clu", '{"assets": {}, "stringIndexType": "Bytes"}', 'stringIndexType: "Bytes" is invalid, expected one of'),
        ("luis", '{"utterances": 3}', "utterances: 3 is invalid, expected a list"),
        ("alexa", "[1]", "has no interactionModel.languageModel"),
        ("rasa", "a: b", "lacks the key nlu"),
        ("rasa", "nlu:\n- intent: [", r"x\.yml:\d: column \d+: not YAML"),
        ("rasa", "nlu: []\nnlu: []", r'x\.yml:2: the key "nlu" occurs twice'),
        ("rasa", "nlu:\n- intent: a\n  examples: |\n    hello", "expected a line of - TEXT"),
        ("rasa", "a: &a [*a]\nnlu: *a", "an alias within its own anchor"),
        ("rasa", "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 20)}]" for i in range(1, 9))]),
         "aliases repeat more than"),
        ("rasa", "[" * 3000, "not YAML|nested too deeply"),
        ("sgd", "{}", "expected a list of dialogues"),
        ("sgd", '[{"dialogue_id": "1", "turns": [{"speaker": "user"}]}]', '"user" is invalid, expected USER or SYSTEM'),
        ("massive", '{"utt": "a"}\n{"utt"', r"x\.json:2: column 7: not JSON"),
        ("home-assistant", "intents: {A: {data: [{sentences: [3, {}]}]}}", r"sentences\[1\]: .* expected a text"),
        ("home-assistant", "lists: {n: {range: {from: 3, to: 1}}}", "from 3 to 1 by 1 is no range"),
        ("csv", "text,intent\na,b,c\n", r"x\.json:2: 3 columns, expected 2"),
        ("bio", "only words\n", "has no column of tags"),
        ("wit", '{"a": 1}', "has neither utterances nor keywords"),
        ("lex", '{"a": 1}', "lacks the key resource"),
        ("snips", '{"a": 1}', "expected a Snips dataset"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_place(format: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / ("x.yml" if format == "rasa" else "x.json")
    path.write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        import_corpus(format, path, OURS)
    assert str(path) in str(raised.value)


def test_other_encodings_and_empty_folders_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes("{\n'ä'".encode("latin-1"))
    with pytest.raises(DataError, match=r"x\.json:2: byte 0xe4 is no UTF-8; .* iconv -f WINDOWS-1252"):
        import_corpus("clu", path, OURS)
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16"):
        import_corpus("clu", path, OURS)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no file in it"):
        import_corpus("clu", tmp_path / "none", OURS)
    with pytest.raises(InputError, match="no such file or folder"):
        source_files(tmp_path / "absent")


def test_a_format_is_known_by_its_names_and_suggested() -> None:
    assert format_of("HA") == "home-assistant"
    assert all(format_of(alias) == name for name, one in FORMATS.items() for alias in (name, *one.aliases))
    with pytest.raises(InputError, match="did you mean dialogflow"):
        format_of("dialogflw")


GOOD = {"text": "fly", "intent": "fly"}


@pytest.mark.parametrize(
    ("format", "files", "kind"),
    [
        ("bio", {"a.tsv": "fly\tO\tX\nbox\tO\tY\n\nfly\tO\n"}, "sentence with several intents"),
        ("bio", {"a.tsv": "fly\tO\n" * 19 + "\nbox\to\n"}, "sentence whose tags do not fit"),
        ("bio", {"a.tsv": "fly\tO\n" * 19 + "\nbox\n"}, "sentence with a line without a tag"),
        ("bio", {"a.tsv": "\tO\n\nfly\tO\n"}, "sentence with an empty token"),
        ("bio", {"a.tsv": "fly\tO\n", "b.md": "words"}, "file without a column of tags"),
        (
            "atis",
            {"a.iob": "fly\tO\nfly\tx\n".replace("\tO", " EOS\tO O").replace("fly\tx", "a EOS\tx O"), "b.md": ""},
            "file of another kind",
        ),
        (
            "csv",
            {"a.csv": 'text,slots\nfly,"[{""name"": ""k"", ""value"": ""x"", ""start"": 0, ""end"": 1}]"\nfly,\n'},
            "row whose slots do not fit",
        ),
        ("csv", {"a.csv": "text,slots\nfly,oops\nfly,\n"}, "row whose slots do not fit"),
        ("csv", {"a.csv": "text,tags\nfly,O O\nfly,O\n"}, "row whose slots do not fit"),
        (
            "massive",
            {"a.jsonl": '{"utt": "fly", "annot_utt": "[k : box]"}\n{"utt": "fly"}'},
            "utterance whose slots do not fit",
        ),
        (
            "massive",
            {"a.jsonl": '{"utt": "fly", "annot_utt": "[fly"}\n{"utt": "fly"}'},
            "utterance whose slots do not fit",
        ),
        (
            "wit",
            {
                "a.json": {
                    "utterances": [GOOD, {**GOOD, "entities": [{"entity": "k", "start": 0, "end": 2, "body": "box"}]}]
                }
            },
            "utterance with offsets that do not fit",
        ),
        ("wit", {"a.json": {"utterances": [{**GOOD, "entities": [{"entity": "k"}]}]}}, "entity without offsets"),
        (
            "luis",
            {"a.json": {"utterances": [GOOD, {**GOOD, "entities": [{"entity": "k", "startPos": 2, "endPos": 9}]}]}},
            "utterance with offsets that do not fit",
        ),
        (
            "luis",
            {"a.json": {"utterances": [GOOD], "patterns": [{"pattern": "{", "intent": "fly"}]}},
            "template that cannot be read",
        ),
        ("alexa", {"a.json": {"intents": [{"name": "A", "samples": ["{", "fly"]}]}}, "template that cannot be read"),
        (
            "lex",
            {"a.json": {"name": "A", "slots": [], "sampleUtterances": ["{", "fly"]}},
            "template that cannot be read",
        ),
        (
            "lex",
            {
                "a.json": {
                    "name": "A",
                    "enumerationValues": [{"value": "b"}],
                    "valueSelectionSetting": {"regexFilter": {"pattern": "x"}},
                }
            },
            "regular expression",
        ),
        (
            "sgd",
            {
                "a.json": [
                    {
                        "dialogue_id": "1",
                        "turns": [
                            {"speaker": "USER", "utterance": "fly", "frames": []},
                            {
                                "speaker": "USER",
                                "utterance": "fly",
                                "frames": [{"service": "K", "slots": [{"slot": "k", "start": 1, "exclusive_end": 9}]}],
                            },
                        ],
                    }
                ]
            },
            "utterance with offsets that do not fit",
        ),
        (
            "dialogflow",
            {
                "entities/k.json": {"name": "k", "isRegexp": True, "entries": [{"value": "x+"}]},
                "intents/a_usersays_en.json": [{"data": [{"text": "fly"}]}],
            },
            "regular expression",
        ),
        (
            "rasa",
            {"nlu.yml": 'nlu:\n- intent: a\n  examples: |\n    - fly\n    - a [b]{"x": 1}\n- story: x\n'},
            "example that cannot be read",
        ),
        (
            "rasa",
            {"a.yml": "nlu:\n- intent: a\n  examples: [fly]\n- story: x\n"},
            "entry of nlu without intent, synonym, lookup or regex",
        ),
        (
            "rasa",
            {"a/nlu.md": "## intent:a\n- fly\n- a [b]{x}\n# more\njunk\n## path:x\n", "b/domain.yml": "intents: []"},
            "file without the key nlu",
        ),
        (
            "rasa",
            {"a/nlu.md": "## intent:a\n- fly\n- a [b]{x}\n", "b/b.json": {}},
            "file without the key rasa_nlu_data",
        ),
        (
            "home-assistant",
            {"a.yaml": "intents: {A: {data: [{sentences: [fly]}]}}", "b.md": "x"},
            "file of another kind",
        ),
        (
            "home-assistant",
            {"a.yaml": "lists: {n: {range: {from: 0, to: 5000}}, k: {values: ['(', b]}}", "b.yaml": "x: 1"},
            "number of a range beyond 1000",
        ),
    ],
)
def test_what_is_left_out_is_listed_and_the_rest_is_read(
    format: str, files: dict[str, object], kind: str, tmp_path: Path
) -> None:
    found = import_corpus(format, written(files, tmp_path), OURS)
    assert kind in found.left_out
    assert found.splits or found.patterns or found.lists


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (["a B-k", "b I-k", "c B-k", "d O"], ["a b", "c"]),
        (["a I-k", "b I-k", "c I-m"], ["a b", "c"]),
        (["a B-k", "b E-k", "c S-k", "d U-m"], ["a b", "c", "d"]),
        (["1 a fly B-k", "2 b fly L-k", "3 c fly O"], ["a b"]),
        (["-DOCSTART- -X- O O", "", "a NN B-NP B-k", "b NN I-NP O"], ["a"]),
    ],
)
def test_tags_of_every_scheme_are_read(rows: list[str], values: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("\n".join(rows).replace(" ", "\t"))
    (line,) = import_corpus("bio", tmp_path / "a.conll", OURS).lines
    assert [slot["value"] for slot in line["slots"]] == values


@pytest.mark.parametrize(
    ("path", "split", "locale"),
    [
        ("1.1/data/de-DE.jsonl", None, "de-DE"),
        ("atis/valid/seq.in", "dev", None),
        ("atis.test.w-intent.iob", "test", None),
        ("train_Play_full.json", "train", None),
        ("locale/en-us/a.intent", None, "en-US"),
        ("contest/latest.csv", None, None),
        ("data/qa/nlu.yml", None, None),
    ],
)
def test_paths_name_splits_and_locales(path: str, split: str | None, locale: str | None) -> None:
    inner = source_files(Path(__file__))[0].path.__class__(path)
    assert (split_in(inner), locale_in(inner.with_suffix("") if path.endswith("l") else inner.parent)) == (
        split,
        locale,
    )


def command(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["import", *arguments], standalone_mode=False)


def test_the_command_writes_reports_and_overwrites_nothing(tmp_path: Path) -> None:
    path, out = written(dict(SAMPLES["dialogflow"][1]), tmp_path / "agent"), tmp_path / "out"
    arguments = ("--corpus", "dialogflow", str(path), "--domain", "kites", "--out", str(out))
    done = command(*arguments, "--json")
    assert done.exception is None
    report = json.loads(done.stdout)
    assert report["files"] == ["corpus.jsonl", "lists.toml", "patterns.toml"]
    assert report["utterances"] == {"corpus": 2}
    assert {"kind", "count", "examples"} == report["left_out"][0].keys()
    assert "left out: key responses (1): " in done.stderr
    assert "list sys.time: no values in the source (@sys.time); replace ours in lists.toml: at 7" in done.stderr
    assert sorted(one.name for one in out.iterdir()) == sorted(report["files"])
    assert tomllib.loads((out / "lists.toml").read_text())["kite"][1] == {"value": "ruby", "resolved": "red"}
    again = command(*arguments)
    assert isinstance(again.exception, InputError)
    assert "has corpus.jsonl, lists.toml, patterns.toml already; name another folder, or replace with --force" in str(
        again.exception
    )
    assert command(*arguments, "--force").exception is None


def test_without_a_folder_lines_are_printed_and_templates_are_refused(tmp_path: Path) -> None:
    path = written(dict(SAMPLES["snips"][1]), tmp_path)
    done = command("--corpus", "snips", str(path), "--domain", "kites")
    assert json.loads(done.stdout)["text"] == "fly ruby"
    assert "lists are written with --out FOLDER" in done.stderr
    refused = command("--corpus", "alexa", str(written(dict(SAMPLES["alexa"][1]), tmp_path)))
    assert "has templates, which become files; expected --out FOLDER" in str(refused.exception)
    refused = command("rasa", "--out", str(tmp_path))
    assert "--out: no --corpus or --catalogue; expected both" in str(refused.exception)


@pytest.mark.parametrize(("name", "package"), [("rasa-yaml", "yaml"), ("alexa", "tomli_w")])
def test_a_missing_package_is_named_with_its_extra(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf'needs the package {package}; run: pip install "arbitrank\[import\]"'):
        files_of(imported(name, tmp_path))


def test_the_docs_name_every_format() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/formats/corpora.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"| `{name}` |" not in text] == []


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases of ../shared are not here")
@pytest.mark.parametrize(
    ("format", "path", "n", "patterns"),
    [
        ("rasa", "rasa_nlu.yml", 4, 0),
        ("alexa", "alexa.json", 0, 1),
        ("dialogflow", "df", 1, 1),
        ("clu", "clu.json", 2, 0),
        ("luis", "luis.json", 1, 0),
        ("ovos", "ovos", 0, 2),
        ("home-assistant", "ha.yaml", 0, 2),
        ("massive", "massive.jsonl", 1, 0),
        ("bio", "bio.tsv", 2, 0),
    ],
)
def test_the_handed_cases_come_in(format: str, path: str, n: int, patterns: int, tmp_path: Path) -> None:
    found = import_corpus(format, CASES / path, CorpusOptions("tea"))
    assert sum(1 for _ in found.lines) == n
    assert sum(len(t["patterns"]) for s in found.patterns.values() for t in s.values()) == patterns
    write_files(files_of(found), tmp_path / "out")
    for split in found.splits:
        assert all(isinstance(one, Example) for one in read_examples(tmp_path / "out" / f"{split}.jsonl"))
    if patterns:
        assert any(
            isinstance(s, Slot) and s.name == "tea" for e in generate(tmp_path / "out", "tea") for s in e.truth.slots
        )


TEMPLATES = st.recursive(
    st.sampled_from(["a", "b ", " c", "d"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: f"({'|'.join(branches)})"),
        st.lists(inner, min_size=1, max_size=2).map(lambda branches: f"[{'|'.join(branches)}]"),
    ),
    max_leaves=6,
)


@given(template=TEMPLATES)
def test_a_templates_pattern_draws_its_wordings(template: str) -> None:
    """The toolkit draws what the importer enumerates, and all of it where the count allows."""
    pattern = pattern_of(template, Notation(lambda name: place(name, name)))
    expected, complete = wordings(pattern, 500)
    assert complete
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lists.toml").touch()
        (Path(folder) / "patterns.toml").write_text(
            f"[own.X]\ncount = {10 * number_of_texts(pattern, {})}\npatterns = ['{pattern}']"
        )
        drawn = {example.request.utterance for example in generate(Path(folder), "kites")} - {""}
    assert drawn <= set(expected)
    assert len(drawn) == len(expected) or number_of_texts(pattern, {}) > 30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 1 << 70) | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SIGNS = st.text(st.sampled_from("()[]{}|<>;:#@×\\&*-!\n\t \x00\ud800aé🪁0"), max_size=12)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_are_refused_or_read(name: str, data: st.DataObject) -> None:
    """Whatever stands in the files: an `InputError` that says so, or a result that the toolkit reads."""
    format, files = SAMPLES[name]
    files = copy.deepcopy(files)
    path = data.draw(st.sampled_from(sorted(files)))
    files[path] = damaged(files[path], data)
    with tempfile.TemporaryDirectory() as folder:
        place = written(
            {name: content for name, content in files.items() if not isinstance(content, bytes)}, Path(folder)
        )
        for one, content in files.items():
            if isinstance(content, bytes):
                (Path(folder) / one).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / one).write_bytes(content)
                place = Path(folder) / one if len(files) == 1 else Path(folder)
        try:
            found = import_corpus(format, place, OURS)
        except InputError:
            return
        for line in found.lines:
            decode_example(json.dumps(line))
        out = Path(folder) / "imported"
        write_files(files_of(found), out)
        if found.patterns:
            generate(out, "kites")


def test_a_type_with_control_characters_is_named_in_a_comment_that_toml_takes(tmp_path: Path) -> None:
    format, files = copy.deepcopy(SAMPLES["alexa"])
    for container, key in within(files["en-US.json"]):
        if key == "type" and container[key] == "KITE":  # of a slot; the type itself has a name
            container[key] = "KI\x00\nTE"
    found = import_corpus(format, written(files, tmp_path), OURS)
    write_files(files_of(found), tmp_path / "imported")
    assert "KI\ufffd TE" in (tmp_path / "imported" / "lists.toml").read_text("utf-8")
    generate(tmp_path / "imported", "kites")


def damaged(content: object, data: st.DataObject) -> object:
    """The content with a value replaced or removed, or its text cut or filled with signs."""
    if not isinstance(content, str) and data.draw(st.booleans()):
        places = list(within(content))
        if places:
            container, key = data.draw(st.sampled_from(places))
            if data.draw(st.booleans()):
                container[key] = data.draw(JSON | SIGNS)
            else:
                del container[key]
        return json.dumps(content).encode()
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    return (text[:start] + data.draw(SIGNS) + text[end:]).encode("utf-8", "surrogatepass")


def within(value: Any) -> Any:
    """The places of all values within a value, as container and key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from within(value[key])


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.importers.corpora.files.MAX_BYTES", 1 << 20)
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("intents/a.json", b" " * (2 << 20))
    (tmp_path / "agent.zip").write_bytes(raw.getvalue())
    with pytest.raises(DataError, match="more than 1 MiB unpacked"):
        import_corpus("dialogflow", tmp_path / "agent.zip", OURS)
