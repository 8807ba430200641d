"""Data to measure on: a corpus folder with its splits, or a file of hypotheses, cleaned and described."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from arbitrank.answerlog.reader import read_truths
from arbitrank.arbitration.claims import Groups, group_numbers, group_remarks
from arbitrank.context_keys import ContextCount, NamedKeys, keys_read, named_for
from arbitrank.domain import Domain
from arbitrank.errors import DataError
from arbitrank.learn.features import CORE_KEYS
from arbitrank.nlu.text import tokenise
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine
from arbitrank.wire.notices import Notices
from arbitrank.wire.offsets import Offsets
from arbitrank.wire.requests import read_examples

SPLITS = ("train", "dev", "test")
CROSS_FITTED = "cross-fitted"
_FEW = 10

MAX_HYPOTHESES = 3_000_000
"""Hypotheses of one file that are measured at most; they take about a gigabyte."""


@dataclass(frozen=True)
class Corpus:
    """Labelled utterances to build every domain from, and the held-out split to report on.

    `tuning` is the data for calibration and choices: dev where there is a test split to report on; else it is empty,
    and cross-fitted training data are used. `notes` name what was left out, and the reasons. `named` are the context
    keys by domain that it learns from beside those of its own, `scales` those of its domains' scores, `grouped` the
    domains whose readings may agree with another one's.
    """

    name: str
    domains: tuple[str, ...]
    train: tuple[Example, ...]
    tuning: tuple[Example, ...]
    held: tuple[Example, ...]
    split: str
    notes: tuple[str, ...]
    named: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    scales: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    grouped: tuple[str, ...] = ()

    @property
    def cross_fitted(self) -> bool:
        """True where training and held-out requests are the same, so that re-rankers are scored fold by fold."""
        return self.split == CROSS_FITTED

    @property
    def has_out_of_scope(self) -> bool:
        """True where training has out-of-scope requests, so that "none" counts as an answer."""
        return any(example.truth.out_of_scope for example in self.train)


def read_corpus(folder: Path, offsets: Offsets = "characters") -> Corpus:
    """The corpus in a folder of `train`, `dev` and perhaps `test` (`.jsonl` or `.jsonl.gz`).

    Training utterances that a later split has word for word are dropped; so are held-out requests of domains that
    training lacks, and bad lines. `offsets` is the unit of slots' offsets. Raises `DataError` where fewer than two
    domains or no held-out split remain.
    """
    notes: list[str] = []
    read = {name: _read(folder, name, notes, offsets) for name in SPLITS}
    split = "test" if read["test"] else "dev"
    held, tuning = read[split], read["dev"] if split == "test" else []
    if not read["train"] or not held:
        raise _refusal(f"{folder}: expected train.jsonl(.gz) and dev or test, found {_contents(folder)}", notes)
    later = {_tokens(example) for example in (*held, *tuning)}
    train = [example for example in read["train"] if _tokens(example) not in later]
    repeated = len(read["train"]) - len(train)
    if repeated:
        notes.append(f"train: {repeated} utterances are in a later split too; dropped from train")
    domains = sorted({name for example in train for name in example.truth.owners})
    if len(domains) < 2:
        named = f"one domain, {domains[0]}" if domains else "no domain"
        raise _refusal(f"{folder}: train has {named}, expected at least 2; nothing to arbitrate", notes)
    tuning, held = _of_known(tuning, domains, "dev", notes), _of_known(held, domains, split, notes)
    if not held:
        raise _refusal(f"{folder}: {split} has no request to measure on", notes)
    return Corpus(folder.name, tuple(domains), tuple(train), tuple(tuning), tuple(held), split, tuple(notes))


def read_hypotheses(path: Path) -> Corpus:
    """A hypotheses file with truths as a corpus: no recogniser is built, and re-rankers are cross-fitted on its lines.

    A log's folder is read too: its requests with a known truth count. Lines without hypotheses count as requests that
    no domain has a reading of. One domain alone has nothing to win against, which a note says. Raises `DataError` where
    fewer than ten requests have hypotheses, or the hypotheses are more than `MAX_HYPOTHESES`.
    """
    lines: list[Example | BadLine] = []
    notes: list[str] = []
    count = 0
    for line in read_truths(path, Notices(notes.append)):
        lines.append(line)
        count += len(line.request.hypotheses or ()) if isinstance(line, Example) else 0
        if count > MAX_HYPOTHESES:
            raise DataError(
                f"{path}: more than {MAX_HYPOTHESES:,} hypotheses by line {len(lines)}, which may not fit in memory; "
                f"measure a sample, as in: shuf -n {len(lines) // 2} {path}"
            )
    good = _good(lines, "line", "", notes)
    domains = sorted({h.domain for e in good for h in e.request.hypotheses or ()})
    with_hypotheses = sum(bool(e.request.hypotheses) for e in good)
    if with_hypotheses < _FEW:
        what = f"{with_hypotheses} labelled requests with hypotheses, expected at least {_FEW}"
        raise _refusal(f"{path}: {what}", notes)
    owned = [set(e.truth.owners) for e in good]
    if not any(own & set(domains) for own in owned):
        raise _refusal(f"{path}: no request is of a domain that has hypotheses; nothing to learn", notes)
    unknown = sum(not e.truth.out_of_scope and not own & set(domains) for e, own in zip(good, owned, strict=True))
    if unknown:
        notes.append(f"{unknown} requests are of domains without a hypothesis in the file, so no answer can be right")
    if len(domains) == 1:
        notes.append(
            f"{domains[0]} alone has hypotheses, so nothing else can win; for its claims of others' requests run: "
            f"arbitrank report {domains[0]} --on {path}"
        )
    return Corpus(path.name.partition(".")[0], tuple(domains), tuple(good), (), tuple(good), CROSS_FITTED, tuple(notes))


def with_keys(corpus: Corpus, named: NamedKeys, readers: Iterable[Domain] | None) -> Corpus:
    """The corpus with context keys named for its domains, and with notes on those in its requests that none reads.

    `readers` are the plugins that are measured; None are the toolkit's re-rankers, which read the core's keys alone.
    """
    by_domain = {name: named_for(name, named) for name in corpus.domains}
    own = frozenset(CORE_KEYS) if readers is None else keys_read(readers)
    count = ContextCount()
    for example in (*corpus.train, *(() if corpus.cross_fitted else corpus.held)):
        count.add(example.request.context)
    remarks = count.remarks(own, tuple(dict.fromkeys(key for keys in by_domain.values() for key in keys)))
    return dataclasses.replace(corpus, notes=(*corpus.notes, *remarks), named=by_domain)


def with_groups(corpus: Corpus, groups: Groups) -> Corpus:
    """The corpus with the domains that are in groups, and with notes on those of other names."""
    numbers = group_numbers(groups)
    grouped = tuple(name for name in corpus.domains if name in numbers)
    return dataclasses.replace(corpus, grouped=grouped, notes=(*corpus.notes, *group_remarks(groups, corpus.domains)))


def without_hypotheses(corpus: Corpus) -> Corpus:
    """The corpus without its hypotheses, once the domains have their own."""
    bare = tuple(replace(e, request=replace(e.request, hypotheses=None)) for e in corpus.held)
    return dataclasses.replace(corpus, held=bare, train=bare if corpus.cross_fitted else corpus.train)


def _read(folder: Path, split: str, notes: list[str], offsets: Offsets) -> list[Example]:
    notices = Notices(notes.append)
    for path in (folder / f"{split}.jsonl", folder / f"{split}.jsonl.gz"):
        if path.is_file():
            read = read_examples(path, notices, offsets=offsets)
            lines = [line for line in read if isinstance(line, BadLine) or line.request.utterance]
            return _good(lines, split, f"{split}: ", notes)
    return []


def _good(lines: Sequence[Example | BadLine], split: str, prefix: str, notes: list[str]) -> list[Example]:
    """The examples among the lines, each with an id, to which predictions refer; bad lines are noted."""
    bad = [line for line in lines if isinstance(line, BadLine)]
    if bad:
        notes.append(f"{prefix}{len(bad)} bad lines left out; the first: {bad[0].where}: {bad[0].reason}")
    good = [line for line in lines if isinstance(line, Example)]
    refused = [next(iter(line.request.refused.values())) for line in good if line.request.refused]
    if refused:
        notes.append(f"{prefix}{len(refused)} requests have hypotheses that cannot be read; the first: {refused[0]}")
    return [
        e if e.request.id else replace(e, request=replace(e.request, id=f"{split}-{i}")) for i, e in enumerate(good)
    ]


def _of_known(examples: Sequence[Example], domains: Sequence[str], split: str, notes: list[str]) -> list[Example]:
    known = set(domains)
    kept = [e for e in examples if e.truth.out_of_scope or not e.truth.owners or known & set(e.truth.owners)]
    if len(kept) < len(examples):
        lacking = sorted({name for example in examples for name in example.truth.owners if name not in known})
        what = f"{len(examples) - len(kept)} requests of {len(lacking)} domains that train lacks, such as {lacking[0]}"
        notes.append(f"{split}: {what}; left out")
    return kept


def _tokens(example: Example) -> tuple[str, ...]:
    return tuple(token.text for token in tokenise(example.request.utterance or ""))


def _refusal(what: str, notes: Sequence[str]) -> DataError:
    """The error with the notes on data left out before, which may explain it."""
    return DataError("; ".join([what, *notes]))


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    empty = [name for name in names if name.partition(".")[0] in SPLITS and (folder / name).stat().st_size == 0]
    return (", ".join(names) or "nothing") + (f", of which empty: {', '.join(empty)}" if empty else "")
