"""Refuse declarations that cannot work, before anything is done.

A check that cannot fail would count as success, and one that cannot pass would waste a rollout. Both follow from the
declaration alone, so `plan` reports them on a pull request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gitops_ml.core.declaration.checks import Bound, Checks, SubscribersCheck, Traffic
from gitops_ml.core.declaration.schema import Deployment, Environment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ALLOW_PICKLE
from gitops_ml.core.planning.canary import shared_alpha, stages
from gitops_ml.core.planning.serving_pattern import require_pattern
from gitops_ml.core.verification.holdout_metrics import MIN_GROUPS, Metric, metric_named
from gitops_ml.core.verification.traffic import why_impossible
from gitops_ml.errors import InputError
from gitops_ml.suggest import did_you_mean

OWN_CHECKS_SECONDS = 300.0
"""The longest that a team's own checks may take together: a third of the lock's lifetime."""
SETTINGS = {
    "GITOPS_ML_MAX_BODY_BYTES": 1024,
    "GITOPS_ML_INLINE_BYTES": 0,
    "GITOPS_ML_PREDICT_SECONDS": 1,
    "GITOPS_ML_SAMPLES": 0,
    "GITOPS_ML_SAMPLES_PER_SECOND": 0,
    "GITOPS_ML_POLL_SECONDS": 1,
}
"""The model server's settings that `env` may have, each a whole number, with the smallest (`gitops_ml.serving`)."""
SAMPLES, SAMPLES_VARIABLE = 512, "GITOPS_ML_SAMPLES"
"""How many live rows one server keeps, and the variable that changes it (`gitops_ml.serving.samples`)."""


def require_plausible(name: str, deployment: Deployment) -> None:
    """Check that the declaration of `name` can work. Raises `InputError` if it cannot."""
    serve, rollout, verify = deployment.serve, deployment.rollout, deployment.verify
    _require_settings(name, deployment)
    require_pattern(name, serve)
    _require_publishable(name, deployment)
    if rollout.strategy in ("recreate", "blue-green") and verify.traffic:
        raise InputError(
            f"{name}: verify.traffic does not go with {rollout.strategy}",
            why="no user traffic reaches the candidate before it is promoted",
            fix="use canary, or remove verify.traffic",
        )
    if rollout.strategy in ("canary", "shadow") and serve.pattern != "publish":
        # Each test of a rollout has the whole timeout for itself.
        reason = why_impossible(
            verify.traffic or Traffic(), shared_alpha(deployment, stages(rollout, rollout.strategy))
        )
        if reason:
            raise InputError(
                f"{name}: verify.traffic can never pass", why=reason, fix="raise max_bad_increase or timeout"
            )
    if verify.holdout and not (serve.by_model_server or serve.mapping):
        raise InputError(
            f"{name}: verify.holdout cannot ask the application",
            why="how it is asked for predictions is not declared",
            fix="add `request:` and `response:` to serve, or remove verify.holdout",
        )
    _require_holdout(name, verify)
    _require_own_checks(name, verify)
    _require_live_rows(name, deployment)


def _require_publishable(name: str, deployment: Deployment) -> None:
    """Check that a published model asks for nothing that needs requests, and no other one for subscribers."""
    if deployment.verify.subscribers and (deployment.serve.pattern, deployment.rollout.strategy) != (
        "publish",
        "canary",
    ):
        raise InputError(
            f"{name}: verify.subscribers judges a canary of a published model, and this is none",
            why="no subscriber loads the candidate before it is judged",
            fix="remove it, or write serve: {pattern: publish} and rollout: {strategy: canary}",
        )
    if deployment.serve.pattern != "publish":
        return
    if deployment.rollout.strategy == "shadow":
        raise InputError(
            f"{name}: rollout.strategy shadow does not go with serve.pattern publish",
            why="subscribers load the model, and send no requests that could be copied",
            fix="write strategy: canary, or blue-green",
        )
    verify = deployment.verify
    unanswered = {"traffic": verify.traffic, "drift": verify.drift, "agreement": verify.agreement}
    for key in (key for key, check in unanswered.items() if check):
        raise InputError(
            f"{name}: verify.{key} does not go with serve.pattern publish",
            why="subscribers load the model, and send no requests that could be judged",
            fix="remove it; verify.subscribers judges a canary",
        )
    poll = int(deployment.env.get("GITOPS_ML_POLL_SECONDS", "20"))
    timeout = (verify.subscribers or SubscribersCheck()).timeout
    if deployment.rollout.strategy == "canary" and 2 * poll >= seconds(timeout):
        raise InputError(
            f"{name}: verify.subscribers can never pass",
            why=f"each channel listens for two polls of {poll} s first, and timeout is {timeout}",
            fix="raise verify.subscribers.timeout, or lower GITOPS_ML_POLL_SECONDS",
        )


def require_strategy(name: str, deployment: Deployment, environment: Environment) -> None:
    """Check that the environment can run the strategy. Raises `InputError`.

    `recreate` stops the incumbent once the engine has taken the candidate's containers. A node of a Swarm refuses a
    replica only when it starts.
    """
    if environment.swarm and deployment.rollout.strategy == "recreate":
        raise InputError(
            f"{name}: rollout.strategy is recreate",
            why="on a Swarm it would stop the incumbent before a node has taken the candidate",
            fix="write blue-green, or canary",
        )


def require_capacity(name: str, deployment: Deployment, cpus: int, gpus: int | None = 0) -> None:
    """Check that the engine's host, with this many CPUs (0: not known) and GPUs (None: some), can run a replica.

    The engine refuses such a container only when it is made or started: with `recreate` the incumbent would be stopped
    by then. Raises `InputError`.
    """
    wanted = deployment.resources.gpus
    if wanted and gpus is not None and wanted > gpus:
        raise InputError(
            f"{name}: resources.gpus is {wanted}",
            why=f"the engine offers {gpus}"
            if gpus
            else "the engine offers none: `docker info` names no GPU there, and no runtime nvidia",
            fix=f"write {gpus} or less"
            if gpus
            else "set up NVIDIA's container toolkit for Docker on the engine's host, or remove resources.gpus",
        )
    declared = deployment.resources.cpus
    if cpus and declared > cpus:
        raise InputError(
            f"{name}: resources.cpus is {declared:g}",
            why=f"the engine's host has {cpus} CPUs",
            fix=f"write {cpus} or less",
        )


def _require_settings(name: str, deployment: Deployment) -> None:
    """Check the variables of our server in `env`: one that it refuses would end each replica as it starts."""
    for key, value in deployment.env.items():
        if not key.startswith("GITOPS_ML_") or (not deployment.serve.by_model_server and key != ALLOW_PICKLE):
            continue
        if key == ALLOW_PICKLE:
            raise InputError(
                f"{name}: env.{key} is not read",
                why="whether a pickle may be loaded is decided by serve.allow_pickle alone",
                fix="remove it, and write serve: {allow_pickle: true} where the model is a pickle that was reviewed",
            )
        if key not in SETTINGS:
            raise InputError(
                f"{name}: env.{key} is no setting of the model server",
                why=f"env may have {', '.join(SETTINGS)}, and variables of other names",
                fix=did_you_mean(key, SETTINGS) or "remove it",
            )
        if not value.isascii() or not value.isdigit() or len(value) > 15 or int(value) < SETTINGS[key]:
            raise InputError(
                f"{name}: env.{key} is {value[:40]!r}",
                why=f"the model server reads a whole number of at least {SETTINGS[key]}",
                fix=f"write one, such as '{max(SETTINGS[key], 60)}', or remove it",
            )


def _require_holdout(name: str, verify: Checks) -> None:
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
            why=f"fewer than {MIN_GROUPS} rows give no reliable interval, so it could never pass",
            fix="raise it, or remove it to judge all rows",
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
            fix="remove the metrics of the other task",
        )


def _require_bound(where: str, metric: Metric, bound: Bound) -> None:
    limits = {"min": bound.min, "max": bound.max, "max_drop": bound.max_drop}
    if all(value is None for value in limits.values()):
        raise InputError(f"{where} has no bound", why="any value would pass", fix="write min, max or max_drop")
    _require_order(where, bound.min, bound.max)
    value_range = f"{metric.name} lies between {metric.lowest:g} and {metric.highest:g}"
    for key, value in limits.items():
        low, high = (0.0, metric.highest - metric.lowest) if key == "max_drop" else (metric.lowest, metric.highest)
        if value is not None and not low <= value <= high:
            raise InputError(f"{where}.{key} is {value:g}", why=value_range, fix="write a bound that a model can miss")


def _require_order(where: str, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise InputError(f"{where} has min {low:g} above max {high:g}", why="no value is within both", fix="swap them")


def _require_own_checks(name: str, verify: Checks) -> None:
    """Check a team's own checks: each has a bound and its own name, and together they take no longer than allowed."""
    unbounded = [check.name for check in verify.prometheus if check.min is None and check.max is None]
    if unbounded:
        raise InputError(
            f"{name}: verify.prometheus {', '.join(unbounded)} has neither min nor max",
            why="any value would pass",
            fix="write min or max",
        )
    for check in verify.prometheus:
        _require_order(f"{name}: verify.prometheus {check.name}", check.min, check.max)
    longest = sum(seconds(check.timeout) for check in verify.own)
    if longest > OWN_CHECKS_SECONDS:
        raise InputError(
            f"{name}: verify.prometheus, http and command may take {longest:.0f} s together",
            why=f"the environment is locked meanwhile, and at most {OWN_CHECKS_SECONDS:.0f} s are allowed",
            fix="lower their `timeout`",
        )
    names = [check.name for check in verify.own]
    duplicates = sorted({each for each in names if names.count(each) > 1})
    if duplicates:
        raise InputError(f"{name}: two checks are named {', '.join(duplicates)}", fix="give each its own name")


def _require_live_rows(name: str, deployment: Deployment) -> None:
    """Check that the servers keep as many live rows as the checks need."""
    per_replica = deployment.env.get(SAMPLES_VARIABLE, str(SAMPLES))
    kept = int(per_replica) * deployment.replicas if per_replica.isdecimal() else math.inf
    for key in ("drift", "agreement"):
        check = getattr(deployment.verify, key)
        if check and check.min_rows > kept:
            raise InputError(
                f"{name}: verify.{key}.min_rows is {check.min_rows}",
                why=f"{deployment.replicas} x {per_replica} live rows are kept ({SAMPLES_VARIABLE} x replicas)",
                fix=f"lower it, raise {SAMPLES_VARIABLE} in env, or remove verify.{key}",
            )
