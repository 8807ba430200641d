"""Results of a replay: a row of numbers for each request, the flips that matter most, and what could not be used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from arbitrank.answerlog.feedback import FeedbackUse
from arbitrank.errors import InputError
from arbitrank.evaluate.segments import Situation
from arbitrank.impact.flips import ROW, Flip, Rows, worst
from arbitrank.impact.work import ReactedLines, Requests
from arbitrank.wire.json_lines import BadLine, place
from arbitrank.wire.requests import Logged, decode_logged

_BAD = 5  # bad lines whose reasons are kept

K = TypeVar("K")


class Numbers(dict[K, int]):
    """Numbers for names, in the order of their first use."""

    def __missing__(self, name: K) -> int:
        self[name] = len(self)
        return self[name]


@dataclass
class Replayed:
    """Results of a replay. `worst` holds the flips that matter most, by whether "none" counts as an answer.

    `rows` number the domains by `names`, the devices by `devices`, the sets of owners by `owners` and what is known of
    requests by `situations`. `from_log` counts the scores that were taken from the log, `unread` the requests that
    the candidate's recogniser could not read. `unserved` are domains that are not installed, `broken` those that
    cannot be loaded. `left_out` counts the reactions that say nothing of the two versions, by the reason, `silent`
    requests without one, which have no row. `use` is that of a log's reactions by the requests, None where it was
    not noted.
    """

    rows: Rows = field(default_factory=lambda: np.zeros(0, ROW))
    names: Numbers[str] = field(default_factory=Numbers)
    devices: Numbers[str] = field(default_factory=Numbers)
    owners: Numbers[tuple[str, ...]] = field(default_factory=Numbers)
    situations: Numbers[Situation] = field(default_factory=Numbers)
    worst: dict[bool, list[Flip]] = field(default_factory=lambda: {False: [], True: []})
    bad: list[BadLine] = field(default_factory=list)
    bad_lines: int = 0
    from_log: int = 0
    unread: int = 0
    unserved: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    left_out: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    use: FeedbackUse | None = None

    @property
    def labelled(self) -> Rows:
        """The rows of the requests with a truth."""
        rows: Rows = self.rows[self.rows["labelled"]]
        return rows

    def owned(self, name: str) -> NDArray[np.bool_]:
        """The mask, among `labelled`, of the requests that a domain owns."""
        sets = [number for owners, number in self.owners.items() if name in owners]
        return np.isin(self.rows["owners"][self.rows["labelled"]], sets)


def together(shares: Sequence[Replayed]) -> Replayed:
    """The results of several processes, as one process would have them."""
    whole = Replayed()
    for share in shares:
        rows = share.rows
        columns: list[tuple[NDArray[np.int32], Numbers[Any], Numbers[Any]]] = [
            (rows["owners"], whole.owners, share.owners),
            (rows["before"]["head"], whole.names, share.names),
            (rows["after"]["head"], whole.names, share.names),
            (rows["device"], whole.devices, share.devices),
            (rows["situation"], whole.situations, share.situations),
        ]
        for column, table, known in columns:
            numbers = np.array([*(table[name] for name in known), -1])
            column[...] = numbers[column]
        for counts, some in share.worst.items():
            whole.worst[counts] = worst([*whole.worst[counts], *some])
        whole.bad += share.bad
        whole.bad_lines += share.bad_lines
        whole.from_log += share.from_log
        whole.unread += share.unread
        whole.unserved |= share.unserved
        whole.broken |= share.broken
        whole.left_out.update(share.left_out)
        whole.silent += share.silent
        if share.use is not None:
            whole.use = share.use if whole.use is None else whole.use | share.use
        for name, reasons in share.failures.items():
            whole.failures[name].update(reasons)
    rows = np.concatenate([share.rows for share in shares])
    whole.rows = rows[np.argsort(rows["line"], kind="stable")]
    return whole


def decoded(raw: ReactedLines, path: Requests, since: float | None, found: Replayed) -> tuple[list[int], list[Logged]]:
    """The numbers and requests of some lines, of those that were answered `since` then; bad ones are counted."""
    numbers, lines = [], []
    for number, where, line in raw:
        try:
            if isinstance(line, BadLine):
                raise InputError(line.reason)
            if line is None:
                continue
            logged = decode_logged(line) if isinstance(line, bytes) else line
            if since is None or (logged.time is not None and logged.time >= since):
                lines.append(logged)
                numbers.append(number)
        except InputError as error:
            found.bad_lines += 1
            if len(found.bad) < _BAD:
                found.bad.append(BadLine(where or place(str(path), number), str(error)))
    return numbers, lines


def fill_truths(rows: Rows, numbers: Sequence[int], lines: Sequence[Logged], found: Replayed) -> None:
    """Fill in what rows hold of their requests, whatever is answered: lines, truths and devices."""
    rows["line"] = numbers
    rows["labelled"] = [line.truth is not None for line in lines]
    truths = [line.truth for line in lines]
    rows["owners"] = [found.owners[truth.owners if truth else ()] for truth in truths]
    rows["unowned"] = [truth is None or truth.out_of_scope for truth in truths]
    known = (line.context.get("device") for line in lines)
    rows["device"] = [found.devices[device] if isinstance(device, str) else -1 for device in known]
