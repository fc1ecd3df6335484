"""A generation: one immutable (version + spec) of a deployment, and the containers that are made from it.

Everything that the engine is told about a container comes from here. So a container can be made again from the journal
alone, and compared with what was asked for.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from gitops_ml.core.declaration.application import Application
from gitops_ml.core.declaration.artifact import Artifact, Sidecar
from gitops_ml.core.declaration.mapping import AnswerMapping
from gitops_ml.core.declaration.schema import Deployment, ResolvedDeployment
from gitops_ml.core.declaration.values import differing, label_of, seconds, size_bytes
from gitops_ml.core.signed_statement import SignedStatement

PORT = 8080
SERVER_USER = "65532:65532"
MODEL_PATH = "/v2/models"
HEALTH_PATH = "/v2/health/ready"
ALLOW_PICKLE = "GITOPS_ML_ALLOW_PICKLE"
"""The server's variable for `serve.allow_pickle`."""

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
EXPIRES = LABEL + "expires"
"""Seconds that a lock, or a probe that runs without the lock, may live."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable (version + spec) of a deployment.

    `fingerprint` has 12 hexadecimal digits. `revision` is the commit of the version, `commit` the one that declares it.
    `image_id` is known once the image was built or pulled. `start_timeout` is in seconds, `cpus` in cores, `memory` in
    bytes. `secrets` maps names to files on the engine's host. An embedded model has an `application`, which finds the
    model at `model_path` and says at `version_path` (if there is one) what it has loaded. `published`: its servers also
    offer the model's files, and show subscribers that they were `signed`.
    """

    fingerprint: str
    deployment: str
    model: str
    version: str
    digest: str
    path: str
    revision: str
    commit: str
    pattern: Literal["service", "image", "embed"]
    image: str
    image_id: str | None = None
    port: int = PORT
    health: str = HEALTH_PATH
    start_timeout: float = 60.0
    cpus: float = 1.0
    memory: int = 512 * 1024**2
    pids: int = 256
    gpus: int = 0
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    sidecar: Sidecar | None = None
    mapping: AnswerMapping | None = None
    application: Application | None = None
    model_path: str = ""
    version_path: str | None = None
    published: bool = False
    signed: SignedStatement | None = None

    @property
    def answers(self) -> bool:
        """Whether it can be asked for predictions: our server, and an application with a mapping."""
        return self.pattern == "service" or self.mapping is not None

    @property
    def artifact(self) -> Artifact | None:
        """The artifact of its model; None for an image without a mapping, which brings none."""
        if self.pattern == "image":
            return self.mapping.artifact if self.mapping else None
        return Artifact(digest=self.digest, revision=self.revision, path=self.path, sidecar=self.sidecar)


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One container, as the engine is asked to make it. `memory` is in bytes, `stop_grace` in seconds.

    `binds` maps a path inside to a path on the host (one file may be two secrets), `volumes` a volume to a path inside,
    `ports` a port inside to the address and port on the host.
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
    workdir: str = ""
    read_only: bool = True
    cpus: float = 0.0
    memory: int = 0
    pids: int = 0
    gpus: int = 0
    restart: Literal["no", "unless-stopped"] = "unless-stopped"
    stop_grace: int = 30
    log_max_size: str = "10m"
    log_max_files: int = 3


def overlap(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two (address, port) pairs of a host cannot be listened on at once. Without an address, all are meant."""
    everywhere = {"", "0.0.0.0", "::"}
    return one[1] == other[1] and (one[0] == other[0] or bool({one[0], other[0]} & everywhere))


def scoped(project: str, environment: str, *parts: str) -> str:
    """The name of an object of ours on the engine: `<project>.<environment>.…`."""
    return ".".join((project, environment, *parts))


def owner_labels(project: str, environment: str, role: str) -> dict[str, str]:
    """The labels that every object of ours carries."""
    return {PROJECT: project, ENVIRONMENT: environment, ROLE: role}


def probe_labels(project: str, environment: str, lifetime: float | None) -> dict[str, str]:
    """The labels of a probe. `lifetime`: after how many seconds a pass may remove it, if it runs without the lock."""
    labels = owner_labels(project, environment, "probe")
    return labels if lifetime is None else labels | {EXPIRES: f"{lifetime:g}"}


def alias(deployment: str, fingerprint: str, replica: int, suffix: str) -> str:
    """The network alias of one container. It is unique, unlike an address, which another container may get later."""
    return f"{deployment}-{fingerprint}-{replica}-{suffix}"


def image_tag(project: str, model: str, version: str, digest: str, base: str, serving_version: int) -> str:
    """The name of a project's image with this model on this base. Equal inputs give equal names, others another."""
    key = hashlib.sha256("\n".join((project, model, version, digest, base, str(serving_version))).encode()).hexdigest()
    return f"gitops-ml/{label_of(model)}:{key[:16]}"


def nano_cpus(cpus: float) -> int:
    """CPUs as the engine stores them: whole billionths."""
    return round(cpus * 1e9)


def threads_env(cpus: float) -> dict[str, str]:
    """The size of thread pools, by the CPU limit: the engine throttles a larger pool."""
    threads = str(max(1, int(cpus)))
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)


def generation_of(
    desired: ResolvedDeployment, *, project: str, commit: str, base: str, serving_version: int
) -> Generation:
    """The generation that a desired deployment of a project asks for on a host with this base image.

    Its fingerprint does not cover replicas, rollout, verify, on_failure and hold: scaling a deployment or
    judging it again makes no new generation.
    """
    declared = desired.declaration
    serve = declared.serve
    service = serve.by_model_server
    # What an application's image is based on is in its content.
    made_from = (base, serving_version) if service else (serve.model_path or "", 0)
    if serve.pattern == "publish":  # an older image may hold a server without a channel, or without its signature
        made_from = f"{base} signed channel", serving_version
    image = (
        serve.image or ""
        if serve.pattern == "image"
        else image_tag(project, declared.model, declared.version, desired.content, *made_from)
    )
    content = {
        "deployment": desired.name,
        "model": declared.model,
        "version": declared.version,
        "digest": desired.content,
        "base": base if service else None,
        "serving_version": serving_version if service else None,
        "resources": differing(declared.resources),
        "env": declared.env,
        "secrets": sorted(declared.secrets),
        # The files that an application is built from are in its content, wherever they are.
        "serve": differing(msgspec.structs.replace(serve, build=None)),
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
        pattern="service" if serve.pattern == "publish" else serve.pattern,
        image=image,
        port=PORT if service else serve.port or 80,
        health=HEALTH_PATH if service else serve.health or "/",
        start_timeout=seconds(serve.start_timeout),
        cpus=declared.resources.cpus,
        memory=size_bytes(declared.resources.memory),
        pids=declared.resources.pids,
        gpus=declared.resources.gpus,
        env=declared_env(declared),
        secrets=dict(declared.secrets),
        sidecar=desired.sidecar,
        mapping=desired.mapping,
        application=desired.application,
        model_path=serve.model_path or "",
        version_path=serve.version_path,
        published=serve.pattern == "publish",
    )


def declared_env(declared: Deployment) -> dict[str, str]:
    """The variables that a declaration gives to its containers. Only `serve.allow_pickle` allows a pickle."""
    env = {key: value for key, value in declared.env.items() if key != ALLOW_PICKLE}
    return env | ({ALLOW_PICKLE: "1"} if declared.serve.allow_pickle else {})


def replica_spec(
    generation: Generation,
    *,
    project: str,
    environment: str,
    replica: int,
    suffix: str,
    drain: float,
) -> ContainerSpec:
    """The container of one replica of a generation. `drain` is in seconds."""
    identity = {
        DEPLOYMENT: generation.deployment,
        GENERATION: generation.fingerprint,
        REPLICA: str(replica),
        MODEL: generation.model,
        VERSION: generation.version,
        PATTERN: generation.pattern,
        ALIAS: alias(generation.deployment, generation.fingerprint, replica, suffix),
    }
    # The server's identity comes last, so that a declared variable cannot make it claim another one.
    # An application that holds an embedded model learns the version from the model's files alone: so it proves that it
    # has read them.
    served = {"GITOPS_ML_VERSION": generation.version, "GITOPS_ML_DIGEST": generation.digest}
    env = {
        **threads_env(generation.cpus),
        **generation.env,
        "GITOPS_ML_DEPLOYMENT": generation.deployment,
        "GITOPS_ML_MODEL": generation.model,
        **(served if generation.application is None else {}),
        "GITOPS_ML_GENERATION": generation.fingerprint,
        "GITOPS_ML_PORT": str(generation.port),
        **({"GITOPS_ML_CHANNEL": "1"} if generation.published else {}),
        **(_signed_env(generation.signed) if generation.signed else {}),
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
        gpus=generation.gpus,
        stop_grace=max(1, round(drain)),
    )


def _signed_env(signed: SignedStatement) -> dict[str, str]:
    return {"GITOPS_ML_STATEMENT": signed.statement, "GITOPS_ML_SIGNATURE": signed.signature}
