"""Ed25519 signatures: a team signs its artifacts, and a store or service accepts only those of trusted keys.

The signature covers the whole manifest except itself: version, time, and the digest of every file.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from arbitrank.configuration import stated_text
from arbitrank.errors import ArtifactError, InputError, os_errors
from arbitrank.extras import missing_package
from arbitrank.store.artifact import MANIFEST, Manifest, Signature, digest, encode_manifest, write_durably
from arbitrank.store.artifact_checks import verified

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEYS_ENVIRONMENT = "ARBITRANK_KEYS"
"""The environment variable that names the folder of public keys where the command line doesn't."""

KEY_ENVIRONMENT = "ARBITRANK_SIGNING_KEY"
"""The environment variable that names the private key to sign with where the command line doesn't."""

_CONTEXT = b"arbitrank artifact 1\n"  # domain separation: no signature of other content is valid here

_REMEDY = "expected one for Ed25519; run: arbitrank keygen NAME"


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
        return None if _valid(key, signature, manifest) else f"not valid for key {signature.key}: altered since"

    def check(self) -> None:
        """Read every key in the folder. Raises `InputError` where one cannot be read."""
        serialization, ed25519 = _cryptography()
        for path in self._files():
            if path.suffix == ".pub":
                _decoded(path, serialization.load_pem_public_key, ed25519.Ed25519PublicKey)

    def of(self, name: str) -> dict[str, Ed25519PublicKey]:
        """The keys of a name by their ids. Raises `InputError` where a file cannot be read as one."""
        named = re.compile(rf"{re.escape(name)}(\.[^.]+)?\.pub")
        serialization, ed25519 = _cryptography()
        load, public = serialization.load_pem_public_key, ed25519.Ed25519PublicKey
        keys = [_decoded(path, load, public) for path in self._files() if named.fullmatch(path.name)]
        return {key_id(key): key for key in keys}

    def _files(self) -> list[Path]:
        with os_errors(InputError, f"keys {self.folder}: cannot be read", "; expected a folder"):
            return sorted(self.folder.iterdir())


def open_keys(folder: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Keys | None:
    """The public keys in `folder`, else in ARBITRANK_KEYS or the configuration, else None: signatures are not required.

    Raises `InputError` where there are keys and cryptography is not installed.
    """
    path = folder or stated_text("keys", KEYS_ENVIRONMENT, None, environment)
    if not path:
        return None
    _cryptography()
    return Keys(Path(path).expanduser())


def keygen(name: Path) -> tuple[Path, Path, str]:
    """Write a new key pair, `NAME.key` with mode 600 and `NAME.pub`; both paths and the key's id."""
    serialization, ed25519 = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = (name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub"))
    for path in paths:
        if path.exists():
            raise InputError(f"{path}: exists; a key is never overwritten, choose another name")
    with os_errors(InputError, f"{name}: cannot be written"):
        for path, content, mode in zip(paths, (private, public), (0o600, 0o644), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    return *paths, key_id(key.public_key())


def signed(manifest: Manifest, key: Ed25519PrivateKey) -> Manifest:
    """The manifest signed by this key."""
    value = base64.b64encode(key.sign(_content(manifest))).decode()
    return msgspec.structs.replace(manifest, signature=Signature(key_id(key.public_key()), value))


def sign(folder: Path, key: Ed25519PrivateKey) -> Manifest:
    """Sign an artifact in its folder. Raises `ArtifactError` where a check fails."""
    manifest = signed(verified(folder, remedy=f"run: arbitrank verify {folder}"), key)
    with os_errors(ArtifactError, f"{folder}: its manifest cannot be written"):
        write_durably(folder / MANIFEST, encode_manifest(manifest))
    return manifest


def open_key(path: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Ed25519PrivateKey | None:
    """The private key in `path`, else of ARBITRANK_SIGNING_KEY or the configuration, else None.

    Raises `InputError` where it is invalid.
    """
    file = path or stated_text("signing_key", KEY_ENVIRONMENT, None, environment)
    if not file:
        return None
    serialization, ed25519 = _cryptography()
    load = partial(serialization.load_pem_private_key, password=None)
    key: Ed25519PrivateKey = _decoded(Path(file).expanduser(), load, ed25519.Ed25519PrivateKey)
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """The id of a key: the first 16 hexadecimal digits of its SHA-256."""
    return digest(key.public_bytes_raw())[:16]


def _decoded(path: Path, load: Callable[[bytes], Any], expected: type) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    with os_errors(InputError, f"key {path}: cannot be read"):
        content = path.read_bytes()
    try:
        key = load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"key {path}: no key that can be read, {_REMEDY}") from error
    if not isinstance(key, expected):
        raise InputError(f"key {path}: a {type(key).__name__}, {_REMEDY}")
    return key


def _cryptography() -> tuple[Any, Any]:
    """The modules for encoding and algorithm. Raises `InputError` without them: verification is never skipped."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise missing_package(error, "keys and signatures") or error from error
    return serialization, ed25519


def _valid(key: Ed25519PublicKey, signature: Signature, manifest: Manifest) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.value, validate=True), _content(manifest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _content(manifest: Manifest) -> bytes:
    plain = msgspec.structs.replace(manifest, signature=msgspec.UNSET)
    return _CONTEXT + msgspec.json.encode(plain, order="deterministic")
