"""`retrain`: new data to a new version that is proposed, where pipelines run: in CI, or at a desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.proposal import Retrained

_SHOWN = 12


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(retrain)


def retrain(
    until: Annotated[
        str | None, typer.Option(help="Let months in up to this one, such as 2013-08.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter: section.key=value. May be given again.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="Whose declaration is bumped; else retrain.environment.", show_default=False)
    ] = None,
    if_requested: Annotated[
        bool, typer.Option("--if-requested", help="Only where a failed rollout asks for it (on_failure: [retrain]).")
    ] = False,
    push: Annotated[bool, typer.Option("--push", help="Push the tag and the branch; open a pull request.")] = False,
    branch: Annotated[str | None, typer.Option(help="The branch's name.", show_default=False)] = None,
    direct: Annotated[bool, typer.Option("--direct", help="With --push: no branch, but the tracked one.")] = False,
    engine: Annotated[
        str | None, typer.Option(help="The engine that both models are asked on; else DOCKER_HOST or the local one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    repo: Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", show_default=False)] = Path(),
) -> None:
    """Train at the tracked branch's tip, gate the model against the incumbent, register it and propose the bump.

    Nothing in the work tree is used or touched. Exit code 3: the gate stays shut; 4: it cannot tell, or the day's
    number of versions is used up.
    """
    import time

    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.pipeline import setting
    from gitops_ml.retraining.proposal import RetrainOptions
    from gitops_ml.retraining.retrain import retrain as run

    wish = RetrainOptions(
        settings=dict(setting(one) for one in settings or ()),
        until=until,
        environment=environment,
        if_requested=if_requested,
        branch=branch,
        direct=direct,
        push=push,
    )
    with Repository.open(repo) as clone:
        done = run(clone, wish, now=time.time(), engine=lambda: Engine.connect(engine), report=render.progress)
        address = _proposed(clone, done, push, direct)
    if as_json:
        typer.echo(render.as_json({"pull_request": address} | _plain(done)))
    else:
        _show(done)
    if address:
        render.progress(f"next: {address}")
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _plain(done: Retrained) -> dict[str, object]:
    import msgspec

    return dict(msgspec.to_builtins(done))


def _proposed(clone: Repository, done: Retrained, push: bool, direct: bool) -> str | None:
    """What comes next, or the pull request that was opened."""
    if done.outcome != "registered" or done.branch is None:
        return None
    if direct:
        return "gitops-ml sync, when the environment is to follow"
    if not done.pushed:
        return f"git push {clone.remote or 'REMOTE'} {done.model}@{done.version} {done.branch}, then a pull request"
    from gitops_ml.retraining.pull_request import open_pull_request

    body = "\n".join([done.reason, "", *(f"- {check.name} {check.result}: {check.reason}" for check in done.checks)])
    return open_pull_request(clone, done.branch, f"Bump {done.model} to {done.version}", body)


def _show(done: Retrained) -> None:
    for check in done.checks:
        typer.echo(f"{render.paint(check.result)} {check.name}: {check.reason}")
    if done.new:
        more = f" and {len(done.new) - _SHOWN} more" if len(done.new) > _SHOWN else ""
        typer.echo(f"new since {done.incumbent}: {', '.join(done.new[:_SHOWN])}{more}")
    typer.echo(f"{done.outcome}: {done.reason}")
    if done.proposal:
        typer.echo(f"{done.model}@{done.version} is {done.digest} at commit {(done.commit or '')[:12]}")
        where = "is pushed to" if done.pushed else "is on"
        typer.echo(f"bump {(done.proposal or '')[:12]} {where} {done.branch}")
