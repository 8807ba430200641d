"""Remote domains in what answers: joining, versions, status, readiness, and that nothing waits for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fakes
import msgspec
import pytest
from fake_remote import READING, STATED, Call, FakeRemote, domain_at, fake_remote, ranked, reply, usual
from msgspec.structs import replace
from services import Service
from test_serve_readiness import ANSWERS, state

from arbitrank.arbitration.arbitrator import Arbitrator
from arbitrank.arbitration.dispatch import Host, HostedModel, query_all
from arbitrank.arbitration.outcomes import Failed
from arbitrank.arbitration.recalibration import recalibration
from arbitrank.domain import Domain, Settings
from arbitrank.evaluate import plugins
from arbitrank.learn import files
from arbitrank.learn.rerankers import baseline
from arbitrank.live.live import Live
from arbitrank.live.remotes import RemoteStatus
from arbitrank.serve.readiness import problems
from arbitrank.store.artifact import Manifest, seal
from arbitrank.store.key_files import keygen
from arbitrank.store.loading import load_domains
from arbitrank.store.signing import Keys
from arbitrank.store.state import served_with
from arbitrank.store.store import Store, open_store
from arbitrank.values import Example, Hypothesis, Request, Truth

RAIN = Request(utterance="will it rain")


class Restating:
    """A remote whose version and title a test changes."""

    def __init__(self) -> None:
        self.version, self.title = "v1", "The weather"

    def __call__(self, call: Call) -> bytes:
        if call.method == "GET":
            return reply({**STATED, "version": self.version, "title": self.title})
        return ranked(call, version=self.version)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", environment={})


def followed(store: Store, **domains: Domain) -> Live:
    return Live(domains, store, poll=3_600.0, selftest=lambda folder, name: None)


def answered_by(live: Live) -> tuple[str | None, str | None]:
    """The version in the answer's list, and that in its report."""
    answer = live.answer(RAIN)
    return answer.ranked[0].version, answer.domains["weather"].version


def test_a_remote_that_is_down_at_the_start_joins_when_it_is_reached(store: Store) -> None:
    with fake_remote() as server:
        port = server.port
    with followed(store, weather=domain_at(server.url)) as live:
        reason = live.answer(RAIN).domains["weather"].reason
        assert reason == f"http://localhost:{port}: it cannot be reached: Connection refused"
        assert live.status().remotes == {"weather": RemoteStatus(server.url, True, reason)}
        with fake_remote(port=port):
            live.look()
            assert answered_by(live) == ("v1", "v1")
            assert live.answer(RAIN).domains["weather"].title == "The weather"
            assert live.status().remotes["weather"].problem is None
            assert live.status().domains["weather"].problem is None


def test_another_version_is_named_at_once_and_served_once_it_is_stated(store: Store) -> None:
    remote, lines = Restating(), list[str]()
    with fake_remote(remote) as server:
        live = Live({"weather": domain_at(server.url)}, store, poll=3_600.0, notify=lines.append)
        with live:
            assert answered_by(live) == ("v1", "v1")
            remote.version, remote.title = "v2", "Sun"
            assert answered_by(live) == ("v2", "v2")  # the remote's own word
            assert live.status().domains["weather"].version == "v1"
            live.look()
            assert live.status().domains["weather"].version == "v2"
            assert live.answer(RAIN).domains["weather"].title == "Sun"
            assert "weather: v2 (remote) answers" in lines
            server.close()
            live.look()
            assert "cannot be reached" in (live.status().remotes["weather"].problem or "")
            assert live.status().domains["weather"].version == "v2"  # which answers again where the remote does


def test_the_store_has_no_weights_of_a_remote_that_ranks(tmp_path: Path, store: Store) -> None:
    fakes.artifact(tmp_path / "one", "weather")
    store.publish(tmp_path / "one", promote=True)
    with fake_remote() as server, followed(store, weather=domain_at(server.url)) as live:
        assert answered_by(live) == ("v1", "v1")
        assert load_domains({"weather": domain_at(server.url)}, store)["weather"].version == "v1"  # type: ignore[union-attr]


def test_a_recalibration_is_the_operators_here_as_well(store: Store) -> None:
    number, before = store.state("weather")
    store.change("weather", "shrink", served_with(before, recalibration(0.5, 0.0)), number)
    with fake_remote() as server:
        with followed(store, weather=domain_at(server.url)) as live:
            answers = [live.answer(RAIN)]
        answers.append(Arbitrator(load_domains({"weather": domain_at(server.url)}, store)).answer(RAIN))
    assert [one.domains["weather"].shrunk for one in answers] == [2.0, 2.0]
    claims = [one.ranked[0].domain_probability for one in answers]
    assert claims == pytest.approx([0.75, 0.75])  # odds of 9 to 1, then of 3 to 1


def test_no_signature_of_a_remote_is_demanded(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    keygen(tmp_path / "keys" / "weather")
    signed = open_store(tmp_path / "store", Keys(tmp_path / "keys"), environment={})
    with fake_remote() as server, followed(signed, weather=domain_at(server.url)) as live:
        live.retry()
        assert answered_by(live) == ("v1", "v1")


def test_a_recogniser_is_ranked_by_the_weights_of_the_store(tmp_path: Path, store: Store) -> None:
    files.save(baseline("weather"), tmp_path / "one" / "reranker")
    (tmp_path / "one" / "card.json").write_text(json.dumps(fakes.CARD))
    made = seal(tmp_path / "one", Manifest(domain="weather", package="remote", package_version=""))
    with fake_remote(lambda call: reply({"hypotheses": [READING]})) as server:
        domain = domain_at(server.url, format="hypotheses")
        with followed(store, weather=domain) as live:
            assert "no weights" in (live.answer(RAIN).domains["weather"].reason or "")
            store.publish(tmp_path / "one", promote=True)
            live.look()
            assert answered_by(live) == (made.version, made.version)
            assert live.answer(RAIN).ranked[0].domain_probability == pytest.approx(0.9 * 0.8 * 0.5)
            assert live.status().remotes == {"weather": RemoteStatus(f"{server.url}", False)}


def test_remotes_are_asked_what_they_are_at_once(store: Store) -> None:
    """By a barrier: in turn, each would be late."""
    barrier = threading.Barrier(3, timeout=20)

    def answer(call: Call) -> bytes:
        barrier.wait()
        return reply({**STATED, "name": call.target.split("/")[1]})

    with fake_remote(answer) as server:
        domains = {name: domain_at(f"{server.url}/{name}", name) for name in ("a", "b", "c")}
        found = Arbitrator(load_domains(domains, store)).by_name
    assert sorted(found) == ["a", "b", "c"]


def test_it_is_measured_as_a_plugin_that_learns_nothing(tmp_path: Path) -> None:
    scaled = {**STATED, "scales": {"domain_confidence": "percent"}}
    reading = {**READING, "domain_confidence": 90}
    texts = [Example(Request(id="1", utterance="will it rain"), Truth("weather", "AskRain"))]
    read = [Example(replace(texts[0].request, hypotheses=(Hypothesis("weather", "AskRain", 0.9),)), texts[0].truth)]

    def answer(call: Call) -> bytes:
        return reply(scaled) if call.method == "GET" else ranked(call, **_recognised(call, reading))

    with fake_remote(answer) as server:
        for examples in (texts, read):
            failures: list[str] = []
            model = plugins._trained(domain_at(server.url), examples, tmp_path, Settings(), {})
            ((hypotheses, scores),) = plugins._query("weather", model, examples, failures)
            assert failures == []
            assert [h.domain_confidence for h in hypotheses] == [0.9]
            assert scores is not None
            assert scores.mine == 0.9


def _recognised(call: Call, reading: dict[str, Any]) -> dict[str, Any]:
    return {} if "hypotheses" in call.body else {"hypotheses": [reading]}


# ------------------------------------------------------------------------------------------- what waits for whom


class Exclusive(Host):
    """Host that other requests wait for, as the workers of isolated domains are."""

    ready = True

    def __init__(self, events: list[str]) -> None:
        self.events = events

    def begin(
        self, models: Mapping[str, HostedModel], request: Request, given: Any, explain: bool, began: float
    ) -> Any:
        self.events.append("begun")
        return lambda: self.events.append("released") or dict.fromkeys(models, Failed("", 0.0))


def test_workers_are_released_before_a_remote_is_waited_for() -> None:
    events: list[str] = []

    def answer(call: Call) -> bytes:
        if call.method == "POST":
            assert_released.wait(20)
            events.append("replied")
        return usual(call)

    assert_released = threading.Event()

    class Noting(Exclusive):
        def begin(self, *call: Any) -> Any:
            finish = super().begin(*call)

            def finished() -> Any:
                found = finish()
                assert_released.set()
                return found

            return finished

    with fake_remote(answer) as server:
        domain = domain_at(server.url, deadline_ms=20_000)
        domain.look()()
        remote: Any = domain.serving({}).model
        query_all({"weather": remote, "other": HostedModel("other", Noting(events), 1)}, RAIN)
    assert events == ["begun", "released", "replied"]


# --------------------------------------------------------------------------------------------------- readiness


def kinds(live: dict[str, Any], remotes: dict[str, RemoteStatus], **settings: Any) -> Sequence[str]:
    worker = state(live, **settings)
    status = msgspec.structs.replace(worker.live.status(), remotes=remotes)
    worker.live.status = lambda: status
    return [problem.kind for problem in problems(worker)]


def test_a_remote_that_is_not_reached_does_not_unready_a_service() -> None:
    down = {"weather": RemoteStatus("https://weather.example", True, "https://weather.example: it cannot be reached")}
    silent = msgspec.structs.replace(ANSWERS, version=None, problem="it cannot be reached")
    assert kinds({"lights": ANSWERS, "weather": silent}, down) == ["remote"]
    assert kinds({"lights": ANSWERS, "weather": ANSWERS}, down) == ["remote"]
    assert kinds({"weather": silent}, down) == ["no-domain", "remote"]
    assert kinds({"lights": ANSWERS, "weather": silent}, down, require=("weather",)) == ["required", "remote"]


# ------------------------------------------------------------------------------------------- commands and service


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[tuple[FakeRemote, str]]:
    with fake_remote() as server:
        (tmp_path / "remote.toml").write_text(f'[domains.weather]\nurl = "{server.url}/base"\n')
        yield server, str(tmp_path / "remote.toml")


def test_ask_rank_and_domains_query_it(arbitrank: Any, configuration: tuple[FakeRemote, str]) -> None:
    server, file = configuration
    variables = {"ARBITRANK_DOMAINS": "weather"}
    rows = json.loads(arbitrank("domains", "--json", "--config", file, **variables).stdout)
    (row,) = [row for row in rows if row["status"] != "disabled"]
    assert (row["status"], row["package"], row["version"], row["weights"]) == ("loaded", "remote", "v1", "remote")
    assert (row["url"], row["title"]) == (f"{server.url}/base", "The weather")
    answer = json.loads(arbitrank("ask", "will it rain", "--json", "--config", file, **variables).stdout)
    assert (answer["ranked"][0]["intent"], answer["ranked"][0]["version"]) == ("AskRain", "v1")
    line = json.dumps({"hypotheses": [READING, {**READING, "intent": "AskSnow"}]})
    ranked_line = arbitrank("rank", input=line, ARBITRANK_CONFIG=file, **variables).stdout
    assert json.loads(ranked_line)["domains"]["weather"]["version"] == "v1"
    assert [one["intent"] for one in server.calls[-1].body["hypotheses"]] == ["AskRain", "AskSnow"]


def test_check_says_what_is_broken_or_that_nothing_is(arbitrank: Any, configuration: tuple[FakeRemote, str]) -> None:
    server, file = configuration
    found = arbitrank("check", "weather", ARBITRANK_CONFIG=file)
    assert (found.returncode, found.stdout) == (0, "weather: 2 checks, 0 broken, 0 findings, 0 warnings\n")
    server.answer = lambda call: ranked(call, mine=2.0) if call.method == "POST" else usual(call)
    found = arbitrank("check", "weather", ARBITRANK_CONFIG=file)
    assert found.returncode == 1
    assert "keeps_the_contract" in found.stdout
    assert "mine is 2.0, expected a number in [0, 1]" in found.stdout


def test_training_leaves_it_out_or_says_where_its_weights_are(
    arbitrank: Any, configuration: tuple[FakeRemote, str]
) -> None:
    server, file = configuration
    found = arbitrank("train", "weather", "--config", file, ARBITRANK_DOMAINS="weather")
    assert found.returncode == 2
    assert f"its weights are at {server.url}/base; train them there" in found.stderr
    found = arbitrank("train", "--config", file, ARBITRANK_DOMAINS="weather")
    assert "no domain to train" in found.stderr


def test_a_service_answers_six_slow_calls_at_once(lights_site: Path, tmp_path: Path) -> None:
    """By a barrier that six calls pass together, as those of six clients."""
    barrier = threading.Barrier(6, timeout=60)

    def answer(call: Call) -> bytes:
        if call.method == "POST":
            barrier.wait()
        return usual(call)

    with fake_remote(answer) as server:
        (tmp_path / "arbitrank.toml").write_text(f'[domains.weather]\nurl = "{server.url}"\ndeadline_ms = 60000\n')
        variables = {"ARBITRANK_DOMAINS": "weather", "ARBITRANK_CONFIG": str(tmp_path / "arbitrank.toml")}
        with Service(lights_site, tmp_path / "store", "--workers", "1", **variables) as service:
            found: list[Any] = []
            body = {"utterance": "will it rain"}
            threads = [threading.Thread(target=lambda: found.append(service.rank(body))) for _ in range(6)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            _, rows, _ = service.call("GET", "/v1/domains")
    assert [one[1]["domains"]["weather"]["status"] for one in found] == ["answered"] * 6
    assert {row["name"]: row["url"] for row in rows if row["status"] == "loaded"} == {"weather": server.url}
