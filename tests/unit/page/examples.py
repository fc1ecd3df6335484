"""A site with every kind of check and state, and with text that tries to be markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.journal.state import LastError
from gitops_ml.core.planning.deployment_status import DeploymentStatus, Replicas, Waiting
from gitops_ml.core.records.record import Record, RecordedAttempt, RecordedGeneration
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall
from gitops_ml.page.facts import CommitFacts, DeploymentFacts, EnvironmentFacts, Origin, RolloutFacts, Site
from tests.unit.builders import NOW

HOSTILE = "<script>alert('x')</script> & \"quoted\" <img src=x onerror=alert(1)>"
COMMIT = "c" * 40


def check(
    name: str,
    result: str = "pass",
    reason: str = "it answers",
    *,
    advisory: bool = False,
    also: Mapping[str, Any] | None = None,
    **figures: Any,
) -> CheckResult:
    """A check with these figures; `also` holds those whose names are no words."""
    fields = {
        "name": name,
        "result": result,
        "reason": reason,
        "advisory": advisory,
        "figures": {**figures, **(also or {})},
    }
    return msgspec.convert(fields, CheckResult)


READY = check("ready", reason="its metadata is as declared after 2.1 s", ready_seconds=2.134)
SMOKE = check("smoke", reason="it answers its example request", seconds=0.0123, outputs=["label", "probability"])
HOLDOUT = check(
    "holdout roc_auc",
    reason="roc_auc 0.7123 against the incumbent's 0.7101: gain -0.0012 to +0.0056, not worse by 0.01",
    rows=12000,
    groups=31,
    group="day",
    candidate=0.7123,
    candidate_low=0.7051,
    candidate_high=0.7197,
    min=0.70,
    max=None,
    max_drop=0.01,
    incumbent=0.7101,
    gain=0.0022,
    gain_low=-0.0012,
    gain_high=0.0056,
    calibration_predicted=[0.05, 0.09, 0.12, 0.15, 0.18, 0.22, 0.26, 0.31, 0.38, 0.52],
    calibration_observed=[0.06, 0.08, 0.13, 0.16, 0.17, 0.21, 0.28, 0.33, 0.36, 0.49],
)
LOSS = check(
    "holdout log_loss",
    "fail",
    "log_loss 0.6100 against the incumbent's 0.5401: gain -0.0812 to -0.0591, worse by more than 0.02",
    rows=12000,
    groups=31,
    group="day",
    candidate=0.61,
    candidate_low=0.6,
    candidate_high=0.62,
    min=None,
    max=0.65,
    max_drop=0.02,
    incumbent=0.5401,
    gain=-0.0699,
    gain_low=-0.0812,
    gain_high=-0.0591,
)
FIRST = check(
    "holdout f1",
    reason="f1 0.8110 is within its bounds; there is no incumbent to compare with",
    rows=900,
    groups=900,
    group="row",
    candidate=0.811,
    candidate_low=0.79,
    candidate_high=0.83,
    min=0.75,
    max=None,
    max_drop=0.01,
    incumbent=None,
)
TRAFFIC = check(
    "traffic",
    reason="2 of 1042 requests to the candidate were bad, 31 of 19122 to the incumbent: worse by less than 0.01",
    candidate_requests=1042,
    candidate_bad=2,
    incumbent_requests=19122,
    incumbent_bad=31,
    increase=0.0003,
    max_bad_increase=0.01,
    evidence_worse=1.31,
    evidence_harmless=24.7,
    evidence_needed=20.0,
    seconds=312.4,
)
BAD_TRAFFIC = check(
    "traffic",
    "fail",
    "41 of 305 requests to the candidate were bad, 6 of 5800 to the incumbent: worse",
    candidate_requests=305,
    candidate_bad=41,
    incumbent_requests=5800,
    incumbent_bad=6,
    increase=0.133,
    max_bad_increase=0.01,
    evidence_worse=812.0,
    evidence_harmless=1.0,
    evidence_needed=20.0,
    seconds=41.0,
)
ALIVE = check("alive", "fail", "its container ended 2 times and was started again", restarts=2)
AGREEMENT = check(
    "agreement",
    reason="18 of 400 live answers differ (2.9% to 7.0%)",
    advisory=True,
    rows=400,
    differing=18,
    share=0.045,
    share_low=0.029,
    share_high=0.07,
    mean_probability_change=0.0132,
)
DRIFT = check(
    "drift",
    "fail",
    "1 of 5 features have moved: distance 0.31",
    advisory=True,
    rows=500,
    seen=9000,
    warn=0.2,
    also={"psi distance": 0.31, "psi dep_time": 0.08, "psi carrier": 0.04, "psi origin": 0.01, "psi month": 0.0},
)
PROMETHEUS = check(
    "prometheus errors", reason="0.001 is within the bounds", series=2, min=None, max=0.01, lowest=0.0005, highest=0.001
)
HTTP = check("http ping", reason="it answered 200", status=200, expected=200)
COMMAND = check("command fairness", "inconclusive", "exit code 2: no rows", exit_code=2)
EVERY = (READY, SMOKE, HOLDOUT, FIRST, TRAFFIC, AGREEMENT, DRIFT, PROMETHEUS, HTTP)


def attempt(number: int, *checks: CheckResult, **fields: Any) -> RecordedAttempt:
    """The attempt of a version, `number` hours before the present."""
    settled = NOW - timedelta(hours=number)
    verdict: Verdict = overall(checks)
    outcome = {"Verified": "promoted", "Failed": "failed"}.get(verdict, "inconclusive")
    values: dict[str, Any] = {
        "id": f"20261123-{number:04d}-abcd",
        "started": (settled - timedelta(minutes=6, seconds=12)).isoformat(),
        "settled": settled.isoformat(),
        "generation": f"{number:012x}",
        "version": f"v1.{40 - number}.0",
        "digest": f"md5:{number:032x}",
        "commit": COMMIT,
        "strategy": "canary",
        "outcome": outcome,
        "verdict": verdict,
        "checks": tuple(checks),
        "incumbent": f"v1.{39 - number}.0",
    }
    return RecordedAttempt(**(values | fields))


def slower(number: int) -> CheckResult:
    """The check of readiness with a time of its own."""
    return check("ready", reason="its metadata is as declared", ready_seconds=2.0 + number % 5 / 4)


def better(number: int) -> CheckResult:
    """The hold-out check with values of its own."""
    value = 0.7123 - 0.0011 * number
    known = {"candidate": value, "candidate_low": value - 0.007, "candidate_high": value + 0.007}
    return msgspec.structs.replace(HOLDOUT, figures=HOLDOUT.figures | known)


HISTORY = (
    attempt(1, *EVERY),
    attempt(
        2, READY, SMOKE, LOSS, logs=("Traceback (most recent call last):", f"ValueError: {HOSTILE}", "exited with 3")
    ),
    attempt(5, READY, SMOKE, better(5), BAD_TRAFFIC, ALIVE),
    attempt(9, READY, SMOKE, COMMAND),
    *(attempt(number, slower(number), SMOKE, better(number)) for number in range(10, 18)),
)


WAITING = Waiting(version="v1.41.0", generation="abc", until=NOW + timedelta(hours=9))


def declared(**fields: Any) -> Deployment:
    return msgspec.convert({"schema": 1, "model": "delay", "version": "v1.39.0", **fields}, Deployment)


def recorded(attempts: Sequence[RecordedAttempt]) -> Record:
    serving = next((a for a in attempts if a.outcome == "promoted"), None)
    generation = None
    if serving:
        generation = RecordedGeneration(
            generation=serving.generation,
            version=serving.version,
            digest=serving.digest,
            commit=COMMIT,
            image="sha256:1f",
        )
    return Record(
        schema=1,
        deployment="delay",
        engine="ENGINE",
        verdict=attempts[0].verdict,
        serving=generation,
        verified=generation,
        attempts=tuple(attempts),
    )


def status(name: str, **fields: Any) -> DeploymentStatus:
    values: dict[str, Any] = {
        "name": name,
        "model": "delay",
        "version": "v1.39.0",
        "digest": f"md5:{1:032x}",
        "generation": f"{1:012x}",
        "sync": "Synced",
        "health": "Healthy",
        "verification": "Verified",
        "hold": None,
        "replicas": Replicas(desired=2, ready=2),
        "endpoint": f"http://127.0.0.1:8080/v2/models/{name}",
    }
    return DeploymentStatus(**(values | fields))


def deployment(environment: str, name: str, attempts: Sequence[RecordedAttempt] = HISTORY, **fields: Any) -> Any:
    values: dict[str, Any] = {
        "environment": environment,
        "name": name,
        "declared": declared(),
        "record": recorded(attempts) if attempts else None,
        "attempts": tuple(attempts),
    }
    return DeploymentFacts(**(values | fields))


def trace(deployment: DeploymentFacts) -> Sequence[Origin]:
    """The lineage of everything that serves."""
    if deployment.record is None:
        return ()
    return (
        Origin("Container", "sha256:1f4b", ("generation 000000000001",)),
        Origin("Version", "delay v1.39.0", (f"tag delay@v1.39.0 by {HOSTILE}",)),
        Origin("Inputs", "2", ("data/flights.parquet: md5:1f", "train.py: md5:2c")),
    )


def site() -> Site:
    """Three environments: one that answers, one with every trouble, and one that does not answer."""
    hold = {"reason": f"fair week {HOSTILE}", "until": "2026-12-01T00:00:00Z"}
    error = LastError(at=NOW.isoformat(), what="the build failed", why=HOSTILE, fix="gitops-ml sync staging")
    return Site(
        project="flights",
        commit=COMMIT,
        at=NOW,
        commits={COMMIT: CommitFacts(author="Ada <Lovelace>", at=NOW - timedelta(days=2), subject=HOSTILE)},
        environments=(
            EnvironmentFacts(
                name="dev",
                commit=COMMIT,
                engine="ENGINE-1",
                deployments=(
                    deployment(
                        "dev",
                        "churn",
                        status=status("churn", sync="OutOfSync", waiting=WAITING),
                        rollout=RolloutFacts(
                            version="v1.40.0",
                            incumbent="v1.39.0",
                            strategy="canary",
                            started=NOW.isoformat(),
                            percent=25,
                            checks=(READY, HOLDOUT, TRAFFIC),
                        ),
                    ),
                    deployment("dev", "delay", status=status("delay")),
                ),
            ),
            EnvironmentFacts(
                name="staging",
                commit=COMMIT,
                engine="ENGINE-1",
                deployments=(
                    deployment("staging", "churn", (), declared=None, broken=f"churn.yaml:3: {HOSTILE}"),
                    deployment(
                        "staging",
                        "delay",
                        HISTORY[1:],
                        declared=declared(hold=hold),
                        status=status(
                            "delay",
                            sync="OutOfSync",
                            health="Degraded",
                            verification="Failed",
                            hold=hold["reason"],
                            replicas=Replicas(desired=2, ready=1),
                            message="one replica does not answer",
                            error=error,
                        ),
                    ),
                ),
            ),
            EnvironmentFacts(
                name="prod",
                commit=COMMIT,
                engine="ssh://user@prod",
                unanswered="the engine ssh://user@prod does not answer",
                deployments=(
                    deployment("prod", "delay", HISTORY[2:]),
                    deployment("prod", "old", HISTORY[6:9], declared=None),
                ),
            ),
        ),
        unreadable={"broken": f"environment.yaml: {HOSTILE}"},
    )
