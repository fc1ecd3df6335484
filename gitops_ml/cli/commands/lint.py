"""`lint`: check the files under environments/ as they lie in the work tree. Needs neither network nor engine.

For editors, pre-commit hooks and pull requests of forks: nothing is fetched, nothing is run, and nothing is asked. What
only a host or a remote knows is for `doctor` and `plan`.
"""

from __future__ import annotations

from pathlib import Path

import typer

from gitops_ml.cli import documents, options, render


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(lint)


def lint(output: options.Output = "text", repo: options.Repo = Path()) -> None:
    """Check the files under environments/, without network or engine.

    The files are read from the work tree, as a commit of all of them would hold them. Exit 0 all is right, 1 errors.
    """
    from gitops_ml.cli.file_checks import check_files
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        names, deployments, problems = check_files(clone)
    for subject, problem in problems:
        render.error(problem, subject)
    documents.show(ok=not problems, environments=names, deployments=deployments)
    if problems:
        raise typer.Exit(1)
    if output == "text":
        render.out(f"ok: {render.counted(len(names), 'environment')}, {render.counted(deployments, 'deployment')}")
