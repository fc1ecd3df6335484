"""The transcripts of docs/adopt.md for formats other than a pickle, each with an image of its own packages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skops.io

from tests.e2e.adopting import Team

pytestmark = pytest.mark.timeout(600)


def test_a_folder_of_mlflow_is_served_without_mlflow(team: Callable[[str], Team]) -> None:
    iris = team("mlflow-folder")
    iris.follow("mlflow-folder")
    row, answer = iris.ask_example("iris", "serving/iris")
    model = skops.io.load(iris.folder / "iris/model.skops")
    assert answer["predict"].tolist() == model.predict(row[list(model.feature_names_in_)]).tolist()
    assert "mlflow" not in (iris.folder / "serving/iris/requirements.txt").read_text()


def test_an_onnx_graph(team: Callable[[str], Team]) -> None:
    tumours = team("onnx")
    tumours.follow("onnx")
    rows = pd.read_csv(tumours.folder / "tumours.csv").drop(columns="target").to_numpy("float32")[:5]
    tensor = {"name": "X", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    session = onnxruntime.InferenceSession(tumours.folder / "tumours.onnx", providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"X": rows})
    answer = tumours.ask("tumours", {"inputs": [tensor]})
    assert answer["label"].tolist() == labels.tolist()
    assert np.allclose(answer["probabilities"], probabilities, atol=1e-6)
