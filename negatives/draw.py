"""Draws the requests that the package ships from the patterns beside this file: `python draw.py` writes them anew.

The same patterns give the same file. It needs arbitrank, which reading the file does not.
"""

from __future__ import annotations

import json
from pathlib import Path

from arbitrank.nlu.patterns import generate

HERE = Path(__file__).parent
FILE = HERE / "src" / "arbitrank_negatives" / "negatives.jsonl"


def drawn() -> str:
    """The lines of the file: a corpus of requests out of scope, each with its topic."""
    return "".join(
        json.dumps(
            {
                "id": example.request.id.replace("negatives-none-", ""),
                "text": example.request.utterance,
                "domain": None,
                "topic": example.extra["kind"],
            },
            ensure_ascii=False,
        )
        + "\n"
        for example in generate(HERE / "patterns", "negatives")
    )


if __name__ == "__main__":
    FILE.write_text(drawn(), encoding="utf-8", newline="")
