"""The model's own description of itself, as far as judging it needs: inputs, answers, classes, training
range.

Written by the `train` stage as manifest.json beside the model. Keys that judging does not need are left to
the server, so a manifest of a newer server can still be judged.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from gitops_ml.errors import InputError


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One named tensor of the Open Inference Protocol v2; -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that the model has seen, as a range of their time column; null where they carry no time."""

    time_column: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    rows: int | None = None

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """First and last time seen, both included, in UTC; None where no range was recorded."""
        return (moment(self.from_), moment(self.to)) if self.from_ and self.to else None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The column that the model predicts, and the positive class (null unless there are two)."""

    name: str
    positive: str | int | float | bool | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifest.json of a model artifact."""

    name: str
    task: Literal["classification", "regression"]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...] = ()
    classes: tuple[str | int | float | bool, ...] | None = None
    training: Training | None = None
    target: Target | None = None

    @property
    def positive(self) -> str | int | float | bool | None:
        """The positive class: the one that is named, else the last of two."""
        named = self.target.positive if self.target else None
        if named is not None or self.classes is None or len(self.classes) != 2:
            return named
        return self.classes[-1]

    @property
    def trained(self) -> tuple[datetime, datetime] | None:
        """First and last time of the rows that it was trained on, in UTC; None if not recorded."""
        return self.training.span if self.training else None


def moment(text: str) -> datetime:
    """A time in ISO 8601 as UTC; without an offset it is taken as UTC. Raises `InputError` if it is none."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`{text}` is not a time", why="ISO 8601 is read", fix="write 2013-09-30T23:00:00Z") from error
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def parse_manifest(content: bytes) -> Manifest:
    """manifest.json as a `Manifest`. Raises `InputError` that names the key at fault."""
    try:
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise InputError("manifest.json of the model cannot be read", why=str(error), fix="dvc repro train") from error
