"""`sync` and `status`: make the host match Git, and where everything stands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.cli.command import ungrouped
from gitops_ml.core.text import first_line
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.engine.reconnect import Reconnection
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.environment.target import EnvironmentTarget
    from gitops_ml.control.environment.view import View
    from gitops_ml.control.sync import SyncResult
    from gitops_ml.core.subscribers import Subscriber

T = TypeVar("T")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(ungrouped(sync))
    app.command()(status)


class Overrides(NamedTuple):
    """What one pass may do that passes do not do by themselves."""

    retry: Annotated[bool, typer.Option("--retry", help="Try generations in quarantine again.")] = False
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Apply a commit that is older than the one applied last.")
    ] = False
    confirm_removals: Annotated[
        bool, typer.Option("--confirm-removals", help="Remove more deployments than policy.max_removals allows.")
    ] = False
    rebind: Annotated[bool, typer.Option("--rebind", help="Accept another engine than the one in the records.")] = False
    break_lock: Annotated[str | None, typer.Option(metavar="ID", help="First break the lock that has this id.")] = None
    rebuild_journal: Annotated[
        bool, typer.Option("--rebuild-journal", help="Drop the journal's entries that are not understood.")
    ] = False


def sync(
    environments: options.Environments = None,
    *,
    overrides: Overrides,
    reports: options.StatusReports,
    output: options.TableOrEvents = "text",
    repo: options.Repo = Path(),
) -> None:
    """Make the host match Git: roll out, verify, record, revert, heal.

    Exit 0 done, 1 error, 3 verification failed (the incumbent serves), 4 inconclusive, on hold or waiting for a window,
    5 the record could not be pushed.
    """
    clone, connections = begin(repo, environments)
    from gitops_ml.control.environment.targets import list_targets
    from gitops_ml.control.environment.view import Options
    from gitops_ml.control.rounds import sync_hosts

    chosen = Options(**overrides._asdict())
    from gitops_ml.cli.live import LiveView
    from gitops_ml.cli.pull_request import status_reports

    try:
        with LiveView() as view, status_reports(clone, reports) as on_look:
            targets = list_targets(clone, environments or [], view.report, chosen, connections)
            results, trouble = visit(
                targets, lambda hosts: sync_hosts(hosts, chosen, on_look), named=bool(environments)
            )
    except KeyboardInterrupt:
        render.progress("stopped: what serves keeps serving, and the next `gitops-ml sync` continues from here")
        raise
    documents.show(environments=[status_json(result.view) for result in results])
    for result in results:
        _show_result(result, with_table=output in ("text", "wide"))
    code = worst([*trouble, *(result.exit_code for result in results)])
    if code:
        raise typer.Exit(code)


def status(
    environments: options.Environments = None, output: options.Table = "text", repo: options.Repo = Path()
) -> None:
    """Show where every deployment stands, in four states.

    The states are sync, health, verification and hold. For published models also which subscribers run what.

    Exit 1 if an environment or a declaration cannot be read, else 0, also if changes are pending.
    """
    clone, connections = begin(repo, environments)
    from gitops_ml.control.environment.targets import list_targets, side_by_side
    from gitops_ml.control.environment.view import Options

    chosen = Options()
    targets = list_targets(clone, environments or [], render.progress, chosen, connections)
    from gitops_ml.control.environment.subscribers import read_subscribers

    def look(target: EnvironmentTarget) -> tuple[View, list[Subscriber]]:
        view = target.look(chosen)
        try:
            return view, read_subscribers(target.connection, view)
        except GitopsError as error:
            render.progress(f"what subscribers of {view.desired.full_name} run is not known: {first_line(error)}")
            return view, []

    results, trouble = visit(targets, lambda hosts: side_by_side(hosts, look), named=bool(environments))
    views = [view for view, _ in results]
    rows = [row for view in views for row in _rows(view)]
    documents.show(environments=[status_json(view) | {"subscribers": listed} for view, listed in results])
    if rows and output != "json":
        render.show_table(_HEAD, rows, _SPARE)
        show_subscribers(results, every=output == "wide")
    elif not rows and not trouble:
        render.progress("nothing is declared")
    for view in views:
        show_trouble(view)
    if any(view.plan.broken for view in views):
        trouble.append(1)
    if trouble:
        raise typer.Exit(worst(trouble))


def show_subscribers(results: list[tuple[View, list[Subscriber]]], *, every: bool) -> None:
    """Print what the subscribers run; where there are many, those first that could not load what is published."""
    rows = [
        [
            view.desired.full_name,
            s.deployment,
            s.subscriber,
            s.version or "-",
            s.generation or "-",
            s.since.isoformat(timespec="seconds") if s.since else "-",
            s.heard.isoformat(timespec="seconds"),
            s.error or "-",
        ]
        for view, subscribers in results
        for s in sorted(subscribers, key=lambda s: not s.failed)
    ]
    if rows:
        shown = rows if every else rows[:_SHOWN_SUBSCRIBERS]
        render.out()
        render.show_table(_SUBSCRIBERS_HEAD, shown, ("GENERATION", "HEARD"))
        if len(shown) < len(rows):
            render.progress(f"not shown: {render.counted(len(rows) - len(shown), 'subscriber')} (-o wide)")


_SHOWN_SUBSCRIBERS = 20
_SUBSCRIBERS_HEAD = (
    "ENVIRONMENT",
    "DEPLOYMENT",
    "SUBSCRIBER",
    "RUNS",
    "GENERATION",
    "SINCE",
    "HEARD",
    "FAILED",
)
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
_SPARE = ("GENERATION", "ENDPOINT", "HOLD", "VERSION", "READY")
"""The columns that a narrow terminal does not get, the least important first."""


def show_statuses(view: View, only: Collection[str] | None = None) -> None:
    """Print the table of an environment's deployments: of all, or only of some."""
    render.show_table(_HEAD, [row for row in _rows(view) if only is None or row[1] in only], _SPARE)


def _rows(view: View) -> list[list[str]]:
    return [
        [
            view.desired.full_name,
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


def status_json(view: View) -> dict[str, Any]:
    """An environment's part of the document of `status`, `sync` and `wait`."""
    return {
        "environment": view.desired.name,
        "host": view.desired.host or None,
        "commit": view.desired.commit,
        "engine": view.snapshot.engine,
        "deployments": view.plan.statuses,
        "broken": view.plan.broken,
    }


def show_trouble(view: View, but: Collection[str] = ()) -> None:
    """Print to stderr what is wrong with an environment's deployments, and what they wait for.

    Args:
        but: deployments whose last error is printed elsewhere.
    """
    for name, error in sorted(view.plan.broken.items()):
        render.error(error, f"{view.desired.full_name}/{name}")
    for refusal in view.removal_refusals.values():
        render.error(refusal)
    for s in view.plan.statuses:
        if s.message and s.name not in view.plan.broken:
            render.progress(f"{view.desired.full_name}/{s.name}: {s.message}")
        if s.error and s.name not in but:
            last = GitopsError(s.error.what, why=s.error.why, fix=s.error.fix)
            render.progress(f"{view.desired.full_name}/{s.name}: last error, of {s.error.at[:16]}: {last}")


def _show_result(result: SyncResult, *, with_table: bool) -> None:
    view = result.view
    if with_table and view.plan.statuses:
        show_statuses(view)
    show_trouble(view, but=result.errors)
    for name, error in sorted(result.errors.items()):
        render.error(error, f"{view.desired.full_name}/{name}" if name else view.desired.full_name)
    if result.record_error:
        render.error(result.record_error, view.desired.full_name)


def visit(
    targets: list[EnvironmentTarget],
    visit: Callable[[Sequence[EnvironmentTarget]], Sequence[T | Exception]],
    *,
    named: bool,
) -> tuple[list[T], list[int]]:
    """Visit each environment; print the errors.

    Args:
        visit: visits the hosts of one environment; gives a result or an error for each of them.
        named: whether the user named environments. If not, containers in an environment that is no longer declared are
            errors too.

    Returns:
        The results, and the exit codes of the errors. An error in one environment does not keep others from their turn.
    """
    from gitops_ml.control.boundary import as_gitops_error
    from gitops_ml.control.environment.targets import by_environment, undeclared

    results: list[T] = []
    errors: list[GitopsError] = []
    for hosts in by_environment(targets):
        for target, outcome in zip(hosts, visit(hosts), strict=True):
            if isinstance(outcome, Exception):
                errors.append(as_gitops_error(outcome, target.environment))
            else:
                results.append(outcome)
    if not named:
        errors += undeclared(targets)
    for text in dict.fromkeys(map(str, errors)):  # environments may share the engine that does not answer
        render.error(next(problem for problem in errors if str(problem) == text))
    return results, [problem.exit_code for problem in errors]


def worst(codes: list[int]) -> int:
    """The exit code for several environments: the most urgent of theirs."""
    return next((code for code in (1, 5, 3, 4) if code in codes), 0)


def _open(path: Path) -> Repository:
    from gitops_ml.clients.git.repository import Repository

    return Repository.open(path)


def begin(path: Path, environments: list[str] | None) -> tuple[Repository, Mapping[str, Reconnection]]:
    """Open the clone and show the log. Begin the fetch and the connections to engines, beside the heavy imports."""
    clone = _open(path)
    clone.begin_fetch()
    render.print_log()
    from gitops_ml.clients.engine import reconnect

    return clone, reconnect.begin(clone.cache, environments or [])
