"""A workspace of the core and its plugins: the files at its root that list the plugins, and a new one in them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from arbitrank.errors import InputError, os_errors
from arbitrank.guard import Fault, guarded
from arbitrank.scaffold.names import DomainNames

__all__ = ["LISTS", "is_workspace", "list_plugin", "with_license", "with_plugin", "workspace_of"]

LISTS = ("requirements.txt", "requirements-dev.txt", "pyproject.toml")
"""Files at the root of a workspace that list its plugins."""

_README = 'readme = "README.md"\n'


def is_workspace(folder: Path) -> bool:
    """True for a root with `core/` and `plugins/`."""
    return (folder / "plugins").is_dir() and (folder / "core" / "pyproject.toml").is_file()


def workspace_of(folder: Path) -> Path | None:
    """The root of the workspace in whose `plugins/` a folder is, None where it is in none."""
    parent = folder.resolve().parent
    return parent.parent if parent.name == "plugins" and is_workspace(parent.parent) else None


def with_license(files: dict[str, str], root: Path) -> None:
    """Give a new distribution's files the license of its workspace, where that has one."""
    with suppress(OSError, tomllib.TOMLDecodeError):
        text = (root / "LICENSE").read_text(encoding="utf-8")
        name = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("license")
        if isinstance(name, str):
            files["LICENSE"] = text
            fields = f'{_README}license = "{name}"\nlicense-files = ["LICENSE"]\n'
            files["pyproject.toml"] = files["pyproject.toml"].replace(_README, fields)


def list_plugin(root: Path, names: DomainNames) -> list[str]:
    """Add a plugin to the lists of its workspace; the files that changed.

    A file that lists no plugin stays as it is. Raises `InputError` where one cannot be read or written.
    """
    siblings = sorted(
        path.parent.name for path in (root / "plugins").glob("*/pyproject.toml") if path.parent.name != names.name
    )
    changed = []
    for file in LISTS:
        path = root / file
        with os_errors(InputError, f"{path}: the new plugin cannot be listed"):
            before = path.read_text(encoding="utf-8") if path.is_file() else ""
            after = with_plugin(before, siblings, names)
            if after != before:
                if path.suffix == ".toml" and isinstance(guarded(tomllib.loads, after), Fault):
                    continue  # it lists them in another way
                path.write_text(after, encoding="utf-8", newline="")
                changed.append(file)
    return changed


def with_plugin(text: str, siblings: Sequence[str], names: DomainNames) -> str:
    """The text in which each list of the sibling plugins has the new one too, after them.

    A list has a line for each, or all of them in one line, in the spellings `plugins/NAME`, `arbitrank-NAME` and
    `arbitrank_NAME`.
    """
    spelt = {f"{prefix}{form}": f"{prefix}{own}"
             for sibling in siblings
             for prefix, form, own in (
                 ("plugins/", sibling, names.name),
                 ("arbitrank-", sibling, names.name),
                 ("arbitrank_", sibling.replace("-", "_"), names.module),
             )}  # fmt: skip
    own = re.compile(rf"(?:plugins/{names.name}|{names.distribution}|{names.package})(?![\w-])")
    if not spelt or own.search(text):
        return text
    mention = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(spelt, key=len, reverse=True)))})(?![\w-])")
    lines = text.splitlines(keepends=True)
    listing = [not line.lstrip().startswith("#") and bool(mention.search(line)) for line in lines]
    found = []
    for i, line in enumerate(lines):
        last = list(mention.finditer(line))[-1] if listing[i] else None
        if last and re.search(r"\[[^\]]*$", line[: last.start()]):  # in a list of one line
            quote = line[last.end() : last.end() + 1]
            found.append(f"{line[: last.end()]}{quote}, {quote}{spelt[last[0]]}{line[last.end() :]}")
        elif last and not (i + 1 < len(lines) and listing[i + 1]):
            ended = line if line.endswith("\n") else f"{line}\n"
            comma = re.sub(r'"\n$', '",\n', ended)
            found += [comma, mention.sub(lambda one: spelt[one[0]], comma)]
        else:
            found.append(line)
    return "".join(found)
