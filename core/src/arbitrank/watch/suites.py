"""Cases of the domains' suites in a watch: what serves now has to pass them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from arbitrank.outcomes.suite_runs import SuiteRun
from arbitrank.watch.alarms import Commands
from arbitrank.watch.report import Alarm, WatchReport

_NAMED = 3  # cases that a sentence names


def with_suites(report: WatchReport, run: SuiteRun, commands: Commands = Commands()) -> WatchReport:
    """The report with the results of the cases, an alarm of each domain with failing ones, and remarks on conflicts.

    A case that fails in conflict with another is a remark: no version could pass both.
    """
    if not run.results:
        return report
    alarms = tuple(_alarms(report, run, commands))
    alarming = {one.domain for one in alarms}
    domains = {name: replace(one, status="alarm") if name in alarming else one for name, one in report.domains.items()}
    disputed = [f"a case fails: {one.text}" for one in run.failing if one.conflicts is not None]
    return replace(
        report, alarms=(*alarms, *report.alarms), domains=domains, notes=(*report.notes, *run.notes, *disputed),
        suites=run.results,
    )  # fmt: skip


def _alarms(report: WatchReport, run: SuiteRun, commands: Commands) -> Iterator[Alarm]:
    for name in sorted({one.domain for one in run.undisputed}):
        failing = [one for one in run.undisputed if one.domain == name]
        cases = sum(one.domain == name for one in run.results)
        named = "; ".join(f"{one.kind} {one.name}: {one.outcome}" for one in failing[:_NAMED])
        more = f"; and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
        text = f"{len(failing)} of the {cases} cases of its suites fail: {named}{more}"
        back = commands.undo(name, report.domains.get(name))
        yield Alarm(name, "suite", text, 0.0, 0.0, (*back, commands.suite(name)))
