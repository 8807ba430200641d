"""HTML pages from the templates in `arbitrank/templates`, each one file that needs nothing beside it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from arbitrank.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
"""Folder of the templates, the style sheet and the plots that pages share."""


def render(template: str, **values: Any) -> str:
    """The page that a template makes of `values`, every text in them escaped.

    A template extends `page.html`, which holds the style sheet, or `plotted.html`, which draws plots too, and fills its
    blocks `title` and `content`. A name that is not among `values` raises `jinja2.UndefinedError`. Raises `InputError`
    where Jinja is not installed.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise InputError("HTML pages: needs the package jinja2; run: pip install 'arbitrank[serve]'") from error
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = lambda name: Markup((TEMPLATES / name).read_text("utf-8"))
    made.policies["json.dumps_function"] = lambda value, **_: msgspec.json.encode(value).decode()
    return made
