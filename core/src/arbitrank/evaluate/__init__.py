"""The experiment: every system measured on a corpus. The package can be called: `arbitrank.evaluate(path)`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from arbitrank.extras import missing_package


def evaluate(
    path: str | Path,
    *,
    out: str | Path | None = None,
    plugins: bool = False,
    context_keys: Sequence[str] = (),
    decisions: Mapping[str, Any] = {},
    scales: Mapping[str, Mapping[str, str]] | None = None,
    seed: int = 0,
    jobs: int = 1,
    shift: bool = False,
) -> dict[str, Any]:
    """The metrics of all systems on a corpus, or on a file of hypotheses with truths, as `metrics.json` holds them.

    With `out`, the report is written into that folder; with `plugins`, the installed domains are measured, R0 beside
    them. `context_keys` are read beside the core's, or the domains' own, and those in `arbitrank.toml`. `decisions`
    are fields of the decision settings that are stated, such as `{"fallback": "llm"}`, and are not tuned; each system
    decides as a service, once with the others at their defaults and once with them tuned. `scales` are of scores that
    are not probabilities, by domain and field; where they state none, the operator's configuration does. `jobs` is the
    number of domains that are built at once. With `shift`, the main systems are measured under shifts of the held-out
    requests too. Raises `DataError` where the data cannot be used, and `InputError` where the extra `train` (or, for a
    report, `report`) is not installed.
    """
    try:
        from arbitrank.configuration import first_stated, stated_by_operator
        from arbitrank.evaluate.experiment import evaluate as run
        from arbitrank.evaluate.tuning import tuned

        if out is not None:
            from arbitrank.evaluate.report import write_report
    except ModuleNotFoundError as error:
        raise missing_package(error, "evaluate") or error from error
    operator = stated_by_operator(scales=scales or {})
    metrics, results, corpus = run(
        Path(path),
        seed=seed,
        jobs=jobs,
        plugins=plugins,
        context_keys=operator.file.named_keys(context_keys),
        decisions=first_stated(decisions, operator.decisions),
        scales=operator.scales,
        shift=shift,
        progress=lambda *_: None,
    )
    if out is not None:
        write_report(metrics, results, corpus.held, tuned("plugins" if plugins else "factored"), Path(out))
    return metrics


class _CallablePackage(ModuleType):
    """A package that is called as its function `evaluate`, as both have one name in `arbitrank`."""

    def __call__(self, path: str | Path, **settings: Any) -> dict[str, Any]:
        return evaluate(path, **settings)


sys.modules[__name__].__class__ = _CallablePackage
