"""The train stage: its manifest is true, and the model server serves its artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.clients.rows.holdout import load_rows, requests
from gitops_ml.errors import InputError
from gitops_ml.serving.prediction.loader import load_model
from gitops_ml.stages.artifact import check_requirements, model_inputs, read_artifact
from gitops_ml.stages.params import Component, Prepare, Train
from gitops_ml.stages.prepare import prepare
from gitops_ml.stages.train import add_noise, train


@pytest.fixture(scope="module")
def rows(prepare_params: Prepare, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("prepared")
    prepare(prepare_params, raw, out / "train.parquet", out / "holdout.parquet")
    return pd.read_parquet(out / "train.parquet")


@pytest.fixture(scope="module")
def artifact(
    train_params: Train, rows: pd.DataFrame, requirements: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("models") / "flight-delay"
    train(train_params, rows, requirements, out)
    return out


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_equal_inputs_give_equal_bytes(
    train_params: Train, rows: pd.DataFrame, requirements: Path, artifact: Path, tmp_path: Path
) -> None:
    train(train_params, rows, requirements, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(artifact)


def test_the_manifest_describes_the_training(artifact: Path, rows: pd.DataFrame, train_params: Train) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert (manifest["name"], manifest["format"], manifest["file"]) == ("flight-delay", "skops", "model.skops")
    assert (manifest["task"], manifest["classes"]) == ("classification", [0, 1])
    assert manifest["target"] == {"name": "late", "positive": 1}
    assert [tensor["name"] for tensor in manifest["inputs"]] == train_params.features
    assert {tensor["name"] for tensor in manifest["inputs"] if tensor["datatype"] == "BYTES"} == {
        "carrier",
        "dest",
        "origin",
    }
    assert manifest["outputs"] == [
        {"name": "predict", "datatype": "INT64", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
    ]
    training = manifest["training"]
    assert training["rows"] == len(rows)
    assert pd.Timestamp(training["from"]) == rows["time_hour"].min()
    assert pd.Timestamp(training["to"]) == rows["time_hour"].max()
    assert set(manifest["trusted_types"]) == set(train_params.trusted_types)
    assert (artifact / "requirements.txt").read_text().count("--hash=sha256:") > 10


def test_the_model_server_answers_the_example_as_the_pipeline_does(artifact: Path, rows: pd.DataFrame) -> None:
    manifest, served = load_model(artifact)
    model, _ = read_artifact(artifact)
    example = json.loads((artifact / "example.json").read_text())
    tensors = {tensor["name"]: tensor for tensor in example["inputs"]}
    assert all(tensor["shape"] == [1] and len(tensor["data"]) == 1 for tensor in tensors.values())
    columns: dict[str, Any] = {
        name: np.array(tensor["data"], dtype=object if tensor["datatype"] == "BYTES" else float)
        for name, tensor in tensors.items()
    }
    answer = served.predict(columns, ["predict", "predict_proba"])
    assert isinstance(answer, dict)
    expected = model.predict_proba(pd.DataFrame(columns))
    assert np.array_equal(answer["predict_proba"], expected)
    assert manifest.name == "flight-delay"
    names = [spec.name for spec in manifest.inputs]
    categorical = [spec.name for spec in manifest.inputs if spec.datatype == "BYTES"]
    inputs = model_inputs(rows, names, categorical)
    first = inputs[inputs.notna().all(axis=1)].iloc[0]
    assert [first[name] for name in names] == [tensors[name]["data"][0] for name in names]


def test_missing_and_unknown_values_are_answered(artifact: Path, rows: pd.DataFrame) -> None:
    model, manifest = read_artifact(artifact)
    names = [tensor.name for tensor in manifest.inputs]
    inputs = model_inputs(rows.head(3), names, ["carrier", "origin", "dest"])
    inputs.loc[:, "temp"] = np.nan
    inputs.loc[:, "carrier"] = pd.Series([None, "??", "UA"], index=inputs.index, dtype=object)
    assert np.isfinite(model.predict_proba(inputs)).all()


def test_types_without_a_review_are_refused(
    train_params: Train, rows: pd.DataFrame, requirements: Path, tmp_path: Path
) -> None:
    params = msgspec.structs.replace(train_params, trusted_types=[])
    with pytest.raises(InputError, match=r"nobody has reviewed: functools\.partial"):
        train(params, rows, requirements, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_another_estimator_needs_only_other_params(
    train_params: Train, rows: pd.DataFrame, requirements: Path, tmp_path: Path
) -> None:
    params = msgspec.structs.replace(
        train_params,
        task="regression",
        target="distance",
        positive=None,
        features=["carrier", "sched_dep_time"],
        categorical=["carrier"],
        encode=Component(path="sklearn.preprocessing.OneHotEncoder", params={"handle_unknown": "ignore"}),
        scale=Component(path="sklearn.preprocessing.StandardScaler"),
        estimator=Component(path="sklearn.linear_model.Ridge", params={"alpha": 2.0}),
        trusted_types=[],
    )
    train(params, rows, requirements, tmp_path / "model")
    manifest, served = load_model(tmp_path / "model")
    assert [spec.name for spec in manifest.outputs] == ["predict"]
    columns: dict[str, Any] = {"carrier": np.array(["UA"], dtype=object), "sched_dep_time": np.array([800.0])}
    answer = served.predict(columns, ["predict"])
    assert isinstance(answer, dict)
    assert 100 < answer["predict"][0] < 3000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator": Component(path="sklearn.ensemble.NoForest")}, "train.estimator cannot be built"),
        ({"estimator": Component(path="sklearn.svm.SVC", params={"size": 1})}, "train.estimator cannot be built"),
        ({"estimator": Component(path="sklearn.linear_model.LogisticRegression")}, "cannot be fitted"),
        ({"estimator": Component(path="pytest.Item")}, "do not pin pytest"),
        ({"categorical": ["tailnum"]}, "tailnum, which is not a feature"),
        ({"categorical": ["carrier", "origin"]}, "'dest' is not a number"),
        ({"features": ["seats"], "categorical": []}, "no column seats"),
        ({"target": "delayed"}, "no column delayed"),
        ({"label_noise": 2.0}, "it must be a fraction"),
        ({"positive": 2}, r"train\.positive is 2, which is no class of 'late': its classes are 0, 1"),
        ({"positive": "yes"}, "such as positive: 1,"),
        ({"time_column": "carrier"}, "column 'carrier' is not a time"),
    ],
)
def test_mistakes_are_refused(
    train_params: Train, rows: pd.DataFrame, requirements: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(msgspec.structs.replace(train_params, **changes), rows, requirements, tmp_path / "model")


def test_missing_labels_are_refused(
    train_params: Train, rows: pd.DataFrame, requirements: Path, tmp_path: Path
) -> None:
    rows = rows.assign(late=rows["late"].astype(object).mask(rows.index < 7))
    with pytest.raises(InputError, match="7 training rows have no 'late'") as raised:
        train(train_params, rows, requirements, tmp_path / "model")
    assert "late.notna()" in raised.value.fix


@pytest.mark.parametrize(("names", "datatype"), [(("in time", "late"), "BYTES"), ((False, True), "BOOL")])
def test_labels_of_any_type_are_served(
    train_params: Train, rows: pd.DataFrame, requirements: Path, tmp_path: Path, names: tuple[Any, Any], datatype: str
) -> None:
    labels = rows["late"].map({0: names[0], 1: names[1]})
    params = msgspec.structs.replace(train_params, positive=names[1])
    train(params, rows.assign(late=labels), requirements, tmp_path / "model")
    manifest, served = load_model(tmp_path / "model")
    assert (manifest.classes, manifest.outputs[0].datatype) == (names, datatype)
    example = json.loads((tmp_path / "model" / "example.json").read_text())["inputs"]
    columns = {t["name"]: np.array(t["data"], dtype=object if t["datatype"] == "BYTES" else float) for t in example}
    answer = served.predict(columns, ["predict"])
    assert isinstance(answer, dict)
    assert answer["predict"][0] in names


def test_categories_are_the_text_that_the_held_out_rows_are_read_as(tmp_path: Path) -> None:
    """Otherwise a model is judged on categories that it has never seen: whole numbers with a gap were `7.0`."""
    frame = pd.DataFrame(
        {
            "text": ["a", None, "01"],
            "whole": [7, 8, 9],
            "gap": [7.0, None, 9.0],
            "half": [7.5, 8.0, None],
            "flag": [True, False, True],
            "flag_gap": [True, None, False],
            "category": pd.Categorical(["a", None, "b"]),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    names = [str(name) for name in frame]
    trained = model_inputs(pd.read_parquet(tmp_path / "rows.parquet"), names, names)
    manifest = Manifest(name="m", inputs=tuple(Tensor(name=name, datatype="BYTES") for name in names))
    (body,) = requests(load_rows((tmp_path / "rows.parquet").read_bytes(), "rows.parquet"), manifest)
    assert {tensor["name"]: tensor["data"] for tensor in body["inputs"]} == trained.to_dict("list")
    assert trained["gap"].tolist() == ["7", None, "9"]


def test_serving_versions_must_equal_training_versions(requirements: Path) -> None:
    lock = requirements.read_text()
    check_requirements(lock, "sklearn.svm.SVC")
    other = lock.replace("scikit-learn==", "scikit-learn==0.")
    with pytest.raises(InputError, match=r"scikit-learn .* is installed, 0\..* is pinned"):
        check_requirements(other, "sklearn.svm.SVC")


def test_label_noise_keeps_each_class_as_frequent() -> None:
    labels = pd.Series([0] * 800 + [1] * 200)
    noisy = add_noise(labels, 0.5, seed=3)
    assert noisy.sum() == labels.sum()
    assert 100 < (noisy != labels).sum() < 250
    assert noisy.equals(add_noise(labels, 0.5, seed=3))
