"""Query of remote domains: all are called before one of them is waited for, each to its own deadline."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

from arbitrank.arbitration.dispatch import Call, Host, HostedModel
from arbitrank.arbitration.outcomes import Answered, Failed, Late, Outcome
from arbitrank.errors import InputError, describe
from arbitrank.guard import Fault, guarded
from arbitrank.remote.client import Client
from arbitrank.remote.exchange import Exchange, Missed, wait_for
from arbitrank.values import Hypothesis, Request

__all__ = ["Begun", "RemoteHost", "RemoteModel"]

Finish: TypeAlias = Callable[[bytes, float], Answered | Failed]
"""The outcome that the body of a reply makes, after so many milliseconds."""

Begun: TypeAlias = "tuple[Exchange, Finish] | Callable[[], Outcome]"
"""A call of a remote and what its reply makes; or an outcome that needs no call."""


class RemoteHost(Host):
    """The remote domains of a process, which are queried together."""

    shared = True

    @classmethod
    @cache
    def of_process(cls) -> RemoteHost:
        """The one of this process; it has no state."""
        return cls()

    @property
    def ready(self) -> bool:
        """True: a remote may be tried again at any time."""
        return True

    def begin(
        self,
        models: Mapping[str, HostedModel],
        request: Request,
        given: Mapping[str, Sequence[Hypothesis]] | None,
        explain: bool,
        began: float,
    ) -> Call:
        """Call the remotes."""
        begun: dict[str, Begun | Fault] = {}
        for name, model in models.items():
            assert isinstance(model, RemoteModel)
            begun[name] = guarded(model.begin, request, None if given is None else given[name], explain, began)

        def outcomes() -> dict[str, Outcome]:
            wait_for([one[0] for one in begun.values() if isinstance(one, tuple)])
            return {name: _outcome(models[name], one) for name, one in begun.items()}

        return outcomes


class RemoteModel(HostedModel):
    """Model of a remote, or of one whose readings are ranked here."""

    def __init__(self, name: str, host: RemoteHost, client: Client) -> None:
        super().__init__(name, host, 0)
        self.client = client

    @abstractmethod
    def begin(self, request: Request, given: Sequence[Hypothesis] | None, explain: bool, began: float) -> Begun:
        """Call the remote, or rank what is given. May raise whatever it likes."""

    def call(self, method: str, target: str, body: bytes | None, began: float, limit: int) -> Exchange:
        """Begin a call with the deadline of the entry. Raises `InputError` where its token cannot be read."""
        until = began + self.client.entry.deadline_ms / 1e3
        return self.client.begin(method, target, body, began, until, limit)


def _outcome(model: HostedModel, begun: Begun | Fault) -> Outcome:
    assert isinstance(model, RemoteModel)
    ms = 0.0
    if isinstance(begun, Fault):
        found: Outcome | Fault = begun
    elif isinstance(begun, tuple):
        exchange, finish = begun
        ms, result = exchange.ms, exchange.result
        if not isinstance(result, bytes):
            return _missed(model, result or Missed("", late=True), ms)
        found = guarded(finish, result, ms)
    else:
        found = guarded(begun)
    if not isinstance(found, Fault):
        return found
    if isinstance(found.error, InputError):
        return Failed(f"{model.client.entry.address}: {found.error}", ms, kind="unavailable")
    return Failed(f"the request cannot be sent: {describe(found.error)}", ms, counts=0, kind="request")


def _missed(model: RemoteModel, missed: Missed, ms: float) -> Failed | Late:
    """The outcome of a call without a reply that says who, and what was seen."""
    entry, counts = model.client.entry, int(missed.blamed)
    if missed.late:
        return Late(f"{entry.address}: {missed.reason or f'no answer within {entry.deadline_ms:g} ms'}", ms, counts)
    return Failed(f"{entry.address}: {missed.reason}", ms, counts, kind="unavailable")
