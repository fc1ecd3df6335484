"""What the gateway is configured with beside the routes of deployments: its own routes, and a TLS certificate.

The gateway listens without TLS, so no client ever sees the certificate.
Traefik wants a default certificate all the same. Without one it makes one at every change of its configuration, with an
RSA key of 2,048 bits, and that took most of the time of a move of traffic.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gitops_ml.clients.gateway.own_routes import ROUTERS

_VALID = timedelta(days=36500)


def own_configuration() -> bytes:
    """Traefik's dynamic configuration with a new self-signed certificate (Ed25519, RFC 8410)."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gitops-ml gateway")])
    now = datetime.now(UTC)
    certificate = (
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
        "certFile": certificate.public_bytes(Encoding.PEM).decode(),
        "keyFile": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    tls = {"stores": {"default": {"defaultCertificate": pair}}}
    return msgspec.json.encode({"http": {"routers": ROUTERS}, "tls": tls})
