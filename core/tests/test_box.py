"""Isolation from the code of a domain: what that tries in a box is refused, and done in an environment and a worker.

The rows are those of the table of docs/how-to/box.md; what a remote domain may try is in test_remote_faults.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributions import install
from environment_folders import plugin, released
from fakes import FakeModel
from services import Service

from arbitrank.arbitration import dispatch
from arbitrank.arbitration.dispatch import HostedModel, query_all
from arbitrank.arbitration.outcomes import Answered
from arbitrank.boxed import BOX
from arbitrank.cli.main import cli
from arbitrank.environments.discovery import found_in
from arbitrank.environments.release_domain import ReleaseDomain
from arbitrank.errors import PluginError
from arbitrank.guard import guarded
from arbitrank.isolation import box, landlock, worker_main
from arbitrank.isolation.box import Box, Entering
from arbitrank.isolation.box_launcher import MEASURES, TEMPORARY_BYTES
from arbitrank.isolation.groups import Isolation, WorkerGroups
from arbitrank.registry import Loaded, Refused, discover, loaded, survey
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.store import open_store
from arbitrank.values import Hypothesis, Request, Slot

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

HEARD = []

def listen():
    # Keep all that this process is sent, or answers.
    from arbitrank.arbitration import dispatch
    from arbitrank.isolation import worker_main

    query, decoder = dispatch.query_prepared, worker_main.query_content

    def overheard(name, model, shared, hypotheses, explain):
        HEARD.append(repr(hypotheses))
        return query(name, model, shared, hypotheses, explain)

    class Decoder:
        def decode(self, content):
            HEARD.append(bytes(content).decode("latin-1"))
            return decoder.decode(content)

    dispatch.query_prepared, worker_main.query_content = overheard, Decoder()

listen()

def overhear(backwards):
    if not any(backwards[::-1] in one for one in HEARD):
        raise OSError(errno.ENODATA, "not heard")

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


_SLOW = Isolation({"kite": ("kite",)}, deadline_ms=5_000.0)  # as long as an environment has for a deed


@dataclass(frozen=True)
class Try:
    """Attempts of a deed by a model: "done", the name of the error, or the outcome where there was no answer."""

    model: HostedModel

    def __call__(self, deed: str, argument: object = None) -> str:
        outcome = self.model.outcome(Request(utterance="fly", context={"deed": deed, "with": str(argument)}), None)
        return outcome.hypotheses[0].intent if isinstance(outcome, Answered) else str(outcome)


def opened(folder: Path, weights: Path, names: tuple[str, ...] = ("kite",)) -> tuple[ReleaseDomain, Try]:
    released(folder, names, extra=DEEDS)
    (found,) = [one for one in found_in(folder, None)[0] if one.name == "kite"]
    assert isinstance(found, Loaded)
    domain = found.domain
    assert isinstance(domain, ReleaseDomain)
    return domain, Try(domain.hosted(weights, {}, standby=False))


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


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Try]:
    """The same code installed beside the core, in a worker process."""
    site = tmp_path_factory.mktemp("worker") / "site"
    site.mkdir()
    install(site, "arbitrank-kite", plugin("kite", extra=DEEDS))
    with pytest.MonkeyPatch.context() as patched, closing(WorkerGroups(_SLOW)) as groups:
        patched.syspath_prepend(str(site))
        yield Try(groups.load("kite", weights))


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
    worker: Try,
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
    for attempt in (sides["open"][1], worker):
        assert (place / "store/kite/state.json").read_text() == "secret"
        if deed != "trace_parent":  # which a system may refuse anybody, and which stops the tests where it does not
            assert attempt(deed, given) == "done"
        (place / "store/kite/state.json").write_text("secret")
        Path("/dev/shm/arbitrank-box").unlink(missing_ok=True)


def test_a_boxed_domain_cannot_become_another_program(
    sides: Mapping[str, tuple[ReleaseDomain, Try]], tmp_path: Path, weights: Path
) -> None:
    needed(sides, "files")
    assert sides["boxed"][1]("replace", "/bin/true") == "EACCES"
    assert "its worker process ended with status 0" in opened(tmp_path, weights)[1]("replace", "/bin/true")


def test_the_disk_of_a_box_is_a_bounded_folder_in_memory(
    sides: Mapping[str, tuple[ReleaseDomain, Try]], worker: Try
) -> None:
    needed(sides, "disk")
    megabytes = TEMPORARY_BYTES >> 20
    assert sides["boxed"][1]("fill", megabytes // 2) == "done"
    assert sides["boxed"][1]("fill", megabytes * 2) == "ENOSPC"
    assert sides["open"][1]("fill", megabytes * 2) == worker("fill", megabytes * 2) == "done"


def test_the_memory_of_each_process_is_bounded(sides: Mapping[str, tuple[ReleaseDomain, Try]], worker: Try) -> None:
    needed(sides, "limits")
    for attempt in (sides["boxed"][1], sides["open"][1], worker):
        assert attempt("exhaust", 1 << 12) == "MemoryError"


SECRET, OWN = "the neighbour's words", "the kite's own words"
GIVEN = {
    name: [Hypothesis(name, "Fly", 0.9, slots=(Slot("words", text),))]
    for name, text in (("kite", OWN), ("swing", SECRET))
}


@pytest.mark.parametrize("side", ["boxed", "open"])
def test_in_an_environment_a_domain_is_sent_its_own_hypotheses_alone(
    sides: Mapping[str, tuple[ReleaseDomain, Try]], side: str
) -> None:
    attempt = sides[side][1]
    outcomes = query_all({"kite": attempt.model, "swing": FakeModel("swing")}, Request(utterance="fly"), GIVEN)
    assert all(isinstance(one, Answered) for one in outcomes.values())
    assert attempt("overhear", OWN[::-1]) == "done"
    assert attempt("overhear", SECRET[::-1]) == "ENODATA"


def test_code_beside_the_core_is_sent_its_own_too_and_hears_all_in_the_service(
    worker: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the service imports it, to find the domain."""
    monkeypatch.setattr(dispatch, "query_prepared", dispatch.query_prepared)  # these two are put back
    monkeypatch.setattr(worker_main, "query_content", worker_main.query_content)
    monkeypatch.delitem(sys.modules, "arbitrank_kite", raising=False)
    assert "kite" in loaded(discover({"ARBITRANK_DOMAINS": "kite"}))
    dispatch.query_all({"kite": worker.model, "swing": FakeModel("swing")}, Request(utterance="fly"), GIVEN)
    assert worker("overhear", SECRET[::-1]) == "ENODATA"
    assert any(SECRET in one for one in sys.modules.pop("arbitrank_kite").HEARD)


def test_a_boxed_domain_works_with_threads_temporary_files_and_matrices(
    sides: Mapping[str, tuple[ReleaseDomain, Try]],
) -> None:
    assert sides["boxed"][1]("work", "") == sides["open"][1]("work", "") == "done"


def test_a_process_that_uses_more_than_one_processor_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entering = Entering(Box(()), tmp_path, Path(sys.executable), 1 << 30)
    entering.started()
    moments = iter([0.0, 1e6, 2e6])
    monkeypatch.setattr("arbitrank.isolation.box.monotonic", lambda: next(moments))
    assert not entering.hogs(os.getpid())
    assert not entering.hogs(os.getpid())
    monkeypatch.setattr("arbitrank.isolation.box._PROCESSORS", -1.0)  # less than anything uses
    assert entering.hogs(os.getpid())
    entering.close()


def test_every_measure_is_reported(sides: Mapping[str, tuple[ReleaseDomain, Try]]) -> None:
    assert sides["boxed"][0].host.measures.keys() == set(MEASURES)
    assert sides["open"][0].host.measures == {}


def test_commands_and_services_name_the_measures_of_a_box(
    sides: Mapping[str, tuple[ReleaseDomain, Try]], tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the kite's, which is in one; the swing's is in none."""
    environments, store = tmp_path / "environments", tmp_path / "store"
    for name in ("kite", "swing"):
        released(environments, (name,), package=f"arbitrank-{name}")
        shutil.copytree(weights / "reranker", tmp_path / name / "reranker")
        seal(tmp_path / name, Manifest(domain=name, package=f"arbitrank-{name}", package_version="1.0"))
        open_store(store, environment={}).publish(tmp_path / name, promote=True)
    stated(monkeypatch, **{BOX: "kite", "ARBITRANK_ENVIRONMENTS": str(environments), "ARBITRANK_DOMAINS": "kite,swing"})
    variables = {key: value for key, value in os.environ.items() if key.startswith("ARBITRANK_")}
    with Service(tmp_path, store, **variables) as service:
        rows = {one["name"]: one["box"] for one in service.call("GET", "/v1/domains")[1]}
    rows = {name: rows[name] for name in ("kite", "swing")}
    assert rows == {"kite": dict(sides["boxed"][0].host.measures), "swing": None}
    assert rows["kite"].keys() == set(MEASURES)
    printed = CliRunner().invoke(cli, ["domains", "--json", "--store", str(store)], catch_exceptions=False)
    assert {one["name"]: one["box"] for one in json.loads(printed.output) if one["name"] in rows} == rows


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
