"""Protocol 1 between a service and a process that holds domains: messages over a pair of stream sockets.

A message is its length, four bytes in network order, and a msgpack map of that many bytes; the key `type` names it.

    to the worker    from the worker
                     hello      once: its domains, its versions and what it is capable of
    welcome                     the minor version that both have, no reply
    load             loaded     with what is wrong, or null
    rank             outcome    one per model, in the order of the query, each as soon as it is there
                     done       with what is wrong with the query, or null
    stop                        no reply: no further model of the query is called
    rank_batch       outcome    of one model, one per request, for as many of the requests as the time suffices for
                     done       as above
    selftest         tested     with what is wrong with a model, or null
    examples         written    once the domain's own examples are in a file
    train            progress   any number, then
                     trained    with the figures, or what is wrong
    bye                         no reply: the worker ends

Majors have to be equal; of two minors the lower one is spoken. Within a major, keys are only ever added, each with a
default, and unknown ones are ignored; another type of message is sent only to a side that names its capability. Plain
values cross, and of time only what remains: never a clock's. There is one query at a time. A receiver believes nothing:
it bounds lengths, validates every field and treats a malformed message as the end of the other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from arbitrank.domain import CONTRACT, Skill, SkillParameter
from arbitrank.scores import Kept
from arbitrank.values import Hypothesis, Request

PROTOCOL: Final = (1, 2)
"""Major and minor version of the protocol."""

MAX_QUERY: Final = 16 << 20
"""Bytes of the longest message to a worker: a query with the hypotheses of the worker's domains."""

MAX_OUTCOMES: Final = 4 << 20
"""Bytes of all outcomes of one query together, and so of the longest message from a worker."""

CLOSED: Final = 86
"""Exit status of a worker in which a domain closed the socket."""

STARTING: Final = 30.0
"""Seconds in which a worker has to be ready."""


class ParameterStated(msgspec.Struct, frozen=True, omit_defaults=True):
    """An input of a skill, as `arbitrank.domain.SkillParameter` has it."""

    name: str
    description: str = ""


class SkillStated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A skill of a domain, as `arbitrank.domain.Skill` has it."""

    name: str
    description: str = ""
    phrases: tuple[str, ...] = ()
    parameters: tuple[ParameterStated, ...] = ()
    language: str | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def skill(self) -> Skill:
        """The skill that is stated."""
        parameters = tuple(SkillParameter(one.name, one.description) for one in self.parameters)
        return Skill(self.name, self.description, self.phrases, parameters, self.language, self.version, self.tags)


class DomainStated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A domain as its package states it, of plain values; the fields are those of `arbitrank.domain.Domain`.

    `shipped` is a folder that the service may read. `notes` are remarks that do not keep the domain from answering.
    """

    name: str
    package: str = ""
    package_version: str = ""
    entry_point: str = ""
    contract: int = CONTRACT
    skills: tuple[SkillStated, ...] = ()
    shipped: str | None = None
    title: str | None = None
    intent_titles: dict[str, str] = {}
    feature_titles: dict[str, str] = {}
    scales: dict[str, str] = {}
    context_keys: tuple[str, ...] | None = None
    fallback: bool = False
    topics: tuple[str, ...] = ()
    shared_negatives: bool | None = None
    loadable_by: str | None = None
    notes: tuple[str, ...] = ()


class Hello(msgspec.Struct, frozen=True, tag="hello", omit_defaults=True):
    """The first message of a worker: `refused` are the reasons why other domains of it cannot answer, by name."""

    protocol: tuple[int, int]
    core: str | None = None
    python: str | None = None
    libraries: dict[str, str] = {}
    capabilities: tuple[str, ...] = ()
    domains: tuple[DomainStated, ...] = ()
    refused: dict[str, str] = {}


class Welcome(msgspec.Struct, frozen=True, tag="welcome", omit_defaults=True):
    """The reply to `Hello`: the protocol that is spoken from now on, and what the service is capable of."""

    protocol: tuple[int, int]
    capabilities: tuple[str, ...] = ()


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    """The worker is to end."""


class LoadModel(msgspec.Struct, frozen=True, tag="load"):
    """Load a domain's artifact as model `number`, and release all models that are not in `keep`.

    `scales` are stated for the domain's scores, by field; those that the domain itself states are known there.
    """

    number: int
    domain: str
    folder: str
    keep: tuple[int, ...]
    seconds: float
    scales: dict[str, str] = {}


class ModelLoaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The end of loading; `problem` is the reason why the model was refused.

    `context_keys` and `features` are what the model states to read of the context and of hypotheses.
    """

    problem: str | None
    context_keys: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None


class WriteExamples(msgspec.Struct, frozen=True, tag="examples"):
    """Write the domain's own examples to the file `path`, each a line of JSON with the fields of `Example`."""

    domain: str
    path: str


class ExamplesWritten(msgspec.Struct, frozen=True, tag="written"):
    """The end of writing; `problem` is what is wrong, with the `data` where it says so, else with the plugin."""

    problem: str | None = None
    data: bool = False


class Train(msgspec.Struct, frozen=True, tag="train"):
    """Train a domain on the examples in the file `data`, as `WriteExamples` has them, and write into the folder `out`.

    `settings` are those of `arbitrank.domain.Settings` that are no functions; unknown ones are ignored.
    """

    domain: str
    data: str
    out: str
    settings: dict[str, Any]


class TrainingProgress(msgspec.Struct, frozen=True, tag="progress"):
    """The progress of a training: the stage, the number of its steps that are done, and of all its steps."""

    stage: str
    done: int
    total: int


class Trained(msgspec.Struct, frozen=True, tag="trained"):
    """The end of a training: its `figures`, or the problem, as in `ExamplesWritten`; `extra` is what core lacks."""

    problem: str | None = None
    data: bool = False
    figures: dict[str, Any] = {}
    extra: str | None = None


class Query(msgspec.Struct, frozen=True, tag="rank"):
    """Call of the models with these numbers within `remaining_ms`; `content` is an encoded `QueryContent`.

    All replies repeat `id`, a random number: a plugin that writes to the socket does not know it.
    """

    id: int
    models: tuple[int, ...]
    remaining_ms: float
    explain: bool
    content: msgspec.Raw


class QueryContent(msgspec.Struct, frozen=True):
    """A request without hypotheses, and where hypotheses are given, those of each model."""

    request: Request
    given: tuple[tuple[Hypothesis, ...], ...] | None


class QueryBatch(msgspec.Struct, frozen=True, tag="rank_batch"):
    """Call of one model with many requests, to a worker with the capability `batch`; `content` is a `BatchContent`.

    The replies are those of a `Query`, `place` being the request's. The worker begins no request after two fifths of
    `remaining_ms`, but the first: those without an outcome are sent again.
    """

    id: int
    model: int
    remaining_ms: float
    content: msgspec.Raw


class BatchContent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests without hypotheses, and for each the hypotheses that are given, None where it is to be recognised.

    Those of the requests at the places `recognised` are known to be the domain's own.
    """

    requests: tuple[Request, ...]
    given: tuple[tuple[Hypothesis, ...] | None, ...]
    recognised: tuple[int, ...] = ()


class SelfTestModel(msgspec.Struct, frozen=True, tag="selftest"):
    """Test a model by the contract within `seconds`, in a worker with the capability `selftest`."""

    number: int
    seconds: float


class SelfTested(msgspec.Struct, frozen=True, tag="tested"):
    """The end of a self-test: the model's `problem`, None where it may answer."""

    problem: str | None = None


class StopQuery(msgspec.Struct, frozen=True, tag="stop"):
    """Call no further model of the query."""


class DomainOutcome(msgspec.Struct, frozen=True, tag="outcome", gc=False, omit_defaults=True):
    """The outcome of one model: `place` is its index in the query; `failure` is the reason why it has no answer.

    `hypotheses` is None where they were given; `kept` are then the places and numbers of
    the distinct ones, None where all are. `unread` is as in `Failed`, `scales` as in `Answered`. `out_of_memory` says
    that an allocation failed.
    """

    query: int
    place: int
    failure: str | None = None
    mine: float = 0.0
    right: tuple[float, ...] = ()
    hypotheses: tuple[Hypothesis, ...] | None = None
    why: list[dict[str, float]] | None = None
    recognise_ms: float = 0.0
    rerank_ms: float = 0.0
    out_of_memory: bool = False
    kept: Kept | None = None
    unread: int | None = None
    scales: dict[str, str] | None = None


class QueryDone(msgspec.Struct, frozen=True, tag="done"):
    """The end of a query; `problem` is the reason why it could not be read."""

    query: int
    problem: str | None = None


ToWorker = Welcome | LoadModel | Query | StopQuery | QueryBatch | SelfTestModel | WriteExamples | Train | Bye
OtherReplies = Hello | ModelLoaded | QueryDone | SelfTested | ExamplesWritten | TrainingProgress | Trained
FromWorker = DomainOutcome | OtherReplies


def _plain(value: object) -> object:
    """A read-only mapping, as a domain gets the context, as a map. Raises `TypeError` for anything else."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain value")


encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
