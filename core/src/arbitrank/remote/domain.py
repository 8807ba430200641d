"""Domains that run as services of their own: one that ranks there, and one that is ranked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NoReturn

import msgspec

from arbitrank.arbitration.hosted_domain import REMOTE, RemoteRecogniser, ServiceDomain
from arbitrank.arbitration.lineup import Serving
from arbitrank.domain import Domain, Model, Settings, Skill
from arbitrank.errors import DataError, InputError, PluginError, RemoteError, message
from arbitrank.guard import Fault, guarded
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.remote.client import Client
from arbitrank.remote.exchange import Exchange, wait_for
from arbitrank.remote.fetching import FetchingModel, ReplyFormat
from arbitrank.remote.host import RemoteHost
from arbitrank.remote.messages import DOMAIN, MAX_STATED, PROTOCOL, RemoteStated
from arbitrank.remote.ranking import RankingModel
from arbitrank.remote_entry import RemoteEntry
from arbitrank.scales import domain_scales
from arbitrank.values import Example, Hypothesis

__all__ = ["RecognisingRemote", "RemoteDomain", "remote_domain"]

_STATING = 2.0  # seconds in which a remote has to state itself
_UNREAD = "it has not been reached yet"


def remote_domain(name: str, entry: RemoteEntry, host: RemoteHost) -> Domain:
    """The domain of an entry. Raises `InputError` where a file, token or format that the entry names cannot be used."""
    client = Client(entry)
    if entry.format is None:
        return RemoteDomain(name, client, host)
    return RecognisingRemote(name, client, host, ReplyFormat(name, entry))


class RemoteDomain(ServiceDomain):
    """A domain that recognises and ranks elsewhere.

    `stated` is what it stated last, None until it was reached; `problem` is the reason why that may not be so any more.
    """

    def __init__(self, name: str, client: Client, host: RemoteHost) -> None:
        self.name, self.client, self.host = name, client, host
        self.address = client.entry.address
        self.stated: RemoteStated | None = None
        self.problem: str | None = _UNREAD
        self._take(None)

    def look(self) -> Callable[[], bool]:
        """Begin to read what it states."""
        began = perf_counter()
        call = "GET", self.client.path(DOMAIN), None, began, began + _STATING, MAX_STATED
        begun = guarded(self.client.begin, *call)

        def finish() -> bool:
            read = begun if isinstance(begun, Fault) else guarded(self._read, begun)
            if isinstance(read, Fault):
                self.problem = f"{self.address}: {message(read)}"
                return False
            before = self.stated
            self._take(read)
            return read != before

        return finish

    def serving(self, scales: Mapping[str, str]) -> Serving:
        """Its model."""
        if self.stated is None:
            raise RemoteError(self.problem or _UNREAD)
        own = domain_scales({**self.stated.scales, **scales})
        model = RankingModel(self.name, self.host, self.client, own)
        model.context_keys = self.context_keys
        return Serving(model, self.stated.version, REMOTE)

    def _read(self, exchange: Exchange) -> RemoteStated:
        """Facts in the reply to a call. Raises `RemoteError`, and `PluginError` for those it may not state."""
        wait_for([exchange])
        found = exchange.result
        if not isinstance(found, bytes):
            late = f"no answer within {1e3 * (exchange.until - exchange.began):.0f} ms"
            raise RemoteError(found.reason if found is not None and found.reason else f"it cannot be reached: {late}")
        try:
            stated = msgspec.json.decode(found, type=RemoteStated)
            domain_scales(stated.scales)
        except (msgspec.MsgspecError, ValueError, RecursionError, InputError) as error:
            raise PluginError(f"what it states at {DOMAIN}: {error}") from error
        if stated.protocol[0] != PROTOCOL[0]:
            major, minor = stated.protocol
            raise PluginError(f"it speaks protocol {major}.{minor}, expected {PROTOCOL[0]}.x")
        if stated.name != self.name:
            raise PluginError(
                f"it is the domain {stated.name!r}, expected {self.name!r}; correct its URL, or the entry"
            )
        return msgspec.structs.replace(stated, shipped=None)

    def _take(self, stated: RemoteStated | None) -> None:
        """Have what it states be the domain's."""
        self.stated, self.problem = stated, None if stated is not None else self.problem
        self.title = None if stated is None else stated.title
        self.intent_titles: Mapping[str, str] = {} if stated is None else stated.intent_titles
        self.feature_titles: Mapping[str, str] = {} if stated is None else stated.feature_titles
        self.scales: Mapping[str, str] = {} if stated is None else stated.scales
        self.context_keys = None if stated is None else stated.context_keys
        self.fallback = stated is not None and stated.fallback

    @property
    def skills(self) -> Sequence[Skill]:
        """The skills that it states; without any, the domain itself."""
        stated = () if self.stated is None else self.stated.skills
        return tuple(one.skill for one in stated) or (Skill(self.name),)

    def train(self, examples: Sequence[Example], out: Path, settings: Settings) -> NoReturn:
        """Raise `InputError`: its weights are not here."""
        raise InputError(f"domain {self.name}: its weights are at {self.address}; train them there")

    def load(self, folder: Path) -> NoReturn:
        """Raise `InputError`: its weights are not here."""
        raise InputError(f"domain {self.name}: its weights are at {self.address}, not in {folder}")


class RecognisingRemote(ReferenceDomain, RemoteRecogniser):
    """A domain that is recognised elsewhere, in a vendor's format, and ranked here by the toolkit's re-ranker."""

    def __init__(self, name: str, client: Client, host: RemoteHost, format: ReplyFormat) -> None:
        super().__init__(name)
        self.client, self.host, self._format = client, host, format
        self.address = client.entry.address

    def fetching(self, ranker: Model) -> FetchingModel:
        """The model that calls the recogniser."""
        return FetchingModel(self.name, self.host, self.client, self._format, ranker)

    def _recognised(self, examples: Sequence[Example], out: Path, settings: Settings) -> list[list[Hypothesis]]:
        raise DataError(
            f"domain {self.name}: the examples bring no hypotheses, expected those of its recogniser, {self.address}; "
            f"import its replies: arbitrank import {self._format.name} FILE --domain {self.name}"
        )
