"""What the agent's loop keeps of one environment between its turns."""

from __future__ import annotations

from dataclasses import dataclass

from gitops_ml.control.agent.turns import Turns
from gitops_ml.control.agent.world import Passes

LONG_PASS = 2.0
"""Seconds after which a pass is taken for a rollout."""


@dataclass
class KeptEnvironment:
    """One environment, as the loop keeps it.

    Attributes:
        declared: whether the tip declares it still; if not, it is dropped once its open rollouts have ended.
        unfinished: whether the last pass that could look at it left a rollout open.
        began: when its pass began; None while none runs.
        resting: what that pass leaves out.
        woken: whether there were news since that pass began.
        waits: whether the last pass found a rollout that waits for records of other hosts.
        missed: whether that pass may not have seen something that is for it alone; see `Turns.hasten`.
    """

    name: str
    passes: Passes
    turns: Turns
    declared: bool = True
    unfinished: bool = False
    began: float | None = None
    resting: frozenset[str] = frozenset()
    woken: bool = False
    waits: bool = False
    missed: bool = False

    def wake(self, now: float) -> None:
        """Have a pass at once, with everything that rests."""
        self.woken = True
        self.turns.wake(now)

    def hasten(self, now: float) -> None:
        """Have a pass soon; what fails rests on."""
        self.missed = True
        self.turns.hasten(now)

    def rolls_out(self, now: float) -> bool:
        """Whether a rollout is under way, as far as the loop can tell."""
        return self.turns.busy or (self.began is not None and now - self.began >= LONG_PASS)
