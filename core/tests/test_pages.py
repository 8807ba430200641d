"""HTML pages: what a template is given is escaped, and a page needs nothing beside it."""

from __future__ import annotations

import sys

import jinja2
import pytest

from arbitrank import pages
from arbitrank.errors import InputError


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> jinja2.Environment:
    """The pages' environment with a template more."""
    made = pages._environment.__wrapped__()
    text = (
        "{% extends 'page.html' %}{% block title %}{{ name }}{% endblock %}{% block content %}{{ body }}{% endblock %}"
    )
    made.loader = jinja2.ChoiceLoader([jinja2.DictLoader({"one.html": text}), made.loader])
    monkeypatch.setattr(pages, "_environment", lambda: made)
    return made


def test_texts_are_escaped_and_the_style_sheet_is_inside(environment: jinja2.Environment) -> None:
    page = pages.render("one.html", name="<b>", body="'&'")
    assert "<title>&lt;b&gt;</title>" in page
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "&#39;&amp;&#39;" in page
    assert "prefers-color-scheme" in page
    assert "<link" not in page


def test_a_value_that_is_not_given_is_an_error(environment: jinja2.Environment) -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.render("one.html", name="x")


def test_without_jinja_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    pages._environment.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'arbitrank\[serve\]'"):
        pages.render("page.html")
    pages._environment.cache_clear()
