"""Arguments and options that several commands have, so that each has one name and one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Environment = Annotated[str, typer.Argument(help="The environment, such as prod.")]
Environments = Annotated[
    list[str] | None, typer.Argument(help="Environments; without any, all that the fetched tip declares.")
]
Deployment = Annotated[str, typer.Argument(help="The deployment: the name of its file without .yaml.")]
OneDeployment = Annotated[str | None, typer.Argument(help="Only this deployment.")]
Model = Annotated[str, typer.Argument(help="The model: its name under artifacts: in dvc.yaml.")]

Commit = Annotated[bool, typer.Option("--commit", help="Commit that one file.")]
Branch = Annotated[str | None, typer.Option(help="Commit on this new branch.", show_default=False)]
Push = Annotated[bool, typer.Option("--push", help="Commit and push, then read the remote to confirm.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Repo = Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", metavar="PATH", show_default=False)]
