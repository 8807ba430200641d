"""Settings of the service, as the command line builds them and each worker receives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from arbitrank.answerlog.settings import LogSettings
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.following import ShareFollowing
from arbitrank.outcomes.exploration import ExplorationSettings
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.key_files import SigningKey, read_password

GRACE = 30
"""Seconds that a stop waits for calls that have begun."""

MAX_BATCH = 1_000
"""Requests of one call."""

MAX_UTTERANCE = 2_000
"""Characters of an utterance, which is as much as the domains read."""

MAX_ID = 200
"""Characters of an id, and of a session's."""

MAX_DEPTH = 16
"""Levels of objects and lists in a context, session, account or dialogue."""


@dataclass(frozen=True)
class ServiceLimits:
    """Load limits of one worker; beyond them calls are refused, or their connections closed.

    `waiting`: rank calls pending. `batches`: lists being answered, each for `list_seconds`. `body`, `batch_body`: bytes
    of a call with one request and with a list. `head`: bytes of a call's headers. `held`, `client_held`: bytes of
    bodies being received, of all and of one client. `seconds`: for a call to arrive, and for a client to accept its
    response. `idle`: seconds between two calls of a connection, more than the 60 after which nginx closes its own.
    `connections`, `client_connections`: open at once, of all and of one address; None leaves the latter open. A client
    is an address, or a token; `proxies` are addresses whose `X-Forwarded-For` names the client.
    """

    waiting: int = 16
    batches: int = 2
    list_seconds: float = 30.0
    body: int = 1 << 20
    batch_body: int = 8 << 20
    head: int = 16 << 10
    held: int = 64 << 20
    client_held: int = 32 << 20
    connections: int = 1_000
    client_connections: int | None = None
    proxies: tuple[str, ...] = ()
    seconds: float = 10.0
    idle: float = 75.0


@dataclass(frozen=True)
class Tls:
    """Certificate and private key of the service; without a certificate it does not use TLS."""

    certificate: Path | None = None
    key: Path | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None

    def opened_by(self) -> str | None:
        """The password of the key, None where it needs none. Raises `InputError` where its file cannot be read."""
        return read_password(self.password_file) if self.password_file else self.password


@dataclass(frozen=True)
class WatchSettings:
    """Watch over the domains by the log, in a process of the service, if it is `on`.

    It looks `every` so many seconds at the requests `since` then, and posts new alarms to the URL `webhook`. With
    `outcomes` it proposes recalibrations by users' reactions.
    """

    on: bool = True
    every: float = 300.0
    since: str = "2d"
    webhook: str | None = None
    outcomes: bool = False


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of the service and its workers. `store` and `keys` are texts, which each worker opens for itself.

    `sample`: share of the calls that are logged. `drain`: seconds for which the service reports not ready before it
    stops listening. `isolate`: domains to run in worker processes, as on the command line; `deadline`: their
    milliseconds. `shortlist`: have the store's Shortlister choose the domains to query. `hyprank`: folder of a model
    that sorts the merged lists. `phrases`: files of answers to questions in further languages. `payloads`: other
    systems' formats, each with a file of the operator's names for theirs. `loopback`: it listens on this machine only;
    `allowed_hosts`: further names under which it is called, in lower case.
    `following`: by what the share of out-of-scope requests follows the traffic. `hang`: seconds after which a worker
    whose event loop stands still is killed and replaced. `require`: domains without which the service is not ready;
    `store_age`: seconds without an answer of the store after which it is not. `metrics_port`: a port of the metrics'
    own at `metrics_host`, where callers need a token of `metrics_tokens`, if that is given. `otel`: export spans by
    OpenTelemetry. `watch`: how the domains are watched by the log. `exploration`: budgets, none by default.
    `environments`: the folder of domains' own environments. `console`: serve the pages of the console.
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
    allowed_hosts: tuple[str, ...] = ()
    log: Path | None = None
    log_settings: LogSettings = field(default=LogSettings())
    shadow: Path | None = None
    isolate: tuple[str, ...] = ()
    environments: Path | None = None
    deadline: float | None = None
    shortlist: ShortlistSettings | None = None
    hyprank: Path | None = None
    phrases: tuple[Path, ...] = ()
    payloads: tuple[tuple[str, Path], ...] = ()
    sample: float = 0.01
    drain: float = 0.0
    hang: float = 10.0
    require: tuple[str, ...] = ()
    store_age: float | None = None
    limits: ServiceLimits = ServiceLimits()
    tls: Tls = Tls()
    signing: SigningKey = field(default=SigningKey())
    following: ShareFollowing = field(default=ShareFollowing())
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    metrics_tokens: Path | None = None
    otel: bool = False
    watch: WatchSettings = WatchSettings()
    exploration: ExplorationSettings = field(default=ExplorationSettings())
    console: bool = True
