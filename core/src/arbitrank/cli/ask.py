"""arbitrank ask: text in, ranked list out."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.cli import decision_options, options, plugin_output
from arbitrank.context_keys import UnreadKeys
from arbitrank.errors import InputError
from arbitrank.feature_names import FeatureWatch
from arbitrank.store.store import Store
from arbitrank.values import Answer, Request
from arbitrank.wire.requests import decode_request


@click.command("ask")
@click.argument("text")
@options.store
@click.option("--device", metavar="D", help="The device in use: tv, speaker, phone …")
@click.option("--context", "pairs", metavar="K=V", multiple=True, help="More context; may be repeated.")
@decision_options.decisions()
@options.hyprank_folder
@options.explain
@options.as_json
def ask(
    text: str,
    store: Store,
    device: str | None,
    pairs: tuple[str, ...],
    decisions: DecisionSettings,
    hyprank: Path | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Query every installed domain with TEXT and rank the hypotheses.

    The exit status is 1 where no domain could answer.

    Example: arbitrank ask "play mary poppins" --device tv
    """
    request = _checked(Request(utterance=text, context=options.context(device, pairs)))
    with plugin_output.apart():
        arbitrator = options.arbitrator(store, decisions, hyprank)
        for remark in UnreadKeys(arbitrator.by_name.values)(request.context):
            options.note(remark)
        arbitration = arbitrator.arbitrate(request, explain=explain or not as_json)
        features = FeatureWatch(lambda: arbitrator.by_name)
        features(arbitration.recognised)
        for name, remark in features.notes().items():
            options.note(f"{name}: {remark}")
    answer = arbitration.answer
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        from arbitrank.cli.answer_tables import show_answer

        show_answer(answer, explain=explain)
    if no_domain_could_answer(answer):
        options.note("no domain could answer; run: arbitrank domains")
        raise SystemExit(1)


def no_domain_could_answer(answer: Answer) -> bool:
    """True where nothing was ranked and no domain answered: all failed or were late, or none has a model."""
    reports = answer.domains.values()
    statuses = {report.status for report in reports}
    if answer.ranked or "answered" in statuses:
        return False
    if statuses & {"failed", "late"}:
        return True
    return not any(report.status == "skipped" and report.version is not None for report in reports)


def _checked(request: Request) -> Request:
    """The request, checked as a line of a file is with --strict."""
    try:
        return decode_request(msgspec.json.encode(request), strict=True)
    except UnicodeEncodeError:
        raise InputError("TEXT or context: bytes that are no UTF-8, expected text in UTF-8") from None
