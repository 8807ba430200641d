"""The store in a folder: versions, states, history, and what is taken away."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from arbitrank.errors import ArtifactError, Conflict, DataError, InputError, StoreError
from arbitrank.store.artifact import MANIFEST, Manifest, seal
from arbitrank.store.artifact_checks import Check, verified
from arbitrank.store.backend import FolderBackend, Kept
from arbitrank.store.history import History
from arbitrank.store.prune import prune
from arbitrank.store.state import Change, State
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks, version_checks


def artifact(folder: Path, text: str = "x", domain: str = "lights") -> Path:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(text)
    seal(folder, Manifest(domain=domain, package="p", package_version="1"))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def named(store: Store, domain: str = "lights") -> dict[str, str]:
    return store.state(domain)[1].names()


def problems(store: Store) -> list[str]:
    return [f"{check.what}: {check.problem}" for check in store_checks(store) if check.problem]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(root, environment={})


@pytest.fixture
def versions(tmp_path: Path, store: Store) -> list[str]:
    """Three published versions of one domain; none is stable."""
    return [store.publish(artifact(tmp_path / name, name)).version for name in ("one", "two", "three")]


# ------------------------------------------------------------------------------------------------- states and history


def test_a_store_that_was_never_written_is_empty(store: Store, root: Path) -> None:
    assert store.state("lights") == (0, State())
    assert store.stable("lights") is None
    assert store.history("lights") == store.domains() == store.versions("lights") == []
    assert store.audit_set() is None
    assert problems(store) == []
    assert not root.exists()


def test_what_is_published_is_a_copy_and_the_candidate(tmp_path: Path, store: Store) -> None:
    source = artifact(tmp_path / "made")
    manifest = store.publish(source)
    assert content(store.fetch("lights", manifest.version)) == content(source)
    assert store.state("lights") == (1, State(candidate=manifest.version))
    assert store.stable("lights") is None
    assert store.domains() == ["lights"]
    assert store.versions("lights") == [manifest.version]


def test_promoting_makes_stable_what_was_stable_becomes_previous(store: Store, versions: list[str]) -> None:
    one, two, three = versions
    store.promote("lights", one)
    assert named(store) == {"candidate": three, "stable": one}
    store.promote("lights", two)
    assert named(store) == {"candidate": three, "stable": two, "previous": one}
    store.promote("lights", one)  # and back again
    assert named(store) == {"candidate": three, "stable": one, "previous": two}
    assert store.stable("lights") == store.fetch("lights", one)


def test_a_candidate_that_serves_is_none_any_more(store: Store, versions: list[str]) -> None:
    store.promote("lights", versions[2])
    assert named(store) == {"stable": versions[2]}


def test_promoting_what_is_stable_changes_nothing(store: Store, versions: list[str], root: Path) -> None:
    store.promote("lights", versions[0])
    last = store.promote("lights", versions[1])
    before = content(root)
    assert store.promote("lights", versions[1]) == last
    assert content(root) == before


def test_publishing_with_promote_is_stable_at_once(tmp_path: Path, store: Store) -> None:
    first = store.publish(artifact(tmp_path / "a", "a"), promote=True).version
    second = store.publish(artifact(tmp_path / "b", "b"), promote=True).version
    assert store.state("lights") == (2, State(stable=second, previous=first))


def test_rolling_back_serves_what_served_before_and_again_what_did_then(store: Store, versions: list[str]) -> None:
    one, two, three = versions
    store.promote("lights", one)
    store.promote("lights", two)
    change = store.rollback("lights", reason="wrong on films")
    assert (change.verb, change.reason) == ("rollback", "wrong on films")
    assert named(store) == {"candidate": three, "stable": one, "previous": two}
    store.rollback("lights")
    assert named(store) == {"candidate": three, "stable": two, "previous": one}


def test_rolling_back_brings_the_temperature_back_that_the_version_served_with(
    store: Store, versions: list[str]
) -> None:
    one, two, _ = versions
    store.promote("lights", one)
    number, state = store.state("lights")
    store.change("lights", "shrink", msgspec.structs.replace(state, temperature=2.0), number)
    store.promote("lights", two, recalibration=None)
    assert store.state("lights")[1].temperature == 1.0
    store.rollback("lights")
    assert store.state("lights")[1].temperature == 2.0


def test_without_a_version_before_there_is_nothing_to_roll_back_to(store: Store, versions: list[str]) -> None:
    store.promote("lights", versions[0])
    with pytest.raises(InputError, match=r"no previous version .* run: arbitrank rollback lights --to-package"):
        store.rollback("lights")
    number, state = store.state("lights")
    store.change("lights", "shrink", msgspec.structs.replace(state, temperature=2.0), number)
    with pytest.raises(InputError, match="run: arbitrank shrink lights --off, which removes its recalibration"):
        store.rollback("lights")


def test_a_first_version_is_taken_back_to_the_packages_weights_and_brought_again(
    store: Store, versions: list[str]
) -> None:
    store.promote("lights", versions[0])
    store.rollback("lights", to_package=True)
    assert store.state("lights")[1].names() == {"candidate": versions[2], "previous": versions[0]}
    with pytest.raises(InputError, match="the weights in its package serve"):
        store.rollback("lights", to_package=True)
    store.rollback("lights")
    assert store.state("lights")[1].stable == versions[0]


def test_the_history_has_every_change_and_the_state_after_it(store: Store, versions: list[str]) -> None:
    one, two, three = versions
    store.promote("lights", one)
    store.promote("lights", two, reason="looks fine", forced=True)
    history = store.history("lights")
    assert [(change.number, change.verb, change.state.names()) for change in history] == [
        (1, "publish", {"candidate": one}),
        (2, "publish", {"candidate": two}),
        (3, "publish", {"candidate": three}),
        (4, "promote", {"candidate": three, "stable": one}),
        (5, "promote", {"candidate": three, "stable": two, "previous": one}),
    ]
    assert [(change.reason, change.forced) for change in history] == [(None, False)] * 4 + [("looks fine", True)]
    assert all(change.by for change in history)
    assert len({change.token for change in history}) == 5
    assert (5, history[-1].state) == store.state("lights")


def test_a_change_is_refused_after_a_concurrent_one(store: Store, root: Path, versions: list[str]) -> None:
    number, _ = store.state("lights")
    other = open_store(root, environment={})
    other.promote("lights", versions[0])
    with pytest.raises(Conflict, match=f"changed first by .*: promote, change 4, stable {versions[0]}, .*history"):
        store.promote("lights", versions[1], expected=number)
    assert store.state("lights") == other.state("lights")
    assert named(store)["stable"] == versions[0]
    store.promote("lights", versions[1], expected=4)


def test_of_two_who_read_the_same_number_one_wins(
    store: Store, root: Path, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other appends between this one's look at the history and its own change."""
    other = open_store(root, environment={})
    append = History.append

    def late(history: History[Change], entry: Change, key: None) -> bool:
        monkeypatch.setattr(History, "append", append)
        other.promote("lights", versions[0])
        return append(history, entry)

    monkeypatch.setattr(History, "append", late)
    with pytest.raises(Conflict):
        store.promote("lights", versions[1])
    assert named(store)["stable"] == versions[0]


def test_a_new_candidate_begins_without_a_share_of_the_requests(
    tmp_path: Path, store: Store, versions: list[str]
) -> None:
    number, state = store.state("lights")
    store.change("lights", "canary", msgspec.structs.replace(state, canary=0.2), number)
    store.publish(artifact(tmp_path / "again", "three"))  # the same candidate
    assert store.state("lights")[1].canary == 0.2
    store.publish(artifact(tmp_path / "four", "four"))
    assert store.state("lights")[1].canary == 0.0


@pytest.mark.parametrize(
    "wrong", [{"canary": 1.5}, {"canary": float("nan")}, {"temperature": 0.0}, {"stable": "../x"}, {"candidate": ""}]
)
def test_a_state_that_is_none_is_never_kept(store: Store, versions: list[str], wrong: dict[str, object]) -> None:
    number, state = store.state("lights")
    with pytest.raises(InputError, match="invalid change"):
        store.change("lights", "change", msgspec.structs.replace(state, **wrong), number)
    assert store.state("lights") == (number, state)


def test_a_state_is_described_in_words() -> None:
    assert str(State()) == "no alias"
    state = State(stable="a" * 12, candidate="b" * 12, temperature=1.5, canary=0.05)
    assert str(state) == f"stable {'a' * 12}, candidate {'b' * 12}, temperature 1.5, canary 5 %"
    assert str(State(removing=("c" * 12, "d" * 12))) == f"removing {'c' * 12} {'d' * 12}"


def test_a_share_goes_to_a_candidate_beside_what_is_stable_alone(store: Store, versions: list[str]) -> None:
    store.promote("lights", versions[2])
    with pytest.raises(InputError, match="lights: no candidate in"):
        store.canary("lights", 0.5)
    number, state = store.state("lights")
    store.change("lights", "publish", msgspec.structs.replace(state, candidate=versions[2]), number)
    with pytest.raises(InputError, match="lights: the candidate is stable in"):
        store.canary("lights", 0.5)


def test_a_version_that_cannot_be_read_fails_its_check_and_the_others_are_checked(
    store: Store, versions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.publish(artifact(tmp_path / "other", "other", domain="heating"), promote=True)
    one, *_ = versions
    under = FolderBackend.under

    def refuse_one(store: Store, name: str, version: str) -> Iterator[Check]:
        if version == one:
            raise ArtifactError("5000 files of it")
        return version_checks(store, name, version)

    with monkeypatch.context() as patched:
        patched.setattr("arbitrank.store.store_checks.version_checks", refuse_one)
        found = {check.what: check.problem for check in store_checks(store)}
        assert found[f"lights/{one}"] == "5000 files of it"
        assert len(found) > 5
        assert not any(problem for what, problem in found.items() if what != f"lights/{one}")

    def refuse_lights(self: FolderBackend, prefix: str) -> list[Kept]:
        if prefix.startswith("lights"):
            raise StoreError("lights cannot be read: Permission denied")
        return under(self, prefix)

    monkeypatch.setattr(FolderBackend, "under", refuse_lights)
    found = {check.what: check.problem for check in store_checks(store)}
    assert found.pop("lights") == "lights cannot be read: Permission denied"
    assert "heating stable" in found
    assert not any(found.values())


def test_the_clock_gives_no_order(store: Store, versions: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6, 0, -1))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    for version in versions:
        store.promote("lights", version)
    assert named(store)["stable"] == versions[2]
    store.rollback("lights")
    assert named(open_store(str(store), environment={})) == {
        "stable": versions[1],
        "previous": versions[2],
    }


# ----------------------------------------------------------------------------------------------------------- publishing


def test_the_same_version_twice_stays_as_it_was(tmp_path: Path, store: Store, root: Path) -> None:
    source = artifact(tmp_path / "made")
    first = store.publish(source)
    before = content(root)
    assert store.publish(source) == first
    again = artifact(tmp_path / "again")  # made at another time
    assert store.publish(again).version == first.version
    assert content(root) == before


def test_one_domains_versions_are_nothing_to_another(
    tmp_path: Path, store: Store, root: Path, versions: list[str]
) -> None:
    before = content(root / "lights")
    store.publish(artifact(tmp_path / "d", "d", "doors"), promote=True)
    assert content(root / "lights") == before
    with pytest.raises(ArtifactError):
        store.promote("doors", versions[0])


@pytest.mark.parametrize("path", ["reranker/weights.json", MANIFEST])
def test_a_damaged_artifact_is_never_published(tmp_path: Path, store: Store, root: Path, path: str) -> None:
    source = artifact(tmp_path / "made")
    raw = bytearray((source / path).read_bytes())
    raw[0] ^= 1
    (source / path).write_bytes(raw)
    with pytest.raises(ArtifactError):
        store.publish(source)
    assert not root.exists()


def test_an_artifact_that_names_a_place_outside_the_store_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ArtifactError, match="domain"):
        store.publish(artifact(tmp_path / "made", domain="../outside"))
    assert not (tmp_path / "outside").exists()


def test_an_artifact_that_changes_while_it_is_published_never_becomes_a_version(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = artifact(tmp_path / "made")

    def changing(folder: Path, keys: object = None, **_: object) -> Manifest:
        manifest = verified(folder)
        (folder / "reranker" / "weights.json").write_text("other")
        return manifest

    monkeypatch.setattr("arbitrank.store.store.verified", changing)
    with pytest.raises(ArtifactError, match="changed during publication"):
        store.publish(source)
    assert store.versions("lights") == []


def test_two_artifacts_that_claim_one_version_are_not_mixed(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version is 48 bits of a digest: with enough tries two can be made to have the same."""
    for module in ("artifact", "artifact_checks", "versions"):
        monkeypatch.setattr(f"arbitrank.store.{module}.version_of", lambda manifest: "a" * 12)
    first = artifact(tmp_path / "one", "one")
    store.publish(first, promote=True)
    with pytest.raises(ArtifactError, match="another artifact has the version aaaaaaaaaaaa"):
        store.publish(artifact(tmp_path / "two", "two"))
    assert content(store.fetch("lights", "a" * 12)) == content(first)


@pytest.mark.parametrize("path", ["reranker/weights.json", MANIFEST])
@pytest.mark.parametrize("damage", [b"damaged", None])
def test_publishing_again_repairs_what_was_damaged(
    tmp_path: Path, store: Store, root: Path, path: str, damage: bytes | None
) -> None:
    source = artifact(tmp_path / "made")
    version = store.publish(source, promote=True).version
    target = root / "lights" / version / path
    target.unlink()
    if damage is not None:
        target.write_bytes(damage)
    with pytest.raises(ArtifactError):
        store.stable("lights")
    assert problems(store)
    store.publish(source, promote=True)
    assert content(store.fetch("lights", version)) == content(source)
    assert problems(store) == []


def test_a_version_that_was_damaged_in_the_store_is_not_promoted_and_not_rolled_back_to(
    store: Store, root: Path, versions: list[str]
) -> None:
    one, two, three = versions
    store.promote("lights", one)
    store.promote("lights", two)
    for version in (one, three):
        store.fetch("lights", version)  # the copy of this process stays as it was
        (root / "lights" / version / "reranker" / "weights.json").write_text("damaged")
    before = store.state("lights")
    with pytest.raises(ArtifactError, match=r"weights\.json"):
        store.promote("lights", three)
    with pytest.raises(ArtifactError, match=r"weights\.json"):
        store.rollback("lights")
    assert store.state("lights") == before


def test_a_version_that_is_not_there_or_elsewhere_is_not_promoted(
    tmp_path: Path, store: Store, root: Path, versions: list[str]
) -> None:
    other = store.publish(artifact(tmp_path / "d", "d", "doors")).version
    for version in ("0" * 12, f"../doors/{other}", "", ".", "history"):
        with pytest.raises(ArtifactError):
            store.promote("lights", version)
    (root / "lights" / ("a" * 12)).symlink_to(root / "lights" / versions[0])
    with pytest.raises(ArtifactError, match=f"expected lights {'a' * 12}"):
        store.promote("lights", "a" * 12)
    assert "stable" not in named(store)


@pytest.mark.parametrize("domain", ["../lights", "", ".audit", "Lights", "a/b"])
def test_a_domain_that_has_no_domains_name_is_refused(store: Store, domain: str) -> None:
    for call in (store.state, store.history, store.versions, store.rollback, lambda name: prune(store, name)):
        with pytest.raises(InputError, match="expected lower-case letters"):
            call(domain)


def test_many_publishers_at_once_lose_no_version_and_no_change(tmp_path: Path, root: Path, store: Store) -> None:
    sources = [artifact(tmp_path / f"a{i}", str(i)) for i in range(8)] * 2
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda source: open_store(root, environment={}).publish(source).version, sources))
    assert store.versions("lights") == sorted(set(published))
    assert len(set(published)) == 8
    history = store.history("lights")
    assert {change.state.candidate for change in history} == set(published)
    assert [change.number for change in history] == list(range(1, len(history) + 1))
    assert problems(store) == []
    assert not list((root / ".parts").iterdir())


# ----------------------------------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    "raw", [b"", b'{"number": 4, "verb"', b"[]", b'{"number": 4, "verb": "promote", "state": {"stable": "../../etc"}}']
)
def test_a_change_that_cannot_be_read_is_reported_and_the_change_before_it_is_not_used(
    store: Store, root: Path, versions: list[str], raw: bytes
) -> None:
    """It may have been a rollback: to go on with the state before it would serve what was taken back."""
    torn = root / "lights" / "history" / "00000004.json"
    torn.write_bytes(raw)
    for opened in (store, open_store(root, environment={})):
        for call in (opened.state, opened.stable, opened.history, opened.rollback):
            with pytest.raises(StoreError, match=r"00000004\.json is no change that can be decoded.*move it away"):
                call("lights")
    assert any("00000004.json" in problem for problem in problems(store))
    torn.unlink()
    assert open_store(root, environment={}).state("lights")[0] == 3


def test_a_copy_of_another_change_is_none(store: Store, root: Path, versions: list[str]) -> None:
    history = root / "lights" / "history"
    (history / "00000004.json").write_bytes((history / "00000001.json").read_bytes())
    with pytest.raises(StoreError, match="has the number 1"):
        store.state("lights")


def test_what_is_no_change_and_what_is_missing_is_reported(store: Store, root: Path, versions: list[str]) -> None:
    before = store.state("lights")
    history = root / "lights" / "history"
    (history / "notes.txt").write_text("do not promote on Fridays")
    (history / "00000002.json").unlink()
    assert open_store(root, environment={}).state("lights") == before
    (problem,) = problems(store)
    assert "notes.txt is no entry" in problem
    assert "00000002.json is missing" in problem


def test_a_history_that_vanishes_is_never_begun_again(store: Store, root: Path, versions: list[str]) -> None:
    """As where a network disk is away: the folder is empty and can be written."""
    before = store.state("lights")
    root.rename(root.with_name("away"))
    assert store.state("lights") == before
    with pytest.raises(StoreError, match="is missing"):
        store.change("lights", "canary", msgspec.structs.replace(before[1], canary=0.1), before[0])
    assert not (root / "lights").exists()


def test_an_alias_of_a_version_that_is_not_there_is_reported(store: Store, versions: list[str]) -> None:
    number, state = store.state("lights")
    store.change("lights", "promote", msgspec.structs.replace(state, stable="0" * 12), number)
    assert problems(store) == [f"lights stable: {'0' * 12} is missing"]


def test_a_store_that_cannot_be_written_raises_an_error_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = open_store(tmp_path / "file", environment={})
    with pytest.raises(StoreError, match=r"cannot be (read|written): Not a directory"):
        store.publish(artifact(tmp_path / "made"))


def test_a_user_without_a_name_can_publish(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    store.publish(artifact(tmp_path / "made"))
    assert [change.by for change in store.history("lights")] == ["unknown"]


# -------------------------------------------------------------------------------------------------------------- pruning


def age(root: Path, seconds: float = 7200) -> None:
    """Let everything in the store be older."""
    then = time.time() - seconds
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def test_pruning_keeps_what_is_named_was_named_lately_or_is_new(tmp_path: Path, store: Store, root: Path) -> None:
    made = [store.publish(artifact(tmp_path / str(i), str(i)), promote=True).version for i in range(6)]
    assert prune(store, "lights", keep=1) == []  # all are new
    age(root)
    new = store.publish(artifact(tmp_path / "new", "new")).version
    assert prune(store, "lights", keep=2) == sorted(made[:4])
    assert store.versions("lights") == sorted([*made[4:], new])
    assert named(store) == {"stable": made[5], "previous": made[4], "candidate": new}
    assert [change.verb for change in store.history("lights")[-2:]] == ["prune", "pruned"]
    assert problems(store) == []
    store.rollback("lights")
    assert named(store)["stable"] == made[4]


def test_pruning_takes_the_remains_of_what_was_killed(store: Store, root: Path, versions: list[str]) -> None:
    left = root / "lights" / ("e" * 12)
    left.mkdir()
    (left / "card.json").write_text("{}")
    (root / ".parts" / "half").write_bytes(b"half a fi")
    assert problems(store) == []
    assert versions == [version for version in versions if version in store.versions("lights")]
    age(root)
    assert "e" * 12 in prune(store, "lights", keep=3)
    assert not left.exists()
    assert not list((root / ".parts").iterdir())
    assert store.versions("lights") == sorted(versions)


def test_what_is_being_removed_can_be_neither_published_nor_promoted(
    tmp_path: Path, store: Store, root: Path, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `prune` is killed after it marked the versions; the next one completes it."""
    age(root)

    class Killed(BaseException):
        pass

    def kill(*args: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("arbitrank.store.prune._remove", kill)
        with pytest.raises(Killed):
            prune(store, "lights", keep=1)
    going = sorted(versions[:2])
    assert store.state("lights")[1].removing == tuple(going)
    with pytest.raises(StoreError, match="is being removed"):
        store.promote("lights", versions[0])
    monkeypatch.setattr("arbitrank.store.store._WAITS", 2)
    with pytest.raises(StoreError, match="is being removed"):
        store.publish(artifact(tmp_path / "again", "one"))
    with pytest.raises(StoreError, match="another prune of lights is in progress"):
        prune(store, "lights", keep=1)
    assert prune(store, "lights", keep=1, grace=0) == going
    assert store.state("lights")[1] == State(candidate=versions[2])
    assert store.publish(artifact(tmp_path / "once more", "one"), promote=True).version == versions[0]
    assert problems(store) == []


def test_a_promotion_that_was_judged_before_a_pruning_raises_a_conflict(
    store: Store, root: Path, versions: list[str]
) -> None:
    number, _ = store.state("lights")
    age(root)
    prune(store, "lights", keep=1)
    with pytest.raises(ArtifactError):
        store.promote("lights", versions[0], expected=number)
    with pytest.raises(Conflict):
        store.promote("lights", versions[2], expected=number)


# ------------------------------------------------------------------------------------------------------------ audit set


def test_the_audit_set_is_kept_by_its_content(tmp_path: Path, store: Store) -> None:
    (tmp_path / "one.jsonl").write_text("1\n")
    (tmp_path / "two.jsonl.gz").write_bytes(b"2")
    first = store.set_audit_set(tmp_path / "one.jsonl")
    assert store.set_audit_set(tmp_path / "one.jsonl") == first
    path = store.audit_set()
    assert path
    assert (path.name, path.read_text()) == (f"{first}.jsonl", "1\n")
    second = store.set_audit_set(tmp_path / "two.jsonl.gz")
    path = store.audit_set()
    assert path
    assert path.name == f"{second}.jsonl.gz"
    assert problems(store) == []
    assert store.domains() == []
    kept = Path(str(store)) / ".audit" / path.name
    kept.write_bytes(b"3")
    assert store.audit_set() == path
    with pytest.raises(StoreError, match="set it again"):
        open_store(str(store), environment={}).audit_set()
    store.set_audit_set(tmp_path / "two.jsonl.gz")
    assert kept.read_bytes() == b"2"
    with pytest.raises(DataError, match="cannot be read"):
        store.set_audit_set(tmp_path / "none.jsonl")


# -------------------------------------------------------------------------------------------------------------- opening


@pytest.mark.parametrize(
    ("url", "variable", "expected"),
    [("/a/b", "/c", "/a/b"), (None, "/c", "/c"), ("", "/c", "/c"), ("~/s", None, str(Path.home() / "s"))],
)
def test_the_store_is_the_one_named_else_the_environments(url: str | None, variable: str | None, expected: str) -> None:
    environment = {} if variable is None else {"ARBITRANK_STORE": variable}
    assert str(open_store(url, environment=environment)) == expected


def test_without_a_name_the_store_is_among_the_users_data() -> None:
    path = Path(str(open_store(None, environment={})))
    assert path.name == "store"
    assert "arbitrank" in str(path)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="expected a folder, or s3://BUCKET/PREFIX"):
        open_store("ftp://somewhere/store", environment={})
