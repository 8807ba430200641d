"""A store in a folder: versions of all domains, and the aliases that say which of them serves.

    DOMAIN/VERSION/         an artifact, immutable
    DOMAIN/aliases.json     {"stable": VERSION, "previous": VERSION, "candidate": VERSION}
    DOMAIN/history.jsonl    one line for each change of an alias

Several processes of one machine may use it at once: a version appears by one rename, and aliases are changed under a
lock.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock

from arbitrank.errors import ArtifactError, StoreError
from arbitrank.store.artifact import Manifest, verified, write_durably

ENVIRONMENT = "ARBITRANK_STORE"
"""The environment variable that names the store where the command line doesn't."""

ALIASES = ("stable", "previous", "candidate")


class Change(msgspec.Struct, frozen=True):
    """One change of a domain's aliases: what was done, to which version, from which, when (seconds) and by whom."""

    verb: str
    alias: str
    version: str | None
    before: str | None
    time: float
    by: str


class FolderStore:
    """The versions and aliases of all domains under one folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def publish(self, artifact: Path, *, promote: bool = False) -> Manifest:
        """Take a copy of a sealed artifact as the domain's `candidate`, or with `promote` as its `stable`.

        A version that is already there stays as it is. Raises `ArtifactError` where a check fails, `StoreError` where
        the folder can't be written.
        """
        manifest = verified(artifact)
        home = self.root / manifest.domain
        with _writing(home):
            target = home / manifest.version
            if not target.is_dir():
                arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=home))
                try:
                    shutil.copytree(artifact, arriving / manifest.version)
                    _appear(arriving / manifest.version, target)
                finally:
                    shutil.rmtree(arriving, ignore_errors=True)
        if promote:
            self.promote(manifest.domain, manifest.version)
        else:
            self._change(manifest.domain, "publish", {"candidate": manifest.version})
        return manifest

    def promote(self, domain: str, version: str) -> None:
        """Make a version `stable`, and what was stable `previous`. Raises `ArtifactError` where it isn't sound."""
        manifest = verified(self.path(domain, version))
        if (manifest.domain, manifest.version) != (domain, version):
            seen = f"{manifest.domain} {manifest.version}"
            raise ArtifactError(f"{self.path(domain, version)}: an artifact of {seen}, promised {domain} {version}")
        with self._locked(domain):
            stable = self.aliases(domain).get("stable")
            if stable != version:
                self._write(domain, "promote", {"stable": version, "previous": stable})

    def aliases(self, domain: str) -> Mapping[str, str]:
        """The domain's aliases and the versions they name; empty where nothing was published."""
        try:
            return msgspec.json.decode((self.root / domain / "aliases.json").read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"store {self}: the aliases of {domain} cannot be read: {error}") from error

    def path(self, domain: str, version: str) -> Path:
        """The folder of a version."""
        return self.root / domain / version

    def stable(self, domain: str) -> Path | None:
        """The folder of the version that serves, None where the store has none."""
        version = self.aliases(domain).get("stable")
        return self.path(domain, version) if version else None

    def history(self, domain: str) -> list[Change]:
        """Every change of the domain's aliases, oldest first."""
        try:
            lines = (self.root / domain / "history.jsonl").read_bytes().splitlines()
            return [msgspec.json.decode(line, type=Change) for line in lines if line.strip()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"store {self}: the history of {domain} cannot be read: {error}") from error

    def _change(self, domain: str, verb: str, aliases: Mapping[str, str | None]) -> None:
        with self._locked(domain):
            self._write(domain, verb, aliases)

    @contextmanager
    def _locked(self, domain: str) -> Iterator[None]:
        with _writing(self.root / domain), FileLock(self.root / domain / ".lock"):
            yield

    def _write(self, domain: str, verb: str, aliases: Mapping[str, str | None]) -> None:
        now: dict[str, str | None] = {**self.aliases(domain)}
        home = self.root / domain
        changes = [
            Change(verb, alias, version, now.get(alias), time.time(), _user())
            for alias, version in aliases.items()
            if now.get(alias) != version
        ]
        now.update(aliases)
        kept = {alias: version for alias, version in now.items() if version}
        write_durably(home / "aliases.json", msgspec.json.format(msgspec.json.encode(kept), indent=1))
        with (home / "history.jsonl").open("ab") as file:
            file.writelines(msgspec.json.encode(change) + b"\n" for change in changes)


def _appear(arrived: Path, target: Path) -> None:
    try:
        os.rename(arrived, target)
    except OSError:
        if not target.is_dir():  # else somebody published the same version in the meantime
            raise


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a user that has no name
        return "unknown"


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StoreError(f"store: {home} cannot be written: {error}; give another with --store") from error


def open_store(url: str | None = None, environment: Mapping[str, str] = os.environ) -> FolderStore:
    """The store that is named: `url`, else ARBITRANK_STORE, else a folder among the user's data."""
    named = url or environment.get(ENVIRONMENT)
    if named:
        return FolderStore(Path(named).expanduser())
    from platformdirs import user_data_path

    return FolderStore(user_data_path("arbitrank") / "store")
