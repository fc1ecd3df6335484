"""Declarations that could never do what they ask for, or would ask for nothing, found before anything is begun.

A check that cannot fail counts as success without having looked, and one that cannot pass wastes a rollout on it. Both
are facts about desired state, so that `plan` says them on a pull request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from gitops_ml.core.declaration.schema import Bound, Deployment, Traffic, Verify, seconds
from gitops_ml.core.planning.canary import error_shared
from gitops_ml.core.verification.names import MIN_GROUPS, Metric, metric_named
from gitops_ml.core.verification.traffic import impossible
from gitops_ml.errors import InputError

IMAGE = re.compile(r"([^@]+@)?sha256:[0-9a-f]{64}")
MOST_PATIENCE = 300.0
"""Seconds that a team's own checks may take together: a third of what a lock lasts."""
SAMPLES, SAMPLES_IN_ENV = 512, "GITOPS_ML_SAMPLES"
"""Live rows that one server keeps, unless its environment says otherwise (`gitops_ml.serving.samples`)."""


def require_plausible(name: str, deployment: Deployment) -> None:
    """Raises `InputError` where the declaration of `name` asks for what cannot be."""
    serve, rollout, verify = deployment.serve, deployment.rollout, deployment.verify
    if serve.pattern == "image" and not (serve.image and IMAGE.fullmatch(serve.image) and serve.port):
        raise InputError(
            f"{name}: serve.pattern is image",
            why="it needs `image:` by digest (name@sha256:…, or an image ID of that engine) and `port:`",
            fix="add them to serve",
        )
    if rollout.strategy in ("recreate", "blue-green") and verify.traffic:
        raise InputError(
            f"{name}: verify.traffic does not go with {rollout.strategy}",
            why="no user traffic reaches the candidate before it is promoted",
            fix="use canary, or take verify.traffic away",
        )
    if rollout.strategy == "canary" and not rollout.steps:
        raise InputError(f"{name}: rollout.steps is empty", fix="name percents, such as steps: [5, 25, 50]")
    if rollout.strategy in ("canary", "shadow"):
        # Each test of a rollout has the time-out for itself: it begins anew with the test.
        reason = impossible(verify.traffic or Traffic(), error_shared(deployment, by_traffic=True))
        if reason:
            fix = "raise max_bad_increase or timeout"
            raise InputError(f"{name}: verify.traffic can never pass", why=reason, fix=fix)
    if verify.holdout and serve.pattern == "image":
        raise InputError(f"{name}: verify.holdout needs serve.pattern service", fix="take verify.holdout away")
    _require_holdout(name, verify)
    _require_own_checks(name, verify)
    _require_live_rows(name, deployment)


def _require_holdout(name: str, verify: Verify) -> None:
    holdout = verify.holdout
    if holdout is None:
        return
    if not holdout.metrics:
        raise InputError(
            f"{name}: verify.holdout.metrics is empty",
            why="nothing would be judged",
            fix="write a metric with its bound, such as metrics: {roc_auc: {max_drop: 0.01}}",
        )
    if holdout.rows is not None and holdout.rows < MIN_GROUPS:
        raise InputError(
            f"{name}: verify.holdout.rows is {holdout.rows}",
            why=f"fewer than {MIN_GROUPS} rows give no interval to rely on, so it could never pass",
            fix="raise it, or take it away to judge all rows",
        )
    _require_bounds(f"{name}: verify.holdout.metrics", holdout.metrics)


def _require_bounds(where: str, bounds: Mapping[str, Bound]) -> None:
    tasks: dict[str, str] = {}
    for metric_name, bound in bounds.items():
        try:
            metric = metric_named(metric_name)
        except InputError as error:
            raise InputError(f"{where}: {error.what}", why=error.why, fix=error.fix) from error
        _require_bound(f"{where}.{metric_name}", metric, bound)
        tasks.setdefault(metric.task, metric_name)
    if len(tasks) > 1:
        raise InputError(
            f"{where} judges {' and '.join(sorted(tasks))}",
            why=f"no model has both {' and '.join(tasks.values())}",
            fix="take those of the other task away",
        )


def _require_bound(where: str, metric: Metric, bound: Bound) -> None:
    said = {"min": bound.min, "max": bound.max, "max_drop": bound.max_drop}
    if all(value is None for value in said.values()):
        raise InputError(f"{where} has no bound", why="any value would pass", fix="write min, max or max_drop")
    _require_order(where, bound.min, bound.max)
    reach = f"{metric.name} lies between {metric.lowest:g} and {metric.highest:g}"
    for key, value in said.items():
        low, high = (0.0, metric.highest - metric.lowest) if key == "max_drop" else (metric.lowest, metric.highest)
        if value is not None and not low <= value <= high:
            raise InputError(f"{where}.{key} is {value:g}", why=reach, fix="write a bound that a model can miss")


def _require_order(where: str, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise InputError(f"{where} has min {low:g} above max {high:g}", why="no value keeps both", fix="swap them")


def _require_own_checks(name: str, verify: Verify) -> None:
    """What holds for a team's own checks, which the lock is held for."""
    boundless = [check.name for check in verify.prometheus if check.min is None and check.max is None]
    if boundless:
        raise InputError(
            f"{name}: verify.prometheus {', '.join(boundless)} has neither min nor max",
            why="any value would pass",
            fix="write the bound that it has to keep",
        )
    for check in verify.prometheus:
        _require_order(f"{name}: verify.prometheus {check.name}", check.min, check.max)
    patience = sum(seconds(check.timeout) for check in verify.own)
    if patience > MOST_PATIENCE:
        raise InputError(
            f"{name}: verify.prometheus, http and command may take {patience:.0f} s together",
            why=f"the environment is locked meanwhile, and {MOST_PATIENCE:.0f} s are the most",
            fix="lower their `timeout`",
        )
    names = [check.name for check in verify.own]
    twice = sorted({found for found in names if names.count(found) > 1})
    if twice:
        raise InputError(f"{name}: two checks are called {', '.join(twice)}", fix="give each its own name")


def _require_live_rows(name: str, deployment: Deployment) -> None:
    """Rows that the servers keep together are the most that a check can ever find."""
    each = deployment.env.get(SAMPLES_IN_ENV, str(SAMPLES))
    most = int(each) * deployment.replicas if each.isdecimal() else math.inf
    for key in ("drift", "agreement"):
        check = getattr(deployment.verify, key)
        if check and check.min_rows > most:
            raise InputError(
                f"{name}: verify.{key}.min_rows is {check.min_rows}",
                why=f"{deployment.replicas} x {each} live rows are kept ({SAMPLES_IN_ENV} x replicas)",
                fix=f"lower it, raise {SAMPLES_IN_ENV} in env, or take verify.{key} away",
            )
