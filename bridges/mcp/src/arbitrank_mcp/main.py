"""Command line: `arbitrank-mcp serve` and `arbitrank-mcp tools`. Exit status as of `arbitrank`."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec
import uvicorn

from arbitrank.answerlog.settings import LogSettings
from arbitrank.answerlog.writer import AnswerLog
from arbitrank.errors import ArbitrankError
from arbitrank.normal_text import printable
from arbitrank.shortlist.encoders import PACKAGED, usable_encoder
from arbitrank.shortlist.gathering import gather_skills
from arbitrank.store.signing import open_keys
from arbitrank.store.store import open_store
from arbitrank_mcp.calls import CallLog
from arbitrank_mcp.catalogue import skills_of
from arbitrank_mcp.configuration import read_configuration
from arbitrank_mcp.gateway import FindResult, Gateway, mcp_server
from arbitrank_mcp.library import ToolLibrary, followed

PATH = click.Path(path_type=Path)

_config = click.option(
    "--config", type=PATH, required=True, metavar="FILE", help="The servers: TOML, or JSON with mcpServers."
)
_store = click.option(
    "--store", metavar="DIR", help="Search by the stable Shortlister and HypRank of this store, which it follows."
)
_keys = click.option(
    "--keys", type=PATH, metavar="DIR", help="With --store: accept only what one of these keys has signed."
)
_embed = click.option(
    "--embed",
    is_flag=False,
    flag_value=PACKAGED,
    metavar="[ENCODER]",
    help="Without --store: find tools by the vectors of an encoder too: that of arbitrank[embed], an entry point of "
    "arbitrank.encoders, or MODULE:FUNCTION, a function from a list of texts to vectors.",
)
_deadline = click.option(
    "--deadline", type=click.FloatRange(0.1, 3600), default=10.0, show_default=True, metavar="SECONDS",
    help="For connecting to a server, for its list of tools, and for a call.",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """One MCP server before many: finds the tools that fit a request, calls them, and learns from the calls."""


@cli.command()
@_config
@_store
@_keys
@click.option(
    "--poll",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="With --store: a version that is promoted there searches within this time.",
)
@click.option("--log", type=PATH, metavar="DIR", help="Log searches and calls here, and learn from it at the start.")
@_embed
@click.option("--log-arguments", is_flag=True, help="Log the arguments of calls too; they may hold secrets.")
@click.option("--http", is_flag=True, help="Serve streamable HTTP on 127.0.0.1 instead of standard input and output.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Of --http; 0 is any.")
@_deadline
def serve(
    config: Path,
    store: str | None,
    keys: Path | None,
    poll: float,
    log: Path | None,
    embed: str | None,
    log_arguments: bool,
    http: bool,
    port: int,
    deadline: float,
) -> None:
    """Serve find_tools and call_tool over the servers of a configuration.

    Example: arbitrank-mcp serve --config servers.toml --log calls
    """
    servers = read_configuration(config)
    with ExitStack() as stack:
        library = _library(stack, store, keys, poll, log, embed)
        listening = stack.enter_context(_listening(port)) if http else None
        written = stack.enter_context(AnswerLog(log, LogSettings())) if log is not None else None
        calls = CallLog(written, shared=http, arguments=log_arguments)
        gateway = Gateway(servers, library, calls, deadline)
        anyio.run(_serve, gateway, listening)


@cli.command()
@_config
@_store
@_keys
@click.option("--log", type=PATH, metavar="DIR", help="Learn from this log; nothing is written to it.")
@_embed
@click.option("-k", "k", type=click.IntRange(1, 50), default=5, show_default=True, help="The most tools to print.")
@_deadline
@click.argument("query")
def find(
    config: Path,
    store: str | None,
    keys: Path | None,
    log: Path | None,
    embed: str | None,
    k: int,
    deadline: float,
    query: str,
) -> None:
    """Print the tools that find_tools would find for QUERY, each with its probability, to see how they rank.

    Example: arbitrank-mcp find --config servers.toml --log calls "when is high tide in dover"
    """
    servers = read_configuration(config)
    with ExitStack() as stack:
        library = _library(stack, store, keys, 1.0, log, embed)
        found = anyio.run(_find, Gateway(servers, library, CallLog(None), deadline), query, k)
    for one in found.tools:
        click.echo(f"{100 * one.probability:5.1f} %  {printable(one.server)} {printable(one.tool)}")
    if not found.tools:
        click.echo("no tool: none of the words is known, or likely no tool fits")
    if found.none is not None:
        click.echo(f"{100 * found.none:5.1f} %  that no tool fits")
    if not found.calibrated:
        _say("too few logged calls to calibrate: the figures order the tools and are no probabilities")
    for name in found.unavailable:
        _say(f"server {name} is not there: its tools are left out")


@cli.command()
@_config
@_deadline
def tools(config: Path, deadline: float) -> None:
    """Print the tools of all servers as a catalogue, for `arbitrank shortlist train --catalogue`.

    Example: arbitrank-mcp tools --config servers.toml > tools.jsonl
    """
    gateway = Gateway(read_configuration(config), ToolLibrary(), CallLog(None), deadline)
    for name, reason in anyio.run(_print_tools, gateway).items():
        _say(f"server {name}: {reason}")


def _library(
    stack: ExitStack, store: str | None, keys: Path | None, poll: float, log: Path | None, embed: str | None
) -> ToolLibrary:
    """The library that ranks searches; its follower of a store ends with the stack."""
    if keys is not None and store is None:
        raise click.UsageError("--keys: no --store; expected both.")
    if embed is not None and store is not None:
        raise click.UsageError(
            "--embed: beside --store, whose Shortlister has an encoder or none since its training; expected one of "
            "them. Train it with: arbitrank shortlist train --embed."
        )
    encoder = None if embed is None else usable_encoder(embed)
    live = None if store is None else followed(open_store(store, open_keys(keys)), poll)
    return ToolLibrary(log, None if live is None else stack.enter_context(live), encoder)


async def _find(gateway: Gateway, query: str, k: int) -> FindResult:
    async with anyio.create_task_group() as tasks:
        gateway.start(tasks)
        found = await gateway.find(query, k)
        tasks.cancel_scope.cancel()
    return found


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise click.UsageError(f"--port {port}: {error.strerror}") from None


async def _serve(gateway: Gateway, listening: socket.socket | None) -> None:
    server = mcp_server(gateway)
    async with anyio.create_task_group() as tasks:
        gateway.start(tasks)
        if listening is None:
            await server.run_stdio_async()
        else:
            port = listening.getsockname()[1]
            print(f"arbitrank-mcp: listening on http://127.0.0.1:{port}/mcp", file=sys.stderr, flush=True)
            settings = uvicorn.Config(server.streamable_http_app(), log_level="warning", timeout_graceful_shutdown=5)
            await uvicorn.Server(settings).serve(sockets=[listening])
        tasks.cancel_scope.cancel()


async def _print_tools(gateway: Gateway) -> dict[str, str]:
    """Print the catalogue; the servers that did not answer, each with the reason."""
    async with anyio.create_task_group() as tasks:
        gateway.start(tasks)
        gathered = gather_skills(skills_of(await gateway.tools()))
        for one in gathered.skills:
            sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
        sys.stdout.flush()
        problems = {name: one.problem for name, one in gateway.connections.items() if one.problem is not None}
        tasks.cancel_scope.cancel()
    return problems


def main(run: Callable[..., Any] = cli.main) -> None:
    """Run the command line and exit."""
    logging.basicConfig(level=logging.WARNING, format="arbitrank-mcp: %(message)s", stream=sys.stderr)
    logging.getLogger("arbitrank_mcp").setLevel(logging.INFO)
    # Warnings of the SDK quote messages of servers, which may hold anything.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    try:
        sys.exit(run(standalone_mode=False, prog_name="arbitrank-mcp") or 0)
    except click.ClickException as error:
        _fail(f"{error.format_message()} Run: arbitrank-mcp --help")
    except ArbitrankError as error:
        _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)


def _say(message: str) -> None:
    print(f"arbitrank-mcp: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _fail(message: str) -> None:
    _say(message)
    sys.exit(2)
