"""Promotion of a version in a child process: `python -m arbitrank.serve.promotion_process`, the task on its input.

The replay of an audit set occupies a processor for a while and runs plugin code, for which a worker has no time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from arbitrank.answerlog.segments import segments
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.policy import Policy
from arbitrank.background import give_way
from arbitrank.child import Child, Ended, Expired, serve
from arbitrank.errors import ArbitrankError, ArtifactError, Conflict, InputError, StoreError
from arbitrank.registry import discover, loaded
from arbitrank.serve.messages import Changed, Error, Reason
from arbitrank.store.key_files import SigningKey
from arbitrank.store.kinds import RESERVED
from arbitrank.store.signing import open_keys
from arbitrank.store.state import first_share
from arbitrank.store.store import Store, open_store

_TIMEOUT = 3_600.0  # seconds: a large audit set is replayed


class PromotionTask(msgspec.Struct, frozen=True):
    """Version of a domain to promote, and the service's settings; `by` is the name of the caller's token."""

    store: str | None
    keys: str | None
    domain: str
    version: str | None
    force: bool
    recalibrate: bool
    reason: str | None
    decisions: DecisionSettings
    by: str | None = None
    signing: SigningKey = SigningKey()
    log: str | None = None
    policy: Policy | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Result of a promotion: the HTTP status, and the body of the reply, `Changed` or `Error`."""

    status: int
    body: msgspec.Raw

    @classmethod
    def of(cls, status: int, body: Changed | Error | str) -> Verdict:
        """The verdict with a body; a text is an error's."""
        return cls(status, msgspec.Raw(msgspec.json.encode(Error.of(body) if isinstance(body, str) else body)))


def status_of(error: ArbitrankError) -> int:
    """The HTTP status of an error."""
    kinds = ((Conflict, 409), (StoreError, 503), (ArtifactError, 422), (InputError, 409))
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


async def judged(task: PromotionTask) -> Verdict:
    """The verdict of a child process on a task."""
    return await verdict_of("arbitrank.serve.promotion_process", task, _TIMEOUT, f"arbitrank promote {task.domain}")


async def verdict_of(module: str, task: msgspec.Struct, seconds: float, command: str) -> Verdict:
    """The verdict of a child process that runs a module; where it takes too long, `command` is the one to run."""
    with Child("-m", module) as child:
        message = msgspec.json.encode(task)
        exchange = asyncio.get_running_loop().run_in_executor(None, child.exchange, message, seconds)
        try:
            return msgspec.json.decode(await asyncio.shield(exchange), type=Verdict)
        except Expired as error:
            return Verdict.of(503, f"{error}; run: {command}")
        except Ended as error:
            return Verdict.of(500, f"the child process {error}")
        finally:
            child.kill()  # where the call is cancelled, the thread still waits
            await asyncio.wait([exchange])


def carry_out(task: PromotionTask) -> Verdict:
    """Judge a version, and promote it where the gate accepts it or is overridden."""
    try:
        from arbitrank.promotion import consider, promote

        store = open_store(task.store, open_keys(task.keys), key=task.signing.opened())
        judgement = consider(
            store, loaded(discover()), task.domain, task.version, decisions=task.decisions,
            recalibrate=task.recalibrate, log=_log(store, task), policy=task.policy,
        )  # fmt: skip
        change = promote(store, judgement, force=task.force, reason=task.reason, by=task.by)
    except ArbitrankError as error:
        return Verdict.of(status_of(error), str(error))
    except ModuleNotFoundError as error:
        return Verdict.of(501, f"promote: needs the package {error.name}; run: pip install 'arbitrank[train]'")
    if change is None:
        text = f"{task.domain} {judgement.version}: the gate refuses; force needs a reason"
        reasons = tuple(Reason(one.what, one.text, one.neighbours) for one in judgement.reasons)
        return Verdict.of(422, Error.of(text, reasons))
    if judgement.audit is None:
        remark = f"nothing was audited: no audit set in {store}; run: arbitrank audit-set FILE"
        return Verdict.of(200, Changed(task.domain, change.number, change.state, audited=False, remark=remark))
    return Verdict.of(200, Changed(task.domain, change.number, change.state, audited=True))


def _log(store: Store, task: PromotionTask) -> Path | None:
    """The service's log, where the version has had a share of the requests: else it says nothing of it."""
    if task.log is None or task.domain in RESERVED:
        return None
    version = task.version or store.state(task.domain)[1].candidate
    folder = Path(task.log)
    shared = version is not None and first_share(store.history(task.domain), version) is not None
    return folder if shared and folder.is_dir() and segments(folder) else None


if __name__ == "__main__":
    give_way()
    serve(lambda line: msgspec.json.encode(carry_out(msgspec.json.decode(line, type=PromotionTask))), _TIMEOUT)
