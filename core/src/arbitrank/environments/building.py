"""Building of a virtual environment: by uv where it is there, else by venv and pip, from the same options.

Only wheels are installed, unless source distributions are allowed; a folder is made a wheel first. No Python is
downloaded. Where no index is named, uv uses the one that pip is configured for, as pip does.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from arbitrank.configuration import InstallRules
from arbitrank.environments.locking import LOCK, check_allowed, given_lock, locked, of_report
from arbitrank.environments.requirement import direct
from arbitrank.errors import InputError

__all__ = ["Sources", "Tool", "build", "find_python", "placed", "tool"]

_SECONDS = 1_800  # of one command
_ROOM = 32 << 20  # bytes that an environment takes at least
_LINES = 12  # of what a command wrote that an error quotes
_DEFAULT_INDEX = "https://pypi.org/simple"
_CONSTRAINT = "--constraint"
_VALUED = ("--index-url", "--extra-index-url", "--find-links", _CONSTRAINT)  # options that have a value


_ANYTHING = InstallRules()


@dataclass(frozen=True)
class Sources:
    """Where packages come from: pip's options of these names; `allow_source` takes source distributions too.

    `beside` are further requirements, as an extra of core that training needs. `require_hashes` is a lock that is
    installed, `rules` are what the operator allows.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    constraints: tuple[Path, ...] = ()
    no_index: bool = False
    allow_source: bool = False
    beside: tuple[str, ...] = ()
    require_hashes: Path | None = None
    rules: InstallRules = _ANYTHING

    def options(self) -> list[str]:
        """The options that pip and uv share."""
        found = ["--index-url", self.index_url] if self.index_url else []
        for name, values in (("--extra-index-url", self.extra_index_urls), ("--find-links", self.find_links)):
            for value in values:
                found += [name, value]
        for path in self.constraints:
            found += ["--constraint", str(path)]
        return [*found, *(["--no-index"] if self.no_index else [])]

    def repeated(self) -> tuple[str, ...]:
        """The options of `install` that give these again, with absolute paths; no URL that may hold a password."""
        links = (one if "://" in one else str(Path(one).absolute()) for one in self.find_links)
        files = tuple(one.absolute() for one in self.constraints)
        words = replace(self, find_links=tuple(links), constraints=files).options()
        pairs = [(name, value) for name, value in pairwise(words) if name in _VALUED]
        found = [word for pair in pairs if "@" not in pair[1] for word in pair]
        flags = [*(["--no-index"] if self.no_index else []), *(["--allow-source"] if self.allow_source else [])]
        lock = ["--require-hashes", str(self.require_hashes.absolute())] if self.require_hashes else []
        return (*found, *flags, *lock, *(word for one in self.beside for word in ("--with", one)))


@dataclass(frozen=True)
class Tool:
    """The program that installs: uv, by its path, or pip."""

    uv: str | None = None

    @property
    def name(self) -> str:
        """The name of the program."""
        return "uv" if self.uv else "pip"


def tool(wanted: str | None = None) -> Tool:
    """The program that installs: the one named, else uv where it is there. Raises `InputError` where it is not."""
    beside = Path(sysconfig.get_path("scripts")) / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if wanted == "uv" and not found:
        raise InputError("--installer uv: no program uv; run: pip install uv, or name --installer pip")
    return Tool(None if wanted == "pip" else found)


def find_python(version: str | None, by: Tool) -> Path:
    """The interpreter of that version, or at that path; None is the one that runs. Raises `InputError` without one."""
    if version is None:
        return Path(getattr(sys, "_base_executable", sys.executable))
    if by.uv and os.sep not in version:
        found = _run([by.uv, "python", "find", "--no-python-downloads", "--no-project", version], check=False)
        candidates = [found.stdout.strip()] if not found.returncode else []
    else:
        candidates = [version] if os.sep in version else [one for one in [shutil.which(f"python{version}")] if one]
    for candidate in candidates:
        asked = _run([candidate, "-I", "-c", "import sys; print(sys._base_executable)"], check=False)
        if not asked.returncode and asked.stdout.strip():
            return Path(asked.stdout.strip())
    raise InputError(
        f"--python {version}: no such Python on this machine, and none is downloaded; install it, or name one by its "
        "path, as in --python /usr/bin/python3.12"
    )


def build(requirement: str, python: Path, part: Path, by: Tool, sources: Sources) -> None:
    """Make a virtual environment in the folder `part`, and install a requirement there by a lock, which it keeps.

    Raises `InputError` with the end of what the program wrote, and where the disk is nearly full, with that.
    """
    try:
        _build(requirement, python, part, by, sources)
    except InputError as error:
        free = shutil.disk_usage(part.parent).free
        if free >= _ROOM:
            raise
        full = f"{os.strerror(errno.ENOSPC)}: {free / 1e6:.0f} MB are free in {part.parent}"
        raise InputError(f"{error}\n{full}; make room there, or name another folder by --environments DIR") from error


def _build(requirement: str, python: Path, part: Path, by: Tool, sources: Sources) -> None:
    target = str(part / "bin" / "python")
    if by.uv:
        _run([by.uv, "venv", "--no-python-downloads", "--no-project", "--python", str(python), str(part)])
        install = [by.uv, "pip", "install", "--python", target, *_index(sources)]
        wheel = [by.uv, "build", "--wheel", "--no-python-downloads", "--python", target, *_index(sources), "--out-dir"]
    else:
        _run([str(python), "-I", "-m", "venv", str(part)])
        install = [target, "-I", "-m", "pip", *_QUIET, "install", *sources.options()]
        wheel = [target, "-I", "-m", "pip", *_QUIET, "wheel", "--no-deps", *sources.options(), "--wheel-dir"]
    binary = [] if sources.allow_source else ["--only-binary", ":all:"]
    with tempfile.TemporaryDirectory(prefix="arbitrank-wheel-") as folder:
        if Path(requirement).is_dir():  # a checkout is made a wheel, whose build needs what its project says
            _run([*wheel, folder, str(Path(requirement).resolve())])
            requirement = str(next(Path(folder).glob("*.whl")))
        lock = _lock_of(requirement, target, by, sources, [*install, *binary], Path(folder))
        check_allowed(locked(lock), _indexes(by, sources), sources.rules)
        (part / LOCK).write_text(lock, encoding="utf-8")
        pinned = _unconstrained([*install, *binary])  # constraints had their say in the lock, and have no hashes
        _run([*pinned, "--require-hashes", "-r", str(part / LOCK)], then=_missing(sources))


def _lock_of(requirement: str, target: str, by: Tool, sources: Sources, install: Sequence[str], folder: Path) -> str:
    """The lock that is given, or the one that a requirement is resolved into. Raises `InputError`."""
    if sources.require_hashes:
        return given_lock(requirement, sources.require_hashes)
    wanted = [direct(requirement), *sources.beside]
    if by.uv:
        needed = folder / "requirements.in"
        needed.write_text("\n".join(wanted), encoding="utf-8")
        resolve = [by.uv, "pip", "compile", "--quiet", "--python", target, "--no-header", "--no-annotate"]
        only = [] if sources.allow_source else ["--only-binary", ":all:"]
        return _run(
            [*resolve, "--generate-hashes", *_index(sources), *only, str(needed)], then=_missing(sources)
        ).stdout
    report = folder / "report.json"
    _run([*install, "--dry-run", "--ignore-installed", "--report", str(report), *wanted], then=_missing(sources))
    return of_report(report.read_bytes())


def _indexes(by: Tool, sources: Sources) -> list[str]:
    """Indexes, and pages of wheels, that the installer uses, the configured ones included."""
    stated = [url for url in (sources.index_url, *sources.extra_index_urls, *sources.find_links) if url]
    if sources.no_index:
        return list(sources.find_links)
    pairs = zip(_pip_options()[::2], _pip_options()[1::2], strict=True)
    configured = [value for name, value in pairs if name != _CONSTRAINT]
    variables = ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX")
    named = [url for name in variables for url in os.environ.get(name, "").split()]
    return [*stated, *(configured if not by.uv or not named else []), *named] or [_DEFAULT_INDEX]


def _unconstrained(words: Sequence[str]) -> list[str]:
    """A command without its constraints."""
    return [word for before, word in pairwise(["", *words]) if _CONSTRAINT not in (word, before)]


def _missing(sources: Sources) -> str:
    """The next step where a package was not found."""
    named = f" (given: {', '.join(sources.find_links)})" if sources.find_links else ""
    return (
        "where a package or a version of it was not found, give a folder that has its wheel, and that of the core: "
        f"--find-links DIR{named}"
    )


def placed(part: Path, final: Path) -> None:
    """Have the scripts of an environment name the folder that it is about to be renamed to."""
    for path in (part / "bin").iterdir():
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 20:
            continue
        content = path.read_bytes()
        if os.fsencode(str(part)) in content:
            path.write_bytes(content.replace(os.fsencode(str(part)), os.fsencode(str(final))))


_QUIET = ("--disable-pip-version-check", "--quiet", "--no-input")


def _index(sources: Sources) -> list[str]:
    """uv's options for where packages come from; pip's configuration, where the caller and uv's own name no index."""
    given = ["--index-strategy", "unsafe-best-match", *sources.options()]  # the best of all indexes, as pip takes it
    if (
        sources.index_url
        or sources.no_index
        or any(name in os.environ for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX"))
    ):
        return given
    return [*_pip_options(), *given]


@cache
def _pip_options() -> tuple[str, ...]:
    found = _run([sys.executable, "-m", "pip", "config", "list"], check=False)
    options: list[str] = []
    for line in found.stdout.splitlines() if not found.returncode else ():
        match = re.fullmatch(
            r"(?:global|install|:env:)\.(index-url|extra-index-url|find-links|constraint)='(.*)'", line
        )
        for value in match[2].replace("\\n", " ").split() if match else ():
            options += [f"--{match[1]}", value] if match else []
    return tuple(options)


def _run(arguments: Sequence[str], check: bool = True, then: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Raises `InputError` where it fails, with the last lines that it wrote, and `then`."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    program = Path(arguments[0]).name
    try:
        done = subprocess.run(
            arguments, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
            timeout=_SECONDS, env=environ, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{program}: not done after {_SECONDS} s; see whether the index answers") from error
    except OSError as error:
        if not check:
            return subprocess.CompletedProcess(arguments, 1, "", str(error))
        raise InputError(f"{program}: cannot be run: {error.strerror or error}") from error
    if check and done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-_LINES:]
        wrote = "\n".join([*(f"  {one}" for one in lines), *([then] if then else [])])
        raise InputError(f"{program} ended with status {done.returncode}:\n{wrote}")
    return done
