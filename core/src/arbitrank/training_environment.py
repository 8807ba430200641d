"""Environment that trained an artifact, in its `environment.json`: which versions of the package can load the weights.

It is a file of its own, as a field of the manifest that a core does not know would have it refuse the artifact.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from arbitrank.errors import ArtifactError, OtherCode
from arbitrank.packages import core_version
from arbitrank.regular_files import read_regular

__all__ = [
    "FILE",
    "TrainingEnvironment",
    "check_code",
    "is_specifier",
    "libraries_of",
    "present_environment",
    "read_environment",
]

FILE = "environment.json"

_LONGEST = 64 << 10  # bytes of the file
_Text = Annotated[str, msgspec.Meta(max_length=200)]


class TrainingEnvironment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The package that trained an artifact, and the core, Python and libraries that it ran with.

    `loadable_by` is a specifier of the package's versions that can load the artifact, as in `>=1.2,<3`; empty where
    that is not known.
    """

    package: _Text
    package_version: _Text
    loadable_by: _Text = ""
    core: _Text | None = None
    python: _Text | None = None
    libraries: dict[_Text, _Text] = {}

    @classmethod
    def of(
        cls,
        package: str,
        package_version: str,
        loadable_by: str | None,
        core: str | None,
        python: str | None,
        libraries: dict[str, str],
    ) -> TrainingEnvironment:
        """The environment of a package; its domain states by which versions weights are `loadable_by`.

        A domain that states nothing has its minor version and later ones load them: these know what it wrote, and
        refuse by themselves what they do not read; earlier ones cannot know.
        """
        stated = _from_minor(package_version) if loadable_by is None else loadable_by
        return cls(
            package=package,
            package_version=package_version,
            loadable_by=stated,
            core=core,
            python=python,
            libraries=libraries,
        )

    def encoded(self) -> bytes:
        """The content of the file."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1)


def _from_minor(text: str) -> str:
    """The specifier of a version's minor version and all later ones; empty where it is no version."""
    try:
        found = Version(text)
    except InvalidVersion:
        return ""
    epoch = f"{found.epoch}!" if found.epoch else ""
    # A version that is being developed precedes the one that it is named after.
    return f">={epoch}{found.major}.{found.minor}{'.dev0' if found.is_prerelease else ''}"


def present_environment(package: str, package_version: str, loadable_by: str | None) -> TrainingEnvironment:
    """The environment of a package that is installed beside this core."""
    libraries = dict(libraries_of(package))
    return TrainingEnvironment.of(
        package, package_version, loadable_by, core_version(), platform.python_version(), libraries
    )


def libraries_of(package: str) -> Iterator[tuple[str, str]]:
    """The installed versions of what a distribution requires, by name."""
    try:
        names = sorted({Requirement(text).name for text in requires(package) or ()})
    except (PackageNotFoundError, InvalidRequirement):
        return
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:  # of an extra, or of another system
            continue


def is_specifier(text: object) -> bool:
    """True for a specifier of versions, as in `>=1.2,<3`."""
    try:
        return isinstance(text, str) and bool(text.strip()) and bool(SpecifierSet(text))
    except InvalidSpecifier:
        return False


def read_environment(folder: Path) -> TrainingEnvironment | None:
    """The environment that trained the artifact in a folder; None where that is not recorded.

    Raises `ArtifactError` where the file cannot be read.
    """
    path = folder / FILE
    try:
        found = msgspec.json.decode(read_regular(path, _LONGEST), type=TrainingEnvironment)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ArtifactError(f"{path}: cannot be read: {reason}; train again") from error
    if found.loadable_by and not is_specifier(found.loadable_by):
        raise ArtifactError(f"{path}: loadable_by: {found.loadable_by!r}, expected versions as in '>=1.2'; train again")
    return found


def check_code(folder: Path, package: str, package_version: str) -> None:
    """Raise `OtherCode` where the artifact in a folder is for other versions of the package than this one.

    Where nothing is recorded, or for another package, loading decides. Raises `ArtifactError` where the file cannot be
    read.
    """
    found = read_environment(folder)
    if found is None or not found.loadable_by or canonicalize_name(found.package) != canonicalize_name(package):
        return
    try:
        fits = SpecifierSet(found.loadable_by).contains(Version(package_version), prereleases=True)
    except InvalidVersion:
        return
    if not fits:
        raise OtherCode(
            f"needs {found.package} {found.loadable_by}, {package_version} is there; run: arbitrank install "
            f"'{found.package}{found.loadable_by}', or train again"
        )
