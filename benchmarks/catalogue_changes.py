"""Catalogues of skills: reading a large one, and changing one while it is served.

`reading` writes a generated catalogue (25 skills of an owner, one in five with a name of four owners, descriptions of
fourteen words of a vocabulary of 60,000) and reads it as `shortlist train --catalogue` does: time and the process's
largest memory, then the training of its index. `changing` trains on a catalogue, follows its store twice, and adds
skills one at a time after as many as `--before` names: until the skill is found in the process that adds it, until the
log keeps it, and until another process that looks finds it. Medians over twenty changes, in milliseconds of the clock
and (`cpu`) of the processor.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import msgspec

from arbitrank.importers.catalogues import listed_skills
from arbitrank.live.live import Live
from arbitrank.shortlist.build import build, write
from arbitrank.shortlist.gathering import ListedSkills, gather_skills
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.catalogue_log import append_changes
from arbitrank.store.store import Store, open_store
from arbitrank.wire.catalogue_lines import CatalogueSkill
from benchmarks.common import table

_CHANGES = 20


def generated(n: int, seed: int = 0, prefix: str = "skill") -> list[CatalogueSkill]:
    """Skills of made-up words, 25 of an owner; one in five has a name that three more owners have."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvz", k=rng.randint(3, 9))) for _ in range(60_000)]
    return [
        CatalogueSkill(
            f"{prefix}_{i}" if i % 5 else f"shared_{prefix}_{i // 5 % max(5, n // 20)}",
            f"owner{i // 25}",
            " ".join(rng.choices(words, k=14)),
        )
        for i in range(n)
    ]


def reading(n: int, folder: Path) -> dict[str, float]:
    """Seconds to read a catalogue file and to train on it, and the megabytes that the process took at most."""
    path = folder / "skills.jsonl"
    with path.open("wb") as file:
        for one in generated(n):
            file.write(msgspec.json.encode(one) + b"\n")
    began = perf_counter()
    gathered = gather_skills(listed_skills(path, []))
    read = perf_counter() - began
    memory = _megabytes()
    del gathered
    began = perf_counter()
    trained = build([], listed=ListedSkills(listed_skills(path, [])))
    return {
        "skills": len(trained.skills),
        "clashing_names": len(trained.skills.clashing),
        "file_mb": path.stat().st_size / 1e6,
        "read_s": read,
        "read_mb": memory,
        "train_s": perf_counter() - began,
        "train_mb": _megabytes(),
    }


def changing(n: int, before: Sequence[int], folder: Path) -> list[dict[str, float]]:
    """Milliseconds until an added skill is found, and kept, after so many that were added before."""
    store = open_store(folder / "store", environment={})
    write(build([], listed=ListedSkills(("", one) for one in generated(n))), folder / "artifact")
    store.publish(folder / "artifact", promote=True)
    rows, added = [], 0
    for count in before:
        more = generated(count - added, seed=count, prefix=f"added{count}")
        if more:
            append_changes(store.catalogue_log(), more)
        added = count
        rows.append({"skills": n, "added_before": count, **_changed(folder, count)})
    return rows


def _changed(folder: Path, count: int) -> dict[str, float]:
    here, there = (
        Live({}, open_store(folder / "store", environment={}), shortlist=ShortlistSettings(k=1), selftest=_passes)
        for _ in range(2)
    )
    here.look(), there.look()
    found, kept, elsewhere = [], [], []
    found_cpu, elsewhere_cpu = [], []
    durable = Store.change_catalogue
    for i in range(_CHANGES):
        word = f"uniqueword{count}x{i}"
        at: list[float] = []

        def noticing(store: Store, *args: Any, word: str = word, at: list[float] = at, **more: Any) -> int:
            assert _finds(here, word)
            at.extend((perf_counter(), thread_time()))
            return durable(store, *args, **more)

        Store.change_catalogue = noticing  # type: ignore[method-assign]
        began, cpu = perf_counter(), thread_time()
        here.catalogue.change([CatalogueSkill(f"new{count}_{i}", "owner", f"does {word} well")])
        kept.append(perf_counter() - began)
        found.append(at[0] - began)
        found_cpu.append(at[1] - cpu)
        Store.change_catalogue = durable  # type: ignore[method-assign]
        began, cpu = perf_counter(), thread_time()
        there.catalogue.look()
        assert _finds(there, word)
        elsewhere.append(perf_counter() - began)
        elsewhere_cpu.append(thread_time() - cpu)
    named = {"found": found, "found_cpu": found_cpu, "kept": kept, "look": elsewhere, "look_cpu": elsewhere_cpu}
    return {f"{name}_ms": 1000 * median(each) for name, each in named.items()}


def _finds(live: Live, word: str) -> bool:
    shortlist = live.answer(word).shortlist
    return bool(shortlist and shortlist.candidates)


def _passes(folder: Path, name: str) -> str | None:
    return None


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, default=1_000_000, help="of the catalogue that is read (%(default)s)")
    parser.add_argument("--served", type=int, default=100_000, help="of the one that is changed (%(default)s)")
    parser.add_argument("--before", type=int, nargs="*", default=[0, 1_000, 10_000], help="skills added before")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        changes = changing(chosen.served, chosen.before, Path(one))
        read = reading(chosen.skills, Path(other))
    if chosen.json:
        print(msgspec.json.encode({"reading": read, "changing": changes}).decode())
        return
    for rows in ([read], changes):
        table(list(rows[0]), [[f"{value:,.3f}".rstrip("0").rstrip(".") for value in row.values()] for row in rows])


if __name__ == "__main__":
    main()
