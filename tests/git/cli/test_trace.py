"""`trace` by every name that Git knows, back to the data and forwards to the environments, also as published formats.

The formats are held against what their authors publish: in-toto's and SLSA's messages, and CycloneDX's schema. Names
that only an engine knows are in tests/e2e/workflows/test_retrain.py.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError, VersionNotFound
from gitops_ml.retraining.attestation import source_uri
from tests.git.cli_clone import (
    answer,
    attempt,
    cli,
    clone,
    declaration,
    fix_of,
    generation,
    publish,
    put_record,
    shell,
    write,
)
from tests.git.conftest import git

MODEL, ROWS, CODE = "a1" * 16, "b2" * 16, "c3" * 16
LOCK = f"""\
schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py
    deps: [{{path: prepare.py, md5: {CODE}}}]
    outs: [{{path: data/rows.csv, md5: {ROWS}}}]
  train:
    cmd: python train.py
    deps: [{{path: data/rows.csv, md5: {ROWS}}}]
    params: {{params.yaml: {{train.depth: 4, train.limit: .inf}}}}
    outs: [{{path: model.skops, md5: {MODEL}}}]
"""
STAGES = """\
stages:
  prepare: {cmd: python prepare.py, deps: [prepare.py], outs: [data/rows.csv]}
  train: {cmd: python train.py, deps: [data/rows.csv], params: [train.depth, train.limit], outs: [model.skops]}
artifacts:
  churn: {path: model.skops, type: model}
"""
MANIFEST = {
    "schema": 1,
    "name": "churn",
    "format": "skops",
    "file": "model.skops",
    "python": "3.11",
    "task": "classification",
    "classes": [0, 1],
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
    "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
}
HOLDOUT = CheckResult(
    name="holdout roc_auc",
    result="pass",
    reason="roc_auc 0.8",
    figures={"rows": 500, "candidate": 0.8, "candidate_low": 0.75, "candidate_high": 0.85},
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A model that two stages made, as v1.0.0: it serves in staging, is declared in prod, and has failed in dev."""
    work = clone(tmp_path)
    write(work, "dvc.yaml", STAGES)
    write(work, "dvc.lock", LOCK)
    write(work, "serving/churn/manifest.json", json.dumps(MANIFEST))
    write(work, "serving/churn/requirements.txt", "numpy==2.1.0\nscikit_learn==1.6.1\n")
    publish(work, "Train churn")
    git(work, "tag", "-a", "-m", "first", "churn@v1.0.0")
    git(work, "push", "-q", "origin", "churn@v1.0.0")
    write(work, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 9100}\n")
    for environment in ("dev", "staging", "prod"):
        write(work, f"environments/{environment}/models/churn.yaml", declaration("v1.0.0", f"md5:{MODEL}"))
    commit = publish(work, "Declare v1.0.0")
    serving = generation("v1.0.0", f"md5:{MODEL}", commit, "a" * 12)
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2), checks=(HOLDOUT,)))
    write(work, "environments/dev/models/churn.yaml", declaration("v0.9.0", f"md5:{'9' * 32}"))
    old = generation("v0.9.0", f"md5:{'9' * 32}", commit, "b" * 12)
    again = generation("v1.0.0", f"md5:{MODEL}", commit, "c" * 12)
    failed = attempt(again, age=timedelta(hours=1), outcome="failed", verdict="Failed")
    put_record(work, "dev", old, failed, attempt(old, age=timedelta(hours=3)))
    return work


def trace(work: Path, *words: str) -> Any:
    return answer(work, "trace", *words, "--no-live")


def standard(work: Path, form: str, *words: str) -> dict[str, Any]:
    done = cli(work, "trace", *words, "--no-live", "-o", form)
    assert done.exception is None, done.exception
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_version_is_traced_back_and_forwards(work: Path) -> None:
    found = trace(work, "churn@v1.0.0")
    assert found["made"]["stages"] == ["train", "prepare"] and found["made"]["inputs"] == {"prepare.py": f"md5:{CODE}"}
    assert found["trained"]["subject"] == "Train churn" and found["tagger"].startswith("Ada")
    assert (found["generation"], found["environment"], found["attempt"]) == (None, None, None)
    assert [(use["environment"], use["state"], use["verdict"]) for use in found["uses"]] == [
        ("dev", "tried", "Failed"),
        ("prod", "declared", None),
        ("staging", "serves", "Verified"),
    ]
    shown = cli(work, "trace", "churn@v1.0.0").stdout
    assert (
        "used       dev/churn has tried it: failed, Failed" in shown and "\n           prod/churn declares it" in shown
    )


def test_a_generation_is_traced_as_its_deployment_is(work: Path) -> None:
    by_place = trace(work, "staging", "churn")
    assert by_place == trace(work, "a" * 12) and by_place["attempt"]["verdict"] == "Verified"
    assert by_place["bumped"]["subject"] == "Declare v1.0.0"
    assert trace(work, "c" * 12)["attempt"]["outcome"] == "failed"
    assert by_place["packages"] == {"numpy": "2.1.0", "scikit-learn": "1.6.1"} and by_place["task"] == "classification"


@pytest.mark.parametrize("words", [("churn@v1.0.0",), ("staging", "churn")])
def test_the_published_messages_take_the_statement(work: Path, words: tuple[str, ...]) -> None:
    from google.protobuf.json_format import ParseDict, ParseError
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

    document = standard(work, "intoto", *words)
    message = ParseDict(document, StatementMessage())
    Statement.copy_from_pb(message).validate()
    provenance = ParseDict(document["predicate"], Provenance())
    assert document["subject"][0] == {"name": "churn@v1.0.0", "digest": {"md5": MODEL}}
    commit = git(work, "rev-parse", "churn@v1.0.0^{commit}")
    definition = provenance.build_definition
    assert definition.resolved_dependencies[0].digest == {"gitCommit": commit}
    assert {each.name: dict(each.digest) for each in definition.resolved_dependencies[1:]} == {
        "prepare.py": {"md5": CODE},
        "data/rows.csv": {"md5": ROWS},
    }
    parameters = definition.external_parameters["parameters"]
    assert dict(parameters) == {"params.yaml:train.depth": 4, "params.yaml:train.limit": "inf"}
    assert provenance.run_details.builder.id == "mailto:ada@example.org"
    # The messages refuse what they do not know, or this test would show nothing.
    with pytest.raises(ParseError):
        ParseDict(document["predicate"] | {"buildType": "dvc"}, Provenance())


def schema_error(bill: Any) -> Any:
    """What CycloneDX's published schema says against a bill. Imported here: all workers of a run import this module."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))


@pytest.mark.parametrize("words", [("churn@v1.0.0",), ("staging", "churn")])
def test_the_published_schema_takes_the_bill(work: Path, words: tuple[str, ...]) -> None:
    document = standard(work, "cyclonedx", *words)
    assert schema_error(document) is None
    assert schema_error(document | {"models": []}) is not None
    model = document["metadata"]["component"]
    assert (model["type"], model["hashes"]) == ("machine-learning-model", [{"alg": "MD5", "content": MODEL}])
    assert {each["name"]: each["type"] for each in document["components"]} == {
        "data/rows.csv": "data",
        "prepare.py": "file",
        "numpy": "library",
        "scikit-learn": "library",
    }
    if len(words) == 2:
        (metric,) = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
        assert metric["value"] == "0.8" and metric["confidenceInterval"] == {"lowerBound": "0.75", "upperBound": "0.85"}
    assert document == standard(work, "cyclonedx", *words), "the same trace gives the same bill"


def test_what_no_stage_made_has_a_bill_and_no_provenance(work: Path) -> None:
    write(work, "dvc.lock", "schema: '2.0'\nstages: {}\n")
    write(work, "dvc.yaml", "artifacts:\n  churn: {path: model.json, type: model}\n")
    write(work, "model.json", "{}\n")
    publish(work, "Add a model by hand")
    git(work, "tag", "-a", "-m", "second", "churn@v2.0.0")
    git(work, "push", "-q", "origin", "churn@v2.0.0")
    bill = standard(work, "cyclonedx", "churn@v2.0.0")
    assert schema_error(bill) is None
    fix = fix_of(work, "trace", "churn@v2.0.0", "-o", "intoto")
    assert json.loads(shell(work, fix.removesuffix(", for what is known"))) == bill


def test_what_nobody_knows_is_said(work: Path) -> None:
    assert "staging/churn" in shell(work, fix_of(work, "trace", "staging"))
    with pytest.raises(VersionNotFound, match=r"churn v9\.0\.0"):
        trace(work, "churn@v9.0.0")
    with pytest.raises(InputError, match="`nobody` is not known"):
        trace(work, "nobody")
    assert "churn" in shell(work, fix_of(work, "trace", "nobody"))


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("https://ada:secret@git.example.org/acme/shop.git", "https://git.example.org/acme/shop.git"),
        ("git@git.example.org:acme/shop.git", "ssh://git.example.org/acme/shop.git"),
        ("ssh://git@git.example.org:2222/acme/shop", "ssh://git.example.org:2222/acme/shop"),
        ("/srv/git/a shop.git", "file:///srv/git/a%20shop.git"),
    ],
)
def test_a_remote_is_named_without_its_credentials(url: str, uri: str) -> None:
    assert source_uri(url) == uri
