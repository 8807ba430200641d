"""`arbitrank new`: names, places and files of a new distribution, which fulfils the suite as it is made."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from distributions import install, serving

from arbitrank.cli.main import cli
from arbitrank.domain import Domain
from arbitrank.errors import InputError
from arbitrank.nlu.patterns import generate
from arbitrank.packages import core_version
from arbitrank.scaffold import distribution, service
from arbitrank.scaffold.distribution import Created, Wanted, create, place_of
from arbitrank.scaffold.files import filled
from arbitrank.scaffold.names import DomainNames, names_of
from arbitrank.scaffold.weights import imported, unfulfilled
from arbitrank.scaffold.workspace import list_plugin, with_license, workspace_of
from arbitrank.store.artifact_checks import verified

WAYS = {"toolkit": "word-games", "own-nlu": "lamps", "own-model": "egg_timers"}
"""The ways, with the name of the domain that is made by each."""

CORPUS = [
    {"text": "brew oolong", "domain": "tea", "intent": "Brew", "slots": [{"name": "tea", "value": "oolong"}]},
    {"text": "brew assam", "domain": "tea", "intent": "Brew", "slots": [{"name": "tea", "value": "assam"}]},
    {"text": "make oolong", "domain": "tea", "intent": "Brew", "slots": [{"name": "tea", "value": "oolong"}]},
    {"text": "is the kettle (still) hot", "domain": "tea", "intent": "AskKettle"},
    {"text": "how are you", "domain": None},
]


def corpus(folder: Path, lines: Sequence[object] = CORPUS) -> Path:
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[DomainNames, Created]]:
    """A distribution made by each way, one that can be a service, and one from a corpus."""
    folder = tmp_path_factory.mktemp("made")
    found = {}
    for way, name in WAYS.items():
        names = names_of(name)
        found[way] = names, create(Wanted(names, way), place_of(names, folder))
    names = names_of("hour-glasses")
    found["service"] = names, create(Wanted(names, "own-model", service=True), place_of(names, folder))
    names = names_of("tea")
    found["from"] = names, create(Wanted(names, source=corpus(folder)), place_of(names, folder))
    return found


@pytest.mark.parametrize("way", [*WAYS, "service", "from"])
def test_a_new_domain_fulfils_the_suite(made: dict[str, tuple[DomainNames, Created]], way: str) -> None:
    names, created = made[way]
    with imported(names, created.folder) as domain:
        assert domain.name == names.name
        assert unfulfilled(domain) == created.unfulfilled
    assert way == "from" or not created.unfulfilled


@pytest.mark.parametrize("way", [*WAYS, "service", "from"])
def test_a_new_distribution_is_complete(made: dict[str, tuple[DomainNames, Created]], way: str) -> None:
    names, created = made[way]
    files = {path.relative_to(created.folder).as_posix() for path in created.folder.rglob("*") if path.is_file()}
    package = f"src/{names.package}"
    assert files == set(created.files)
    assert files > {
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        ".gitignore",
        f"tests/test_{names.module}.py",
        f"{package}/plugin.py",
        f"{package}/model/manifest.json",
    }
    assert any(file.startswith(f"{package}/data/") for file in files)
    about = tomllib.loads((created.folder / "pyproject.toml").read_text(encoding="utf-8"))
    major, minor = core_version().split(".")[:2]
    assert about["project"]["name"] == names.distribution
    core = "arbitrank[serve]" if way == "service" else "arbitrank"
    assert about["project"]["dependencies"] == [f"{core}>={major}.{minor},<{int(major) + 1}"]
    assert about["project"]["entry-points"] == {"arbitrank.domains.v1": {names.name: f"{names.package}.plugin"}}
    readme = (created.folder / "README.md").read_text(encoding="utf-8")
    recogniser = created.folder / package / "model" / "recogniser" / "recogniser.json"
    learned = json.loads(recogniser.read_bytes()) if recogniser.is_file() else {"intents": [], "labels": []}
    for named in (*learned["intents"], *(label[2:] for label in learned["labels"] if label != "O")):
        assert f"`{named}`" in readme
    manifest = verified(created.folder / package / "model")
    assert (manifest.domain, manifest.package, manifest.version) == (names.name, names.distribution, created.version)
    for file in files:
        if file.endswith((".py", ".md", ".toml", ".jsonl")):
            text = (created.folder / file).read_text(encoding="utf-8")
            assert "$" not in text, file
            assert not any(line != line.rstrip() for line in text.split("\n")), file
        if file.endswith(".py"):
            ast.parse(text)


def test_one_that_can_be_a_service_has_its_application_and_the_lines_that_name_it(
    made: dict[str, tuple[DomainNames, Created]],
) -> None:
    names, created = made["service"]
    assert {"tests/test_service.py", f"src/{names.package}/service.py"} <= set(created.files)
    assert not {"tests/test_service.py", "src/arbitrank_egg_timers/service.py"} & set(made["own-model"][1].files)
    lines = service.configuration(names)
    stated = tomllib.loads(lines)["domains"]["hour-glasses"]
    assert stated["url"] == "http://127.0.0.1:8701"
    readme = (created.folder / "README.md").read_text(encoding="utf-8")
    assert f"```toml\n{lines}```" in readme
    assert readme.count(service.start(names)) == 2
    assert readme.index("## As a service of its own") < readme.index("## Release")


def test_patterns_of_a_corpus_draw_what_it_has_and_more(made: dict[str, tuple[DomainNames, Created]]) -> None:
    names, created = made["from"]
    examples = generate(created.folder / "src" / names.package / "data", "tea")
    own = {e.request.utterance: e.truth for e in examples if e.truth.domain == "tea"}
    assert {"brew oolong", "make assam", "is the kettle (still) hot"} <= set(own)
    assert [(slot.name, slot.value) for slot in own["make assam"].slots] == [("tea", "assam")]
    assert "how are you" in {e.request.utterance for e in examples if e.truth.out_of_scope}


def test_readings_of_an_nlu_of_ones_own_are_kept_on_their_scale(tmp_path: Path) -> None:
    lines = [
        {
            "utterance": f"lamp {i} on",
            "context": {"room": "hall"},
            "hypotheses": [
                {"domain": "lamps", "intent": "TurnOn", "domain_confidence": 90 if i % 2 else 30 + i % 7},
                {"domain": "other", "intent": "X"},
            ],
            "truth": {"domain": "lamps", "intent": "TurnOn"} if i % 2 else {"domain": "other", "intent": "X"},
        }
        for i in range(80)
    ]
    wanted = Wanted(names_of("lamps"), "own-nlu", corpus(tmp_path, lines), scales={"domain_confidence": "0..100"})
    created = create(wanted, tmp_path / "lamps")
    package = created.folder / "src" / "arbitrank_lamps"
    (first, *_) = (package / "data" / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    assert [h["domain"] for h in json.loads(first)["hypotheses"]] == ["lamps"]
    assert _attribute(package / "domain.py", "intent_titles") == {"TurnOn": "turn on"}
    assert _attribute(package / "domain.py", "scales") == {"domain_confidence": "0..100"}
    assert '(*CORE_KEYS, "room")' in (package / "domain.py").read_text(encoding="utf-8")


def _attribute(file: Path, name: str) -> object:
    """The value of a typed class attribute in a module that is not imported."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value is not None:
            return ast.literal_eval(node.value)
    return None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Games", "did you mean games?"),
        ("myGames", "did you mean my-games?"),
        ("jeux vidéo", "did you mean jeux-video?"),
        ("arbitrank-games", "did you mean games?"),
        ("my--games", "did you mean my-games?"),
        ("3d", "expected a letter first"),
        ("-games", "expected a letter first"),
        ("", "expected a letter first"),
        ("../games", "expected a letter first"),
        ("打开", "expected a letter first"),
        ("a" * 41, "at most 40"),
        ("none", "is reserved; expected a name of your own, as my-none"),
        ("class", "is reserved"),
        ("hyprank", "is reserved"),
        ("reference", "is reserved"),
    ],
)
def test_a_name_that_cannot_be_is_refused(given: str, expected: str) -> None:
    with pytest.raises(InputError, match="NAME: ") as caught:
        names_of(given)
    assert expected in str(caught.value)


def test_a_name_that_is_taken_is_refused(site: Path) -> None:
    install(site, "arbitrank-my-lamps", serving("my-lamps"))
    (site / "arbitrank_pans.py").write_text("")
    with pytest.raises(InputError, match=r"the domain .*my-lamps .* is installed"):
        names_of("my_lamps")
    with pytest.raises(InputError, match="a module arbitrank_pans can be imported already"):
        names_of("pans")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    names = names_of("games")
    (tmp_path / "arbitrank-games").symlink_to("nowhere")
    with pytest.raises(InputError, match="arbitrank-games is there already, and nothing is overwritten"):
        place_of(names, tmp_path)
    with pytest.raises(InputError, match="make it first: mkdir -p"):
        place_of(names, tmp_path / "missing")


def test_in_a_workspace_a_domain_is_a_folder_of_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = names_of("games")
    assert place_of(names, None) == Path("arbitrank-games")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "pyproject.toml").touch()
    assert place_of(names, None) == Path("plugins/games")
    assert place_of(names, Path("plugins")) == Path("plugins/games")


LISTED = """[project]
license = "MIT"
dependencies = [
    "arbitrank @ {root:uri}/core", # first
    "arbitrank-word-games @ {root:uri}/plugins/word-games",
    "arbitrank-tea @ {root:uri}/plugins/tea"
]

[tool.coverage.run]  # arbitrank_tea is not all
source_pkgs = ["arbitrank", "arbitrank_word_games", "arbitrank_tea"]
"""
WITH_NEW = """[project]
license = "MIT"
dependencies = [
    "arbitrank @ {root:uri}/core", # first
    "arbitrank-word-games @ {root:uri}/plugins/word-games",
    "arbitrank-tea @ {root:uri}/plugins/tea",
    "arbitrank-egg-timers @ {root:uri}/plugins/egg-timers",
]

[tool.coverage.run]  # arbitrank_tea is not all
source_pkgs = ["arbitrank", "arbitrank_word_games", "arbitrank_tea", "arbitrank_egg_timers"]
"""


def test_a_workspace_lists_its_new_plugin_and_gives_it_the_license(tmp_path: Path) -> None:
    names = DomainNames("egg-timers")
    for sibling in ("tea", "word-games"):
        (tmp_path / "plugins" / sibling).mkdir(parents=True)
        (tmp_path / "plugins" / sibling / "pyproject.toml").touch()
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "pyproject.toml").touch()
    (tmp_path / "pyproject.toml").write_text(LISTED, encoding="utf-8")
    (tmp_path / "requirements.txt").write_text("-e ./core\n-e ./plugins/word-games\n-e ./plugins/tea", encoding="utf-8")
    (tmp_path / "LICENSE").write_text("As you like it.\n", encoding="utf-8")
    assert workspace_of(tmp_path / "plugins" / "egg-timers") == tmp_path
    assert workspace_of(tmp_path / "egg-timers") is None
    files = filled("own-model", names, {"way": "own-model"})
    with_license(files, tmp_path)
    assert files["LICENSE"] == "As you like it.\n"
    assert tomllib.loads(files["pyproject.toml"])["project"]["license"] == "MIT"
    assert list_plugin(tmp_path, names) == ["requirements.txt", "pyproject.toml"]
    assert (tmp_path / "pyproject.toml").read_text(encoding="utf-8") == WITH_NEW
    assert (
        (tmp_path / "requirements.txt").read_text(encoding="utf-8").endswith("plugins/tea\n-e ./plugins/egg-timers\n")
    )
    assert list_plugin(tmp_path, names) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, InputError])
def test_nothing_is_left_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(domain: Domain, *args: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1
        raise error

    monkeypatch.setattr(distribution, "train_shipped", fail)
    names = names_of("games")
    with pytest.raises((KeyboardInterrupt, InputError)):
        create(Wanted(names), place_of(names, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--own-nlu", "--remote"], "--own-nlu has no recogniser to serve"),
        (["--own-model", "--from", "x"], "nothing is learned for --own-model"),
        (["--corpus", "rasa"], "--corpus: no --from"),
        (["--scale", "games=0..100"], "--scale: no --own-nlu"),
        (["--own-nlu", "--scale", "lamps=0..100"], "stated for lamps, expected games=SCALE"),
        (["--own-nlu", "--from", "x", "--corpus", "rasa"], "run first: arbitrank import"),
        (["--from", "missing.jsonl"], "missing.jsonl is not there"),
        (["--from", "notes.txt"], "of another format, name it: --corpus rasa|"),
        (["--from", "two.jsonl"], "no line is of the domain games; domains in it: a (1), b (1)"),
        (["--from", "nobody.jsonl"], "domains in it: none"),
    ],
)
def test_a_wrong_call_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("arbitrank.cli.new.signal.signal", lambda *args: None)
    Path("notes.txt").touch()
    Path("two.jsonl").write_text("".join(f'{{"text": "x", "domain": "{name}", "intent": "Y"}}\n' for name in "ab"))
    Path("nobody.jsonl").write_text('{"text": "x", "domain": null}\n')
    before = set(tmp_path.iterdir())
    result = CliRunner().invoke(cli, ["new", "games", *options])
    assert expected in str(result.exception)
    assert set(tmp_path.iterdir()) == before
