"""Ed25519 signatures: a domain team signs its artifacts, and a store or service takes those of that team alone.

What is signed is the whole manifest but the signature itself: version, time, and the digest of every file.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arbitrank.errors import ArtifactError, InputError
from arbitrank.store.artifact import MANIFEST, Manifest, Signature, digest, encode_manifest, verified, write_durably

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEYS_ENVIRONMENT = "ARBITRANK_KEYS"
"""The environment variable that names the folder of public keys where the command line doesn't."""

KEY_ENVIRONMENT = "ARBITRANK_SIGNING_KEY"
"""The environment variable that names the private key to sign with where the command line doesn't."""

_SAID_FIRST = b"arbitrank artifact 1\n"  # so that no signature of something else can be taken for one of an artifact


class Keys:
    """The public keys that a store or service trusts: `DOMAIN.pub` in a folder, with `DOMAIN.2.pub` … beside it.

    They are read anew each time, so a key that is added or taken away counts at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def problem(self, manifest: Manifest) -> str | None:
        """What is wrong with an artifact's signature; None where one of its domain's keys made it."""
        trusted = self.of(manifest.domain)
        if not trusted:
            return f"no key of domain {manifest.domain} in {self.folder}, promised {manifest.domain}.pub"
        signature = manifest.signature
        if isinstance(signature, msgspec.UnsetType):
            return f"unsigned, promised a signature by {' or '.join(trusted)}; sign it: arbitrank sign PATH --key FILE"
        key = trusted.get(signature.key)
        if key is None:
            return f"signed by key {signature.key}, promised one of domain {manifest.domain}: {' or '.join(trusted)}"
        return None if _fits(key, signature, manifest) else f"not what key {signature.key} signed: altered since"

    def of(self, domain: str) -> dict[str, Ed25519PublicKey]:
        """The keys of a domain by their ids. Raises `InputError` where a file is none."""
        try:
            files = sorted(self.folder.iterdir())
        except OSError as error:
            raise InputError(f"keys {self.folder}: cannot be read: {error.strerror}; promised a folder") from error
        named = re.compile(rf"{re.escape(domain)}(\.[^.]+)?\.pub")
        found = [_public_key(path) for path in files if named.fullmatch(path.name)]
        return {key_id(key): key for key in found}


def open_keys(folder: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Keys | None:
    """The public keys that are named: `folder`, else ARBITRANK_KEYS, else None, and nothing need be signed."""
    named = folder or environment.get(KEYS_ENVIRONMENT)
    return Keys(Path(named).expanduser()) if named else None


def keygen(name: Path) -> tuple[Path, Path, str]:
    """Write a new pair, `NAME.key` that only its owner can read, and `NAME.pub`; both paths and the key's id."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = (name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub"))
    try:
        for path in paths:
            if path.exists():
                raise FileExistsError(None, None, str(path))
        for path, content, mode in zip(paths, (private, public), (0o600, 0o644), strict=True):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
    except FileExistsError as error:
        raise InputError(f"{error.filename}: is there already; a key is never overwritten, give another name") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be written: {error.strerror}") from error
    return *paths, key_id(key.public_key())


def signed(manifest: Manifest, key: Ed25519PrivateKey) -> Manifest:
    """The manifest with a signature by this key, in place of any other."""
    value = base64.b64encode(key.sign(_content(manifest))).decode()
    return msgspec.structs.replace(manifest, signature=Signature(key_id(key.public_key()), value))


def sign(folder: Path, key: Ed25519PrivateKey) -> Manifest:
    """Sign a sound artifact where it lies. Raises `ArtifactError` where a check fails."""
    manifest = signed(verified(folder, remedy=f"run: arbitrank verify {folder}"), key)
    try:
        write_durably(folder / MANIFEST, encode_manifest(manifest))
    except OSError as error:
        raise ArtifactError(f"{folder}: its manifest cannot be written: {error.strerror}") from error
    return manifest


def open_key(path: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Ed25519PrivateKey | None:
    """The private key that is named: `path`, else ARBITRANK_SIGNING_KEY, else None. Raises `InputError`."""
    named = path or environment.get(KEY_ENVIRONMENT)
    if not named:
        return None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(named).expanduser().read_bytes(), password=None)
    except OSError as error:
        raise InputError(f"key {named}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"key {named}: no private key that can be read; run: arbitrank keygen NAME") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"key {named}: a {type(key).__name__}, promised one for Ed25519; run: arbitrank keygen NAME")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """What a key goes by: the first 16 hexadecimal digits of its SHA-256."""
    return digest(key.public_bytes_raw())[:16]


def _public_key(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"key {path}: no public key that can be read; promised what arbitrank keygen wrote") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"key {path}: a {type(key).__name__}, promised one for Ed25519")
    return key


def _fits(key: Ed25519PublicKey, signature: Signature, manifest: Manifest) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.value, validate=True), _content(manifest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _content(manifest: Manifest) -> bytes:
    plain = msgspec.structs.replace(manifest, signature=msgspec.UNSET)
    return _SAID_FIRST + msgspec.json.encode(plain, order="deterministic")
