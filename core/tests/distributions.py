"""Real distributions to discover: each plugin is built into a wheel by hatchling and unpacked as pip would."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

GROUP = "arbitrank.domains.v1"
FAKES = Path(__file__).with_name("fakes.py").read_text(encoding="utf-8")
"""The head of a plugin's module: the domains that its hook may return."""


def serving(*names: str, kind: str = "FakeDomain") -> str:
    """The code of a valid plugin with domains of these names, of a class of `fakes`."""
    hook = f"@hookimpl\ndef arbitrank_domains():\n    return [{kind}(name) for name in {names!r}]\n"
    return f"{FAKES}\n\nfrom arbitrank.hookspecs import hookimpl\n\n\n{hook}"


def install(
    site: Path, name: str, code: str, *, entry: str | None = None, requires: Sequence[str] = ("arbitrank>=0.1,<1",)
) -> None:
    """Build distribution `name`, one module of `code`, and unpack it into `site`.

    Its entry point is called `entry`, by default `name` without its prefix.
    """
    module = name.replace("-", "_")
    source = site.parent / "sources" / name
    source.mkdir(parents=True)
    (source / f"{module}.py").write_text(code, encoding="utf-8")
    (source / "pyproject.toml").write_text(
        f"""
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.2.3"
dependencies = {list(requires)!r}

[project.entry-points."{GROUP}"]
{entry or name.removeprefix("arbitrank-")} = "{module}"

[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
""",
        encoding="utf-8",
    )
    (wheel,) = WheelBuilder(str(source)).build(directory=str(source / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
