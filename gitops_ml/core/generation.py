"""A generation is one immutable (version + spec) of a deployment: what its containers are made of.

Everything that the engine is told about a container comes from here, so that a container can be made again from the
journal alone, and so that what runs can be held against what was asked for.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Literal

import msgspec

from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.declaration.values import seconds, size_bytes

PORT = 8080
SERVER_USER = "65532:65532"
MODEL_PATH = "/v2/models"
HEALTH_PATH = "/v2/health/ready"

LABEL = "gitops-ml."
PROJECT = LABEL + "project"
ENVIRONMENT = LABEL + "environment"
ROLE = LABEL + "role"
DEPLOYMENT = LABEL + "deployment"
GENERATION = LABEL + "generation"
REPLICA = LABEL + "replica"
MODEL = LABEL + "model"
VERSION = LABEL + "version"
ALIAS = LABEL + "alias"
PATTERN = LABEL + "pattern"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable (version + spec) of a deployment.

    `fingerprint` is 12 hexadecimal digits; `revision` is the commit of the version; `commit` the one that declared it.
    `image_id` is known once the image has been built or pulled. `cpus` in cores, `memory` in bytes.
    """

    fingerprint: str
    deployment: str
    model: str
    version: str
    digest: str
    path: str
    revision: str
    commit: str
    pattern: Literal["service", "image"]
    image: str
    image_id: str | None = None
    port: int = PORT
    health: str = HEALTH_PATH
    start_timeout: float = 60.0
    cpus: float = 1.0
    memory: int = 512 * 1024**2
    pids: int = 256
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine is asked to make: one container, whole. `memory` in bytes, `stop_grace` in seconds.

    `binds` maps a path inside to one on the host (one file may be two secrets), `volumes` a volume to a path inside.
    """

    name: str
    image: str
    labels: dict[str, str]
    network: str | None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    env: dict[str, str] = {}
    binds: dict[str, str] = {}
    volumes: dict[str, str] = {}
    anonymous_volumes: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ("/tmp",)
    ports: dict[int, tuple[str, int]] = {}
    user: str = SERVER_USER
    read_only: bool = True
    cpus: float = 0.0
    memory: int = 0
    pids: int = 0
    restart: Literal["no", "unless-stopped"] = "unless-stopped"
    stop_grace: int = 30
    log_max_size: str = "10m"
    log_max_files: int = 3


def scoped(project: str, environment: str, *parts: str) -> str:
    """The name of an object of ours on the engine: `<project>.<environment>.…`."""
    return ".".join((project, environment, *parts))


def owner_labels(project: str, environment: str, role: str) -> dict[str, str]:
    """The labels that every object of ours carries."""
    return {PROJECT: project, ENVIRONMENT: environment, ROLE: role}


def alias(deployment: str, fingerprint: str, replica: int, suffix: str) -> str:
    """The network alias of one container; unique, since addresses are used again after a restart."""
    return f"{deployment}-{fingerprint}-{replica}-{suffix}"


def image_tag(model: str, version: str, digest: str, base: str, serving_version: int) -> str:
    """The name of the image that holds this model on this base: the same inputs, the same name."""
    key = hashlib.sha256("\n".join((model, version, digest, base, str(serving_version))).encode()).hexdigest()
    return f"gitops-ml/{model}:{key[:16]}"


def threads_env(cpus: float) -> dict[str, str]:
    """Thread pools follow the CPU limit: a pool larger than its quota is throttled."""
    threads = str(max(1, int(cpus)))
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def differing(declared: Any) -> Any:
    """A declaration as plain data, with only what differs from its default.

    What is hashed goes through this: a key that a newer version adds must not change the hash of those who do not use
    it, or an upgrade of the tool would roll every host. For the same reason no default may ever change.
    """
    if isinstance(declared, msgspec.Struct):
        found = {}
        for known in _fields(type(declared)):
            value = getattr(declared, known.name)
            made = known.default_factory() if callable(known.default_factory) else known.default
            if value != made:
                found[known.encode_name] = differing(value)
        return found
    if isinstance(declared, dict):
        return {key: differing(value) for key, value in declared.items()}
    if isinstance(declared, tuple | list):
        return [differing(value) for value in declared]
    return declared


def generation_of(desired: ResolvedDeployment, *, commit: str, base: str, serving_version: int) -> Generation:
    """The generation that a desired deployment asks for on a host with this base image.

    Not in its fingerprint: replicas, rollout, verify, on_failure, hold (DESIGN §4): scaling and judging anew make no
    new generation.
    """
    declared = desired.declaration
    serve = declared.serve
    service = serve.pattern == "service"
    image = (
        image_tag(declared.model, declared.version, desired.digest, base, serving_version)
        if service
        else serve.image or ""
    )
    content = {
        "deployment": desired.name,
        "model": declared.model,
        "version": declared.version,
        "digest": desired.digest,
        "base": base if service else None,
        "serving_version": serving_version if service else None,
        "resources": differing(declared.resources),
        "env": declared.env,
        "secrets": sorted(declared.secrets),
        "serve": differing(serve),
    }
    fingerprint = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:12]
    return Generation(
        fingerprint=fingerprint,
        deployment=desired.name,
        model=declared.model,
        version=declared.version,
        digest=desired.digest,
        path=desired.path,
        revision=desired.revision,
        commit=commit,
        pattern=serve.pattern,
        image=image,
        port=PORT if service else serve.port or 80,
        health=HEALTH_PATH if service else serve.health or "/",
        start_timeout=seconds(serve.start_timeout),
        cpus=declared.resources.cpus,
        memory=size_bytes(declared.resources.memory),
        pids=declared.resources.pids,
        env={
            **declared.env,
            **({"GITOPS_ML_ALLOW_PICKLE": "1"} if serve.allow_pickle else {}),
        },
        secrets=dict(declared.secrets),
    )


def replica_spec(
    generation: Generation,
    *,
    project: str,
    environment: str,
    replica: int,
    suffix: str,
    drain: float,
) -> ContainerSpec:
    """One replica of a generation, as the engine is asked to make it. `drain` in seconds."""
    identity = {
        DEPLOYMENT: generation.deployment,
        GENERATION: generation.fingerprint,
        REPLICA: str(replica),
        MODEL: generation.model,
        VERSION: generation.version,
        PATTERN: generation.pattern,
        ALIAS: alias(generation.deployment, generation.fingerprint, replica, suffix),
    }
    # What readiness is judged by comes last: a declaration cannot make a server claim another identity.
    env = {
        **threads_env(generation.cpus),
        **generation.env,
        "GITOPS_ML_DEPLOYMENT": generation.deployment,
        "GITOPS_ML_MODEL": generation.model,
        "GITOPS_ML_VERSION": generation.version,
        "GITOPS_ML_DIGEST": generation.digest,
        "GITOPS_ML_GENERATION": generation.fingerprint,
        "GITOPS_ML_PORT": str(generation.port),
    }
    service = generation.pattern == "service"
    return ContainerSpec(
        name=scoped(
            project,
            environment,
            generation.deployment,
            generation.fingerprint[:8],
            f"{replica}-{suffix}",
        ),
        image=generation.image_id or generation.image,
        labels={**owner_labels(project, environment, "replica"), **identity},
        network=scoped(project, environment),
        aliases=(alias(generation.deployment, generation.fingerprint, replica, suffix),),
        command=("python", "-m", "gitops_ml.serving.server") if service else None,
        env=env,
        binds={f"/run/secrets/{name}": path for name, path in sorted(generation.secrets.items())},
        cpus=generation.cpus,
        memory=generation.memory,
        pids=generation.pids,
        stop_grace=max(1, round(drain)),
    )
