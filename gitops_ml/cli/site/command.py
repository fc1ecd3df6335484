"""`site`: where everything stands and how it came there, as static files that open from disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.environment.view import View
    from gitops_ml.page.facts import Site


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(site)


def site(
    folder: Annotated[Path, typer.Argument(help="The folder to write; a new one, or an earlier site.")],
    live: Annotated[bool, typer.Option(help="Ask the hosts, instead of Git's records alone.")] = True,
    fetch: Annotated[bool, typer.Option(help="Fetch the remote first.")] = True,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Write a page of all states and attempts as static files.

    Without --live, or where a host does not answer, it shows what Git's records say. Exit 1 if an environment cannot be
    read, else 0.
    """
    from gitops_ml.cli.site.folder import require_own_folder, write_site, written_pages
    from gitops_ml.cli.site.lineage import lineage_of
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.page.render import pages

    require_own_folder(folder)
    render.print_log()
    with Repository.open(repo) as clone:
        facts = _gather(clone, live=live, fetch=fetch)
        known = written_pages(folder)
        count = write_site(folder, pages(facts, lambda deployment: lineage_of(clone, deployment), known))
    index = folder / "index.html"
    for name, error in facts.unreadable.items():
        render.error(error, name)
    for environment in facts.environments:
        if environment.unanswered and live:
            render.progress(f"{environment.name}: shown is what Git's records say: {environment.unanswered}")
    documents.show(
        index=str(index),
        pages=count,
        commit=facts.commit,
        environments=[
            {
                "environment": environment.name,
                "commit": environment.commit,
                "engine": environment.engine,
                "unanswered": environment.unanswered or None,
                "deployments": len(environment.deployments),
            }
            for environment in facts.environments
        ],
    )
    if output == "text":
        render.out(f"{index}: {render.counted(count, 'page')}")
    if facts.unreadable:
        raise typer.Exit(1)


def _gather(clone: Repository, *, live: bool, fetch: bool) -> Site:
    from gitops_ml.control.boundary import as_gitops_error
    from gitops_ml.control.environment.target import EnvironmentTarget
    from gitops_ml.control.environment.view import Options
    from gitops_ml.control.page_facts import gather

    commit = clone.fetch() if fetch else clone.tip()

    def observe(environment: str) -> View | GitopsError:
        if not live:
            return GitopsError("the host was not asked")
        try:
            return EnvironmentTarget(clone, environment, render.progress).look(Options(), commit)
        except Exception as error:
            return as_gitops_error(error, environment)

    return gather(clone, commit, observe, datetime.now(UTC))
