"""The corpora of the open benchmark: the requests that every system answers, and how our domains read them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from arbitrank.arbitration.claims import Groups
from arbitrank.evaluate.corpus import Corpus, read_corpus
from arbitrank.evaluate.hypotheses import Recognised, files, save
from arbitrank.values import Example, Request, Truth
from benchmarks import context, overlap, replies, skills
from benchmarks.common import Bench, kept_files, recognised
from benchmarks.overlap import FOLDS, Places, Requests
from benchmarks.replies import Replies
from benchmarks.synthetic import synthetic_corpus

Measure = Literal["domain", "intent", "reading"]
"""Kinds of rightness: the domain alone, the domain and the intent, the whole reading with its slots."""

Benches = Callable[[Path, int], Iterator[tuple[Places, Bench]]]
"""From the cache's folder and the number of processes: the requests' places, and our domains' readings of them."""

SGD_SHARE = 0.25
"""The share of SGD's training dialogues that our recognisers learn from, so that the run ends within an hour."""


@dataclass(frozen=True)
class Contest:
    """Requests that every system answers, and how the answers are judged.

    `measures` are those that can be judged here; the last one is what a probability is of. With `none_counts`, deciding
    "none" is an answer. `any_domain`: an answer is judged by its intent, whatever domain it names. `fold` is the fold
    of each request where training and measuring share the requests. `more` is what a request has beside its words and
    context, by its id.
    """

    name: str
    about: str
    domains: tuple[str, ...]
    examples: tuple[Example, ...]
    measures: tuple[Measure, ...]
    benches: Benches
    none_counts: bool = False
    any_domain: bool = False
    groups: Groups = ()
    fold: Places | None = None
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


READING: tuple[Measure, ...] = ("domain", "intent", "reading")


def hint3(folder: Path, seed: int) -> Iterator[Contest]:
    """The requests of each of the two bots, with the five vendors' hypotheses."""
    made_of = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl*")))
    for requests in overlap.hint3(folder, seed):
        about = f"a bot's requests, read by {len(requests.domains)} vendors' recognisers; five folds"
        yield _one_bot(f"hint3-{requests.name}", about, requests, made_of)


def _one_bot(name: str, about: str, requests: Requests, made_of: bytes) -> Contest:
    """Recognisers of one bot: an intent is right whoever names it, and so is none out of scope."""
    return Contest(
        name,
        about,
        requests.domains,
        requests.examples,
        ("intent",),
        _fold_benches(name, requests, made_of, lambda: requests),
        none_counts=True,
        any_domain=True,
        groups=(requests.domains,),
        fold=requests.fold,
    )


def bbai(folder: Path, seed: int) -> Iterator[Contest]:
    """The questions without replies, and those with them, to 19 assistants."""
    made_of = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl*")))
    names, examples = overlap.asked(folder)
    yield _assistants(
        "bbai",
        f"questions to {len(names)} assistants, by their words alone; five folds",
        names,
        examples,
        made_of,
        lambda: overlap.questions(folder, seed),
        seed,
    )
    source = Replies(folder)
    yield _assistants(
        "bbai-replies",
        f"questions with the replies of {len(source.assistants)} assistants; five folds",
        source.assistants,
        tuple(source.examples()),
        made_of + Path(replies.__file__).read_bytes(),
        lambda: overlap.replies(folder, seed),
        seed,
        more={row["id"]: {"responses": row["responses"]} for row in source.rows},
    )


def _assistants(
    name: str,
    about: str,
    names: tuple[str, ...],
    examples: tuple[Example, ...],
    made_of: bytes,
    read: Callable[[], Requests],
    seed: int,
    more: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Contest:
    shape = Requests(name, names, examples, overlap.folds(len(examples), seed), ())
    benches = _fold_benches(name, shape, made_of, read)
    return Contest(name, about, names, examples, ("domain",), benches, fold=shape.fold, more=more)


def _fold_benches(name: str, shape: Requests, made_of: bytes, read: Callable[[], Requests]) -> Benches:
    """A bench for each fold, with the readings of `read`, which are kept."""
    bare = [replace(e, request=replace(e.request, hypotheses=None)) for e in shape.examples]

    def benches(cache: Path, _: int) -> Iterator[tuple[Places, Bench]]:
        parts = []
        for f in range(FOLDS):
            rest, held = shape.parts(f)
            train, own = (tuple(bare[i] for i in places) for places in (rest, held))
            corpus = Corpus(f"{name}-{f}", shape.domains, train, (), own, "fold", ())
            parts.append((rest, held, Bench(corpus, kept_files(corpus, made_of, cache))))
        if not all(path.is_file() for *_, bench in parts for path in bench.paths.values()):
            readings = read().readings
            for f, (rest, held, bench) in enumerate(parts):
                for domain, path in bench.paths.items():
                    found = readings[f][domain]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    save(Recognised(domain, [found[i] for i in rest], [], [found[i] for i in held]), path)
        for _, held, bench in parts:
            yield held, bench

    return benches


def corpus_of(folder: Path, about: str, measures: tuple[Measure, ...] = READING) -> Contest:
    """A corpus folder with its train and dev: trained on train, measured on dev."""
    corpus = read_corpus(folder)
    made_of = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl*")))
    return _whole(corpus, about, made_of, measures)


def _whole(corpus: Corpus, about: str, made_of: bytes, measures: tuple[Measure, ...]) -> Contest:
    def benches(cache: Path, jobs: int) -> Iterator[tuple[Places, Bench]]:
        yield np.arange(len(corpus.held)), recognised(corpus, made_of, cache, jobs)

    held, none = corpus.held, corpus.has_out_of_scope
    return Contest(corpus.name, about, corpus.domains, held, measures, benches, none_counts=none)


def sgd(folder: Path, seed: int, share: float = SGD_SHARE) -> Contest:
    """The turns that open a new request, each with all the services that offer what is meant.

    Slots are left out, as each service names its own. Of dev, requests that no service of train offers are left out.
    """
    services = skills.Services.read(folder / "services.json")
    train = [row for row in skills.turns(folder, "train") if skills.opens(row)]
    known = {row["domain"] for row in train}
    dialogues = sorted({row["dialogue"] for row in train})
    draws = dict(zip(dialogues, np.random.default_rng(seed).random(len(dialogues)), strict=True))
    learned = [_opening(row, services, known) for row in train if draws[row["dialogue"]] < share]
    dev = [_opening(row, services, known) for row in skills.turns(folder, "dev") if skills.opens(row)]
    held = tuple(e for e in dev if e.truth.owners)
    corpus = Corpus("sgd", tuple(sorted(known)), tuple(learned), (), held, "dev", ())
    about = f"turns that open a request, to {len(known)} services, of which several offer most of them; dev"
    return _whole(corpus, about, msgspec.msgpack.encode((corpus.train, corpus.held)), ("domain", "intent"))


def _opening(row: Mapping[str, Any], services: skills.Services, known: set[str]) -> Example:
    before = row.get("context", {})
    keys = {"previous_domain": "prev_service", "previous_intent": "prev_intent"}
    told = {key: before[name] for key, name in keys.items() if before.get(name) not in (None, "NONE")}
    owners = tuple(sorted(services.acceptable(dict(row)) & known))
    return Example(Request(id=row["id"], utterance=row["text"], context=told), Truth(None, row["intent"], (), owners))


def proslu(folder: Path, seed: int) -> Contest:
    """Requests that seldom name their medium, with the user's preferences; ten folds of train and dev together."""
    examples = context.read_proslu(folder)
    place = {e.request.id: i for i, e in enumerate(examples)}
    corpora = list(context.fold_corpora(examples, seed))
    fold = np.zeros(len(examples), np.int64)
    for f, corpus in enumerate(corpora):
        fold[_places(corpus, place)] = f

    def benches(cache: Path, jobs: int) -> Iterator[tuple[Places, Bench]]:
        for corpus in corpora:
            made_of = msgspec.msgpack.encode((corpus.train, corpus.held))
            plain = recognised(corpus, made_of, cache, jobs)
            with tempfile.TemporaryDirectory(prefix="arbitrank-") as name:
                yield _places(corpus, place), _with_own_features(plain, Path(name))

    about = "Chinese requests that seldom name their medium, with the user's preferences; ten folds"
    return Contest("proslu", about, corpora[0].domains, tuple(examples), READING, benches, fold=fold)


def _places(corpus: Corpus, place: Mapping[str | None, int]) -> Places:
    """The places of the corpus's held-out requests among all."""
    return np.array([place[e.request.id] for e in corpus.held], np.int64)


def _with_own_features(bench: Bench, folder: Path) -> Bench:
    """The bench with the features of entities and of the situation, which each domain counts in its own requests."""
    corpus = bench.corpus
    enrich = context.both_features(context.entities(corpus), context.situations(corpus))
    paths = files(corpus, folder)
    for domain, path in paths.items():
        read = bench.readings(domain)
        train, held = (
            [context.enriched(domain, e, own, enrich) for e, own in zip(of, readings, strict=True)]
            for of, readings in ((corpus.train, read.train), (corpus.held, read.held))
        )
        save(Recognised(domain, train, [], held), path)
    return Bench(corpus, paths)


def made(folder: Path, seed: int, *, train: int = 1_200, held: int = 400) -> Iterator[Contest]:
    """Two contests that need no data: domains with slots, and recognisers of one bot with requests out of scope."""
    corpus, paths = synthetic_corpus(folder, domains=3, train=train, held=held, seed=seed)

    def benches(*_: Any) -> Iterator[tuple[Places, Bench]]:
        yield np.arange(held), Bench(corpus, paths)

    about = "sampled confidences of 3 domains; held out"
    yield Contest("made", about, corpus.domains, corpus.held, READING, benches)
    yield _one_bot("made-bot", "three recognisers of one bot; five folds", overlap.synthetic(held, seed=seed), b"")


_ABOUT: Mapping[str, tuple[str, tuple[Measure, ...]]] = {
    "clinc150": ("questions of 150 intents in 10 domains, a thirtieth out of scope; dev", ("domain", "intent")),
    "slurp": ("commands to a home assistant, 18 domains; dev", READING),
    "snips": ("queries to a voice assistant, 6 domains; dev", READING),
    "media": ("requests for music, books and video from five sources; dev", READING),
}

NAMES = ("hint3", "bbai", "sgd", *_ABOUT, "proslu")


def contests(name: str, data: Path, seed: int) -> Iterator[Contest]:
    """The contests of a corpus by its name, one of `NAMES`."""
    folder = data / name
    if name in ("hint3", "bbai"):
        yield from (hint3 if name == "hint3" else bbai)(folder, seed)
    elif name in ("sgd", "proslu"):
        yield (sgd if name == "sgd" else proslu)(folder, seed)
    else:
        about, measures = _ABOUT[name]
        yield corpus_of(folder, about, measures)
