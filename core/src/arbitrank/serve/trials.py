"""Trials of requests in a worker: by what is loaded in its own process, by other versions in a child."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from starlette.exceptions import HTTPException

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.live.trial import RequestTrial, trial_of
from arbitrank.outcomes.propensities import selection_of
from arbitrank.serve.promotion_process import Verdict, verdict_of
from arbitrank.serve.trial_process import SECONDS, TrialTask
from arbitrank.store.kinds import RESERVED
from arbitrank.values import Answer, Request

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState

_MOST = 16  # that wait for one another


class Trials:
    """Trials of one worker, one after another: requests come first."""

    def __init__(self, state: WorkerState) -> None:
        self._state, self._waiting = state, 0
        self._loading, self._trying = asyncio.Lock(), asyncio.Lock()

    async def __call__(self, request: Request, versions: dict[str, str], *, explain: bool) -> Answer | Verdict:
        """The answer to a request as the service gives it, by `versions` of some names; a verdict where it cannot.

        The answer has its selection. Raises `HTTPException`.
        """
        live = self._state.live
        if live is None:
            raise HTTPException(503, "not ready", {"retry-after": "1"})
        trial = trial_of(live.routing, request, versions)
        if trial is None:
            return await self._apart(request, versions, explain)
        if self._waiting >= _MOST:
            raise HTTPException(503, "too many trials are waiting; try again", {"retry-after": "1"})
        self._waiting += 1
        try:
            async with self._trying:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._state.pool, self._answer, request, trial, explain)
        finally:
            self._waiting -= 1

    def _answer(self, request: Request, trial: RequestTrial, explain: bool) -> Answer:
        return self._decided(request, trial.arbitrator.arbitrate(request, explain=explain), trial)

    async def _apart(self, request: Request, versions: dict[str, str], explain: bool) -> Answer | Verdict:
        """The answer of a child process, which loads the versions."""
        settings, names = self._state.settings, {*RESERVED, *(one.name for one in self._state.found)}
        if unknown := sorted(versions.keys() - names):
            raise HTTPException(404, f"{unknown[0][:64]!r}: a version is chosen for an installed domain or a stage")
        if self._loading.locked():
            raise HTTPException(503, "another version is being loaded; try again", {"retry-after": "2"})
        task = TrialTask(
            settings.store, settings.keys, settings.decisions, request, versions, explain, settings.shortlist,
            None if settings.hyprank is None else str(settings.hyprank),
        )  # fmt: skip
        async with self._loading:
            command = f"arbitrank impact {min(versions)}"
            verdict = await verdict_of("arbitrank.serve.trial_process", task, SECONDS, command)
        if verdict.status != 200:
            return verdict
        answer = msgspec.json.decode(verdict.body, type=Answer)
        return self._decided(request, Arbitration(answer, {}, settings.decisions, 0.0))

    def _decided(self, request: Request, arbitration: Arbitration, trial: RequestTrial | None = None) -> Answer:
        """The answer by the operator's policy, with its selection: what may be acted on, and with which probability."""
        files, explorer, answer = self._state.files, self._state.explorer, arbitration.answer
        policy = None if files.policy is None else files.policy.value
        if policy is not None:
            answer = policy.apply(request, answer, arbitration.decisions)
        rules, drawn = UNSET if policy is None else policy.digest, {} if trial is None else trial.drawn(answer)
        overridden = answer is not arbitration.answer
        selection = selection_of(request, answer, drawn, policy=rules, overridden=overridden)
        if explorer is not None and selection.eligible:
            others = explorer.others(request, answer, arbitration, policy)
            selection = replace(selection, eligible=(*selection.eligible, *others))
        risk = UNSET if self._state.beyond_bound else answer.risk
        return replace(answer, selection=selection, risk=risk)
