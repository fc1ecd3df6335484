"""`schema`: what the three files under `environments/` may say, for editors and for checks that are not ours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

FOLDER = ".schema"
"""Beside the files that it describes, so that the first line of each may name it by a relative path."""


class Kind(StrEnum):
    """The three files that people write."""

    PROJECT = "project"
    ENVIRONMENT = "environment"
    DEPLOYMENT = "deployment"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(schema)


def schema(
    kind: Annotated[Kind | None, typer.Argument(help="One file's schema; all three, by name, if none.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="Write them there as files, as after an upgrade.", metavar="FOLDER")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, which it is in any case.")] = True,
) -> None:
    """Print the JSON Schemas of project.yaml, environment.yaml and models/<deployment>.yaml."""
    import json

    from gitops_ml.core.declaration.schema import json_schema

    kinds = [kind] if kind else list(Kind)
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for each in kinds:
            (into / f"{each}.json").write_text(text(each))
            typer.echo(into / f"{each}.json", err=True)
    elif kind:
        typer.echo(text(kind), nl=False)
    else:
        typer.echo(json.dumps({each: json_schema(each.value) for each in kinds}, indent=2))


def text(kind: Kind) -> str:
    """One schema as a file."""
    import json

    from gitops_ml.core.declaration.schema import json_schema

    return json.dumps(json_schema(kind.value), indent=2) + "\n"
