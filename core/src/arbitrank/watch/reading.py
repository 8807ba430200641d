"""Reading of a whole log for a watch, and what is known of the domains beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from arbitrank.answerlog.joining import LogView, raw_lines
from arbitrank.answerlog.period import begin
from arbitrank.answerlog.reader import source
from arbitrank.domain import Domain
from arbitrank.errors import DataError
from arbitrank.guard import Fault, guarded
from arbitrank.plugin_hooks import stated
from arbitrank.store.artifact import read_card
from arbitrank.store.loading import present
from arbitrank.store.state import undo_of
from arbitrank.store.store import Store
from arbitrank.watch.alarms import Commands
from arbitrank.watch.collector import Collector
from arbitrank.watch.judging import judge
from arbitrank.watch.period import Known
from arbitrank.watch.report import WatchReport
from arbitrank.wire.json_lines import place, read_lines


def watched(
    path: Path, since: str, known: Mapping[str, Known] | None = None, commands: Commands = Commands()
) -> WatchReport:
    """The report of a log's folder or a file of its lines; `since` as `answerlog.period.begin` reads it.

    Raises `DataError` where no line has both an answer and a time, `InputError` for a bad `since`.
    """
    begin(since, 0.0)
    collected = collect(path)
    if not collected.latest:
        seen = f"{collected.skipped} lines without both, {collected.bad} that cannot be read"
        raise DataError(
            f"{path}: no request with an answer and a time, {seen}; expected a log: arbitrank serve --log DIR"
        )
    return judge(collected, begin(since, collected.latest), known or {}, commands)


def collect(path: Path) -> Collector:
    """The rows of a log, or of a file of its lines. Raises `DataError` where it cannot be read."""
    collected, log = Collector(), source(path)
    if isinstance(log, LogView):
        for where, line in raw_lines(log):
            collected.line(where, line)
    else:
        for number, line in read_lines(log):
            collected.line(place(str(path), number), line)
    return collected


def known_of(domains: Mapping[str, Domain], store: Store) -> dict[str, Known]:
    """Facts of the store on the weights that answer for each domain; without those that cannot be read."""
    found = {}
    for name, domain in domains.items():
        one = guarded(_known, name, domain, store)
        if not isinstance(one, Fault):  # `arbitrank domains` reports the others
            found[name] = one
    return found


def _known(name: str, domain: Domain, store: Store) -> Known:
    now, undo = present(name, domain, store), undo_of(store.history(name))
    if undo == "package" and stated(domain, "shipped") is None:
        undo = None
    return Known(now.manifest.version, read_card(now.folder), frozenset(now.manifest.features), undo)
