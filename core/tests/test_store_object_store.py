"""The store in an object store, over HTTP: a real server that speaks S3, moto's, started here."""

from __future__ import annotations

import builtins
import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
import pytest
from fakes import FakeDomain, FakeModel
from pyarrow import parquet

from arbitrank.errors import ArtifactError, Conflict, DataError, InputError, StoreError
from arbitrank.live.live import Live
from arbitrank.store.artifact import MANIFEST, Manifest, seal
from arbitrank.store.backend import MAX_READ, FolderBackend, Kept
from arbitrank.store.object_store import BucketBackend
from arbitrank.store.prune import prune
from arbitrank.store.signing import Keys, keygen, open_key
from arbitrank.store.state import State
from arbitrank.store.store import Store, open_store
from arbitrank.store.store_checks import store_checks
from arbitrank.training.datasets import Dataset, is_partitioned, prepare
from arbitrank.training.example_file import ExampleFile
from arbitrank.values import Request

absent = [name for name in ("obstore", "moto", "flask") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(absent), reason=f"{', '.join(absent)} not installed; run: pip install -r requirements-dev.txt"
)


PAGE = 20
"""Keys in a page of a listing, of which object stores give a thousand."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """moto's server on a port of this machine; it can go away and come back, empty."""

    def __init__(self, log: Path) -> None:
        self.port, self._log = free_port(), log
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        pages = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
        self._process = subprocess.Popen(command, stdout=self._log.open("ab"), stderr=subprocess.STDOUT, env=pages)
        for _ in range(600):
            try:
                self.call("PUT", "/weights")
                return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.05)
        raise AssertionError(f"moto's server does not answer: {self._log.read_text()}")

    def call(self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] = {}) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.stop()


SETTINGS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@pytest.fixture
def url(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of its own for each test, and the environment that reaches it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"s3://weights/stores/{tmp_path.name}"


@pytest.fixture
def store(url: str) -> Store:
    return open_store(url)


def artifact(folder: Path, text: str = "x", domain: str = "lights") -> Path:
    (folder / "reranker").mkdir(parents=True)
    (folder / "reranker" / "weights.json").write_text(text)
    seal(folder, Manifest(domain=domain, package="p", package_version="1"))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def problems(store: Store) -> list[str]:
    return [f"{check.what}: {check.problem}" for check in store_checks(store) if check.problem]


def test_published_promoted_rolled_back_and_fetched(tmp_path: Path, store: Store, url: str) -> None:
    assert store.state("lights") == (0, State())
    assert store.domains() == store.versions("lights") == store.history("lights") == []
    made = [artifact(tmp_path / name, name) for name in ("one", "two")]
    one, two = (store.publish(source, promote=True).version for source in made)
    assert store.state("lights") == (2, State(stable=two, previous=one))
    store.rollback("lights")
    other = open_store(f"{url}/")
    assert other.state("lights") == (3, State(stable=one, previous=two))
    folder = other.stable("lights")
    assert folder
    assert list((tmp_path / "cache").rglob(f"lights/{one}/{MANIFEST}"))
    assert content(folder) == content(made[0])
    assert other.domains() == ["lights"]
    assert other.versions("lights") == sorted([one, two])
    assert [change.verb for change in other.history("lights")] == ["promote", "promote", "rollback"]
    assert problems(other) == []


def test_two_stores_in_one_bucket_are_independent(tmp_path: Path, store: Store, url: str) -> None:
    store.publish(artifact(tmp_path / "one"), promote=True)
    for beside in (f"{url}x", "s3://weights"):
        assert open_store(beside).state("lights") == (0, State())


def test_a_damaged_local_copy_is_fetched_again(tmp_path: Path, store: Store, url: str) -> None:
    store.publish(artifact(tmp_path / "one"), promote=True)
    folder = store.stable("lights")
    assert folder
    before = content(folder)
    (cached,) = (path.parent for path in (tmp_path / "cache").rglob(MANIFEST))
    (cached / "reranker" / "weights.json").write_text("damaged")
    (cached / "more").write_text("more")
    assert store.stable("lights") == folder  # the private copy is not made again
    again = open_store(url).stable("lights")
    assert again
    assert content(folder) == content(again) == content(cached) == before
    assert [path.name for path in cached.parent.iterdir()] == [cached.name]


def test_what_is_damaged_in_the_bucket_is_neither_promoted_nor_fetched_until_it_is_published_again(
    tmp_path: Path, store: Store
) -> None:
    source = artifact(tmp_path / "one")
    version = store.publish(source).version
    for path, damage in (("reranker/weights.json", b"damaged"), (MANIFEST, b"{"), ("../history/x", b"no change")):
        store.backend.write(f"lights/{version}/{path}" if ".." not in path else "lights/history/x", damage)
        assert len(problems(store)) == 1
        if ".." not in path:
            with pytest.raises(ArtifactError):
                store.promote("lights", version)
            store.publish(source)
            assert problems(store) == []
    store.promote("lights", version)


def test_of_concurrent_changes_one_wins_and_the_others_raise_a_conflict(tmp_path: Path, store: Store, url: str) -> None:
    versions = [store.publish(artifact(tmp_path / name, name)).version for name in ("one", "two", "three", "four")]
    number, _ = store.state("lights")

    def promote(version: str) -> str | None:
        try:
            open_store(url).promote("lights", version, expected=number)
            return version
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        (winner,) = [version for version in pool.map(promote, versions) if version]
    after, state = store.state("lights")
    assert (after, state.stable) == (number + 1, winner)


def test_an_answer_that_was_lost_is_no_conflict(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library calls again; the second call finds what the first one wrote."""
    version = store.publish(artifact(tmp_path / "one")).version
    create = BucketBackend.create

    def twice(backend: BucketBackend, key: str, content: bytes) -> bool:
        create(backend, key, content)
        return create(backend, key, content)

    monkeypatch.setattr(BucketBackend, "create", twice)
    assert store.promote("lights", version).state.stable == version


class Killed(BaseException):
    """Nothing of the store's catches it: what is in the bucket is what a killed process leaves there."""


class MemoryBackend:
    """An object store without HTTP, which is most of the time of a call."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content

    def read(self, key: str, limit: int = MAX_READ) -> bytes | None:
        return self.content.get(key)

    def create(self, key: str, content: bytes) -> bool:
        return self.content.setdefault(key, content) is content

    def write(self, key: str, content: bytes) -> None:
        self.content[key] = content

    def under(self, prefix: str) -> list[Kept]:
        return [Kept(key, 0.0, len(raw)) for key, raw in sorted(self.content.items()) if key.startswith(f"{prefix}/")]

    def folders(self) -> list[str]:
        return sorted({key.split("/")[0] for key in self.content})

    def delete(self, key: str) -> None:
        self.content.pop(key, None)

    def sweep(self, age: float) -> None:
        pass

    def local(self, prefix: str) -> None:
        return None


@pytest.mark.parametrize("verb", ["publish", "promote", "rollback", "prune"])
@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
def test_killed_at_any_call_a_remote_store_is_as_before_or_as_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, answered: bool
) -> None:
    content: dict[str, dict[str, bytes]] = defaultdict(dict)

    def opened(place: str) -> Store:
        return Store(MemoryBackend(content[place]), cache=tmp_path / "cache" / place)

    kill_at_each_call(MemoryBackend, opened, tmp_path, monkeypatch, verb, answered)


def test_killed_at_any_call_a_bucket_is_as_before_or_as_after(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at_each_call(
        BucketBackend, lambda place: open_store(f"{url}/{place}"), tmp_path, monkeypatch, "promote", False
    )


def kill_at_each_call(
    backend: type[Any],
    opened: Callable[[str], Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    answered: bool,
) -> None:
    """Act once with the first call that changes anything as the last one, once with the second, and so on."""
    made = [artifact(tmp_path / name, name) for name in ("one", "two", "three")]

    def act(store: Store) -> None:
        match verb:
            case "publish":
                store.publish(made[2], promote=True)
            case "promote":
                store.promote("lights", store.history("lights")[0].state.stable or "")
            case "rollback":
                store.rollback("lights")
            case "prune":
                prune(store, "lights", keep=1, grace=-1)

    killed, left = 0, 0
    for method in ("create", "write", "delete"):

        def dying(own: Any, *args: Any, call: Any = getattr(backend, method)) -> Any:
            nonlocal left
            left -= 1
            result = call(own, *args) if left or answered else None
            if not left:
                raise Killed
            return result

        monkeypatch.setattr(backend, method, dying)
    for step in range(1, 100):
        place = str(step)
        store = opened(place)
        for source in made[:2] if verb != "prune" else made:
            store.publish(source, promote=True)
        before = store.state("lights")
        left = step
        try:
            act(opened(place))
        except Killed:
            killed += 1
        left = 0
        after = opened(place)
        assert problems(after) == []
        assert after.stable("lights")
        number, state = after.state("lights")
        if number == before[0]:
            act(after)
        elif verb == "prune" and state.removing:
            prune(after, "lights", keep=1, grace=-1)
        assert problems(after) == []
        assert not after.state("lights")[1].removing
        if killed < step:
            break
    assert killed >= {"publish": 3, "promote": 1, "rollback": 1, "prune": 4}[verb]


def test_pruning_removes_what_nothing_names(tmp_path: Path, store: Store) -> None:
    made = [store.publish(artifact(tmp_path / str(i), str(i)), promote=True).version for i in range(4)]
    assert prune(store, "lights", keep=1) == []
    assert prune(store, "lights", keep=1, grace=-1) == sorted(made[:2])
    assert store.versions("lights") == sorted(made[2:])
    assert problems(store) == []


def test_more_changes_than_a_page_of_a_listing_holds(store: Store, url: str) -> None:
    for number in range(1, 2 * PAGE + 2):
        raw = b'{"number": %d, "verb": "canary", "state": {"canary": 0.5}}' % number
        assert store.backend.create(f"lights/history/{number:08}.json", raw)
    assert open_store(url).state("lights") == (2 * PAGE + 1, State(canary=0.5))


def test_more_than_an_artifact_may_have_is_not_even_fetched(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = store.publish(artifact(tmp_path / "one"), promote=True).version
    store.backend.write(f"lights/{version}/large", bytes(3 << 20))
    monkeypatch.setattr("arbitrank.store.local_copies.MAX_TOTAL", 2 << 20)
    with pytest.raises(ArtifactError, match=r"3 files of \d+ bytes"):
        store.stable("lights")
    assert not (tmp_path / "cache").exists()


def test_a_key_that_climbs_out_of_the_cache_is_refused(tmp_path: Path) -> None:
    class Climbing(FolderBackend):
        """An object store may have such a key, although its library does not write one."""

        def local(self, prefix: str) -> None:
            return None

        def under(self, prefix: str) -> list[Kept]:
            return [Kept(f"{prefix}/../../../secret", 0.0, 6)]

        def read(self, key: str, limit: int = MAX_READ) -> bytes:
            return b"secret"

    climbing = Store(Climbing(tmp_path / "store"), cache=tmp_path / "cache")
    with pytest.raises(ArtifactError, match="is outside its folder"):
        climbing.fetch("lights", "a" * 12)
    assert not list(tmp_path.rglob("secret"))


def test_the_audit_set_is_fetched(tmp_path: Path, store: Store, url: str) -> None:
    (tmp_path / "audit.jsonl").write_text("1\n")
    store.set_audit_set(tmp_path / "audit.jsonl")
    for _ in range(2):
        path = open_store(url).audit_set()
        assert path
        assert path.read_text() == "1\n"
        (cached,) = (tmp_path / "cache").rglob("*.jsonl")
        cached.write_text("damaged here")
    assert problems(store) == []


def test_a_version_that_is_signed_again_is_fetched_again(tmp_path: Path, url: str) -> None:
    trusted = tmp_path / "keys"
    trusted.mkdir()
    source = artifact(tmp_path / "one")
    private, public, _ = keygen(tmp_path / "lights")
    public.rename(trusted / "lights.pub")
    plain, strict = open_store(url), open_store(url, Keys(trusted), key=open_key(private))
    plain.publish(source, promote=True)
    before = plain.stable("lights")
    assert before
    with pytest.raises(StoreError, match="change 1 is unsigned"):
        strict.stable("lights")
    strict.adopt("lights")
    with pytest.raises(ArtifactError, match="unsigned"):
        strict.stable("lights")
    strict.publish(source)
    signed = strict.stable("lights")
    assert signed
    assert content(signed).pop(MANIFEST) != content(before).pop(MANIFEST)


def test_an_unavailable_server_is_reported_and_keeps_its_content(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    store = open_store(url)
    version = store.publish(artifact(tmp_path / "one"), promote=True).version
    assert store.stable("lights")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    away = open_store(url)
    for question in (away.state, away.stable, away.history, away.versions):
        with pytest.raises(StoreError, match=r"s3://weights.*: the request failed: Connection refused") as raised:
            question("lights")
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 500
    with pytest.raises(StoreError):
        away.publish(artifact(tmp_path / "two", "two"))
    assert store.state("lights")[1].stable == version


def test_a_server_that_never_responds_is_reported(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("arbitrank.store.object_store._TIMEOUT", timedelta(seconds=1))
        with pytest.raises(StoreError, match="no response in time"):
            open_store(url).state("lights")


def test_a_missing_bucket_and_an_invalid_address_are_reported(url: str) -> None:
    another = open_store("s3://another/x")
    for question in (lambda: another.state("lights"), another.domains, lambda: another.backend.read("x")):
        with pytest.raises(StoreError, match="NoSuchBucket: The specified bucket does not exist"):
            question()
    for wrong in ("s3://", "s3:///x", "s3://weights?x=1"):
        with pytest.raises(InputError, match="expected s3://BUCKET/PREFIX"):
            open_store(wrong)


def test_without_the_library_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'arbitrank\[s3\]'"):
        open_store("s3://weights/x")


def test_the_command_line_takes_an_address(arbitrank: Any, url: str, tmp_path: Path) -> None:
    artifact(tmp_path / "one")
    assert arbitrank("publish", str(tmp_path / "one"), "--store", url).returncode == 0
    assert "publish: candidate" in arbitrank("history", "lights", ARBITRANK_STORE=url).stdout
    done = arbitrank("verify", url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS lights candidate" in done.stdout


# ---------------------------------------------------------------------------------------------------------- followed


def test_a_process_follows_a_bucket_answers_while_it_is_away_and_follows_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(tmp_path / "log")  # of its own, as it goes away
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    store, live = (
        open_store(url),
        Live(
            {"lights": FakeDomain("lights", model=FakeModel("lights"))},
            open_store(url),
            selftest=lambda folder, domain: None,
        ),
    )
    made = [artifact(tmp_path / name, name) for name in ("one", "two")]
    first, second = (store.publish(folder, promote=True).version for folder in made)

    def answers() -> str | None:
        live.look()
        return live.answer(Request(utterance="more light")).domains["lights"].version

    assert answers() == second
    store.rollback("lights")
    assert answers() == first
    server.stop()
    assert answers() == first
    assert url in (live.status().problem or "")
    server.start()  # what is there now is empty, and no reason to let go what is loaded
    assert answers() == first
    assert "its content is gone" in (live.status().problem or "")
    server.stop()


@pytest.mark.parametrize("name", ["part.jsonl", "part.jsonl.gz", "part.parquet"])
def test_data_to_train_on_are_read_from_a_bucket(url: str, tmp_path: Path, name: str) -> None:
    rows = [
        {
            "id": str(i),
            "utterance": "on",
            "hypotheses": [{"domain": "lights", "intent": "On"}],
            "truth": {"domain": None},
        }
        for i in range(3000)
    ]
    lines = b"\n".join(map(msgspec.json.encode, rows))
    raw = BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), raw)
    content = {".gz": gzip.compress(lines), ".parquet": raw.getvalue()}.get(Path(name).suffix, lines)
    BucketBackend(url).write(f"data/domain=lights/day=2026-11-20/{name}", content)
    assert is_partitioned(f"{url}/data")
    read = prepare(Dataset(f"{url}/data"), ["lights"], {"lights": tmp_path / "lights"})
    assert read.examples == {"lights": 3000}
    assert [one.request.id for one in ExampleFile(tmp_path / "lights")] == [str(i) for i in range(3000)]
    with pytest.raises(DataError, match="no file in it ends in"):
        is_partitioned(f"{url}/nothing")


# ------------------------------------------------------------------------------------------------------- access rights

POLICIES = Path(__file__).parents[2] / "deploy" / "s3"


def enforced(name: str, prefix: str) -> str:
    """A policy as moto enforces it: without conditions, which it does not know, and what forbids by them."""
    text = (POLICIES / f"{name}.json").read_text()
    policy = json.loads(text.replace("BUCKET", "weights").replace("PREFIX", prefix).replace("DOMAIN", "lights"))
    kept = [one for one in policy["Statement"] if one["Effect"] == "Allow" or "Condition" not in one]
    statements = [{key: value for key, value in one.items() if key != "Condition"} for one in kept]
    return json.dumps({**policy, "Statement": statements})


class User(NamedTuple):
    """A store opened with the rights of a policy."""

    store: Store
    name: str

    def may(self, verb: str, key: str) -> bool:
        """True where the server allows a call of the storage."""
        try:
            getattr(self.store.backend, verb)(key, *([b"{}"] if verb in ("create", "write") else []))
        except StoreError as error:
            if "Access Denied" in str(error):
                return False
            raise
        return True


@pytest.fixture(params=["service", "team", "operator"])
def restricted(
    request: pytest.FixtureRequest, server: Server, store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[User]:
    """Users whom the server allows what a policy of `deploy/s3` says."""
    name = f"{request.param}-{Path(url).name}"

    def iam(action: str, **fields: str) -> str:
        credential = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/iam/aws4_request"
        headers = {"authorization": f"{credential}, SignedHeaders=host, Signature=x"}
        fields = {"Action": action, "Version": "2010-05-08", "UserName": name, **fields}
        headers["content-type"] = "application/x-www-form-urlencoded"
        return server.call("POST", "/", urlencode(fields), headers)

    iam("CreateUser")
    iam("PutUserPolicy", PolicyName="p", PolicyDocument=enforced(request.param, url.removeprefix("s3://weights/")))
    made = iam("CreateAccessKey")
    for variable, tag in (("AWS_ACCESS_KEY_ID", "AccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey")):
        found = re.search(f"<{tag}>(.*?)</{tag}>", made)
        assert found
        monkeypatch.setenv(variable, found[1])
    server.call("POST", "/moto-api/reset-auth", "0")  # from now on rights are enforced
    yield User(open_store(url), request.param)
    server.call("POST", "/moto-api/reset-auth", "inf")


def test_who_may_write_to_a_bucket_is_said_by_policies(store: Store, tmp_path: Path, restricted: User) -> None:
    """moto knows no conditions, and refuses everyone the removal of several keys at once, as the library does it."""
    change, other = "lights/history/00000001.json", "doors/history/00000001.json"
    calls = [("create", change), ("create", other), ("write", ".audit/x"), ("read", other)]
    allowed = {
        "service": [False, False, False, True],
        "team": [True, False, False, True],
        "operator": [True, True, True, True],
    }
    assert restricted.store.state("lights") == (0, State())
    assert [restricted.may(verb, key) for verb, key in calls] == allowed[restricted.name]
    if restricted.name == "team":
        restricted.store.backend.write(change, b'{"number": 1, "verb": "x", "state": {}}')  # a condition forbids this
        restricted.store.publish(artifact(tmp_path / "one"))
        with pytest.raises(StoreError, match="Access Denied"):
            restricted.store.publish(artifact(tmp_path / "two", domain="doors"))
