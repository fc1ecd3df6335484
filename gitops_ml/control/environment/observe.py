"""The three steps of a look: read the source, observe the host, plan. Nothing is changed, and no lock is taken.

What stands against acting at all (another engine, an older commit, a shared port) is found before anything is planned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from gitops_ml.clients.artifacts.source import resolve_deployment
from gitops_ml.clients.engine import reconnect
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files import records
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment, require_own_port
from gitops_ml.clients.files.signers import require_signed_history
from gitops_ml.clients.gateway.container import gateway_spec
from gitops_ml.clients.gateway.snapshot import take_snapshot
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.rows.holdout_counts import require_enough
from gitops_ml.control.boundary import as_gitops_error, log_unforeseen
from gitops_ml.control.environment.hosts import waits_for
from gitops_ml.control.environment.view import Options, Source, View
from gitops_ml.core.declaration.schema import Desired, ResolvedDeployment
from gitops_ml.core.generation import Generation, generation_of
from gitops_ml.core.journal.fold import fold, fold_readable, rebuilt
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.operator_settings import read_settings, require_permitted
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.as_served import declared_as_served, only_healing
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.planner import Inputs, make_plan
from gitops_ml.core.planning.validation import require_capacity, require_strategy
from gitops_ml.core.records.record import Record
from gitops_ml.errors import EngineMismatch, GitopsError, SourceError
from gitops_ml.serving import SERVING_VERSION

Value = TypeVar("Value")


# --- read the source -------------------------------------------------------------------------------------------------


def read_source(repo: Repository, files: EnvironmentFiles) -> Source:
    """Resolve the versions of an environment's deployments, and read its records.

    A deployment that cannot be resolved, for whatever reason, is left out and named in `broken`.
    """
    resolved, broken = _each(
        files.full_name,
        files.deployments,
        lambda name: resolve_deployment(repo, files.commit, name, files.deployments[name]),
    )
    desired = Desired(
        project=files.project,
        name=files.name,
        host=files.host,
        commit=files.commit,
        environment=files.environment,
        deployments=resolved,
        broken=dict(files.broken) | broken,
    )
    return Source(files, desired, records.read_records(repo, files), former=records.read_former(repo, files))


# --- observe the host ------------------------------------------------------------------------------------------------


def observe(engine: Engine, files: EnvironmentFiles, cache: Path) -> Snapshot:
    """Observe the environment on its engine, and remember the engine for the next command's start.

    Raises `EngineUnavailable` and `EngineFailed`.
    """
    snapshot = take_snapshot(engine, files.project, files.name, base=BASE_IMAGE, cache=cache)
    if snapshot.gateway:
        registry = files.environment.registry
        reconnect.remember(cache, files.full_name, files.engine, snapshot.gateway.id, registry)
    return snapshot


# --- plan ------------------------------------------------------------------------------------------------------------


def plan_view(repo: Repository, source: Source, snapshot: Snapshot, options: Options, *, locked: bool) -> View:
    """Plan what the source asks of the host.

    The clone is read once more in two rare cases: a blank host starts with the last verified version, and before a
    rollout begins, its held-out rows are counted.

    Args:
        locked: this pass holds the lock and runs no probe, so that a probe there is an orphan.

    Raises:
        EngineMismatch: the records name another engine.
        SourceError: the commit does not descend from what the host runs, or one between them is not signed as the
            policy asks.
        InputError: another environment uses the port, and the gateway on the host does not hold it.
    """
    _require_port(repo, source, snapshot)
    _require_engine(source, snapshot, options)
    if source.as_served and source.tip_error:
        return _view_as_served(source, source.tip_error, snapshot, locked=locked)
    if options.rebuild_journal:
        state = rebuilt(fold_readable(snapshot.journal)[0], snapshot.routes)
    else:
        state = fold(snapshot.journal, source.files.full_name)
    _require_descent(repo, source, state, options)
    desired = source.desired
    wanted, broken = _each(
        desired.full_name,
        desired.deployments,
        lambda name: _planned_deployment(repo, source, name, state, snapshot, options),
    )
    desired = _without(desired, broken)
    inputs = Inputs(
        desired=desired,
        snapshot=snapshot,
        state=state,
        now=snapshot.at,
        wanted=wanted,
        gateway=gateway_spec(desired.project, desired.name, desired.environment.gateway),
        confirm_removals=options.confirm_removals,
        locked=locked,
    )
    planned = make_plan(inputs, log_unforeseen)
    if source.tip_error:
        return View(source, desired, snapshot, state, wanted, without_beginnings(planned))
    broken = _unjudgeable(repo, inputs, planned)
    if broken:
        desired = _without(desired, broken)
        wanted = {name: deployment for name, deployment in wanted.items() if name not in broken}
        planned = make_plan(msgspec.structs.replace(inputs, desired=desired, wanted=wanted), log_unforeseen)
    return View(source, desired, snapshot, state, wanted, planned)


def _view_as_served(source: Source, error: GitopsError, snapshot: Snapshot, *, locked: bool) -> View:
    """Plan the healing of what serves, as the journal knows it. Raises `error` when nothing serves."""
    state, unread = fold_readable(snapshot.journal)
    desired = declared_as_served(source.desired, state, str(error))
    if not desired.broken:
        raise error
    inputs = Inputs(
        desired=desired,
        snapshot=snapshot,
        state=state,
        now=snapshot.at,
        wanted={},
        gateway=gateway_spec(desired.project, desired.name, desired.environment.gateway),
        locked=locked,
    )
    planned = only_healing(make_plan(inputs, log_unforeseen), snapshot, state, unread=bool(unread))
    return View(source, desired, snapshot, state, {}, planned)


def without_beginnings(planned: plan.Plan) -> plan.Plan:
    """The plan without new rollouts and removals: what serves is healed, and open rollouts go on to their end."""
    left_out = {action.deployment for action in planned.actions if isinstance(action, plan.Withdraw)}
    actions = []
    for action in planned.actions:
        if isinstance(action, plan.Begin):
            left_out.add(action.deployment)  # what follows brings its candidate up; what came before heals
        if action.deployment not in left_out:
            actions.append(action)
    return msgspec.structs.replace(planned, actions=tuple(actions), refused=())


def _each(
    environment: str, names: Mapping[str, object], make: Callable[[str], Value]
) -> tuple[dict[str, Value], dict[str, str]]:
    """Make a value for each deployment, with a boundary around each: the values, and what is wrong with the others."""
    values: dict[str, Value] = {}
    broken: dict[str, str] = {}
    for name in names:
        try:
            values[name] = make(name)
        except Exception as error:
            broken[name] = str(as_gitops_error(error, f"{environment}/{name}"))
    return values, broken


def _without(desired: Desired, broken: Mapping[str, str]) -> Desired:
    if not broken:
        return desired
    left = {name: resolved for name, resolved in desired.deployments.items() if name not in broken}
    return msgspec.structs.replace(desired, deployments=left, broken={**desired.broken, **broken})


def _unjudgeable(repo: Repository, inputs: Inputs, planned: plan.Plan) -> dict[str, str]:
    """The rollouts that would begin now and could never be judged, and why: only for these is data read."""
    beginning = {a.deployment: a for a in planned.actions if isinstance(a, plan.Begin) and not a.attempt.boot}

    def require(name: str) -> None:
        wanted = inputs.wanted[name]
        require_enough(repo, wanted.generation.commit, wanted.resolved)

    return _each(inputs.desired.full_name, beginning, require)[1]


def _require_engine(source: Source, snapshot: Snapshot, options: Options) -> None:
    others = sorted({r.engine for r in source.records.values() if r.engine != snapshot.engine})
    name = source.files.full_name
    if others and not options.rebind:
        raise EngineMismatch(
            f"{name} runs on engine {others[0]}, and {snapshot.engine} answers",
            why="the records name another engine: DOCKER_HOST, the host or the engine itself has changed",
            fix=f"gitops-ml sync {name} --rebind, if that is meant",
        )


def _require_port(repo: Repository, source: Source, snapshot: Snapshot) -> None:
    """Require a port of its own, unless the environment's gateway holds it: then the other environment is at fault."""
    port, gateway = source.files.environment.gateway.port, snapshot.gateway
    ports = gateway.facts.ports.values() if gateway and gateway.facts else ()
    if port not in {held for _, held in ports}:
        require_own_port(repo, source.files)


def _require_descent(repo: Repository, source: Source, state: EnvironmentState, options: Options) -> None:
    applied, name = state.applied, source.files.name
    if applied is None or applied == source.commit or options.rev:
        return
    if repo.is_ancestor(applied, source.commit):
        require_signed_history(repo, name, applied, source.commit)
    elif not options.allow_older:
        raise SourceError(
            f"{source.commit[:12]} does not descend from {applied[:12]}, which {name} runs",
            why="this clone is stale, or history was rewritten",
            fix=f"git fetch, or gitops-ml sync {source.files.full_name} --allow-older",
        )


def _planned_deployment(
    repo: Repository,
    source: Source,
    name: str,
    state: EnvironmentState,
    snapshot: Snapshot,
    options: Options,
) -> PlannedDeployment:
    desired, record = source.desired, source.records.get(name)
    resolved = desired.deployments[name]
    require_permitted(name, resolved.declaration, read_settings(os.environ))
    require_strategy(name, resolved.declaration, desired.environment)
    require_capacity(name, resolved.declaration, snapshot.cpus, snapshot.gpus)
    base = snapshot.base_id or ""
    blank = name not in state.deployments
    generation = _generation(resolved, desired.project, desired.commit, base)
    serving = state.of(name).serving
    # Without the base image this is not the fingerprint yet. A pass gets the image first, and looks again.
    due = bool(base) and (serving is None or serving.fingerprint != generation.fingerprint)
    return msgspec.structs.replace(
        PlannedDeployment.of(desired, resolved, generation),
        boot=_boot(repo, desired, name, record, base) if blank and record else None,
        windows=desired.environment.policy.windows,
        waits_for=waits_for(repo, source, name, generation.fingerprint, options) if due else (),
    )


def _boot(repo: Repository, desired: Desired, name: str, record: Record, base: str) -> Generation | None:
    """The last verified generation as this host would run it; None when it cannot be had any more."""
    if record.verified is None:
        return None
    try:
        files = read_environment(repo, record.verified.commit, desired.name)
        generation = generation_at(repo, files, name, base)
    except GitopsError:
        return None
    return generation if generation.digest == record.verified.digest else None


def generation_at(repo: Repository, files: EnvironmentFiles, name: str, base: str) -> Generation:
    """What a deployment is at another commit than the tip, on a host with this base image.

    Raises `SourceError` when it is not declared there, `VersionError` when its version cannot be resolved.
    """
    if name not in files.deployments:
        raise SourceError(f"{name} is not declared in {files.commit[:12]}")
    resolved = resolve_deployment(repo, files.commit, name, files.deployments[name])
    return _generation(resolved, files.project, files.commit, base)


def _generation(resolved: ResolvedDeployment, project: str, commit: str, base: str) -> Generation:
    return generation_of(resolved, project=project, commit=commit, base=base, serving_version=SERVING_VERSION)
