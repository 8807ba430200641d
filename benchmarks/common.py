"""Common parts of the benchmarks: options, corpora that are recognised once and kept, printing of figures."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import arbitrank.nlu
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.merge import BestReadings, merge_heads, terms_of
from arbitrank.cli.progress import shown
from arbitrank.domain import Scores
from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.evaluate.hypotheses import Recognised, files, load, recognise_corpus
from arbitrank.evaluate.results import SystemResults, judge
from arbitrank.values import Hypothesis, Truth
from benchmarks.synthetic import synthetic_corpus

DATA = Path("../shared/data")
CACHE = Path(tempfile.gettempdir()) / "arbitrank-benchmarks"


@dataclass(frozen=True)
class Bench:
    """A corpus, and the file in which each domain's readings of it are kept."""

    corpus: Corpus
    paths: Mapping[str, Path]

    def readings(self, domain: str) -> Recognised:
        """The hypotheses of one domain; each call reads the file again, so that not all are in memory at once."""
        return load(self.paths[domain])


def options(
    doc: str | None, corpora: Sequence[str], argv: Sequence[str] | None = None, *, steps: int = 0, errors: bool = False
) -> argparse.Namespace:
    """The benchmark's options; its docstring is the help, `corpora` are the names that it measures by default.

    With `steps`, the number of steps in an ablation, there is an option for the last of them; with `errors`, one for
    the number of errors that are listed.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="*", default=corpora, help=f"folders, or names in --data; {' '.join(corpora)}")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where readings are kept (%(default)s)")
    parser.add_argument("--out", type=Path, help="write the plot as PNG into this folder")
    parser.add_argument("--quick", action="store_true", help="a small synthetic corpus; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--jobs", type=int, default=1, help="processes that work side by side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    if steps:
        parser.add_argument("--last", type=int, default=steps, help="measure only the last LAST steps (%(default)s)")
    if errors:
        parser.add_argument("--errors", type=int, default=0, help="list this many errors of each corpus (%(default)s)")
    return parser.parse_args(argv)


def benches(chosen: argparse.Namespace) -> Iterator[Bench]:
    """The chosen corpora, recognised; with --quick the synthetic one alone."""
    if chosen.quick:
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            yield Bench(*synthetic_corpus(Path(folder), seed=chosen.seed))
        return
    for name in chosen.corpora:
        folder = Path(name) if Path(name).is_dir() else chosen.data / name
        yield _recognised(folder, chosen.cache, chosen.jobs)


def _recognised(folder: Path, cache: Path, jobs: int) -> Bench:
    """The corpus in the folder, and its readings."""
    made_of = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl*")))
    return recognised(read_corpus(folder), made_of, cache, jobs)


def recognised(corpus: Corpus, made_of: bytes, cache: Path, jobs: int = 1) -> Bench:
    """The corpus and its readings; the readings are made again where the corpus or the recogniser has changed."""
    paths = kept_files(corpus, made_of, cache)
    kept = next(iter(paths.values())).parent
    if not all(path.is_file() for path in paths.values()):
        kept.mkdir(parents=True, exist_ok=True)
        with shown(corpus.name) as progress:
            recognise_corpus(corpus, kept, jobs=jobs, progress=progress)
    return Bench(corpus, paths)


def kept_files(corpus: Corpus, made_of: bytes, cache: Path) -> dict[str, Path]:
    """The file of each domain's readings in the cache, of a name of its own for this corpus and this recogniser."""
    digest = hashlib.sha256(made_of + recogniser_sources())
    return files(corpus, cache / f"{corpus.name}-{digest.hexdigest()[:12]}")


@lru_cache(maxsize=1)
def recogniser_sources() -> bytes:
    """The source of the modules of `arbitrank.nlu` that training and reading consist of, in the order of their names.

    Others, such as the checks of data files, can change without a change of the readings.
    """
    folder, found, left = Path(arbitrank.nlu.__path__[0]), dict[str, bytes](), ["training"]
    while left:
        name = left.pop()
        if name not in found:
            found[name] = (folder / f"{name}.py").read_bytes()
            left += re.findall(r"^\s*from arbitrank\.nlu\.(\w+) import", found[name].decode(), re.MULTILINE)
    return b"".join(found[name] for name in sorted(found))


def distribution(site: Path, name: str, plugin: str) -> None:
    """An installed distribution `arbitrank-NAME` with one module, for processes that find `site` on their path."""
    (site / f"arbitrank_{name}.py").write_text(plugin)
    info = site / f"arbitrank_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: arbitrank-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[arbitrank.domains.v1]\n{name} = arbitrank_{name}\n")


def show(
    name: str, chosen: argparse.Namespace, figures: Mapping[str, Any], print_table: Callable[[Mapping[str, Any]], None]
) -> None:
    """Print the figures, as JSON or as the benchmark's own table."""
    if chosen.json:
        print(json.dumps({"name": name, "figures": figures}))
    else:
        print_table(figures)


def note(text: str) -> None:
    """Print a line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heads, the first column to the left and all others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    print()


def between(mean: float, low: float, high: float, scale: float = 100.0, digits: int = 2) -> str:
    """A difference and its interval, with signs: "+0.31 [+0.02, +0.60]"."""
    return f"{scale * mean:+.{digits}f} [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]"


def results(
    hypotheses: Sequence[Sequence[Sequence[Hypothesis]]],
    scores: Sequence[Sequence[Scores | None]],
    truths: Sequence[Truth],
    *,
    none_counts: bool,
    decisions: DecisionSettings = DecisionSettings(),
    names: Sequence[str] = (),
) -> SystemResults:
    """Merge the domains' hypotheses and judge the head of each list, as `arbitrank.evaluate.results.judge` does.

    `hypotheses` and `scores` hold, for each domain in the order of `names`, those of each request.
    """
    domains = []
    for of_domain in scores:
        domains.append(BestReadings.empty(len(truths)))
        domains[-1].put(range(len(truths)), of_domain)
    heads = merge_heads(domains, decisions, terms=terms_of(decisions, names) if names else None)
    top = [None if d < 0 else hypotheses[d][i][k] for i, (d, k) in enumerate(zip(*heads[:2], strict=True))]
    return judge(heads, top, truths, decisions if none_counts else None)
