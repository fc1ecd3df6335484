"""What the commands that edit a declaration share: how far they go, and what they say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.clients.edits.edit import Written

Environment = Annotated[str, typer.Argument(help="The environment, such as prod.")]
Deployment = Annotated[str, typer.Argument(help="The deployment: the name of its file.")]
Commit = Annotated[bool, typer.Option("--commit", help="Commit that one file.")]
Branch = Annotated[str | None, typer.Option(help="Commit it on this new branch.", show_default=False)]
Push = Annotated[bool, typer.Option("--push", help="Commit and push, and read it back.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")]
Repo = Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", show_default=False)]


def show(done: Written, line: str, environment: str, *, as_json: bool, **more: Any) -> None:
    """What was written, to stdout, and what comes next, to stderr."""
    if as_json:
        typer.echo(render.as_json({**done._asdict(), "environment": environment, **more}))
        return
    if not done.changed:
        typer.echo(f"{done.file} says so already")
        return
    typer.echo(f"{done.file}: {line}")
    if done.commit is None:
        render.progress(f"next: git commit -- {done.file}, then git push")
        return
    typer.echo(f"commit {done.commit[:12]} {'is' if done.pushed else 'is made'} on {done.branch}")
    render.progress(f"next: gitops-ml sync {environment}" if done.pushed else "next: git push")
