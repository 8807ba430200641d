"""Options of exploration: budgets by domain, and the distance within which other readings are acted on."""

from __future__ import annotations

import click

from arbitrank.cli.options import Share, gathered
from arbitrank.errors import InputError
from arbitrank.outcomes.exploration import MOST, ExplorationSettings


def _budgets(explore: tuple[str, ...]) -> dict[str, float]:
    """The budgets of `DOMAIN=SHARE` options. Raises `InputError`."""
    found: dict[str, float] = {}
    for pair in explore:
        name, equals, text = pair.partition("=")
        try:
            share = float(text)
        except ValueError:
            share = -1.0
        if not equals or not name or not 0.0 < share <= MOST:
            expected = f"expected DOMAIN=SHARE with a share above 0 and at most {MOST:g}, as in weather=0.01"
            raise InputError(f"--explore: {pair!r}, {expected}")
        found[name] = share
    return found


def _exploration(explore: tuple[str, ...], explore_within: float) -> ExplorationSettings:
    return ExplorationSettings(_budgets(explore), explore_within)


exploring = gathered(
    "exploration",
    _exploration,
    click.option(
        "--explore",
        metavar="DOMAIN=SHARE",
        multiple=True,
        help="Act on another close reading in this share of the answers that DOMAIN heads. May be repeated.",
    ),
    click.option(
        "--explore-within",
        type=Share(0, 1),
        default=0.2,
        help="The greatest distance of another reading's P(right) from the head's.",
    ),
)
"""The options, which the verb receives as `exploration: ExplorationSettings`."""
