"""arbitrank tune: fit the decision settings to labelled requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import numpy as np

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options, risk_options
from arbitrank.cli.computing import Computing, computing, requests_at
from arbitrank.cli.destination import Destination, destination_option
from arbitrank.cli.progress import shown
from arbitrank.cli.tune_risk import show, tune_risk, written
from arbitrank.errors import DataError, InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.decision_settings import TuningRecord
from arbitrank.store.kinds import DECISIONS
from arbitrank.store.loading import settled

if TYPE_CHECKING:
    from arbitrank.decisions.risk_groups import RiskLimit
    from arbitrank.decisions.tuning import SettingsChoice, Tuned
    from arbitrank.impact.observation import Observation
    from arbitrank.learn.gains import Gain

_MOST_FINGERPRINTS = 500_000  # of the requests, as the file of an artifact has a limit


@click.command("tune")
@click.option(
    "--on",
    "path",
    metavar="PATH|URL",
    help="Requests with their truths, in a file or a log's folder; default: the store's audit set.",
)
@click.option(
    "--traffic",
    metavar="PATH|URL",
    help="Requests without truths, from which the share of out-of-scope ones is estimated; default: those of --on.",
)
@risk_options.risk
@options.seed
@computing
@options.as_json
@decision_options.decisions()
@destination_option
def tune(
    path: str | None,
    traffic: str | None,
    limit: RiskLimit | None,
    seed: int,
    where: Computing,
    as_json: bool,
    decisions: DecisionSettings,
    destination: Destination,
) -> None:
    """Fit the decision settings to how the installed domains answer labelled requests; publish `.decisions`.

    The domains' claims are calibrated against each other and against "no domain", and the thresholds are chosen. What
    is stated by option, environment or file stays. A setting is taken where cross-validation shows a sure gain over the
    settings in force; where none is better, nothing is published, with exit status 1.

    With --risk, only the thresholds change: at most that share of the accepted answers is wrong, with probability
    --confidence. They are chosen on a fifth of the requests and tested on the others; where no threshold passes, it is
    said what is missing, and nothing is published. The bound is of requests like these, and of the versions that answer
    them now.

    Example: arbitrank tune --on labelled.jsonl --promote
    """
    from arbitrank.decisions.tuning import tune
    from arbitrank.impact.observation import observe

    destination.check(DECISIONS)
    store = destination.store
    domains, base = loaded(discover()), settled(decisions, store, options.note)
    if limit is not None and traffic is not None:
        raise InputError("--traffic: --risk tunes thresholds alone, which need truths; give one of the two")
    base = base if limit is None else risk_options.open_thresholds(base)
    with requests_at(path, store) as on, shown("tune") as progress:
        seen = observe(domains, store, on, base, progress, **where._asdict())
    if limit is not None:
        tune_risk(str(path or on), seen, base, limit, seed=seed, as_json=as_json, destination=destination)
        return
    if base.bound is not None:
        options.note(f"the bound on risk in force ends with other settings; then run: {risk_options.again(base.bound)}")
    other = None
    if traffic is not None:
        with requests_at(traffic, store) as on_traffic, shown("tune") as progress:
            other = observe(domains, store, on_traffic, base, progress, **where._asdict())
    unlabelled = seen.unlabelled if other is None else other.every
    for text in (*seen.notes, *(() if other is None else other.notes)):
        options.note(text)
    n = len(unlabelled[0].best)
    if traffic is not None and not n:
        options.note(f"{traffic}: no request in it, so the share of out-of-scope requests in the traffic is not known")
    try:
        tuned = tune(seen.observed, base, seen.served, unlabelled if n else None, seed=seed)
    except DataError as error:
        raise DataError(
            f"{path or on}: {error}; {_beside(len(seen.unlabelled[0].best))}give others with --on FILE"
        ) from None
    version = None if tuned.refusal else written(tuned.settings, _record(tuned, seed, seen), destination)
    show(tuned, _lines(tuned), version, destination, "not tuned", as_json=as_json)


def _beside(unlabelled: int) -> str:
    return f"{unlabelled} more have none; " if unlabelled else ""


def _record(tuned: Tuned, seed: int, seen: Observation) -> TuningRecord:
    """The record of what the settings were tuned on, by which their gate leaves these requests out."""
    assert tuned.gain is not None
    prints, gain = np.unique(seen.fingerprints), tuned.gain
    return TuningRecord(
        n=tuned.n,
        out_of_scope=tuned.out_of_scope,
        seed=seed,
        setting=next((one.setting for one in tuned.choices if one.taken), None),
        nll_gain=gain.nll_gain,
        answer_gain=gain.answer_gain,
        domain_gain=gain.domain_gain,
        requests=prints.astype("<u4").tobytes() if len(prints) <= _MOST_FINGERPRINTS else None,
    )


def _lines(tuned: Tuned) -> Iterator[str]:
    yield f"{tuned.n} requests with a truth, {tuned.out_of_scope} of them out of scope"
    for one in tuned.choices:
        yield f"{'*' if one.taken else ' '} {_gains(one)}"
    yield from (f"  {text}" for text in tuned.notes)
    if tuned.gain is not None:
        yield f"together, held out: {_gains(tuned.gain, named=False)}"


def _gains(one: SettingsChoice, *, named: bool = True) -> str:
    nll, right, domain = one.nll_gain, one.answer_gain, one.domain_gain
    text = (
        f"NLL {-nll.mean:+.4f} [{-nll.high:+.4f}, {-nll.low:+.4f}], IRER {_points(right)}, "
        f"wrong domain {_points(domain)} points"
    )
    reason = f": {one.reason}" if one.reason else ""
    return f"{one.setting}: {text}{reason}" if named else text


def _points(gain: Gain) -> str:
    low, high = -100 * gain.high, -100 * gain.low
    return f"{-100 * gain.mean + 0.0:+.2f} [{low + 0.0:+.2f}, {high + 0.0:+.2f}]"
