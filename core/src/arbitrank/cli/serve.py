"""arbitrank serve: the service."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from arbitrank.answerlog.redaction import CONTEXT, redactor
from arbitrank.answerlog.settings import LogSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import options
from arbitrank.errors import InputError

_FILE = click.Path(path_type=Path)


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes any free port.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@click.option("--store", metavar="URL", help="The store of weights; default ARBITRANK_STORE, else your data folder.")
@click.option("--keys", metavar="DIR", help="Trust only artifacts signed by keys in here; default ARBITRANK_KEYS.")
@click.option(
    "--poll",
    type=options.Share(0.01, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How soon a change in the store takes effect.",
)
@click.option(
    "--policy", type=_FILE, metavar="FILE", help="What is decided otherwise, in TOML; read again as it changes."
)
@click.option("--tokens", type=_FILE, metavar="FILE", help="Who may do what; read again as it changes.")
@click.option("--open", "open_", is_flag=True, help="Listen to other machines without --tokens all the same.")
@click.option("--log", type=_FILE, metavar="DIR", help="Keep requests, answers and feedback here.")
@click.option("--log-share", type=options.Share(0, 1), default=1.0, show_default=True, help="The share that is kept.")
@click.option(
    "--log-words",
    type=click.Choice(["keep", "hash", "drop"]),
    default="keep",
    show_default=True,
    help="What becomes of utterances and slot values in the log.",
)
@click.option("--log-key", type=_FILE, metavar="FILE", help="The key to hash them with.")
@click.option(
    "--log-context",
    metavar="KEY",
    multiple=True,
    default=CONTEXT,
    show_default=True,
    help="With words hashed or dropped, what is kept of the context; a * at the end is any end. May be repeated.",
)
@click.option("--log-days", type=click.FloatRange(0, min_open=True), help="Remove what is older.  [default: nothing]")
@click.option("--shadow", type=_FILE, metavar="FILE", help="Ask the candidates too; append here what they say.")
@options.isolate
@options.deadline
@click.option("--shortlist", is_flag=True, help="Ask only the domains that the store's Shortlister chooses.")
@options.shortlist_k
@options.shortlist_floor
@click.option(
    "--shortlist-always", metavar="DOMAIN", multiple=True, help="Ask this domain all the same. May be repeated."
)
@options.hyprank_folder
@click.option("--sample", type=options.Share(0, 1), default=0.01, show_default=True, help="The share of calls told of.")
@click.option(
    "--drain",
    type=options.Share(0, 600),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Say that it isn't ready for so long before it stops.",
)
@click.option("--limit-waiting", type=click.IntRange(1), default=16, show_default=True, help="Requests in a worker.")
@click.option("--limit-connections", type=click.IntRange(1), default=1_000, show_default=True, help="Of a worker.")
@click.option("--limit-body", type=click.IntRange(1), default=1 << 20, show_default=True, help="Bytes of a request.")
@click.option("--limit-batch", type=click.IntRange(1), default=8 << 20, show_default=True, help="Bytes of several.")
@click.option(
    "--limit-seconds",
    type=options.Share(0.1, 3600),
    default=10.0,
    show_default=True,
    help="For a call to arrive, and for its answer to be taken.",
)
@click.option("--ssl-certfile", type=_FILE, metavar="FILE", help="Speak TLS with this certificate.")
@click.option("--ssl-keyfile", type=_FILE, metavar="FILE", help="Its key, where that is in another file.")
@click.option("--ssl-keyfile-password", metavar="TEXT", help="What the key is locked with.")
@options.decisions(unserved=True)
def command(
    host: str,
    port: int,
    workers: int,
    store: str | None,
    keys: str | None,
    poll: float,
    policy: Path | None,
    tokens: Path | None,
    open_: bool,
    log: Path | None,
    log_share: float,
    log_words: str,
    log_key: Path | None,
    log_context: tuple[str, ...],
    log_days: float | None,
    shadow: Path | None,
    isolate: tuple[str, ...],
    deadline: float | None,
    shortlist: bool,
    k: int,
    floor: float,
    shortlist_always: tuple[str, ...],
    hyprank: Path | None,
    sample: float,
    drain: float,
    limit_waiting: int,
    limit_connections: int,
    limit_body: int,
    limit_batch: int,
    limit_seconds: float,
    ssl_certfile: Path | None,
    ssl_keyfile: Path | None,
    ssl_keyfile_password: str | None,
    decisions: DecisionSettings,
) -> None:
    """Answer requests over HTTP, following the store; /docs says how to ask. SIGTERM finishes what has begun.

    What happens is told on standard error, one JSON object a line.
    """
    from arbitrank.serve.auth import read_tokens
    from arbitrank.serve.policy import read_policy
    from arbitrank.serve.server import run
    from arbitrank.serve.settings import ServiceLimits, ServiceSettings, Tls
    from arbitrank.shortlist.shortlister import ShortlistSettings
    from arbitrank.store.signing import open_keys
    from arbitrank.store.store import open_store

    loopback = _loopback(host)
    if not loopback and tokens is None and not open_:
        raise InputError(f"--host {host}: other machines could ask, and no --tokens; promised that, or --open")
    if shadow is not None and workers > 1:
        raise InputError(f"--shadow: {workers} workers would write one file; promised --workers 1")
    if shortlist_always and not shortlist:
        raise InputError("--shortlist-always: no --shortlist; promised both")
    if deadline is not None and not isolate:
        raise InputError("--deadline: no --isolate; promised both")
    if ssl_keyfile is not None and ssl_certfile is None:
        raise InputError("--ssl-keyfile: no --ssl-certfile; promised both")
    logging = LogSettings(share=log_share, words=log_words, key=log_key, context=log_context, days=log_days)  # type: ignore[arg-type]
    # A bad file is reported here once, rather than by every worker.
    redactor(logging.words, logging.key)
    options.hyprank(hyprank, open_store(store, open_keys(keys)))
    if policy is not None:
        read_policy(policy)
    if tokens is not None:
        read_tokens(tokens)
    run(
        ServiceSettings(
            host=host,
            port=port,
            store=store,
            keys=keys,
            workers=workers,
            poll=poll,
            decisions=decisions,
            policy=policy,
            tokens=tokens,
            loopback=loopback,
            log=log,
            log_settings=logging,
            shadow=shadow,
            isolate=isolate,
            deadline=deadline,
            shortlist=ShortlistSettings(k, floor, frozenset(shortlist_always)) if shortlist else None,
            hyprank=hyprank,
            sample=sample,
            drain=drain,
            limits=ServiceLimits(
                waiting=limit_waiting,
                connections=limit_connections,
                body=limit_body,
                batch_body=limit_batch,
                seconds=limit_seconds,
            ),
            tls=Tls(ssl_certfile, ssl_keyfile, ssl_keyfile_password),
        )
    )


def _loopback(host: str) -> bool:
    """Whether nobody but this machine can ask at an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
