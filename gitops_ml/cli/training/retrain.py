"""`retrain`: train on new data and propose the new version. Runs in CI or at a desk, never in the agent."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import documents, options, render

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.bump_branch import Retrained

_SHOWN = 12


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(retrain)


def retrain(
    until: Annotated[
        str | None, typer.Option(help="Use data up to this month, such as 2013-08.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Set a parameter: section.key=value. Can be repeated.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="The environment to bump; else retrain.environment.", show_default=False)
    ] = None,
    if_requested: Annotated[
        bool, typer.Option("--if-requested", help="Only if a failed rollout asks for it (on_failure: [retrain]).")
    ] = False,
    push: Annotated[bool, typer.Option("--push", help="Push the tag and the branch; open a pull request.")] = False,
    branch: Annotated[str | None, typer.Option(help="The name of the branch.", show_default=False)] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="With --push: push to the tracked branch instead of a new one.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(help="The engine for both models' containers; else DOCKER_HOST or the local one.")
    ] = None,
    output: options.Events = "text",
    repo: options.Repo = Path(),
) -> None:
    """Train at the tip, gate the model, register and propose it.

    The gate compares the model with the incumbent; the proposal is a bump, as a pull request with --push.
    The work tree is neither read nor changed, except by --direct without a remote, where the checked-out branch moves.
    Exit 0 registered or nothing to do, 1 error, 3 the gate refused the
    model, 4 the gate could not decide, or today's number of versions is used up.
    """
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.bump_branch import RetrainOptions
    from gitops_ml.retraining.pipeline import setting
    from gitops_ml.retraining.retrain import retrain as run

    chosen = RetrainOptions(
        settings=dict(setting(text) for text in settings or ()),
        until=until,
        environment=environment,
        if_requested=if_requested,
        branch=branch,
        direct=direct,
        push=push,
    )
    with Repository.open(repo) as clone:
        result = run(clone, chosen, now=time.time(), engine=lambda: Engine.connect(engine), report=render.progress)
        address = _propose(clone, result, direct=direct)
    documents.show(pull_request=address, **_as_dict(result))
    if output == "text":
        _show(result)
    if address:
        render.progress(f"next: {address}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _as_dict(result: Retrained) -> dict[str, object]:
    import msgspec

    return dict(msgspec.to_builtins(result))


def _propose(clone: Repository, result: Retrained, *, direct: bool) -> str | None:
    """Open a pull request if the branch was pushed. Returns its address or the next command; None if none is due."""
    if result.outcome != "registered" or result.branch is None:
        return None
    if direct:
        return "gitops-ml sync, to roll the version out"
    if not result.pushed:
        return f"git push {clone.remote or 'REMOTE'} {result.tag} {result.branch}, then a pull request"
    notes = [result.reason, *(f"{check.name} {check.result}: {check.reason}" for check in result.checks)]
    return propose_branch(clone, result, f"Bump {result.model} to {result.version}", notes)


def propose_branch(clone: Repository, result: Retrained, title: str, notes: Sequence[str]) -> str:
    """Open a pull request of the pushed branch. Returns its address, or what a person can do instead.

    The model is registered by now. So a forge that is not known, or refuses, is no error: `gh` is tried then.
    """
    from gitops_ml.cli.comment import describe
    from gitops_ml.cli.pull_request import find_own_forge, open_pull_request
    from gitops_ml.errors import GitopsError
    from gitops_ml.retraining import pull_request

    branch = str(result.branch)
    try:
        forge = find_own_forge(clone, os.environ.get("GITOPS_ML_FORGE"))
        # The gate has compared both models on the same rows already: its checks are among the notes.
        request = describe(clone, (clone.tip(), str(result.bump_commit)), [], predictions=False)
        return open_pull_request(forge, (branch, clone.branch), title, request, notes)
    except GitopsError as error:
        render.progress(f"no pull request by the forge's API: {error.what}")
        return pull_request.open_pull_request(clone, branch, title, "\n".join(f"- {note}" for note in notes))


def _show(result: Retrained) -> None:
    for check in result.checks:
        render.out(f"{render.paint(check.result)} {check.name}: {check.reason}")
    if result.new:
        more = f" and {len(result.new) - _SHOWN} more" if len(result.new) > _SHOWN else ""
        render.out(f"new since {result.incumbent}: {', '.join(result.new[:_SHOWN])}{more}")
    render.out(f"{result.outcome}: {result.reason}")
    if result.bump_commit:
        render.out(f"{result.tag} is {result.digest} at commit {(result.commit or '')[:12]}")
        where = "is pushed to" if result.pushed else "is on"
        render.out(f"bump {(result.bump_commit or '')[:12]} {where} {result.branch}")
