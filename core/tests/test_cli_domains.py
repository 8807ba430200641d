"""`arbitrank domains`: what was found, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arbitrank.registry import Loaded, discover
from arbitrank.store.store import open_store


def rows(run, *args: str, **variables: str) -> dict[str, dict[str, str | None]]:
    done = run("domains", "--json", *args, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_the_three_are_loaded_with_the_weights_of_their_packages(arbitrank) -> None:
    found = rows(arbitrank)
    assert found.keys() == {"books", "music", "video"}
    for name, row in found.items():
        assert (row["status"], row["package"], row["weights"]) == ("loaded", f"arbitrank-{name}", "package")
        assert row["reason"] is None


def test_a_person_reads_a_table(arbitrank) -> None:
    head, *lines = arbitrank("domains").stdout.splitlines()
    assert head.split() == ["domain", "status", "package", "weights"]
    assert [line.split()[:2] for line in lines] == [["books", "loaded"], ["music", "loaded"], ["video", "loaded"]]


@pytest.mark.parametrize(
    ("named", "loaded"), [("music,video", {"music", "video"}), ("", set()), (None, {"books", "music", "video"})]
)
def test_the_environment_names_a_subset(arbitrank, named: str | None, loaded: set[str]) -> None:
    found = rows(arbitrank, ARBITRANK_DOMAINS=named)
    assert {name for name, row in found.items() if row["status"] == "loaded"} == loaded
    for row in found.values():
        if row["status"] != "loaded":
            assert (row["status"], row["reason"]) == ("disabled", "ARBITRANK_DOMAINS does not name it")


def shipped(name: str) -> Path:
    (one,) = [one for one in discover({}) if isinstance(one, Loaded) and one.name == name]
    assert one.domain.shipped
    return one.domain.shipped


def test_the_stores_stable_version_goes_before_the_packages(arbitrank, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.publish(shipped("music"), promote=True)
    store.publish(shipped("books"))
    found = rows(arbitrank, "--store", str(tmp_path))
    assert {name: row["weights"] for name, row in found.items()} == {
        "books": "package",  # a candidate does not speak
        "music": "store",
        "video": "package",
    }
    assert rows(arbitrank, ARBITRANK_STORE=str(tmp_path)) == found


def test_a_damaged_version_silences_its_domain_alone(arbitrank, tmp_path: Path) -> None:
    manifest = open_store(tmp_path).publish(shipped("music"), promote=True)
    weights = tmp_path / "music" / manifest.version / "reranker" / "weights.json"
    weights.write_bytes(weights.read_bytes().replace(b"0", b"1"))

    found = rows(arbitrank, "--store", str(tmp_path))
    assert found["music"]["status"] == "failed"
    assert "reranker/weights.json: its SHA-256 is" in str(found["music"]["reason"])
    assert found["books"]["status"] == found["video"]["status"] == "loaded"

    answer = json.loads(arbitrank("ask", "play dune", "--json", "--store", str(tmp_path)).stdout)
    assert answer["domains"]["music"]["status"] == "failed"
    assert {entry["domain"] for entry in answer["ranked"]} == {"books", "video"}
    shown = arbitrank("ask", "play dune", "--store", str(tmp_path)).stdout
    assert "music failed: " in shown
