"""One pass for one environment, and the loop that repeats passes until all is settled.

A pass reads as it happens: fetch the source, read what is desired, observe, plan; and where there is something to do,
lock, observe and plan again, confirm, execute, record, unlock. A pass with nothing to do takes no lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from gitops_ml.clients import gateway, images, lock, records
from gitops_ml.clients.engine import Engine
from gitops_ml.clients.engine_snapshot import take_snapshot
from gitops_ml.clients.environments import Declared, entrance, environment_names, read_project, shared_ports
from gitops_ml.clients.git import Repository
from gitops_ml.clients.source import ModelSource, read_desired, resolve
from gitops_ml.core import plan, rollout
from gitops_ml.core.desired import Desired, Environment, Resolved, seconds
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, Generation, generation_of
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planner import Inputs, make_plan
from gitops_ml.core.record import Record
from gitops_ml.core.rollout_planner import Wanted
from gitops_ml.errors import (
    EngineFailed,
    EngineMismatch,
    GitopsError,
    InputError,
    LockHeld,
    PushRejected,
    RemovalRefused,
    SourceError,
    Stalled,
    Temporary,
)
from gitops_ml.executor import Done, execute
from gitops_ml.serving import SERVING_VERSION
from gitops_ml.site import Site

BACKOFF = (1.0, 2.0, 4.0)
MOST_PASSES = 50
ROUNDS = 3
COMPACT_AT = 60
"""Entries of the journal above which a pass that holds the lock sums them up."""
LET_OTHERS = 0.3
"""Seconds between two passes that watch, so that a pass of another process can come in between."""
LOCK_WAIT = 10.0

Taken = TypeVar("Taken")


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
    """One environment of one clone, and the engine that it is reconciled against."""

    repo: Repository
    environment: str
    report: Callable[[str], None]
    options: Options = field(default_factory=Options)
    engine: Engine | None = None


@dataclass(frozen=True)
class View:
    """What one look at the source and the host came to."""

    desired: Desired
    records: Mapping[str, Record]
    snapshot: Snapshot
    state: rollout.State
    wanted: Mapping[str, Wanted]
    plan: plan.Plan


@dataclass
class Result:
    """What a `sync` came to. `errors` by deployment, empty name for the environment itself."""

    view: View
    passes: int = 0
    settled: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, GitopsError] = field(default_factory=dict)
    commit: str | None = None

    @property
    def exit_code(self) -> int:
        """0 done · 1 error · 3 verification failed · 4 inconclusive or held · 5 the record could not be pushed."""
        if any(isinstance(e, PushRejected) for e in self.errors.values()):
            return 5
        if self.errors or self.view.plan.broken or self.view.plan.refused:
            return 1
        outcomes = {outcome for found in self.settled.values() for outcome in found}
        waiting = [s for s in self.view.plan.statuses if s.sync == "OutOfSync"]
        if "failed" in outcomes or any(s.verification == "Failed" for s in waiting):
            return 3
        if "inconclusive" in outcomes or waiting:
            return 4
        return 0


def look(target: Target, commit: str | None = None) -> View:
    """Fetch, read, observe and plan; nothing is changed, and no lock is taken. With `commit`, nothing is fetched,
    and the lock is this pass's own.

    Raises:
        SourceUnavailable: the fetch failed. SourceError: the environment is not there, or the tip is an older one.
        EngineUnavailable, EngineMismatch: the engine does not answer, or is another one than recorded.
    """
    repo, locked = target.repo, commit is not None
    if commit is None:
        commit = _commit(repo, target.options)
    desired, declared = read_desired(repo, commit, target.environment)
    _require_own_port(repo, desired)
    known = records.read_records(repo, declared)
    engine = _engine(target, desired.environment)
    snapshot = take_snapshot(
        engine, desired.project, desired.name, base=images.BASE_IMAGE, cache=repo.git_dir / "gitops-ml"
    )
    _require_engine(target, snapshot, known)
    state = rollout.fold(snapshot.journal)
    _require_descent(target, state, commit)
    wanted = {name: _wanted(repo, desired, name, known.get(name), state, snapshot) for name in desired.deployments}
    inputs = Inputs(
        desired=desired,
        snapshot=snapshot,
        state=state,
        now=snapshot.at,
        wanted=wanted,
        gateway=gateway.gateway_spec(desired.project, desired.name, desired.environment.gateway),
        confirm_removals=target.options.confirm_removals,
        locked=locked,
    )
    return View(desired, known, snapshot, state, wanted, make_plan(inputs))


def _commit(repo: Repository, options: Options) -> str:
    """The fetched tip, or the commit that was asked for; tags are fetched for both."""
    tip = repo.fetch()
    return repo.resolve(options.rev) if options.rev else tip


def targets(repo: Repository, environments: list[str], report: Callable[[str], None], options: Options) -> list[Target]:
    """The named environments as targets; all that the tip declares where none is named."""
    if not environments:
        commit = _commit(repo, options)
        environments = environment_names(repo, commit)
        if not environments:
            raise SourceError(
                f"no environment is declared in commit {commit[:12]}",
                why="there is no environments/*/environment.yaml; nothing is changed on any host",
                mend="restore environments/, or gitops-ml init",
            )
    return [Target(repo, name, report, options) for name in environments]


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
                    mend=f"restore environments/{name}, or take away what it runs: docker rm -f $(docker ps -aq "
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
            mend=f"git checkout {since} -- {' '.join(touched)}",
        )


def reconcile(target: Target) -> tuple[View, Done, str | None]:
    """One pass: what was seen, what came of it, and the commit that recorded it.

    Raises what `look` raises, `LockHeld` when another pass holds the environment, and `PushRejected`.
    """
    view = look(target)
    if not view.plan.actions and not target.options.retry and not _moved(view):
        _clear_dead_lock(target, view)
        return view, Done(), None
    engine = _engine(target, view.desired.environment)
    _prepare(engine, view)
    project, name = view.desired.project, view.desired.name
    if target.options.break_lock:
        lock.break_lock(engine, project, name, target.options.break_lock)
    models = ModelSource(target.repo)
    builds = images.Builds(engine, models.artifact, images.BASE_IMAGE)
    for action in view.plan.actions:
        if isinstance(action, plan.Build) and action.generation.pattern == "service":
            builds.begin(action.generation)
    with lock.Lock.acquire(engine, project, name, gateway.GATEWAY_IMAGE) as held:
        return _locked(target, engine, held, view.desired.commit, models, builds)


@contextmanager
def holding(target: Target) -> Iterator[tuple[View, Site]]:
    """One environment with its lock held, as it is observed under it; nothing is done.

    Raises what `look` raises, `LockHeld` when another pass holds it for long, `EngineFailed` when it has no gateway.
    """
    view = look(target)
    engine = _engine(target, view.desired.environment)
    _prepare(engine, view)
    project, name = view.desired.project, view.desired.name
    with _in_turn(lambda: lock.Lock.acquire(engine, project, name, gateway.GATEWAY_IMAGE)) as held:
        view = look(target, view.desired.commit)
        if view.snapshot.gateway is None:
            raise EngineFailed(f"{name} has no gateway", why="nothing serves there", mend=f"gitops-ml sync {name}")
        models = ModelSource(target.repo)
        yield view, _site(target, engine, view, held, models, images.Builds(engine, models.artifact, images.BASE_IMAGE))


def _locked(
    target: Target, engine: Engine, held: lock.Lock, commit: str, models: ModelSource, builds: images.Builds
) -> tuple[View, Done, str | None]:
    """Observe and plan again, and act; a verdict that this pass reaches is acted upon before it lets go."""
    all_done, acted = Done(), False
    for _ in range(ROUNDS):
        view = look(target, commit)
        site = _site(target, engine, view, held, models, builds)
        if len(view.snapshot.journal) > COMPACT_AT and view.snapshot.gateway_runs:
            site.compact(view.snapshot.journal)
        if target.options.retry:
            target.options = _once(target.options)
            view = _retried(target, view, site)
        done = _act(view, site)
        acted = acted or any(not isinstance(a, plan.Publish) for a in view.plan.actions)
        all_done.errors = done.errors
        all_done.settled |= done.settled
        all_done.watching = done.watching
        if done.errors or not done.judged:
            break
    if acted and view.state.applied != commit:
        site.write(rollout.Applied(at=site.at(), commit=commit))
    news = all_done.settled or view.state.unpublished or _moved(view)
    recorded = record(target, view, site) if news else None
    return view, all_done, recorded


def sync(target: Target) -> Result:
    """Repeat passes until nothing is left to do, or nothing more can be done.

    Trouble that may pass is tried again with backoff; what needs a person is reported and left.
    """
    settled: dict[str, list[str]] = {}
    committed: str | None = None
    failures = passes = 0
    while passes < MOST_PASSES:
        try:
            view, done, commit = _in_turn(lambda: reconcile(target))
        except (LockHeld, PushRejected):
            raise
        except Temporary as error:
            failures += 1
            if failures > len(BACKOFF):
                raise
            target.report(f"retry {target.environment} in {BACKOFF[failures - 1]:g} s: {error.what}")
            time.sleep(BACKOFF[failures - 1])
            continue
        # A pass that only watches users' requests is no sign of passes that undo each other.
        passes += not done.watching
        target.options = _once(target.options)
        committed = commit or committed
        for name, outcome in done.settled.items():
            settled.setdefault(name, []).append(outcome)
        if not view.plan.actions:
            return Result(view, passes, settled, {}, committed)
        if done.errors:
            stuck = all(isinstance(e, Stalled) for e in done.errors.values())
            failures += 1
            if failures > len(BACKOFF) or (stuck and not done.settled and _only(view, done)):
                return Result(view, passes, settled, dict(done.errors), committed)
            if not stuck:
                time.sleep(BACKOFF[min(failures, len(BACKOFF)) - 1])
        else:
            failures = 0
            if done.watching:
                time.sleep(LET_OTHERS)
    raise SourceError(
        f"{target.environment} did not settle in {MOST_PASSES} passes",
        why="what is declared and what runs keep differing",
        mend=f"gitops-ml plan {target.environment}",
    )


def _in_turn(take: Callable[[], Taken]) -> Taken:
    """What `take` gives, after the end of another pass that holds the environment. Raises `LockHeld` in the end."""
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            return take()
        except LockHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(LET_OTHERS / 2)


def _once(options: Options) -> Options:
    """What a person said once holds for one pass."""
    return Options(
        allow_older=options.allow_older,
        confirm_removals=options.confirm_removals,
        rebind=options.rebind,
        rev=options.rev,
    )


def _only(view: View, done: Done) -> bool:
    """Whether all that was planned belongs to deployments that a person has to look after."""
    return {a.deployment for a in view.plan.actions if a.deployment} <= done.errors.keys()


# --- what a pass is made of ------------------------------------------------------------------------------------------


def _engine(target: Target, environment: Environment) -> Engine:
    if target.engine is None:
        if environment.engine is None and target.environment != "dev":
            raise InputError(
                f"environments/{target.environment}/environment.yaml names no engine",
                why="outside dev the engine is never the caller's own",
                mend="add `engine: unix:///var/run/docker.sock`, or ssh://user@host",
            )
        target.engine = Engine.connect(environment.engine)
    return target.engine


def _require_own_port(repo: Repository, desired: Desired) -> None:
    sharing = shared_ports(repo, desired.commit).get(entrance(desired.environment), [])
    if len(sharing) > 1:
        raise InputError(
            f"{' and '.join(sharing)} both listen on port {desired.environment.gateway.port}",
            why="one engine's port is one gateway's",
            mend=f"change gateway.port in environments/{desired.name}/environment.yaml",
        )


def _require_engine(target: Target, snapshot: Snapshot, known: Mapping[str, Record]) -> None:
    others = sorted({r.engine for r in known.values() if r.engine != snapshot.engine})
    if others and not target.options.rebind:
        raise EngineMismatch(
            f"{target.environment} runs on engine {others[0]}, and {snapshot.engine} answers",
            why="the records name another engine: DOCKER_HOST, the host or the engine itself has changed",
            mend=f"gitops-ml sync {target.environment} --rebind, if that is meant",
        )


def _require_descent(target: Target, state: rollout.State, commit: str) -> None:
    applied = state.applied
    if applied is None or applied == commit or target.options.allow_older or target.options.rev:
        return
    if not target.repo.is_ancestor(applied, commit):
        raise SourceError(
            f"{commit[:12]} does not descend from {applied[:12]}, which {target.environment} runs",
            why="this clone is stale, or history was rewritten",
            mend=f"git fetch, or gitops-ml sync {target.environment} --allow-older",
        )


def _wanted(
    repo: Repository,
    desired: Desired,
    name: str,
    record: Record | None,
    state: rollout.State,
    snapshot: Snapshot,
) -> Wanted:
    resolved = desired.deployments[name]
    settings = desired.environment.gateway
    base = snapshot.base_id or ""
    blank = name not in state.deployments
    boot = _boot(repo, desired, name, record, base) if blank and record else None
    generation = generation_of(resolved, commit=desired.commit, base=base, serving_version=SERVING_VERSION)
    return Wanted(
        resolved=resolved,
        generation=generation,
        project=desired.project,
        environment=desired.name,
        drain=seconds(settings.drain),
        pin_header=settings.pin_header,
        endpoint=f"http://{settings.bind}:{settings.port}/v2/models/{name}",
        boot=boot,
    )


def _boot(repo: Repository, desired: Desired, name: str, record: Record, base: str) -> Generation | None:
    """The last verified generation as this host would run it; None when it cannot be had any more."""
    if record.verified is None:
        return None
    commit = record.verified.commit
    try:
        resolved = _verified_declaration(repo, desired.name, name, commit)
    except GitopsError:
        return None
    if resolved.digest != record.verified.digest:
        return None
    return generation_of(resolved, commit=commit, base=base, serving_version=SERVING_VERSION)


def _verified_declaration(repo: Repository, environment: str, name: str, commit: str) -> Resolved:
    from gitops_ml.clients.environments import read_environment

    declared = read_environment(repo, commit, environment)
    if name not in declared.deployments:
        raise SourceError(f"{name} is not declared in {commit[:12]}")
    return resolve(repo, commit, name, declared.deployments[name])


def _moved(view: View) -> bool:
    """Whether a record names another engine than this one: a person has said `--rebind`, and Git is to hold it."""
    return any(record.engine != view.snapshot.engine for record in view.records.values())


def _clear_dead_lock(target: Target, view: View) -> None:
    """Take away what a pass that was killed at its very end has left: no later one has a reason to take the lock."""
    if view.snapshot.of_role("lock"):
        lock.clear_dead(_engine(target, view.desired.environment), view.desired.project, view.desired.name)


def _prepare(engine: Engine, view: View) -> None:
    """Have the base and the gateway's image before the lock is taken: a pull may take minutes."""
    if view.wanted:
        images.ensure_base(engine, images.BASE_IMAGE)
    images.ensure_base(engine, gateway.GATEWAY_IMAGE)


def _site(
    target: Target, engine: Engine, view: View, held: lock.Lock, models: ModelSource, builds: images.Builds
) -> Site:
    settings = view.desired.environment.gateway
    return Site(
        engine=engine,
        snapshot=view.snapshot,
        state=view.state,
        lock=held,
        models=models,
        builds=builds,
        base=images.BASE_IMAGE,
        drain=seconds(settings.drain),
        pin_header=settings.pin_header,
        report=target.report,
    )


def _retried(target: Target, view: View, site: Site) -> View:
    """Lift the quarantine of what is declared, and look again."""
    for name in sorted(view.wanted):
        if view.state.of(name).quarantine:
            site.write(rollout.Retried(at=site.at(), deployment=name))
    return look(target, view.desired.commit)


def _act(view: View, site: Site) -> Done:
    if view.plan.refused:
        site.report(str(_refusal(view)))
    acting = [a for a in view.plan.actions if not isinstance(a, plan.Publish)]
    if not acting:
        return Done()
    return execute(acting, site)


def _refusal(view: View) -> RemovalRefused:
    names = ", ".join(view.plan.refused)
    return RemovalRefused(
        f"{names} of {view.desired.name} would be removed",
        why=f"policy.max_removals is {view.desired.environment.policy.max_removals}, or it is the last one",
        mend=f"gitops-ml sync {view.desired.name} --confirm-removals",
    )


def record(target: Target, view: View, site: Site) -> str | None:
    """Publish what the journal holds and Git does not. Raises `PushRejected`; the journal keeps it."""
    state = look(target, view.desired.commit).state
    if not state.unpublished and not _moved(view):
        return None
    base = view.snapshot.base_id or ""

    def same_generation(declared: Declared, attempt: rollout.Attempt) -> bool:
        name = attempt.deployment
        try:
            resolved = resolve(target.repo, declared.commit, name, declared.deployments[name])
        except GitopsError:
            return False
        now = generation_of(resolved, commit=declared.commit, base=base, serving_version=SERVING_VERSION)
        return now.fingerprint == attempt.generation.fingerprint

    commit = records.publish(
        target.repo, view.desired.name, state, engine=view.snapshot.engine, same_generation=same_generation
    )
    ids = tuple(a.id for a in state.unpublished)
    if ids:
        site.write(rollout.Published(at=site.at(), attempts=ids, commit=commit))
    site.report(f"record {view.desired.name} {commit[:12]} holds {', '.join(ids) or 'the engine'}")
    return commit
