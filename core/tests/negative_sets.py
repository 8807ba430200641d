"""Installed sets of negatives, made as an installer leaves them, and the discovery of these alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

GROUP = "arbitrank.negatives"
EXPLODING = "raise RuntimeError('a package of negatives is never imported')\n"


def line(text: str, **more: Any) -> str:
    """A line of a set."""
    return json.dumps({"text": text, "domain": None, **more})


def install_set(
    site: Path,
    name: str,
    lines: Iterable[str] | bytes | None,
    *,
    value: str | None = None,
    group: str = GROUP,
    version: str = "1.0",
) -> Path:
    """Install the distribution `name` with a set of these lines, None for none; its file."""
    module = name.replace("-", "_")
    folder = site / module
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(EXPLODING, encoding="utf-8")
    file = folder / "negatives.jsonl"
    if lines is not None:
        file.write_bytes(lines if isinstance(lines, bytes) else "".join(f"{one}\n" for one in lines).encode())
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{group}]\nset = {value or module}\n", encoding="utf-8")
    return file


def only(monkeypatch: pytest.MonkeyPatch, site: Path) -> Path:
    """Have the sets of this folder found, and no others; the folder."""
    site.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(str(site))
    found = "arbitrank.negatives.installed.distributions"
    monkeypatch.setattr(found, lambda: metadata.distributions(path=[str(site)]))
    return site
