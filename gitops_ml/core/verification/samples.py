"""Live rows: a sample of users' inputs and the answers to them, as the model servers keep it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gitops_ml.errors import InputError


class SampledTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input of all sampled rows, flat, as an inference request carries it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The sample of one server, or of several.

    `rows` are those in it, of `seen` that were asked since the servers started, `capacity` the most that are kept (0:
    the record is off). `from_` and `to` are the times of the oldest and the newest row, ISO 8601.
    """

    rows: int = 0
    capacity: int = 0
    seen: int = 0
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    inputs: tuple[SampledTensor, ...] = ()
    outputs: dict[str, list[Any]] = {}

    def body(self) -> dict[str, Any]:
        """The rows as one inference request."""
        return {"inputs": msgspec.to_builtins(self.inputs)}


_decoder = msgspec.json.Decoder(Samples)


def parse_samples(content: bytes) -> Samples:
    """What a server says at `/gitops-ml/samples`. Raises `InputError` where it is none, or its parts do not fit."""
    try:
        found = _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError("the record of live rows cannot be read", why=str(error)) from error
    whole = all(t.shape and t.shape[0] == found.rows and len(t.data) % max(1, found.rows) == 0 for t in found.inputs)
    if not whole:
        raise InputError("the record of live rows cannot be read", why="its inputs do not have the rows that it names")
    return found


def together(samples: Iterable[Samples]) -> Samples:
    """The samples of the replicas of one generation as one."""
    everyone = list(samples)
    capacity, seen = sum(one.capacity for one in everyone), sum(one.seen for one in everyone)
    found = [one for one in everyone if one.rows]
    if not found:
        return Samples(capacity=capacity, seen=seen)
    inputs = tuple(
        SampledTensor(
            name=first.name,
            datatype=first.datatype,
            shape=(sum(one.rows for one in found), *first.shape[1:]),
            data=[value for one in found for value in one.inputs[number].data],
        )
        for number, first in enumerate(found[0].inputs)
    )
    return Samples(
        rows=sum(one.rows for one in found),
        capacity=capacity,
        seen=seen,
        from_=min((one.from_ for one in found if one.from_), default=None),
        to=max((one.to for one in found if one.to), default=None),
        inputs=inputs,
    )
