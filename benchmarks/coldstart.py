"""Skills without requests, found by their descriptions: alone, and among skills that have thousands of requests.

*From descriptions alone*: livemcp (527 tools of MCP servers; 97 requests of ours, each with the tools that serve it:
recall is the share of these that are found), registry (24,886 skills; 308 paraphrases of ours of one description each,
where only that skill counts, though many others do the same) and metatool (199 tools, requests of its dev split). The
requests of ours lie in `benchmarks/requests`; the kernels' constants were chosen while looking at all three, which
flatters them.

*Skills left out*: training has the requests of three quarters of the skills, and the names and descriptions of all.
Measured on the requests of either part; P(no skill fits) also on requests in other languages. sgd leaves out whole
domains, as services of one domain are acceptable for each other; clinc150 has names alone.

Peers: BM25 (bm25s) on name and description, and the Shortlister's index alone. Microseconds are of the processor, a
lookup; the encoder's time is in them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arbitrank.errors import InputError
from arbitrank.nlu.text import crc
from arbitrank.shortlist.build import SkillUtterance, build
from arbitrank.shortlist.description_grams import split_name
from arbitrank.shortlist.embedding import Encoder
from arbitrank.shortlist.encoders import PACKAGED, stated_encoder
from arbitrank.shortlist.gathering import ListedSkills
from arbitrank.shortlist.linear_training import train_linear
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.values import Request
from arbitrank.wire.catalogue_lines import CatalogueSkill
from benchmarks.common import DATA, note, show, table
from benchmarks.skills import Services, opens, read, turns

NAME = "coldstart"
RANKS = (1, 5, 10)
ALONE, LEFT_OUT = ("livemcp", "registry", "metatool"), ("metatool", "sgd", "clinc150")
FOREIGN = (
    "wie komme ich am schnellsten zum bahnhof", "qual é a melhor receita de bolo de cenoura", "你好吗",
    "где находится ближайшая аптека", "明日の天気を教えてください", "내일 일정 알려줘", "ما هي عاصمة مصر",
    "jak dojechać na lotnisko", "vilken tid stänger affären", "kuinka paljon leipä maksaa", "quanto costa il pane",
)  # fmt: skip

_REQUESTS = Path(__file__).parent / "requests"
_LEFT_OUT = 4  # one skill in so many

Key = tuple[str, str]
Requests = list[tuple[str, frozenset[Key]]]


def alone(name: str, data: Path) -> tuple[list[CatalogueSkill], Requests]:
    """A catalogue, and requests with the owner and the name of each skill that serves them."""
    if name == "metatool":
        skills = [CatalogueSkill(one["name"], one["name"], one["description"]) for one in _json(data, name)]
        rows = read(data / name / "dev.jsonl.gz")
        return skills, [(row["text"], frozenset([(row["skill"], row["skill"])])) for row in rows]
    if name == "registry":
        skills = [
            CatalogueSkill(row["name"], row["owner"], row["description"], tags=(row["category"],))
            for row in read(data / name / "skills.jsonl.gz")
        ]
        lines = [line.split("\t") for line in _lines("registry")]
        return skills, [(text, frozenset([(owner, skill)])) for owner, skill, text in lines]
    tools = _json(data, name)
    owners = {tool["server"]: tool["domain"] for tool in tools}
    skills = [CatalogueSkill(one["name"], one["domain"], one["description"], tags=(one["server"],)) for one in tools]
    requests = []
    for line in _lines("livemcp"):
        text, served = line.split("\t")
        each = (tool.split(":", 1) for tool in served.split(","))
        requests.append((text, frozenset((owners[server], tool) for server, tool in each)))
    return skills, requests


def _json(data: Path, name: str) -> Any:
    return json.loads((data / name / "skills.json").read_text("utf-8"))


def _lines(name: str) -> list[str]:
    return (_REQUESTS / f"{name}.tsv").read_text("utf-8").splitlines()


def labelled(name: str, data: Path) -> tuple[list[CatalogueSkill], list[SkillUtterance], list[SkillUtterance]]:
    """A catalogue, and the labelled requests of the train and the dev split."""
    if name == "sgd":
        services = Services.read(data / name / "services.json")
        skills = [
            CatalogueSkill(one, services.domain[one], about[0], tuple(about[1:]))
            for one, about in services.descriptions.items()
        ]
        parts = [[row for row in turns(data / name, split) if opens(row)] for split in ("train", "dev")]
        return skills, *(
            [_utterance(row["text"], row["domain"], services.domain, services.acceptable(row)) for row in part]
            for part in parts
        )
    label = "skill" if name == "metatool" else "intent"
    rows = [[row for row in read(data / name / f"{part}.jsonl.gz") if row.get(label)] for part in ("train", "dev")]
    names = dict.fromkeys(row[label] for row in rows[0])
    skills = alone(name, data)[0] if name == "metatool" else [CatalogueSkill(one, one) for one in names]
    return skills, *([_utterance(row["text"], row[label], {}, ()) for row in part] for part in rows)


def _utterance(
    text: str, skill: str, owners: Mapping[str, str], others: Sequence[str] | frozenset[str]
) -> SkillUtterance:
    owner = owners.get(skill, skill)
    return SkillUtterance(text, skill, owner, frozenset([skill, *others]), Request(utterance=text))


def trained(
    skills: Sequence[CatalogueSkill], lines: Sequence[SkillUtterance] = (), encoder: Encoder | None = None
) -> Shortlister:
    """A Shortlister of a catalogue."""
    listed = ListedSkills((str(number), one) for number, one in enumerate(skills))
    linear = partial(train_linear, seed=0) if lines else None
    return build(lines, listed=listed, linear=linear, encoder=encoder).shortlister


def recall(found: Sequence[Sequence[Any]], right: Sequence[frozenset[Any]]) -> dict[int, float]:
    """The mean share of a request's skills that are among the first k."""
    shares = {k: [len(set(row[:k]) & one) / len(one) for row, one in zip(found, right, strict=True)] for k in RANKS}
    return {k: float(np.mean(each)) for k, each in shares.items()}


def keys(shortlister: Shortlister, text: str) -> list[Key]:
    """Owner and own name of the skills on a request's list."""
    catalogue = shortlister.catalogue
    found = shortlister.shortlist(text, max(RANKS))
    return [(one.domain, catalogue.own.get(catalogue.number(one.skill) or 0, one.skill)) for one in found]


def bm25(skills: Sequence[CatalogueSkill]) -> Callable[[str], list[Key]] | None:
    """BM25 of name and description; None where bm25s is not installed."""
    try:
        import bm25s
    except ImportError:
        return None
    words = partial(bm25s.tokenize, stopwords="en", show_progress=False)
    index = bm25s.BM25()
    index.index(words([f"{split_name(one.name)} {one.description}" for one in skills]), show_progress=False)

    def best(text: str) -> list[Key]:
        near, _ = index.retrieve(words([text]), k=max(RANKS), show_progress=False)
        return [(skills[at].domain, skills[at].name) for at in near[0].tolist()]

    return best


def from_descriptions(name: str, chosen: argparse.Namespace, encoder: Encoder | None) -> dict[str, Any]:
    """The figures of every system on a catalogue without requests."""
    skills, requests = alone(name, chosen.data)
    requests = requests[:: max(1, len(requests) // chosen.requests)]
    shortlister = trained(skills)
    systems: dict[str, Callable[[str], list[Key]] | None] = {
        "BM25": bm25(skills),
        "index alone": partial(keys, replace(shortlister, cold=None)),
        "descriptions": partial(keys, shortlister),
    }
    if encoder is not None:
        note(f"{name}: {len(skills)} vectors")
        began = time.process_time()
        systems["and vectors"] = partial(keys, trained(skills, encoder=encoder))
        note(f"{name}: {1e3 * (time.process_time() - began) / len(skills):.1f} ms of the processor a skill")
    figures = {}
    for system, find in systems.items():
        if find is not None:
            began = time.process_time()
            found = [find(text) for text, _ in requests]
            took = 1e6 * (time.process_time() - began) / len(requests)
            figures[system] = {"recall": recall(found, [one for _, one in requests]), "query_us": took}
    return {"skills": len(skills), "n": len(requests), "systems": figures}


def left_out(name: str, chosen: argparse.Namespace, encoder: Encoder | None) -> dict[str, Any]:
    """The figures on requests of skills with and without requests in training."""
    skills, train, dev = labelled(name, chosen.data)
    of = {one.name: one.domain if name == "sgd" else one.name for one in skills}
    cold = {one.name for one in skills if crc(f"cold {of[one.name]}") % _LEFT_OUT == 0}
    lines = [one for one in train if one.skill not in cold]
    dev = dev[:: max(1, len(dev) // chosen.requests)]
    parts = {
        "without requests": [one for one in dev if one.acceptable <= cold],
        "with requests": [one for one in dev if not one.acceptable & cold],
    }
    shortlister = trained(skills, lines)
    systems = {"index and linear": replace(shortlister, cold=None), "descriptions": shortlister}
    if encoder is not None:
        systems["and vectors"] = trained(skills, lines, encoder)
    figures: dict[str, Any] = {"skills": len(skills), "cold": len(cold), "systems": {}}
    for system, own in systems.items():
        figures["systems"][system] = {
            part: recall([_hits(own, one) for one in some], [frozenset([True])] * len(some))
            for part, some in parts.items()
        }
        figures["systems"][system]["foreign"] = float(np.mean([own.judge(text)[1] for text in FOREIGN]))
        figures["systems"][system]["own"] = float(np.mean([own.judge(one.utterance)[1] for one in dev[:200]]))
    figures["n"] = {part: len(some) for part, some in parts.items()}
    return figures


def _hits(shortlister: Shortlister, line: SkillUtterance) -> list[bool]:
    return [one.skill in line.acceptable for one in shortlister.shortlist(line.utterance, max(RANKS), outside=0.0)]


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of every catalogue."""
    encoder = None
    if chosen.embed:
        try:
            encoder = stated_encoder(PACKAGED)
            encoder.encode(["installed"])
        except InputError as error:
            note(f"without the encoder: {error}")
            encoder = None
    figures: dict[str, Any] = {"alone": {}, "left_out": {}}
    for kind, names, measure in (("alone", ALONE, from_descriptions), ("left_out", LEFT_OUT, left_out)):
        for name in names:
            if not chosen.corpus or name in chosen.corpus:
                note(f"{name}: {kind}")
                # The registry's vectors take minutes.
                figures[kind][name] = measure(name, chosen, encoder if name != "registry" or chosen.large else None)
    return figures


def print_tables(figures: Mapping[str, Any]) -> None:
    for name, one in figures["alone"].items():
        print(f"{name}, from descriptions alone: {one['skills']} skills, {one['n']} requests; recall, per cent")
        rows = [
            [system, *(f"{100 * own['recall'][k]:.1f}" for k in RANKS), f"{own['query_us']:.0f}"]
            for system, own in one["systems"].items()
        ]
        table(("", "@1", "@5", "@10", "µs a lookup"), rows)
        print()
    for name, one in figures["left_out"].items():
        n = one["n"]
        print(
            f"{name}: {one['cold']} of {one['skills']} skills without requests; {n['without requests']} requests of "
            f"these, {n['with requests']} of the others; recall, per cent, and mean P(no skill fits)"
        )
        rows = [
            [
                system,
                *(f"{100 * own[part][k]:.1f}" for part in ("without requests", "with requests") for k in RANKS),
                f"{own['own']:.2f}",
                f"{own['foreign']:.2f}",
            ]
            for system, own in one["systems"].items()
        ]
        names = [f"{part} @{k}" for part in ("without", "with") for k in RANKS]
        table(("", *names, "none, dev", "none, foreign"), rows)
        print()


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", action="append", choices=sorted({*ALONE, *LEFT_OUT}), help="which (all)")
    parser.add_argument("--data", type=Path, default=DATA, help="where the corpora lie (%(default)s)")
    parser.add_argument("--requests", type=int, default=1_000, help="at most so many of a corpus (%(default)s)")
    parser.add_argument("--no-embed", dest="embed", action="store_false", help="without the encoder")
    parser.add_argument("--large", action="store_true", help="make the registry's vectors as well, which takes minutes")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    chosen = options(argv)
    show(NAME, chosen, measured(chosen), print_tables)


if __name__ == "__main__":
    main()
