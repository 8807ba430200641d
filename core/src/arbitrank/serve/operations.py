"""Table of the service's operations, from which both the routing and the OpenAPI document are made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from arbitrank.answerlog.feedback import Feedback
from arbitrank.arbitration.choose import Choice
from arbitrank.live.canary_report import CanaryReport
from arbitrank.serve.auth import ANY, PREVIEW
from arbitrank.serve.domain_messages import (
    CanaryCall,
    DomainCards,
    ImpactCall,
    IncidentCall,
    IncidentMade,
    PromoteCall,
    RollbackCall,
    ShrinkCall,
)
from arbitrank.serve.log_query import LOG_QUERY
from arbitrank.serve.messages import (
    Changed,
    ChooseCall,
    DomainRow,
    Health,
    LogPage,
    LookAsked,
    Service,
    SkillsCall,
    SkillsChanged,
    Taken,
    TryCall,
    Versions,
)
from arbitrank.serve.service_status import ServiceStatus
from arbitrank.store.state import Change
from arbitrank.values import Answer, Request
from arbitrank.watch.reliability import ReliabilityReport
from arbitrank.watch.report import WatchReport

RANK = "/v1/rank"
FEEDBACK = "/v1/feedback"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Operation of the service: its route, required scope, bodies and statuses.

    `name` is the operation's id and its handler's. `scope`: None needs no token, `publish` means `publish:DOMAIN`,
    `PREVIEW` that or `log`. `body` and `reply` are types; a `dict` is a JSON schema. `batch`: a list of bodies, replied
    by a list, is accepted too. `optional`: the body may be absent. `errors` are statuses that reply with an `Error`;
    `statuses` others that reply as 200 does, with their meaning. `query` has the schemas of query parameters, each with
    a description. A `page` is opened in a browser: a service that this machine alone can reach refuses it under another
    name.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    tag: str
    summary: str
    description: str = ""
    scope: str | None = None
    body: Any = None
    optional: bool = False
    batch: bool = False
    reply: Any
    media_type: str = "application/json"
    errors: tuple[int, ...] = ()
    statuses: tuple[tuple[int, str], ...] = ()
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    page: bool = False

    @property
    def refusals(self) -> tuple[int, ...]:
        """The statuses of errors: where a token is needed, its allowances may be used up."""
        return tuple(sorted((*self.errors, *(() if self.scope is None else (429,)))))


_BODY_ERRORS = (400, 401, 403, 413, 415, 503)
_CHANGE_ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 503)
_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}

OPERATIONS = (
    Operation(
        method="POST", path=RANK, name="rank", tag="Rank", scope="rank",
        summary="Decide which domain should answer a request, or each of several.",
        description="`hypotheses` absent: the domains recognise the utterance themselves. A list is answered by a list "
        "in its order, by the same versions. A request without an id is given one, to which feedback can refer. With "
        "`?format=rasa` the body is a payload of another system, or a list of them, read as by `arbitrank import`; "
        "`&domain=NAME` names the domain of its readings.",
        body=Request, batch=True, reply=Answer, errors=_BODY_ERRORS,
    ),
    Operation(
        method="POST", path="/v1/choose", name="choose", tag="Rank", scope="rank",
        summary="Tell which contender of a question a user's next words mean.",
        description="`choice` is an index into the answer's `ranked`, null where `kind` is not `contender`. With the "
        "kind `not_an_answer` the words are a new request. 409: the answer asks nothing, or has no such contender.",
        body=ChooseCall, reply=Choice, errors=(400, 401, 403, 409, 413, 415, 503),
    ),
    Operation(
        method="POST", path="/v1/try", name="try_request", tag="Rank", scope="rank",
        summary="Answer a request with reasons, by chosen versions, without logging or counting it.",
        description="Of a name with a canary the session's arm answers. Versions that are not loaded answer in a "
        "process of its own, which takes a moment; one is loaded at a time. It is decided by the service's policy, and "
        "has a `selection`: what may be acted on, and with which probability.",
        body=TryCall, reply=Answer, errors=(*_BODY_ERRORS, 404, 409, 422),
    ),
    Operation(
        method="POST", path=FEEDBACK, name="feedback", tag="Feedback", scope="feedback",
        summary="Report the true meaning of a request, or the user's reaction to its answer.",
        description="By the answer's id, at any time, to any worker.",
        body=Feedback, reply=Taken, errors=_BODY_ERRORS,
    ),
    Operation(
        method="GET", path="/v1/domains", name="domains", tag="Domains", scope=ANY,
        summary="List the installed domains, and the versions that answer for them.",
        reply=list[DomainRow], errors=(401, 403),
    ),
    Operation(
        method="GET", path="/v1/domains/{domain}/versions", name="versions", tag="Domains", scope=ANY,
        summary="List the versions in the store, and the current state.",
        reply=Versions, errors=(401, 403, 404, 503),
    ),
    Operation(
        method="GET", path="/v1/domains/{domain}/history", name="history", tag="Domains", scope=ANY,
        summary="List every change of a domain or stage, oldest first.",
        reply=list[Change], errors=(401, 403, 404, 503),
    ),
    Operation(
        method="GET", path="/v1/domains/{domain}/card", name="card", tag="Domains", scope=ANY,
        summary="Report the cards of a domain's versions: their calibration on held-out training data.",
        reply=DomainCards, errors=(401, 403, 404, 503),
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/impact", name="impact", tag="Domains", scope=PREVIEW,
        summary="Preview a change: replay requests with what would serve, and judge it as the gate does.",
        description="Nothing is changed. `impact` is what `arbitrank impact --out` writes as `impact.json`, `reasons` "
        "are the gate's against it, `change` is the number of the last change that it is based on, `curves` and `own` "
        "hold the reliability of the answers and of the domain's own readings, `before` and `after`. It takes a while; "
        "one is computed at a time.",
        body=ImpactCall, optional=True, reply=_OBJECT, errors=(*_CHANGE_ERRORS, 501),
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/promote", name="promote", tag="Domains", scope="publish",
        summary="Make a version stable, if the gate accepts it.",
        description="The candidate by default. It is self-tested and the store's audit set is replayed with it, which "
        "takes a while; one version is judged at a time.",
        body=PromoteCall, optional=True, reply=Changed, errors=(*_CHANGE_ERRORS, 501),
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/rollback", name="rollback", tag="Domains", scope="publish",
        summary="Make the previous version stable again.",
        body=RollbackCall, optional=True, reply=Changed, errors=_CHANGE_ERRORS,
    ),
    Operation(
        method="GET", path="/v1/domains/{domain}/canary", name="canary_report", tag="Domains", scope=ANY,
        summary="Compare the last candidate that had a share of the requests with the stable version beside it.",
        description="With --log it is read from there, for all workers and hosts that write into that folder; else it "
        "is of the replying worker alone. One report is made at a time. 409: there was no canary.",
        reply=CanaryReport, errors=(401, 403, 404, 409, 503),
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/canary", name="canary", tag="Domains", scope="publish",
        summary="Have the candidate answer a share of the requests.", description="0 ends it.",
        body=CanaryCall, reply=Changed, errors=_CHANGE_ERRORS,
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/shrink", name="shrink", tag="Domains", scope="publish",
        summary="Recalibrate the stable version: divide the log-odds of its claims, and add to them.",
        description="It holds until it is removed or a version passes the gate. `POST /v1/domains/{domain}/impact` "
        "fits one to labelled requests, and shows its effect.",
        body=ShrinkCall, optional=True, reply=Changed, errors=_CHANGE_ERRORS,
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/skills", name="skills", tag="Domains", scope="publish",
        summary="Add skills of a domain to the catalogue, and remove some, without training.",
        description="This worker's shortlists have them at once, other processes' that follow the store within their "
        "polling interval. For `.shortlist`, every skill names its owner. 409: the service has no --shortlist, or the "
        "log is full.",
        body=SkillsCall, reply=SkillsChanged, errors=_CHANGE_ERRORS,
    ),
    Operation(
        method="POST", path="/v1/domains/{domain}/incidents", name="incident", tag="Domains", scope="publish",
        summary="Make a case of a logged answer that was wrong: no later version may answer so again.",
        description="Of one of the requests that `GET /v1/log` looks at, so the token needs the scope `log` too; with "
        "`undo` the case is removed. 409: without --log, or where the answer cannot become a case.",
        body=IncidentCall, reply=IncidentMade, errors=_CHANGE_ERRORS,
    ),
    Operation(
        method="GET", path="/healthz", name="healthz", tag="Health", summary="Report that the process is alive.",
        reply={"type": "object", "properties": {"alive": {"const": True}}, "required": ["alive"]},
    ),
    Operation(
        method="GET", path="/readyz", name="readyz", tag="Health",
        summary="Report readiness to answer requests, and all current problems.",
        reply=Health, statuses=((503, "Not ready: `kinds` says why."),),
    ),
    Operation(
        method="GET", path="/v1/health/domains", name="domain_health", tag="Health", scope=ANY,
        summary="Report on every domain by the log: drift, claims against outcomes, lost requests, alarms.",
        description="With --log, a process of the service reads it every --watch-every seconds: the lines of all "
        "workers and hosts that write into that folder. 409: without --log, or with --no-watch. 503: it has not looked "
        "yet.",
        reply=WatchReport, errors=(401, 403, 409, 503),
    ),
    Operation(
        method="POST", path="/v1/health/look", name="look", tag="Health", scope="log",
        summary="Have the watch read the log now, rather than at its next time.",
        description="`watched` of `GET /v1/status` is then later than that of the reply. 409: as for its reports.",
        reply=LookAsked, errors=(401, 403, 409),
    ),
    Operation(
        method="GET", path="/v1/log", name="log", tag="Health", scope="log",
        summary="List the last requests of the log, with their decisions and what was reported of them since.",
        description="Of the last 2,000 requests of all workers and hosts that write into the folder of --log, redacted "
        "as they are written. 409: without --log.",
        reply=LogPage, errors=(400, 401, 403, 409, 503), query=LOG_QUERY,
    ),
    Operation(
        method="GET", path="/v1/reliability", name="reliability", tag="Health", scope=ANY,
        summary="Report reliability curves by the log: of answers, R0 and every domain, by segment and over time.",
        description="From the same readings of the log as `GET /v1/health/domains`, on all that it keeps of nine days. "
        "409: without --log, or with --no-watch. 503: it has not looked yet.",
        reply=ReliabilityReport, errors=(401, 403, 409, 503),
    ),
    Operation(
        method="GET", path="/v1/status", name="status", tag="Health", scope=ANY,
        summary="Report the workers, and each domain's answers, wins, failures and latency in all of them.",
        description="Counts are those since the service was started. `groups` are the processes of isolated domains of "
        "the replying worker.",
        reply=ServiceStatus, errors=(401, 403),
    ),
    Operation(
        method="GET", path="/metrics", name="metrics", tag="Health", scope="metrics",
        summary="Report counters and timings of all workers in Prometheus' format.",
        reply=_TEXT, media_type="text/plain", errors=(401, 403),
    ),
    Operation(
        method="GET", path="/v1/service", name="service", tag="About", scope=ANY,
        summary="Tell what this service has, what the caller may do, and which context keys its domains read.",
        reply=Service, errors=(401, 403, 503),
    ),
    Operation(
        method="GET", path="/", name="console", tag="Console", page=True,
        summary="The console: a page that tries, explains and watches this service.",
        description="It holds no data; what it shows it asks of the calls above, with the token that is typed into it. "
        "404: the service runs with --no-console.",
        reply=_TEXT, media_type="text/html", errors=(403, 404),
    ),
    Operation(
        method="GET", path="/console/{file}", name="console_file", tag="Console", page=True,
        summary="A file of the console: a style sheet, a script, an icon.",
        reply=_TEXT, media_type="text/*", errors=(403, 404),
    ),
    Operation(
        method="GET", path="/openapi.json", name="openapi", tag="About", summary="This document.", reply=_OBJECT,
    ),
    Operation(
        method="GET", path="/docs", name="docs", tag="About", summary="This document as a page.",
        reply=_TEXT, media_type="text/html",
    ),
)  # fmt: skip
"""All operations. `rank` is served by the application itself, the others by their handlers."""

_BY_PATH: dict[str, dict[str, Operation]] = {}
for _operation in OPERATIONS:
    _methods = _BY_PATH.setdefault(_operation.path, {})
    _methods[_operation.method] = _operation
    if _operation.method == "GET":
        _methods["HEAD"] = _operation
_TEMPLATES = [
    (re.compile("([^/]+)".join(map(re.escape, re.split(r"\{[a-z]+\}", path)))), methods)
    for path, methods in _BY_PATH.items()
    if "{" in path
]


def operations_at(path: str) -> dict[str, Operation]:
    """The operations at a path, by method; empty where there is no such path."""
    found = _BY_PATH.get(path)
    if found is not None:
        return found
    return next((methods for template, methods in _TEMPLATES if template.fullmatch(path)), {})


def route_of(scope: Any) -> str:
    """The path template of the route that a call matched, `other` where none did."""
    return RANK if scope["path"] == RANK else getattr(scope.get("route"), "path", "other")
