"""Authentication: bearer tokens with scopes, of which the service holds the SHA-256 only.

    # SCOPE[,SCOPE…]         SHA-256 of the token          NAME
    rank,feedback            9f86d081884c7d65…             kitchen
    publish:weather          60303ae22b998861…             weather-team
    rank                     fd61a03af4f77d87…             partner        rate=50 burst=100 quota=100000

`arbitrank token NAME SCOPE` makes a token. The scope `admin` includes all others. `rate` is of calls a second, of which
`burst` may come at once, by default those of one second; `quota` is of calls a day.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbitrank.errors import InputError
from arbitrank.regular_files import read_regular
from arbitrank.store.key_files import check_unwritable
from arbitrank.store.kinds import canonical, is_name

ANY = "any"
"""Scope of calls that any token may make."""

PREVIEW = "log or publish"
"""Scope of calls that show what a change of a domain would do to logged requests: `publish` of it, or `log`."""

_MAX_BYTES = 1 << 24
_ALLOWANCES: dict[str, type[float] | type[int]] = {"rate": float, "burst": int, "quota": int}
_MOST = 1e12
_PLAIN = ("rank", "feedback", "metrics", "log", "admin")
_LINE = re.compile(r"(\S+)\s+([0-9a-f]{64})\s+(\S+)((?:\s+\S+)*)")


@dataclass(frozen=True)
class Grant:
    """A known token: its scopes, its SHA-256 in hexadecimal digits, its owner's name, and its allowances.

    `rate`: calls a second, and `burst` of them at once; `quota`: calls a day. None allows any number.
    """

    scopes: frozenset[str]
    digest: str
    name: str
    rate: float | None = None
    burst: int | None = None
    quota: int | None = None

    @property
    def limited(self) -> bool:
        """True where its calls must be counted."""
        return self.rate is not None or self.quota is not None

    @property
    def at_once(self) -> int:
        """Calls that may come at once within its rate."""
        return self.burst or max(1, math.ceil(self.rate or 1.0))

    def __str__(self) -> str:
        allowances = ((name, getattr(self, name)) for name in _ALLOWANCES)
        stated = "".join(f" {name}={value:g}" for name, value in allowances if value is not None)
        return f"{','.join(sorted(self.scopes))} {self.digest} {self.name}{stated}"


@dataclass(frozen=True)
class Denied:
    """Refusal of a call: status 401 where no known token came with it, else 403; the reason never holds the token."""

    status: int
    reason: str


def make_token(name: str, scopes: Iterable[str], **allowances: float | None) -> tuple[str, Grant]:
    """A new token and its grant. Raises `InputError` where a scope, the name or an allowance is invalid."""
    if not re.fullmatch(r"\S{1,100}", name) or name.startswith("#"):
        raise InputError(f"name {name!r}: expected 1 to 100 characters without white space")
    token = secrets.token_urlsafe(32)  # 256 random bits, which need no slower digest than SHA-256
    stated = [f"{key}={value}" for key, value in allowances.items() if value is not None]
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, Grant(_scopes(",".join(scopes)), digest, name, **_allowances(stated))


def read_tokens(path: Path) -> tuple[Grant, ...]:
    """The grants in a file of tokens, which must not be writable by all. Raises `InputError`; it quotes no line."""
    try:
        lines = read_regular(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"tokens {path}: cannot be read: {error}") from error
    except OSError as error:
        raise InputError(f"tokens {path}: cannot be read: {error.strerror}") from error
    check_unwritable(path, "tokens")
    grants = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        try:
            if not match:
                raise InputError("malformed, expected SCOPE[,SCOPE…] SHA-256 NAME [rate=N] [burst=N] [quota=N]")
            grants.append(Grant(_scopes(match[1]), match[2], match[3], **_allowances(match[4].split())))
        except InputError as error:
            raise InputError(f"tokens {path}:{number}: {error}; run: arbitrank token NAME SCOPE") from None
    return tuple(grants)


def _scopes(text: str) -> frozenset[str]:
    scopes = set()
    for scope in text.split(","):
        verb, colon, name = scope.partition(":")
        if scope not in _PLAIN and not (verb == "publish" and is_name(name)):
            raise InputError(
                f"scope {scope[:60]!r} is unknown, expected rank, feedback, metrics, log, publish:DOMAIN or admin"
            )
        scopes.add(f"{verb}{colon}{canonical(name)}")
    return frozenset(scopes)


def _allowances(stated: Iterable[str]) -> dict[str, Any]:
    """The allowances in texts `NAME=NUMBER`."""
    found: dict[str, Any] = {}
    for text in stated:
        name, _, value = text.partition("=")
        kind = _ALLOWANCES.get(name)
        try:
            if kind is None or name in found or not 0 < float(value) < _MOST:
                raise ValueError
            found[name] = kind(value)
        except ValueError:
            expected = "each of rate, burst and quota once, with a positive number, of burst and quota a whole one"
            raise InputError(f"{text[:40]!r}: expected {expected}") from None
    if "burst" in found and "rate" not in found:
        raise InputError("burst: expected a rate beside it")
    return found


def identified(grants: Sequence[Grant], presented: bytes) -> Grant | Denied:
    """The grant of the token in an `Authorization` header, or the refusal with status 401."""
    kind, _, token = presented.decode("latin-1").partition(" ")
    if kind.lower() != "bearer" or not token:
        return Denied(401, "no bearer token")
    seen = hashlib.sha256(token.strip().encode("latin-1")).hexdigest()
    known = None
    for grant in grants:  # compares with every grant, so that timing reveals nothing
        if hmac.compare_digest(grant.digest, seen):
            known = grant
    return Denied(401, "unknown token") if known is None else known


def permitted(
    grant: Grant | None, scope: str, headers: Mapping[bytes, bytes], *, open_: bool, loopback: bool
) -> Denied | None:
    """The refusal of a call that needs `scope`, by a known caller, or by any where no tokens are set (`open_`).

    Without tokens calls that need rank, feedback, metrics or any token are open, all others refused. A service on
    this machine only (`loopback`) then refuses pages of other origins in a browser here, and shows its log.
    """
    if open_:
        if scope == "log" and not loopback:
            return Denied(
                403, "no tokens are set, so the log is shown on this machine only; start it with --tokens FILE"
            )
        if scope not in ("rank", "feedback", "metrics", "log", ANY):
            return Denied(403, "no tokens are set, so nothing can be changed; start the service with --tokens FILE")
        return cross_origin(headers) if loopback else None
    if grant is not None and (scope == ANY or scope in grant.scopes or "admin" in grant.scopes):
        return None
    return Denied(403, f"the token lacks the scope {scope}")


def authorize(
    grants: Sequence[Grant] | None, headers: Iterable[tuple[bytes, bytes]], scope: str, *, loopback: bool
) -> Denied | Grant | None:
    """The caller's grant, None for an anonymous caller, or the refusal of a call that needs `scope`.

    Without tokens (`grants` None) callers are anonymous.
    """
    found = dict(headers)
    if grants is None:
        return permitted(None, scope, found, open_=True, loopback=loopback)
    caller = identified(grants, found.get(b"authorization", b""))
    if isinstance(caller, Denied):
        return caller
    return permitted(caller, scope, found, open_=False, loopback=loopback) or caller


def cross_origin(values: Mapping[bytes, bytes]) -> Denied | None:
    """The refusal of a call by a page of another origin than the name under which the service is called."""
    host, origin = values.get(b"host"), values.get(b"origin")
    if origin is not None and origin.rpartition(b"//")[2] != host:
        return Denied(403, "Origin differs from the service; without tokens no other is served")
    return None
