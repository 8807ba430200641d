"""The calls whose answers are held, and the comparison of what came of them with the record.

A group of calls works in a folder of its own, unpacked from `inputs.tar.xz`. Calls of the command run one after another
in one process, each as `python -m arbitrank` would, but those that start processes of their own. What differs between
machines and versions without meaning anything (paths, times, durations, wording) is replaced by a mark of its type.
"""

# ruff: noqa: E501 - tables of calls and requests read best with one entry a line

from __future__ import annotations

import gzip
import http.client
import json
import lzma
import math
import os
import queue
import re
import runpy
import shlex
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).resolve().parent
INPUTS = HERE / "inputs.tar.xz"
PLUGIN = HERE / "plugin01"
DOMAINS = HERE / "domains01.tar.xz"
"""The packages of Books, Music and Video as they were when the answers were recorded, with their data and weights."""

TOLERANCE = 1e-9
DECIMALS = 12  # of what is recorded

WORDING = frozenset({
    "reason", "error", "problem", "breaker", "text", "reading", "by", "token", "folder", "on", "package_version",
    "problems", "notes", "changed", "bad", "at", "truth",
})  # fmt: skip
"""Keys whose texts are wording or places: their types alone are compared."""
MEASURED = frozenset({"ms", "time", "seconds", "peak_memory_bytes", "bytes", "first", "last"})
"""Keys whose numbers are times and sizes: their types and keys alone are compared."""
GENERATED = re.compile(r"[0-9a-f]{12}-\d+")
"""Ids that the service gives to requests without one, no two runs alike."""


@dataclass(frozen=True)
class Call:
    """One call of the command, and what of it is held beside its exit status.

    `output`: `json`, `lines` (JSON Lines), `checks` (PASS and FAIL lines) or `status` (nothing but whether
    standard output and error hold anything). `files` are read after it, as `output` says or `exists`. `own` starts a
    process of its own. `keep` are keys of `WORDING` that are compared all the same; `drop` are keys left out.
    """

    name: str
    args: tuple[str, ...]
    output: str = "status"
    stdin: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    own: bool = False
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def call(name: str, words: str, output: str = "status", **more: Any) -> Call:
    """A call whose words are those that a shell would make of `words`."""
    return Call(name, tuple(shlex.split(words)), output, **more)


# ------------------------------------------------------------------------------------------------------ environment


def path_with(*folders: Path) -> str:
    """PYTHONPATH with these folders first, every entry absolute."""
    given = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.pathsep.join([*map(str, folders), *(str(Path(part).absolute()) for part in given)])


def environment(folder: Path) -> dict[str, str]:
    """This process's environment without arbitrank's own variables; an empty store is the default one."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ARBITRANK_")}
    kept.pop("SOURCE_DATE_EPOCH", None)
    more = {
        "ARBITRANK_STORE": str(folder / "none"),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONHASHSEED": "0",
        "COLUMNS": "120",
    }
    return {**kept, **more, "PYTHONPATH": path_with(folder / "domains01")}


def unpack(folder: Path) -> None:
    """The inputs in the folder, and in `domains01` within it the domains that answered then."""
    for archive, place in ((INPUTS, folder), (DOMAINS, folder / "domains01")):
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")


def leave_out_unreadable(folder: Path) -> None:
    """Take requests with nothing to read, which are refused since 0.2, out of the files of requests."""
    for name in ("text.jsonl", "text.jsonl.gz", "kites.jsonl", *(f"some-{name}.jsonl" for name in SOME)):
        opened = gzip.open if name.endswith(".gz") else open
        with opened(folder / name, "rt", encoding="utf-8") as file:
            kept = [line for line in file if _readable(json.loads(line))]
        with opened(folder / name, "wt", encoding="utf-8") as file:
            file.writelines(kept)


def _readable(request: dict[str, Any]) -> bool:
    return bool((request.get("utterance") or "").strip()) or request.get("hypotheses") is not None


# ------------------------------------------------------------------------------------------------------ running


def run(calls: Sequence[Call], folder: Path) -> dict[str, Any]:
    """Make the calls in order; what came of each, by its name."""
    observed: dict[str, Any] = {}
    batch: list[Call] = []
    for one in calls:
        assert one.name not in {c.name for c in batch} | set(observed), one.name
        if one.own:
            observed.update(_together(batch, folder))
            batch = []
            observed[one.name] = _apart(one, folder)
        else:
            batch.append(one)
    observed.update(_together(batch, folder))
    return observed


def _apart(one: Call, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "arbitrank", *one.args],
        cwd=folder,
        env={**environment(folder), **_expanded(one.env, folder)},
        input=(folder / one.stdin).read_bytes() if one.stdin else b"",
        capture_output=True,
        timeout=120,
        check=False,
    )
    return _came_of(one, done.returncode, done.stdout, done.stderr, folder)


def _expanded(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    path = path_with(PLUGIN, folder / "domains01")
    return {key: path if key == "PYTHONPATH" else value for key, value in env.items()}


def _together(calls: Sequence[Call], folder: Path) -> dict[str, Any]:
    """Make calls in one process. Those with another PYTHONPATH than their neighbours get another process."""
    observed: dict[str, Any] = {}
    while calls:
        path = calls[0].env.get("PYTHONPATH")
        same = next((i for i, one in enumerate(calls) if one.env.get("PYTHONPATH") != path), len(calls))
        batch, calls = calls[:same], calls[same:]
        script = json.dumps([asdict(one) for one in batch])
        env = {**environment(folder), **({"PYTHONPATH": path_with(PLUGIN, folder / "domains01")} if path else {})}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).resolve())], input=script, cwd=folder, env=env, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        observed.update(json.loads(done.stdout))
    return observed


def _drive() -> None:
    """Make the calls that standard input lists, in this process; print what came of them."""
    calls = [Call(**one) for one in json.loads(sys.stdin.read())]
    folder = Path.cwd()
    print(json.dumps({one.name: _within(one, folder) for one in calls}))


def _within(one: Call, folder: Path) -> dict[str, Any]:
    out, err, program, variables = folder / ".stdout", folder / ".stderr", sys.argv, dict(os.environ)
    sys.stdout.flush()
    saved = [os.dup(fd) for fd in range(3)]
    opened = [
        os.open(folder / one.stdin if one.stdin else os.devnull, os.O_RDONLY),
        os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ]
    os.environ.update({key: value for key, value in one.env.items() if key != "PYTHONPATH"})
    stdin, sys.stdin = sys.stdin, open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - closed below with its file descriptor
    status: Any = 0
    try:
        for fd, target in enumerate(opened):
            os.dup2(target, fd)
        sys.argv = ["arbitrank", *one.args]
        try:
            runpy.run_module("arbitrank", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:  # as the interpreter would end with it
            status = f"raised {type(error).__name__}: {error}"
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, target in enumerate(saved):
            os.dup2(target, fd)
        for fd in (*saved, *opened):
            os.close(fd)
        sys.argv, sys.stdin = program, stdin
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
    return _came_of(one, status, out.read_bytes(), err.read_bytes(), folder)


def _came_of(one: Call, status: Any, stdout: bytes, stderr: bytes, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"status": status, "stdout": bool(stdout.strip()), "stderr": bool(stderr.strip())}
    if one.output != "status":
        found["output"] = _read(one, one.output, stdout, stderr)
    if one.files:
        found["files"] = {
            name: path.exists() if kind == "exists" else _read(one, kind, path.read_bytes(), b"")
            for name, kind in one.files.items()
            for path in [folder / name]
        }
    return found


def _read(one: Call, kind: str, raw: bytes, error: bytes) -> Any:
    try:
        if kind == "checks":
            words = [line.split(b" ", 1)[0].decode() for line in raw.splitlines() if line.strip()]
            return {
                "passed": "PASS" in words,
                "failed": words.count("FAIL"),
                "others": sorted({*words} - {"PASS", "FAIL"}),
            }
        if kind == "keys":
            return sorted(json.loads(raw))
        found = [json.loads(line) for line in raw.splitlines() if line.strip()] if kind == "lines" else json.loads(raw)
    except ValueError as failure:
        return f"not {kind}: {failure}: {raw[:300]!r} {error[-600:]!r}"
    if "reason" in one.keep:  # the caller's own words; what a gate adds follows in brackets
        for change in found:
            change["reason"] = change["reason"] and change["reason"].partition(" (")[0]
    return plain(found, WORDING - set(one.keep), frozenset(one.drop))


# ------------------------------------------------------------------------------------------------------ comparing


def plain(value: Any, wording: frozenset[str] = WORDING, drop: frozenset[str] = frozenset()) -> Any:
    """The value with marks in the place of wording and times, and its numbers rounded."""
    if isinstance(value, dict):
        return {
            key: _times(inner) if key in MEASURED else _words(inner, wording, drop, key in wording)
            for key, inner in value.items()
            if key not in drop
        }
    return _words(value, wording, drop)


def _words(value: Any, wording: frozenset[str], drop: frozenset[str], masked: bool = False) -> Any:
    if isinstance(value, str):
        return "<text>" if masked else value
    if isinstance(value, list):
        return [_words(inner, wording, drop, masked) for inner in value]
    if isinstance(value, float):
        return round(value, DECIMALS)
    return plain(value, wording, drop) if isinstance(value, dict) else value


def _times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _times(inner) for key, inner in value.items()}
    return value if value is None or isinstance(value, bool | str) else "<number>"


def differences(
    expected: Any,
    actual: Any,
    added: frozenset[str] = frozenset(),
    tolerance: float = TOLERANCE,
    where: str = "",
    changed: frozenset[str] = frozenset(),
) -> Iterator[str]:
    """Where the two differ; numbers by more than the tolerance, and keys, also in lists of them, unless among `added`.

    The values of keys in `changed` may differ, but not be missing.
    A call may say more on standard error than it did.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() - actual.keys()):
            yield f"{where}.{key}: is missing, was {_short(expected[key])}"
        for key in sorted(actual.keys() - expected.keys() - added):
            yield f"{where}.{key}: is new: {_short(actual[key])}; if meant, add it to ADDED in tests/test_golden.py"
        warns = expected.get("stderr") is False
        for key in sorted(expected.keys() & actual.keys()):
            if (warns and key == "stderr") or (key in changed and (expected[key] is None) == (actual[key] is None)):
                continue
            yield from differences(expected[key], actual[key], added, tolerance, f"{where}.{key}", changed)
    elif isinstance(expected, list) and isinstance(actual, list):
        actual = [one for one in actual if not (isinstance(one, str) and one in added and one not in expected)]
        if len(expected) != len(actual):
            yield f"{where}: {len(actual)} values, were {len(expected)}"
        for i, (one, other) in enumerate(zip(expected, actual, strict=False)):
            yield from differences(one, other, added, tolerance, f"{where}[{i}]", changed)
    elif _number(expected) and _number(actual):
        if not abs(expected - actual) <= tolerance * max(1.0, abs(expected)):
            yield f"{where}: {actual!r}, was {expected!r}"
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield f"{where}: {_short(actual)}, was {_short(expected)}"


def unexplained(value: Any) -> Iterator[str]:
    """Readings whose `why` does not add up to the log-odds of their probability."""
    if isinstance(value, dict):
        why, p = value.get("why"), value.get("probability")
        if isinstance(why, dict) and p is not None and "domain_probability" in value:
            p = min(max(p, 1e-12), 1.0 - 1e-12)
            digits = 1e-12 / min(p, 1.0 - p)  # answers are kept to twelve decimals
            if abs(sum(why.values()) - math.log(p / (1.0 - p))) > 1e-6 + digits:
                yield f"{_short(why)} of {p}"
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from unexplained(one)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 400 else text[:400] + " …"


def answers_of(group: str) -> Path:
    """Where the answers of a group are kept."""
    return HERE / "answers" / f"{group}.json.xz"


def write(path: Path, observed: Mapping[str, Any]) -> None:
    """Keep what came of a group's calls."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(lzma.compress(json.dumps(observed, ensure_ascii=False, sort_keys=True).encode(), preset=9))


def read(path: Path) -> dict[str, Any]:
    """What `write` kept."""
    kept: dict[str, Any] = json.loads(lzma.decompress(path.read_bytes()))
    return kept


# ------------------------------------------------------------------------------------------------------ the service


class Service:
    """`arbitrank serve` in a process of its own, ready; stopped at the end."""

    def __init__(self, folder: Path, options: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "arbitrank", "serve", "--port", "0", *options],
            cwd=folder,
            env={**environment(folder), **_expanded(env or {}, folder)},
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        self.events: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self.port = int(self.wait_for("listening")["at"].rpartition(":")[2])
        self.wait_for("ready")
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next event of this name on standard error."""
        while True:
            line = self._lines.get(timeout=60)
            assert line is not None, self.events
            self.events.append(line)
            if line["event"] == event:
                return line

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and body of one call; a body that is JSON is decoded."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, raw, {"content-type": "application/json", **(headers or {})})
        reply = self._connection.getresponse()
        text = reply.read()
        kind = reply.headers.get_content_type()
        return reply.status, json.loads(text) if kind == "application/json" else text.decode()

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()


# ------------------------------------------------------------------------------------------------------ the calls

SOME = {"text": 4, "brought": 4, "truths": 6}
"""Of these files every n-th line is in `some-NAME.jsonl`, for the calls that say the same with another option."""

PLUGIN_ENV = {"PYTHONPATH": "plugin01", "ARBITRANK_DOMAINS": "kites,bells,gong,storm"}
_LOADED = ("--help", "--version")


def text() -> list[Call]:
    """Words to answers, by the weights that the packages ship."""
    some = "rank some-text.jsonl"
    return [
        call("all", "rank text.jsonl", "lines"),
        call("zipped", "rank text.jsonl.gz --none 0.99 --clarify 0", "lines", drop=("ranked",)),
        call("standard input", "rank -", "lines", stdin="some-text.jsonl"),
        call("explained", f"{some} --explain", "lines"),
        call("normalised", f"{some} --normalise", "lines"),
        call("normalised, dependent", f"{some} --normalise --independence 0", "lines"),
        call("normalised, independent", f"{some} --normalise --independence 1 --explain", "lines"),
        call("eager", f"{some} --none 1 --clarify 0", "lines", drop=("ranked",)),
        call("shy", f"{some} --none 0.1 --clarify 0.6", "lines", drop=("ranked",)),
        call("two domains", some, "lines", env={"ARBITRANK_DOMAINS": "books,music"}),
        call("no domain", some, "lines", env={"ARBITRANK_DOMAINS": ""}),
        call("bad lines", "rank bad.jsonl", "lines"),
        call("domains", "domains --json", "json"),
        call("domains, some disabled", "domains --json", "json", env={"ARBITRANK_DOMAINS": "music,cooking"}),
        *(
            call(f"ask {i}", f"ask --json {words}", "json")
            for i, words in enumerate((
                "'play mary poppins' --device tv", "'play mary poppins' --device speaker --explain", "'play cinderella'",
                "'read me mary poppins' --none 0.9 --clarify 0.5", "'what is the weather'", "''",
                "'play dune' --context previous_domain=music --context has_screen=true --normalise",
                "'play dune' --context preference.music=0.9",
            ))
        ),
    ]  # fmt: skip


def brought() -> list[Call]:
    """Hypotheses that the caller brings, by the weights that the packages ship."""
    some = "rank some-brought.jsonl"
    return [
        call("all", "rank brought.jsonl", "lines"),
        call("explained", "rank brought.jsonl --explain", "lines"),
        call("unserved ranked", "rank brought.jsonl --rank-unserved", "lines"),
        call("normalised", f"{some} --normalise", "lines"),
        call("normalised, unserved ranked", f"{some} --normalise --rank-unserved --independence 0.8", "lines"),
        call("eager", f"{some} --none 1 --clarify 0", "lines", drop=("ranked",)),
        call("shy", f"{some} --none 0.05 --clarify 0.9", "lines", drop=("ranked",)),
        call("one domain", f"{some} --rank-unserved --explain", "lines", env={"ARBITRANK_DOMAINS": "video"}),
        call("with truths", "rank some-truths.jsonl", "lines"),
        call("follow", f"{some} --follow", "lines", own=True),
        call("isolated", f"{some} --follow --isolate all --deadline 60000", "lines", own=True),
    ]


def stores() -> list[Call]:
    """Weights of every kind out of stores: what answers, what is listed, what was done."""
    rank = "rank some-brought.jsonl --store stores"
    made: list[Call] = []
    for name in "abcdef":
        made += [
            call(f"{name}", f"{rank}/{name}", "lines"),
            call(
                f"{name} explained", f"rank some-truths.jsonl --explain --rank-unserved --store stores/{name}", "lines"
            ),
            call(f"{name} domains", f"domains --json --store stores/{name}", "json"),
        ]
    for name in ("main", "words", "signed", "kites"):
        domains = {"kites": ("kites", "bells")}.get(name, ("music", "video", "books"))
        made += [call(f"{name} history {d}", f"history {d} --json --store stores/{name}", "json", keep=("reason",))
                 for d in domains]  # fmt: skip
        made += [
            call(f"{name} domains", f"domains --json --store stores/{name}", "json"),
            call(f"{name} verify", f"verify --store stores/{name}", "checks"),
        ]
    made += [
        call("main, all", "rank brought.jsonl --store stores/main", "lines"),
        call("main, normalised", f"{rank}/main --normalise --rank-unserved --explain", "lines"),
        call("main, from text", "rank some-text.jsonl --store stores/main", "lines"),
        call("words, from text", "rank text.jsonl --store stores/words", "lines"),
        call("words, explained", "rank some-text.jsonl --store stores/words --explain --normalise", "lines"),
        call("hyprank from text", "rank some-text.jsonl --hyprank hyprank", "lines"),
        call("hyprank brought", "rank some-brought.jsonl --hyprank hyprank --explain", "lines"),
        call("hyprank ask", "ask --json 'play dune' --context preference.music=0.9 --hyprank hyprank", "json"),
        call("words, hyprank", "rank some-text.jsonl --store stores/words --hyprank hyprank", "lines"),
        call("shortlist history", "history shortlist --json --store stores/main", "json", keep=("reason",)),
        call("shortlist verify", "verify shortlist --store stores/main", "checks"),
        call("signed, trusted", f"{rank}/signed --keys keys", "lines"),
        call("signed, unasked", f"{rank}/signed", "lines"),
        call("signed domains, trusted", "domains --json --store stores/signed --keys keys", "json"),
        call("signed, wrong", "verify --store stores/signed --keys keys", "checks"),
        call("canary ends", "canary music 0 --store stores/main"),
        call("follow main", f"{rank}/main --follow --shadow shadow.jsonl", "lines", own=True,
             files={"shadow.jsonl": "exists"}),
        call("follow main, isolated", f"{rank}/main --follow --isolate all --deadline 60000", "lines", own=True),
        call("follow words, one isolated", "rank some-text.jsonl --store stores/words --follow --isolate music "
             "--deadline 60000", "lines", own=True),
    ]  # fmt: skip
    return made


def logs() -> list[Call]:
    """Logs and files of requests, replayed and judged; and the Shortlister."""
    main = "--store stores/main"
    shortlist = "shortlist query --json --no-domains"
    return [
        *(call(f"status {name}", f"log status {name} --json", "json") for name in ("log", "hashed", "dropped")),
        *(call(f"replay {i}", f"replay r{i} --log log --json", "json") for i in (0, 1, 2, 3, 7, 14, 80, 88)),
        call("replay by a store", f"replay r4 --log log --json --explain --normalise {main}", "json"),
        call("replay hashed", f"replay r5 --log hashed --json {main}", "json"),
        call("replay dropped", "replay r5 --log dropped --json", "json"),
        call("impact audit set", f"impact music --json {main}", "json"),
        call("impact log", f"impact music --on log --json {main}", "json"),
        call("impact hashed", f"impact video --on hashed --json {main} --normalise", "json"),
        call("impact logged", f"impact books --candidate models/books-boosted --on logged.jsonl --json --none 0.8 {main}", "json"),
        call("impact folder", "impact video --candidate models/video-other --on truths.jsonl --json", "json"),
        call("impact words", "impact music --candidate models/music-words --on logged.jsonl --json", "json"),
        call("impact version", f"impact music --against stable --on some-truths.jsonl --json --out report {main}", "json",
             files={"report/impact.json": "json", "report/impact.html": "exists"}),
        call("shortlist linear", f"{shortlist} 'play dune' {main}", "json"),
        call("shortlist learned", f"{shortlist} 'play mary poppins' --store stores/words", "json"),
        call("shortlist folder", f"{shortlist} 'read me the hobbit' --folder models/shortlist --shortlist-k 3", "json"),
        call("shortlist enabled", f"{shortlist} 'watch alien' --enabled music --shortlist-floor 0.01 {main}", "json"),
        call("shortlist with domains", f"shortlist query --json 'put on some jazz' {main}", "json"),
        call("shortlist measured", f"shortlist evaluate corpus/dev.jsonl --json {main} --skills domain", "json"),
        call("shortlist folder measured", "shortlist evaluate corpus/dev.jsonl --json --folder models/shortlist", "json"),
    ]  # fmt: skip


def kites() -> list[Call]:
    """A plugin built for 0.1, found by an entry point that stands in a folder of its own."""
    store = "--store stores/kites"
    env = {"env": PLUGIN_ENV}
    mixed = {"env": {"PYTHONPATH": "plugin01"}}
    return [
        call("domains", f"domains --json {store}", "json", **env),
        call("domains without weights", "domains --json", "json", **env),
        call("from text", f"rank kites.jsonl {store}", "lines", **env),
        call("explained", f"rank kites.jsonl {store} --explain --normalise", "lines", **env),
        call("beside the others", f"rank kites.jsonl {store}", "lines", **mixed),
        call("brought", f"rank kites-brought.jsonl {store} --explain", "lines", **env),
        call("isolated", f"rank kites.jsonl {store} --follow --isolate all --deadline 60000", "lines", own=True, **env),
        call("verify", f"verify {store}", "checks", **env),
        call("trained anew", f"train bells --out again {store} --json", "status", own=True, **env,
             files={"again/reranker/rate.json": "json"}),
        call("shortlist", "shortlist train --out kites-shortlist", "status", **env,
             files={"kites-shortlist/manifest.json": "exists"}),
        call("shortlist query", "shortlist query --json --folder kites-shortlist 'fly the rokkaku'", "json", **env),
    ]  # fmt: skip


def verbs() -> list[Call]:
    """The exit status of every verb: done, wrongly called, a missing file, a bad input, a refusal."""
    from itertools import chain

    every = [
        "ask",
        "rank",
        "domains",
        "train",
        "evaluate",
        "publish",
        "impact",
        "audit-set",
        "promote",
        "shrink",
        "canary",
        "rollback",
        "history",
        "replay",
        "log",
        "verify",
        "prune",
        "keygen",
        "sign",
        "shortlist",
        "serve",
        "token",
    ]
    scratch = "--store scratch"
    history = {"keep": ("reason",)}
    usage = [
        call("no verb", ""), call("help", "--help"), call("version", "--version"), call("unknown verb", "fly"),
        call("unknown option", "--fly"),
        *chain.from_iterable(
            (call(f"{verb} --help", f"{verb} --help"), call(f"{verb} --fly", f"{verb} --fly"), call(f"{verb} bare", verb))
            for verb in every
            if verb not in ("train", "serve", "shortlist", "log")
        ),
        *(call(f"{verb} --help", f"{verb} --help") for verb in (
            "train", "serve", "log", "log status", "log prune", "shortlist", "shortlist train", "shortlist evaluate",
            "shortlist query", "shortlist hyprank")),
        *(call(f"{verb} bare", verb) for verb in ("shortlist", "log", "log status", "log prune", "shortlist query")),
        *(call(f"{verb} --fly", f"{verb} --fly") for verb in ("train", "serve", "log status", "shortlist train")),
    ]  # fmt: skip
    return [
        *usage,
        call("ask", "ask 'play dune'"), call("ask explained", "ask 'play dune' --explain"),
        call("ask out of range", "ask dune --none 2"), call("ask not a number", "ask dune --clarify nan"),
        call("ask a context that isn't one", "ask dune --context device"),
        call("ask no store", "ask dune --store text.jsonl"), call("ask no keys", "ask dune --keys no/keys"),
        call("ask no hyprank", "ask dune --hyprank no/folder"), call("ask unsigned", "ask dune --keys keys"),
        call("rank missing", "rank no/such.jsonl"), call("rank a folder", "rank models"),
        call("rank poll", "rank text.jsonl --poll 1"), call("rank isolate", "rank text.jsonl --isolate music"),
        call("rank shadow", "rank text.jsonl --shadow s"), call("rank deadline", "rank text.jsonl --deadline 100"),
        call("rank nothing", "rank -", "lines"),
        call("rank unknown isolated", "rank some-text.jsonl --follow --isolate cooking", own=True),
        call("domains", "domains"), call("domains no service", "domains --service http://127.0.0.1:9"),
        call("domains bad service", "domains --service fly"),
        call("train unknown", "train cooking"), call("train no data", "train music --data no/such.jsonl"),
        call("train since", "train music --since 3d"), call("train partitioned", "train music --partitioned"),
        call("train dask", "train music --backend dask"), call("train scheduler", "train music --scheduler tcp://a:1"),
        call("train bad model", "train music --model magic"), call("train kept", "train music --kept 0"),
        call("train bad loss", "train music --loss r4"), call("train two out", "train music video --out both"),
        call("train", f"train music --data truths.jsonl --model loglinear {scratch}"),
        call("train json", f"train video --data truths.jsonl --json --promote {scratch}"),
        call("train out", "train books --data truths.jsonl --out trained",
             files={"trained/manifest.json": "keys", "trained/card.json": "keys",
                    "trained/reranker/weights.json": "keys"}),
        call("trained verified", "verify trained", "checks"),
        call("evaluate missing", "evaluate no/such"), call("evaluate bad", "evaluate bad.jsonl"),
        call("evaluate empty", "evaluate models"), call("evaluate jobs", "evaluate truths.jsonl --jobs 0"),
        call("publish", f"publish models/music-factored {scratch}"),
        call("publish again", f"publish models/music-factored {scratch}"),
        call("publish missing", f"publish no/such {scratch}"), call("publish damaged", f"publish models/damaged {scratch}"),
        call("publish unsigned", f"publish models/music-factored --keys keys {scratch}"),
        call("publish signed", f"publish models/music-factored --keys keys --key music.key {scratch}"),
        call("publish by a thief", f"publish models/music-factored --keys keys --key thief.key {scratch}"),
        call("publish no key", f"publish models/music-factored --key no.key {scratch}"),
        call("publish shortlist", f"publish models/shortlist {scratch}"),
        call("promote", f"promote music --reason 'for a start' {scratch}"),
        call("promote nothing", f"promote music {scratch}"), call("promote unknown", f"promote cooking {scratch}"),
        call("promote no version", f"promote music 0123456789ab {scratch}"),
        call("promote bad version", f"promote music latest {scratch}"),
        call("promote forced without reason", f"promote music --force {scratch}"),
        call("promote shortlist", f"promote shortlist {scratch}"),
        call("promoted shortlist", f"history shortlist --json {scratch}", "json", **history),
        call("audit set none", f"audit-set {scratch}"), call("audit set bad", f"audit-set bad.jsonl {scratch}"),
        call("audit set missing", f"audit-set no/such.jsonl {scratch}"),
        call("audit set no truth", f"audit-set text.jsonl {scratch}"),
        call("audit set", f"audit-set truths.jsonl {scratch}"), call("audit set named", f"audit-set {scratch}"),
        call("audit set log", f"audit-set log {scratch}"),
        call("train promote with an audit set", f"train music --promote {scratch}"),
        call("audit set again", f"audit-set truths.jsonl {scratch}"),
        call("publish worse", f"publish models/music-words {scratch}"),
        call("promote refused", f"promote music --max-ece 0 --max-temperature 1 --tolerance 0 {scratch}"),
        call("refused history", f"history music --json {scratch}", "json", **history),
        call("promote forced", f"promote music --max-ece 0 --max-temperature 1 --force --reason 'it has to be' {scratch}"),
        call("forced history", f"history music --json {scratch}", "json", **history),
        call("rollback", f"rollback music --reason 'it did not' {scratch}"), call("rollback again", f"rollback music {scratch}"),
        call("rollback none", f"rollback books {scratch}"), call("rollback unknown", f"rollback cooking {scratch}"),
        call("rollback to package", f"rollback music --to-package {scratch}"),
        call("canary none", f"canary books 0.5 {scratch}"), call("canary range", f"canary music 2 {scratch}"),
        call("canary text", f"canary music half {scratch}"),
        call("canary publish", f"publish models/music-boosted {scratch}"), call("canary", f"canary music 0.25 {scratch}"),
        call("canary ends", f"canary music 0 --reason enough {scratch}"),
        call("shrink fitted", f"shrink music {scratch}"), call("shrink", f"shrink music --temperature 1.5 {scratch}"),
        call("shrink both", f"shrink music --temperature 1.5 --off {scratch}"),
        call("shrink range", f"shrink music --temperature 0.5 {scratch}"), call("shrink off", f"shrink music --off {scratch}"),
        call("shrink no set", "shrink music --store elsewhere"), call("shrink on", f"shrink video --on truths.jsonl {scratch}"),
        call("shrunk history", f"history video --json {scratch}", "json", drop=("stable", "previous", "candidate"), **history),
        call("history", f"history music {scratch}"), call("history json", f"history music --json {scratch}", "json", **history),
        call("history of none", f"history books {scratch}"), call("history bad name", f"history 'No Name' {scratch}"),
        call("impact", f"impact music {scratch}"), call("impact unknown", f"impact cooking {scratch}"),
        call("impact no candidate", "impact music --store elsewhere --on truths.jsonl"),
        call("impact no set", "impact music --store elsewhere --candidate models/music-factored"),
        call("impact missing", f"impact music --on no/such.jsonl {scratch}"),
        call("impact damaged", f"impact music --candidate models/damaged {scratch}"),
        call("impact another's", f"impact music --candidate models/video-other {scratch}"),
        call("replay", "replay r0 --log log"), call("replay unknown", "replay nobody --log log"),
        call("replay no log", "replay r0 --log no/log"), call("replay not a log", "replay r0 --log models"),
        call("log status", "log status log"), call("log status missing", "log status no/log"),
        call("log prune", "log prune dropped --days 100000"), call("log prune range", "log prune dropped --days 0"),
        call("log prune missing", "log prune no/log --days 3"),
        call("verify artifact", "verify models/music-factored", "checks"), call("verify damaged", "verify models/damaged", "checks"),
        call("verify missing", "verify no/such"), call("verify store", "verify stores/main", "checks"),
        call("verify domain", "verify music --store stores/main", "checks"),
        call("verify unsigned", "verify models/music-factored --keys keys", "checks"),
        call("verify scratch", f"verify {scratch}", "checks"),
        call("prune", f"prune --keep 1 --grace 0 {scratch}"), call("prune again", f"prune --keep 1 --grace 0 {scratch}"),
        call("pruned history", f"history music --json {scratch}", "json", **history),
        call("prune range", f"prune --keep 0 {scratch}"), call("prune unknown", f"prune cooking {scratch}"),
        call("keygen", "keygen fresh", files={"fresh.key": "exists", "fresh.pub": "exists"}),
        call("keygen again", "keygen fresh"), call("keygen nowhere", "keygen no/such/fresh"),
        call("sign", "sign trained --key fresh.key"), call("sign without key", "sign trained"),
        call("sign no key", "sign trained --key no.key"), call("sign not a key", "sign trained --key bad.jsonl"),
        call("sign missing", "sign no/such --key fresh.key"), call("sign damaged", "sign models/damaged --key fresh.key"),
        call("shortlist train", f"shortlist train --data corpus/dev.jsonl {scratch}"),
        call("shortlist train out", "shortlist train --data corpus/dev.jsonl --out fewer", files={"fewer/manifest.json": "exists"}),
        call("shortlist train promote", f"shortlist train --data corpus/dev.jsonl --promote {scratch}"),
        call("shortlist train missing", f"shortlist train --data no/such.jsonl {scratch}"),
        call("shortlist train distil", f"shortlist train --data corpus/dev.jsonl --distil 0.5 {scratch}"),
        call("shortlist query", "shortlist query 'play dune' --store stores/main"),
        call("shortlist query none", "shortlist query 'play dune' --store elsewhere"),
        call("shortlist query both", "shortlist query dune --folder models/shortlist --version 0123456789ab"),
        call("shortlist query a domain", "shortlist query dune --folder models/music-factored"),
        call("shortlist evaluate", "shortlist evaluate corpus/dev.jsonl --store stores/main"),
        call("shortlist evaluate missing", "shortlist evaluate no/such.jsonl --store stores/main"),
        call("shortlist hyprank", "shortlist hyprank log --out sorted --rounds 2"),
        call("shortlist hyprank no log", "shortlist hyprank no/log --out sorted2"),
        call("shortlist hyprank range", "shortlist hyprank log --out sorted3 --rounds 0"),
        call("serve bad policy", "serve --port 0 --policy bad.toml"),
        call("serve bad tokens", "serve --port 0 --tokens bad.tokens"),
        call("serve no policy", "serve --port 0 --policy no.toml"),
        call("serve to others", "serve --port 0 --host 0.0.0.0"),
        call("serve range", "serve --port 70000"), call("serve workers", "serve --workers 0"),
        call("serve words", "serve --log-words shout"),
        call("token", "token ada rank feedback"), call("token bad scope", "token ada fly"),
        call("token file", "token ada publish:music --tokens tokens2", files={"tokens2": "exists"}),
        call("token no scope", "token ada"), call("token bad file", "token ada rank --tokens no/such/tokens"),
    ]  # fmt: skip


def experiment() -> list[Call]:
    """The experiment on hypotheses with their truths."""
    return [
        call("trains too few", "train music --data few.jsonl --store scratch", own=True),
        call("hypotheses", "evaluate truths.jsonl --out measured --json --jobs 1", "json", own=True,
             files={"measured/metrics.json": "json", "measured/report.html": "exists",
                    "measured/predictions.jsonl": "lines", "measured/calibration.png": "exists"}),
    ]  # fmt: skip


def http_calls(folder: Path) -> dict[str, Any]:
    """Every route of the service, called well and badly: statuses, answers, and the keys of errors."""
    observed: dict[str, Any] = {}
    requests = [json.loads(line) for line in (folder / "text.jsonl").read_text(encoding="utf-8").splitlines()]
    given = [json.loads(line) for line in (folder / "brought.jsonl").read_text(encoding="utf-8").splitlines()]
    tokens = {name: (folder / f"{name}.token").read_text() for name in ("boss", "asker", "teller", "team")}

    def made(service: Service, name: str, method: str, path: str, body: Any = None, **headers: str) -> None:
        assert name not in observed, name
        token = headers.pop("token", None)
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {tokens.get(token, token)}"
        status, reply = service.call(method, path, body, sent)
        if path == "/openapi.json":
            reply = {
                route: {
                    verb: dict.fromkeys(one["responses"], True) for verb, one in calls.items() if verb != "parameters"
                }
                for route, calls in reply["paths"].items()
            }
        observed[name] = {"status": status, "reply": _page(path, reply) if isinstance(reply, str) else plain(reply)}

    with Service(folder, ["--store", "stores/main", "--log", "http.log", "--rank-unserved", "--shortlist",
                          "--shortlist-k", "3", "--shadow", "http-shadow"]) as service:  # fmt: skip
        _await_candidate(service, given)
        _open_calls(lambda *args, **more: made(service, *args, **more), requests, given)
        observed["shadow"] = _shadow(service, folder / "http-shadow", given)
    with Service(folder, ["--store", "stores/words", "--tokens", "tokens", "--policy", "policy.toml", "--hyprank", "hyprank",
                          "--isolate", "all", "--deadline", "60000", "--normalise"]) as service:  # fmt: skip
        _guarded_calls(lambda *args, **more: made(service, *args, **more), requests, given)
    lines = [
        json.loads(line)
        for path in sorted((folder / "http.log").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    lines = [line for line in lines if not GENERATED.fullmatch(line["id"])]
    for line in lines:  # with a shortlist the domains stand in no order
        line.get("hypotheses", []).sort(key=lambda reading: reading["domain"])
    observed["log"] = plain([line for line in lines if line["id"].startswith(("t", "e", "h"))])
    return observed


def _await_candidate(service: Service, given: list[Any]) -> None:
    """Wait until the candidate answers its share of the requests."""
    candidate = next(
        one["state"]["candidate"] for one in service.call("GET", "/v1/domains")[1] if one["name"] == "music"
    )
    asked = [{**given[0], "id": f"w{i}"} for i in range(20)]
    for _ in range(300):
        answers = service.call("POST", "/v1/rank", asked)[1]
        if any(one["domains"]["music"]["version"] == candidate for one in answers):
            return
        time.sleep(0.2)
    raise AssertionError(f"{candidate} answers nothing")


def _shadow(service: Service, path: Path, given: list[Any]) -> Any:
    """What stands in the shadow log of some requests, once both candidates are compared."""
    asked = [{**given[i], "id": f"s{i}"} for i in (0, 12, 24, 36)]
    for _ in range(300):
        service.call("POST", "/v1/rank", asked)
        time.sleep(0.2)
        latest = {}
        for line in b"".join(one.read_bytes() for one in sorted(path.iterdir())).splitlines(keepends=True):
            if line.startswith(b'{"id":"s') and line.endswith(b"\n"):
                latest[json.loads(line)["id"]] = json.loads(line)
        if len(latest) == len(asked) and all({"music", "video"} <= set(line["shadow"]) for line in latest.values()):
            return plain([latest[one["id"]] for one in asked])
    raise AssertionError(f"the shadow log holds {latest}")


def _open_calls(made: Any, requests: list[Any], given: list[Any]) -> None:
    """A service for this machine alone, without tokens."""
    for path in ("/healthz", "/readyz", "/v1/domains", "/v1/domains/music/versions", "/metrics", "/openapi.json", "/docs",
                 "/v1/domains/cooking/versions", "/v1/rank", "/v1/feedback", "/nowhere", "/", "/v1/domains/",
                 "/v1/domains/music/promote"):  # fmt: skip
        made(f"GET {path}", "GET", path)
    made("rank one", "POST", "/v1/rank", requests[0])
    made("rank list", "POST", "/v1/rank", list(filter(_readable, requests[1:200:5])))
    made("rank brought", "POST", "/v1/rank", [one for one in given[::5] if one.get("hypotheses")])
    made("rank none", "POST", "/v1/rank", [])
    made("rank no hypotheses", "POST", "/v1/rank", {"id": "h", "hypotheses": []})
    for name, body in {
        "no JSON": b"play dune", "nothing": b"", "number": b"5", "null": b"null", "text": b'"play"', "NaN": b'{"id": NaN}',
        "wrong type": b'{"utterance": 5}', "wrong in list": b'[{"utterance": "a"}, {"utterance": 5}]',
        "range": b'{"hypotheses": [{"domain": "video", "intent": "X", "domain_confidence": 1.2}]}',
        "no intent": b'{"hypotheses": [{"domain": "video"}]}', "preference": b'{"context": {"preference.music": 2}}',
        "long id": json.dumps({"id": "i" * 300, "utterance": "a"}).encode(),
        "long words": json.dumps({"utterance": "a" * 3000}).encode(),
        "deep": json.dumps({"utterance": "a", "context": {"k": json.loads("[" * 20 + "]" * 20)}}).encode(),
        "too large": json.dumps({"utterance": "a", "account": {"k": "x" * 1_100_000}}).encode(),
        "too many": json.dumps([{"id": str(i)} for i in range(1001)]).encode(), "not UTF-8": b'{"id": "\xff"}',
    }.items():  # fmt: skip
        made(f"rank {name}", "POST", "/v1/rank", body)
    made("rank another type", "POST", "/v1/rank", requests[0], content_type="text/plain")
    made("rank another origin", "POST", "/v1/rank", requests[0], origin="http://elsewhere.example")
    for name, body in {
        "truth": {"id": "t0", "truth": {"domain": "music", "intent": "PlayMusic"}},
        "outcome": {"id": "t1", "outcome": "accepted"}, "nothing": {"id": "t1"}, "no id": {"outcome": "accepted"},
        "unknown outcome": {"id": "t1", "outcome": "fine"}, "long id": {"id": "i" * 300, "outcome": "rejected"},
        "nobody's": {"id": "t2", "truth": {"domain": None}}, "unknown id": {"id": "e-none", "outcome": "rejected"},
    }.items():  # fmt: skip
        made(f"feedback {name}", "POST", "/v1/feedback", body)
    made("feedback no JSON", "POST", "/v1/feedback", b"{")
    made("promote not open", "POST", "/v1/domains/music/promote", {})
    made("rollback not open", "POST", "/v1/domains/music/rollback", {})
    made("canary not open", "POST", "/v1/domains/music/canary", {"share": 0.5})
    made("DELETE", "DELETE", "/v1/rank")
    made("PUT", "PUT", "/v1/domains", {})


def _guarded_calls(made: Any, requests: list[Any], given: list[Any]) -> None:
    """A service with tokens, a policy, HypRank and domains in a worker; and what changes the store."""
    made("no token", "POST", "/v1/rank", requests[0])
    made("unknown token", "POST", "/v1/rank", requests[0], token="who")
    made("wrong scope", "POST", "/v1/rank", requests[0], token="teller")
    made("right scope", "POST", "/v1/rank", requests[0], token="asker")
    made("policy from text", "POST", "/v1/rank", list(filter(_readable, requests[2:200:5])), token="asker")
    made(
        "policy on hypotheses", "POST", "/v1/rank", [one for one in given[1::5] if one.get("hypotheses")], token="boss"
    )
    made("policy of a locale", "POST", "/v1/rank", [
        {"id": f"l{i}", "utterance": words, "context": {"locale": locale, "device": device}}
        for i, (words, locale, device) in enumerate((
            ("read me mary poppins", "de-DE", "phone"), ("read me mary poppins", "de", "phone"),
            ("read me mary poppins", "en-GB", "car"), ("play mary poppins", "en-GB", "tv"), ("watch dune", "en-GB", "tv"),
        ))
    ], token="boss")  # fmt: skip
    made("feedback wrong scope", "POST", "/v1/feedback", {"id": "t0", "outcome": "accepted"}, token="asker")
    made("feedback", "POST", "/v1/feedback", {"id": "t0", "outcome": "accepted"}, token="teller")
    for path in ("/v1/domains", "/v1/domains/music/versions", "/metrics", "/healthz", "/readyz"):
        made(f"GET {path} without", "GET", path)
        made(f"GET {path} with", "GET", path, token="teller")
    music = "/v1/domains/music"
    made("canary wrong scope", "POST", f"{music}/canary", {"share": 0.5}, token="asker")
    made("canary of another", "POST", "/v1/domains/video/canary", {"share": 0.5}, token="team")
    made("canary", "POST", f"{music}/canary", {"share": 0.5, "reason": "half"}, token="team")
    made("canary range", "POST", f"{music}/canary", {"share": 1.5}, token="team")
    made("canary nothing", "POST", f"{music}/canary", b"", token="team")
    made("canary unknown key", "POST", f"{music}/canary", {"share": 0.1, "fly": 1}, token="team")
    made("canary no candidate", "POST", "/v1/domains/books/canary", {"share": 0.5}, token="boss")
    made("promote forced", "POST", f"{music}/promote", {"force": True}, token="team")
    made("promote bad version", "POST", f"{music}/promote", {"version": "latest"}, token="team")
    made("promote no version", "POST", f"{music}/promote", {"version": "0123456789ab"}, token="team")
    made("promote unknown", "POST", "/v1/domains/cooking/promote", {}, token="boss")
    made("promote nothing", "POST", "/v1/domains/books/promote", {}, token="boss")
    made("promote", "POST", f"{music}/promote", {"reason": "better"}, token="team")
    made("rollback", "POST", f"{music}/rollback", b"", token="team")
    made("rollback nothing", "POST", "/v1/domains/books/rollback", {}, token="boss")
    made("versions at last", "GET", f"{music}/versions", token="boss")


def _page(path: str, reply: str) -> Any:
    if path == "/metrics":
        return sorted(line for line in reply.splitlines() if line.startswith("# TYPE arbitrank"))
    return "<page>" if path == "/docs" else reply[:200]


GROUPS: dict[str, Callable[[], list[Call]] | None] = {
    "text": text,
    "brought": brought,
    "stores": stores,
    "logs": logs,
    "kites": kites,
    "verbs": verbs,
    "experiment": experiment,
    "http": None,
}
"""The groups of calls, by name."""


def observe(group: str, folder: Path) -> dict[str, Any]:
    """Unpack the inputs into the folder and make the calls of a group; what came of each."""
    unpack(folder)
    for name, step in SOME.items():
        kept = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[::step]
        (folder / f"some-{name}.jsonl").write_text("".join(kept), encoding="utf-8")
    made = GROUPS[group]
    if made is None:
        return http_calls(folder)
    leave_out_unreadable(folder)
    return run(made(), folder)


if __name__ == "__main__":
    _drive()
