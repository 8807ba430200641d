"""Installation into an environment: checked before it is current, repaired after whatever interrupted it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from environment_folders import make, plugin, released

from arbitrank.cli.main import cli
from arbitrank.environments import acceptance, building, folders, install
from arbitrank.environments.acceptance import lacking
from arbitrank.environments.building import Sources, Tool, find_python, tool
from arbitrank.environments.install import Installed, uninstall
from arbitrank.environments.release_domain import ReleaseHost
from arbitrank.environments.requirement import direct, package_of
from arbitrank.environments.rollback import rollback_code
from arbitrank.errors import InputError, PluginError
from arbitrank.isolation import trial, worker_process
from arbitrank.isolation.groups import Isolation
from arbitrank.isolation.messages import Hello
from arbitrank.registry import ENVIRONMENTS, survey
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.store import Store, open_store
from arbitrank.training_environment import FILE, TrainingEnvironment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments, with no domain beside it."""
    monkeypatch.setenv("ARBITRANK_DOMAINS", "")
    monkeypatch.delenv(ENVIRONMENTS, raising=False)
    return tmp_path / "environments"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


class Built:
    """Stands for uv and pip: what the next environment holds."""

    def __init__(self) -> None:
        self.code, self.version = plugin("kite"), "1.0"
        self.failing: Callable[[Path], None] = lambda part: None
        self.metadata: dict[str, str] = {}

    def __call__(self, requirement: str, python: Path, part: Path, by: Tool, sources: Sources) -> None:
        make(part, self.code, package=package_of(requirement), version=self.version, **self.metadata)
        (part / "bin" / "kite").write_text(f"#!{part}/bin/python\n")
        self.failing(part)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    """The builder, and a greeting that names the plugin's own domains alone: the tests' Python has others."""
    one, greeted = Built(), install.greeted
    monkeypatch.setattr(install, "build", one)

    def own(release: folders.Release, memory: int) -> Any:
        import msgspec

        hello = greeted(release, memory)
        domains = tuple(d for d in hello.domains if d.package == package_of(d.package) and "kite" in d.package)
        refused = {name: why for name, why in hello.refused.items() if name == "kite"}
        return msgspec.structs.replace(hello, domains=domains, refused=refused)

    monkeypatch.setattr(install, "greeted", own)
    monkeypatch.setattr(acceptance, "greeted", own)
    return one


def installed(folder: Path, store: Store, requirement: str = "arbitrank-kite", **options: Any) -> Installed:
    return install.install(
        requirement, folder, Path(sys.executable), Tool(), Sources(), store, **{"check": False, **options}
    )


def current(folder: Path) -> str | None:
    release = folders.current(folder, "arbitrank-kite")
    return release.name if release else None


# ----------------------------------------------------------------------------------------------------------- installing


def test_a_release_is_named_by_its_version_and_what_is_installed(folder: Path, store: Store, built: Built) -> None:
    first = installed(folder, store)
    assert first.release.startswith("1.0-")
    assert (first.previous, first.changed, first.domains) == (None, True, ("kite",))
    assert current(folder) == first.release
    assert not list((folder / "arbitrank-kite").glob(".*.part"))
    again = installed(folder, store)
    assert (again.release, again.changed) == (first.release, False)


def test_an_upgrade_keeps_the_release_before_for_a_rollback_and_removes_older_ones(
    folder: Path, store: Store, built: Built
) -> None:
    names = []
    for built.version in ("1.0", "1.1", "1.2"):
        names.append(installed(folder, store).release)
    assert [one.name for one in folders.releases(folder / "arbitrank-kite")] == names[1:]
    done = rollback_code("kite", store, folder)
    assert done.release is not None
    assert done.before is not None
    assert (done.release.name, done.before.name, done.changes) == (names[1], names[2], {})
    assert current(folder) == names[1]
    rollback_code("arbitrank-kite", store, folder)
    assert current(folder) == names[2]


def test_scripts_of_the_environment_name_the_folder_that_it_is_renamed_to(
    folder: Path, store: Store, built: Built
) -> None:
    release = folder.resolve() / "arbitrank-kite" / installed(folder, store).release
    assert (release / "bin" / "kite").read_text() == f"#!{release}/bin/python\n"


def test_a_dry_run_changes_nothing(folder: Path, store: Store, built: Built) -> None:
    first = installed(folder, store)
    built.version = "1.1"
    assert installed(folder, store, dry_run=True).changed is False
    assert current(folder) == first.release
    assert [one.name for one in folders.releases(folder / "arbitrank-kite")] == [first.release]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (plugin("kite", extra="import nowhere"), "No module named 'nowhere'"),
        (plugin("kite", extra="import os; os._exit(3)"), "ended with status 3"),
        (plugin("kite", extra="import time; time.sleep(60)"), "was not ready after 0.4 s"),
        (plugin(), "returned no domain"),
        ("", "implements no hook"),
    ],
    ids=["import", "exit", "hang", "none", "no hook"],
)
def test_what_cannot_answer_is_refused_and_what_serves_stays(
    folder: Path, store: Store, built: Built, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    first = installed(folder, store)
    built.code, built.version = code, "1.1"
    if "sleep" in code:
        monkeypatch.setattr(worker_process, "STARTING", 0.4)
    with pytest.raises(PluginError, match=reason):
        installed(folder, store)
    assert current(folder) == first.release
    assert not list((folder / "arbitrank-kite").glob(".*.part"))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"requires": "arbitrank>=9"}, "needs arbitrank>=9"),
        ({"group": "arbitrank.domains.v2"}, "is made for contract 2, this core has 1"),
    ],
    ids=["core", "contract"],
)
def test_a_package_for_another_core_or_contract_is_refused(
    folder: Path, store: Store, built: Built, metadata: dict[str, str], reason: str
) -> None:
    built.metadata = metadata
    with pytest.raises(PluginError, match=reason):
        installed(folder, store)
    assert current(folder) is None


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("TalkingModel.rerank = lambda self, request: Scores(0.5, np.full(9, 0.1))", "shape"),
        ("import os\nTalkingModel.rerank = lambda self, request: os.abort()", "SIGABRT"),
        ("import ctypes\nTalkingModel.recognise = lambda self, request: ctypes.string_at(1)", "SIGSEGV"),
        ("import time\nTalkingModel.rerank = lambda self, request: time.sleep(60)", "was not done with its self-test"),
        ("Talking.load = lambda self, folder: 1 / 0", "division by zero"),
        ("import time\nTalking.load = lambda self, folder: time.sleep(60)", "was not done with loading after 0.4 s"),
    ],
    ids=["promise", "abort", "segfault", "hung request", "load", "hung load"],
)
def test_what_fails_with_the_stable_weights_is_refused(
    folder: Path, store: Store, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, reason: str
) -> None:
    artifact = tmp_path / "artifact"
    (artifact / "reranker").mkdir(parents=True)
    (artifact / "reranker" / "weights.json").write_text("{}")
    seal(artifact, Manifest(domain="kite", package="arbitrank-kite", package_version="1.0"))
    store.publish(artifact, promote=True)
    if "sleep" in extra:
        monkeypatch.setattr(trial, "_SECONDS", 0.0)
    monkeypatch.setattr(ReleaseHost.__init__, "__defaults__", (Isolation({}, 5_000.0, 2_048, 0.4),))
    built.code = plugin("kite", extra=extra)
    with pytest.raises(PluginError, match=f"kite: its self-test with the weights .* failed: .*{reason}"):
        installed(folder, store)
    assert current(folder) is None


def test_a_domain_of_another_environment_is_refused_naming_both(folder: Path, store: Store, built: Built) -> None:
    released(folder, package="arbitrank-other")
    with pytest.raises(
        PluginError, match=r"arbitrank-kite: claims the domain 'kite', which the environment arbitrank-o"
    ):
        installed(folder, store)


# ------------------------------------------------------------------------------------------------------- interruptions


def test_what_is_interrupted_at_any_step_leaves_what_serves_and_the_next_repairs_it(
    folder: Path, store: Store, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = installed(folder, store)
    built.version = "1.1"
    steps: list[tuple[object, str]] = [
        (install, "build"), (install, "greeted"), (folders, "record"), (folders, "leasable"), (install, "placed"),
        (os, "sync"), (folders, "switch"), (folders, "write_durably"),
    ]  # fmt: skip

    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    for module, name in steps:
        with monkeypatch.context() as patched:
            patched.setattr(module, name, killed)
            patched.setattr(install, "shutil", SimpleNamespace(rmtree=lambda *a, **k: None))  # as after SIGKILL
            with pytest.raises(Killed):
                installed(folder, store)
        assert current(folder) == first.release
    assert installed(folder, store).release.startswith("1.1-")
    assert not list((folder / "arbitrank-kite").glob(".*.part"))


def test_a_full_disk_is_reported_and_changes_nothing(folder: Path, store: Store, built: Built) -> None:
    first = installed(folder, store)

    def full(part: Path) -> None:
        raise OSError(28, "No space left on device")

    built.version, built.failing = "1.1", full
    with pytest.raises(InputError, match="No space left on device"):
        installed(folder, store)
    assert current(folder) == first.release


@pytest.mark.parametrize("lost", ["environment.json", ".lease", "lib", "bin/kite"])
def test_a_release_that_was_damaged_is_replaced_by_the_next_installation(
    folder: Path, store: Store, built: Built, lost: str
) -> None:
    release = folder / "arbitrank-kite" / installed(folder, store).release
    (release / lost).rename(folder / "gone")
    if lost == "bin/kite":  # which its RECORD lists, as that of a wheel does
        record = next(release.glob("lib/*/site-packages/*.dist-info/RECORD"))
        record.write_text(record.read_text() + "../../../bin/kite,,\n")
    assert installed(folder, store).release == release.name
    assert (release / lost).exists()
    assert not list(folder.glob("arbitrank-kite/.*.part"))


def test_a_dry_run_of_the_release_before_leaves_it_for_a_rollback(folder: Path, store: Store, built: Built) -> None:
    first = installed(folder, store)
    built.version = "1.1"
    installed(folder, store)
    built.version = "1.0"
    assert installed(folder, store, dry_run=True).release == first.release
    assert rollback_code("kite", store, folder).release is not None
    assert current(folder) == first.release


@pytest.mark.parametrize("text", ["1.9-00000000", "../../etc", ""])
def test_a_current_that_was_damaged_by_hand_is_repaired_by_a_rollback_and_by_an_installation(
    folder: Path, store: Store, built: Built, text: str
) -> None:
    release = installed(folder, store).release
    (folder / "arbitrank-kite" / "current").write_text(text)
    assert installed(folder, store).changed
    assert current(folder) == release
    assert folders.previous(folder, "arbitrank-kite") is None


def test_windows_is_refused_with_the_reason(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbitrank.environments.folders.sys", SimpleNamespace(platform="win32"))
    for verb in (("install", "arbitrank-kite"), ("uninstall", "arbitrank-kite"), ("rollback", "kite", "--code")):
        done = run(*verb, "--environments", folder)
        assert isinstance(done.exception, InputError), done.output
        assert "need Linux or macOS, this is Windows" in str(done.exception)
    monkeypatch.setenv(ENVIRONMENTS, str(folder))
    assert any("this is Windows" in one.reason for one in survey().unreadable)
    with pytest.raises(InputError, match="this is Windows"):
        install.install("arbitrank-kite", folder, Path(sys.executable), Tool(), Sources(), open_store(str(tmp_path)))
    assert not folder.exists()


def test_uninstalling_leaves_nothing_that_is_current(folder: Path, store: Store, built: Built) -> None:
    installed(folder, store)
    uninstall("arbitrank-kite", folder)
    assert current(folder) is None
    with pytest.raises(InputError, match="not installed"):
        uninstall("arbitrank-kite", folder)
    with pytest.raises(InputError, match="no package or domain of that name"):
        rollback_code("kite", store, folder)


# ----------------------------------------------------------------------------------------- weights that it is not for


def weights_in(store: Store, tmp_path: Path, content: str, loadable_by: str = "", *, promote: bool = True) -> str:
    """A version of kite in the store, which states by which versions of the package it is loadable."""
    artifact = tmp_path / f"artifact-{content}"
    (artifact / "reranker").mkdir(parents=True)
    (artifact / "reranker" / "weights.json").write_text(content)
    trained = TrainingEnvironment(package="arbitrank-kite", package_version="1.0", loadable_by=loadable_by)
    (artifact / FILE).write_bytes(trained.encoded())
    seal(artifact, Manifest(domain="kite", package="arbitrank-kite", package_version="1.0"))
    return store.publish(artifact, promote=promote).version


def test_a_release_that_needs_other_weights_is_taken_where_that_is_known_or_said(
    folder: Path, store: Store, built: Built, tmp_path: Path
) -> None:
    stable = weights_in(store, tmp_path, "1")
    extra = "Talking.load = lambda self, folder: TalkingModel(self.name, self.intent) if '2' in "
    built.code = plugin("kite", extra=f"{extra}(folder / 'reranker' / 'weights.json').read_text() else 1 / 0")
    with pytest.raises(PluginError, match=rf"weights {stable} \(store\) failed: .*add --await-weights"):
        installed(folder, store)
    assert current(folder) is None
    (note,) = installed(folder, store, await_weights=True, dry_run=True).notes
    assert "run: arbitrank train kite, then arbitrank promote kite" in note
    names = []
    for built.version in ("1.1", "1.2", "1.3"):  # the first stands for what answers, which none replaces before weights
        names.append(installed(folder, store, await_weights=True).release)
    assert [one.name for one in folders.releases(folder / "arbitrank-kite")] == names
    weights_in(store, tmp_path, "2", promote=False)  # a candidate that passes
    (note,) = installed(folder, store, dry_run=True).notes
    assert note.endswith("run: arbitrank promote kite")


def test_a_release_that_the_stable_weights_are_not_for_is_taken_and_says_so(
    folder: Path, store: Store, built: Built, tmp_path: Path
) -> None:
    weights_in(store, tmp_path, "1", ">=1,<2")
    built.version = "2.0"
    done = installed(folder, store)
    assert done.changed
    assert "needs arbitrank-kite >=1,<2, 2.0 is there" in done.notes[0]


# ------------------------------------------------------------------------------------------------------------ the verbs


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def test_the_verbs_install_list_and_roll_back(folder: Path, tmp_path: Path, built: Built) -> None:
    options = ("--environments", folder, "--store", tmp_path / "store")
    done = run("install", "arbitrank-kite", "--installer", "pip", "--no-check", "--json", *options)
    assert done.exit_code == 0, done.output
    first = json.loads(done.stdout.splitlines()[-1])["release"]
    built.version = "1.1"
    assert run("install", "arbitrank-kite", "--installer", "pip", "--no-check", *options).exit_code == 0
    rolled = run("rollback", "kite", "--code", *options)
    assert first in rolled.output
    assert current(folder) == first


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("no such thing!", "no requirement, expected a name"),
        ("./missing.whl", "no such wheel"),
        ("kite-1.whl", "no such wheel"),
    ],
)
def test_what_is_no_requirement_is_refused(folder: Path, requirement: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        package_of(requirement)


@pytest.mark.parametrize("url", ["file:///wheels/kite-1.0-py3-none-any.whl", "https://wheels.example/kite-1.0.whl"])
@pytest.mark.parametrize("name", ["arbitrank_kite", "Arbitrank-Kite[train]"])
def test_a_name_with_the_address_of_a_wheel_stays_as_it_is(name: str, url: str) -> None:
    assert package_of(f"{name} @ {url}") == "arbitrank-kite"
    assert direct(f"{name} @ {url}") == f"{name} @ {url}"


def test_the_path_of_a_wheel_becomes_its_address(tmp_path: Path) -> None:
    wheel = tmp_path / "arbitrank_kite-1.0-py3-none-any.whl"
    wheel.touch()
    assert package_of(str(wheel)) == "arbitrank-kite"
    assert direct(str(wheel)) == f"arbitrank-kite @ {wheel.as_uri()}"


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of a Python project"):
        package_of(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(InputError, match=r"has no \[project\] name"):
        package_of(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "Arbitrank_Kite"\n')
    assert package_of(str(tmp_path)) == "arbitrank-kite"


def test_no_python_is_downloaded() -> None:
    with pytest.raises(InputError, match="no such Python on this machine, and none is downloaded"):
        find_python("2.5", Tool())
    with pytest.raises(InputError, match="no such Python"):
        find_python("/nowhere/python", Tool())


def test_the_program_that_installs_may_be_named() -> None:
    assert tool("pip").name == "pip"


# ------------------------------------------------------------------------------------------------------- the next step


def test_a_package_that_is_not_found_is_refused_with_the_option_that_names_wheels(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\ncase "$*" in *compile*) echo no such version >&2; exit 1;; esac\n')
    uv.chmod(0o755)
    for links, named in (((), "--find-links DIR"), ((str(tmp_path),), f"--find-links DIR (given: {tmp_path})")):
        sources = Sources(no_index=True, find_links=links)
        with pytest.raises(InputError) as failed:
            building.build("arbitrank-nowhere==9", Path(sys.executable), tmp_path / "part", Tool(str(uv)), sources)
        assert str(failed.value).splitlines()[:2] == ["uv ended with status 1:", "  no such version"]
        assert str(failed.value).endswith(named)


def test_the_command_that_installs_again_repeats_the_options_but_no_password(tmp_path: Path) -> None:
    sources = Sources(
        "https://u:secret@index.example/simple",
        ("https://other.example/simple",),
        (str(tmp_path), "https://wheels.example"),
        allow_source=True,
        beside=("arbitrank[serve]",),
    )
    release = folders.Release(tmp_path / "arbitrank-kite" / "1.0-00000000")
    release.folder.mkdir(parents=True)
    facts = folders.Recorded("arbitrank-kite==1.0", "arbitrank-kite", "1.0", {}, Hello((1, 0)), sources.repeated())
    folders.record(release.folder, facts)
    assert release.reinstalling("arbitrank[train]") == (
        f"arbitrank install arbitrank-kite==1.0 --environments {tmp_path} "
        "--extra-index-url https://other.example/simple "
        f"--find-links {tmp_path} --find-links https://wheels.example --allow-source --with 'arbitrank[serve]' "
        "--with 'arbitrank[train]'"
    )
    assert lacking('needs scikit-learn; run: pip install "arbitrank[train]"') == "arbitrank[train]"
    assert lacking("needs nothing") is None


def test_install_shows_the_warnings_of_a_check_that_passes(
    folder: Path, store: Store, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the stable weights where there are some; what is broken with those alone does not refuse the code."""
    finding = {
        "check": "c",
        "seen": "a feature that the weights do not know",
        "expected": "",
        "fix": "train",
        "key": "x",
    }
    reports = {
        True: {"domain": "kite", "broken": [{**finding, "seen": "no answer"}], "warnings": []},
        False: {"domain": "kite", "broken": [], "warnings": [finding], "more": 1},
    }
    with_store: list[bool] = []

    def run(arguments: list[str], **options: Any) -> Any:
        with_store.append("--store" in arguments)
        return SimpleNamespace(returncode=0, stdout=json.dumps(reports[with_store[-1]]) + "\n", stderr="")

    monkeypatch.setattr(acceptance.subprocess, "run", run)
    release = folders.Release(folder / "arbitrank-kite" / "1.0-0")
    warned = "kite: check: c: x: a feature that the weights do not know; train"
    assert acceptance.checked(release, ["kite"], store, lambda text: None) == [warned]
    monkeypatch.setattr(type(store), "state", lambda self, name: (0, SimpleNamespace(stable="v1")))
    stable = "kite: check, with the stable weights: c: x: no answer; train"
    assert acceptance.checked(release, ["kite"], store, lambda text: None) == [stable, warned]
    assert with_store == [False, True, False]
    reports[False]["broken"] = [finding]
    with pytest.raises(PluginError, match="check found in its environment:\nc: x: a feature"):
        acceptance.checked(release, ["kite"], store, lambda text: None)
