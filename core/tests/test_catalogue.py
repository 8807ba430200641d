"""A catalogue of works."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbitrank.nlu.catalogue import Catalogue, also_of, read_works

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
