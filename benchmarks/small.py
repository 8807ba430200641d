"""Many domains that have few requests: domains trained alone and merged, compared as in `benchmarks.independence`.

clinc150's intents stand for domains: some of them, drawn at random, with 2,000 training requests in all, drawn as
well, and the held-out requests of the same intents. No request is out of scope.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.values import Example, Truth
from benchmarks import independence
from benchmarks.common import options, recognised, show

NAME = "small"
CORPUS = "clinc150"
DOMAINS = (29, 89)
REQUESTS = 2_000


def small(corpus: Corpus, domains: int, requests: int, seed: int) -> Corpus:
    """As many of a corpus's intents, as domains, with as many training requests."""
    rng = np.random.default_rng([seed, domains])
    intents = sorted({one.truth.intent for one in corpus.train if one.truth.domain and one.truth.intent})
    kept = sorted(intents[i] for i in rng.choice(len(intents), domains, replace=False))
    train = [one for one in corpus.train if one.truth.intent in kept]
    drawn = sorted(rng.choice(len(train), min(requests, len(train)), replace=False))
    held = [_owned(one) for one in corpus.held if one.truth.intent in kept]
    name = f"{corpus.name}, {domains} domains"
    return Corpus(name, tuple(kept), tuple(_owned(train[i]) for i in drawn), (), tuple(held), corpus.split, ())


def _owned(example: Example) -> Example:
    """The example as a request to the domain that its intent stands for."""
    return replace(example, truth=Truth(example.truth.intent, example.truth.intent))


def figures(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of each number of domains."""
    folder: Path = chosen.data / CORPUS
    whole = read_corpus(folder)
    made_of = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl*")))
    found = {}
    for domains in DOMAINS[:1] if chosen.quick else DOMAINS:
        corpus = small(whole, domains, REQUESTS, chosen.seed)
        bench = recognised(corpus, made_of + str((domains, chosen.seed)).encode(), chosen.cache, chosen.jobs)
        found[corpus.name] = independence.measured(bench, chosen.seed, chosen.out, chosen.jobs)
    return found


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__, (CORPUS,))
    show(NAME, chosen, figures(chosen), independence.print_table)


if __name__ == "__main__":
    main()
