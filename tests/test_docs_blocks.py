"""Every code block of the docs is run, decoded or compared; the few that cannot be are named with the reason.

`console` blocks are run by `test_docs`, `test_own_nlu` and the test of the tutorial, files (a path in backticks above
the block) are written and used by the same tests, and the `json` of the reference is decoded by `test_docs`. The rest
is here.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import tomllib
import types
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import pytest
import yaml
from test_docs import DECODERS, DOCS, IN_ORDER, PAGES, ROOT, WRITTEN, blocks, name_of, run

from arbitrank.cli.main import cli
from arbitrank.configuration import read_configuration
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.values import Decision, Ranked
from arbitrank.wire.requests import decode_request
from arbitrank_mcp.main import cli as bridge

NOT_RUN = {
    "pip": "installs packages; tests/test_wheels.py installs the wheels",
    "curl": "calls a service; test_own_nlu.py and core/tests call it",
    "openssl": "makes a random key",
    "mkdir": "makes a folder",
    "cp": "copies a file",
    "export": "sets a variable",
    "source": "enters an environment",
    "dask": "starts a cluster",
    "docker": "needs an engine; test_deploy.py takes the Dockerfile's steps",
    "install": "copies a file to the system",
    "kubectl": "needs a cluster",
    "systemctl": "needs systemd; test_deploy.py has the units verified",
    "systemd-sysusers": "makes a user",
    "tar": "unpacks an archive; test_deploy.py restores one",
    "backup.sh": "makes an archive; test_deploy.py runs it",
    "groupadd": "makes a group",
    "usermod": "puts a user into a group",
    "uvicorn": "serves until it is stopped; the tests of a distribution that `new --remote` made serve it",
}
"""Other programs in examples of the shell, and why they are not run."""

PRINTED = {"", "text"}
"""Blocks of what a benchmark printed in minutes or hours, of `--help` (compared by `test_docs`), and drawings."""

BUILT = {"{eval-rst}"}
"""Directives, which test_site.py builds."""

LANGUAGES = {"console", "json", "py", "python", "sh", "toml", "yaml", *PRINTED, *BUILT}


class Block(NamedTuple):
    """A code block: its page, language, kind, text, and the path of the file that it is."""

    page: Path
    language: str
    kind: str
    text: str
    file: str | None


def all_blocks() -> list[Block]:
    """The blocks of all pages, changelogs apart."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^( *)```([\w{}-]*)(?: (\w+))?\n(.*?)^ *```$", text, re.M | re.S):
            above = text[: match.start()].rstrip().rpartition("\n\n")[2]
            path = re.match(r"`([\w./-]+)`", above)
            body = re.sub(rf"^{match[1]}", "", match[4], flags=re.M)
            found.append(Block(page, match[2], match[3] or "", body, path[1] if path else None))
    return found


BLOCKS = all_blocks()


def of(*languages: str) -> list[Any]:
    """The blocks of some languages that are not files, as parameters of a test."""
    chosen = [one for one in BLOCKS if one.language in languages and not one.file]
    return [pytest.param(one, id=f"{name_of(one.page)}-{one.text[:30]!r}") for one in chosen]


def test_every_block_is_of_a_language_that_is_held() -> None:
    assert {(name_of(one.page), one.language) for one in BLOCKS if one.language not in LANGUAGES} == set()


def commands(text: str) -> list[list[str]]:
    """The single commands of lines of the shell, each as its words; comments, variables and redirections apart."""
    found: list[list[str]] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        lexer = shlex.shlex(line.replace("…", "DOTS"), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        parts: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= set("|&;"):
                parts.append([])
            else:
                parts[-1].append(word)
        for kept in parts:
            while kept and re.match(r"[A-Z_]+=", kept[0]):
                del kept[0]
            if kept:
                found.append(kept)
    return found


def check_arbitrank(words: list[str], whole: click.Group = cli) -> None:
    """Find the verb and its options; raises `click.UsageError` for what is none."""
    for place, word in enumerate(words):
        if word in ("<", ">", "2>"):
            words = words[:place]
            break
    context = whole.make_context("arbitrank", [], resilient_parsing=True)  # its settings are cached with the commands
    command: click.Command = whole
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found, name
        command, context = found, click.Context(found, info_name=name, parent=context)
    given, _, _ = command.make_parser(context).parse_args(list(words))
    for param in command.params:
        value = given.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(value, str) and not value.isupper():
            param.type.convert(value, param, context)


def check_shell(text: str) -> None:
    for words in commands(text):
        program = Path(words[0]).name
        if program == "arbitrank":
            check_arbitrank(words[1:])
        elif program == "arbitrank-mcp":
            check_arbitrank(words[1:], bridge)
        elif program.startswith("python"):
            check_python(words[1:])
        else:
            assert program in {*NOT_RUN, "echo", "head", "printf", "tail", ".ci/run", "pytest", "run"}, words


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), words
    elif words[0] != "-c":
        assert (ROOT / words[0]).is_file() or words[0] in {one.file for one in BLOCKS}, words


@pytest.mark.parametrize("block", of("sh"))
def test_commands_exist_with_their_options(block: Block) -> None:
    check_shell(block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_indented_commands_exist_with_their_options(page: Path) -> None:
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
    for line in re.findall(r"(?m)^    ((?:arbitrank|python -m) .*)", text):
        check_shell(re.sub(r"\[[^]]*\]", "", line))


@pytest.mark.parametrize("block", of("json"))
def test_json_decodes(block: Block) -> None:
    if block.kind in DECODERS or block.kind in WRITTEN:
        return  # test_docs decodes it
    value = json.loads(block.text)
    if "action" in value:
        msgspec.convert(value, Decision, strict=False)
    elif "ranked" in value:
        msgspec.convert(value["ranked"], list[Ranked])
    else:
        decode_request(block.text.replace("\n", " "))


@pytest.mark.parametrize("block", of("toml"))
def test_toml_is_read(block: Block, tmp_path: Path) -> None:
    value = tomllib.loads(block.text)
    if {"decisions", "domains", "out_of_scope"} & value.keys() and block.kind not in ("policy", "names"):
        (tmp_path / "arbitrank.toml").write_text(block.text, encoding="utf-8")
        read_configuration(tmp_path / "arbitrank.toml")


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_read(block: Block) -> None:
    assert yaml.safe_load(block.text)


@pytest.mark.parametrize("block", of("py"))
def test_code_of_a_plugin_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes and tests that it defines are made; `Games` stands for the page's plugin."""
    package, plugin = types.ModuleType("arbitrank_games"), types.ModuleType("arbitrank_games.plugin")
    plugin.Games = type("Games", (ReferenceDomain,), {"name": "games"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "arbitrank_games", package)
    monkeypatch.setitem(sys.modules, "arbitrank_games.plugin", plugin)
    exec(compile(block.text, name_of(block.page), "exec"), {})


def test_python_blocks_are_run_or_named() -> None:
    """Those of these pages are run by the tests that are named; others would be neither run nor compared."""
    held = {
        DOCS / "how-to/python.md": "test_docs.test_the_python_examples_run",
        DOCS / "how-to/ask-back.md": "test_docs.test_the_python_examples_run",
        ROOT / "README.md": "here",
        ROOT / "core/README.md": "here",
        DOCS / "shortlist.md": "here, as far as its names; a Shortlister takes minutes to train",
    }
    pages = {one.page for one in BLOCKS if one.language == "python" and not one.file and one.page not in IN_ORDER}
    assert pages - held.keys() == set()


@pytest.mark.parametrize("page", ["README.md", "core/README.md"])
def test_the_readmes_python_prints_the_answer(page: str, tmp_path: Path) -> None:
    ((_, code),) = blocks(ROOT / page, "python")
    assert run([sys.executable, "-c", code], tmp_path).startswith("accept video 0.9")


def test_the_shortlisters_methods_are_there() -> None:
    from arbitrank.shortlist import shortlister

    ((_, code),) = blocks(DOCS / "shortlist.md", "python")
    compile(code, "shortlist.md", "exec")
    names = set(re.findall(r"shortlister\.(\w+)\(", code))
    assert names <= set(dir(shortlister.Shortlister))
