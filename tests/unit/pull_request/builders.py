"""Short constructors of what is known of a pull request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gitops_ml.core.declaration.schema import Deployment, Desired, Environment, ResolvedDeployment
from gitops_ml.core.planning.deployment_status import DeploymentStatus, Replicas
from gitops_ml.core.pull_request.facts import EnvironmentChange, HostFacts, ModelFacts, PullRequest
from gitops_ml.core.records.record import Record, RecordedAttempt, RecordedGeneration
from gitops_ml.core.verification.model_difference import Difference, Predictions, Side
from gitops_ml.core.verification.statistics.slices import Slice
from gitops_ml.core.verification.verdict import CheckResult

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
BASE, HEAD = "b" * 40, "a" * 40


def deployment(version: str = "v1", name: str = "churn", **declared: Any) -> ResolvedDeployment:
    """A deployment that declares a version and the digest of its last character."""
    digest = f"md5:{version[-1] * 32}"
    fields = {"schema": 1, "model": name, "version": version, "digest": digest} | declared
    return ResolvedDeployment(
        name=name,
        declaration=msgspec.convert(fields, Deployment),
        digest=str(fields["digest"] or digest),
        revision="c" * 40,
        path=f"models/{name}",
    )


def desired(*deployments: ResolvedDeployment, broken: dict[str, str] | None = None, **settings: Any) -> Desired:
    return Desired(
        project="shop",
        name="prod",
        commit=HEAD,
        environment=msgspec.convert({"schema": 1, "gateway": {"port": 8080}} | settings, Environment),
        deployments={each.name: each for each in deployments},
        broken=broken or {},
    )


def facts(before: Desired | None, after: Desired | None, name: str = "prod", **fields: Any) -> EnvironmentChange:
    return EnvironmentChange(name=name, before=before, after=after, **({"now": NOW} | fields))


def host(rate: float = 0.0, *, version: str | None = "v1", name: str = "churn", **fields: Any) -> HostFacts:
    """A host where `version` serves, or nothing, and is asked `rate` times a second."""
    known: dict[str, Any] = {
        "name": name,
        "model": name,
        "version": version or "v1",
        "digest": "",
        "generation": "1" * 12,
        "sync": "OutOfSync",
        "health": "Healthy" if version else "Missing",
        "verification": "Verified",
        "hold": None,
        "replicas": Replicas(desired=1, ready=1),
        "endpoint": "",
    }
    status = DeploymentStatus(**(known | fields))
    serving = {name: version} if version else {}
    return HostFacts(statuses={name: status}, serving=serving, rates={name: rate} if rate else {}, seconds=3600.0)


def request(*environments: EnvironmentChange, models: tuple[ModelFacts, ...] = (), **fields: Any) -> PullRequest:
    return PullRequest(project="shop", base=BASE, head=HEAD, environments=environments, models=models, **fields)


def record(version: str, *, settled: datetime = NOW, verdict: Any = "Verified", seconds: float = 80.0) -> Record:
    """A record of a version that was promoted and serves."""
    mark = version[-1]
    generation = RecordedGeneration(generation=mark * 12, version=version, digest=f"md5:{mark * 32}", commit="c" * 40)
    attempt = RecordedAttempt(
        id=f"{mark}-1",
        started=(settled - timedelta(seconds=seconds)).isoformat(),
        settled=settled.isoformat(),
        generation=generation.generation,
        version=version,
        digest=generation.digest,
        commit=generation.commit,
        strategy="blue-green",
        outcome="promoted",
        verdict=verdict,
    )
    return Record(
        schema=1,
        deployment="churn",
        engine="engine-1",
        verdict=verdict,
        serving=generation,
        verified=generation if verdict == "Verified" else None,
        attempts=(attempt,),
    )


def gain(metric: str, before: float, after: float, low: float, high: float) -> CheckResult:
    figures: dict[str, Any] = {
        "incumbent": before,
        "candidate": after,
        "gain": after - before,
        "gain_low": low,
        "gain_high": high,
    }
    return CheckResult(name=f"holdout {metric}", result="pass", reason="", figures=figures)


def slice_of(column: str, value: str, change: float) -> Slice:
    return Slice(column=column, value=value, rows=400, change=change, low=change / 2, shift=0.01)


def model(
    *slices: Slice, checks: tuple[CheckResult, ...] = (), flips: tuple[int, int] = (700, 504), **fields: Any
) -> ModelFacts:
    """A bump from v1 to v2 whose answers to 20,000 rows were compared. `flips`: so many become right, and wrong."""
    sides = [
        Side(version=version, tag=None, commit="c" * 40, digest="md5:1", learnt=None, rows=None)
        for version in ("v1", "v2")
    ]
    predictions = Predictions(
        data="data/holdout.parquet",
        rows=20_000,
        flips=sum(flips),
        right=flips[0],
        wrong=flips[1],
        change=sum(flips) / 20_000,
        shift=0.004,
        checks=checks or (gain("roc_auc", 0.75, 0.7623, 0.004, 0.02),),
        slices=slices or (slice_of("carrier", "UA", 0.21), slice_of("distance", "80 to 300", 0.1)),
    )
    known: dict[str, Any] = {
        "model": "churn",
        "a": sides[0],
        "b": sides[1],
        "metrics": {"roc_auc": (0.74, 0.76)},
        "params": {"params.yaml:train.depth": (3, 5)},
        "data": {"data/flights.parquet": ("md5:1", "md5:2")},
        "files": {},
        "code": {},
        "dependencies": {"numpy": ("2.0.0", "2.1.0")},
        "predictions": predictions,
    }
    return ModelFacts(model="churn", before="v1", after="v2", difference=Difference(**(known | fields)))
