"""Ed25519 signatures: a team signs its artifacts and changes, and a service accepts those of trusted keys alone.

An artifact's signature covers the whole manifest except itself: version, time, and the digest of every file. Those of
changes are in `arbitrank.store.signed_history`.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arbitrank.configuration import stated_text
from arbitrank.errors import ArtifactError, InputError, os_errors
from arbitrank.store.artifact import MANIFEST, Manifest, Signature, encode_manifest, write_durably
from arbitrank.store.artifact_checks import verified
from arbitrank.store.key_files import (
    check_unwritable,
    cryptography_modules,
    key_id,
    keygen,
    open_key,
    read_public_key,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "CHANGES",
    "KEYS_ENVIRONMENT",
    "Keys",
    "is_signed",
    "keygen",
    "open_key",
    "open_keys",
    "sign",
    "signature_of",
    "signed",
]

KEYS_ENVIRONMENT = "ARBITRANK_KEYS"
"""The environment variable that names the folder of public keys where the command line doesn't."""

CHANGES = ".changes"
"""The name whose keys may sign the changes of every name, and no artifact: a service's, or an operator's."""

_CONTEXT = b"arbitrank artifact 1\n"  # domain separation: no signature of other content is valid here


class Keys:
    """The trusted public keys in a folder: `NAME.pub` of each domain or stage, with further ones in `NAME.2.pub` ….

    They are read each time, so a key that is added or removed counts at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def problem(self, manifest: Manifest) -> str | None:
        """The problem of an artifact's signature; None where it is valid and by one of the keys of its name."""
        trusted = self.of(manifest.domain)
        if not trusted:
            return f"no key of {manifest.domain} in {self.folder}, expected {manifest.domain}.pub"
        signature, named = manifest.signature, " or ".join(trusted)
        if isinstance(signature, msgspec.UnsetType):
            return f"unsigned, expected a signature by {named}; sign it: arbitrank sign PATH --key FILE"
        key = trusted.get(signature.key)
        if key is None:
            return f"signed by key {signature.key}, expected one of {manifest.domain}: {named}"
        valid = is_signed(key, signature, _content(manifest))
        return None if valid else f"not valid for key {signature.key}: altered since"

    def check(self) -> None:
        """Read every key in the folder. Raises `InputError` where there is none, or one cannot be read."""
        for path in self.present():
            read_public_key(path)

    def present(self) -> list[Path]:
        """The files of keys, as `files`. Raises `InputError` where there is none."""
        if not (found := self.files()):
            raise InputError(
                f"keys {self.folder}: no key in it, so nothing could be loaded; expected DOMAIN.pub of each domain, "
                "made by: arbitrank keygen DOMAIN"
            )
        return found

    def of(self, name: str) -> dict[str, Ed25519PublicKey]:
        """The keys of a name by their ids. Raises `InputError` where a file cannot be read as one."""
        named = re.compile(rf"{re.escape(name)}(\.[^.]+)?\.pub")
        keys = [read_public_key(path) for path in self.files() if named.fullmatch(path.name)]
        return {key_id(key): key for key in keys}

    def of_changes(self, name: str) -> dict[str, Ed25519PublicKey]:
        """The keys that may sign changes of a name: its own, and those of `.changes`. Raises as `of` does."""
        return {**self.of(name), **self.of(CHANGES)}

    def files(self) -> list[Path]:
        """The files of keys, sorted. Raises `InputError` where the folder cannot be read, or every user may write."""
        with os_errors(InputError, f"keys {self.folder}: cannot be read", "; expected a folder"):
            found = sorted(path for path in self.folder.iterdir() if path.name.endswith(".pub"))
        check_unwritable(self.folder, "keys")
        return found


def open_keys(folder: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Keys | None:
    """The public keys in `folder`, else in ARBITRANK_KEYS or the configuration, else None: signatures are not required.

    Raises `InputError` where the folder has no key, and where cryptography is not installed.
    """
    path = folder or stated_text("keys", KEYS_ENVIRONMENT, None, environment)
    if not path:
        return None
    cryptography_modules()
    keys = Keys(Path(path).expanduser())
    keys.present()
    return keys


def signed(manifest: Manifest, key: Ed25519PrivateKey) -> Manifest:
    """The manifest signed by this key."""
    return msgspec.structs.replace(manifest, signature=signature_of(key, _content(manifest)))


def sign(folder: Path, key: Ed25519PrivateKey) -> Manifest:
    """Sign an artifact in its folder. Raises `ArtifactError` where a check fails."""
    manifest = signed(verified(folder, remedy=f"run: arbitrank verify {folder}"), key)
    with os_errors(ArtifactError, f"{folder}: its manifest cannot be written"):
        write_durably(folder / MANIFEST, encode_manifest(manifest))
    return manifest


def signature_of(key: Ed25519PrivateKey, content: bytes) -> Signature:
    """The signature of content by this key."""
    return Signature(key_id(key.public_key()), base64.b64encode(key.sign(content)).decode())


def is_signed(key: Ed25519PublicKey, signature: Signature, content: bytes) -> bool:
    """True where a signature is valid for this key and content."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.value, validate=True), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _content(manifest: Manifest) -> bytes:
    plain = msgspec.structs.replace(manifest, signature=msgspec.UNSET)
    return _CONTEXT + msgspec.json.encode(plain, order="deterministic")
