"""Checks of what a `Domain` states: the types of its attributes, its methods, and its description of hypotheses."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from arbitrank.domain import Domain, Model
from arbitrank.guard import Fault, guarded
from arbitrank.learn.described import check_names, checked_features
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.plugin_hooks import stated
from arbitrank.scales import domain_scales
from arbitrank.store.kinds import is_domain
from arbitrank.testing.findings import DomainCheck, Finding, expect, of_fault, seen, warning
from arbitrank.testing.subject import Subject
from arbitrank.titles import display_names
from arbitrank.values import Hypothesis, Slot

_TRIED = 400  # hypotheses that are described


@DomainCheck
def name_and_skills_are_valid(subject: Subject) -> Iterator[Finding]:
    """The name is of lower-case letters, digits, `_` and `-`, and each skill has a name and sample phrases."""
    domain = subject.domain
    expect(
        is_domain(domain.name), f"its name is {domain.name!r}, expected lower-case letters, digits, _ and -; rename it"
    )
    skills: Any = guarded(stated, domain, "skills")
    if isinstance(skills, Fault):
        yield from of_fault(skills, "skills")
        return
    if not skills:
        yield seen("it has no skills", "one at least", "return (Skill(self.name, description, phrases),)")
    for skill in skills:
        if isinstance(skill.phrases, str):
            fix = f"write ({skill.phrases!r},)"
            yield seen(f"skill {skill.name!r} has the phrases {skill.phrases!r}, a text", "a tuple of texts", fix)
        elif not (skill.name and skill.phrases):
            fix = "give it some, from which a Shortlister learns"
            text = f"skill {skill.name!r} has no sample phrases"
            # The default skill, which the author has not written, has none.
            yield warning(text, "one at least", fix) if _default_skills(domain) else seen(text, "one at least", fix)


def _default_skills(domain: Domain) -> bool:
    return type(domain).skills is Domain.skills


@DomainCheck
def attributes_have_their_types(subject: Subject) -> Iterator[Finding]:
    """Title, display names, scales, context keys, topics and the others are of the types that the contract gives."""
    domain = subject.domain
    for problem in display_names(domain.name, domain).problems:
        yield seen(problem, "", "correct it")
    keys: Any = guarded(getattr, domain, "context_keys")
    if isinstance(keys, str):
        yield seen(f"context_keys is {keys!r}, a text", "a list of keys", f"write context_keys = ({keys!r},)")
    odd = [key for key in keys if not str(key).strip() or list(keys).count(key) > 1] if _listed(keys) else []
    if odd:
        yield warning(f"context_keys has {odd[0]!r}{' twice' if odd[0] else ''}", "each key once", "remove it")
    for name in ("context_keys", "fallback", "topics", "shared_negatives", "scales"):
        found = guarded(stated, domain, name)
        if isinstance(found, Fault):
            yield from of_fault(found, name)
        elif name == "scales" and isinstance(scales := guarded(domain_scales, found), Fault):
            for one in of_fault(scales, name):
                yield seen(f"scales: {one.seen}", one.expected, one.fix or "see docs/how-to/scales.md")


def _listed(keys: Any) -> bool:
    return isinstance(keys, Collection) and not isinstance(keys, str)


@DomainCheck
def methods_have_the_names_of_the_contract(subject: Subject) -> Iterator[Finding]:
    """No method has nearly the name of one of the contract that is left out, so that the core would not call it."""
    model = getattr(subject.model, "model", subject.model)
    for one, base in ((type(subject.domain), Domain), (type(model), Model)):
        if not issubclass(one, base) or one.__module__.startswith("arbitrank."):
            continue
        own = {name for kind in one.__mro__ if not kind.__module__.startswith("arbitrank.") for name in vars(kind)}
        left_out = [name for name in dir(base) if not name.startswith("_") and name not in own]
        for name in sorted(own - set(dir(base))):
            if not name.startswith("_") and (near := get_close_matches(name, left_out, n=1, cutoff=0.85)):
                yield warning(f"{one.__name__} has {name}, which the core never calls", near[0], f"rename it {near[0]}")


@DomainCheck
def shipped_is_a_folder_or_none(subject: Subject) -> Iterator[Finding]:
    """`shipped` is the folder of the weights in the package, or None where it ships none."""
    shipped = guarded(stated, subject.domain, "shipped")
    if isinstance(shipped, Fault):
        yield from of_fault(shipped, "shipped")
    elif shipped is not None and not shipped.is_dir():
        fix = f"run: arbitrank train {subject.name} --out {shipped}, or return None where it is not there"
        yield seen(f"shipped is {shipped}, which is not there", "a folder of weights, or None", fix)


@DomainCheck
def models_are_frozen(subject: Subject) -> Iterator[Finding]:
    """The model's class lets no attribute be set, so that no answer can change the next."""
    model: Any = subject.model
    model = getattr(model, "model", model)
    if model is None or type(model).__module__.startswith("arbitrank."):
        return
    parameters = getattr(type(model), "__dataclass_params__", None)
    if parameters is not None and not parameters.frozen:
        name = type(model).__name__
        yield warning(f"{name} is a dataclass that is not frozen", "a frozen model", "write @dataclass(frozen=True)")


@DomainCheck
def describe_gives_the_same_finite_names(subject: Subject) -> Iterator[Finding]:
    """`describe` returns finite numbers under the same names for every hypothesis, whatever slots it has."""
    domain = subject.domain
    if not isinstance(domain, ReferenceDomain):
        return
    code = inspect.unwrap(type(domain).describe).__code__
    place: dict[str, str | int | None] = {
        "file": code.co_filename, "line": code.co_firstlineno, "key": "describe"
    }  # fmt: skip
    described: list[Hypothesis] = []
    told: set[str] = set()
    for hypothesis in _hypotheses(subject):
        features = guarded(_features, domain, hypothesis)
        if isinstance(features, Fault):
            slots = ", ".join(f"{slot.name}={slot.value!r}" for slot in hypothesis.slots) or "no slots"
            for one in of_fault(features, f"describe of a hypothesis with {slots}"):
                if one.seen not in told and len(told) < 3:
                    told.add(one.seen)
                    fix = one.fix or "return the same names with finite numbers each time"
                    yield seen(one.seen, one.expected, fix, "broken", **place)
        else:
            described.append(Hypothesis(hypothesis.domain, hypothesis.intent, features=features))
    named = guarded(check_names, f"domain {subject.name}", described)
    if isinstance(named, Fault):
        for one in of_fault(named, "describe"):
            yield seen(one.seen, one.expected, one.fix, "broken", **place)


def _features(domain: ReferenceDomain, hypothesis: Hypothesis) -> dict[str, float]:
    return checked_features(domain.describe(hypothesis))


def _hypotheses(subject: Subject) -> Iterator[Hypothesis]:
    name = subject.name
    yield Hypothesis(name, "Probe")
    for value in ("", "no such value", "\u0000ünï", "1985", "x" * 1_000):
        yield Hypothesis(name, "Probe", slots=(Slot("other", value), Slot("title", value), Slot("title", value)))
    examples = guarded(lambda: subject.examples)
    for example in () if isinstance(examples, Fault) else examples[:_TRIED]:
        if example.truth.owned_by(name) and example.truth.intent:
            yield Hypothesis(name, example.truth.intent, 0.5, 0.5, example.truth.slots)


CONTRACT_CHECKS = (
    name_and_skills_are_valid,
    attributes_have_their_types,
    shipped_is_a_folder_or_none,
)
