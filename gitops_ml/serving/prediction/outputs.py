"""Brings what a model gives into the shapes and datatypes that its manifest declares, or refuses it.

A value is never changed on the way: an answer that is cast looks right and is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.serving.messages import NUMPY_TYPES

SUPPORTED = "an output is one array with a row for each row of the request; a predictor class can split or pack others"


class WrongOutputError(Exception):
    """The model gives something else than its manifest declares."""


def conform_all(
    outputs: Mapping[str, Any], wanted: Iterable[tuple[Tensor, bool]], rows: int, title: str, manifest: Manifest
) -> dict[str, NDArray[Any]]:
    """Make the array of each wanted output (`protocol.wanted_outputs`). Raises `WrongOutputError` as `conform`."""
    classifies = manifest.task == "classification"
    return {
        spec.name: conform(outputs[spec.name], spec, rows, title, labels=classifies and is_column(spec))
        for spec, _ in wanted
    }


def conform(value: Any, spec: Tensor, rows: int, title: str, *, labels: bool) -> NDArray[Any]:
    """Make the array of one output; for BYTES an array of texts, with None for a missing one.

    Args:
        value: what the model gave.
        spec: the output as the manifest declares it.
        rows: rows of the request.
        title: the model, for messages.
        labels: a classifier's labels. They may be stored as a wider type, as long as each value stays the same.

    Raises:
        WrongOutputError: the value has another shape, or the declared datatype would change a value.
    """
    name = f"output {spec.name!r} of {title}"
    array = _array(value, name)
    return _cast(_shaped(array, spec, rows, name), spec.datatype, name, labels)


def is_column(spec: Tensor) -> bool:
    """Whether the tensor has one value for each row."""
    return spec.shape[1:] in ((), (1,))


def _array(value: Any, name: str) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list | tuple):
        raise WrongOutputError(f"{name} is a list of {len(value)} ({_kinds(value)}); {SUPPORTED}")
    if hasattr(value, "toarray"):
        raise WrongOutputError(f"{name} is sparse ({type(value).__name__}); {SUPPORTED}")
    return np.asarray(value)


def _kinds(values: list[Any] | tuple[Any, ...]) -> str:
    return ", ".join(sorted({type(value).__name__ for value in values}))


def _shaped(array: NDArray[Any], spec: Tensor, rows: int, name: str) -> NDArray[Any]:
    given, width = array.shape, spec.shape[1:]
    if given[:1] != (rows,):
        raise WrongOutputError(f"{name} has shape {list(given)} for {rows} rows; {SUPPORTED}")
    if is_column(spec) and given[1:] in ((), (1,)):
        return array.reshape(rows, *width)
    if len(given) == len(spec.shape) and all(size in (-1, has) for size, has in zip(width, given[1:], strict=True)):
        return array
    raise WrongOutputError(
        f"{name} has shape {list(given)}, and the manifest declares {list(spec.shape)}: declare {[-1, *given[1:]]}"
    )


def _cast(array: NDArray[Any], datatype: str, name: str, labels: bool) -> NDArray[Any]:
    if datatype == "BYTES":
        texts = [_text(value) for value in array.ravel().tolist()]
        return np.array(texts, dtype=object).reshape(array.shape)
    wanted = np.dtype(NUMPY_TYPES[datatype])
    if array.dtype == object:
        array = np.array(array.tolist()).reshape(array.shape)
    if array.dtype == wanted:
        return np.ascontiguousarray(array)
    if array.dtype.kind in "biuf":
        if np.can_cast(array.dtype, wanted, "safe"):
            return np.ascontiguousarray(array, dtype=wanted)
        if labels:
            with np.errstate(invalid="ignore", over="ignore"):
                narrow = np.ascontiguousarray(array, dtype=wanted)
            if np.array_equal(narrow, array):
                return narrow
    raise WrongOutputError(
        f"{name} is {array.dtype}, such as {array.ravel()[0]!s:.40}, and the manifest declares {datatype}, which "
        f"cannot hold every such value: declare {_datatype(array.dtype)}"
    )


def _datatype(dtype: np.dtype[Any]) -> str:
    names = {np.dtype(kind): name for name, kind in NUMPY_TYPES.items()}
    return names.get(dtype, "BYTES")


def _text(value: object) -> str | None:
    if value is None or value != value:  # NaN, as pandas marks a missing text
        return None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
