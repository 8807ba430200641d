"""What holds for every verb: it helps, it starts light, and a wrong call costs one line and status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from arbitrank.cli.main import VERBS

HEAVY = ("sklearn", "scipy.optimize", "matplotlib", "lightgbm", "joblib")

REPORT = f"""
import sys
try:
    {{statement}}
finally:
    loaded = [name for name in {HEAVY} if name in sys.modules]
    print("heavy:", *loaded, file=sys.stderr)
"""


def heavy_after(statement: str, cwd: Path, *args: str, input: str = "") -> list[str]:
    """Which heavy modules a fresh Python has loaded after `statement`."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(statement=statement), *args],
        input=input,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        timeout=120,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("heavy:")]
    return line.split()[1:]


def test_importing_arbitrank_loads_no_training_library(tmp_path: Path) -> None:
    assert heavy_after("import arbitrank", tmp_path) == []


@pytest.mark.parametrize(
    "args",
    [
        ("ask", "play mary poppins", "--device", "tv"),
        ("ask", "play mary poppins", "--explain", "--json"),
        ("rank", "-", "--explain"),
        ("domains",),
        ("domains", "--json"),
        ("train", "--help"),
        ("evaluate", "--help"),
    ],
    ids=" ".join,
)
def test_serving_verbs_load_no_training_library(tmp_path: Path, args: tuple[str, ...]) -> None:
    line = '{"utterance": "play dune"}\n{"hypotheses": [{"domain": "music", "intent": "PlayMusic"}]}\n'
    store = ("--store", str(tmp_path / "store")) if "--help" not in args else ()
    run = "from arbitrank.cli.main import main; main()"
    assert heavy_after(run, tmp_path, *args, *store, input=line) == []


def test_processes_of_joblib_import_nothing_from_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit(9)")
    code = """if True:
        import sys
        from arbitrank.cli.main import main
        try:
            main()
        except SystemExit:
            from joblib import Parallel, delayed
            print(Parallel(n_jobs=2)(delayed(abs)(-number) for number in range(2)))
    """
    command = [sys.executable, "-P", "-c", code, "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[0, 1]\n")


def test_the_measure_of_lightness_sees_what_is_heavy(tmp_path: Path) -> None:
    assert heavy_after("import arbitrank.nlu.training; import joblib", tmp_path) != []


def test_help_lists_every_verb(arbitrank) -> None:
    done = arbitrank("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for verb, (_, summary) in VERBS.items():
        assert f"  {verb}" in done.stdout
        assert summary in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps(arbitrank, verb: str) -> None:
    done = arbitrank(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: arbitrank {verb} ")
    assert arbitrank(verb, "-h").stdout == done.stdout


def test_a_process_that_has_imported_nothing_helps_alike(arbitrank, fresh) -> None:
    for verb in ("ask", "train"):
        assert fresh(verb, "--help").stdout == arbitrank(verb, "--help").stdout


def test_without_a_verb_the_help_is_shown_as_an_error(arbitrank) -> None:
    done = arbitrank()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: arbitrank ")


def test_the_version_is_that_of_the_distribution(arbitrank) -> None:
    from importlib.metadata import version

    assert arbitrank("--version").stdout == f"arbitrank, version {version('arbitrank')}\n"


def test_the_module_is_the_command(arbitrank, tmp_path: Path) -> None:
    module = subprocess.run(
        [sys.executable, "-m", "arbitrank", "--help"], capture_output=True, encoding="utf-8", cwd=tmp_path, check=True
    )
    assert module.stdout == arbitrank("--help").stdout


# Calls that are wrong, and what the one line on standard error says of each.
WRONG = {
    "no such verb": (("aks", "x"), "No such command 'aks'"),
    "no such option": (("--nope",), "No such option"),
    "rank: no such file": (("rank", "absent.jsonl"), "absent.jsonl: cannot be read: "),
    "rank: a folder": (("rank", "."), ".: cannot be read: "),
    "rank: a threshold of NaN": (("rank", "--none", "nan"), "nan is not in the range 0<=x<=1"),
    "canary: a percentage": (("canary", "x", "10%"), "10% is not in the range 0<=x<=1, expected 0.1"),
    "canary: percent": (("canary", "x", "10"), "10 is not in the range 0<=x<=1, expected 0.1"),
    "canary: a comma": (("canary", "x", "0,1"), "0,1 is not in the range 0<=x<=1, expected 0.1"),
    "canary: words": (("canary", "x", "ten"), "'ten' is no number in the range 0<=x<=1"),
    "domains: too much": (("domains", "music"), "unexpected extra argument"),
    "train: an unknown domain": (("train", "cooking"), "domain 'cooking' is not loaded (loaded: books, music, video)"),
    "train: no such data": (("train", "music", "--data", "absent.jsonl"), "absent.jsonl: cannot be read: "),
    "train: an unknown model": (("train", "--model", "magic"), "'magic' is not one of"),
    "train: no share kept": (("train", "--kept", "0"), "0.0 is not in the range 0<x<=1"),
    "train: no process": (("train", "--jobs", "0"), "0 is not in the range x>=1"),
    "train: one folder for three": (("train", "--out", "here"), "--out: 3 domains to train, expected one"),
    "evaluate: nothing": (("evaluate",), "Missing argument 'PATH'"),
    "evaluate: no such path": (("evaluate", "absent"), "absent"),
}


@pytest.mark.parametrize(("args", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_call_gets_one_line_and_status_2(arbitrank, args: tuple[str, ...], said: str) -> None:
    done = arbitrank(*args)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("arbitrank: ")
    assert said in line
