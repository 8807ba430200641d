"""Admission of a call by its head: what is refused here costs the service no body.

The order is: HTTP itself, the caller's token, the path, the method, the token's scope, its rate and quota, the body's
length and encoding. So a caller without a token learns nothing of the paths that there are, the public ones apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from arbitrank.serve.auth import PREVIEW, Denied, Grant, cross_origin, identified, permitted
from arbitrank.serve.call_ids import call_ids, id_maker, serving
from arbitrank.serve.fair_shares import address_key, forwarded_address
from arbitrank.serve.operations import Operation, operations_at
from arbitrank.serve.own_hosts import foreign_host
from arbitrank.serve.refusal import LARGE_HEAD, MALFORMED, Refusal
from arbitrank.store.kinds import canonical

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState

_LINES = 100  # of headers
_SMALL = 64 << 10  # bytes of the body of any other call
_ONCE = (b"host", b"authorization", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_GZIP = (b"gzip", b"x-gzip")


class Admitted(NamedTuple):
    """A call that may send its body: its operation, the caller's grant, and what the body may be.

    `largest`: bytes of the body, once inflated where it is `compressed`. `clients` are those that it counts for.
    """

    operation: Operation
    grant: Grant | None
    largest: int
    compressed: bool
    clients: tuple[str, ...]

    @property
    def client(self) -> str:
        """The client by its token, else by its address."""
        return self.clients[-1]


class Admission:
    """Admission of the calls of one worker, which counts and reports the refused ones."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._make_id = id_maker()

    def __call__(self, scope: Any, address: str) -> Admitted | Refusal:
        """The admitted call, or its refusal."""
        began = perf_counter()
        found = dict(scope["headers"])
        ids = scope["state"]["ids"] = call_ids(scope["headers"], found, self._make_id)
        scope["state"]["content_type"] = found.get(b"content-type")
        operations = operations_at(scope["path"])
        result = head_refusal(scope["http_version"], scope["headers"], found) or self._decided(
            scope, found, operations, address
        )
        if isinstance(result, Refusal):
            route = next((one.path for one in operations.values()), "other")
            self._state.metrics.called(route, result.status, perf_counter() - began)
            if result.status in (401, 403):
                self._state.metrics.count("refused", str(result.status))
                with serving(ids):
                    self._state.events.write_limited("refused", path=route, status=result.status, reason=result.error)
        return result

    def _decided(
        self, scope: Any, found: Mapping[bytes, bytes], operations: Mapping[str, Operation], address: str
    ) -> Admitted | Refusal:
        grant = self._caller(scope, found, operations)
        if isinstance(grant, Refusal):
            return grant
        operation = operations[scope["method"]]
        if grant is not None and grant.limited and operation.scope is not None:
            exhausted = self._state.allowances.take(grant)
            if exhausted is not None:
                error = self._state.limited(grant, exhausted)
                return Refusal(429, error, (("retry-after", str(exhausted.seconds)),))
        limits = self._state.load.limits
        largest = {"rank": limits.batch_body, "feedback": limits.body}.get(operation.name, _SMALL)
        if int(found.get(b"content-length", b"0")) > largest:
            return Refusal(413, f"{int(found[b'content-length'])} bytes, expected at most {largest}")
        encoding = found.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b"", *_GZIP):
            seen = encoding[:40].decode("latin-1")
            return Refusal(415, f"Content-Encoding {seen!r}, expected gzip or none", (("accept-encoding", "gzip"),))
        if limits.proxies and address in limits.proxies:
            forwarded = found.get(b"x-forwarded-for", b"").decode("latin-1")
            address = address_key(forwarded_address(address, forwarded, limits.proxies))
        clients = (address,) if grant is None else (address, grant.digest)
        return Admitted(operation, grant, largest, encoding in _GZIP, clients)

    def _caller(
        self, scope: Any, found: Mapping[bytes, bytes], operations: Mapping[str, Operation]
    ) -> Grant | Refusal | None:
        """The caller's grant, None for an anonymous one, or the refusal where it may not call, or nothing is there."""
        tokens = self._state.files.tokens
        caller = None if tokens is None else identified(tokens.value, found.get(b"authorization", b""))
        grant = caller if isinstance(caller, Grant) else None
        if isinstance(caller, Denied) and not any(one.scope is None for one in operations.values()):
            return _denied(caller)
        operation = operations.get(scope["method"])
        if operation is None:
            return _no_operation(scope["method"], tuple(operations))
        settings, needed = self._state.settings, operation.scope
        if operation.page or (needed is not None and tokens is None):  # a token that no other page has protects others
            hosts = settings.host, settings.allowed_hosts
            if (foreign := foreign_host(found.get(b"host"), *hosts, loopback=settings.loopback)) is not None:
                return _denied(Denied(403, foreign))
        if needed is None:
            denied = cross_origin(found) if operation.page and tokens is None and settings.loopback else None
            return grant if denied is None else _denied(denied)
        if needed in ("publish", PREVIEW):
            publish = f"publish:{canonical(scope['path'].split('/')[3])}"
            owner = needed == "publish" or (grant is not None and publish in grant.scopes)
            needed = publish if owner else "log"
        denied = permitted(grant, needed, found, open_=tokens is None, loopback=settings.loopback)
        return grant if denied is None else _denied(caller if isinstance(caller, Denied) else denied)


def head_refusal(version: str, headers: Sequence[tuple[bytes, bytes]], found: Mapping[bytes, bytes]) -> Refusal | None:
    """The refusal of a head that is no sound HTTP, or whose meaning two servers may disagree on."""
    if version not in ("1.1", "1.0"):
        return MALFORMED
    if len(headers) > _LINES:
        return LARGE_HEAD
    if len(found) != len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                return Refusal(400, f"{name.decode()}: {names.count(name)} such headers, expected one", ends=True)
    coding = found.get(b"transfer-encoding")
    if coding is not None and (version != "1.1" or coding.strip().lower() != b"chunked"):
        return Refusal(501, "Transfer-Encoding: expected chunked, of HTTP/1.1", ends=True)
    host = found.get(b"host", b"" if version == "1.0" else None)
    if host is None or not _HOST.fullmatch(host):
        return Refusal(400, "no Host, or a malformed one, expected NAME or NAME:PORT", ends=True)
    return None


def _denied(denied: Denied) -> Refusal:
    challenge = (("www-authenticate", "Bearer"),) if denied.status == 401 else ()
    return Refusal(denied.status, denied.reason, challenge)


def _no_operation(method: str, methods: Sequence[str]) -> Refusal:
    if not methods:
        return Refusal(404, "no such path; GET /docs lists those that there are")
    allowed = ", ".join(methods)
    return Refusal(405, f"method {method[:20]}: expected {allowed}", (("allow", allowed),))
