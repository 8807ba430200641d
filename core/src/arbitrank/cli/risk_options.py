"""Options of a bound on the share of wrong answers among those that are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arbitrank.arbitration.decide import DecisionSettings, unbounded
from arbitrank.arbitration.risk_bound import RiskBound
from arbitrank.cli import options
from arbitrank.errors import InputError

if TYPE_CHECKING:
    from arbitrank.decisions.risk_groups import RiskLimit

CONTEXT = "context"
"""Stands for the key of the context that `context_key` chooses; `context.KEY` names one."""


def _limit(risk: float | None, confidence: float | None, per: str | None) -> RiskLimit | None:
    if risk is None:
        for name, value in (("--confidence", confidence), ("--per", per)):
            if value is not None:
                raise InputError(f"{name}: no --risk; expected one, as in: arbitrank tune --risk 0.02")
        return None
    from arbitrank.decisions.risk_groups import RiskLimit

    if per is not None and per not in ("domain", CONTEXT) and not per.removeprefix(f"{CONTEXT}.") != per:
        raise InputError(f"--per {per}: expected domain, context, or context.KEY, as in context.device")
    return RiskLimit(risk, 0.95 if confidence is None else confidence, per)


risk = options.gathered(
    "limit",
    _limit,
    click.option(
        "--risk",
        type=options.Share(0, 1, min_open=True, max_open=True),
        metavar="SHARE",
        help="Set the thresholds so that at most this share of the accepted answers is wrong: 0.02 is 2 %.",
    ),
    click.option(
        "--confidence",
        type=options.Share(0, 1, min_open=True, max_open=True),
        metavar="SHARE",
        help="With --risk: the probability that the bound holds.  [default: 0.95]",
    ),
    click.option(
        "--per",
        metavar="domain|context[.KEY]",
        help="With --risk: a threshold, and a bound, for each domain, or each value of a key of the context.",
    ),
)
"""The options, which the verb receives as `limit: RiskLimit | None`."""


def again(bound: RiskBound) -> str:
    """The command that certifies a bound again."""
    return f"arbitrank tune --risk {bound.risk:g} --confidence {bound.confidence:g}"


def open_thresholds(settings: DecisionSettings) -> DecisionSettings:
    """The settings in force without a bound that they have. Raises `InputError` where `accept` is stated."""
    if "accept" in settings.stated:
        raise InputError("accept is stated, so no threshold can be set by --risk; remove it, or --risk")
    return unbounded(settings)
