"""`sync` of an environment with several hosts: rounds, in each of which every host is synced.

In a round the hosts of one wave roll out, since the others wait for their records. After it, those of the next wave may
begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from gitops_ml.control.environment.targets import Stoppable, side_by_side
from gitops_ml.control.environment.view import Options, View
from gitops_ml.control.reconciler import Reconcilable
from gitops_ml.control.sync import SyncResult, sync
from gitops_ml.errors import EngineUnavailable


class HostTarget(Reconcilable, Stoppable, Protocol):
    """One host of an environment, as a target of `sync`."""


def sync_hosts(
    targets: Sequence[HostTarget], options: Options, on_look: Callable[[View], None]
) -> list[SyncResult | Exception]:
    """Sync the hosts of one environment, in rounds until one of them changes nothing.

    A host that does not answer is left out from then on: the next sync catches it up.

    Returns:
        For each target what its sync came to in all rounds, or the error that ended it.
    """
    if len(targets) == 1:
        return side_by_side(targets, lambda target: sync(target, options, on_look))
    outcomes: dict[int, SyncResult | Exception] = {}
    asked = side_by_side(targets, lambda target: target.look(options))
    outcomes |= {n: error for n, error in enumerate(asked) if isinstance(error, EngineUnavailable)}
    left = [n for n in range(len(targets)) if n not in outcomes]
    changed = True
    while left and changed:
        passed = side_by_side([targets[n] for n in left], partial(sync, options=options, on_look=on_look))
        options = options.after_first_pass()
        changed = any(_is_lost(outcome) or _has_changed(outcome) for outcome in passed)
        for n, outcome in zip(left, passed, strict=True):
            outcomes[n] = _with_earlier(outcomes.get(n), outcome)
        left = [n for n, outcome in zip(left, passed, strict=True) if not _is_lost(outcome)]
    return [outcomes[n] for n in range(len(targets))]


def _is_lost(outcome: SyncResult | Exception) -> bool:
    errors = outcome.errors.values() if isinstance(outcome, SyncResult) else (outcome,)
    return any(isinstance(error, EngineUnavailable) for error in errors)


def _has_changed(outcome: SyncResult | Exception) -> bool:
    return isinstance(outcome, SyncResult) and bool(outcome.settled or outcome.commit)


def _with_earlier(before: SyncResult | Exception | None, now: SyncResult | Exception) -> SyncResult | Exception:
    """What came of a host in this round, with the rollouts that ended in earlier ones."""
    if isinstance(before, SyncResult) and isinstance(now, SyncResult):
        for name, settled in before.settled.items():
            now.settled[name] = [*settled, *now.settled.get(name, [])]
        now.commit = now.commit or before.commit
    return now
