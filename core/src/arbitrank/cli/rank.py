"""arbitrank rank: hypotheses in, answers out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import click
import msgspec

from arbitrank.answerlog.settings import LogSettings
from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.outcomes import Failed
from arbitrank.cli import decision_options, log_options, options, plugin_output
from arbitrank.cli.ask import no_domain_could_answer
from arbitrank.context_keys import UnreadKeys
from arbitrank.errors import InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.loading import unavailable
from arbitrank.store.store import Store
from arbitrank.values import Answer, Request
from arbitrank.wire.json_lines import BadLine, place, read_lines
from arbitrank.wire.notices import Notices
from arbitrank.wire.requests import decode_request

if TYPE_CHECKING:
    from arbitrank.importers.payloads import PayloadFormat
    from arbitrank.live.live import Live


_REASONS = "the answers have the reasons; run: arbitrank domains"


@click.command("rank")
@click.argument("file", default="-")
@click.option("--format", metavar="VENDOR", help="FILE holds payloads of this system, read as by arbitrank import.")
@click.option("--domain", metavar="NAME", help="With --format: the domain of readings whose payload names none.")
@click.option(
    "--map", "mapping", type=options.PATH, metavar="FILE", help="With --format: names of yours for theirs, in TOML."
)
@options.store
@decision_options.decisions(unserved=True)
@options.hyprank_folder
@options.explain
@click.option("--follow", is_flag=True, help="Answer each line as it arrives, with the stable versions of that moment.")
@click.option(
    "--poll",
    type=options.Share(0.01, 3600),
    metavar="SECONDS",
    help="With --follow: how soon a change in the store takes effect.  [default: 1]",
)
@click.option(
    "--shadow",
    type=options.PATH,
    metavar="DIR",
    help="With --follow: query the candidates too, and log their answers in DIR; they are not served.",
)
@log_options.kept
@click.option(
    "--strict",
    is_flag=True,
    help="Refuse a line in which anything is not as expected, which else costs one domain its place, or is reported.",
)
@options.isolate
@options.deadline
def rank(
    file: str,
    format: str | None,
    domain: str | None,
    mapping: Path | None,
    store: Store,
    decisions: DecisionSettings,
    hyprank: Path | None,
    explain: bool,
    follow: bool,
    poll: float | None,
    shadow: Path | None,
    log_settings: LogSettings,
    strict: bool,
    isolate: tuple[str, ...],
    deadline: float | None,
) -> None:
    """Rank the hypotheses of each request in FILE (JSON Lines, .gz too; - for standard input); print answers.

    A line that cannot be read is reported on standard error, the others are answered, and the exit status is 2. A
    hypothesis that cannot be read fails its domain in that answer alone, unless --strict is given. The exit status is 1
    where there were requests that no domain could answer. With --follow, changes in the store and refusals are reported
    on standard error as well.

    Example: arbitrank rank requests.jsonl --explain
    """
    options.needs("--format", format, domain=domain, map=mapping)
    options.needs("--follow", follow, poll=poll, shadow=shadow, isolate=isolate, deadline=deadline)
    if shadow is None and log_settings != LogSettings():
        raise InputError("--log-share, --log-words, --log-key, --log-context, --log-days: no --shadow; expected both")
    bad = unanswered = 0
    with ExitStack() as stack:
        arbitrator: Arbitrator | Live
        out = stack.enter_context(plugin_output.apart())
        if follow:
            live = _live(store, decisions, poll or 1.0, shadow, log_settings, isolate, deadline, hyprank)
            arbitrator = stack.enter_context(live)
        else:
            arbitrator = options.arbitrator(store, decisions, hyprank)
        notices, unread = Notices(options.note), UnreadKeys(arbitrator.by_name.values)
        reported: set[str] = set()
        for where, request in _requests(file, _payloads(format, domain, mapping), notices, strict):
            try:
                if isinstance(request, InputError):
                    raise request
                for text in unread(request.context):
                    options.note(f"{where}: {text}")
                answer = _answer(arbitrator, request, explain, strict)
            except InputError as error:
                bad += 1
                options.note(f"{where}: {error}")
                continue
            unanswered += no_domain_could_answer(answer)
            if not answer.ranked:
                _note_unserved(where, answer, reported)
            out.write(msgspec.json.encode(answer) + b"\n")
            if follow:
                out.flush()
    _conclude(file, bad, unanswered)


def _conclude(file: str, bad: int, unanswered: int) -> None:
    """End with the exit status 2 where lines could not be read, 1 where no domain could answer requests."""
    if bad:
        name = "standard input" if file == "-" else file
        raise InputError(f"{bad} line{'s' if bad > 1 else ''} of {name} could not be read, the others were answered")
    if unanswered:
        options.note(f"{unanswered} request{'s' if unanswered > 1 else ''} that no domain could answer; {_REASONS}")
        raise SystemExit(1)


def _payloads(format: str | None, domain: str | None, mapping: Path | None) -> PayloadFormat | None:
    if format is None:
        return None
    from arbitrank.importers.payloads import PayloadFormat

    return PayloadFormat.stated(format, domain, mapping)


def _requests(
    file: str, payloads: PayloadFormat | None, notices: Notices, strict: bool
) -> Iterator[tuple[str, Request | InputError]]:
    """The request of each line or payload, or the error where it cannot be read, with its place."""
    if payloads is not None:
        yield from ((one.where, one.request) for one in payloads.read_file(file, notices, strict=strict))
        return
    for number, raw in read_lines(file):
        where = place(file, number)
        try:
            if isinstance(raw, BadLine):
                raise InputError(raw.reason)
            yield where, decode_request(raw, notices.at(where), strict=strict)
        except InputError as error:
            yield where, error


def _answer(arbitrator: Arbitrator | Live, request: Request, explain: bool, strict: bool) -> Answer:
    """The answer. Raises `InputError` with `strict` where a score of the request cannot be read."""
    arbitration = arbitrator.arbitrate(request, explain=explain)
    for name, outcome in arbitration.outcomes.items() if strict else ():
        if isinstance(outcome, Failed) and outcome.unread is not None:
            raise InputError(arbitration.answer.domains[name].reason or outcome.reason)
    return arbitration.answer


def _note_unserved(where: str, answer: Answer, reported: set[str]) -> None:
    """Report the domains, each once, of an answer that ranks nothing because they are not installed."""
    names = [name for name, one in answer.domains.items() if one.status == "unserved" and name not in reported]
    if names:
        reported.update(names)
        text = "no installed domain has this name, so its hypotheses are not ranked"
        options.note(
            f"{where}: {', '.join(names)}: {text}; run: arbitrank domains, or rank them by R0: --rank-unserved"
        )


def noted(delay: float) -> Callable[[str], None]:
    """A function that notes a change in the store, and some seconds after the last one collects what was exchanged.

    That is in cycles, and child processes may end with it.
    """
    waiting: list[Timer] = []

    def note(line: str) -> None:
        options.note(line)
        for timer in waiting:
            timer.cancel()
        waiting[:] = [Timer(delay, gc.collect)]
        waiting[0].daemon = True
        waiting[0].start()

    return note


@contextmanager
def _live(
    store: Store,
    decisions: DecisionSettings,
    poll: float,
    shadow: Path | None,
    log_settings: LogSettings,
    isolate: tuple[str, ...],
    deadline: float | None,
    hyprank: Path | None,
) -> Iterator[Live]:
    """The follower of the store; reports at its end how many comparisons were lost."""
    from arbitrank.answerlog.writer import AnswerLog
    from arbitrank.live.live import Live

    found = discover()
    domains = loaded(found)
    with ExitStack() as stack:
        log = stack.enter_context(AnswerLog(shadow, log_settings)) if shadow else None
        live = Live(
            domains,
            store,
            decisions=decisions,
            poll=poll,
            shadow=shadow is not None,
            compared=log.append if log else None,
            notify=noted(2 * poll),
            isolation=options.isolation(isolate, deadline, domains),
            hyprank=options.hyprank(hyprank, store),
            unavailable=unavailable(found),
        )
        with live:
            yield live
        status = live.status()
        if over := status.waiting + status.dropped:
            options.note(f"{over} requests were not compared, being over capacity")
    if log and (lost := log.status().lost):
        options.note(f"--shadow {shadow}: {lost} comparisons were not written: {log.status().problem}")
