"""Live rows: a sample of users' inputs and the answers to them, which the model servers keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import decoder
from gitops_ml.errors import InputError


class SampledTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input tensor of all sampled rows, flat, as in an inference request."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The sample of one server, or of several.

    It has `rows` rows, of `seen` since the servers started. `capacity` is the most rows that are kept; 0 means that the
    record is off. `from_` and `to` are the times of the oldest and the newest row, ISO 8601.
    """

    rows: int = 0
    capacity: int = 0
    seen: int = 0
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    inputs: tuple[SampledTensor, ...] = ()
    outputs: dict[str, list[Any]] = {}

    def body(self) -> dict[str, Any]:
        """The rows as the body of one inference request."""
        return {"inputs": msgspec.to_builtins(self.inputs)}


_decoder = decoder(Samples)


def parse_samples(content: bytes) -> Samples:
    """Read a server's answer at `/gitops-ml/samples`. Raises `InputError` if it is malformed."""
    try:
        samples = _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError("the record of live rows cannot be read", why=str(error)) from error
    rows = samples.rows
    if not all(t.shape and t.shape[0] == rows and len(t.data) % max(1, rows) == 0 for t in samples.inputs):
        raise InputError("the record of live rows cannot be read", why=f"its inputs do not have {rows} rows")
    return samples


def merge_samples(samples: Iterable[Samples]) -> Samples:
    """Merge the samples of the replicas of one generation."""
    replicas = list(samples)
    capacity, seen = sum(replica.capacity for replica in replicas), sum(replica.seen for replica in replicas)
    filled = [replica for replica in replicas if replica.rows]
    if not filled:
        return Samples(capacity=capacity, seen=seen)
    rows = sum(replica.rows for replica in filled)
    inputs = tuple(
        SampledTensor(
            name=first.name,
            datatype=first.datatype,
            shape=(rows, *first.shape[1:]),
            data=[value for replica in filled for value in replica.inputs[number].data],
        )
        for number, first in enumerate(filled[0].inputs)
    )
    return Samples(
        rows=rows,
        capacity=capacity,
        seen=seen,
        from_=min((replica.from_ for replica in filled if replica.from_), default=None),
        to=max((replica.to for replica in filled if replica.to), default=None),
        inputs=inputs,
    )
