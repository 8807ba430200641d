"""Options that several verbs share, and the values made from them."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.lineup import outdated, served
from arbitrank.arbitration.policy import Policy
from arbitrank.cli import environment_options, shares
from arbitrank.configuration import stated_text
from arbitrank.errors import ArtifactError, InputError, StoreError
from arbitrank.learn.rerankers import baseline
from arbitrank.registry import ENVIRONMENTS, discover
from arbitrank.scales import unused
from arbitrank.store.key_files import KEY_ENVIRONMENT, open_key, read_password
from arbitrank.store.kinds import HYPRANK, checked_name
from arbitrank.store.loading import load_found, settled
from arbitrank.store.signing import KEYS_ENVIRONMENT, open_keys
from arbitrank.store.state import checked_reason
from arbitrank.store.store import ENVIRONMENT, Store, open_store
from arbitrank.values import Context

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from arbitrank.isolation.groups import Isolation
    from arbitrank.shortlist.hyprank import HypRank
    from arbitrank.store.artifact import NegativesUsed

    PrivateKey = Ed25519PrivateKey

Decorator = Callable[[Callable[..., None]], Callable[..., None]]
PATH = click.Path(path_type=Path)
Share = shares.Share


def _stated(name: str, variable: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """Callback of an option that variable and file of --config state too; those without --config are read later."""

    def settled(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        config = ctx.params.get("config")
        return value if value or config is None else stated_text(name, variable, config)

    return settled


key_password = click.option(
    "--key-password-file",
    type=PATH,
    metavar="FILE",
    is_eager=True,
    help="The password of the key, where it has one; default ARBITRANK_SIGNING_KEY_PASSWORD.",
)

name = click.argument("domain", callback=lambda context, parameter, value: checked_name(value))
"""The DOMAIN of a verb, or a stage: .shortlist, .hyprank or .decisions."""

store_url = click.option(
    "--store",
    metavar="URL",
    callback=_stated("store", ENVIRONMENT),
    help="The store of weights; default ARBITRANK_STORE, else your data folder.",
)
keys_folder = click.option(
    "--keys",
    metavar="DIR",
    callback=_stated("keys", KEYS_ENVIRONMENT),
    help="Trust only artifacts signed by keys in here, DOMAIN.pub; default ARBITRANK_KEYS.",
)
reason = click.option(
    "--reason",
    metavar="TEXT",
    callback=lambda context, parameter, value: checked_reason(value),
    help="Why; it is kept in the history.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
explain = click.option("--explain", is_flag=True, help="Show the contribution of each group of features, in nats.")
isolate = click.option(
    "--isolate",
    metavar="DOMAIN|all|each",
    multiple=True,
    help="Run this domain in a worker process; all: all share one; each: one each. May be repeated.",
)
deadline = click.option(
    "--deadline",
    type=Share(1, 60_000),
    metavar="MS",
    help="With --isolate or --environments: continue without domains that have not answered by then.  [default: 200]",
)
hyprank_folder = click.option(
    "--hyprank",
    type=PATH,
    metavar="FOLDER",
    help="Sort by the HypRank in FOLDER, not by the store's stable one.",
)
offsets = click.option(
    "--offsets",
    type=click.Choice(["characters", "utf16"]),
    default="characters",
    help="The unit of a corpus's slot offsets; utf16: of JavaScript, Java and C#.",
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="The same seed gives the same weights."
)
context_keys = click.option(
    "--context-key",
    "context_keys",
    metavar="KEY",
    multiple=True,
    help="Learn from this key of the context too, beside the domain's own; may be repeated.",
)


def _read_policy(context: click.Context, parameter: click.Parameter, value: Path | None) -> Policy | None:
    from arbitrank.serve.policy import read_policy

    return None if value is None else read_policy(value)


policy = click.option(
    "--policy",
    type=PATH,
    metavar="FILE",
    callback=_read_policy,
    help="The policy under which a log's answers were given.",
)


def since(default: str | None = None) -> Decorator:
    """`--since`, the beginning of a log's period, which the verb receives as `begins`."""
    return click.option(
        "--since",
        "begins",
        metavar="DATE|Nd|Nh",
        default=default,
        help="Only requests from then on: a date, a time, or days or hours before the log's last one.",
    )


jobs = click.option("--jobs", type=click.IntRange(1), default=1, help="Processes to use.")


def gathered(name: str, make: Callable[..., object], *offered: Decorator) -> Decorator:
    """Options that a verb receives as one value: `name=make(…)`, called with the options that are its parameters."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            chosen = {key: values.pop(key) for key in parameters}
            command(**{name: make(**chosen)}, **values)

        decorated: Callable[..., None] = called
        before = len(getattr(command, "__click_params__", ()))
        for option in reversed(offered):
            decorated = option(decorated)
        added = {option.name for option in vars(decorated)["__click_params__"][before:]}
        parameters = [key for key in signature(make).parameters if key in added]
        return decorated

    return decorate


signing_key = gathered(
    "key",
    lambda key, key_password_file: open_key(key, password=key_password_file and read_password(key_password_file)),
    click.option(
        "--key",
        metavar="FILE",
        callback=_stated("signing_key", KEY_ENVIRONMENT),
        help="Sign with this private key; default ARBITRANK_SIGNING_KEY, else not at all.",
    ),
    key_password,
)
"""The key to sign with, opened; None without one."""

store = gathered(
    "store",
    lambda store, keys: open_store(store, open_keys(keys)),
    store_url,
    keys_folder,
    environment_options.unexposed,
)
"""`--store` and `--keys`, which the verb receives as `store: Store`, and `--environments`, whose domains it finds."""

changed_store = gathered(
    "store",
    lambda store, keys, key: open_store(store, open_keys(keys), key=key),
    store_url,
    keys_folder,
    environment_options.unexposed,
    signing_key,
)
"""As `store`, of a verb that changes it, and `--key`, which signs the changes."""


def arbitrator(store: Store, decisions: DecisionSettings, folder: Path | None = None) -> Arbitrator:
    """An arbitrator over all installed domains, with the weights of the store or of their packages.

    `folder`: of the HypRank that sorts, by default the store's stable one.
    """
    order, decisions = hyprank(folder, store) or stable_hyprank(store), settled(decisions, store, note)
    parts = load_found(discover(), store, decisions.scales)
    for text in () if decisions.rank_unserved else unused(decisions.scales, parts.domains):
        note(text)
    made = Arbitrator(decisions=decisions, hyprank=order, fallback=baseline, **parts._asdict())
    for text in outdated(decisions, served(parts.domains), made.beyond_bound):
        note(text)
    return made


def hyprank(folder: Path | None, store: Store) -> HypRank | None:
    """The HypRank in a folder, signed where the store requires that. Raises `ArtifactError` where there is none."""
    if folder is None:
        return None
    from arbitrank.shortlist.hyprank import load_hyprank

    return load_hyprank(folder, store.keys)


def stable_hyprank(store: Store) -> HypRank | None:
    """The store's stable HypRank, None where there is none; a damaged one is left out with a warning."""
    try:
        if (folder := store.stable(HYPRANK)) is None:
            return None
        from arbitrank.shortlist.hyprank import read_hyprank

        return read_hyprank(folder)
    except ArtifactError as error:
        note(f"{HYPRANK}: not used: {error}")
    except StoreError:  # the answer's domains tell
        pass
    return None


def needs(needed: str, given: object, **dependent: object) -> None:
    """Raise `InputError` for an option of `dependent` that is set although the option `needed` is not `given`."""
    for name, value in dependent.items():
        if not given and value is not None and value is not False and value != ():
            raise InputError(f"--{name.replace('_', '-')}: no {needed}; expected both")


def isolation(isolate: Sequence[str], deadline: float | None, domains: Collection[str]) -> Isolation | None:
    """The domains that run in worker processes; None where none does."""
    from arbitrank.isolation.groups import isolation_of

    needs("--isolate or --environments", isolate or os.environ.get(ENVIRONMENTS), deadline=deadline)
    return isolation_of(isolate, domains, deadline)


def requests(path: Path | None, store: Store) -> Path:
    """The requests to measure on: those given by --on, by default the store's audit set."""
    on = path or store.audit_set()
    if on is None:
        raise InputError(f"no --on, and no audit set in {store}; run: arbitrank audit-set FILE, or give --on FILE")
    return on


def note(text: object) -> None:
    """Print a remark on standard error."""
    print(f"arbitrank: {text}", file=sys.stderr, flush=True)


def with_negatives(used: Iterable[NegativesUsed]) -> str:
    """The shared negatives beside examples, for a sentence; empty where there are none."""
    sets = ", ".join(f"{one.requests:,} of {one.distribution} {one.version}" for one in used)
    return f" with shared negatives ({sets})" if sets else ""


def context(device: str | None, pairs: tuple[str, ...]) -> Context:
    """The context of `K=V` options: values are booleans or numbers where they look like them."""
    found: Context = {} if device is None else {"device": device}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--context: {pair!r} is no pair, expected KEY=VALUE, as in has_screen=true")
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
