"""`save_model` writes artifacts that are served with the answers of the model in memory, for each kind of estimator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, IsolationForest, RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from gitops_ml import save_model
from gitops_ml.errors import InputError
from gitops_ml.serving.inspection.equal_answers import rehearse
from tests.saving.served import LOCK, manifest_of, served

ROOT = Path(__file__).parents[2]
ROWS = 90
ANSWERS = ("predict", "predict_proba")
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": RANDOM.normal(40, 9, ROWS),
        "visits": RANDOM.integers(0, 9, ROWS),
        "city": RANDOM.choice(["Oslo", "Rome", "Lima"], ROWS),
        "member": RANDOM.random(ROWS) > 0.5,
    }
)
GAPS = FRAME.assign(
    age=FRAME["age"].where(FRAME.index % 7 != 3), city=FRAME["city"].where(FRAME.index % 5 != 2).astype(object)
)
NUMBERS = FRAME[["age", "visits"]]
LABEL = pd.Series((FRAME["age"] + FRAME["visits"] > 44).astype(int), name="late")
WORDS = pd.Series(np.where(LABEL == 1, "high", "low"), name="risk")
THREE = pd.Series(FRAME["city"], name="city")
AMOUNT = pd.Series(FRAME["age"] * 2.5 + FRAME["visits"], name="amount")
TEXTS = pd.Series(RANDOM.choice(["late train", "good food", "late food", "good train here"], ROWS), name="review")

COLUMNS = ColumnTransformer(
    [
        ("number", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "visits"]),
        # NaN, as pandas reads a missing text, is another category than None.
        (
            "category",
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
            ["city"],
        ),
    ],
    remainder="passthrough",
)

MODELS: dict[str, tuple[Any, Any, Any]] = {
    "binary": (LogisticRegression(), NUMBERS, LABEL),
    "text labels": (RandomForestClassifier(4, random_state=0), NUMBERS, WORDS),
    "boolean labels": (LogisticRegression(), NUMBERS, LABEL == 1),
    "many classes": (KNeighborsClassifier(3), NUMBERS, THREE),
    "decision function": (RidgeClassifier(), NUMBERS, WORDS),
    "decision function of many classes": (LinearSVC(random_state=0), NUMBERS, THREE),
    "columns with gaps": (make_pipeline(COLUMNS, LogisticRegression()), GAPS, LABEL),
    "regression": (HistGradientBoostingRegressor(max_iter=5), NUMBERS, AMOUNT),
    "transformed target": (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), NUMBERS, AMOUNT),
    "several targets": (LinearRegression(), NUMBERS, np.column_stack([AMOUNT, AMOUNT * 2])),
    "several labels": (MultiOutputClassifier(LogisticRegression()), NUMBERS, np.column_stack([LABEL, 1 - LABEL])),
    "texts": (make_pipeline(TfidfVectorizer(), LogisticRegression()), TEXTS, LABEL),
    "texts in a list": (make_pipeline(CountVectorizer(), LogisticRegression()), TEXTS.tolist(), LABEL),
    "column": (LogisticRegression(), FRAME[["age"]].to_numpy(), LABEL),
    "rows in lists": (LogisticRegression(), NUMBERS.to_numpy().tolist(), LABEL),
    "array": (LogisticRegression(), NUMBERS.to_numpy(), LABEL.to_numpy()),
    "float32 array": (GaussianProcessRegressor(), NUMBERS.to_numpy(np.float32)[:20], AMOUNT.to_numpy()[:20]),
    "array of texts": (make_pipeline(OrdinalEncoder(), LogisticRegression()), FRAME[["city"]].to_numpy(object), LABEL),
    "sparse": (LogisticRegression(), csr_matrix(NUMBERS.to_numpy()), LABEL.to_numpy()),
    "calibrated": (CalibratedClassifierCV(RidgeClassifier(), cv=2), NUMBERS, LABEL),
    "stacked": (StackingClassifier([("ridge", RidgeClassifier())], LogisticRegression(), cv=2), NUMBERS, LABEL),
    "transformer": (OneHotEncoder(sparse_output=False), FRAME[["city"]], None),
    "clusters": (KMeans(3, n_init=1, random_state=0), NUMBERS, None),
    "outliers": (IsolationForest(n_estimators=5, random_state=0), NUMBERS, None),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_served_model_answers_as_the_model_in_memory(tmp_path: Path, kind: str) -> None:
    estimator, rows, labels = MODELS[kind]
    model = estimator.fit(rows, labels)
    save_model(model, tmp_path / "model", rows, labels, name="risk", requirements=LOCK)
    answers = served(tmp_path / "model", rows)
    assert answers
    for name, values in answers.items():
        expected = np.asarray(getattr(model, name)(rows))
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(values, expected, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(values, expected, err_msg=name)
    assert manifest_of(tmp_path / "model").format == "skops"
    assert not (list(tmp_path.glob(".*")))


def saved(tmp_path: Path, kind: str, **options: Any) -> Any:
    estimator, rows, labels = MODELS[kind]
    model = estimator.fit(rows, labels)
    return save_model(model, tmp_path / "model", rows, labels, name="risk", requirements=LOCK, **options).manifest


def test_the_manifest_says_what_the_training_showed(tmp_path: Path) -> None:
    manifest = saved(tmp_path, "columns with gaps", times=pd.date_range("2024-01-01", periods=ROWS), positive=1)
    assert [(tensor.name, tensor.datatype) for tensor in manifest.inputs] == [
        ("age", "FP64"),
        ("visits", "INT64"),
        ("city", "BYTES"),
        ("member", "BOOL"),
    ]
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in manifest.outputs] == [
        ("predict", "INT64", (-1,)),
        ("predict_proba", "FP64", (-1, 2)),
    ]
    assert (manifest.task, manifest.classes, manifest.positive) == ("classification", (0, 1), 1)
    assert manifest.target.name == "late"
    assert (manifest.training.from_, manifest.training.rows) == ("2024-01-01T00:00:00+00:00", ROWS)
    assert manifest == manifest_of(tmp_path / "model")
    histograms = json.loads((tmp_path / "model" / "reference.json").read_bytes())["features"]
    assert histograms["age"]["missing"] == int(GAPS["age"].isna().sum())
    assert set(histograms["city"]["counts"]) == {"Oslo", "Rome", "Lima"}


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("several labels", {"predict": ("INT64", (-1, 2))}),
        ("array", {"predict": ("INT64", (-1,)), "predict_proba": ("FP64", (-1, 2))}),
        ("many classes", {"predict": ("BYTES", (-1,)), "predict_proba": ("FP64", (-1, 3))}),
        ("decision function", {"predict": ("BYTES", (-1,)), "decision_function": ("FP64", (-1,))}),
        ("transformer", {"transform": ("FP64", (-1, 3))}),
    ],
)
def test_outputs_are_those_that_the_estimator_has(tmp_path: Path, kind: str, outputs: dict[str, Any]) -> None:
    manifest = saved(tmp_path, kind)
    assert {tensor.name: (tensor.datatype, tensor.shape) for tensor in manifest.outputs} == outputs


def test_outputs_can_be_chosen(tmp_path: Path) -> None:
    assert [tensor.name for tensor in saved(tmp_path, "clusters", outputs=["transform"]).outputs] == ["transform"]


@pytest.mark.parametrize("kind", ["columns with gaps", "stacked", "texts"])
def test_equal_models_give_equal_bytes(tmp_path: Path, kind: str) -> None:
    saved(tmp_path / "first", kind)
    saved(tmp_path / "second", kind)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / folder / "model").iterdir()}
        for folder in ("first", "second")
    )
    assert first == second


def test_an_artifact_is_replaced_and_other_folders_are_not(tmp_path: Path) -> None:
    saved(tmp_path, "binary")
    (tmp_path / "model" / "stale").touch()
    saved(tmp_path, "array")
    assert not (tmp_path / "model" / "stale").exists()
    (tmp_path / "model" / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"no manifest\.json"):
        saved(tmp_path, "binary")


def test_columns_are_served_in_the_fitted_order(tmp_path: Path) -> None:
    model = LogisticRegression().fit(NUMBERS, LABEL)
    save_model(model, tmp_path / "model", NUMBERS[["visits", "age"]], name="risk", requirements=LOCK)
    assert [tensor.name for tensor in manifest_of(tmp_path / "model").inputs] == ["age", "visits"]


class Wobbly(LogisticRegression):  # type: ignore[misc]  # scikit-learn is published without types
    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        return np.random.default_rng().random((len(X), 2))


class Unaware(BaseEstimator):  # type: ignore[misc]  # scikit-learn is published without types
    def predict(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        return np.zeros(len(X))


REFUSED: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "other columns": (
        lambda: (LogisticRegression().fit(NUMBERS, LABEL), FRAME[["age", "city"]]),
        "it lacks visits; the model was not fitted to city",
    ),
    "no names": (lambda: (LogisticRegression().fit(NUMBERS, LABEL), NUMBERS.to_numpy()), "has no names of columns"),
    "other width": (
        lambda: (LogisticRegression().fit(NUMBERS.to_numpy(), LABEL), FRAME[["age"]].to_numpy()),
        "X has 1 columns, and the model was fitted to 2",
    ),
    "times": (
        lambda: (Unaware(), FRAME.assign(since=pd.Timestamp("2024-01-01"))),
        "column 'since' holds datetime64 values: a column holds booleans, integers, floats or texts",
    ),
    "a class of the script": (lambda: (Wobbly().fit(NUMBERS, LABEL), NUMBERS), "answers differently at each call"),
    "sparse output": (lambda: (OneHotEncoder().fit(FRAME[["city"]]), FRAME[["city"]]), "gives a sparse matrix"),
    "not fitted": (lambda: (LogisticRegression(), NUMBERS), "NotFittedError"),
    "no rows": (lambda: (LogisticRegression().fit(NUMBERS, LABEL), NUMBERS[:0]), "X has no rows"),
    "no estimator": (lambda: (object(), NUMBERS), "has neither predict nor transform"),
    "texts for columns": (lambda: (LogisticRegression().fit(NUMBERS, LABEL), AMOUNT), "has no names of columns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_served_is_refused_and_nothing_is_written(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    model, rows = make()
    with pytest.raises(InputError) as refused:
        save_model(model, tmp_path / "model", rows, name="risk", requirements=LOCK)
    assert message in str(refused.value)
    assert refused.value.fix
    assert not list(tmp_path.iterdir())


def test_a_stored_model_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "binary")
    other = LogisticRegression().fit(NUMBERS, 1 - LABEL)
    with pytest.raises(InputError, match=r"predict of the stored model 'risk' differs .* such as \[1\] for \[0\]"):
        rehearse(tmp_path / "model", NUMBERS, lambda rows: {name: getattr(other, name)(rows) for name in ANSWERS})


def test_free_text_is_in_no_histogram(tmp_path: Path) -> None:
    rows = NUMBERS.assign(note=[f"patient {number}" for number in range(ROWS)])
    columns = ColumnTransformer([("words", CountVectorizer(), "note")], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(rows, LABEL)
    save_model(model, tmp_path / "model", rows, name="risk", requirements=LOCK)
    assert set(json.loads((tmp_path / "model" / "reference.json").read_bytes())["features"]) == {"age", "visits"}


def test_the_package_is_light_to_import() -> None:
    code = "import sys, gitops_ml; sys.exit(len({'numpy', 'pandas', 'sklearn', 'msgspec'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FULL = """
import resource, sys
from pathlib import Path
from sklearn.neighbors import KNeighborsClassifier
from tests.saving.test_save_model import LABEL, LOCK, NUMBERS
from gitops_ml import save_model
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
save_model(KNeighborsClassifier().fit(NUMBERS, LABEL), sys.argv[1], NUMBERS, LABEL, name="m", requirements=LOCK)
"""


def test_a_full_disk_leaves_the_artifact_as_it_was(tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does, in the middle of a file."""
    folder = tmp_path / "model"
    save_model(LogisticRegression().fit(NUMBERS, LABEL), folder, NUMBERS, LABEL, name="m", requirements=LOCK)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ran = subprocess.run([sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode != 0 and "cannot be written" in ran.stderr and "df -h" in ran.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing half-written is left"
