"""Checks in a child process, so that a plugin that hangs, exits or crashes costs the check in which it does, no more.

`python -m arbitrank.testing.check_process` is the child; to each line with a target and a check's name in JSON it
replies the findings.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import distributions

import msgspec
from packaging.utils import canonicalize_name

from arbitrank.child import Child, Ended, Expired, limit, serve
from arbitrank.guard import Fault
from arbitrank.hookspecs import GROUP
from arbitrank.packages import Package, is_near_group, packages
from arbitrank.registry import ENVIRONMENT, Disabled, Found, Loaded, survey
from arbitrank.testing.answer_checks import ANSWER_CHECKS
from arbitrank.testing.checks import ALL_CHECKS
from arbitrank.testing.example_checks import EXAMPLE_CHECKS
from arbitrank.testing.findings import Finding, of_text
from arbitrank.testing.shipped_checks import SHIPPED_CHECKS
from arbitrank.testing.subject import Barred, StableWeights, Subject
from arbitrank.testing.target import Target
from arbitrank.testing.training_checks import TRAINING_CHECKS

SECONDS = 300.0
"""Seconds that one check may take."""

MEMORY = 8 << 30
"""Bytes of address space that checks may take."""

DISCOVERY = "plugin_is_discovered"
"""The name of the check that the others need: the plugin is found and loaded."""


_PARTS: Mapping[Barred, frozenset[str]] = {
    "examples": frozenset(one.__name__ for one in EXAMPLE_CHECKS),
    "training": frozenset(one.__name__ for one in TRAINING_CHECKS),
    "answers": frozenset(one.__name__ for one in (*SHIPPED_CHECKS, *ANSWER_CHECKS)),
}
"""The checks that call a part of a domain's code first: one that takes too long is not called by the others."""


class CheckedDomain(msgspec.Struct, frozen=True):
    """A domain that was checked, with its findings, the number of checks, and the weights that were checked."""

    name: str
    checks: int
    findings: tuple[Finding, ...]
    weights: str | None = None


class Task(msgspec.Struct, frozen=True):
    """A check to run: of the target's domain `domain`, or None to list the target's domains."""

    distribution: str | None
    name: str | None
    domain: str | None = None
    check: str = DISCOVERY
    barred: frozenset[Barred] = frozenset()
    stable: StableWeights | None = None


class Reply(msgspec.Struct, frozen=True):
    """The findings of a check; of discovery, the target's domains with the weights that each ships, too."""

    findings: tuple[Finding, ...] = ()
    domains: dict[str, str] = {}


def check_target(
    one: Target,
    *,
    seconds: float = SECONDS,
    tell: Callable[[str], None] = lambda text: None,
    stable: Callable[[str], StableWeights | None] = lambda name: None,
) -> list[CheckedDomain]:
    """All domains of a target with all findings. `tell` receives each check's name. Never raises a plugin's error.

    `stable` returns the weights that a domain answers with in place of those that it ships, where there are any.
    """
    for path in reversed(one.paths):
        sys.path.insert(0, path)
    folder = tempfile.TemporaryDirectory(prefix="arbitrank-check-")
    child = _Restarted(seconds, folder.name)
    try:
        task = Task(one.distribution, one.name)
        tell(DISCOVERY)
        discovered = child.reply(task)
        domains = discovered.domains or (one.name or (one.distribution or one.label).removeprefix("arbitrank_"),)
        found = []
        for name in domains:
            findings = [*discovered.findings]
            number = 1
            weights = stable(name) if discovered.domains else None
            for check in ALL_CHECKS if discovered.domains else ():
                tell(check.__name__)
                number += 1
                findings += child.reply(
                    msgspec.structs.replace(task, domain=name, check=check.__name__, stable=weights)
                ).findings
            checked = str(weights) if weights else discovered.domains.get(name)
            found.append(CheckedDomain(name, number, tuple(findings), checked))
        return found
    finally:
        child.close()
        folder.cleanup()
        for path in one.paths:
            sys.path.remove(path)


class _Restarted:
    """A child process for checks, started again after one in which it ended; its temporary files are in `folder`.

    It is killed at the end, so that it cannot remove them itself.
    """

    def __init__(self, seconds: float, folder: str) -> None:
        self._seconds, self._variables = seconds, {"TMPDIR": folder}
        self._child: Child | None = None
        self._barred: frozenset[Barred] = frozenset()

    def reply(self, task: Task) -> Reply:
        """The reply to a task; a finding where the process ended."""
        if self._child is None:
            command = ("-m", "arbitrank.testing.check_process", str(MEMORY), str(self._seconds))
            self._child = Child(*command, variables=self._variables)
        task = msgspec.structs.replace(task, barred=self._barred)
        try:
            return msgspec.json.decode(self._child.exchange(msgspec.json.encode(task), self._seconds), type=Reply)
        except Ended as error:
            self.close()
            if isinstance(error, Expired):
                self._barred |= {part for part, checks in _PARTS.items() if task.check in checks}
            how = f"was {error}" if isinstance(error, Expired) else f"{error}"
            expected = "an end within that time" if isinstance(error, Expired) else "no end of the process"
            text = f"the process of this check {how}"
            fix = "see where, in Python: from arbitrank.testing import check_domain"
            return Reply((Finding(task.check, text, expected, fix),))

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


# ------------------------------------------------------------------------------------------------------- in the child


class _Answers:
    """Replies to tasks; what a target's domains give is kept from one to the next."""

    def __init__(self) -> None:
        self._subjects: dict[str, Subject] = {}
        self._found: list[Found] | None = None

    def __call__(self, line: bytes) -> bytes:
        task = msgspec.json.decode(line, type=Task)
        warnings.simplefilter("ignore")
        if self._found is None:
            everything = _discovered(task)
            self._found = [one for one in everything if task.name in (None, one.name, one.source.name)] or everything
            of_entry = Counter(one.source for one in everything)
            self._subjects = {
                found.name: Subject(found.domain, found, _package(found), of_entry[found.source] > 1, trains=True)
                for found in self._found
                if isinstance(found, Loaded)
            }
        if task.domain is None:
            findings = tuple(_discovery(task, self._found))
            shipped = {name: subject.checked for name, subject in self._subjects.items()}
            return msgspec.json.encode(Reply(findings, shipped))
        (check,) = (check for check in ALL_CHECKS if check.__name__ == task.check)
        subject = self._subjects[task.domain]
        subject.barred, subject.stable = task.barred, task.stable
        try:
            found = check.findings(subject)
        except KeyboardInterrupt as error:  # the plugin's: a user's does not reach this process
            found = [Finding(task.check, f"it raised {Fault(error).placed}", "no interrupt", "correct the code there")]
        return msgspec.json.encode(Reply(tuple(found)))


def _discovered(task: Task) -> list[Found]:
    """The domains found for a target; other packages' code runs only where none of that name is found."""
    if task.distribution is not None:
        names = [entry.name for package in _packages(task.distribution) for entry in package.entries]
        found = survey({ENVIRONMENT: ",".join(names)}).found
        own = canonicalize_name(task.distribution)
        return [one for one in found if canonicalize_name(one.source.distribution) == own]
    found = [one for one in survey({ENVIRONMENT: task.name or ""}).found if not isinstance(one, Disabled)]
    if not found:
        everything = survey({}).found
        sources = {one.source for one in everything if task.name in (one.name, one.source.name)}
        found = [one for one in everything if one.source in sources]
    return found


def _packages(distribution: str) -> list[Package]:
    own = canonicalize_name(distribution)
    return [package for package in packages(distributions()) if canonicalize_name(package.name) == own]


def _package(found: Found) -> Package | None:
    return next(iter(_packages(found.source.distribution)), None)


def _discovery(task: Task, found: Sequence[Found]) -> Iterator[Finding]:
    """The findings of discovery: refusals, or nothing that could be loaded."""
    for one in found:
        if not isinstance(one, Loaded):
            said = of_text(f"{one.source}: {one.reason}")
            fix = said.fix or "correct it, then: arbitrank domains"
            yield Finding(DISCOVERY, said.seen, said.expected, fix)
    if found:
        return
    if task.distribution is not None:
        fix = f'add [project.entry-points."{GROUP}"] NAME = "MODULE" to pyproject.toml, and install it again'
        groups = sorted({entry.group for package in _packages(task.distribution) for entry in package.entries})
        text = f"{task.distribution} has the entry-point groups {', '.join(groups) or '(none)'}"
        yield Finding(DISCOVERY, text, f"an entry point in the group {GROUP}", fix)
        return
    names = [
        entry.name for package in packages(distributions()) for entry in package.entries if is_near_group(entry.group)
    ]
    near = get_close_matches(task.name or "", names, n=1)
    fix = f"did you mean {near[0]!r}?" if near else "install it, or give its path: arbitrank check PATH"
    text = f"no installed package has a domain or an entry point {task.name!r} (there are: {', '.join(sorted(names))})"
    yield Finding(DISCOVERY, text, "an installed domain's name", fix)


def main(memory: str, seconds: str) -> None:
    """Serve checks; of `memory` bytes of address space, and `seconds` for each."""
    os.environ.pop(ENVIRONMENT, None)
    limit(int(memory))
    serve(_Answers(), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
