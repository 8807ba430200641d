"""arbitrank serve: the HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from arbitrank.answerlog.redaction import redactor
from arbitrank.arbitration.answer_phrases import read_phrases
from arbitrank.cli import (
    box_options,
    decision_options,
    environment_options,
    host_options,
    log_options,
    options,
    shortlist_options,
)
from arbitrank.cli.exploration_options import exploring
from arbitrank.cli.service_keys import encryption, signing
from arbitrank.cli.stated_options import StatedCommand, shown, stated_again, stating_again
from arbitrank.cli.watch_options import watching
from arbitrank.errors import InputError
from arbitrank.remote_entry import is_loopback
from arbitrank.serve.auth import read_tokens
from arbitrank.serve.policy import read_policy
from arbitrank.serve.settings import ServiceLimits, ServiceSettings
from arbitrank.store.signing import open_keys
from arbitrank.store.store import open_store

_limiting = options.gathered(
    "limits",
    ServiceLimits,
    click.option("--limit-waiting", "waiting", type=click.IntRange(1), default=16, help="Pending calls."),
    click.option("--limit-connections", "connections", type=click.IntRange(1), default=1_000, help="Of a worker."),
    click.option("--limit-body", "body", type=click.IntRange(1), default=1 << 20, help="Bytes of a call."),
    click.option("--limit-batch", "batch_body", type=click.IntRange(1), default=8 << 20, help="Bytes of a list."),
    click.option(
        "--limit-seconds",
        "seconds",
        type=options.Share(0.1, 3600),
        default=10.0,
        help="For a call to arrive, and for its answer to be read.",
    ),
    click.option(
        "--limit-list-seconds", "list_seconds", type=options.Share(0.1, 3600), default=30.0, help="To answer a list."
    ),
    click.option("--limit-held", "held", type=click.IntRange(1), default=64 << 20, help="Bytes arriving in a worker."),
    click.option(
        "--limit-client-held",
        "client_held",
        type=click.IntRange(1),
        default=32 << 20,
        help="Of them from one address, or with one token.",
    ),
    click.option(
        "--limit-client-connections",
        "client_connections",
        type=click.IntRange(1),
        help="Of one address in a worker.  [default: any number]",
    ),
    host_options.proxies,
)


@click.command("serve", cls=StatedCommand)
@click.option("--host", default="127.0.0.1", help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 takes any free port.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Processes that answer.")
@options.store_url
@options.keys_folder
@signing
@click.option(
    "--poll",
    type=options.Share(0.01, 3600),
    default=1.0,
    metavar="SECONDS",
    help="Interval within which a change in the store takes effect.",
)
@click.option(
    "--policy", type=options.PATH, metavar="FILE", help="Exceptions to decisions, in TOML; reloaded on change."
)
@click.option("--tokens", type=options.PATH, metavar="FILE", help="Tokens and their scopes; reloaded on change.")
@click.option("--open", "open_", is_flag=True, help="Listen to other machines without --tokens.")
@host_options.allowed_hosts
@click.option("--log", type=options.PATH, metavar="DIR", help="Log requests, answers and feedback here.")
@log_options.kept
@click.option(
    "--shadow",
    type=options.PATH,
    metavar="DIR",
    help="Query the candidates too; log their answers here.",
)
@environment_options.followed
@box_options.boxing
@options.isolate
@options.deadline
@shortlist_options.shortlisting
@options.hyprank_folder
@click.option(
    "--phrases",
    type=options.PATH,
    metavar="FILE",
    multiple=True,
    help="Answers to questions in another language, for /v1/choose. May be repeated.",
)
@click.option(
    "--map",
    "payloads",
    metavar="VENDOR=FILE",
    multiple=True,
    callback=lambda context, parameter, value: _payloads(value),
    help="Names of yours for those of a system whose payloads come with ?format=VENDOR, in TOML. May be repeated.",
)
@click.option("--sample", type=options.Share(0, 1), default=0.01, help="Share of calls reported.")
@click.option(
    "--drain",
    type=options.Share(0, 600),
    default=0.0,
    metavar="SECONDS",
    help="Report that it is not ready for so long before it stops.",
)
@click.option(
    "--hang",
    type=options.Share(0.5, 3600),
    default=10.0,
    metavar="SECONDS",
    help="Replace a worker in which nothing has moved for so long, as where a domain hangs.",
)
@click.option("--require", metavar="DOMAIN", multiple=True, help="Not ready while it cannot answer. May be repeated.")
@click.option(
    "--store-age",
    type=options.Share(0, 1e9),
    metavar="SECONDS",
    help="Not ready once the store has not answered for so long.  [default: unlimited]",
)
@click.option(
    "--follow-share/--no-follow-share",
    default=None,
    help="Follow the share of out-of-scope requests in the traffic, slowly and within bounds.  "
    "[default: no-follow-share]",
)
@exploring
@watching
@_limiting
@encryption
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), help="A port of its own for /metrics, which needs no token there."
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    help="The address of that port; other than this machine's it needs --tokens with the scope metrics.",
)
@click.option("--otel", is_flag=True, help="Export OpenTelemetry spans by OTLP, as the variables OTEL_… say.")
@click.option("--console/--no-console", default=True, help="Serve the console, pages for a browser, at /.")
@click.option("--metrics-open", is_flag=True, help="Need no token at --metrics-host.")
@decision_options.decisions(unserved=True)
@click.option(
    "--show-config",
    is_flag=True,
    is_eager=True,
    help="Print the value and the source of each option, as a file of --config, and serve nothing.",
)
def serve(
    boxing: None,
    open_: bool,
    show_config: bool,
    isolate: tuple[str, ...],
    deadline: float | None,
    hyprank: Path | None,
    follow_share: bool | None,
    metrics_open: bool,
    **settings: Any,
) -> None:
    """Answer requests over HTTP, following the store; /docs describes the calls. SIGTERM finishes those in flight.

    Events are reported on standard error, one JSON object a line. Each option may also be stated by the environment,
    ARBITRANK_SERVE_LIMIT_BODY, or in the table [serve] of the file of --config, limit-body.

    Example: arbitrank serve --port 8080 --log ./log
    """
    from arbitrank.serve.supervisor import run

    ctx = click.get_current_context()
    checked = _checked(open_, isolate, deadline, hyprank, follow_share, metrics_open, settings)
    if show_config:
        print(shown(ctx))
    elif (found := stating_again(ctx)) is not None:
        found.append(checked)
    elif status := run(checked, lambda: stated_again(ctx)):
        raise SystemExit(status)


def _checked(
    open_: bool,
    isolate: tuple[str, ...],
    deadline: float | None,
    hyprank: Path | None,
    follow_share: bool | None,
    metrics_open: bool,
    settings: dict[str, Any],
) -> ServiceSettings:
    """The settings, each checked. Raises `InputError`."""
    host, policy, tokens = settings["host"], settings["policy"], settings["tokens"]
    settings["following"] = decision_options.following(follow_share)
    loopback = is_loopback(host)
    if not loopback and tokens is None and not open_:
        raise InputError(f"--host {host}: open to other machines, and no --tokens; expected that, or --open")
    if settings["shadow"] is not None and settings["shadow"] == settings["log"]:
        raise InputError(f"--shadow {settings['shadow']}: that is the folder of --log; expected another one")
    options.needs("--log", settings["log"], explore=tuple(settings["exploration"].budgets))
    options.needs("--isolate or --environments", isolate or settings.get("environments"), deadline=deadline)
    settings["metrics_tokens"] = _metrics_tokens(
        settings["metrics_port"], settings["metrics_host"], tokens, metrics_open
    )
    # A bad file is reported here once, rather than by every worker.
    for option in ("log", "shadow"):
        if settings[option] is not None and settings[option].exists() and not settings[option].is_dir():
            raise InputError(f"--{option} {settings[option]}: not a folder; expected one, or a name that is free")
    redactor(settings["log_settings"].words, settings["log_settings"].key)
    options.hyprank(hyprank, open_store(settings["store"], open_keys(settings["keys"])))
    settings["signing"].opened()
    settings["tls"].opened_by()
    if policy is not None:
        read_policy(policy)
    for path in settings["phrases"]:
        read_phrases(path)
    if tokens is not None:
        read_tokens(tokens)
    return ServiceSettings(loopback=loopback, isolate=isolate, deadline=deadline, hyprank=hyprank, **settings)


def _metrics_tokens(port: int | None, host: str, tokens: Path | None, open_: bool) -> Path | None:
    """The tokens that the port of the metrics needs; None on this machine, and where it is open to others."""
    if port is None or open_ or is_loopback(host):
        return None
    if tokens is None:
        raise InputError(
            f"--metrics-host {host}: open to other machines, and no --tokens; expected that, or --metrics-open"
        )
    return tokens


def _payloads(given: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """The formats and mapping files of `VENDOR=FILE` options. Raises `InputError` for a bad one."""
    from arbitrank.importers.payloads import PayloadFormat

    found = []
    for pair in given:
        name, equals, path = pair.partition("=")
        if not equals or not path:
            raise InputError(f"--map: {pair!r} is no pair, expected VENDOR=FILE, as in rasa=names.toml")
        PayloadFormat.stated(name, mapping=Path(path))  # a bad file is reported here once
        found.append((name, Path(path)))
    return tuple(found)
