"""arbitrank impact: what a candidate would do to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from arbitrank.answerlog.period import begin_in
from arbitrank.answerlog.reader import source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.cli import decision_options, options, shortlist_options
from arbitrank.cli.computing import Computing, computing, requests_at
from arbitrank.cli.stage_impact import JudgedImpact, StatedReplay, stage_impact
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.guard import Fault, guarded
from arbitrank.registry import discover, domain_named, loaded
from arbitrank.store.kinds import RESERVED, canonical
from arbitrank.store.state import State
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.impact.gate import GateLimits
    from arbitrank.shortlist.shortlister import ShortlistSettings
    from arbitrank.store.loading import Present


def _gate_limits(tolerance: float, max_ece: float, max_temperature: float) -> GateLimits:
    from arbitrank.impact.gate import GateLimits

    return GateLimits(tolerance / 100, max_ece / 100, max_temperature)


gate_limits = options.gathered(
    "limits",
    _gate_limits,
    click.option(
        "--tolerance",
        type=options.Share(0, 100),
        default=0.1,
        metavar="POINTS",
        help="The largest certain increase of IRER, of all requests and of each other domain's.",
    ),
    click.option(
        "--max-ece",
        type=options.Share(0, 100),
        default=5.0,
        metavar="PERCENT",
        help="The largest calibration error of a domain's claims.",
    ),
    click.option(
        "--max-temperature",
        type=options.Share(1, 1000),
        default=1.5,
        help="The largest certain temperature of its claims: the factor by which log-odds are too strong.",
    ),
)
"""The limits of the gate, which the verb receives as `limits: GateLimits`."""


@click.command("impact")
@click.argument("domain")
@click.option(
    "--candidate",
    metavar="V|PATH",
    help="A version, or an artifact's folder; default: the candidate, else what serves, beside what served before it.",
)
@click.option(
    "--on",
    "path",
    metavar="PATH|URL",
    help="Requests, in a log's folder or a file of them, logged or with truths; default: the store's audit set.",
)
@options.since()
@click.option("--against", metavar="stable|V", default="stable", help="The version to compare with.")
@decision_options.decisions(clarify=False)
@options.policy
@gate_limits
@options.seed
@computing
@shortlist_options.shortlisting
@options.hyprank_folder
@options.as_json
@click.option("--out", type=options.PATH, help="Write impact.json and impact.html here.")
@options.store
def impact(
    domain: str,
    candidate: str | None,
    path: str | None,
    begins: str | None,
    against: str,
    where: Computing,
    shortlist: ShortlistSettings | None,
    hyprank: Path | None,
    as_json: bool,
    out: Path | None,
    store: Store,
    **settings: Any,
) -> None:
    """Replay requests with the model of DOMAIN exchanged: changed answers, and errors before and after.

    All domains' hypotheses are ranked twice, with the present version of DOMAIN and with its candidate. A candidate
    with another recogniser recognises the words again. Where there is no candidate, what serves is judged, beside the
    version or the package's weights that served before it, else beside R0. Changes nothing, and prints the judgement
    of `promote`'s gate.

    DOMAIN may be a stage, .shortlist, .hyprank or .decisions: up to 5,000 requests are then answered whole, with what
    serves and with its candidate. --shortlist and --hyprank are as the service has them, and are for stages alone.

    Example: arbitrank impact podcasts --on log --out report
    Example: arbitrank impact .decisions --on log
    """
    from arbitrank.cli.impact_tables import show_impact
    from arbitrank.impact import page
    from arbitrank.impact.gate import over_limit

    name = canonical(domain)
    on = click.get_current_context().with_resource(requests_at(path, store))
    since = None if begins is None else begin_in(begins, source(on))
    if out:  # before minutes of work, not after them
        page.report_folder(out)
    replay = StatedReplay(
        on, (path if path != str(on) else None) if path else "the audit set", since, candidate, against
    )
    if name in RESERVED:
        found = stage_impact(store, name, replay, where, shortlist, hyprank, **settings)
    else:
        options.needs("stage", False, shortlist=shortlist, hyprank=hyprank)
        found = _of_domain(store, name, replay, where, **settings)
    if out:
        page.write_impact(found.impact, found.curves, out, found.reasons)
    if as_json:
        click.echo(msgspec.json.encode(found.impact))
        return
    show_impact(found.impact, found.reasons)
    if over := over_limit(found.impact, settings["limits"], now=True):
        click.echo(over)
    click.echo(f"written: {out}/impact.html" if out else "--out DIR writes this as JSON and as a page with plots")


def _of_domain(
    store: Store,
    name: str,
    replay: StatedReplay,
    where: Computing,
    *,
    decisions: DecisionSettings,
    policy: Policy | None,
    limits: GateLimits,
    seed: int,
) -> JudgedImpact:
    """The impact of a domain's version, and the gate's reasons against it."""
    from arbitrank.exchanged import suites_of
    from arbitrank.impact.curves import curves_of
    from arbitrank.impact.gate import judge
    from arbitrank.impact.plan import plan
    from arbitrank.impact.report import measure
    from arbitrank.impact.suite_gate import suite_reasons
    from arbitrank.store.artifact import read_card

    domains = loaded(discover())
    folder, compared, by = exchanged(store, domains, name, replay.candidate, replay.against)
    replayed = plan(
        domains, store, name, folder, against=compared, decisions=decisions, since=replay.since, by=by, policy=policy
    )
    card = read_card(folder)
    impact, found = measure(replayed, replay.on, card=card, seed=seed, called=replay.called, **where._asdict())
    reasons = judge(impact, impact.card, limits, domain=impact.domain)
    if compared is None:
        suites = suites_of(store, domains, name, replayed.candidate.folder, decisions, by)
        impact = msgspec.structs.replace(impact, suites=suites.results)
        reasons += suite_reasons(name, suites)
        for text in suites.notes:
            options.note(text)
    return JudgedImpact(impact, reasons, curves_of(impact, found))


Exchanged = tuple[Path, "Path | Literal['r0'] | None", "Recalibration | None"]
"""The artifact that is judged, the one that it is compared with, None for what serves, and its recalibration."""


def exchanged(
    store: Store, domains: Mapping[str, Domain], domain: str, candidate: str | None, against: str
) -> Exchanged:
    """The versions to exchange: what is named, else the candidate, else what serves and what served before it."""
    from arbitrank.store.loading import present

    _, state = store.state(domain)
    if candidate is None and state.candidate is None:
        now = present(domain, domain_named(domain, domains), store)
        if against != "stable":
            options.note(f"no candidate: judging {now.manifest.version}, which serves, beside {against}")
            return now.folder, _artifact(store, domain, against), now.recalibration
        beside, before = _before(store, domains[domain], now, state)
        options.note(f"no candidate: judging {now.manifest.version}, which serves, beside {beside}")
        return now.folder, before, now.recalibration
    compared = None if against == "stable" else _artifact(store, domain, against)
    return _artifact(store, domain, candidate or "candidate"), compared, None


def _before(store: Store, domain: Domain, now: Present, state: State) -> tuple[str, Path | Literal["r0"]]:
    """The predecessor of what serves, else the package's weights, else R0: its name in a sentence, and its folder."""
    from arbitrank.store.loading import weights

    if now.origin == "store" and state.previous:
        return f"its predecessor {state.previous}", _artifact(store, domain.name, state.previous)
    package = guarded(weights, domain.name, domain, store, None)
    if not isinstance(package, Fault) and package.manifest.version != now.manifest.version:
        return f"the package's {package.manifest.version}", package.folder
    return "R0, as no version served before it", "r0"


def _artifact(store: Store, domain: str, named: str) -> Path:
    """The folder of an artifact: that of an alias or a version in the store, or a path."""
    _, state = store.state(domain)
    version = state.names().get(named)
    if version is None and named in ("stable", "previous", "candidate"):
        raise InputError(
            f"domain {domain}: no {named} in {store}; run: arbitrank train {domain}, or name a version or a folder"
        )
    if version is None and Path(named).is_dir():
        return Path(named)
    return store.fetch(domain, version or named)
