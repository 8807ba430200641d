"""Files of a new distribution whose data are learned from a source: a corpus, or hypotheses with their truth."""

from __future__ import annotations

import json
import shlex
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from arbitrank.extras import required
from arbitrank.learn.features import CORE_KEYS
from arbitrank.nlu.pattern_checks import PLACE
from arbitrank.nlu.patterns import generate
from arbitrank.scaffold.files import filled, template
from arbitrank.scaffold.learned import LearnedData, corpus_lines, learned, title_of
from arbitrank.scaffold.names import DomainNames
from arbitrank.scaffold.sources import LearningSource, own_hypotheses

__all__ = ["code", "corpus_files", "hypotheses_files"]

_HEAD = "# Made of {source} by `arbitrank new`; edit it. Notation: python -m pydoc arbitrank.nlu.patterns.\n\n"


def _listed(names: Iterable[str]) -> str:
    """Names as a README lists them."""
    return ", ".join(f"`{name}`" for name in names) or "none"


def _slots(source: LearningSource, patterns: Mapping[str, Any], domain: str) -> list[str]:
    """The slots of a domain's own examples and patterns."""
    own = (one.truth for one in source.examples if one.truth.owned_by(domain))
    drawn = PLACE.findall(json.dumps(patterns.get("own", {}), ensure_ascii=False))
    return sorted({slot.name for truth in own for slot in truth.slots} | {name for name, _ in drawn if name})


def corpus_files(names: DomainNames, source: LearningSource, path: str) -> tuple[dict[str, str], LearnedData]:
    """The files of a domain of the toolkit with data learned from a corpus. Raises `InputError` without tomli-w."""
    with required("--from"):
        import tomli_w
    data = learned(source.examples, names.name, _negatives(), source.patterns, source.lists)
    head = _HEAD.format(source=path)
    written = {f"{name}.toml": head + tomli_w.dumps(getattr(data, name)) for name in ("patterns", "lists")}
    data.phrases = data.phrases or _drawn(written, names.name)
    keys = "".join(f", {code(key)}" for key in data.context_keys)
    files = filled(
        "corpus",
        names,
        {
            "way": f"toolkit --from {path}",
            "source": path,
            "intents": _listed(data.intents),
            "slots": _listed(_slots(source, data.patterns, names.name)),
            "phrase": shlex.quote(data.phrases[0] if data.phrases else names.title),
            "intent_titles": _mapping({intent: title_of(intent) for intent in data.intents}),
            "context_keys": f"(*CORE_KEYS{keys})" if keys else "CORE_KEYS",
            "phrases": _phrases(data.phrases or [names.title]),
            "shared_negatives": "True" if data.few_others else "None  # None: learn from these where it has none",
        },
    )
    lines = corpus_lines(source.examples, names.name)
    written["corpus.jsonl"] = "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)
    if len(lines) < len(source.examples) - 100:
        data.notes.append(
            f"of {len(source.examples):,} utterances {len(lines):,} were taken, others' as a weighted sample"
        )
    files |= {f"src/{names.package}/data/{name}": text for name, text in written.items()}
    return files, data


def hypotheses_files(
    names: DomainNames, scales: Mapping[str, str], source: LearningSource | None, path: str
) -> tuple[dict[str, str], list[str]]:
    """The files of a domain with its own NLU, and some of its utterances; from hypotheses of a source where given."""
    keys = ""
    if source is None:
        about, description = "Lights: to turn on and off. Replace the data, the names and the phrases by your own.", ""
        intents, phrases = ["TurnOn", "TurnOff"], ["turn on the kitchen light", "lights out in the hall"]
    else:
        about, description = f"The {names.title} domain, with the readings of an NLU of its own.", ""
        lines = own_hypotheses(source.examples, names.name)
        own = [line for line in lines if line["truth"].get("domain") == names.name]
        intents = _common(line["truth"].get("intent") for line in own)
        phrases = _common(line.get("utterance") for line in own)[:4]
        found = sorted({key for line in own for key in line.get("context", {})} - set(CORE_KEYS))
        keys = "".join(f", {code(key)}" for key in found)
    files = filled(
        "own-nlu",
        names,
        {
            "way": "own-nlu" + (f" --from {path}" if source else ""),
            "about": about,
            "description": description or f"The {names.title} domain",
            "intent_titles": _mapping({intent: title_of(intent) for intent in intents}),
            "scales": json.dumps(dict(scales)),
            "context_keys": f"(*CORE_KEYS{keys})" if keys else "CORE_KEYS",
            "phrases": _phrases(phrases or [names.title]),
        },
    )
    if source is not None:
        texts = (msgspec.json.encode(line).decode() + "\n" for line in lines)
        files[f"src/{names.package}/data/hypotheses.jsonl"] = "".join(texts)
    return files, phrases


def _drawn(files: Mapping[str, str], name: str) -> list[str]:
    """An utterance of each of the first own intents that the patterns draw."""
    with tempfile.TemporaryDirectory() as folder:
        for file, text in files.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        own = {
            e.truth.intent: e.request.utterance or "" for e in generate(Path(folder), name) if e.truth.domain == name
        }
    return list(own.values())[:4]


def code(text: str) -> str:
    """A text as a literal of Python."""
    return json.dumps(text, ensure_ascii=False)


def _common(texts: Iterable[str | None]) -> list[str]:
    """The texts, each once, the commonest first."""
    return [text for text, _ in Counter(text for text in texts if text).most_common()]


def _mapping(texts: Mapping[str, str]) -> str:
    lines = "".join(f"        {code(key)}: {code(value)},\n" for key, value in texts.items())
    return f"{{\n{lines}    }}" if texts else "{}"


def _phrases(texts: Sequence[str]) -> str:
    lines = "".join(f"            {code(text)},\n" for text in texts)
    return f"(\n{lines}        )"


def _negatives() -> dict[str, Any]:
    """Common out-of-scope requests: those of the toolkit's template that draw from no catalogue."""
    folder = "toolkit/src/package/data"
    sections = tomllib.loads(template(f"{folder}/patterns.toml"))["none"]
    lists = tomllib.loads(template(f"{folder}/lists.toml"))
    used = {name for name in lists if any(f"{{={name}}}" in text for t in sections.values() for text in t["patterns"])}
    return {"patterns": sections, "lists": {name: lists[name] for name in lists if name in used}}
