"""Which file of an artifact is the model, and what an MLflow folder says beside it."""

from __future__ import annotations

import json

import pytest

from gitops_ml.adoption.stored_model import NoModelError, stored_model
from gitops_ml.errors import InputError, ModelRejected
from tests.unit.artifacts.test_mlflow_folder import SKLEARN

PINS = b"mlflow==2.19.0\nscikit-learn==1.6.1\ncloudpickle==3.0.0\n"
TABLE = {"dataframe_split": {"columns": ["age", "plan"], "data": [[41.5, "basic"], [20.0, "pro"]]}}
FUNCTION = b"flavors: {python_function: {loader_module: my.loader, python_version: 3.11.7}}\n"
SIGNATURE = b"""signature: {inputs: '[{"type": "double", "name": "age"}]'}"""
ARRAY = '{"type": "tensor", "name": "%s", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}'
ARRAYS = f"signature: {{inputs: '[{ARRAY % 'a'}, {ARRAY % 'b'}]'}}".encode()


def test_one_file_is_the_model() -> None:
    assert stored_model("m.pkl", {"m.pkl": b""}).format == "joblib"
    assert stored_model("m", {"m.onnx": b"", "labels.csv": b""}).file == "m.onnx"


def test_no_model_and_several_models_are_told_apart() -> None:
    with pytest.raises(NoModelError, match=r"none of \.pkl"):
        stored_model("data", {"data.csv": b""})
    with pytest.raises(InputError, match="holds several models") as told:
        stored_model("models", {"a.pkl": b"", "b.pkl": b""})
    assert told.value.fix.endswith("gitops-ml adopt models/a.pkl")


def test_a_folder_of_mlflow_names_its_pickle_its_versions_and_an_example() -> None:
    example = json.dumps(TABLE).encode()
    files = {"MLmodel": SKLEARN, "model.pkl": b"", "requirements.txt": PINS, "serving_input_example.json": example}
    stored = stored_model("out/iris", files)
    assert (stored.file, stored.format) == ("model.pkl", "joblib")
    assert stored.pins == {"scikit-learn": "1.6.1", "cloudpickle": "3.0.0"}, "it is loaded without MLflow"
    assert stored.example == {
        "age": {"kind": "float", "data": [41.5, 20.0]},
        "plan": {"kind": "text", "data": ["basic", "pro"]},
    }


def test_what_only_mlflow_can_load_takes_what_its_signature_says() -> None:
    stored = stored_model("out/own", {"MLmodel": FUNCTION + SIGNATURE, "requirements.txt": PINS})
    assert (stored.file, stored.format) == ("MLmodel", "mlflow")
    assert [tensor.name for tensor in stored.inputs] == ["age"] and stored.pins["mlflow-skinny"] == "2.19.0"


@pytest.mark.parametrize(
    ("content", "what", "fix"),
    [
        (FUNCTION, "does not say what its function takes", "signature="),
        (FUNCTION.replace(b"3.11", b"3.12") + SIGNATURE, r"Python 3\.12 pickled the function", "Python 3.11"),
        (FUNCTION + ARRAYS, "does not say what its function takes", "one array"),
    ],
)
def test_a_function_that_cannot_be_called_is_told_with_what_can_be_done(content: bytes, what: str, fix: str) -> None:
    with pytest.raises(ModelRejected, match=what) as told:
        stored_model("out/own", {"MLmodel": content})
    assert fix in told.value.fix


def test_a_folder_that_lacks_its_model_is_told() -> None:
    with pytest.raises(ModelRejected, match=r"lacks model\.pkl"):
        stored_model("out/iris", {"MLmodel": SKLEARN})
