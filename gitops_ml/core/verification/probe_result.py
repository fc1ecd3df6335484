"""What model servers answered to a probe, read once into types before anything judges it.

A model server is hostile until proven otherwise: an answer of another form than the protocol's ends as `ModelRejected`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import convert
from gitops_ml.core.text import clean_line
from gitops_ml.errors import ModelRejected

MAX_DEPTH = 16
"""Levels of nesting that are read of an output."""

Scalar = float | int | bool | str | None
Outputs = dict[str, list[Scalar]]
"""The values of each output in row-major order, whether the server sent them flat or nested."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A watched container that ended while it was probed. `logs` are its last lines.

    `code` is the exit code, None when the engine does not tell: the container is gone, or was started again since
    (`restarted`).
    """

    container: str
    code: int | None
    logs: str
    out_of_memory: bool = False
    restarted: bool = False

    def __str__(self) -> str:
        how = "was removed" if self.code is None else f"ended with exit code {self.code}"
        how = "ended and was started again" if self.restarted else how
        how = "ran out of memory" if self.out_of_memory else how
        last = next((line.strip() for line in reversed(self.logs.splitlines()) if line.strip()), "")
        return f"its container {how}: {last}" if last else f"its container {how}"


class SmokeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the example request. `seconds` is how long the answer took."""

    ok: bool = False
    seconds: float | None = None
    error: str | None = None
    outputs: Outputs = {}


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one model server answered.

    `ready_seconds` is how long it took to become ready; `error` the first thing that went wrong; `smoke` the answer to
    the example request, None if none was sent; `outputs` the answers to the requests, one for each, in their order.
    `row_counts`: how many rows each of these requests had, where an application was asked through a mapping.
    """

    ready: bool = False
    ready_seconds: float | None = None
    error: str | None = None
    smoke: SmokeResult | None = None
    outputs: tuple[Outputs, ...] = ()
    row_counts: tuple[int, ...] = ()


def read_results(targets: Mapping[str, Any]) -> dict[str, TargetResult]:
    """Read the `targets` of a probe's result, by the name that the job gives each.

    Raises:
        ModelRejected: an answer has another form than the protocol's.
    """
    return {name: _read_target(result) for name, result in targets.items()}


def _read_target(result: Any) -> TargetResult:
    try:
        read = convert(
            {
                **result,
                "error": _clean(result.get("error")),
                "smoke": _flat_smoke(result.get("smoke")),
                "outputs": [_flat(outputs) for outputs in result.get("outputs") or ()],
            },
            TargetResult,
        )
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelRejected("the server's answer does not follow the protocol", why=clean_line(str(error))) from error
    return read


def _flat_smoke(smoke: Any) -> Any:
    if smoke is None:
        return None
    return {**smoke, "error": _clean(smoke.get("error")), "outputs": _flat(smoke.get("outputs") or {})}


def _clean(error: Any) -> str | None:
    return clean_line(str(error)) if error else None


def _flat(outputs: Mapping[str, Any]) -> Outputs:
    """Flatten every output. Raises `ModelRejected` when one is nested too deeply or holds an object."""
    return {clean_line(str(name), 100): list(_scalars(values, MAX_DEPTH)) for name, values in outputs.items()}


def _scalars(values: Any, depth: int) -> list[Scalar]:
    if not isinstance(values, list | tuple):
        if values is None or isinstance(values, float | int | str):
            return [values]
        raise ModelRejected("an output of the model holds an object", why="an output holds numbers or texts")
    if depth == 0:
        raise ModelRejected("an output of the model is nested too deeply", why=f"{MAX_DEPTH} levels are read")
    flat: list[Scalar] = []
    for value in values:
        if isinstance(value, float | int):
            flat.append(value)
        else:
            flat += _scalars(value, depth - 1)
    return flat


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one probe.

    `targets` holds, by the name that the job gives it, what the probe says of each: ready, ready_seconds, error,
    metadata, smoke, outputs, seconds, rows. `ended` holds watched containers that ended before the probe did; their
    targets say so in `error`. `seconds` is the whole probe's time, as seen from here.
    """

    targets: Mapping[str, Mapping[str, Any]]
    ended: tuple[Ended, ...] = ()
    seconds: float = 0.0


def answered(metadata: Mapping[str, Any], ready_seconds: float, smoke: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of a target that was only asked whether it is ready, and for one answer (None: not even that)."""
    return unanswered("") | {
        "ready": True,
        "ready_seconds": ready_seconds,
        "error": None,
        "metadata": dict(metadata),
        "smoke": smoke and dict(smoke),
    }


def unanswered(error: str) -> dict[str, Any]:
    """What is known of a target that the probe could not report on."""
    return {
        "ready": False,
        "ready_seconds": None,
        "error": error,
        "metadata": None,
        "smoke": None,
        "outputs": [],
        "seconds": 0.0,
        "rows": 0,
    }
