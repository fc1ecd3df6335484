"""What one look at Git and at the host comes to: desired, observed, and the plan that follows from both.

Nothing is changed here and no lock is taken; what stands against acting at all (another engine, an older commit, a
shared port) is found before anything is planned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from gitops_ml.clients.artifacts.holdout_counts import require_enough
from gitops_ml.clients.artifacts.source import read_declared, resolve, resolve_all
from gitops_ml.clients.engine import reconnect
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.model_images import BASE_IMAGE
from gitops_ml.clients.files import records
from gitops_ml.clients.files.environments import (
    EnvironmentFiles,
    environment_names,
    read_environment,
    read_project,
    require_known_source,
    require_own_port,
)
from gitops_ml.clients.gateway.container import gateway_spec
from gitops_ml.clients.gateway.snapshot import take_snapshot
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Desired, Environment, ResolvedDeployment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, Generation, generation_of
from gitops_ml.core.journal.fold import fold
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.planner import Inputs, make_plan
from gitops_ml.core.records.record import Record
from gitops_ml.errors import (
    EngineMismatch,
    GitopsError,
    InputError,
    SourceError,
)
from gitops_ml.serving import SERVING_VERSION


@dataclass(frozen=True)
class Options:
    """What a person said on the command line beside the environment's name."""

    allow_older: bool = False
    confirm_removals: bool = False
    rebind: bool = False
    retry: bool = False
    break_lock: str | None = None
    rev: str | None = None


@dataclass
class Target:
    """One environment of one clone, and the engine that it is reconciled against.

    Attributes:
        tip: returns the commit to reconcile to, after a fetch or as it was fetched last.
        stopping: set by whoever wants the pass to end before its next step.
        resting: the deployments whose rollouts this pass leaves out; what serves of them is healed all the same.
        publish: whether this pass pushes records.
    """

    repo: Repository
    environment: str
    report: Callable[[str], None]
    options: Options = field(default_factory=Options)
    engine: Engine | None = None
    reconnection: reconnect.Reconnection | None = None
    tip: Callable[[Repository], str] = Repository.fetch
    stopping: threading.Event = field(default_factory=threading.Event)
    resting: frozenset[str] = frozenset()
    publish: bool = True


@dataclass(frozen=True)
class View:
    """What one look at the source and the host came to."""

    desired: Desired
    records: Mapping[str, Record]
    snapshot: Snapshot
    state: EnvironmentState
    wanted: Mapping[str, PlannedDeployment]
    plan: plan.Plan


def look(target: Target, commit: str | None = None) -> View:
    """Fetch, read, observe and plan; nothing is changed, and no lock is taken. With `commit`, nothing is fetched,
    and the lock is this pass's own.

    Raises:
        SourceUnavailable: the fetch failed. SourceError: the environment is not there, or the tip is an older one.
        EngineUnavailable, EngineMismatch: the engine does not answer, or is another one than recorded.
    """
    repo, locked = target.repo, commit is not None
    if commit is None:
        commit = _commit(repo, target.options, target.tip)
    declared = read_declared(repo, commit, target.environment)
    require_own_port(repo, declared)
    engine = engine_of(target, declared.environment)
    cache = repo.cache
    with ThreadPoolExecutor(1) as pool:
        # The engine is asked while versions and records are read: a pass with nothing to do takes a quarter less time.
        seen = pool.submit(take_snapshot, engine, declared.project, declared.name, base=BASE_IMAGE, cache=cache)
        desired = resolve_all(repo, declared)
        known = records.read_records(repo, declared)
        snapshot = seen.result()
    if snapshot.gateway:
        reconnect.remember(cache, declared.name, declared.environment.engine, snapshot.gateway.id)
    _require_engine(target, snapshot, known)
    state = fold(snapshot.journal)
    _require_descent(target, state, commit)
    wanted = {name: _wanted(repo, desired, name, known.get(name), state, snapshot) for name in desired.deployments}
    inputs = Inputs(
        desired=desired,
        snapshot=snapshot,
        state=state,
        now=snapshot.at,
        wanted=wanted,
        gateway=gateway_spec(desired.project, desired.name, desired.environment.gateway),
        confirm_removals=target.options.confirm_removals,
        locked=locked,
    )
    planned = make_plan(inputs)
    hopeless = _hopeless(repo, inputs, planned)
    if hopeless:
        desired = _without(desired, hopeless)
        wanted = {name: one for name, one in wanted.items() if name not in hopeless}
        planned = make_plan(msgspec.structs.replace(inputs, desired=desired, wanted=wanted))
    return View(desired, known, snapshot, state, wanted, planned)


def _hopeless(repo: Repository, inputs: Inputs, planned: plan.Plan) -> dict[str, str]:
    """The rollouts that would begin now and could never be judged, and why: only these are worth reading data for."""
    found: dict[str, str] = {}
    for action in planned.actions:
        if isinstance(action, plan.Begin) and not action.attempt.boot:
            wanted = inputs.wanted[action.deployment]
            try:
                require_enough(repo, wanted.generation.commit, wanted.resolved)
            except InputError as error:
                found[action.deployment] = str(error)
    return found


def _without(desired: Desired, broken: Mapping[str, str]) -> Desired:
    left = {name: one for name, one in desired.deployments.items() if name not in broken}
    return msgspec.structs.replace(desired, deployments=left, broken={**desired.broken, **broken})


def preview(target: Target) -> View:
    """`look` for people who read a plan: it refuses as well what only a later promotion would stumble over, and what is
    no reason to stop healing. Raises as `look`, and `InputError`.
    """
    view = look(target)
    desired = view.desired
    if desired.environment.promotion:
        require_known_source(desired.name, desired.environment, environment_names(target.repo, desired.commit))
    return view


def _commit(repo: Repository, options: Options, read_tip: Callable[[Repository], str] = Repository.fetch) -> str:
    """The fetched tip, or the commit that was asked for; tags are fetched for both."""
    tip = read_tip(repo)
    return repo.resolve(options.rev) if options.rev else tip


def targets(
    repo: Repository,
    environments: list[str],
    report: Callable[[str], None],
    options: Options,
    reconnections: Mapping[str, reconnect.Reconnection] | None = None,
) -> list[Target]:
    """The named environments as targets; all that the tip declares where none is named.

    `reconnections`: see `reconnect.begin`.
    """
    if not environments:
        commit = _commit(repo, options)
        environments = environment_names(repo, commit)
        if not environments:
            raise SourceError(
                f"no environment is declared in commit {commit[:12]}",
                why="there is no environments/*/environment.yaml; nothing is changed on any host",
                fix="restore environments/, or gitops-ml init",
            )
    begun = reconnections or {}
    return [Target(repo, name, report, options, reconnection=begun.get(name)) for name in environments]


def undeclared(targets: Sequence[Target]) -> list[SourceError]:
    """What runs on the engines of these targets in environments of the project that none of them is.

    It is left alone: a folder may have vanished by mistake.
    """
    found: dict[str, SourceError] = {}
    declared = {target.environment for target in targets}
    for engine in {t.engine.url: t.engine for t in targets if t.engine}.values():
        project = read_project(targets[0].repo, targets[0].repo.tip()).name
        for listed in engine.list_containers({PROJECT: project}):
            name = listed["Labels"].get(ENVIRONMENT, "")
            if name not in declared:
                found[name] = SourceError(
                    f"{project} runs in {name}, which is not declared any more",
                    why=f"environments/{name}/environment.yaml is gone; nothing there is changed",
                    fix=f"restore environments/{name}, or take away what it runs: docker rm -f $(docker ps -aq "
                    f"--filter label={PROJECT}={project} --filter label={ENVIRONMENT}={name})",
                )
    return [found[name] for name in sorted(found)]


def require_untouched_records(repo: Repository, since: str, rev: str | None) -> None:
    """Refuse a change that edits records: only gitops-ml writes them. Raises `InputError`."""
    commit = repo.resolve(rev or "HEAD")
    touched = [path for path in repo.changed_files(since, commit) if records.RECORD_PATH.fullmatch(path)]
    if touched:
        raise InputError(
            f"{', '.join(touched)} is edited since {since}",
            why="records are written by gitops-ml only",
            fix=f"git checkout {since} -- {' '.join(touched)}",
        )


def engine_of(target: Target, environment: Environment) -> Engine:
    if target.engine and environment.engine not in (None, target.engine.url):  # it was declared anew since
        target.engine.close()
        target.engine = None
    if target.engine is None:
        if environment.engine is None and target.environment != "dev":
            raise InputError(
                f"environments/{target.environment}/environment.yaml names no engine",
                why="outside dev the engine is never the caller's own",
                fix="add `engine: unix:///var/run/docker.sock`, or ssh://user@host",
            )
        begun, target.reconnection = target.reconnection, None  # one that failed is not asked again by a later pass
        target.engine = (begun and begun.engine(environment.engine)) or Engine.connect(environment.engine)
    return target.engine


def _require_engine(target: Target, snapshot: Snapshot, known: Mapping[str, Record]) -> None:
    others = sorted({r.engine for r in known.values() if r.engine != snapshot.engine})
    if others and not target.options.rebind:
        raise EngineMismatch(
            f"{target.environment} runs on engine {others[0]}, and {snapshot.engine} answers",
            why="the records name another engine: DOCKER_HOST, the host or the engine itself has changed",
            fix=f"gitops-ml sync {target.environment} --rebind, if that is meant",
        )


def _require_descent(target: Target, state: EnvironmentState, commit: str) -> None:
    applied = state.applied
    if applied is None or applied == commit or target.options.allow_older or target.options.rev:
        return
    if not target.repo.is_ancestor(applied, commit):
        raise SourceError(
            f"{commit[:12]} does not descend from {applied[:12]}, which {target.environment} runs",
            why="this clone is stale, or history was rewritten",
            fix=f"git fetch, or gitops-ml sync {target.environment} --allow-older",
        )


def _wanted(
    repo: Repository,
    desired: Desired,
    name: str,
    record: Record | None,
    state: EnvironmentState,
    snapshot: Snapshot,
) -> PlannedDeployment:
    resolved = desired.deployments[name]
    settings = desired.environment.gateway
    base = snapshot.base_id or ""
    blank = name not in state.deployments
    boot = _boot(repo, desired, name, record, base) if blank and record else None
    return PlannedDeployment(
        resolved=resolved,
        generation=_generation(resolved, desired.commit, base),
        project=desired.project,
        environment=desired.name,
        drain=seconds(settings.drain),
        pin_header=settings.pin_header,
        endpoint=settings.endpoint(name),
        boot=boot,
    )


def _boot(repo: Repository, desired: Desired, name: str, record: Record, base: str) -> Generation | None:
    """The last verified generation as this host would run it; None when it cannot be had any more."""
    if record.verified is None:
        return None
    try:
        declared = read_environment(repo, record.verified.commit, desired.name)
        generation = generation_at(repo, declared, name, base)
    except GitopsError:
        return None
    return generation if generation.digest == record.verified.digest else None


def generation_at(repo: Repository, declared: EnvironmentFiles, name: str, base: str) -> Generation:
    """What a deployment is at another commit than the tip, on a host with this base image.

    Raises `SourceError` when it is not declared there, `VersionError` when its version cannot be resolved.
    """
    if name not in declared.deployments:
        raise SourceError(f"{name} is not declared in {declared.commit[:12]}")
    return _generation(resolve(repo, declared.commit, name, declared.deployments[name]), declared.commit, base)


def _generation(resolved: ResolvedDeployment, commit: str, base: str) -> Generation:
    return generation_of(resolved, commit=commit, base=base, serving_version=SERVING_VERSION)
