"""Who may do what: bearer tokens with scopes, of which the service knows the SHA-256 alone.

    # SCOPE[,SCOPE…]         SHA-256 of the token          NAME
    rank,feedback            9f86d081884c7d65…             kitchen
    publish:weather          60303ae22b998861…             weather-team

`arbitrank token NAME SCOPE` makes one. A token of the scope `admin` may do everything.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from arbitrank.errors import InputError
from arbitrank.store.kinds import is_domain

ANY = "any"
"""What needs a token, and no scope in particular."""

_PLAIN = ("rank", "feedback", "admin")
_LINE = re.compile(r"(\S+)\s+([0-9a-f]{64})\s+(\S+)")
_HERE = re.compile(rb"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class Grant:
    """A token that may be used: what it may do, its SHA-256 in hexadecimal digits, and whose it is."""

    scopes: frozenset[str]
    digest: str
    name: str

    def __str__(self) -> str:
        return f"{','.join(sorted(self.scopes))} {self.digest} {self.name}"


@dataclass(frozen=True)
class Refusal:
    """Why a call is refused, without a word of its token: 401 where there is none that is known, else 403."""

    status: int
    reason: str


def make_token(name: str, scopes: Iterable[str]) -> tuple[str, Grant]:
    """A new token, and what the service is to know of it. Raises `InputError` where a scope or the name is none."""
    token = secrets.token_urlsafe(32)
    if not re.fullmatch(r"\S{1,100}", name) or name.startswith("#"):
        raise InputError(f"name {name!r}: promised 1 to 100 characters without a blank")
    return token, Grant(_scopes(",".join(scopes)), digest(token), name)


def digest(token: str) -> str:
    """What stands for a token in the file. A token is 256 random bits, so that no slower digest is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(path: Path) -> tuple[Grant, ...]:
    """The grants of a file of tokens. Raises `InputError` that names the line, and nothing of what is in it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"tokens {path}: cannot be read: {error}") from error
    grants = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        try:
            if not found:
                raise InputError("promised SCOPE[,SCOPE…] SHA-256 NAME")
            grants.append(Grant(_scopes(found[1]), found[2], found[3]))
        except InputError as error:
            raise InputError(f"tokens {path}:{number}: {error}; run: arbitrank token NAME SCOPE") from None
    return tuple(grants)


def _scopes(text: str) -> frozenset[str]:
    scopes = frozenset(text.split(","))
    for scope in scopes:
        verb, _, domain = scope.partition(":")
        if scope not in _PLAIN and not (verb == "publish" and is_domain(domain)):
            raise InputError(f"scope {scope[:60]!r}: promised rank, feedback, publish:DOMAIN or admin")
    return scopes


def refused(
    grants: Sequence[Grant] | None, headers: Iterable[tuple[bytes, bytes]], scope: str, *, loopback: bool
) -> Refusal | Grant | None:
    """Why a call may not do what needs `scope`; who makes it where that is known, else None.

    Without tokens (`grants` None) what needs rank, feedback or any token is free, and the rest for nobody. Where the
    service listens on this machine alone (`loopback`), it then answers no page of another origin in a browser here.
    """
    if grants is None:
        if scope not in ("rank", "feedback", ANY):
            return Refusal(403, "no tokens are set, so nobody may; start the service with --tokens FILE")
        return _foreign(headers) if loopback else None
    presented = None
    for name, value in headers:
        if name == b"authorization":
            kind, _, presented = value.decode("latin-1").partition(" ")
            if kind.lower() != "bearer":
                presented = None
    if not presented:
        return Refusal(401, "no bearer token")
    seen = hashlib.sha256(presented.strip().encode("latin-1")).hexdigest()
    found = None
    for grant in grants:  # all of them, whichever fits: how long it takes is to say nothing
        if hmac.compare_digest(grant.digest, seen):
            found = grant
    if found is None:
        return Refusal(401, "unknown token")
    if scope == ANY or scope in found.scopes or "admin" in found.scopes:
        return found
    return Refusal(403, f"the token's scopes lack {scope}")


def _foreign(headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
    host = origin = None
    for name, value in headers:
        if name == b"host":
            host = value
        elif name == b"origin":
            origin = value
    if host is not None and not _HERE.fullmatch(host):
        return Refusal(403, "Host is not this machine's; without tokens no other is answered")
    if origin is not None and origin.rpartition(b"//")[2] != host:
        return Refusal(403, "Origin is another than the service; without tokens no other is answered")
    return None
