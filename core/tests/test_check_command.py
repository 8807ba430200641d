"""`arbitrank check`: an installed domain by name, or a plugin by path; it goes on where the plugin hangs or exits."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from careless import Zoo
from distributions import install

from arbitrank.domain import Settings
from arbitrank.errors import InputError
from arbitrank.store.store import open_store
from arbitrank.testing import ALL_CHECKS
from arbitrank.testing.check_process import DISCOVERY, check_target
from arbitrank.testing.import_probe import import_effects
from arbitrank.testing.metadata_checks import range_of_core_is_capped
from arbitrank.testing.target import Target, target
from arbitrank.training.build import build
from arbitrank.values import Example

CARELESS = Path(__file__).with_name("careless.py").read_text(encoding="utf-8")
HOOK = "\n\nfrom arbitrank.hookspecs import hookimpl\n\n\n@hookimpl\ndef arbitrank_domains():\n    return [{}]\n"
STEADY = CARELESS + HOOK.format("Zoo()")
NASTY = CARELESS + HOOK.format("careless(fallback=property(lambda self: __import__('os')._exit(7)), context_keys='a')")
PROJECT = """
[project]
name = "arbitrank-zoo"
version = "0.1.0"
dependencies = ["arbitrank>=0.2"]

[project.entry-points."arbitrank.domains.v1"]
zoo = "arbitrank_zoo"
"""


def project(folder: Path, code: str, pyproject: str = PROJECT) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "arbitrank_zoo.py").write_text(code)
    (folder / "pyproject.toml").write_text(pyproject)
    return folder


def test_a_project_that_is_not_installed_is_checked_and_its_metadata_too(arbitrank, tmp_path: Path) -> None:
    folder, temporary = project(tmp_path / "zoo", STEADY), tmp_path / "temporary"
    temporary.mkdir()
    done = arbitrank("check", str(folder), "--json", TMPDIR=str(temporary))
    assert [*temporary.iterdir()] == []
    (report,) = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert (report["domain"], report["checks"], report["passed"]) == ("zoo", len(ALL_CHECKS) + 1, False)
    (broken,) = report["broken"]
    assert broken["check"] == "range_of_core_is_capped"
    assert broken["seen"] == "it requires arbitrank >=0.2, without an end"
    assert broken["fix"] == 'write dependencies = ["arbitrank>=0.2,<1"] in pyproject.toml'
    done = arbitrank("check", str(folder / "src"), "--expect", "range_of_core_is_capped=because it is a toy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "because:  because it is a toy" in done.stdout
    assert done.stdout.endswith(
        "0 broken, 0 findings, 1 warnings; weights checked: none stable, none shipped: trained on a sample\n"
    )


def test_the_stable_weights_of_the_store_are_checked_and_named(arbitrank, tmp_path: Path) -> None:
    zoo, url = Zoo(), str(tmp_path / "store")
    store = open_store(url)

    def promoted(examples: list[Example], name: str) -> str:
        build(zoo, ("arbitrank-zoo", "0.1.0"), examples, tmp_path / name, Settings())
        return store.publish(tmp_path / name, promote=True).version

    def checked() -> tuple[dict[str, Any], list[str]]:
        done = arbitrank("check", str(folder), "--store", url, "--json", "--expect", "range_of_core_is_capped=a toy")
        report = json.loads(done.stdout)
        return report, [one["seen"] for one in report["broken"] + report["warnings"]]

    folder, examples = project(tmp_path / "zoo", STEADY), list(zoo.examples())
    older = promoted(examples[:-7], "older")
    report, seen = checked()
    assert (report["passed"], report["weights"]) == (True, f"{older}, stable in {url}")
    assert (
        f"the weights that answer ({older}, stable in {url}) were trained on other data than examples() yields now"
        in seen
    )
    (fix,) = (one["fix"] for one in report["warnings"] if "other data" in one["seen"])
    assert fix == f"run: arbitrank train zoo --promote --store {url}"


@pytest.mark.parametrize(
    ("requires", "broken"),
    [
        (["arbitrank>=0.2,<1", 'arbitrank[train]; extra == "test"'], []),
        (['arbitrank>=0.2,<1; extra == "test"'], ["arbitrank-zoo does not require arbitrank"]),
        (["arbitrank>=0.2", "arbitrank<1; python_version < '3'"], ["it requires arbitrank >=0.2, without an end"]),
    ],
)
def test_the_range_of_core_is_that_which_holds_without_an_extra(requires: list[str], broken: list[str]) -> None:
    subject: Any = SimpleNamespace(package=SimpleNamespace(name="arbitrank-zoo", requires=requires))
    found = range_of_core_is_capped.findings(subject)
    assert [one.seen for one in found if one.level == "broken"] == broken


def test_a_check_in_which_the_plugin_exits_is_a_finding_and_the_others_go_on(site: Path) -> None:
    install(site, "arbitrank-zoo", NASTY)
    (found,) = check_target(Target("zoo", name="zoo"), seconds=60.0)
    assert {one.check: "ended with status 7" in one.seen for one in found.findings} == {
        "attributes_have_their_types": True,
    }
    assert found.checks == len(ALL_CHECKS) + 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print('hello')\n", "importing zoo_effects printed 'hello'"),
        ("open('written.txt', 'w').close()\n", "opened 'written.txt' to write"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))\n", "listened on ('127.0.0.1', 0)"),
        ("import subprocess, sys; subprocess.run([sys.executable, '-c', ''])\n", "started "),
        ("import sys; sys.exit('set ZOO_KEY')\n", "raised SystemExit: set ZOO_KEY"),
    ],
)
def test_the_effects_of_an_import_are_seen(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, text: str
) -> None:
    import_effects.cache_clear()
    monkeypatch.chdir(tmp_path)
    (site / "zoo_effects.py").write_text(code)
    found = import_effects("zoo_effects")
    assert found is not None
    seen = [f"importing zoo_effects printed {found.printed!r}" if found.printed else "", *found.events, found.ended]
    assert any(text in one for one in seen), seen


def test_a_quiet_import_has_no_effects(site: Path) -> None:
    import_effects.cache_clear()
    (site / "zoo_effects.py").write_text("import json\n")
    found = import_effects("zoo_effects")
    assert found is not None
    assert (found.printed, found.events, found.ended) == ("", (), "")


def test_a_package_without_an_entry_point_and_an_unknown_name_are_findings(tmp_path: Path) -> None:
    info = tmp_path / "arbitrank_zoo-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: arbitrank-zoo\nVersion: 0.1.0\n")
    (found,) = check_target(target(str(tmp_path), tmp_path / "scratch"))
    assert [one.check for one in found.findings] == [DISCOVERY]
    assert "has the entry-point groups (none)" in found.findings[0].seen
    assert "arbitrank.domains.v1" in found.findings[0].expected


def test_targets_are_found_and_what_is_none_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "zoo", STEADY)
    found = target(str(folder / "src" / "arbitrank_zoo.py"), tmp_path / "scratch")
    assert (found.distribution, found.paths[1]) == ("arbitrank_zoo", str(folder / "src"))
    assert target("zoo", tmp_path).name == "zoo"
    with zipfile.ZipFile(tmp_path / "zoo-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("arbitrank_zoo-0.1.0.dist-info/METADATA", "Name: arbitrank-zoo\nVersion: 0.1.0\n")
    assert target(str(tmp_path / "zoo-0.1.0-py3-none-any.whl"), tmp_path / "s").distribution == "arbitrank_zoo"
    (tmp_path / "bad.whl").write_text("no zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pyproject.toml").write_text("[project\n")
    for text, message in (
        ("no/such/folder", "no such file or folder, expected an installed domain's name or a plugin's path"),
        (str(tmp_path / "bad.whl"), "is no wheel that can be read"),
        (str(tmp_path / "empty"), "no plugin there, expected a folder with a pyproject.toml"),
        (str(tmp_path / "broken"), "pyproject.toml: cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            target(text, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "no NAME or PATH; expected a domain's name or a plugin's path"),
        (("nowhere",), "no installed package has a domain or an entry point 'nowhere'"),
        (("./nowhere",), "no such file or folder"),
        (("zoo", "--expect", "answers_are_fast"), "no reason, expected CHECK=REASON"),
        (("zoo", "--expect", "fast=because"), "no such check; see: arbitrank check --list"),
    ],
)
def test_a_wrong_call_is_refused(arbitrank, args: tuple[str, ...], message: str) -> None:
    done = arbitrank("check", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_checks_are_listed_with_their_guarantees(arbitrank) -> None:
    done = arbitrank("check", "--list", "--json")
    assert json.loads(done.stdout) == {one.__name__: one.__doc__ for one in ALL_CHECKS}
