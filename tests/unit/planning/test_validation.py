"""Declarations that cannot work are refused before anything is done."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.core.declaration.resources import Resources
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.planning.validation import SAMPLES, require_capacity, require_plausible
from gitops_ml.errors import InputError
from gitops_ml.serving.samples import ROWS

IMAGE = {"pattern": "image", "image": "app@sha256:" + "0" * 64, "port": 80}
PUBLISH = {"pattern": "publish"}
PROMETHEUS = {"name": "p", "url": "http://p", "query": "up"}


def declared(**more: Any) -> Deployment:
    return msgspec.convert({"schema": 1, "model": "churn", "version": "v1"} | more, Deployment)


def holdout(metrics: dict[str, Any], **more: Any) -> Deployment:
    return declared(verify={"holdout": {"data": "rows.csv", "metrics": metrics} | more})


@pytest.mark.parametrize(
    ("deployment", "messages"),
    [
        (holdout({}), ["verify.holdout.metrics is empty", "nothing would be judged", "roc_auc"]),
        (holdout({"roc_auc": {}}), ["verify.holdout.metrics.roc_auc has no bound", "max_drop"]),
        (holdout({"roc_au": {"min": 0.7}}), ["there is no metric `roc_au`", "did you mean `roc_auc`?"]),
        (holdout({"roc_auc": {"min": 0.7}, "rmse": {"max": 3}}), ["classification and regression", "roc_auc and rmse"]),
        (holdout({"roc_auc": {"min": 0.8, "max": 0.7}}), ["roc_auc has min 0.8 above max 0.7"]),
        (holdout({"roc_auc": {"min": 1.5}}), ["roc_auc.min is 1.5", "between 0 and 1"]),
        (holdout({"log_loss": {"max": -0.1}}), ["log_loss.max is -0.1", "between 0 and inf"]),
        (holdout({"r2": {"min": 1.1}}), ["r2.min is 1.1", "between -inf and 1"]),
        (holdout({"f1": {"max_drop": 2}}), ["f1.max_drop is 2"]),
        (holdout({"roc_auc": {"min": 0.7}}, rows=9), ["verify.holdout.rows is 9", "fewer than 10"]),
        (declared(serve=PUBLISH, rollout={"strategy": "shadow"}), ["shadow does not go with", "strategy: canary"]),
        (declared(serve=PUBLISH, verify={"agreement": {}}), ["verify.agreement does not go with", "send no requests"]),
        (declared(serve=PUBLISH, verify={"subscribers": {}}), ["verify.subscribers judges a canary", "is none"]),
        (declared(rollout={"strategy": "canary"}, verify={"subscribers": {}}), ["verify.subscribers judges a canary"]),
        (
            declared(serve=PUBLISH, rollout={"strategy": "canary"}, env={"GITOPS_ML_POLL_SECONDS": "300"}),
            ["verify.subscribers can never pass", "two polls of 300 s", "timeout is 10m"],
        ),
        (declared(verify={"prometheus": [PROMETHEUS | {"min": 2, "max": 1}]}), ["prometheus p has min 2 above max 1"]),
        (declared(verify={"drift": {"min_rows": 513}}), ["drift.min_rows is 513", "1 x 512 live rows"]),
        (declared(verify={"agreement": {"min_rows": 2000}}, replicas=3), ["3 x 512 live rows", "GITOPS_ML_SAMPLES"]),
        (declared(verify={"drift": {}}, env={"GITOPS_ML_SAMPLES": "0"}), ["1 x 0 live rows", "remove verify.drift"]),
    ],
)
def test_checks_that_can_never_pass_or_never_fail_are_refused(deployment: Deployment, messages: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        require_plausible("churn", deployment)
    assert [part for part in messages if part not in str(caught.value)] == [], caught.value
    assert caught.value.what.startswith("churn: ")
    assert caught.value.fix


@pytest.mark.parametrize(
    "deployment",
    [
        declared(),
        holdout({"roc_auc": {"min": 0.7, "max": 0.7}, "log_loss": {"max": 12.0}}, rows=10),
        holdout({"r2": {"min": -3.0}, "rmse": {"max_drop": 20.0}}),
        declared(verify={"prometheus": [PROMETHEUS | {"min": 1, "max": 1}]}),
        declared(verify={"drift": {"min_rows": 1024}}, replicas=2),
        declared(verify={"drift": {"min_rows": 4000}}, env={"GITOPS_ML_SAMPLES": "4000"}),
        declared(env={"GITOPS_ML_MAX_BODY_BYTES": "1024", "LOG_LEVEL": "debug", "GITOPS_MODE": "x"}),
        declared(serve=IMAGE, env={"GITOPS_ML_TOKEN": "x"}),
        declared(serve=PUBLISH, rollout={"strategy": "canary"}, verify={"subscribers": {"min_loaded": 0.5}}),
    ],
)
def test_checks_that_can_pass_and_fail_are_accepted(deployment: Deployment) -> None:
    require_plausible("churn", deployment)


@pytest.mark.parametrize(
    ("env", "serve", "messages"),
    [
        ({"GITOPS_ML_ALLOW_PICKLE": "1"}, {}, ["env.GITOPS_ML_ALLOW_PICKLE", "serve: {allow_pickle: true}"]),
        ({"GITOPS_ML_ALLOW_PICKLE": "0"}, IMAGE, ["serve.allow_pickle alone"]),
        ({"GITOPS_ML_SAMPLE": "1"}, {}, ["no setting of the model server", "did you mean `GITOPS_ML_SAMPLES`?"]),
        ({"GITOPS_ML_MODEL_DIR": "/tmp"}, {}, ["no setting of the model server"]),
        ({"GITOPS_ML_SAMPLES": "many"}, {}, ["is 'many'", "whole number of at least 0"]),
        ({"GITOPS_ML_SAMPLES": "-1"}, {}, ["is '-1'"]),
        ({"GITOPS_ML_SAMPLES": "9" * 99}, {}, ["whole number"]),
        ({"GITOPS_ML_MAX_BODY_BYTES": "0"}, {}, ["at least 1024"]),
    ],
)
def test_settings_that_the_model_server_refuses_are_refused(
    env: dict[str, str], serve: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        require_plausible("churn", declared(env=env, serve=serve))
    assert [part for part in messages if part not in str(caught.value)] == [], caught.value


def test_traffic_is_validated_with_its_share_of_the_error() -> None:
    """It takes 314 blocks of a second at 5 %, and 387 at 2.5 %, the half that a holdout leaves."""
    traffic = {"max_bad_increase": 0.01, "timeout": "330s"}
    spec = {"holdout": {"data": "rows.csv", "metrics": {"roc_auc": {"min": 0.7}}}, "traffic": traffic}
    require_plausible("churn", declared(rollout={"strategy": "canary"}, verify={"traffic": traffic}))
    with pytest.raises(InputError, match="can never pass"):
        require_plausible("churn", declared(rollout={"strategy": "canary"}, verify=spec))
    both = {"strategy": "shadow", "then": "canary"}
    with pytest.raises(InputError, match="can never pass"):
        require_plausible("churn", declared(rollout=both, verify={"traffic": traffic}))


def test_the_servers_keep_the_assumed_number_of_rows() -> None:
    assert SAMPLES == ROWS


@pytest.mark.parametrize(("cpus", "host", "refused"), [(4.5, 4, True), (4.0, 4, False), (4.5, 0, False)])
def test_a_replica_with_more_cpus_than_the_host_has_is_refused(cpus: float, host: int, refused: bool) -> None:
    deployment = Deployment(schema=1, model="churn", version="v1", resources=Resources(cpus=cpus))
    if not refused:
        require_capacity("churn", deployment, host)
        return
    with pytest.raises(InputError, match=r"cpus is 4.5: the engine's host has 4 CPUs\n  fix: write 4 or less"):
        require_capacity("churn", deployment, host)
