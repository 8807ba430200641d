"""Order of tools by a HypRank: a shortlist alone, sorted without outcomes of calls, and with them.

sgd: the requests that open something new, each with the real outcome of its call: it failed where the service said so
(`system_failed`) or found nothing (`n_results` is 0). Every service of the same domain and intent is acceptable. Its
training dialogues are drawn anew for each seed: four fifths of them to train on, a fifth to measure. metatool: requests
to 199 tools; there are no outcomes, so a tenth of the tools, drawn by seed, fails in three of five calls (simulated).

The shortlists to train on are cross-fitted, as `arbitrank shortlist hyprank --data` makes them. *Succeeds* is the
share of requests whose first tool is acceptable and whose call then succeeds, by the tool's rate among the held-out
calls. ECE and NLL (nats) are of the probability that is shown for the first tool against that. *Without outcomes* the
tool of every request is known, as labelled data tell it; with them, only the tools of calls that succeeded are, as a
log tells. *Half of the outcomes* has those of half of the tools, *rates of success alone* no trees. Gains are relative
to the shortlist alone, paired over requests, with 95 % bootstrap intervals of the mean over seeds. Times are the
processor's, of one list.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from arbitrank.nlu.text import crc
from arbitrank.shortlist.build import SkillUtterance, build, catalogue
from arbitrank.shortlist.crossed_lists import crossed_lists
from arbitrank.shortlist.gathering import ListedSkills
from arbitrank.shortlist.hyprank_features import MOST
from arbitrank.shortlist.linear_training import train_linear
from arbitrank.shortlist.tool_order import ToolOrder
from arbitrank.shortlist.tool_order_training import ToolList, counted_outcomes, train_tools
from arbitrank.shortlist.tool_words import ToolWords
from arbitrank.values import Candidate, Request
from arbitrank.wire.catalogue_lines import CatalogueSkill
from benchmarks.common import DATA, between, note, show, table
from benchmarks.lists import dialogue_request
from benchmarks.skills import Services, opens, read, turns

NAME = "tool_order"
CORPORA = ("sgd", "metatool")
Floats = NDArray[np.float64]

_BOOTSTRAPS = 1_000
_FAILING, _RATE = 0.1, 0.6  # share of metatool's tools that fail, in this share of their calls


@dataclass(frozen=True)
class Called:
    """A request with its tool, whether the call failed, and the dialogue."""

    line: SkillUtterance
    failed: bool
    group: int = 0


@dataclass(frozen=True)
class Split:
    """Requests to train on and to measure on, and the tools with their texts."""

    train: list[Called]
    held: list[Called]
    texts: list[CatalogueSkill]


def sgd(folder: Path, seed: int, most: int) -> Split:
    """The openings of so many dialogues at most, with the outcomes of their calls."""
    services = Services.read(folder / "services.json")
    rows = turns(folder, "train")
    drawn = np.random.default_rng(seed).permutation(sorted({row["dialogue"] for row in rows}))[:most].tolist()
    number = {name: i for i, name in enumerate(drawn)}
    parts: tuple[list[Called], list[Called]] = ([], [])
    latest: dict[str, tuple[list[Called], int]] = {}
    used: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if (name := row["dialogue"]) not in number:
            continue
        service = row["domain"]
        if opens(row):
            request = structs.replace(dialogue_request(row, services, sorted(used[name])), utterance=row["text"])
            part = parts[number[name] < len(drawn) // 5]
            latest[name] = part, len(part)
            owner, right = services.domain[service], frozenset(services.acceptable(row))
            part.append(Called(SkillUtterance(row["text"], service, owner, right, request), False, number[name]))
            used[name].add(service)
        part, at = latest[name]
        if part[at].line.skill == service and (row.get("system_failed") or row.get("n_results") == 0):
            part[at] = Called(part[at].line, True, part[at].group)
    known = {one.line.skill for one in parts[0]}
    texts = [CatalogueSkill(one, services.domain[one], " ".join(services.descriptions[one])) for one in sorted(known)]
    return Split(*parts, texts)


def metatool(folder: Path, seed: int, most: int) -> Split:
    """The requests of both splits; of tools that are drawn, three calls in five fail."""
    rng = np.random.default_rng(seed)
    parts = [list(read(folder / f"{split}.jsonl.gz")) for split in ("train", "dev")]
    parts[0] = [parts[0][i] for i in rng.permutation(len(parts[0]))[: 8 * most]]
    skills = sorted({row["skill"] for row in parts[0]})
    failing = set(rng.permutation(skills)[: int(_FAILING * len(skills))].tolist())
    described = json.loads((folder / "skills.json").read_text(encoding="utf-8"))
    texts = [CatalogueSkill(one["name"], "tools", one["description"]) for one in described if one["name"] in skills]

    def called(row: dict[str, Any]) -> Called:
        own = frozenset([row["skill"]])
        line = SkillUtterance(row["text"], row["skill"], "tools", own, Request(utterance=row["text"]))
        return Called(line, row["skill"] in failing and rng.random() < _RATE, crc(row["text"]))

    return Split(list(map(called, parts[0])), list(map(called, parts[1])), texts)


def lists_of(split: Split, seed: int) -> tuple[list[ToolList], list[ToolList], ToolWords]:
    """The cross-fitted shortlists of the requests to train on, those of the others, and the words of the tools."""
    trainer = partial(train_linear, seed=seed)
    listed = [("", one) for one in split.texts]
    gathered, labelled = catalogue([one.line for one in split.train], {}, ListedSkills(listed))
    crossed = crossed_lists(labelled.lines, gathered, trainer)
    seen = [
        replace(one, right=frozenset([of.line.skill]), called=of.line.skill, failed=of.failed, group=of.group)
        for one, of in zip(crossed, split.train, strict=True)
    ]
    shortlister = build(labelled.lines, listed=ListedSkills(listed), linear=trainer).shortlister
    held = [
        ToolList(one.line.request, shortlister.shortlist(one.line.utterance, MOST, outside=0.0), one.line.acceptable,
                 one.line.skill, one.failed)
        for one in split.held
    ]  # fmt: skip
    return seen, held, ToolWords.of(zip(gathered.names, gathered.skills, strict=True))


def judged(seen: Sequence[ToolList], *, outcomes: float) -> list[ToolList]:
    """The lists as a log has them: a call that failed tells that its tool is not right.

    `outcomes` is the share of the tools whose outcomes are known; of the others' calls nothing is known to have failed.
    """
    known = []
    for one in seen:
        if crc(f"known {one.called}") % 100 >= 100 * outcomes:
            known.append(replace(one, called=None, failed=False))
        else:
            known.append(replace(one, right=None) if one.failed else one)
    return known


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of every corpus."""
    figures: dict[str, Any] = {}
    for name in chosen.corpus or CORPORA:
        runs: dict[str, list[dict[str, Floats]]] = defaultdict(list)
        us: list[float] = []
        tools = 0
        for seed in range(chosen.seed, chosen.seed + chosen.seeds):
            note(f"{name}, seed {seed}")
            split = {"sgd": sgd, "metatool": metatool}[name](chosen.data / name, seed, chosen.most)
            seen, held, words = lists_of(split, seed)
            rates = rates_of(held)
            plain = [replace(one, request=Request(utterance=one.request.utterance)) for one in (*seen, *held)]
            orders = {
                "shortlist alone": None,
                "rates of success alone": ToolOrder(tally=counted_outcomes(seen)),
                "HypRank without outcomes": train_tools(judged(seen, outcomes=0.0), words, seed=seed),
                "HypRank, half of the outcomes": train_tools(judged(seen, outcomes=0.5), words, seed=seed),
                "HypRank": train_tools(judged(seen, outcomes=1.0), words, seed=seed),
                "HypRank without the dialogue": train_tools(judged(plain[: len(seen)], outcomes=1.0), words, seed=seed),
            }
            for title, order in orders.items():
                asked = plain[len(seen) :] if title.endswith("dialogue") else held
                began = time.process_time()
                found = [one.candidates if order is None else order.sort(one.request, one.candidates) for one in asked]
                if title == "HypRank":
                    us.append(1e6 * (time.process_time() - began) / len(asked))
                runs[title].append(outcome(found, asked, rates))
            tools, n = len(split.texts), len(seen)
        own = {title: averaged(one, runs["shortlist alone"]) for title, one in runs.items()}
        figures[name] = {"tools": tools, "train": n, "n": len(held), "seeds": chosen.seeds, "us": float(np.median(us)),
                         "systems": own}  # fmt: skip
    return figures


def rates_of(held: Sequence[ToolList]) -> dict[str, float]:
    """The failure rate of each tool among the held-out calls."""
    calls: dict[str, list[bool]] = defaultdict(list)
    for one in held:
        calls[one.called or ""].append(one.failed)
    return {name: float(np.mean(failed)) for name, failed in calls.items()}


def outcome(
    found: Sequence[Sequence[Candidate]], asked: Sequence[ToolList], rates: Mapping[str, float]
) -> dict[str, Floats]:
    """By request: whether the first tool is acceptable, and succeeds, and what was claimed of it."""
    heads = [row[0] if row else None for row in found]
    right = np.array([one is not None and one.skill in (of.right or ()) for one, of in zip(heads, asked, strict=True)])
    works = np.array([1.0 - rates.get(one.skill, 0.0) if one is not None else 0.0 for one in heads])
    p = np.array([one.score if one is not None else 0.0 for one in heads])
    # What the label's own call did is known where the first tool is the label's; of others, the rate is.
    mine = np.array([one is not None and one.skill == of.called for one, of in zip(heads, asked, strict=True)])
    came = np.where(mine, [float(not of.failed) for of in asked], right * works)
    rank = [next((i for i, one in enumerate(row) if one.skill in (of.right or ())), MOST)
            for row, of in zip(found, asked, strict=True)]  # fmt: skip
    return {"first": right.astype(float), "top 3": (np.array(rank) < 3).astype(float), "succeeds": right * works,
            "p": p, "came": came, "mine": mine.astype(float)}  # fmt: skip


def averaged(runs: Sequence[Mapping[str, Floats]], base: Sequence[Mapping[str, Floats]]) -> dict[str, Any]:
    """The means over seeds, and the gains over the shortlist alone with their intervals."""
    figures: dict[str, Any] = {}
    for key in ("first", "top 3", "succeeds"):
        changes = [one[key] - other[key] for one, other in zip(runs, base, strict=True)]
        figures[key] = float(np.mean([one[key].mean() for one in runs]))
        figures[f"{key}, gain"] = interval(changes)
    gaps = [abs(float((one["p"] - one["came"])[bins == b].sum())) / len(bins)
            for one in runs for bins in [np.minimum((10 * one["p"]).astype(int), 9)] for b in range(10)]  # fmt: skip
    figures["ece"] = float(np.sum(gaps)) / len(runs)
    figures["nll"] = float(np.mean([soft_loss(one["p"], one["came"]) for one in runs]))
    return figures


def soft_loss(p: Floats, came: Floats) -> float:
    """The mean negative log-likelihood of outcomes that are known by their probability."""
    clipped = np.clip(p, 1e-6, 1.0 - 1e-6)
    return float(-(came * np.log(clipped) + (1.0 - came) * np.log(1.0 - clipped)).mean())


def interval(changes: Sequence[Floats]) -> tuple[float, float, float]:
    """The mean of paired changes over seeds and requests, with its 95 % bootstrap interval within each seed."""
    rng = np.random.default_rng(0)
    means = np.mean([one[rng.integers(0, len(one), (_BOOTSTRAPS, len(one)))].mean(axis=1) for one in changes], axis=0)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.mean([one.mean() for one in changes])), float(low), float(high)


def print_tables(figures: Mapping[str, Any]) -> None:
    for name, one in figures.items():
        print(
            f"{name}: {one['tools']} tools, {one['train']} requests to train on, {one['n']} to measure, "
            f"{one['seeds']} seeds; {one['us']:.0f} µs of the processor a list; per cent"
        )
        rows = [
            [title, f"{100 * own['first']:.1f}", f"{100 * own['succeeds']:.1f}", between(*own["first, gain"]),
             between(*own["succeeds, gain"]), between(*own["top 3, gain"]), f"{100 * own['ece']:.1f}",
             f"{own['nll']:.3f}"]
            for title, own in one["systems"].items()
        ]  # fmt: skip
        table(("", "first fits", "succeeds", "gain: first fits", "succeeds", "among 3", "ECE", "NLL"), rows)
        print()


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="what to measure on (all)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first (%(default)s)")
    parser.add_argument("--most", type=int, default=2_000, help="dialogues of sgd; an eighth of metatool's requests")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    chosen = options(argv)
    show(NAME, chosen, measured(chosen), print_tables)


if __name__ == "__main__":
    main()
