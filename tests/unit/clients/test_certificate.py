"""The gateway's default certificate, which keeps Traefik from making one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gitops_ml.clients.gateway.certificate import default_certificate
from gitops_ml.clients.gateway.layout import CERTIFICATE
from gitops_ml.core.declaration.values import NAME_PATTERN


def test_the_certificate_is_valid_and_self_signed_and_has_its_key() -> None:
    pair = json.loads(default_certificate())["tls"]["stores"]["default"]["defaultCertificate"]
    certificate = x509.load_pem_x509_certificate(pair["certFile"].encode())
    key = load_pem_private_key(pair["keyFile"].encode(), None)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc < datetime.now(UTC)
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3650)


def test_each_gateway_gets_its_own_certificate() -> None:
    assert default_certificate() != default_certificate()


def test_no_deployment_can_have_the_name_of_the_certificate_file() -> None:
    assert not re.fullmatch(NAME_PATTERN, CERTIFICATE.removesuffix(".yml"))
