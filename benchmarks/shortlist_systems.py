"""One system of `benchmarks.shortlist` on one task, in a process of its own, whose memory is measured.

    python -m benchmarks.shortlist_systems SYSTEM FOLDER SKILLS THREADS

trains the system on the task in FOLDER, asks it, and prints its figures as JSON: seconds of training, of the clock and
of the processor; median microseconds of the processor for a request; megabytes of the process at its largest; recall.
Where a system cannot be measured it prints the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.shortlist.artifact import load_shortlister, save_shortlister
from arbitrank.shortlist.catalogue import SkillCatalogue
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Request
from benchmarks.shortlist_data import Task

K = 10
RANKS = (1, 5, 10)
Ask = Callable[[str], Sequence[int]]

_WEIGHTS = 3e8  # of the support-vector machines, each 8 bytes
_PEAK = "peak_mb"
_UTTERANCES = 1_000_000  # that are in memory as such
_PECOS_SKILLS = 10_000
_TREE_SKILLS = 200_000  # of omikuji and napkinXC, which take hours over more


class CannotMeasure(Exception):
    """A system is not installed, or is not made for so many skills; the text says which."""


def resident_mb() -> float:
    """The memory of this process that is in use."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """The memory of this process at its largest; not by getrusage, which counts what the process was forked from."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6


@contextlib.contextmanager
def silent() -> Iterator[None]:
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


# ----------------------------------------------------------------------------------------------------------------- ours


def index(task: Task, threads: int) -> Ask:
    """The index alone, trained and written by a process of its own."""
    _in_own_process(task, _train_index)
    loaded = load_shortlister(task.folder / "index").index
    return lambda text: loaded.best(text, K)[0].tolist()


def _train_index(task: Task) -> None:
    from arbitrank.shortlist.index_training import train_index

    uses = None if task.catalogue is None else np.zeros(task.skills, np.int64)
    trained = train_index(task.texts, task.numbers, task.skills, uses=uses)
    names = tuple(f"skill {number}" for number in range(task.skills))
    save_shortlister(Shortlister(SkillCatalogue(names, ("world",) * task.skills), trained), task.folder / "index")


def shortlister(task: Task, threads: int) -> Ask:
    """The whole Shortlister: trained by the command on a catalogue, else on utterances, and loaded by this process."""
    folder = task.folder / "artifact"
    _in_own_process(task, _train_shortlister if task.catalogue is None else _command)
    loaded = load_shortlister(folder)
    if task.catalogue is None:
        return lambda text: [int(one.skill) for one in loaded.shortlist(text, K)]
    return lambda text: [loaded.catalogue.number(one.skill) or 0 for one in loaded.shortlist(text, K)]


def _train_shortlister(task: Task) -> None:
    from arbitrank.shortlist.build import SkillUtterance, build, write
    from arbitrank.shortlist.linear_training import can_train, train_linear

    if task.utterances > _UTTERANCES:
        raise CannotMeasure(f"{task.utterances:,} utterances, measured up to {_UTTERANCES:,}")
    lines = [
        SkillUtterance(text, str(number), "world", frozenset((str(number),)), Request(utterance=text))
        for text, number in zip(task.texts, task.numbers.tolist(), strict=True)
    ]
    write(build(lines, linear=train_linear if can_train(len(lines), task.skills) else None), task.folder / "artifact")


def _command(task: Task) -> None:
    from arbitrank.cli.main import cli

    options = ["--catalogue", str(task.catalogue), "--no-domains", "--out", str(task.folder / "artifact")]
    cli(["shortlist", "train", *options], standalone_mode=False)


def _in_own_process(task: Task, train: Callable[[Task], None]) -> None:
    """Train in a fresh process, so that this one has the memory of one that loads."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        peak = pool.submit(_trained, task, train).result()
    (task.folder / _PEAK).write_text(str(peak))


def _trained(task: Task, train: Callable[[Task], None]) -> float:
    with silent():
        train(task)
    return peak_mb()


# ---------------------------------------------------------------------------------------------------------------- peers


def vectors(task: Task) -> tuple[Any, Any]:
    """TF-IDF of words and pairs of words: its function, and the training texts as a sparse matrix."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    return weigh, weigh.fit_transform(task.texts)


def svm(task: Task, threads: int) -> Ask:
    """TF-IDF with scikit-learn's linear support-vector machines, one for each skill."""
    from sklearn.svm import LinearSVC

    weigh, x = vectors(task)
    size = task.skills * x.shape[1]
    if size > _WEIGHTS:
        raise CannotMeasure(f"{task.skills:,} machines of {x.shape[1]:,} weights would take {8 * size / 1e9:,.0f} GB")
    model = LinearSVC(C=0.5).fit(x, task.numbers)

    def ask(text: str) -> list[int]:
        scores = model.decision_function(weigh.transform([text]))[0]
        best = np.argpartition(-scores, K)[:K]
        return list(model.classes_[best[np.argsort(-scores[best])]].tolist())

    return ask


def bm25(task: Task, threads: int) -> Ask:
    """BM25 (bm25s) over the skills, each a document of all its texts."""
    bm25s = _installed("bm25s")
    documents: list[list[str]] = [[] for _ in range(task.skills)]
    for text, number in zip(task.texts, task.numbers.tolist(), strict=True):
        documents[number].append(text)
    joined = [" ".join(one) for one in documents]
    del documents
    model = bm25s.BM25()
    model.index(bm25s.tokenize(joined, stopwords=None, show_progress=False), show_progress=False)
    del joined

    def ask(text: str) -> list[int]:
        words = bm25s.tokenize([text], stopwords=None, show_progress=False, return_ids=False)
        return list(model.retrieve(words, k=K, show_progress=False)[0][0].tolist())

    return ask


def fasttext(task: Task, threads: int) -> Ask:
    """fastText's supervised classifier: hierarchical softmax over many skills, plain softmax over few."""
    library = _installed("fasttext")
    many, numbers = task.skills > 1_000, task.numbers.tolist()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"__label__{s} {t.lower()}\n" for t, s in zip(task.texts, numbers, strict=True))
        file.flush()
        with silent():
            model = library.train_supervised(
                file.name,
                loss="hs" if many else "softmax",
                epoch=5 if len(numbers) >= 100_000 else 25,
                lr=0.5 if many else 1.0,
                wordNgrams=2,
                dim=100,
                thread=threads,
                verbose=0,
            )

    def ask(text: str) -> list[int]:
        # `predict` of the Python class makes an array in a way that NumPy 2 refuses; this is what it calls.
        return [int(label.removeprefix("__label__")) for _, label in model.f.predict(f"{text.lower()}\n", K, 0.0, "")]

    return ask


def omikuji(task: Task, threads: int) -> Ask:
    """omikuji's forest of linear models, with its default hyper-parameters."""
    _few(task, _TREE_SKILLS)
    library = _installed("omikuji")
    weigh, x = vectors(task)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".txt") as file:
        file.write(f"{x.shape[0]} {x.shape[1]} {task.skills}\n")
        for row, skill in enumerate(task.numbers.tolist()):
            pairs = " ".join(f"{column}:{value:.4f}" for column, value in sorted(_row(x, row)))
            file.write(f"{skill} {pairs}\n")
        file.flush()
        with silent():
            model = library.Model.train_on_data(file.name, library.Model.default_hyper_param(), n_threads=threads)
    return lambda text: [label for label, _ in model.predict(_row(weigh.transform([text]), 0), top_k=K)]


def napkinxc(task: Task, threads: int) -> Ask:
    """napkinXC's probabilistic label trees, with its default hyper-parameters."""
    _few(task, _TREE_SKILLS)
    models = _installed("napkinxc.models")
    weigh, x = vectors(task)
    model = models.PLT(tempfile.mkdtemp(dir=task.folder), threads=threads, verbose=False)
    with silent():
        model.fit(x, task.numbers.astype(np.int32))
    return lambda text: list(model.predict(weigh.transform([text]), top_k=K)[0])


def pecos(task: Task, threads: int) -> Ask:
    """PECOS' linear model over a tree of labels, with its default hyper-parameters, up to 10,000 skills."""
    import scipy.sparse as sp

    _few(task, _PECOS_SKILLS)
    xmc, linear = _installed("pecos.xmc"), _installed("pecos.xmc.xlinear.model")
    weigh, x = vectors(task)
    x, numbers = sp.csr_matrix(x), task.numbers
    y = sp.csr_matrix(
        (np.ones(len(numbers), np.float32), (np.arange(len(numbers)), numbers)), (len(numbers), task.skills)
    )
    chain = xmc.Indexer.gen(xmc.LabelEmbeddingFactory.create(y, x, method="pifa"), threads=threads)
    model = linear.XLinearModel.train(x, y, C=chain, threads=threads)

    def ask(text: str) -> list[int]:
        said = model.predict(sp.csr_matrix(weigh.transform([text])), only_topk=K, threads=1)
        return list(said.indices[np.argsort(-said.data)].tolist())

    return ask


def _installed(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise CannotMeasure(f"{sys.executable}: {error}; see requirements-bench.txt") from error


def _few(task: Task, most: int) -> None:
    if task.skills > most:
        raise CannotMeasure(f"{task.skills:,} skills, measured up to {most:,}")


def _row(x: Any, row: int) -> list[tuple[int, float]]:
    begin, end = x.indptr[row], x.indptr[row + 1]
    return list(zip(x.indices[begin:end].tolist(), x.data[begin:end].tolist(), strict=True))


SYSTEMS: dict[str, Callable[[Task, int], Ask]] = {
    "Shortlister": shortlister,
    "index": index,
    "TF-IDF and linear SVM": svm,
    "BM25": bm25,
    "fastText": fasttext,
    "omikuji": omikuji,
    "napkinXC": napkinxc,
    "PECOS": pecos,
}
"""The systems by name."""

OURS = ("Shortlister", "index")
"""Those that are loaded from what another process has trained."""


def figures(system: str, task: Task, threads: int) -> dict[str, Any]:
    """The figures of a system, or under `skipped` why there are none."""
    began, busy = time.perf_counter(), _cpu()
    try:
        ask = SYSTEMS[system](task, threads)
    except CannotMeasure as reason:
        return {"skipped": str(reason)}
    found: dict[str, Any] = {"train_s": time.perf_counter() - began, "train_cpu_s": _cpu() - busy}
    if system in OURS:
        found["loaded_mb"] = resident_mb()
    asked, right, alike = task.asked, task.right, task.alike
    for text in asked[:100]:
        ask(text)
    rows, took = [], []
    for text in asked:
        at = time.process_time_ns()
        row = ask(text)
        took.append(time.process_time_ns() - at)
        rows.append(alike[list(row)] if len(row) else np.empty(0, np.int64))
    found["query_us"] = float(np.median(took)) / 1e3
    hits = np.zeros((len(rows), K), np.bool_)
    for place, (row, skill) in enumerate(zip(rows, alike[right], strict=True)):
        hits[place, : len(row)] = row == skill
    found["recall"] = {str(k): float(hits[:, :k].any(axis=1).mean()) for k in RANKS}
    trained = float((task.folder / _PEAK).read_text()) if system in OURS else 0.0
    return {**found, "peak_mb": max(peak_mb(), trained)}


def _cpu() -> float:
    """Seconds of the processor, those of ended child processes included."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    system, folder, skills, threads = sys.argv[1:5]
    print(json.dumps(figures(system, Task(Path(folder), int(skills)), int(threads))))


if __name__ == "__main__":
    main()
