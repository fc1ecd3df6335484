"""The checks that a deployment declares under `verify:`, as types."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gitops_ml.core.declaration.values import (
    TEXT_PATTERN,
    DeclaredStruct,
    Duration,
    ImageByDigest,
    Name,
    Url,
    require_within,
)

_SHORTEST, _LONGEST = "100ms", "5m"
"""What one of a team's own checks may take."""
_Word = Annotated[str, Meta(pattern=TEXT_PATTERN)]


class Bound(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bounds of one metric: `min` and `max`, and how much worse than the incumbent it may be (`max_drop`)."""

    min: float | None = None
    max: float | None = None
    max_drop: Annotated[float, Meta(ge=0)] | None = None


class Holdout(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Labelled rows pinned by DVC, and the metrics that are judged on them.

    `group`: the column whose values group dependent rows, such as a day. `label`: the column with the true values, by
    default the one that the model was trained to predict. `rows`: the most rows to use.
    """

    data: str
    metrics: dict[str, Bound]
    group: str | None = None
    label: str | None = None
    rows: Annotated[int, Meta(ge=1)] | None = None


class Traffic(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many bad requests (5xx, aborted or slow) a canary may cause.

    `max_bad_increase`: how far the candidate's share of bad requests may exceed the incumbent's. `slow`: a request that
    takes longer is bad (1ms to 1h). `timeout`: how long to wait for enough requests (1s to 30d).
    """

    max_bad_increase: Annotated[float, Meta(ge=0, le=1)] = 0.01
    slow: Duration | None = None
    timeout: Duration = "10m"

    def __post_init__(self) -> None:
        require_within("timeout", self.timeout, "1s", "30d")
        if self.slow is not None:
            require_within("slow", self.slow, "1ms", "1h")


class SubscribersCheck(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many subscribers of a published canary must have loaded it, and what they may report of it.

    `min_loaded`: the part of those in its share; the canary fails once more of the others could not load it than that
    leaves. `max_errors`: the part of its scorings that may fail in a subscriber's application. Without it errors decide
    nothing; with it a subscriber counts once it has scored `min_scored` times. `timeout`: how long to wait for them (1s
    to 30d).
    """

    min_loaded: Annotated[float, Meta(gt=0, le=1)] = 0.9
    max_errors: Annotated[float, Meta(ge=0, lt=1)] | None = None
    min_scored: Annotated[int, Meta(ge=1)] = 100
    timeout: Duration = "10m"

    def __post_init__(self) -> None:
        require_within("timeout", self.timeout, "1s", "30d")


class PrometheusCheck(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A Prometheus query, and the bounds that every value of its answer must be within."""

    name: Name
    url: Url
    query: Annotated[str, Meta(min_length=1, description="PromQL; ${generation} and other placeholders are filled in")]
    min: float | None = None
    max: float | None = None
    timeout: Duration = "10s"

    def __post_init__(self) -> None:
        require_within("timeout", self.timeout, _SHORTEST, _LONGEST)


class HttpCheck(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A page that must answer with this status, and contain this text."""

    name: Name
    url: Url
    status: Annotated[int, Meta(ge=100, le=599)] = 200
    contains: str | None = None
    timeout: Duration = "10s"

    def __post_init__(self) -> None:
        require_within("timeout", self.timeout, _SHORTEST, _LONGEST)


class CommandCheck(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command in a container of its own, with the declaring commit's files. Exit code 0 is a pass, 1 a fail, any
    other inconclusive. `image`: the container's image by digest, by default gitops-ml's own with Python.
    """

    name: Name
    run: Annotated[tuple[_Word, ...], Meta(min_length=1, description="the command and its arguments; no shell")]
    image: ImageByDigest | None = None
    timeout: Duration = "60s"

    def __post_init__(self) -> None:
        require_within("timeout", self.timeout, _SHORTEST, _LONGEST)


OwnCheck = PrometheusCheck | HttpCheck | CommandCheck


class DriftCheck(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Compare live inputs with the training data, feature by feature; advisory.

    `warn`: report features whose population stability index reaches this. It needs at least 200 rows.
    """

    min_rows: Annotated[int, Meta(ge=200)] = 200
    warn: Annotated[float, Meta(gt=0)] = 0.25


class AgreementCheck(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Compare the answers of candidate and incumbent to the same live inputs; advisory."""

    min_rows: Annotated[int, Meta(ge=1)] = 50


class Checks(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The checks of a candidate, besides `ready` and `smoke`, which always run."""

    holdout: Holdout | None = None
    traffic: Traffic | None = None
    subscribers: SubscribersCheck | None = None
    prometheus: tuple[PrometheusCheck, ...] = ()
    http: tuple[HttpCheck, ...] = ()
    command: tuple[CommandCheck, ...] = ()
    drift: DriftCheck | None = None
    agreement: AgreementCheck | None = None

    @property
    def own(self) -> tuple[OwnCheck, ...]:
        """A team's own checks, in the order in which they run."""
        return (*self.prometheus, *self.http, *self.command)
