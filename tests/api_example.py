"""Every call of the public API, as docs/how-to/python.md shows them; type-checked by mypy, and run by a test."""

from __future__ import annotations

from pathlib import Path

import arbitrank as ar


def answer_once(store: Path) -> ar.Answer:
    """Load the installed domains once and answer an utterance and a request."""
    arbitrator = ar.Arbitrator.from_installed(
        store=store, only=["music"], decisions=ar.DecisionSettings(none=0.4, normalise=True)
    )
    answer = arbitrator.answer("play thriller", device="hub", context={"has_screen": True}, explain=True)
    if answer.best is not None:
        print(answer.decision.action, answer.best.domain, answer.best.probability)
    brought = ar.Hypothesis("music", "PlayMusic", domain_confidence=0.9, slots=(ar.Slot("title", "thriller"),))
    arbitration = arbitrator.arbitrate(ar.Request(id="1", hypotheses=(brought,)))
    print(arbitration.answer, arbitration.hypotheses)
    return answer


def ask_back(arbitrator: ar.Arbitrator) -> ar.Ranked | None:
    """Ask the user where the decision is `clarify`, and find the contender that the next words mean."""
    answer = arbitrator.answer("play cinderella")
    if answer.decision.action != "clarify":
        return answer.chosen
    choice: ar.Choice = ar.choose(answer, "the second one", language="en")
    return None if choice.choice is None else answer.ranked[choice.choice]


def rank_payload(arbitrator: ar.Arbitrator, payload: object) -> ar.Answer:
    """Answer with the readings of another system, here of a Rasa bot."""
    return arbitrator.answer(ar.import_payload(payload, "rasa", domain="music"))


def verify_signatures(store: Path, keys: Path) -> ar.Arbitrator:
    """Accept only artifacts signed by a key in the folder `keys`."""
    return ar.Arbitrator.from_installed(store=store, keys=keys)


def follow(store: Path) -> ar.Answer:
    """Follow the store: promotions take effect within the polling interval."""
    with ar.Live.from_installed(store=store, only=["music"], poll=0.5) as live:
        return live.answer("play thriller", device="hub")


def learn(data: Path, store: Path) -> str | None:
    """Train a domain, and read the version that was published."""
    try:
        outcome = ar.train("music", data=data, store=store, promote=True)
    except ar.InputError as error:
        print(error)
        return None
    return outcome.version


def measure(corpus: Path) -> dict[str, object]:
    """Measure every system on a corpus."""
    metrics = ar.evaluate(corpus, seed=0, jobs=2)
    return dict(metrics["systems"])
