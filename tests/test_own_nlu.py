"""docs/own-nlu.md and its two further pages carry a team from its scores to an answer: all commands run, in order."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
import test_docs
from test_docs import DOCS, IN_ORDER, ROOT, facts, run, wheel

PORT = "8080"
REFERENCE = ("books", "music", "video")
"""The reference domains, which a team with its own NLU does not install, and which are installed beside the tests."""

END = "=== end ==="


def written(folder: Path) -> Path:
    """The folder with the pages' files, and with its package unpacked in `site`."""
    text = "".join(page.read_text(encoding="utf-8") for page in IN_ORDER)
    for match in re.finditer(r"^`([\w./-]+)`[^\n]*\n\n```\w+\n(.*?)^```$", text, re.M | re.S):
        path = folder / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(match[2], encoding="utf-8")
    test_docs.unpacked(wheel(folder / "acme-nlu"), folder / "site")
    return folder


def commands(pages: int = len(IN_ORDER)) -> list[tuple[str, str]]:
    """The commands of all pages, or of the first ones, each with the output that is shown."""
    found = []
    for _, text in (block for page in IN_ORDER[:pages] for block in test_docs.blocks(page, "console")):
        first, _, output = text.partition("\n")
        found.append((first.removeprefix("$ "), output))
    return found


def printed(folder: Path, pages: int = len(IN_ORDER)) -> list[str]:
    """The output of each command of all pages, or of the first ones, all run by one shell.

    The service is given a free port, and stopped at the end.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    lines = [line for command, _ in commands(pages) for line in (command.replace(PORT, port), f"echo '{END}'")]
    script = "\n".join(["set +m", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT", *lines])
    path = written(folder) / "site"
    output = run(script, folder, PYTHONPATH=str(path), ARBITRANK_STORE="store").replace(port, PORT)
    return [part.removeprefix("\n") for part in output.split(END)[:-1]]


def without_reference(output: str) -> str:
    """The rows of `arbitrank domains` without those of the reference domains."""
    lines = output.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(REFERENCE))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, scale: float) -> list[str]:
    """The output of each command; without `--full` of the first page alone, whose answers are promised."""
    return printed(tmp_path_factory.mktemp("own_nlu"), len(IN_ORDER) if scale == 1.0 else 1)


@pytest.mark.parametrize("place", range(len(commands())), ids=lambda place: commands()[place][0][:60])
def test_the_pages_command_prints_what_it_shows(place: int, outputs: list[str]) -> None:
    assert facts(without_reference(outputs[place])) == facts(commands()[place][1]), test_docs.WRITE


def test_the_answers_are_those_that_the_page_promises(outputs: list[str]) -> None:
    by_command = dict(zip((command for command, _ in commands()), outputs, strict=False))
    plain = by_command["arbitrank rank requests.jsonl | python act.py"]
    assert [line.split()[:2] for line in plain.splitlines() if not line.startswith(" ")] == [
        ["a", "accept"],
        ["b", "none"],
        ["c", "clarify"],
    ]
    assert (
        "b accept fallback\n    llm Answer"
        in by_command["arbitrank rank requests.jsonl --fallback llm | python act.py"]
    )
    served = next(output for command, output in by_command.items() if "/v1/rank" in command)
    assert served.startswith("b accept fallback\n    llm Answer")
    (health,) = [output for command, output in by_command.items() if "/readyz" in command]
    assert json.loads(health)["ready"]


def test_the_page_is_linked_from_the_readme_and_from_the_tutorial() -> None:
    assert "](docs/own-nlu.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](own-nlu.md)" in (DOCS / "plugins.md").read_text(encoding="utf-8")


def write(folder: Path) -> None:
    """Write the output of the commands into the pages."""
    texts = {page: page.read_text(encoding="utf-8") for page in IN_ORDER}
    for (command, _), output in zip(commands(), printed(folder), strict=True):
        shown = "".join(f"{line.rstrip()}\n" for line in without_reference(output).splitlines())
        block = re.compile(rf"^```console\n\$ {re.escape(command)}\n.*?^```$", re.M | re.S)
        for page, text in texts.items():
            texts[page] = block.sub(lambda _, c=command, p=shown: f"```console\n$ {c}\n{p}```", text)  # type: ignore[misc]
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")
