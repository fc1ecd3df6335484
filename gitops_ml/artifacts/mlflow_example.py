"""An MLflow folder's input example, as an inference request.

MLflow writes what its own server takes (https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/): a table as
`{"dataframe_split": {"columns", "data"}}`, an array or named arrays as `{"inputs": …}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.artifacts.manifest import MALFORMED, Tensor


def example_request(content: bytes, inputs: Sequence[Tensor]) -> dict[str, Any] | None:
    """Make an inference request of an input example; None if it does not hold these inputs.

    Args:
        content: the file that `MlflowModel.example` names.
    """
    try:
        example = decode(content, _Example)
    except MALFORMED:
        return None
    columns = _columns(example, inputs)
    tensors = []
    for tensor in inputs:
        rows = columns.get(tensor.name) or []
        data = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        if not rows or len(data) != len(rows) * math.prod(tensor.shape[1:]):
            return None
        shape = [len(rows), *tensor.shape[1:]]
        tensors.append({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data})
    return {"inputs": tensors}


class _Table(msgspec.Struct, frozen=True):
    columns: list[str | int]
    data: list[list[Any]]


class _Example(msgspec.Struct, frozen=True):
    dataframe_split: _Table | None = None
    inputs: list[Any] | dict[str, list[Any]] | None = None


def _columns(example: _Example, inputs: Sequence[Tensor]) -> Mapping[str, list[Any]]:
    table = example.dataframe_split
    if isinstance(example.inputs, dict):
        return example.inputs
    if isinstance(example.inputs, list) and len(inputs) == 1:
        return {inputs[0].name: example.inputs}
    if table is None or any(len(row) != len(table.columns) for row in table.data):
        return {}
    if len(inputs) == 1 and len(inputs[0].shape) > 1:
        return {inputs[0].name: list(table.data)}
    return {str(name): [row[at] for row in table.data] for at, name in enumerate(table.columns)}
