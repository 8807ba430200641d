"""Environments for tests, made by hand in milliseconds: this Python, this core, and a plugin of one module."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from arbitrank.environments import folders
from arbitrank.environments.folders import Recorded, Release
from arbitrank.isolation.messages import PROTOCOL, DomainStated, Hello, SkillStated

GROUP = "arbitrank.domains.v1"
HEAD = """
import numpy as np
from arbitrank.domain import Domain, Model, Scores, Skill
from arbitrank.hookspecs import hookimpl
from arbitrank.values import Example, Hypothesis, Request, Truth


class TalkingModel(Model):
    def __init__(self, name, intent):
        self.name, self.intent = name, intent

    def recognise(self, request):
        return [Hypothesis(self.name, self.intent, 0.9)]

    def rerank(self, request):
        n = len(request.hypotheses)
        return Scores(0.9, np.full(n, 0.8 / n))


class Talking(Domain):
    intent = "Fly"

    def __init__(self, name):
        self.name = name

    @property
    def skills(self):
        return (Skill(self.name, "", ("fly",)),)

    def examples(self):
        yield Example(Request(utterance="fly"), Truth(self.name, self.intent))

    def train(self, examples, out, settings):
        settings.progress("fly", 1, 1)
        (out / "reranker").mkdir()
        (out / "reranker" / "weights.json").write_text(str(len(examples)))
        return {"examples": len(examples), "seed": settings.seed}

    def load(self, folder):
        return TalkingModel(self.name, self.intent)
"""


def plugin(*names: str, intent: str = "Fly", extra: str = "") -> str:
    """The code of a plugin with domains of these names, which read everything as `intent`."""
    return f"""{HEAD}

{extra}

Talking.intent = {intent!r}


@hookimpl
def arbitrank_domains():
    return [Talking(name) for name in {names!r}]
"""


def make(
    folder: Path,
    code: str,
    *,
    package: str = "arbitrank-kite",
    version: str = "1.0",
    requires: str = "arbitrank<1,>=0.2",
    group: str = GROUP,
) -> None:
    """Make a virtual environment in the folder, with one plugin, as an installer would."""
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}\n")  # type: ignore[attr-defined]
    module = package.replace("-", "_")
    core = Path(folders.__file__).parents[2]
    (site / "paths.pth").write_text(
        f"{core}\n{sysconfig.get_path('purelib')}\n" + "".join(f"{p}\n" for p in sys.path if p)
    )
    (site / f"{module}.py").write_text(code, encoding="utf-8")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    (info / "METADATA").write_text(f"{head}Requires-Dist: {requires}\n")
    entry = package.removeprefix("arbitrank-")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry} = {module}\n")
    (info / "RECORD").write_text(f"{module}.py,,\n")


def released(
    folder: Path,
    names: Sequence[str] = ("kite",),
    *,
    package: str = "arbitrank-kite",
    version: str = "1.0",
    intent: str = "Fly",
    extra: str = "",
    current: bool = True,
    requires: str = "arbitrank<1,>=0.2",
) -> Release:
    """A release in a folder of environments, recorded without a start, and made current."""
    release = Release((folder / package).resolve() / f"{version}-00000000")
    code = plugin(*names, intent=intent, extra=extra)
    make(release.folder, code, package=package, version=version, requires=requires)
    facts = tuple(DomainStated(n, package, version, n, skills=(SkillStated(n, "", ("fly",)),)) for n in names)
    hello = Hello(PROTOCOL, "0.2.0", "3", {}, ("examples", "explain", "given", "train"), facts)
    folders.record(release.folder, Recorded(package, package, version, {package: version}, hello))
    folders.leasable(release.folder)
    if current:
        folders.switch(folder, release)
    return release
