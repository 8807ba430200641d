"""Four wheels make a running system anywhere, and each of the three domains comes and goes alone."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

from arbitrank.serve.console_files import console_files

ROOT = Path(__file__).parents[1]
DOMAINS = ("books", "music", "video")

REQUESTS: list[dict[str, Any]] = [
    {"id": "tv", "utterance": "play mary poppins", "context": {"device": "tv", "has_screen": True}},
    {"id": "speaker", "utterance": "play mary poppins", "context": {"device": "speaker", "has_screen": False}},
    {"id": "read", "utterance": "read me mary poppins"},
    {"id": "soundtrack", "utterance": "play the mary poppins soundtrack"},
    {"id": "nobody", "utterance": "what is the weather"},
    {"id": "chinese", "utterance": "播放玛丽·波平斯"},
    {
        "id": "brought",
        "hypotheses": [
            {"domain": name, "intent": "Play", "domain_confidence": 0.7, "slots": [{"name": "title", "value": "dune"}]}
            for name in (*DOMAINS, "weather")
        ],
    },
]


PACKAGE = ["arbitrank_negatives"]


def test_the_wheel_of_the_bridge_brings_its_command(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["arbitrank-mcp"]) as archive:
        assert {path.split("/")[0].split("-")[0] for path in archive.namelist()} == {"arbitrank_mcp"}
        entries = _member(archive, "entry_points.txt").split()
    assert entries == ["[console_scripts]", "arbitrank-mcp", "=", "arbitrank_mcp.main:main"]


@pytest.fixture(scope="module")
def home(new_home: Callable[[], Any], wheels: dict[str, Path]) -> Iterator[Any]:
    """An environment with all wheels installed."""
    made = new_home()
    made.install(*wheels.values())
    return made


@pytest.mark.parametrize("name", DOMAINS)
def test_a_plugins_wheel_is_small_and_brings_its_model(wheels: dict[str, Path], name: str) -> None:
    wheel = wheels[f"arbitrank-{name}"]
    assert wheel.stat().st_size < 3_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = Parser().parsestr(_member(archive, "METADATA"))
        entries = _member(archive, "entry_points.txt")
    inside = {path.removeprefix(f"arbitrank_{name}/") for path in names if path.startswith(f"arbitrank_{name}/")}
    assert inside >= {"model/manifest.json", "model/card.json", "model/reranker/weights.json", "plugin.py"}
    assert {path.split("/")[0].split("-")[0] for path in names} == {f"arbitrank_{name}"}
    assert not any(path.endswith((".pkl", ".pickle", ".joblib", ".pyc")) for path in names)
    assert metadata["Name"] == f"arbitrank-{name}"
    assert "arbitrank<1,>=0.2" in metadata.get_all("Requires-Dist", [])
    assert any(path.endswith("licenses/LICENSE") for path in names)
    assert entries.split() == ["[arbitrank.domains.v1]", name, "=", f"arbitrank_{name}.plugin"]


def test_the_wheel_of_negatives_is_data_alone_and_suits_a_domain(wheels: dict[str, Path], home: Any) -> None:
    with zipfile.ZipFile(wheels["arbitrank-negatives"]) as archive:
        names = {path for path in archive.namelist() if ".dist-info/" not in path}
        assert _member(archive, "entry_points.txt").split() == ["[arbitrank.negatives]", "common", "=", *PACKAGE]
    assert names == {"arbitrank_negatives/__init__.py", "arbitrank_negatives/negatives.jsonl"}
    lines = list(map(json.loads, home.arbitrank("examples", "music", "--negatives", "-n", "3").splitlines()))
    assert [line["domain"] for line in lines] == [None] * 3
    assert "music" not in {line["topic"] for line in lines}


def _member(archive: zipfile.ZipFile, name: str) -> str:
    (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
    return archive.read(path).decode()


def test_the_cores_wheel_holds_the_core_alone(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["arbitrank"]) as archive:
        assert {path.split("/")[0].split("-")[0] for path in archive.namelist()} == {"arbitrank"}


def test_the_cores_wheel_holds_the_console_which_adds_little_to_it(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["arbitrank"]) as archive:
        held = {
            path.rpartition("/")[2]: archive.getinfo(path).file_size
            for path in archive.namelist()
            if path.startswith(("arbitrank/serve/console/", "arbitrank/templates/"))
        }
    assert console_files().keys() <= held.keys()
    assert sum(held[name] for name in console_files()) < 400_000


def test_what_is_installed_is_outside_the_checkout_and_fits_together(home: Any) -> None:
    places = home.python.parent.parent
    for name in ("arbitrank", *(f"arbitrank_{name}" for name in DOMAINS)):
        assert Path(home.run(f"import {name}; print({name}.__file__)").strip()).is_relative_to(places)
    assert "No broken requirements found" in home.pip("check")


def test_the_wheels_answer_as_the_checkout_does(home: Any, checkout: Any) -> None:
    installed = home.answers(REQUESTS)
    assert installed == checkout.answers(REQUESTS)
    by_id = {answer["id"]: answer for answer in installed}
    assert by_id["tv"]["ranked"][0]["domain"] == "video"
    assert by_id["speaker"]["ranked"][0]["domain"] != "video"
    assert by_id["read"]["ranked"][0]["domain"] == "books"
    assert by_id["soundtrack"]["ranked"][0]["domain"] == "music"
    assert by_id["nobody"]["decision"]["action"] == "none"


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_is_uninstalled_and_back_and_the_others_never_notice(
    home: Any, wheels: dict[str, Path], name: str
) -> None:
    whole = home.answers(REQUESTS)
    home.uninstall(f"arbitrank-{name}")
    try:
        listed = {row["name"]: row["status"] for row in json.loads(home.arbitrank("domains", "--json"))}
        without = home.answers(REQUESTS)
    finally:
        home.install(wheels[f"arbitrank-{name}"])
    assert listed == {other: "loaded" for other in DOMAINS if other != name}
    for before, after in zip(whole, without, strict=True):
        assert after["ranked"] == [entry for entry in before["ranked"] if entry["domain"] != name]
        for other in listed:
            assert after["domains"][other] == before["domains"][other]
    brought = without[-1]["domains"]
    assert (brought[name]["status"], brought["weather"]["status"]) == ("unserved", "unserved")
    assert home.answers(REQUESTS) == whole


def test_the_core_alone_reports_that_no_domain_is_installed(
    new_home: Callable[[], Any], wheels: dict[str, Path]
) -> None:
    bare = new_home()
    bare.install(wheels["arbitrank"])
    assert json.loads(bare.arbitrank("domains", "--json")) == []
    assert "pip install arbitrank-NAME" in bare.arbitrank("domains")
    status, said = bare.fails("ask", "play mary poppins")
    assert (status, "no domain could answer" in said) == (1, True), said


def test_the_root_of_the_checkout_installs_all_but_the_bridge(new_home: Callable[[], Any]) -> None:
    whole = new_home()
    whole.pip("install", "--quiet", "--no-index", "--no-build-isolation", str(ROOT))
    assert {row["name"]: row["status"] for row in json.loads(whole.arbitrank("domains", "--json"))} == dict.fromkeys(
        DOMAINS, "loaded"
    )
