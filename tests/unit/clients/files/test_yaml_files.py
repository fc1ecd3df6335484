"""A mistake in a file that a person wrote names its file, its line, the reason and the fix."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.clients.files.yaml_data import MAX_DEPTH, lines_of
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES
from gitops_ml.core.declaration.schema import Deployment, Environment, Project
from gitops_ml.errors import InputError
from tests.unit.clients.files.yaml_messages import BASE, EDIT, message


def test_a_whole_declaration() -> None:
    text = """
schema: 1
model: flight-delay
version: v1.2.0
digest: md5:0123456789abcdef0123456789abcdef.dir
replicas: 2
resources: {cpus: 2, memory: 512m}
env: {LOG_LEVEL: info}
secrets: {API_KEY: /etc/churn/api_key}
serve: {pattern: service}
rollout:
  strategy: recreate
verify:
  holdout: {data: data/holdout.parquet, group: day, metrics: {roc_auc: {min: 0.70, max_drop: 0.01}}}
on_failure: [revert, retrain]
hold: {reason: 'fair week', until: 2026-12-01T00:00:00Z}
"""
    parsed = parse(text.encode(), "m.yaml", Deployment)
    assert (parsed.version, parsed.replicas, parsed.resources.cpus) == ("v1.2.0", 2, 2.0)
    assert parsed.verify.holdout and parsed.verify.holdout.metrics["roc_auc"].max_drop == 0.01
    assert parsed.hold and parsed.hold.until == datetime(2026, 12, 1, tzinfo=UTC)


def test_a_whole_environment() -> None:
    text = "schema: 1\ngateway: {port: 8081}\npromotion: {from: staging, soak: 1h}\nrecords: {branch: null}\n"
    parsed = parse(text.encode(), "e.yaml", Environment)
    assert parsed.promotion and (parsed.promotion.from_, parsed.promotion.soak) == ("staging", "1h")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(BASE + "replica: 2\n", "m.yaml:4: unknown key `replica`: did you mean `replicas`?", id="near"),
        pytest.param(BASE + "resources:\n  cpu: 1\n", "m.yaml:5: unknown key `cpu`: did you mean `cpus`?", id="nested"),
        pytest.param(
            BASE + "resources:\n  zzzzzz: 1\n",
            "m.yaml:5: unknown key `zzzzzz`: valid here: cpus, gpus, memory, pids",
            id="nothing near",
        ),
        pytest.param(
            BASE + "verify: {holdout: {data: x,\n  metrics: {auc: {min: 1}, f1: {\n  mni: 1}}}}\n",
            "m.yaml:6: unknown key `mni`: did you mean `min`?",
            id="below a name of one's own",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(text: str, expected: str) -> None:
    assert message(text) == (expected if "fix: " in expected else expected + EDIT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "schema: 1\nmodel: churn\n", "m.yaml:1: `version` is missing: it is required", id="a key is missing"
        ),
        pytest.param(
            "schema: 1\nmodel: 'churn x'\nversion: v1\n",
            "m.yaml:2: model: it must be a name under artifacts: in dvc.yaml,"
            " as FOLDER:NAME where that dvc.yaml is not in the root",
            id="no name of a model",
        ),
        pytest.param(
            "schema: 1\nmodel: churn\nversion: 1.2\n",
            'm.yaml:3: version: expected `str`, got `float`: write "1.2"',
            id="a number for text",
        ),
        pytest.param(
            "schema: 2\nmodel: churn\nversion: v1\n",
            "m.yaml:1: schema: invalid enum value 2; valid here: 1",
            id="another schema",
        ),
        pytest.param(BASE + "replicas: true\n", "m.yaml:4: replicas: expected `int`, got `bool`", id="wrong type"),
        pytest.param(BASE + "replicas: 65\n", "m.yaml:4: replicas: expected `int` <= 64", id="too many"),
        pytest.param(
            BASE + "rollout:\n  steps: [5,\n    200]\n",
            "m.yaml:6: rollout.steps[1]: expected `int` <= 99",
            id="in a list",
        ),
        pytest.param(
            BASE + "env:\n  A: x\n  B: 1\n  C: y\n",
            'm.yaml:6: env.B: expected `str`, got `int`: write "1"',
            id="which of the values",
        ),
        pytest.param(
            BASE + "env:\n  A: x\n  1B: y\n",
            "m.yaml:6: env.1B: it must be a name of letters, digits and _ that does not begin with a digit",
            id="which of the names",
        ),
        pytest.param(
            BASE + "verify:\n  holdout:\n    data: x\n    metrics:\n      auc: {min: 0.5}\n      f1: {min: a}\n",
            "m.yaml:9: verify.holdout.metrics.f1.min: expected `float | null`, got `str`",
            id="which of the metrics",
        ),
        pytest.param(
            BASE + "serve: {start_timeout: 30 s}\n",
            "m.yaml:4: serve.start_timeout: it must be a duration such as 30s",
            id="no duration",
        ),
        pytest.param(
            BASE + "resources: {memory: 512MB}\n",
            "m.yaml:4: resources.memory: it must be a size such as 512m",
            id="no size",
        ),
        pytest.param(
            BASE + "digest: 6c1f\n",
            "m.yaml:4: digest: it must be what `gitops-ml bump` wrote: md5: and 32 hexadecimal digits",
            id="no digest",
        ),
        pytest.param(
            BASE + "rollout: {strategy: bluegreen}\n",
            "m.yaml:4: rollout.strategy: invalid enum value 'bluegreen'; "
            "valid here: blue-green, canary, recreate, shadow",
            id="an invalid choice",
        ),
        pytest.param(
            BASE + "on_failure: [revertt]\n",
            "m.yaml:4: on_failure[0]: invalid enum value 'revertt'; valid here: retrain, revert",
            id="an invalid choice in a list",
        ),
        pytest.param(
            BASE + "hold: {reason: x, until: 2026-12-01}\n",
            "m.yaml:4: hold.until: it must be a time with its zone, such as 2026-12-01T00:00:00Z",
            id="a day for a time",
        ),
        pytest.param(
            BASE + "hold: {reason: x, until: 2026-12-01T00:00:00}\n",
            "m.yaml:4: hold: `until` must be a time with its zone, such as 2026-12-01T00:00:00Z",
            id="a time without its zone",
        ),
        pytest.param(
            BASE + "resources: {memory: 1m}\n",
            "m.yaml:4: resources: `memory` is 1m, and no container may have less than 6m",
            id="too little memory",
        ),
        pytest.param(
            BASE + "resources: {cpus: 0.001}\n", "m.yaml:4: resources.cpus: expected `float` >= 0.01", id="too few cpus"
        ),
        pytest.param(
            BASE + "secrets: {KEY: etc/key}\n",
            "m.yaml:4: secrets.KEY: it must be the absolute path of a file on the engine's host",
            id="a relative path",
        ),
        pytest.param(
            BASE + 'env: {A: b, C: "d\\0"}\n', "m.yaml:4: env.C: it must be text without a NUL", id="a NUL in text"
        ),
        pytest.param(BASE + "env: null\n", "m.yaml:4: env: expected `object`, got `null`", id="null"),
        pytest.param("- a\n", "m.yaml:1: the file: expected `object`, got `array`", id="a list"),
    ],
)
def test_a_wrong_value_names_its_place_and_what_it_must_be(text: str, expected: str) -> None:
    assert message(text) == expected + EDIT


def test_a_project_is_named_by_a_dns_label() -> None:
    expected = "m.yaml:2: name: it must be a DNS label: a-z, 0-9 and -, at most 40 characters"
    assert message("schema: 1\nname: Churn_X\n", Project) == expected + EDIT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "m.yaml is empty\n  fix: write it, or remove the file", id="empty"),
        pytest.param(
            BASE + "env: {A: b\n", "m.yaml:5 is not valid YAML: did not find expected ',' or '}'" + EDIT, id="syntax"
        ),
        pytest.param(
            b"a: \xff\n",
            "m.yaml is not valid YAML: 'utf-8' codec can't decode byte 0xff in position 3: invalid start byte" + EDIT,
            id="bytes",
        ),
        pytest.param(
            BASE + "---\na: 1\n", "m.yaml:4 is not valid YAML: but found another document" + EDIT, id="two documents"
        ),
        pytest.param(BASE + "model: x\n", "m.yaml:4 says `model` twice\n  fix: keep one of them", id="a key twice"),
        pytest.param(
            BASE + "env: &a {A: b}\nsecrets: *a\n",
            "m.yaml:5 uses a YAML alias: aliases are refused\n  fix: write the value out",
            id="alias",
        ),
        pytest.param(
            BASE + "env: {&a A: b, *a : c}\n",
            "m.yaml:4 uses a YAML alias: aliases are refused\n  fix: write the value out",
            id="alias of a key",
        ),
        pytest.param(
            BASE + "env: {<<: {A: b}}\n",
            "m.yaml:4 has a key that is not plain text\n  fix: use plain keys",
            id="merge",
        ),
        pytest.param(
            BASE + "env: !!python/object:os.system {}\n",
            "m.yaml:4 has the tag tag:yaml.org,2002:python/object:os.system: only plain data is read"
            "\n  fix: take the tag away",
            id="tag of a map",
        ),
        pytest.param(
            BASE + "env: {A: !!binary aGk=}\n",
            "m.yaml:4 has the tag tag:yaml.org,2002:binary: only plain data is read\n  fix: take the tag away",
            id="tag of a value",
        ),
        pytest.param(
            BASE + "replicas: 010\n", "m.yaml:4: `010` is not a number\n  fix: put it in quotes", id="octal of old"
        ),
        pytest.param(
            BASE + "replicas: " + "9" * 5000,
            f"m.yaml:4: `{'9' * 40}` is not a number\n  fix: put it in quotes",
            id="a number without end",
        ),
        pytest.param(
            "[" * 100_000,
            f"m.yaml:1 is nested too deep: at most {MAX_DEPTH} levels are read" + EDIT,
            id="deep enough to end the process",
        ),
        pytest.param(
            "#" * (MAX_BYTES + 1),
            f"m.yaml has {MAX_BYTES + 1} bytes: at most {MAX_BYTES} are read\n  fix: make it smaller",
            id="large",
        ),
    ],
)
def test_only_bounded_plain_data_is_read(text: str | bytes, expected: str) -> None:
    assert message(text) == expected


def test_the_line_of_each_place() -> None:
    assert lines_of(b"a:\n  b:\n  - 1\n  - c: 2\n", "m.yaml") == {
        "$": 1,
        "$.a": 1,
        "$.a.b": 2,
        "$.a.b[0]": 3,
        "$.a.b[1]": 4,
        "$.a.b[1].c": 4,
    }


@given(st.text(alphabet="ab:{}[]&*!-?|>'\"\n #,1.", max_size=60))
def test_no_text_raises_anything_but_an_input_error(text: str) -> None:
    try:
        parse(text.encode(), "m.yaml", Deployment)
    except InputError as error:
        assert error.what.startswith("m.yaml")
        assert error.fix
