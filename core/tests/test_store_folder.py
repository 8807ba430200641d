"""A store in a folder: versions, aliases, history."""

from __future__ import annotations

import getpass
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arbitrank.errors import ArtifactError, StoreError
from arbitrank.store.artifact import MANIFEST, Manifest, seal, verified
from arbitrank.store.folder import FolderStore, open_store


def artifact(folder: Path, text: str = "x", domain: str = "lights") -> Path:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(text)
    seal(folder, Manifest(domain=domain, package="p", package_version="1"))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def versions(tmp_path: Path, store: FolderStore) -> list[str]:
    """Three published versions of one domain; none is stable."""
    return [store.publish(artifact(tmp_path / name, name)).version for name in ("one", "two", "three")]


def test_a_store_that_was_never_written_is_empty(store: FolderStore) -> None:
    assert store.aliases("lights") == {}
    assert store.stable("lights") is None
    assert store.history("lights") == []
    assert not store.root.exists()


def test_what_is_published_is_a_copy_and_the_candidate(tmp_path: Path, store: FolderStore) -> None:
    source = artifact(tmp_path / "made")
    manifest = store.publish(source)
    assert content(store.path("lights", manifest.version)) == content(source)
    assert store.aliases("lights") == {"candidate": manifest.version}
    assert store.stable("lights") is None
    verified(store.path("lights", manifest.version))


def test_promoting_makes_stable_what_was_stable_becomes_previous(store: FolderStore, versions: list[str]) -> None:
    one, two, three = versions
    store.promote("lights", one)
    assert store.aliases("lights") == {"candidate": three, "stable": one}
    store.promote("lights", two)
    assert store.aliases("lights") == {"candidate": three, "stable": two, "previous": one}
    store.promote("lights", one)  # and back again
    assert store.aliases("lights") == {"candidate": three, "stable": one, "previous": two}
    assert store.stable("lights") == store.path("lights", one)


def test_promoting_what_is_stable_changes_nothing(store: FolderStore, versions: list[str]) -> None:
    store.promote("lights", versions[0])
    store.promote("lights", versions[1])
    before = content(store.root)
    store.promote("lights", versions[1])
    assert content(store.root) == before


def test_publishing_with_promote_is_stable_at_once(tmp_path: Path, store: FolderStore) -> None:
    first = store.publish(artifact(tmp_path / "a", "a"), promote=True).version
    second = store.publish(artifact(tmp_path / "b", "b"), promote=True).version
    assert store.aliases("lights") == {"stable": second, "previous": first}


def test_every_change_of_an_alias_is_in_the_history_with_what_was_before(
    store: FolderStore, versions: list[str]
) -> None:
    one, two, three = versions
    store.promote("lights", one)
    store.promote("lights", two)
    assert [(change.verb, change.alias, change.version, change.before) for change in store.history("lights")] == [
        ("publish", "candidate", one, None),
        ("publish", "candidate", two, one),
        ("publish", "candidate", three, two),
        ("promote", "stable", one, None),
        ("promote", "stable", two, one),
        ("promote", "previous", one, None),
    ]
    times = [change.time for change in store.history("lights")]
    assert times == sorted(times)
    assert all(change.by for change in store.history("lights"))


def test_the_same_version_twice_stays_as_it_was(tmp_path: Path, store: FolderStore) -> None:
    source = artifact(tmp_path / "made")
    first = store.publish(source)
    before = content(store.root)
    assert store.publish(source) == first
    assert content(store.root) == before
    again = artifact(tmp_path / "again")  # made at another time
    assert store.publish(again).version == first.version
    assert content(store.root) == before


def test_one_domains_versions_are_nothing_to_another(tmp_path: Path, store: FolderStore, versions: list[str]) -> None:
    before = content(store.root / "lights")
    store.publish(artifact(tmp_path / "d", "d", "doors"), promote=True)
    assert content(store.root / "lights") == before
    with pytest.raises(ArtifactError):
        store.promote("doors", versions[0])


@pytest.mark.parametrize("path", ["reranker/weights.json", MANIFEST])
def test_a_damaged_artifact_is_never_published(tmp_path: Path, store: FolderStore, path: str) -> None:
    source = artifact(tmp_path / "made")
    raw = bytearray((source / path).read_bytes())
    raw[0] ^= 1
    (source / path).write_bytes(raw)
    with pytest.raises(ArtifactError):
        store.publish(source)
    assert not store.root.exists()


def test_an_artifact_that_names_a_place_outside_the_store_is_refused(tmp_path: Path, store: FolderStore) -> None:
    with pytest.raises(ArtifactError, match="domain"):
        store.publish(artifact(tmp_path / "made", domain="../outside"))
    assert not (tmp_path / "outside").exists()


def test_a_version_that_was_damaged_in_the_store_is_not_promoted(store: FolderStore, versions: list[str]) -> None:
    store.promote("lights", versions[0])
    (store.path("lights", versions[1]) / "reranker" / "weights.json").write_text("damaged")
    with pytest.raises(ArtifactError, match=r"weights\.json"):
        store.promote("lights", versions[1])
    assert store.aliases("lights")["stable"] == versions[0]


def test_a_version_that_is_not_there_or_elsewhere_is_not_promoted(
    tmp_path: Path, store: FolderStore, versions: list[str]
) -> None:
    other = store.publish(artifact(tmp_path / "d", "d", "doors")).version
    for version in ("0" * 12, f"../doors/{other}", "", "."):
        with pytest.raises(ArtifactError):
            store.promote("lights", version)
    (store.root / "lights" / "renamed").symlink_to(store.path("lights", versions[0]))
    with pytest.raises(ArtifactError, match="promised lights renamed"):
        store.promote("lights", "renamed")
    assert "stable" not in store.aliases("lights")


def test_a_version_that_appears_while_it_is_published_is_taken(
    tmp_path: Path, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = artifact(tmp_path / "made")
    version = store.publish(source).version
    target = store.path("lights", version)
    is_dir = Path.is_dir
    first = iter([False])
    monkeypatch.setattr(Path, "is_dir", lambda path: next(first, True) if path == target else is_dir(path))
    assert store.publish(source).version == version
    verified(target)


def test_many_publishers_at_once_lose_no_version_and_no_line_of_history(tmp_path: Path, store: FolderStore) -> None:
    sources = [artifact(tmp_path / f"a{i}", str(i)) for i in range(8)] * 2
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda source: store.publish(source).version, sources))
    assert len(set(published)) == 8
    for version in published:
        verified(store.path("lights", version))
    changes = store.history("lights")
    assert {change.version for change in changes} == set(published)
    assert [change.before for change in changes[1:]] == [change.version for change in changes[:-1]]
    assert store.aliases("lights") == {"candidate": changes[-1].version}
    assert not list((store.root / "lights").glob(".arriving-*"))


@pytest.mark.parametrize("name", ["aliases.json", "history.jsonl"])
def test_a_store_that_cannot_be_read_says_so(store: FolderStore, versions: list[str], name: str) -> None:
    (store.root / "lights" / name).write_text('{"stable": ')
    with pytest.raises(StoreError, match="lights cannot be read"):
        store.aliases("lights") if name == "aliases.json" else store.history("lights")


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot be written.*--store"):
        FolderStore(tmp_path / "file").publish(artifact(tmp_path / "made"))


def test_a_user_without_a_name_can_publish(tmp_path: Path, store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    store.publish(artifact(tmp_path / "made"))
    assert [change.by for change in store.history("lights")] == ["unknown"]


@pytest.mark.parametrize(
    ("url", "variable", "promised"),
    [("/a/b", "/c", "/a/b"), (None, "/c", "/c"), ("", "/c", "/c"), ("~/s", None, str(Path.home() / "s"))],
)
def test_the_store_is_the_one_named_else_the_environments(url: str | None, variable: str | None, promised: str) -> None:
    environment = {} if variable is None else {"ARBITRANK_STORE": variable}
    assert str(open_store(url, environment)) == promised


def test_without_a_name_the_store_is_among_the_users_data() -> None:
    assert open_store(None, {}).root.name == "store"
    assert "arbitrank" in str(open_store(None, {}).root)
