"""Certificates that tests make."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from arbitrank.serve.settings import Tls


def made(folder: Path, name: str) -> tuple[Tls, ssl.SSLContext]:
    """A certificate of localhost and its key, `NAME.pem` and `NAME.key`, and a context that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = x509.CertificateBuilder(own, own, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    tls = Tls(folder / f"{name}.pem", folder / f"{name}.key")
    assert tls.certificate
    assert tls.key
    encoding = serialization.Encoding.PEM
    tls.certificate.write_bytes(certificate.public_bytes(encoding))
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    tls.key.write_bytes(secret)
    return tls, ssl.create_default_context(cafile=str(tls.certificate))
