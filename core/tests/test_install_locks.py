"""Locks of environments: what is allowed in one, what a line has to say, and what the operator allows."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from arbitrank.cli.main import cli
from arbitrank.configuration import InstallRules, read_configuration
from arbitrank.environments.building import Sources, Tool, _indexes, _lock_of, build
from arbitrank.environments.locking import LOCK, check_allowed, locked, of_report, read_lock
from arbitrank.errors import InputError

HASH = "--hash=sha256:" + "ab" * 32
TEXT = f"""
# made by hand
arbitrank==0.2.0 \\
    {HASH} \\
    --hash=sha256:{"cd" * 32}
    # via -r requirements.in
arbitrank-kite @ file:///wheels/arbitrank_kite-1.0-py3-none-any.whl {HASH}
numpy==2.3.1 ; python_version >= "3.11" {HASH}
"""


def test_a_lock_is_read_with_continued_lines_markers_and_comments() -> None:
    found = locked(TEXT)
    assert [one.requirement.name for one in found] == ["arbitrank", "arbitrank-kite", "numpy"]
    assert [len(one.hashes) for one in found] == [2, 1, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("numpy==2.3.1", "and --hash=sha256"),
        (f"numpy>=2 {HASH}", "expected one version"),
        (f"numpy {HASH}", "expected one version"),
        (f"-r other.txt {HASH}", "no locked requirement"),
        (f"--index-url https://evil.example/simple {HASH}", "no locked requirement"),
        (f"numpy==2.* {HASH}", "expected one version"),
    ],
)
def test_a_line_that_is_not_one_version_with_hashes_is_refused(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(f"{TEXT}\n{line}\n")
    with pytest.raises(InputError, match=re.escape(message)):
        read_lock(path)


def test_the_lock_of_a_report_of_pip_has_versions_urls_and_hashes() -> None:
    def entry(name: str, direct: bool) -> dict[str, object]:
        info = {"url": f"file:///wheels/{name}.whl", "archive_info": {"hashes": {"sha256": "ef"}}}
        return {"metadata": {"name": name, "version": "1.0"}, "is_direct": direct, "download_info": info}

    report = msgspec.json.encode({"install": [entry("Zebra", False), entry("kite", True)]})
    assert of_report(report) == (
        "kite @ file:///wheels/kite.whl --hash=sha256:ef\nZebra==1.0 --hash=sha256:ef\n"
    )  # fmt: skip


def test_a_checkout_in_a_report_of_pip_is_refused_as_it_has_no_hash() -> None:
    info = {"url": "https://code.example/kite", "vcs_info": {"vcs": "git", "commit_id": "ab"}}
    entry = {"metadata": {"name": "kite", "version": "1.0"}, "is_direct": True, "download_info": info}
    with pytest.raises(InputError, match=re.escape("'kite @ https://code.example/kite': expected one version")):
        locked(of_report(msgspec.json.encode({"install": [entry]})))


RULES = InstallRules(("arbitrank*", "NumPy"), ("https://index.example/simple/",), where="arbitrank.toml")


@pytest.mark.parametrize(
    ("text", "indexes", "refused"),
    [
        ("", ["https://index.example/simple"], None),
        ("", ["https://user:secret@index.example/simple/", "./wheels"], None),
        ("", ["https://index.example/simple/team"], None),
        ("", ["https://index.example/simpler"], "https://index.example/simpler: not among the indexes"),
        ("", ["https://index.example:444/simple"], "https://index.example:444/simple: not among"),
        ("", ["https://u:p@pypi.org/simple"], "https://pypi.org/simple: not among the indexes"),
        (f"numpy @ https://evil.example/numpy.whl {HASH}", [], "https://evil.example/numpy.whl: not among"),
        (f"left-pad==1.0 {HASH}", [], "left-pad: not among the distributions"),
    ],
)
def test_distributions_and_indexes_that_are_not_allowed_are_refused(
    text: str, indexes: list[str], refused: str | None
) -> None:
    if refused is None:
        check_allowed(locked(TEXT + text), indexes, RULES)
        check_allowed(locked(f"left-pad==1.0 {HASH}"), ["https://elsewhere.example"], InstallRules())
        return
    with pytest.raises(InputError, match=re.escape(refused)) as raised:
        check_allowed(locked(TEXT + text), indexes, RULES)
    assert "secret" not in str(raised.value)
    assert "u:p" not in str(raised.value)


def test_without_an_index_the_configured_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("arbitrank.environments.building._pip_options", lambda: ("--index-url", "https://a.example"))
    assert _indexes(Tool(), Sources()) == ["https://a.example"]
    assert _indexes(Tool(), Sources(no_index=True, find_links=("./wheels",))) == ["./wheels"]
    monkeypatch.setattr("arbitrank.environments.building._pip_options", tuple)
    assert _indexes(Tool(), Sources()) == ["https://pypi.org/simple"]


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("arbitrank==0.2", None),
        ("arbitrank>=0.1", None),
        ("arbitrank==0.3", "has 0.2.0 arbitrank, expected arbitrank==0.3"),
        ("arbitrank-maps", "has no arbitrank-maps"),
        (".", "expected the name of a package"),
    ],
)
def test_a_given_lock_has_to_have_the_requirement(requirement: str, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(TEXT)
    sources = Sources(require_hashes=path)
    if message is None:
        assert _lock_of(requirement, "python", Tool(), sources, [], tmp_path) == TEXT
        return
    with pytest.raises(InputError, match=re.escape(message)):
        _lock_of(requirement, "python", Tool(), sources, [], tmp_path)


def test_what_is_not_allowed_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def recorded(arguments: list[str], **more: object) -> None:
        ran.append(" ".join(arguments))

    monkeypatch.setattr("arbitrank.environments.building._run", recorded)
    lock = tmp_path / "lock"
    lock.write_text(f"arbitrank-kite==1.0 {HASH}\nleft-pad==1.0 {HASH}\n")
    part = tmp_path / "part"
    part.mkdir()
    sources = Sources(require_hashes=lock, no_index=True, rules=RULES)
    with pytest.raises(InputError, match="left-pad: not among the distributions"):
        build("arbitrank-kite", Path("python"), part, Tool(), sources)
    assert not [one for one in ran if "install" in one]
    lock.write_text(f"arbitrank-kite==1.0 {HASH}\n")
    build("arbitrank-kite", Path("python"), part, Tool(), sources)
    assert ran[-1].endswith(f"--only-binary :all: --require-hashes -r {part / LOCK}")
    assert (part / LOCK).read_text() == lock.read_text()


def test_the_rules_stand_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "arbitrank.toml"
    path.write_text('[install]\ndistributions = ["arbitrank*"]\nrequire_hashes = true\n')
    assert read_configuration(path).install == InstallRules(("arbitrank*",), (), True, str(path))
    path.write_text("[install]\ndistribution = 1\n")
    with pytest.raises(InputError, match='install: key "distribution"'):
        read_configuration(path)


@pytest.mark.parametrize(
    ("rules", "options", "message"),
    [
        ("require_hashes = true", (), "requires hashes; give a lock: --require-hashes FILE"),
        (
            "",
            ("--require-hashes", "lock", "--with", "numpy"),
            "--with numpy: --require-hashes installs what its lock has",
        ),
    ],
)
def test_an_installation_is_refused_before_anything_is_built(
    rules: str, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    configuration = tmp_path / "arbitrank.toml"
    configuration.write_text(f"[install]\n{rules}\n")
    words = ["install", "arbitrank-kite", "--environments", str(tmp_path / "environments"), *options]
    done = CliRunner().invoke(cli, words, env={"ARBITRANK_CONFIG": str(configuration)})
    assert message in str(done.exception)
    assert not (tmp_path / "environments").exists()
