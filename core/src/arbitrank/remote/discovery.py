"""Discovery of remote domains: those that the operator's file names, as the registry returns them beside the others."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from weakref import WeakValueDictionary

import msgspec

from arbitrank.configuration import FILE, configured
from arbitrank.domain import Domain
from arbitrank.errors import InputError, message
from arbitrank.guard import Fault, guarded
from arbitrank.packages import UNKNOWN
from arbitrank.plugin_hooks import is_name, reserved
from arbitrank.registry import ENVIRONMENT, Disabled, Found, Loaded, Refused, Source, Unreadable
from arbitrank.remote_entry import RemoteEntry

__all__ = ["KIND", "remotes_in"]

KIND = "remote"
"""Name that stands for the package of a remote domain."""

_known: WeakValueDictionary[bytes, Domain] = WeakValueDictionary()
_lock = threading.Lock()


def remotes_in(environment: Mapping[str, str], wanted: Collection[str] | None) -> tuple[list[Found], list[Unreadable]]:
    """The remote domains of the configuration that an environment names; `wanted` are those to load. Never raises.

    Nothing is connected to.
    """
    read = guarded(configured, None, environment)
    if isinstance(read, Fault):
        return [], [Unreadable(FILE, UNKNOWN, message(read))]
    entries = {name: one.remote for name, one in read.domains.items() if one.remote is not None}
    return [_found(name, entry, read.where, wanted) for name, entry in sorted(entries.items())], []


def _found(name: str, entry: RemoteEntry, file: str, wanted: Collection[str] | None) -> Found:
    source = Source(name, KIND, "")
    if wanted is not None and name not in wanted:
        return Disabled(name, source, f"{ENVIRONMENT} does not name it")
    if not is_name(name):
        expected = "expected lower-case letters, digits, '_' and '-', at most 64"
        return Refused(name, source, f"{file}: domains.{name}: is no domain's name, {expected}")
    if reason := reserved(name):
        return Refused(name, source, f"{file}: domains.{name}: {reason}")
    domain = guarded(_domain, name, entry)
    if isinstance(domain, Fault):
        return Refused(name, source, f"{file}: domains.{name}: {message(domain, 'cannot be used: ')}")
    return Loaded(name, source, domain)


def _domain(name: str, entry: RemoteEntry) -> Domain:
    """The domain of an entry, the same one while anything refers to it. Raises as `remote_domain` does."""
    try:
        from arbitrank.remote.domain import remote_domain
        from arbitrank.remote.host import RemoteHost
    except ModuleNotFoundError as error:
        raise InputError(f'needs the package {error.name}; run: pip install "arbitrank[remote]"') from error
    key = msgspec.json.encode((name, entry))
    with _lock:
        found = _known.get(key)
        if found is None:
            found = _known[key] = remote_domain(name, entry, RemoteHost.of_process())
        return found
