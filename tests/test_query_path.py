"""The path of a request is short: an answer passes through few of core's files, traced as it is made.

For hypotheses that come with the request these are 17: the request's values and their checks (`values`, `built`, as no
decoder has seen what a program builds, `request_checks`, `offsets`), the arbitrator and its stages (`arbitrator`,
`lineup`, `prepared`, `dispatch`, `merge`, `decide`), what bounds a domain's faults (`guard`, `checks`), the reading of
its scores, in which equal readings count once (`scores`, `normal_text`), and the reference re-ranker (`reference`,
`scoring`, `weighted_sums`). From text, `nlu` adds 8 and `described` checks the domain's own
features, and there are no offsets of a caller to check. Scales, fallbacks, explanations, several wordings and remarks
are not among them where a request has none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

import arbitrank
from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.registry import discover, loaded
from arbitrank.store.loading import load_domains
from arbitrank.store.store import open_store
from arbitrank.values import Hypothesis, Request, Slot

CORE = str(Path(arbitrank.__file__).parent)
TEXT = Request(utterance="play mary poppins", context={"device": "tv", "preference.music": 0.5})
SLOTS = (Slot("title", "mary poppins", 0.8),)
BROUGHT = Request(
    utterance=TEXT.utterance,
    context=TEXT.context,
    hypotheses=tuple(
        Hypothesis(domain, intent, 0.6, 0.7, SLOTS, 0.8)
        for domain in ("books", "music", "video")
        for intent in ("First", "Second")
    ),
)


@pytest.fixture(scope="module")
def arbitrator(tmp_path_factory: pytest.TempPathFactory) -> Arbitrator:
    store = open_store(tmp_path_factory.mktemp("store"), environment={})
    return Arbitrator(load_domains(loaded(discover({})), store))


@pytest.mark.parametrize(("request_", "most"), [(BROUGHT, 17), (TEXT, 25)], ids=["hypotheses", "text"])
def test_an_answer_passes_through_few_files(arbitrator: Arbitrator, request_: Request, most: int) -> None:
    arbitrator.answer(request_)  # the first answer prepares what the others use
    files: set[str] = set()

    def note(frame: FrameType, event: str, arg: object) -> None:
        if frame.f_code.co_filename.startswith(CORE):
            files.add(frame.f_code.co_filename.removeprefix(CORE))

    before = sys.gettrace()
    sys.settrace(note)
    try:
        answer = arbitrator.answer(request_)
    finally:
        sys.settrace(before)
    assert {report.status for report in answer.domains.values()} == {"answered"}
    assert len(files) <= most, "\n".join(sorted(files))
