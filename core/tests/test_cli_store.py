"""The store's verbs, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arbitrank.errors import InputError
from arbitrank.registry import Loaded, discover
from arbitrank.store.artifact import Manifest, read_manifest, seal
from arbitrank.store.history import History
from arbitrank.store.key_files import open_key
from arbitrank.store.state import Change, State
from arbitrank.store.store import open_store


def artifact(folder: Path, text: str) -> tuple[str, str]:
    """An artifact of a domain that is not installed; its folder and version."""
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(text)
    return str(folder), seal(folder, Manifest(domain="lights", package="p", package_version="1")).version


def test_published_promoted_rolled_back_and_listed(arbitrank, tmp_path: Path) -> None:
    store = str(tmp_path / "store")

    def run(*args: str, status: int = 0) -> str:
        done = arbitrank(*args, ARBITRANK_STORE=store)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    assert "has no history" in run("history", "lights")
    assert "no previous version" in run("rollback", "lights", status=2)
    versions = []
    for text in ("one", "two"):
        path, version = artifact(tmp_path / text, text)
        versions.append(version)
        assert run("publish", path).startswith(f"lights {version}: candidate in {store}")
        open_store(store, environment={}).promote("lights", version)
    one, two = versions
    assert run("rollback", "lights", "--reason", "films") == f"lights: stable {one}, previous {two} (change 5)\n"
    open_store(store, environment={}).promote("lights", two)
    lines = run("history", "lights").splitlines()
    assert [line.split()[4].rstrip(":") for line in lines] == [
        "publish",
        "promote",
        "publish",
        "promote",
        "rollback",
        "promote",
    ]
    assert lines[4].endswith(f"rollback: stable {one}, previous {two}; films")
    changes = json.loads(run("history", "lights", "--json"))
    assert [change["number"] for change in changes] == [1, 2, 3, 4, 5, 6]
    assert changes[-1]["state"]["stable"] == two
    assert run("prune") == "lights: removed nothing\n"
    assert run("prune", "lights", "--keep", "1", "--grace", "0") == "lights: removed nothing\n"


def test_a_change_and_a_check_take_one_line_each_whatever_stands_in_them(arbitrank, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", environment={})
    path, version = artifact(tmp_path / "made", "weights")
    store.publish(Path(path))
    reason = "films\n   9  at no time  ada  promote: \x1b[31mall is well"
    with pytest.raises(InputError, match=r"reason: holds the control character U\+000A, expected one line"):
        store.promote("lights", version, reason=reason)
    change = Change(number=2, verb="promote", state=State(stable=version), reason=reason)
    assert History(store.backend, "lights/history", Change).append(change)  # as someone may have written it
    done = arbitrank("history", "lights", "--store", str(store))
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.endswith(f"stable {version}; films 9 at no time ada promote: \ufffd[31mall is well\n")
    back = arbitrank("rollback", "lights", "--to-package", "--store", str(store))
    assert back.stdout == f"lights: previous {version} (change 3); the weights in its package serve\n"

    (Path(path) / "a\nPASS everything").write_text("")
    seal(Path(path), read_manifest(Path(path)))
    found = arbitrank("verify", path)
    assert (found.returncode, found.stdout.splitlines()[6]) == (0, "PASS a PASS everything")


def test_to_verify_prints_a_line_for_each_check_and_fails_where_one_does(arbitrank, tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = open_store(root, environment={})
    path, version = artifact(tmp_path / "made", "weights")
    store.publish(Path(path), promote=True)

    def verify(*args: str) -> tuple[int, list[str]]:
        done = arbitrank("verify", *args)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    status, lines = verify(path)
    assert status == 0
    assert lines == [f"PASS {what}" for what in ("manifest", "contract", "domain", "version", "features", "files")] + [
        "PASS reranker/weights.json"
    ]
    assert verify(f"lights/{version}", "--store", str(root)) == (0, lines)
    whole = [f"PASS lights/{what}" for what in ("history", version)] + ["PASS lights stable"]
    for args in ([str(root)], ["--store", str(root)], ["lights", "--store", str(root)]):
        status, found = verify(*args)
        assert (status, [line for line in found if ".audit" not in line]) == (0, whole)

    (root / "lights" / version / "reranker" / "weights.json").write_text("other")
    status, found = verify(str(root / "lights" / version))
    assert status == 1
    assert found[-1].startswith("FAIL reranker/weights.json: its SHA-256 is")
    status, found = verify(str(root))
    assert status == 1
    assert f"FAIL lights/{version}: reranker/weights.json: its SHA-256 is" in found[1]
    assert verify(str(tmp_path))[0] == 1  # neither an artifact nor a store


def test_keys_are_made_used_to_sign_and_asked_for(arbitrank, tmp_path: Path) -> None:
    store, trusted = str(tmp_path / "store"), tmp_path / "trusted"
    trusted.mkdir()
    made = arbitrank("keygen", str(tmp_path / "lights"))
    assert made.stdout.startswith("key ")
    identity = made.stdout.split()[1].rstrip(":")
    (tmp_path / "lights.pub").rename(trusted / "lights.pub")
    path, version = artifact(tmp_path / "made", "weights")
    options = ("--store", store, "--keys", str(trusted))

    refused = arbitrank("publish", path, *options)
    assert refused.returncode == 2
    assert "signature: unsigned" in refused.stderr
    assert "FAIL signature: unsigned" in arbitrank("verify", path, ARBITRANK_KEYS=str(trusted)).stdout
    assert arbitrank("sign", path).returncode == 2
    key = str(tmp_path / "lights.key")
    assert arbitrank("publish", path, *options, ARBITRANK_SIGNING_KEY=key).returncode == 0
    open_store(store, environment={}).promote("lights", version)
    assert arbitrank("rollback", "lights", *options).returncode == 2
    signed = arbitrank("sign", path, "--key", key)
    assert signed.stdout == f"lights {version}: signed by key {identity}\n"
    assert "PASS signature" in arbitrank("verify", path, "--keys", str(trusted)).stdout


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere", "'nowhere' is not in"),
        ("nowhere/version", "has no version 'version'"),
        ("/no/folder", "expected an artifact, a store"),
        ("../x", "expected an artifact, a store"),
    ],
)
def test_what_is_not_there_is_no_artifact(arbitrank, path: str, reason: str) -> None:
    for verb in ("publish", "verify"):
        done = arbitrank(verb, path)
        assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


def test_a_service_with_keys_serves_what_is_signed_alone(arbitrank, tmp_path: Path) -> None:
    store, trusted = tmp_path / "store", tmp_path / "trusted"
    trusted.mkdir()
    arbitrank("keygen", str(tmp_path / "music"))
    (tmp_path / "music.pub").rename(trusted / "music.pub")
    shipped, *_ = [one.domain.shipped for one in discover({}) if isinstance(one, Loaded) and one.name == "music"]
    published = ("publish", str(shipped), "--store", str(store), "--key", str(tmp_path / "music.key"))
    assert arbitrank(*published).returncode == 0
    rows = json.loads(arbitrank("domains", "--json", "--store", str(store), "--keys", str(trusted)).stdout)
    (music,) = (row for row in rows if row["name"] == "music")
    assert "signature: unsigned" in music["reason"]  # the package's weights, as none is stable
    version = read_manifest(shipped).version
    open_store(store, key=open_key(tmp_path / "music.key"), environment={}).promote("music", version)
    rows = json.loads(arbitrank("domains", "--json", "--store", str(store), "--keys", str(trusted)).stdout)
    assert {row["name"]: row["status"] for row in rows} == {"books": "failed", "music": "loaded", "video": "failed"}
