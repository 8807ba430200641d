"""The site's navigation: the pages that an index page lists are below it, in their order.

So an index is plain Markdown, a list of links, and says once where a page belongs. A page that several indexes list is
below the first of them.
"""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path

from sphinx.application import Sphinx

INDEXES = ("plugins", "operating", "commands", "formats", "reference/python", "learning", "index")
"""The pages whose lists are the navigation; `index` is the root and takes what no other has."""


def listed(folder: Path, index: str) -> dict[str, str]:
    """The pages that an index lists, as names of documents, each with the heading above it."""
    text = (folder / f"{index}.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    heading = ""
    for title, item in re.findall(r"^## (.+)|^(- .*(?:\n  .*)*)", text, re.M):
        heading = title or heading
        for path in re.findall(r"\]\(([\w./-]+)\.md\)", item):
            found.setdefault(os.path.normpath(f"{Path(index).parent}/{path}"), heading)
    return found


def below(folder: Path) -> dict[str, dict[str, str]]:
    """The pages below each index, with their headings."""
    taken: set[str] = {"index"}
    pages = {}
    for index in INDEXES:
        pages[index] = {page: title for page, title in listed(folder, index).items() if page not in taken}
        taken.update(pages[index])
    return pages


def add_contents(app: Sphinx, document: str, source: list[str]) -> None:
    """Append the tree of contents to an index page; the root's has the headings as captions."""
    if document not in INDEXES:
        return
    pages = below(Path(app.srcdir))[document]
    for title, group in groupby(pages, key=lambda page: pages[page] if document == "index" else ""):
        names = "".join(f"/{page}\n" for page in group)
        caption = f":caption: {title}\n" if title else ""
        source[0] += f"\n```{{toctree}}\n:hidden:\n{caption}\n{names}```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True}
