"""Faults of data files: all at once, each with its file, line and key, what was seen, what is expected and the edit."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from arbitrank.nlu.catalogue import read_works
from arbitrank.nlu.data_faults import DataFault, DataFilesError, DataFilesWarning
from arbitrank.nlu.patterns import generate

WORKS = "title\tmaker\talso\nMoon\tAda\tbeds\nSun\tBo\t\n"
LISTS = 'room = ["hall", "attic"]\n'
PATTERNS = """shared = 0.5

[own.On]
count = 4
patterns = [
    "(put|turn) on {title}",
    "light in the {room}",
]

[others.beds]
count = 2
patterns = ["sleep in {title}"]

[context.own]
device = { tv = 1, "" = 2 }
"""


TWICE = PATTERNS.replace('    "light', '    "(put|turn) on {title}",\n    "light')


def faults(
    folder: Path, patterns: bytes | str = PATTERNS, lists: bytes | str = LISTS, works: bytes | str = WORKS
) -> list[DataFault]:
    """All faults of a folder, remarks included."""
    for name, text in (("patterns.toml", patterns), ("lists.toml", lists), ("works.tsv", works)):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            generate(folder, "lights")
        except DataFilesError as error:
            return list(error.faults)
    return [one.message.fault for one in caught if isinstance(one.message, DataFilesWarning)]


def test_sound_files_have_no_fault(tmp_path: Path) -> None:
    assert faults(tmp_path) == []
    assert faults(tmp_path, works=WORKS.replace("\n", "\r\n")) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "text"),
    [
        ("(put|turn) on", "(put|turn on", 6, "own.On", "does not close '(', expected balanced brackets"),
        (
            "(put|turn) on",
            "put|turn on",
            6,
            "own.On",
            "'|' outside of ( ), expected alternatives in ( ); write (put|turn)",
        ),
        ("(put|turn) on", "[put|turn] on", 6, "own.On", "expected alternatives in ( ); write [(put|turn)]"),
        ("(put|turn) on", "{room|lamp} on", 6, "own.On", "expected alternatives in ( ); write ({room}|{lamp})"),
        (
            "{title}",
            "{{title}}",
            6,
            "own.On",
            "'{{title}}', expected {slot}, {slot=source} or {=source}; write {title}",
        ),
        ("{title}", "<title>", 6, "own.On", "has '<title>'"),
        ("{title}", "$title", 6, "own.On", "has '$title'"),
        ("{title}", "@title", 6, "own.On", "has '@title'"),
        ("{title}", "%title%", 6, "own.On", "has '%title%'"),
        ("{title}", "[dune](title)", 6, "own.On", "has '[dune](title)'"),
        ("(put|turn) on", "(put|turn) on ×2", 6, "own.On", "has '×2' before its end"),
        ("[own.On]", "[[own.On]]", 3, "own.On", "write [own.On] above these keys"),
        ("{title}", "{title", 6, "own.On", "does not close '{'"),
        ("{title}", "title)", 6, "own.On", "closes ')' at character 20 that is not open"),
        ("{title}", "{ti tle}", 6, "own.On", "has '{ti tle}', expected {slot}, {slot=source} or {=source}"),
        ("{title}", "{}", 6, "own.On", "has '{}'"),
        ("{room}", "{rom}", 7, "own.On", "draws from 'rom', neither a column nor a list"),
        ("{title}", "{=elsewhere}", 6, "own.On", "add elsewhere.tsv"),
        ('{title}"', '{title} ×0"', 6, "own.On", "ends in '×0', expected a weight"),
        (
            "count = 4",
            'count = "4"',
            4,
            "own.On.count",
            'is "4" (a text), expected a whole number above 0; write count = 4',
        ),
        ("count = 4", "count = 0", 4, "own.On.count", "is 0 (a number)"),
        ("count = 4", "count = true", 4, "own.On.count", "is true (true or false)"),
        ("count = 4\n", "", 3, "own.On", "has no `count`"),
        ("patterns = [\n", "pattern = [\n", 5, "own.On.pattern", "is an unknown key, expected one of patterns, count"),
        ("[own.On]", "[mine.On]", 3, "mine", "did you mean 'own'?"),
        ("shared = 0.5", "shred = 0.5", 1, "shred", "is an unknown key, expected one of own"),
        ("shared = 0.5", "shared = 50", 1, "shared", "is 50 (a number), expected a number in [0, 1]"),
        ("shared = 0.5", "typed = '1'", 1, "typed", 'is "1" (a text), expected a number in [0, 1]'),
        ("shared = 0.5", "again = 'yes'", 1, "again", "expected true or false"),
        ("[context.own]", "[context.ours]", 14, "context.ours", "is an unknown section, expected one of own, others"),
        ("[context.own]", "[context.others.books]", 14, "context.others.books", "has no requests"),
        ("tv = 1", "tv = '1'", 15, "context.own.device", 'a weight is "1" (a text)'),
        ("tv = 1", "tv = -1", 15, "context.own.device", "expected numbers of at least 0"),
        ('{ tv = 1, "" = 2 }', "{ tv = 0 }", 15, "context.own.device", "all its weights are 0"),
        ('{ tv = 1, "" = 2 }', "'tv'", 15, "context.own.device", "expected weights by value"),
        ("[others.beds]", "[others.lights]", 10, "others.lights", "is the domain itself"),
        ("count = 2\n", "count = 2,\n", 11, None, "is no TOML: Expected newline or end of document"),
    ],
)
def test_a_fault_of_the_patterns_is_named_with_its_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, key: str | None, text: str
) -> None:
    assert old in PATTERNS
    found = faults(tmp_path, PATTERNS.replace(old, new, 1))
    one = next((one for one in found if text in str(one)), None)
    assert one is not None, [str(one) for one in found]
    assert one.fatal
    assert (one.file, one.line, one.key) == (str(tmp_path / "patterns.toml"), line, key)
    assert str(one).startswith(f"{tmp_path / 'patterns.toml'}:{line}: {key + ': ' if key else ''}")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("(put|turn) on", "(put|turn){title}", "has '){title}', expected a blank between words"),
        (
            "[others.beds]",
            "[own.on]\ncount = 1\npatterns = ['go']\n[others.beds]",
            "differs from own.On by its case alone",
        ),
    ],
)
def test_a_doubtful_pattern_is_a_remark(tmp_path: Path, old: str, new: str, text: str) -> None:
    assert old in PATTERNS
    (one,) = (one for one in faults(tmp_path, PATTERNS.replace(old, new, 1)) if text in str(one))
    assert not one.fatal


def test_a_file_of_nearly_the_name_is_named(tmp_path: Path) -> None:
    faults(tmp_path)
    (tmp_path / "works.tsv").rename(tmp_path / "works.csv")
    with pytest.raises(
        DataFilesError, match=r"works\.tsv: no such file, .*rename works\.csv to works\.tsv, its columns"
    ):
        list(generate(tmp_path, "lights"))
    (tmp_path / "patterns.toml").rename(tmp_path / "Pattern.toml")
    with pytest.raises(DataFilesError, match=r"rename Pattern\.toml to patterns\.toml"):
        list(generate(tmp_path, "lights"))


def test_curly_quotes_are_named(tmp_path: Path) -> None:
    (one,) = faults(tmp_path, PATTERNS.replace('"(put|turn) on', "\u201c(put|turn) on", 1))
    assert (one.line, one.fix) == (6, 'write straight quotes, ", in the place of curly ones')


@pytest.mark.parametrize(
    ("lists", "line", "text"),
    [
        ("room = []", 1, "room: is empty, expected a list of at least one text"),
        ("room = 'hall'", 1, 'room: is "hall" (a text), expected a list'),
        ("room = ['hall', 3]", 1, "a value is 3 (a number), expected texts"),
        ("room = ['']", 1, "expected texts that are not blank"),
        ("room = [{value = 'a', resolve = 'b'}]", 1, "expected texts that are not blank, or {value"),
    ],
)
def test_a_fault_of_the_lists_is_named(tmp_path: Path, lists: str, line: int, text: str) -> None:
    (found,) = faults(tmp_path, lists=lists)
    assert text in str(found)
    assert (found.file, found.line, found.fatal) == (str(tmp_path / "lists.toml"), line, True)


@pytest.mark.parametrize(
    ("lists", "text"),
    [
        (
            "room = ['hall', 'attic\u00a0']",
            "room: the value 'attic\\xa0' has '\\xa0' in it, expected words and single blanks",
        ),
        ("room = ['hall', 'at\u200btic']", "write 'attic'"),
        ("room = ['hall', 'attic ']", "the value 'attic ' has a blank at an end, expected words and single blanks"),
        ("room = ['hall', 'attic']\nmaker = ['Ada']", "maker: is the name of a column of works.tsv, too"),
    ],
)
def test_a_doubtful_value_of_the_lists_is_a_remark(tmp_path: Path, lists: str, text: str) -> None:
    (found,) = faults(tmp_path, lists=lists)
    assert text in str(found)
    assert not found.fatal


@pytest.mark.parametrize(
    ("works", "line", "text"),
    [
        (WORKS.encode("utf-16"), 1, "is in UTF-16, expected UTF-8"),
        (WORKS.replace("Moon", "Möön").encode("latin-1"), 2, "byte 0xf6 is no UTF-8"),
        (WORKS.replace("title", "name"), 1, "has the columns 'name', 'maker', 'also', expected a column 'title'"),
        (WORKS.replace("\t", ";"), 1, "separate the columns by tabs"),
        (WORKS.replace("Moon\tAda\tbeds", "Moon"), 2, "maker: has 1 cells, none for maker, also"),
        (WORKS.replace("Bo\t", "Bo\t\t"), 3, "has 4 cells, expected 3"),
        (WORKS.replace("Sun", " "), 3, "title: is empty"),
        (WORKS.replace("beds", "lights"), 2, "also: names 'lights', the domain itself"),
        (WORKS.replace("beds", "beds, doors"), 2, "also: is 'beds, doors', expected names without blanks"),
        ("title\tshare\nMoon\t120\n", 2, "share: is '120', expected a number in [0, 1]"),
        ("title\tmaker\n", 1, "has no work"),
        ("", 1, "is empty, expected a column 'title'"),
    ],
)
def test_a_fault_of_the_catalogue_is_named(tmp_path: Path, works: bytes | str, line: int, text: str) -> None:
    found = [one for one in faults(tmp_path, works=works) if one.fatal and one.file.endswith("works.tsv")]
    assert len(found) == 1, [str(one) for one in found]
    assert text in str(found[0])
    assert (found[0].file, found[0].line) == (str(tmp_path / "works.tsv"), line)


@pytest.mark.parametrize(
    ("patterns", "lists", "works", "text"),
    [
        (TWICE, LISTS, WORKS, "7: own.On: has the pattern '(put|turn) on {title}' 2 times"),
        (PATTERNS + '[own.Off]\ncount = 1\npatterns = ["light in the {room}"]\n', LISTS, WORKS, "of own.On, too"),
        (PATTERNS, 'room = ["hall", "hall"]', WORKS, "room: holds 'hall' 2 times"),
        (PATTERNS, LISTS, WORKS + "Moon\tAda\tbeds\n", "works.tsv:4: title: repeats line 2: 'Moon'"),
        (PATTERNS, LISTS, b"\xef\xbb\xbf" + WORKS.encode(), "works.tsv:1: begins with a byte order mark"),
        (PATTERNS.replace("count = 2", "count = 9"), LISTS, WORKS, "others.beds.count: is 9, of which"),
        (PATTERNS, LISTS, WORKS.replace("Sun", "S\x00un"), "title: is 'S\\x00un', with a control character"),
        (b"\xef\xbb\xbf" + PATTERNS.encode(), LISTS, WORKS, "patterns.toml:1: begins with a byte order mark"),
    ],
)  # fmt: skip
def test_a_remark_does_not_keep_the_data_from_being_drawn(
    tmp_path: Path, patterns: bytes | str, lists: str, works: bytes | str, text: str
) -> None:
    found = faults(tmp_path, patterns, lists, works)
    assert any(text in str(one) for one in found)
    assert not any(one.fatal for one in found)


def test_all_faults_are_found_at_once_and_an_error_names_the_first(tmp_path: Path) -> None:
    broken = PATTERNS.replace("count = 4", "count = 0").replace("{room}", "{rom}").replace("tv = 1", "tv = -1")
    found = faults(tmp_path, broken.replace("shared", "shred"), "room = []", WORKS.replace("Sun", ""))
    assert len([one for one in found if one.fatal]) == 6
    with pytest.raises(DataFilesError, match="; and 3 more: arbitrank check names all"):
        generate(tmp_path, "lights")


def test_signs_alone_are_no_brackets(tmp_path: Path) -> None:
    assert faults(tmp_path, PATTERNS + '[none.signs]\ncount = 2\npatterns = [":)", ";("]\n') == []


def test_a_catalogue_without_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFilesError, match=r"works\.tsv: no such file, expected a file in UTF-8; create works.tsv"):
        read_works(tmp_path)


def test_works_with_a_share_that_is_none_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "works.tsv").write_text("title\tshare\nMoon\tmost\n", encoding="utf-8")
    with pytest.raises(DataFilesError, match=r"works.tsv:2: share: is 'most', expected a number in \[0, 1\]"):
        read_works(tmp_path)
