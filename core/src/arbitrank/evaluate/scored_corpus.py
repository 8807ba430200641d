"""A corpus with the scores of every domain's hypotheses read by its scales, before anything learns from them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from msgspec.structs import replace

from arbitrank.configuration import StatedScales
from arbitrank.domain import Domain
from arbitrank.errors import DataError
from arbitrank.evaluate.corpus import Corpus
from arbitrank.scales import domain_scales, unused
from arbitrank.scores import ScoreError, distinct_hypotheses
from arbitrank.values import Example, Hypothesis


def with_scales(corpus: Corpus, stated: StatedScales, readers: Mapping[str, Domain] | None) -> Corpus:
    """The corpus with scores in [0, 1] and each reading once; hypotheses that cannot be read are left out and noted.

    `readers` are the plugins that are measured, whose own scales hold where none are `stated`. Raises `InputError` for
    an unknown scale, `DataError` where no hypothesis at all can be read.
    """
    own = {name: domain.scales for name, domain in (readers or {}).items()}
    texts = {name: {**own.get(name, {}), **stated.get(name, {})} for name in corpus.domains}
    scales = {name: domain_scales(one) for name, one in texts.items()}
    refused, first = Counter[str](), dict[str, str]()

    def read(example: Example) -> Example:
        given = example.request.hypotheses
        if not given:
            return example
        found, reasons = list[Hypothesis](), dict(example.request.refused)
        for name in dict.fromkeys(h.domain for h in given):
            try:
                found += distinct_hypotheses([h for h in given if h.domain == name], scales[name])
            except ScoreError as error:
                refused[name] += 1
                first.setdefault(name, f"{example.request.id}: {error}")
                reasons[name] = str(error)
        return replace(example, request=replace(example.request, hypotheses=tuple(found), refused=reasons))

    held = tuple(map(read, corpus.held))
    cross = corpus.cross_fitted
    train, tuning = (held, ()) if cross else (tuple(map(read, corpus.train)), tuple(map(read, corpus.tuning)))
    notes = tuple(
        f"{name}: the hypotheses of {n} requests cannot be read and are left out; the first: {first[name]}"
        for name, n in sorted(refused.items())
    )
    notes = (*unused(stated, corpus.domains), *notes)
    if refused and not any(example.request.hypotheses for example in (*train, *held)):
        raise DataError("; ".join([f"{corpus.name}: no hypothesis can be read", *notes]))
    return dataclasses.replace(
        corpus, train=train, tuning=tuning, held=held, notes=(*corpus.notes, *notes), scales=texts
    )
