"""Corpora from patterns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from arbitrank.errors import DataError
from arbitrank.nlu.patterns import generate
from arbitrank.values import Example

WORKS = "title\tmaker\talso\nMoon\tAda\tbeds\nSun\tBo\t\nStar\tCy\tbeds,doors\nLamp\tDi\t\n"
LISTS = 'room = ["hall", "attic", "Küche"]\nlevel = ["ten", "20"]\n'


def write(folder: Path, patterns: str, works: str = WORKS) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in (("works.tsv", works), ("lists.toml", LISTS), ("patterns.toml", patterns)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def drawn(folder: Path, patterns: str, seed: int = 0, **options: Any) -> list[Example]:
    return generate(write(folder, patterns, **options), "lights", seed)


def texts(examples: list[Example]) -> set[str | None]:
    return {example.request.utterance for example in examples}


@pytest.mark.parametrize(
    ("pattern", "promised"),
    [
        ("on", {"on"}),
        ("(on|off)", {"on", "off"}),
        ("[please] on", {"please on", "on"}),
        ("a [b [c]] d", {"a d", "a b d", "a b c d"}),
        ("((a|b)|c)", {"a", "b", "c"}),
        ("(a|)  (b|c)", {"a b", "a c", "b", "c"}),
        ("{room} on", {"hall on", "attic on", "Küche on"}),
        ("{=room} on", {"hall on", "attic on", "Küche on"}),
        ("{title} by {maker}", {"Moon by Ada", "Sun by Bo", "Star by Cy", "Lamp by Di"}),
        ("([{level}] {=room}|{maker})", {*("hall", "attic", "Küche", "Ada", "Bo", "Cy", "Di")}
         | {f"{n} {room}" for n in ("ten", "20") for room in ("hall", "attic", "Küche")}),
    ],
)  # fmt: skip
def test_a_pattern_says_all_that_it_can_and_nothing_else(tmp_path: Path, pattern: str, promised: set[str]) -> None:
    assert texts(drawn(tmp_path, f"[own.On]\ncount = 50\npatterns = ['{pattern}']")) == promised


def test_a_list_without_a_catalogue_draws_canonical_forms(tmp_path: Path) -> None:
    (tmp_path / "lists.toml").write_text('KITE = ["red", {value = "ruby", resolved = "red"}, {value = "box"}]')
    (tmp_path / "patterns.toml").write_text("[own.Fly]\ncount = 9\npatterns = ['fly {my-kite=KITE}', 'up {=KITE}']")
    found = generate(tmp_path, "lights")
    assert texts(found) == {f"{verb} {kite}" for verb in ("fly", "up") for kite in ("red", "ruby", "box")}
    slots = {(s.name, s.value, s.resolved) for example in found for s in example.truth.slots}
    assert slots == {("my-kite", "red", None), ("my-kite", "ruby", "red"), ("my-kite", "box", None)}
    (tmp_path / "patterns.toml").write_text("[own.Fly]\ncount = 9\npatterns = ['fly {kite}']")
    with pytest.raises(
        DataError, match=r"'fly .kite.' draws from 'kite', neither a column nor a list, .*; did you mean 'KITE'"
    ):
        generate(tmp_path, "lights")


def test_slots_are_labelled_where_they_stand(tmp_path: Path) -> None:
    found = drawn(
        tmp_path, "[own.Set]\ncount = 40\npatterns = ['(set|put) {place=room} [lamp] to {level} {=room} {title}']"
    )
    assert len(found) == 40
    for example in found:
        utterance = example.request.utterance or ""
        assert [slot.name for slot in example.truth.slots] == ["place", "level", "title"]
        assert all(utterance[slot.start : slot.end] == slot.value for slot in example.truth.slots)


OWNERS = """
[own.On]
count = 3
patterns = ["{title} on"]
[others.beds]
count = 9
patterns = ["make {title}"]
[none.weather]
count = 1
patterns = ["rain on {title}"]
"""


def test_a_section_says_whose_request_it_is(tmp_path: Path) -> None:
    found = drawn(tmp_path, OWNERS)
    assert Counter((e.truth.domain, e.truth.intent) for e in found) == {
        ("lights", "On"): 3,
        ("beds", "other"): 2,
        (None, None): 1,
    }
    for example in found:
        assert bool(example.truth.slots) == (example.truth.domain == "lights")  # nobody knows another domain's slots
        assert example.extra == ({"kind": "weather"} if example.truth.domain is None else {})
        assert example.request.hypotheses is None
    assert len({example.request.id for example in found}) == len(found)


def test_anothers_requests_are_for_works_that_it_has_too(tmp_path: Path) -> None:
    found = [e for e in drawn(tmp_path, OWNERS) if e.truth.domain == "beds"]
    assert texts(found) == {"make Moon", "make Star"}


def test_no_utterance_of_one_owner_comes_twice(tmp_path: Path) -> None:
    sections = {"own.On": ["go"], "own.Off": ["go", "stop"], "none.x": ["go"]}
    both = "\n".join(f"[{name}]\ncount = 9\npatterns = {patterns}" for name, patterns in sections.items())
    assert [(e.request.utterance, e.truth.intent) for e in drawn(tmp_path, both)] == [
        ("go", "On"),
        ("stop", "Off"),
        ("go", None),
    ]


def test_the_same_files_and_seed_give_the_same_corpus(tmp_path: Path) -> None:
    patterns = "[own.On]\ncount = 20\npatterns = ['[please] {title} in {room} at {level}']\n"
    patterns += "[context.own]\ndevice = {tv = 1, '' = 1}"
    first = drawn(tmp_path / "a", patterns)
    assert drawn(tmp_path / "b", patterns) == first
    assert drawn(tmp_path / "a", patterns, seed=1) != first


def test_one_section_does_not_change_what_another_draws(tmp_path: Path) -> None:
    off = "[own.Off]\ncount = 10\npatterns = ['{room} off {level}', '{title} off']\n"
    on = "[own.On]\ncount = 10\npatterns = ['{room} on {level}', '{title} on']\n"
    alone = texts(drawn(tmp_path / "a", off))
    assert alone < texts(drawn(tmp_path / "b", on + off))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_shared_is_the_share_of_works_that_another_domain_has_too(tmp_path: Path, share: float) -> None:
    works = (
        "title\talso\n"
        + "".join(f"Shared {i}\tbeds\n" for i in range(90))
        + "".join(f"Own {i}\t\n" for i in range(900))
    )
    found = drawn(tmp_path, f"shared = {share}\n[own.On]\ncount = 90\npatterns = ['{{title}}']", works=works)
    assert abs(sum(text.startswith("Shared") for text in texts(found) if text) / len(found) - share) < 0.15


def test_the_context_is_drawn_by_weight_a_section_of_its_own_winning(tmp_path: Path) -> None:
    patterns = """
[own.On]
count = 30
patterns = ["{title} {room} {level}"]
[own.Off]
count = 30
patterns = ["{title} {room} {level} off"]
context.device = {car = 1}
[none.x]
count = 1
patterns = ["rain"]
[context.own]
device = {tv = 1, phone = 0, "" = 1}
mood = {calm = 1}
[context.none]
device = {watch = 1}
[derived.has_screen]
device = {tv = true, car = false}
"""
    seen: dict[str | None, set[str]] = {}
    for example in drawn(tmp_path, patterns):
        seen.setdefault(example.truth.intent, set()).add(repr(sorted(example.request.context.items())))
    assert seen == {
        "On": {"[('device', 'tv'), ('has_screen', True), ('mood', 'calm')]", "[('mood', 'calm')]"},
        "Off": {"[('device', 'car'), ('has_screen', False), ('mood', 'calm')]"},
        None: {"[('device', 'watch')]"},
    }


WITH_SHARES = "title\tshare\talso\n" + "".join(
    f"Mine {i}\t0.9\tbeds,doors\nTheirs {i}\t0.1\tbeds,doors\n" for i in range(20)
)


def test_works_are_drawn_by_how_often_their_title_means_them(tmp_path: Path) -> None:
    patterns = """
again = true
[own.On]
count = 600
patterns = ["{title}"]
[others.beds]
count = 600
patterns = ["{title}"]
"""
    found = drawn(tmp_path, patterns, works=WITH_SHARES)
    mine = Counter((e.truth.domain, (e.request.utterance or "").split()[0]) for e in found)
    assert mine["lights", "Mine"] == pytest.approx(540, abs=30)
    assert mine["beds", "Mine"] == pytest.approx(60, abs=30)


def test_a_title_of_elsewhere_is_drawn_for_the_domain_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.tsv").write_text("title\talso\nQuilt\tbeds\nKnob\tdoors\n", encoding="utf-8")
    patterns = "[others.beds]\ncount = 5\npatterns = ['get {=elsewhere}']"
    assert texts(drawn(tmp_path, patterns)) == {"get Quilt"}
    with pytest.raises(DataError, match="names 'elsewhere'"):
        drawn(tmp_path, "[own.On]\ncount = 5\npatterns = ['get {=elsewhere}']")


def test_titles_are_drawn_as_people_type_them(tmp_path: Path) -> None:
    works = "title\talso\nThe Café-Lamp & Son's!\t\n"
    found = texts(drawn(tmp_path, "typed = 0.5\n[own.On]\ncount = 9\npatterns = ['{title}']", works=works))
    assert found == {"The Café-Lamp & Son's!", "the cafe lamp and sons", "cafe lamp and sons"}


def test_a_pattern_is_drawn_as_often_as_its_weight_says(tmp_path: Path) -> None:
    found = drawn(
        tmp_path, "[own.On]\ncount = 400\npatterns = ['a {title} {level} {room} ×9', 'b {title} {level} {room}']"
    )
    again = Counter((e.request.utterance or "")[0] for e in found[:20])
    assert again["a"] > again["b"]


def test_the_same_words_are_drawn_again_where_the_patterns_say_so(tmp_path: Path) -> None:
    patterns = "%s[own.On]\ncount = 50\npatterns = ['on']\n[context.own]\ndevice = {tv = 3, phone = 1}\n"
    assert len(drawn(tmp_path / "a", patterns % "")) == 1
    devices = Counter(e.request.context["device"] for e in drawn(tmp_path / "b", patterns % "again = true\n"))
    assert devices.total() == 50
    assert devices["tv"] > devices["phone"]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            "[own.On]\ncount = 1\npatterns = ['{colour} on']",
            r"patterns.toml:3: own\.On: pattern '\{colour\} on' draws from 'colour', neither a column nor a list",
        ),
        ("[own.On]\ncount = 1\npatterns = ['{place=colour} on']", "draws from 'colour'"),
        ("[others.shops]\ncount = 1\npatterns = ['sell {title}']", r"shops\.other: .* but no work fits"),
    ],
)
def test_a_source_that_is_not_there_is_named(tmp_path: Path, patterns: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        drawn(tmp_path, patterns)
