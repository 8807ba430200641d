"""A catalogue of works."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import DataError
from arbitrank.nlu.catalogue import Catalogue, also_of, key_of, keys_of, read_elsewhere, read_works, share_of
from arbitrank.values import Hypothesis, Slot

TABLE = 'title\tmaker\talso\nThe "Best" Lamp\tAda Größe\t\nNight Light\tBo\tbeds,doors\nSolo\t\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "works.tsv").write_text(TABLE, encoding="utf-8")
    return tmp_path


def test_works_are_rows_by_column_quotes_being_letters_like_any_other(folder: Path) -> None:
    works = read_works(folder)
    assert works[0] == {"title": 'The "Best" Lamp', "maker": "Ada Größe", "also": ""}
    assert [also_of(work) for work in works] == [[], ["beds", "doors"], []]


@pytest.mark.parametrize(
    ("column", "name", "known"),
    [
        ("title", "Night Light", True),
        ("title", " nIGHT lIGHT ", True),
        ("title", "Night", False),
        ("title", "", False),
        ("maker", "ada grösse", True),
        ("maker", "Night Light", False),
        ("maker", "", False),
    ],
)
def test_a_name_is_known_whatever_its_case(folder: Path, column: str, name: str, known: bool) -> None:
    assert Catalogue(read_works(folder), "title", "maker").has(column, name) is known


@pytest.mark.parametrize(("title", "shared"), [("night light", True), ("Solo", False), ("unheard", False)])
def test_a_title_is_shared_where_another_domain_has_it(folder: Path, title: str, shared: bool) -> None:
    assert Catalogue(read_works(folder)).shares(title) is shared


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("hobbit", "The Hobbit"),
        ("amelie", "Amélie"),
        ("mamma mia", "Mamma Mia!"),
        ("wall e", "WALL-E"),
        ("spiderman", "Spider-Man"),
        ("lilo and stitch", "Lilo & Stitch"),
        ("harry potter and the philosophers stone", "Harry Potter and the Philosopher's Stone"),
        ("  THE  Crown ", "The Crown"),
    ],
)
def test_a_name_is_looked_up_as_people_say_it(said: str, written: str) -> None:
    assert key_of(said) == key_of(written)


@pytest.mark.parametrize("name", ["?!", "...", "the", "a"])
def test_a_name_of_nothing_but_marks_or_an_article_stays_a_name(name: str) -> None:
    assert key_of(name)


SHARED = "title\tmaker\tshare\talso\nLamp\tAda\t0.5\tbeds\nLamp\tBo\t0.3\tbeds\nNight Light\tBo\t1\t\n"


def described(*titles: str) -> dict[str, float]:
    works = [
        dict(zip(("title", "maker", "share", "also"), row.split("\t"), strict=True)) for row in SHARED.splitlines()[1:]
    ]
    elsewhere = [{"title": "Four Poster", "also": "beds"}]
    slots = tuple(Slot("title", title) for title in titles)
    return Catalogue(works, "title", elsewhere=elsewhere).describe(Hypothesis("lights", "On", slots=slots))


def test_the_works_of_a_title_add_up_to_how_often_it_means_the_medium() -> None:
    assert described("the lamp")["title_odds"] == pytest.approx(1.3863, abs=1e-4)  # 0.8 against 0.2


def test_a_title_of_another_domain_alone_is_known_not_to_be_this_ones() -> None:
    found = described("four poster")
    assert (found["title_known"], found["title_unknown"], found["title_odds"]) == (0.0, 0.0, -4.0)


def test_a_sure_title_has_odds_within_bounds_and_an_unknown_one_none() -> None:
    assert described("night light")["title_odds"] == 4.0
    assert described("a lantern")["title_odds"] == described()["title_odds"] == 0.0


def test_words_of_a_known_title_are_counted() -> None:
    assert [described(title)["title_words"] for title in ("lamp", "night light", "unheard of")] == [1.0, 2.0, 0.0]


def test_without_shares_there_are_no_odds(folder: Path) -> None:
    assert "title_odds" not in Catalogue(read_works(folder), "title").describe(Hypothesis("lights", "On"))


def test_a_work_without_a_share_is_what_its_title_means(folder: Path) -> None:
    assert [share_of(work) for work in read_works(folder)] == [1.0, 1.0, 1.0]
    assert read_elsewhere(folder) == []


def test_the_names_of_a_column_are_listed_as_they_are_spelt() -> None:
    works = [{"title": "The Hobbit", "author": "Tolkien"}, {"title": "Emma"}, {"title": "The Hobbit", "author": ""}]
    assert Catalogue(works, "title", "author").names("title") == ["Emma", "The Hobbit"]
    assert Catalogue(works, "title", "author").names("author") == ["Tolkien"]


def test_a_column_that_no_work_has_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no work has the column 'plant', expected some of .*title"):
        Catalogue(read_works(folder), "plant")
    assert Catalogue([], "plant").names("plant") == []


@given(st.lists(st.text(st.sampled_from("Theanb &\n\t\r\x1c\x00_-'É·1")) | st.text()))
def test_names_have_the_same_keys_together_as_alone(names: list[str]) -> None:
    assert keys_of(names) == {name: key_of(name) for name in names}
