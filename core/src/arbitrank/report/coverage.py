"""Patterns of a domain against what people say: the words, word sequences and intents that the patterns cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from arbitrank.nlu.text import tokenise
from arbitrank.report.measured import CountedShare
from arbitrank.values import Example

_NAMED = 12
_PLACE = "\N{BULLET}"  # in the place of a slot's value


class PatternCoverage(msgspec.Struct, frozen=True):
    """The share of what people say, in the domain's own requests, that its patterns draw, too.

    `words`, `pairs` and `triples` are running words and sequences of them, values of slots being one word, whatever it
    is. `utterances` are those all of whose words are covered, `wordings` those that are drawn as they are. `intents`
    are those of real requests; `missing_intents` and `missing_words` name what the patterns lack, with its number.
    `real_right` and `drawn_right` compare the shares of requests that are claimed and entirely right.
    """

    real: int
    drawn: int
    words: CountedShare | None
    pairs: CountedShare | None
    triples: CountedShare | None
    utterances: CountedShare | None
    wordings: CountedShare | None
    intents: CountedShare | None
    missing_intents: dict[str, int]
    missing_words: dict[str, int]
    real_right: CountedShare | None = None
    drawn_right: CountedShare | None = None


def coverage(
    real: Sequence[Example],
    drawn: Sequence[Example],
    *,
    real_right: CountedShare | None = None,
    drawn_right: CountedShare | None = None,
) -> PatternCoverage | None:
    """The coverage of the domain's own real requests by its own drawn ones; None without words of either."""
    said = [words for words in map(delexicalised_words, real) if words]
    patterns = [words for words in map(delexicalised_words, drawn) if words]
    if not said or not patterns:
        return None
    known = {n: set(_sequences(patterns, n)) for n in (1, 2, 3)}
    wordings = set(patterns)
    shares = {n: [one in known[n] for one in _sequences(said, n)] for n in (1, 2, 3)}
    intents = Counter(example.truth.intent for example in real if example.truth.intent)
    drawn_intents = {example.truth.intent for example in drawn}
    missing = Counter(word for (word,) in _sequences(said, 1) if (word,) not in known[1])
    return PatternCoverage(
        real=len(said),
        drawn=len(patterns),
        words=_share(shares[1]),
        pairs=_share(shares[2]),
        triples=_share(shares[3]),
        utterances=_share([all((word,) in known[1] for word in words) for words in said]),
        wordings=_share([words in wordings for words in said]),
        intents=_share([intent in drawn_intents for intent in intents]),
        missing_intents={name: n for name, n in intents.most_common() if name not in drawn_intents},
        missing_words=dict(missing.most_common(_NAMED)),
        real_right=real_right,
        drawn_right=drawn_right,
    )


def delexicalised_words(example: Example) -> tuple[str, ...]:
    """The words of an utterance without punctuation, each slot's value being one sign."""
    text = example.request.utterance or ""
    spans = []
    for slot in example.truth.slots:
        start = text.casefold().find(slot.value.casefold()) if slot.start is None else slot.start
        end = start + len(slot.value) if slot.end is None else slot.end
        if 0 <= start < end <= len(text):
            spans.append((start, end))
    found: list[str] = []
    for token in tokenise(text):
        inside = [span for span in spans if span[0] <= token.start < span[1]]
        if not inside and token.text.isalnum():
            found.append(token.text)
        elif inside and token.start == inside[0][0]:
            found.append(_PLACE)
    return tuple(found)


def _sequences(utterances: Iterable[Sequence[str]], n: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[k : k + n]) for words in utterances for k in range(len(words) - n + 1))


def _share(hits: Sequence[bool]) -> CountedShare | None:
    return CountedShare.counted(sum(hits), len(hits))
