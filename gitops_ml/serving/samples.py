"""Keeps a bounded sample of users' inputs and the answers to them, for the drift and agreement checks.

The sample is in memory only. It holds the newest rows, bounded in rows, rows a second and bytes. It can be read only
from the environment's own network: inputs may be personal data, so requests through the gateway are refused.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.serving.messages import Column

ROWS = 512
PER_SECOND = 10
MOST_BYTES = 4 << 20
"""Size of all rows together, as JSON; a wide model keeps fewer rows."""
AT_ONCE = 32
"""Rows of one request at most, so that one batch does not fill the sample."""


class _Row(msgspec.Struct, frozen=True):
    """A sampled row: `at` in epoch seconds, `inputs` in the manifest's order, `size` as JSON in bytes."""

    at: float
    inputs: list[Any]
    outputs: dict[str, Any]
    size: int


class Samples:
    """The newest sampled rows of one server.

    Args:
        inputs: the model's tensors.
        rows: how many rows are kept; 0 keeps none.
        per_second: how many rows are taken in a second; unused ones add up to `AT_ONCE` rows.
        now: the time in epoch seconds.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        rows: int = ROWS,
        per_second: float = PER_SECOND,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._specs = inputs
        self._capacity = rows
        self._per_second = per_second
        self._now = now
        self._kept: deque[_Row] = deque()
        self._bytes = 0
        self._seen = 0
        self._tokens, self._filled = float(AT_ONCE), now()
        self._random = random.Random()
        self._lock = threading.Lock()

    def record(self, columns: Mapping[str, Column], outputs: Mapping[str, NDArray[Any]], rows: int) -> None:
        """Keep random rows of an answered request, as many as the rate allows."""
        if not self._capacity:
            return
        with self._lock:
            self._seen += rows
            at = self._now()
            self._tokens = min(float(AT_ONCE), self._tokens + max(0.0, at - self._filled) * self._per_second)
            self._filled = at
            count = min(rows, int(self._tokens), self._capacity)
            if not count:
                return
            self._tokens -= count
            for row in sorted(self._random.sample(range(rows), count)):
                self._keep(at, columns, outputs, row)

    def content(self) -> bytes:
        """The sample as JSON: `inputs` as the tensors of an inference request, `outputs` by name, one value a row.

        A missing value is null, and so is an output that a request did not ask for. `seen` counts the rows of all
        requests, sampled or not; `from` and `to` are the times of the oldest and the newest row.
        """
        with self._lock:
            kept = list(self._kept)
            seen = self._seen
        names = sorted({name for row in kept for name in row.outputs})
        return msgspec.json.encode(
            {
                "rows": len(kept),
                "capacity": self._capacity,
                "seen": seen,
                "from": _moment(kept[0].at) if kept else None,
                "to": _moment(kept[-1].at) if kept else None,
                "inputs": [self._tensor(number, spec, kept) for number, spec in enumerate(self._specs)],
                "outputs": {name: [row.outputs.get(name) for row in kept] for name in names},
            }
        )

    def _keep(self, at: float, columns: Mapping[str, Column], outputs: Mapping[str, NDArray[Any]], number: int) -> None:
        inputs = [_value(columns[spec.name][number]) for spec in self._specs]
        answers = {name: _value(values[number]) for name, values in outputs.items()}
        row = _Row(at, inputs, answers, len(msgspec.json.encode((inputs, answers))))
        if row.size > MOST_BYTES:
            return
        self._kept.append(row)
        self._bytes += row.size
        while len(self._kept) > self._capacity or self._bytes > MOST_BYTES:
            self._bytes -= self._kept.popleft().size

    def _tensor(self, number: int, spec: Tensor, kept: list[_Row]) -> dict[str, Any]:
        values = [row.inputs[number] for row in kept]
        width = spec.shape[1:]
        matrix = width not in ((), (1,))
        flat = [value for row in values for value in row] if matrix else values
        shape = [len(kept), len(flat) // len(kept)] if matrix and kept else [len(kept)]
        return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": flat}


def _value(value: Any) -> Any:
    """A row of a tensor as plain values, flat; bytes as text."""
    if isinstance(value, np.ndarray):
        return [_value(item) for item in value.ravel().tolist()]
    if isinstance(value, np.generic):
        return _value(value.item())
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
