"""`manifest.json`: how a model is loaded, its tensors, its classes and what it was trained on.

The train stage writes it, the judge and the server read it. Unknown keys are ignored here, so that a manifest of a
newer train stage can still be judged; the server refuses them (`gitops_ml.serving.prediction.manifest`).

This file also goes into the runtime image, so it imports only msgspec and `gitops_ml.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.errors import InputError, ModelRejected

MANIFEST = "manifest.json"
EXAMPLE = "example.json"

MAX_MANIFEST_BYTES = 1 << 20

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON asked for; RecursionError is for deep nesting."""

ClassLabel = str | int | float | bool


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """A named tensor of the Open Inference Protocol v2.

    `shape` is [-1] for a column and [-1, k] for a matrix of k columns; -1 stands for the number of rows.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """The training rows: their number and the range of their time column (ISO 8601); null where unknown."""

    time_column: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    rows: int | None = None

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """First and last time, both included, in UTC; None if no range was recorded."""
        return (moment(self.from_), moment(self.to)) if self.from_ and self.to else None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The column that the model predicts, and its positive class (null unless there are two classes)."""

    name: str
    positive: ClassLabel | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json` of a model artifact; docs/serving.md explains each key."""

    schema: int | None = None
    name: str
    format: str = ""
    file: str | None = None
    predictor: str | None = None
    python: str = ""
    task: Literal["classification", "regression"] = "regression"
    classes: tuple[ClassLabel, ...] | None = None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...] = ()
    trusted_types: tuple[str, ...] = ()
    missing_texts: Literal["none", "nan"] = "none"
    training: Training | None = None
    target: Target | None = None

    @property
    def positive(self) -> ClassLabel | None:
        """The positive class: the named one, else the second of two."""
        named = self.target.positive if self.target else None
        if named is not None or self.classes is None or len(self.classes) != 2:
            return named
        return self.classes[-1]

    @property
    def trained(self) -> tuple[datetime, datetime] | None:
        """First and last time of the training rows, in UTC; None if not recorded."""
        return self.training.span if self.training else None


def moment(text: str) -> datetime:
    """Read an ISO 8601 time as UTC; a time without an offset is taken as UTC. Raises `InputError`."""
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"`{text}` is not a time", why="ISO 8601 is read", fix="write 2013-09-30T23:00:00Z") from error


def class_name(value: Any) -> str:
    """One name for a class, whether it came as 1, 1.0, True or a numpy scalar: JSON and Parquet differ."""
    item = value.item() if hasattr(value, "item") else value
    if isinstance(item, bool):
        return str(int(item))
    return str(int(item)) if isinstance(item, float) and item.is_integer() else str(item)


def parse_manifest(content: bytes) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        ModelRejected: it is no JSON, a key is missing or of a wrong type, or it contradicts itself. Names the key, and
            every contradiction.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise broken_file(MANIFEST, f"it has {len(content):,} bytes, {MAX_MANIFEST_BYTES:,} are allowed")
    try:
        manifest = decode(content, Manifest)
    except MALFORMED as error:
        raise broken_file(MANIFEST, error) from error
    contradictions = "; ".join(_contradictions(manifest))
    if contradictions:
        raise broken_file(MANIFEST, contradictions)
    return manifest


def broken_file(name: str, why: str | Exception) -> ModelRejected:
    """Make the error for a file of an artifact that cannot be used."""
    return ModelRejected(
        f"the model's {name} is broken", why=str(why)[:1000], fix="correct it or train again, then gitops-ml check"
    )


def _contradictions(manifest: Manifest) -> Iterator[str]:
    if not manifest.inputs:
        yield "`inputs` is empty"
    for key, tensors in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        names = [tensor.name for tensor in tensors]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            yield f"`{key}` has two tensors named {', '.join(map(repr, repeated))}"
        flat = [tensor.name for tensor in tensors if not tensor.shape]
        if flat:
            yield f"`{key}` has no `shape` for {', '.join(map(repr, flat))}; a column has [-1]"
    positive = manifest.target.positive if manifest.target else None
    classes = manifest.classes or ()
    named = manifest.task == "classification" and positive is not None
    if named and class_name(positive) not in map(class_name, classes):
        listed = ", ".join(repr(label) for label in classes[:20]) or "none"
        yield f"`target.positive` is {positive!r}, which is not among `classes` ({listed})"
    for key, time in (("from", manifest.training.from_), ("to", manifest.training.to)) if manifest.training else ():
        if time:
            try:
                moment(time)
            except InputError:
                yield f"`training.{key}` is {time!r}, not an ISO 8601 time"
