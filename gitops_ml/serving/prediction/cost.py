"""Estimates how much memory a request takes, before it is parsed: a byte of JSON may become fifty in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.serving.messages import ProtocolError

VALUE_BYTES = 64
"""Of one value: as a Python object and its places in a list, an array, a DataFrame and the model's own copy."""
LIST_BYTES = 96
"""Of one more list, where data is nested."""
TEXT_FACTOR, WIDE_TEXT_FACTOR = 4, 8
"""Copies of the text itself. Outside ASCII, Python may take four bytes for each character."""
STRING_FACTOR = 16
"""Of binary strings: each is a Python object, and may be shorter than its length."""


def reading_cost(body: bytes | bytearray, json_bytes: int, strings: bool) -> int:
    """Bytes of memory that it takes to read the body of a request.

    Args:
        json_bytes: how much of it is JSON; binary tensors follow.
        strings: the model takes texts.
    """
    factor = TEXT_FACTOR if body.isascii() else WIDE_TEXT_FACTOR
    values, lists = body.count(b",", 0, json_bytes), body.count(b"[", 0, json_bytes)
    binary = (len(body) - json_bytes) * (STRING_FACTOR if strings else TEXT_FACTOR)
    return factor * json_bytes + VALUE_BYTES * values + LIST_BYTES * lists + binary


def answering_cost(rows: int, outputs: Sequence[Tensor]) -> int:
    """Bytes of memory that the outputs of `rows` rows take, at least; a width that is not declared counts as one."""
    return rows * VALUE_BYTES * sum(math.prod(max(size, 1) for size in spec.shape[1:]) for spec in outputs)


def require_affordable(cost: int, limit: int) -> None:
    """Raise `ProtocolError` 413 if `cost` is more than `limit` bytes."""
    if cost > limit:
        most = limit >> 20
        raise ProtocolError(f"the request takes {cost >> 20} MiB of memory, {most} are allowed; send fewer rows", 413)
