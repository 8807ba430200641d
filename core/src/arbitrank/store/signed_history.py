"""Signatures of changes, which form a chain: each signed one names the digest of the change before it.

`previous` is the SHA-256 of the file of the change before, and the signature covers the name of the history and the
whole change but itself. So no change can be altered, left out, moved or taken from another name's history by anyone
without a key; what only the last change can be is missing, for which readers remember the last one that they saw
(`arbitrank.store.seen_changes`). `earlier`, in a change that adopts a history begun without keys or with keys no longer
trusted, is the digest of all the digests before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from arbitrank.errors import InputError
from arbitrank.store.artifact import Signature, digest
from arbitrank.store.key_files import key_id
from arbitrank.store.signing import Keys, is_signed, signature_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from arbitrank.store.history import Entry

    E = TypeVar("E", bound=Entry)

_CONTEXT = b"arbitrank change 1\n"  # domain separation: no signature of other content is valid here


class Trust:
    """The keys that sign the changes of one name, in the history with this prefix."""

    def __init__(self, keys: Keys, name: str, prefix: str) -> None:
        self.keys, self.name, self._prefix = keys, name, prefix

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        """The keys by their ids. Raises `InputError` where one cannot be read."""
        return self.keys.of_changes(self.name)

    def check_key(self, key: Ed25519PrivateKey | None) -> None:
        """Raise `InputError` where a change could not be signed by a key, so that no reader would accept it."""
        if key is None:
            raise InputError(
                f"{self.name}: no key to sign the change with, which {self.keys.folder} requires; give one: --key FILE"
            )
        if key_id(key.public_key()) not in (trusted := self.trusted()):
            raise InputError(
                f"{self.name}: key {key_id(key.public_key())} is not trusted for changes in {self.keys.folder}, "
                f"expected {_named(trusted, self.name)}"
            )

    def signature_problem(self, content: Any, trusted: Mapping[str, Ed25519PublicKey]) -> str | None:
        """The problem of the signature of a change that was decoded to plain values; None where it is valid."""
        expected = f"expected a signature by {_named(trusted, self.name)}"
        found = content.get("signature") if isinstance(content, dict) else None
        if found is None:
            return f"unsigned, {expected}"
        try:
            signature = msgspec.convert(found, Signature)
        except msgspec.ValidationError:
            return f"no signature that can be read, {expected}"
        key = trusted.get(signature.key)
        if key is None:
            return f"signed by key {signature.key}, {expected}"
        return (
            None if is_signed(key, signature, signed_content(content, self._prefix)) else "altered since it was signed"
        )

    def chain_problem(self, later: Sequence[bytes], digests: Sequence[str]) -> str | None:
        """The first problem of the `later` changes, None where all are signed and follow each other.

        `digests` are those of all changes, the later ones included; the others were verified before. Those before the
        last one that adopts a history need not be signed: it states their digests.
        """
        trusted, known = self.trusted(), len(digests) - len(later)
        contents = [plain(raw) for raw in later]
        first = 0
        for i in range(len(contents) - 1, -1, -1):
            stated = contents[i].get("earlier") if isinstance(contents[i], dict) else None
            if stated is not None and self.signature_problem(contents[i], trusted) is None:
                if stated != all_of(digests[: known + i]):
                    number = known + i + 1
                    return f"changes 1 to {number - 1} are not those that change {number} adopted: altered since"
                first = i
                break
        for i in range(first, len(contents)):
            number = known + i + 1
            if problem := self.signature_problem(contents[i], trusted):
                return f"change {number}{':' if problem.startswith('no ') else ' is'} {problem}"
            if contents[i].get("previous") != (digests[number - 2] if number > 1 else None):
                return f"change {number} does not follow change {number - 1}, which was exchanged since"
        return None


def signed_entry(entry: E, prefix: str, key: Ed25519PrivateKey, before: str | None) -> E:
    """An entry signed by a key, which names the digest of the one `before` it."""
    linked = msgspec.structs.replace(entry, previous=msgspec.UNSET if before is None else before)
    signature = signature_of(key, signed_content(plain(msgspec.json.encode(linked)), prefix))
    return msgspec.structs.replace(linked, signature=signature)


def signed_content(content: Mapping[str, Any], prefix: str) -> bytes:
    """The bytes that the signature of a change covers: the history's prefix, and every key but the signature.

    Keys that this core does not know are among them.
    """
    rest = {key: value for key, value in content.items() if key != "signature"}
    return _CONTEXT + prefix.encode() + b"\n" + msgspec.json.encode(rest, order="sorted")


def plain(raw: bytes) -> Any:
    """A change decoded to plain values; None where it cannot be."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def all_of(digests: Sequence[str]) -> str:
    """The digest of the digests of all changes up to one."""
    sha256 = hashlib.sha256()
    for one in digests:
        sha256.update(one.encode() + b"\n")
    return sha256.hexdigest()


def of_file(raw: bytes) -> str:
    """The digest by which the next change names the one with this content."""
    return digest(raw)


def _named(trusted: Mapping[str, Any], name: str) -> str:
    return " or ".join(trusted) or f"one of {name}, of which there is no {name}.pub"
