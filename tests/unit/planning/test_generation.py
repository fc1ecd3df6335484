"""What makes a new generation, and the spec of its containers."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from gitops_ml.core.declaration.checks import Holdout
from gitops_ml.core.declaration.resources import Resources
from gitops_ml.core.declaration.schema import Deployment, ResolvedDeployment
from gitops_ml.core.declaration.serving import Serve
from gitops_ml.core.declaration.values import differing
from gitops_ml.core.generation import Generation, generation_of, image_tag, replica_spec, threads_env
from gitops_ml.core.records.record import FINGERPRINT_FIELDS

DECLARED: dict[str, Any] = {
    "schema": 1,
    "model": "churn",
    "version": "v1.0.0",
    "env": {"LOG_LEVEL": "info"},
    "secrets": {"API_KEY": "/etc/churn/api_key"},
}
OTHERWISE: dict[str, Any] = {
    "model": "forecast",
    "version": "v1.0.1",
    "resources": {"memory": "1g"},
    "env": {"LOG_LEVEL": "debug"},
    "secrets": {"API_KEY": "/etc/churn/api_key", "TOKEN": "/etc/churn/token"},
    "serve": {"start_timeout": "5s"},
    "replicas": 3,
    "rollout": {"strategy": "recreate"},
    "verify": {"holdout": {"data": "rows.csv", "metrics": {}}},
    "on_failure": [],
    "hold": {"reason": "fair week"},
}


def resolved(name: str = "eu", digest: str = "md5:" + "a" * 32, **fields: Any) -> ResolvedDeployment:
    declaration = msgspec.convert(DECLARED | fields, Deployment)
    return ResolvedDeployment(name=name, declaration=declaration, digest=digest, revision="r" * 40, path="models/churn")


def made(
    deployment: ResolvedDeployment | None = None, *, base: str = "sha256:base", serving_version: int = 1
) -> Generation:
    return generation_of(
        deployment or resolved(), project="shop", commit="c" * 40, base=base, serving_version=serving_version
    )


def spec(of: Generation, **fields: Any) -> Any:
    defaults: dict[str, Any] = {
        "project": "shop",
        "environment": "dev",
        "replica": 0,
        "suffix": "ab12cd",
        "drain": 30.0,
    }
    return replica_spec(of, **(defaults | fields))


# --- the fingerprint -------------------------------------------------------------------------------------------------


def test_every_key_of_a_declaration_is_either_in_the_fingerprint_or_not() -> None:
    keys = {f.encode_name for f in msgspec.structs.fields(Deployment)}
    assert keys == {*OTHERWISE, "schema", "digest"}


@pytest.mark.parametrize("key", sorted(OTHERWISE))
def test_the_fields_that_make_a_new_generation_are_those_that_a_revert_restores(key: str) -> None:
    changed = made(resolved(**{key: OTHERWISE[key]})).fingerprint != made().fingerprint
    assert changed is (key in FINGERPRINT_FIELDS)


@pytest.mark.parametrize("model", ["FraudModel", "fraud_model", "nlp/spam", "folder:name", "A--_b", "x" * 200])
def test_an_image_of_any_model_has_a_name_that_docker_accepts(model: str) -> None:
    name = image_tag("shop", model, "v1", "md5:0", "base", 1)
    assert re.fullmatch(r"gitops-ml/[a-z0-9]+(-[a-z0-9]+)*:[0-9a-f]{16}", name)
    assert name != image_tag("shop", f"{model}2", "v1", "md5:0", "base", 1)


def test_another_digest_base_serving_version_or_name_is_another_generation() -> None:
    fingerprints = {
        made().fingerprint,
        made(resolved(digest="md5:" + "b" * 32)).fingerprint,
        made(resolved(name="us")).fingerprint,
        made(base="sha256:other").fingerprint,
        made(serving_version=2).fingerprint,
    }
    assert len(fingerprints) == 5


def test_the_path_of_a_secret_makes_no_new_generation() -> None:
    assert made(resolved(secrets={"API_KEY": "/elsewhere"})).fingerprint == made().fingerprint


def test_neither_the_order_of_keys_nor_the_commit_makes_a_new_generation() -> None:
    a, b = resolved(env={"A": "1", "B": "2"}), resolved(env={"B": "2", "A": "1"})
    later = msgspec.structs.replace(b, revision="0" * 40)
    assert (
        made(a).fingerprint
        == generation_of(later, project="shop", commit="d" * 40, base="sha256:base", serving_version=1).fingerprint
    )


def test_an_upgrade_of_the_tool_rolls_nothing() -> None:
    # Written down so that whoever changes what is hashed sees that every host would roll everything.
    assert made().fingerprint == "5a2bd5f5cef8"
    assert (Resources(), Serve()) == (
        Resources(cpus=1.0, memory="512m", pids=256),
        Serve(pattern="service", allow_pickle=False, image=None, port=None, health=None, start_timeout="60s"),
    )


def test_a_new_key_of_a_newer_version_changes_no_other_hash() -> None:
    newer = msgspec.defstruct("Newer", [("gpus", int, 0)], bases=(Resources,), frozen=True, kw_only=True)
    assert differing(newer(memory="1g")) == differing(Resources(memory="1g")) == {"memory": "1g"}
    assert differing(newer(gpus=1)) == {"gpus": 1}


def test_only_values_that_differ_from_defaults_are_hashed() -> None:
    deployment = msgspec.convert(DECLARED | OTHERWISE, Deployment)
    assert differing(deployment.verify) == {"holdout": {"data": "rows.csv", "metrics": {}}}
    bounds = msgspec.convert({"data": "x", "metrics": {"auc": {"min": 0.5}, "f1": {}}}, Holdout)
    assert differing(bounds) == {"data": "x", "metrics": {"auc": {"min": 0.5}, "f1": {}}}


def test_a_teams_own_image_does_not_depend_on_our_base() -> None:
    serve = {"pattern": "image", "image": "nginx@sha256:" + "a" * 64, "port": 80}
    deployment = resolved(serve=serve)
    assert made(deployment).fingerprint == made(deployment, base="sha256:other", serving_version=9).fingerprint


# --- images and containers -------------------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_image() -> None:
    tag = image_tag("shop", "churn", "v1", "md5:a", "sha256:base", 1)
    assert tag == image_tag("shop", "churn", "v1", "md5:a", "sha256:base", 1)
    assert tag.startswith("gitops-ml/churn:")
    others = {
        image_tag("shop", "churn", "v2", "md5:a", "sha256:base", 1),
        image_tag("shop", "churn", "v1", "md5:b", "sha256:base", 1),
        image_tag("shop", "churn", "v1", "md5:a", "sha256:other", 1),
        image_tag("shop", "churn", "v1", "md5:a", "sha256:base", 2),
        image_tag("store", "churn", "v1", "md5:a", "sha256:base", 1),
    }
    assert len(others | {tag}) == 6


def test_a_replica_is_locked_down() -> None:
    made_spec = spec(made())
    assert (made_spec.read_only, made_spec.user, made_spec.ports, made_spec.restart) == (
        True,
        "65532:65532",
        {},
        "unless-stopped",
    )
    assert (made_spec.cpus, made_spec.memory, made_spec.pids) == (1.0, 512 * 1024**2, 256)
    assert made_spec.binds == {"/run/secrets/API_KEY": "/etc/churn/api_key"}


def test_a_replica_gets_its_identity_in_its_environment() -> None:
    generation = made()
    assert spec(generation).env == {
        "GITOPS_ML_DEPLOYMENT": "eu",
        "GITOPS_ML_MODEL": "churn",
        "GITOPS_ML_VERSION": "v1.0.0",
        "GITOPS_ML_DIGEST": "md5:" + "a" * 32,
        "GITOPS_ML_GENERATION": generation.fingerprint,
        "GITOPS_ML_PORT": "8080",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "LOG_LEVEL": "info",
    }


def test_allow_pickle_is_passed_to_the_server() -> None:
    assert "GITOPS_ML_ALLOW_PICKLE" not in spec(made()).env
    assert spec(made(resolved(serve={"allow_pickle": True}))).env["GITOPS_ML_ALLOW_PICKLE"] == "1"
    assert "GITOPS_ML_ALLOW_PICKLE" not in spec(made(resolved(env={"GITOPS_ML_ALLOW_PICKLE": "1"}))).env


def test_a_published_model_is_another_generation_whose_server_opens_a_channel() -> None:
    served, published = made(), made(resolved(serve={"pattern": "publish"}))
    assert published.fingerprint != served.fingerprint and published.artifact == served.artifact
    assert spec(published).env["GITOPS_ML_CHANNEL"] == "1"
    assert "GITOPS_ML_CHANNEL" not in spec(served).env


def test_a_replica_s_identity_is_in_its_labels() -> None:
    generation = made()
    made_spec = spec(generation, replica=2)
    assert made_spec.labels == {
        "gitops-ml.project": "shop",
        "gitops-ml.environment": "dev",
        "gitops-ml.role": "replica",
        "gitops-ml.deployment": "eu",
        "gitops-ml.generation": generation.fingerprint,
        "gitops-ml.replica": "2",
        "gitops-ml.model": "churn",
        "gitops-ml.version": "v1.0.0",
        "gitops-ml.pattern": "service",
        "gitops-ml.alias": f"eu-{generation.fingerprint}-2-ab12cd",
    }
    assert made_spec.name == f"shop.dev.eu.{generation.fingerprint[:8]}.2-ab12cd"
    assert made_spec.aliases == (made_spec.labels["gitops-ml.alias"],)


def test_an_alias_of_the_longest_name_is_still_a_dns_label() -> None:
    generation = made(resolved(name="a" * 40))
    assert len(spec(generation, replica=63).aliases[0]) <= 63


def test_a_replica_runs_the_built_image_by_its_id() -> None:
    generation = made()
    assert spec(generation).image == generation.image
    assert spec(msgspec.structs.replace(generation, image_id="sha256:x")).image == "sha256:x"


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, "1"), (1.0, "1"), (2.5, "2"), (8.0, "8")])
def test_thread_pools_follow_the_cpu_limit(cpus: float, threads: str) -> None:
    assert set(threads_env(cpus).values()) == {threads}


def test_a_generation_survives_the_journal() -> None:
    generation = made()
    assert msgspec.json.decode(msgspec.json.encode(generation), type=Generation) == generation


def test_a_declaration_cannot_make_a_server_claim_another_identity() -> None:
    spoofed = made(resolved(env={"GITOPS_ML_DIGEST": "md5:0", "LOG_LEVEL": "info"}))
    assert spec(spoofed).env["GITOPS_ML_DIGEST"] == spoofed.digest
    assert spec(spoofed).env["LOG_LEVEL"] == "info"
