"""The impact report as files: impact.json, and a page with plots that needs nothing beside it."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import msgspec

from arbitrank.errors import InputError
from arbitrank.evaluate.metrics import Calibration
from arbitrank.evaluate.plots import calibration_plot
from arbitrank.evaluate.results import Outcome
from arbitrank.evaluate.summary import Difference
from arbitrank.impact.gate import Reason
from arbitrank.impact.replay import Flip, Replayed, Spoken
from arbitrank.impact.report import Impact, Pair, Slice, outcomes

_PAIRS = 20
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child,td.text,th.text{text-align:left}img{max-width:100%}
.worse{color:#a40000;font-weight:600}.better{color:#14691b;font-weight:600}
.note{color:#666;font-size:.9rem}.refused{border-left:.3rem solid #a40000;padding-left:1rem}"""


def report_folder(out: Path) -> None:
    """Make the folder that a report is to be written into. Raises `InputError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror}; promised a folder for the report") from error


def write_impact(
    impact: Impact, found: Replayed, threshold: float, out: Path, reasons: Sequence[Reason] | None = None
) -> None:
    """Write `impact.json` and `impact.html` into the folder `out`; with the gate's reasons where there is a verdict.

    Raises `InputError` where they can't be written.
    """
    report_folder(out)
    sides = outcomes(found, threshold) if impact.labelled else {}
    page = _page(impact, sides, reasons)
    try:
        (out / "impact.json").write_bytes(msgspec.json.format(msgspec.json.encode(impact), indent=1))
        (out / "impact.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{error.filename or out}: cannot be written: {error.strerror}") from error


def _page(impact: Impact, sides: Mapping[str, Outcome], reasons: Sequence[Reason] | None) -> str:
    name = escape(impact.domain)
    title = f"{name}: {escape(impact.after)} in the place of {escape(impact.before or 'nothing')}"
    notes = "".join(f"<li>{escape(note)}</li>" for note in impact.notes)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<title>{title}</title><style>{_STYLE}</style>
<h1>{title}</h1>
<p>{impact.n} requests of {escape(impact.on)}, {impact.labelled} with a truth. {impact.flips} are answered differently.
Figures are in per cent but NLL; brackets hold 95 % intervals of the paired difference.</p>
{_verdict(reasons, impact.labelled)}{f"<ul class=note>{notes}</ul>" if notes else ""}
{_measured(impact)}
<h2>From whom to whom</h2>{_pairs(impact.pairs)}
<h2>The flips that matter most</h2>{_flips(impact.worst)}
{_plots(impact, sides)}
</html>"""


def _verdict(reasons: Sequence[Reason] | None, labelled: int) -> str:
    if reasons is None:
        return ""
    if not reasons:
        return "<p>The gate lets it pass.</p>" if labelled else "<p>The gate has nothing to judge by.</p>"
    rows = "".join(f"<li>{escape(reason.text)}</li>" for reason in reasons)
    return f'<div class="refused"><p>The gate refuses:</p><ul>{rows}</ul></div>'


def _measured(impact: Impact) -> str:
    if impact.pooled is None:
        return "<p>No request has a truth, so nothing can be said of errors.</p>"
    claims = impact.claims
    own = [("of the training's examples kept back, by its card", impact.card), ("now", claims.before)]
    own.append(("as a candidate", claims.after))
    return f"""<h2>All requests</h2>{_slices({"all": impact.pooled})}
<h2>By the domain that owns the request</h2>{_slices(impact.per_domain)}
<p class="note">ECE is of the requests whose list the domain heads, before and after.</p>
{f"<h2>By device</h2>{_slices(impact.per_device)}" if impact.per_device else ""}
<h2>What {escape(impact.domain)} claims, of every request that it has a reading for</h2>{_claims(own)}"""


def _slices(slices: Mapping[str, Slice]) -> str:
    head = _row("th", "", "n", "IRER", "difference", "domain accuracy", "SemER", "NLL", "Brier", "ECE", "lost", "won")
    rows = [
        _row(
            "td",
            escape(name),
            str(one.n),
            _both(one.before.irer, one.after.irer),
            _difference(one.difference["irer"]),
            _both(one.before.domain_accuracy, one.after.domain_accuracy),
            _both(one.before.semer, one.after.semer),
            f"{one.before.nll:.3f} → {one.after.nll:.3f}",
            f"{one.before.brier:.3f} → {one.after.brier:.3f}",
            f"{_ece(one.calibration_before)} → {_ece(one.calibration_after)}",
            str(one.right_to_wrong),
            str(one.wrong_to_right),
        )
        for name, one in slices.items()
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _claims(own: Sequence[tuple[str, Calibration | None]]) -> str:
    head = _row("th", "", "n", "NLL", "Brier", "ECE", "95 % interval", "a perfect one shows", "claims too much by")
    rows = [
        _row(
            "td",
            name,
            str(one.n),
            f"{one.nll:.3f}",
            f"{one.brier:.3f}",
            _percent(one.ece),
            _range(one.ece_interval),
            _range(one.ece_band),
            f"{100 * one.over:+.1f}",
        )
        for name, one in own
        if one
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _pairs(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return "<p>No request is answered differently.</p>"
    head = _row("th", "from", "to", "requests", "right to wrong", "wrong to right", "other", "no truth")
    rows = [
        _row("td", escape(p.before or "nobody"), escape(p.after or "nobody"), *map(str, (p.n, *_counts(p))))
        for p in pairs[:_PAIRS]
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _counts(pair: Pair) -> tuple[int, ...]:
    return pair.right_to_wrong, pair.wrong_to_right, pair.other, pair.no_truth


def _flips(worst: Sequence[Flip]) -> str:
    if not worst:
        return ""
    head = "<tr><th>request</th><th class=text>before</th><th class=text>after</th><th class=text>meant was</th></tr>"
    rows = [
        f"<tr><td>{escape(flip.utterance or flip.id or f'line {flip.line}')}"
        f"<br><span class=note>{escape(flip.device or '')} {flip.kind}</span></td>"
        f"<td class=text>{_spoken(flip.before)}</td><td class=text>{_spoken(flip.after)}</td>"
        f"<td class=text>{escape(flip.truth if flip.truth is not None else 'not known')}</td></tr>"
        for flip in worst
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _spoken(spoken: Spoken) -> str:
    sure = f" <span class=note>{100 * spoken.probability:.0f} %</span>" if spoken.domain else ""
    return escape(spoken.reading) + sure


def _plots(impact: Impact, sides: Mapping[str, Outcome]) -> str:
    if not sides:
        return ""
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        path = Path(folder)
        calibration_plot(sides, path / "calibration.png")
        irer_plot({"all": impact.pooled, **impact.per_domain} if impact.pooled else {}, path / "irer.png")
        return (
            f"<h2>Who gains and who loses</h2>{_image(path / 'irer.png')}"
            f"<h2>Does a probability mean what it says?</h2>{_image(path / 'calibration.png')}"
        )


def irer_plot(slices: Mapping[str, Slice], path: Path) -> None:
    """Write a picture of the IRER's differences, with their intervals: to the right of the line it got worse."""
    import matplotlib.pyplot as plt

    names = list(slices)[::-1]
    found = [slices[name].difference["irer"] for name in names]
    figure, axes = plt.subplots(figsize=(6.4, 1.0 + 0.28 * len(names)), layout="constrained")
    for place, one in enumerate(found):
        colour = "#a40000" if one.low > 0 else "#14691b" if one.high < 0 else "#555555"
        axes.plot([100 * one.low, 100 * one.high], [place, place], color=colour)
        axes.plot([100 * one.mean], [place], marker="o", markersize=4, color=colour)
    axes.axvline(0.0, linestyle=":", color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("change of IRER, points")
    axes.grid(alpha=0.3, axis="x")
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _image(path: Path) -> str:
    return f'<img alt="{path.stem}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'


def _row(cell: str, *texts: str) -> str:
    return f"<tr>{''.join(f'<{cell}>{text}</{cell}>' for text in texts)}</tr>"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _both(before: float, after: float) -> str:
    return f"{100 * before:.2f} → {100 * after:.2f}"


def _range(ends: Iterable[float]) -> str:
    return "[" + ", ".join(map(_percent, ends)) + "]"


def _difference(one: Difference) -> str:
    kind = "worse" if one.low > 0 else "better" if one.high < 0 else ""
    return f"<span class='{kind}'>{100 * one.mean:+.2f} [{100 * one.low:+.2f}, {100 * one.high:+.2f}]</span>"


def _ece(one: Calibration | None) -> str:
    return "–" if one is None else f"{_percent(one.ece)} <span class=note>{_range(one.ece_band)}</span>"
