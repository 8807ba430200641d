"""Tuning of the thresholds by a bound on wrong answers: from the observed requests to an artifact and a report."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import terms_of
from arbitrank.arbitration.risk_bound import DOMAIN
from arbitrank.arbitration.risk_bound import beyond as beyond_bound
from arbitrank.cli import options
from arbitrank.cli.destination import Destination
from arbitrank.cli.risk_options import CONTEXT
from arbitrank.configuration import configured
from arbitrank.errors import DataError, InputError
from arbitrank.learn.gains import Gain
from arbitrank.store.decision_settings import TuningRecord, load_tuning, save_decisions
from arbitrank.store.kinds import DECISIONS, SHORTLIST
from arbitrank.store.signing import sign
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.decisions.risk import BoundedSettings, ThresholdTest
    from arbitrank.decisions.risk_groups import RiskLimit
    from arbitrank.decisions.tuning import Tuned
    from arbitrank.impact.observation import Observation


def tune_risk(
    on: str,
    seen: Observation,
    base: DecisionSettings,
    limit: RiskLimit,
    *,
    seed: int,
    as_json: bool,
    destination: Destination,
) -> None:
    """Set the thresholds of the settings in force so that they keep the bound; publish and report, or say why not.

    `seen` are the requests `on` a path, as they are answered by those settings.
    """
    from arbitrank.decisions.observed import heads_of
    from arbitrank.decisions.risk import bounded

    for text in seen.notes:
        options.note(text)
    limit = limit._replace(per=_key(limit.per, seen.contexts))
    record = _fitted_record(destination, base)
    known = None if record is None or record.requests is None else np.frombuffer(record.requests, "<u4")
    fresh = None if known is None else ~np.isin(seen.fingerprints, known)
    observed = seen.observed
    try:
        found = bounded(
            heads_of(observed, base, terms_of(base, observed.domains, seen.served)), base, limit,
            domains=observed.domains, contexts=seen.contexts, fresh=fresh, seed=seed,
            none=observed.on_none.right if observed.out_of_scope.any() else None,
        )  # fmt: skip
    except DataError as error:
        raise DataError(f"{on}: {error}; give others with --on FILE") from None
    version = None
    if found.refusal is None and found.settings.bound is not None:
        bound = replace(found.settings.bound, served=seen.served, beside=seen.beside)
        version = written(
            replace(found.settings, bound=bound), _record(record, found, observed.out_of_scope), destination
        )
        if beyond := _beyond(destination.store):
            options.note(f"answers do not state the bound where {', where '.join(beyond)}: it is not tested with that")
    show(found, _lines(found), version, destination, "the bound cannot be kept", as_json=as_json)


def _beyond(store: Store) -> tuple[str, ...]:
    """The parts that decide beyond the domains and the settings, as far as the store and the configuration state it."""
    order, file = options.stable_hyprank(store), configured()
    return beyond_bound(
        shortlists=store.stable(SHORTLIST) is not None,
        sorts=order is not None and order.sorts_readings,
        follows_share=file.out_of_scope.follow,
        policy="policy" in file.serve,
        explores="explore" in file.serve,
    )


def written(settings: DecisionSettings, record: TuningRecord, destination: Destination) -> str:
    """Write the settings to their destination; their version."""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        target = destination.out or Path(folder) / "artifact"
        manifest = save_decisions(settings, target, record)
        if destination.key:
            sign(target, destination.key)
        if not destination.out:
            destination.store.publish(target, promote=destination.promote)
    return manifest.version


def show(
    found: Tuned | BoundedSettings,
    lines: Iterable[str],
    version: str | None,
    destination: Destination,
    refused: str,
    *,
    as_json: bool,
) -> None:
    """Print settings that were found, as JSON or in `lines`; exits with the reason where they are refused."""
    if as_json:
        click.echo(msgspec.json.encode({"version": version, **msgspec.structs.asdict(found)}))
    else:
        for line in lines:
            click.echo(line)
        if version:
            click.echo(f"{DECISIONS} {version}: {destination}")
    if found.refusal:
        options.note(f"{refused}: {found.refusal}")
        sys.exit(1)


def _key(per: str | None, contexts: Sequence[Mapping[str, object]]) -> str | None:
    """The key that thresholds go by: of `context` the one that most requests have, of those with several values."""
    if per is None or per == DOMAIN:
        return per
    counts = Counter(key for one in contexts for key in one)
    if per != CONTEXT:
        key = per.removeprefix(f"{CONTEXT}.")
        if key == DOMAIN:
            raise InputError(f"--per {per}: a key called {DOMAIN} cannot be told from the domain; expected another one")
        if key not in counts:
            known = f"; keys of their contexts: {', '.join(sorted(counts))}" if counts else ""
            raise InputError(f"--per {per}: no labelled request has a text or a boolean of this key{known}")
        return key
    several = [key for key, _ in counts.most_common() if len({one[key] for one in contexts if key in one}) > 1]
    if not several:
        raise InputError(
            "--per context: no key of the labelled requests' contexts has several values; use --per domain"
        )
    options.note(f"thresholds go by the context's {several[0]}; for another key: --per context.KEY")
    return several[0]


def _fitted_record(destination: Destination, base: DecisionSettings) -> TuningRecord | None:
    """The record of what the settings in force were fitted to, None where they are no artifact's."""
    folder = None if base.version is None else destination.store.stable(DECISIONS)
    return None if folder is None else load_tuning(folder)


def _record(before: TuningRecord | None, found: BoundedSettings, out_of_scope: np.ndarray) -> TuningRecord:
    """The record of the settings: what they are fitted to is what those in force were."""
    if before is not None:
        return before
    nothing = Gain(0.0, 0.0, 0.0)
    n = found.learned_on + found.tested_on
    return TuningRecord(n, int(out_of_scope.sum()), 0, None, nothing, nothing, nothing, b"")


def _lines(found: BoundedSettings) -> Iterator[str]:
    limit = found.limit
    yield (
        f"thresholds chosen on {found.learned_on} requests with a truth, tested on {found.tested_on} others: at most "
        f"{100 * limit.risk:g} % of the accepted answers wrong, with {100 * limit.confidence:g} % confidence"
    )
    yield from (f"{'  ' if one.accept is None else '* '}{_test(limit.per, one)}" for one in found.tests)
    settings = found.settings
    if found.refusal is None:
        yield f"none {settings.none:g}, clarify {settings.clarify:g}"
    yield (
        f"accepted: {100 * found.accepted_before:.1f} → {100 * found.accepted:.1f} % of the requests; wrong of them: "
        f"{100 * found.wrong_before:.2f} → {100 * found.wrong:.2f} %"
    )
    yield from found.notes if found.refusal is None else ()


def _test(per: str | None, one: ThresholdTest) -> str:
    name = f"{per} {one.group}" if one.group else "all" if per is None else "others"
    accept = "no threshold passes" if one.accept is None else f"accept {one.accept:.4f}"
    return f"{name}: {accept}; {one.wrong} of {one.accepted} wrong, at most {100 * one.most:.2f} %"
