"""Files of a new distribution: the templates of a way, filled in with names and texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from arbitrank.scaffold.names import DomainNames

__all__ = ["WAYS", "filled", "template"]

WAYS = ("toolkit", "own-nlu", "own-model")
"""The ways to build a domain, each with a folder of templates; `corpus` is the toolkit's with data of one's own."""

_TEMPLATES = Path(__file__).parents[1] / "templates" / "new"
_SUFFIX = ".template"


def template(place: str) -> str:
    """The text of a template, by its place below the folder of templates, without its suffix."""
    return (_TEMPLATES / f"{place}{_SUFFIX}").read_text(encoding="utf-8")


def filled(folder: str, names: DomainNames, texts: Mapping[str, str]) -> dict[str, str]:
    """The files of a way by their places in the distribution. `texts` are values beside those of the names.

    A template names a value as `$name`; `package` and `module` in a place are those of the domain.
    """
    values = {
        "name": names.name,
        "module": names.module,
        "package": names.package,
        "distribution": names.distribution,
        "title": names.title,
        "class_name": f"{names.stem}Domain",
        "model_name": f"{names.stem}Model",
        "core": names.core,
        **texts,
    }
    found = {}
    for root in (_TEMPLATES / "all", _TEMPLATES / folder):
        for path in sorted(root.rglob(f"*{_SUFFIX}")):
            place = path.relative_to(root).as_posix().removesuffix(_SUFFIX)
            place = place.replace("gitignore", ".gitignore").replace("src/package/", f"src/{names.package}/")
            place = place.replace("test_module.py", f"test_{names.module}.py")
            found[place] = Template(path.read_text(encoding="utf-8")).substitute(values)
    return found
