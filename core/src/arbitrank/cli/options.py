"""Options that several verbs share, and the values made from them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import ArtifactError, InputError, StoreError
from arbitrank.learn.rerankers import baseline
from arbitrank.registry import discover, loaded
from arbitrank.store.kinds import HYPRANK, checked_name
from arbitrank.store.loading import load_domains
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store
from arbitrank.values import Context

if TYPE_CHECKING:
    from arbitrank.isolation.groups import Isolation
    from arbitrank.shortlist.hyprank import HypRank


Decorator = Callable[[Callable[..., None]], Callable[..., None]]
PATH = click.Path(path_type=Path)


class Share(click.FloatRange):
    """A number in a range; unlike click's own type, it refuses NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; fails where it is outside the range."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


signing_key = click.option(
    "--key", metavar="FILE", help="Sign with this private key; default ARBITRANK_SIGNING_KEY, else not at all."
)
name = click.argument("domain", callback=lambda context, parameter, value: checked_name(value))
"""The DOMAIN of a verb, or a stage: .shortlist, .hyprank or .decisions."""

store_url = click.option(
    "--store", metavar="URL", help="The store of weights; default ARBITRANK_STORE, else your data folder."
)
keys_folder = click.option(
    "--keys", metavar="DIR", help="Trust only artifacts signed by keys in here, DOMAIN.pub; default ARBITRANK_KEYS."
)
reason = click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
explain = click.option("--explain", is_flag=True, help="Show the contribution of each group of features, in nats.")
_none = click.option(
    "--none",
    "none",
    type=Share(0, 1),
    default=DecisionSettings().none,
    help="Decide none where the probability that no domain owns the request is above this.",
)
_clarify = click.option(
    "--clarify",
    type=Share(0, 1),
    default=DecisionSettings().clarify,
    help="Ask the user where the best two domains' P(mine) differ by less than this.",
)
_normalise = click.option(
    "--normalise/--no-normalise",
    default=False,
    help="Normalise P(mine) over the domains: for domains that can serve the same requests.",
)
_independence = click.option(
    "--independence",
    type=Share(0, 1),
    default=DecisionSettings().independence,
    help="With --normalise: 1 where each domain has evidence of its own, 0 where all see the same.",
)
_rank_unserved = click.option(
    "--rank-unserved", is_flag=True, help="Rank hypotheses of domains that are not installed by R0; else report them."
)
tolerance = click.option(
    "--tolerance",
    type=Share(0, 100),
    default=0.1,
    metavar="POINTS",
    help="The largest certain increase of IRER, of all requests and of each other domain's.",
)
max_ece = click.option(
    "--max-ece",
    type=Share(0, 100),
    default=5.0,
    metavar="PERCENT",
    help="The largest calibration error of a domain's claims.",
)
max_temperature = click.option(
    "--max-temperature",
    type=Share(1, 1000),
    default=1.5,
    help="The largest certain temperature of its claims: the factor by which log-odds are too strong.",
)
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
    help="With --isolate: continue without domains that have not answered by then.  [default: 200]",
)
shortlist_k = click.option(
    "--shortlist-k", "k", type=click.IntRange(1, 1000), default=10, metavar="K", help="Skills of a shortlist."
)
shortlist_floor = click.option(
    "--shortlist-floor",
    "floor",
    type=Share(0, 1),
    default=0.0,
    metavar="P",
    help="Leave skills out whose score is below this.",
)
hyprank_folder = click.option(
    "--hyprank",
    type=PATH,
    metavar="FOLDER",
    help="Sort the merged list by the HypRank in FOLDER, not by the store's stable one.",
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="The same seed gives the same weights."
)
jobs = click.option("--jobs", type=click.IntRange(1), default=1, help="Processes to use.")


def gathered(name: str, make: Callable[..., object], *offered: Decorator) -> Decorator:
    """Options that a verb receives as one value: `name=make(…)`, called with those parameters of `make` that are
    given."""
    parameters = signature(make).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            chosen = {key: values.pop(key) for key in parameters if key in values}
            command(**{name: make(**chosen)}, **values)

        decorated: Callable[..., None] = called
        for option in reversed(offered):
            decorated = option(decorated)
        return decorated

    return decorate


def _open_store(store: str | None, keys: str | None) -> Store:
    return open_store(store, open_keys(keys))


store = gathered("store", _open_store, store_url, keys_folder)
"""`--store` and `--keys`, which the verb receives as `store: Store`."""


def decisions(*, clarify: bool = True, unserved: bool = False) -> Decorator:
    """The options of the decision settings, which the verb receives as `decisions: DecisionSettings`."""
    offered = [_none, *([_clarify] if clarify else []), _normalise, _independence]
    return gathered("decisions", DecisionSettings, *offered, *([_rank_unserved] if unserved else []))


def arbitrator(store: Store, decisions: DecisionSettings, *, hyprank: HypRank | None = None) -> Arbitrator:
    """An arbitrator over all installed domains, with the weights of the store or of their packages."""
    domains = load_domains(loaded(discover()), store)
    return Arbitrator(domains, decisions, hyprank=hyprank or _stable_hyprank(store), fallback=baseline)


def hyprank(folder: Path | None, store: Store) -> HypRank | None:
    """The HypRank in a folder, signed where the store requires that. Raises `ArtifactError` where there is none."""
    from arbitrank.shortlist.hyprank import load_hyprank

    return None if folder is None else load_hyprank(folder, store.keys)


def _stable_hyprank(store: Store) -> HypRank | None:
    """The store's stable HypRank, None where there is none; a damaged one is left out with a warning."""
    try:
        if (folder := store.stable(HYPRANK)) is None:
            return None
        from arbitrank.shortlist.hyprank import read_hyprank

        return read_hyprank(folder)
    except ArtifactError as error:
        click.echo(f"arbitrank: {HYPRANK}: not used: {error}", err=True)
    except StoreError:  # the answer's domains tell
        pass
    return None


def isolation(isolate: Sequence[str], deadline: float | None, domains: Collection[str]) -> Isolation | None:
    """The domains that run in worker processes; None where none does."""
    from arbitrank.isolation.groups import isolation_of

    if deadline is not None and not isolate:
        raise InputError("--deadline: no --isolate; expected both")
    return isolation_of(isolate, domains, deadline)


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
