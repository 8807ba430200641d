"""Running of all checks of a domain, with failures that its team expects, and their parametrisation for pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from arbitrank.domain import Domain
from arbitrank.testing.checks import ALL_CHECKS
from arbitrank.testing.findings import CheckFailed, DomainCheck, Finding, seen
from arbitrank.testing.subject import Subject

if TYPE_CHECKING:
    import pytest

Expected = Mapping[str, str]
"""Failures that are expected: the reason, `because …`, by the name of the check."""

_NONE: Expected = MappingProxyType({})


def check_domain(
    domain: Domain, expected_failures: Expected = _NONE, *, checks: Sequence[DomainCheck] = ALL_CHECKS
) -> list[Finding]:
    """Run all checks of a domain, and return what breaks nothing: warnings, and the findings of expected failures.

    `expected_failures` gives a reason for each check that may fail; one that passes is a finding itself, so that the
    reason goes when its cause has gone. Raises `CheckFailed` with all other findings at once.
    """
    subject = Subject.of(domain)
    subject.trains = True
    found = [finding for check in checks for finding in check.findings(subject)]
    broken, rest = judged(found, expected_failures, checks)
    if broken:
        lines = "\n".join(f"  {one.check}: {one}" for one in broken)
        raise CheckFailed(f"domain {domain.name}: {len(broken)} findings\n{lines}")
    return rest


def judged(
    found: Iterable[Finding], expected: Expected, checks: Sequence[DomainCheck] = ALL_CHECKS
) -> tuple[list[Finding], list[Finding]]:
    """The findings that break a guarantee, expectations that are wrong among them, and the others."""
    broken: list[Finding] = []
    rest: list[Finding] = []
    names = {check.__name__ for check in checks}
    failed: set[str] = set()
    for one in found:
        if one.level == "broken":
            failed.add(one.check)
        (broken if one.level == "broken" and one.check not in expected else rest).append(one)
    for name, reason in expected.items():
        if name not in names:
            text, wanted = f"an expected failure {name!r}, which is no check", "the name of a check"
            broken.append(_wrong(name, text, wanted, "see: arbitrank check --list"))
        elif not isinstance(reason, str) or not reason.strip():
            broken.append(_wrong(name, f"the reason {reason!r}", "a text: because …", "write why it may fail"))
        elif name not in failed:
            text = f"it passes, although a failure is expected: {reason}"
            broken.append(_wrong(name, text, "the failure", "remove it from expected_failures"))
    return broken, rest


def _wrong(name: str, text: str, expected: str, fix: str) -> Finding:
    one = seen(text, expected, fix)
    return Finding(name, one.seen, one.expected, one.fix)


def parametrize_checks(
    domain: Domain, expected_failures: Expected = _NONE, *, checks: Sequence[DomainCheck] = ALL_CHECKS
) -> pytest.MarkDecorator:
    """Parametrisation of a test over all checks of a domain, each a test of its own; it calls its argument `check`.

        @parametrize_checks(Weather())
        def test_the_domain_fulfils_the_contract(check):
            check()

    An expected failure is a strict `xfail` with its reason: passing, it fails the test.
    """
    import pytest

    for one in judged((), expected_failures, checks)[0]:
        if one.check not in {check.__name__ for check in checks}:
            raise CheckFailed(str(one))
    return pytest.mark.parametrize(
        "check",
        [
            pytest.param(partial(_checked, domain, check), id=check.__name__, marks=_marks(check, expected_failures))
            for check in checks
        ],
    )


def _marks(check: DomainCheck, expected: Expected) -> list[Any]:
    import pytest

    if check.__name__ not in expected:
        return []
    return [pytest.mark.xfail(strict=True, raises=CheckFailed, reason=expected[check.__name__])]


def _checked(domain: Domain, check: Callable[[Domain], None]) -> None:
    Subject.of(domain).trains = True
    check(domain)
