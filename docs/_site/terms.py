"""Links from the first use of a word on a page to the glossary, with its meaning as a tooltip."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "glossary"
_NOT_IN = (nodes.reference, nodes.literal, nodes.title, nodes.literal_block, nodes.rubric)


@cache
def meanings(folder: Path) -> dict[str, tuple[str, str]]:
    """Each word, in lower case, with its anchor and its meaning."""
    text = (folder / f"{GLOSSARY}.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## (.+)\n+((?:.+\n)+)", text, re.M)
    found = {word.lower(): (nodes.make_id(word), " ".join(meaning.split())) for word, meaning in entries}
    irregular = {f"{word[:-2]}es": entry for word, entry in found.items() if word.endswith("is")}
    return {**found, **irregular}


@cache
def pattern(folder: Path) -> re.Pattern[str]:
    """Any word of the glossary, also in the plural, the longest first."""
    words = sorted(meanings(folder), key=len, reverse=True)
    return re.compile(rf"(?<![\w`-])({'|'.join(map(re.escape, words))})s?(?![\w-])", re.I)


def link_terms(app: Sphinx, tree: nodes.document, document: str) -> None:
    """Make the first use of each word a link."""
    folder = Path(app.srcdir)
    if document == GLOSSARY or document.startswith("reference/python/"):
        return
    known, seen = meanings(folder), set()
    target = app.builder.get_relative_uri(document, GLOSSARY)
    for text in list(tree.findall(nodes.Text)):
        if not in_prose(text):
            continue
        parts, end = [], 0
        for found in pattern(folder).finditer(text):
            anchor, meaning = known[found[1].lower()]
            if anchor in seen:
                continue
            seen.add(anchor)
            link = nodes.reference("", found[0], refuri=f"{target}#{anchor}", reftitle=meaning, internal=True)
            link["classes"].append("term")
            parts += [nodes.Text(text[end : found.start()]), link]
            end = found.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def in_prose(text: nodes.Text) -> bool:
    """True for text of a paragraph, outside of links, code and headings."""
    node, prose = text.parent, False
    while node is not None:
        if isinstance(node, _NOT_IN):
            return False
        prose = prose or isinstance(node, nodes.paragraph)
        node = node.parent
    return prose


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", link_terms)
    return {"parallel_read_safe": True}
