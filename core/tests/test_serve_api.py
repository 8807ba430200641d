"""The service conforms to its OpenAPI document, and no body or bytes cause a 500 or stop it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fakes
import pytest
import schemathesis
import services
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from arbitrank.serve import openapi
from arbitrank.serve.auth import make_token
from arbitrank.store.store import open_store

# Data drawn from a schema are as large as the schema, and drawing them may be slow.
CALM = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example)


TOKEN, GRANT = make_token("tester", ["admin"])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, lights_site: Path) -> Iterator[services.Service]:
    """A service of two domains with an administrator's token."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "tokens").write_text(f"{GRANT}\n")
    for name in ("lights", "shades"):
        fakes.artifact(folder / name, name, fakes.CARD)
        open_store(folder / "store", environment={}).publish(folder / name, promote=True)
    with services.Service(lights_site, folder / "store", "--tokens", str(folder / "tokens")) as one:
        yield one


def memory(service: services.Service) -> int:
    """Resident bytes of the service's worker."""
    status = Path(f"/proc/{service.worker}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


DESCRIBED = schemathesis.openapi.from_dict(openapi.description())


def calls() -> list[str]:
    return [one.ok().label for one in DESCRIBED.get_all_operations()]


@pytest.mark.full
@pytest.mark.parametrize("label", calls())
def test_every_operation_conforms_to_the_document(service: services.Service, scale: float, label: str) -> None:
    operation = next(one.ok() for one in DESCRIBED.get_all_operations() if one.ok().label == label)
    modes = list(schemathesis.GenerationMode)
    most = {"promote": 80, "impact": 10}.get(label.rpartition("/")[2], 200)  # these start a process each

    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes)))
    @settings(max_examples=round(most * scale), deadline=None, suppress_health_check=CALM, derandomize=True)
    def tried(case: schemathesis.Case) -> None:
        case.headers["Authorization"] = f"Bearer {TOKEN}"
        # Longer than schemathesis waits: a judgement gives way to whatever else the machine does.
        response = case.call(base_url=f"http://127.0.0.1:{service.port}", timeout=60.0)
        # The token comes with the case, not with the schema; a version that does not exist is well-formed; and too
        # large a body is refused as such, whatever is wrong with it besides. Unknown keys are ignored, but for those
        # that are like a field's name: those are refused, which no schema can say.
        excluded = [schemathesis.checks.ignored_auth]
        if label.endswith(("/promote", "/impact")) or b"unknown key, expected" in response.content:
            excluded.append(positive_data_acceptance)
        if response.status_code == 413:
            excluded.append(negative_data_rejection)
        case.validate_response(response, excluded_checks=excluded)

    tried()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)
FIELDS = ["id", "utterance", "context", "hypotheses", "session", "account", "dialogue", "domain", "intent", "slots",
          "domain_confidence", "features", "name", "value", "truth", "outcome", "share", "version", "preference.lights",
          "reason", "force"]  # fmt: skip
nearly = st.recursive(
    json_values | st.sampled_from(["lights", 0.5, 1e308, -0.0, 10**30, "\ud800", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=30,
)
bodies = st.one_of(
    nearly.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.binary(max_size=200),
    st.text(alphabet='{}[]",:0123456789.eE+-\\untrfalse \n', max_size=80).map(str.encode),
)
PATHS = ["/v1/rank", "/v1/feedback", "/v1/domains/lights/canary", "/v1/domains/lights/rollback"]


@pytest.mark.full
def test_no_body_brings_the_service_down(service: services.Service, scale: float) -> None:
    connection: list[socket.socket] = []
    before = 0
    seen = 0

    @given(st.sampled_from([*PATHS, "/v1/rank", "/v1/rank"]), bodies)
    @settings(max_examples=100_000 if scale == 1.0 else 500, deadline=None, suppress_health_check=CALM)
    def tried(path: str, body: bytes) -> None:
        nonlocal seen, before
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nauthorization: Bearer {TOKEN}"
        raw = head.encode() + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        if not connection:
            connection.append(service.connect())
        connection[0].sendall(raw)
        status, answer = services.answer_on(connection[0])
        assert status in (200, 400, 404, 409, 413, 422), (path, body, status)
        assert status == 200 or list(json.loads(answer)) == ["error"]
        seen += 1
        if seen == 300:
            before = memory(service)

    tried()
    connection[0].close()
    assert service.rank({"utterance": "more light"}, token=TOKEN)[0] == 200
    assert memory(service) - before < 16 << 20
    assert not [line for line in service.lines if line["event"] == "internal error"]


pieces = st.sampled_from([
    b"POST /v1/rank HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n", b"POST ", b"HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n", b"\n",
    b"host: a\r\n", b"content-length: 5\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n",
    b"0\r\n\r\n", b"content-type: application/json\r\n", b"connection: close\r\n", b"expect: 100-continue\r\n",
    b"5\r\nhello\r\n",
    b"{}", b"\0", b"\xff", b"x" * 5000, b"upgrade: h2c\r\nconnection: upgrade\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"authorization: Bearer x\r\n", b"GET http:// HTTP/1.1\r\n", b"GET /\xe4 HTTP/1.0\r\n", b"CONNECT a:1 HTTP/1.1\r\n",
])  # fmt: skip


@pytest.mark.full
def test_no_bytes_bring_the_service_down(service: services.Service, scale: float) -> None:
    @given(st.lists(pieces | st.binary(max_size=20), max_size=12).map(b"".join))
    @settings(max_examples=20_000 if scale == 1.0 else 500, deadline=None, suppress_health_check=CALM)
    def tried(raw: bytes) -> None:
        with service.connect() as connection, suppress(ConnectionError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            received = b""
            with suppress(TimeoutError):
                while got := connection.recv(1 << 16):
                    received += got
            assert b"HTTP/1.1 500" not in received

    tried()
    assert service.rank({"utterance": "more light"}, token=TOKEN)[0] == 200
    assert not [line for line in service.lines if line["event"] == "internal error"]
    page = service.call("GET", "/metrics", token=TOKEN)[1]
    assert f'arbitrank_pending{{worker="{service.worker}"}} 0.0' in page
