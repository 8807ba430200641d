"""The kinds of artifact: reserved names, what an earlier version kept under other names, and their promotion."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import ArtifactError, InputError
from arbitrank.promotion import consider, promote
from arbitrank.regular_files import open_regular
from arbitrank.selftest import STAGES
from arbitrank.store.artifact import Manifest, read_manifest, seal
from arbitrank.store.decision_settings import load_decisions, save_decisions
from arbitrank.store.history import History
from arbitrank.store.kinds import DECISIONS, HYPRANK, RESERVED, SHORTLIST, checked_name, is_name, name_in_store
from arbitrank.store.prune import prune
from arbitrank.store.signing import Keys, keygen, open_key, sign
from arbitrank.store.state import Change, State
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks
from arbitrank.store.versions import upload


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def complete(folder: Path, name: str, text: str = "x") -> Path:
    """An artifact with the files of its kind, whose content is no model's."""
    folder.mkdir(parents=True)
    for path in RESERVED[name_of(name)].files:
        (folder / path).write_text(text)
    seal(folder, Manifest(domain=name, package="arbitrank", package_version="1"))
    return folder


def name_of(name: str) -> str:
    return next(reserved for reserved, kind in RESERVED.items() if name in (reserved, kind.earlier))


def decisions(folder: Path, none: float) -> Path:
    save_decisions(DecisionSettings(none=none), folder)
    return folder


# --------------------------------------------------------------------------------------------------------------- names


def test_every_stage_has_a_loader_and_a_check() -> None:
    assert STAGES.keys() == RESERVED.keys()


def test_a_reserved_name_begins_with_a_dot_and_shortlist_is_a_spelling_of_one() -> None:
    assert all(name.startswith(".") and is_name(name) for name in RESERVED)
    assert checked_name("shortlist") == SHORTLIST
    assert checked_name("hyprank") == "hyprank"  # a domain can have this name
    for name in (".audit", ".other", "Lights"):
        with pytest.raises(InputError, match="is no domain's name, expected lower-case letters"):
            checked_name(name)


def test_the_files_of_an_artifact_tell_a_hyprank_from_a_domain_of_this_name() -> None:
    assert name_in_store("hyprank", ["hyprank.json", "trees.txt"]) == HYPRANK
    assert name_in_store("hyprank", ["reranker/weights.json"]) == "hyprank"


@pytest.mark.parametrize(("name", "file"), [(HYPRANK, "hyprank.json"), ("shortlist", "shortlist.json")])
def test_an_artifact_without_the_files_of_its_kind_is_refused(
    tmp_path: Path, store: Store, name: str, file: str
) -> None:
    (tmp_path / "a").mkdir()
    seal(tmp_path / "a", Manifest(domain=name, package="arbitrank", package_version="1"))
    with pytest.raises(ArtifactError, match=f"files: {file} is missing, expected in {name}"):
        store.publish(tmp_path / "a")


@pytest.mark.parametrize("name", [*RESERVED, "hyprank"])
def test_an_artifact_is_kept_under_the_name_of_its_kind(tmp_path: Path, store: Store, name: str) -> None:
    version = store.publish(complete(tmp_path / "a", name), promote=True).version
    reserved = name_of(name)
    assert store.domains() == [reserved]
    assert store.versions(reserved) == [version]
    assert read_manifest(store.fetch(reserved, version)).domain == name
    assert [check.problem for check in store_checks(store) if check.problem] == []


def test_a_key_is_trusted_for_its_own_name_only(tmp_path: Path) -> None:
    """Neither a domain's key nor another stage's is that of a HypRank, up to version 0.1 `hyprank.pub`."""
    (tmp_path / "keys").mkdir()
    store = open_store(tmp_path / "store", Keys(tmp_path / "keys"), environment={})
    key, _, _ = keygen(tmp_path / "team")
    for name in ("hyprank", ".shortlist", ".changes"):
        (tmp_path / "keys" / f"{name}.pub").write_bytes((tmp_path / "team.pub").read_bytes())
    private = open_key(key, {})
    assert private
    new, old = complete(tmp_path / "new", HYPRANK), complete(tmp_path / "old", "hyprank")
    sign(new, private)
    sign(old, private)
    with pytest.raises(ArtifactError, match=r"no key of \.hyprank in .*, expected \.hyprank\.pub"):
        store.publish(new)
    version = store.publish(old, promote=True, key=private).version
    assert store.stable(HYPRANK) == store.fetch(HYPRANK, version)


# ------------------------------------------------------------------------------------- what an earlier version has kept


@pytest.fixture
def earlier(tmp_path: Path, store: Store) -> list[str]:
    """Three versions in the folder `shortlist`, the second of which is stable and the third a candidate."""
    backend, versions = store.backend, []
    for text in ("one", "two", "three"):
        folder = complete(tmp_path / text, "shortlist", text)
        manifest = read_manifest(folder)
        upload(backend, folder, "shortlist", manifest, None)
        versions.append(manifest.version)
    one, two, three = versions
    history = History(backend, "shortlist/history", Change)
    assert history.append(Change(number=1, verb="promote", state=State(stable=one)))
    assert history.append(Change(number=2, verb="promote", state=State(stable=two, previous=one, candidate=three)))
    return versions


@pytest.mark.parametrize("name", [SHORTLIST, "shortlist"])
def test_what_is_kept_under_shortlist_is_read(store: Store, earlier: list[str], name: str) -> None:
    one, two, three = earlier
    assert store.state(name) == (0, State(stable=two, previous=one, candidate=three))
    assert store.domains() == [SHORTLIST]
    assert store.versions(name) == sorted(earlier)
    assert [change.verb for change in store.history(name)] == ["promote", "promote"]
    assert read_manifest(store.fetch(name, two)).version == two
    assert [check.problem for check in store_checks(store) if check.problem] == []


def test_the_first_change_continues_from_the_state_under_shortlist(
    tmp_path: Path, store: Store, earlier: list[str]
) -> None:
    one, two, _ = earlier
    before = files(tmp_path / "store" / "shortlist")
    four = store.publish(complete(tmp_path / "four", SHORTLIST, "four")).version
    assert store.state(SHORTLIST) == (1, State(stable=two, previous=one, candidate=four))
    assert store.rollback("shortlist").state == State(stable=one, previous=two, candidate=four)
    assert read_manifest(store.fetch(SHORTLIST, one)).domain == "shortlist"
    assert [change.verb for change in store.history(SHORTLIST)] == ["promote", "promote", "publish", "rollback"]
    assert files(tmp_path / "store" / "shortlist") == before
    assert [check.problem for check in store_checks(store) if check.problem] == []


def test_versions_under_shortlist_are_pruned(tmp_path: Path, store: Store, earlier: list[str]) -> None:
    one, two, three = earlier
    four = store.publish(complete(tmp_path / "four", SHORTLIST, "four"), promote=True).version
    assert prune(store, "shortlist", keep=1, grace=-1) == [one]
    assert store.state(SHORTLIST)[1] == State(stable=four, previous=two, candidate=three)
    assert store.versions(SHORTLIST) == sorted([two, three, four])
    assert not list((tmp_path / "store" / "shortlist").glob(f"{one}*"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------------ promotion


def test_decision_settings_are_published_judged_promoted_and_rolled_back(tmp_path: Path, store: Store) -> None:
    first = store.publish(decisions(tmp_path / "one", 0.4)).version
    assert promote(store, consider(store, {}, DECISIONS))
    second = store.publish(decisions(tmp_path / "two", 0.6)).version
    assert store.canary(DECISIONS, 0.1).state.canary == 0.1
    judgement = consider(store, {}, DECISIONS)
    assert (judgement.version, judgement.reasons) == (second, ())
    assert promote(store, judgement)
    folder = store.stable(DECISIONS)
    assert folder
    assert load_decisions(folder) == DecisionSettings(none=0.6, version=second)
    assert store.rollback(DECISIONS).state == State(stable=first, previous=second)


@pytest.mark.parametrize("content", ['{"none": 1.5}', '{"clarify": "much"}', "[]", ""])
def test_decision_settings_out_of_range_fail_the_self_test(tmp_path: Path, store: Store, content: str) -> None:
    folder = decisions(tmp_path / "a", 0.5)
    (folder / "decisions.json").write_text(content)
    seal(folder, read_manifest(folder))
    store.publish(folder)
    judgement = consider(store, {}, DECISIONS)
    assert [reason.what for reason in judgement.reasons] == ["self-test"]
    assert "no decision settings that can be read" in (judgement.problem or "")
    assert promote(store, judgement) is None


def test_a_stage_that_cannot_be_loaded_fails_the_self_test(tmp_path: Path, store: Store) -> None:
    for name in (SHORTLIST, HYPRANK):
        store.publish(complete(tmp_path / name, name))
        assert [reason.what for reason in consider(store, {}, name).reasons] == ["self-test"]


def test_a_candidate_is_hashed_once(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(decisions(tmp_path / "one", 0.4))
    hashed = counted(monkeypatch)
    assert promote(store, consider(store, {}, DECISIONS))
    assert hashed == ["decisions.json"]


def test_a_candidate_that_is_altered_after_its_verification_is_not_what_is_judged(tmp_path: Path, store: Store) -> None:
    version = store.publish(decisions(tmp_path / "one", 0.4)).version
    with store.checked_out(DECISIONS, version) as folder:
        kept = tmp_path / "store" / DECISIONS / version / "decisions.json"
        kept.write_text('{"none": 0.9}')
        assert load_decisions(folder) == DecisionSettings(none=0.4, version=version)
    assert not folder.exists()
    with pytest.raises(ArtifactError, match=r"decisions\.json: its SHA-256"), store.checked_out(DECISIONS, version):
        pass


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from a store, and hashed, from now on."""
    hashed: list[str] = []

    def counting(path: Path, limit: int, *, links: bool) -> BinaryIO:
        hashed.append(path.name)
        return open_regular(path, limit, links=links)

    monkeypatch.setattr("arbitrank.store.artifact_checks.open_regular", counting)
    return hashed
