"""Models whose answers would be wrong in silence: they are fed as they were fitted, or refused before they serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.prediction.outputs import WrongOutputError, conform
from gitops_ml.serving.server import load_app
from tests.serving.artifacts import write_artifact
from tests.serving.conftest import IDENTITY

TEXTS = pd.Series(["cheap loans now", "meeting at noon", "win a prize now", "notes of the meeting"] * 10)
SPAM = np.array(["spam", "ham", "spam", "ham"] * 10)
TEXT = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
POINTS = np.random.default_rng(0).normal(size=(60, 2))
MATRIX = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]


def output(name: str, datatype: str, *width: int) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": [-1, *width]}]


def load(folder: Path, model: Any, example: dict[str, Any], **manifest: Any) -> Any:
    """The application of a model whose example has one row, as the server loads it."""
    write_artifact(folder, **{"format": "joblib", "file": "model.joblib", "classes": None, "target": None} | manifest)
    joblib.dump(model, folder / "model.joblib")
    (folder / "example.json").write_text(json.dumps(example))
    return load_app({**IDENTITY, "GITOPS_ML_MODEL_DIR": str(folder), "GITOPS_ML_ALLOW_PICKLE": "1"})[0]


def request(datatype: str, shape: list[int], data: list[Any], name: str = "x") -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}


POINT = request("FP64", [1, 2], [0.3, -0.2])


@pytest.mark.parametrize("vectorizer", [TfidfVectorizer(), CountVectorizer(), HashingVectorizer(n_features=64)])
@pytest.mark.parametrize("nested", [False, True])
def test_a_text_pipeline_is_fed_the_texts(tmp_path: Path, vectorizer: Any, nested: bool) -> None:
    steps = make_pipeline(vectorizer) if nested else vectorizer
    model = make_pipeline(steps, LogisticRegression()).fit(TEXTS, SPAM)
    example = request("BYTES", [1], [TEXTS[0]], "text")
    app = load(tmp_path / "m", model, example, inputs=TEXT, outputs=output("predict", "BYTES"))
    for texts in (TEXTS[:1], TEXTS[1:2], TEXTS):
        answer = app.inference.answer(json.dumps(request("BYTES", [len(texts)], list(texts), "text")).encode())
        assert json.loads(answer.response.body)["outputs"][0]["data"] == model.predict(texts).tolist()


class Lengths(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Iterates over its input, as a person's own transformer for texts may, without saying so."""

    def fit(self, x: Any, y: Any = None) -> Lengths:
        self.fitted_ = True
        return self

    def transform(self, x: Any) -> Any:
        return np.array([[len(text)] for text in x])


def test_a_model_that_takes_columns_for_rows_is_refused(tmp_path: Path) -> None:
    """It answers one row, from the name of the column; only several rows show it."""
    model = make_pipeline(Lengths(), LogisticRegression()).fit(TEXTS, SPAM)
    with pytest.raises(ModelRejected, match=r"'predict' of model 'flight-delay' \(LogisticRegression\).*for 3 rows"):
        load(
            tmp_path / "m",
            model,
            request("BYTES", [1], ["a"], "text"),
            inputs=TEXT,
            outputs=output("predict", "BYTES"),
        )


Y = POINTS @ [1.0, 2.0]
TWO = np.column_stack([Y > 0, POINTS[:, 0] > 0]).astype(int)
REFUSED: dict[str, tuple[Any, list[dict[str, Any]], str, str]] = {
    "regressor as INT64": (
        LinearRegression().fit(POINTS, Y),
        output("predict", "INT64"),
        "regression",
        "float64, such as .* declares INT64, .*declare FP64",
    ),
    "wider as narrower": (
        LinearRegression().fit(POINTS, Y),
        output("predict", "FP32"),
        "regression",
        "declares FP32, .*declare FP64",
    ),
    "probabilities of 0 and 1 as INT64": (
        DecisionTreeClassifier().fit(POINTS, Y > 0),
        output("predict_proba", "INT64", 2),
        "classification",
        "declares INT64, .*declare FP64",
    ),
    "labels too large": (
        LogisticRegression().fit(POINTS, np.where(Y > 0, 300, 400)),
        output("predict", "INT8"),
        "classification",
        "int64, such as .00, and the manifest declares INT8, .*declare INT64",
    ),
    "text as INT64": (
        LogisticRegression().fit(POINTS, np.where(Y > 0, "yes", "no")),
        output("predict", "INT64"),
        "classification",
        "declares INT64, .*declare BYTES",
    ),
    "two columns as one": (
        LogisticRegression().fit(POINTS, Y > 0),
        output("predict_proba", "FP64"),
        "classification",
        r"has shape \[1, 2\], and the manifest declares \[-1\]: declare \[-1, 2\]",
    ),
    "two answers a row as one": (
        LinearRegression().fit(POINTS, np.column_stack([Y, -Y])),
        output("predict", "FP64"),
        "regression",
        r"declare \[-1, 2\]",
    ),
    "a list of arrays": (
        MultiOutputClassifier(LogisticRegression()).fit(POINTS, TWO),
        output("predict_proba", "FP64", 2),
        "classification",
        r"'predict_proba' of .*MultiOutputClassifier\) is a list of 2 \(ndarray\); an output is one array",
    ),
    "a forest's list of arrays": (
        RandomForestClassifier(3).fit(POINTS, TWO),
        [*output("predict", "INT64", 2), *output("predict_proba", "FP64", 2)],
        "classification",
        "RandomForestClassifier.* is a list of 2",
    ),
    "sparse": (
        OneHotEncoder(handle_unknown="ignore").fit(POINTS.round()),
        output("transform", "FP64", -1),
        "regression",
        r"'transform' of .*OneHotEncoder\) is sparse \(csr_matrix\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_output_that_is_not_as_declared_is_refused_when_the_example_is_rehearsed(tmp_path: Path, case: str) -> None:
    model, outputs, task, message = REFUSED[case]
    with pytest.raises(ModelRejected, match=message) as refused:
        load(tmp_path / "m", model, POINT, inputs=MATRIX, outputs=outputs, task=task)
    assert "the model fails on its own example.json" in refused.value.what
    assert refused.value.fix == "correct `outputs` in the model's manifest.json"


@pytest.mark.parametrize(
    ("labels", "datatype"),
    [([1, 0], "INT8"), ([1.0, 0.0], "INT64"), ([True, False], "INT64"), ([1, 0], "BOOL"), ([1, 0], "FP32")],
)
def test_labels_may_be_declared_as_any_type_that_holds_them(tmp_path: Path, labels: list[Any], datatype: str) -> None:
    model = LogisticRegression().fit(POINTS, np.where(Y > 0, *labels))
    app = load(tmp_path / "m", model, POINT, inputs=MATRIX, outputs=output("predict", datatype), task="classification")
    answer = json.loads(app.inference.answer(json.dumps(POINT).encode()).response.body)
    assert answer["outputs"][0]["data"] == model.predict([[0.3, -0.2]]).tolist()


@pytest.mark.parametrize(
    ("value", "datatype"), [([1.0, np.nan], "INT64"), ([1.5, 2.0], "INT64"), ([1, 300], "INT8"), ([1, 2], "BOOL")]
)
def test_no_answer_is_cast_while_serving(value: list[Any], datatype: str) -> None:
    with pytest.raises(WrongOutputError, match=f"declares {datatype}"):
        conform(np.array(value), Tensor(name="predict", datatype=datatype), 2, "model 'm' (M)", labels=True)


def test_a_missing_text_is_null(tmp_path: Path) -> None:
    texts = conform(
        np.array(["a", None, np.nan], dtype=object), Tensor(name="predict", datatype="BYTES"), 3, "m", labels=True
    )
    assert texts.tolist() == ["a", None, None]


def test_a_model_of_another_scikit_learn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Pipeline = make_pipeline(LogisticRegression()).fit(POINTS, Y > 0)
    with monkeypatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.2.3")  # what an estimator writes into its state
        joblib.dump(model, tmp_path / "old.joblib")
    old = (tmp_path / "old.joblib").read_bytes()
    write_artifact(tmp_path / "m", format="joblib", file="model.joblib", inputs=MATRIX)
    (tmp_path / "m" / "model.joblib").write_bytes(old)
    with pytest.raises(ModelRejected) as refused:
        load_app({**IDENTITY, "GITOPS_ML_MODEL_DIR": str(tmp_path / "m"), "GITOPS_ML_ALLOW_PICKLE": "1"})
    assert "trained with scikit-learn 1.2.3" in refused.value.what
    assert f"this runtime has {sklearn.__version__}" in refused.value.why
    assert "scikit-learn==1.2.3" in refused.value.fix
