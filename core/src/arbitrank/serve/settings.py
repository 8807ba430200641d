"""How the service runs: what the command line said, as each worker is given it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from arbitrank.answerlog.settings import LogSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.shortlist.shortlister import ShortlistSettings

MAX_BATCH = 1_000
"""Requests of one call."""

MAX_UTTERANCE = 2_000
"""Characters of an utterance: what the domains read."""

MAX_ID = 200
"""Characters of an id, and of a session's."""

MAX_DEPTH = 16
"""Levels of objects and lists in a context, session, account or dialogue."""


@dataclass(frozen=True)
class Limits:
    """What the service takes on at once; past it clients are told to come again, or are cut off.

    `waiting` requests wait, or are answered, in one worker; `batches` calls with several at once. `body` and
    `batch_body` are the bytes of a call with one request and with several, `head` those of its headers, `held` those of
    all bodies that a worker has not read to their end. A call that takes longer than `seconds` to arrive, or whose
    answer isn't taken for so long, is cut off, and so is a connection that is idle for longer than `idle`. At most
    `connections` are open in one worker.
    """

    waiting: int = 16
    batches: int = 2
    body: int = 1 << 20
    batch_body: int = 8 << 20
    head: int = 16 << 10
    held: int = 64 << 20
    connections: int = 1_000
    seconds: float = 10.0
    idle: float = 60.0


@dataclass(frozen=True)
class Tls:
    """The files that TLS needs; `ca` are those whose clients' certificates are asked for."""

    certificate: Path
    key: Path | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None


@dataclass(frozen=True)
class Settings:
    """All that a worker needs to know. `store` and `keys` are texts, as each worker opens them for itself.

    `sample` is the share of the requests of which a line is written; `drain` are the seconds for which the service
    says that it is not ready before it stops listening. `isolate` names the domains that run in worker processes, as
    the command line does, `deadline` the milliseconds that those have. With `shortlist`, the store's Shortlister
    chooses whom to ask; with `hyprank`, a folder, what it holds sorts the merged lists. `loopback`: it listens on this
    machine alone.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    store: str | None = None
    keys: str | None = None
    workers: int = 1
    poll: float = 1.0
    decisions: DecisionSettings = field(default=DecisionSettings())
    policy: Path | None = None
    tokens: Path | None = None
    loopback: bool = True
    log: Path | None = None
    log_settings: LogSettings = field(default=LogSettings())
    shadow: Path | None = None
    isolate: tuple[str, ...] = ()
    deadline: float | None = None
    shortlist: ShortlistSettings | None = None
    hyprank: Path | None = None
    sample: float = 0.01
    drain: float = 0.0
    limits: Limits = Limits()
    tls: Tls | None = None
