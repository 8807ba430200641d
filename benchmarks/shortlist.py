"""Cost and recall of the Shortlister among 100,000 skills, beside fastText, omikuji and PECOS.

1,000,000 utterances are generated over 100,000 skills. A skill's popularity follows a power law (exponent 0.8), so that
most skills have a handful of utterances. A skill has 16 words: those of a topic that it shares with about 200 others,
and four of its own, which other skills have too, since all come from one vocabulary of 30,000 words; two of them, in
order, are its name. An utterance is two to four words drawn from its skill's, sometimes the name, among one to four
uninformative common words, and sometimes a random word. Words are drawn independently, which favours methods that add
up evidence word by word, as the index and linear models do; order matters only in names. Nothing is misspelt or
inflected, so character n-grams have no advantage.

All systems train on the same utterances and are queried with the same others. Peers get words and pairs of words:
fastText as `wordNgrams=2` with hierarchical softmax (5 epochs; 25 where there are under 100,000 utterances), omikuji
and PECOS as TF-IDF with their default hyper-parameters. PECOS needs NumPy 1, so it is run by another interpreter where
`--pecos PYTHON` names one that has it. Then the same on clinc150's 150 intents, train to dev. Last, requests to 1,000
generated domains are answered with a shortlist of 10, and by all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arbitrank.arbitration.arbitrator import Arbitrator, Serving
from arbitrank.domain import Model, Scores, Skill
from arbitrank.shortlist.artifact import load_shortlister, save_shortlister
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.index import train_index
from arbitrank.shortlist.shortlister import Shortlister, Shortlisting
from arbitrank.values import Hypothesis, Request
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.requests import read_examples
from benchmarks.common import DATA, show, table

NAME = "shortlist"
K = 10
Texts = Sequence[str]
Numbers = NDArray[np.int64]

_BLOCK = 25  # requests after which the other way is measured
_COMMON, _TOPIC, _SHARED, _OWN = 150, 60, 12, 4


class World:
    """Skills, their words, and utterances for them; see the module's docstring."""

    def __init__(self, skills: int, *, vocabulary: int = 30_000, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.skills, self.words = skills, _words(vocabulary, rng)
        self.popularity, self.common = _power(skills, 0.8), _power(_COMMON, 1.0)
        frequency = _power(vocabulary - _COMMON, 0.7)
        topics = rng.choice(vocabulary - _COMMON, (max(5, skills // 200), _TOPIC), p=frequency) + _COMMON
        of_topic = topics[rng.integers(0, len(topics), skills)]
        shared = np.take_along_axis(of_topic, rng.integers(0, _TOPIC, (skills, _SHARED)), 1)
        own = rng.choice(vocabulary - _COMMON, (skills, _OWN), p=frequency) + _COMMON
        self.names = own[:, :2]
        self.profile = np.concatenate((own[:, :2], shared[:, :6], own[:, 2:], shared[:, 6:]), axis=1)

    def draw(self, n: int, seed: int) -> tuple[list[str], Numbers]:
        """Utterances and the number of the skill of each."""
        rng = np.random.default_rng(seed)
        skills = rng.choice(self.skills, n, p=self.popularity)
        informative = self.profile[skills[:, None], rng.choice(16, (n, 4), p=_power(16, 0.7))]
        common = rng.choice(_COMMON, (n, 4), p=self.common)
        counts, fills = rng.integers(2, 5, n).tolist(), rng.integers(1, 5, n).tolist()
        named, noisy = (rng.random(n) < 0.25).tolist(), (rng.random(n) < 0.15).tolist()
        noise = rng.integers(_COMMON, len(self.words), n).tolist()
        texts = []
        for row, skill in enumerate(skills.tolist()):
            half = (fills[row] + 1) // 2
            words = common[row, :half].tolist()
            words += self.names[skill].tolist() if named[row] else []
            words += informative[row, : counts[row] - named[row]].tolist()
            words += common[row, half : fills[row]].tolist() + ([noise[row]] if noisy[row] else [])
            texts.append(" ".join([self.words[word] for word in words]))
        return texts, skills


def _words(n: int, rng: np.random.Generator) -> list[str]:
    syllables = [c + v for c in "bcdfghjklmnprstvz" for v in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(syllables[i] for i in rng.integers(0, len(syllables), rng.integers(2, 5)))] = None
    return list(found)


def _power(n: int, exponent: float) -> NDArray[np.float64]:
    weights = np.arange(1, n + 1) ** -exponent
    return weights / weights.sum()


# ------------------------------------------------------------------------------------------------------------ measuring


def resident_mb() -> float:
    """The memory of this process that is in use."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def recall(found: Sequence[Sequence[int]], skills: Sequence[int]) -> float:
    """The share of the utterances whose skill is among the first 10."""
    return float(np.mean([skill in row[:K] for row, skill in zip(found, skills, strict=True)]))


def timed(ask: Callable[[str], Any], texts: Texts) -> tuple[list[Any], float]:
    """The result for each utterance, and the median microseconds."""
    found, took = [], []
    for text in texts:
        began = time.perf_counter()
        found.append(ask(text))
        took.append(time.perf_counter() - began)
    return found, 1e6 * float(np.median(took))


def index_figures(texts: Texts, skills: Numbers, n: int, asked: Texts, right: Numbers) -> dict[str, Any]:
    """Figures of the index: recall, microseconds per query, seconds of training, megabytes of a freshly loaded one."""
    began, busy = time.perf_counter(), time.process_time()
    index = train_index(texts, skills, n)
    figures: dict[str, Any] = {"train_s": time.perf_counter() - began, "train_cpu_s": time.process_time() - busy}
    names = tuple(f"skill {number}" for number in range(n))
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        save_shortlister(Shortlister(SkillCatalogue(names, ("world",) * n), index), Path(folder))
        del index, names
        loaded = subprocess.run(
            [sys.executable, "-c", _LOADS, folder], check=True, capture_output=True, text=True, timeout=600
        )
        shortlister = load_shortlister(Path(folder))
    figures["memory_mb"] = float(loaded.stdout)
    index = shortlister.index
    for text in asked[:200]:
        index.best(text, K)
    found, figures["query_us"] = timed(lambda text: index.best(text, K)[0].tolist(), asked)
    figures["recall10"] = recall(found, right.tolist())
    shortlister.shortlist(asked[0], K)
    figures["shortlist_us"] = timed(lambda text: shortlister.shortlist(text, K), asked[:2_000])[1]
    figures |= changes(shortlister)
    return figures


_LOADS = """
import sys
from pathlib import Path
from arbitrank.shortlist.artifact import load_shortlister
from benchmarks.shortlist import resident_mb
before = resident_mb()
shortlister = load_shortlister(Path(sys.argv[1]))
shortlister.shortlist("one two three")
shortlister.catalogue.number("no such skill")
print(resident_mb() - before)
"""


def changes(shortlister: Shortlister, times: int = 50) -> dict[str, float]:
    """Median milliseconds to add and to remove a skill, and 1 where each change took effect at once."""
    adding, removing, found = [], [], True
    for turn in range(times):
        skill = Skill(f"new {turn}", "what is the tide at the pier", (f"tell me the tide at pier {turn}", "high tide"))
        began = time.perf_counter()
        more = shortlister.with_skills({"tides": [skill]})
        adding.append(time.perf_counter() - began)
        found = found and more.shortlist("when is high tide at the pier", 1)[0].skill == skill.name
        began = time.perf_counter()
        less = more.without([skill.name])
        removing.append(time.perf_counter() - began)
        found = found and all(one.skill != skill.name for one in less.shortlist("when is high tide at the pier"))
    return {"add_ms": 1e3 * _median(adding), "remove_ms": 1e3 * _median(removing), "visible_at_once": float(found)}


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


# ---------------------------------------------------------------------------------------------------------------- peers


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Redirect the output of native libraries, which do not print through Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept, nowhere = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        for place, one in enumerate(kept, 1):
            os.dup2(one, place)
            os.close(one)
        os.close(nowhere)


def fasttext_figures(texts: Texts, skills: Numbers, asked: Texts, right: Numbers, threads: int) -> dict[str, Any]:
    """fastText's supervised classifier: hierarchical softmax over many skills, plain softmax over few."""
    try:
        import fasttext
    except ImportError as error:
        return {"skipped": f"{error}; run: pip install -r requirements-bench.txt"}
    many, much = int(skills.max()) >= 1_000, len(texts) >= 100_000
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        path = Path(folder) / "train.txt"
        path.write_text("".join(f"__label__{s} {t.lower()}\n" for t, s in zip(texts, skills.tolist(), strict=True)))
        began = time.perf_counter()
        with _silent():
            model = fasttext.train_supervised(
                str(path),
                loss="hs" if many else "softmax",
                epoch=5 if much else 25,
                lr=0.5 if many else 1.0,
                wordNgrams=2,
                dim=100,
                thread=threads,
                verbose=0,
            )
        took = time.perf_counter() - began
    # `predict` of the Python class makes an array in a way that NumPy 2 refuses; this is what it calls.
    found, us = timed(lambda text: model.f.predict(f"{text.lower()}\n", K, 0.0, "strict"), asked)
    rows = [[int(label.removeprefix("__label__")) for _, label in row] for row in found]
    return {"train_s": took, "query_us": us, "recall10": recall(rows, right.tolist())}


def tfidf(texts: Texts, asked: Texts) -> tuple[Any, Any]:
    """Words and pairs of words, as sparse matrices."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    return weigh.fit_transform(texts), weigh.transform(asked)


def omikuji_figures(x: Any, skills: Numbers, n: int, z: Any, right: Numbers, threads: int) -> dict[str, Any]:
    """omikuji's forest of linear models, with its default hyper-parameters."""
    try:
        import omikuji
    except ImportError as error:
        return {"skipped": f"{error}; run: pip install -r requirements-bench.txt"}
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        path = Path(folder) / "train.txt"
        with path.open("w", encoding="ascii") as file:
            file.write(f"{x.shape[0]} {x.shape[1]} {n}\n")
            for row, skill in enumerate(skills.tolist()):
                pairs = " ".join(f"{column}:{value:.4f}" for column, value in sorted(_row(x, row)))
                file.write(f"{skill} {pairs}\n")
        began = time.perf_counter()
        with _silent():
            model = omikuji.Model.train_on_data(str(path), omikuji.Model.default_hyper_param(), n_threads=threads)
        took = time.perf_counter() - began
    rows, times = [], []
    for row in range(z.shape[0]):
        began = time.perf_counter()
        rows.append([label for label, _ in model.predict(_row(z, row), top_k=K)])
        times.append(time.perf_counter() - began)
    return {"train_s": took, "query_us": 1e6 * _median(times), "recall10": recall(rows, right.tolist())}


def _row(x: Any, row: int) -> list[tuple[int, float]]:
    begin, end = x.indptr[row], x.indptr[row + 1]
    return list(zip(x.indices[begin:end].tolist(), x.data[begin:end].tolist(), strict=True))


_PECOS = """
import json, sys, time
import numpy as np, scipy.sparse as sp
from pecos.xmc import Indexer, LabelEmbeddingFactory
from pecos.xmc.xlinear.model import XLinearModel
folder, n, k, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
x, z = (sp.load_npz(f"{folder}/{name}.npz").tocsr().astype(np.float32) for name in "xz")
skills = np.load(f"{folder}/skills.npy")
y = sp.csr_matrix((np.ones(len(skills), np.float32), (np.arange(len(skills)), skills)), (len(skills), n))
began = time.perf_counter()
chain = Indexer.gen(LabelEmbeddingFactory.create(y, x, method="pifa"), threads=threads)
model = XLinearModel.train(x, y, C=chain, threads=threads)
took = time.perf_counter() - began
said = model.predict(z, only_topk=k, threads=1)
rows = [said.indices[a:b][np.argsort(-said.data[a:b])].tolist() for a, b in zip(said.indptr, said.indptr[1:])]
times = []
for row in range(min(500, z.shape[0])):
    one = z[row]
    began = time.perf_counter()
    model.predict(one, only_topk=k, threads=1)
    times.append(time.perf_counter() - began)
print(json.dumps({"train_s": took, "query_us": 1e6 * float(np.median(times)), "rows": rows}))
"""


def pecos_figures(
    python: str | None, x: Any, skills: Numbers, n: int, z: Any, right: Numbers, threads: int
) -> dict[str, Any]:
    """PECOS' linear model over a tree of labels, with its default hyper-parameters, in an interpreter that has it."""
    if python is None:
        return {"skipped": "it needs NumPy 1 and PyTorch; name an interpreter that has it: --pecos PYTHON"}
    import json

    import scipy.sparse as sp

    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        sp.save_npz(f"{folder}/x.npz", x)
        sp.save_npz(f"{folder}/z.npz", z)
        np.save(f"{folder}/skills.npy", skills)
        command = [python, "-c", _PECOS, folder, str(n), str(K), str(threads)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return {"skipped": f"{python}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"}
    found = json.loads(done.stdout.splitlines()[-1])
    rows = found.pop("rows")
    return {**found, "recall10": recall(rows, right.tolist())}


def compared(
    texts: Texts, skills: Numbers, n: int, asked: Texts, right: Numbers, chosen: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """The index and every peer, on the same utterances."""
    systems = {"index": index_figures(texts, skills, n, asked, right)}
    _note(chosen, "index", systems["index"])
    if chosen.peers:
        systems["fastText"] = fasttext_figures(texts, skills, asked, right, chosen.jobs)
        _note(chosen, "fastText", systems["fastText"])
        x, z = tfidf(texts, asked)
        systems["omikuji"] = omikuji_figures(x, skills, n, z, right, chosen.jobs)
        _note(chosen, "omikuji", systems["omikuji"])
        systems["PECOS"] = pecos_figures(chosen.pecos, x, skills, n, z, right, chosen.jobs)
        _note(chosen, "PECOS", systems["PECOS"])
        del x, z
        gc.collect()
    return systems


def _note(chosen: argparse.Namespace, name: str, figures: Mapping[str, Any]) -> None:
    if not chosen.quick:
        print(
            name,
            {key: value if isinstance(value, str) else round(value, 4) for key, value in figures.items()},
            file=sys.stderr,
            flush=True,
        )


def over_best(systems: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The index's recall over that of the best peer; None where none was measured."""
    peers = [one["recall10"] for name, one in systems.items() if name != "index" and "recall10" in one]
    return systems["index"]["recall10"] / max(peers) if peers else None


def clinc(folder: Path) -> tuple[list[str], Numbers, int, list[str], Numbers] | None:
    """clinc150's in-scope intents as skills; None where the corpus is not present."""
    if not (folder / "train.jsonl.gz").is_file():
        return None
    parts = []
    for split in ("train", "dev"):
        lines = [one for one in read_examples(folder / f"{split}.jsonl.gz") if not isinstance(one, BadLine)]
        inside = [one for one in lines if one.truth.domain is not None]
        parts.append([(one.request.utterance or "", one.truth.intent or "") for one in inside])
    numbers = {name: i for i, name in enumerate(sorted({intent for _, intent in parts[0]}))}
    sides = [([t for t, _ in part], np.array([numbers[intent] for _, intent in part])) for part in parts]
    return sides[0][0], sides[0][1], len(numbers), sides[1][0], sides[1][1]


# ----------------------------------------------------------------------------------------------------------- end to end


class Echo(Model):
    """A generated domain with one reading, whose confidence is the share of known words."""

    def __init__(self, name: str, words: frozenset[str]) -> None:
        self.name, self.words = name, words

    def recognise(self, request: Request) -> Sequence[Hypothesis]:
        words = (request.utterance or "").split()
        share = sum(word in self.words for word in words) / max(1, len(words))
        return (Hypothesis(self.name, "Do", domain_confidence=share, intent_confidence=0.9, slots_confidence=0.9),)

    def rerank(self, request: Request) -> Scores:
        assert request.hypotheses
        mine = request.hypotheses[0].domain_confidence or 0.0
        return Scores(mine, np.array([0.9 * mine]))


def end_to_end(domains: int, utterances: int, asked: int, seed: int = 0) -> dict[str, float]:
    """Microseconds of an answer and accuracy of its first reading, with all domains and with a shortlist of 10."""
    world = World(domains, seed=seed)
    texts, skills = world.draw(utterances, seed + 1)
    names = tuple(f"domain-{number}" for number in range(domains))
    serving = {
        name: Serving(Echo(name, frozenset(world.words[word] for word in words)), "0", "package")
        for name, words in zip(names, world.profile.tolist(), strict=True)
    }
    shortlister = Shortlister(SkillCatalogue(names, names), train_index(texts, skills, domains))
    ways = {"all": Arbitrator(serving), "listed": Arbitrator(serving, shortlisting=Shortlisting(shortlister))}
    tested, right = world.draw(asked, seed + 2)
    took: dict[str, list[float]] = {way: [] for way in ways}
    firsts: dict[str, list[str | None]] = {way: [] for way in ways}
    for arbitrator in ways.values():
        arbitrator.prepare()
        arbitrator.answer(Request(utterance=tested[0]))
    for first in range(0, len(tested), _BLOCK):  # in turn, so that both see the same machine
        for way, arbitrator in ways.items():
            for text in tested[first : first + _BLOCK]:
                began = time.perf_counter()
                answer = arbitrator.answer(Request(utterance=text))
                took[way].append(time.perf_counter() - began)
                firsts[way].append(answer.ranked[0].domain if answer.ranked else None)
    truth = [names[number] for number in right.tolist()]
    return {
        "domains": domains,
        "all_us": 1e6 * _median(took["all"]),
        "listed_us": 1e6 * _median(took["listed"]),
        "all_over_listed": _median(took["all"]) / _median(took["listed"]),
        "right_all": float(np.mean([a == b for a, b in zip(firsts["all"], truth, strict=True)])),
        "right_listed": float(np.mean([a == b for a, b in zip(firsts["listed"], truth, strict=True)])),
    }


# ------------------------------------------------------------------------------------------------------------- figures


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    world = World(chosen.skills, seed=chosen.seed)
    texts, skills = world.draw(chosen.utterances, chosen.seed + 1)
    asked, right = world.draw(chosen.asked, chosen.seed + 2)
    systems = compared(texts, skills, chosen.skills, asked, right, chosen)
    del world, texts
    gc.collect()
    index = systems["index"]
    figures: dict[str, Any] = {
        "skills": chosen.skills,
        "utterances": chosen.utterances,
        "query_us_100k": index["query_us"],
        "train_s_100k": index["train_s"],
        "memory_mb": index["memory_mb"],
        "recall10_over_best_peer": over_best(systems),
        "systems": systems,
    }
    corpus = clinc(chosen.data / "clinc150")
    if corpus:
        figures["clinc150"] = compared(*corpus, chosen)
        figures["clinc150_recall10_over_best_peer"] = over_best(figures["clinc150"])
    figures["end_to_end"] = end_to_end(chosen.domains, 20 * chosen.domains, 50 if chosen.quick else 300)
    return figures


def print_table(figures: Mapping[str, Any]) -> None:
    world = f"{figures['skills']} skills, {figures['utterances']} utterances"
    for title, systems in ((world, figures["systems"]), ("clinc150, 150 intents", figures.get("clinc150"))):
        if not systems:
            continue
        print(title)
        rows = [
            (name, f"{one['recall10']:.4f}", f"{one['query_us']:.0f}", f"{one['train_s']:.1f}")
            for name, one in systems.items()
            if "recall10" in one
        ]
        table(("", "recall@10", "µs per query", "s of training"), rows)
        for name, one in systems.items():
            if "skipped" in one:
                print(f"{name}: not measured: {one['skipped']}")
        index = systems["index"]
        print(
            f"index: {index['train_cpu_s']:.1f} s of the processor to train, {index['memory_mb']:.0f} MB more once "
            f"loaded; whole shortlist {index['shortlist_us']:.0f} µs; a skill added in {index['add_ms']:.2f} ms, "
            f"removed in {index['remove_ms']:.2f} ms, effective at once: {bool(index['visible_at_once'])}\n"
        )
    one = figures["end_to_end"]
    print(
        f"{one['domains']} domains: {one['all_us']:.0f} µs with all queried, {one['listed_us']:.0f} µs with a "
        f"shortlist of 10, {one['all_over_listed']:.1f} times faster; right first: {one['right_all']:.3f} and "
        f"{one['right_listed']:.3f}"
    )


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 skills and 20,000 utterances; within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--skills", type=int, default=100_000, help="(%(default)s)")
    parser.add_argument("--utterances", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--asked", type=int, default=5_000, help="utterances to query with (%(default)s)")
    parser.add_argument("--domains", type=int, default=1_000, help="of the end-to-end run (%(default)s)")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="measure the index alone")
    parser.add_argument("--pecos", metavar="PYTHON", help="an interpreter that has libpecos")
    parser.add_argument("--jobs", type=int, default=1, help="threads that the peers train with (%(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.skills, chosen.utterances, chosen.asked, chosen.domains = 2_000, 20_000, 1_000, 200
        chosen.data = Path(os.devnull)
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    chosen = options(argv)
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
