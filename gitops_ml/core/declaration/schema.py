"""Desired state: what the files under `environments/` may say, as types.

These structs are the only place that defines a key, its type, its default and its meaning. The parser, the published
JSON Schemas and the planner all read them here.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from gitops_ml.core.declaration.application import Application
from gitops_ml.core.declaration.artifact import Artifact, Sidecar
from gitops_ml.core.declaration.checks import Checks
from gitops_ml.core.declaration.hosts import Wave, full_name, host_name, require_hosts
from gitops_ml.core.declaration.mapping import AnswerMapping
from gitops_ml.core.declaration.serving import Serve
from gitops_ml.core.declaration.values import (
    BRANCH_PATTERN,
    SHARE_PATTERN,
    DeclaredStruct,
    Digest,
    Duration,
    Engine,
    EnvName,
    EnvValue,
    ModelName,
    Name,
    Secret,
    Size,
    Version,
    require_within,
    size_bytes,
)
from gitops_ml.core.declaration.windows import Window

_MIN_MEMORY = 6 * 1024**2
"""Docker's own minimum: https://docs.docker.com/engine/containers/resource_constraints/."""
_MAX_MEMORY = 64 * 1024**4
_MAX_CPUS = 1024
_MAX_PIDS = 4 * 1024**2
"""The most that Linux takes: https://www.kernel.org/doc/html/latest/admin-guide/sysctl/kernel.html#pid-max."""
_MAX_STEPS = 50
_MAX_WINDOWS = 20
_MAX_HOSTS = 1000


_Percent = Annotated[int, Meta(ge=1, le=99)]


class Project(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`environments/project.yaml`: the owner of everything on a host that carries this name."""

    schema: Literal[1]
    name: Name


class Gateway(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the environment's gateway listens on the engine's host.

    `drain` is how long a replica may finish its requests before it is stopped, at most 1h. `pin_header`: a client may
    choose a generation by the header X-Gitops-Ml-Generation, an unverified one too.
    """

    port: Annotated[int, Meta(ge=1, le=65535)]
    bind: str = "127.0.0.1"
    drain: Duration = "30s"
    pin_header: bool = False

    def __post_init__(self) -> None:
        require_within("drain", self.drain, "0s", "1h")
        try:
            address = ipaddress.ip_address(self.bind)
            if address.is_multicast or "%" in self.bind or address == ipaddress.ip_address("255.255.255.255"):
                raise ValueError
        except ValueError:
            # Given a name such as localhost, Docker publishes the port on every address of the host.
            raise ValueError(
                f"`bind` is {self.bind!r}, and must be an IP address: 127.0.0.1 for this host alone, 0.0.0.0 for all"
            ) from None

    def endpoint(self, deployment: str, *, published: bool = False) -> str:
        """The URL where users reach a deployment, or subscribers the channel of a published one."""
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        path = f"{deployment}/channel" if published else f"v2/models/{deployment}"
        return f"http://{host}:{self.port}/{path}"


class Promotion(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which environment versions are promoted to this one, and how long they must be Verified there before.

    `soak` is at most 365d.
    """

    from_: Name = field(name="from")
    soak: Duration = "0s"

    def __post_init__(self) -> None:
        require_within("soak", self.soak, "0s", "365d")


class Policy(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What gitops-ml may do in this environment without a person.

    `auto_revert`: a failed version is reverted in Git. `require_signed_commits`: only commits signed by a key in
    .gitops-ml/allowed_signers are applied. `max_removals`: the share of deployments that one pass may remove without
    --confirm-removals. `windows`: when rollouts may begin; at any time where there is none.
    """

    auto_revert: bool = True
    require_signed_commits: bool = False
    max_removals: Annotated[str, Meta(pattern=SHARE_PATTERN)] = "50%"
    windows: Annotated[tuple[Window, ...], Meta(min_length=1, max_length=_MAX_WINDOWS)] = ()


class Records(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The branch that records are written to; null means the tracked branch."""

    branch: Annotated[str, Meta(pattern=BRANCH_PATTERN)] | None = None


class Environment(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`environments/<environment>/environment.yaml`: where the environment runs, and under which policy.

    `engine`: the engine of its one host. `engines`: those of several equal hosts, in the order in which they get a new
    version. Each host runs all deployments, behind a gateway of its own.
    """

    schema: Literal[1]
    gateway: Gateway
    engine: Engine | None = None
    engines: Annotated[tuple[Engine, ...], Meta(max_length=_MAX_HOSTS, extra_json_schema={"minItems": 1})] | None = None
    promotion: Promotion | None = None
    policy: Policy = Policy()
    records: Records = Records()

    def __post_init__(self) -> None:
        if self.engines is None:
            return
        if self.engine is not None:
            raise ValueError("`engine` and `engines` are both there: `engine` is for one host, `engines` for several")
        require_hosts(self.engines)

    @property
    def hosts(self) -> dict[str, str]:
        """The engines of several hosts, by the hosts' names; empty where the environment has one engine."""
        return {host_name(engine): engine for engine in self.engines or ()}


class Resources(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of one replica: CPU cores, memory, and processes and threads (`pids`); and how many of the host's GPUs
    it gets.
    """

    cpus: Annotated[float, Meta(ge=0.01, le=_MAX_CPUS)] = 1.0
    memory: Size = "512m"
    pids: Annotated[int, Meta(ge=16, le=_MAX_PIDS)] = 256
    gpus: Annotated[int, Meta(ge=0, le=64)] = 0

    def __post_init__(self) -> None:
        if size_bytes(self.memory) > _MAX_MEMORY:
            raise ValueError(f"`memory` is {self.memory}, and can be 65536g at most")
        if size_bytes(self.memory) < _MIN_MEMORY:
            raise ValueError(f"`memory` is {self.memory}, and no container may have less than 6m")


class Rollout(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the candidate takes over from the incumbent.

    `steps`: percent of the traffic that a canary gets, one step after the other; at least one. `then`: what follows a
    shadow that has passed. `waves`: of an environment with several hosts, how many have the candidate after each wave,
    as counts or shares such as 25%; all others follow the last. A wave begins once the hosts before it are Verified.
    """

    strategy: Literal["recreate", "blue-green", "canary", "shadow"] = "blue-green"
    steps: Annotated[tuple[_Percent, ...], Meta(max_length=_MAX_STEPS, extra_json_schema={"minItems": 1})] = (5, 25, 50)
    then: Literal["blue-green", "canary"] = "blue-green"
    waves: Annotated[tuple[Wave, ...], Meta(max_length=_MAX_STEPS)] = (1,)

    def __post_init__(self) -> None:
        # Whatever the strategy: a canary that is open when the strategy changes still needs its steps.
        if not self.steps:
            raise ValueError("`steps` is empty, and needs at least one percentage, such as [5, 25, 50]")


class Hold(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's stop on a deployment, written by `gitops-ml hold`. Without `until` it lasts until it is released."""

    reason: str
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.until and self.until.tzinfo is None:
            raise ValueError("`until` must be a time with its zone, such as 2026-12-01T00:00:00Z")

    def in_force(self, now: datetime) -> bool:
        """Whether the hold has not ended; it ends at the second of `until`."""
        return self.until is None or self.until > now


class Deployment(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`environments/<environment>/models/<deployment>.yaml`: one desired deployment, named by its file.

    `model`: a name under `artifacts:` in dvc.yaml, as FOLDER:NAME where that dvc.yaml is not in the root. `version`: a
    tag of the model, such as v1.2.0, or any Git revision. `secrets`: files on the engine's host, by the name that the
    container sees under /run/secrets.
    """

    schema: Literal[1]
    model: ModelName
    version: Version
    digest: Digest | None = None
    replicas: Annotated[int, Meta(ge=1, le=64)] = 1
    resources: Resources = Resources()
    env: dict[EnvName, EnvValue] = field(default_factory=dict)
    secrets: dict[EnvName, Secret] = field(default_factory=dict)
    serve: Serve = Serve()
    rollout: Rollout = Rollout()
    verify: Checks = Checks()
    on_failure: tuple[Literal["revert", "retrain"], ...] = ("revert",)
    hold: Hold | None = None


class ResolvedDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A declaration whose version has been looked up in Git.

    `digest` is `md5:<hex>[.dir]` of the model artifact, `revision` the commit that the version names, `path` the
    artifact's path in that commit. `holdout` is the digest of the held-out rows in the declaring commit. `sidecar` is
    the folder of the files that make the artifact servable, where the artifact has none.

    Of an image, `digest` is its reference, `revision` the declaring commit, `path` empty. `artifact` is then what its
    model's version holds, which describes its inputs and outputs; None without a mapping. `application` is what the
    model is embedded in; None for the other patterns.
    """

    name: str
    declaration: Deployment
    digest: str
    revision: str
    path: str
    holdout: str | None = None
    sidecar: Sidecar | None = None
    artifact: Artifact | None = None
    application: Application | None = None

    @property
    def content(self) -> str:
        """The digests of all that is served. Only what has files beside it, or is embedded, counts those, so that no
        other model's name or fingerprint changes.
        """
        sidecar = self.artifact.sidecar if self.artifact else self.sidecar
        parts = [self.digest, self.artifact.digest if self.artifact else "", sidecar.digest if sidecar else ""]
        return " ".join(filter(None, [*parts, self.application.content if self.application else ""]))

    @property
    def mapping(self) -> AnswerMapping | None:
        """How an application is asked for predictions; None where it is not, and for our own server."""
        declared = self.declaration.serve.mapping
        if declared is None:
            return None
        artifact = self.artifact or Artifact(
            digest=self.digest, revision=self.revision, path=self.path, sidecar=self.sidecar
        )
        return AnswerMapping(request=declared[0], response=declared[1], artifact=artifact)


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """The desired state of one environment at one commit. `broken` holds errors of unreadable files, by deployment.

    `host`: one of its hosts; empty where it has one engine, or where all are meant.
    """

    project: str
    name: str
    host: str = ""
    commit: str
    environment: Environment
    deployments: dict[str, ResolvedDeployment]
    broken: dict[str, str] = {}

    @property
    def full_name(self) -> str:
        """The name for people and records. Labels on the engine have `name`."""
        return full_name(self.name, self.host)


def json_schema(kind: Literal["project", "environment", "deployment"]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of the three files."""
    types: dict[str, type] = {"project": Project, "environment": Environment, "deployment": Deployment}
    schema = msgspec.json.schema(types[kind])
    for definition in schema["$defs"].values():
        # Docstrings are wrapped and indented for this file: one line for each paragraph is left.
        paragraphs = definition["description"].split("\n\n")
        definition["description"] = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
