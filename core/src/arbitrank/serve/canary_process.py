"""Report of a canary in a child process: `python -m arbitrank.serve.canary_process`, the task on its input.

A log of gigabytes is read for a while, for which a worker has no time.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbitrank.answerlog.joining import view
from arbitrank.background import give_way
from arbitrank.child import serve
from arbitrank.errors import ArbitrankError
from arbitrank.live.canary_report import CanaryPeriod, from_log
from arbitrank.serve.promotion_process import Verdict, status_of

SECONDS = 300.0
"""Seconds that the report may take."""


class CanaryTask(msgspec.Struct, frozen=True):
    """Canary of a domain or stage to report, and the folder of the service's log."""

    domain: str
    period: CanaryPeriod
    log: str


def carry_out(task: CanaryTask) -> Verdict:
    """The report of a canary from a log."""
    try:
        return Verdict(200, msgspec.Raw(msgspec.json.encode(from_log(task.domain, task.period, view(Path(task.log))))))
    except ArbitrankError as error:
        return Verdict.of(status_of(error), str(error))


if __name__ == "__main__":
    give_way()
    serve(lambda line: msgspec.json.encode(carry_out(msgspec.json.decode(line, type=CanaryTask))), SECONDS)
