"""Environments made in milliseconds: a package of one domain, and links to the core and libraries of this Python."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from arbitrank.environments import folders
from arbitrank.environments.folders import Recorded, Release
from arbitrank.environments.release_domain import greeted

_MEMORY = 4 << 30  # bytes of address space of the process that greets


def released(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Release:
    """A release of the package `arbitrank-NAME` in a folder of environments, recorded as `install` records it.

    `files` are its modules, by their paths. It is not made current.
    """
    package = f"arbitrank-{name}"
    release = Release((folder / package).resolve() / f"{version}-{0:08x}")
    site = release.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (release.folder / "bin").mkdir()
    release.interpreter.symlink_to(base)
    (release.folder / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    for path, content in files.items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(content)
    info = site / f"arbitrank_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[arbitrank.domains.v1]\n{name} = arbitrank_{name}\n")
    _borrow(site, "arbitrank")
    hello = greeted(release, _MEMORY)
    folders.record(release.folder, Recorded(package, package, version, {package: version}, replace(hello)))
    folders.leasable(release.folder)
    return release


def _borrow(site: Path, name: str) -> None:
    """Link a distribution and all that it requires into a folder of packages."""
    one = distribution(name)
    for top in {path.parts[0] for path in one.files or ()} | {name.replace("-", "_")}:
        path = Path(str(one.locate_file(top)))
        if not path.exists():  # of an editable installation
            spec = find_spec(top) if top.isidentifier() else None
            path = Path(spec.origin).parent if spec and spec.origin else path
        if path.exists() and top not in ("..", "__pycache__") and not (site / top).exists():
            (site / top).symlink_to(path.resolve())
    for text in one.requires or ():
        required = Requirement(text)
        applies = required.marker is None or required.marker.evaluate({"extra": ""})
        if applies and not list(site.glob(f"{canonicalize_name(required.name).replace('-', '_')}-*.dist-info")):
            _borrow(site, required.name)
