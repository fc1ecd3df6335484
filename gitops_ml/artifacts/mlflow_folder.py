"""What an MLflow folder's `MLmodel` says of its model: how it is stored, its tensors, and what trained it.

`MLmodel` is YAML (https://mlflow.org/docs/latest/ml/model/): flavours, and a signature as JSON in two texts. A model of
scikit-learn needs no MLflow to be loaded: its skops file or pickle lies in the folder. Any other flavour is loaded as
`python_function`, by MLflow itself.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from gitops_ml.artifacts.decoding import convert, decode
from gitops_ml.artifacts.manifest import MALFORMED, Tensor
from gitops_ml.artifacts.requirements import folded, pins
from gitops_ml.errors import ModelRejected

MLMODEL = "MLmodel"
MAX_BYTES = 1 << 20
"""Bytes of an `MLmodel` that are read."""

FUNCTION = "python_function"
"""The flavour that MLflow itself loads."""
ARRAY = "X"
"""Name of an input that the signature leaves without one, as `save_model` names an array."""
ANSWER = "predict"
"""Name of an output that the signature leaves without one."""

FORMATS: dict[str, Literal["skops", "joblib"]] = {"skops": "skops", "pickle": "joblib", "cloudpickle": "joblib"}
"""Our format, by `serialization_format` of the sklearn flavour. joblib reads every pickle."""
COLUMNS = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64", "string": "BYTES"}
"""Our datatypes, by the type of a column; MLflow's others (`datetime`, `binary`, `array` …) have none."""


class MlflowModel(msgspec.Struct, frozen=True, kw_only=True):
    """An `MLmodel`, as far as serving needs it.

    Args:
        flavours: their names, sorted.
        format: the manifest's `format`: `skops` or `joblib` for scikit-learn without code beside it, else `mlflow`.
        file: the manifest's `file`, relative to the folder.
        trusted_types: what a skops file may hold beyond skops' own types, as MLflow was told; a person reviews them.
        inputs: None without a signature.
        outputs: None without a signature. For scikit-learn the one output is `predict`.
        python: version that saved the model; empty if not said.
        scikit_learn: version that trained the model; empty if not said.
        example: the input example in the folder, in MLflow's scoring format; None without one.
    """

    flavours: tuple[str, ...]
    format: Literal["skops", "joblib", "mlflow"]
    file: str
    trusted_types: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] | None = None
    outputs: tuple[Tensor, ...] | None = None
    python: str = ""
    scikit_learn: str = ""
    example: str | None = None


def parse_mlmodel(document: Any) -> MlflowModel:
    """Read an `MLmodel` that is plain data already.

    Raises:
        ModelRejected: it is malformed, names a file outside its folder, has no flavour that can be loaded in Python, or
            a type in its signature that a request lacks. Names the key.
    """
    try:
        mlmodel = convert(document, _MLmodel)
    except MALFORMED as error:
        raise _broken(str(error)) from error
    sklearn, function = mlmodel.flavors.sklearn, mlmodel.flavors.python_function
    if sklearn is None and function is None:
        raise ModelRejected(
            f"the {MLMODEL} has no flavour that the model server loads",
            why=f"it has {', '.join(sorted(_flavours(document)))}",
            fix="save the model with mlflow.pyfunc.save_model, or write a predictor class: see docs/serving.md",
        )
    stored: Literal["skops", "joblib", "mlflow"] = "mlflow"
    file = MLMODEL
    if sklearn is not None and not sklearn.code and sklearn.serialization_format in FORMATS:
        stored, file = FORMATS[sklearn.serialization_format], sklearn.pickled_model
    example = mlmodel.saved_input_example_info
    for path in (file, example.serving_input_path if example else ""):
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise _broken(f"{path!r} is outside the folder")
    signature = mlmodel.signature
    return MlflowModel(
        flavours=tuple(sorted(_flavours(document))),
        format=stored,
        file=file,
        trusted_types=tuple((sklearn and sklearn.skops_trusted_types) or ()),
        inputs=_tensors(signature.inputs, "inputs", ARRAY) if signature else None,
        outputs=_outputs(signature.outputs, named=sklearn is None) if signature else None,
        python=(function and function.python_version) or "",
        scikit_learn=(sklearn and sklearn.sklearn_version) or "",
        example=(example and example.serving_input_path) or None,
    )


def folder_pins(model: MlflowModel, requirements: str) -> dict[str, str]:
    """The version of each distribution that the model needs, out of the folder's `requirements.txt`.

    MLflow itself is left out where the model is loaded without it; else it is `mlflow-skinny`, the part that loads.

    Raises:
        ModelRejected: a line pins no version. Names the line.
    """
    lines = [line.partition("#")[0].strip() for line in requirements.splitlines()]
    plain = [line.partition(";")[0].strip() for line in lines]
    named = pins("\n".join(_without_extras(line) for line in plain))
    loose = [line for line, name in zip(lines, map(_without_extras, plain), strict=True) if line and not pins(name)]
    if loose:
        raise ModelRejected(
            f"the requirements.txt of the MLflow folder does not pin {', '.join(map(repr, loose[:10]))}",
            why="a model is served with the versions that trained it",
            fix="write name==version for each",
        )
    mlflow = named.pop("mlflow", None) or named.get("mlflow-skinny")
    if model.format == "mlflow" and mlflow:
        named["mlflow-skinny"] = mlflow
    elif model.format != "mlflow":
        named.pop("mlflow-skinny", None)
    if model.scikit_learn:
        named["scikit-learn"] = model.scikit_learn
    return named


class _Sklearn(msgspec.Struct, frozen=True):
    pickled_model: str = "model.pkl"
    serialization_format: str = "pickle"
    sklearn_version: str = ""
    skops_trusted_types: list[str] | None = None
    code: str | None = None


class _PythonFunction(msgspec.Struct, frozen=True):
    loader_module: str
    python_version: str | None = None


class _Flavours(msgspec.Struct, frozen=True):
    sklearn: _Sklearn | None = None
    python_function: _PythonFunction | None = None


class _Signature(msgspec.Struct, frozen=True):
    inputs: str | None = None
    outputs: str | None = None


class _ExampleInfo(msgspec.Struct, frozen=True):
    serving_input_path: str = ""


class _MLmodel(msgspec.Struct, frozen=True):
    flavors: _Flavours
    signature: _Signature | None = None
    saved_input_example_info: _ExampleInfo | None = None


class _TensorSpec(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]


class _Column(msgspec.Struct, frozen=True):
    type: str
    name: str | int | None = None
    spec: _TensorSpec | None = msgspec.field(name="tensor-spec", default=None)


def _flavours(document: Any) -> list[str]:
    return [str(name) for name in document["flavors"]]


def _tensors(text: str | None, key: str, unnamed: str) -> tuple[Tensor, ...] | None:
    """Tensors of one half of the signature; columns without names are one matrix, as in an array."""
    if text is None:
        return None
    try:
        columns = decode(text, list[_Column])
    except MALFORMED as error:
        raise _broken(f"`signature.{key}`: {error}") from error
    strange = [f"{column.name or unnamed!r} is {_kind(column)}" for column in columns if _datatype(column) is None]
    if strange:
        raise ModelRejected(
            f"`signature.{key}` of the {MLMODEL}: {', '.join(strange[:10])}",
            why="a request holds booleans, integers, floats and texts, with a row for each row of the model's input",
            fix="write a predictor class that converts what it gets: see docs/serving.md",
        )
    datatypes = [str(_datatype(column)) for column in columns]
    if len(columns) > 1 and all(column.name is None for column in columns):
        if len(set(datatypes)) > 1:
            raise _broken(f"`signature.{key}` has columns of several types, and no names")
        return (Tensor(name=unnamed, datatype=datatypes[0], shape=(-1, len(columns))),)
    names = [unnamed if column.name is None else str(column.name) for column in columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        raise _broken(f"`signature.{key}` has {'two of ' + repr(repeated[0]) if repeated else 'no column'}")
    shapes = [column.spec.shape if column.spec else (-1,) for column in columns]
    return tuple(
        Tensor(name=name, datatype=datatype, shape=shape)
        for name, datatype, shape in zip(names, datatypes, shapes, strict=True)
    )


def _outputs(text: str | None, *, named: bool) -> tuple[Tensor, ...] | None:
    tensors = _tensors(text, "outputs", ANSWER)
    if tensors is None or named or len(tensors) > 1:
        return tensors
    return (Tensor(name=ANSWER, datatype=tensors[0].datatype, shape=tensors[0].shape),)


def _datatype(column: _Column) -> str | None:
    """Our datatype; None if there is none, or if the tensor has another first dimension than the rows."""
    if column.spec is None:
        return COLUMNS.get(column.type)
    if column.spec.shape[:1] != (-1,) or any(size < 1 for size in column.spec.shape[1:]):
        return None
    kind = column.spec.dtype.rstrip("0123456789")
    bits = column.spec.dtype[len(kind) :]
    if kind in ("str", "object", "<U", "U"):
        return "BYTES"
    if kind == "bool":
        return "BOOL"
    prefix = {"float": "FP", "int": "INT", "uint": "UINT"}.get(kind)
    sizes = ("16", "32", "64") if prefix == "FP" else ("8", "16", "32", "64")
    return f"{prefix}{bits}" if prefix and bits in sizes else None


def _kind(column: _Column) -> str:
    return f"{column.spec.dtype} of shape {list(column.spec.shape)}" if column.spec else column.type


def _without_extras(line: str) -> str:
    name, bracket, rest = line.partition("[")
    return folded(name) + rest.partition("]")[2] if bracket else line


def _broken(why: str) -> ModelRejected:
    return ModelRejected(
        f"the model's {MLMODEL} is broken", why=why[:1000], fix="save the model again with mlflow's save_model"
    )
