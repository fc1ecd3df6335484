"""Models of XGBoost and LightGBM, trained with their own library, are served with equal answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from gitops_ml import save_model
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.prediction.loader import load_model
from tests.saving.served import LOCK, served
from tests.serving.artifacts import write_artifact

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"age": RANDOM.normal(40, 9, 300), "visits": RANDOM.integers(0, 9, 300).astype(float)})
ROWS.loc[::7, "age"] = np.nan
SIDE = (ROWS["visits"] + RANDOM.normal(size=300) > 4).astype(int)
THIRD = np.minimum(ROWS["visits"] // 3, 2).astype(int)
AMOUNT = ROWS["visits"] * 2.5 + RANDOM.normal(size=300)
INPUTS = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in ROWS]
EXAMPLE = {"inputs": [{**tensor, "shape": [1], "data": [3.0]} for tensor in INPUTS]}


def native(folder: Path, library: str, file: str, classes: list[Any] | None, **manifest: Any) -> Path:
    labels = "BYTES" if classes and isinstance(classes[0], str) else "INT64" if classes else "FP64"
    outputs: list[dict[str, Any]] = [{"name": "predict", "datatype": labels, "shape": [-1]}]
    if classes:
        outputs.append({"name": "predict_proba", "datatype": "FP64", "shape": [-1, len(classes)]})
    content = {
        "task": "classification" if classes else "regression",
        "format": library,
        "file": file,
        "classes": classes,
        "inputs": INPUTS,
        "outputs": outputs,
        "target": None,
    }
    write_artifact(folder, **content | manifest)
    (folder / "example.json").write_text(json.dumps(EXAMPLE))
    return folder


KINDS: dict[str, tuple[dict[str, Any], Any, list[Any] | None]] = {
    "two classes": ({"objective": "binary"}, SIDE, ["no", "yes"]),
    "three classes": ({"objective": "multiclass", "num_class": 3}, THIRD, [10, 20, 30]),
    "a number": ({"objective": "regression"}, AMOUNT, None),
}
OF_XGBOOST = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}


def check(answers: dict[str, Any], expected: Any, classes: list[Any] | None) -> None:
    if classes is None:
        np.testing.assert_allclose(answers["predict"], expected, rtol=1e-6)
        return
    probabilities = np.column_stack([1 - expected, expected]) if expected.ndim == 1 else expected
    np.testing.assert_allclose(answers["predict_proba"], probabilities, rtol=1e-6)
    assert answers["predict"].tolist() == [classes[number] for number in probabilities.argmax(axis=1)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_native_file_of_lightgbm(tmp_path: Path, kind: str) -> None:
    params, labels, classes = KINDS[kind]
    booster = lightgbm.train({**params, "verbose": -1}, lightgbm.Dataset(ROWS, labels), 5)
    booster.save_model(native(tmp_path, "lightgbm", "model.txt", classes) / "model.txt")
    check(served(tmp_path, ROWS), booster.predict(ROWS), classes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", ["model.json", "model.ubj"])
def test_a_native_file_of_xgboost(tmp_path: Path, kind: str, file: str) -> None:
    params, labels, classes = KINDS[kind]
    given = {**params, "objective": OF_XGBOOST[params["objective"]], "base_score": 0.5}
    booster = xgboost.train(given, xgboost.DMatrix(ROWS, labels), 5)
    booster.save_model(native(tmp_path, "xgboost", file, classes) / file)
    check(served(tmp_path, ROWS), booster.predict(xgboost.DMatrix(ROWS)), classes)


def test_a_booster_of_an_array_takes_a_matrix_and_the_best_trees_answer(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=2, learning_rate=1.0)
    values = ROWS.to_numpy()
    model.fit(values[:200], SIDE[:200], eval_set=[(values[200:], SIDE[200:])], verbose=False)
    assert model.best_iteration < 150
    inputs = [{"name": "X", "datatype": "FP64", "shape": [-1, 2]}]
    native(tmp_path, "xgboost", "model.json", [0, 1], inputs=inputs)
    (tmp_path / "example.json").write_text(json.dumps({"inputs": [{**inputs[0], "shape": [1, 2], "data": [1.0, 2.0]}]}))
    model.save_model(tmp_path / "model.json")
    answers = served(tmp_path, values)
    np.testing.assert_allclose(answers["predict_proba"], model.predict_proba(values), rtol=1e-6)
    np.testing.assert_array_equal(answers["predict"], model.predict(values))


def test_columns_are_put_into_the_boosters_order(tmp_path: Path) -> None:
    booster = lightgbm.train({"objective": "regression", "verbose": -1}, lightgbm.Dataset(ROWS, AMOUNT), 5)
    native(tmp_path, "lightgbm", "model.txt", None, inputs=INPUTS[::-1])
    booster.save_model(tmp_path / "model.txt")
    check(served(tmp_path, ROWS), booster.predict(ROWS), None)


WRAPPERS: dict[str, Callable[[], Any]] = {
    "xgboost classifier": lambda: xgboost.XGBClassifier(n_estimators=5).fit(ROWS, SIDE),
    "xgboost regressor": lambda: xgboost.XGBRegressor(n_estimators=5).fit(ROWS, AMOUNT),
    "lightgbm classifier": lambda: lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(ROWS, SIDE),
    "lightgbm regressor": lambda: lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(ROWS, AMOUNT),
}


@pytest.mark.filterwarnings("ignore:stored as a pickle")
@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapper_for_scikit_learn(tmp_path: Path, kind: str) -> None:
    model, library = WRAPPERS[kind](), {"xgboost": "xgboost-cpu", "lightgbm": "lightgbm"}[kind.split()[0]]
    lock = tmp_path / "requirements.txt"
    versions = {"xgboost-cpu": xgboost.__version__, "lightgbm": lightgbm.__version__}
    lock.write_text(LOCK.read_text() + f"{library}=={versions[library]} --hash=sha256:{'0' * 64}\n")
    save_model(model, tmp_path / "model", ROWS, name="risk", requirements=lock)
    for name, values in served(tmp_path / "model", ROWS).items():
        np.testing.assert_allclose(values, getattr(model, name)(ROWS), rtol=1e-6)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"inputs": [{**INPUTS[0], "datatype": "BYTES"}, INPUTS[1]]}, "input 'age' is BYTES"),
    "columns": ({"inputs": INPUTS[:1]}, r"it has 1 columns, the booster takes 2: \['visits'\]"),
    "outputs": (
        {"outputs": [{"name": "transform", "datatype": "FP64", "shape": [-1]}]},
        "output 'transform' is none of predict",
    ),
    "classes": ({"classes": [0, 1]}, "the objective 'regression' gives no probability for each class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    manifest, message = dict(REFUSED[case][0]), REFUSED[case][1]
    native(tmp_path, "lightgbm", "model.txt", manifest.pop("classes", None), **manifest)
    booster = lightgbm.train({"objective": "regression", "verbose": -1}, lightgbm.Dataset(ROWS, AMOUNT), 2)
    booster.save_model(tmp_path / "model.txt")
    with pytest.raises(ModelRejected, match=message):
        load_model(tmp_path)


def test_pandas_categories_are_refused(tmp_path: Path) -> None:
    rows = ROWS.assign(visits=ROWS["visits"].astype(int).astype("category"))
    booster = lightgbm.train({"objective": "regression", "verbose": -1}, lightgbm.Dataset(rows, AMOUNT), 2)
    booster.save_model(native(tmp_path, "lightgbm", "model.txt", None) / "model.txt")
    with pytest.raises(ModelRejected, match="trained on pandas' categories"):
        load_model(tmp_path)
    trees = xgboost.train({}, xgboost.DMatrix(rows, AMOUNT, enable_categorical=True), 2)
    trees.save_model(native(tmp_path / "x", "xgboost", "model.json", None) / "model.json")
    with pytest.raises(ModelRejected, match="trained on pandas' categories"):
        load_model(tmp_path / "x")


@pytest.mark.parametrize(("library", "file"), [("xgboost", "model.json"), ("lightgbm", "model.txt")])
def test_a_corrupt_file_is_refused(tmp_path: Path, library: str, file: str) -> None:
    (native(tmp_path, library, file, None) / file).write_bytes(b"{\0broken")
    with pytest.raises(ModelRejected, match="cannot be loaded"):
        load_model(tmp_path)
