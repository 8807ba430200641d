"""The kernels of a Shortlister, trained on lines and on the skills' own texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from arbitrank.shortlist.catalogue import SkillCatalogue, descriptive_texts
from arbitrank.shortlist.cold_fitting import cold_start
from arbitrank.shortlist.embedding import EmbeddingKernel
from arbitrank.shortlist.index_training import train_index
from arbitrank.shortlist.shortlister import Shortlister
from arbitrank.wire.catalogue_lines import CatalogueSkill

if TYPE_CHECKING:
    from arbitrank.shortlist.build import ClassifierTrainer, SkillUtterance
    from arbitrank.shortlist.linear import LinearKernel

__all__ = ["with_kernels"]


def with_kernels(
    lines: Sequence[SkillUtterance],
    skills: SkillCatalogue,
    known: Sequence[CatalogueSkill],
    classifier: ClassifierTrainer | None,
    linear: Callable[[Sequence[str], Sequence[int]], LinearKernel] | None,
    embedding: EmbeddingKernel | None = None,
) -> Shortlister:
    """An uncalibrated Shortlister trained on lines and the skills' descriptive texts; only lines count as usage."""
    numbers = [skills.number(line.skill) or 0 for line in lines]
    used = np.array(numbers, np.int64)
    # The texts are made twice: all of a million skills' at once would take more memory than the index.
    counts = np.fromiter((len(descriptive_texts(one.skill)) for one in known), np.int64, len(known))
    texts = chain((line.utterance for line in lines), (text for one in known for text in descriptive_texts(one.skill)))
    of_texts = np.concatenate((used, np.repeat(np.arange(len(known)), counts)))
    index = train_index(texts, of_texts, len(skills), uses=np.bincount(used, minlength=len(skills)))
    return Shortlister(
        skills,
        index,
        # Lines of removed skills are left out, perhaps all: a kernel needs lines, the linear one a choice of skills.
        classifier=classifier(lines, numbers) if classifier and lines else None,
        linear=linear([line.utterance for line in lines], numbers) if linear and len(set(numbers)) > 1 else None,
        cold=cold_start(known, [line.utterance for line in lines], used, embedding),
    )
