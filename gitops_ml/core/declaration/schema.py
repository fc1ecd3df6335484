"""Desired state: what the files under `environments/` may say, as types.

These structs are the only place where a key, its type, its default and its meaning are written down; the parser,
the published JSON Schemas and the planner all read them here. Durations and sizes stay the text that a person wrote,
and are turned into numbers by the properties beside them.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from gitops_ml.errors import InputError

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]+(k|m|g)$"
SHARE_PATTERN = r"^(100|[0-9]{1,2})%$"
DIGEST_PATTERN = r"^md5:[0-9a-f]{32}(\.dir)?$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
PATH_PATTERN = r"^/[^\x00]+$"
TEXT_PATTERN = r"^[^\x00]*$"
BRANCH_PATTERN = (
    r"^(?!-)(?!.*(\.\.|//|/\.|@\{|\.lock(/|$)))"
    r"[^\x00-\x20\x7f~^:?*\[\\/.][^\x00-\x20\x7f~^:?*\[\\]*(?<![/.])$"
)
"""What `git check-ref-format --branch` accepts."""
ENGINE_PATTERN = r"^(unix:///[^\s]+|ssh://[^/\s]+(/[^\s]*)?|tcp://[^/\s]+)$"

RESERVED = {"gpus": "GPUs are not built yet, and models run on CPUs"}
"""Keys that will mean something one day, so that the nearest valid one is no advice."""

Name = Annotated[str, Meta(pattern=NAME_PATTERN, description="a DNS label of at most 40 characters")]
Duration = Annotated[
    str,
    Meta(
        pattern=DURATION_PATTERN,
        description="a number with ms, s, m, h or d, such as 30s",
    ),
]
Size = Annotated[str, Meta(pattern=SIZE_PATTERN, description="a number with k, m or g, such as 512m")]
Digest = Annotated[
    str,
    Meta(pattern=DIGEST_PATTERN, description="what `gitops-ml bump` wrote"),
]
EnvName = Annotated[str, Meta(pattern=ENV_PATTERN)]
Url = Annotated[
    str,
    Meta(
        pattern=r"^(https?://|\$\{endpoint\})[^@\s]*$",
        description="http:// or https://, without a password; or ${endpoint} and what follows it",
    ),
]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LEAST_MEMORY = 6 * 1024**2
"""Docker's own minimum: https://docs.docker.com/engine/containers/resource_constraints/."""
_BYTES = {"k": 1024, "m": 1024**2, "g": 1024**3}


def seconds(duration: str) -> float:
    """A duration such as `200ms`, `30s` or `1h`, in seconds. Raises `InputError` when it is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", duration)
    if not match:
        raise InputError(
            f"`{duration}` is not a duration",
            fix="write a number with ms, s, m, h or d, such as 30s",
        )
    return float(match[1]) * _SECONDS[match[2]]


def size_bytes(size: str) -> int:
    """A size such as `512m`, in bytes (binary multiples, as Docker counts). Raises `InputError` when it is none."""
    match = re.fullmatch(r"([0-9]+)(k|m|g)", size)
    if not match:
        raise InputError(
            f"`{size}` is not a size",
            fix="write a number with k, m or g, such as 512m",
        )
    return int(match[1]) * _BYTES[match[2]]


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frozen, and without room for a key that nobody reads."""


class Project(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`environments/project.yaml`: the owner of everything on a host that carries this name."""

    schema: Literal[1]
    name: Name


class Gateway(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the environment's one entrance listens on the engine's host, and how long a drain may take."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    bind: str = "127.0.0.1"
    drain: Duration = "30s"
    pin_header: bool = False

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.bind)
        except ValueError:
            # Docker publishes on every address of the host where it is given a name, such as localhost.
            raise ValueError(
                f"`bind` is {self.bind!r}, and must be an IP address: 127.0.0.1 for this host alone, 0.0.0.0 for all"
            ) from None

    def endpoint(self, deployment: str) -> str:
        """Where users reach a deployment."""
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        return f"http://{host}:{self.port}/v2/models/{deployment}"


class Promotion(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a version must stand Verified, and for how long, before it may be promoted to here."""

    from_: str = field(name="from")
    soak: Duration = "0s"


class Policy(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What gitops-ml may do by itself in this environment."""

    auto_revert: bool = True
    require_signed_commits: bool = False
    max_removals: Annotated[str, Meta(pattern=SHARE_PATTERN)] = "50%"


class Records(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The branch that records are written to; null is the tracked branch."""

    branch: Annotated[str, Meta(pattern=BRANCH_PATTERN)] | None = None


class Environment(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`environments/<environment>/environment.yaml`: where and under which policy."""

    schema: Literal[1]
    gateway: Gateway
    engine: Annotated[str, Meta(pattern=ENGINE_PATTERN)] | None = None
    promotion: Promotion | None = None
    policy: Policy = Policy()
    records: Records = Records()


class Resources(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of one replica."""

    cpus: Annotated[float, Meta(ge=0.01)] = 1.0
    memory: Size = "512m"
    pids: Annotated[int, Meta(ge=16)] = 256

    def __post_init__(self) -> None:
        if size_bytes(self.memory) < _LEAST_MEMORY:
            raise ValueError(f"`memory` is {self.memory}, and no container may have less than 6m")


class Serve(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model reaches users.

    `service`: our Open Inference Protocol v2 server around the model. `image`: any image, by digest, which needs
    `image` and `port`, and `health` for a path that answers 200 once it is ready.
    """

    pattern: Literal["service", "image"] = "service"
    allow_pickle: bool = False
    image: str | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    health: str | None = None
    start_timeout: Duration = "60s"


class Rollout(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the candidate takes over from the incumbent.

    `steps` are percent of the traffic, for canary; `then` is what follows a shadow that has passed.
    """

    strategy: Literal["recreate", "blue-green", "canary", "shadow"] = "blue-green"
    steps: tuple[Annotated[int, Meta(ge=1, le=99)], ...] = (5, 25, 50)
    then: Literal["blue-green", "canary"] = "blue-green"


class Bound(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a metric of the held-out data must keep: absolute bounds, and against the incumbent."""

    min: float | None = None
    max: float | None = None
    max_drop: Annotated[float, Meta(ge=0)] | None = None


class Holdout(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Labelled rows pinned by DVC, and the metrics that are judged on them."""

    data: str
    metrics: dict[str, Bound]
    group: str | None = None
    label: str | None = None
    rows: Annotated[int, Meta(ge=1)] | None = None


class Traffic(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bad requests (5xx, aborted or slow) that are borne in a canary."""

    max_bad_increase: Annotated[float, Meta(ge=0, le=1)] = 0.01
    slow: Duration | None = None
    timeout: Duration = "10m"


class PrometheusCheck(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A query that a Prometheus answers, and the bounds that every value of its answer has to keep."""

    name: Name
    url: Url
    query: Annotated[str, Meta(min_length=1, description="PromQL; ${generation} and the like are filled in")]
    min: float | None = None
    max: float | None = None
    timeout: Duration = "10s"


class HttpCheck(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A page that has to answer with this status, and with this text in it."""

    name: Name
    url: Url
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    contains: str | None = None
    timeout: Duration = "10s"


class CommandCheck(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command on the machine that gitops-ml runs on: 0 is a pass, 1 a fail, anything else inconclusive."""

    name: Name
    run: Annotated[tuple[str, ...], Meta(min_length=1, description="the command and its arguments; no shell")]
    timeout: Duration = "60s"


OwnCheck = PrometheusCheck | HttpCheck | CommandCheck


class DriftCheck(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Live inputs against the training data, feature by feature; advisory.

    `warn` is the population stability index that is said; fewer rows than 200 give none to rely on (`psi.MIN_ROWS`).
    """

    min_rows: Annotated[int, Meta(ge=200)] = 200
    warn: Annotated[float, Meta(gt=0)] = 0.25


class AgreementCheck(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same live inputs, answered by candidate and incumbent; advisory."""

    min_rows: Annotated[int, Meta(ge=1)] = 50


class Verify(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The checks of a candidate; `ready` and `smoke` are always among them."""

    holdout: Holdout | None = None
    traffic: Traffic | None = None
    prometheus: tuple[PrometheusCheck, ...] = ()
    http: tuple[HttpCheck, ...] = ()
    command: tuple[CommandCheck, ...] = ()
    drift: DriftCheck | None = None
    agreement: AgreementCheck | None = None

    @property
    def own(self) -> tuple[OwnCheck, ...]:
        """A team's own checks, in the order in which they run."""
        found: list[OwnCheck] = [*self.prometheus, *self.http, *self.command]
        return tuple(found)


class Hold(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's stop on a deployment, written by `gitops-ml hold`."""

    reason: str
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.until and self.until.tzinfo is None:
            raise ValueError("`until` must be a time with its zone, such as 2026-12-01T00:00:00Z")


class Deployment(_Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`environments/<environment>/models/<deployment>.yaml`: one desired deployment; the file's name is its name."""

    schema: Literal[1]
    model: Name
    version: Annotated[str, Meta(min_length=1, max_length=200)]
    digest: Digest | None = None
    replicas: Annotated[int, Meta(ge=1, le=64)] = 1
    resources: Resources = Resources()
    env: dict[EnvName, Annotated[str, Meta(pattern=TEXT_PATTERN)]] = {}
    secrets: dict[EnvName, Annotated[str, Meta(pattern=PATH_PATTERN)]] = {}
    serve: Serve = Serve()
    rollout: Rollout = Rollout()
    verify: Verify = Verify()
    on_failure: tuple[Literal["revert", "retrain"], ...] = ("revert",)
    hold: Hold | None = None


class ResolvedDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A desired deployment whose version has been looked up.

    `digest` is `md5:<hex>[.dir]` of the model artifact, `revision` the commit that the version names, `holdout` the
    digest of the held-out rows as the declaring commit pins them.
    """

    name: str
    declaration: Deployment
    digest: str
    revision: str
    path: str
    holdout: str | None = None


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """The desired state of one environment at one commit. `broken` holds what could not be read, by deployment."""

    project: str
    name: str
    commit: str
    environment: Environment
    deployments: dict[str, ResolvedDeployment]
    broken: dict[str, str] = {}


def json_schema(
    kind: Literal["project", "environment", "deployment"],
) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one of the three files."""
    types: dict[str, type] = {
        "project": Project,
        "environment": Environment,
        "deployment": Deployment,
    }
    schema = msgspec.json.schema(types[kind])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
