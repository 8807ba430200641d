"""Selection of shared negatives that are no requests of a domain: by topic, by owner, and by likeness to its own.

Two texts are alike where the cosine of their words and pairs of words, weighted by rarity, is at least 0.6. Of a topic
in which several requests are like the domain's own, none is a negative of the domain, whether it states the topic or
not: "set a timer" is no negative for a domain that sets timers.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from arbitrank.negatives.installed import NegativeSet, topic_name, topic_of
from arbitrank.normal_text import comparable
from arbitrank.values import Example

__all__ = ["SuitedNegatives", "in_turns", "situated", "suited"]

ALIKE = 0.6
"""The cosine from which on two texts are alike; chosen on the reference domains and the templates of new ones."""

_SEVERAL, _SHARE = 2, 0.03  # requests of a topic that are like the domain's own, and their share in the topic
_COMPARED = 2_000  # own requests that are compared


class SuitedNegatives(NamedTuple):
    """The negatives that suit a domain, in the sets' order; topics left out, as it states them or as they are its own.

    `known` are all topics of the sets.
    """

    examples: tuple[Example, ...] = ()
    stated: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()


def suited(sets: Sequence[NegativeSet], name: str, topics: Collection[str], own: Iterable[str]) -> SuitedNegatives:
    """The negatives for the domain `name`, whose own `topics` and utterances are given.

    The topic of the domain's own name is left out too, and so is each request that it owns or that is like one of its
    own. The same data give the same selection.
    """
    every = [example for one in sets for example in one.examples]
    known = frozenset(map(topic_of, every))
    left = known & {topic_name(topic) for topic in (*topics, name)}
    kept = [one for one in every if topic_of(one) not in left and not one.truth.owned_by(name)]
    texts = sorted({comparable(text) for text in own})
    near = _alike([comparable(one.request.utterance or "") for one in kept], texts)
    sizes = Counter(map(topic_of, kept))
    counts = Counter(topic_of(one) for one, is_near in zip(kept, near, strict=True) if is_near)
    alike = {topic for topic, n in counts.items() if n >= _SEVERAL and n >= _SHARE * sizes[topic]}
    chosen = (one for one, is_near in zip(kept, near, strict=True) if not is_near and topic_of(one) not in alike)
    return SuitedNegatives(tuple(chosen), tuple(sorted(left)), tuple(sorted(alike)), known)


def _alike(texts: Sequence[str], own: Sequence[str]) -> list[bool]:
    """True for each text that is like one of the domain's own."""
    if not texts or not own:
        return [False] * len(texts)
    import numpy as np
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    compared = random.Random(0).sample(own, min(len(own), _COMPARED))
    counted = CountVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), lowercase=False, binary=True, dtype=np.float64)
    matrix = counted.fit_transform([*texts, *compared])
    rarity = np.log(matrix.shape[0] / np.asarray(matrix.sum(axis=0)).ravel())
    matrix = normalize(matrix @ sp.diags_array(rarity))
    cosines = (matrix[: len(texts)] @ matrix[len(texts) :].T).max(axis=1).toarray().ravel()
    equal = set(own)
    return [bool(cosine >= ALIKE) or text in equal for cosine, text in zip(cosines.tolist(), texts, strict=True)]


def in_turns(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many of the negatives, of each topic in turns, in their order."""
    groups: defaultdict[str, deque[int]] = defaultdict(deque)
    for i in random.Random(0).sample(range(len(examples)), len(examples)):
        groups[topic_of(examples[i])].append(i)
    chosen: list[int] = []
    while groups and len(chosen) < most:
        for topic in sorted(groups):
            chosen.append(groups[topic].popleft())
            if not groups[topic]:
                del groups[topic]
    return [examples[i] for i in sorted(chosen[:most])]


def situated(examples: Sequence[Example], own: Sequence[Example]) -> list[Example]:
    """The negatives in situations of the domain's own requests, so that the words alone tell the two apart."""
    contexts = [one.request.context for one in own] or [{}]
    draw = random.Random(0)
    return [
        msgspec.structs.replace(one, request=msgspec.structs.replace(one.request, context=draw.choice(contexts)))
        for one in examples
    ]
