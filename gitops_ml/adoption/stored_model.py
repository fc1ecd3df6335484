"""Which file of an artifact is the model, and what an MLflow folder says beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from gitops_ml.artifacts.content import FileContent
from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.artifacts.mlflow_example import example_request
from gitops_ml.artifacts.mlflow_folder import FUNCTION, MLMODEL, MlflowModel, folder_pins
from gitops_ml.artifacts.model_files import REQUIREMENTS
from gitops_ml.artifacts.pickle_modules import Format, decompressed, format_of, modules_in
from gitops_ml.artifacts.trained_with import scikit_learn_versions
from gitops_ml.clients.artifacts.mlmodel import read_mlmodel
from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.serving.building.requirements import CONTAINER_PYTHON

KNOWN = ".pkl, .joblib, .skops, .onnx, .ubj; text or JSON of LightGBM and XGBoost; a folder with MLmodel"


class NoModelError(InputError):
    """A file that looked like a model by its name, and holds something else."""


@dataclass(frozen=True)
class FoundModel:
    """The model's file and format.

    Args:
        modules: the dotted names in a file of a Python object, most of them modules.
        trained: the versions of scikit-learn that such a file names.
        pins: versions by normalized name, as the folder itself says.
        inputs: the tensors that the folder says the model takes, where only MLflow can load it.
        example: an example of the folder as columns, as `data_rows` gives them, from the file `example_file`.
    """

    file: str
    format: Format
    modules: Set[str] = frozenset()
    trained: Sequence[str] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    example: dict[str, Any] | None = None
    example_file: str = ""


def stored_model(path: str, files: Mapping[str, FileContent]) -> FoundModel:
    """Find the model among the files of an artifact.

    Args:
        path: the artifact, as messages name it.

    Raises:
        NoModelError: none of the files is a model.
        InputError: several of them are.
        ModelRejected: an MLflow folder is malformed, or its function does not say what it takes.
    """
    if MLMODEL in files:
        return _of_mlflow(path, files)
    formats = {name: kind for name, content in files.items() if (kind := format_of(name, content))}
    if len(formats) == 1:
        file, kind = next(iter(formats.items()))
        return FoundModel(file, kind, *_named_in(kind, files[file]))
    if formats:
        raise InputError(
            f"{path} holds several models",
            why=", ".join(sorted(formats)[:10]),
            fix=f"name one of them, such as gitops-ml adopt {path}/{min(formats)}",
        )
    raise NoModelError(
        f"{path} is no model that can be served as it is",
        why=f"it is none of {KNOWN}",
        fix="write a predictor class beside it: see docs/serving.md",
    )


def _of_mlflow(path: str, files: Mapping[str, FileContent]) -> FoundModel:
    model = read_mlmodel(bytes(files[MLMODEL]))
    if model.file not in files:
        raise ModelRejected(f"{path} lacks {model.file}", why=f"its {MLMODEL} names it", fix="save the model again")
    if model.format == "mlflow":
        _require_callable(path, model)
    requirements = bytes(files.get(REQUIREMENTS, b"")).decode(errors="replace")
    example = None
    if model.example in files and model.inputs:
        request = example_request(bytes(files[str(model.example)]), model.inputs)
        example = _columns(request, model.inputs) if request else None
    modules, trained = _named_in(model.format, files[model.file])
    return FoundModel(
        file=model.file,
        format=model.format,
        modules=modules,
        trained=trained,
        pins=folder_pins(model, requirements),
        inputs=(model.inputs or ()) if model.format == "mlflow" else (),
        example=example,
        example_file=model.example or "",
    )


def _require_callable(path: str, model: MlflowModel) -> None:
    """Check that the model server can call a function that MLflow loads.

    Raises:
        ModelRejected: the folder does not say what it takes, or another Python pickled it.
    """
    inputs = model.inputs or ()
    if not inputs or (len(inputs) > 1 and any(len(tensor.shape) > 1 for tensor in inputs)):
        raise ModelRejected(
            f"the {MLMODEL} of {path} does not say what its function takes",
            why="it has several arrays for inputs" if inputs else "it has no signature with inputs",
            fix="save it with signature=infer_signature(X, model.predict(X)), X being a table or one array; "
            "or write a predictor class: see docs/serving.md",
        )
    minor = ".".join(model.python.split(".")[:2])
    if model.flavours == (FUNCTION,) and minor not in ("", CONTAINER_PYTHON):
        raise ModelRejected(
            f"Python {minor} pickled the function of {path}, and the model server has {CONTAINER_PYTHON}",
            why="the pickle of a function holds instructions of one version of Python",
            fix=f"save it again with Python {CONTAINER_PYTHON}",
        )


def _named_in(kind: Format, content: FileContent) -> tuple[Set[str], Sequence[str]]:
    """The modules and the versions of scikit-learn that a file of a Python object names; none for another file."""
    if kind not in ("joblib", "skops"):
        return frozenset(), ()
    data = decompressed(content)
    return modules_in(data), scikit_learn_versions(data)


def _columns(request: Mapping[str, Any], inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """The tensors of a request as columns; a matrix as one column for each of its own, without a name."""
    kinds = {"FP": "float", "IN": "integer", "UI": "integer", "BO": "boolean", "BY": "text"}
    columns: dict[str, Any] = {}
    for tensor, spec in zip(request["inputs"], inputs, strict=True):
        kind = kinds[str(spec.datatype)[:2]]
        if len(spec.shape) == 1:
            columns[spec.name] = {"kind": kind, "data": tensor["data"]}
        else:
            width = spec.shape[1]
            for number in range(width):
                columns[f"{spec.name}{number}"] = {"kind": kind, "data": tensor["data"][number::width]}
    return columns
