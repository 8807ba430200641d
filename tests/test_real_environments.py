"""Real wheels in environments of their own: dependencies that conflict, another Python, and whatever interrupts.

The packages that they require come from where pip is configured to take them.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arbitrank.environments import folders
from arbitrank.environments.building import find_python, tool
from arbitrank.errors import InputError

PLUGIN = """
import sys
import numpy as np
from arbitrank.domain import Domain, Model, Scores
from arbitrank.hookspecs import hookimpl
from arbitrank.values import Hypothesis, Slot

LOADED = (("numpy", np.__version__), ("python", "%d.%d" % sys.version_info[:2]), ("release", {release!r}))


class Stating(Model):
    def recognise(self, request):
        return [Hypothesis({name!r}, "State", 0.9, slots=tuple(Slot(*one) for one in LOADED))]

    def rerank(self, request):
        n = len(request.hypotheses)
        return Scores(0.9, np.full(n, 0.8 / n))


class Stated(Domain):
    name = {name!r}

    @property
    def shipped(self):
        from pathlib import Path
        return Path(__file__).with_name("model")

    def train(self, examples, out, settings):
        return {{}}

    def load(self, folder):
        return Stating()


@hookimpl
def arbitrank_domains():
    return [Stated()]
"""


def wheel(folder: Path, name: str, version: str, *requires: str) -> Path:
    """The wheel of a package with one domain, which ships weights."""
    from arbitrank.store.artifact import Manifest, seal

    model = folder / f"{name}-{version}"
    (model / "reranker").mkdir(parents=True)
    (model / "reranker" / "weights.json").write_text("{}")
    seal(model, Manifest(domain=name, package=f"arbitrank-{name}", package_version=version))
    info = f"arbitrank_{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {one}\n" for one in ("arbitrank>=0.2,<1", *requires))
    files = {
        f"arbitrank_{name}/__init__.py": PLUGIN.format(name=name, release=version),
        **{f"arbitrank_{name}/model/{path.relative_to(model)}": path.read_text() for path in model.rglob("*.json")},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: arbitrank-{name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[arbitrank.domains.v1]\n{name} = arbitrank_{name}\n",
    }
    path = folder / f"arbitrank_{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return path


class Place:
    """A folder of environments, wheels for it, and the command."""

    def __init__(self, folder: Path, core: Path) -> None:
        self.folder, self.environments = folder, folder / "environments"
        self.made = folder / "wheels"
        self.made.mkdir()
        shutil.copy(core, self.made)
        self.kestrel = {v: wheel(self.made, "kestrel", v, "numpy<2") for v in ("1.0", "1.1")}
        self.swift = wheel(self.made, "swift", "1.0", "numpy>=2")

    def command(self, path: Path, *options: object) -> list[str]:
        """The command that installs a wheel."""
        chosen = ["--environments", self.environments, "--store", self.folder / "store", "--find-links", self.made]
        return [sys.executable, "-m", "arbitrank", "install", *map(str, (path, "--no-check", *chosen, *options))]

    def install(self, path: Path, *options: object, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(path, *options), capture_output=True, text=True, check=False, env=self.variables, **more
        )

    @property
    def variables(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ARBITRANK_", "PYTHON"))}
        return {**kept, "ARBITRANK_DOMAINS": "kestrel,swift"}

    def current(self, package: str = "arbitrank-kestrel") -> str | None:
        release = folders.current(self.environments, package)
        return release.name if release else None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path]) -> Place:
    """Two packages whose dependencies conflict, installed by two commands."""
    place = Place(tmp_path_factory.mktemp("place"), wheels["arbitrank"])
    for path in (place.kestrel["1.0"], place.swift):
        done = place.install(path)
        if "No matching distribution" in done.stderr or "no version" in done.stderr.lower():
            pytest.skip(f"no index here has NumPy below 2, and 2 or above: {done.stderr[-500:]}")
        assert done.returncode == 0, done.stderr
    return place


class Served:
    """A service that follows the folder."""

    def __init__(self, place: Place) -> None:
        options = ("--environments", place.environments, "--store", place.folder / "store", "--poll", "0.2")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "arbitrank", "serve", "--port", "0", *map(str, options)],
            stderr=subprocess.PIPE, text=True, env=place.variables,
        )  # fmt: skip
        assert self.process.stderr
        self.port = 0
        for line in self.process.stderr:
            event = json.loads(line)
            if event["event"] == "listening":
                self.port = int(event["at"].rpartition(":")[2])
            if event["event"] == "ready":
                break
        self._rest = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._rest.start()

    def stated(self) -> dict[str, dict[str, str]]:
        """What the readings of an answer state, by domain; each has to answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/rank", b'{"utterance": "state"}', {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        assert {answer["domains"][name]["status"] for name in ("kestrel", "swift")} == {"answered"}
        return {one["domain"]: {slot["name"]: slot["value"] for slot in one["slots"]} for one in answer["ranked"]}

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._rest.join()


@pytest.fixture
def served(place: Place) -> Iterator[Served]:
    service = Served(place)
    yield service
    service.close()


def until(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError


def test_two_wheels_whose_dependencies_conflict_answer_in_one_service(served: Served) -> None:
    stated = served.stated()
    assert stated["kestrel"]["numpy"].startswith("1.")
    assert int(stated["swift"]["numpy"].partition(".")[0]) >= 2


def test_a_package_may_have_another_python(place: Place, tmp_path: Path) -> None:
    """By its path, and by its version where the program that installs finds it by that."""
    mine = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = {}
    for version in ("3.14", "3.13", "3.12", "3.11", "3.10"):
        for name in (version, *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))):
            try:
                found.setdefault(version, (name, find_python(name, tool())))
            except InputError:
                continue
    others = [pair for version, pair in found.items() if version not in (mine, "3.10")]
    if not others:
        pytest.skip(f"NO SECOND PYTHON on this machine beside {mine}: another interpreter for a package is not tested")
    named, path = others[0]
    for asked in dict.fromkeys((named, str(path))):
        done = place.install(place.swift, "--python", asked, "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["python"].rpartition(".")[0] != mine


def test_whatever_interrupts_an_installation_the_service_answers_and_the_next_repairs_it(
    place: Place, served: Served, tmp_path: Path
) -> None:
    """SIGKILL at each step that is reported, with what it has started; a limit of the size of files; a full disk."""
    assert place.current() is not None
    before = place.current()

    def unharmed(what: str) -> None:
        assert place.current() == before, what
        assert served.stated()["kestrel"]["release"] == "1.0", what

    for step in ("building by", "starting arbitrank-kestrel", "testing kestrel"):
        process = subprocess.Popen(
            place.command(place.kestrel["1.1"]), stderr=subprocess.PIPE, text=True, env=place.variables,
        )  # fmt: skip
        assert process.stderr
        seen = next((line for line in process.stderr if step in line), None)
        process.kill()
        process.wait()
        assert seen is not None, step
        unharmed(step)

    done = place.install(
        place.kestrel["1.1"], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    )
    assert done.returncode == 2, done.stderr
    assert "arbitrank: " in done.stderr
    unharmed("a limit of the size of files")

    done = place.install(place.kestrel["1.1"])
    assert done.returncode == 0, done.stderr
    until(lambda: served.stated()["kestrel"]["release"] == "1.1")
    assert not list((place.environments / "arbitrank-kestrel").glob(".*.part"))

    shutil.rmtree(place.environments / "arbitrank-kestrel")
    assert served.stated()["kestrel"]["release"] == "1.1"
    assert place.install(place.kestrel["1.0"]).returncode == 0
    until(lambda: served.stated()["kestrel"]["release"] == "1.0")


def test_a_full_disk_is_reported_and_leaves_nothing(place: Place, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NO SMALL DISK can be mounted here: a full one is not tested: {mounted.stderr.strip()}")
    try:
        small = Place(tmp_path, next(place.made.glob("arbitrank-*.whl")))
        small.environments = disk / "environments"
        done = small.install(small.swift)
        assert done.returncode == 2
        assert "No space left on device" in done.stderr
        assert not list(small.environments.glob("*/.*.part"))
        assert small.current("arbitrank-swift") is None
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
