"""The plan: what would be done about the drift between desired and observed state, each action with its cause.

Actions are data. Whoever executes them decides nothing; whoever reads them sees one stable line each.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gitops_ml.core.declaration import schema as desired
from gitops_ml.core.generation import ContainerSpec, Generation
from gitops_ml.core.journal.entries import Outcome
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.verification.verdict import Verdict

Sync = Literal["Synced", "OutOfSync"]
Health = Literal["Healthy", "Progressing", "Degraded", "Missing"]


class _Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="verb"):
    """One thing to do, and why. `deployment` is empty for what belongs to the environment as a whole.

    `healing` marks what brings back that which serves. When such an action fails, the deployment's other healing is
    left for the next pass, and the rest of its actions are done all the same: a candidate never waits for an incumbent
    that cannot be healed.
    """

    because: str
    deployment: str = ""
    healing: bool = False

    @property
    def subject(self) -> str:
        """The generation or the object that the action is about, as its line names it."""
        return "-"

    def line(self, environment: str) -> str:
        """`<verb> <environment>/<deployment> <generation> because <cause>`."""
        verb = str(self.__struct_config__.tag)
        return f"{verb} {environment}/{self.deployment or 'gateway'} {self.subject} because {self.because}"


class EnsureGateway(_Action, frozen=True, kw_only=True, tag="ensure-gateway"):
    """Make the network, the volume and the gateway's container where they are missing.

    `remove` are gateways that stand in its place; routes and journal stay, since they are in the volume.
    """

    spec: ContainerSpec
    remove: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.spec.image


class _GenerationAction(_Action, frozen=True, kw_only=True):
    generation: Generation

    @property
    def subject(self) -> str:
        return self.generation.fingerprint


class Begin(_GenerationAction, frozen=True, kw_only=True, tag="begin"):
    """Write the intent of a rollout into the journal."""

    attempt: Attempt


class Build(_GenerationAction, frozen=True, kw_only=True, tag="build"):
    """Have the generation's image on the engine. `attempt` is None when an incumbent's image has gone."""

    attempt: str | None


class Start(_GenerationAction, frozen=True, kw_only=True, tag="start"):
    """Make and start these replicas of a generation, and start again those of `resume`."""

    replicas: tuple[int, ...]
    resume: tuple[str, ...] = ()
    await_ready: bool = False

    @property
    def subject(self) -> str:
        return f"{self.generation.fingerprint} x{len(self.replicas) + len(self.resume)}"


class Verify(_GenerationAction, frozen=True, kw_only=True, tag="verify"):
    """Run the checks of a candidate, and write the verdict into the journal. `holdout` is the digest of its rows.

    `commit` is the one that pins those rows. Without `compare` the absolute bounds alone decide. With `review` it is
    what serves that is judged again. `endpoint` is where users reach the generation and no other; empty where they do
    not.
    """

    attempt: Attempt
    checks: desired.Verify
    holdout: str | None
    commit: str = ""
    compare: bool = True
    review: bool = False
    endpoint: str = ""
    then_traffic: bool = False
    alpha: float = 0.05


class Route(_GenerationAction, frozen=True, kw_only=True, tag="route"):
    """Send all traffic to the running replicas of a generation; `without` are those about to go."""

    without: tuple[str, ...] = ()


class Shift(_GenerationAction, frozen=True, kw_only=True, tag="shift"):
    """Give the candidate its stage's share of the traffic, or a copy of it; the incumbent serves the rest.

    `without` are containers about to go.
    """

    incumbent: Generation
    attempt: Attempt
    stage: int
    percent: int
    mirror: bool
    without: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return f"{self.generation.fingerprint} {'mirrors ' if self.mirror else ''}{self.percent}%"


class Watch(_GenerationAction, frozen=True, kw_only=True, tag="watch"):
    """Count the requests of both generations for a while, and write what they decide into the journal.

    `alpha` is what this check may spend; `goal` the e-value against harm that ends this stage.
    `new_test`: the next stage begins a test of its own. `then` is asked once the last one has passed.
    """

    incumbent: Generation
    attempt: Attempt
    traffic: desired.Traffic
    stage: int
    stages: int
    percent: int
    mirror: bool
    new_test: bool
    alpha: float
    goal: float
    then: tuple[desired.PrometheusCheck, ...] = ()
    endpoint: str = ""

    @property
    def subject(self) -> str:
        return f"{self.generation.fingerprint} {self.percent}%"


class Unroute(_Action, frozen=True, kw_only=True, tag="unroute"):
    """Take the deployment's route away."""


class ContainerAction(_Action, frozen=True, kw_only=True):
    """An action on containers, by their ids. `label` names them in the plan: their generations, or a name."""

    containers: tuple[str, ...]
    label: str

    @property
    def subject(self) -> str:
        return self.label


class Stop(ContainerAction, frozen=True, kw_only=True, tag="stop"):
    """Drain and stop containers, and keep them: the incumbent of a recreate."""


class Retire(ContainerAction, frozen=True, kw_only=True, tag="retire"):
    """Drain, stop and remove containers."""


class Remove(ContainerAction, frozen=True, kw_only=True, tag="remove"):
    """Remove containers that serve nobody."""


class Settle(_GenerationAction, frozen=True, kw_only=True, tag="settle"):
    """Write the end of a rollout into the journal."""

    attempt: str
    outcome: Outcome


class Withdraw(_Action, frozen=True, kw_only=True, tag="withdraw"):
    """Write into the journal that the deployment is no longer declared and nothing of it is left."""


class Publish(_Action, frozen=True, kw_only=True, tag="publish"):
    """Write the records of these attempts into Git."""

    attempts: tuple[str, ...]

    @property
    def subject(self) -> str:
        return ",".join(self.attempts)


Action = (
    EnsureGateway
    | Begin
    | Build
    | Start
    | Verify
    | Shift
    | Watch
    | Route
    | Unroute
    | Stop
    | Retire
    | Remove
    | Settle
    | Withdraw
    | Publish
)


class Replicas(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas are declared, and how many of the serving generation answer."""

    desired: int
    ready: int


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one deployment stands: four states that are never mixed, and what to know about them."""

    name: str
    model: str
    version: str
    digest: str
    generation: str
    sync: Sync
    health: Health
    verification: Verdict
    hold: str | None
    replicas: Replicas
    endpoint: str
    message: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass would do, in order, and where everything stands before it.

    `refused` are removals that the policy does not allow without `--confirm-removals`, by deployment; `broken` is what
    is wrong with a declaration, by deployment.
    """

    environment: str
    commit: str
    at: datetime
    actions: tuple[Action, ...] = ()
    statuses: tuple[DeploymentStatus, ...] = ()
    refused: tuple[str, ...] = ()
    broken: dict[str, str] = {}

    def lines(self) -> list[str]:
        """The plan as text, one stable line per action."""
        return [action.line(self.environment) for action in self.actions]
