"""Installed plugins on a corpus: each trained through the contract, as its owner does, and scored on held-out requests.

They are compared with R0 on their hypotheses. The contract does not show the hypotheses that a plugin learns from, so
no other re-ranker can be trained on them.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from arbitrank.arbitration.competition import UNVERSIONED
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.dispatch import query_each
from arbitrank.arbitration.fallback import fallback_role
from arbitrank.arbitration.hosted_domain import ServiceDomain
from arbitrank.arbitration.merge import BestReadings
from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.profiles import profiles_of
from arbitrank.arbitration.scaled_model import scaled, scales_of, unscaled
from arbitrank.decisions.scope import LEAST
from arbitrank.domain import Domain, Model, Progress, Scores, Settings
from arbitrank.errors import ArbitrankError, InputError, PluginError
from arbitrank.evaluate.corpus import Corpus
from arbitrank.evaluate.hypotheses import Readings, Recognised, files, save
from arbitrank.evaluate.labelled import LabelledReadings
from arbitrank.evaluate.runs import Clock, DomainRun, SharedCorpus, in_processes, peak, splits
from arbitrank.guard import Fault, guarded
from arbitrank.learn.evidence import own_request
from arbitrank.learn.rerankers import baseline
from arbitrank.registry import discover, loaded
from arbitrank.scales import DEFAULT, FIELDS, NO_SCALES, domain_scales
from arbitrank.scores import distinct_hypotheses
from arbitrank.semer import entirely_right
from arbitrank.values import Example, Hypothesis

PLUGINS = "plugins"
"""Name of the system that consists of the installed plugins."""

_KEPT = 5  # one training request in so many is kept back to tune on

_Answer = tuple[Sequence[Hypothesis], Scores | None]


def run_plugins(corpus: Corpus, folder: Path, *, seed: int = 0, jobs: int = 1, progress: Progress) -> list[DomainRun]:
    """Train the plugin of every domain of the corpus and score the held-out requests; in the order of names.

    Their hypotheses are kept in the folder. Raises `InputError` as `installed` does, and `PluginError` where one cannot
    be trained.
    """
    installed(corpus)
    tasks = [(name, path, seed) for name, path in files(corpus, folder).items()]
    runs = in_processes(_run, corpus, tasks, jobs=jobs, stage="plugins", progress=progress)
    return sorted(runs, key=lambda one: one.domain)


def with_settings(
    corpus: Corpus, given: Mapping[str, Any], in_force: DecisionSettings
) -> tuple[Corpus, Mapping[str, Any]]:
    """The corpus and the given decision settings, with a note on the version of those in force, and their fallback."""
    given = {"fallback": in_force.fallback, "groups": in_force.groups, **given}
    if in_force.version is None:
        return corpus, given
    note = f"plugins decide by the decision settings {in_force.version}"
    changed = in_force.competition.outdated(dict.fromkeys(corpus.domains, UNVERSIONED)) if in_force.competition else []
    if changed:
        note += f"; trained again since, these compete without a slope of their own: {', '.join(changed)}"
    return dataclasses.replace(corpus, notes=(*corpus.notes, note)), given


def with_fallback(
    corpus: Corpus, runs: Sequence[DomainRun], given: Mapping[str, Any]
) -> tuple[list[DomainRun], dict[str, Any]]:
    """The runs and the given decision settings with the plugins' claims to be the fallback, as a service takes them.

    A domain that claims it and is not the fallback does not act.
    """
    role = fallback_role(profiles_of(installed(corpus)), DecisionSettings(**given))
    acting = [
        one._replace(
            readings={system: BestReadings.empty(len(corpus.held)) for system in one.readings},
            tuning={system: LabelledReadings.none(len(readings.right)) for system, readings in one.tuning.items()},
            notes=(*one.notes, f"domain {one.domain}: does not act: {role.idle[one.domain]}"),
        )
        if one.domain in role.idle
        else one
        for one in runs
    ]
    return acting, {**given, "fallback": role.name}


def installed(corpus: Corpus) -> dict[str, Domain]:
    """The plugins of the corpus's domains. Raises `InputError` where a domain has none."""
    ready = loaded(discover())
    lacking = [name for name in corpus.domains if name not in ready]
    if lacking:
        raise InputError(
            f"{corpus.name}: no plugin is loaded for {', '.join(lacking)} (loaded: {', '.join(ready) or 'none'}); "
            "run: arbitrank domains, or evaluate without --plugins"
        )
    return {name: ready[name] for name in corpus.domains}


def _run(shared: SharedCorpus, name: str, path: Path, seed: int) -> DomainRun:
    corpus, domain = shared.value, loaded(discover())[name]  # again, as this may be another process
    clock, failures, kept = Clock(), list[str](), kept_back(corpus)
    held, tuning = (
        _Asked.of(corpus.held),
        _Asked.of(corpus.tuning if kept is None else [corpus.train[i] for i in kept.tolist()]),
    )
    chosen_settings = Settings(seed=seed, context_keys=corpus.named.get(name, ()))

    def ask(training: Sequence[Example], asked: _Asked, places: Sequence[int]) -> Model:
        with threadpool_limits(1), tempfile.TemporaryDirectory(prefix="arbitrank-") as folder:
            model = _trained(domain, training, Path(folder), chosen_settings, corpus.scales.get(name, {}))
            clock.lap("plugins: train")
            asked.put(name, places, _query(name, model, [asked.examples[i] for i in places], failures), training)
        clock.lap("plugins: ask")
        return model

    for rest, chosen in splits(corpus, seed):
        training = [corpus.train[i] for i in np.flatnonzero(rest)]
        model = ask(training, held, np.flatnonzero(chosen).tolist())
    if corpus.tuning:
        with threadpool_limits(1):
            answers = _query(name, model, corpus.tuning, failures)
        tuning.put(name, range(len(answers)), answers, training)
        clock.lap("plugins: ask")
    elif kept is None:
        tuning = held
    elif len(kept) >= LEAST:  # else nothing is tuned
        ask([e for i, e in enumerate(corpus.train) if i % _KEPT], tuning, range(len(kept)))
    save(Recognised(name, [], [], held.readings), path)
    if name in corpus.grouped:
        held, tuning = held.keyed(), tuning.keyed()
    of_tuning = {system: tuning.labelled(system) for system in held.best}
    run = DomainRun(name, path, held.best, clock.laps, of_tuning, peak())
    if not failures:
        return run
    note = f"domain {name}: failed on {len(failures)} requests, which have no reading of it; the first: {failures[0]}"
    return run._replace(notes=(note,))


def kept_back(corpus: Corpus) -> NDArray[np.int64] | None:
    """The places of the training requests that are kept back to tune on, in a second training of each plugin.

    The contract does not show the hypotheses that a plugin learns from, so they cannot be scored out of fold. None
    where a tuning split or the other folds are there to tune on.
    """
    return None if corpus.cross_fitted or corpus.tuning else np.arange(0, len(corpus.train), _KEPT)


class _Asked(NamedTuple):
    """Requests that a plugin is asked: its readings of each, and the best ones by its scores and by R0's."""

    examples: Sequence[Example]
    readings: Readings
    best: dict[str, BestReadings]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> _Asked:
        n = len(examples)
        return cls(examples, [()] * n, {system: BestReadings.empty(n) for system in ("R0", PLUGINS)})

    def put(self, name: str, places: Iterable[int], answers: Sequence[_Answer], training: Sequence[Example]) -> None:
        """Fill in the plugin's answers to the requests at `places`; R0 learns its means from `training`."""
        requests = [own_request(e.request, _own(name, e) or ()) for e in training]
        plain = baseline(name, requests, [e.truth for e in training])
        for i, (hypotheses, scores) in zip(places, answers, strict=True):
            self.readings[i] = tuple(hypotheses)
            self.best[PLUGINS].put([i], [scores])
            if hypotheses:
                self.best["R0"].put([i], [plain.rerank(own_request(self.examples[i].request, hypotheses))])

    def keyed(self) -> _Asked:
        """These answers, their best readings with the keys that groups compare."""
        return self._replace(best={system: one.keyed(self.readings) for system, one in self.best.items()})

    def labelled(self, system: str) -> LabelledReadings:
        """The best readings by a system's scores, with their labels."""
        right = [
            float(k >= 0 and entirely_right(own[k], example.truth))
            for k, own, example in zip(self.best[system].best, self.readings, self.examples, strict=True)
        ]
        return LabelledReadings(self.best[system], np.array(right))


def _trained(
    domain: Domain, examples: Sequence[Example], folder: Path, settings: Settings, scales: Mapping[str, str]
) -> Model:
    def train() -> Model:
        if isinstance(domain, ServiceDomain):  # its weights are elsewhere; hypotheses of a corpus have been read
            given = any(example.request.hypotheses is not None for example in examples)
            domain.look()()
            return domain.serving(dict.fromkeys(FIELDS, DEFAULT) if given else scales).model
        domain.train([example.seen_by(domain.name) for example in examples], folder, settings)
        own = scaled(domain.load(folder), domain_scales(scales), domain_scales(domain.scales))
        return scaled(unscaled(own), NO_SCALES, scales_of(own, recognised=True))  # the corpus has been read

    model = guarded(train)
    if not isinstance(model, Fault):
        return model
    if isinstance(model.error, ArbitrankError):
        raise model.error
    raise PluginError(f"domain {domain.name}: its training failed: {model.reason}") from model.error


def _own(name: str, example: Example) -> tuple[Hypothesis, ...] | None:
    """The domain's own hypotheses among those that the example brings, None where it brings none."""
    given = example.request.hypotheses
    return None if given is None else tuple(h for h in given if h.domain == name)


def _query(name: str, model: Model, examples: Sequence[Example], failures: list[str]) -> list[_Answer]:
    """The domain's hypotheses of each request and its scores, None where it has no reading or fails."""
    answers: list[_Answer] = []
    given = [_own(name, example) for example in examples]
    outcomes = query_each(name, model, [example.request for example in examples], given)
    for example, own, outcome in zip(examples, given, outcomes, strict=True):
        if isinstance(outcome, Failed):
            failures.append(f"{example.request.id}: {outcome.reason}")
            answers.append(((), None))
        else:
            scales = scales_of(model, recognised=own is None) or domain_scales(outcome.scales or {})
            read = distinct_hypotheses(outcome.hypotheses, scales)
            answers.append((read, outcome.scores if read else None))
    return answers
