"""Arguments and options that several commands have, so that each has one name and one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from gitops_ml.cli import completion
from gitops_ml.cli.command import VARIABLES

Environment = Annotated[
    str, typer.Argument(help="The environment, such as prod.", autocompletion=completion.environments)
]
Environments = Annotated[
    list[str] | None,
    typer.Argument(
        help="Environments; without any, all that the fetched tip declares.", autocompletion=completion.environments
    ),
]
OneEnvironment = Annotated[
    str | None,
    typer.Argument(help="Only this environment and its engine.", autocompletion=completion.environments),
]
Deployment = Annotated[
    str,
    typer.Argument(help="The deployment: the name of its file without .yaml.", autocompletion=completion.deployments),
]
OneDeployment = Annotated[
    str | None, typer.Argument(help="Only this deployment.", autocompletion=completion.deployments)
]
Model = Annotated[
    str, typer.Argument(help="The model: its name under artifacts: in dvc.yaml.", autocompletion=completion.models)
]

Commit = Annotated[bool, typer.Option("--commit", help="Commit that one file.")]
Branch = Annotated[str | None, typer.Option(help="Commit on this new branch.", show_default=False)]
Push = Annotated[bool, typer.Option("--push", help="Commit and push, then read the remote to confirm.")]
PullRequest = Annotated[
    bool,
    typer.Option(
        "--pr", help="Open a pull request of it, or update the one that is open; the work tree stays as it is."
    ),
]
Forge = Annotated[
    str | None,
    typer.Option(
        help="github, gitlab or gitea, or KIND=URL of its API; else by the remote's address.",
        envvar=f"{VARIABLES}_FORGE",
        show_default=False,
    ),
]
Statuses = Annotated[
    bool, typer.Option("--statuses", help="Set commit statuses that follow the verdicts; show deployments on GitHub.")
]
PublicUrl = Annotated[
    str,
    typer.Option(
        help="The page's address for people, which statuses link to, such as https://ml.example.org.",
        metavar="URL",
        show_default=False,
    ),
]


class Edit(NamedTuple):
    """What becomes of an edit: the options of all commands that write a declaration."""

    commit: Commit = False
    branch: Branch = None
    push: Push = False
    pr: PullRequest = False
    forge: Forge = None


class StatusReports(NamedTuple):
    """Where commit statuses are set, if they are wanted."""

    statuses: Statuses = False
    public_url: PublicUrl = ""
    forge: Forge = None


_OUTPUT = ("--output", "-o")
_FORMAT = {"metavar": "FORMAT", "envvar": f"{VARIABLES}_OUTPUT", "show_default": False}
Output = Annotated[Literal["text", "json"], typer.Option(*_OUTPUT, help="text or json.", **_FORMAT)]
"""For commands that print lines."""
Report = Annotated[
    Literal["text", "json", "markdown"], typer.Option(*_OUTPUT, help="text, json or markdown.", **_FORMAT)
]
"""For commands whose output is read in pull requests too."""
Table = Annotated[
    Literal["text", "wide", "json"], typer.Option(*_OUTPUT, help="text, wide (all columns) or json.", **_FORMAT)
]
"""For commands that print a table."""
Lines = Annotated[
    Literal["text", "ndjson"], typer.Option(*_OUTPUT, help="text, or ndjson (each event as it happens).", **_FORMAT)
]
"""For the agent, which has no end."""
Events = Annotated[
    Literal["text", "json", "ndjson"],
    typer.Option(*_OUTPUT, help="text, json, or ndjson (each event as it happens).", **_FORMAT),
]
"""For commands that take long."""
TableOrEvents = Annotated[
    Literal["text", "wide", "json", "ndjson"],
    typer.Option(*_OUTPUT, help="text, wide (all columns), json, or ndjson (each event as it happens).", **_FORMAT),
]
"""For commands that take long, and print a table at their end."""
Repo = Annotated[
    Path,
    typer.Option(
        "--repo", "-C", help="The clone to work in.", metavar="PATH", envvar=f"{VARIABLES}_REPO", show_default=False
    ),
]
