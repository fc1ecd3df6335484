"""Every key with every kind of value: refused at plan in words, or something that Linux, Docker and Traefik take.

The values that are accepted run on a real engine, as a sample, in `tests/e2e/delivery/test_declared_bounds.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, TypeVar

import msgspec
import pytest

from gitops_ml.clients.engine.config import container_config
from gitops_ml.clients.gateway.container import gateway_spec
from gitops_ml.core.declaration.schema import Deployment, Environment, ResolvedDeployment, json_schema
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ContainerSpec, generation_of, replica_spec
from gitops_ml.core.operator_settings import OperatorSettings, require_permitted
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment, one_generation_route
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.planning.validation import require_capacity, require_plausible
from gitops_ml.errors import InputError
from tests.declared_values import Path, put, walk
from tests.effort import stride
from tests.unit.builders import ENVIRONMENT, PROJECT, generation, replica
from tests.unit.snapshots import inputs, serving

MINIMAL: dict[type, dict[str, Any]] = {
    Deployment: {"schema": 1, "model": "churn", "version": "v2.0.0"},
    Environment: {"schema": 1, "gateway": {"port": 8081}},
}
DEPLOYMENTS = list(walk(json_schema("deployment")))[:: stride(3)]
ENVIRONMENTS = list(walk(json_schema("environment")))
V1 = generation("v1")
HARMFUL = (plan.Stop, plan.Retire, plan.Remove, plan.Unroute, plan.Shift)
"""What no first pass over a changed declaration does: the candidate is not verified yet."""
ONE_VARIABLE = 128 * 1024
"""Bytes of one variable or argument of a process: MAX_ARG_STRLEN in `include/uapi/linux/binfmts.h`."""
Kind = TypeVar("Kind", Deployment, Environment)


def accepted(kind: type[Kind], path: Path, value: Any) -> Kind | None:
    """What the file says with this value in it; None where it is refused as the file of a person is."""
    try:
        return msgspec.convert(put(MINIMAL[kind], path, value), kind)
    except msgspec.ValidationError:
        return None


def require_engine_takes(spec: ContainerSpec) -> None:
    config = json.loads(json.dumps(container_config(spec), allow_nan=False))
    host = config["HostConfig"]
    for key in ("NanoCpus", "Memory", "MemorySwap", "PidsLimit"):
        assert 0 <= (host[key] or 0) < 2**63, key
    assert 0 < config["StopTimeout"] <= 3601
    for word in (*config["Env"], *config.get("Cmd", ())):
        assert len(word.encode()) < ONE_VARIABLE and "\0" not in word
    assert all(len(name) < 255 for name in (spec.name, *spec.binds))


def planned(declaration: Deployment) -> plan.Plan:
    resolved = ResolvedDeployment(
        name="churn", declaration=declaration, digest=declaration.digest or V1.digest, revision="r" * 40, path="m"
    )
    made = generation_of(resolved, project="shop", commit="c" * 40, base="sha256:base", serving_version=1)
    require_engine_takes(replica_spec(made, project=PROJECT, environment=ENVIRONMENT, replica=0, suffix="a", drain=1.0))
    route = json.loads(one_generation_route("churn", made, [replica(made)], pin_header=False))
    assert "{{" not in json.dumps(route)
    wanted = PlannedDeployment(
        resolved=resolved,
        generation=made,
        project=PROJECT,
        environment=ENVIRONMENT,
        full_name=ENVIRONMENT,
        drain=1.0,
        pin_header=False,
        endpoint="http://127.0.0.1:8081/v2/models/churn",
    )
    return make_plan(inputs(serving(V1), wanted))


def test_every_value_of_a_deployment_is_refused_or_leaves_what_serves_alone() -> None:
    settings = OperatorSettings(secrets_under=("/etc/gitops-ml/secrets",), allow_commands=True)
    counts: Counter[str] = Counter()
    for path, value in DEPLOYMENTS:
        declaration = accepted(Deployment, path, value)
        if declaration is None:
            counts["refused by its type"] += 1
            continue
        try:
            require_plausible("churn", declaration)
            require_permitted("churn", declaration, settings)
            require_capacity("churn", declaration, 2)
        except InputError as error:
            assert error.fix, (path, value)
            counts["refused at plan"] += 1
            continue
        result = planned(declaration)
        assert result.broken == {}, (path, value)
        assert not [a.line("dev") for a in result.actions if isinstance(a, HARMFUL)], (path, value)
        msgspec.json.encode(result)
        counts["accepted"] += 1
    keys = {path for path, _ in DEPLOYMENTS if not {"env", "secrets", "metrics"} & {*path[:-1]}}
    print(f"{len(keys)} keys, {len(DEPLOYMENTS)} values: {dict(counts)}")
    assert min(counts["refused by its type"], counts["refused at plan"], counts["accepted"]) > 50


def test_every_value_of_an_environment_is_refused_or_leaves_its_gateway_alone_until_another_one_answers() -> None:
    counts: Counter[str] = Counter()
    for path, value in ENVIRONMENTS:
        environment = accepted(Environment, path, value)
        if environment is None:
            counts["refused by its type"] += 1
            continue
        spec = gateway_spec(PROJECT, ENVIRONMENT, environment.gateway)
        require_engine_takes(spec)
        assert 0.0 <= seconds(environment.gateway.drain) <= 3600.0
        seen = serving(V1)
        given = inputs(seen)
        desired = msgspec.structs.replace(given.desired, environment=environment)
        result = make_plan(msgspec.structs.replace(given, desired=desired, gateway=spec))
        assert result.broken == {}
        ensured = [action for action in result.actions if isinstance(action, plan.EnsureGateway)]
        assert all(action.serves for action in ensured), (path, value)
        counts["accepted"] += 1
    print(f"{len({path for path, _ in ENVIRONMENTS})} keys, {len(ENVIRONMENTS)} values: {dict(counts)}")
    assert min(counts["refused by its type"], counts["accepted"]) > 50


@pytest.mark.parametrize(("path", "value"), [(("gateway", "port"), 8081), (("gateway", "drain"), "1h")])
def test_the_walk_tells_what_is_accepted_from_what_is_not(path: Path, value: Any) -> None:
    assert accepted(Environment, path, value) is not None
    assert accepted(Environment, path, f"{value}x") is None
