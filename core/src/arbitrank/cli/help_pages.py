"""Help pages: paragraphs and tables whose words, paths and commands stay on one line, so that they can be copied."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import ClassVar

import click

_COMMAND = re.compile(r"`[^`]+`|\barbitrank [a-z-]+(?: (?:--?[\w-]+|[A-Z]{2,}\b))*")
_BLANK = "\u00a0"  # in the place of a blank that must not become a line break
_WIDEST, _NARROWEST = 80, 30
_LEAST = 24  # columns of a description beside its term; with fewer it is below it
_ALL = 1000  # characters of a sentence, none of which is cut off
_TERM = 30  # columns of a term; a longer one has its description on the next line


class HelpPage(click.HelpFormatter):
    """Formatter of help pages. A paragraph of examples is kept line by line."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        columns = shutil.get_terminal_size().columns
        super().__init__(width=max(min(columns, _WIDEST) - 2, _NARROWEST))

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage on one line."""
        self.write(f"{prefix or 'Usage: '}{prog} {args}".rstrip() + "\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        indent = " " * self.current_indent
        paragraphs = []
        for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
            raw = paragraph.lstrip().startswith("Example")
            lines = paragraph.splitlines() if raw else _wrapped(paragraph, self.width - self.current_indent)
            paragraphs.append("\n".join(f"{indent}{line}" for line in lines))
        self.write("\n\n".join(paragraphs) + "\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = _TERM, col_spacing: int = 2) -> None:
        """Write terms and their descriptions, below them where there is little room."""
        rows = list(rows)
        margin = " " * self.current_indent
        first = min(max((len(term) for term, _ in rows), default=0), col_max) + col_spacing
        beside = self.width - self.current_indent - first >= _LEAST
        hanging = margin + " " * (first if beside else 6)
        for term, text in rows:
            lines = _wrapped(text, self.width - len(hanging))
            if beside and lines and len(term) <= first - col_spacing:
                self.write(f"{margin}{term:{first}}{lines.pop(0)}\n")
            else:
                self.write(f"{margin}{term.rstrip()}\n")
            self.write("".join(f"{hanging}{line}\n" for line in lines))


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a paragraph; a command, a path or a word that is longer than the width has one of its own."""
    kept = _COMMAND.sub(lambda found: found[0].replace(" ", _BLANK), " ".join(text.split(" ")))
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_BLANK, " ") for line in wrapper.wrap(kept)]


class HelpContext(click.Context):
    """Context of a call whose help is a `HelpPage`."""

    formatter_class = HelpPage


class Verbs(click.Group):
    """Group of verbs that names the verbs which a mistyped one may stand for."""

    context_class = HelpContext
    meanings: ClassVar[dict[str, str]] = {}
    """Words that are no verbs, each with the verb that does what they say."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb and its arguments; fails with a suggestion where there is no such verb."""
        word = args[0]
        if not ctx.resilient_parsing and not word.startswith("-") and self.get_command(ctx, word) is None:
            ctx.fail(f"No such command {word!r}.{did_you_mean(word, self.list_commands(ctx), self.meanings)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each verb with the first sentence of its help."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_ALL)) for name, command in commands if command])

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a verb, whose help is a `HelpPage` too."""
        cmd.context_class = HelpContext
        super().add_command(cmd, name)


def did_you_mean(word: str, known: Sequence[str], meanings: dict[str, str]) -> str:
    """A sentence that suggests what a mistyped word stands for; empty where nothing is near."""
    near = [meanings[word]] if word in meanings else get_close_matches(word.lower(), known, n=1)
    return f" Did you mean {near[0]}?" if near else ""
