"""A box around a domain of an environment: what its code tries there is refused, and done where there is no box."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from environment_folders import released

from arbitrank.arbitration.outcomes import Answered
from arbitrank.boxed import BOX
from arbitrank.environments.discovery import found_in
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import PluginError
from arbitrank.guard import guarded
from arbitrank.isolation import box, landlock
from arbitrank.isolation.box import Box, Entering
from arbitrank.isolation.box_launcher import MEASURES, TEMPORARY_BYTES
from arbitrank.registry import Loaded, Refused, discover, survey
from arbitrank.store.artifact import Manifest, seal
from arbitrank.values import Request

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not landlock.version(), reason="this kernel has no Landlock, which a box needs"
)

DEEDS = """
import ctypes, errno, os, resource, socket, subprocess, tempfile, threading

def read(path):
    return open(path).read()

def write(path):
    open(path, "w").write("mine")

def remove(path):
    os.remove(path)

def truncate(path):
    os.truncate(path, 0)

def change_mode(path):
    os.chmod(path, 0o777)

def connect(port):
    socket.create_connection(("127.0.0.1", int(port)), 5).close()

def fork(_):
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)

def run(path):
    subprocess.run([path], check=True)

def replace(path):
    os.execv(path, [path])

def signal_parent(number):
    os.kill(os.getppid(), int(number))

def limit_parent(_):
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE))

def trace_parent(_):
    if ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")

def read_parent(name):
    open(f"/proc/{os.getppid()}/{name}", "rb").read(64)

def fill(megabytes):
    with tempfile.TemporaryDirectory() as folder:
        for file in range(8):
            with open(f"{folder}/{file}", "wb") as out:
                for _ in range(int(megabytes) // 8):
                    out.write(bytes(1 << 20))

def exhaust(megabytes):
    bytes(int(megabytes) << 20)

def work(_):
    with tempfile.NamedTemporaryFile() as file, socket.socketpair()[0]:
        file.write(b"1")
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    (np.ones((64, 64)) @ np.ones((64, 64))).sum()

def recognise(self, request):
    deed = request.context["deed"]
    try:
        globals()[deed](request.context.get("with"))
    except OSError as error:
        return [Hypothesis(self.name, errno.errorcode.get(error.errno, "?"), 0.9)]
    except MemoryError:
        return [Hypothesis(self.name, "MemoryError", 0.9)]
    return [Hypothesis(self.name, "done", 0.9)]

TalkingModel.recognise = recognise
"""
Try = Callable[[str, object], str]


def opened(folder: Path, weights: Path, names: tuple[str, ...] = ("kite",)) -> tuple[ReleaseDomain, Try]:
    released(folder, names, extra=DEEDS)
    (found,) = [one for one in found_in(folder, None)[0] if one.name == "kite"]
    assert isinstance(found, Loaded)
    domain = found.domain
    assert isinstance(domain, ReleaseDomain)
    model = domain.hosted(weights, {}, standby=False)

    def attempt(deed: str, argument: object = None) -> str:
        outcome = model.outcome(Request(utterance="fly", context={"deed": deed, "with": str(argument)}), None)
        return outcome.hypotheses[0].intent if isinstance(outcome, Answered) else str(outcome)

    return domain, attempt


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "reranker").mkdir()
    (folder / "reranker" / "weights.json").write_text("1")
    seal(folder, Manifest(domain="kite", package="arbitrank-kite", package_version="1.0"))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, a store and another domain's log, none of which are a domain's business."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("key", "store/kite/state.json", "log/answers.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("secret")
    return folder


@pytest.fixture(scope="module")
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def stated(patched: pytest.MonkeyPatch, **variables: str) -> None:
    read = os.pathsep.join({*filter(os.path.isabs, sys.path), str(Path(box.__file__).parents[2])})
    for name, value in {box.READ: read, **variables}.items():
        patched.setenv(name, value)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Mapping[str, tuple[ReleaseDomain, Try]]]:
    with pytest.MonkeyPatch.context() as patched:
        stated(patched, **{BOX: "kite"})
        boxed = opened(tmp_path_factory.mktemp("boxed"), weights)
        patched.delenv(BOX)
        yield {"boxed": boxed, "open": opened(tmp_path_factory.mktemp("open"), weights)}


def needed(sides: Mapping[str, tuple[ReleaseDomain, Try]], *measures: str) -> None:
    missing = [f"{name} ({reason})" for name in measures if (reason := sides["boxed"][0].host.measures[name])]
    if missing:
        pytest.skip(f"this kernel lacks for a box: {', '.join(missing)}")


ROWS = [  # the deed, its argument, what happens in a box, by which measure
    ("read", "{place}/key", {"EACCES"}, "files"),
    ("read", "{place}/log/answers.jsonl", {"EACCES"}, "files"),
    ("read", "/proc/{pid}/environ", {"EACCES"}, "files"),
    ("read", "{environments}/../other", {"EACCES"}, "files"),
    ("write", "{place}/store/kite/state.json", {"EACCES"}, "files"),
    ("write", "{place}/new", {"EACCES"}, "files"),
    ("write", "/dev/shm/arbitrank-box", {"EACCES"}, "files"),
    ("remove", "{place}/store/kite/state.json", {"EACCES"}, "files"),
    ("truncate", "{place}/store/kite/state.json", {"EACCES", "EPERM"}, "files"),
    ("read", "/proc/{other}/environ", {"EACCES"}, "files"),
    ("change_mode", "{place}/key", {"EPERM"}, "network"),
    ("connect", "{port}", {"EPERM"}, "network"),
    ("fork", "", {"EPERM"}, "processes"),
    ("run", "/bin/true", {"EPERM"}, "processes"),
    ("signal_parent", "0", {"EPERM"}, "signals"),
    ("limit_parent", "", {"EPERM"}, "processes"),
    ("trace_parent", "", {"EPERM"}, "processes"),
]


@pytest.mark.parametrize(("deed", "argument", "refusals", "measure"), ROWS, ids=[f"{d} {a}" for d, a, *_ in ROWS])
def test_a_box_refuses_what_a_process_without_one_does(
    sides: Mapping[str, tuple[ReleaseDomain, Try]],
    place: Path,
    listening: int,
    deed: str,
    argument: str,
    refusals: set[str],
    measure: str,
) -> None:
    needed(sides, measure)
    environments = sides["open"][0].release.folder.parents[1]
    (environments.parent / "other").write_text("another package's")
    (other,) = sides["open"][0].host.pair().pids()
    given = argument.format(place=place, pid=os.getpid(), port=listening, environments=environments, other=other)
    assert sides["boxed"][1](deed, given) in refusals
    assert (place / "store/kite/state.json").read_text() == "secret"
    if deed != "trace_parent":  # which a system may refuse anybody, and which stops the tests where it does not
        assert sides["open"][1](deed, given) == "done"
    (place / "store/kite/state.json").write_text("secret")
    Path("/dev/shm/arbitrank-box").unlink(missing_ok=True)


def test_a_boxed_domain_cannot_become_another_program(sides: Mapping[str, tuple[ReleaseDomain, Try]]) -> None:
    needed(sides, "files")
    assert sides["boxed"][1]("replace", "/bin/true") == "EACCES"


def test_the_disk_of_a_box_is_a_bounded_folder_in_memory(sides: Mapping[str, tuple[ReleaseDomain, Try]]) -> None:
    needed(sides, "disk")
    megabytes = TEMPORARY_BYTES >> 20
    assert sides["boxed"][1]("fill", megabytes // 2) == "done"
    assert sides["boxed"][1]("fill", megabytes * 2) == "ENOSPC"


def test_the_memory_of_a_box_is_bounded_by_its_launcher(sides: Mapping[str, tuple[ReleaseDomain, Try]]) -> None:
    needed(sides, "limits")
    assert sides["boxed"][1]("exhaust", 1 << 12) == "MemoryError"


def test_a_boxed_domain_works_with_threads_temporary_files_and_matrices(
    sides: Mapping[str, tuple[ReleaseDomain, Try]],
) -> None:
    assert sides["boxed"][1]("work", "") == sides["open"][1]("work", "") == "done"


def test_a_process_that_uses_more_than_one_processor_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entering = Entering(Box(()), tmp_path, Path(sys.executable), 1 << 30)
    entering.started()
    monkeypatch.setattr("arbitrank.isolation.box._WINDOW", 0.0)
    assert not entering.hogs(os.getpid())
    assert not entering.hogs(os.getpid())
    monkeypatch.setattr("arbitrank.isolation.box._PROCESSORS", -1.0)  # less than anything uses
    assert entering.hogs(os.getpid())
    entering.close()


def test_every_measure_is_reported(sides: Mapping[str, tuple[ReleaseDomain, Try]]) -> None:
    assert sides["boxed"][0].host.measures.keys() == set(MEASURES)
    assert sides["open"][0].host.measures == {}


def test_a_box_that_is_required_and_lacks_a_measure_keeps_the_domain_from_answering(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(self: Entering, seconds: float) -> dict[str, str | None]:
        return {"files": None, "disk": "unshare: Operation not permitted"}

    stated(monkeypatch, **{BOX: "all", box.REQUIRED: "1"})
    monkeypatch.setattr(Entering, "measures", lacking)
    with pytest.raises(PluginError, match="its box lacks disk: unshare: Operation not permitted; without --box-req"):
        opened(tmp_path, weights)


def test_a_launcher_that_does_not_start_is_reported_as_that(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stated(monkeypatch, **{BOX: "kite"})
    monkeypatch.setattr("arbitrank.isolation.box._LIBRARIES", ())
    monkeypatch.setattr("arbitrank.isolation.box._LOADERS", ())
    with pytest.raises(PluginError, match="its worker process"):
        opened(tmp_path, weights)


def test_a_domain_beside_the_core_is_refused_before_its_code_runs_where_it_is_to_be_in_a_box(
    lights_site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(lights_site))
    monkeypatch.setenv("ARBITRANK_DOMAINS", "lights,shades")
    monkeypatch.setenv(BOX, "lights")
    found = {one.name: one for one in discover()}
    refused = found["lights"]
    assert isinstance(refused, Refused)
    assert "arbitrank install arbitrank-lights --environments" in refused.reason


def test_a_name_to_box_that_no_domain_has_is_told(lights_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(lights_site))
    monkeypatch.setenv("ARBITRANK_DOMAINS", "lights")
    monkeypatch.setenv(BOX, "lihgts, all")
    (told,) = (one for one in survey().unreadable if one.name == "lihgts")
    assert "nothing is in a box by it; did you mean 'lights'?" in told.reason


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can start processes of another user")
def test_a_user_that_is_unknown_is_refused(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stated(monkeypatch, **{BOX: "kite", box.USER: "nobody-of-this-name"})
    fault = guarded(opened, tmp_path, weights)
    assert "--as-user nobody-of-this-name" in str(getattr(fault, "reason", fault))
