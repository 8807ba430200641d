"""The follower of environments: which release it swaps in, what it leaves, and what it tries again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from environment_folders import released
from waiting import until

from arbitrank.environments import folders
from arbitrank.environments.discovery import domains_of
from arbitrank.environments.folders import Release
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import ArbitrankError, PluginError, StoreError
from arbitrank.live import code
from arbitrank.live.code import CodeFollower
from arbitrank.live.loader import check_claims
from arbitrank.registry import loaded


class Followed:
    """A follower of a folder, what it was told to have answer, and the lines that it reported."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.news = folder, list[str]()
        self.swapped: list[tuple[str, list[str]]] = []
        self.failing: Callable[[str], object] = lambda package: None
        serving = {package: folders.current(folder, package) for package in folders.names(folder)}
        releases = {package: one for package, one in serving.items() if one}
        self.code = CodeFollower(folder, releases, self._replace, self.news.append, 3_600)

    def _replace(self, package: str, domains: Mapping[str, ReleaseDomain]) -> None:
        self.failing(package)
        self.swapped.append((package, sorted(domains)))

    def serving(self, package: str = "arbitrank-kite") -> str | None:
        return self.code.status()[package].serving

    def problem(self, package: str = "arbitrank-kite") -> str:
        return self.code.status()[package].problem or ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ARBITRANK_DOMAINS", raising=False)
    folder = tmp_path / "environments"
    released(folder)
    return folder


@pytest.fixture
def followed(folder: Path) -> Followed:
    return Followed(folder)


def raising(error: Exception) -> Callable[[str], object]:
    def fails(package: str) -> None:
        raise error

    return fails


def domains(release: Release) -> dict[str, ReleaseDomain]:
    return {name: one for name, one in loaded(domains_of(release)).items() if isinstance(one, ReleaseDomain)}


@pytest.mark.parametrize("lost", ["environments", "package", "current"])
def test_what_was_lost_was_not_uninstalled(folder: Path, followed: Followed, lost: str) -> None:
    """A volume that is gone, a package's folder or its `current`, deleted by hand: what runs answers on."""
    gone = {"environments": folder, "package": folder / "arbitrank-kite", "current": folder / "arbitrank-kite/current"}
    gone[lost].rename(folder.parent / "gone")
    followed.code.look()
    assert (followed.serving(), followed.swapped) == ("1.0-00000000", [])
    assert str(folder) in followed.problem()
    assert "; " in followed.problem()  # the next command
    (folder.parent / "gone").rename(gone[lost])
    followed.code.look()
    assert (followed.problem(), followed.swapped) == ("", [])


def test_what_was_uninstalled_answers_no_more(folder: Path, followed: Followed) -> None:
    folders.withdraw(folder, "arbitrank-kite")
    followed.code.look()
    assert followed.swapped == [("arbitrank-kite", [])]
    assert "arbitrank-kite" not in followed.code.serving
    released(folder, version="1.1")
    followed.code.look()
    assert followed.serving() == "1.1-00000000"


def test_a_refused_release_is_reported_once_and_not_tried_again(folder: Path, followed: Followed) -> None:
    followed.failing = raising(PluginError("no wind"))
    released(folder, version="1.1")
    followed.code.look()
    followed.code.look()
    assert followed.news == ["arbitrank-kite: 1.1-00000000 refused: no wind"]
    assert (followed.serving(), followed.problem()) == ("1.0-00000000", "1.1-00000000 refused: no wind")
    followed.failing = lambda package: None
    followed.code.look()
    assert followed.swapped == []
    followed.code.retry()
    followed.code.look()
    assert (followed.serving(), followed.problem()) == ("1.1-00000000", "")


def test_a_refused_release_is_forgotten_when_the_one_before_is_current_again(folder: Path, followed: Followed) -> None:
    followed.failing = raising(PluginError("no wind"))
    released(folder, version="1.1")
    followed.code.look()
    before = folders.previous(folder, "arbitrank-kite")
    assert before is not None
    folders.switch(folder, before)
    followed.code.look()
    assert (followed.serving(), followed.problem()) == ("1.0-00000000", "")


@pytest.mark.parametrize("error", [StoreError("the store is away"), ArbitrankError("no process"), OSError(11, "again")])
def test_what_may_pass_is_tried_again_after_pauses_that_double(
    folder: Path, followed: Followed, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    now, tries = [0.0], list[float]()
    monkeypatch.setattr(code, "monotonic", lambda: now[0])

    def fails(package: str) -> None:
        tries.append(now[0])
        raise error

    followed.failing = fails
    released(folder, version="1.1")
    for now[0] in range(20):
        followed.code.look()
    assert tries == [0, 1, 3, 7, 15]
    assert len(followed.news) == 1


def test_a_release_that_is_installed_again_under_its_name_is_tried_again(folder: Path, followed: Followed) -> None:
    followed.failing = raising(PluginError("no wind"))
    broken = released(folder, version="1.1")
    followed.code.look()
    broken.folder.rename(folder.parent / "broken")
    released(folder, version="1.1")
    followed.failing = lambda package: None
    followed.code.look()
    assert followed.serving() == "1.1-00000000"


def test_what_hangs_delays_no_other_package(folder: Path, followed: Followed) -> None:
    end = threading.Event()
    followed.failing = lambda package: package == "arbitrank-kite" and end.wait(30)
    released(folder, version="1.1")
    released(folder, ("swing",), package="arbitrank-swing")  # comes after kite
    followed.code.look(0.01)
    until(lambda: followed.code.look(0.01) or followed.serving("arbitrank-swing"))
    assert (followed.serving("arbitrank-swing"), followed.serving()) == ("1.0-00000000", "1.0-00000000")
    end.set()
    until(lambda: followed.code.look(0.01) or followed.serving() == "1.1-00000000")
    assert len(followed.swapped) == 2


def test_domains_that_the_operator_has_not_named_stay_out(
    folder: Path, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRANK_DOMAINS", "kite,swing")
    released(folder, ("swing", "seesaw"), package="arbitrank-playground")
    released(folder, ("other",), package="arbitrank-other")
    followed.code.look()
    assert followed.swapped == [("arbitrank-other", []), ("arbitrank-playground", ["swing"])]
    assert followed.problem("arbitrank-other") == followed.problem("arbitrank-playground") == ""


def test_at_a_start_with_code_that_fails_the_release_before_answers(folder: Path) -> None:
    """A worker that is replaced answers as its siblings do, which have refused the current release."""
    released(folder, version="1.1")
    followed = Followed(folder)
    followed.code.recover({"arbitrank-kite": "kite: no wind"})
    followed.code.look()
    assert followed.swapped == [("arbitrank-kite", ["kite"])]
    assert (followed.serving(), followed.problem()) == ("1.0-00000000", "1.1-00000000 refused: kite: no wind")


def test_where_that_fails_too_both_are_told_apart(folder: Path) -> None:
    released(folder, version="1.1")
    followed = Followed(folder)
    followed.failing = raising(PluginError("no wind either"))
    followed.code.recover({"arbitrank-kite": "kite: no wind"})
    assert followed.serving() == "1.1-00000000"
    assert followed.news == ["arbitrank-kite: 1.0-00000000 refused: no wind either"]


def test_of_two_packages_with_one_domain_both_are_named(folder: Path) -> None:
    kite = folders.current(folder, "arbitrank-kite")
    assert kite is not None
    lark = released(folder, package="arbitrank-lark", version="2.0")
    check_claims("arbitrank-kite", domains(kite), domains(kite))
    with pytest.raises(ArbitrankError, match=r"'kite', which the environment arbitrank-kite 1.0-00000000 has"):
        check_claims("arbitrank-lark", domains(lark), domains(kite))
