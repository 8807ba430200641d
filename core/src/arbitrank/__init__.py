"""arbitrank: decides which of many independently built domains should answer a request.

    import arbitrank as ar

    arbitrator = ar.Arbitrator.from_installed()
    answer = arbitrator.answer("play mary poppins", device="tv")
    print(answer.decision.action, answer.best)

The names below are the public API, with the contract in `arbitrank.domain` and the toolkit in `arbitrank.learn` and
`arbitrank.nlu`. They are imported when they are first used, so that `import arbitrank` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arbitrank.arbitration.arbitrator import Arbitration, Arbitrator
    from arbitrank.arbitration.choose import Choice, choose
    from arbitrank.arbitration.decide import DecisionSettings
    from arbitrank.errors import ArbitrankError, ArtifactError, Conflict, DataError, InputError, PluginError, StoreError
    from arbitrank.evaluate import evaluate
    from arbitrank.importers.payloads import import_payload
    from arbitrank.live.live import Live
    from arbitrank.training.api import train
    from arbitrank.values import Answer, Decision, DomainReport, Example, Hypothesis, Ranked, Request, Slot, Truth

_MODULES = {
    "arbitration.arbitrator": ("Arbitration", "Arbitrator"),
    "arbitration.choose": ("Choice", "choose"),
    "arbitration.decide": ("DecisionSettings",),
    "importers.payloads": ("import_payload",),
    "live.live": ("Live",),
    "training.api": ("train",),
    "values": ("Answer", "Decision", "DomainReport", "Example", "Hypothesis", "Ranked", "Request", "Slot", "Truth"),
}

# fmt: off
__all__ = [
    "Answer", "ArbitrankError", "Arbitration", "Arbitrator", "ArtifactError", "Choice", "Conflict", "DataError",
    "Decision", "DecisionSettings", "DomainReport", "Example", "Hypothesis", "InputError", "Live", "PluginError",
    "Ranked", "Request", "Slot", "StoreError", "Truth", "choose", "evaluate", "import_payload",
    "train",
]
# fmt: on


def __getattr__(name: str) -> Any:
    if name == "evaluate":  # the package itself, which can be called
        return import_module("arbitrank.evaluate")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    value = getattr(import_module(f"arbitrank.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
