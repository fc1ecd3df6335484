"""The agent: passes for ever, each environment at its own pace, until it is told to stop.

It holds no state of its own: stopped and started again, here or elsewhere, it goes on from what the host holds.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from gitops_ml.control.reconciler import reconcile
from gitops_ml.control.target import Target
from gitops_ml.errors import GitopsError, Temporary

MOST_BACKOFF = 300.0


@dataclass
class _Turn:
    """When an environment is due, and how often in a row it could not be reconciled."""

    target: Target
    due: float = 0.0
    failures: int = 0


def run(targets: Sequence[Target], interval: float, stop: threading.Event, report: Callable[[str], None]) -> None:
    """Reconcile the targets until `stop` is set.

    An environment with something to do is visited again at once, one without after `interval` seconds; trouble doubles
    the wait, up to five minutes, and never delays another environment's turn beyond the length of one pass.
    """
    turns = [_Turn(target) for target in targets]
    while not stop.is_set():
        turn = min(turns, key=lambda t: t.due)
        if stop.wait(max(0.0, turn.due - monotonic())):
            return
        turn.due = monotonic() + _pass(turn, interval, report)


def _pass(turn: _Turn, interval: float, report: Callable[[str], None]) -> float:
    """One pass; how long to wait before the next, in seconds."""
    try:
        result = reconcile(turn.target)
    except GitopsError as error:
        turn.failures += 1
        kind = "retry" if isinstance(error, Temporary) else "stalled"
        report(f"{kind} {turn.target.environment}: {error}")
        return _backoff(turn.failures, interval)
    for name, trouble in sorted(result.execution.errors.items()):
        report(f"error {turn.target.environment}/{name}: {trouble}")
    if result.record_error:
        report(f"error {turn.target.environment}: {result.record_error}")
    turn.failures = turn.failures + 1 if result.execution.errors else 0
    if turn.failures:
        return _backoff(turn.failures, interval)
    return 0.0 if result.view.plan.actions else interval


def _backoff(failures: int, interval: float) -> float:
    """Doubled with each failure, with up to a fifth at random, so that many agents do not come back together."""
    return float(min(MOST_BACKOFF, interval * 2 ** min(failures - 1, 10)) * random.uniform(1.0, 1.2))
