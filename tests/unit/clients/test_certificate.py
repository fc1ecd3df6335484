"""The gateway's default certificate, which keeps Traefik from making one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gitops_ml.clients.gateway.certificate import own_configuration
from gitops_ml.clients.gateway.layout import CERTIFICATE
from gitops_ml.clients.gateway.own_routes import has_own_routes
from gitops_ml.core.declaration.values import NAME_PATTERN


def test_the_certificate_is_valid_and_self_signed_and_has_its_key() -> None:
    pair = json.loads(own_configuration())["tls"]["stores"]["default"]["defaultCertificate"]
    certificate = x509.load_pem_x509_certificate(pair["certFile"].encode())
    key = load_pem_private_key(pair["keyFile"].encode(), None)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc < datetime.now(UTC)
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3650)


def test_each_gateway_gets_its_own_certificate() -> None:
    assert own_configuration() != own_configuration()


def test_no_deployment_can_have_the_name_of_the_certificate_file() -> None:
    assert not re.fullmatch(NAME_PATTERN, CERTIFICATE.removesuffix(".yml"))


def test_a_file_without_the_gateways_own_routes_is_told_apart() -> None:
    assert has_own_routes(own_configuration())
    assert not any(has_own_routes(content) for content in (b"}", b"{}", b'{"http": []}', b'{"tls": {}}'))
