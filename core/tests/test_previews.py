"""Previews of a change over HTTP: what would serve is replayed and judged, and nothing is changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from benchmarks.exchanged import World, world
from msgspec.structs import replace
from starlette.exceptions import HTTPException

from arbitrank import previews
from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.errors import Conflict, InputError
from arbitrank.impact.gate import judge
from arbitrank.impact.plan import plan
from arbitrank.impact.report import measure
from arbitrank.outcomes.suite_runs import CaseResult, SuiteRun
from arbitrank.previews import preview
from arbitrank.registry import Loaded, Source
from arbitrank.serve import impact_process
from arbitrank.serve.admission import Admission
from arbitrank.serve.app import App
from arbitrank.serve.auth import make_token
from arbitrank.serve.domain_messages import DomainCards, ImpactCall, ShrinkCall
from arbitrank.serve.domain_routes import DomainHandlers
from arbitrank.serve.impact_process import ImpactTask
from arbitrank.serve.settings import ServiceSettings
from arbitrank.store.artifact import read_card
from arbitrank.store.state import served_with
from arbitrank.store.store import Store, open_store

NAME = "domain1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), domains=2, train=200, held=120)


@pytest.fixture(scope="module")
def candidate(made: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that learned from a few of the examples."""
    return made.build(NAME, tmp_path_factory.mktemp("candidate") / "a", 40)


@pytest.fixture
def store(made: World, candidate: Path, tmp_path: Path) -> Store:
    """A store with a candidate."""
    store = made.fill(open_store(tmp_path / "store", environment={}))
    store.publish(candidate)
    return store


def test_a_promotion_is_judged_as_the_gate_does_and_changes_nothing(made: World, store: Store) -> None:
    before = store.state(NAME)
    audit = store.audit_set()
    assert audit is not None
    found = preview(store, made.domains, NAME, "promote", audit, called="the audit set")
    folder = store.fetch(NAME, before[1].candidate or "")
    card = read_card(folder)
    impact, _ = measure(plan(made.domains, store, NAME, folder), audit, card=card, called="the audit set")
    assert msgspec.json.encode(found.impact) == msgspec.json.encode(impact)
    assert list(found.reasons) == judge(impact, card, domain=NAME)
    assert (found.change, found.verb, store.state(NAME)) == (before[0], "promote", before)
    assert found.curves.keys() == found.own.keys() == {"before", "after"}
    assert impact.pooled is not None
    assert found.curves["after"].figures == impact.pooled.calibration_after


def test_a_rollback_is_previewed_with_the_recalibration_of_then(made: World, store: Store) -> None:
    number, state = store.state(NAME)
    store.change(NAME, "shrink", served_with(state, Recalibration(0.5)), number)
    first = state.stable
    store.promote(NAME, state.candidate or "")
    found = preview(store, made.domains, NAME, "rollback", made.audit)
    assert (found.impact.after, found.recalibration) == (first, Recalibration(0.5))
    assert store.rollback(NAME).state.served_by == Recalibration(0.5)


def test_a_recalibration_is_stated_or_fitted(made: World, store: Store) -> None:
    stated = preview(store, made.domains, NAME, "shrink", made.audit, by=Recalibration(0.25))
    assert (stated.impact.before, stated.recalibration) == (stated.impact.after, Recalibration(0.25))
    assert stated.own["after"].bins[-1].probability < stated.own["before"].bins[-1].probability
    fitted = preview(store, made.domains, NAME, "shrink", made.audit, fitted=True)
    assert fitted.recalibration is None or 0.0 < fitted.recalibration.scale <= 1.0


def test_what_is_not_there_cannot_be_previewed(made: World, store: Store) -> None:
    with pytest.raises(InputError, match="domain0: no candidate in"):
        preview(store, made.domains, "domain0", "promote", made.audit)
    with pytest.raises(InputError, match="domain0: no previous version in"):
        preview(store, made.domains, "domain0", "rollback", made.audit)


@pytest.mark.parametrize(
    ("domain", "on", "error"),
    [
        (".decisions", None, "and no log; run: arbitrank audit-set FILE, or start the service with --log DIR"),
        (NAME, None, "and no log; run: arbitrank audit-set FILE, or start the service with --log DIR"),
        (NAME, "log", "no log; run: "),
        (NAME, "audit set", "no audit set in "),
    ],
)
def test_the_process_says_what_is_missing(tmp_path: Path, domain: str, on: Any, error: str) -> None:
    task = ImpactTask(str(tmp_path / "empty"), None, domain, ImpactCall(on=on), None, DecisionSettings())
    verdict = impact_process.carry_out(task)
    assert verdict.status == 409
    assert error in msgspec.json.decode(verdict.body)["error"]


def test_the_process_replies_the_preview(made: World, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Loaded(name, Source(name, "p", "1"), one) for name, one in made.domains.items()]
    monkeypatch.setattr(impact_process, "discover", lambda: found)
    call = ImpactCall(change="shrink", temperature=2.0)
    verdict = impact_process.carry_out(ImpactTask(str(store), None, NAME, call, None, DecisionSettings()))
    assert verdict.status == 200
    reply = msgspec.json.decode(verdict.body)
    assert (reply["impact"]["on"], reply["recalibration"]["scale"]) == ("the audit set", 0.5)


# ----------------------------------------------------------------------------------------------------------- routes


@pytest.fixture
def handlers(made: World, store: Store, tmp_path: Path) -> Iterator[DomainHandlers]:
    app = App(ServiceSettings(store=str(store)), tmp_path)
    app.state.found = [Loaded(name, Source(name, "p", "1"), one) for name, one in made.domains.items()]
    yield DomainHandlers(app.state)
    app.state.events.close()


def call(name: str) -> Any:
    return SimpleNamespace(path_params={"domain": name})


def test_the_cards_of_every_alias_are_shown(handlers: DomainHandlers, store: Store) -> None:
    reply = asyncio.run(handlers.card(call(NAME), None, None))
    found = msgspec.json.decode(bytes(reply.body), type=DomainCards)
    _, state = store.state(NAME)
    assert {alias: one.version for alias, one in found.cards.items()} == state.names()
    assert all(one.card is not None and one.origin == "store" for one in found.cards.values())
    assert (found.cards["stable"].rows, found.cards["candidate"].rows) == (200, 40)
    with pytest.raises(HTTPException, match="a stage has no card"):
        asyncio.run(handlers.card(call(".hyprank"), None, None))
    store.change(NAME, "adopt", replace(state, previous="f" * 12), store.state(NAME)[0])
    missing = asyncio.run(handlers.card(call(NAME), None, None))
    assert msgspec.json.decode(bytes(missing.body), type=DomainCards).cards["previous"].problem


def test_a_recalibration_is_set_and_removed_unless_another_change_came_first(
    handlers: DomainHandlers, store: Store
) -> None:
    number, _ = store.state(NAME)
    asyncio.run(handlers.shrink(call(NAME), ShrinkCall(temperature=2.0, shift=-0.5, expected=number), None))
    assert store.state(NAME)[1].served_by == Recalibration(0.5, -0.5)
    with pytest.raises(Conflict, match="was changed first by"):
        asyncio.run(handlers.shrink(call(NAME), ShrinkCall(expected=number), None))
    asyncio.run(handlers.shrink(call(NAME), ShrinkCall(reason="gone"), None))
    number, state = store.state(NAME)
    assert state.served_by is None
    assert store.history(NAME)[-1].verb == "shrink"
    with pytest.raises(HTTPException, match="no probabilities of its own"):
        asyncio.run(handlers.shrink(call(".decisions"), ShrinkCall(), None))


@pytest.mark.parametrize(
    ("scopes", "domain", "status"),
    [(["publish:lights"], "lights", None), (["publish:lights"], "shades", 403), (["log"], "shades", None),
     (["admin"], "shades", None), (["rank", "metrics"], "lights", 403)],
)  # fmt: skip
def test_a_preview_is_shown_to_whoever_may_publish_the_domain_or_read_the_log(
    tmp_path: Path, scopes: list[str], domain: str, status: int | None
) -> None:
    token, grant = make_token("one", scopes)
    (tmp_path / "tokens").write_text(f"{grant}\n")
    app = App(ServiceSettings(store=str(tmp_path / "store"), tokens=tmp_path / "tokens"), tmp_path)
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
    path = f"/v1/domains/{domain}/impact"
    scope = {"path": path, "method": "POST", "headers": headers, "http_version": "1.1", "state": {}}
    found = Admission(app.state)(scope, "127.0.0.1")
    assert getattr(found, "status", None) == status
    app.state.events.close()


def test_a_promotion_is_previewed_with_the_suites_and_the_reactions_of_the_log(
    made: World, store: Store, tmp_path: Path
) -> None:
    lines = [{**json.loads(line), "outcome": "accepted", "time": 1.0} for line in made.audit.read_text().splitlines()]
    log = tmp_path / "log" / "20260101T000000.000000Z-1-000001.jsonl"
    log.parent.mkdir()
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    broken = CaseResult(NAME, "must_win", "case 1", passes=False, answered="other", before=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(previews, "suites_of", lambda *_: SuiteRun((broken,), ("a note",)))
        found = preview(store, made.domains, NAME, "promote", made.audit, log=log.parent)
    assert found.impact.value is not None
    assert found.impact.suites == (broken,)
    assert any(one.what == "suite" and "case 1" in one.text for one in found.reasons)
    assert "a note" in found.impact.notes
