"""Model that ranks here what a remote recogniser returns, in the format of whichever vendor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from arbitrank.arbitration.checks import checked_hypotheses
from arbitrank.arbitration.dispatch import query_prepared
from arbitrank.arbitration.outcomes import Answered, Failed
from arbitrank.arbitration.prepared import prepared
from arbitrank.domain import Model
from arbitrank.errors import InputError, PluginError
from arbitrank.importers.formats import format_named, imported
from arbitrank.importers.options import ImportOptions, read_map
from arbitrank.packed import packed
from arbitrank.remote.client import Client
from arbitrank.remote.host import Begun, RemoteHost, RemoteModel
from arbitrank.remote.messages import MAX_REPLY
from arbitrank.remote.sent import SentParts, encode, filled, target
from arbitrank.remote_entry import RemoteEntry
from arbitrank.values import Hypothesis, Request
from arbitrank.wire.json_text import json_object, parsed
from arbitrank.wire.lenient import read_request
from arbitrank.wire.notices import unnoticed

__all__ = ["OWN", "FetchingModel", "ReplyFormat"]

OWN = "hypotheses"
"""The format of a line of a hypotheses file."""


class ReplyFormat:
    """Reader of the replies of a remote recogniser. Making it raises `InputError` for a format or map that is none."""

    def __init__(self, domain: str, entry: RemoteEntry) -> None:
        self.domain, self.name = domain, entry.format or OWN
        self._options = ImportOptions(domain)
        if entry.map is not None:
            self._options = read_map(Path(entry.map), self._options)
        if self.name != OWN:
            self.name, _ = format_named(self.name)

    def read(self, body: bytes, utterance: str | None) -> tuple[Hypothesis, ...]:
        """The domain's hypotheses in a reply. Raises `InputError` and `PluginError` where it has others, or none."""
        if self.name == OWN:
            found = read_request(json_object(body), unnoticed)
            if self.domain in found.refused:
                raise InputError(found.refused[self.domain])
        else:
            found = imported(parsed(body), self.name, replace(self._options, utterance=utterance))
        return checked_hypotheses(self.domain, found.hypotheses or ())


class FetchingModel(RemoteModel):
    """Readings of a remote, ranked by the `ranker`, a model of this process; those that are given need no call."""

    def __init__(self, name: str, host: RemoteHost, client: Client, format: ReplyFormat, ranker: Model) -> None:
        super().__init__(name, host, client)
        self.ranker, self._format, self._sent = ranker, format, SentParts(client.entry)
        self.context_keys, self.hypothesis_features = ranker.context_keys, ranker.hypothesis_features

    def begin(self, request: Request, given: Sequence[Hypothesis] | None, explain: bool, began: float) -> Begun:
        """Send what the entry allows in the words of the vendor, or rank what is given."""
        shared = prepared(request)
        if given is not None:
            return lambda: query_prepared(self.name, self.ranker, shared, given, explain)
        entry = self.client.entry
        parts = self._sent(request)
        method, path = target(entry, self.client.path(), parts)
        body = None if method == "GET" else packed(encode, filled(entry, parts))
        exchange = self.call(method, path, body, began, MAX_REPLY)
        return exchange, lambda reply, ms: self._ranked(reply, ms, shared, explain)

    def _ranked(self, reply: bytes, ms: float, shared: Request, explain: bool) -> Answered | Failed:
        """The outcome of what a reply recognises."""
        try:
            hypotheses = self._format.read(reply, shared.utterance)
        except (InputError, PluginError) as error:  # their texts may quote the user's words
            return Failed(f"its reply cannot be read as {self._format.name}: {error}", ms)
        outcome = query_prepared(self.name, self.ranker, shared, hypotheses, explain)
        if isinstance(outcome, Answered):
            return msgspec.structs.replace(outcome, recognise_ms=ms, began=None)
        if outcome.kind == "request":  # a score that cannot be read is the remote's
            outcome = msgspec.structs.replace(outcome, counts=1, unread=None, kind="contract")
        return msgspec.structs.replace(outcome, ms=outcome.ms + ms)
