"""What the tests of the core share: the command line as a user calls it, and distributions to discover."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from shutil import which
from sysconfig import get_path

import pytest
from distributions import install, serving
from forked import WORKERS, Forks

from arbitrank.domain import Domain
from arbitrank.registry import discover, loaded


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's state folder, in which the last signed changes that were seen are kept, is one of the tests' own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def interruptible() -> Iterator[None]:
    """The user may interrupt these tests, also where they run in the background of a shell, which has that ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


Command = Callable[..., subprocess.CompletedProcess[str]]


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment without arbitrank's own variables, `changes` applied; None takes a variable away."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ARBITRANK_") and key != "PYTHONPATH"}
    merged = {**kept, "PYTHONIOENCODING": "utf-8", **changes}
    return {key: value for key, value in merged.items() if value is not None}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store without any version, so that the weights in the packages answer."""
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def program() -> str:
    """The path of the installed command."""
    found = which("arbitrank", path=get_path("scripts"))
    assert found, "the command is not installed beside this Python; run: pip install -r requirements-dev.txt"
    return found


@pytest.fixture(scope="session")
def arbitrank(empty_store: str, program: str) -> Iterator[Command]:
    """Run the installed command: `arbitrank("ask", "play dune", ARBITRANK_DOMAINS="…")`, outside the checkout."""
    forks = Forks(program)

    def run(*args: str, input: str | None = None, **variables: str | None) -> subprocess.CompletedProcess[str]:
        env = environment(**{"ARBITRANK_STORE": empty_store, **variables})
        return forks.run(args, input=input, cwd=empty_store, env=env, timeout=120)

    yield run
    forks.close()


@pytest.fixture(scope="session")
def fresh(empty_store: str, program: str) -> Command:
    """The same in a process that begins with nothing imported, for what depends on that."""

    def run(*args: str, input: str | None = None, **variables: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *args],
            input=input,
            capture_output=True,
            encoding="utf-8",
            cwd=empty_store,
            env=environment(**{"ARBITRANK_STORE": empty_store, **variables}),
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that train are forked of this process, which has imported what they need, in place of fresh ones."""
    for name in ("arbitrank.training.task", "arbitrank.learn.model_selection", "arbitrank.nlu.training"):
        import_module(name)
    module, context = WORKERS
    monkeypatch.setattr(f"{module}.get_context", context)


@pytest.fixture(scope="session")
def lights_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with one of two fake domains: lights and shades."""
    folder = tmp_path_factory.mktemp("lights") / "site"
    folder.mkdir()
    install(folder, "arbitrank-lights", serving("lights", "shades"))
    return folder


@pytest.fixture(scope="module")
def domains(lights_site: Path) -> Iterator[dict[str, Domain]]:
    """The domains lights and shades, installed where this process and its children find them."""
    sys.path.insert(0, str(lights_site))
    yield loaded(discover({"ARBITRANK_DOMAINS": "lights,shades"}))
    sys.path.remove(str(lights_site))
    sys.modules.pop("arbitrank_lights", None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, first on this process's path; what is imported from it is forgotten again."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
