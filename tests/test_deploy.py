"""The files of `deploy/`: they name options, metrics, routes and paths that exist, and their tools take them.

What needs an engine for containers is not run: the Dockerfile's steps are taken in a fresh environment (`--full`).
"""

from __future__ import annotations

import configparser
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from sysconfig import get_path
from typing import Any

import promql_parser
import pytest
import yaml

from arbitrank.cli.serve import serve
from arbitrank.cli.stated_options import statable, stated, variable
from arbitrank.serve.metric_table import METRICS
from arbitrank.serve.operations import OPERATIONS
from arbitrank.serve.readiness import PROBLEMS
from arbitrank.store.store import open_store

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TEXTS = {path: path.read_text(encoding="utf-8") for path in DEPLOY.rglob("*") if path.is_file()}
RUNBOOK = ROOT / "docs" / "how-to" / "runbook.md"

# ------------------------------------------------------------------------------------------------------- configuration


def test_every_variable_of_the_service_is_one_that_it_reads() -> None:
    known = {variable(serve, name) for name in statable(serve)}
    found = {name: path for path, text in TEXTS.items() for name in re.findall(r"ARBITRANK_SERVE_[A-Z_]+", text)}
    assert {name: path.name for name, path in found.items() if name not in known} == {}


def test_the_configuration_file_is_read() -> None:
    assert {"workers", "drain", "words", "days"} <= stated(serve, DEPLOY / "arbitrank.toml", {}).keys()


def test_every_route_that_is_asked_for_exists() -> None:
    routes = {operation.path for operation in OPERATIONS}
    named = {route for text in TEXTS.values() for route in re.findall(r"(?<![\w.])/(?:readyz|healthz|metrics)\b", text)}
    assert named <= routes
    assert any(route.startswith("/v1/") for route in routes)  # the location of nginx


# ---------------------------------------------------------------------------------------------------------- containers


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments."""
    text = re.sub(r"^#.*\n", "", TEXTS[DEPLOY / "Dockerfile"], flags=re.M).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_the_image_runs_as_nobody_and_checks_its_health() -> None:
    found = instructions()
    last = [name for name, _ in found].index("FROM", 2)
    final = dict(found[last:])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final["USER"])  # a number, so that runAsNonRoot can be checked
    assert {"HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "VOLUME"} <= final.keys()
    assert not any(name == "ADD" for name, _ in found)
    assert "slim" in dict(part.split("=") for name, part in found if name == "ARG")["PYTHON"]
    for name, rest in found:
        if name == "COPY" and not rest.startswith("--from"):
            assert (ROOT / rest.split()[0]).exists(), rest
    ignored = TEXTS[DEPLOY / "Dockerfile.dockerignore"].splitlines()
    copied = [rest.split()[0] for name, rest in found if name == "COPY" and not rest.startswith("--from")]
    assert {f"!{path}" for path in copied} == {line for line in ignored if line.startswith("!")}


def test_the_steps_of_the_dockerfile_make_a_service(tmp_path: Path) -> None:
    """Each path of the image below a folder of the test; users are not made. The root stays as it was built."""
    image = Image(tmp_path)
    for name, rest in instructions():
        image.take(name, rest)
    before = image.files()
    inside = {"ARBITRANK_SERVE_HOST": "127.0.0.1", "ARBITRANK_SERVE_PORT": str(free_port())}
    health = json.loads(image.final["HEALTHCHECK"].rpartition("CMD")[2])
    command = json.loads(image.final["ENTRYPOINT"]) + json.loads(image.final["CMD"])
    assert image.run(shlex.join(health), **inside).returncode == 1
    service = image.start(command, **inside)
    try:
        assert service.stderr
        for line in service.stderr:
            if json.loads(line)["event"] == "ready":
                break
        done = image.run(shlex.join(health), **inside)
        assert done.returncode == 0, done.stderr
    finally:
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
    assert image.files() == before


class Image:
    """An image whose root is a folder, made by the steps of a Dockerfile."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.final: dict[str, str] = {}
        self.variables = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        self.at = self.root
        (folder / "bin").mkdir()
        (folder / "bin" / "python").symlink_to(sys.executable)
        self._kept = {key: value for key, value in os.environ.items() if key.startswith(("PIP", "SSL", "TMP", "HTTP"))}

    def inside(self, text: str) -> str:
        """The text with the image's paths below the root."""
        return re.sub(r"(?<![\w./])/(src|opt|etc/arbitrank|var/lib/arbitrank)\b", rf"{self.root}/\1", text)

    def take(self, name: str, rest: str) -> None:
        """Take one step."""
        if name in ("ARG", "ENV"):
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                value = value.replace("$PATH", self.variables["PATH"])
                self.variables.setdefault(key, value) if name == "ARG" else self.variables.update(
                    {key: self.inside(value)}
                )
        elif name == "WORKDIR":
            self.at = Path(self.inside(rest))
            self.at.mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not rest.startswith("--from"):
            source, target = rest.split()
            path = self.at / self.inside(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            skipped = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", ".*")
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, path, **({"ignore": skipped} if copy is shutil.copytree else {}))  # type: ignore[operator]
        elif name == "RUN" and not rest.startswith(("groupadd", "install -d")):
            done = self.run(self.inside(rest))
            assert done.returncode == 0, done.stderr
        else:
            self.final[name] = rest

    def run(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a shell."""
        return subprocess.run(
            self.inside(command),
            shell=True,
            cwd=self.at,
            env={**self._kept, **self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, command: list[str], **variables: str) -> subprocess.Popen[str]:
        """Start a command."""
        environment = {**self._kept, **self.variables, **variables}
        program = shutil.which(command[0], path=environment["PATH"])
        assert program
        return subprocess.Popen(
            [program, *command[1:]], cwd=self.at, env=environment, stderr=subprocess.PIPE, text=True
        )

    def files(self) -> dict[str, int]:
        """The files of the root with their times, without those of the volume."""
        volume = self.root / "var/lib/arbitrank"
        return {
            str(path): path.stat().st_mtime_ns
            for path in self.root.rglob("*")
            if path.is_file() and volume not in path.parents
        }


def test_the_compose_file_mounts_files_that_exist_and_names_versions() -> None:
    text = TEXTS[DEPLOY / "compose.yaml"]
    assert "NOT RUN BY CI" in text
    compose = yaml.safe_load(text)
    assert {"arbitrank", "nginx", "objects", "prometheus"} <= compose["services"].keys()
    for name, service in compose["services"].items():
        image = service["image"]
        assert "build" in service or re.search(r":[\w.-]*\d", image), f"{name}: {image} has no version"
        for mounted in service.get("volumes", ()):
            source = mounted.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], mounted
        for other in service.get("depends_on", ()):
            assert other in compose["services"]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to other machines"
        assert set(service["networks"]) <= compose["networks"].keys()
    assert compose["services"]["arbitrank"]["read_only"]
    proxy = compose["services"]["nginx"]["networks"]["inside"]["ipv4_address"]
    assert compose["services"]["arbitrank"]["environment"]["ARBITRANK_SERVE_FORWARDED_FROM"] == proxy


def test_the_kubernetes_manifest_is_confined_and_probes_what_exists() -> None:
    deployment, service, budget = yaml.safe_load_all(TEXTS[DEPLOY / "kubernetes.yaml"])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    user, group = dict(instructions())["USER"].split(":")
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (int(user), int(group))
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not pod["enableServiceLinks"]
    ports = {port["name"] for port in container["ports"]}
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz", "/healthz"]
    assert {probe["port"] for probe in probes} | {service["spec"]["ports"][0]["targetPort"]} <= ports
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == budget["spec"]["selector"]["matchLabels"] == labels


# ------------------------------------------------------------------------------------------------------------- machines


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units, whose programs are there."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in (DEPLOY / "systemd").glob("*.[st]*"):
        (tmp_path / path.name).write_text(re.sub(r"/opt/arbitrank/[\w./]+", str(program), TEXTS[path]))
    return tmp_path


def unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(TEXTS[DEPLOY / "systemd" / name])
    return parser


def test_the_unit_starts_reloads_and_stops_the_service() -> None:
    service = unit("arbitrank.service")["Service"]
    assert (service["Type"], service["ExecStart"]) == ("notify", "/opt/arbitrank/bin/arbitrank serve")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["TimeoutStopSec"]) > 30 + 10  # calls that have begun, and the drain of deploy/arbitrank.toml
    assert service["NoNewPrivileges"] == "yes"
    assert unit("arbitrank-backup.timer")["Timer"]["OnCalendar"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze: apt-get install systemd")
def test_systemd_takes_the_units_and_finds_the_service_confined(units: Path) -> None:
    paths = sorted(str(path) for path in units.glob("arbitrank*.[st][ei]*"))
    assert len(paths) == 3
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(units / "arbitrank.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:]  # of 100: exposure 2.0 or less


def test_nginx_keeps_connections_to_the_service_and_repeats_answers_alone() -> None:
    text = re.sub(r"#.*", "", TEXTS[DEPLOY / "nginx" / "nginx.conf"])
    assert text.count("{") == text.count("}")
    assert re.search(r"keepalive 64;.*proxy_http_version 1\.1;\s+proxy_set_header Connection \"\";", text, re.S)
    repeated, changes = re.findall(r"proxy_next_upstream ([^;]+);", text)
    assert (repeated, changes) == ("error timeout http_503 non_idempotent", "off")
    routes = {operation.path for operation in OPERATIONS}
    (names,) = re.findall(r"\^/v1/\(([\w|]+)\)\$", text)
    assert {f"/v1/{name}" for name in names.split("|")} <= routes


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], str]:
    """A program's path, by its name and Debian package, from which `--full` unpacks it where it is not there."""

    def found(name: str, package: str) -> str:
        if present := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
            return present
        if not request.config.getoption("--full"):
            pytest.skip(f"needs {name}: apt-get install {package}, or pytest --full")
        folder = tmp_path_factory.mktemp(package)
        for command in ("apt-get download {}", "dpkg -x {}_*.deb ."):
            done = subprocess.run(command.format(package), shell=True, cwd=folder, capture_output=True, check=False)
            if done.returncode:
                pytest.skip(f"needs {name}, and the package {package} cannot be had: {done.stderr.decode()[-200:]}")
        (path,) = folder.glob(f"usr/*bin/{name}")
        return str(path)

    return found


def nginx_configuration(folder: Path, port: int, *services: int) -> Path:
    """The configuration with services on ports of this machine, and its own files in a folder."""
    text = TEXTS[DEPLOY / "nginx" / "nginx.conf"]
    servers = "".join(f"server 127.0.0.1:{service} max_fails=0; " for service in services)
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = text.replace("http {", f"http {{ {kind}_temp_path {folder}/{kind};", 1)
    for old, new in (
        ("server arbitrank:8080 max_fails=0;", servers),
        ("/run/nginx.pid", f"{folder}/pid"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def test_nginx_takes_its_configuration(tmp_path: Path, program: Callable[[str, str], str]) -> None:
    nginx = program("nginx", "nginx")
    path = nginx_configuration(tmp_path, 8099, 8080)
    done = subprocess.run([nginx, "-t", "-c", path, "-p", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_rolling_restart_behind_nginx_loses_no_request(tmp_path: Path, program: Callable[[str, str], str]) -> None:
    """Eight clients with connections that stay open, while two services are restarted in turn."""
    nginx = program("nginx", "nginx")
    services = [started(tmp_path, 0), started(tmp_path, 0)]
    port = free_port()
    path = nginx_configuration(tmp_path, port, *(at for _, at in services))
    proxy = subprocess.Popen([nginx, "-c", path, "-p", tmp_path, "-g", "daemon off;"])
    ended = threading.Event()

    def client() -> Counter[int]:
        found: Counter[int] = Counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not ended.is_set():
            connection.request("POST", "/v1/rank", b'{"utterance": "play dune"}', {"content-type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            found[reply.status] += 1
        return found

    try:
        until(lambda: accepts(port))
        with ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client) for _ in range(8)]
            try:
                for number, (service, at) in enumerate(services):
                    service.send_signal(signal.SIGTERM)
                    assert service.wait(60) == 0
                    services[number] = started(tmp_path, at)
            finally:
                ended.set()
            answered: Counter[int] = sum((one.result() for one in clients), Counter())
        assert answered.keys() == {200}
    finally:
        for process in (proxy, *(service for service, _ in services)):
            process.terminate()
            process.wait(60)


def started(folder: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    """A service that answers, and its port."""
    program = shutil.which("arbitrank", path=get_path("scripts"))
    assert program
    service = subprocess.Popen(
        [program, "serve", "--port", str(port), "--store", folder / "store", "--drain", "1"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={key: value for key, value in os.environ.items() if not key.startswith("ARBITRANK_")},
    )
    assert service.stderr
    for event in map(json.loads, service.stderr):
        if event["event"] == "listening":
            port = int(event["at"].rpartition(":")[2])
        if event["event"] == "ready":
            break
    threading.Thread(target=service.stderr.read, daemon=True).start()  # so that it never waits for its reader
    return service, port


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_archive_of_the_store_is_verified_and_restored(tmp_path: Path) -> None:
    plugin = ROOT / "plugins" / "music" / "src" / "arbitrank_music" / "model"
    store = open_store(tmp_path / "store", environment={})
    published = store.publish(plugin, promote=True).version
    environment = {**os.environ, "PATH": f"{get_path('scripts')}:{os.environ['PATH']}"}
    command = ["sh", DEPLOY / "backup.sh", tmp_path / "store", tmp_path / "archives"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    archive = Path(done.stdout.strip())
    assert (archive.parent, archive.stat().st_mode & 0o777) == (tmp_path / "archives", 0o600)
    (tmp_path / "restored").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / "restored"], check=True)
    again = open_store(tmp_path / "restored", environment={})
    assert again.state("music")[1].stable == published
    assert again.stable("music")

    (tmp_path / "store" / "music" / published / "card.json").write_text("{}")  # damage is found, and no archive left
    archive.unlink()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAIL" in done.stderr
    assert list((tmp_path / "archives").iterdir()) == []


# -------------------------------------------------------------------------------------------------------------- metrics


def alerts() -> dict[str, dict[str, Any]]:
    """The alert rules by name."""
    (group,) = yaml.safe_load(TEXTS[DEPLOY / "prometheus" / "alerts.yml"])["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def queries() -> Iterator[tuple[str, str]]:
    """The queries of rules and dashboard, each with its place."""
    for name, rule in alerts().items():
        yield name, rule["expr"]
    for panel in json.loads(TEXTS[DEPLOY / "grafana" / "dashboard.json"])["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def series() -> dict[str, set[str]]:
    """The labels of every series that the service has, by its name in a query."""
    found = {}
    for metric in METRICS:
        labels = {*metric.labels, "job", "instance"} | (
            {"worker"} if metric.full_name.startswith("process_") else set()
        )
        names = [f"{metric.full_name}{end}" for end in ("_bucket", "_sum", "_count")]
        for name in names if metric.kind == "histogram" else [metric.full_name]:
            found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return found


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_is_promql_over_metrics_and_labels_that_the_service_has(where: str, query: str) -> None:
    promql_parser.parse(query)
    known = series()
    selectors = re.findall(r"\b((?:arbitrank|process)_\w+)(?:\{([^}]*)\})?", query)
    assert [name for name, _ in selectors if name not in known] == []
    assert selectors or query.startswith("up{")
    for name, matchers in selectors:
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= known[name]
        assert 'job="arbitrank"' in matchers
    every = set().union(*(known[name] for name, _ in selectors), {"job", "instance"})
    for grouped in re.findall(r"\b(?:by|ignoring) \(([^)]*)\)", query):
        assert {label.strip() for label in grouped.split(",")} <= every


def test_promtool_takes_the_rules(program: Callable[[str, str], str]) -> None:
    promtool = program("promtool", "prometheus")
    folder = DEPLOY / "prometheus"
    for command in (["rules", folder / "alerts.yml"], ["config", folder / "prometheus.yml"]):
        done = subprocess.run([promtool, "check", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


SERIES = {
    "ArbitrankDown": ["up{} 0x400"],
    "ArbitrankNotReady": ["arbitrank_ready{worker='1'} 0x400", "arbitrank_ready{worker='2'} 0x400"],
    "ArbitrankWorkerSilent": ["arbitrank_updated_timestamp_seconds{worker='1'} 0x400"],
    "ArbitrankWorkersEnd": ["arbitrank_worker_ends_total{} 0+1x400"],
    "ArbitrankErrors": ["arbitrank_calls_total{route='/v1/rank', status='200'} 0+90x400",
                        "arbitrank_calls_total{route='/v1/rank', status='500'} 0+10x400"],
    "ArbitrankSlow": ["arbitrank_call_seconds_bucket{route='/v1/rank', le='0.1'} 0+50x400",
                      "arbitrank_call_seconds_bucket{route='/v1/rank', le='0.2'} 0+100x400",
                      "arbitrank_call_seconds_bucket{route='/v1/rank', le='+Inf'} 0+100x400"],
    "ArbitrankShedding": ["arbitrank_shed_total{worker='1'} 0+10x400",
                          "arbitrank_calls_total{route='/v1/rank', status='200'} 0+90x400"],
    "ArbitrankRefusing": ["arbitrank_refused_total{status='401'} 0+50x400",
                          "arbitrank_calls_total{route='/v1/rank', status='401'} 0+90x400"],
    "ArbitrankStoreUnreachable": ["arbitrank_store_age_seconds{worker='1'} 100x400"],
    "ArbitrankVersionsDiffer": ["arbitrank_domain_info{domain='d', arm='stable', version='a'} 1x400",
                                "arbitrank_domain_info{domain='d', arm='stable', version='b'} 1x400"],
    "ArbitrankDomainDown": ["arbitrank_domain_up{worker='1', domain='d'} 0x400"],
    "ArbitrankDomainFailing": ["arbitrank_domain_failures_total{domain='d', arm='stable', kind='raised'} 0+10x400",
                               "arbitrank_domain_answers_total{domain='d', arm='stable'} 0+90x400"],
    "ArbitrankDomainSkipped": ["arbitrank_domain_breaker_open{worker='1', domain='d'} 1x400"],
    "ArbitrankCanaryFailing": ["arbitrank_domain_failures_total{domain='d', arm='canary', kind='late'} 0+10x400",
                               "arbitrank_domain_answers_total{domain='d', arm='canary'} 0+90x400"],
    "ArbitrankDecisionsShifted": ["arbitrank_answers_total{action='accept'} 0+90x200 18000+10x200",
                                  "arbitrank_answers_total{action='none'} 0+10x200 2000+90x200"],
    "ArbitrankWatchAlarm": ["arbitrank_watch_alarm{domain='d', kind='drift'} 1x400"],
    "ArbitrankWatchSilent": ["arbitrank_watch_timestamp_seconds{} 0x400"],
    "ArbitrankLogLost": ["arbitrank_log_lost_total{worker='1', why='failed'} 0+1x400"],
    "ArbitrankShadowLost": ["arbitrank_shadow_lost_total{worker='1', why='dropped'} 0+1x400"],
    "ArbitrankEventsLost": ["arbitrank_events_lost_total{worker='1'} 0+1x400"],
    "ArbitrankFilesOpen": ["process_open_fds{worker='1'} 90x400", "process_max_fds{worker='1'} 100x400"],
    "ArbitrankMemoryGrows": ["process_resident_memory_bytes{worker='1'} 10+10x400"],
}  # fmt: skip
"""Series by which each alert is raised."""

SLOW = {"ArbitrankDecisionsShifted": ("1h", "250h"), "ArbitrankMemoryGrows": ("1h", "30h")}
"""Alerts that compare with days before: the interval of their series, and when it is looked at."""


def test_each_alert_is_raised_by_the_series_that_it_is_for(program: Callable[[str, str], str], tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    assert list(SERIES) == list(alerts())
    tests: dict[str, list[dict[str, Any]]] = {"1m": [], "1h": []}
    for name, series in SERIES.items():
        interval, at = SLOW.get(name, ("1m", "120m"))
        inputs = []
        for one in series:
            selector, _, values = one.replace("{", "{job='arbitrank', instance='a', ").partition("} ")
            inputs.append({"series": f"{selector}}}".replace("'", '"'), "values": values})
        raised = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) > bool 0'
        expected = {"expr": raised, "eval_time": at, "exp_samples": [{"labels": "{}", "value": 1}]}
        tests[interval].append({"interval": interval, "input_series": inputs, "promql_expr_test": [expected]})
    rules = str(DEPLOY / "prometheus" / "alerts.yml")
    for interval, some in tests.items():
        path = tmp_path / "tests.yml"
        path.write_text(yaml.safe_dump({"rule_files": [rules], "evaluation_interval": interval, "tests": some}))
        done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_has_a_place_and_a_legend_for_every_panel() -> None:
    dashboard = json.loads(TEXTS[DEPLOY / "grafana" / "dashboard.json"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


# -------------------------------------------------------------------------------------------------------------- runbook


def test_the_runbook_has_every_alert() -> None:
    headings = re.findall(r"^## (Arbitrank\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.M)
    assert headings == list(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"docs/how-to/runbook.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_the_runbook_has_every_kind_of_problem_of_readyz() -> None:
    text = RUNBOOK.read_text(encoding="utf-8").partition("\n# Problems\n")[2]
    assert re.findall(r"^## (.+)$", text, re.M) == list(PROBLEMS)
