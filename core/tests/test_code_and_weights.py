"""Code and weights that need each other are swapped in one step, by a service and by the commands that roll back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from environment_folders import released

from arbitrank.arbitration.arbitrator import Serving
from arbitrank.cli.main import cli
from arbitrank.environments import folders
from arbitrank.environments.discovery import found_in, loading
from arbitrank.environments.folders import Release
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.environments.rollback import rollback_code, rollback_weights
from arbitrank.errors import InputError, OtherCode, PluginError
from arbitrank.evaluate.metrics import Calibration
from arbitrank.guard import Fault
from arbitrank.live import loader
from arbitrank.live.code import CodeFollower
from arbitrank.live.domain_state import FollowedState, LoadedVersion
from arbitrank.live.live import Live
from arbitrank.live.status import problem_of_previous
from arbitrank.promotion import consider
from arbitrank.registry import ENVIRONMENTS, loaded
from arbitrank.store.artifact import CARD, Manifest, seal
from arbitrank.store.state import State
from arbitrank.store.store import Store, open_store
from arbitrank.training_environment import FILE, TrainingEnvironment

PACKAGE = "arbitrank-kite"
CARDS = Calibration(10, 0.1, 0.1, 0.1, (0.0, 1.0), 0.1, (0.0, 1.0), 0.0, others=5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments, the only source of domains here."""
    environments = tmp_path / "environments"
    environments.mkdir()
    monkeypatch.setenv(ENVIRONMENTS, str(environments))
    monkeypatch.setenv("ARBITRANK_DOMAINS", "kite")
    return environments


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def published(store: Store, tmp_path: Path, content: str, loadable_by: str | None, *, promote: bool = True) -> str:
    """A version in the store; it states by which versions of the package it is loadable, or nothing with None."""
    artifact = tmp_path / f"artifact-{content}"
    (artifact / "reranker").mkdir(parents=True)
    (artifact / "reranker" / "weights.json").write_text(content)
    (artifact / CARD).write_bytes(msgspec.json.encode(CARDS))
    if loadable_by is not None:
        trained = TrainingEnvironment.of(PACKAGE, "1.0", loadable_by, None, None, {})
        (artifact / FILE).write_bytes(trained.encoded())
    seal(artifact, Manifest(domain="kite", package=PACKAGE, package_version="1.0"))
    return store.publish(artifact, promote=promote).version


def reads(*contents: str) -> str:
    """Code that loads no other weights than those with these contents."""
    return (
        "Talking.load = lambda self, folder: TalkingModel(self.name, self.intent) "
        f"if (folder / 'reranker' / 'weights.json').read_text() in {contents!r} else 1 / 0"
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def following(folder: Path, store: Store, stack: ExitStack, news: list[str] | None = None) -> Live:
    """A service that has started; `look` is called by the tests."""
    notify = (lambda line: None) if news is None else news.append
    live = Live(loaded(found_in(folder, None)[0]), store, environments=folder, poll=3_600, notify=notify)
    stack.callback(live.stop)
    live.look()
    live._code.recover(loader.failing(live._domains, live._follower.states))
    return live


def pair(live: Live) -> tuple[str, str, str]:
    """What answers: the intent, the release of the code, the version of the weights."""
    answer = live.answer("fly")
    report = answer.domains["kite"]
    assert answer.best is not None, report.reason
    assert isinstance(report.release, str)
    assert isinstance(report.version, str)
    return answer.best.intent, report.release.partition("-")[0], report.version


def test_what_needs_each_other_is_swapped_at_once_and_rolled_back_together(
    folder: Path, store: Store, tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever moves first waits for the other, and says so; a command that is killed is completed by repeating it."""
    news: list[str] = []
    old = published(store, tmp_path, "1", ">=1,<2")
    released(folder)
    live = following(folder, store, stack, news)
    before = ("Fly", "1.0", old)
    assert pair(live) == before

    new = published(store, tmp_path, "2", ">=2", promote=False)
    judgement = consider(store, live._domains, "kite")
    assert "run: arbitrank install 'arbitrank-kite>=2'" in (judgement.problem or "")
    store.promote("kite", new)  # another host's, say
    live.look()
    assert pair(live) == before
    problem = live.status().domains["kite"].problem
    assert problem is not None
    assert f"serves {old}; {new} waits for code: it needs arbitrank-kite >=2, 1.0 is there" in problem
    assert any("waits for code" in line for line in news)

    released(folder, version="2.0", intent="Soar", extra=reads("2"))
    live.look()
    after = ("Soar", "2.0", new)
    assert pair(live) == after
    assert live.status().domains["kite"].problem is live.status().code[PACKAGE].problem is None

    # Back, by the weights: killed between the two steps, then completed.
    with monkeypatch.context() as killed:
        killed.setattr(Store, "rollback", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            rollback_weights("kite", store, folder)
    live.look()
    assert pair(live) == after
    assert "1.0-00000000 waits for weights: kite" in (live.status().code[PACKAGE].problem or "")
    rollback_weights("kite", store, folder, reason="too high")
    live.look()
    assert pair(live) == before
    last = store.history("kite")[-1]
    assert (last.verb, last.code, last.reason) == ("rollback", "1.0-00000000", "too high")

    # And again, by the code.
    with monkeypatch.context() as killed:
        killed.setattr(folders, "switch", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            rollback_code("kite", store, folder)
    live.look()
    assert pair(live) == before
    assert "waits for code" in (live.status().domains["kite"].problem or "")
    done = rollback_code("kite", store, folder)
    assert done.release is not None
    assert (done.release.version, dict(done.changes)) == ("2.0", {})
    live.look()
    assert pair(live) == after


def test_where_loading_alone_proves_it_the_same_holds_and_a_start_in_between_finds_the_old_pair(
    folder: Path, store: Store, tmp_path: Path, stack: ExitStack
) -> None:
    old = published(store, tmp_path, "1", None)
    released(folder, extra=reads("1"))
    live = following(folder, store, stack)
    before = pair(live)
    released(folder, version="2.0", intent="Soar", extra=reads("2"))
    live.look()
    assert pair(live) == before == ("Fly", "1.0", old)
    assert "division by zero" in (live.status().code[PACKAGE].problem or "")
    current = loaded(found_in(folder, None)[0])["kite"]
    assert isinstance(current, ReleaseDomain)
    assert current.release.version == "2.0"
    assert loading(current, store.fetch("kite", old)).release.version == "1.0"  # with which a replay compares
    started = following(folder, store, stack)
    assert pair(started) == before
    assert "2.0-00000000 refused: kite: " in (started.status().code[PACKAGE].problem or "")
    new = published(store, tmp_path, "2", None)
    for one in (live, started):
        one.look()
        assert pair(one) == ("Soar", "2.0", new)
    assert rollback_code("kite", store, folder).changes["kite"].state.stable == old
    assert [change.code for change in store.history("kite")][-1] == "1.0-00000000"
    live.look()
    assert pair(live) == before
    options = ["--store", str(store), "--environments", str(folder)]
    done = CliRunner().invoke(cli, ["rollback", "kite", *options])
    assert done.output.splitlines() == [
        f"kite: stable {new}, previous {old} (change 4)",
        "arbitrank-kite 2.0-00000000 is current, before: 1.0-00000000; "
        f"see: arbitrank domains --environments {folder.resolve()}",
    ]
    assert "with code 2.0-00000000" in CliRunner().invoke(cli, ["history", "kite", *options[:2]]).output
    live.look()
    assert pair(live) == ("Soar", "2.0", new)


def test_a_rollback_that_no_release_can_use_is_refused_with_the_next_command(
    folder: Path, store: Store, tmp_path: Path
) -> None:
    published(store, tmp_path, "1", "==0.1")
    stable = published(store, tmp_path, "2", ">=2")
    released(folder, version="2.0")
    with pytest.raises(InputError, match=r"needs arbitrank-kite ==0.1, 2.0 is there.*there is no release before"):
        rollback_weights("kite", store, folder)
    released(folder, version="2.1")
    with pytest.raises(InputError, match=r"nor with 2.0-00000000"):
        rollback_weights("kite", store, folder)
    folders.switch(folder, released(folder, version="1.0", current=False))
    folders.switch(folder, Release((folder / PACKAGE).resolve() / "2.1-00000000"))
    with pytest.raises(InputError, match=r"1.0-00000000 can load no weights that it has: .*run: arbitrank install"):
        rollback_code("kite", store, folder)
    assert store.state("kite")[1].stable == stable
    current = folders.current(folder, PACKAGE)
    assert current is not None
    assert current.version == "2.1"


# ---------------------------------------------------------------------------------------------------- without a process


@pytest.mark.parametrize("error", [PluginError("no wind"), OtherCode("no wind"), RuntimeError("no wind")])
def test_a_release_that_is_refused_is_tried_again_when_the_store_has_changed(folder: Path, error: Exception) -> None:
    """Not at every look: each attempt starts processes."""
    first, asked, news, changes = released(folder), list[str](), list[str](), {"kite": 1}
    fails = {"2.0": error}

    def replace(package: str, domains: Mapping[str, ReleaseDomain]) -> None:
        asked.append(domains["kite"].release.version)
        if asked[-1] in fails:
            raise fails[asked[-1]]

    follower = CodeFollower(
        folder, {PACKAGE: first}, replace, news.append, 3_600, changes=lambda package: dict(changes)
    )
    released(folder, version="2.0")
    how = "waits for weights" if isinstance(error, OtherCode) else "refused"
    for _ in range(3):
        follower.look()
        assert (follower.status()[PACKAGE].problem or "").startswith(f"2.0-00000000 {how}: ")
    final = [] if isinstance(error, RuntimeError) else ["2.0"]  # what may pass is tried again in time, too
    assert asked[: len(final)] == final
    assert len(news) == 1
    asked.clear()
    changes["kite"] = 2
    follower.look()
    assert (asked, len(news)) == (["2.0"], 1)
    fails.clear()
    changes["kite"] = 3
    follower.look()
    status = follower.status()[PACKAGE]
    assert (status.serving, status.problem) == ("2.0-00000000", None)


def test_a_start_finds_the_release_that_can_load_the_weights_behind_two_that_wait(folder: Path) -> None:
    released(folder)
    released(folder, version="2.0")
    current, asked = released(folder, version="2.1"), list[str]()

    def replace(package: str, domains: Mapping[str, ReleaseDomain]) -> None:
        asked.append(domains["kite"].release.version)
        if asked[-1] != "1.0":
            raise OtherCode("needs other weights")

    follower = CodeFollower(folder, {PACKAGE: current}, replace, lambda line: None, 3_600)
    follower.recover({PACKAGE: "kite: needs other weights"})
    assert asked == ["2.0", "1.0"]
    follower.look()
    status = follower.status()[PACKAGE]
    assert (status.serving, status.problem) == ("1.0-00000000", "2.1-00000000 refused: kite: needs other weights")


def test_a_start_whose_weights_wait_for_code_has_the_version_before_answer() -> None:
    manifest = Manifest(domain="kite", package=PACKAGE, package_version="1.0", version="a" * 12)
    state = FollowedState("kite", release="1.0-00000000")
    state.see(2, State(stable="b" * 12, previous="a" * 12), None)
    state.take("b" * 12, Fault(OtherCode("needs arbitrank-kite >=2, 1.0 is there")), 2)
    state.settle(None)
    assert state.version is None
    state.take("a" * 12, LoadedVersion(object(), manifest, "store"), 2)
    assert state.settle(None)
    assert isinstance(state.serving, Serving)
    assert state.version == "a" * 12
    reason = f"{'b' * 12} waits for code: it needs arbitrank-kite >=2, 1.0 is there"
    assert state.serving.note == f"serves {'a' * 12}; {reason}"
    assert not state.settle(None)


def test_a_rollback_over_http_to_a_version_that_waits_for_code_names_the_command() -> None:
    state = FollowedState("kite", release="2.0-00000000")
    state.see(2, State(stable="b" * 12, previous="a" * 12), None)
    assert problem_of_previous("kite", state.status()) is None
    state.take("a" * 12, Fault(OtherCode("needs arbitrank-kite >=1,<2, 2.0 is there")), 2)
    problem = problem_of_previous("kite", state.status())
    assert problem is not None
    assert "needs arbitrank-kite >=1,<2" in problem
    assert problem.endswith("arbitrank rollback kite --environments DIR")


def test_a_start_whose_weights_are_refused_for_another_reason_has_no_version_answer() -> None:
    """That the one before was withdrawn may have a reason."""
    manifest = Manifest(domain="kite", package=PACKAGE, package_version="1.0", version="a" * 12)
    state = FollowedState("kite", release="1.0-00000000")
    state.see(2, State(stable="b" * 12, previous="a" * 12), None)
    state.take("b" * 12, Fault(PluginError("no wind")), 2)
    state.take("a" * 12, LoadedVersion(object(), manifest, "store"), 2)
    state.settle(None)
    assert state.version is None
