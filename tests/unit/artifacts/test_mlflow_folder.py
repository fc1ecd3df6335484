"""What an `MLmodel` says, as MLflow 2.19 and 3.17 wrote it; a malformed one is a verdict about this one model."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.artifacts.mlflow_example import example_request
from gitops_ml.artifacts.mlflow_folder import MAX_BYTES, MlflowModel, folder_pins, parse_mlmodel
from gitops_ml.clients.artifacts.mlmodel import read_mlmodel
from gitops_ml.errors import ModelRejected

SKLEARN = b"""\
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.6.1
mlflow_version: 2.19.0
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "age", "required": true}, {"type": "string",
    "name": "plan", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-11-27 04:20:03.780939'
"""
AGE, PLAN = Tensor(name="age", datatype="FP64"), Tensor(name="plan", datatype="BYTES")
PYFUNC = {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_version": "3.11.7"}}


def mlmodel(inputs: Any = None, outputs: Any = None, **flavors: Any) -> dict[str, Any]:
    signature = {"inputs": inputs and json.dumps(inputs), "outputs": outputs and json.dumps(outputs)}
    return {"flavors": flavors or PYFUNC, "signature": signature}


def array(dtype: str, *shape: int, **more: Any) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}, **more}


def test_a_model_of_scikit_learn_is_read_without_mlflow() -> None:
    assert read_mlmodel(SKLEARN) == MlflowModel(
        flavours=("python_function", "sklearn"),
        format="joblib",
        file="model.pkl",
        inputs=(AGE, PLAN),
        outputs=(Tensor(name="predict", datatype="INT64"),),
        python="3.11.7",
        scikit_learn="1.6.1",
        example="serving_input_example.json",
    )


def test_a_skops_file_keeps_the_types_to_review() -> None:
    content = SKLEARN.replace(b"cloudpickle", b"skops\n    skops_trusted_types: [a.B]").replace(b".pkl", b".skops")
    model = read_mlmodel(content)
    assert (model.format, model.file, model.trusted_types) == ("skops", "model.skops", ("a.B",))


@pytest.mark.parametrize("content", [SKLEARN.replace(b"code: null", b"code: code"), SKLEARN.replace(b"cloud", b"x")])
def test_mlflow_loads_code_beside_the_model_and_stores_that_we_do_not_know(content: bytes) -> None:
    model = read_mlmodel(content)
    assert (model.format, model.file) == ("mlflow", "MLmodel")


SIGNATURES: dict[str, tuple[list[dict[str, Any]], tuple[Tensor, ...]]] = {
    "types": (
        [{"type": kind, "name": kind} for kind in ("boolean", "integer", "long", "float", "double")],
        tuple(
            Tensor(name=name, datatype=datatype)
            for name, datatype in zip(
                ("boolean", "integer", "long", "float", "double"),
                ("BOOL", "INT32", "INT64", "FP32", "FP64"),
                strict=True,
            )
        ),
    ),
    "an array": ([array("float32", -1, 4)], (Tensor(name="X", datatype="FP32", shape=(-1, 4)),)),
    "columns without names": ([{"type": "double"}] * 2, (Tensor(name="X", datatype="FP64", shape=(-1, 2)),)),
    "texts": ([array("object", -1), array("uint8", -1, name="n")][:1], (Tensor(name="X", datatype="BYTES"),)),
    "named arrays": (
        [array("<U3", -1, name="a"), array("bool", -1, name="b")],
        (Tensor(name="a", datatype="BYTES"), Tensor(name="b", datatype="BOOL")),
    ),
    "numbers for names": ([{"type": "long", "name": 0}], (Tensor(name="0", datatype="INT64"),)),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_signature_is_read_as_tensors(case: str) -> None:
    columns, tensors = SIGNATURES[case]
    model = parse_mlmodel(mlmodel(columns, columns))
    assert (model.format, model.inputs) == ("mlflow", tensors)
    assert model.outputs == tuple(
        Tensor(name=name if name != "X" else "predict", datatype=tensor.datatype, shape=tensor.shape)
        for tensor in tensors
        for name in [tensor.name]
    )


def test_a_model_without_a_signature_has_no_tensors() -> None:
    model = parse_mlmodel({"flavors": PYFUNC})
    assert (model.inputs, model.outputs, model.example) == (None, None, None)


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": (None, "Expected `object`, got `null`"),
    "no flavours": ({"run_id": "a"}, "missing required field `flavors`"),
    "a flavour of Java": (
        mlmodel(mleap={"mleap_version": "1"}),
        "no flavour that the model server loads: it has mleap",
    ),
    "a list": (mlmodel(sklearn=[]), "Expected `object | null`, got `array`"),
    "outside": (mlmodel(sklearn={"pickled_model": "../model.pkl"}), "'../model.pkl' is outside the folder"),
    "absolute": (mlmodel(sklearn={"pickled_model": "/model.pkl"}), "'/model.pkl' is outside the folder"),
    "no JSON": ({"flavors": PYFUNC, "signature": {"inputs": "[{"}}, "`signature.inputs`: Input data was truncated"),
    "deep": ({"flavors": PYFUNC, "signature": {"inputs": "[" * 9999}}, "`signature.inputs`"),
    "no columns": (mlmodel([], None) | {"signature": {"inputs": "[]"}}, "`signature.inputs` has no column"),
    "two names": (mlmodel([{"type": "long", "name": "a"}] * 2), "`signature.inputs` has two of 'a'"),
    "mixed": (mlmodel([{"type": "long"}, {"type": "string"}]), "columns of several types, and no names"),
    "times": (mlmodel([{"type": "datetime", "name": "at"}]), "`signature.inputs` of the MLmodel: 'at' is datetime"),
    "lists": (mlmodel(None, [{"type": "array", "items": {}, "name": "a"}]), "'a' is array"),
    "one row only": (mlmodel([array("float64", 1, 4)]), r"'X' is float64 of shape \[1, 4\]"),
    "complex numbers": (mlmodel([array("complex128", -1)]), r"'X' is complex128 of shape \[-1\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_or_foreign_mlmodel_is_rejected(case: str) -> None:
    document, message = REFUSED[case]
    with pytest.raises(ModelRejected, match=message):
        parse_mlmodel(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"flavors: {", "MLmodel:2 is not valid YAML"),
        (b"\xff", "is not valid YAML"),
        (b"a: " + b"[" * 99 + b"]" * 99, "MLmodel:1"),
        (b"#" * (MAX_BYTES + 1), "has 1,048,577 bytes: 1,048,576 are allowed"),
        (b"", "Expected `object`, got `null`"),
    ],
)
def test_text_that_is_no_mlmodel_is_rejected(content: bytes, message: str) -> None:
    with pytest.raises(ModelRejected, match=message):
        read_mlmodel(content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["flavors", "sklearn"]), inner),
    max_leaves=4,
)


@settings(max_examples=30)
@given(flavour=VALUES, inputs=VALUES, example=VALUES)
def test_anything_at_all_is_read_or_rejected(flavour: Any, inputs: Any, example: Any) -> None:
    document = {
        "flavors": {"python_function": PYFUNC["python_function"], "sklearn": flavour},
        "signature": {"inputs": json.dumps(inputs)},
        "saved_input_example_info": example,
    }
    with contextlib.suppress(ModelRejected):
        assert parse_mlmodel(document).flavours == ("python_function", "sklearn")


def test_requirements_leave_out_mlflow_where_it_is_not_needed() -> None:
    text = "mlflow==2.19.0\ncloudpickle==3.1.3  # a\n\nscikit-learn==1.7.0; python_version < '4'\npandas[all]==2.3.3"
    assert folder_pins(read_mlmodel(SKLEARN), text) == {
        "cloudpickle": "3.1.3",
        "pandas": "2.3.3",
        "scikit-learn": "1.6.1",
    }
    assert folder_pins(parse_mlmodel(mlmodel()), "mlflow[gateway]==3.17.2\npandas==3.0.0") == {
        "mlflow-skinny": "3.17.2",
        "pandas": "3.0.0",
    }


def test_requirements_that_pin_nothing_are_named() -> None:
    with pytest.raises(ModelRejected, match=r"does not pin 'pandas>=2', '-e \.', 'git\+https://a/b'"):
        folder_pins(read_mlmodel(SKLEARN), "mlflow==2.19.0\npandas>=2\n-e .\ngit+https://a/b")


def test_the_input_example_becomes_a_request() -> None:
    split = {"dataframe_split": {"columns": ["plan", "age"], "data": [["a", 1.5], ["b", None]]}}
    assert example_request(json.dumps(split).encode(), (AGE, PLAN)) == {
        "inputs": [
            {"name": "age", "datatype": "FP64", "shape": [2], "data": [1.5, None]},
            {"name": "plan", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
        ]
    }
    matrix = (Tensor(name="X", datatype="FP64", shape=(-1, 2)),)
    expected = {"inputs": [{"name": "X", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}]}
    assert example_request(b'{"inputs": [[1, 2], [3, 4]]}', matrix) == expected
    assert example_request(b'{"dataframe_split": {"columns": [0, 1], "data": [[1, 2], [3, 4]]}}', matrix) == expected
    named = example_request(b'{"inputs": {"age": [1.0], "plan": ["a"]}}', (AGE, PLAN))
    assert named and [tensor["data"] for tensor in named["inputs"]] == [[1.0], ["a"]]


@pytest.mark.parametrize(
    "content",
    [
        b"[",
        b"{}",
        b'{"inputs": [[1, 2, 3]]}',
        b'{"inputs": {"age": [1]}}',
        b'{"dataframe_split": {"columns": ["age", "plan"], "data": [[1]]}}',
        b'{"dataframe_split": {"columns": ["age", "plan"], "data": []}}',
        b'{"inputs": ' + b"[" * 9999,
    ],
)
def test_an_example_that_does_not_fit_is_none(content: bytes) -> None:
    assert example_request(content, (AGE, PLAN)) is None
