"""What the files under `environments/` may say, where the types alone do not show it."""

from __future__ import annotations

import subprocess
from typing import Any, Literal

import msgspec
import pytest
from gto.constants import fullname_re

from gitops_ml.core.declaration.schema import Deployment, Environment, Gateway, Project, json_schema
from gitops_ml.core.declaration.values import label_of, seconds, size_bytes
from gitops_ml.errors import InputError


@pytest.mark.parametrize(
    ("text", "value"), [("200ms", 0.2), ("30s", 30.0), ("1.5m", 90.0), ("1h", 3600.0), ("2d", 172800.0), ("0s", 0.0)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(("bind", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_an_endpoint_is_a_url_that_clients_accept(bind: str, host: str) -> None:
    assert Gateway(port=8080, bind=bind).endpoint("churn") == f"http://{host}:8080/v2/models/churn"


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 s", "1.2.3s", "1w", "1s\n"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(InputError, match="is not a duration\n  fix: write a number with ms, s, m, h or d"):
        seconds(text)


@pytest.mark.parametrize(("text", "value"), [("1k", 1024), ("512m", 512 * 1024**2), ("2g", 2 * 1024**3)])
def test_sizes(text: str, value: int) -> None:
    assert size_bytes(text) == value


@pytest.mark.parametrize("text", ["", "512", "512MB", "0.5g", "1t"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(InputError, match="is not a size\n  fix: write a number with k, m or g"):
        size_bytes(text)


@pytest.mark.parametrize("name", ["a", "churn", "flight-delay", "x2", "a" * 40])
def test_dns_labels_are_names(name: str) -> None:
    assert msgspec.convert({"schema": 1, "name": name}, Project).name == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "a.b", "a/b", "a" * 41, "a\n"])
def test_other_texts_are_no_names(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "name": name}, Project)


@pytest.mark.parametrize("model", ["m", "fraud_model", "FraudModel", "nlp/spam", "folder:name", "a/b.c:d", "no", "9"])
def test_a_deployment_s_model_is_any_name_that_gto_accepts(model: str) -> None:
    assert fullname_re.match(model)
    assert msgspec.convert({"schema": 1, "model": model, "version": "v1.0.0"}, Deployment).model == model


@pytest.mark.parametrize("model", ["", "-a", "a-", "a b", "a:b:c", "a@v1.0.0", "m\n", "ü", "a" * 201, "../"])
def test_other_texts_are_no_models(model: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "model": model, "version": "v1.0.0"}, Deployment)


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("churn", "churn"),
        ("FraudModel", "fraud-model"),
        ("nlp/spam_2", "nlp-spam-2"),
        ("a:B", "a-b"),
        ("X" * 99, "x" * 40),
    ],
)
def test_the_label_of_a_model_names_a_deployment(model: str, label: str) -> None:
    assert label_of(model) == label
    assert msgspec.convert({"schema": 1, "name": label}, Project).name == label


def test_a_minimal_deployment_gets_the_defaults() -> None:
    parsed = msgspec.convert({"schema": 1, "model": "churn", "version": "v1.0.0"}, Deployment)
    assert (parsed.replicas, parsed.rollout.strategy, parsed.on_failure) == (1, "blue-green", ("revert",))
    assert parsed.hold is None and parsed.verify.holdout is None


def test_a_minimal_environment_gets_the_defaults() -> None:
    parsed = msgspec.convert({"schema": 1, "gateway": {"port": 8080}}, Environment)
    assert (parsed.gateway.bind, parsed.gateway.drain) == ("127.0.0.1", "30s")
    assert (parsed.policy.auto_revert, parsed.policy.max_removals) == (True, "50%")


@pytest.mark.parametrize("share", ["101%", "50", "-1%", "1000%"])
def test_a_share_is_a_percentage(share: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "gateway": {"port": 1}, "policy": {"max_removals": share}}, Environment)


@pytest.mark.parametrize(
    "registry",
    ["registry.example", "localhost/models", "mirror:5000", "10.0.0.1:5000", "registry.example:5000/team/models_a"],
)
def test_a_swarm_has_a_registry(registry: str) -> None:
    content = {"schema": 1, "gateway": {"port": 1}, "swarm": True, "registry": registry}
    assert msgspec.convert(content, Environment).registry == registry


@pytest.mark.parametrize(
    "more",
    [
        {"swarm": True},
        {"registry": "registry.example"},
        {"swarm": True, "registry": "registry.example", "engines": ["ssh://a", "ssh://b"]},
        *(
            {"swarm": True, "registry": r}
            for r in ("https://registry.example", "Registry.example", "acme", "acme/shop", "a.b/B", "a.b/", "")
        ),
    ],
)
def test_a_registry_is_a_host_with_a_path_and_goes_with_a_swarm_alone(more: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "gateway": {"port": 1}} | more, Environment)


BRANCHES = [
    *("records", "gitops-ml-records", "a/b", "x", "feature/über.2", "a@b", "v1.0", "a.lockx", "x-"),
    *("", "../x y", "a b", "a..b", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "a@{b", "@", "-a"),
    *("a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a\tb", "a\x7fb"),
]


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_name_is_one_that_git_accepts(branch: str) -> None:
    git = subprocess.run(["git", "check-ref-format", "--branch", branch], capture_output=True, check=False)
    content = {"schema": 1, "gateway": {"port": 1}, "records": {"branch": branch}}
    if git.returncode == 0:
        assert msgspec.convert(content, Environment).records.branch == branch
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(content, Environment)


GATEWAYS = [{"drain": d} for d in ("61m", "1d", "99999d", f"{'9' * 400}d", "1e300d", "-1s")]
GATEWAYS += [{"bind": b} for b in ("224.0.0.1", "ff02::1", "fe80::1%eth0", "255.255.255.255", "127.1")]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_no_setting_of_the_gateway_is_beyond_what_traefik_and_the_engine_take(gateway: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "gateway": {"port": 1} | gateway}, Environment)


@pytest.mark.parametrize(
    "more",
    [
        {"resources": {"cpus": float("nan")}},
        {"resources": {"cpus": float("inf")}},
        {"resources": {"cpus": 1025}},
        {"resources": {"memory": "65537g"}},
        {"resources": {"memory": f"{'9' * 30}g"}},
        {"resources": {"pids": 4 * 1024**2 + 1}},
        {"serve": {"start_timeout": "0s"}},
        {"serve": {"start_timeout": "2h"}},
        *({"serve": {"health": health}} for health in ("", "healthz", "/a b", "/%zz", "/`", "/\n", f"/{'a' * 200}")),
        {"env": {"A": "x" * 30_001}},
        {"env": {"A" * 129: "x"}},
        {"version": "-v1"},
        {"version": "v1\n"},
        {"rollout": {"steps": [1] * 51}},
        {"verify": {"traffic": {"timeout": "0s"}}},
        {"verify": {"traffic": {"slow": "0ms"}}},
        {"verify": {"command": [{"name": "a", "run": ["a\0b"]}]}},
        {"verify": {"http": [{"name": "a", "url": "http://x", "timeout": "0s"}]}},
    ],
)
def test_values_beyond_what_linux_the_engine_or_the_gateway_take_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "model": "churn", "version": "v1"} | more, Deployment)


@pytest.mark.parametrize("kind", ["project", "environment", "deployment"])
def test_the_published_schema_knows_every_key_and_no_other(
    kind: Literal["project", "environment", "deployment"],
) -> None:
    schema: dict[str, Any] = json_schema(kind)
    structs: dict[str, Any] = {"project": Project, "environment": Environment, "deployment": Deployment}
    definition = schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    assert definition["properties"].keys() == {f.encode_name for f in msgspec.structs.fields(structs[kind])}
    assert definition["additionalProperties"] is False


@pytest.mark.parametrize(
    "rollout",
    [
        {"strategy": "blue-green", "steps": []},
        {"strategy": "canary", "steps": []},
        {"strategy": "shadow", "then": "canary", "steps": []},
    ],
)
def test_steps_hold_at_least_one_percentage_whatever_the_strategy(rollout: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"needs at least one percentage, such as \[5, 25, 50\]"):
        msgspec.convert({"schema": 1, "model": "churn", "version": "v1", "rollout": rollout}, Deployment)
    assert json_schema("deployment")["$defs"]["Rollout"]["properties"]["steps"]["minItems"] == 1
