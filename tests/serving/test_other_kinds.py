"""An ONNX graph, and a model of any library behind a predictor class, are served with their own library's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from scipy.interpolate import PchipInterpolator
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from gitops_ml.serving.inspection.check import check
from gitops_ml.serving.inspection.describe import describe
from tests.saving.served import served
from tests.serving.artifacts import write_artifact

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"age": RANDOM.normal(40, 9, 60).astype("float32"), "plan": RANDOM.choice(["a", "b"], 60)})
POINTS = RANDOM.normal(size=(60, 3)).astype("float32")
ENCODER = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
OPTIONS = {LogisticRegression: {"zipmap": False}}
COLUMNS = [("age", FloatTensorType([None, 1])), ("plan", StringTensorType([None, 1]))]
MATRIX = [("X", FloatTensorType([None, 3]))]
GRAPHS: dict[str, tuple[Any, Any, Any]] = {
    "a matrix, classes": (LogisticRegression().fit(POINTS, POINTS[:, 0] > 0.2), POINTS, MATRIX),
    "a matrix, a number": (LinearRegression().fit(POINTS, POINTS[:, 1] * 3), POINTS, MATRIX),
    "columns of two kinds": (make_pipeline(ENCODER, LinearRegression()).fit(ROWS, ROWS["age"]), ROWS, COLUMNS),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_answers_as_in_onnxruntime(kind: str, tmp_path: Path) -> None:
    model, rows, types = GRAPHS[kind]
    options = OPTIONS if isinstance(model, LogisticRegression) else None
    graph = skl2onnx.convert_sklearn(model, initial_types=types, options=options, target_opset=18)
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())
    columns = {str(name): {"kind": "text" if name == "plan" else "float", "data": [*ROWS[name]]} for name in ROWS}
    samples = [{"name": "rows.csv", "columns": columns}] if rows is ROWS else []
    job = {"name": "m", "python": "3.11", "format": "onnx", "file": "model.onnx", "samples": samples, "columns": None}
    describe(tmp_path, job)
    assert check(tmp_path)[0] == []
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    feed = {"X": POINTS} if rows is POINTS else {name: ROWS[name].to_numpy().reshape(-1, 1) for name in ROWS}
    expected = dict(zip([node.name for node in session.get_outputs()], session.run(None, feed), strict=True))
    answers = served(tmp_path, rows)
    assert answers.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(answers[name].astype(float), values.astype(float), rtol=1e-6)


PREDICTOR = """
import numpy as np
from scipy.interpolate import PchipInterpolator

class Curve:
    def __init__(self, folder):
        points = np.load(folder / "points.npy")
        self.curve = PchipInterpolator(points[:, 0], points[:, 1])

    def predict(self, frame):
        values = self.curve(frame["dose"].to_numpy())
        return {"effect": values, "strong": values > 0.5}
"""


def test_a_model_of_any_library_is_served_by_a_predictor_class(tmp_path: Path) -> None:
    doses = np.linspace(0, 4, 9)
    np.save(tmp_path / "points.npy", np.column_stack([doses, 1 - np.exp(-doses)]))
    (tmp_path / "curve.py").write_text(PREDICTOR)
    dose = {"name": "dose", "datatype": "FP64", "shape": [-1]}
    outputs = [
        {"name": "effect", "datatype": "FP64", "shape": [-1]},
        {"name": "strong", "datatype": "BOOL", "shape": [-1]},
    ]
    write_artifact(
        tmp_path,
        task="regression",
        format="predictor",
        file=None,
        predictor="curve:Curve",
        classes=None,
        inputs=[dose],
        outputs=outputs,
        target=None,
    )
    (tmp_path / "example.json").write_text(json.dumps({"inputs": [{**dose, "shape": [1], "data": [1.5]}]}))
    assert check(tmp_path)[0] == []
    asked = pd.DataFrame({"dose": RANDOM.uniform(0, 4, 20)})
    expected = PchipInterpolator(doses, 1 - np.exp(-doses))(asked["dose"])
    answers = served(tmp_path, asked)
    np.testing.assert_allclose(answers["effect"], expected)
    assert answers["strong"].tolist() == (expected > 0.5).tolist()
