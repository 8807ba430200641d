"""Record what arbitrank answers, so that `tests/test_golden.py` can hold later versions to it.

    python tests/golden/record.py inputs     # make inputs.tar.xz: requests, logs, artifacts, stores, keys (minutes)
    python tests/golden/record.py answers    # run every call on them and write answers/GROUP.json.xz
    python tests/golden/record.py answers rank http    # some groups alone

Both use the arbitrank of the Python that runs this script, through its command and its service alone. Record with the
version that is to be held, never with the one under test. `inputs` changes artifacts, so `answers` has to follow it.
"""

# ruff: noqa: E501 - tables of calls and requests read best with one entry a line

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import calls

DOMAINS = ("books", "music", "video")
DEVICES = ("tv", "speaker", "phone", "tablet", "car", "watch", "e_reader", "show", "desktop", "toaster", "")
LOCALES = ("en-GB", "en-US", "de-AT", "")
INTENTS = {"books": "ReadBook", "music": "PlayMusic", "video": "PlayVideo"}

EXAMPLES = """
import json
from itertools import islice
from random import Random
from arbitrank.registry import discover, loaded
import msgspec
for name, domain in sorted(loaded(discover()).items()):
    for example in Random(7).sample(list(domain.examples()), 800):
        print(json.dumps(msgspec.to_builtins(example)))
"""
"""The only use of the library: the plugins' own examples, which no command prints."""


SOFTMAX = """
import json, shutil, sys
from pathlib import Path
from arbitrank.store.artifact import read_manifest, seal
source, folder = map(Path, sys.argv[1:])
shutil.copytree(source, folder)
manifest = read_manifest(folder)
(folder / "manifest.json").unlink()
weights = folder / "reranker" / "weights.json"
weights.write_text(json.dumps({**json.loads(weights.read_text()), "form": "softmax"}))
seal(folder, manifest)
"""
"""An artifact whose weights are taken for those of a softmax, which no training on so little data passes as sound."""


def lines(path: Path, values: list[Any]) -> None:
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")


def command(folder: Path, *args: str, status: int = 0, **variables: str) -> str:
    """Run one call in the folder; what it prints. Fails where its exit status is another than expected."""
    done = subprocess.run(
        [sys.executable, "-m", "arbitrank", *args],
        cwd=folder,
        env={**calls.environment(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout


def examples() -> list[dict[str, Any]]:
    """800 examples of each plugin, in an order that mixes them."""
    env = calls.environment(Path.cwd())
    done = subprocess.run([sys.executable, "-c", EXAMPLES], env=env, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    random.Random(8).shuffle(found)
    return found


def context(drawn: random.Random, given: Mapping[str, Any]) -> dict[str, Any]:
    """A situation: the example's own, or one with every key that the core or the plugins know, and some that none do."""
    if drawn.random() < 0.3:
        return dict(given)
    made: dict[str, Any] = {"device": drawn.choice(DEVICES), "locale": drawn.choice(LOCALES)}
    if drawn.random() < 0.5:
        made["has_screen"] = drawn.random() < 0.5
    if drawn.random() < 0.4:
        made["previous_domain"] = drawn.choice((*DOMAINS, "weather"))
        made["previous_intent"] = INTENTS.get(made["previous_domain"], "AskWeather")
    for domain in DOMAINS:
        if drawn.random() < 0.4:
            made[f"preference.{domain}"] = round(drawn.random(), 3)
        if drawn.random() < 0.2:
            made[f"preference.{domain}.{INTENTS[domain]}"] = round(drawn.random(), 3)
    if drawn.random() < 0.3:
        made[drawn.choice(("playing", "last_opened"))] = drawn.choice(DOMAINS)
    if drawn.random() < 0.1:
        made.update({"battery": 0.3, "nested": {"a": [1, None, "x"]}, "wild": 1e30})
    return {key: value for key, value in made.items() if value != ""}


def text_requests(source: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """200 requests of words alone: the plugins' own in all situations, and 30 at the edges."""
    drawn = random.Random(1)
    made = [
        {
            "id": f"t{i}",
            "utterance": one["request"]["utterance"],
            "context": context(drawn, one["request"].get("context", {})),
        }
        for i, one in enumerate(source[:170])
    ]
    edges: list[dict[str, Any]] = [
        {"utterance": ""}, {}, {"utterance": " "}, {"utterance": "play"}, {"utterance": "PLAY MARY POPPINS"},
        {"utterance": "play mary poppins", "context": {"device": "tv"}},
        {"utterance": "play mary poppins", "context": {"device": "speaker"}}, {"utterance": "read me mary poppins"},
        {"utterance": "play cinderella"}, {"utterance": "what is the weather"}, {"utterance": "Spiel bitte Amélie ☂ 雨"},
        {"utterance": "play " + "dune " * 150}, {"utterance": "dune" * 300}, {"utterance": "1984"},
        {"utterance": "play\tdune\nnow"}, {"utterance": "play dune", "session": "s1"},
        {"utterance": "play dune", "session": {"id": 4}}, {"utterance": "play dune", "account": {"child": True}},
        {"utterance": "play dune", "dialogue": {"previous_skill": "video", "failed": True, "acts": ["failure"]}},
        {"utterance": "play dune", "dialogue": "d7"}, {"utterance_length": 12}, {"utterance": "play dune", "extra": 1},
        {"utterance": "play dune", "context": {"device": "tv", "has_screen": False, "preference.music": 1.0}},
        {"utterance": "play dune", "context": {"device": 5, "has_screen": "yes", "locale": None}},
        {"utterance": "play dune", "context": {"previous_domain": "music", "previous_intent": "PlayMusic"}},
        {"utterance": "play dune", "context": {"previous_intent": "PlayMusic"}},
        {"utterance": "play dune", "context": {"preference.video": 0.0, "preference.books.ReadBook": 1.0}},
        {"utterance": "e\u0301mile"}, {"utterance": "\u202eplay dune"}, {"utterance": "play \U0001f600"},
    ]  # fmt: skip
    return made + [{"id": f"e{i}", **edge} for i, edge in enumerate(edges)]


def brought_requests(logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """200 requests that bring hypotheses, each changed in one of many ways."""
    drawn = random.Random(2)
    made = []
    for i, line in enumerate(logged[:180]):
        readings = [json.loads(json.dumps(h)) for h in line["hypotheses"]]
        request = {"id": f"h{i}", "utterance": line["utterance"], "context": context(drawn, line.get("context", {}))}
        _changes()[i % len(_changes())](drawn, request, readings)
        made.append({**request, "hypotheses": readings})
    reading = {"domain": "video", "intent": "PlayVideo"}
    edges: list[dict[str, Any]] = [
        {"hypotheses": []}, {"hypotheses": [reading]}, {"hypotheses": [reading, reading]},
        {"hypotheses": [{**reading, "domain_confidence": 0.0}]}, {"hypotheses": [{**reading, "domain_confidence": 1.0}]},
        {"hypotheses": [{**reading, "domain_confidence": 1, "intent_confidence": 1, "slots_confidence": 1}]},
        {"hypotheses": [{**reading, "domain_confidence": 0, "intent_confidence": 0, "slots_confidence": 0}]},
        {"hypotheses": [{**reading, "slots": [{"name": "title", "value": ""}]}]},
        {"hypotheses": [{**reading, "slots": [{"name": "title", "value": "é" * 500, "confidence": 0.5}]}]},
        {"hypotheses": [{**reading, "domain": "weather"}]},
        {"hypotheses": [{**reading, "domain": "weather", "domain_confidence": 0.9}, reading]},
        {"hypotheses": [{**reading, "features": {"title_known": 1.0, "unheard_of": 2.0}}]},
        {"hypotheses": [{**reading, "features": {"title_known": 1e300}}]},
        {"hypotheses": [{**reading, "domain": d, "domain_confidence": 0.7} for d in DOMAINS]},
        {"hypotheses": [{**reading, "domain": d, "domain_confidence": 0.7} for d in DOMAINS], "context": {"device": "tv"}},
        {"hypotheses": [{**reading, "intent": f"I{n}", "intent_confidence": 0.5 / (n + 1)} for n in range(30)]},
        {"hypotheses": [{**reading, "skill": "film-skill", "domain_confidence": 0.6}], "utterance_length": 7},
        {"hypotheses": [{**reading, "domain_confidence": 1e-12, "intent_confidence": 1 - 1e-12}]},
        {"hypotheses": [{**reading, "domain": "music"}, {**reading, "domain": "shop", "domain_confidence": 0.2}]},
        {"hypotheses": [{**reading, "unknown": "key"}], "session": {"a": 1}, "account": {"b": 2}},
    ]  # fmt: skip
    return made + [{"id": f"he{i}", "utterance": "play dune", **edge} for i, edge in enumerate(edges)]


def _changes() -> list[Callable[[random.Random, dict[str, Any], list[dict[str, Any]]], None]]:
    """The ways in which hypotheses are changed."""

    def without(key: str) -> Callable[[random.Random, dict[str, Any], list[dict[str, Any]]], None]:
        def drop(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
            for one in readings:
                if drawn.random() < 0.6:
                    one.pop(key, None)

        return drop

    def bare_slots(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        for one in readings:
            one.pop("slots_confidence", None)
            for slot in one.get("slots", ()):
                if drawn.random() < 0.5:
                    slot.pop("confidence", None)

    def unknown(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        for name in ("weather", "shop"):
            p = round(drawn.random(), 4)
            readings.append({"domain": name, "intent": "Do", "domain_confidence": p, "intent_confidence": 0.8})

    def other_features(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        for one in readings:
            one["features"] = {"title_known": float(drawn.randint(0, 1)), "title_shared": round(drawn.random(), 2)}

    def drawn_confidences(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        for one in readings:
            for key in ("domain_confidence", "intent_confidence", "slots_confidence"):
                one[key] = round(drawn.random(), 4)

    def shuffled(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        drawn.shuffle(readings)

    def one_domain(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        kept = drawn.choice(DOMAINS)
        readings[:] = [one for one in readings if one["domain"] == kept]

    def no_words(drawn: random.Random, request: dict[str, Any], readings: list[dict[str, Any]]) -> None:
        request["utterance_length"] = len(request.pop("utterance"))

    return [
        lambda drawn, request, readings: None, without("domain_confidence"), without("intent_confidence"),
        without("slots_confidence"), without("features"), bare_slots, unknown, other_features, drawn_confidences,
        shuffled, one_domain, no_words,
    ]  # fmt: skip


def logs(folder: Path, source: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Serve the examples with a log; the logged lines with their truth. Leaves a short log in `log`, a hashed one too."""
    (folder / "log.key").write_bytes(b"a key of thirty-two bytes, at least")
    served = source[200:1500]
    for name, options, n, truths in (
        ("full", (), len(served), len(served)),
        ("log", (), 90, 70),
        ("hashed", ("--log-words", "hash", "--log-key", "log.key"), 40, 30),
        ("dropped", ("--log-words", "drop"), 10, 10),
    ):
        with calls.Service(folder, ["--store", "none", "--log", name, *options]) as service:
            for i, one in enumerate(served[:n]):
                request = {**one["request"], "id": f"r{i}"}
                status, _ = service.call("POST", "/v1/rank", request)
                assert status == 200
                if i < truths:
                    told: dict[str, Any] = {"id": f"r{i}", "truth": one["truth"]}
                    if i % 7 == 0:
                        told["outcome"] = "rejected" if i % 2 else "accepted"
                    assert service.call("POST", "/v1/feedback", told)[0] == 200
                elif i % 3 == 0:
                    assert service.call("POST", "/v1/feedback", {"id": f"r{i}", "outcome": "rejected"})[0] == 200
    truths_of = {f"r{i}": one["truth"] for i, one in enumerate(served)}
    logged = []
    for segment in sorted((folder / "full").iterdir()):
        for raw in segment.read_text(encoding="utf-8").splitlines():
            line = json.loads(raw)
            if "answer" in line:
                logged.append({**line, "truth": truths_of[line["id"]]})
    logged.sort(key=lambda line: int(line["id"][1:]))
    shutil.rmtree(folder / "full")
    segment = next((folder / "log").iterdir())
    with segment.open("ab") as stream:
        stream.write(b'{"id": "torn", "utter')
    segment = next((folder / "hashed").iterdir())
    with gzip.GzipFile(segment.with_name(segment.name + ".gz"), "wb", mtime=0) as packed:
        packed.write(segment.read_bytes())
    segment.unlink()
    return logged


def kites(folder: Path) -> None:
    """Requests to the plugin that was built for 0.1, from words and with hypotheses."""
    words = (
        "fly rokkaku", "launch the kite Dune in a breeze", "find a kite by Bell", "show me kites for a storm", "fly dune",
        "play mary poppins", "ring the front bell", "please ring the Mary Poppins bell", "ring small bell now", "fly", "",
        "fly the hobbit by Shire Kites", "watch dune", "weather in oslo", "hit the gong", "ring the kite bell and fly sled",
    )  # fmt: skip
    contexts: tuple[dict[str, Any], ...] = (
        {}, {"device": "speaker"}, {"device": "phone", "beach": "yes"}, {"crack": "yes"}, {"deed of storm": "nan"},
        {"deed of storm": "raise"}, {"deed": "too sure"}, {"deed of storm": "too many"},
    )  # fmt: skip
    made = [{"utterance": text, "context": context} for text in words for context in contexts]
    lines(folder / "kites.jsonl", [{"id": f"k{i}", **one} for i, one in enumerate(made)])
    readings = [
        {"domain": "kites", "intent": "FlyKite", "domain_confidence": 0.7, "intent_confidence": 0.9,
         "slots": [{"name": "title", "value": "dune", "confidence": 0.6}]},
        {"domain": "bells", "intent": "Ring", "intent_confidence": 0.4},
        {"domain": "kites", "intent": "FindKite"},
        {"domain": "storm", "intent": "Do", "domain_confidence": 0.5},
    ]  # fmt: skip
    brought = [{"utterance": "fly dune", "context": c, "hypotheses": readings[n:]} for c in contexts for n in range(4)]
    lines(folder / "kites-brought.jsonl", [{"id": f"kb{i}", **one} for i, one in enumerate(brought)])


def hypotheses_file(logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Logged requests as a file of hypotheses with truths, at most three readings of each domain."""
    made = []
    for line in logged:
        count = dict.fromkeys(DOMAINS, 0)
        kept = []
        for one in line["hypotheses"]:
            count[one["domain"]] += 1
            if count[one["domain"]] <= 3:
                kept.append(one)
        made.append({key: line[key] for key in ("id", "utterance", "context", "truth") if key in line})
        made[-1]["hypotheses"] = kept
    return made


MODELS = {
    "music-factored": ("music", "--model", "factored"),
    "music-loglinear": ("music", "--model", "loglinear"),
    "music-sigmoid": ("music", "--model", "loglinear", "--form", "sigmoid", "--loss", "r1"),
    "music-boosted": ("music", "--model", "boosted"),
    "music-corrected": ("music", "--model", "corrected"),
    "music-auto": ("music", "--model", "auto"),
    "video-factored": ("video", "--model", "factored", "--kept", "0.5"),
    "video-null": ("video", "--model", "loglinear", "--seed", "4"),
    "video-null-r2": ("video", "--model", "loglinear", "--loss", "r2"),
    "video-corrected": ("video", "--model", "corrected"),
    "video-other": ("video", "--model", "auto"),
    "books-factored": ("books", "--model", "factored"),
    "books-sigmoid": ("books", "--model", "loglinear", "--form", "sigmoid", "--loss", "r3"),
    "books-null": ("books", "--model", "loglinear", "--seed", "2"),
    "books-boosted": ("books", "--model", "boosted", "--loss", "r1"),
}
"""Artifacts that are trained on hypotheses, each with the options of `train`."""

STORES = {
    "stores/a": ("music-factored", "video-null", "books-boosted"),
    "stores/b": ("music-sigmoid", "video-corrected", "books-softmax"),
    "stores/c": ("music-softmax", "video-null-r2", "books-sigmoid"),
    "stores/d": ("music-corrected", "video-other", "books-factored"),
    "stores/e": ("music-boosted", "video-factored", "books-sigmoid"),
    "stores/f": ("music-auto", "video-null", "books-softmax"),
}


def models(folder: Path) -> None:
    """Train every kind of model, and from words two with recognisers of their own."""
    for name, (domain, *options) in MODELS.items():
        command(folder, "train", domain, "--data", "train.jsonl", *options, "--out", f"models/{name}")
    for domain, base in (("music", "music-loglinear"), ("books", "books-null")):
        args = (f"models/{base}", f"models/{domain}-softmax")
        subprocess.run([sys.executable, "-c", SOFTMAX, *args], cwd=folder, env=calls.environment(folder), check=True)
    words = ("--data", "corpus/train.jsonl")
    command(folder, "train", "music", *words, "--model", "loglinear", "--out", "models/music-words")
    command(folder, "train", "video", *words, "--out", "models/video-words")


def stores(folder: Path) -> None:
    """Stores with what a store can hold: every alias, a temperature, a canary, an audit set, a rollback, signatures."""
    for store, held in STORES.items():
        for name in held:
            command(folder, "publish", f"models/{name}", "--store", store)
            command(folder, "promote", name.partition("-")[0], "--store", store)
    main = ("--store", "stores/main")
    for name, reason in (("music-loglinear", "first"), ("music-factored", "second"), ("music-sigmoid", "third")):
        command(folder, "publish", f"models/{name}", *main)
        command(folder, "promote", "music", "--reason", reason, *main)
    command(folder, "rollback", "music", "--reason", "the third was worse", *main)
    command(folder, "publish", "models/music-corrected", *main)
    command(folder, "canary", "music", "0.3", "--reason", "a third of them", *main)
    command(folder, "publish", "models/video-factored", *main)
    command(folder, "promote", "video", *main)
    command(folder, "shrink", "video", "--temperature", "1.8", "--reason", "claims too much", *main)
    command(folder, "publish", "models/video-null-r2", *main)
    command(folder, "publish", "models/books-softmax", *main)
    command(folder, "promote", "books", *main)
    command(folder, "publish", "models/books-boosted", *main)
    command(folder, "promote", "books", *main)
    command(folder, "rollback", "books", "--to-package", "--reason", "the package's", *main)
    for options in (
        ("--learned", "--epochs", "3", "--promote"),
        ("--promote",),
        ("--skills", "domain", "--no-domains"),
    ):
        command(folder, "shortlist", "train", "--data", "corpus/train.jsonl", *options, *main)
    command(folder, "audit-set", "truths.jsonl", *main)
    words = ("--store", "stores/words")
    for name in ("music-words", "video-words"):
        command(folder, "publish", f"models/{name}", *words)
        command(folder, "promote", name.partition("-")[0], *words)
    command(folder, "shrink", "music", "--temperature", "2.5", *words)
    command(folder, "publish", "models/music-factored", *words)
    command(folder, "shortlist", "train", "--data", "corpus/train.jsonl", "--learned", "--epochs", "4", "--promote",
            *words)  # fmt: skip
    for name in ("music", "video", "shortlist", "thief"):
        command(folder, "keygen", name)
    (folder / "keys").mkdir()
    for name in ("music", "video", "shortlist"):
        shutil.move(folder / f"{name}.pub", folder / "keys" / f"{name}.pub")
    signed = ("--store", "stores/signed")
    command(folder, "publish", "models/music-factored", "--key", "music.key", "--keys", "keys", *signed)
    command(folder, "promote", "music", "--keys", "keys", *signed)
    command(folder, "publish", "models/music-boosted", "--key", "music.key", *signed)
    command(folder, "publish", "models/video-null-r2", *signed)
    command(folder, "promote", "video", *signed)
    kites = {"PYTHONPATH": calls.path_with(calls.PLUGIN), "ARBITRANK_DOMAINS": "kites,bells,gong,storm"}
    command(folder, "train", "kites", "bells", "--store", "stores/kites", "--promote", **kites)
    gong = [
        {"utterance": f"hit {i}", "truth": {"domain": "gong" if i % 3 else None, "intent": "Do"}} for i in range(60)
    ]
    storm = [{**one, "truth": {**one["truth"], "domain": one["truth"]["domain"] and "storm"}} for one in gong]
    for name, data in (("gong", gong), ("storm", storm)):
        lines(folder / "strikes.jsonl", data)
        command(folder, "train", name, "--data", "strikes.jsonl", "--store", "stores/kites", "--promote", **kites)
    (folder / "strikes.jsonl").unlink()


def damaged(folder: Path) -> None:
    """Artifacts and files that are refused."""
    shutil.copytree(folder / "models" / "music-factored", folder / "models" / "damaged")
    weights = folder / "models" / "damaged" / "reranker" / "weights.json"
    weights.write_text(weights.read_text().replace("0", "1", 1))
    lines(folder / "few.jsonl", [{"utterance": "play dune", "truth": {"domain": "music", "intent": "PlayMusic"}}])
    (folder / "bad.jsonl").write_text(
        '{"id": "1", "utterance": "play dune"}\nnot json\n{"id": "2", "hypotheses": [{"domain": "video"}]}\n'
        '{"id": "3", "utterance": "play dune", "context": {"preference.music": 7}}\n[]\n'
        '{"id": "4", "hypotheses": [{"domain": "video", "intent": "X", "domain_confidence": 1.2}]}\n'
        '{"id": "5", "utterance": 5}\n{"id": "6", "utterance": "play dune", "context": {"device": NaN}}\n'
        '{"id": "7", "utterance": "read dune"}\n'
    )
    (folder / "policy.toml").write_text(
        "[domains.music]\naccept = 0.9\nleast = 0.3\n\n[domains.video.intents.PlayVideo]\ncost = 20\n\n"
        '[domains.books]\nask = true\n\n[[blocks]]\ndomain = "books"\nwhen = { device = ["car"] }\n\n'
        '[[pins]]\ndomain = "video"\nwhen = { device = "tv" }\nleast = 0.1\n\n[locales]\nde = ["music", "video"]\n'
    )
    (folder / "bad.toml").write_text("[domains.music]\naccept = 7\n")
    (folder / "bad.tokens").write_text("fly not-a-digest nobody\n")
    for name, scopes in (("boss", "admin"), ("asker", "rank"), ("teller", "feedback"), ("team", "publish:music")):
        printed = command(folder, "token", name, scopes, "--tokens", "tokens")
        (folder / f"{name}.token").write_text(printed.split()[-1])


def inputs() -> None:
    """Make everything that the calls are made on."""
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        folder = Path(name)
        source = examples()
        logged = logs(folder, source)
        lines(folder / "text.jsonl", text_requests(source))
        lines(folder / "brought.jsonl", brought_requests(hypotheses_file(logged)))
        lines(folder / "truths.jsonl", hypotheses_file(logged[1000:1120]))
        lines(
            folder / "logged.jsonl", [{k: v for k, v in line.items() if k != "recognised"} for line in logged[900:960]]
        )
        kites(folder)
        (folder / "corpus").mkdir()
        plain = [
            {"id": str(i), "text": one["request"]["utterance"], "context": one["request"].get("context", {}),
             **{key: value for key, value in one["truth"].items() if value is not None or key == "domain"}}
            for i, one in enumerate(source[1500:])
        ]  # fmt: skip
        plain = [{key: value for key, value in one.items() if value != []} for one in plain]
        lines(folder / "corpus" / "train.jsonl", plain[:330])
        lines(folder / "corpus" / "dev.jsonl", plain[330:430])
        with gzip.GzipFile(folder / "text.jsonl.gz", "wb", mtime=0) as packed:
            packed.write((folder / "text.jsonl").read_bytes())
        lines(folder / "train.jsonl", hypotheses_file(logged[:1000]))
        print("trains", flush=True)
        models(folder)
        (folder / "train.jsonl").unlink()
        print("fills stores", flush=True)
        stores(folder)
        damaged(folder)
        command(folder, "shortlist", "hyprank", "log", "--out", "hyprank", "--rounds", "20")
        command(
            folder, "shortlist", "train", "--data", "corpus/train.jsonl", "--learned", "--epochs", "2", "--out",
            "models/shortlist",
        )  # fmt: skip
        pack(folder)


def pack(folder: Path) -> None:
    """Keep the folder as the inputs, without what no call reads."""
    for path in (folder / "none", folder / "none.logs", *folder.glob("stores/*.logs")):
        shutil.rmtree(path, ignore_errors=True)
    with tarfile.open(calls.INPUTS, "w:xz", preset=9) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name, filter=_anonymous)
    print(f"{calls.INPUTS.name}: {calls.INPUTS.stat().st_size / 1e6:.2f} MB")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def answers(groups: list[str]) -> None:
    """Make every call and write what came of it."""
    for group in groups or list(calls.GROUPS):
        with tempfile.TemporaryDirectory(prefix="golden-") as name:
            observed = calls.observe(group, Path(name))
        path = calls.answers_of(group)
        calls.write(path, observed)
        print(f"{path.name}: {len(observed)} calls, {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    match sys.argv[1:]:
        case ["inputs"]:
            inputs()
        case ["answers", *groups]:
            answers(groups)
        case _:
            sys.exit(__doc__)
