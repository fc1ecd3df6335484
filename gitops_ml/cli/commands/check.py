"""`check`: whether the artifacts in the work tree can be served, before there is a version of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.cli.render import counted


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(check)


def check(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Models under artifacts:, or paths; without any, all models.", metavar="[MODEL]..."),
    ] = None,
    load: Annotated[bool, typer.Option(help="Load each model in a container, and ask it for its example.")] = True,
    engine: Annotated[
        str | None, typer.Option(help="The engine for the containers; else DOCKER_HOST or the local one.")
    ] = None,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Check models of the work tree, without a version or a commit.

    Exit 0 each can be served, 1 one cannot; every mistake is told.
    """
    from gitops_ml.adoption.check import check as check_artifact
    from gitops_ml.adoption.work_tree import find_artifacts
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.git.repository import Repository

    connect = functools.cache(lambda: Engine.connect(engine)) if load else None
    with Repository.open(repo) as clone:
        results = []
        for artifact in find_artifacts(clone.root, models or []):
            result = check_artifact(clone.root, artifact, connect, _progress_of(artifact.model))
            results.append(result)
            for mistake in result.mistakes:
                render.error(mistake, artifact.model)
            if output == "text" and not result.mistakes:
                render.out(
                    f"ok {artifact.model}: {'it loads and answers its example' if result.loaded else 'its texts fit'}"
                )
            for note in result.notes:
                render.progress(f"note {artifact.model}: {note}")
    mistakes = sum(len(result.mistakes) for result in results)
    documents.show(
        ok=not mistakes,
        models=[
            {
                "model": result.artifact.model,
                "path": result.artifact.path,
                "loaded": result.loaded,
                "mistakes": [{"what": m.what, "why": m.why, "fix": m.fix} for m in result.mistakes],
                "notes": list(result.notes),
            }
            for result in results
        ],
    )
    if mistakes:
        render.progress(f"{counted(mistakes, 'mistake')} in {counted(len(results), 'model')}")
        raise typer.Exit(1)


def _progress_of(model: str) -> Callable[[str], None]:
    return lambda line: render.progress(f"{model}: {line}")
