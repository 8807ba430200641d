"""Lines whose hypotheses another recogniser made than a version's, which that version has to read again."""

from __future__ import annotations

from collections.abc import Sequence

from arbitrank.impact.batch_scores import Brought
from arbitrank.impact.plan import DomainVersion
from arbitrank.wire.requests import Logged


def brought_to(
    version: DomainVersion, name: str, lines: Sequence[Logged], own: Brought, known: Sequence[DomainVersion]
) -> tuple[Brought, set[int]]:
    """The hypotheses that a version of domain `name` scores, None where it reads the words, and the places without.

    `own` are the hypotheses of each line, `known` the versions of the domain whose recognisers are known, the present
    one first. At those places there are no words to be read, and the version scores what another recogniser made.
    """
    if not version.recogniser:
        return own, set()
    again = [
        i
        for i, (line, one) in enumerate(zip(lines, own, strict=True))
        if one is not None and _by_another(line, name, version, known)
    ]
    brought, wordless = list(own), set[int]()
    for i in again:
        if lines[i].utterance is None:
            wordless.add(i)
        else:
            brought[i] = None
    return brought, wordless


def _by_another(line: Logged, name: str, version: DomainVersion, known: Sequence[DomainVersion]) -> bool:
    """True where the hypotheses of a line are another recogniser's.

    Those that domains recognised for a logged answer are of the version that answered. All others are taken to be of
    the present version: those that a file or a caller brings, and those of versions that are not known.
    """
    report = line.answer.domains.get(name) if line.recognised and line.answer is not None else None
    if report is not None and report.status in ("skipped", "unserved"):
        return False  # no version was asked
    answered = None if report is None else report.version
    reader = next((one for one in known if one.version == answered), known[0] if known else None)
    return reader is None or reader.recogniser != version.recogniser
