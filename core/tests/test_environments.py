"""Domains in environments of their own: found by their record, loaded, trained and answering there, swapped whole."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from distributions import install, serving
from environment_folders import released
from waiting import until

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.domain import Domain, Settings, Skill, SkillParameter
from arbitrank.environments import folders
from arbitrank.environments.discovery import found_in
from arbitrank.environments.folders import Recorded
from arbitrank.environments.release_domain import ReleaseDomain, greeted
from arbitrank.errors import InputError, PluginError, message
from arbitrank.guard import Fault, guarded
from arbitrank.isolation import trial, worker_process
from arbitrank.isolation.greeting import hello
from arbitrank.isolation.groups import Isolation
from arbitrank.live import loader
from arbitrank.live.live import Live
from arbitrank.registry import ENVIRONMENTS, Loaded, Refused, Source, loaded, survey
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.store import Store, open_store
from arbitrank.values import Example, Hypothesis, Request, Truth


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments, the only source of domains here."""
    environments = tmp_path / "environments"
    environments.mkdir()
    monkeypatch.setenv(ENVIRONMENTS, str(environments))
    monkeypatch.setenv("ARBITRANK_DOMAINS", "kite,swing,other,weather")
    return environments


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def published(store: Store, tmp_path: Path, name: str = "kite", content: str = "1") -> str:
    """A version of a domain in the store, and stable there."""
    artifact = tmp_path / f"artifact-{name}-{content}"
    (artifact / "reranker").mkdir(parents=True)
    (artifact / "reranker" / "weights.json").write_text(content)
    version = seal(artifact, Manifest(domain=name, package="arbitrank-kite", package_version="1.0")).version
    store.publish(artifact)
    store.promote(name, version)
    return version


def domains(folder: Path) -> dict[str, Domain]:
    return loaded(found_in(folder, None)[0])


# ------------------------------------------------------------------------------------------------------------ discovery


def test_domains_are_found_by_their_record_and_nothing_is_started(folder: Path) -> None:
    released(folder, ("kite", "swing"))
    found = {one.name: one for one in survey().found if isinstance(one, Loaded)}
    assert found.keys() == {"kite", "swing"}
    kite = found["kite"].domain
    assert isinstance(kite, ReleaseDomain)
    assert [skill.phrases for skill in kite.skills] == [("fly",)]
    assert kite.release_name == "1.0-00000000"
    assert not kite.host.started


def test_a_domain_states_all_that_its_skills_have(folder: Path) -> None:
    class Kite(Domain):
        name = "kite"
        skills = (
            Skill("fly", "Fly it", ("up",), (SkillParameter("height", "in metres"),), "en", "2", ("wind", "sport")),
            Skill("land"),
        )

        def train(self, examples, out, settings):
            raise NotImplementedError

        def load(self, folder):
            raise NotImplementedError

    release = released(folder)
    stated = hello([Loaded("kite", Source("kite", "arbitrank-kite", "1.0"), Kite())])
    folders.record(release.folder, msgspec.structs.replace(release.recorded(), hello=stated))
    assert domains(folder)["kite"].skills == Kite.skills


def test_of_two_environments_with_one_domain_the_second_is_refused_and_both_are_named(folder: Path) -> None:
    released(folder)
    released(folder, package="arbitrank-other")
    (refused,) = [one for one in survey().found if isinstance(one, Refused)]
    assert refused.source.distribution == "arbitrank-other"
    assert "kite (arbitrank-kite 1.0)" in refused.reason


def test_a_domain_that_an_installed_package_has_is_refused_of_an_environment(folder: Path, site: Path) -> None:
    install(site, "arbitrank-kite", serving("kite"))
    released(folder, package="arbitrank-other")
    (refused,) = [one for one in survey().found if isinstance(one, Refused)]
    assert (refused.source.distribution, refused.reason) == (
        "arbitrank-other", "claims 'kite', which kite (arbitrank-kite 1.2.3) has; uninstall one of them"
    )  # fmt: skip


@pytest.mark.parametrize("text", ["../1.0-00000000", "", "1.1-00000000", "/etc", "1.0-00000000/.."])
def test_a_damaged_current_is_a_problem_of_that_package_alone(folder: Path, text: str) -> None:
    released(folder)
    released(folder, ("swing",), package="arbitrank-swing")
    (folder / "arbitrank-kite" / "current").write_text(text)
    found = survey()
    assert {one.name for one in found.found if isinstance(one, Loaded)} == {"swing"}
    assert any(one.name == "arbitrank-kite" and "run: arbitrank install" in one.reason for one in found.unreadable)


def test_a_release_is_resolved_once(folder: Path) -> None:
    """What a running release imports later must not come from the next one."""
    release = folders.current(folder, released(folder).package)
    assert release is not None
    folders.switch(folder, released(folder, version="1.1", current=False))
    assert "1.0-00000000" in str(release.interpreter)


# ------------------------------------------------------------------------------------ answering, training, its own core


def test_a_domain_answers_from_its_environment(folder: Path, store: Store, tmp_path: Path) -> None:
    released(folder)
    version = published(store, tmp_path)
    answer = Arbitrator.from_installed(store=str(store)).answer("fly")
    assert answer.best is not None
    assert (answer.best.domain, answer.best.intent) == ("kite", "Fly")
    report = answer.domains["kite"]
    assert (report.status, report.version, report.release) == ("answered", version, "1.0-00000000")


def test_examples_and_training_run_there(folder: Path, tmp_path: Path) -> None:
    released(folder)
    domain = domains(folder)["kite"]
    assert list(domain.examples()) == [Example(Request(utterance="fly"), Truth("kite", "Fly"))]
    out, steps = tmp_path / "out", []
    out.mkdir()
    settings = Settings(seed=7, progress=lambda *step: steps.append(step))
    assert domain.train(list(domain.examples()) * 3, out, settings) == {"examples": 3, "seed": 7}
    assert (out / "reranker" / "weights.json").read_text() == "3"
    assert steps == [("fly", 1, 1)]


def test_what_fails_there_is_a_value_here(folder: Path, tmp_path: Path) -> None:
    extra = "def fails(*a):\n    raise RuntimeError('no wind')\nTalking.examples = Talking.train = fails"
    released(folder, extra=extra)
    domain = domains(folder)["kite"]
    with pytest.raises(PluginError, match="no wind"):
        domain.examples()
    with pytest.raises(PluginError, match="no wind"):
        domain.train([], tmp_path, Settings())


def test_what_training_lacks_there_is_named_with_the_command_that_installs_it(folder: Path, tmp_path: Path) -> None:
    extra = "def fails(*a):\n    raise ModuleNotFoundError('no', name='sklearn')\nTalking.train = fails"
    released(folder, extra=extra)
    with pytest.raises(
        InputError, match=r"arbitrank install arbitrank-kite --environments \S+ --with 'arbitrank\[train\]'"
    ):
        domains(folder)["kite"].train([], tmp_path, Settings())


def test_nothing_of_this_process_is_exported_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the path to modules nor variables: another Python, or another version of a library, would import it."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("KITE", "1")
    extra = "import os, sys\nassert 'KITE' not in os.environ and '/nowhere' not in sys.path, sys.path"
    assert "kite" in {one.name for one in greeted(released(folder, extra=extra), 4 << 30).domains}


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("import nowhere", "No module named 'nowhere'"),
        ("import os\nos._exit(3)", "ended with status 3"),
        ("import os\nos.abort()", "SIGABRT"),
    ],
)
def test_code_that_cannot_start_says_why(folder: Path, extra: str, reason: str) -> None:
    release = released(folder, extra=extra)
    seen = guarded(greeted, release, 4 << 30)
    text = message(seen) if isinstance(seen, Fault) else seen.refused["kite"]
    assert reason in text


def test_a_domain_in_another_language_speaks_the_protocol(folder: Path, store: Store, tmp_path: Path) -> None:
    """Of a newer minor version, with keys and fields that are unknown here, and without arbitrank."""
    release = released(folder)
    program = Path(__file__).with_name("foreign_domain.py")
    release.interpreter.unlink()
    release.interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} -I {program} "$@"\n')
    release.interpreter.chmod(0o755)
    hello = greeted(release, 4 << 30)
    assert hello.protocol == (1, 7)
    folders.record(release.folder, Recorded("w", "arbitrank-kite", "1.0", {}, hello))
    published(store, tmp_path, "weather")
    arbitrator = Arbitrator.from_installed(store=str(store), only=None)
    answer = arbitrator.answer("will it rain")
    assert answer.best is not None
    assert (answer.best.domain, answer.best.intent, answer.best.probability) == ("weather", "AskRain", 0.45)
    given = Request(utterance="will it rain", hypotheses=(Hypothesis("weather", "A"), Hypothesis("weather", "B")))
    assert [one.probability for one in arbitrator.answer(given).ranked] == [0.225, 0.225]


# ----------------------------------------------------------------------------------------------- leases, locks, removal


def test_a_release_in_use_is_removed_only_after_its_last_lease(folder: Path) -> None:
    first = released(folder)
    released(folder, version="1.1")
    home = folder / "arbitrank-kite"
    held = folders.lease(first)
    with folders.locked(home):
        assert folders.prune(home, ["1.1-00000000"]) == []
    held.close()
    with folders.locked(home):
        assert folders.prune(home, ["1.1-00000000"]) == ["1.0-00000000"]
    with pytest.raises(InputError, match="run: arbitrank install arbitrank-kite again"):
        folders.lease(first)


def test_two_installations_of_one_package_exclude_each_other(folder: Path) -> None:
    home = folder / "arbitrank-kite"
    with folders.locked(home), pytest.raises(InputError, match="another installation"), folders.locked(home):
        pass


def test_what_an_installation_left_behind_is_swept(folder: Path) -> None:
    home = released(folder).folder.parent
    (home / ".4711.part" / "bin").mkdir(parents=True)
    with folders.locked(home):
        folders.prune(home, ["1.0-00000000"])
    assert not (home / ".4711.part").exists()


# ---------------------------------------------------------------------------------------------- following, by a service


@pytest.fixture
def news() -> list[str]:
    return []


@pytest.fixture
def live(folder: Path, store: Store, tmp_path: Path, news: list[str]) -> Iterator[Live]:
    """A service that follows the folder, with one domain; `look` is called by the tests."""
    released(folder)
    published(store, tmp_path)
    one = Live(domains(folder), store, environments=folder, poll=3_600, notify=news.append)
    with closing(one_stopped(one)):
        one.look()
        yield one


def one_stopped(live: Live) -> object:
    class Stopped:
        close = live.stop

    return Stopped()


def intent(live: Live) -> tuple[str, str | None]:
    """The intent that answers, and the release of its code."""
    answer = live.answer("fly")
    assert answer.best is not None
    assert answer.domains["kite"].status == "answered", answer.domains["kite"].reason
    release = answer.domains["kite"].release
    return answer.best.intent, release if isinstance(release, str) else None


def test_new_code_answers_after_a_look_and_the_one_before_after_a_rollback(live: Live, folder: Path) -> None:
    assert intent(live) == ("Fly", "1.0-00000000")
    released(folder, version="1.1", intent="Glide")
    live.look()
    assert intent(live) == ("Glide", "1.1-00000000")
    previous = folders.previous(folder, "arbitrank-kite")
    assert previous is not None
    folders.switch(folder, previous)
    live.look()
    assert intent(live) == ("Fly", "1.0-00000000")


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ("import nowhere", "kite"),
        ("import os\nos._exit(3)", "ended with status 3"),
        ("TalkingModel.rerank = lambda self, request: Scores(0.5, np.full(9, 0.1))", "shape"),
        ("import os\nTalkingModel.rerank = lambda self, request: os.abort()", "SIGABRT"),
        ("Talking.load = lambda self, folder: 1 / 0", "division by zero"),
        ("import time; time.sleep(60)", "was not ready after 0.4 s"),
        ("import time\nTalking.load = lambda self, folder: time.sleep(60)", "was not done with loading after 0.4 s"),
        ("import time\nTalkingModel.rerank = lambda self, request: time.sleep(60)", "was not done with its self-test"),
        ("core", "needs arbitrank>=9"),
    ],
    ids=["import", "exit", "contract", "crash", "load", "hung import", "hung load", "hung request", "core"],
)
def test_code_that_fails_is_refused_and_the_one_before_answers(
    live: Live, folder: Path, news: list[str], monkeypatch: pytest.MonkeyPatch, extra: str, reason: str
) -> None:
    """Also where `current` was edited by hand, past what `install` refuses."""
    if extra == "core":
        released(folder, version="1.1", intent="Glide", requires="arbitrank>=9")
    else:
        released(folder, version="1.1", intent="Glide", extra=extra)
    with monkeypatch.context() as patched:
        if "loading after" in reason:
            limits = Isolation({}, loading_s=0.4)
            patched.setattr(live, "_loader", dataclasses.replace(live._loader, limits=limits))
        elif "ready after" in reason:
            patched.setattr(worker_process, "STARTING", 0.4)
        elif "sleep" in extra:
            patched.setattr(trial, "_SECONDS", 0.0)
        live.look()
    assert intent(live) == ("Fly", "1.0-00000000")
    status = live.status().code["arbitrank-kite"]
    assert (status.serving, status.current) == ("1.0-00000000", "1.1-00000000")
    assert reason in (status.problem or "")
    assert any(reason in line for line in news)
    released(folder, version="1.2", intent="Soar")
    live.look()
    assert intent(live) == ("Soar", "1.2-00000000")
    assert live.status().code["arbitrank-kite"].problem is None


def test_code_that_is_slow_at_its_first_request_alone_is_taken(live: Live, folder: Path) -> None:
    """The test in each worker is not bound by the deadline, and what it compiles there no request waits for."""
    extra = """
import time


def rerank(self, request, done=[]):
    done or time.sleep(1.2)
    done.append(1)
    return Scores(0.9, np.full(len(request.hypotheses), 0.5 / len(request.hypotheses)))


TalkingModel.rerank = rerank
"""
    released(folder, version="1.1", intent="Glide", extra=extra)
    live.look()
    assert live.status().code["arbitrank-kite"].problem is None
    assert intent(live) == ("Glide", "1.1-00000000")


def test_a_package_that_is_installed_answers_and_one_that_is_uninstalled_does_not(live: Live, folder: Path) -> None:
    released(folder, ("swing",), package="arbitrank-swing", intent="Swing")
    live.look()
    assert "swing" in live.status().domains
    folders.withdraw(folder, "arbitrank-swing")
    live.look()
    assert "swing" not in live.answer("fly").domains
    assert intent(live) == ("Fly", "1.0-00000000")


def test_weights_and_code_may_change_within_one_look(
    live: Live, folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store changes while the new code is being loaded: the version that answers is the one stable then."""
    released(folder, version="1.1", intent="Glide")
    changed: list[str] = []

    def check(domains: object, states: object) -> None:
        if not changed:
            changed.append(published(store, tmp_path, content="2"))
            live._follower.look()

    monkeypatch.setattr(loader, "check_spares", check)
    live.look()
    assert live.status().code["arbitrank-kite"].problem is None
    assert intent(live) == ("Glide", "1.1-00000000")
    assert live.answer("fly").domains["kite"].version == changed[0]


def test_the_workers_of_a_release_end_when_nothing_refers_to_it(live: Live, folder: Path) -> None:
    before = live._domains["kite"]
    assert isinstance(before, ReleaseDomain)
    pair = before.host.pair()
    ended = threading.Event()
    close = pair.close
    pair.close = lambda: (close(), ended.set())  # type: ignore[method-assign,assignment,func-returns-value]
    released(folder, version="1.1", intent="Glide")
    live.look()
    del before
    gc.collect()  # as a service does after an exchange: a command that ran here before has made it rare
    assert ended.wait(20)


def test_a_service_that_starts_with_code_that_fails_has_the_release_before_answer(
    folder: Path, store: Store, tmp_path: Path, news: list[str]
) -> None:
    """A worker that is replaced answers as its siblings do, which have refused the current release."""
    released(folder)
    released(folder, version="1.1", intent="Glide", extra="TalkingModel.rerank = lambda self, request: 1 / 0")
    version = published(store, tmp_path)
    one = Live(domains(folder), store, environments=folder, poll=3_600, notify=news.append)
    with closing(one_stopped(one)):
        one._follower.look()
        one._code.recover(loader.failing(one._domains, one._follower.states))
        one.look()
        assert intent(one) == ("Fly", "1.0-00000000")
        status = one.status()
        assert (status.domains["kite"].version, status.domains["kite"].problem) == (version, None)
        code = status.code["arbitrank-kite"]
        assert (code.serving, code.current) == ("1.0-00000000", "1.1-00000000")
        assert "1.1-00000000 refused: kite: " in (code.problem or "")


def test_the_folder_of_a_running_release_may_be_deleted_and_is_repaired(live: Live, folder: Path) -> None:
    """What runs answers on, by its second process too; a restart fails until the release is installed again."""
    home = folder / "arbitrank-kite"
    domain = live._domains["kite"]
    assert isinstance(domain, ReleaseDomain)
    pair = domain.host.pair()
    until(lambda: pair.ready)
    shutil.rmtree(home)
    live.look()
    assert "run: arbitrank install arbitrank-kite again" in (live.status().code["arbitrank-kite"].problem or "")
    with pair._lock:
        assert pair.active is not None
        pair.retire(pair.active)  # as where it has ended
    assert intent(live) == ("Fly", "1.0-00000000")
    until(lambda: pair.problem is not None)
    released(folder)
    live.look()
    assert live.status().code["arbitrank-kite"].problem is None
    pair._wake.set()  # not after its pause
    until(lambda: pair.ready)
    assert intent(live) == ("Fly", "1.0-00000000")


def test_a_worker_that_was_started_through_a_link_reads_nothing_of_the_next_release(folder: Path) -> None:
    """The folder of environments may be a link that is switched, too: the release was resolved before the start."""
    released(folder)
    link = folder.parent / "link"
    link.symlink_to(folder)
    release = folders.current(link, "arbitrank-kite")
    assert release is not None
    link.unlink()
    link.symlink_to(folder.parent)
    assert release.interpreter.is_relative_to(folder.resolve())
    assert {one.name for one in greeted(release, 4 << 30).domains} >= {"kite"}
