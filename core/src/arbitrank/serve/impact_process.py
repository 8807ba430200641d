"""Preview of a change in a child process: `python -m arbitrank.serve.impact_process`, the task on its input.

The replay of an audit set or log occupies a processor for a while and runs plugin code, for which a worker has no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.recalibration import recalibration
from arbitrank.background import give_way
from arbitrank.child import serve
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.registry import discover, loaded
from arbitrank.serve.domain_messages import ImpactCall
from arbitrank.serve.promotion_process import Verdict, status_of
from arbitrank.shortlist.hyprank import load_hyprank
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.kinds import RESERVED
from arbitrank.store.signing import open_keys
from arbitrank.store.store import Store, open_store

SECONDS = 1_800.0
"""Seconds that a replay may take."""

On = Literal["audit set", "log"]


class ImpactTask(msgspec.Struct, frozen=True):
    """Change of a domain or stage to preview, as it was called for, with the service's store, log and settings."""

    store: str | None
    keys: str | None
    domain: str
    call: ImpactCall
    log: str | None
    decisions: DecisionSettings
    shortlist: ShortlistSettings | None = None
    policy: Policy | None = None
    hyprank: str | None = None


def carry_out(task: ImpactTask) -> Verdict:
    """The preview of a change."""
    call, name = task.call, task.domain
    try:
        from arbitrank.previews import preview, stage_preview

        keys = open_keys(task.keys)
        store = open_store(task.store, keys)
        path, called = _requests(store, call.on, task.log)
        since = None
        if call.since is not None:
            from arbitrank.answerlog.period import begin_in
            from arbitrank.answerlog.reader import source

            since = begin_in(call.since, source(path))
        shared: dict[str, Any] = {
            "version": call.version,
            "since": since,
            "called": called,
            "decisions": task.decisions,
            "log": None if task.log is None or call.change != "promote" else Path(task.log),
            "policy": task.policy,
        }
        if name in RESERVED:
            order = None if task.hyprank is None else load_hyprank(Path(task.hyprank), keys)
            found = stage_preview(
                store, loaded(discover()), name, call.change, path,
                shortlist=task.shortlist, hyprank=order, **shared,
            )  # fmt: skip
        else:
            found = preview(
                store, loaded(discover()), name, call.change, path,
                by=recalibration(1.0 / call.temperature, call.shift), fitted=call.fitted, **shared,
            )  # fmt: skip
    except ArbitrankError as error:
        return Verdict.of(status_of(error), str(error))
    except ModuleNotFoundError as error:
        return Verdict.of(501, f"impact: needs the package {error.name}; run: pip install 'arbitrank[train]'")
    return Verdict(200, msgspec.Raw(msgspec.json.encode(found)))


def _requests(store: Store, on: On | None, log: str | None) -> tuple[Path, str]:
    """The requests to replay and their name: those that are asked for, else the audit set, else the log."""
    audit = store.audit_set() if on != "log" else None
    if audit is not None:
        return audit, "the audit set"
    if log is not None and on != "audit set":
        return Path(log), "the log"
    lacks = {"log": "no log", "audit set": f"no audit set in {store}", None: f"no audit set in {store}, and no log"}
    raise InputError(f"{lacks[on]}; run: arbitrank audit-set FILE, or start the service with --log DIR")


if __name__ == "__main__":
    give_way()
    serve(lambda line: msgspec.json.encode(carry_out(msgspec.json.decode(line, type=ImpactTask))), SECONDS)
