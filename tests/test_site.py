"""The documentation as a site: it builds without a warning, needs no other server, and its reference is the code's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import docs_reference
import pytest
from docs_reference import DOCS, pages_with_fields, with_fields

WRITE = "run: python tests/test_docs.py"
SHORT = 230
"""Lines of the longest page, generated ones and records of what was measured apart."""
LONG = {
    "experiments.md",
    "open-benchmark.md",
    "dynamic.md",
    "own-nlu.md",
    "upgrading.md",
    "tutorial.md",
    "reference/http.md",
    "reference/commands/shortlist.md",
}


def test_the_site_has_every_page_and_loads_nothing_from_another_server(tmp_path: Path) -> None:
    """In one test, as building it takes most of the time; a warning (a broken link, a page in no index) fails it."""
    site = tmp_path / "html"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-d", str(tmp_path / "trees")]
    built = subprocess.run([*command, str(DOCS), str(site)], capture_output=True, encoding="utf-8", check=False)
    assert built.returncode == 0, built.stderr

    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages - {path.relative_to(site) for path in site.rglob("*.html")} == set()

    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"""<(?:script|img|iframe|source)[^>]+src=["']?https?:|url\(["']?https?:""", text)
        styles = re.findall(r"""<link[^>]+rel=["']?(?:stylesheet|preload|icon)[^>]+href=["']?https?:""", text)
        assert loaded + styles == [], path

    text = (site / "reference/gate.html").read_text(encoding="utf-8")
    assert 'href="../glossary.html#audit-set"' in text, "a page leads to the meaning of its words"


def test_the_reference_of_metrics_is_the_table_of_them() -> None:
    assert docs_reference.METRICS_PAGE.read_text(encoding="utf-8") == docs_reference.metrics(), WRITE


def test_the_http_reference_is_the_openapi_document() -> None:
    assert docs_reference.HTTP.read_text(encoding="utf-8") == docs_reference.service(), WRITE


@pytest.mark.parametrize("page", pages_with_fields(), ids=lambda path: path.stem)
def test_tables_of_fields_are_those_of_the_types(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == with_fields(text), WRITE
    for _, _, _, rows in docs_reference.MARK.findall(text):
        assert re.findall(r"^.*\|  \|$", rows, re.M) == [], "a field without a meaning"


def test_pages_are_short() -> None:
    pages = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
    lines = {name: path.read_text(encoding="utf-8").count("\n") for name, path in pages.items() if name not in LONG}
    assert {name: n for name, n in lines.items() if n > SHORT} == {}
