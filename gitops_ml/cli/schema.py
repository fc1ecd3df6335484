"""`schema`: JSON Schemas of the three files under `environments/`, for editors and other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import render

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
        Path | None, typer.Option(help="Write them into this folder, as after an upgrade.", metavar="FOLDER")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (always the case).")] = True,
) -> None:
    """Print the JSON Schemas of project.yaml, environment.yaml and models/<deployment>.yaml."""
    from gitops_ml.core.declaration.schema import json_schema

    kinds = [kind] if kind else list(Kind)
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for each in kinds:
            (into / f"{each}.json").write_text(text(each))
            render.progress(str(into / f"{each}.json"))
    elif kind:
        render.out_json(json_schema(kind.value))
    else:
        render.out_json({each: json_schema(each.value) for each in kinds})


def text(kind: Kind) -> str:
    """The content of a schema's file."""
    from gitops_ml.core.declaration.schema import json_schema

    return render.as_json(json_schema(kind.value)) + "\n"
