"""What a probe came back with: plain results, before anything judges them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


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
