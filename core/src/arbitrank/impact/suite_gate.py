"""The gate of the suites: reasons against a candidate that fails a case which what serves passes."""

from __future__ import annotations

from arbitrank.impact.gate import GateReason
from arbitrank.outcomes.suite_runs import SuiteRun


def suite_reasons(name: str, run: SuiteRun) -> list[GateReason]:
    """The reasons against a candidate under a name: the cases that what serves passes and it fails."""
    return [
        GateReason(
            "suite",
            f"it breaks a case of the suites: {one.text}; what serves now passes it",
            () if one.domain == name else (one.domain,),
        )
        for one in run.broken
    ]
