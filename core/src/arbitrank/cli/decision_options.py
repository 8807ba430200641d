"""Options of the operator's configuration: the decision settings, the scales of scores, the file of both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from arbitrank.arbitration.claims import named_groups
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.following import ShareFollowing
from arbitrank.cli.options import PATH, Decorator, Share, gathered
from arbitrank.configuration import (
    ENVIRONMENT,
    OperatorStatements,
    configured,
    operator_decisions,
    stated_by_operator,
    stated_scales,
)

_DEFAULT = DecisionSettings()


def _exported(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Have discovery find the remote domains of that file, in this process and in those that the verb starts."""
    if value is not None:
        before = os.environ.get(ENVIRONMENT)
        os.environ[ENVIRONMENT] = str(value.resolve())
        context.call_on_close(lambda: _restore(before))
    return value


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(ENVIRONMENT, None)
    else:
        os.environ[ENVIRONMENT] = before


_scale = click.option(
    "--scale",
    metavar="DOMAIN[.FIELD]=SCALE",
    multiple=True,
    help="Scale of a domain's scores: 0..100, percent, logprob, margin …; see docs/how-to/scales.md. May be repeated.",
)
_config = click.option(
    "--config",
    type=PATH,
    is_eager=True,  # other options are stated in it
    metavar="FILE",
    callback=_exported,
    help="The configuration; default ARBITRANK_CONFIG, else ./arbitrank.toml where it exists.",
)
_none = click.option(
    "--none",
    "none",
    type=Share(0, 1),
    help="Decide none where the probability that no domain owns the request is above this.  "
    f"[default: {_DEFAULT.none}]",
)
_accept = click.option(
    "--accept",
    type=Share(0, 1),
    help="Accept no reading whose probability of being entirely right is below this: ask the user.  "
    f"[default: {_DEFAULT.accept}]",
)
_clarify = click.option(
    "--clarify",
    type=Share(0, 1),
    help="Ask the user where the shares of the best two domains, one against the other, differ by less than this.  "
    f"[default: {_DEFAULT.clarify}]",
)
_fallback = click.option(
    "--fallback", metavar="DOMAIN", help="The domain that acts where no other should; none: no domain."
)
_normalise = click.option(
    "--normalise/--no-normalise",
    default=None,
    help="Normalise P(mine) over the domains: for domains that can serve the same requests.  [default: no-normalise]",
)
_independence = click.option(
    "--independence",
    type=Share(0, 1),
    help="With --normalise: 1 where each domain has evidence of its own, 0 where all see the same.  "
    f"[default: {_DEFAULT.independence}]",
)
_group = click.option(
    "--group",
    "groups",
    metavar="DOMAIN,DOMAIN...",
    multiple=True,
    help="Domains whose intents and slots mean the same: equal readings of them agree. May be repeated.",
)
_rank_unserved = click.option(
    "--rank-unserved",
    is_flag=True,
    default=None,
    help="Rank hypotheses of domains that are not installed by R0; else report them.",
)


def _decisions(
    none: float | None = None,
    accept: float | None = None,
    clarify: float | None = None,
    fallback: str | None = None,
    normalise: bool | None = None,
    independence: float | None = None,
    rank_unserved: bool | None = None,
    groups: tuple[str, ...] = (),
    scale: tuple[str, ...] = (),
    config: Path | None = None,
) -> DecisionSettings:
    stated = {
        "none": none,
        "accept": accept,
        "clarify": clarify,
        "fallback": fallback,
        "normalise": normalise,
        "independence": independence,
        "rank_unserved": rank_unserved,
        "groups": _named(groups),
    }
    return operator_decisions(stated, stated_scales(scale), config)


def _stated(
    none: float | None,
    accept: float | None,
    clarify: float | None,
    fallback: str | None,
    normalise: bool | None,
    independence: float | None,
    groups: tuple[str, ...],
) -> dict[str, Any]:
    given = {
        "none": none,
        "accept": accept,
        "clarify": clarify,
        "fallback": fallback,
        "normalise": normalise,
        "independence": independence,
        "groups": _named(groups),
    }
    return {name: value for name, value in given.items() if value is not None}


def _named(texts: tuple[str, ...]) -> tuple[tuple[str, ...], ...] | None:
    """The groups that are stated, None where none are."""
    return named_groups(texts) if texts else None


def decisions(*, clarify: bool = True, unserved: bool = False) -> Decorator:
    """The options of the decision settings, which the verb receives as `decisions: DecisionSettings`."""
    offered = [_none, _accept, *([_clarify] if clarify else []), _fallback, _normalise, _independence, _group]
    return gathered("decisions", _decisions, *offered, *([_rank_unserved] if unserved else []), _scale, _config)


def _operator(scale: tuple[str, ...] = (), config: Path | None = None) -> OperatorStatements:
    return stated_by_operator(scales=stated_scales(scale), path=config)


operator = gathered("operator", _operator, _scale, _config)
"""`--scale` and `--config`, which the verb receives as `operator: OperatorStatements`."""


stated = gathered("decisions", _stated, _none, _accept, _clarify, _fallback, _normalise, _independence, _group)
"""The options of the decision settings, of which the verb receives those that are given, by name, as `decisions`."""


def following(follow: bool | None) -> ShareFollowing:
    """Settings by which the share of out-of-scope requests is followed: of the file of `--config`, unless `follow`."""
    file = configured(click.get_current_context().params.get("config"))
    return file.out_of_scope if follow is None else msgspec.structs.replace(file.out_of_scope, follow=follow)
