"""Makes the build contexts of a runtime image, as bytes; the engine's client sends them.

A runtime image holds the base image, a model's locked requirements and this server. Three steps make it, so that what a
model's author wrote runs nowhere: the first fetches wheels, the second unpacks them without a network, both without
root, and the third copies what is there. The classic builder of engine 20.10 builds each: no BuildKit, no syntax
directive, no mounts. Index addresses, credentials and certificates reach only the first image, which is removed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

from gitops_ml.errors import InputError
from gitops_ml.serving import SERVING_SOURCE
from gitops_ml.serving.building.archive import pack

Content = TypeVar("Content")

PACKAGE = Path(__file__).parents[2]
USER = "65532:65532"

ARTIFACT_SOURCES = (
    "__init__.py",
    "decoding.py",
    "description.py",
    "facts.py",
    "inputs.py",
    "manifest.py",
    "reference.py",
    "skops_file.py",
    "skops_types.py",
)
"""Files of `gitops_ml.artifacts` that the server imports."""
SERVER_FOLDERS = ("serving", "serving/inspection", "serving/prediction")
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

BUILD_LABEL = "gitops-ml.role=build"
"""Label of the images of the first two steps, which are removed once the runtime image is made."""

DOWNLOAD_DOCKERFILE = """\
FROM {base}
LABEL {label}
ARG {args}
COPY --chown={user} build /build
USER {user}
RUN {certificates}HOME=/build python3 -m pip download \\
    --no-cache-dir --disable-pip-version-check --no-input \\
    --no-deps --require-hashes --only-binary=:all: -r /build/requirements.txt -d /build/wheels
"""
"""First step, the only one with a network: pip fetches the wheels that a hash names, and nothing that they ask for."""

INSTALL_DOCKERFILE = """\
FROM {wheels}
LABEL {label}
COPY --chown={user} opt /opt
USER {user}
RUN python3 -m venv --without-pip /opt/gitops-ml/venv \\
 && HOME=/build python3 -m pip --python /opt/gitops-ml/venv/bin/python install \\
    --no-cache-dir --no-compile --disable-pip-version-check --no-input \\
    --no-index --find-links /build/wheels --require-hashes --only-binary=:all: -r /build/requirements.txt \\
 && {compile} /opt/gitops-ml/venv
RUN {compile} /opt/gitops-ml/gitops_ml && mkdir -p /opt/gitops-ml/probe
"""
"""Second step, without a network: wheels are unpacked, which runs none of their code."""

RUNTIME_DOCKERFILE = """\
FROM {base}
COPY --from={installed} /opt/gitops-ml /opt/gitops-ml
COPY --from={installed} --chown={user} /opt/gitops-ml/probe /probe
ENV PATH=/opt/gitops-ml/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    PYTHONPATH=/opt/gitops-ml PYTHONSAFEPATH=1 PYTHONNOUSERSITE=1 \\
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER {user}
WORKDIR /
EXPOSE 8080
CMD ["python", "-m", "gitops_ml.serving.server"]
"""

# Python does not compare compiled files with their sources at start: it is faster, and a read-only image cannot change.
# Test suites inside packages are never imported.
COMPILE = "python3 -m compileall -q -j 0 -x '/tests?/' --invalidation-mode unchecked-hash"


def runtime_key(requirements: bytes, base_id: str) -> str:
    """The key of a runtime image: SHA-256 (hex) over the requirements, the base image's identity and SERVING_SOURCE."""
    digest = hashlib.sha256(f"{SERVING_SOURCE}\n{base_id}\n".encode())
    digest.update(requirements)
    return digest.hexdigest()


def download_context(requirements: bytes, base: str, certificates: bytes | None = None) -> bytes:
    """Make the build context (a tar) of the first step; the same arguments give the same bytes.

    Args:
        requirements: a requirements file that `requirements.read_lock` accepts.
        base: reference of an image with Python and pip.
        certificates: PEM bundle that pip trusts; None takes the caller's (`pip_certificates`).

    Raises:
        InputError: `base` is not an image reference.
    """
    pem = pip_certificates() if certificates is None else certificates
    files = {"build/requirements.txt": requirements}
    if pem:
        files["build/certificates.pem"] = pem
    dockerfile = DOWNLOAD_DOCKERFILE.format(
        base=image_reference(base),
        label=BUILD_LABEL,
        args="\nARG ".join(PASSED_ON),
        user=USER,
        certificates="PIP_CERT=/build/certificates.pem " if pem else "",
    )
    return pack(with_folders(files | {"Dockerfile": dockerfile.encode()}))


def install_context(wheels: str) -> bytes:
    """Make the build context of the second step. `wheels` is the image of the first. Raises `InputError` as above."""
    files = {
        f"opt/gitops-ml/gitops_ml/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in server_sources()
    }
    files["opt/gitops-ml/gitops_ml/__init__.py"] = b""
    dockerfile = INSTALL_DOCKERFILE.format(
        wheels=image_reference(wheels), label=BUILD_LABEL, user=USER, compile=COMPILE
    )
    return pack(with_folders(files | {"Dockerfile": dockerfile.encode()}))


def runtime_context(base: str, installed: str) -> bytes:
    """Make the build context of the runtime image. `installed` is the image of the second step.

    All files belong to root, and the server runs as another user. Raises `InputError` as above.
    """
    dockerfile = RUNTIME_DOCKERFILE.format(base=image_reference(base), installed=image_reference(installed), user=USER)
    return pack({"Dockerfile": dockerfile.encode()})


def build_args(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build arguments with which pip in the build stage reaches the same indexes as pip here.

    They hold the caller's index, timeout and proxy settings, without settings that name files of this machine. They do
    not change which bytes are installed, since a hash locks every package. They may hold credentials: never log them.
    """
    env = os.environ if env is None else env
    args = proxy_args(env) | {name: env[name] for name in PASSED_ON if env.get(name)}
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        urls = [url for url in args.pop(name, "").split() if urlsplit(url).scheme in ("http", "https")]
        if urls:
            args[name] = " ".join(urls)
    return args


def proxy_args(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's proxies as build arguments, which the engine leaves out of an image's history."""
    env = os.environ if env is None else env
    return {name: env[name] for name in PROXIES if env.get(name)}


def pip_certificates(env: Mapping[str, str] | None = None) -> bytes:
    """The PEM bundle that the caller's environment names for pip; empty if it names none."""
    env = os.environ if env is None else env
    for name in CERTIFICATES:
        path = Path(env.get(name) or "/nonexistent")
        if path.is_file():
            return path.read_bytes()
    return b""


def server_sources() -> list[Path]:
    """The files of gitops-ml that go into the runtime image, sorted within their folder."""
    serving = sorted(path for folder in SERVER_FOLDERS for path in (PACKAGE / folder).glob("*.py"))
    return [*(PACKAGE / "artifacts" / name for name in ARTIFACT_SOURCES), PACKAGE / "errors.py", *serving]


def source_digest() -> str:
    """SHA-256 (hex) over everything that decides how the runtime image behaves; SERVING_SOURCE must equal it."""
    digest = hashlib.sha256(f"{DOWNLOAD_DOCKERFILE}{INSTALL_DOCKERFILE}{RUNTIME_DOCKERFILE}{USER}{COMPILE}".encode())
    for path in server_sources():
        if path.name != "__init__.py":
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def image_reference(image: str) -> str:
    """The reference of an image as a Dockerfile may hold it. Raises `InputError` when it could hold more than that."""
    if not image or any(character.isspace() for character in image):
        raise InputError(f"{image!r} is not an image reference")
    return image


def with_folders(files: Mapping[str, Content]) -> dict[str, Content | bytes]:
    """These files with the folders above them, sorted: a tar of them depends on `files` alone."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    names = sorted(folders | set(files))
    return {f"{name}/" if name in folders else name: files.get(name, b"") for name in names}
