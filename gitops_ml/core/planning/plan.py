"""The plan: what would be done about the drift between desired and observed state, each action with its cause.

Actions are data. The executor decides nothing, and each action prints as one stable line.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.core.declaration.checks import Checks, PrometheusCheck, SubscribersCheck, Traffic
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ContainerSpec, Generation
from gitops_ml.core.journal.entries import Outcome
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.text import clean_line


class _Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="verb"):
    """One thing to do, and why. `deployment` is empty for what belongs to the whole environment.

    `healing`: repairs the serving generation. If it fails, later healing actions of the deployment are skipped; the
    rollout continues.
    """

    because: str
    deployment: str = ""
    healing: bool = False

    @property
    def subject(self) -> str:
        """The generation or the object that the action is about, as its line names it."""
        return "-"

    @property
    def verb(self) -> str:
        """What is done, in one word."""
        return str(self.__struct_config__.tag)

    def line(self, environment: str) -> str:
        """`<verb> <environment>/<deployment> <generation> because <cause>`."""
        return f"{self.verb} {environment}/{self.deployment or 'gateway'} {self.subject} because {self.because}"


class EnsureGateway(_Action, frozen=True, kw_only=True, tag="ensure-gateway"):
    """Make the network, the volume and the gateway's container if they are missing.

    `remove` lists containers of gateways to replace. Routes and journal survive, since they are in the volume. `keep`
    is a gateway that is as declared, except for its name; the others go, and no request is lost. `serves`: users are
    served meanwhile by a gateway that is there, so no deployment waits for this action.
    """

    spec: ContainerSpec
    remove: tuple[str, ...] = ()
    keep: str = ""
    serves: bool = False

    @property
    def subject(self) -> str:
        return self.spec.image


class Tidy(_Action, frozen=True, kw_only=True, tag="tidy"):
    """Remove what is no route file of ours from the gateway's watched folder, by its path in that folder."""

    files: tuple[str, ...]

    @property
    def subject(self) -> str:
        return clean_line(",".join(self.files), 200)


class Index(_Action, frozen=True, kw_only=True, tag="index"):
    """Write the route of the gateway's bare port, or remove it if `content` is empty."""

    content: bytes


class _GenerationAction(_Action, frozen=True, kw_only=True):
    """An action on one generation."""

    generation: Generation

    @property
    def subject(self) -> str:
        return self.generation.fingerprint


class Begin(_GenerationAction, frozen=True, kw_only=True, tag="begin"):
    """Write the intent of a rollout into the journal."""

    attempt: Attempt


class Build(_GenerationAction, frozen=True, kw_only=True, tag="build"):
    """Build or pull the generation's image. `attempt` is None if it is an incumbent's image that is gone."""

    attempt: str | None


class Create(_GenerationAction, frozen=True, kw_only=True, tag="create"):
    """Create these replicas and start none: what the engine refuses is known before anything is stopped for them."""

    replicas: tuple[int, ...]


class Start(_GenerationAction, frozen=True, kw_only=True, tag="start"):
    """Create and start these replicas, and start the stopped containers in `resume`.

    `created`: the replicas may have been created in this pass already.
    """

    replicas: tuple[int, ...]
    resume: tuple[str, ...] = ()
    created: bool = False
    await_ready: bool = False

    @property
    def subject(self) -> str:
        return f"{self.generation.fingerprint} x{len(self.replicas) + len(self.resume)}"


class Verify(_GenerationAction, frozen=True, kw_only=True, tag="verify"):
    """Run the checks of a candidate, and write the verdict into the journal.

    `holdout` is the digest of the labelled rows, and `commit` the one that pins them. `compare`: judge against the
    incumbent too, not by absolute bounds alone. `review`: the serving generation is judged again. `endpoint` is the URL
    that reaches this generation and no other; empty if there is none. `then_traffic`: a pass leads to user traffic, and
    is no verdict yet. `alpha` is the error that each check may spend.
    """

    attempt: Attempt
    checks: Checks
    holdout: str | None
    commit: str = ""
    compare: bool = True
    review: bool = False
    endpoint: str = ""
    then_traffic: bool = False
    alpha: float = 0.05


class Route(_GenerationAction, frozen=True, kw_only=True, tag="route"):
    """Send all traffic to the running replicas of a generation, except the containers in `without`."""

    without: tuple[str, ...] = ()


class Shift(_GenerationAction, frozen=True, kw_only=True, tag="shift"):
    """Give the candidate its stage's share of the traffic, or a copy of it. The incumbent serves the rest.

    The containers in `without` get no traffic: they are about to be removed.
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
    """Count the requests of both generations for a while, and write what they decide into the journal. Where the
    candidate is published, its subscribers decide.

    `alpha` is the error that this check may spend, and `goal` the e-value that ends this stage. `new_test`: the next
    stage begins a test of its own. `prometheus` lists the checks to run once the last stage has passed.
    """

    incumbent: Generation
    attempt: Attempt
    traffic: Traffic
    subscribers: SubscribersCheck
    stage: int
    stages: int
    percent: int
    mirror: bool
    new_test: bool
    alpha: float
    goal: float
    prometheus: tuple[PrometheusCheck, ...] = ()
    endpoint: str = ""

    @property
    def subject(self) -> str:
        return f"{self.generation.fingerprint} {self.percent}%"

    @property
    def is_last(self) -> bool:
        """Whether no stage follows."""
        return self.stage + 1 >= self.stages

    @property
    def timeout_seconds(self) -> float:
        """Seconds after which a test that has not decided ends the rollout as inconclusive."""
        return seconds(self.subscribers.timeout if self.generation.published else self.traffic.timeout)

    @property
    def expected_percent(self) -> int:
        """The candidate's percentage of the counted requests. A mirror gives both generations equally many."""
        return 50 if self.mirror else self.percent


class Unroute(_Action, frozen=True, kw_only=True, tag="unroute"):
    """Remove the deployment's route."""


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
    """Remove containers that have no traffic, without a drain. `grace`: seconds that they get to end by themselves."""

    grace: int = 0


class Settle(_GenerationAction, frozen=True, kw_only=True, tag="settle"):
    """Write the end of a rollout into the journal."""

    attempt: str
    outcome: Outcome


class Withdraw(_Action, frozen=True, kw_only=True, tag="withdraw"):
    """Write into the journal that the deployment is no longer declared, and that nothing of it is left."""


class WriteRecords(_Action, frozen=True, kw_only=True, tag="record"):
    """Write the records of these attempts into Git."""

    attempts: tuple[str, ...]

    @property
    def subject(self) -> str:
        return ",".join(self.attempts)


Action = (
    EnsureGateway
    | Tidy
    | Index
    | Begin
    | Build
    | Create
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
    | WriteRecords
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass would do, in order, and where everything stands before it.

    `refused` names the deployments whose removal needs `--confirm-removals`. `broken` holds the error of each
    declaration that cannot be read, by deployment.
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
