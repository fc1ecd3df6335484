"""`verify`: the checks of what serves, at any time and without deploying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.control.review import DeploymentReview, Review


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(verify)


def verify(
    environment: Annotated[str, typer.Argument(help="The environment.")],
    deployment: Annotated[str | None, typer.Argument(help="Only this deployment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    repo: Annotated[str, typer.Option("--repo", help="The clone to read.", metavar="PATH")] = ".",
) -> None:
    """Judge again what serves, with the checks that the tip declares. A verdict that has changed is recorded.

    One that is Failed is reverted where policy says so, and what was verified before is rolled out. Exit 0 Verified,
    1 error, 3 failed, 4 inconclusive or nothing serves, 5 the record could not be pushed.
    """
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.review import review
    from gitops_ml.control.target import Target

    target = Target(Repository.open(repo), environment, render.progress)
    done = review(target, deployment)
    if as_json:
        typer.echo(render.as_json(_json(done)))
    else:
        for finding in done.reviews:
            _show(done, finding)
    for name, error in sorted(done.errors.items()):
        render.progress(f"error: {environment}{f'/{name}' if name else ''}: {error}")
    if done.record_error:
        render.progress(f"error: {environment}: {done.record_error}")
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _show(done: Review, finding: DeploymentReview) -> None:
    typer.echo(
        f"{done.environment}/{finding.name}  {finding.version}  {finding.generation}  {render.paint(finding.verdict)}"
        f"{_than_before(done, finding)}"
    )
    for check in finding.checks:
        typer.echo(f"  {render.check_line(check)}")


def _than_before(done: Review, finding: DeploymentReview) -> str:
    said = f", {finding.before} before" if finding.before else ""
    said = said if finding.changed else " as before"
    if finding.goes_back_to and done.serving(finding.name) == finding.goes_back_to:
        said += f"; back to {finding.goes_back_to}"
    if finding.verdict == "Failed" and finding.declared_instead:
        said += f"; nothing is put back, since {finding.declared_instead} is declared"
    return said


def _json(done: Review) -> dict[str, Any]:
    return {
        "environment": done.environment,
        "commit": done.commit,
        "engine": done.engine,
        "recorded": done.recorded,
        "deployments": done.reviews,
        "errors": {name: str(error) for name, error in done.errors.items()},
        "went_back": done.synced is not None,
    }
