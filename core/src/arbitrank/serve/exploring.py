"""Exploration in a worker: other readings than the head are acted on, within budgets and the operator's policy."""

from __future__ import annotations

from pathlib import Path

from arbitrank.arbitration.arbitrator import Arbitration
from arbitrank.arbitration.policy import Policy
from arbitrank.outcomes.draws import draw_key
from arbitrank.outcomes.exploration import ExplorationSettings, alternatives, explored, session_draw
from arbitrank.outcomes.exploration_budget import ExplorationBudget
from arbitrank.selections import ExplorationDraw
from arbitrank.values import Answer, Request


class Explorer:
    """Exploration by settings, with the budgets that are kept in the folder of the log. Raises `DataError`."""

    def __init__(self, settings: ExplorationSettings, folder: Path) -> None:
        self._settings = settings
        self.budget = ExplorationBudget(folder)

    def __call__(
        self, request: Request, answer: Answer, arbitration: Arbitration, policy: Policy | None
    ) -> tuple[Answer, ExplorationDraw | None]:
        """The answer, perhaps acting on another reading, and how that was drawn; None where nothing was to draw.

        While a canary takes part, its share is the experiment, and nothing is explored.
        """
        key = draw_key(request)
        head = answer.chosen if answer.decision.action == "accept" and not arbitration.canary else None
        budget = None if head is None else self._settings.budgets.get(head.domain)
        if head is None or budget is None or key is None:
            if key is not None and request.session:
                self.budget.skip(key)
            return answer, None
        others = self.others(request, answer, arbitration, policy)
        session = key if request.session else None
        drawn = session_draw(head.domain, key)
        rate = self.budget.take(head.domain, budget, session, drawn, possible=bool(others))
        return explored(answer, others, key, rate) if rate > 0.0 else (answer, None)

    def others(
        self, request: Request, answer: Answer, arbitration: Arbitration, policy: Policy | None
    ) -> tuple[int, ...]:
        """Places of the readings that may be acted on instead of the accepted one; none without a budget for it."""
        chosen = answer.chosen
        if chosen is None or chosen.domain not in self._settings.budgets:
            return ()

        def allowed(place: int) -> bool:
            return policy is None or policy.free(request.context, answer, place)

        return alternatives(answer, self._settings.within, arbitration.decisions.accept, allowed)

    def close(self) -> None:
        """Close the budgets' file."""
        self.budget.close()
