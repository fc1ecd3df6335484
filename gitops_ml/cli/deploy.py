"""`plan`, `sync` and `status`: what would be done, doing it, and where everything stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gitops_ml.cli import render
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.engine.reconnect import Reconnection
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.sync import SyncResult
    from gitops_ml.control.target import Target
    from gitops_ml.control.view import View

T = TypeVar("T")
Environments = Annotated[list[str] | None, typer.Argument(help="Environments; all that the tip declares if none.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Repo = Annotated[str, typer.Option("--repo", help="The clone to read.", metavar="PATH")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(plan)
    app.command()(sync)
    app.command()(status)


def plan(
    environments: Environments = None,
    rev: Annotated[str | None, typer.Option(help="Plan this commit instead of the fetched tip.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Fail if records were edited since this commit; for pull requests.")
    ] = None,
    as_json: AsJson = False,
    repo: Repo = ".",
) -> None:
    """Show what a sync would do, one line per action, and change nothing.

    Exit 2 when changes are pending; 3 and 4 as sync, when none are and what is declared does not serve all the same.
    """
    clone, connections = _set_out(repo, environments)
    from gitops_ml.control.target import preview, require_untouched_records, targets
    from gitops_ml.control.view import Options

    options = Options(rev=rev)
    if against:
        require_untouched_records(_opened(repo), against, rev)
    found = targets(clone, environments or [], render.progress, options, connections)
    views, trouble = _visit(found, lambda target: preview(target, options), named=bool(environments))
    if as_json:
        typer.echo(render.as_json([_plan_json(view) for view in views]))
    else:
        for view in views:
            for line in view.plan.lines():
                typer.echo(line)
            _complain(view)
    if trouble or any(view.plan.broken or view.plan.refused for view in views):
        raise typer.Exit(1)
    if any(view.plan.actions for view in views):
        raise typer.Exit(2)
    waiting = [s for view in views for s in view.plan.statuses if s.sync == "OutOfSync"]
    if waiting:
        # Nothing is due, since nothing more is tried; but Git and the host disagree, and that is never silent.
        raise typer.Exit(3 if any(s.verification == "Failed" for s in waiting) else 4)
    if not as_json:
        render.progress("nothing to do")


def sync(
    environments: Environments = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try what is in quarantine again.")] = False,
    allow_older: Annotated[bool, typer.Option("--allow-older", help="Apply a commit that is behind the host.")] = False,
    confirm_removals: Annotated[
        bool, typer.Option("--confirm-removals", help="Remove more than policy.max_removals allows.")
    ] = False,
    rebind: Annotated[bool, typer.Option("--rebind", help="Accept another engine than the records name.")] = False,
    break_lock: Annotated[str | None, typer.Option(metavar="ID", help="Break the lock with this id first.")] = None,
    as_json: AsJson = False,
    repo: Repo = ".",
) -> None:
    """Make the host match Git: roll out, verify, record, revert, heal.

    Exit 0 done, 1 error, 3 verification failed (the incumbent serves), 4 inconclusive or held, 5 the record could not
    be pushed.
    """
    import signal

    clone, connections = _set_out(repo, environments)
    from gitops_ml.control import sync as loop
    from gitops_ml.control.target import targets
    from gitops_ml.control.view import Options

    # Who ends a job (CI, systemd) sends SIGTERM: the lock is to be let go as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = Options(
        retry=retry,
        allow_older=allow_older,
        confirm_removals=confirm_removals,
        rebind=rebind,
        break_lock=break_lock,
    )
    try:
        found = targets(clone, environments or [], render.progress, options, connections)
        results, trouble = _visit(found, lambda target: loop.sync(target, options), named=bool(environments))
    except KeyboardInterrupt:
        render.progress("stopped; what serves goes on serving, and the next `gitops-ml sync` goes on from here")
        raise
    if as_json:
        typer.echo(render.as_json([_status_json(result.view) for result in results]))
    for result in results:
        _conclude(result, quiet=as_json)
    code = _worst([*trouble, *(result.exit_code for result in results)])
    if code:
        raise typer.Exit(code)


def status(environments: Environments = None, as_json: AsJson = False, repo: Repo = ".") -> None:
    """Show where every deployment stands: sync, health, verification, hold.

    Exit 1 when an environment or a declaration cannot be read, whatever serves; else 0, also where changes are pending.
    """
    clone, connections = _set_out(repo, environments)
    from gitops_ml.control.target import targets
    from gitops_ml.control.view import Options

    options = Options()
    found = targets(clone, environments or [], render.progress, options, connections)
    views, trouble = _visit(found, lambda target: target.look(options), named=bool(environments))
    rows = [row for view in views for row in _rows(view)]
    if as_json:
        typer.echo(render.as_json([_status_json(view) for view in views]))
    elif rows:
        typer.echo(render.table(_HEAD, rows))
    elif not trouble:
        render.progress("nothing is declared")
    if not as_json:
        for view in views:
            _complain(view)
    if any(view.plan.broken for view in views):
        trouble.append(1)
    if trouble:
        raise typer.Exit(_worst(trouble))


_HEAD = (
    "ENVIRONMENT",
    "DEPLOYMENT",
    "VERSION",
    "GENERATION",
    "SYNC",
    "HEALTH",
    "VERIFICATION",
    "HOLD",
    "READY",
    "ENDPOINT",
)


def _rows(view: View) -> list[list[str]]:
    return [
        [
            view.desired.name,
            s.name,
            s.version,
            s.generation,
            s.sync,
            s.health,
            s.verification,
            s.hold or "-",
            f"{s.replicas.ready}/{s.replicas.desired}",
            s.endpoint,
        ]
        for s in view.plan.statuses
    ]


def _plan_json(view: View) -> dict[str, Any]:
    return {
        "environment": view.desired.name,
        "commit": view.desired.commit,
        "engine": view.snapshot.engine,
        "actions": [
            {"verb": a.__struct_config__.tag, "deployment": a.deployment, "subject": a.subject, "because": a.because}
            for a in view.plan.actions
        ],
        "refused": view.plan.refused,
        "broken": view.plan.broken,
    }


def _status_json(view: View) -> dict[str, Any]:
    return {
        "environment": view.desired.name,
        "commit": view.desired.commit,
        "engine": view.snapshot.engine,
        "deployments": view.plan.statuses,
        "broken": view.plan.broken,
    }


def _complain(view: View) -> None:
    """What is wrong or waiting, to stderr."""
    for name, error in sorted(view.plan.broken.items()):
        render.progress(f"error: {view.desired.name}/{name}: {error}")
    for name in view.plan.refused:
        render.progress(
            f"error: {view.desired.name}/{name} would be removed: the last one, or more than policy.max_removals\n"
            f"  fix: gitops-ml sync {view.desired.name} --confirm-removals"
        )
    for s in view.plan.statuses:
        if s.message and s.name not in view.plan.broken:
            render.progress(f"{view.desired.name}/{s.name}: {s.message}")


def _conclude(result: SyncResult, *, quiet: bool) -> None:
    view = result.view
    if not quiet and view.plan.statuses:
        typer.echo(render.table(_HEAD, _rows(view)))
    _complain(view)
    for name, error in sorted(result.errors.items()):
        render.progress(f"error: {view.desired.name}{f'/{name}' if name else ''}: {error}")
    if result.record_error:
        render.progress(f"error: {result.record_error}")


def _visit(targets: list[Target], do: Callable[[Target], T], *, named: bool) -> tuple[list[T], list[int]]:
    """What came of each environment, and the exit codes of what went wrong: one never delays another.

    Where none was named, what runs in an environment that is not declared any more is something wrong too.
    """
    from gitops_ml.control.target import undeclared

    found: list[T] = []
    trouble: list[GitopsError] = []
    for target in targets:
        try:
            found.append(do(target))
        except GitopsError as error:
            trouble.append(error)
    if not named:
        trouble += undeclared(targets)
    for wrong in trouble:
        render.progress(f"error: {wrong}")
    return found, [wrong.exit_code for wrong in trouble]


def _worst(codes: list[int]) -> int:
    """The one exit code of several environments: what a person must see first."""
    return next((code for code in (1, 5, 3, 4) if code in codes), 0)


def _opened(path: str) -> Repository:
    from gitops_ml.clients.git.repository import Repository

    return Repository.open(path)


def _set_out(path: str, environments: list[str] | None) -> tuple[Repository, Mapping[str, Reconnection]]:
    """The clone and its engines, with the fetch and the connections under way while what reads them is imported."""
    clone = _opened(path)
    clone.begin_fetch()
    from gitops_ml.clients.engine import reconnect

    return clone, reconnect.begin(clone.cache, environments or [])
