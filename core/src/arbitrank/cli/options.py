"""What several verbs share: options, and an arbitrator from them."""

from __future__ import annotations

import math
from typing import Any

import click

from arbitrank.arbitrator import Arbitrator, load_domains
from arbitrank.decide import Thresholds
from arbitrank.errors import InputError
from arbitrank.merge import INDEPENDENCE
from arbitrank.registry import discover, loaded
from arbitrank.store.folder import open_store
from arbitrank.values import Context


class Share(click.FloatRange):
    """A number in a range; unlike click's own, it takes no NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that `value` says; fails where that is outside the range."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


store = click.option(
    "--store", metavar="URL", help="The store of weights; default ARBITRANK_STORE, else your data folder."
)
explain = click.option("--explain", is_flag=True, help="Say what each group of features added, in nats.")
none_threshold = click.option(
    "--none",
    "none",
    type=Share(0, 1),
    default=Thresholds().none,
    show_default=True,
    help="Decide none where the chance that nobody owns the request is above this.",
)
clarify_threshold = click.option(
    "--clarify",
    type=Share(0, 1),
    default=Thresholds().clarify,
    show_default=True,
    help="Ask back where the best two domains' P(mine) differ by less than this.",
)
normalise = click.option(
    "--normalise/--no-normalise",
    default=False,
    show_default=True,
    help="Measure the domains' P(mine) against one another: for domains that could really serve the same requests.",
)
independence = click.option(
    "--independence",
    type=Share(0, 1),
    default=INDEPENDENCE,
    show_default=True,
    help="With --normalise: 1 where each domain knows what others don't, 0 where all see the same.",
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same weights.")
jobs = click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes to use.")


def arbitrator(
    store_url: str | None, thresholds: Thresholds, normalise: float | None, *, rank_unserved: bool = False
) -> Arbitrator:
    """An arbitrator over all installed domains, with the weights of the store or of their packages."""
    domains = load_domains(loaded(discover()), open_store(store_url))
    return Arbitrator(domains, thresholds, rank_unserved, normalise)


def context(device: str | None, pairs: tuple[str, ...]) -> Context:
    """The context that options give: `K=V`, the value a boolean or number where it looks like one."""
    found: Context = {} if device is None else {"device": device}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--context: saw {pair!r}, promised KEY=VALUE, as in has_screen=true")
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
