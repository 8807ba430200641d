"""Target of `arbitrank check`: an installed domain by its name, or a plugin by its path."""

from __future__ import annotations

import re
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbitrank.errors import InputError, os_errors
from arbitrank.hookspecs import GROUP
from arbitrank.packages import is_near_group

_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True)
class Target:
    """The packages to add to the path, and the distribution or the domain that is checked there."""

    label: str
    paths: tuple[str, ...] = ()
    distribution: str | None = None
    name: str | None = None


def target(text: str, scratch: Path) -> Target:
    """The target of a name or path; what has to be unpacked or written for it goes into `scratch`.

    Raises `InputError` where it is neither a name nor a plugin's path.
    """
    path = Path(text)
    if path.suffix == ".whl" and path.is_file():
        return _wheel(text, path, scratch)
    if "/" not in text and not path.exists():
        return Target(text, name=text)
    if not path.exists():
        raise InputError(f"{text}: no such file or folder, expected an installed domain's name or a plugin's path")
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    for one in (folder, *folder.parents):
        if (one / "pyproject.toml").is_file() and (found := _project(text, one, scratch)):
            return found
        if found := _site(text, one):
            return found
        if one == one.parent or (one / ".git").exists():
            break
    raise InputError(
        f"{text}: no plugin there, expected a folder with a pyproject.toml that has "
        f'[project.entry-points."{GROUP}"], a folder with a .dist-info, or a wheel'
    )


def _wheel(text: str, path: Path, scratch: Path) -> Target:
    site = scratch / "wheel"
    try:
        with os_errors(InputError, text), zipfile.ZipFile(path) as archive:
            archive.extractall(site)
    except zipfile.BadZipFile as error:
        raise InputError(f"{text}: is no wheel that can be read: {error}; build it again") from error
    found = _site(text, site)
    if found is None:
        raise InputError(
            f"{text}: the wheel has no .dist-info, expected a wheel; run: pip wheel --no-deps -w dist FOLDER"
        )
    return found


def _site(text: str, folder: Path) -> Target | None:
    """The only distribution of a folder of installed packages, or the one that is a plugin."""
    infos = sorted(folder.glob("*.dist-info"))
    plugins = [one for one in infos if _has_near_group(one)]
    chosen = plugins or infos
    if not chosen:
        return None
    if len(chosen) > 1:
        names = ", ".join(one.name.split("-")[0] for one in chosen[:5])
        raise InputError(
            f"{text}: holds several distributions ({names}), expected one; put it on the path, and name it"
        )
    return Target(text, (str(folder),), chosen[0].name.split("-")[0])


def _has_near_group(info: Path) -> bool:
    entries = info / "entry_points.txt"
    text = entries.read_text(encoding="utf-8", errors="replace") if entries.is_file() else ""
    return any(is_near_group(group.strip()) for group in re.findall(r"^\s*\[([^\]]+)\]", text, re.MULTILINE))


def _project(text: str, folder: Path, scratch: Path) -> Target | None:
    """A project's plugin, its metadata written as an installer would; None where it is no plugin's."""
    try:
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / 'pyproject.toml'}: cannot be read: {error}; correct it") from error
    project: Any = content.get("project") or {}
    groups = project.get("entry-points") or {}
    name = project.get("name")
    if not isinstance(name, str) or not (any(map(is_near_group, groups)) or _SEPARATORS.sub("-", name) != "arbitrank"):
        return None
    if not any(map(is_near_group, groups)) and not name.lower().startswith("arbitrank"):
        return None
    version = str(project.get("version", "0"))
    distribution = _SEPARATORS.sub("_", name)
    info = scratch / "site" / f"{distribution}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    requires = "".join(f"Requires-Dist: {one}\n" for one in project.get("dependencies", ()))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}", "utf-8")
    entries = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
        for group, table in groups.items()
    )
    (info / "entry_points.txt").write_text(entries, "utf-8")
    source = folder / "src" if (folder / "src").is_dir() else folder
    return Target(text, (str(scratch / "site"), str(source)), distribution)
