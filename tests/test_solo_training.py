"""One domain is trained and upgraded on its own day: nothing of the others changes, not by a byte."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arbitrank.registry import discover, loaded
from arbitrank.store.folder import FolderStore

ASKED = [{"id": "7", "utterance": "play mary poppins", "context": {"device": "speaker"}}]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus small enough to train on in seconds: one in a hundred of music's own examples."""
    lines = []
    for example in list(loaded(discover({}))["music"].examples())[::100]:
        request, truth = example.request, example.truth
        line = {"text": request.utterance, "context": request.context, **msgspec.to_builtins(truth)}
        lines.append(msgspec.json.encode(line))
    path = tmp_path_factory.mktemp("data") / "music.jsonl"
    path.write_bytes(b"\n".join(lines))
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """A store that holds all three domains, as their packages ship them."""
    store = FolderStore(tmp_path / "all three")
    for domain in loaded(discover({})).values():
        assert domain.shipped
        store.publish(domain.shipped, promote=True)
    return store


def content(folder: Path) -> dict[str, str]:
    """The digest of every file under the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def train(home: Any, store: FolderStore, data: str, seed: int, *args: str) -> str:
    """Train music alone; the version that came of it."""
    said = home.arbitrank("train", "music", "--data", data, "--seed", str(seed), "--store", str(store), *args)
    name, version = said.split(":")[0].split()
    assert name == "music"
    return str(version)


def test_one_domain_is_trained_and_promoted_and_the_others_keep_every_byte(
    checkout: Any, store: FolderStore, data: str, tmp_path: Path
) -> None:
    shipped = store.aliases("music")["stable"]
    others = {name: content(store.root / name) for name in ("books", "video")}
    (before,) = checkout.answers(ASKED, "--store", str(store))

    version = train(checkout, store, data, 3, "--promote")

    assert version != shipped
    assert {name: content(store.root / name) for name in ("books", "video")} == others
    assert store.aliases("music") == {"stable": version, "previous": shipped}
    (after,) = checkout.answers(ASKED, "--store", str(store))
    assert after["domains"]["music"] == {"status": "answered", "version": version, "reason": None}
    for name in ("books", "video"):
        assert after["domains"][name] == before["domains"][name]
        assert _of(after, name) == _of(before, name)
    assert {entry["version"] for entry in _of(after, "music")} == {version}
    assert f"version {version}" in checkout.arbitrank(
        *("ask", "play thriller by michael jackson", "--none", "1", "--clarify", "1", "--store", str(store))
    )

    # Twice with the same seed is the same version, in the same store and in an empty one.
    everything = content(store.root)
    assert train(checkout, store, data, 3, "--promote") == version
    assert content(store.root) == everything
    empty = FolderStore(tmp_path / "empty")
    assert train(checkout, empty, data, 3, "--jobs", "2") == version
    assert empty.aliases("music") == {"candidate": version}
    one, other = (content(where.path("music", version)) for where in (store, empty))
    del one["manifest.json"], other["manifest.json"]  # it holds the time
    assert one == other


def _of(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [entry for entry in answer["ranked"] if entry["domain"] == name]


def test_a_candidate_does_not_speak_and_another_seed_is_another_version(
    checkout: Any, store: FolderStore, data: str
) -> None:
    stable = dict(store.aliases("music"))
    (before,) = checkout.answers(ASKED, "--store", str(store))
    versions = {train(checkout, store, data, seed) for seed in (0, 1)}
    assert len(versions) == 2
    aliases = store.aliases("music")
    assert aliases == {**stable, "candidate": aliases["candidate"]}
    assert aliases["candidate"] in versions
    assert checkout.answers(ASKED, "--store", str(store)) == [before]
