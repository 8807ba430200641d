"""Help pages and tables are copied from: nothing in them is broken in two, and what was meant is suggested."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from arbitrank.cli.help_pages import HelpContext, HelpPage, did_you_mean
from arbitrank.cli.main import _MEANINGS, GROUPS, VERBS, cli
from arbitrank.cli.terminal import print_table


def commands(group: click.Group = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb of the command line with its name, those of the groups among them too."""
    context = HelpContext(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ALL = dict(commands())


def help_of(path: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    return CliRunner().invoke(cli, [*path, "--help"], prog_name="arbitrank").output


def examples(command: click.Command) -> list[str]:
    return re.findall(r"^ *Example: (.+)$", command.help or "", re.M)


def test_the_verbs_are_listed_by_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    page = help_of((), 80, monkeypatch)
    headings = re.findall(r"^(\w+): .+:$", page, re.M)
    assert headings == ["Ask", "Author", "Operate", "Study"]
    listed = re.findall(r"^  ([a-z-]+) +(\S.+)$", page.partition("\nAsk: ")[2], re.M)
    assert dict(listed) == {verb: summary for verb, (_, summary) in VERBS.items()}
    assert sum(map(len, GROUPS.values())) == len(VERBS)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_an_example_of_the_verb_is_shown_and_its_options_exist(path: tuple[str, ...]) -> None:
    assert examples(ALL[path])
    for example in examples(ALL[path]):
        program, *args = shlex.split(example)
        assert (program, tuple(args[: len(path)])) == ("arbitrank", path) or isinstance(ALL[path], click.Group)
        context: click.Context | None = None
        command: click.Command | None = cli
        while isinstance(command, click.Group):
            context = command.make_context("arbitrank", [args[0]], context, resilient_parsing=True)
            command, args = command.get_command(context, args[0]), args[1:]
        assert command
        missing = [one.name for one in command.params if one.required and one.name]
        context = command.make_context(path[-1], args, context, resilient_parsing=True)
        assert all(context.params[name] is not None for name in missing)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_word_and_no_command_is_broken(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, command in ALL.items():
        page = help_of(path, columns, monkeypatch)
        assert page.startswith(f"Usage: arbitrank {' '.join(path)} "), path
        for example in examples(command):
            assert f"  Example: {example}\n" in page
        texts = [command.help or "", command.epilog or "", *(getattr(one, "help", "") or "" for one in command.params)]
        assert set(" ".join(texts).split()) <= {*page.split(), "\b"}, path


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_paragraph_keeps_commands_and_paths_whole(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    page = HelpPage()
    path = "/srv/models/of-the-team/" + "very-long-" * 12 + "name"
    page.write_text(f"Then run arbitrank train --data PATH --promote on what is in {path}, or see `pip install x`.")
    page.write_dl([("--option VALUE", f"The folder, as {path}; see: arbitrank check --list")])
    text = page.getvalue()
    for whole in ("arbitrank train --data PATH --promote", "`pip install x`", "arbitrank check --list"):
        assert whole in text
    assert text.count(path) == 2
    assert all(len(line) <= max(columns, 30) for line in text.splitlines() if path not in line and "arbi" not in line)


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["trian"], "Did you mean train"),
        (["pormote"], "Did you mean promote?"),
        (["audit_set"], "Did you mean audit-set?"),
        (["Ask"], "Did you mean ask?"),
        (["undo"], "Did you mean rollback?"),
        (["log", "stauts"], "Did you mean status?"),
        (["shortlist", "trian"], "Did you mean train?"),
        (["ask", "--devise", "tv"], "Did you mean --device?"),
    ],
)
def test_what_was_meant_is_suggested(args: list[str], meant: str) -> None:
    done = CliRunner().invoke(cli, args)
    assert done.exit_code == 2
    assert meant in done.output.replace("'", "")


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert did_you_mean("xyzzy", list(VERBS), _MEANINGS) == ""
    assert set(_MEANINGS.values()) <= set(VERBS)
    assert not set(_MEANINGS) & set(VERBS)


@pytest.mark.parametrize("columns", [20, 40, 110])
def test_a_table_breaks_between_words_alone(columns: int) -> None:
    table = Table(box=None)
    table.add_column("path", no_wrap=True)
    table.add_column("why")
    path, why = "/srv/models/a very long path/of-the-team/model", "the slots are clear and it is sure that it is meant"
    table.add_row(path, why)
    console = Console(width=columns, height=20)
    with console.capture() as output:
        print_table(console, table)
    text = output.get()
    assert path in text
    assert set(why.split()) <= set(text.split())
    assert console.width == columns
