"""`schema`: JSON Schemas of the three files under `environments/`, for editors and other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from gitops_ml.cli import documents, options, render

FOLDER = ".schema"
"""Inside environments/, so that the first line of each file can name its schema by a relative path."""


class Kind(StrEnum):
    """The three files that people write."""

    PROJECT = "project"
    ENVIRONMENT = "environment"
    DEPLOYMENT = "deployment"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(schema)


def schema(
    kind: Annotated[Kind | None, typer.Argument(help="Print one schema instead of all three.")] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="Write them into this folder of the clone, as after an upgrade.", metavar="FOLDER"),
    ] = None,
    form: Annotated[
        Literal["json"], typer.Option("--output", "-o", "--json", help="Schemas are JSON.", hidden=True)
    ] = "json",
    repo: options.Repo = Path(),
) -> None:
    """Print the JSON Schemas of the files under environments/.

    They are those of project.yaml, environment.yaml and models/<deployment>.yaml.
    """
    from gitops_ml.core.declaration.schema import json_schema

    kinds = [kind] if kind else list(Kind)
    if into is not None:
        folder = repo / into
        folder.mkdir(parents=True, exist_ok=True)
        for each in kinds:
            (folder / f"{each}.json").write_text(text(each))
            render.progress(str(folder / f"{each}.json"))
    elif kind:
        _print(json_schema(kind.value))
    else:
        _print({each: json_schema(each.value) for each in kinds})


def _print(value: object) -> None:
    print(documents.as_json(value), flush=True)


def text(kind: Kind) -> str:
    """The content of a schema's file."""
    from gitops_ml.core.declaration.schema import json_schema

    return documents.as_json(json_schema(kind.value)) + "\n"
