"""The docs fail when they are wrong: what they show is run, or compared with the code.

`python tests/test_docs.py` writes what is generated: the pages of commands, the reference, and the output of every
console example.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import docs_reference
import msgspec
import pytest
from click.testing import CliRunner
from hatchling.builders.wheel import WheelBuilder

from arbitrank.answerlog.feedback import Feedback
from arbitrank.answerlog.reader import LogReport
from arbitrank.answerlog.shadow_lines import ShadowLine
from arbitrank.arbitration.policy import Policy
from arbitrank.cli.domains import Row
from arbitrank.cli.help_pages import HelpContext
from arbitrank.cli.main import GROUPS, cli
from arbitrank.configuration import read_configuration
from arbitrank.decisions.tuning import SettingsChoice
from arbitrank.domain import Domain, Model
from arbitrank.errors import InputError
from arbitrank.evaluate.metrics import BINS, Calibration
from arbitrank.evaluate.tuning import SystemTuning
from arbitrank.explanation import LEAST
from arbitrank.impact.replay_one import Replay
from arbitrank.impact.report import Impact
from arbitrank.learn import census, features, model_selection, standardisation
from arbitrank.learn import linear_training as fitting
from arbitrank.learn.reference import ReferenceDomain
from arbitrank.nlu.patterns import generate
from arbitrank.nlu.recogniser import CANDIDATES, N_BEST
from arbitrank.nlu.text import BUCKETS, LONGEST_RUN
from arbitrank.nlu.training import FOLDS
from arbitrank.outcomes.suite_cases import CaseNotes, case_of
from arbitrank.probability import CLIP
from arbitrank.remote.messages import RemoteCall, RemoteReply, RemoteStated
from arbitrank.report.report import QualityReport
from arbitrank.scales import DEFAULT, FIELDS, scale
from arbitrank.selections import ServedSelection
from arbitrank.semer import semer
from arbitrank.serve.messages import (
    Changed,
    ChooseCall,
    DomainRow,
    Error,
    Health,
    SkillsCall,
    SkillsChanged,
    Taken,
    Versions,
)
from arbitrank.store.artifact import Manifest, Signature
from arbitrank.store.audit_set import AuditChange
from arbitrank.store.catalogue_log import CatalogueChange
from arbitrank.store.state import Change
from arbitrank.store.suites import SuiteChange
from arbitrank.training import sufficiency
from arbitrank.training_environment import TrainingEnvironment
from arbitrank.values import Answer, Example, Hypothesis, Slot, Truth
from arbitrank.wire.catalogue_lines import catalogue_skill
from arbitrank.wire.notices import unnoticed
from arbitrank.wire.requests import decode_example, decode_logged, decode_request

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("core/*.md"), *ROOT.glob("plugins/*/*.md")])
IN_ORDER = [DOCS / "own-nlu.md", DOCS / "how-to/own-nlu-measure.md", DOCS / "how-to/own-nlu-errors.md"]
"""Pages whose examples build on one another: `test_own_nlu` runs them."""
TUTORIAL = DOCS / "tutorial.md"
"""The page that `test_tutorial` follows in a fresh environment."""
WRITE = "run: python tests/test_docs.py"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, kind: str) -> list[tuple[str, str]]:
    """The code blocks whose language is `kind`: the rest of the opening line, and the text."""
    found = re.finditer(rf"^```{kind}(?: (\w+))?\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [(match[1] or "", match[2]) for match in found]


def blocks_of(*pages: str, kind: str) -> list[tuple[str, str]]:
    """The code blocks of several pages of docs/, as `blocks` has them."""
    return [block for page in pages for block in blocks(DOCS / f"{page}.md", kind)]


def run(command: str | list[str], folder: Path, **variables: str) -> str:
    """What a command prints, standard error included, in a folder with a store of its own.

    Lines of progress are left out, as they depend on the machine's speed.
    """
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("ARBITRANK_", "PYTHON")) and key not in ("FORCE_COLOR", "TTY_COMPATIBLE")
    }
    done = subprocess.run(
        ["bash", "-c", command] if isinstance(command, str) else command,
        cwd=folder,
        env={
            **kept,
            "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
            "ARBITRANK_STORE": str(folder / "store"),
            "COLUMNS": "110",
            "PYTHONIOENCODING": "utf-8",
            **variables,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return re.sub(r"(?m)^.*: \d+ of \d+(?:, \d+ s)?\n", "", done.stdout)


# ------------------------------------------------------------------------------------------------------- commands.md


def commands() -> dict[str, str]:
    """docs/commands.md and a page of each verb, by their names in docs/, as the command line has them."""
    whole = cli.make_context("arbitrank", [], resilient_parsing=True)
    note = "What `--help` says of every verb. Written by `python tests/test_docs.py`."
    index, pages = [f"# Commands\n\n{note}\n\n{shown(whole)}"], {}
    for group, verbs in GROUPS.items():
        index.append(f"\n## {group}\n\n")
        for verb, (_, summary) in verbs.items():
            command = cli.get_command(whole, verb)
            assert command
            within = HelpContext(command, info_name=verb, parent=whole)
            parts = [f"# arbitrank {verb}\n\n{shown(within)}"]
            for name, part in getattr(command, "commands", {}).items():
                inner = HelpContext(part, info_name=name, parent=within)
                parts.append(f"## arbitrank {verb} {name}\n\n{shown(inner)}")
            pages[f"reference/commands/{verb}.md"] = "\n".join(parts)
            index.append(f"- [{verb}](reference/commands/{verb}.md): {summary.rstrip('.')}\n")
    return {"commands.md": "".join(index), **pages}


def shown(context: click.Context) -> str:
    """A help text as a block."""
    return f"```text\n{context.get_help()}\n```\n"


def test_the_pages_of_commands_are_the_output_of_help() -> None:
    """Lines may be broken elsewhere."""
    written = {path.relative_to(DOCS).as_posix() for path in (DOCS / "reference/commands").glob("*.md")}
    assert written | {"commands.md"} == commands().keys(), WRITE
    for name, text in commands().items():
        assert (DOCS / name).read_text(encoding="utf-8").split() == text.split(), f"{name}: {WRITE}"


# --------------------------------------------------------------------------------------------------- console examples


def examples() -> Iterator[tuple[Path, str, str]]:
    """Every console example: its page, the command, and the output that is shown."""
    for page in PAGES:
        for _, text in [] if page in (*IN_ORDER, TUTORIAL) else blocks(page, "console"):
            first, _, output = text.partition("\n")
            yield page, first.removeprefix("$ "), output


def facts(output: str) -> list[str]:
    """The output without what training again changes: numbers, versions, second readings, and the reasons why."""
    kept, seen = [], set()
    for line in output.splitlines():
        row = re.match(r" *\d+  +(\w+) .*? %  +(?:[<>] )?[\d.]+ %", line)
        if re.match(r"and \d+ readings below", line) or (row and row[1] in seen):
            continue
        if row:
            seen.add(row[1])
        text = re.sub(r"\b[0-9a-f]{12}\b", "VERSION", row[0] if row else line)
        kept.append(" ".join(re.sub(r"(?:[<>] )?\d+(?:\.\d+)?(?:e-?\d+)?", "N", text).split()))
        kept[-1] = re.sub(r"\b(?:yes|no) \(N\)", "IN BAND", kept[-1])
    return [re.sub(r"^N (?=\w+ \w+ .*%)", "", line) for line in kept if line]


@pytest.mark.parametrize(("page", "command", "output"), list(examples()), ids=lambda value: str(value)[:60])
def test_an_example_shows_what_the_command_prints(page: Path, command: str, output: str, tmp_path: Path) -> None:
    assert facts(run(command, tmp_path)) == facts(output), f"{name_of(page)}: {WRITE}"


def test_the_readme_begins_with_the_example_that_its_first_command_ends_with() -> None:
    (_, first), (_, tests), *_ = blocks(ROOT / "README.md", "sh")
    page, command, _ = next(examples_of_readme())
    assert first.strip().endswith(f" && .venv/bin/{command}"), page
    assert "requirements-dev.txt" in tests


def test_the_readmes_tests_are_the_last_that_ci_runs() -> None:
    tests = blocks(ROOT / "README.md", "sh")[1][1].strip().rpartition(".venv/bin/python ")[2]
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert last == f'"$bin/python" {tests}'


def examples_of_readme() -> Iterator[tuple[Path, str, str]]:
    return (example for example in examples() if example[0] == ROOT / "README.md")


def asked() -> list[tuple[str, str, str]]:
    """The rows of the README's table of questions: command, first domain, decision."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(arbitrank ask .+?)` \| (\w*) ?\| (accept|clarify|none)\b.* \|$", text, re.M)


@pytest.mark.parametrize(("command", "first", "decision"), asked())
def test_the_readmes_table_names_the_domain_that_answers(
    command: str, first: str, decision: str, tmp_path: Path
) -> None:
    variables = {"ARBITRANK_STORE": str(tmp_path / "store"), "ARBITRANK_DOMAINS": None, "ARBITRANK_CONFIG": ""}
    said = CliRunner().invoke(cli, [*shlex.split(command)[1:], "--json"], env=variables)
    answer = msgspec.json.decode(said.stdout, type=Answer)
    assert answer.decision.action == decision
    if first:
        assert answer.ranked[0].domain == first


def test_the_readmes_table_has_every_kind_of_decision() -> None:
    assert len(asked()) >= 12
    assert {decision for _, _, decision in asked()} == {"accept", "clarify", "none"}


def test_the_python_examples_run(tmp_path: Path) -> None:
    for kind, code in blocks_of("how-to/ask-back", "how-to/python", kind="python"):
        expected = {"books\n", "music\n", "video\n"} if kind == "choose" else {"accept video\n"}
        assert run([sys.executable, "-c", code], tmp_path) in expected


# ------------------------------------------------------------------------------------------------------------ formats


def known(shown: Any, value: Any, path: str = "") -> None:
    """Every key of the JSON that is shown is a field of what it was decoded to."""
    if isinstance(shown, dict) and isinstance(value, msgspec.Struct):
        assert set(shown) <= set(value.__struct_fields__), path
        for key, inner in shown.items():
            known(inner, getattr(value, key), f"{path}.{key}")
    elif isinstance(shown, dict) and isinstance(value, Mapping):
        for key, inner in shown.items():
            known(inner, value[key], f"{path}.{key}")
    elif isinstance(shown, list):
        value = value.each if isinstance(value, Truth) else value
        for i, inner in enumerate(shown):
            known(inner, value[i], f"{path}[{i}]")


def _struct(kind: Any) -> Callable[[str], None]:
    return lambda text: known(json.loads(text), msgspec.json.decode(text, type=kind))


def _case(text: str) -> None:
    case, shown = case_of("music", "incidents", text), json.loads(text)
    notes = {key: value for key, value in shown.items() if key in CaseNotes.__struct_fields__}
    known(notes, case.notes)
    known(shown["truth"], case.truth)
    known({key: value for key, value in shown.items() if key not in {*notes, "truth"}}, case.request)


def _example(text: str) -> None:
    example = decode_example(text.replace("\n", " "))
    assert isinstance(example, Example)
    assert example.extra == {}
    shown = json.loads(text)
    known(shown.pop("truth", {}), example.truth)
    if "hypotheses" in shown:
        known(shown, example.request)
    else:
        known(shown.get("slots", []), example.truth.slots)


def _weights(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "reranker").mkdir()
        (Path(folder) / "reranker" / "weights.json").write_text(text, encoding="utf-8")
        ReferenceDomain(json.loads(text)["spec"]["domain"]).load(Path(folder))


DECODERS: dict[str, Callable[[str], None]] = {
    "corpus": _example,
    "hypotheses": _example,
    "request": lambda text: known(json.loads(text), decode_request(text)),
    "answer": _struct(Answer),
    "domains": _struct(list[Row]),
    "manifest": _struct(Manifest),
    "card": _struct(Calibration),
    "signature": _struct(Signature),
    "environment": _struct(TrainingEnvironment),
    "change": _struct(Change),
    "audit": _struct(AuditChange),
    "suite": _case,
    "suite_change": _struct(SuiteChange),
    "catalogue": lambda text: known(json.loads(text), catalogue_skill(json.loads(text), unnoticed)),
    "catalogue_change": _struct(CatalogueChange),
    "impact": _struct(Impact),
    "quality": _struct(QualityReport),
    "shadow": _struct(ShadowLine),
    "log": lambda text: known(json.loads(text), decode_logged(text)),
    "feedback": _struct(Feedback),
    "selection": _struct(ServedSelection),
    "explored": _struct(ServedSelection),
    "choose": _struct(ChooseCall),
    "replay": _struct(Replay),
    "log_status": _struct(LogReport),
    "weights": _weights,
    "taken": _struct(Taken),
    "domainrow": _struct(DomainRow),
    "versions": _struct(Versions),
    "changed": _struct(Changed),
    "skills": _struct(SkillsCall),
    "skills_changed": _struct(SkillsChanged),
    "error": _struct(Error),
    "health": _struct(Health),
    "remote_stated": _struct(RemoteStated),
    "remote_call": _struct(RemoteCall),
    "remote_reply": _struct(RemoteReply),
}
WRITTEN = {"metrics", "prediction"}  # what `evaluate` writes; nothing decodes it, so it is compared with a run


SHOWN = [block for page in sorted((DOCS / "reference").rglob("*.md")) for block in blocks(page, "json")]
"""The JSON of all pages of the reference."""


@pytest.mark.parametrize(("kind", "text"), SHOWN, ids=lambda value: value[:30])
def test_a_format_that_is_shown_decodes(kind: str, text: str) -> None:
    if kind not in WRITTEN:
        DECODERS[kind](text)


def test_every_format_is_shown() -> None:
    assert {kind for kind, _ in SHOWN} == {*DECODERS, *WRITTEN}


def test_the_policy_that_is_shown_is_one() -> None:
    text = dict(blocks_of("how-to/policy", kind="toml"))["policy"]
    policy = msgspec.convert(tomllib.loads(text), Policy)
    assert (policy.domains["shop"].intents["Buy"].cost, policy.pins[0].least) == (20, 0.3)


def test_the_configuration_that_is_shown_is_one(tmp_path: Path) -> None:
    pages = ("reference/configuration", "how-to/out-of-scope-share")
    texts = [text for kind, text in blocks_of(*pages, kind="toml") if kind == "configuration"]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.toml").write_text(text)
    found, *_ = [read_configuration(tmp_path / f"{number}.toml") for number in range(len(texts))]
    assert found.scales["books"] == {**dict.fromkeys(FIELDS, "0..100"), "intent_confidence": "logprob"}
    assert found.decisions == {"fallback": "llm", "accept": 0.4, "groups": (("bert", "luis"),)}


def test_the_scales_that_are_shown_are_all_there_are() -> None:
    page = (DOCS / "reference/formats/scales.md").read_text(encoding="utf-8")
    text = page.partition("| scale | scores")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in text.splitlines()[2:]]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert all(scale(name.replace("LOW..HIGH", "0..5")) for name in named)
    with pytest.raises(InputError) as refused:
        scale("bogus")
    known = str(refused.value).partition("expected ")[2]
    assert set(named) - {DEFAULT} == set(known.replace("or words as ", "").split(", "))


def lacking(shown: Any, real: Any, path: str = "") -> list[str]:
    """The keys of what is shown that the real thing lacks; keys that are names of something stand for one another."""
    if not isinstance(shown, dict) or real is None:  # null where there is nothing to say
        return []
    if path.endswith((".per_domain", ".per_context", ".seconds")):
        return [lack for inner in shown.values() for lack in lacking(inner, next(iter(real.values())), f"{path}.*")]
    found = [f"{path}.{key}" for key in shown if key not in real]
    return found + [
        lack for key, inner in shown.items() if key in real for lack in lacking(inner, real[key], f"{path}.{key}")
    ]


def test_the_tuning_that_is_shown_has_the_keys_of_one() -> None:
    (shown,) = (json.loads(text) for kind, text in SHOWN if kind == "metrics")
    (tuning,) = shown["tuning"].values()
    assert set(tuning) == set(SystemTuning.__struct_fields__)
    assert set(tuning["choices"][0]) == set(SettingsChoice.__struct_fields__)


def test_evaluate_writes_what_is_shown(tutorial: Path, tmp_path: Path) -> None:
    drawn = generate(tutorial / "arbitrank-games/src/arbitrank_games/data", "games")
    corpus = [example for example in drawn if example.truth.domain in ("games", "video", None)]
    (tmp_path / "corpus").mkdir()
    for split, part in (("train", corpus[::2]), ("dev", corpus[1::2])):
        lines = [
            msgspec.json.encode(
                {"text": e.request.utterance, "context": e.request.context, **msgspec.to_builtins(e.truth)}
            )
            for e in part
        ]
        (tmp_path / "corpus" / f"{split}.jsonl").write_bytes(b"\n".join(lines))
    said = run("arbitrank evaluate corpus --shift --out out", tmp_path)
    assert (tmp_path / "out").is_dir(), said
    text = (DOCS / "reference/formats/metrics.md").read_text(encoding="utf-8")
    for path in (tmp_path / "out").iterdir():
        assert f"`{path.name}`" in text
    shown = {kind: json.loads(block) for kind, block in SHOWN if kind in WRITTEN}
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_bytes())
    assert lacking(shown["metrics"], metrics) == []
    prediction = json.loads((tmp_path / "out" / "predictions.jsonl").read_bytes().splitlines()[0])
    assert set(shown["prediction"]) == set(prediction)


# ------------------------------------------------------------------------------------------------------------ plugins


def test_every_method_of_the_contract_is_in_the_reference() -> None:
    text = (DOCS / "reference/contract.md").read_text(encoding="utf-8")
    for owner in (Domain, Model):
        public = {name for name in (*vars(owner), *owner.__annotations__) if not name.startswith("_")}
        table = text.split(f"\n| `{owner.__name__}` |")[1].split("\n\n")[0]
        assert set(re.findall(r"^\| `(\w+)", table, re.M)) == public


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the tutorial's two plugins, and their wheels unpacked in `site`."""
    folder = tmp_path_factory.mktemp("tutorial")
    text = "".join((DOCS / f"how-to/{name}.md").read_text(encoding="utf-8") for name in ("toolkit", "own-model"))
    for match in re.finditer(r"^`([\w./-]+)`[^\n]*\n\n```\w+\n(.*?)^```$", text, re.M | re.S):
        path = folder / match[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(match[2], encoding="utf-8")
    for plugin in ("arbitrank-games", "arbitrank-timers"):
        unpacked(wheel(folder / plugin), folder / "site")
    return folder


def unpacked(wheel: Path, site: Path) -> None:
    """Unpack a wheel into a folder of installed packages, as pip does."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def wheel(source: Path) -> Path:
    (path,) = WheelBuilder(str(source)).build(directory=str(source / "dist"), versions=["standard"])
    return Path(path)


def test_the_tutorials_domain_is_installed_trained_asked_and_shipped(tutorial: Path) -> None:
    site = str(tutorial / "site")
    lines = [line for _, text in blocks(DOCS / "how-to/toolkit.md", "sh") for line in text.splitlines()]
    own = ("arbitrank train games --promote", "arbitrank ask ", "arbitrank train games --out ")
    called = [line for line in lines if line.startswith(own)]
    train, ask, ship = called
    assert "stable in" in run(train, tutorial, PYTHONPATH=site)
    answer = msgspec.json.decode(run(f"{ask} --json", tutorial, PYTHONPATH=site), type=Answer)
    assert (answer.ranked[0].domain, answer.decision.action) == ("games", "accept")
    assert {report.status for report in answer.domains.values()} >= {"answered"}
    assert run(ship, tutorial, PYTHONPATH=site).splitlines()[-1].startswith("games ")
    with zipfile.ZipFile(wheel(tutorial / "arbitrank-games")) as archive:
        assert "arbitrank_games/model/manifest.json" in archive.namelist()


def test_the_tutorials_corpus_is_as_large_as_it_says(tutorial: Path) -> None:
    data = tutorial / "arbitrank-games/src/arbitrank_games/data"
    spec = tomllib.loads((data / "patterns.toml").read_text(encoding="utf-8"))
    promised = sum(section["count"] for kind in ("own", "others", "none") for section in spec[kind].values())
    assert len(generate(data, "games")) == promised


def test_the_tutorials_domain_without_the_toolkit_is_trained_and_asked(tutorial: Path) -> None:
    site = str(tutorial / "site")
    assert "stable in" in run("arbitrank train timers --promote", tutorial, PYTHONPATH=site)
    said = run("arbitrank ask 'set a timer for ten minutes' --json", tutorial, PYTHONPATH=site)
    answer = msgspec.json.decode(said, type=Answer)
    assert (answer.ranked[0].domain, answer.ranked[0].slots[0].value) == ("timers", "ten")


def test_a_plugins_readme_names_its_intents_and_slots() -> None:
    for folder in (ROOT / "plugins").iterdir():
        for path in folder.glob("src/*/model/recogniser/recogniser.json"):
            model = json.loads(path.read_bytes())
            names = {*model["intents"], *(label[2:] for label in model["labels"] if label != "O")}
            assert names <= set(re.findall(r"\w+", (folder / "README.md").read_text(encoding="utf-8"))), folder


# ------------------------------------------------------------------------------------------------------------ the rest


def test_the_explanation_has_the_numbers_that_the_code_has() -> None:
    pages = sorted((DOCS / "explanation").glob("*.md"))
    text = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in pages)
    for said in (
        f"clipped to [{CLIP:.0e}, 1 − {CLIP:.0e}]".replace("e-06", "e-6"),
        f"λ = {fitting.LAMBDA:g}",
        f"R1 + {fitting._FACTORED_R2:g} · R2",
        f"l2 = min(max(({fitting.ENOUGH} / m)², 1), {fitting._STRONGEST:g}) / n",
        f"each value that occurs in at least {census._RARE} requests",
        f"{standardisation._RANGE:,.0f} spreads at most, and beyond {standardisation.FAR:g} spreads",
        f"fewer than {sufficiency._LITTLE} requests",
        f"at most {census._SUREST:g}",
        f"Below m = {model_selection._FEW} they choose by three",
        f"Below m = {model_selection._FEWEST} nothing is tried",
        f"[{LEAST:.0e}, 1 − {LEAST:.0e}]",
        f"split into {FOLDS} folds",
        f"{BINS} bins",
    ):
        assert said in text, said
    for name in features.CORE_KEYS:
        assert f"`{name}`" in text


def test_recogniser_md_has_the_numbers_that_the_code_has() -> None:
    text = " ".join((DOCS / "recogniser.md").read_text(encoding="utf-8").split())
    for said in (
        f"2^{BUCKETS.bit_length() - 1} buckets",
        f"a run of up to {LONGEST_RUN} tokens",
        f"the {N_BEST} pairs",
        f"the tagger's {CANDIDATES} best readings",
    ):
        assert said.lower() in text.lower(), said


def reading(cell: str) -> tuple[str, tuple[Slot, ...]]:
    """A reading as docs/explanation/semer.md writes it: the intent, and perhaps a slot."""
    intent, _, slot = cell.partition(", ")
    name, _, value = slot.partition("=")
    return intent.strip("`"), (Slot(name, value),) if value else ()


def test_the_examples_of_semer_are_what_the_code_computes() -> None:
    text = (DOCS / "explanation/semer.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+) \| (`.+) \| (\d) \| ([\d.]+) \|$", text, re.M)
    for truth, said, errors, rate in rows:
        (meant, slots), (intent, read) = reading(truth), reading(said)
        found = semer(Hypothesis("video", intent, slots=read), Truth("video", meant, slots))
        assert found == float(rate) == float(errors) / (1 + len(slots))
    assert len(rows) == 4


def anchors(page: Path) -> set[str]:
    """What headings can be linked to, as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if not path.startswith("https://"):
            assert (page.parent / path).exists(), target
            assert not anchor or anchor in anchors(page.parent / path if path else page), target


def test_every_page_that_the_core_names_exists() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "core" / "src").rglob("*.py"))
    named = set(re.findall(r"\bdocs/[a-z0-9/_-]+\.md", code))
    assert named
    assert [page for page in sorted(named) if not (ROOT / page).is_file()] == []


def test_every_variable_that_the_core_reads_is_explained() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "core" / "src").rglob("*.py"))
    pages = [path for folder in ("how-to", "reference") for path in (DOCS / folder).glob("*.md")]
    text = "".join(path.read_text(encoding="utf-8") for path in pages)
    assert set(re.findall(r"\bARBITRANK_[A-Z]+\b", code)) <= set(re.findall(r"\bARBITRANK_[A-Z]+\b", text))


SOURCES = [ROOT / "core", ROOT / "negatives", ROOT / "bridges" / "mcp", *sorted((ROOT / "plugins").iterdir())]


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_changelog_begins_with_the_distributions_version(source: Path) -> None:
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (source / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changelog, re.M)[0] == project["version"]


def timeless(output: str) -> str:
    """The output without milliseconds, which are others each time."""
    return re.sub(r'(?<=":)\d+(?:\.\d+)?(?=[,}])', "", output)


def write() -> None:
    """Write what is generated."""
    docs_reference.write()
    for name, text in commands().items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for page, command, before in list(examples()):
            printed = "".join(f"{line.rstrip()}\n" for line in run(command, Path(folder)).splitlines())
            if timeless(printed) == timeless(before):
                continue
            text = page.read_text(encoding="utf-8")
            shown = re.compile(rf"^```console\n\$ {re.escape(command)}\n.*?^```$", re.M | re.S)
            page.write_text(
                shown.sub(lambda _, c=command, p=printed: f"```console\n$ {c}\n{p}```", text), encoding="utf-8"
            )
    import test_own_nlu

    with tempfile.TemporaryDirectory() as folder:
        test_own_nlu.write(Path(folder))
    follow = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "test_tutorial.py")]
    subprocess.run(follow, env={**os.environ, "ARBITRANK_WRITE_DOCS": "1"}, check=False)


if __name__ == "__main__":
    write()
