"""`verify`: run the checks again on what serves, at any time, without a rollout."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gitops_ml.cli import documents, options, render

if TYPE_CHECKING:
    from gitops_ml.control.review import DeploymentReview, Review


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(verify)


def verify(
    environment: options.Environment,
    deployment: options.OneDeployment = None,
    output: options.Events = "text",
    repo: options.Repo = Path(),
) -> None:
    """Judge again what serves, and record a verdict that changed.

    The checks are those that the tip declares.

    If the verdict is Failed, policy decides whether the declaration is reverted; the generation verified before is
    rolled out. Several hosts are judged side by side. Exit 0 Verified, 1 error, 3 failed, 4 inconclusive or nothing
    serves, 5 the record could not be pushed.
    """
    from gitops_ml.cli.commands.deploy import visit, worst
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.environment.targets import list_targets, side_by_side
    from gitops_ml.control.environment.view import Options
    from gitops_ml.control.review import review

    render.print_log()
    with Repository.open(repo) as clone:
        targets = list_targets(clone, [environment], render.progress, Options())
        judge = partial(review, deployment=deployment)
        results, trouble = visit(targets, partial(side_by_side, work=judge), named=True)
    for result in results:
        if output == "text":
            for reviewed in result.reviews:
                _show(result, reviewed)
    hosts = [_json(result) for result in results]
    # A program that knows environments with one engine finds its fields where they always were.
    documents.show(**(hosts[0] if len(targets) == len(hosts) == 1 else {}), environments=hosts)
    for result in results:
        for name, error in sorted(result.errors.items()):
            render.error(error, f"{result.environment}/{name}" if name else result.environment)
        if result.record_error:
            render.error(result.record_error, result.environment)
    code = worst([*trouble, *(result.exit_code for result in results)])
    if code:
        raise typer.Exit(code)


def _show(result: Review, reviewed: DeploymentReview) -> None:
    render.out(
        f"{result.environment}/{reviewed.name}  {reviewed.version}  {reviewed.generation}  "
        f"{render.paint(reviewed.verdict)}{_consequence(result, reviewed)}"
    )
    for check in reviewed.checks:
        render.out(f"  {render.check_line(check)}")


def _consequence(result: Review, reviewed: DeploymentReview) -> str:
    """How the verdict compares with the one before, and what follows from it."""
    text = f", {reviewed.before} before" if reviewed.before else ""
    text = text if reviewed.changed else " as before"
    if reviewed.goes_back_to and result.serving(reviewed.name) == reviewed.goes_back_to:
        text += f"; back to {reviewed.goes_back_to}"
    elif reviewed.verdict == "Failed" and reviewed.declared_instead:
        text += f"; nothing is reverted, since {reviewed.declared_instead} is declared"
    return text


def _json(result: Review) -> dict[str, Any]:
    from gitops_ml.core.declaration.hosts import split_full_name

    environment, host = split_full_name(result.environment)
    return {
        "environment": environment,
        "host": host or None,
        "commit": result.commit,
        "engine": result.engine,
        "recorded": result.recorded,
        "deployments": result.reviews,
        "went_back": result.synced is not None,
    }
