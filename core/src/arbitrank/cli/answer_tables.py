"""Tables of answers, replays and metrics on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import UNSET
from rich import markup
from rich.table import Table

from arbitrank.cli.terminal import print_table, terminal
from arbitrank.explanation import BASE
from arbitrank.values import Answer, Ranked, Truth

if TYPE_CHECKING:
    from arbitrank.impact.replay_one import Replay

_SHOWN_FROM = 0.01
_SAID_FROM, _WRITTEN_FROM = 0.05, 0.005  # nats of a reason in words, and in numbers
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def escape(text: str) -> str:
    """The text for a terminal, with brackets and control characters made harmless."""
    return markup.escape(_CONTROL.sub("\ufffd", text))


def show_answer(answer: Answer, *, explain: bool = False) -> None:
    """Print the ranked list, the decision in words, the version of its settings, and the domains that did not answer.

    The list holds each domain's best reading and every other reading with P(right) of at least 1 %.
    """
    console = terminal()
    shown = _shown(answer)
    if shown:
        print_table(console, _ranking(answer, shown, explain))
    if len(answer.ranked) > len(shown):
        console.print(f"[dim]and {len(answer.ranked) - len(shown)} readings below 1 %; --json shows all[/dim]")
    console.print(_decision(answer))
    if answer.settings is not UNSET:
        console.print(f"[dim]by the decision settings {escape(answer.settings)}[/dim]")
    for name, report in answer.domains.items():
        if report.status not in ("answered", "skipped"):
            console.print(f"[yellow]{escape(name)}[/yellow] {report.status}: {escape(report.reason or '')}")


def _shown(answer: Answer) -> list[int]:
    seen: set[str] = set()
    shown = []
    for i, entry in enumerate(answer.ranked):
        if entry.domain not in seen or i in answer.decision.contenders or (entry.probability or 0.0) >= _SHOWN_FROM:
            shown.append(i)
        seen.add(entry.domain)
    return shown


def _ranking(answer: Answer, shown: Sequence[int], explain: bool) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for header, right in (("#", True), ("domain", False), ("intent", False), ("slots", False)):
        table.add_column(header, justify="right" if right else "left", no_wrap=True)
    table.add_column("P(mine)", justify="right", no_wrap=True)
    table.add_column("P(right)", justify="right", no_wrap=True)
    table.add_column("why, in nats" if explain else "why")
    for i in shown:
        entry = answer.ranked[i]
        style = "bold" if i in answer.decision.contenders else ""
        table.add_row(
            str(i + 1),
            escape(entry.domain),
            escape(entry.intent),
            escape(", ".join(f"{slot.name}={slot.value}" for slot in entry.slots)),
            _percent(entry.domain_probability),
            _percent(entry.probability),
            escape(_numbers(entry) if explain else _words(entry)),
            style=style,
        )
    return table


_GROUPS = {
    "domain": ("sure that it is meant", "unsure that it is meant"),
    "intent": ("the intent is clear", "the intent is unclear"),
    "slots": ("the slots are clear", "the slots are unclear"),
    "context": ("the situation", "the situation"),
    "features": ("what it knows", "what it knows"),
    "length": ("the length of the request", "the length of the request"),
    "reading": ("its best reading", "other readings of its own"),
    "calibration": ("it is right more often than it claims", "it is right less often than it claims"),
    "temperature": ("its recalibration", "its recalibration"),
    "other_domains": ("no other domain is as sure", "other domains claim it"),
    "hyprank": ("the account and the dialogue", "the account and the dialogue"),
}
"""Words for a group that speaks for a reading, and for one that speaks against it."""


def _numbers(entry: Ranked) -> str:
    """All contributions, which add up to the log-odds of P(right), the base first."""
    why = entry.why or {}
    largest = sorted(why.items(), key=lambda item: (item[0] != BASE, -abs(item[1])))
    return "  ".join(f"{group} {value:+.2f}" for group, value in largest if abs(value) >= _WRITTEN_FROM)


def _words(entry: Ranked) -> str:
    """The two strongest reasons: features by what they say, groups without any by theirs."""
    why, details = entry.why or {}, entry.details or {}
    detailed = {key.partition(".")[0] for key in details}
    reasons = [(value, key.partition(".")[2]) for key, value in details.items()]
    reasons += [
        (value, _GROUPS.get(group, (group, group))[value < 0.0])
        for group, value in why.items()
        if group != BASE and group not in detailed
    ]
    reasons.sort(key=lambda reason: -abs(reason[0]))
    return ", ".join(f"{value:+.1f} {words}" for value, words in reasons[:2] if abs(value) >= _SAID_FROM)


def _decision(answer: Answer) -> str:
    action, chosen = answer.decision.action, [answer.ranked[i] for i in answer.decision.contenders]
    if action == "accept":
        return f"[bold green]accept[/bold green]  {_named(chosen[0])}{_reason(answer)}"
    if action == "clarify":
        return f"[bold yellow]clarify[/bold yellow]  {_question(answer, chosen)}{_reason(answer)}"
    return _none(answer) + _reason(answer)


def _none(answer: Answer) -> str:
    statuses = {report.status for report in answer.domains.values()}
    if "unserved" in statuses and not statuses & {"answered", "failed", "late"}:
        return "[bold red]none[/bold red]  its hypotheses are of no domain that answers here; run: arbitrank domains"
    if not statuses & {"failed", "late"}:
        return "[bold]none[/bold]  out of scope: no domain owns this request"
    if "answered" in statuses:
        return "[bold]none[/bold]  out of scope for the domains that answered"
    return "[bold red]none[/bold red]  no domain could answer"


def _question(answer: Answer, contenders: Sequence[Ranked]) -> str:
    """The contenders by their display names, each with the probability that the decision looked at.

    That is P(mine) of several, as they are close to one another, and P(right) of a single one, as it is low.
    """
    named, titled = [], True
    for entry in contenders:
        report = answer.domains.get(entry.domain)
        titles = {} if report is None or report.intent_titles is UNSET else report.intent_titles
        domain = entry.domain if report is None or report.title is UNSET else report.title
        p, event = (entry.domain_probability, "mine") if len(contenders) > 1 else (entry.probability, "right")
        titled = titled and entry.intent in titles
        intent = titles.get(entry.intent, entry.intent)
        named.append(f"{escape(intent)} ({escape(domain)}, {_percent(p)} {event})")
    return f"{'do you want to' if titled else 'did you mean'} {' or '.join(named)}?"


def _reason(answer: Answer) -> str:
    return "" if answer.decision.reason is UNSET else f"; {escape(answer.decision.reason)}"


def _named(entry: Ranked) -> str:
    right = () if entry.probability is None else (f"{_percent(entry.probability)} right",)
    version = (f"version {entry.version}",) if entry.version else ()
    facts = ", ".join((*right, *version))
    return f"{escape(entry.domain)} {escape(entry.intent)}" + (f" ({facts})" if facts else "")


def _percent(p: float | None) -> str:
    if p is None:
        return ""
    return f"{100 * p:.1f} %" if 0.0005 <= p < 0.9995 or p in (0.0, 1.0) else ("< 0.1 %" if p < 0.5 else "> 99.9 %")


def show_replay(replay: Replay, answered: float | None, *, explain: bool = False) -> None:
    """Print a logged request, its answer then and now, and what changed between them."""
    console = terminal()
    words = f"“{escape(replay.utterance)}”" if replay.utterance is not None else "its words were not logged"
    console.print(f"request {escape(replay.id or '')}, {words}")
    console.print(f"\n[bold]answered {when(answered)}[/bold]")
    if replay.logged:
        show_answer(replay.logged, explain=explain)
    how = "recognised again" if replay.anew else "rescored from the logged hypotheses"
    console.print(f"\n[bold]today[/bold], {how}")
    show_answer(replay.today, explain=explain)
    console.print("\n[bold]changed[/bold]" if replay.changed else "\nnothing changed")
    for line in replay.changed:
        console.print(escape(line))
    if replay.truth:
        meant = "; or ".join(map(_meant, replay.truth.each))
        console.print(f"truth: {escape(meant)}")
    if replay.outcome:
        console.print(f"the user {replay.outcome} it")


def _meant(truth: Truth) -> str:
    slots = ", ".join(f"{slot.name}={slot.value}" for slot in truth.slots)
    domains = " or ".join(truth.owners)
    return f"{domains} {truth.intent or ''} {slots}" if domains else "out of scope"


def when(time: float | None) -> str:
    """A time in UTC, for people."""
    try:
        return "at an unknown time" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, ValueError, OSError):
        return "at an unknown time"
