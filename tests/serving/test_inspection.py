"""What a model says of itself becomes a manifest; what a manifest says otherwise is told, all of it at once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from gitops_ml.artifacts.skops_file import skops_bytes
from gitops_ml.errors import GitopsError, InputError, ModelRejected
from gitops_ml.serving.inspection.__main__ import main
from gitops_ml.serving.inspection.check import check
from gitops_ml.serving.inspection.describe import describe
from gitops_ml.serving.prediction.estimator import takes_texts

RANDOM = np.random.default_rng(0)
COUNT = 60
FRAME = pd.DataFrame(
    {
        "age": RANDOM.normal(40, 9, COUNT),
        "visits": RANDOM.integers(0, 9, COUNT),
        "city": RANDOM.choice(["Oslo", "Rome"], COUNT),
        "review": RANDOM.choice(["late train", "good food"], COUNT),
    }
)
SIDE = (FRAME["visits"] > 4).astype(int)
NUMBERS = FRAME[["age", "visits"]]
COLUMNS = ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough")
FITTED: dict[str, tuple[Any, list[str], list[str]]] = {
    "classifier": (
        RandomForestClassifier(3, random_state=0).fit(NUMBERS, SIDE),
        ["age FP64 [-1]", "visits INT64 [-1]"],
        ["predict INT64 [-1]", "predict_proba FP64 [-1, 2]"],
    ),
    "regressor": (
        LinearRegression().fit(NUMBERS, FRAME["age"]),
        ["age FP64 [-1]", "visits INT64 [-1]"],
        ["predict FP64 [-1]"],
    ),
    "text labels": (
        LogisticRegression().fit(NUMBERS, np.where(SIDE, "high", "low")),
        ["age FP64 [-1]", "visits INT64 [-1]"],
        ["predict BYTES [-1]", "predict_proba FP64 [-1, 2]"],
    ),
    "labels of numpy's own": (
        LogisticRegression().fit(
            NUMBERS, pd.Series([np.str_("high" if side else "low") for side in SIDE], dtype=object)
        ),
        ["age FP64 [-1]", "visits INT64 [-1]"],
        ["predict BYTES [-1]", "predict_proba FP64 [-1, 2]"],
    ),
    "columns of two kinds": (
        make_pipeline(COLUMNS, LogisticRegression()).fit(FRAME[["age", "city"]], SIDE),
        ["age FP64 [-1]", "city BYTES [-1]"],
        ["predict INT64 [-1]", "predict_proba FP64 [-1, 2]"],
    ),
    "texts": (
        make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(FRAME["review"], SIDE),
        ["review BYTES [-1]"],
        ["predict INT64 [-1]", "predict_proba FP64 [-1, 2]"],
    ),
    "an array": (
        LogisticRegression().fit(NUMBERS.to_numpy(), SIDE),
        ["X FP64 [-1, 2]"],
        ["predict INT64 [-1]", "predict_proba FP64 [-1, 2]"],
    ),
    "several targets": (
        MultiOutputRegressor(LinearRegression()).fit(NUMBERS, NUMBERS),
        ["age FP64 [-1]", "visits INT64 [-1]"],
        ["predict FP64 [-1, 2]"],
    ),
    "a transformer": (
        StandardScaler().fit(NUMBERS),
        ["age FP64 [-1]", "visits INT64 [-1]"],
        ["transform FP64 [-1, 2]"],
    ),
}


def column(values: pd.Series[Any]) -> dict[str, Any]:
    kinds = {"f": "float", "i": "integer", "b": "boolean"}
    data = [None if isinstance(value, float) and math.isnan(value) else value for value in values.tolist()]
    return {"kind": kinds.get(values.dtype.kind, "text"), "data": data}


def sample(frame: pd.DataFrame, name: str = "data/rows.csv") -> dict[str, Any]:
    return {"name": name, "columns": {str(key): column(frame[key]) for key in frame}}


def job(**more: Any) -> dict[str, Any]:
    given = {"name": "churn", "python": "3.11", "format": "joblib", "file": "model.pkl", "samples": [sample(FRAME)]}
    return {**given, "columns": None, "target": None, "positive": None} | more


def described(folder: Path, model: Any, **more: Any) -> Any:
    """What is seen of a model; the folder is then the artifact that would be served."""
    joblib.dump(model, folder / "model.pkl")
    return describe(folder, job(**more))


def tensors(specs: Any) -> list[str]:
    return [f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs]


@pytest.mark.parametrize("kind", FITTED)
def test_a_model_says_what_it_takes_and_gives(kind: str, tmp_path: Path) -> None:
    model, inputs, outputs = FITTED[kind]
    columns = {"texts": ["review"], "an array": ["age", "visits"]}.get(kind)
    seen = described(tmp_path, model, columns=columns)
    assert tensors(seen.manifest.inputs) == inputs
    assert tensors(seen.manifest.outputs) == outputs
    assert seen.sample == "data/rows.csv"
    assert json.dumps(seen.as_dict())
    assert check(tmp_path)[0] == [], "what adopt writes is what check accepts"


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("named", [True, False])
def test_a_booster_says_what_it_takes_and_gives(library: str, named: bool, tmp_path: Path) -> None:
    rows = NUMBERS.astype(float) if named else NUMBERS.to_numpy(dtype=float)
    if library == "xgboost":
        file = "model.ubj"
        xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows, SIDE), 3).save_model(tmp_path / file)
    else:
        file = "model.txt"
        parameters = {"objective": "binary", "verbose": -1}
        lightgbm.train(parameters, lightgbm.Dataset(rows, SIDE), 3).save_model(tmp_path / file)
    seen = describe(tmp_path, job(format=library, file=file, columns=None if named else ["age", "visits"]))
    assert tensors(seen.manifest.inputs) == (["age FP64 [-1]", "visits FP64 [-1]"] if named else ["X FP64 [-1, 2]"])
    assert [spec.name for spec in seen.manifest.outputs] == ["predict", "predict_proba"]
    assert seen.manifest.classes == (0, 1) and "0 to 1" in seen.notes[0]
    assert check(tmp_path)[0] == []


def test_a_skops_file_names_the_types_that_a_person_has_to_review(tmp_path: Path) -> None:
    model = RandomForestClassifier(2, random_state=0).fit(NUMBERS, SIDE)
    (tmp_path / "model.skops").write_bytes(skops_bytes(model))
    seen = describe(tmp_path, job(format="skops", file="model.skops"))
    assert seen.manifest.format == "skops" and check(tmp_path)[0] == []


def test_the_label_is_the_one_column_whose_values_are_classes(tmp_path: Path) -> None:
    model = FITTED["classifier"][0]
    labelled = FRAME.assign(side=SIDE)
    seen = described(tmp_path, model, samples=[sample(labelled)])
    assert seen.manifest.target.name == "side" and "--target" in " ".join(seen.notes)
    twice = labelled.assign(other=1 - SIDE)
    assert described(tmp_path, model, samples=[sample(twice)]).manifest.target is None, "a guess is not written"
    assert described(tmp_path, model, samples=[sample(twice)], target="other").manifest.target.name == "other"


def test_the_sample_that_has_the_columns_is_taken(tmp_path: Path) -> None:
    others = sample(FRAME[["city"]], "data/other.csv")
    seen = described(tmp_path, FITTED["classifier"][0], samples=[others, sample(FRAME, "data/right.csv")])
    assert seen.sample == "data/right.csv"
    row = json.loads(seen.example)["inputs"][0]
    assert row["data"] == [FRAME["age"][0]]


def test_without_data_a_model_of_numbers_gets_zeros_and_another_asks_for_rows(tmp_path: Path) -> None:
    seen = described(tmp_path, FITTED["classifier"][0], samples=[])
    assert seen.sample is None and "zeros" in " ".join(seen.notes)
    for kind in ("columns of two kinds", "texts"):
        with pytest.raises(InputError, match="--sample FILE"):
            described(tmp_path, FITTED[kind][0], samples=[])


def test_of_two_columns_of_texts_the_one_with_the_classes_is_the_label(tmp_path: Path) -> None:
    moods = FRAME[["review"]].assign(mood=np.where(SIDE, "good", "bad"))
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(moods["review"], moods["mood"])
    seen = described(tmp_path, model, samples=[sample(moods)])
    assert tensors(seen.manifest.inputs) == ["review BYTES [-1]"] and seen.manifest.target.name == "mood"


class Dice(BaseEstimator):  # type: ignore[misc]
    """Answers differently at each call."""

    n_features_in_ = 2

    def predict(self, rows: Any) -> Any:
        return np.random.default_rng().normal(size=len(rows))


def test_a_model_that_answers_differently_at_each_call_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="answers differently at each call"):
        described(tmp_path, Dice(), columns=["age", "visits"])


def test_a_class_of_the_training_script_is_told_with_what_can_be_done(tmp_path: Path) -> None:
    joblib.dump(FITTED["classifier"][0], tmp_path / "model.pkl")
    content = (tmp_path / "model.pkl").read_bytes()
    (tmp_path / "model.pkl").write_bytes(content.replace(b"RandomForestClassifier", b"MandomForestClassifier"))
    with pytest.raises(ModelRejected, match="needs code that none of its packages has") as told:
        describe(tmp_path, job())
    assert "--pin NAME==VERSION" in told.value.fix and "MandomForestClassifier" in told.value.why


def test_a_file_that_holds_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="neither predict nor transform"):
        described(tmp_path, {"weights": [1, 2]})


class Formula:
    """Fitted results of another library than scikit-learn: they take a table, and name no columns."""

    def predict(self, rows: pd.DataFrame) -> pd.Series[float]:
        return rows["age"] * 2 + (rows["city"] == "Oslo")


def test_a_model_of_another_library_takes_the_columns_that_a_person_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not say which columns it takes") as told:
        described(tmp_path, Formula())
    assert "--columns A,B" in told.value.fix and "predictor class" in told.value.fix
    seen = described(tmp_path, Formula(), columns=["age", "city"])
    assert tensors(seen.manifest.inputs) == ["age FP64 [-1]", "city BYTES [-1]"]
    assert check(tmp_path)[0] == []


@pytest.mark.parametrize(("kinds", "texts"), [(["string"], True), (["2darray"], False), (["2darray", "string"], False)])
def test_an_estimator_of_before_scikit_learn_1_6_says_whether_it_takes_texts(kinds: list[str], texts: bool) -> None:
    class Old:
        def _get_tags(self) -> dict[str, Any]:
            return {"X_types": kinds}

    assert takes_texts(Old()) is texts


def edited(folder: Path, **keys: Any) -> list[GitopsError]:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    return check(folder)[0]


def test_every_mistake_of_a_manifest_is_told_at_once_with_what_is_right(tmp_path: Path) -> None:
    described(tmp_path, FITTED["classifier"][0])
    inputs = [
        {"name": "Age", "datatype": "FP64", "shape": [-1]},
        {"name": "visits", "datatype": "INT64", "shape": [-1]},
    ]
    outputs = [{"name": "prediction", "datatype": "INT64", "shape": [-1]}]
    mistakes = edited(tmp_path, inputs=inputs, outputs=outputs, classes=["no", "yes"])
    told = [str(mistake) for mistake in mistakes]
    assert len(told) == 3
    assert "prediction: RandomForestClassifier gives predict, predict_proba" in told[0]
    assert "lacks age and has Age" in told[1]
    assert "the model's classes are [0, 1]" in told[2]


def test_outputs_of_other_types_and_shapes_are_told_with_what_they_are(tmp_path: Path) -> None:
    described(tmp_path, FITTED["classifier"][0])
    outputs = [
        {"name": "predict", "datatype": "INT64", "shape": [-1, 4]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
    ]
    told = [str(mistake) for mistake in edited(tmp_path, outputs=outputs)]
    assert len(told) == 2 and "it is INT64 [-1]" in told[0] and "it is FP64 [-1, 2]" in told[1]


def test_columns_in_another_order_are_told(tmp_path: Path) -> None:
    described(tmp_path, FITTED["classifier"][0])
    inputs = json.loads((tmp_path / "manifest.json").read_text())["inputs"][::-1]
    assert "another order" in str(edited(tmp_path, inputs=inputs)[0])


def test_a_row_that_the_model_refuses_is_a_note_and_no_mistake(tmp_path: Path) -> None:
    described(tmp_path, FITTED["regressor"][0])
    mistakes, notes = check(tmp_path)
    assert mistakes == [] and "a row without age gets no answer" in notes[0]


def test_a_pickle_that_fails_when_it_is_loaded_ends_as_a_problem(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    joblib.dump(DummyClassifier().fit(NUMBERS, SIDE), model / "model.pkl")
    (model / "model.pkl").write_bytes(b"cos\nnothing_of_this_name\n.")
    (tmp_path / "job.json").write_text(json.dumps(job(do="describe")))
    assert main(tmp_path) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert "nothing_of_this_name" in result["problems"][0]["why"]
