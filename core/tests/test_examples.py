"""`arbitrank examples`: a domain's examples as a corpus, drawn by a seed where they come from patterns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from careless import careless
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from negative_sets import install_set, line, only

from arbitrank.cli.main import cli
from arbitrank.domain import Domain
from arbitrank.errors import InputError, PluginError
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.nlu.drawing import drawing
from arbitrank.nlu.patterns import generate
from arbitrank.registry import Loaded, Source
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth
from arbitrank.wire.example_lines import example_line
from arbitrank.wire.requests import decode_example

PATTERNS = """
[own.TurnOn]
count = 60
patterns = ["(turn|switch) on the {room} (lamp|light)", "light the {room} [please]"]

[own.TurnOff]
count = 20
patterns = ["(turn|switch) off the {room} (lamp|light)"]

[none.weather]
count = 20
patterns = ["will it (rain|snow) in the {=room} [(today|tomorrow)]"]
"""
ROOMS = [f"room {i}" for i in range(40)]


class Lamps(ReferenceDomain):
    name = "lamps"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def examples(self) -> Iterable[Example]:
        yield from generate(self.folder, self.name)


@pytest.fixture
def lamps(tmp_path: Path) -> Domain:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "patterns.toml").write_text(PATTERNS, encoding="utf-8")
    (folder / "lists.toml").write_text(f"room = {json.dumps(ROOMS)}", encoding="utf-8")
    return Lamps(folder)


Printed = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Printed:
    """The lines that the command writes for a domain, its remarks in `notes`. Raises what the command raises."""

    def call(domain: Domain, *arguments: str, notes: list[str] | None = None) -> list[dict[str, Any]]:
        found = [Loaded(domain.name, Source(domain.name, f"arbitrank-{domain.name}", "1"), domain)]
        monkeypatch.setattr("arbitrank.cli.examples.discover", lambda: found)
        out = tmp_path / "out.jsonl"
        out.unlink(missing_ok=True)
        result = CliRunner().invoke(cli, ["examples", domain.name, "--out", str(out), *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        if notes is not None:
            notes += result.stderr.splitlines()
        return list(map(json.loads, out.read_text(encoding="utf-8").splitlines()))

    return call


def test_without_options_the_lines_are_the_domains_examples(lamps: Domain, printed: Printed) -> None:
    lines = printed(lamps)
    assert [decode_example(json.dumps(line)) for line in lines] == list(lamps.examples())
    assert lines[0].keys() >= {"id", "text", "domain", "intent", "slots"}
    assert lines[-1] == {"id": "lamps-none-weather-19", "text": lines[-1]["text"], "domain": None, "kind": "weather"}


def test_the_same_seed_gives_the_same_lines_and_another_seed_others(lamps: Domain, printed: Printed) -> None:
    first, again, other = (printed(lamps, "--seed", seed, "-n", "30") for seed in ("5", "5", "6"))
    assert first == again
    assert {line["text"] for line in first} != {line["text"] for line in other}
    assert len(first) == len(other) == 30


@pytest.mark.parametrize("count", [1, 7, 100, 150])
def test_as_many_are_drawn_as_are_wanted_each_section_its_share(lamps: Domain, printed: Printed, count: int) -> None:
    lines = printed(lamps, "-n", str(count))
    assert len(lines) == count
    if count >= 100:
        assert sum(line.get("intent") == "TurnOn" for line in lines) == 0.6 * count


def test_patterns_that_yield_less_are_said(lamps: Domain, printed: Printed) -> None:
    notes: list[str] = []
    lines = printed(lamps, "-n", "5000", notes=notes)
    assert 150 < len(lines) < 700
    assert notes == [f"arbitrank: domain lamps: {len(lines)} examples, of 5,000 requested: the patterns yield no more"]


def test_of_a_domain_without_patterns_the_seed_chooses_examples(printed: Printed) -> None:
    notes: list[str] = []
    first, other = (printed(careless(), "-n", "20", "--seed", seed, notes=notes) for seed in "12")
    assert len(first) == len(other) == 20
    assert first != other
    assert notes == []
    assert len(printed(careless(), "-n", "999", notes=notes)) == 180
    assert notes == ["arbitrank: domain zoo: 180 examples, of 999 requested: it has no more"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda self: 1 / 0, "domain zoo: examples() raised ZeroDivisionError"),
        (lambda self: None, "domain zoo: examples() returned None, expected an iterable of Example"),
        (lambda self: [5], "domain zoo: examples() gave the int 5 as example 0, expected an Example"),
        (lambda self: [], "domain zoo: examples() returned no example"),
    ],
)
def test_an_error_of_the_plugins_examples_is_said_by_name(printed: Printed, given: Any, reason: str) -> None:
    with pytest.raises((PluginError, InputError), match="domain zoo: ") as raised:
        printed(careless(examples=given))
    assert reason in str(raised.value)


def test_nothing_is_overwritten_and_an_unknown_domain_is_refused(printed: Printed, tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is there already, and nothing is overwritten"):
        printed(careless(), "--out", str(there))
    assert there.read_text(encoding="utf-8") == "mine"
    assert isinstance(CliRunner().invoke(cli, ["examples", "nowhere"]).exception, InputError)


def test_the_shared_negatives_that_suit_the_domain(
    lamps: Domain, printed: Printed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = only(monkeypatch, tmp_path / "site")
    with pytest.raises(InputError, match="no shared negatives are installed; run: pip install arbitrank-negatives"):
        printed(lamps, "--negatives")
    own = next(iter(lamps.examples())).request.utterance or ""
    install_set(site, "acme-negatives", [line("what now", topic="chat"), line(own), line("on", topic="lamps")])
    assert [one["text"] for one in printed(lamps, "--negatives")] == ["what now"]


texts = st.text("abc äß", min_size=1, max_size=9).filter(str.strip)
slots = st.builds(Slot, texts, texts)
truths = st.one_of(
    st.builds(Truth, st.none()),
    st.builds(Truth, texts, texts, st.tuples(slots)),
    st.builds(Truth, texts, texts, also=st.tuples(st.builds(Truth, texts, texts))),
    st.builds(lambda name, other, intent: Truth(name, intent, domains=(name, other)), texts, texts, texts),
)
requests = st.builds(
    Request,
    id=st.none() | texts,
    utterance=texts,
    context=st.dictionaries(texts, st.booleans() | texts, max_size=2),
    hypotheses=st.none() | st.tuples(st.builds(Hypothesis, texts, texts, st.none() | st.floats(0, 1))),
    session=st.none() | texts,
)


@given(st.builds(Example, requests, truths, st.just({"kind": "chat"})))
def test_a_line_is_read_as_the_example_that_it_was_written_from(example: Example) -> None:
    assert decode_example(msgspec.json.encode(example_line(example))) == example


def test_a_drawing_ends_with_its_block(lamps: Domain) -> None:
    before = list(lamps.examples())
    with drawing(seed=3, count=10) as outer:
        with drawing(seed=3, count=10):
            inner = list(lamps.examples())
        assert not outer.used
        assert list(lamps.examples()) == inner
        assert outer.used
    assert len(inner) == 10
    assert list(lamps.examples()) == before
