"""One domain is trained and upgraded on its own day: nothing of the others changes, not by a byte."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from arbitrank.cli import train as cli
from arbitrank.errors import InputError
from arbitrank.registry import discover, loaded
from arbitrank.store.key_files import keygen, open_key
from arbitrank.store.signing import Keys
from arbitrank.store.store import Store, open_store

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
def store(tmp_path: Path) -> Store:
    """A store that holds all three domains, as their packages ship them."""
    store = open_store(tmp_path / "all three")
    for domain in loaded(discover({})).values():
        assert domain.shipped
        store.publish(domain.shipped, promote=True)
    return store


def content(folder: Path) -> dict[str, str]:
    """The digest of every file under the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def train(home: Any, store: Store, data: str, seed: int, *args: str) -> str:
    """Train music alone; the version that came of it."""
    said = home.arbitrank("train", "music", "--data", data, "--seed", str(seed), "--store", str(store), *args)
    name, version = said.split(":")[0].split()
    assert name == "music"
    return str(version)


def test_one_domain_is_trained_and_promoted_and_the_others_keep_every_byte(
    checkout: Any, store: Store, data: str, tmp_path: Path
) -> None:
    shipped = store.state("music")[1].stable
    others = {name: content(Path(str(store)) / name) for name in ("books", "video")}
    (before,) = checkout.answers(ASKED, "--store", str(store))

    version = train(checkout, store, data, 3, "--promote")

    assert version != shipped
    assert {name: content(Path(str(store)) / name) for name in ("books", "video")} == others
    assert store.state("music")[1].names() == {"stable": version, "previous": shipped}
    (after,) = checkout.answers(ASKED, "--store", str(store))
    assert after["domains"]["music"] == {**before["domains"]["music"], "version": version}
    for name in ("books", "video"):
        assert after["domains"][name] == before["domains"][name]
        assert _of(after, name) == _of(before, name)
    assert {entry["version"] for entry in _of(after, "music")} == {version}
    assert f"version {version}" in checkout.arbitrank(
        *("ask", "play thriller by michael jackson", "--none", "1", "--clarify", "0", "--store", str(store))
    )

    # Twice with the same seed is the same version, in the same store and in an empty one.
    everything = content(Path(str(store)))
    assert train(checkout, store, data, 3, "--promote") == version
    assert content(Path(str(store))) == everything
    empty = open_store(tmp_path / "empty")
    assert train(checkout, empty, data, 3, "--jobs", "2") == version
    assert empty.state("music")[1].names() == {"candidate": version}
    one, other = (content(where.fetch("music", version)) for where in (store, empty))
    del one["manifest.json"], other["manifest.json"]  # it holds the time
    assert one == other


def _of(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [entry for entry in answer["ranked"] if entry["domain"] == name]


def test_a_candidate_does_not_speak_and_another_seed_is_another_version(checkout: Any, store: Store, data: str) -> None:
    stable = store.state("music")[1].names()
    (before,) = checkout.answers(ASKED, "--store", str(store))
    versions = {train(checkout, store, data, seed) for seed in (0, 1)}
    assert len(versions) == 2
    aliases = store.state("music")[1].names()
    assert aliases == {**stable, "candidate": aliases["candidate"]}
    assert aliases["candidate"] in versions
    assert checkout.answers(ASKED, "--store", str(store)) == [before]


def test_a_damaged_stable_version_does_not_prevent_a_signed_retraining(
    checkout: Any, store: Store, data: str, tmp_path: Path
) -> None:
    stable = store.stable("music")
    assert stable
    (Path(str(store)) / "music" / stable.name / "reranker" / "weights.json").write_text("damaged")
    (tmp_path / "keys").mkdir()
    private, public, _ = keygen(tmp_path / "music")
    public.rename(tmp_path / "keys" / public.name)
    open_store(str(store), Keys(tmp_path / "keys"), key=open_key(private)).adopt("music")
    version = train(checkout, store, data, 0, "--promote", "--key", str(private), "--keys", str(tmp_path / "keys"))
    strict = open_store(str(store), Keys(tmp_path / "keys"))
    found = strict.stable("music")
    assert found
    assert found.name == version


def test_where_there_is_an_audit_set_nothing_is_promoted_past_the_gate(store: Store, data: str, tmp_path: Path) -> None:
    before = store.state("music")
    audit = tmp_path / "audit.jsonl"
    audit.write_bytes(msgspec.json.encode({**ASKED[0], "truth": {"domain": "music", "intent": "PlayMusic"}}))
    store.set_audit_set(audit)
    asked = CliRunner().invoke(cli.train, ["music", "--data", data, "--promote", "--store", str(store)])
    assert isinstance(asked.exception, InputError)
    assert "arbitrank promote music" in str(asked.exception)
    assert store.state("music") == before


def test_a_boosted_model_that_cannot_be_had_is_refused_before_the_training(
    store: Store, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    trained = CliRunner().invoke(cli.train, ["music", "--data", data, "--model", "boosted", "--store", str(store)])
    assert "pip install lightgbm" in str(trained.exception)
    assert trained.output == ""
