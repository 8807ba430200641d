"""Servers that misbehave, over standard input and output and over HTTP: each costs no more than itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from mcp_servers import small, tool
from test_mcp_gateway import called, client_of, configured, found, gateway, supervised

from arbitrank.shortlist.tool_outcomes import OutcomeTally
from arbitrank_mcp.calls import CallLog
from arbitrank_mcp.configuration import ServerConfiguration
from arbitrank_mcp.connection import Connection
from arbitrank_mcp.tolerance import readable_tools

MALFORMED = small(
    "malformed",
    7,
    None,
    {"description": "without a name"},
    {"name": 5},
    {"name": "", "description": "an empty name"},
    {"name": "x" * 500, "description": "a name that is too long"},
    {"name": "listed", "description": ["a", "list"], "inputSchema": [1]},
    {"name": "typed", "description": None, "inputSchema": {"type": "string", "properties": {"a": True}, "required": 7}},
    {"name": "sound", "description": "Sound the horn", "inputSchema": {"properties": {"port": {"type": "string"}}}},
    {"name": "sound", "description": "Sound it twice"},
)
GARBLED = small(
    "garbled",
    tool("garble", "Garble the line", "garble"),
    tool("malform", "Give a malformed result", "malform"),
    tool("plain", "Give a plain result"),
)
GROWING = small("growing", tool("grow", "Grow another tool", "grow"))
ENDLESS = small("endless", tool("again", "The same page again"), endless=True)
HOSTILE = {"malformed": MALFORMED, "garbled": GARBLED, "growing": GROWING, "endless": ENDLESS}


def test_malformed_tools_and_garbled_lines_cost_themselves_alone() -> None:
    async def run() -> None:
        async with client_of(gateway(CallLog(None), HOSTILE)) as client:
            horn = await found(client, "sound the horn", k=50)
            shown = {one["tool"]: one for one in horn["tools"]}
            assert shown["sound"]["description"] == "Sound the horn"  # the first of two of one name
            assert shown["sound"]["input_schema"]["properties"] == {"port": {"type": "string"}}
            assert horn["unavailable"] == []
            for name in ("listed", "typed"):
                assert (await called(client, "malformed", name))[1].startswith(f"malformed.{name}")
            assert await called(client, "garbled", "garble") == (False, "garbled.garble {} ")
            failed, text = await called(client, "garbled", "malform")
            assert (failed, "the result of malform is none: ValidationError" in text) == (True, True)
            assert (await called(client, "garbled", "plain"))[1] == "garbled.plain {} "
            assert [one["tool"] for one in (await found(client, "same page again"))["tools"]] == ["again"]

    anyio.run(run)


def test_tools_that_a_server_adds_are_found_however_often_it_says_so() -> None:
    async def run() -> None:
        one = gateway(CallLog(None), {"growing": GROWING})
        async with client_of(one) as client:
            before = one.catalogue
            for _ in range(3):
                assert not (await called(client, "growing", "grow"))[0]
            catalogues = {before}
            while not [each for each in (await found(client, "a later tool"))["tools"] if each["tool"] == "grown3"]:
                catalogues.add(one.catalogue)
                await anyio.sleep(0.02)
            assert len(catalogues) <= 3  # of 150 notifications
            assert (await called(client, "growing", "grown2"))[1] == "growing.grown2 {} "

    anyio.run(run)


def test_descriptions_of_a_million_characters_are_cut() -> None:
    many = [{"name": f"t{i}", "description": "x" * 1_000_000, "inputSchema": {"properties": {"a": {}}}}
            for i in range(3)]  # fmt: skip
    assert [len(each["description"]) for each in readable_tools(many)] == [10_000] * 3
    large = {"name": "a", "inputSchema": {"properties": {"x" * 300_000: {}}}}
    assert readable_tools([large]) == [{"name": "a", "inputSchema": {"type": "object"}}]
    assert len(readable_tools([{"name": f"t{i}", "description": "x" * 10_000} for i in range(4_000)])) < 2_000


def test_a_result_that_is_none_is_a_failure_of_the_tool() -> None:
    async def run() -> None:
        one = gateway(CallLog(None), {"garbled": GARBLED})
        async with client_of(one) as client:
            await found(client, "malformed result")
            for _ in range(3):
                assert (await called(client, "garbled", "malform"))[0]
            assert one.catalogue.library.outcomes.after(OutcomeTally()).number == 3

    anyio.run(run)


@contextmanager
def http_server(reply: bytes | None) -> Iterator[str]:
    """A server that gives every request this reply, or none at all."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            kept.append(connection)
            if reply is not None:
                connection.recv(65_536)
                connection.sendall(reply)
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for one in kept:
        one.close()
    thread.join()


def _reply(status: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (None, "no answer within"),
        (_reply("401 Unauthorized"), ""),
        (_reply("500 Internal Server Error"), ""),
        (_reply("200 OK", b"<html>s3cret</html>", "text/html"), ""),
        (_reply("200 OK", b"{]"), ""),
        (_reply("200 OK", b"[]"), ""),
        (_reply("302 Found"), ""),
        (b"no HTTP\r\n\r\n", ""),
    ],
    ids=["silent", "401", "500", "html", "json", "list", "redirect", "no http"],
)
def test_an_http_server_that_is_none_is_unavailable_with_its_reason(reply: bytes | None, said: str) -> None:
    async def run() -> None:
        with http_server(reply) as url:
            one = Connection("odd", ServerConfiguration(url=url, headers={"A": "s3cret"}), 0.5, lambda: None)

            async def body() -> None:
                assert (one.available, one.problem is not None) == (False, True)
                assert said in str(one.problem)
                assert "s3cret" not in str(one.problem)

            await supervised(one, body)

    anyio.run(run)


def test_a_server_may_have_a_deadline_of_its_own() -> None:
    one = configured({**small("slow", tool("a", "b")), "deadline": 300})
    assert Connection("slow", one, 10.0, lambda: None).deadline == 300
    assert Connection("slow", configured(small("slow")), 10.0, lambda: None).deadline == 10.0
