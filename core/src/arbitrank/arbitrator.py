"""The life of a request: shortlist, recognise, rerank, merge, decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from arbitrank import dispatch
from arbitrank.decide import Thresholds, decide
from arbitrank.dispatch import Answered, Failed
from arbitrank.domain import Domain, Model
from arbitrank.errors import ArbitrankError, ArtifactError, PluginError, said
from arbitrank.learn.features import FeatureSpec
from arbitrank.learn.rerankers import R0
from arbitrank.merge import Voice, after_winning, merge, nobody
from arbitrank.store.artifact import verified
from arbitrank.store.folder import FolderStore
from arbitrank.values import Answer, DomainReport, Hypothesis, Request


@dataclass(frozen=True)
class Serving:
    """A domain that is ready to answer: its model, its version, and where that came from (`store` or `package`)."""

    model: Model
    version: str
    origin: str


@dataclass(frozen=True)
class Broken:
    """A domain that cannot answer at all, and why."""

    reason: str


@dataclass(frozen=True)
class Arbitrator:
    """Decides which domain should answer a request.

    `domains` holds every domain that may be asked, by name. With `rank_unserved`, hypotheses of domains that nobody
    serves are ranked by R0 instead of being reported. With `normalise`, a number in [0, 1], the domains' P(mine) are
    measured against one another before they order the list (`arbitrank.merge.after_winning`).
    """

    domains: Mapping[str, Serving | Broken]
    thresholds: Thresholds = field(default=Thresholds())
    rank_unserved: bool = False
    normalise: float | None = None

    def answer(self, request: Request, *, explain: bool = False) -> Answer:
        """The ranked readings of all domains, the decision and how each domain fared.

        What a plugin raises is in the answer, never raised.
        """
        began = perf_counter()
        given = _by_domain(request.hypotheses)
        asked = self._shortlist(given)
        listed = perf_counter()
        outcomes = {
            name: dispatch.ask(name, serving.model, request, None if given is None else given[name], explain=explain)
            for name, serving in asked.items()
        }
        voices = [
            Voice(name, outcome.hypotheses, outcome.scores, asked[name].version, outcome.why)
            for name, outcome in outcomes.items()
            if isinstance(outcome, Answered)
        ]
        unserved = {name: found for name, found in (given or {}).items() if name not in self.domains}
        if self.rank_unserved:
            voices += [self._baseline(request, name, found, explain) for name, found in unserved.items()]
        merging = perf_counter()
        ranked = merge(self._measured(voices))
        decision = decide(ranked, self.thresholds, nobody=nobody(voice.scores for voice in voices))
        done = perf_counter()
        answered = [outcome for outcome in outcomes.values() if isinstance(outcome, Answered)]
        return Answer(
            id=request.id,
            decision=decision,
            ranked=ranked,
            domains=self._reports(asked, outcomes, unserved),
            ms={
                "shortlist": _ms(listed - began),
                "recognise": round(sum(outcome.recognise_ms for outcome in answered), 4),
                "rerank": round(sum(outcome.rerank_ms for outcome in answered), 4),
                "merge": _ms(done - merging),
            },
        )

    def _measured(self, voices: Sequence[Voice]) -> Sequence[Voice]:
        """The voices, their claims measured against one another where the arbitrator is to; silent ones have none."""
        if self.normalise is None:
            return voices
        speaking = [voice for voice in voices if voice.hypotheses]
        scores = after_winning([voice.scores for voice in speaking], self.normalise)
        return [voice._replace(scores=one) for voice, one in zip(speaking, scores, strict=True)]

    def _shortlist(self, given: Mapping[str, list[Hypothesis]] | None) -> dict[str, Serving]:
        """The domains to ask: all, or those of which the caller brings hypotheses."""
        return {
            name: serving
            for name, serving in self.domains.items()
            if isinstance(serving, Serving) and (given is None or name in given)
        }

    def _baseline(self, request: Request, name: str, found: list[Hypothesis], explain: bool) -> Voice:
        own = Request(utterance=request.utterance, context=request.context, hypotheses=tuple(found))
        model = R0(FeatureSpec(name))
        return Voice(name, found, model.rerank(own), "r0", model.explain(own) if explain else None)

    def _reports(
        self,
        asked: Mapping[str, Serving],
        outcomes: Mapping[str, Answered | Failed],
        unserved: Iterable[str],
    ) -> dict[str, DomainReport]:
        reports = {}
        for name, serving in sorted(self.domains.items()):
            if isinstance(serving, Broken):
                reports[name] = DomainReport("failed", reason=serving.reason)
            elif name not in asked:
                reports[name] = DomainReport(
                    "skipped", serving.version, reason="the request brings no hypothesis of it"
                )
            else:
                reports[name] = _report(serving, outcomes[name])
        for name in sorted(unserved):
            ranked = "ranked by R0" if self.rank_unserved else "not ranked"
            reports[name] = DomainReport("unserved", reason=f"no installed domain has this name; {ranked}")
        return reports


def load_domains(domains: Mapping[str, Domain], store: FolderStore) -> dict[str, Serving | Broken]:
    """A model for each domain: of the store's stable version, else of the weights that its package ships."""
    return {name: _load(name, domain, store) for name, domain in sorted(domains.items())}


def _load(name: str, domain: Domain, store: FolderStore) -> Serving | Broken:
    try:
        folder, origin = store.stable(name), "store"
        if folder is None:
            folder, origin = domain.shipped, "package"
        if folder is None:
            raise ArtifactError(
                f"no weights: none stable in {store}, none shipped; run: arbitrank train {name} --promote"
            )
        manifest = verified(folder)
        if manifest.domain != name:
            raise ArtifactError(f"{folder}: an artifact of {manifest.domain!r}, promised one of {name!r}")
        model = domain.load(folder)
        if not isinstance(model, Model):
            raise PluginError(f"{folder}: load returned {type(model).__name__}, promised a Model")
        return Serving(model, manifest.version, origin)
    except ArbitrankError as error:
        return Broken(str(error))
    except KeyboardInterrupt:
        raise
    # `shipped` and `load` are the plugin's code and may raise anything; that domain is then out, and the others serve.
    except BaseException as error:
        return Broken(f"cannot be loaded: {said(error)}; run: arbitrank train {name} --promote")


def _report(serving: Serving, outcome: Answered | Failed) -> DomainReport:
    if isinstance(outcome, Failed):
        return DomainReport("failed", serving.version, round(outcome.ms, 4), outcome.reason)
    return DomainReport("answered", serving.version, round(outcome.recognise_ms + outcome.rerank_ms, 4))


def _by_domain(hypotheses: Iterable[Hypothesis] | None) -> dict[str, list[Hypothesis]] | None:
    if hypotheses is None:
        return None
    grouped: dict[str, list[Hypothesis]] = {}
    for hypothesis in hypotheses:
        grouped.setdefault(hypothesis.domain, []).append(hypothesis)
    return grouped


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 4)
