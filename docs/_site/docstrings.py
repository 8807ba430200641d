"""Docstrings and signatures as they are written here, made into what Sphinx reads: indented lines are code."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_SHORTER = (
    (re.compile(r"(?:~|\b)(?:\w+\.)+(?=[A-Za-z_])"), ""),  # modules in front of names
    (re.compile(r"Annotated\[(.+?), Meta\([^()]*\)\]"), r"\1"),
    (re.compile(r"<factory>|<function \w+>|<object object at \w+>"), "…"),
    (re.compile(r"= (\w+)\(\w+=.+?\)(?=, \w+:|\)$)"), r"= \1()"),
)
"""What makes a signature shorter: a pattern, and what stands in its place."""


def mark_code(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Announce indented blocks as code, and leave out the docstrings of built-in types."""
    if lines and lines[0].startswith("bool(x)"):
        lines.clear()
    marked: list[str] = []
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        if line.startswith("    ") and not before.strip() and not in_code(marked):
            marked += ["::", ""]
        marked.append(line)
    lines[:] = marked


def in_code(lines: list[str]) -> bool:
    """True where the last line that is not empty is indented."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.startswith("    ")


def shorten(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Leave out of a signature what its reader does not need."""
    return shorter(signature), shorter(returned)


def shorter(text: str | None) -> str | None:
    """A signature without modules, bounds and long defaults."""
    for pattern, instead in _SHORTER if text else ():
        text = pattern.sub(instead, text or "")
    return text


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("autodoc-process-docstring", mark_code)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
