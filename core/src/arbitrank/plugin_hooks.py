"""The hook of one plugin: import of its entry point, the domains that it returns, or why there are none."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from io import StringIO
from pathlib import Path
from typing import Any

import pluggy

from arbitrank import hookspecs
from arbitrank.domain import Domain, Model, Skill
from arbitrank.errors import ArbitrankError, PluginError
from arbitrank.guard import Fault, guarded, shown
from arbitrank.regular_files import writable_by_all
from arbitrank.training_environment import is_specifier

__all__ = [
    "HOOK",
    "STATED",
    "domains_of",
    "expectation",
    "exposed",
    "failure",
    "is_name",
    "lacking",
    "malformed",
    "reserved",
    "seen",
    "stated",
]

HOOK = "arbitrank_domains"
"""The name of the hook."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHORTLIST = "shortlist"  # the name of Shortlisters in stores of version 0.1; no domain may have it
_SHIPPED = "a file that the package ships, named from Path(__file__).parent"
_FOLDER = 'Path(__file__).parent / "model"'


def domains_of(entry: EntryPoint) -> tuple[Sequence[tuple[Any, Any]], str]:
    """The domains that the plugin's hook returns, with their names, and the first line that it printed."""
    with redirect_stdout(_Printed()) as printed:
        domains = _hooked(entry)
    return domains, printed.getvalue().strip().partition("\n")[0]


class _Printed(StringIO):
    """Standard output of a plugin, which is no output of the command: passed on to standard error, and kept."""

    def write(self, text: str) -> int:
        sys.stderr.write(text)
        return super().write(text)


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
    imported = entry.module in sys.modules
    hook = f"; {entry.module}.{HOOK}()" if imported and not entry.attr else ""
    see = f'to see where, run: python -c "import {entry.module}{hook}"'
    text = lacking(entry.module) if isinstance(fault.error, TypeError) else None
    if isinstance(fault.error, pluggy.PluginValidationError):
        text = f"its parameters, expected none; write: def {HOOK}():"
    if text:
        return f"{fault.placed}; {text}"
    if imported and entry.attr and not hasattr(sys.modules[entry.module], entry.attr.partition(".")[0]):
        value = f"{entry.name} = {json.dumps(entry.module)}"
        return f"{fault.placed}, expected the object that its entry point names; write {value} in pyproject.toml"
    if isinstance(fault.error, ModuleNotFoundError) and fault.error.name:
        return f"{fault.placed}, {_missing(fault.error.name, entry)}; {see}"
    return f"{fault.placed}, expected {expectation(fault, 'its domains' if imported else 'a module to import')}; {see}"


def _missing(module: str, entry: EntryPoint) -> str:
    if entry.module == module or entry.module.startswith(f"{module}."):
        return f"expected its entry point's module; correct {entry.value!r} in pyproject.toml"
    return "expected it with the plugin; add it to its dependencies, and install it"


def expectation(fault: Fault, otherwise: str) -> str:
    """The thing that is expected in the place of a plugin's exception: a file that is there, or `otherwise`."""
    return _SHIPPED if isinstance(fault.error, OSError) and fault.error.filename else otherwise


def lacking(module: str) -> str | None:
    """The method that a class of a plugin's module lacks to be a domain's or a model's, None where none does."""
    for one in list(vars(sys.modules[module]).values()) if module in sys.modules else ():
        ours = isinstance(one, type) and issubclass(one, Domain | Model) and one.__module__ == module
        if ours and not one.__subclasses__():
            for method in sorted(getattr(one, "__abstractmethods__", ())):
                near = get_close_matches(method, [name for name in vars(one) if not name.startswith("_")], n=1)
                hint = f"rename {near[0]}, which it has" if near else "see arbitrank.domain"
                return f"{one.__name__} lacks {method}(), expected it; write it, or {hint}"
    return None


def stated(domain: Domain, name: str) -> Any:
    """An attribute that a domain states. Raises `PluginError` where it is of another type, or reading it raises."""
    fits, kind, fix = STATED[name]
    value = guarded(getattr, domain, name)
    if isinstance(value, Fault) or not fits(value):
        what = f"raised {value.placed}" if isinstance(value, Fault) else f"is {shown(value)}"
        if callable(value):
            what, fix = "is a method", f"write @property above its def, or {name} = … in the class"
        raise PluginError(f"domain {domain.name}: {name} {what}, expected {kind}; {fix}")
    return value


def _are(kind: type, values: Any) -> bool:
    return (
        isinstance(values, Collection) and not isinstance(values, str) and all(isinstance(one, kind) for one in values)
    )


def _are_skills(value: Any) -> bool:
    return isinstance(value, Sequence) and _are(Skill, value)


STATED: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    "skills": (_are_skills, "a tuple of Skill", "return (Skill(name, description, phrases),)"),
    "shipped": (lambda one: one is None or isinstance(one, Path), "a Path or None", f"write {_FOLDER}"),
    "scales": (lambda one: isinstance(one, Mapping), "a mapping of fields to scales", "see docs/how-to/scales.md"),
    "context_keys": (
        lambda one: one is None or isinstance(one, str) or _are(str, one),  # one text alone is ignored, with a remark
        "a list of texts, or None",
        "write it as a tuple of texts",
    ),
    "fallback": (lambda one: isinstance(one, bool), "True or False", "write True or False"),
    "topics": (lambda one: _are(str, one), "a tuple of texts", 'write topics = ("weather",)'),
    "shared_negatives": (
        lambda one: one is None or isinstance(one, bool),
        "True, False or None",
        "write one of these",
    ),
    "loadable_by": (
        lambda one: one is None or is_specifier(one),
        "versions of its package, or None",
        'write loadable_by = ">=1.4"',
    ),
}
"""Attributes that a domain states: what fits, in words, and the edit."""


def seen(name: Any, domain: Any) -> str:
    """The thing in the place of a domain, and what is expected there."""
    if isinstance(domain, type):
        kind = f"the class {domain.__name__}"
        return f"{kind}, expected a Domain named in a-z, 0-9, _ and -: an object of the class, {domain.__name__}()"
    named = f"named {name!r}" if isinstance(name, str) else "without a name"
    return f"{type(domain).__name__} {named}, expected a Domain named in a-z, 0-9, _ and -"


def is_name(name: object) -> bool:
    """True for a text that may be a domain's name: lower-case letters, digits, `_` and `-`, at most 64."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def reserved(name: str) -> str | None:
    """The reason why no domain may have a name that is one; None where one may."""
    return f"is named {name!r}, which is the Shortlister's name; give it another" if name == _SHORTLIST else None


def malformed(entry: EntryPoint) -> str | None:
    """The reason why an entry point cannot be loaded whatever its module holds."""
    match = entry.pattern.fullmatch(entry.value)
    parts = [] if match is None else match["module"].split(".") + (match["attr"] or "x").split(".")
    if parts and all(part.isidentifier() for part in parts):
        return None
    return f"its entry point's value is {_short(entry.value)}, expected MODULE or MODULE:OBJECT"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def exposed(domain: Domain) -> Iterator[str]:
    """The remark on a package whose code every user of this machine may exchange."""
    file = getattr(sys.modules.get(type(domain).__module__), "__file__", None)
    if not isinstance(file, str):
        return
    folder = Path(file).parent
    if guarded(writable_by_all, folder) is True or guarded(writable_by_all, Path(file)) is True:
        yield f"every user of this machine may change its code in {folder}; run: chmod -R o-w {folder}"
