"""Files of keys: pairs for Ed25519 in PEM, their passwords, and the encodings that `arbitrank.store.signing` reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from arbitrank.configuration import stated_text
from arbitrank.errors import InputError, os_errors
from arbitrank.extras import missing_package
from arbitrank.regular_files import open_regular, read_regular, writable_by_all
from arbitrank.store.artifact import digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_ENVIRONMENT = "ARBITRANK_SIGNING_KEY"
"""The environment variable that names the private key to sign with where the command line doesn't."""

PASSWORD_ENVIRONMENT = "ARBITRANK_SIGNING_KEY_PASSWORD"
"""The environment variable with the password of that key, where it has one."""

_MAX_BYTES = 1 << 16
_REMEDY = "expected one for Ed25519; run: arbitrank keygen NAME"


class SigningKey(msgspec.Struct, frozen=True):
    """The private key that a service signs changes with, and its password, as files; without one it signs nothing.

    The key is that of the operator's option alone, whatever the environment has for commands.
    """

    path: str | None = None
    password_file: str | None = None

    def opened(self) -> Ed25519PrivateKey | None:
        """The key. Raises `InputError` where it is invalid, or every user of this machine may read it."""
        if self.path is None:
            return None
        path = Path(self.path)
        secret(path, "key")
        password = read_password(Path(self.password_file)) if self.password_file else None
        return read_key(path, password or os.environ.get(PASSWORD_ENVIRONMENT) or None)


def keygen(name: Path, password: str | None = None) -> tuple[Path, Path, str]:
    """Write a new key pair, `NAME.key` with mode 600 and `NAME.pub`; both paths and the key's id.

    With a password the private key is encrypted.
    """
    serialization, ed25519 = cryptography_modules()
    key = ed25519.Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)
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


def open_key(
    path: str | Path | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    password: str | None = None,
) -> Ed25519PrivateKey | None:
    """The private key in `path`, else of ARBITRANK_SIGNING_KEY or the configuration, else None.

    An encrypted one is opened with `password`, else with that of ARBITRANK_SIGNING_KEY_PASSWORD. Raises `InputError`
    where it is invalid.
    """
    file = path or stated_text("signing_key", KEY_ENVIRONMENT, None, environment)
    return read_key(Path(file), password or environment.get(PASSWORD_ENVIRONMENT) or None) if file else None


def read_key(path: Path, password: str | None = None) -> Ed25519PrivateKey:
    """The private key in a file. Raises `InputError` where it is none, or its password is missing or wrong."""
    serialization, ed25519 = cryptography_modules()
    from cryptography.exceptions import UnsupportedAlgorithm

    path = path.expanduser()
    content = _content(path)
    encrypted = b"ENCRYPTED" in content
    load = partial(serialization.load_pem_private_key, password=password.encode() if password and encrypted else None)
    try:
        key: Ed25519PrivateKey = _decoded(path, content, load, ed25519.Ed25519PrivateKey)
    except InputError as error:
        if not encrypted or isinstance(error.__cause__, UnsupportedAlgorithm):
            raise
        seen = "wrong" if password else "missing"
        raise InputError(
            f"key {path}: its password is {seen}; state it by --key-password-file FILE (serve: "
            f"--sign-key-password-file), or in {PASSWORD_ENVIRONMENT}"
        ) from error
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key in a file. Raises `InputError` where it is none."""
    serialization, ed25519 = cryptography_modules()
    key: Ed25519PublicKey = _decoded(path, _content(path), serialization.load_pem_public_key, ed25519.Ed25519PublicKey)
    return key


def read_password(path: Path) -> str:
    """The password in a file: its text without the line's end. Raises `InputError` where every user may read it."""
    content = secret(path, "password")
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError(f"password {path}: not UTF-8, expected a line of text") from None
    if not text or "\n" in text:
        raise InputError(f"password {path}: {'empty' if not text else 'several lines'}, expected one line of text")
    return text


def secret(path: Path, what: str) -> bytes:
    """The content of a file that other users of this machine may not read. Raises `InputError` where they may."""
    path = path.expanduser()
    with os_errors(InputError, f"{what} {path}: cannot be read"), open_regular(path, _MAX_BYTES) as file:
        status = os.fstat(file.fileno())
        mounted = os.name != "nt" and bool(os.statvfs(path).f_flag & os.ST_RDONLY)  # as containers get their secrets
        if os.name != "nt" and status.st_mode & (stat.S_IROTH | stat.S_IWOTH) and not mounted:
            raise InputError(
                f"{what} {path}: every user of this machine may read it (mode {stat.S_IMODE(status.st_mode):o}); "
                f"run: chmod 600 {path}"
            )
        return file.read(status.st_size)


def check_unwritable(path: Path, what: str) -> None:
    """Raise `InputError` where every user of this machine may change a file, or a folder, that grants something."""
    with os_errors(InputError, f"{what} {path}: cannot be read"):
        if writable_by_all(path):
            raise InputError(
                f"{what} {path}: every user of this machine may change it (mode "
                f"{stat.S_IMODE(path.stat().st_mode):o}); run: chmod o-w {path}"
            )


def key_id(key: Ed25519PublicKey) -> str:
    """The id of a key: the first 16 hexadecimal digits of its SHA-256."""
    return digest(key.public_bytes_raw())[:16]


def cryptography_modules() -> tuple[Any, Any]:
    """The modules for encoding and algorithm. Raises `InputError` without them: verification is never skipped."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise missing_package(error, "keys and signatures") or error from error
    return serialization, ed25519


def _content(path: Path) -> bytes:
    check_unwritable(path, "key")
    with os_errors(InputError, f"key {path}: cannot be read"):
        return read_regular(path, _MAX_BYTES)


def _decoded(path: Path, content: bytes, load: Callable[[bytes], Any], expected: type) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"key {path}: no key that can be read, {_REMEDY}") from error
    if not isinstance(key, expected):
        raise InputError(f"key {path}: a {type(key).__name__}, {_REMEDY}")
    return key
