"""The reference recogniser: what it answers, what it learns from little, how it is kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrank.errors import ArtifactError, DataError
from arbitrank.nlu.encoded import encode
from arbitrank.nlu.recogniser import N_BEST, Recogniser
from arbitrank.nlu.training import train_recogniser
from arbitrank.values import Example, Hypothesis, Request, Slot, Truth

FILES = ("recogniser.json", "classifier.npz", "tagger.npz")


def example(text: str, domain: str | None, intent: str | None = None, **slots: str) -> Example:
    """An utterance of a domain, its slots by name and value."""
    places = tuple(
        Slot(name, value, start=text.index(value), end=text.index(value) + len(value)) for name, value in slots.items()
    )
    return Example(Request(utterance=text), Truth(domain, intent, places))


def english() -> list[Example]:
    rooms, levels = ("hall", "big attic", "kitchen", "shed"), ("ten", "50")
    own = [
        example(f"turn {on} the {room} light", "lights", "Switch", room=room)
        for on, room in product(("on", "off"), rooms)
    ]
    own += [example(f"dim the {r} to {n} percent", "lights", "Dim", room=r, level=n) for r, n in product(rooms, levels)]
    other = [
        example(f"{do} the heating {when}", "heating") for do, when in product(("start", "stop"), ("now", "later"))
    ]
    nobody = [example(text, None) for text in ("will it rain", "tell me a joke", "buy milk and eggs", "call my mother")]
    return own + other + nobody


@cache
def recogniser() -> Recogniser:
    return train_recogniser("lights", english())


def test_it_reads_what_it_never_saw() -> None:
    best = recogniser().recognise("turn off the kitchen light please")[0]
    assert (best.domain, best.intent) == ("lights", "Switch")
    assert [(slot.name, slot.value, slot.start, slot.end) for slot in best.slots] == [("room", "kitchen", 13, 20)]
    dim = recogniser().recognise("dim the Big Attic to 50 percent")[0]
    assert (dim.intent, [(s.name, s.value) for s in dim.slots]) == ("Dim", [("room", "Big Attic"), ("level", "50")])
    assert (best.domain_confidence or 0.0) > 0.7
    assert (recogniser().recognise("tell me a joke")[0].domain_confidence or 1.0) < 0.4


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["dim", "turn on", "Hall", "50", "灯", "\u0301", "👍", " "])).map(" ".join)
)
def test_the_hypotheses_of_any_utterance_are_well_formed(utterance: str) -> None:
    found = recogniser().recognise(utterance)
    assert len(found) <= N_BEST
    assert bool(found) == bool(len(encode(utterance).attributes))
    products = []
    for hypothesis in found:
        assert hypothesis.domain == "lights"
        assert hypothesis.intent in ("Dim", "Switch")
        chances = (hypothesis.domain_confidence, hypothesis.intent_confidence, hypothesis.slots_confidence)
        assert all(chance is not None and 0.0 <= chance <= 1.0 for chance in chances)
        products.append((hypothesis.intent_confidence or 0.0) * (hypothesis.slots_confidence or 0.0))
        for slot in hypothesis.slots:
            assert utterance[slot.start : slot.end] == slot.value
            assert 0.0 <= (slot.confidence or 0.0) <= 1.0
    assert all(before >= after - 3e-6 for before, after in pairwise(products))
    assert sum(products) <= 1.0 + 1e-5
    assert len({(h.intent, h.slots) for h in found}) == len(found)


def test_a_batch_gives_what_each_utterance_gives_alone() -> None:
    utterances = ["dim the hall to ten percent", "", "turn on 灯", "x " * 900, "dim", "call my mother", "  "] * 3
    together = recogniser().recognise_many([encode(utterance) for utterance in utterances])
    for utterance, found in zip(utterances, together, strict=True):
        assert_alike(found, recogniser().recognise(utterance))
    assert recogniser().recognise_many([]) == []


def assert_alike(found: tuple[Hypothesis, ...], others: tuple[Hypothesis, ...]) -> None:
    """The same readings, their confidences equal but for the last digit that is kept."""
    assert [(h.intent, [(s.name, s.start, s.end) for s in h.slots]) for h in found] == [
        (h.intent, [(s.name, s.start, s.end) for s in h.slots]) for h in others
    ]
    for one, other in zip(found, others, strict=True):
        assert one.slots_confidence == pytest.approx(other.slots_confidence, abs=2e-6)
        assert one.domain_confidence == other.domain_confidence


def test_fewer_readings_are_the_first_of_more() -> None:
    whole = recogniser().recognise("dim the hall to ten", 7)
    assert len(whole) == 7
    for n in range(1, 7):
        assert_alike(recogniser().recognise("dim the hall to ten", n), whole[:n])


@pytest.mark.parametrize(
    ("examples", "utterance", "promised"),
    [
        # no slots
        ([example("on", "lights", "On"), example("off", "lights", "Off"), example("hello", None)], "on", ("On", [])),
        # one intent, and none named: the domain is its own intent
        ([example("on", "lights"), example("off", "lights"), example("hello", None)], "turn on", ("lights", [])),
        # one example, and nobody else's
        ([example("dim the hall", "lights", "Dim", room="hall")], "dim the hall", ("Dim", [("room", "hall")])),
        # all of them its own
        (
            [example("dim the hall", "lights", "Dim", room="hall"), example("lights on", "lights", "On")],
            "dim the hall",
            ("Dim", [("room", "hall")]),
        ),
        # slots of which nobody says where they stand
        ([Example(Request(utterance="dim it"), Truth("lights", "Dim", (Slot("room", "it"),)))], "dim it", ("Dim", [])),
        # own examples without a word in them
        ([Example(Request(utterance=None), Truth("lights", "On")), example("rain", None)], "on", ("On", [])),
    ],
    ids=["no slots", "one intent", "one example", "all own", "no offsets", "no words"],
)  # fmt: skip
def test_little_is_enough(examples: list[Example], utterance: str, promised: tuple[str, list[tuple[str, str]]]) -> None:
    model = train_recogniser("lights", examples)
    best = model.recognise(utterance)[0]
    assert (best.intent, [(slot.name, slot.value) for slot in best.slots]) == promised
    assert 0.0 < (best.domain_confidence or 0.0) < 1.0


def test_where_every_word_is_a_slot_both_readings_come() -> None:
    """Nothing was seen that is no slot, so nothing could be learned of what makes one."""
    model = train_recogniser("lights", [example("hall", "lights", room="hall"), example("rain", None)])
    assert {h.slots[0].value if h.slots else None for h in model.recognise("hall")} == {"hall", None}


def test_all_own_examples_give_the_odds_of_the_rule_of_succession() -> None:
    own = [example("on", "lights"), example("off", "lights")]
    assert train_recogniser("lights", own).recognise("anything")[0].domain_confidence == pytest.approx(3 / 4)


@pytest.mark.parametrize("examples", [[], [example("rain", None), example("warm", "heating")]])
def test_without_an_example_of_its_own_nothing_can_be_learned(examples: list[Example]) -> None:
    with pytest.raises(DataError, match=f"domain lights: none of the {len(examples)} examples is its own"):
        train_recogniser("lights", examples)


@pytest.mark.parametrize("utterance", ["включи свет", "ዘመን", "ប្រើ", "🔥🔥🔥", "אור בבקשה", "x" * 10_000, "，。！"])
def test_a_script_that_was_never_seen_is_read_with_little_confidence(utterance: str) -> None:
    found = recogniser().recognise(utterance)
    assert found
    familiar = recogniser().recognise("turn on the hall light")[0]
    assert (found[0].domain_confidence or 0.0) < (familiar.domain_confidence or 0.0)


def test_chinese_is_learned_like_any_language() -> None:
    rooms, levels = ("卧室", "客厅", "厨房", "大书房"), ("十", "五十", "百分之二十")
    own = [
        example(f"{please}{on}{room}的灯", "lights", "Switch", room=room)
        for please, on, room in product(("", "请"), ("打开", "关掉"), rooms)
    ]
    own += [
        example(f"把{room}的灯调到{level}", "lights", "Dim", room=room, level=level)
        for room, level in product(rooms, levels)
    ]
    nobody = [
        example(text, None)
        for text in ("今天天气怎么样", "讲个笑话", "给妈妈打电话", "买牛奶和鸡蛋", "几点了", "明天会下雨吗")
    ]
    model = train_recogniser("lights", own + nobody)
    best = model.recognise("请把客厅灯调到五十")[0]
    assert (best.intent, [(slot.name, slot.value) for slot in best.slots]) == (
        "Dim",
        [("room", "客厅"), ("level", "五十")],
    )
    switch = model.recognise("帮我打开阳台的灯")[0]  # a room that it never saw
    assert (switch.intent, [(slot.name, slot.value) for slot in switch.slots]) == ("Switch", [("room", "阳台")])
    assert (switch.domain_confidence or 0.0) > 0.5 > (model.recognise("后天天气怎么样")[0].domain_confidence or 1.0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    recogniser().save(tmp_path / "recogniser")
    return tmp_path / "recogniser"


def test_what_is_loaded_answers_as_what_was_saved(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)
    loaded = Recogniser.load(saved)
    assert loaded.domain == "lights"
    for utterance in ("dim the hall to ten percent", "turn on 灯", "tell me a joke", ""):
        assert loaded.recognise(utterance) == recogniser().recognise(utterance)


def test_saving_what_was_loaded_gives_the_same_bytes(saved: Path) -> None:
    Recogniser.load(saved).save(saved.with_name("again"))
    for name in FILES:
        assert (saved.with_name("again") / name).read_bytes() == (saved / name).read_bytes()


def test_without_slots_there_is_no_tagger_to_keep(tmp_path: Path) -> None:
    train_recogniser("lights", [example("on", "lights"), example("rain", None)]).save(tmp_path)
    assert not (tmp_path / "tagger.npz").exists()
    assert Recogniser.load(tmp_path).recognise("on")[0].slots_confidence == 1.0


def test_training_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    train_recogniser("lights", english()).save(tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_empty_or_cut_is_refused(saved: Path, name: str) -> None:
    raw = (saved / name).read_bytes()
    for damaged in (b"", raw[:1], raw[: len(raw) // 2], raw[:-30], b"\xff" * 100):
        (saved / name).write_bytes(damaged)
        with pytest.raises(ArtifactError, match="not a recogniser that can be read"):
            Recogniser.load(saved)
    (saved / name).unlink()
    with pytest.raises(ArtifactError, match="not a recogniser that can be read"):
        Recogniser.load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_loads_and_nothing_else_happens(saved: Path, name: str) -> None:
    raw, rng = (saved / name).read_bytes(), random.Random(name)
    ends = [*range(min(400, len(raw))), *range(max(0, len(raw) - 700), len(raw))]  # where a zip file keeps its headers
    for place in rng.sample(ends, min(250, len(ends))) + rng.sample(range(len(raw)), min(50, len(raw))):
        damaged = bytearray(raw)
        damaged[place] ^= 1 << rng.randrange(8)
        (saved / name).write_bytes(damaged)
        try:
            assert isinstance(Recogniser.load(saved), Recogniser)
        except ArtifactError as error:
            assert str(saved) in str(error)  # noqa: PT017


def rewrite(path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
    with np.load(path) as arrays:
        content = change(dict(arrays))
    np.savez(path, **content)


@pytest.mark.parametrize("name", ["classifier.npz", "tagger.npz"])
def test_a_pickled_object_is_never_unpickled(saved: Path, name: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exploded.append, ("bang",)

    for key in np.load(saved / name):
        recogniser().save(saved)
        rewrite(saved / name, lambda arrays, key=key: {**arrays, key: np.array([Bomb()], object)})
        with pytest.raises(ArtifactError, match="Object arrays cannot be loaded"):
            Recogniser.load(saved)
    assert exploded == []


exploded: list[str] = []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("classifier.npz", lambda arrays: {**arrays, "intents": arrays["intents"][:, :-1]}),
        ("classifier.npz", lambda arrays: {**arrays, "domain": arrays["domain"][:-1]}),
        ("classifier.npz", lambda arrays: {**arrays, "rarity": arrays["rarity"][:-1]}),
        ("classifier.npz", lambda arrays: {**arrays, "own": arrays["own"] + np.uint32(1 << 20)}),
        ("tagger.npz", lambda arrays: {**arrays, "present": arrays["present"][:, :-1]}),
        ("classifier.npz", lambda arrays: {**arrays, "bias": arrays["bias"][:1]}),
        ("classifier.npz", lambda arrays: {**arrays, "buckets": arrays["buckets"] + np.uint32(1 << 20)}),
        ("classifier.npz", lambda arrays: {key: value for key, value in arrays.items() if key != "bias"}),
        ("tagger.npz", lambda arrays: {**arrays, "transitions": arrays["transitions"][1:]}),
        ("tagger.npz", lambda arrays: {**arrays, "hashes": arrays["hashes"][:2]}),
        ("tagger.npz", lambda arrays: {**arrays, "label": arrays["label"] + np.uint16(50)}),
        ("tagger.npz", lambda arrays: {**arrays, "weight": arrays["weight"][:3]}),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(
    saved: Path, name: str, change: Callable[..., dict[str, np.ndarray]]
) -> None:
    rewrite(saved / name, change)
    with pytest.raises(ArtifactError, match="not a recogniser that can be read"):
        Recogniser.load(saved)


def test_another_format_is_refused_naming_both(saved: Path) -> None:
    meta = msgspec.json.decode((saved / "recogniser.json").read_bytes())
    (saved / "recogniser.json").write_bytes(msgspec.json.encode({**meta, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99, this arbitrank reads 3 and 4"):
        Recogniser.load(saved)


def test_a_recogniser_of_the_format_before_is_read_with_the_domains_model_alone(saved: Path) -> None:
    path = saved / "recogniser.json"
    meta = msgspec.json.decode(path.read_bytes())
    assert (meta["format"], meta["joint"]) == (4, 0.5)
    assert Recogniser.load(saved).classifier.joint == 0.5
    del meta["joint"]
    path.write_bytes(msgspec.json.encode({**meta, "format": 3}))
    assert Recogniser.load(saved).classifier.joint == 0.0
