"""Child process that judges and promotes a version: `python -m arbitrank.serve.promotion_process`, task on its input.

To replay an audit set takes all of a processor for a while, and a plugin's code; a worker that answers has no time.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import msgspec

from arbitrank.errors import ArbitrankError
from arbitrank.registry import discover, loaded
from arbitrank.serve.verdict import Reason, Task, Verdict, status_of
from arbitrank.store.signing import open_keys
from arbitrank.store.store import open_store


def carry_out(task: Task) -> Verdict:
    """Judge a version, and promote it where it may be."""
    from arbitrank.promotion import consider, promote

    try:
        store = open_store(task.store, open_keys(task.keys))
        judgement = consider(store, loaded(discover()), task.domain, task.version, decisions=task.decisions)
        change = promote(store, judgement, force=task.force, reason=task.reason)
    except ArbitrankError as error:
        return Verdict(status_of(error), str(error))
    if change is None:
        what = f"{task.domain} {judgement.version}: the gate refuses; force needs a reason"
        return Verdict(422, what, tuple(Reason(one.what, one.text, one.neighbours) for one in judgement.reasons))
    return Verdict(200, change=change.number, state=change.state)


def main() -> None:
    """Carry out the task on standard input, and say on standard output what became of it."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a plugin prints is no verdict
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    out.write(msgspec.json.encode(carry_out(task)))
    with suppress(OSError):
        out.flush()


if __name__ == "__main__":
    main()
