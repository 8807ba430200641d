"""The gateway before small real servers: one that dies, one that hangs, one that never answers, names that clash."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from mcp import Client
from mcp.types import CallToolResult
from mcp_servers import FRAGILE, HARBOUR, LIBRARY, SILENT, SLOW

from arbitrank.answerlog.writer import AnswerLog
from arbitrank_mcp.calls import CallLog
from arbitrank_mcp.configuration import ServerConfiguration
from arbitrank_mcp.connection import Connection, Unavailable
from arbitrank_mcp.gateway import Gateway, mcp_server
from arbitrank_mcp.library import ToolLibrary

MISSING = {"command": "/no/such/command"}
ALL = {"harbour": HARBOUR, "library": LIBRARY, "fragile": FRAGILE, "missing": MISSING}
PATIENT = 60.0  # seconds: no test waits as long, unless it fails


def configured(entry: dict[str, Any]) -> ServerConfiguration:
    return msgspec.convert(entry, ServerConfiguration)


def gateway(calls: CallLog, servers: dict[str, Any] = ALL) -> Gateway:
    return Gateway({name: configured(one) for name, one in servers.items()}, ToolLibrary(), calls, PATIENT)


@asynccontextmanager
async def client_of(one: Gateway) -> AsyncIterator[Client]:
    async with anyio.create_task_group() as tasks:
        one.start(tasks)
        async with Client(mcp_server(one)) as client:
            yield client
        tasks.cancel_scope.cancel()


async def found(client: Client, query: str, **more: Any) -> Any:
    return (await client.call_tool("find_tools", {"query": query, **more})).structured_content


async def called(client: Client, server: str, tool: str, **more: Any) -> tuple[bool, str]:
    result = await client.call_tool("call_tool", {"server": server, "tool": tool, **more})
    return result.is_error, text_of(result)


def text_of(result: CallToolResult) -> str:
    return "".join(getattr(one, "text", "") for one in result.content)


def test_tools_of_many_servers_are_found_called_and_learnt_from(tmp_path: Path) -> None:
    async def run() -> None:
        with AnswerLog(tmp_path) as log:
            async with client_of(gateway(CallLog(log))) as client:
                assert {one.name for one in (await client.list_tools()).tools} == {"find_tools", "call_tool"}
                tides = await found(client, "when is high tide")
                assert [(one["server"], one["tool"]) for one in tides["tools"]] == [("harbour", "tides")]
                assert tides["tools"][0]["input_schema"]["properties"]["port"]["description"] == "Name of the port"
                assert (tides["none"], tides["calibrated"], tides["unavailable"]) == (None, False, ["missing"])
                done = await called(client, "harbour", "tides", arguments={"port": "dover"}, search=tides["search"])
                assert done == (False, 'harbour.tides {"port": "dover"} s3cret-of-harbour')
                books = await found(client, "search books", k=1)
                assert [one["name"] for one in books["tools"]] in (["library/search"], ["reserve"])
                assert (await called(client, "library", "search", arguments={"title": "emma"}))[1].startswith(
                    "library."
                )
                await found(client, "free berths")
                assert (await called(client, "harbour", "berths"))[0]  # the tool's own failure
                nothing = await found(client, "xyzzy")
                assert (nothing["tools"], nothing["none"]) == ([], 1.0)

    anyio.run(run)
    lines = [json.loads(line) for path in sorted(tmp_path.iterdir()) for line in path.read_text().splitlines()]
    assert "s3cret" not in json.dumps(lines)
    assert "dover" not in json.dumps(lines)
    seen = [(line["utterance"], line.get("truth"), line["outcome"]) for line in lines if "outcome" in line]
    assert seen[0] == ("when is high tide", {"domain": "harbour", "intent": "tides"}, "accepted")
    assert seen[-1] == ("free berths", None, "rejected")


def test_a_server_that_dies_in_a_call_costs_that_call_and_returns() -> None:
    async def run() -> None:
        async with client_of(gateway(CallLog(None))) as client:
            failed, text = await called(client, "fragile", "explode")
            assert (failed, "the connection ended during the call" in text) == (True, True)
            assert not (await called(client, "harbour", "tides"))[0]
            while (await called(client, "fragile", "glow"))[0]:  # once it is noticed, the next call brings it back
                pass

    anyio.run(run)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"query": ""}, "at least 1 character"),
        ({"query": "x" * 4_001}, "at most 4000 characters"),
        ({"query": "tide", "k": 0}, "greater than or equal to 1"),
        ({"query": "tide", "k": 51}, "less than or equal to 50"),
        ({"server": "port", "tool": "tides"}, "not configured"),
        ({"server": "harbour", "tool": "nothing"}, "not of server harbour"),
        ({"server": "missing", "tool": "tides"}, "server missing: FileNotFoundError"),
        ({"server": "x" * 201, "tool": "tides"}, "at most 200 characters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_input_out_of_bounds_is_an_error_of_the_call(arguments: dict[str, Any], said: str) -> None:
    async def run() -> None:
        async with client_of(gateway(CallLog(None), {"harbour": HARBOUR, "missing": MISSING})) as client:
            result = await client.call_tool("find_tools" if "query" in arguments else "call_tool", arguments)
            assert (result.is_error, said in text_of(result)) == (True, True), text_of(result)

    anyio.run(run)


async def supervised(connection: Connection, body: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.run)
        await connection.tried.wait()
        await body()
        tasks.cancel_scope.cancel()


def test_a_server_that_hangs_fails_the_call_at_its_deadline_and_is_started_anew() -> None:
    async def run() -> None:
        gone = anyio.Event()

        def changed() -> None:
            if not connection.available:
                connection.deadline = PATIENT
                gone.set()

        connection = Connection("slow", configured(SLOW), PATIENT, changed)

        async def body() -> None:
            connection.deadline = 0.05
            with pytest.raises(Unavailable, match=r"no result within 0\.05 s"):
                await connection.call("dig", {})
            await gone.wait()
            assert connection.problem == "it stopped answering"
            assert text_of(await connection.call("wave", {})) == "slow.wave {} "

        await supervised(connection, body)

    anyio.run(run)


def test_a_server_that_never_answers_is_given_up_at_the_deadline() -> None:
    async def run() -> None:
        connection = Connection("silent", configured(SILENT), 0.05, lambda: None)

        async def body() -> None:
            assert (connection.available, connection.problem) == (False, "no answer within 0.05 s")

        await supervised(connection, body)

    anyio.run(run)
