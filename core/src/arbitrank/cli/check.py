"""arbitrank check: all checks of a domain, and what to do about each finding."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from arbitrank.cli import options
from arbitrank.configuration import ENVIRONMENT as CONFIGURATION
from arbitrank.configuration import FILE
from arbitrank.errors import ArbitrankError, InputError
from arbitrank.extras import required
from arbitrank.outcomes.suite_runs import CaseResult
from arbitrank.registry import ENVIRONMENTS, discover, loaded
from arbitrank.store.store import Store

if TYPE_CHECKING:
    from arbitrank.environments.folders import Release
    from arbitrank.testing.check_process import CheckedDomain
    from arbitrank.testing.findings import Finding
    from arbitrank.testing.subject import StableWeights


_SUITES = "cases_of_its_suites_pass"  # the name of the check that the store's suites are
_USAGE = 2  # the exit status of a call that is wrong, or lacks a package


class Report(msgspec.Struct, frozen=True):
    """The report of `check --json`: for each domain, the number of checks, what is broken, what else was seen, and
    which weights were checked; the results of the cases of its suites in the store."""

    domain: str
    checks: int
    passed: bool
    broken: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    expected: dict[str, str]
    weights: str | None = None
    suites: tuple[CaseResult, ...] = ()


@click.command("check")
@click.argument("target", metavar="NAME|PATH", required=False)
@click.option(
    "--expect",
    "expected",
    metavar="CHECK=REASON",
    multiple=True,
    help="A check that may fail, and why; one that passes all the same is a finding. May be repeated.",
)
@click.option(
    "--limit-seconds",
    "seconds",
    type=options.Share(0, min_open=True),
    default=300.0,
    help="End a check after this.",
)
@options.store
@click.option("--list", "listed", is_flag=True, help="List all checks with what each guarantees, and run none.")
@options.as_json
def check(
    target: str | None, expected: tuple[str, ...], seconds: float, store: Store, listed: bool, as_json: bool
) -> None:
    """Check an installed domain NAME, or the plugin at PATH (its project, a folder of installed packages, or a wheel).

    All findings at once: what was seen, what is expected and the fix. Training is tried on a sample of the domain's
    own data; a remote domain is sent requests instead. The weights that are checked are those that it answers with: the
    stable ones of the store, else those that it ships. The plugin runs in a process of its own: where it hangs or
    exits, the next check goes on; a domain in an environment of its own is checked by the core there. The cases of
    its suites in the store are run, too. The exit status is 1 where a guarantee is broken or a case fails that no other
    contradicts, 2 for a wrong call.

    Example: arbitrank check ./arbitrank-podcasts
    """
    if target is not None and (remote := _remote(target, store, seconds)) is not None:
        click.echo(msgspec.json.encode(remote)) if as_json else _show(remote)
        sys.exit(0 if remote.passed else 1)
    if target is not None and (release := _environment_of(target)) is not None:
        sys.exit(_checked_there(release, target, expected, seconds, store, as_json))
    with required("train"):
        from arbitrank.testing.check_process import DISCOVERY, check_target
        from arbitrank.testing.checks import ALL_CHECKS
        from arbitrank.testing.target import target as located
    if listed:
        _list({one.__name__: one.__doc__ or "" for one in ALL_CHECKS}, as_json)
        return
    if target is None:
        raise InputError(
            "no NAME or PATH; expected a domain's name or a plugin's path, as in: arbitrank check ./plugin"
        )
    reasons = dict(_pair(one) for one in expected)
    for name in reasons:
        if name not in {one.__name__ for one in ALL_CHECKS}:
            raise InputError(f"--expect {name}: no such check; see: arbitrank check --list")
    with tempfile.TemporaryDirectory(prefix="arbitrank-check-") as scratch:
        found = check_target(located(target, Path(scratch)), seconds=seconds, stable=partial(_stable, store))
    reports = [_report(one, reasons) for one in found]
    reports = [_with_suites(one, store) for one in reports]
    if any(
        f.check == DISCOVERY and target in f.seen and "no installed package" in f.seen
        for r in reports
        for f in r.broken
    ):
        raise InputError(str(reports[0].broken[0]))
    for report in reports:
        if as_json:
            click.echo(msgspec.json.encode(report))
        else:
            _show(report)
    if not all(report.passed for report in reports):
        sys.exit(1)


def _remote(name: str, store: Store, seconds: float) -> Report | None:
    """The report of the check of a remote domain; None where none has that name."""
    if not (os.environ.get(CONFIGURATION) or Path(FILE).exists()):
        return None
    from arbitrank.cli.checking_remotes import CHECKS, findings, remote_named

    domain = remote_named(name)
    found = () if domain is None else tuple(findings(domain, store, seconds))
    return None if domain is None else Report(name, CHECKS, not found, found, (), {})


def _environment_of(name: str) -> Release | None:
    """The release whose domain has that name, where it is in an environment of its own."""
    if not (folder := os.environ.get(ENVIRONMENTS)):
        return None
    from arbitrank.environments.discovery import found_in
    from arbitrank.environments.release_domain import ReleaseDomain

    domain = loaded(found_in(Path(folder), None)[0]).get(name)
    return domain.release if isinstance(domain, ReleaseDomain) else None


def _checked_there(
    release: Release, name: str, expected: Sequence[str], seconds: float, store: Store, as_json: bool
) -> int:
    """The exit status of the check in a release's environment, whose output is this one's."""
    from arbitrank.child import command, environment
    from arbitrank.environments.acceptance import lacking

    more = [text for one in expected for text in ("--expect", one)] + (["--json"] if as_json else [])
    keys = ["--keys", str(store.keys.folder)] if store.keys else []
    arguments = ["check", name, "--limit-seconds", str(seconds), "--store", str(store), *keys, *more]
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ARBITRANK_", "VIRTUAL"))}
    done = subprocess.run(
        [*command(release.interpreter), "-m", "arbitrank", *arguments],
        check=False, capture_output=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL, env={**own, **environment(release.interpreter)},
    )  # fmt: skip
    if done.returncode == _USAGE and (extra := lacking(done.stderr)):
        again = release.reinstalling(extra)
        raise InputError(f"{name}: its environment {release} lacks packages for check; run: {again}")
    click.echo(done.stdout, nl=False)
    click.echo(done.stderr, nl=False, err=True)
    return done.returncode


def _stable(store: Store, name: str) -> StableWeights | None:
    """The weights of a domain that are stable in the store; a store that cannot be read is reported."""
    from arbitrank.testing.subject import StableWeights

    try:
        version = store.state(name)[1].stable
        return StableWeights(str(store.fetch(name, version)), version, str(store)) if version else None
    except ArbitrankError as error:
        options.note(f"{name}: the stable weights cannot be read, so those that it ships are checked: {error}")
        return None


def _pair(text: str) -> tuple[str, str]:
    name, equals, reason = text.partition("=")
    if not equals or not reason.strip():
        raise InputError(f"--expect {text!r}: no reason, expected CHECK=REASON, as in answers_are_fast='because …'")
    return name, reason


def _report(one: CheckedDomain, expected: Mapping[str, str]) -> Report:
    from arbitrank.testing.run import judged

    broken, rest = judged(one.findings, expected)
    return Report(one.name, one.checks, not broken, tuple(broken), tuple(rest), dict(expected), one.weights)


def _with_suites(report: Report, store: Store) -> Report:
    """The report with the cases of the domain's suites, where the store has some and the domain is installed.

    They are one check more: each that fails is a finding, in conflict with another case a warning.
    """
    from arbitrank.exchanged import suites_now
    from arbitrank.outcomes.suite_cases import stored_cases

    cases = stored_cases(store)
    domains = loaded(discover()) if any(case.domain == report.domain for case in cases) else {}
    if report.domain not in domains:
        return report
    run = suites_now(store, domains, cases=cases, domain=report.domain)
    for text in run.notes:
        options.note(text)
    found = [_of_case(one) for one in run.failing]
    broken = (*report.broken, *(one for one in found if one.level == "broken"))
    warnings = (*report.warnings, *(one for one in found if one.level == "warning"))
    return msgspec.structs.replace(
        report, checks=report.checks + 1, passed=not broken, broken=broken, warnings=warnings, suites=run.results
    )


def _of_case(case: CaseResult) -> Finding:
    """The finding on a case of the suites that fails."""
    from arbitrank.testing.findings import Finding

    expected = {
        "must_win": f"a reading of {case.domain}, right in what the case's truth gives",
        "must_not_win": f"no reading of {case.domain}",
        "incidents": "the case's truth, or where it has none another answer than the logged one",
    }[case.kind]
    return Finding(
        _SUITES, case.text, expected, f"run: arbitrank suite {case.domain}",
        "broken" if case.conflicts is None else "warning",
    )  # fmt: skip


def _list(checks: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(checks))
        return
    for name, text in checks.items():
        click.echo(f"{name}\n    {' '.join(text.split())}")


def _show(report: Report) -> None:
    def lines(kind: str, findings: Sequence[Finding]) -> None:
        checks: dict[tuple[object, ...], list[str]] = {}  # those that one text tells of, as where the process ends
        for one in findings:
            named = checks.setdefault((one.seen, one.file, one.line, one.key), [])
            named += [one.check] if one.check not in named else []
        for one in findings:
            names = checks.pop((one.seen, one.file, one.line, one.key), None)
            if names is None:
                continue
            click.echo(f"{kind} {report.domain}: {', '.join(names)}")
            where = one.file and (one.file if one.line is None else f"{one.file}:{one.line}")
            rows = {"at": " ".join(part for part in (where, one.key) if part), "seen": one.seen}
            rows |= {"expected": one.expected, "fix": one.fix}
            if one.check in report.expected and kind == "expected":
                rows["because"] = report.expected[one.check]
            for name, text in rows.items():
                if text:
                    click.echo(f"    {name + ':':10}{' '.join(text.split())}")

    lines("broken", report.broken)
    lines("expected", [one for one in report.warnings if one.level == "broken"])
    lines("warning", [one for one in report.warnings if one.level == "warning"])
    failed = len({one.check for one in report.broken})
    counts = f"{report.checks} checks, {failed} broken, {len(report.broken)} findings, {len(report.warnings)} warnings"
    weights = f"; weights checked: {report.weights}" if report.weights else ""
    passing = sum(one.passes for one in report.suites)
    suites = f"; {passing} of {len(report.suites)} cases of its suites pass" if report.suites else ""
    click.echo(f"{report.domain}: {counts}{weights}{suites}")
