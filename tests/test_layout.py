"""Rules of the house that a reader of one file cannot see."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOMAINS = sorted(folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "pyproject.toml").is_file())


def test_the_core_names_no_domain() -> None:
    name = re.compile(rf"(?<![a-z])(?:{'|'.join(DOMAINS)})(?![a-z])", re.IGNORECASE)
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "core" / "src").rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if name.search(line)
    ]
    assert DOMAINS == ["books", "music", "video"]
    assert named == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_one_rule_for_names(domain: str) -> None:
    """Folder, distribution, import package, entry point and the domain itself go by one name."""
    from importlib.metadata import distribution, entry_points

    from arbitrank.registry import discover, loaded

    (entry,) = entry_points(group="arbitrank.domains.v1", name=domain)
    assert entry.dist is not None
    assert entry.dist.name == f"arbitrank-{domain}"
    assert entry.value.split(".")[0] == f"arbitrank_{domain}"
    assert (ROOT / "plugins" / domain / "src" / f"arbitrank_{domain}" / "plugin.py").is_file()
    assert loaded(discover({}))[domain].name == domain
    assert "arbitrank<1,>=0.1" in (distribution(f"arbitrank-{domain}").requires or [])
