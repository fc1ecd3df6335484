"""`plan`: what a sync would do, or what a pull request would do to users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.cli.commands.deploy import begin, show_trouble, visit
from gitops_ml.cli.comment import CommentPlace, describe, post_comment

if TYPE_CHECKING:
    from gitops_ml.control.environment.view import View


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(plan)


def plan(
    environments: options.Environments = None,
    rev: Annotated[str | None, typer.Option(help="Plan this revision instead of the fetched tip.")] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            "--against",
            help="For pull requests: plan HEAD, or --rev, as a change since this commit; fail if it edits records.",
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        bool, typer.Option(help="For -o markdown: compare predictions, with each model in a container.")
    ] = True,
    comment: Annotated[
        bool, typer.Option("--comment", help="Write it under the pull request too, once; later runs edit it.")
    ] = False,
    pull_request: Annotated[
        int | None,
        typer.Option(help="For --comment: its number; else the job's, or the branch's.", show_default=False),
    ] = None,
    forge: options.Forge = None,
    output: options.Report = "text",
    repo: options.Repo = Path(),
) -> None:
    """Show what a sync would do, and change nothing.

    With -o markdown: what the commits since --base (the fetched tip) do to users, as a comment for their pull request.
    It is written without the hosts too.

    Exit 0 nothing to do, 1 error, 2 changes are pending. Without pending changes, if what is declared still does not
    serve: 3 its verification failed, 4 it is inconclusive, on hold or waits for a window.
    """
    if output == "markdown" or comment:
        place = CommentPlace(pull_request, forge) if comment else None
        _show_comment(repo, (base, rev or "HEAD"), environments or [], place, predictions=predictions)
        return
    clone, connections = begin(repo, environments)
    from gitops_ml.control.environment.targets import list_targets, preview_all
    from gitops_ml.control.environment.view import Options
    from gitops_ml.control.pull_request_facts import require_untouched_records

    if base:
        rev = rev or "HEAD"
        require_untouched_records(clone, base, rev)
    chosen = Options(rev=rev)
    targets = list_targets(clone, environments or [], render.progress, chosen, connections)
    views, trouble = visit(targets, lambda hosts: preview_all(hosts, chosen), named=bool(environments))
    documents.show(environments=[_plan_json(view) for view in views])
    for view in views:
        for line in view.plan.lines() if output == "text" else ():
            render.out(line)
        for s in view.plan.statuses if output == "text" else ():
            if s.waiting:
                waits = f"wait {view.desired.full_name}/{s.name} {s.waiting.generation}"
                render.out(f"{waits} because {s.waiting.because}")
        show_trouble(view)
    if trouble or any(view.plan.broken or view.plan.refused for view in views):
        raise typer.Exit(1)
    if any(view.plan.actions for view in views):
        raise typer.Exit(2)
    waiting = [s for view in views for s in view.plan.statuses if s.sync == "OutOfSync"]
    if waiting:
        # No action is due, since nothing more is tried. But Git and the host disagree, and that is never silent.
        raise typer.Exit(3 if any(s.verification == "Failed" for s in waiting) else 4)
    render.progress("nothing to do")


def _show_comment(
    path: Path,
    between: tuple[str | None, str],
    environments: list[str],
    place: CommentPlace | None,
    *,
    predictions: bool,
) -> None:
    """Print the comment of a pull request. Ends with 1 if a rule stops it, else with 2 if anything changes."""
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.core.pull_request.comment import comment, has_changes
    from gitops_ml.core.pull_request.policy import findings

    base, head = between
    with Repository.open(path) as clone:
        tip = clone.fetch()
        post = post_comment(clone, place) if place else None
        request = describe(clone, (base or tip, head), environments, predictions=predictions)
        render.out(comment(request))
        if post:
            post(request)
    if any(rule.level == "stop" for rule in findings(request)):
        raise typer.Exit(1)
    if has_changes(request):
        raise typer.Exit(2)


def _plan_json(view: View) -> dict[str, Any]:
    from msgspec.structs import asdict

    return {
        "environment": view.desired.name,
        "host": view.desired.host or None,
        "commit": view.desired.commit,
        "engine": view.snapshot.engine,
        "actions": [
            {"verb": a.verb, "deployment": a.deployment, "subject": a.subject, "because": a.because}
            for a in view.plan.actions
        ],
        "waiting": [{"deployment": s.name, **asdict(s.waiting)} for s in view.plan.statuses if s.waiting],
        "refused": view.plan.refused,
        "broken": view.plan.broken,
    }
