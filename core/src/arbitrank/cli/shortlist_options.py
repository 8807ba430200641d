"""Options of a shortlist's length, shared by query and serve."""

from __future__ import annotations

import click

from arbitrank.cli import options

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
