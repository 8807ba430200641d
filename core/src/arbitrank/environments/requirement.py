"""Requirements of an installation: the package that a name, a wheel or a project's folder is of."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from arbitrank.errors import InputError, os_errors

__all__ = ["direct", "package_of"]


def package_of(requirement: str) -> str:
    """The normalised name of the package of a requirement, wheel or folder. Raises `InputError` where it is none."""
    path = Path(requirement)
    if _names_wheel(requirement):
        if not path.is_file():
            raise InputError(f"{requirement}: no such wheel")
        try:
            return canonicalize_name(parse_wheel_filename(path.name)[0])
        except InvalidWheelFilename as error:
            raise InputError(f"{requirement}: {error}; build it again") from error
    if path.is_dir():
        return _project_name(path)
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement as error:
        raise InputError(
            f"{requirement!r}: no requirement, expected a name as in 'arbitrank-podcasts==1.2', a wheel "
            f"or a folder that is there: {str(error).splitlines()[0]}"
        ) from error
    return canonicalize_name(parsed.name)


def _project_name(folder: Path) -> str:
    import tomllib

    path = folder / "pyproject.toml"
    with os_errors(InputError, str(path), "; expected the folder of a Python project"):
        content = path.read_bytes()
    try:
        name = tomllib.loads(content.decode("utf-8-sig")).get("project", {}).get("name")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read: {error}; correct it") from error
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: has no [project] name; add it")
    return canonicalize_name(name)


def direct(requirement: str) -> str:
    """A requirement, or the wheel's name and its path."""
    if not _names_wheel(requirement):
        return requirement
    path = Path(requirement).resolve()
    return f"{parse_wheel_filename(path.name)[0]} @ {path.as_uri()}"


def _names_wheel(requirement: str) -> bool:
    """True for the path of a wheel; not for a name with the address of one, `NAME @ URL`."""
    if not requirement.endswith(".whl"):
        return False
    try:
        return Requirement(requirement).url is None
    except InvalidRequirement:
        return True
