"""What the tests of the whole share: the wheels, and environments to install them into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCES = {
    "arbitrank": ROOT / "core",
    **{f"arbitrank-{name}": ROOT / "plugins" / name for name in ("books", "music", "video")},
    "arbitrank-negatives": ROOT / "negatives",
    "arbitrank-mcp": ROOT / "bridges" / "mcp",
}


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what would lead back to the checkout, `changes` applied."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ARBITRANK_", "PYTHON"))}
    return {**kept, "PYTHONIOENCODING": "utf-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **changes}


@dataclass(frozen=True)
class Home:
    """A Python environment, and a folder outside the checkout to work in."""

    python: Path
    folder: Path

    def run(self, code: str) -> str:
        """What Python code prints there."""
        return self._output(str(self.python), "-c", code)

    def arbitrank(self, *args: str, input: str | None = None) -> str:
        """What its `arbitrank` prints, with a store of its own in the folder."""
        return self._output(str(self.python.with_name("arbitrank")), *args, input=input)

    def answers(self, requests: Sequence[Mapping[str, Any]], *args: str) -> list[dict[str, Any]]:
        """Its answers to requests, without what no two runs share: their times."""
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        found = [json.loads(line) for line in self.arbitrank("rank", "-", *args, input=lines).splitlines()]
        for answer in found:
            del answer["ms"]
            for report in answer["domains"].values():
                del report["ms"]
        return found

    def shell(self, script: str) -> str:
        """What a script prints whose commands are the environment's, standard error included."""
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment(PATH=path, COLUMNS="110"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=1500,
            check=False,
        )
        return done.stdout

    def install(self, *wheels: Path) -> None:
        """Install wheels, without their dependencies, which are there."""
        self.pip("install", "--quiet", "--no-deps", "--no-index", *map(str, wheels))

    def uninstall(self, *names: str) -> None:
        """Uninstall distributions."""
        self.pip("uninstall", "--quiet", "--yes", *names)

    def pip(self, *args: str) -> str:
        """What this process's pip prints when it works on the environment."""
        return self._output(sys.executable, "-m", "pip", "--python", str(self.python), *args)

    def fails(self, *args: str) -> tuple[int, str]:
        """The exit status of its `arbitrank`, and the line on standard error."""
        done = self._run(str(self.python.with_name("arbitrank")), *args)
        return done.returncode, done.stderr

    def _output(self, *command: str, input: str | None = None) -> str:
        done = self._run(*command, input=input)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, *command: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            input=input,
            capture_output=True,
            encoding="utf-8",
            env=environment(ARBITRANK_STORE=str(self.folder / "store")),
            timeout=300,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Home:
    """The environment that the tests run in, where the checkout is installed."""
    return Home(Path(sys.executable), tmp_path)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of each of the distributions, built from the checkout, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    built = {}
    for name, source in SOURCES.items():
        (wheel,) = WheelBuilder(str(source)).build(directory=str(folder), versions=["standard"])
        built[name] = Path(wheel)
    return built


@pytest.fixture(scope="session")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to every installed package but ours, so that nothing need be downloaded."""
    folder = tmp_path_factory.mktemp("dependencies")
    for site in dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib")):
        for path in Path(site).iterdir():
            if "arbitrank" not in path.name and path.suffix != ".pth" and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path], new_home: Callable[..., Home]) -> Home:
    """An environment with the core and the music domain, without any extra: their own dependencies alone."""
    folder = tmp_path_factory.mktemp("bare")
    linked: set[str] = set()
    wanted = _requirements(wheels["arbitrank"])
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in linked:
            continue
        linked.add(name)
        found = distribution(name)
        wanted |= _applying(found.requires or ())
        for top in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
    home = new_home(folder)
    home.install(wheels["arbitrank"], wheels["arbitrank-music"])
    return home


def _requirements(wheel: Path) -> set[str]:
    """The distributions that a wheel needs without an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(path).decode())
    return _applying(metadata.get_all("Requires-Dist", []))


def _applying(requirements: Sequence[str]) -> set[str]:
    parsed = [Requirement(text) for text in requirements]
    return {one.name for one in parsed if one.marker is None or one.marker.evaluate({"extra": ""})}


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory, dependencies: Path) -> Callable[..., Home]:
    """Make a fresh environment that has the dependencies (or those in another folder) and nothing of ours."""

    def make(dependencies: Path = dependencies) -> Home:
        folder = tmp_path_factory.mktemp("home")
        assert ROOT not in folder.parents
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        home = Home(folder / "venv" / "bin" / "python", folder)
        site = Path(home.run("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (site / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
        return home

    return make
