"""Tables of the impact report and of the gate's judgement on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from arbitrank.cli.answer_tables import escape
from arbitrank.cli.terminal import print_table, terminal
from arbitrank.cli.value_tables import show_estimate
from arbitrank.evaluate.intervals import Estimate
from arbitrank.evaluate.metrics import Calibration, band_mark
from arbitrank.evaluate.segment_report import SegmentCalibration
from arbitrank.impact.flips import Flip
from arbitrank.impact.gate import GateReason
from arbitrank.impact.report import FlipCount, Impact, Slice
from arbitrank.impact.segmenting import SegmentImpact
from arbitrank.outcomes.suite_runs import SuiteRun

_PAIRS = 10
_WIDTH = 120  # of what is not a terminal


def show_impact(impact: Impact, reasons: Sequence[GateReason]) -> None:
    """Print the effect of a candidate: figures before and after, requests gained and lost, and the worst flips."""
    console = terminal(_WIDTH)
    place = f"{escape(impact.domain)}: {impact.after} in the place of {impact.before or 'nothing'}"
    counted = f"{impact.n} requests, {impact.labelled} with a truth; {impact.flips} are answered differently"
    console.print(f"{place}, on {escape(impact.on)}: {counted}")
    for note in impact.notes:
        console.print(f"[dim]{escape(note)}[/dim]")
    if impact.pooled:
        slices = {"all requests": impact.pooled}
        slices |= {f"of {name}": one for name, one in impact.per_domain.items()}
        slices |= {f"on {name}": one for name, one in impact.per_device.items()}
        print_table(console, _figures(slices))
        if (claims := _claims(impact)).row_count:
            print_table(console, claims)
    if impact.decisions:
        before, after = impact.decisions["before"], impact.decisions["after"]
        shares = (
            f"{name} {100 * getattr(before, name):.1f} -> {100 * getattr(after, name):.1f} %"
            for name in after.__struct_fields__
            if getattr(before, name) or getattr(after, name)
        )
        console.print(f"decisions: {', '.join(shares)}")
    if impact.pairs:
        print_table(console, _pairs(impact.pairs))
    for flip in impact.worst:
        console.print(_flip(flip))
    if impact.value is not None:
        for note in impact.value.notes:
            console.print(f"[dim]{escape(note)}[/dim]")
        if impact.value.estimate is not None:
            show_estimate(impact.value.estimate, console)
    for text in _segments_and_suites(impact):
        console.print(escape(text))
    if reasons or impact.labelled or (impact.value is not None and impact.value.estimate is not None):
        show_reasons(reasons, "would refuse", "would pass it", console)
    else:
        console.print("[yellow]the gate would have nothing to judge by[/yellow]: no request has a truth")


def show_reasons(reasons: Sequence[GateReason], refuses: str, passes: str, console: Console | None = None) -> None:
    """Print the gate's reasons, or that it passes."""
    console = console or terminal()
    if not reasons:
        console.print(f"[green]the gate {passes}[/green]")
    for reason in reasons:
        console.print(f"[red]the gate {refuses}[/red]: {escape(reason.text)}")


def _segments_and_suites(impact: Impact) -> Iterator[str]:
    if impact.segments is not None:
        yield from _segments(impact.segments)
    if impact.suites:
        yield SuiteRun(impact.suites).text


def _segments(found: SegmentImpact) -> Iterator[str]:
    """The segments, single and in pairs, in which the domain's P(right) is off by most of its noise."""
    for side in ("before", "after"):
        one: SegmentCalibration = getattr(found, side)
        for worst, chance, n, of in (
            (one.worst, one.p_value, one.segments, "segments"),
            (one.worst_pair, one.pair_p_value, one.pairs, "pairs of segments, which are not gated"),
        ):
            if worst is not None:
                least = f"{100 * worst.detectable:.1f} points would be found"
                yield f"worst segment {side}: {worst.text}; p = {chance:.2g} over {n} {of}; {least}"


def _table(*columns: str, texts: int = 1) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for i, header in enumerate(columns):
        table.add_column(header, justify="left" if i < texts else "right", no_wrap=True)
    return table


def _figures(slices: Mapping[str, Slice]) -> Table:
    table = _table("", "n", "IRER", "difference", "domain", "SemER", "NLL", "Brier", "ECE", "lost", "won")
    for name, one in slices.items():
        table.add_row(
            escape(name),
            str(one.n),
            _both(one.before.irer, one.after.irer),
            _difference(one.difference["irer"]),
            _both(one.before.domain_accuracy, one.after.domain_accuracy),
            _both(one.before.semer, one.after.semer),
            f"{one.before.nll:.2f}→{one.after.nll:.2f}",
            f"{one.before.brier:.2f}→{one.after.brier:.2f}",
            f"{_ece(one.calibration_before)}→{_ece(one.calibration_after)}",
            str(one.right_to_wrong),
            str(one.wrong_to_right),
        )
    return table


def _claims(impact: Impact) -> Table:
    table = _table(f"claims of {escape(impact.domain)}", "n", "NLL", "Brier", "ECE", "95 %", "in band", "over")
    named = {"by its card": impact.card, "now": impact.claims.before, "as a candidate": impact.claims.after}
    for name, one in named.items():
        if one:
            low, high = one.ece_interval
            interval, band = f"{100 * low:.1f}–{100 * high:.1f}", band_mark(one.ece, one.ece_band)
            row = name, str(one.n), f"{one.nll:.3f}", f"{one.brier:.3f}", _ece(one), interval, band
            table.add_row(*row, f"{100 * one.over:+.1f}")
    return table


def _pairs(pairs: Sequence[FlipCount]) -> Table:
    table = _table("from", "to", "requests", "right to wrong", "wrong to right", "other", "no truth", texts=2)
    for p in pairs[:_PAIRS]:
        counts = (p.n, p.right_to_wrong, p.wrong_to_right, p.other, p.no_truth)
        table.add_row(escape(p.before or "out of scope"), escape(p.after or "out of scope"), *map(str, counts))
    return table


def _flip(flip: Flip) -> str:
    colour = {"right to wrong": "red", "wrong to right": "green"}.get(flip.kind, "yellow")
    said = flip.utterance or flip.id or f"line {flip.line}"
    device = f" [dim]({escape(flip.device)})[/dim]" if flip.device else ""
    before, after = (
        escape(one.reading) + (f" {100 * one.probability:.0f} %" if one.domain else "")
        for one in (flip.before, flip.after)
    )
    meant = f"; meant was {escape(flip.truth)}" if flip.truth is not None and flip.kind != "wrong to right" else ""
    return f"[{colour}]{flip.kind}[/{colour}]  {escape(said)}{device}: {before} → {after}{meant}"


def _both(before: float, after: float) -> str:
    return f"{100 * before:.1f}→{100 * after:.1f}"


def _difference(one: Estimate) -> str:
    text = f"{100 * one.mean:+.2f} \\[{100 * one.low:+.2f}, {100 * one.high:+.2f}]"
    colour = "red" if one.low > 0 else "green" if one.high < 0 else ""
    return f"[{colour}]{text}[/{colour}]" if colour else text


def _ece(one: Calibration | None) -> str:
    return f"{100 * one.ece:.1f}" if one else "–"
