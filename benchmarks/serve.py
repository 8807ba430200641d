"""Throughput and latency of the service: `POST /v1/rank` with 15 hypotheses, against FastAPI and an echo.

    python -m benchmarks.serve [--quick] [--json]

Three services, each in a process of its own on one processor, are measured in turn, block by block; the client has the
other processor to itself. Its sockets are open, and each has had an answer, before a block begins. All get the same 15
hypotheses of three domains, and the inputs rotate. `fastapi` is the same arbitrator behind FastAPI and pydantic models,
on uvicorn, uvloop and httptools like the service. `echo` decodes the request into the same values and encodes a
constant answer: the cost of HTTP and JSON alone.

The service keeps a log and its metrics, the peers neither. For the tail at 70 % a log in memory is measured beside one
on the disk: a virtual machine may stand still while it writes. The echo at 70 % of its own capacity shows the tail that
the machine itself makes.

Then requests are sent by a schedule, an open loop, at 70 % of the service's capacity evenly and at random times, and at
300 % at random times. Latencies are measured from the time at which a request was due. At random times a queue forms
before any server: of one that takes the same time for every request, and has no other work, the ratio of p99 to p50 is
printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from statistics import median
from typing import Any

import msgspec
import numpy as np

from benchmarks.common import show, table

NAME = "serve"
CONTESTANTS = ("service", "fastapi", "echo")
_CONNECTIONS = 8
_MOST = 256  # connections of the open loop
_SETTLING = 10.0  # seconds in which a service starts its watch
_PATIENCE = 30.0  # seconds for a connection's first answer
_LOADS = {"70": (0.7, False), "70_random": (0.7, True), "300": (3.0, True)}
"""Shares of the capacity, and whether requests are sent at random times, by the names of figures."""

_WORDS = {
    "70": "70 % load, evenly",
    "70_memory": "the same, the log in memory",
    "70_echo": "70 % of its own, evenly, the echo",
    "70_random": "70 %, at random",
    "300": "300 %, at random",
}
_MEMORY = Path("/dev/shm")


def bodies() -> list[bytes]:
    """Requests with 15 hypotheses of three domains each."""
    draw = random.Random(0)
    found = []
    for number in range(64):
        hypotheses = [
            {
                "domain": domain,
                "intent": f"Intent{i}",
                "domain_confidence": round(draw.random(), 4),
                "intent_confidence": round(draw.random() / (i + 1), 4),
                "slots": [{"name": "title", "value": f"mary poppins {number}", "confidence": round(draw.random(), 4)}],
                "slots_confidence": round(draw.random(), 4),
            }
            for domain in ("books", "music", "video")
            for i in range(5)
        ]
        context = {"device": draw.choice(["tv", "speaker", "phone"]), "has_screen": draw.random() < 0.5}
        request = {"id": str(number), "utterance": f"play mary poppins {number}", "context": context}
        found.append(json.dumps({**request, "hypotheses": hypotheses}).encode())
    return found


def call(body: bytes) -> bytes:
    head = f"POST /v1/rank HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


# ------------------------------------------------------------------------------------------------------ the contestants


def echo() -> Any:
    """An ASGI application that decodes a request and encodes a constant answer."""
    from arbitrank.values import Answer, Request

    answer = constant_answer()
    decode, encode = msgspec.json.Decoder(Request).decode, msgspec.json.Encoder().encode
    assert isinstance(answer, Answer)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        decode((await receive())["body"])
        body = encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def fastapi() -> Any:
    """The same arbitrator behind FastAPI and pydantic models."""
    from fastapi import FastAPI
    from pydantic import BaseModel, Field

    from arbitrank.values import Request

    class Slot(BaseModel):
        name: str = Field(min_length=1, max_length=200)
        value: str
        confidence: float | None = Field(None, ge=0, le=1)
        start: int | None = None
        end: int | None = None

    class Hypothesis(BaseModel):
        domain: str = Field(min_length=1, max_length=200)
        intent: str = Field(min_length=1, max_length=200)
        domain_confidence: float | None = Field(None, ge=0, le=1)
        intent_confidence: float | None = Field(None, ge=0, le=1)
        slots: list[Slot] = []
        slots_confidence: float | None = Field(None, ge=0, le=1)
        skill: str | None = None
        features: dict[str, float] = {}

    class RankRequest(BaseModel):
        id: str | None = None
        utterance: str | None = None
        context: dict[str, Any] = {}
        hypotheses: list[Hypothesis] | None = None

    class Ranked(BaseModel):
        domain: str
        intent: str
        slots: list[Slot] = []
        score: float
        domain_probability: float
        probability: float
        version: str | None = None
        skill: str | None = None

    class Decision(BaseModel):
        action: str
        contenders: list[int]

    class Report(BaseModel):
        status: str
        version: str | None = None
        ms: float = 0.0
        reason: str | None = None
        shrunk: float | None = None

    class RankAnswer(BaseModel):
        id: str | None
        decision: Decision
        ranked: list[Ranked]
        domains: dict[str, Report]
        ms: dict[str, float]

    # FastAPI looks the names of annotations up in the module.
    globals().update(RankRequest=RankRequest, RankAnswer=RankAnswer)
    application, arbitrator = FastAPI(), the_arbitrator()

    @application.post("/v1/rank")
    async def rank(request: RankRequest) -> RankAnswer:
        answer = arbitrator.answer(msgspec.convert(request.model_dump(), Request))
        return RankAnswer.model_validate(msgspec.to_builtins(answer))

    return application


def the_arbitrator() -> Any:
    from arbitrank.arbitration.decide import DecisionSettings
    from arbitrank.cli.options import arbitrator
    from arbitrank.store.store import open_store

    return arbitrator(open_store(Path(tempfile.gettempdir()) / "arbitrank-no-store"), DecisionSettings())


def constant_answer() -> Any:
    from arbitrank.wire.requests import decode_request

    return the_arbitrator().answer(decode_request(bodies()[0]))


def serve(name: str) -> None:
    """Run a peer in this process, on uvicorn like the service."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    application = {"echo": echo, "fastapi": fastapi}[name]()
    config = uvicorn.Config(
        application, loop="uvloop", http="httptools", ws="none", log_level="error", access_log=False,
        proxy_headers=False, server_header=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def running(
    name: str, processor: int | None, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[tuple[int, int]]:
    """The process that answers and its port, once it does; `options` are of the service's command line."""
    pinned = ["taskset", "-c", str(processor)] if processor is not None and which("taskset") else []
    with tempfile.TemporaryDirectory(prefix="arbitrank-") as store:
        if name == "service":
            options = {"store": store, **options}
            more = [text for key, value in options.items() for text in (f"--{key}", str(value))]
            command = [sys.executable, "-m", "arbitrank", "serve", "--port", "0", *more]
            process = subprocess.Popen(
                [*pinned, *command], stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}
            )
            assert process.stderr
            port = pid = 0
            for line in process.stderr:
                event = json.loads(line)
                if event["event"] == "listening":
                    port = int(event["at"].rpartition(":")[2])
                if event["event"] == "ready":
                    pid = event["worker"]
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()  # so that its events do not block it
        else:
            command = [sys.executable, "-c", f"from benchmarks.serve import serve; serve({name!r})"]
            process = subprocess.Popen([*pinned, *command], stdout=subprocess.PIPE)
            assert process.stdout
            port, pid = int(process.stdout.readline()), process.pid
        try:
            _wait_until_it_answers(port)
            yield pid, port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_answers(port: int) -> None:
    for _ in range(600):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(call(bodies()[0]))
                if connection.recv(64).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{NAME}: port {port} does not answer")


# ----------------------------------------------------------------------------------------------------------- the client


class Connection:
    """A socket that is kept open, and the answer that arrives on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self._got = b""
        self._whole = 0

    def send(self, raw: bytes, due: float) -> None:
        self.due = due
        self._got, self._whole = b"", 0
        sent = self.socket.send(raw)
        if sent != len(raw):
            raise SystemExit(f"{NAME}: the kernel took {sent} of {len(raw)} bytes")

    def answered(self) -> int:
        """The status once the answer has arrived whole, else 0."""
        self._got += self.socket.recv(1 << 16)
        if not self._whole:
            head, blank, _ = self._got.partition(b"\r\n\r\n")
            if not blank:
                return 0
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._whole = len(head) + 4 + int(length)
        return int(self._got[9:12]) if len(self._got) >= self._whole else 0

    @property
    def body(self) -> bytes:
        """The answer without its headers."""
        return self._got.partition(b"\r\n\r\n")[2]


def connected(port: int, raw: bytes, n: int) -> list[Connection]:
    """Open connections, each of which was accepted and has answered a call: connecting is not measured."""
    found = [Connection(port) for _ in range(n)]
    for one in found:
        one.send(raw, 0.0)
        status = 0
        while not status:
            if not select.select([one.socket], [], [], _PATIENCE)[0]:
                raise SystemExit(f"{NAME}: port {port} does not answer")
            status = one.answered()
        if status != 200:
            raise SystemExit(f"{NAME}: status {status}")
    return found


def closed_loop(port: int, calls: Sequence[bytes], seconds: float) -> float:
    """Answers per second, where a few connections each send again as soon as they are answered."""
    with selectors.EpollSelector() as selector:
        connections = connected(port, calls[0], _CONNECTIONS)
        for i, one in enumerate(connections):
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.send(calls[i % len(calls)], 0.0)
        began, n = time.perf_counter(), 0
        while (now := time.perf_counter()) - began < seconds:
            for key, _ in selector.select(1.0):
                if status := key.data.answered():
                    if status != 200:
                        raise SystemExit(f"{NAME}: status {status}")
                    n += 1
                    key.data.send(calls[n % len(calls)], 0.0)
        for one in connections:
            one.socket.close()
        return n / (now - began)


@dataclass
class LoopResult:
    """Result of an open loop: latencies in seconds of the answered, counts of the refused and of the never sent."""

    latencies: list[float] = field(default_factory=list)
    shed: int = 0
    unsent: int = 0
    late: list[float] = field(default_factory=list)  # seconds by which the client itself sent too late

    def add(self, other: LoopResult) -> None:
        """Add the result of another loop."""
        self.latencies += other.latencies
        self.shed += other.shed
        self.unsent += other.unsent
        self.late += other.late


def open_loop(
    port: int,
    calls: Sequence[bytes],
    rate: float,
    seconds: float,
    seed: int | None = 0,
    look: Callable[[int, bytes], None] = lambda status, body: None,
) -> LoopResult:
    """Send `rate` requests a second without waiting for answers; `look` gets each answer.

    They are sent at random times, which `seed` draws, or evenly where it is None.
    """
    seen, n = LoopResult(), int(rate * seconds)
    gaps = np.full(n, 1.0 / rate) if seed is None else np.random.default_rng(seed).exponential(1.0 / rate, n)
    moments = np.cumsum(gaps)
    with selectors.EpollSelector() as selector:
        idle: deque[Connection] = deque()
        for one in connected(port, calls[0], _MOST):
            selector.register(one.socket, selectors.EVENT_READ, one)
            idle.append(one)
        busy, next_one, began = 0, 0, time.perf_counter()
        dues = (moments + began).tolist()
        while next_one < len(dues) or busy:
            now = time.perf_counter()
            while next_one < len(dues) and dues[next_one] <= now:
                if idle:
                    one = idle.pop()
                    one.send(calls[next_one % len(calls)], dues[next_one])
                    seen.late.append(now - dues[next_one])
                    busy += 1
                else:
                    seen.unsent += 1
                next_one += 1
            for key, _ in selector.select(0):  # the client has a processor to itself
                one = key.data
                if status := one.answered():
                    busy -= 1
                    idle.append(one)
                    look(status, one.body)
                    if status == 200:
                        seen.latencies.append(time.perf_counter() - one.due)
                    else:
                        seen.shed += 1
            if time.perf_counter() - began > seconds + 30:
                raise SystemExit(f"{NAME}: {busy} requests were never answered")
        while idle:
            idle.pop().socket.close()
    return seen


# ---------------------------------------------------------------------------------------------------------- the figures


def ideal_ratio(load: float, n: int = 200_000) -> float:
    """p99 over p50 of a server that takes the same time for each of n requests, which come at random times."""
    gaps, wait, latencies = np.random.default_rng(0).exponential(1.0 / load, n).tolist(), 0.0, []
    for gap in gaps:  # in units of that time
        wait = max(0.0, wait - gap)
        latencies.append(wait := wait + 1.0)
    p50, p99 = np.quantile(latencies, (0.5, 0.99))
    return float(p99 / p50)


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures."""
    processors = sorted(os.sched_getaffinity(0))
    server, client = (processors[0], processors[1]) if len(processors) > 1 else (None, None)
    calls = [call(body) for body in bodies()]
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    costs: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    if client is not None:
        os.sched_setaffinity(0, {client})
    try:
        with (
            tempfile.TemporaryDirectory(prefix="arbitrank-") as log,
            running("service", server, log=log) as ours,
            running("fastapi", server) as peer,
            running("echo", server) as floor,
        ):
            contestants = dict(zip(CONTESTANTS, (ours, peer, floor), strict=True))
            for name, (_, port) in contestants.items():
                closed_loop(port, calls, 0.5)
                assert name
            for block in range(chosen.blocks):
                order = CONTESTANTS[block % 3 :] + CONTESTANTS[: block % 3]
                for name in order:
                    pid, port = contestants[name]
                    before = processor_seconds(pid)
                    rate = closed_loop(port, calls, chosen.seconds)
                    rates[name].append(rate)
                    costs[name].append(1e6 * (processor_seconds(pid) - before) / (rate * chosen.seconds))
            capacity = median(rates["service"])
            loops = {name: LoopResult() for name in (*_LOADS, "70_echo")}
            for turn in range(chosen.turns):
                for name, (factor, drawn) in _LOADS.items():
                    rate, seed = factor * capacity, turn if drawn else None
                    loops[name].add(open_loop(ours[1], calls, rate, chosen.seconds, seed))
                loops["70_echo"].add(open_loop(floor[1], calls, 0.7 * median(rates["echo"]), chosen.seconds, None))
        with (
            tempfile.TemporaryDirectory(prefix="arbitrank-", dir=_MEMORY if _MEMORY.is_dir() else None) as log,
            running("service", server, log=log) as ours,
        ):
            loops["70_memory"] = LoopResult()
            time.sleep(_SETTLING)
            closed_loop(ours[1], calls, 0.5)
            for _ in range(chosen.turns):
                loops["70_memory"].add(open_loop(ours[1], calls, 0.7 * capacity, chosen.seconds, None))
    finally:
        os.sched_setaffinity(0, set(processors))
    calm, crowded = loops["70_random"], loops["300"]
    p = {name: [1e3 * float(np.quantile(seen.latencies, q)) for q in (0.5, 0.99)] for name, seen in loops.items()}
    return {
        "requests_per_s": {name: median(found) for name, found in rates.items()},
        "processor_us": {name: median(found) for name, found in costs.items()},
        "over_fastapi": median(a / b for a, b in zip(rates["service"], rates["fastapi"], strict=True)),
        "over_echo": median(a / b for a, b in zip(rates["service"], rates["echo"], strict=True)),
        "p50_ms_at_70": p["70"][0],
        "p99_ms_at_70": p["70"][1],
        "p50_ms_at_70_memory": p["70_memory"][0],
        "p99_ms_at_70_memory": p["70_memory"][1],
        "p50_ms_at_70_echo": p["70_echo"][0],
        "p99_ms_at_70_echo": p["70_echo"][1],
        "p50_ms_at_70_random": p["70_random"][0],
        "p99_ms_at_70_random": p["70_random"][1],
        "ideal_ratio_at_70_random": ideal_ratio(0.7),
        "shed_at_70": calm.shed / max(1, calm.shed + len(calm.latencies)),
        "p50_ms_at_300": p["300"][0],
        "p99_ms_at_300": p["300"][1],
        "overload_p99_ratio": p["300"][1] / p["70_random"][1],
        "answered_at_300": len(crowded.latencies) / (chosen.turns * chosen.seconds * capacity),
        "offered_at_300": (len(crowded.latencies) + crowded.shed) / (chosen.turns * chosen.seconds * capacity),
        "client_late_ms": {name: 1e3 * float(np.quantile(seen.late, 0.99)) for name, seen in loops.items()},
    }


def print_table(figures: Mapping[str, Any]) -> None:
    rows = [
        (name, f"{figures['requests_per_s'][name]:.0f}", f"{figures['processor_us'][name]:.0f}") for name in CONTESTANTS
    ]
    table(("15 hypotheses, one processor", "requests a second", "processor, µs a request"), rows)
    print(f"over FastAPI: {figures['over_fastapi']:.2f}; over the echo: {figures['over_echo']:.2f}")
    processor = figures["processor_us"]
    print(
        f"by processor time, over FastAPI: {processor['fastapi'] / processor['service']:.2f}; "
        f"over the echo: {processor['echo'] / processor['service']:.2f}"
    )
    late = figures["client_late_ms"]
    for name, words in _WORDS.items():
        p50, p99 = figures[f"p50_ms_at_{name}"], figures[f"p99_ms_at_{name}"]
        print(
            f"at {words}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, {p99 / p50:.1f} times that; "
            f"p99 by which the client itself was late: {late[name]:.2f} ms"
        )
    print(f"of an ideal server at 70 %, at random: {figures['ideal_ratio_at_70_random']:.1f} times")
    print(
        f"p99 at 300 % over p99 at 70 %: {figures['overload_p99_ratio']:.2f}; of its capacity it then "
        f"answers {100 * figures['answered_at_300']:.0f} %; refused at 70 %: {100 * figures['shed_at_70']:.2f} %"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter blocks; ends within a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--blocks", type=int, default=12, help="of each contestant (%(default)s)")
    parser.add_argument("--turns", type=int, default=6, help="of each load (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each block (%(default)s)")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.blocks, chosen.turns, chosen.seconds = 4, 2, 1.0
    show(NAME, chosen, measured(chosen), print_table)


if __name__ == "__main__":
    main()
