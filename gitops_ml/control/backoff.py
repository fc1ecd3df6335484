"""When each deployment may be tried again after an error, so that the trouble of one never delays another.

The healing of what serves has a back-off of its own, beside that of the deployment's rollout: neither waits for the
other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from gitops_ml.core.planning import plan
from gitops_ml.errors import GitopsError, Stalled

ENVIRONMENT, UPKEEP, JOURNAL, RECORD = "", "(upkeep)", "(journal)", "(record)"
"""The names of failures that belong to no deployment.

`ENVIRONMENT`: nothing can go on without it. `UPKEEP`: nothing waits for it, such as the removal of an orphaned
container. `JOURNAL`: the last entries of a pass. `RECORD`: the push of the record.
"""
_HEALING = " (healing)"


def name_of(action: plan.Action) -> str:
    """The name under which the failures of an action are kept."""
    if isinstance(action, plan.WriteRecords):
        return RECORD
    if isinstance(action, plan.EnsureGateway):
        return UPKEEP if action.serves else ENVIRONMENT
    return action.deployment + (_HEALING if action.healing else "") or UPKEEP


def healing_of(deployment: str) -> str:
    """The name for the failures of healing a deployment."""
    return deployment + _HEALING


def is_healing(name: str) -> bool:
    """Whether a name is that of a deployment's healing."""
    return name.endswith(_HEALING)


def deployment_of(name: str) -> str:
    """The deployment that a name is about; empty for the environment's."""
    return "" if name.startswith("(") else name.removesuffix(_HEALING)


@dataclass(frozen=True)
class _Failure:
    error: GitopsError
    count: int
    due: float


class Backoff:
    """The failures in a row of each name, and when the name is due again.

    Names are those that `name_of` gives.

    Args:
        first: seconds to wait after the first failure; each further failure doubles the wait.
        most: the longest wait in seconds.
        tries: how many failures in a row `gave_up` allows.
        clock: gives the present in seconds.
        resting: names that are never due, since the caller keeps their waits itself.
    """

    def __init__(
        self,
        first: float = 1.0,
        most: float = 60.0,
        tries: int = 4,
        clock: Callable[[], float] = time.monotonic,
        resting: Collection[str] = (),
    ) -> None:
        self._resting = resting
        self._first, self._most, self._tries, self._clock = first, most, tries, clock
        self._failures: dict[str, _Failure] = {}

    @property
    def errors(self) -> dict[str, GitopsError]:
        """The last error of each name that has not succeeded since."""
        return {name: failure.error for name, failure in self._failures.items()}

    def failed(self, name: str, error: GitopsError) -> None:
        """Note a failure: the name is due again after a wait."""
        count = self.failures(name) + 1
        wait = min(self._most, self._first * 2 ** min(count - 1, 30))
        self._failures[name] = _Failure(error, count, self._clock() + wait)

    def succeeded(self, name: str) -> None:
        """Forget a name's failures."""
        self._failures.pop(name, None)

    def failures(self, name: str) -> int:
        """How often in a row the name has failed."""
        failure = self._failures.get(name)
        return failure.count if failure else 0

    def wait(self, name: str) -> float:
        """Seconds until the name is due; 0 when it is due now."""
        if name in self._resting:
            return math.inf
        failure = self._failures.get(name)
        return max(0.0, failure.due - self._clock()) if failure else 0.0

    def due(self, actions: Sequence[plan.Action]) -> list[plan.Action]:
        """The actions that may be performed now.

        A rollout in back-off begins nothing, but its users' requests are still watched, and it is still brought to its
        end: otherwise its users would stay on a bad candidate.
        """
        ending = {action.deployment for action in actions if isinstance(action, plan.Settle)}
        return [
            action
            for action in actions
            if name_of(action) == ENVIRONMENT
            or isinstance(action, plan.Watch)
            or action.deployment in ending
            or self.wait(name_of(action)) == 0
        ]

    def gave_up(self, name: str) -> bool:
        """Whether trying again changes nothing: a person has to act, or all tries have failed."""
        failure = self._failures.get(name)
        return failure is not None and (isinstance(failure.error, Stalled) or failure.count >= self._tries)
