"""The store: the versions of every domain and stage, and for each name a history that tells which version serves.

    NAME/VERSION/                    an artifact; it exists once its manifest does, which is written last
    NAME/history/00000001.json       a change, and the whole state after it
    .audit/                          the audit set and its history
    .suites/NAME/                    the suites of a domain and their history

Only the history determines what serves, so no two files can disagree, and a process that is killed leaves a whole
change or none. This holds for folders and for object stores alike (`arbitrank.store.backend`).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import UNSET
from msgspec.structs import replace

from arbitrank.arbitration.recalibration import Recalibration
from arbitrank.configuration import stated_text
from arbitrank.errors import ArtifactError, Conflict, InputError, StoreError
from arbitrank.store import state as states
from arbitrank.store.artifact import Manifest
from arbitrank.store.artifact_checks import verified
from arbitrank.store.audit_set import AUDIT, AuditChange, write_audit_set
from arbitrank.store.backend import FolderBackend, StoreBackend
from arbitrank.store.catalogue_log import CatalogueChange, SkillKey, append_changes
from arbitrank.store.history import History
from arbitrank.store.kinds import SHORTLIST, checked_name, kind_of, name_in_store, train_command
from arbitrank.store.reading import StoreReader
from arbitrank.store.signing import Keys, open_keys, signed
from arbitrank.store.state import Change, State, checked_reason, conflict
from arbitrank.store.versions import upload
from arbitrank.wire.catalogue_lines import CatalogueSkill

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENVIRONMENT = "ARBITRANK_STORE"
"""The environment variable that names the store where the command line doesn't."""

_WAITS = 100  # of a twentieth of a second, for a `prune` that is removing the version to be published


class Store(StoreReader):
    """A store that can be changed too; of concurrent changes to one name one succeeds.

    With `key` changes are signed. `by` is the name of the token of a caller over HTTP, who makes a change; by default
    it is the user of this process.
    """

    def __init__(
        self,
        backend: StoreBackend,
        keys: Keys | None = None,
        cache: Path | None = None,
        key: Ed25519PrivateKey | None = None,
    ) -> None:
        super().__init__(backend, keys, cache)
        self.key = key

    def publish(self, artifact: Path, *, promote: bool = False, key: Ed25519PrivateKey | None = None) -> Manifest:
        """Copy a sealed artifact into the store as the name's `candidate`, or with `promote` as its `stable`.

        With `key` the change is signed, and the copy unless it has a trusted signature. A version that exists is left
        as it is, and repaired where it is damaged. Raises `ArtifactError` where a check fails.
        """
        key = key or self.key
        manifest = verified(artifact, None if key else self.keys, remedy=f"run: arbitrank verify {artifact}")
        if key and not (self.keys and self.keys.problem(manifest) is None):
            manifest = signed(manifest, key)
            if self.keys and (problem := self.keys.problem(manifest)):
                raise ArtifactError(f"{artifact}: signature: {problem}")
        name, version = name_in_store(manifest.domain, manifest.files), manifest.version
        self._history(name).check_key(key)
        while True:
            number, state = self._settled(name, version)
            upload(self.backend, artifact, name, manifest, self.keys)
            after = states.promoted(state, version) if promote else states.published(state, version)
            try:
                self.change(name, "promote" if promote else "publish", after, number, key=key)
                return manifest
            except Conflict:
                if promote:  # people have to judge whether it should still serve
                    raise
                time.sleep(random.uniform(0, 0.05))

    def promote(
        self,
        name: str,
        version: str,
        *,
        expected: int | None = None,
        reason: str | None = None,
        forced: bool = False,
        overrode: Sequence[str] = (),
        recalibration: Recalibration | Literal["kept"] | None = "kept",
        checked: bool = False,
        by: str | None = None,
        code: str | None = None,
    ) -> Change:
        """Make a version `stable`, and the stable one `previous`; the change, or the last one where it is stable.

        `expected` is the number of the last change that the caller knows; the present one by default. The recalibration
        is kept unless another one, or None, is given. `checked` says that the caller has just verified the version.
        `forced` with `overrode`, the gate's reasons, says that it was overridden. `code` is the release of the domain's
        environment that it was tested with. Raises `Conflict` after a concurrent
        change, `ArtifactError` where a check fails.
        """
        number, state = self.state(name)
        self._check_stays(name, version, state)
        if not checked:
            self._check(name, version)
        after = states.promoted(state, version)
        if recalibration != "kept":
            after = states.served_with(after, recalibration)
        expected = number if expected is None else expected
        return self.change(
            name, "promote", after, expected, reason=reason, forced=forced, overrode=overrode, by=by, code=code
        )

    def rollback(
        self,
        name: str,
        *,
        to_package: bool = False,
        expected: int | None = None,
        reason: str | None = None,
        by: str | None = None,
        code: str | None = None,
    ) -> Change:
        """Make the previous version stable again, with the recalibration it had, and the stable one `previous`.

        With `to_package` none is stable any more, so that the weights in the domain's package serve. `expected` and
        `code` are as for `promote`. Raises `InputError` where there is no previous version, `ArtifactError` where it
        is damaged.
        """
        number, state = self.state(name)
        if expected not in (None, number):
            raise conflict(self.backend, name, self._history(checked_name(name)).latest())
        if to_package:
            if not state.stable:
                raise InputError(f"{name}: nothing is stable in {self}: {kind_of(name).fallback}")
            after = states.served_with(replace(state, stable=None, previous=state.stable), None)
        elif state.previous is None:
            way = f"rollback {name} --to-package" if state.stable else f"history {name}"
            way = f"shrink {name} --off, which removes its recalibration" if state.served_by is not None else way
            raise InputError(f"{name}: no previous version to go back to in {self}; run: arbitrank {way}")
        else:
            self._check(name, state.previous)
            entry = self._history(checked_name(name)).entry
            served = (entry(each).state for each in range(number, 0, -1))
            again = next((one.served_by for one in served if one.stable == state.previous), None)
            after = states.served_with(replace(state, stable=state.previous, previous=state.stable), again)
        return self.change(name, "rollback", after, number, reason=reason, by=by, code=code)

    def canary(self, name: str, share: float, *, reason: str | None = None, by: str | None = None) -> Change:
        """Let the candidate answer a share of the requests, in [0, 1]; 0 ends it.

        Raises `InputError` where there is no candidate that differs from the stable version.
        """
        number, state = self.state(name)
        if share and (state.candidate is None or state.candidate == state.stable):
            seen = "the candidate is stable" if state.candidate else "no candidate"
            raise InputError(f"{name}: {seen} in {self}; run: {train_command(name)}")
        return self.change(name, "canary", replace(state, canary=share), number, reason=reason, by=by)

    def change(
        self,
        name: str,
        verb: str,
        state: State,
        expected: int,
        *,
        reason: str | None = None,
        forced: bool = False,
        overrode: Sequence[str] = (),
        by: str | None = None,
        key: Ed25519PrivateKey | None = None,
        code: str | None = None,
    ) -> Change:
        """Set the state, if the last change still has the number `expected`; an equal state is not written again.

        Raises `Conflict` where it has another, `InputError` where the change has to be signed and there is no trusted
        key. The caller guarantees that the versions in the state exist.
        """
        history = self._history(checked_name(name))
        latest = history.latest()
        if (latest.number if latest else 0) != expected:
            raise conflict(self.backend, name, history.latest())
        if latest and latest.state == state:
            return latest
        change = Change(
            number=expected + 1, verb=verb, state=state, reason=reason, forced=forced,
            overrode=tuple(overrode) or UNSET, code=code or UNSET,
        )  # fmt: skip
        return self.append(name, change if by is None else replace(change, by=by, via="service"), key)

    def append(self, name: str, change: Change, key: Ed25519PrivateKey | None = None) -> Change:
        """Append a change. Raises `Conflict` where its number is taken, `InputError` as `change` does."""
        checked_reason(change.reason)
        history = self._history(checked_name(name))
        if not history.append(change, key or self.key):
            raise conflict(self.backend, name, history.latest())
        return change

    def adopt(self, name: str) -> Change | AuditChange | CatalogueChange:
        """Append a change that vouches, by `key`, for a history as it is: begun without keys, or with former ones.

        Raises `InputError` where there is no key or no history, `Conflict` after a concurrent change.
        """
        if self.key is None:
            raise InputError(f"{name}: no key to sign with; give one with --key FILE, made by: arbitrank keygen NAME")
        adopted: Change | AuditChange | CatalogueChange | None = None
        histories: list[History[Any]] = [self.audit_history()] if name == AUDIT else [*self.histories(name)]
        if name == SHORTLIST:
            histories.insert(0, self.catalogue_log())
        for history in histories:
            latest: Change | AuditChange | CatalogueChange | None = history.unverified().latest()
            if latest is None:
                continue
            adopted = type(latest)(**{**_kept(latest), "number": latest.number + 1})
            if not history.adopt(adopted, self.key):
                raise Conflict(f"store {self}: {name} was changed meanwhile; look at it: arbitrank history {name}")
        if adopted is None:
            raise InputError(f"{name} has no history in {self}, so there is nothing to sign; run: arbitrank domains")
        return adopted

    def set_audit_set(self, path: Path) -> str:
        """Keep a file as the audit set; its SHA-256."""
        return write_audit_set(self.audit_history(), path, self.key)

    def change_catalogue(
        self, skills: Iterable[CatalogueSkill], removed: Iterable[SkillKey] = (), *, by: str | None = None
    ) -> int:
        """Append to the catalogue log: skills to remove, then skills to add; the number of the last change."""
        return append_changes(self.catalogue_log(), skills, removed, by=by, key=self.key)

    def _check(self, name: str, version: str) -> None:
        """Verify a version as the store has it now, not a copy that this process made before."""
        with self.checked_out(name, version):
            pass

    def _settled(self, name: str, version: str) -> tuple[int, State]:
        """The state, once no `prune` is removing the version any more."""
        for _ in range(_WAITS):
            number, state = self.state(name)
            if version not in state.removing:
                break
            time.sleep(0.05)
        self._check_stays(name, version, state)
        return number, state

    def _check_stays(self, name: str, version: str, state: State) -> None:
        if version in state.removing:
            raise StoreError(
                f"store {self}: {name} {version} is being removed; try again later, or run: arbitrank prune {name}"
            )


def _kept(latest: Change | AuditChange | CatalogueChange) -> dict[str, Any]:
    """The fields of the last change that the one which adopts its history keeps."""
    if isinstance(latest, AuditChange):
        return {"digest": latest.digest, "name": latest.name}
    if isinstance(latest, CatalogueChange):
        return {}
    return {"verb": "sign", "state": latest.state}


def open_store(
    text: str | Path | None = None,
    keys: Keys | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    key: Ed25519PrivateKey | None = None,
) -> Store:
    """The store at `text`, else of ARBITRANK_STORE, else of the configuration, else in a folder of the user's data.

    Stated as a path or s3://BUCKET/PREFIX.

    `keys` are the trusted public keys, by default those of ARBITRANK_KEYS; `key` signs the changes that are made.
    """
    keys = keys or open_keys(None, environment)
    url = str(text or stated_text("store", ENVIRONMENT, None, environment) or "")
    if url.startswith("s3://"):
        from arbitrank.store.object_store import BucketBackend

        return Store(BucketBackend(url, environment), keys, key=key)
    if "://" in url:
        raise InputError(f"store {url}: expected a folder, or s3://BUCKET/PREFIX")
    if url:
        return Store(FolderBackend(Path(url).expanduser()), keys, key=key)
    from platformdirs import user_data_path

    return Store(FolderBackend(user_data_path("arbitrank") / "store"), keys, key=key)
