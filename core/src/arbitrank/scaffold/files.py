"""Files of a new distribution: the templates of a way, filled in with names and texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

from arbitrank.scaffold.names import DomainNames

__all__ = ["SERVICE", "WAYS", "filled", "template"]

WAYS = ("toolkit", "own-nlu", "own-model")
"""The ways to build a domain, each with a folder of templates; `corpus` is the toolkit's with data of one's own."""

SERVICE = "remote"
"""The folder of templates that a domain has too where it is a service of its own."""

_TEMPLATES = Path(__file__).parents[1] / "templates" / "new"
_SUFFIX = ".template"


def template(place: str) -> str:
    """The text of a template, by its place below the folder of templates, without its suffix."""
    return (_TEMPLATES / f"{place}{_SUFFIX}").read_text(encoding="utf-8")


def filled(folder: str, names: DomainNames, texts: Mapping[str, str]) -> dict[str, str]:
    """The files of a way by their places in the distribution, with those of all ways, which `SERVICE` is not.

    `texts` are values beside those of the names. A template names a value as `$name`; `package` and `module` in a place
    are those of the domain.
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
    for part in [folder] if folder == SERVICE else ["all", folder]:
        root = _TEMPLATES / part
        for path in sorted(root.rglob(f"*{_SUFFIX}")):
            place = path.relative_to(root).as_posix().removesuffix(_SUFFIX)
            place = place.replace("gitignore", ".gitignore").replace("src/package/", f"src/{names.package}/")
            place = place.replace("test_module.py", f"test_{names.module}.py")
            found[place] = Template(path.read_text(encoding="utf-8")).substitute(values)
    return found
