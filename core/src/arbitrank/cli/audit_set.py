"""arbitrank audit-set: set the requests that promotions are judged on."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from arbitrank.answerlog.reader import write_truths
from arbitrank.cli import options
from arbitrank.errors import DataError, InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.audit_set import audit_key
from arbitrank.store.store import Store
from arbitrank.wire.json_lines import BadLine, place, read_lines
from arbitrank.wire.requests import decode_logged

_SHOWN = 10
_FEW = 20  # requests below which a gate can tell hardly anything


@click.command("audit-set")
@click.argument("file", type=options.PATH, required=False)
@options.changed_store
def audit_set(file: Path | None, store: Store) -> None:
    """Make FILE the store's audit set: requests with their truth, and with all domains' hypotheses where there are any.

    Every line has to be valid. Of a log's folder the labelled requests are taken. Without FILE, print which file is the
    audit set.

    Example: arbitrank audit-set labelled.jsonl
    """
    if file is None:
        store.audit_set()  # which reports one that is damaged
        key = audit_key(store.audit_history())
        click.echo(f"{store}/{key}" if key else f"no audit set in {store}; run: arbitrank audit-set FILE")
        return
    with _single(file) as requests:
        n, owners, hypotheses, words = _checked(requests)
        replaced = store.audit_set()
        before = 0 if replaced is None else sum(1 for _ in read_lines(replaced))
        digest = store.set_audit_set(requests)
    domains = ", ".join(f"{name or 'out of scope'} {count}" for name, count in owners.most_common())
    click.echo(f"audit set {digest[:12]} in {store}: {n} requests, {hypotheses} hypotheses; owned by {domains}")
    if before > n:
        options.note(f"the audit set of before had more requests: {before}; a gate tells the more, the more there are")
    if n < _FEW:
        options.note(f"the gate can tell hardly anything by {n} requests, expected {_FEW} at least")
    if words:
        click.echo(f"{words} requests bring no hypotheses: the domains recognise their words each time")
    missing = sorted({*loaded(discover())} - {*owners})
    if missing:
        click.echo(f"no request belongs to {', '.join(missing)}: effects on them are not measured")


@contextmanager
def _single(path: Path) -> Iterator[Path]:
    """The file, or one with the labelled requests of a log's folder; torn lines of a log are reported."""
    if not path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        one = Path(folder) / f"{path.resolve().name}.jsonl"
        with one.open("wb") as file:
            n, bad = write_truths(path, file)
        for line in bad[:_SHOWN]:
            options.note(line)
        if not n:
            raise DataError(f"{path}: no request of this log has a truth; nothing was set")
        yield one


def _checked(file: Path) -> tuple[int, Counter[str | None], int, int]:
    """Number of requests, those of each domain, number of hypotheses, and of requests without any."""
    owners: Counter[str | None] = Counter()
    n = hypotheses = words = bad = 0
    for number, raw in read_lines(file):
        try:
            if isinstance(raw, BadLine):
                raise InputError(raw.reason)
            line = decode_logged(raw)
            if line.truth is None:
                raise InputError("truth: missing, expected the true domain, intent and slots")
        except InputError as error:
            bad += 1
            if bad <= _SHOWN:
                options.note(f"{place(file, number)}: {error}")
            continue
        n += 1
        owners.update(line.truth.owners or (None,))
        hypotheses += len(line.hypotheses or ())
        words += line.hypotheses is None
    if bad:
        raise DataError(f"{file}: {bad} invalid lines; nothing was set; see docs/reference/formats/hypotheses.md")
    if not owners:
        raise DataError(f"{file}: no request; nothing was set; see docs/reference/formats/hypotheses.md")
    return n, owners, hypotheses, words
