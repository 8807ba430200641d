"""Previews of changes of stages: requests are answered whole with what serves and with the change."""

from __future__ import annotations

import json
from pathlib import Path

import fakes
import msgspec
import pytest
from fakes import FakeDomain

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.impact import answered
from arbitrank.previews import stage_preview
from arbitrank.promotion import consider
from arbitrank.shortlist.build import SkillUtterance, build, write
from arbitrank.shortlist.shortlister import ShortlistSettings
from arbitrank.store.decision_settings import save_decisions
from arbitrank.store.kinds import DECISIONS, SHORTLIST
from arbitrank.store.store import Store, open_store
from arbitrank.values import Request

WORDS = {"lights": "the lamp", "shades": "the window"}


@pytest.fixture
def domains(tmp_path: Path) -> dict[str, Domain]:
    """Domains that read every request, `shades` with more confidence."""
    for name, mine in (("lights", 0.6), ("shades", 0.7)):
        fakes.artifact(tmp_path / name, name, mine=mine)
    return {name: FakeDomain(name, tmp_path / name) for name in WORDS}


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Of ten requests, four are about windows and one is out of scope."""
    owners = ["lights"] * 5 + ["shades"] * 4 + [None]
    lines = [
        {"id": str(i), "utterance": WORDS.get(name or "", "the weather"), "truth": {"domain": name, "intent": "Do"}}
        for i, name in enumerate(owners)
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def shortlister(store: Store, folder: Path, texts: dict[str, str], *, promote: bool = False) -> str:
    write(build([SkillUtterance(text, name, name, frozenset([name]), Request(utterance=text))
                 for name, text in texts.items()]), folder)  # fmt: skip
    return store.publish(folder, promote=promote).version


def test_a_shortlister_is_previewed_by_whole_answers_and_nothing_is_changed(
    domains: dict[str, Domain], store: Store, requests: Path, tmp_path: Path
) -> None:
    crossed = dict(zip(WORDS, reversed(WORDS.values()), strict=True))
    shortlister(store, tmp_path / "crossed", crossed, promote=True)
    candidate = shortlister(store, tmp_path / "straight", WORDS)
    before = store.state(SHORTLIST)
    found = stage_preview(
        store, domains, SHORTLIST, "promote", requests, called="some", shortlist=ShortlistSettings(k=1)
    )
    assert (found.impact.before, found.impact.after) == (before[1].stable, candidate)
    assert (found.impact.n, found.impact.labelled, found.impact.on) == (10, 10, "some")
    moved = {(one.before, one.after): (one.n, one.wrong_to_right) for one in found.impact.pairs}
    assert moved[("shades", "lights")] == (5, 5)
    assert moved[("lights", "shades")] == (4, 4)
    assert {(one.utterance, one.kind) for one in found.impact.worst} >= {("the lamp", "wrong to right")}
    assert found.impact.pooled is not None
    assert found.impact.pooled.after.irer < found.impact.pooled.before.irer
    assert found.curves.keys() == {"before", "after"}
    assert found.own == {}
    assert any("no audit set" in one for one in found.impact.notes)
    assert store.state(SHORTLIST) == before
    assert msgspec.json.encode(found)


def test_decision_settings_are_previewed_with_the_gates_own_reasons(
    domains: dict[str, Domain], store: Store, requests: Path, tmp_path: Path
) -> None:
    store.set_audit_set(requests)
    save_decisions(DecisionSettings(none=0.0), tmp_path / "none")
    store.publish(tmp_path / "none")
    found = stage_preview(store, domains, DECISIONS, "promote", requests)
    assert found.impact.decisions["after"].none == 1.0
    assert found.impact.decisions["before"].none == 0.0
    assert {(one.before, one.after) for one in found.impact.pairs} == {("shades", None)}
    assert found.reasons == consider(store, domains, DECISIONS).reasons
    store.promote(DECISIONS, store.state(DECISIONS)[1].candidate or "")
    save_decisions(DecisionSettings(none=0.9), tmp_path / "others")
    store.publish(tmp_path / "others", promote=True)
    back = stage_preview(store, domains, DECISIONS, "rollback", requests)
    assert back.impact.decisions["after"].none == 1.0


def test_of_many_requests_a_sample_is_answered(
    domains: dict[str, Domain], store: Store, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_decisions(DecisionSettings(none=0.0), tmp_path / "none")
    store.publish(tmp_path / "none")
    monkeypatch.setitem(answered.answered_impact.__kwdefaults__, "most", 4)
    found = stage_preview(store, domains, DECISIONS, "promote", requests)
    assert found.impact.n == 4
    assert "4 of 10 requests, drawn at random" in found.impact.notes


def test_what_is_no_change_of_a_stage_is_refused(domains: dict[str, Domain], store: Store, requests: Path) -> None:
    with pytest.raises(InputError, match=r"\.decisions: no candidate in"):
        stage_preview(store, domains, DECISIONS, "promote", requests)
    with pytest.raises(InputError, match="no probabilities of its own"):
        stage_preview(store, domains, DECISIONS, "shrink", requests)
