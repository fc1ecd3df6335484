"""The certificate that the gateway holds and shows to nobody, since it listens without TLS.

Traefik wants a default one whether it is used or not, and without one makes it anew, with an RSA key of 2,048 bits, at
every change of its configuration. That was most of the time that a move of traffic took.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_VALID = timedelta(days=36500)


def default_certificate() -> bytes:
    """Traefik's dynamic configuration with a new self-signed certificate (Ed25519, RFC 8410)."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gitops-ml gateway")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .sign(key, None)
    )
    pair = {
        "certFile": made.public_bytes(Encoding.PEM).decode(),
        "keyFile": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    return msgspec.json.encode({"tls": {"stores": {"default": {"defaultCertificate": pair}}}})
