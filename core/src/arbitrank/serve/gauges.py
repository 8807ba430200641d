"""Gauges of one worker, which it writes into the service's folder, so that whichever process replies shows them all."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from time import time
from typing import TYPE_CHECKING

import msgspec

from arbitrank.packages import core_version
from arbitrank.registry import Loaded

if TYPE_CHECKING:
    from arbitrank.live.status import LiveStatus
    from arbitrank.serve.worker_state import WorkerState

SUPERVISOR = "supervisor"
"""Name of the supervisor in the label `worker`, and of its files."""

_SUFFIX = "gauges"

Sample = tuple[tuple[str, ...], float]
"""The values of a series' labels without `worker`, and its value."""


class WorkerGauges(msgspec.Struct, frozen=True):
    """Current values of one process by metric; `worker` is its name in labels, `time` when they were read."""

    worker: str
    process: int
    time: float
    samples: dict[str, list[Sample]] = {}

    @property
    def running(self) -> bool:
        """True while its process runs."""
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except OSError:  # another user's
            pass
        return True


def gauges_of(state: WorkerState) -> WorkerGauges:
    """The gauges of a worker now."""
    load, now, health = state.load, time(), state.health()
    live = state.live.status() if state.live is not None else None
    samples: dict[str, list[Sample]] = {
        "build": [((core_version(), platform.python_version()), 1.0)],
        "ready": [((), float(health.ready))],
        "problem": [((kind,), 1.0) for kind in sorted(set(health.kinds or ()))],
        "updated_timestamp_seconds": [((), now)],
        "pending": [((), load.pending)],
        "shed": [((), load.shed)],
        "cut": [((why,), n) for why, n in sorted(load.cut.items())],
        "events_lost": [((), state.events.lost_in_all)],
    }
    if live is not None:
        packages = {one.name: one.source for one in state.found if isinstance(one, Loaded)}
        samples |= _followed(live)
        samples["domain"] = [
            ((name, arm, version, origin, *((source.distribution, source.version) if source else ("", ""))), 1.0)
            for name, arm, version, origin in _versions(live)
            for source in [packages.get(name)]
        ]
    for name, log in state.log_status().items():
        lost = {"dropped": log.dropped, "refused": log.refused, "failed": log.failed}
        samples[f"{name}_written"] = [((), log.written)]
        samples[f"{name}_lost"] = [((why,), n) for why, n in lost.items()]
    if live is not None and state.shadow is not None:
        samples["shadow_skipped"] = [((), live.dropped)]
        samples["shadow_waiting"] = [((), live.waiting)]
    return WorkerGauges(str(os.getpid()), os.getpid(), now, samples)


def _versions(live: LiveStatus) -> Iterator[tuple[str, str, str, str]]:
    """Name, arm, version and origin of all versions that answer."""
    for name, domain in live.domains.items():
        if domain.version is not None:
            yield name, "stable", domain.version, domain.origin or ""
        candidate = domain.state.candidate
        if candidate is not None and domain.state.canary and candidate in domain.loaded:
            yield name, "canary", candidate, "store"


def _followed(live: LiveStatus) -> dict[str, list[Sample]]:
    away = {name for name, one in live.remotes.items() if one.problem}
    samples: dict[str, list[Sample]] = {
        "store_age_seconds": [((), live.silent if live.age is None else live.age)],
        "swaps": [((), live.swaps)],
        "domain_up": [
            ((name,), float(one.version is not None and name not in away)) for name, one in live.domains.items()
        ],
        "domain_breaker_open": [((name,), float(one.breaker is not None)) for name, one in live.domains.items()],
        "canary_share": [((name,), one.state.canary) for name, one in live.domains.items() if one.state.candidate],
    }
    if live.share is not None:
        share = live.share
        samples["out_of_scope_share"] = [
            ((which,), getattr(share, which)) for which in ("share", "tuned", "low", "high")
        ]
        samples["out_of_scope_counted"] = [((), share.n)]
    return samples


def write_gauges(gauges: WorkerGauges, folder: Path, number: int | str) -> None:
    """Write the gauges of a process, at once and whole. Raises `OSError`."""
    path = folder / f"{number}.{_SUFFIX}"
    made = path.with_suffix(f".{os.getpid()}-{get_ident()}.new")  # two threads may write at once
    made.write_bytes(msgspec.json.encode(gauges))
    made.replace(path)


def read_gauges(folder: Path) -> list[WorkerGauges]:
    """The gauges of all running processes of a service."""
    found = []
    for path in sorted(folder.glob(f"*.{_SUFFIX}")):
        with suppress(OSError, msgspec.MsgspecError):
            found.append(msgspec.json.decode(path.read_bytes(), type=WorkerGauges))
    return [one for one in found if one.running]
