"""Checks of a plugin's package: its entry point, names, range of core, and what happens at its import."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distributions

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from arbitrank.guard import Fault
from arbitrank.hookspecs import GROUP
from arbitrank.packages import CORE, UNKNOWN, core_version, packages
from arbitrank.testing.findings import DomainCheck, Finding, seen, warning
from arbitrank.testing.import_probe import import_effects
from arbitrank.testing.subject import Subject

IMPORT_SECONDS = 2.0
"""Seconds that importing a plugin should take at most, the core's own imports aside."""

_CAPPING = frozenset({"<", "<=", "==", "~=", "==="})


@DomainCheck
def names_agree(subject: Subject) -> Iterator[Finding]:
    """Distribution `arbitrank-NAME`, entry point and domain `NAME` go by one name, which no other package has.

    An entry point with several domains has a name of its own.
    """
    if subject.found is None:
        return
    name, source = subject.name, subject.found.source
    if source.name != name and not subject.several:
        text = f"the entry point is {source.name!r} and the domain {name!r}"
        yield seen(text, "one name", f'write {name} = "…" in [project.entry-points."{GROUP}"], or rename the domain')
    elif canonicalize_name(source.distribution) != canonicalize_name(f"arbitrank-{name}") and not subject.several:
        text = f"the distribution is {source.distribution!r} and the domain {name!r}"
        yield warning(text, f"arbitrank-{name}", "rename one of them in pyproject.toml")
    for package in packages(distributions()):
        own = canonicalize_name(package.name) == canonicalize_name(source.distribution)
        if not own and any(entry.group == GROUP and entry.name == name for entry in package.entries):
            text = f"{package.name} {package.version} has the name {name!r}, too"
            yield seen(text, "a name of its own", "rename the domain and its entry point, or uninstall the other")


@DomainCheck
def metadata_can_be_read(subject: Subject) -> Iterator[Finding]:
    """The distribution's metadata and entry points have no malformed line, and no second version hides one."""
    for problem in subject.package.problems if subject.package else ():
        yield seen(problem, "metadata as an installer writes it", "install it again")


@DomainCheck
def range_of_core_is_capped(subject: Subject) -> Iterator[Finding]:
    """The metadata requires `arbitrank` in a range that ends below a major version and holds this core."""
    if subject.package is None:
        return
    fix = 'write dependencies = ["arbitrank>=0.2,<1"] in pyproject.toml'
    required = subject.package.requires
    if isinstance(required, Fault):
        yield seen(f"its requirements cannot be read: {required.reason}", "a list of requirements", fix)
        return
    read = (_requirement(text) for text in required)
    ours = [one for one in read if one and canonicalize_name(one.name) == CORE and _applies(one)]
    if not ours:
        yield seen(f"{subject.package.name} does not require arbitrank", "a range of it, as in arbitrank>=0.2,<1", fix)
    for one in ours:
        if not any(spec.operator in _CAPPING for spec in one.specifier):
            shown = str(one.specifier) or "any version"
            yield seen(f"it requires arbitrank {shown}, without an end", "a range that ends, as in >=0.2,<1", fix)
        elif exact := next((spec for spec in one.specifier if _is_exact(spec)), None):
            yield warning(f"it requires arbitrank{exact} alone", "a range, so that a new core can be installed", fix)
        if not any(spec.operator in (">=", ">", "~=", "==", "===") for spec in one.specifier):
            yield warning(f"it requires arbitrank{one.specifier}, without a beginning", "a range, as in >=0.2,<1", fix)
        if core_version() != UNKNOWN and not one.specifier.contains(core_version(), prereleases=True):
            yield seen(f"it requires arbitrank{one.specifier}", f"a range that holds this core, {core_version()}", fix)


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _applies(requirement: Requirement) -> bool:
    """True where it holds without any extra, here."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _is_exact(spec: Specifier) -> bool:
    if spec.operator not in ("==", "===") or spec.version.endswith(".*"):
        return False
    try:
        return bool(Version(spec.version))
    except InvalidVersion:
        return True


@DomainCheck
def import_has_no_effects(subject: Subject) -> Iterator[Finding]:
    """Importing the plugin prints nothing to standard output, writes no file, opens no socket and starts no process."""
    effects = import_effects(subject.where)
    if effects is None:
        return
    fix = "do it in a method, or not at all"
    if effects.printed:
        yield seen(f"importing {subject.where} printed {effects.printed!r}", "nothing on standard output", fix)
    for event in effects.events:
        yield seen(
            f"importing {subject.where} {event}", "no file written, socket opened, process or thread started", fix
        )
    if effects.ended:
        yield seen(f"importing {subject.where} {effects.ended}", "a module that can be imported", "correct it")


@DomainCheck
def import_is_fast(subject: Subject) -> Iterator[Finding]:
    """Importing the plugin takes at most 2 s beside the core."""
    effects = import_effects(subject.where)
    if effects is not None and effects.seconds > IMPORT_SECONDS:
        text = f"importing {subject.where} took {effects.seconds:.1f} s"
        yield warning(text, f"at most {IMPORT_SECONDS:g} s", "import what only training needs inside `train`")


METADATA_CHECKS = (names_agree, metadata_can_be_read, range_of_core_is_capped, import_has_no_effects, import_is_fast)
