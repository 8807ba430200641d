"""The hook of one plugin: import of its entry point, the domains that it returns, or why there are none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from arbitrank import hookspecs
from arbitrank.domain import Domain
from arbitrank.errors import ArbitrankError, PluginError
from arbitrank.guard import Fault

__all__ = ["HOOK", "domains_of", "failure", "malformed", "seen"]

HOOK = "arbitrank_domains"
"""The name of the hook."""


def domains_of(entry: EntryPoint) -> Sequence[tuple[Any, Any]]:
    """The domains that the plugin's hook returns, with their names."""
    with redirect_stdout(sys.stderr):  # what a plugin prints is no output of the command
        return _hooked(entry)


def _hooked(entry: EntryPoint) -> Sequence[tuple[Any, Any]]:
    plugin = entry.load()
    # Each plugin has a manager of its own, so that one that fails validation is left half registered nowhere.
    manager = pluggy.PluginManager("arbitrank")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    if not manager.hook.arbitrank_domains.get_hookimpls():
        raise PluginError(f"{entry.value} implements no hook {HOOK}{_hint(plugin)}")
    manager.check_pending()
    # pluggy drops a None from the results, so that there may be none.
    domains = next(iter(manager.hook.arbitrank_domains()), None)
    if not isinstance(domains, Sequence) or isinstance(domains, str):
        shown = f"a {type(domains).__name__}" if isinstance(domains, Domain) else type(domains).__name__
        remedy = "; write: return [NAME()]" if domains is None else "; write it in brackets: return [NAME()]"
        raise PluginError(f"{HOOK}() returned {shown}, expected a list of Domains{remedy}")
    return [(getattr(domain, "name", None), domain) for domain in domains]


def _hint(plugin: Any) -> str:
    near = get_close_matches(HOOK, [name for name in dir(plugin) if not name.startswith("__")], n=1)
    if not near:
        return f"; write: @hookimpl def {HOOK}(): return [NAME()], with hookimpl from arbitrank.hookspecs"
    if near[0] != HOOK:
        return f"; it has {near[0]!r}, did you mean that? rename it to {HOOK}"
    return (
        f"; it has {near[0]!r}, which is not marked with @hookimpl; write @hookimpl above it, from arbitrank.hookspecs"
    )


def failure(fault: Fault, entry: EntryPoint) -> str:
    """The reason why a package's domains are not known, with the next command or edit."""
    if isinstance(fault.error, ArbitrankError):  # it says what to do
        return str(fault.error) if isinstance(fault.error, PluginError) else fault.reason
    hook = "" if entry.module not in sys.modules else f"; {entry.module}.{HOOK}()" if not entry.attr else ""
    return f'{fault.placed}; to see where, run: python -c "import {entry.module}{hook}"'


def seen(name: Any, domain: Any) -> str:
    """The thing in the place of a domain, and what is expected there."""
    if isinstance(domain, type):
        kind = f"the class {domain.__name__}"
        return f"{kind}, expected a Domain named in a-z, 0-9, _ and -: an object of the class, {domain.__name__}()"
    named = f"named {name!r}" if isinstance(name, str) else "without a name"
    return f"{type(domain).__name__} {named}, expected a Domain named in a-z, 0-9, _ and -"


def malformed(entry: EntryPoint) -> str | None:
    """The reason why an entry point cannot be loaded whatever its module holds."""
    match = entry.pattern.fullmatch(entry.value)
    parts = [] if match is None else match["module"].split(".") + (match["attr"] or "x").split(".")
    if parts and all(part.isidentifier() for part in parts):
        return None
    return f"its entry point's value is {_short(entry.value)}, expected MODULE or MODULE:OBJECT"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
