"""Time of an answer from text: this version, an older one, and recognisers built from other parts, in one run.

Three domains: the installed ones, with their shipped weights. Eighteen: recognisers of SLURP's scenarios with
re-rankers of random weights. Each version answers in a child process of its own; both take turns over 1,000 varied
requests, in processor time of the thread. Each turn gives a median of either; the median of their ratios counts. Both
have to decide the same, with the same first reading, its probability to 1e-6.

The peers of the three domains learn from the same examples and take the same turns: for each domain a scikit-learn
pipeline (TF-IDF of n-grams of words and characters, two logistic regressions) with python-crfsuite's tagger, which
gives one reading; padacioso, patterns without probabilities; padatious, where libfann is installed.

    python -m benchmarks.text ../before --python ../before/.venv/bin/python
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from arbitrank.evaluate.corpus import read_corpus
from arbitrank.nlu.training import encode_all, tagger_help, train_recogniser
from arbitrank.registry import discover, loaded
from arbitrank.values import Example
from benchmarks.common import CACHE, DATA, note, recogniser_sources, show, table
from benchmarks.text_peers import PEERS, Peer, Unavailable

NAME = "text"
REQUESTS = 1_000

_CHILD = """
import gc, json, sys, tempfile, time
from pathlib import Path
import numpy as np
from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.learn.reference import ReferenceDomain, ReferenceModel
from arbitrank.nlu.recogniser import Recogniser
from arbitrank.registry import discover, loaded
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Request
from benchmarks.predict import factored

if len(sys.argv) > 1:
    rng, served = np.random.default_rng(0), {}
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        model = ReferenceModel(ReferenceDomain(folder.name), Recogniser.load(folder), factored(folder.name, rng))
        served[folder.name] = Serving(model, "v1", "package")
else:
    with tempfile.TemporaryDirectory() as folder:
        served = load_domains(loaded(discover()), open_store(folder, environment={}))
arbitrator = Arbitrator(served)
contexts = ({}, {"device": "tv", "has_screen": True})
batch = [Request(utterance=text, context=contexts[i % 2]) for i, text in enumerate(json.loads(sys.stdin.readline()))]
answers = []
for request in batch:
    answer = arbitrator.answer(request)
    first = answer.ranked[0] if answer.ranked else None
    slots = [[s.name, s.value, s.start, s.end] for s in first.slots] if first else []
    decision = [answer.decision.action, answer.decision.contenders]
    answers.append([decision, first and [first.domain, first.intent, slots], first and first.probability])
print(json.dumps(answers), flush=True)
gc.collect()
for line in sys.stdin:
    begin, end = json.loads(line)
    times = []
    for request in batch[begin:end]:
        began = time.thread_time()
        arbitrator.answer(request)
        times.append(time.thread_time() - began)
    print(json.dumps(times), flush=True)
"""


class Answering:
    """A child process that answers requests by one version, from its own checkout and with its own interpreter.

    `folder`: one of recognisers, each named as its domain; the installed domains answer without it.
    """

    def __init__(self, checkout: Path, python: str, texts: Sequence[str], folder: Path | None = None) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._child = subprocess.Popen(
            [python, "-W", "ignore", "-c", _CHILD, *([str(folder)] if folder else [])],
            cwd=checkout,
            env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answers: list[tuple[str, Any, float | None]] = self._ask(list(texts))

    def _ask(self, line: Any) -> Any:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(json.dumps(line) + "\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def seconds(self, begin: int, end: int) -> list[float]:
        """Processor seconds of the thread for each of these requests."""
        times: list[float] = self._ask((begin, end))
        return times

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()


def different(ours: Sequence[Any], theirs: Sequence[Any]) -> list[int]:
    """The places of requests that are decided otherwise, or have another first reading or probability (to 1e-6)."""
    return [
        i
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
        if a[:2] != b[:2] or abs((a[2] or 0.0) - (b[2] or 0.0)) > 1e-6
    ]


def varied(texts: Sequence[str], n: int, seed: int = 0) -> list[str]:
    """Requests as they are, and with words left out, repeated, exchanged, in capitals, with marks, joined in twos."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        words = rng.choice(texts).split()
        at = rng.randrange(len(words) + 1)
        kinds = (
            words,
            words,
            words[:at] + words[at + 1 :],
            words[:at] + words[at - 1 :],
            words[:at] + rng.choice(texts).split()[-2:],
            [word.upper() for word in words],
            [*words, "?"],
            [*words, "and", *rng.choice(texts).split()],
        )
        made.append(" ".join(kinds[i % len(kinds)]) or "play")
    return made


def paired(sides: Mapping[str, Any], requests: int, turns: int) -> dict[str, np.ndarray]:
    """Median seconds of a request by turn for each side; all take turns, in another order each time."""
    size = max(20, requests // 20)
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        begin = turn * size % (requests - size + 1)
        order = list(sides) if turn % 2 else list(sides)[::-1]
        for name in order:
            found[name].append(float(np.median(sides[name].seconds(begin, begin + size))))
    return {name: np.array(times) for name, times in found.items()}


def compared(
    texts: Sequence[str], turns: int, other: tuple[Path, str] | None, folder: Path | None, peers: Sequence[Peer] = ()
) -> dict[str, Any]:
    """Microseconds of each side, and the median of its paired ratios to this version."""
    with ExitStack() as stack:
        here = stack.enter_context(Answering(Path.cwd(), sys.executable, texts, folder))
        sides: dict[str, Any] = {"this version": here}
        figures: dict[str, Any] = {"requests": len(texts)}
        if other:
            before = stack.enter_context(Answering(*other, texts, folder))
            sides["before"] = before
            figures["different"] = [texts[i] for i in different(here.answers, before.answers)]
        sides |= {peer.name: peer for peer in peers}
        for peer in peers:
            peer.texts = list(texts)
        took = paired(sides, len(texts), turns)
    ours = took["this version"]
    figures["sides"] = {
        name: {"p50_us": 1e6 * float(np.median(times)), "this_over_it": float(np.median(ours / times))}
        for name, times in took.items()
    }
    return figures


def slurp_recognisers(data: Path, cache: Path, *, quick: bool) -> tuple[Path, list[str]]:
    """A folder of recognisers of SLURP's eighteen scenarios, trained once, and its held-out utterances."""
    corpus = read_corpus(data / "slurp")
    train = corpus.train[::20] if quick else corpus.train
    made_of = b"".join(path.read_bytes() for path in sorted((data / "slurp").glob("*.jsonl*")))
    digest = hashlib.sha256(made_of + recogniser_sources() + bytes(quick)).hexdigest()[:12]
    folder = cache / f"text-slurp-{digest}"
    if not folder.is_dir():
        encoded = encode_all(train)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as part:
            for domain in corpus.domains:
                note(f"train the recogniser of {domain}")
                aid = tagger_help(domain, train, encoded=encoded)
                train_recogniser(domain, train, encoded=encoded, aid=aid).save(Path(part) / "all" / domain)
            (Path(part) / "all").rename(folder)
    return folder, _texts(corpus.held)


def _texts(examples: Sequence[Example]) -> list[str]:
    return [text for example in examples if (text := (example.request.utterance or "").strip())]


def prepared_peers(examples: Mapping[str, Sequence[Example]]) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can be installed here, trained, and the reasons of the others."""
    found, missing = [], {}
    for kind in PEERS:
        try:
            note(f"train {kind.name}")
            found.append(kind(examples))
        except Unavailable as error:
            missing[kind.name] = str(error)
            note(f"SKIPPED {kind.name}: {error}")
    return found, missing


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of three domains, and of eighteen where the data are there."""
    requests, turns = (200, 6) if chosen.quick else (REQUESTS, chosen.turns)
    other = (chosen.checkout, chosen.python) if chosen.checkout else None
    domains = loaded(discover())
    examples = {name: list(domain.examples()) for name, domain in domains.items()}
    peers, missing = prepared_peers(examples)
    own = varied([text for each in examples.values() for text in _texts(each)], requests)
    cases = [{"domains": f"{len(domains)} installed", **compared(own, turns, other, None, peers)}]
    if (chosen.data / "slurp").is_dir():
        folder, held = slurp_recognisers(chosen.data, chosen.cache, quick=chosen.quick)
        count = len(list(folder.iterdir()))
        cases.append({"domains": f"{count} of SLURP", **compared(varied(held, requests), turns, other, folder)})
    else:
        missing["SLURP"] = f"{chosen.data / 'slurp'} is not there; give --data"
    return {"cases": cases, "missing": missing}


def print_table(figures: Any) -> None:
    rows = []
    for case in figures["cases"]:
        for name, side in case["sides"].items():
            same = ""
            if name == "before":
                same = f"{case['requests'] - len(case['different'])} of {case['requests']}"
            rows.append((f"{case['domains']}, {name}", f"{side['p50_us']:.0f}", f"{side['this_over_it']:.2f}", same))
    table(("from text", "p50, µs", "this version / it", "same answers"), rows)
    for case in figures["cases"]:
        for text in case.get("different", ())[:10]:
            print(f"DIFFERENT: {text!r}")
    for name, reason in figures["missing"].items():
        print(f"SKIPPED {name}: {reason}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="?", help="folder of the other version's source")
    parser.add_argument("--python", help="interpreter in which the other version is installed")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where recognisers are kept (%(default)s)")
    parser.add_argument("--turns", type=int, default=60, help="paired batches a case (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few requests and turns; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    if bool(chosen.checkout) != bool(chosen.python):
        parser.error("give the checkout and --python together")
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
