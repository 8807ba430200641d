"""docs/tutorial.md, followed literally: its files are written, its commands run in their order, from wheels alone.

`python tests/test_docs.py` writes the outputs into the page, by this module's test with ARBITRANK_WRITE_DOCS set.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from test_docs import TUTORIAL as PAGE
from test_docs import WRITE, facts

PORT = "8080"
END = "=== end ==="
PROGRESS = re.compile(r"^.*: \d+ of \d+(?:, \d+ s)?\n|^\w+: [\w -]+ [1-9]\d*/\d+, \d+ rows\n", re.M)
"""Lines of progress, which depend on the machine's speed."""

SETTING = """
set +m
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
pip() { python -m pip "$@" --no-index --no-build-isolation --no-deps; }  # what is needed is there
"""


class Step(NamedTuple):
    """A file of the page that is written, or a command with the output that is shown."""

    path: str
    command: str
    text: str

    def script(self, port: str) -> str:
        """The step for the shell."""
        if self.path:
            return f"cat > {self.path} <<'{END}'\n{self.text.replace(PORT, port)}{END}"
        return f"{self.command.replace(PORT, port)}\necho '{END}'"


def steps(text: str) -> list[Step]:
    """The page's files and console blocks, in order."""
    found = []
    for match in re.finditer(
        r"^(?:`(?P<path>[\w./-]+\.\w+)`[^\n]*\n\n```\w+|```console)\n(?P<text>.*?)^```$", text, re.M | re.S
    ):
        first, _, output = match["text"].partition("\n")
        file = (match["path"], "", match["text"])
        found.append(Step(*file) if match["path"] else Step("", first.removeprefix("$ "), output))
    return found


STEPS = steps(PAGE.read_text(encoding="utf-8"))
COMMANDS = [step for step in STEPS if step.command]


@pytest.fixture(scope="module")
def outputs(new_home: Callable[[], Any], wheels: dict[str, Path]) -> list[str]:
    """The output of each command, all run by one shell in a fresh environment; the service has a free port."""
    home = new_home()
    home.install(*wheels.values())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    printed = home.shell(SETTING + "\n".join(step.script(port) for step in STEPS))
    text = printed.replace(f"{home.folder}/", "…/").replace(port, PORT)
    found = [PROGRESS.sub("", one.removeprefix("\n")) for one in text.split(END)[:-1]]
    if "ARBITRANK_WRITE_DOCS" in os.environ:
        _write(found)
    return found


def _write(outputs: list[str]) -> None:
    """Write the outputs into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for step, output in zip(COMMANDS, outputs, strict=True):
        shown = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
        block = re.compile(rf"^```console\n\$ {re.escape(step.command)}\n{re.escape(step.text)}```$", re.M)
        text = block.sub(lambda _, c=step.command, p=shown: f"```console\n$ {c}\n{p}```", text, count=1)  # type: ignore[misc]
    PAGE.write_text(text, encoding="utf-8")


def shown(output: str) -> list[str]:
    """The facts of an output, without the reasons of a reading on lines of their own; like requests count once."""
    lines = [line for line in output.splitlines() if not line.startswith(" " * 12)]
    kept = [re.sub(r"^((?:wrong|right) to (?:wrong|right))  .*", r"\1", line) for line in facts("\n".join(lines))]
    kept = [re.sub(r"(it claims N of N requests that are none of its own).*", r"\1", line) for line in kept]
    kept = [re.sub(r"^“.*”", "REQUEST", line) for line in kept]
    kept = [re.sub(r"(?<=N:N:NZ )\S+ (?=\w+:)", "USER ", line) for line in kept]
    kept = [re.sub(r"\b(?:factored|corrected|boosted) \(.*?\);", "KIND", line) for line in kept]
    return [line for line, _ in groupby(kept)]


@pytest.mark.parametrize("place", range(len(COMMANDS)), ids=lambda place: COMMANDS[place].command[:60])
def test_a_command_of_the_tutorial_prints_what_it_shows(place: int, outputs: list[str]) -> None:
    assert shown(outputs[place]) == shown(COMMANDS[place].text), WRITE


def test_the_tutorials_domain_is_made_checked_trained_asked_and_promoted(outputs: list[str]) -> None:
    printed = {step.command: output for step, output in zip(COMMANDS, outputs, strict=True)}
    checks = [output for step, output in zip(COMMANDS, outputs, strict=True) if "check podcasts" in step.command]
    assert "shipped_weights_are_of_the_present_data" in checks[0]
    assert " 0 broken, 0 findings" in checks[-1]
    asked = {command: output.splitlines()[-1] for command, output in printed.items() if " ask " in f" {command}"}
    decisions = [line.split("(")[0].split(":")[0].strip() for line in asked.values()]
    assert decisions == [
        "accept  podcasts PlayPodcast",
        "accept  video PlayVideo",
        "none  out of scope",
        "accept  podcasts PlayPodcast",
    ]
    assert "the gate would pass it" in printed["arbitrank impact podcasts --on log"]


def test_the_tutorial_installs_the_wheels_that_there_are(wheels: dict[str, Path]) -> None:
    lines = re.findall(r"^pip install --find-links wheels (.+)$", PAGE.read_text(encoding="utf-8"), re.M)
    named = {Requirement(one).name for line in lines for one in shlex.split(line)}
    assert named == set(wheels) - {"arbitrank-mcp"}  # which has a page of its own
