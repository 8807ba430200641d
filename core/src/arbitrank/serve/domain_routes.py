"""Routes of one domain or stage: its versions, history and card, and changes of what serves, with their previews."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response

from arbitrank.arbitration.policy import Policy
from arbitrank.arbitration.recalibration import recalibration
from arbitrank.errors import InputError, message
from arbitrank.guard import Fault, guarded
from arbitrank.live.canary_report import canary_period, from_process
from arbitrank.live.status import problem_of_previous
from arbitrank.registry import loaded
from arbitrank.serve.auth import Grant
from arbitrank.serve.canary_process import SECONDS, CanaryTask
from arbitrank.serve.domain_messages import (
    CanaryCall,
    DomainCards,
    ImpactCall,
    PromoteCall,
    RollbackCall,
    ShrinkCall,
    VersionCard,
)
from arbitrank.serve.impact_process import SECONDS as IMPACT_SECONDS
from arbitrank.serve.impact_process import ImpactTask
from arbitrank.serve.messages import Changed, SkillsCall, Versions
from arbitrank.serve.promotion_process import PromotionTask, Verdict, judged, verdict_of
from arbitrank.serve.replies import json_reply
from arbitrank.serve.skills_call import change_skills
from arbitrank.serve.store_calls import StoreCalls
from arbitrank.serve.worker_state import WorkerState
from arbitrank.store.artifact import read_card
from arbitrank.store.kinds import RESERVED, canonical
from arbitrank.store.loading import weights
from arbitrank.store.state import State, checked_reason, served_with


class DomainHandlers:
    """Handlers of the operations on one domain or stage, each a method with its operation's name."""

    def __init__(self, state: WorkerState) -> None:
        self.state = state
        self._promoting, self._replaying = asyncio.Lock(), asyncio.Lock()
        self._reports = dict[str, asyncio.Future[Verdict]]()
        self._call_store = StoreCalls()

    async def versions(self, call: Call, body: None, grant: Grant | None) -> Response:
        domain, store = self.domain(call), self.state.store
        number, state = await self._call_store(store.state, domain)
        serving = self.state.live.status().domains.get(domain) if self.state.live is not None else None
        return json_reply(Versions(domain, number, state, await self._call_store(store.versions, domain), serving))

    async def history(self, call: Call, body: None, grant: Grant | None) -> Response:
        return json_reply(await self._call_store(self.state.store.history, self.domain(call)))

    async def card(self, call: Call, body: None, grant: Grant | None) -> Response:
        domain = self.domain(call)
        if domain in RESERVED:
            raise HTTPException(
                404, f"{domain}: a stage has no card; GET /v1/domains/{domain}/versions has its versions"
            )
        _, state = await self._call_store(self.state.store.state, domain)
        return json_reply(DomainCards(domain, await self._call_store(self._cards, domain, state)))

    def _cards(self, domain: str, state: State) -> dict[str, VersionCard]:
        """The cards of the version that is stable, or in the package, and of those of other aliases."""
        found, installed = {}, loaded(self.state.found).get(domain)
        for alias, version in {"stable": None, **state.names()}.items():
            one = guarded(weights, domain, installed, self.state.store, version)
            if isinstance(one, Fault):
                found[alias] = VersionCard(version or "", "store", problem=message(one))
                continue
            card, manifest = read_card(one.folder), one.manifest
            found[alias] = VersionCard(
                manifest.version, one.origin, manifest.package, manifest.package_version, manifest.model,
                manifest.rows, manifest.time, card,
            )  # fmt: skip
        return found

    async def canary_report(self, call: Call, body: None, grant: Grant | None) -> Response:
        domain, state = self.domain(call), self.state
        period = canary_period(await self._call_store(state.store.history, domain))
        if period is None:
            raise HTTPException(409, f"{domain}: no canary; POST /v1/domains/{domain}/canary begins one")
        if state.settings.log is None:
            counted = state.live.report().get(domain) if state.live is not None else None
            return json_reply(from_process(domain, counted, period))
        if domain not in self._reports:
            if self._reports:
                raise HTTPException(503, "another report is being made; try again", {"retry-after": "1"})
            made = asyncio.ensure_future(_canary_verdict(CanaryTask(domain, period, str(state.settings.log))))
            self._reports[domain] = made
            made.add_done_callback(lambda _: self._reports.pop(domain))
        verdict = await asyncio.shield(self._reports[domain])  # callers in the meantime get the same one
        return json_reply(verdict.body, verdict.status)

    async def impact(self, call: Call, body: ImpactCall, grant: Grant | None) -> Response:
        domain, settings = self.domain(call), self.state.settings
        if self._replaying.locked():
            raise HTTPException(503, "another impact report is being computed; try again", {"retry-after": "10"})
        log = None if settings.log is None else str(settings.log)
        task = ImpactTask(
            settings.store, settings.keys, domain, body, log, settings.decisions, settings.shortlist, self._policy,
            None if settings.hyprank is None else str(settings.hyprank),
        )  # fmt: skip
        async with self._replaying:
            command = f"arbitrank impact {domain}"
            verdict = await verdict_of("arbitrank.serve.impact_process", task, IMPACT_SECONDS, command)
        return json_reply(verdict.body, verdict.status)

    @property
    def _policy(self) -> Policy | None:
        """The operator's policy of this moment."""
        policy = self.state.files.policy
        return None if policy is None else policy.value

    async def promote(self, call: Call, body: PromoteCall, grant: Grant | None) -> Response:
        domain, settings = self.changing(call, "promote", body.reason), self.state.settings
        if body.force and not (body.reason or "").strip():
            raise HTTPException(400, "force: no reason, expected one for the history")
        if self._promoting.locked():
            raise HTTPException(503, "another version is being judged; try again", {"retry-after": "10"})
        task = PromotionTask(
            settings.store, settings.keys, domain, body.version, body.force, body.recalibrate, body.reason,
            settings.decisions, _by(grant), settings.signing,
            None if settings.log is None else str(settings.log), self._policy,
        )  # fmt: skip
        async with self._promoting:
            verdict = await judged(task)
        self.state.events.write("promote", domain=domain, by=grant and grant.name, status=verdict.status)
        return json_reply(verdict.body, verdict.status, {"retry-after": "10"} if verdict.status == 503 else None)

    async def rollback(self, call: Call, body: RollbackCall, grant: Grant | None) -> Response:
        domain, by = self.changing(call, "rollback", body.reason), _by(grant)
        status = self.state.live.status().domains.get(domain) if self.state.live is not None else None
        if status is not None and (problem := problem_of_previous(domain, status)) is not None:
            raise HTTPException(409, problem)
        change = await self._call_store(
            self.state.store.rollback, domain, expected=body.expected, reason=body.reason, by=by
        )
        self.state.events.write("rollback", domain=domain, by=grant and grant.name)
        return json_reply(Changed(domain, change.number, change.state))

    async def canary(self, call: Call, body: CanaryCall, grant: Grant | None) -> Response:
        domain, by = self.changing(call, "canary", body.reason), _by(grant)
        change = await self._call_store(self.state.store.canary, domain, body.share, reason=body.reason, by=by)
        self.state.events.write("canary", domain=domain, share=body.share, by=grant and grant.name)
        return json_reply(Changed(domain, change.number, change.state))

    async def shrink(self, call: Call, body: ShrinkCall, grant: Grant | None) -> Response:
        domain, by = self.changing(call, "shrink", body.reason), _by(grant)
        if domain in RESERVED:
            raise HTTPException(409, f"{domain}: a stage has no probabilities of its own to recalibrate")
        number, state = await self._call_store(self.state.store.state, domain)
        after = served_with(state, recalibration(1.0 / body.temperature, body.shift))
        expected = number if body.expected is None else body.expected
        change = await self._call_store(
            self.state.store.change, domain, "shrink", after, expected, reason=body.reason, by=by
        )
        self.state.events.write("shrink", domain=domain, by=grant and grant.name)
        return json_reply(Changed(domain, change.number, change.state))

    async def skills(self, call: Call, body: SkillsCall, grant: Grant | None) -> Response:
        domain = self.changing(call, "shortlist add", None)
        return json_reply(await change_skills(self.state, self._call_store, domain, body, _by(grant)))

    def changing(self, call: Call, verb: str, reason: str | None) -> str:
        """The artifact's name in the path of a call that changes it.

        Raises `HTTPException`: 400 for a reason that is no line of text, 409 where this service cannot sign changes.
        """
        name, store = self.domain(call), self.state.store
        try:
            checked_reason(reason)
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        if store.keys is not None and store.key is None:
            share = " SHARE" if verb == "canary" else ""
            of = {"shortlist add": "FILE", "incident": "ID --log DIR"}.get(verb, f"{name}{share}")
            remedy = f"--sign-key FILE, or run: arbitrank {verb} {of} --keys DIR --key FILE"
            raise HTTPException(409, f"{name}: this service has no key to sign changes with; start it with {remedy}")
        return name

    def domain(self, call: Call) -> str:
        """The artifact's name in the path: an installed domain's, or a reserved one. Raises `HTTPException` 404."""
        name = canonical(call.path_params["domain"])
        if name in RESERVED or name in {found.name for found in self.state.found}:
            return name
        raise HTTPException(404, f"domain {name[:64]!r} is not installed; GET /v1/domains lists those that are")


async def _canary_verdict(task: CanaryTask) -> Verdict:
    command = f"arbitrank canary {task.domain} --on LOG"
    return await verdict_of("arbitrank.serve.canary_process", task, SECONDS, command)


def _by(grant: Grant | None) -> str | None:
    return None if grant is None else grant.name
