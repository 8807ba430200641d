"""The command `arbitrank-mcp`: served over HTTP and over standard input and output, with the SDK's client."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_servers import HARBOUR, LIBRARY

from arbitrank_mcp.main import main

COMMAND = (sys.executable, "-m", "arbitrank_mcp")


def configured(folder: Path, **servers: Any) -> str:
    path = folder / "servers.json"
    path.write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that is served over HTTP."""
    folder = tmp_path_factory.mktemp("http")
    command = [*COMMAND, "serve", "--config", configured(folder, library=LIBRARY), "--http", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stderr
        said = next(line for line in process.stderr if "listening" in line)
        yield said.split()[-1]
        process.terminate()


async def asked(client: Client, query: str) -> tuple[str, str, str]:
    found: Any = (await client.call_tool("find_tools", {"query": query})).structured_content
    one = found["tools"][0]
    arguments = {"server": one["server"], "tool": one["tool"], "search": found["search"]}
    result = await client.call_tool("call_tool", arguments)
    return one["server"], one["tool"], getattr(result.content[0], "text", "")


def test_over_http(url: str) -> None:
    async def run() -> None:
        async with Client(url) as client:
            assert await asked(client, "reserve for a reader") == ("library", "reserve", "library.reserve {} ")

    assert url.startswith("http://127.0.0.1:")
    anyio.run(run)


def test_over_standard_input_and_output_before_a_server_of_each_kind(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    config = configured(tmp_path, harbour=HARBOUR, far={"url": url})

    async def run() -> None:
        args = [*COMMAND[1:], "serve", "--config", config, "--log", str(log)]
        async with Client(StdioServerParameters(command=COMMAND[0], args=args)) as client:
            assert (await asked(client, "high tide"))[:2] == ("harbour", "tides")
            far: Any = (await client.call_tool("find_tools", {"query": "find tools that fit"})).structured_content
            assert (far["tools"][0]["server"], far["tools"][0]["tool"]) == ("far", "find_tools")
            arguments = {"server": "far", "tool": "find_tools", "arguments": {"query": "reserve for a reader"}}
            inner: Any = (await client.call_tool("call_tool", arguments)).structured_content
            assert inner["tools"][0]["tool"] == "reserve"

    anyio.run(run)
    (segment,) = log.iterdir()
    lines = list(map(json.loads, segment.read_text(encoding="utf-8").splitlines()))
    assert [line["truth"]["intent"] for line in lines if "truth" in line] == ["tides", "find_tools"]


def run_command(*args: str) -> int:
    from functools import partial

    from arbitrank_mcp.main import cli

    with pytest.raises(SystemExit) as ended:
        main(partial(cli.main, args=list(args)))
    return int(str(ended.value.code))


def test_tools_prints_the_catalogue_and_says_who_did_not_answer(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    config = configured(tmp_path, harbour=HARBOUR, missing={"command": "/no/such/command"})
    assert run_command("tools", "--config", config) == 0
    out, said = capfdbinary.readouterr()
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["tides", "search", "berths"]
    assert b"server missing: FileNotFoundError: No such file or directory" in said


def test_find_prints_what_a_search_would_find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(tmp_path, harbour=HARBOUR, missing={"command": "/no/such/command"})
    assert run_command("find", "--config", config, "when is high tide") == 0
    out, err = capsys.readouterr()
    assert out.split()[1:] == ["%", "harbour", "tides"]
    assert "no probabilities" in err
    assert "server missing is not there" in err
    assert run_command("find", "--config", config, "xyzzy") == 0
    assert "no tool: none of the words is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("serve", "--config", "none.json"), "none.json: cannot be read"),
        (("serve",), "Missing option '--config'"),
        (("serve", "--config", "CONFIG", "--store", "empty"), "no shortlister is stable"),
        (("serve", "--config", "CONFIG", "--keys", "keys"), "--keys: no --store"),
        (("find", "--config", "CONFIG", "--store", "empty", "tide"), "no shortlister is stable"),
        (("serve", "--config", "CONFIG", "--store", "empty", "--embed"), "--embed: beside --store"),
        (("find", "--config", "CONFIG", "tide", "--embed", "math:sqrt"), "encoder math:sqrt: raised TypeError"),
        (("tools", "--config", "CONFIG", "--deadline", "0"), "--deadline"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_call_ends_with_status_2_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = configured(tmp_path, harbour=HARBOUR)
    assert run_command(*(config if one == "CONFIG" else one for one in args)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
