"""TLS of the service, whose certificate can be exchanged while it serves."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from arbitrank.errors import InputError
from arbitrank.serve.reloading import Reloaded
from arbitrank.serve.settings import Tls


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A context with the certificate and its key. Raises `InputError` where they cannot be used."""
    assert tls.certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password, one that is needed must not be asked for at a terminal.
        context.load_cert_chain(tls.certificate, tls.key, tls.opened_by() or "")
    except (OSError, ValueError) as error:  # `ssl.SSLError` is an `OSError`
        raise InputError(f"TLS: the certificate or key cannot be used: {error}") from error
    return context


def certificate(tls: Tls) -> Reloaded[ssl.SSLContext] | None:
    """The context with the service's certificate, None where it has none. Raises `InputError` as `tls_context` does."""
    if tls.certificate is None:
        return None
    others = [path for path in (tls.key, tls.password_file) if path is not None]
    return Reloaded(tls.certificate, lambda path: tls_context(tls), *others)


def exchangeable(current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context that serves each new connection with the certificate of the context which is current then."""

    def choose(connection: Any, name: str | None, own: ssl.SSLContext) -> None:
        connection.context = current()

    context = current()
    context.sni_callback = choose  # called in every handshake, also where the client names no server
    return context
