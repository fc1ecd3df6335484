"""Makes the build contexts of a model's two images, as bytes; the engine's client sends them.

The *runtime* image holds the base image, the model's locked requirements and this server; it is built once for each set
of requirements. The *model* image adds the artifact as one layer. The classic builder of engine 20.10 builds both: no
BuildKit, no syntax directive, no mounts. Index addresses, credentials and certificates reach only the build stage, so
that neither the image nor its history holds them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gitops_ml.errors import InputError
from gitops_ml.serving import SERVING_SOURCE
from gitops_ml.serving.archive import pack

PACKAGE = Path(__file__).parent.parent
USER = "65532:65532"

ARTIFACT_SOURCES = ("__init__.py", "manifest.py", "skops_types.py")
"""Files of `gitops_ml.artifacts` that the server imports."""
UNSHIPPED = ("archive.py", "context.py")
"""Files of this package that the server does not need."""

PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

BUILD_LABEL = "gitops-ml.role=build"
"""Label of the build stage's image. The classic builder leaves it behind untagged; pruning finds it by this label."""

RUNTIME_DOCKERFILE = """\
FROM {base} AS build
LABEL {label}
ARG {args}
COPY build /build
RUN python3 -m venv --without-pip /opt/gitops-ml/venv \\
 && {certificates}python3 -m pip --python /opt/gitops-ml/venv/bin/python install \\
    --no-cache-dir --no-compile --disable-pip-version-check --no-input \\
    --require-hashes --only-binary=:all: -r /build/requirements.txt \\
 && {compile} /opt/gitops-ml/venv
COPY gitops_ml /opt/gitops-ml/gitops_ml
RUN {compile} /opt/gitops-ml/gitops_ml && mkdir /probe

FROM {base}
COPY --from=build /opt/gitops-ml /opt/gitops-ml
COPY --from=build --chown={user} /probe /probe
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

MODEL_DOCKERFILE = "FROM {runtime}\nCOPY model /model\n"


def runtime_key(requirements: bytes, base_id: str) -> str:
    """The key of a runtime image: SHA-256 (hex) over the requirements, the base image's ID and SERVING_SOURCE."""
    digest = hashlib.sha256(f"{SERVING_SOURCE}\n{base_id}\n".encode())
    digest.update(requirements)
    return digest.hexdigest()


def runtime_context(requirements: bytes, base: str, certificates: bytes | None = None) -> bytes:
    """Make the build context (a tar) of the runtime image; the same arguments give the same bytes.

    Args:
        requirements: a requirements file that has a hash for every package.
        base: reference of an image with Python and pip.
        certificates: PEM bundle that pip trusts while it builds; None takes the caller's (`pip_certificates`).

    Raises:
        InputError: `base` is not an image reference.
    """
    pem = pip_certificates() if certificates is None else certificates
    files = {"build/requirements.txt": requirements}
    if pem:
        files["build/certificates.pem"] = pem
    for path in server_sources():
        files[f"gitops_ml/{path.relative_to(PACKAGE).as_posix()}"] = path.read_bytes()
    files["gitops_ml/__init__.py"] = b""
    files["Dockerfile"] = _runtime_dockerfile(_reference(base), with_certificates=bool(pem)).encode()
    return _tar(files)


def model_context(model: Path | Iterable[tuple[str, bytes]], runtime_image: str) -> bytes:
    """Make the build context (a tar) of a model image: the artifact at /model, readable by all, writable by none.

    Args:
        model: the artifact's folder, or its files as (path below /model, content).
        runtime_image: reference or ID of the runtime image.

    Raises:
        InputError: a path leaves the artifact, the folder holds a link or a special file, or there is no file.
    """
    files = _model_files(_folder_files(model) if isinstance(model, Path) else model)
    files["Dockerfile"] = MODEL_DOCKERFILE.format(runtime=_reference(runtime_image)).encode()
    return _tar(files)


def model_archive(
    model: Iterable[tuple[str, bytes]], runtime: Mapping[str, Any], tag: str, labels: Mapping[str, str]
) -> bytes:
    """Make the model image as an archive (a tar, as `docker save` writes) that holds only its one new layer.

    An engine that stores images as layers loads it in a third of the time of a build, since it runs no build step. An
    engine that wants every layer refuses it. The same arguments give the same bytes and the same image ID.

    Args:
        model: as `model_context`.
        runtime: the engine's description (inspect) of the runtime image.
        tag: name of the image.
        labels: labels of the image, beside those of the runtime image.

    Raises:
        InputError: as `model_context`.
    """
    layer = _tar(_model_files(model))
    below = list(runtime["RootFS"]["Layers"])
    config = {
        "architecture": runtime["Architecture"],
        "os": runtime["Os"],
        "created": runtime["Created"],
        "config": runtime["Config"] | {"Labels": (runtime["Config"].get("Labels") or {}) | dict(labels)},
        "rootfs": {"type": "layers", "diff_ids": [*below, f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": runtime["Created"], "created_by": "COPY model /model"}],
    }
    content = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    layers = [*(f"{digest.removeprefix('sha256:')}/layer.tar" for digest in below), "model/layer.tar"]
    manifest = [{"Config": name, "RepoTags": [_reference(tag)], "Layers": layers}]
    return _tar({name: content, "manifest.json": json.dumps(manifest).encode(), "model/layer.tar": layer})


def build_args(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build arguments with which pip in the build stage reaches the same indexes as pip here.

    They hold the caller's index, timeout and proxy settings, without settings that name files of this machine. They do
    not change which bytes are installed, since a hash locks every package. They may hold credentials: never log them.
    """
    env = os.environ if env is None else env
    args = {name: env[name] for name in (*PASSED_ON, *PROXIES) if env.get(name)}
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        urls = [url for url in args.pop(name, "").split() if urlsplit(url).scheme in ("http", "https")]
        if urls:
            args[name] = " ".join(urls)
    return args


def pip_certificates(env: Mapping[str, str] | None = None) -> bytes:
    """The PEM bundle that the caller's environment names for pip; empty if it names none."""
    env = os.environ if env is None else env
    for name in CERTIFICATES:
        path = Path(env.get(name) or "/nonexistent")
        if path.is_file():
            return path.read_bytes()
    return b""


def server_sources() -> list[Path]:
    """Files of this package that go into the runtime image, sorted."""
    serving = sorted(path for path in (PACKAGE / "serving").glob("*.py") if path.name not in UNSHIPPED)
    return [*(PACKAGE / "artifacts" / name for name in ARTIFACT_SOURCES), PACKAGE / "errors.py", *serving]


def source_digest() -> str:
    """SHA-256 (hex) over everything that decides how the runtime image behaves; SERVING_SOURCE must equal it."""
    digest = hashlib.sha256(_runtime_dockerfile("BASE", with_certificates=False).encode())
    for path in server_sources():
        if path.name != "__init__.py":
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _runtime_dockerfile(base: str, *, with_certificates: bool) -> str:
    certificates = "PIP_CERT=/build/certificates.pem " if with_certificates else ""
    args = "\nARG ".join(PASSED_ON)
    return RUNTIME_DOCKERFILE.format(
        base=base, args=args, certificates=certificates, user=USER, compile=COMPILE, label=BUILD_LABEL
    )


def _reference(image: str) -> str:
    if not image or any(character.isspace() for character in image):
        raise InputError(f"{image!r} is not an image reference")
    return image


def _model_files(model: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    files = {}
    for name, content in model:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
            raise InputError(f"the model holds a file named {name!r}", why="it would leave the artifact")
        files[f"model/{path}"] = content
    if not files:
        raise InputError("the model holds no file", fix="dvc repro train")
    return files


def _folder_files(folder: Path) -> Iterable[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(f"the model holds {path.name!r}", why="it is a link or a special file")
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _tar(files: Mapping[str, bytes]) -> bytes:
    """Make a tar whose bytes depend on `files` alone: sorted, without times and owners, read-only for all."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents if str(parent) != "."}
    names = sorted(folders | set(files))
    return pack({f"{name}/" if name in folders else name: files.get(name, b"") for name in names})
