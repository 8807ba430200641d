"""arbitrank value: what users would have made of a candidate's answers."""

from __future__ import annotations

import click
import msgspec

from arbitrank.answerlog.period import begin_in
from arbitrank.answerlog.reader import UnreadableLines, source
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.cli import decision_options, options
from arbitrank.cli.computing import Computing, computing_by_size, requests_at, suitable_jobs
from arbitrank.cli.impact import exchanged
from arbitrank.errors import DataError, InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.kinds import RESERVED, canonical
from arbitrank.store.store import Store


@click.command("value")
@click.argument("domain")
@click.option("--candidate", metavar="V|PATH", help="A version, or an artifact's folder; default: the candidate.")
@click.option("--on", "path", metavar="LOG", required=True, help="The log of a service, with reactions of users.")
@options.since()
@click.option("--against", metavar="stable|V", default="stable", help="The version to compare with.")
@click.option(
    "--clip", type=options.Share(1, 1e6), default=100.0, help="The greatest importance weight; 1 / share of a canary."
)
@click.option(
    "--least",
    type=options.Share(0, 1e9),
    default=30.0,
    help="The effective number of requests answered differently below which nothing is judged.",
)
@decision_options.decisions(clarify=False)
@options.policy
@computing_by_size
@options.as_json
@options.store
def value(
    domain: str,
    candidate: str | None,
    path: str,
    begins: str | None,
    against: str,
    clip: float,
    least: float,
    decisions: DecisionSettings,
    policy: Policy | None,
    where: Computing,
    as_json: bool,
    store: Store,
) -> None:
    """Estimate which share of the answers with a candidate of DOMAIN users would have accepted, from a log.

    Each logged answer holds the probability with which it was drawn: a canary, or exploration, is the experiment that
    shows what users make of other answers. Where the log says too little, nothing is judged.

    Example: arbitrank value podcasts --on log
    """
    from arbitrank.cli.value_tables import show_value
    from arbitrank.impact.plan import plan
    from arbitrank.impact.value_work import unused_in, valued
    from arbitrank.impact.valued import unusable, value_of, without_reactions
    from arbitrank.outcomes.value import ValueSettings

    if canonical(domain) in RESERVED:
        raise InputError(
            f"{domain}: a stage; value judges domains, and a stage's is in: arbitrank impact {domain} --on {path}"
        )
    on = click.get_current_context().with_resource(requests_at(path, store))
    since = None if begins is None else begin_in(begins, source(on))
    domains = loaded(discover())
    folder, compared, by = exchanged(store, domains, domain, candidate, against)
    chosen = plan(
        domains, store, domain, folder, against=compared, decisions=decisions, since=since, by=by, policy=policy
    )
    found = valued(chosen, on, **suitable_jobs(where, on)._asdict())
    if found.bad:
        options.note(UnreadableLines(found.bad_lines, found.bad[0]))
    report = value_of(found, chosen.exchanged, path, ValueSettings(clip, least), unused_in(found, on))
    if not report.reactions:
        raise DataError(f"{path}: {without_reactions(report, on, begins)}; clients report them: docs/how-to/value.md")
    if (reason := unusable(report)) is not None:
        raise DataError(f"{path}: {reason}")
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        show_value(report)
