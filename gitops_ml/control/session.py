"""The session in which executor and checks work on one environment, as protocols: what they may do there.

`EngineSession` does it on an engine; the unit tests do it in memory, and so run the same executor and the same checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from gitops_ml.artifacts.content import FileContent
from gitops_ml.core.declaration.checks import OwnCheck
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.signed_statement import SignedStatement
from gitops_ml.core.subscribers import ChannelReport
from gitops_ml.core.verification.own_checks import CheckSubject
from gitops_ml.core.verification.probe_result import TargetResult
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.statistics.sequential import TrafficTest
from gitops_ml.core.verification.verdict import CheckResult

Result = TypeVar("Result")

LOG_TAIL = 40
"""How many of the last lines of a container go into a record."""


class Models(Protocol):
    """Where bytes come from: model artifacts and held-out rows, hashed before they are handed out."""

    def artifact(self, generation: Generation) -> Mapping[str, FileContent]:
        """The files of a generation's model, by their path inside the artifact. Raises `VersionError`."""
        ...

    def data(self, commit: str, path: str, digest: str) -> bytes:
        """One data file as a commit pins it. Raises `VersionError`."""
        ...

    def commit_files(self, commit: str) -> Mapping[str, bytes]:
        """The files that Git holds in a commit, by path. Raises `InputError` when they are too large together."""
        ...

    def trained_on(self, generation: Generation) -> frozenset[str]:
        """The digests of everything that a generation's model was made of. Raises `VersionError`."""
        ...


@dataclass(frozen=True)
class Question:
    """What is asked of model servers.

    Args:
        generation: the generation that is judged; when one of its containers ends, waiting is over.
        targets: the servers by the name that their result gets, each with the generation that it should be.
        example: the request of the smoke check; None asks for readiness alone.
        bodies: inference requests whose outputs are wanted from every target.
    """

    generation: Generation
    targets: Mapping[str, tuple[Container, Generation]]
    example: dict[str, Any] | None = None
    bodies: Sequence[dict[str, Any]] = field(default=())


@dataclass(frozen=True)
class CommandContext:
    """What a team's own commands get: a commit's files, and the model's address inside the environment's network."""

    files: Callable[[], Mapping[str, bytes]]
    endpoint: str


@dataclass(frozen=True)
class Progress:
    """How far the requests of a canary or shadow were read. `lost`: some were rotated away unread."""

    cursor: str
    lost: bool = False


class Servers(Protocol):
    """The model servers of one environment, asked from inside its network."""

    def ask(self, question: Question, go_on: Callable[[], None]) -> Mapping[str, TargetResult]:
        """Ask the targets, and return one result for each.

        `go_on` is called repeatedly while waiting; what it raises ends the waiting. Raises `ModelRejected` for answers
        of the wrong form, and `Temporary` for trouble that no target is to blame for.
        """
        ...

    def samples(self, live: Sequence[tuple[str, int]]) -> Samples:
        """The live rows that these servers (alias, port) keep. Raises `InputError` when there are none."""
        ...

    def address(self, container: Container, generation: Generation) -> str:
        """Where the engine's own host reaches a container that has no users yet; empty if it does not."""
        ...

    def inner_address(self, generation: Generation, container: Container | None) -> str:
        """Where the environment's containers reach a container, or what serves behind the gateway if it is None."""
        ...

    def run_own_checks(
        self, checks: Sequence[OwnCheck], subject: CheckSubject, commands: CommandContext, go_on: Callable[[], None]
    ) -> list[CheckResult]:
        """Run a team's own checks. Raises `Temporary` where a command's container cannot be had."""
        ...

    def count(self, watch: plan.Watch, attempt: Attempt, test: TrafficTest, live: Sequence[Container]) -> Progress:
        """Feed a canary's or a shadow's requests to the test for a few seconds, or until the test decides.

        `live` are the replicas of both generations.
        """
        ...

    def channels(self, live: Sequence[Container]) -> list[ChannelReport]:
        """What subscribers told these containers; without those that are no channel or do not answer."""
        ...


class ReadOnlySession(Protocol):
    """One environment as checks ask about it. Nothing here changes what runs, so no lock is needed."""

    @property
    def environment(self) -> str: ...
    @property
    def models(self) -> Models: ...
    @property
    def servers(self) -> Servers: ...

    def go_on(self) -> None:
        """Call this while waiting. Raises `KeyboardInterrupt` when the pass is being stopped."""
        ...

    def require_wanted(self, candidate: Generation) -> None:
        """Call this while waiting for a candidate. Raises `Superseded` once a newer commit declares something else, and
        as `go_on`.
        """
        ...

    def report(self, text: str) -> None:
        """Show progress to the user."""
        ...

    def now(self) -> datetime:
        """The engine's clock."""
        ...

    def containers(self, deployment: str) -> list[Container]:
        """The replicas of a deployment as they are now, in a stable order."""
        ...

    def restarts(self, container: Container) -> int:
        """How often the engine has started a container again after it ended."""
        ...

    def logs(self, containers: Sequence[Container], tail: int) -> str:
        """The last lines of these containers, cleaned."""
        ...


class Session(ReadOnlySession, Protocol):
    """One environment whose lock is held, for the time of one pass. Each method may be called by several threads.

    Whatever changes something raises `LockLost` when the lock is gone, and `KeyboardInterrupt` when the pass is being
    stopped.
    """

    @property
    def project(self) -> str: ...
    @property
    def pin_header(self) -> bool: ...

    # --- the pass itself

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """Begin work beside the caller's."""
        ...

    def stop(self) -> None:
        """Stop the pass: whoever waits or is about to change something gets a `KeyboardInterrupt`."""
        ...

    def supersede(self, deployment: str, fingerprint: str) -> None:
        """Note that a newer commit declares something else than this candidate of a deployment."""
        ...

    # --- the journal

    @property
    def state(self) -> EnvironmentState:
        """What the journal adds up to, with everything that this pass has written."""
        ...

    def write(self, *entries: Entry) -> None:
        """Append to the journal. Do nothing that an entry justifies before this returns."""
        ...

    def note(self, *entries: Entry) -> None:
        """Queue entries for the next write, or for `flush`. No action may depend on them: a crash may lose them."""
        ...

    def flush(self) -> None:
        """Write what was noted and is not written yet."""
        ...

    # --- containers

    def image(self, generation: Generation) -> str:
        """Have a generation's image on the engine, and return its ID. Raises `ModelRejected` and `EngineFailed`."""
        ...

    def sign(self, candidate: Generation) -> SignedStatement | None:
        """Sign what the candidate's channel will publish; None where it has none, or the operator set no key.

        Raises `InputError` where the key cannot sign, and as `Models.artifact`.
        """
        ...

    def create(self, generation: Generation, replica: int) -> str:
        """Make the container of one replica, and return its ID. Raises `EngineFailed` when it has no image."""
        ...

    def start(self, container: str) -> None:
        """Start a container."""
        ...

    def drain(self, containers: Sequence[Container]) -> None:
        """Let containers that have lost their traffic finish their requests, then stop them."""
        ...

    def remove(self, container: str, grace: int = 0) -> None:
        """Remove a container, running or not. It gets SIGTERM first, and `grace` seconds to end, if that is not 0."""
        ...

    # --- the gateway

    def ensure_gateway(self, action: plan.EnsureGateway) -> None:
        """Make what is missing of the environment's network, volume and gateway, in the place of others or without."""
        ...

    def tidy(self, files: Sequence[str]) -> None:
        """Remove files that are no routes of ours from the gateway's watched folder."""
        ...

    def switch(self, deployment: str, route: bytes) -> None:
        """Replace a deployment's route file, and return when the gateway has loaded it."""
        ...

    def unroute(self, deployment: str) -> None:
        """Remove a deployment's route."""
        ...
