"""`verify`: run the checks again on what serves, at any time, without a rollout."""

from __future__ import annotations

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
    rolled out. Exit 0 Verified, 1 error, 3 failed, 4 inconclusive or nothing serves, 5 the record could not be pushed.
    """
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.environment.target import Target
    from gitops_ml.control.review import review

    render.print_log()
    target = Target(Repository.open(repo), environment, render.progress)
    result = review(target, deployment)
    if output == "text":
        for reviewed in result.reviews:
            _show(result, reviewed)
    documents.show(**_json(result))
    for name, error in sorted(result.errors.items()):
        render.error(error, f"{environment}/{name}" if name else environment)
    if result.record_error:
        render.error(result.record_error, environment)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


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
    return {
        "environment": result.environment,
        "commit": result.commit,
        "engine": result.engine,
        "recorded": result.recorded,
        "deployments": result.reviews,
        "went_back": result.synced is not None,
    }
