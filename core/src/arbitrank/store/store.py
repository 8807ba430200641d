"""The store: the versions of all domains, and for each domain a history that says which of them serves.

    DOMAIN/VERSION/                    an artifact; it is there when its manifest is, which is written last
    DOMAIN/history/00000001.json       a change, and the domain's whole state after it
    .audit/                            the audit set, and which one it is

Nothing else says what serves, so no two files can disagree, and whoever is killed leaves a change or nothing. What is
written here holds for a folder and for an object store alike (`arbitrank.store.backend`).
"""

from __future__ import annotations

import os
import random
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from arbitrank.errors import ArtifactError, Conflict, DataError, InputError, StoreError
from arbitrank.store.artifact import (
    MANIFEST,
    Check,
    Manifest,
    checks,
    digest,
    encode_manifest,
    file_digest,
    is_domain,
    read_manifest,
    verified,
    version_of,
)
from arbitrank.store.backend import Backend, FolderBackend
from arbitrank.store.history import Entry, Log
from arbitrank.store.local_copies import copy_artifact, copy_file, forget
from arbitrank.store.signing import Keys, open_keys, signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENVIRONMENT = "ARBITRANK_STORE"
"""The environment variable that names the store where the command line doesn't."""

GRACE = 3600.0
"""Seconds for which `prune` leaves a version alone: it may be about to be named."""

_WAITS = 100  # of a twentieth of a second, for a `prune` that is at work on what is to be published

Version = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions of a domain do what.

    `stable` serves, `previous` served before it, `candidate` was published last and waits. `temperature`, at least 1,
    divides the log-odds of an over-claimer's `stable`; `canary` in [0, 1] is the share of requests that the candidate
    answers. `removing` are versions on their way out, which nobody may name any more.
    """

    stable: Version | None = None
    previous: Version | None = None
    candidate: Version | None = None
    temperature: Annotated[float, msgspec.Meta(ge=1)] = 1.0
    canary: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    removing: tuple[Version, ...] = ()

    def names(self) -> dict[str, str]:
        """The aliases and the versions they name, those that name none left out."""
        named = {"stable": self.stable, "previous": self.previous, "candidate": self.candidate}
        return {alias: version for alias, version in named.items() if version}


class Change(Entry, frozen=True, kw_only=True):
    """One change of a domain: what was done, why, whether over a gate's refusal, and the state after it."""

    verb: str
    state: State
    reason: str | None = None
    forced: bool = False


class AuditChange(Entry, frozen=True, kw_only=True):
    """One change of the audit set: the SHA-256 and the name of the file that is the audit set after it."""

    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    name: str


class Store:
    """The versions of all domains and what each does, over a backend; safe for any number of processes at once.

    With `keys`, artifacts that aren't signed by their domain are refused at publish, promote and load. `cache` is
    where versions of a store that is not on this machine are kept to be loaded from.
    """

    def __init__(self, backend: Backend, keys: Keys | None = None, cache: Path | None = None) -> None:
        self.backend, self.keys, self._cache = backend, keys, cache
        self._logs: dict[str, Log[Change]] = {}

    def __str__(self) -> str:
        return str(self.backend)

    # ---------------------------------------------------------------------------------------------------- reading

    def state(self, domain: str) -> tuple[int, State]:
        """The number of the domain's last change, and its state; 0 and no aliases where there was none."""
        latest = self._log(domain).latest()
        return (latest.number, latest.state) if latest else (0, State())

    def history(self, domain: str) -> list[Change]:
        """Every change of the domain, oldest first."""
        return self._log(domain).entries()

    def holds(self, domain: str) -> bool:
        """Whether the change that `state` gave last is still there: it isn't in a store that was taken away."""
        return self._log(domain).holds()

    def forget(self, domain: str) -> None:
        """Read the domain's history from its beginning when it is next asked for."""
        self._logs.pop(domain, None)

    def domains(self) -> list[str]:
        """The domains that the store knows, by name."""
        return [name for name in self.backend.folders() if is_domain(name)]

    def versions(self, domain: str) -> list[str]:
        """The domain's versions that are there whole, in the order of their names."""
        keys = [kept.key.split("/") for kept in self.backend.under(_domain(domain))]
        return sorted(key[1] for key in keys if len(key) == 3 and key[2] == MANIFEST and _is_version(key[1]))

    def stable(self, domain: str) -> Path | None:
        """A folder with the version that serves, as `fetch` gives it; None where the store has none."""
        _, state = self.state(domain)
        return self.fetch(domain, state.stable) if state.stable else None

    def fetch(self, domain: str, version: str) -> Path:
        """A folder on this machine with a version whose every check passes, its signature's where there are `keys`.

        Raises `ArtifactError` where one doesn't pass or the version is not there.
        """
        name = f"{_domain(domain)}/{_version(self, domain, version)}"
        folder = self.backend.local(name)
        if folder is None:
            folder = self._cached() / name
            try:
                return self._sound(folder, domain, version)
            except ArtifactError:  # not fetched yet, damaged here, or signed anew there
                copy_artifact(self.backend, name, folder)
        return self._sound(folder, domain, version)

    # ---------------------------------------------------------------------------------------------------- changing

    def publish(self, artifact: Path, *, promote: bool = False, key: Ed25519PrivateKey | None = None) -> Manifest:
        """Take a copy of a sealed artifact as the domain's `candidate`, or with `promote` as its `stable`.

        With `key` the copy is signed. A version that is there already stays as it is; damage to it is repaired. Raises
        `ArtifactError` where a check fails.
        """
        manifest = verified(artifact, None if key else self.keys, remedy=f"run: arbitrank verify {artifact}")
        if key:
            manifest = signed(manifest, key)
            self._check_signature(artifact, manifest)
        domain, version = manifest.domain, manifest.version
        while True:
            number, state = self._settled(domain, version)
            self._upload(artifact, manifest)
            after = _promoted(state, version) if promote else _published(state, version)
            try:
                self.change(domain, "promote" if promote else "publish", after, number)
                return manifest
            except Conflict:
                if promote:  # whether it should still serve is for people to judge
                    raise
                time.sleep(random.uniform(0, 0.05))

    def promote(
        self,
        domain: str,
        version: str,
        *,
        expected: int | None = None,
        reason: str | None = None,
        forced: bool = False,
        temperature: float | None = None,
    ) -> Change:
        """Make a version `stable`, and what was stable `previous`; the change, or the present one where it is already.

        `expected` is the number of the change that the caller's judgement was made after; without it, the present one.
        The temperature stays unless one is given. Raises `Conflict` where somebody else changed the domain since,
        `ArtifactError` where the version isn't sound.
        """
        number, state = self.state(domain)
        expected = number if expected is None else expected
        self._check_stays(domain, version, state)
        self.fetch(domain, version)
        after = _promoted(state, version)
        if temperature is not None:
            after = msgspec.structs.replace(after, temperature=temperature)
        return self.change(domain, "promote", after, expected, reason=reason, forced=forced)

    def rollback(
        self, domain: str, *, to_package: bool = False, expected: int | None = None, reason: str | None = None
    ) -> Change:
        """Make what was stable before stable again, at the temperature it then had, and what is stable `previous`.

        With `to_package` nothing is stable any more, so that the weights in the domain's package serve. Raises
        `InputError` where nothing was stable before, `ArtifactError` where it isn't sound any more.
        """
        number, state = self.state(domain)
        if to_package and state.stable:
            after = msgspec.structs.replace(state, stable=None, previous=state.stable, temperature=1.0)
            return self.change(domain, "rollback", after, number if expected is None else expected, reason=reason)
        if to_package:
            raise InputError(f"domain {domain}: nothing is stable in {self}; its package's weights serve already")
        if state.previous is None:
            way = f"arbitrank rollback {domain} --to-package" if state.stable else f"arbitrank history {domain}"
            raise InputError(f"domain {domain}: no previous version to go back to in {self}; run: {way}")
        self.fetch(domain, state.previous)
        log = self._log(domain)
        served = (log.entry(one).state for one in range(number, 0, -1))
        temperature = next((one.temperature for one in served if one.stable == state.previous), 1.0)
        after = msgspec.structs.replace(state, stable=state.previous, previous=state.stable, temperature=temperature)
        return self.change(domain, "rollback", after, number if expected is None else expected, reason=reason)

    def canary(self, domain: str, share: float, *, reason: str | None = None) -> Change:
        """Have the domain's candidate answer a share of the requests, in [0, 1]; 0 ends it.

        Raises `InputError` where there is no candidate beside what is stable.
        """
        number, state = self.state(domain)
        if share and (state.candidate is None or state.candidate == state.stable):
            seen = "its candidate is what is stable" if state.candidate else "no candidate"
            raise InputError(f"domain {domain}: {seen} in {self}; run: arbitrank train {domain}")
        after = msgspec.structs.replace(state, canary=share)
        return self.change(domain, "canary", after, number, reason=reason)

    def change(
        self, domain: str, verb: str, state: State, expected: int, *, reason: str | None = None, forced: bool = False
    ) -> Change:
        """Set the domain's state, where its last change is still number `expected`; a state that is so already, isn't.

        Raises `Conflict` where it is another by now. The caller vouches for the versions that the state names.
        """
        log = self._log(domain)
        latest = log.latest()
        if (latest.number if latest else 0) != expected:
            raise self._conflict(domain, log)
        if latest and latest.state == state:
            return latest
        return self._append(domain, Change(number=expected + 1, verb=verb, state=state, reason=reason, forced=forced))

    def prune(self, domain: str, *, keep: int = 10, grace: float = GRACE) -> list[str]:
        """Remove the versions that no alias named after any of the last `keep` changes; their names.

        What arrived less than `grace` seconds ago stays, so nothing is removed while it is being published; older
        remains of publications that were killed go too. First the history says which are going, so that whoever is
        about to name one finds that out, then they go. Raises `StoreError` where another `prune` is at work.
        """
        number, state = self.state(domain)
        if state.removing:
            begun = [change.time for change in self.history(domain) if change.verb == "prune"]
            if begun and time.time() - begun[-1] < grace:
                raise StoreError(f"store {self}: somebody else prunes {domain}; try again later")
        recent = self._log(domain).entries(max(keep, 1))
        named = {version for change in recent for version in change.state.names().values()}
        ages: dict[str, float] = {}
        for kept in self.backend.under(domain):
            version = kept.key.split("/")[1]
            if _is_version(version):
                ages[version] = min(kept.age, ages.get(version, kept.age))
        going = {version for version, age in ages.items() if age >= grace and version not in named}
        going |= set(state.removing)
        if going:
            marked = msgspec.structs.replace(state, removing=tuple(sorted(going)))
            self._append(domain, Change(number=number + 1, verb="prune", state=marked))
            for version in sorted(going):
                self._remove(domain, version)
            self._settle(domain, going)
        self.backend.sweep(max(grace, GRACE))  # whatever the caller thinks of versions, a write may be slow
        return sorted(going & set(ages))

    # --------------------------------------------------------------------------------------------------- audit set

    def audit_set(self) -> Path | None:
        """The file of hypotheses with their truth that changes are judged on; None where none was set."""
        latest = self._audit().latest()
        if latest is None:
            return None
        key = f".audit/{latest.digest}{_suffix(latest.name)}"
        path = self.backend.local(key)
        if path is None:
            path = self._cached() / key
            if not path.is_file() or file_digest(path) != latest.digest:
                copy_file(self.backend, key, path)
        if not path.is_file() or file_digest(path) != latest.digest:
            raise StoreError(f"store {self}: the audit set is not what was set; set it again: arbitrank audit-set FILE")
        return path

    def set_audit_set(self, path: Path) -> str:
        """Keep a file as the audit set, by its content's SHA-256, which is given."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        found = digest(content)
        self.backend.write(f".audit/{found}{_suffix(path.name)}", content)
        log = self._audit()
        while True:
            latest = log.latest()
            if latest and (latest.digest, _suffix(latest.name)) == (found, _suffix(path.name)):
                return found
            number = latest.number + 1 if latest else 1
            if log.append(AuditChange(number=number, digest=found, name=path.name)):
                return found

    # ----------------------------------------------------------------------------------------------------- checking

    def checks(self, domain: str | None = None) -> Iterator[Check]:
        """Everything that can be checked of one domain, or of all and the audit set."""
        known = self.domains()
        if domain and domain not in known:
            raise InputError(f"domain {domain!r} is not in {self} (known: {', '.join(known) or 'none'})")
        for name in [domain] if domain else known:
            try:
                yield from self._domain_checks(name)
            except StoreError as error:
                yield Check(name, str(error))
        if domain is None:
            yield from self._audit().checks()
            try:
                self.audit_set()
            except StoreError as error:
                yield Check(".audit", str(error))

    def version_checks(self, domain: str, version: str) -> Iterator[Check]:
        """Everything that can be checked of one version."""
        name = f"{_domain(domain)}/{_version(self, domain, version)}"
        with tempfile.TemporaryDirectory(prefix="arbitrank-") as work:
            folder = self.backend.local(name)
            if folder is None:
                folder = Path(work) / "artifact"
                copy_artifact(self.backend, name, folder)
            yield from checks(folder, self.keys)
            try:
                self._named_right(folder, domain, version)
            except ArtifactError as error:
                yield Check("name", str(error))

    def _domain_checks(self, domain: str) -> Iterator[Check]:
        yield from self._log(domain).checks()
        present = self.versions(domain)
        for version in present:
            try:
                first = next((check for check in self.version_checks(domain, version) if check.problem), None)
                problem = f"{first.what}: {first.problem}" if first else None
            except (ArtifactError, StoreError) as error:  # it can't be fetched to be checked; the others can
                problem = str(error)
            yield Check(f"{domain}/{version}", problem)
        try:
            _, state = self.state(domain)
        except StoreError as error:
            yield Check(f"{domain} state", str(error))
            return
        for alias, version in state.names().items():
            yield Check(f"{domain} {alias}", None if version in present else f"{version} is not there")

    # ------------------------------------------------------------------------------------------------------- inside

    def _log(self, domain: str) -> Log[Change]:
        if domain not in self._logs:
            self._logs[domain] = Log(self.backend, f"{_domain(domain)}/history", Change)
        return self._logs[domain]

    def _append(self, domain: str, change: Change) -> Change:
        log = self._log(domain)
        if not log.append(change):
            raise self._conflict(domain, log)
        return change

    def _audit(self) -> Log[AuditChange]:
        return Log(self.backend, ".audit/history", AuditChange)

    def _conflict(self, domain: str, log: Log[Change]) -> Conflict:
        latest = log.latest()
        if latest is None:
            return Conflict(f"store {self}: {domain} has no history, and somebody thought it had; try again")
        return Conflict(
            f"store {self}: {domain} was changed first by {latest.by}: {latest.verb}, change {latest.number}, "
            f"{said_state(latest.state)}; look at it and try again: arbitrank history {domain}"
        )

    def _sound(self, folder: Path, domain: str, version: str) -> Path:
        verified(folder, self.keys)
        self._named_right(folder, domain, version)
        return folder

    def _named_right(self, folder: Path, domain: str, version: str) -> None:
        manifest = read_manifest(folder)
        if (manifest.domain, manifest.version) != (domain, version):
            seen = f"{manifest.domain} {manifest.version}"
            raise ArtifactError(f"{folder}: an artifact of {seen}, promised {domain} {version}")

    def _settled(self, domain: str, version: str) -> tuple[int, State]:
        """The state, once nobody is removing the version any more."""
        for _ in range(_WAITS):
            number, state = self.state(domain)
            if version not in state.removing:
                break
            time.sleep(0.05)
        self._check_stays(domain, version, state)
        return number, state

    def _check_stays(self, domain: str, version: str, state: State) -> None:
        if version in state.removing:
            raise StoreError(
                f"store {self}: {domain} {version} is being removed; try again later, or run: arbitrank prune {domain}"
            )

    def _check_signature(self, artifact: Path, manifest: Manifest) -> None:
        problem = self.keys and self.keys.problem(manifest)
        if problem:
            raise ArtifactError(f"{artifact}: signature: {problem}")

    def _upload(self, artifact: Path, manifest: Manifest) -> None:
        """Every file, then the manifest: until that is there, so is no version."""
        home = f"{manifest.domain}/{manifest.version}"
        there = self._manifest(home)
        if there and there.files != manifest.files:
            raise ArtifactError(
                f"store {self}: another artifact has the version {manifest.version}; train with another seed"
            )
        for path, promised in manifest.files.items():
            content = _content(artifact / path, promised)
            if not self.backend.create(f"{home}/{path}", content):
                present = self.backend.read(f"{home}/{path}")
                if present is None or digest(present) != promised:
                    self.backend.write(f"{home}/{path}", content)
        raw = encode_manifest(manifest)
        if not self.backend.create(f"{home}/{MANIFEST}", raw):
            there = self._manifest(home)
            signed_otherwise = manifest.signature and there and there.signature != manifest.signature
            if there is None or signed_otherwise or (self.keys and self.keys.problem(there)):
                self.backend.write(f"{home}/{MANIFEST}", raw)

    def _manifest(self, home: str) -> Manifest | None:
        """The manifest of a version, None where it is absent or damaged."""
        try:
            manifest = msgspec.json.decode(self.backend.read(f"{home}/{MANIFEST}") or b"", type=Manifest)
        except (ValueError, RecursionError):
            return None
        named = f"{manifest.domain}/{manifest.version}" == home
        return manifest if named and version_of(manifest) == manifest.version else None

    def _remove(self, domain: str, version: str) -> None:
        """The manifest goes first, so that the version is gone before any of its files is."""
        keys = [kept.key for kept in self.backend.under(f"{domain}/{version}")]
        for key in sorted(keys, key=lambda key: not key.endswith(f"{version}/{MANIFEST}")):
            self.backend.delete(key)
        if self.backend.local(domain) is None:
            forget(self._cached() / domain / version)

    def _settle(self, domain: str, gone: set[str]) -> None:
        while True:
            number, state = self.state(domain)
            left = tuple(version for version in state.removing if version not in gone)
            try:
                self.change(domain, "pruned", msgspec.structs.replace(state, removing=left), number)
                return
            except Conflict:
                continue

    def _cached(self) -> Path:
        if self._cache is None:
            from platformdirs import user_cache_path

            self._cache = user_cache_path("arbitrank") / "store"
        return self._cache / digest(str(self).encode())[:12]


def said_state(state: State) -> str:
    """A state in words."""
    said = [f"{alias} {version}" for alias, version in state.names().items()]
    if state.temperature != 1:
        said.append(f"temperature {state.temperature:g}")
    if state.canary:
        said.append(f"canary {100 * state.canary:g} %")
    if state.removing:
        said.append(f"removing {' '.join(state.removing)}")
    return ", ".join(said) or "no alias"


def _published(state: State, version: str) -> State:
    """A new candidate begins without a share of the requests."""
    canary = state.canary if state.candidate == version else 0.0
    return msgspec.structs.replace(state, candidate=version, canary=canary)


def _promoted(state: State, version: str) -> State:
    """Once the candidate serves there is none."""
    if state.candidate == version:
        state = msgspec.structs.replace(state, candidate=None, canary=0.0)
    if state.stable == version:
        return state
    return msgspec.structs.replace(state, stable=version, previous=state.stable)


def _content(path: Path, promised: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
    if digest(content) != promised:
        raise ArtifactError(f"{path}: changed while it was published; publish it again")
    return content


def _suffix(name: str) -> str:
    """What says how a file is read: `.jsonl`, and `.gz` where it is compressed."""
    return ".jsonl.gz" if name.endswith(".gz") else ".jsonl"


def _domain(name: str) -> str:
    if not is_domain(name):
        raise InputError(f"domain {name!r}: promised lower-case letters, digits, '_' and '-'")
    return name


def _is_version(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{12}", name) is not None


def _version(store: Store, domain: str, version: str) -> str:
    if not _is_version(version):
        raise ArtifactError(
            f"store {store}: {domain} has no version {version!r}, promised 12 hexadecimal digits; "
            f"run: arbitrank history {domain}"
        )
    return version


def open_store(
    text: str | Path | None = None, keys: Keys | None = None, environment: Mapping[str, str] = os.environ
) -> Store:
    """The store that is named: `text`, else ARBITRANK_STORE, else a folder among the user's data.

    A path, or `s3://BUCKET/PREFIX`. `keys` are those it trusts, by default those of ARBITRANK_KEYS.
    """
    keys = keys or open_keys(None, environment)
    named = str(text or environment.get(ENVIRONMENT) or "")
    if named.startswith("s3://"):
        from arbitrank.store.object_store import BucketBackend

        return Store(BucketBackend(named, environment), keys)
    if "://" in named:
        raise InputError(f"store {named}: promised a folder, or s3://BUCKET/PREFIX")
    if named:
        return Store(FolderBackend(Path(named).expanduser()), keys)
    from platformdirs import user_data_path

    return Store(FolderBackend(user_data_path("arbitrank") / "store"), keys)
