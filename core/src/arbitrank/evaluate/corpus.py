"""What is measured on: a corpus folder with its splits, or a file of hypotheses, cleaned and described."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arbitrank.errors import DataError
from arbitrank.nlu.text import tokenise
from arbitrank.values import Example
from arbitrank.wire import BadLine, read_examples

SPLITS = ("train", "dev", "test")
CROSS_FITTED = "cross-fitted"
_FEW = 10


@dataclass(frozen=True)
class Corpus:
    """Labelled utterances to build every domain from, and the held-out split to report on.

    `tuning` is what calibration and choices may look at: dev where there is a test split to report on, else empty, and
    the training data serves, cross-fitted. `notes` say in words what was left out and why.
    """

    name: str
    domains: tuple[str, ...]
    train: tuple[Example, ...]
    tuning: tuple[Example, ...]
    held: tuple[Example, ...]
    split: str
    notes: tuple[str, ...]

    @property
    def cross_fitted(self) -> bool:
        """Whether training and held-out requests are the same, so that re-rankers take turns in being left out."""
        return self.split == CROSS_FITTED

    @property
    def has_out_of_scope(self) -> bool:
        """Whether training shows requests that are nobody's, so that "none" is an answer that counts."""
        return any(example.truth.domain is None for example in self.train)


def read_corpus(folder: Path) -> Corpus:
    """The corpus in a folder of `train`, `dev` and perhaps `test` (`.jsonl` or `.jsonl.gz`).

    Training utterances that a later split has word for word are dropped; so are held-out requests of domains that
    training lacks, and bad lines. Raises `DataError` where fewer than two domains or no held-out split remain.
    """
    notes: list[str] = []
    read = {name: _read(folder, name, notes) for name in SPLITS}
    split = "test" if read["test"] else "dev"
    held, tuning = read[split], read["dev"] if split == "test" else []
    if not read["train"] or not held:
        raise DataError(f"{folder}: promised train and dev or test (.jsonl or .jsonl.gz), found {_found(folder)}")
    later = {_words(example) for example in (*held, *tuning)}
    train = [example for example in read["train"] if _words(example) not in later]
    if len(train) < len(read["train"]):
        notes.append(
            f"train: {len(read['train']) - len(train)} utterances stand in a later split too; dropped from train"
        )
    domains = sorted({example.truth.domain for example in train if example.truth.domain is not None})
    if len(domains) < 2:
        raise DataError(
            f"{folder}: train has {len(domains)} domain ({', '.join(domains)}); there is nothing to arbitrate"
        )
    return Corpus(
        name=folder.name,
        domains=tuple(domains),
        train=tuple(train),
        tuning=_of_known(tuning, domains, "dev", notes),
        held=_of_known(held, domains, split, notes),
        split=split,
        notes=tuple(notes),
    )


def read_hypotheses(path: Path) -> Corpus:
    """A hypotheses file with truths as a corpus: no recogniser is built, and re-rankers are cross-fitted on its lines.

    Lines without hypotheses count as requests nobody has a reading of. Raises `DataError` where fewer than two domains
    have hypotheses, or lines are fewer than ten.
    """
    lines = list(read_examples(path))
    good = _numbered((line for line in lines if isinstance(line, Example)), "line")
    bad = [line for line in lines if isinstance(line, BadLine)]
    notes = [f"{len(bad)} bad lines left out; the first: {bad[0].where}: {bad[0].reason}"] if bad else []
    domains = sorted({h.domain for e in good for h in e.request.hypotheses or ()})
    if len(domains) < 2 or len(good) < _FEW:
        what = f"{len(good)} labelled requests with hypotheses of {len(domains)} domains"
        raise DataError(f"{path}: {what}; promised at least {_FEW} of at least 2" + (f"; {notes[0]}" if notes else ""))
    return Corpus(path.name.partition(".")[0], tuple(domains), tuple(good), (), tuple(good), CROSS_FITTED, tuple(notes))


def _read(folder: Path, split: str, notes: list[str]) -> list[Example]:
    for path in (folder / f"{split}.jsonl", folder / f"{split}.jsonl.gz"):
        if path.is_file():
            lines = list(read_examples(path))
            bad = [line for line in lines if isinstance(line, BadLine)]
            if bad:
                notes.append(f"{split}: {len(bad)} bad lines left out; the first: {bad[0].where}: {bad[0].reason}")
            good = [line for line in lines if isinstance(line, Example) and line.request.utterance]
            return _numbered(good, split)
    return []


def _numbered(examples: Iterable[Example], split: str) -> list[Example]:
    """The examples with an id each, which predictions refer to."""
    from msgspec.structs import replace

    return [
        e if e.request.id else replace(e, request=replace(e.request, id=f"{split}-{i}")) for i, e in enumerate(examples)
    ]


def _of_known(examples: Sequence[Example], domains: Sequence[str], split: str, notes: list[str]) -> tuple[Example, ...]:
    known = {None, *domains}
    kept = tuple(example for example in examples if example.truth.domain in known)
    if len(kept) < len(examples):
        notes.append(f"{split}: {len(examples) - len(kept)} requests of domains that train lacks; left out")
    return kept


def _words(example: Example) -> tuple[str, ...]:
    return tuple(token.text for token in tokenise(example.request.utterance or ""))


def _found(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
