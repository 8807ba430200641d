"""Options of a shortlist's length, shared by query and serve."""

from __future__ import annotations

import click

from arbitrank.cli import options
from arbitrank.shortlist.shortlister import ShortlistSettings

shortlist_k = click.option(
    "--shortlist-k", "k", type=click.IntRange(1, 1000), default=10, metavar="K", help="Skills of a shortlist."
)
shortlist_floor = click.option(
    "--shortlist-floor",
    "floor",
    type=options.Share(0, 1),
    default=0.0,
    metavar="P",
    help="Leave skills out whose score is below this.",
)
shortlist_mass = click.option(
    "--shortlist-mass",
    "mass",
    type=options.Share(0, 1, min_open=True),
    default=1.0,
    metavar="SHARE",
    help="Leave skills out beyond this share of the probability, that of no skill included; 0.95 is usual.",
)
shortlist_outside = click.option(
    "--shortlist-outside",
    "outside",
    type=options.Share(0, 1),
    metavar="SHARE",
    help="The share of requests that fit no skill.  [default: that of the training]",
)


def _shortlist(
    shortlist: bool, k: int, floor: float, mass: float, outside: float | None, shortlist_always: tuple[str, ...]
) -> ShortlistSettings | None:
    options.needs("--shortlist", shortlist, shortlist_always=shortlist_always)
    return ShortlistSettings(k, floor, frozenset(shortlist_always), mass, outside) if shortlist else None


shortlisting = options.gathered(
    "shortlist",
    _shortlist,
    click.option("--shortlist", is_flag=True, help="Query only the domains that the store's Shortlister chooses."),
    shortlist_k,
    shortlist_floor,
    shortlist_mass,
    shortlist_outside,
    click.option(
        "--shortlist-always", metavar="DOMAIN", multiple=True, help="Query this domain in any case. May be repeated."
    ),
)
"""The options of a service's Shortlister, which the verb receives as `shortlist: ShortlistSettings | None`."""
