"""Lines of data from examples: the inverse of `decode_example`."""

from __future__ import annotations

from typing import Any

import msgspec

from arbitrank.values import Example

__all__ = ["example_line"]


def example_line(example: Example) -> dict[str, Any]:
    """The line of an example: of a corpus where it has an utterance, one truth and no hypotheses, else with its truth.

    Further keys of the line that it was read from follow.
    """
    request, truth = msgspec.to_builtins(example.request), msgspec.to_builtins(example.truth)
    request.pop("refused", None)
    several = example.truth.also or example.truth.domains is not None
    if several or example.request.hypotheses is not None or set(request) & {"utterances", "utterance_length"}:
        return {**request, "truth": {"domain": None, **truth}, **example.extra}
    text = {"text": request.pop("utterance", "")}
    name = {"id": request.pop("id")} if "id" in request else {}
    return {**name, **text, "domain": None, **truth, **request, **example.extra}
