"""The open arbitration benchmark: systems that choose among domains, on eight public corpora, in one table.

Every system answers the same requests, and is judged by the same rules. Ours are R0, domains that were trained alone,
and one model over all domains; put in your own by files of its answers (docs/open-benchmark.md):

    python -m benchmarks.open --requests FOLDER                        writes the requests
    python -m benchmarks.open snips --system mine=answers/snips.jsonl  measures its answers beside ours

The corpora are read from ../shared/data; one that is absent is skipped, with the reason. Our recognisers' readings are
kept between commands (--cache), and where it is told, our systems' answers (--answers).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from arbitrank.errors import ArbitrankError, InputError
from benchmarks.common import CACHE, DATA, note, show
from benchmarks.open.answers import OURS, ROWS, Answers, our_answers
from benchmarks.open.contests import NAMES, Contest, contests, made
from benchmarks.open.entries import described, entered, read_answers, requests, write_lines, written
from benchmarks.open.measures import figures
from benchmarks.open.tables import print_tables

NAME = "open"


def kept_answers(contest: Contest, cache: Path, folder: Path | None, *, seed: int, jobs: int) -> dict[str, Answers]:
    """The answers of our systems: those in the folder where a command before has written them, else new ones."""
    if folder is None:
        return our_answers(contest, cache, seed=seed, jobs=jobs)
    paths = {name: folder / name.replace(" ", "-") / f"{contest.name}.jsonl" for name in ROWS}
    kept = {name: read_answers(path, contest) for name, path in paths.items() if path.is_file()}
    if OURS in kept and not any(one.missing for one in kept.values()):
        return kept
    found = our_answers(contest, cache, seed=seed, jobs=jobs)
    for name, one in found.items():
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        write_lines(paths[name], written(contest, one))
    return found


def measured(
    contest: Contest, own: Mapping[str, Path], cache: Path, *, seed: int = 0, jobs: int = 1, out: Path | None = None
) -> dict[str, Any]:
    """The figures of our systems and of those in the files on one contest; `out` is a folder that keeps ours."""
    entries = {name: read_answers(path, contest) for name, path in own.items()}
    for name, one in entries.items():
        if name in ROWS:
            raise InputError(f"--system {name}: one of our systems has this name; choose another")
        if one.missing:
            note(f"{contest.name}: {name}: {one.missing} of {len(contest.examples)} requests missing, counted as wrong")
    ours = kept_answers(contest, cache, out, seed=seed, jobs=jobs)
    found = figures(contest, {**ours, **entries}, OURS, seed)
    return {"about": contest.about, "measures": list(contest.measures), "entered": list(entries), **found}


def chosen_contests(chosen: argparse.Namespace, folder: Path) -> Iterator[Contest]:
    """The contests of the chosen corpora; one that is absent is noted and skipped."""
    if chosen.quick:
        yield from made(folder, chosen.seed)
        return
    for name in chosen.corpora:
        if (chosen.data / name).is_dir():
            yield from contests(name, chosen.data, chosen.seed)
        else:
            note(f"{name}: skipped, as {chosen.data / name} is not there")


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures by contest, or nothing where the requests are written out."""
    own, found = entered(chosen.system), dict[str, Any]()
    told: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
        for contest in chosen_contests(chosen, Path(folder)):
            told.append(described(contest))
            if chosen.requests:
                chosen.requests.mkdir(parents=True, exist_ok=True)
                write_lines(chosen.requests / f"{contest.name}.jsonl", requests(contest))
                continue
            cache = Path(folder) if chosen.quick else chosen.cache
            shared = {"seed": chosen.seed, "jobs": chosen.jobs, "out": chosen.answers}
            found[contest.name] = measured(contest, own.pop(contest.name, {}), cache, **shared)
    if chosen.requests:
        chosen.requests.mkdir(parents=True, exist_ok=True)
        write_lines(chosen.requests / "corpora.jsonl", told)
        note(f"wrote the requests of {len(told)} corpora into {chosen.requests}")
    elif own:
        names = ", ".join(found) or "none"
        raise InputError(f"--system: no such corpus measured: {', '.join(own)}; measured: {names}")
    return found


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The benchmark's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.open", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=NAMES, help=f"which to measure: {' '.join(NAMES)} (all)")
    parser.add_argument("--system", action="append", default=[], metavar="NAME=FILE", help="answers of a system")
    parser.add_argument("--requests", type=Path, metavar="FOLDER", help="write the requests, and measure nothing")
    parser.add_argument("--answers", type=Path, metavar="FOLDER", help="keep our systems' answers, and read those kept")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where readings are kept (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="two small made corpora; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--jobs", type=int, default=1, help="processes that work side by side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    chosen = parser.parse_args(argv)
    unknown = [name for name in chosen.corpora if name not in NAMES]
    if unknown:
        parser.error(f"no such corpus: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 2 where an option or a file is not as expected."""
    chosen = options(argv)
    try:
        with threadpool_limits(1):
            found = run(chosen)
    except ArbitrankError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not chosen.requests:
        show(NAME, chosen, found, print_tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
