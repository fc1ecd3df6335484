"""The published schemas and the worked example follow from the types, so none of them can become stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gitops_ml.cli.commands.init import scaffold
from gitops_ml.cli.commands.schema import Kind, text
from gitops_ml.cli.main import application

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", scaffold("flight-delay"))
def test_the_worked_example_is_what_init_writes(path: str) -> None:
    """If this fails after a change of the schema: `gitops-ml schema --into environments/.schema`."""
    assert (ROOT / path).read_text() == scaffold("flight-delay")[path]


@pytest.mark.parametrize("kind", Kind)
def test_one_schema_is_printed_as_json(kind: Kind) -> None:
    done = CliRunner().invoke(application(), ["schema", kind, "-o", "json"])
    assert json.loads(done.stdout) == json.loads(text(kind))


def test_all_schemas_are_printed_by_name() -> None:
    done = CliRunner().invoke(application(), ["schema"])
    assert json.loads(done.stdout) == {kind: json.loads(text(kind)) for kind in Kind}


def test_schemas_are_written_as_files(tmp_path: Path) -> None:
    done = CliRunner().invoke(application(), ["schema", "--into", str(tmp_path / "new")])
    assert (done.exit_code, done.stdout) == (0, "")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "deployment.json",
        "environment.json",
        "project.json",
    ]
