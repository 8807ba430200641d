"""`impact`, `audit-set`, `promote` and `shrink`, as an operator calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
from distributions import install, serving
from msgspec.structs import replace

from arbitrank.cli.impact import exchanged
from arbitrank.store.artifact import read_manifest
from arbitrank.store.store import Store, open_store


def artifact(folder: Path, domain: str, strength: float) -> Path:
    fakes.artifact(folder, domain, fakes.CARD, strength=strength, does="raise" if strength > 90 else "")
    return folder


@pytest.fixture
def fruit(site: Path, tmp_path: Path, arbitrank) -> tuple[Store, Callable[..., Any]]:
    """A store in which two honest domains serve, and the command that sees them."""
    install(site, "arbitrank-fruit", serving("apples", "pears"))
    store = open_store(tmp_path / "store", environment={})
    for name in ("apples", "pears"):
        store.publish(artifact(tmp_path / "made" / name, name, 1.0), promote=True)

    def run(*args: str) -> Any:
        names = "fruit,apples,pears"
        return arbitrank(*args, ARBITRANK_STORE=str(store), PYTHONPATH=str(site), ARBITRANK_DOMAINS=names)

    return store, run


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    """Requests of which apples and pears each say truly how probable it is that they own it."""
    rows = []
    for i in range(2_000):
        p = (0.1, 0.3, 0.6, 0.8, 0.9)[i % 5]
        owner = "apples" if (i // 5) % 20 < 20 * p else "pears"
        hypotheses = [
            {"domain": "apples", "intent": "Eat", "domain_confidence": p},
            {"domain": "pears", "intent": "Eat", "domain_confidence": 1.0 - p + (0.02 if p == 0.6 else 0.0)},
        ]
        row = {"id": str(i), "utterance": f"fruit {i}", "hypotheses": hypotheses}
        rows.append({**row, "truth": {"domain": owner, "intent": "Eat"}})
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_without_an_audit_set_it_reports_that_nothing_was_audited(fruit, tmp_path: Path) -> None:
    store, run = fruit
    version = store.publish(artifact(tmp_path / "new", "apples", 1.1)).version
    done = run("promote", "apples")
    assert done.returncode == 0, done.stderr
    assert "nothing was audited: no audit set in" in done.stdout
    assert "run: arbitrank audit-set FILE" in done.stdout
    assert store.state("apples")[1].stable == version


def test_an_over_claimer_is_refused_forced_in_and_shrunk(fruit, requests: Path, tmp_path: Path) -> None:
    store, run = fruit
    assert "2000 requests, 4000 hypotheses; owned by apples" in run("audit-set", str(requests)).stdout
    greedy = store.publish(artifact(tmp_path / "new", "apples", 3.0)).version
    number, before = store.state("apples")

    done = run("promote", "apples")
    assert done.returncode == 1, done.stderr
    assert "the gate refuses: it is worse calibrated than its card" in done.stdout
    assert f"arbitrank promote apples {greedy} --force --reason TEXT" in done.stdout
    assert store.state("apples") == (number, before)

    done = run("promote", "apples", "--force")
    assert (done.returncode, store.state("apples")) == (2, (number, before))
    assert "--force: no --reason" in done.stderr

    done = run("promote", "apples", "--force", "--reason", "the fair is today")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("run: arbitrank shrink apples")
    forced = store.history("apples")[-1]
    assert (forced.state.stable, forced.forced) == (greedy, True)
    assert forced.reason == "the fair is today"
    assert isinstance(forced.overrode, tuple)
    assert "worse calibrated than its card" in forced.overrode[0]
    listed = run("history", "apples").stdout
    assert "promote (forced)" in listed
    assert listed.rstrip().endswith("; the fair is today")
    assert f"; overrode: {forced.overrode[0]}" in listed

    done = run("shrink", "apples")
    assert done.returncode == 0, done.stderr
    temperature = store.state("apples")[1].temperature
    assert temperature == pytest.approx(3.0, rel=0.25)
    assert store.history("apples")[-1].verb == "shrink"
    (row,) = (row for row in json.loads(run("domains", "--json").stdout) if row["name"] == "apples")
    assert row["shrunk"] == temperature
    assert f"shrunk by {temperature:.2f}" in " ".join(run("domains").stdout.split())

    honest = store.publish(artifact(tmp_path / "next", "apples", 1.02)).version
    done = run("promote", "apples")
    assert done.returncode == 0, done.stdout
    assert f"the gate lets apples {honest} pass: IRER" in done.stdout
    assert store.state("apples")[1].temperature == 1.0


def test_a_shrunk_domain_has_its_temperature_in_answers(fruit, arbitrank, site: Path) -> None:
    store, run = fruit
    assert run("shrink", "apples", "--temperature", "2").returncode == 0
    done = arbitrank(
        "rank",
        input='{"hypotheses": [{"domain": "apples", "intent": "Eat", "domain_confidence": 0.8}]}',
        ARBITRANK_STORE=str(store),
        PYTHONPATH=str(site),
        ARBITRANK_DOMAINS="fruit,apples,pears",
    )
    answer = json.loads(done.stdout)
    assert answer["domains"]["apples"]["shrunk"] == 2.0
    assert answer["ranked"][0]["domain_probability"] == pytest.approx(2 / 3)  # 4 to 1, and of that the root
    assert run("shrink", "apples", "--off").returncode == 0
    assert store.state("apples")[1].temperature == 1.0


def test_a_recalibration_that_raises_the_ece_of_missed_requests_is_refused(fruit, tmp_path: Path) -> None:
    store, run = fruit
    rows = []
    for i in range(60):  # two of three of its own it claims surely, one it hardly claims, with five readings
        missed = i % 3 == 0
        intents = ("Eat", "Buy", "Pick", "Peel", "Press") if missed else ("Eat",)
        claim = {"domain": "apples", "domain_confidence": 0.0001 if missed else 0.999}
        hypotheses = [{**claim, "intent": intent} for intent in intents]
        truth = {"domain": "apples", "intent": "Eat"}
        rows.append({"id": str(i), "utterance": f"fruit {i}", "hypotheses": hypotheses, "truth": truth})
    path = tmp_path / "missed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("shrink", "apples", "--on", str(path))
    assert done.returncode == 1, done.stderr
    assert "not shrunk: with it the ECE is greater" in done.stdout
    assert store.history("apples")[-1].verb != "shrink"
    done = run("shrink", "apples", "--on", str(path), "--force")
    assert done.returncode == 0, done.stderr
    assert store.history("apples")[-1].verb == "shrink"


def test_an_over_claimer_is_promoted_with_the_recalibration_that_makes_it_pass(
    fruit, requests: Path, tmp_path: Path
) -> None:
    store, run = fruit
    store.set_audit_set(requests)
    greedy = store.publish(artifact(tmp_path / "new", "apples", 3.0)).version
    assert f"arbitrank promote apples {greedy} --recalibrate" in run("promote", "apples").stdout
    done = run("promote", "apples", "--recalibrate")
    assert done.returncode == 0, done.stdout
    assert f"the gate lets apples {greedy} pass: IRER" in done.stdout
    _, state = store.state("apples")
    assert (state.stable, store.history("apples")[-1].forced) == (greedy, False)
    assert state.served_by.scale == pytest.approx(1 / 3, rel=0.25)
    predecessor = store.history("apples")[-2].state.stable
    done = run("impact", "apples", "--on", str(requests), "--json")  # what serves, recalibrated
    assert f"no candidate: judging {greedy}, which serves, beside its predecessor {predecessor}" in done.stderr
    shown = json.loads(done.stdout)
    assert (shown["before"], shown["after"], shown["n"]) == (predecessor, greedy, 2_000)
    assert shown["claims"]["after"]["ece"] < 0.05
    number, state = store.state("apples")
    store.change("apples", "promote", replace(state, previous=None), number)
    done = run("impact", "apples", "--on", str(requests), "--json")
    assert f"judging {greedy}, which serves, beside R0, as no version served before it" in done.stderr
    assert json.loads(done.stdout)["before"] == "r0"


def test_before_the_first_promotion_the_packages_weights_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights published are no others, and damaged ones cannot be compared with."""
    store = open_store(tmp_path / "store", environment={})
    shipped = artifact(tmp_path / "shipped", "apples", 1.0)
    domains = {"apples": fakes.FakeDomain("apples", shipped)}
    package = read_manifest(shipped).version

    def beside() -> Any:
        _, before, _ = exchanged(store, domains, "apples", None, "stable")
        return before, capsys.readouterr().err.partition("which serves, beside ")[2].strip()

    r0 = "r0", "R0, as no version served before it"
    store.publish(shipped, promote=True)
    assert beside() == r0
    store.rollback("apples", to_package=True)
    assert beside() == r0
    first = store.publish(artifact(tmp_path / "first", "apples", 1.1), promote=True).version
    number, state = store.state("apples")
    store.change("apples", "promote", replace(state, previous=None), number)
    folder, text = beside()
    assert (read_manifest(folder).version, text) == (package, f"the package's {package}")
    store.publish(artifact(tmp_path / "second", "apples", 1.2), promote=True)
    assert beside()[1] == f"its predecessor {first}"


def test_one_that_fails_its_self_test_is_refused_with_or_without_an_audit_set(
    fruit, requests: Path, tmp_path: Path
) -> None:
    store, run = fruit
    store.publish(artifact(tmp_path / "new", "apples", 99.0))
    for _ in range(2):
        done = run("promote", "apples")
        assert done.returncode == 1
        assert "its self-test failed" in done.stdout
        assert "RuntimeError: out of order" in done.stdout
        store.set_audit_set(requests)


def test_the_limits_are_the_operators(fruit, requests: Path, tmp_path: Path) -> None:
    store, run = fruit
    store.set_audit_set(requests)
    store.publish(artifact(tmp_path / "new", "apples", 1.6))
    lenient = ("--tolerance", "50", "--max-ece", "100", "--max-temperature", "10")
    assert run("promote", "apples").returncode == 1
    assert "card" in run("promote", "apples", *lenient).stdout  # the card's word is not the operator's to bend


def test_the_report_as_text_json_and_a_page(fruit, requests: Path, tmp_path: Path) -> None:
    store, run = fruit
    version = store.publish(artifact(tmp_path / "new", "apples", 3.0)).version
    out = tmp_path / "out"
    done = run("impact", "apples", "--on", str(requests), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "the gate would refuse" in done.stdout
    assert {path.name for path in out.iterdir()} == {"impact.json", "impact.html"}
    shown = json.loads(run("impact", "apples", "--candidate", version, "--on", str(requests), "--json").stdout)
    assert shown == json.loads((out / "impact.json").read_text())
    assert (shown["domain"], shown["after"], shown["n"]) == ("apples", version, 2_000)
    by_path = run(
        "impact", "apples", "--candidate", str(tmp_path / "new"), "--on", str(requests), "--json", "--jobs", "2"
    )
    assert json.loads(by_path.stdout) == shown
    same = json.loads(
        run("impact", "apples", "--candidate", "stable", "--on", str(requests), "--against", version, "--json").stdout
    )
    assert (same["before"], same["flips"]) == (version, shown["flips"])


def test_of_requests_without_a_truth_the_gate_reports_that_it_cannot_judge(
    fruit, requests: Path, tmp_path: Path
) -> None:
    _, run = fruit
    rows = [json.loads(line) for line in requests.read_text().splitlines()[:20]]
    log, empty, out = tmp_path / "log.jsonl", tmp_path / "empty.jsonl", tmp_path / "out"
    log.write_text("".join(json.dumps({**row, "truth": None}) + "\n" for row in rows))
    empty.write_text("")
    for path in (log, empty):
        done = run("impact", "apples", "--candidate", "stable", "--on", str(path), "--out", str(out))
        assert (done.returncode, "would let it pass" in done.stdout) == (0, False), done.stderr
        assert "the gate would have nothing to judge by: no request has a truth" in done.stdout
        assert "The gate has nothing to judge by" in (out / "impact.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("impact", "apples"), "no --on, and no audit set in"),
        (("impact", "apples", "--on", "FILE", "--candidate", "candidate"), "apples: no candidate in"),
        (("impact", "apples", "--on", "FILE", "--since", "2d"), "has a time, expected a log"),
        (("impact", "apples", "--on", "FILE", "--since", "2 days"), "--since: '2 days' is no date"),
        (("impact", "plums", "--on", "FILE", "--candidate", "ARTIFACT"), "domain 'plums' is not loaded"),
        (("impact", "apples", "--on", "nothing.jsonl", "--candidate", "stable"), "nothing.jsonl: cannot be read"),
        (("impact", "apples", "--on", "FILE", "--candidate", "v2"), "expected 12 hexadecimal digits"),
        (
            ("impact", "apples", "--on", "FILE", "--candidate", "ARTIFACT", "--out", "FILE"),
            "cannot be created: File exists; expected a folder",
        ),
        (("shrink", "apples"), "no --on, and no audit set in"),
        (("shrink", "apples", "--off", "--temperature", "2"), "--temperature and --off: expected one of them"),
        (("shrink", "apples", "--temperature", "0.5"), "is not in the range 1<=x<=1000"),
        (("shrink", "plums", "--off"), "domain 'plums' is neither installed nor in"),
        (("audit-set", "nothing.jsonl"), "nothing.jsonl: cannot be read"),
        (("promote", "apples"), "apples: no candidate in"),
    ],
    ids=str,
)
def test_a_wrong_call_is_explained(
    fruit, requests: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    _, run = fruit
    named = {"FILE": str(requests), "ARTIFACT": str(tmp_path / "made" / "apples")}
    done = run(*(named.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_audit_set_holds_sound_lines_alone(fruit, tmp_path: Path) -> None:
    store, run = fruit
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"hypotheses": [], "truth": {"domain": "apples"}}\n'
        '{"hypotheses": []}\n{"truth": {"domain": "apples"}}\n{"utterance": 1}\n'
    )
    done = run("audit-set", str(path))
    assert done.returncode == 2
    faults = [line.split(": ", 2)[1:] for line in done.stderr.splitlines()[:3]]
    assert faults[0] == [f"{path}:2", "truth: missing, expected the true domain, intent and slots"]
    assert faults[1][0] == f"{path}:3"
    assert faults[1][1].startswith("neither utterance nor hypotheses; expected")
    assert faults[2] == [f"{path}:4", "utterance: 1 is invalid, expected a text"]
    assert "3 invalid lines; nothing was set" in done.stderr
    path.write_text("")
    assert "no request; nothing was set" in run("audit-set", str(path)).stderr
    assert store.audit_set() is None
    assert "no audit set in" in run("audit-set").stdout
    path.write_text('{"utterance": "x", "truth": {"domain": "apples"}}\n')
    done = run("audit-set", str(path))
    assert "1 requests bring no hypotheses" in done.stdout
    assert "no request belongs to pears" in done.stdout
    assert "hardly anything by 1 requests, expected 20 at least" in done.stderr
    assert store.audit_set()
    path.write_text('{"utterance": "x", "truth": {"domain": "apples"}}\n' * 30)
    assert not run("audit-set", str(path)).stderr
    path.write_text('{"utterance": "x", "truth": {"domain": "apples"}}\n' * 25)
    assert "the audit set of before had more requests: 30;" in run("audit-set", str(path)).stderr
