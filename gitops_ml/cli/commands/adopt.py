"""`adopt`: take over the models that a repository has, so that they can be served."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.cli.adoption_result import AdoptionResult
from gitops_ml.errors import EngineFailed, EngineUnavailable, GitopsError, InputError

if TYPE_CHECKING:
    from gitops_ml.adoption.adopt import Adopted, AdoptOptions
    from gitops_ml.clients.git.repository import Repository


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(adopt)


def adopt(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models under artifacts:, or paths; without any, all that are found.", metavar="[MODEL]..."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name, for one model without any.")] = None,
    sample: Annotated[
        Path | None, typer.Option(help="Rows that the model was trained on: CSV, TSV or Parquet.", show_default=False)
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="The sample's columns that the model takes, in its order: A,B,…")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column that the model predicts.")] = None,
    positive: Annotated[str | None, typer.Option(help="The positive class; else the second of two.")] = None,
    pin: Annotated[
        list[str] | None, typer.Option(help="A package that the model needs: NAME==VERSION.", show_default=False)
    ] = None,
    requirements: Annotated[
        Path | None, typer.Option(help="The model's lock with hashes, instead of a new one.", show_default=False)
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="The engine for the containers; else DOCKER_HOST or the local one.")
    ] = None,
    from_gto_stages: Annotated[
        bool, typer.Option("--from-gto-stages", help="Declare in each environment what GTO's stage of its name has.")
    ] = False,
    workflows: Annotated[
        str | None,
        typer.Option(help="Copy the GitHub workflows, with this action: OWNER/REPO@COMMIT.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look into the models, and write nothing.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Commit what was written.")] = False,
    register: Annotated[
        bool, typer.Option("--register", help="Commit, and make the first version of models without any.")
    ] = False,
    push: Annotated[bool, typer.Option("--push", help="Commit and push, with the versions made here.")] = False,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Make the models of this repository servable.

    Each model is looked into in a container, and what its file does not say is written into serving/<model>/. Nothing
    is overwritten.
    """
    from gitops_ml.adoption.adopt import AdoptOptions
    from gitops_ml.adoption.workflows import workflow_files
    from gitops_ml.adoption.writing import plan_of, write
    from gitops_ml.clients.git.repository import Repository

    chosen = AdoptOptions(
        name=name,
        sample=sample,
        columns=tuple(filter(None, (columns or "").split(","))),
        target=target,
        positive=positive,
        pins=_pins(pin or []),
        requirements=requirements,
    )
    texts = workflow_files(workflows) if workflows else {}
    with Repository.open(repo) as clone:
        clone.require_work_tree()
        adopted, failed = _adopt_each(clone, models or [], chosen, engine)
        planned = plan_of(clone, adopted, {**_environments(clone.root), **texts}) if adopted else []
        written = [] if dry_run else write(clone.root, planned)
        result = AdoptionResult(adopted, planned, written)
        if from_gto_stages and not dry_run:
            result.declare_stages(clone)
        if (commit or register or push) and not dry_run and adopted:
            result.finish(clone, register=register, push=push)
        documents.show(ok=not failed, **result.as_dict())
        if output == "text":
            result.show(dry_run)
        if adopted:
            for command in result.next_commands(clone, dry_run):
                render.progress(f"next: {command}")
    if failed:
        raise typer.Exit(1)


def _adopt_each(
    clone: Repository, asked: list[str], chosen: AdoptOptions, engine: str | None
) -> tuple[list[Adopted], list[tuple[str, GitopsError]]]:
    """Look into each model; one that fails keeps no other from being adopted."""
    from gitops_ml.adoption.adopt import Adoption
    from gitops_ml.adoption.candidates import find_candidates, tracked
    from gitops_ml.adoption.stored_model import NoModelError
    from gitops_ml.clients.engine.client import Engine

    head = clone.resolve("HEAD")
    paths = tracked(clone, head)
    connected = functools.cache(lambda: Engine.connect(engine))
    adoption = Adoption(clone, head, paths, connected, render.progress)
    adopted: list[Adopted] = []
    failed: list[tuple[str, GitopsError]] = []
    for candidate in find_candidates(clone, head, paths, asked, chosen.name):
        try:
            adopted.append(adoption.adopt(candidate, chosen, asked=bool(asked)))
        except NoModelError as error:
            if asked or candidate.declared:
                failed.append((candidate.path, error))
                render.error(error)
            else:
                render.progress(f"{error.what}, and is left out; {error.fix} looks into it")
        except (EngineUnavailable, EngineFailed):
            raise
        except GitopsError as error:
            failed.append((candidate.path, error))
            render.error(error, candidate.path)
    if not (adopted or failed):
        raise InputError(
            "no model was found in the last commit",
            why="there is none under artifacts:, and no .pkl, .joblib, .skops, .onnx, .ubj, booster or MLflow folder",
            fix="dvc add MODEL or git add MODEL, and commit; then gitops-ml adopt MODEL",
        )
    return adopted, failed


def _environments(root: Path) -> dict[str, bytes]:
    """The files of environments/, where the repository has none."""
    from gitops_ml.cli.commands.init import project_name, scaffold

    if (root / "environments").exists():
        return {}
    return {path: text.encode() for path, text in scaffold(project_name(None, root)).items()}


def _pins(lines: list[str]) -> dict[str, str]:
    from gitops_ml.artifacts.requirements import folded

    pins = {}
    for line in lines:
        name, equals, version = line.partition("==")
        if not (name.strip() and equals and version.strip()):
            raise InputError(f"--pin {line} names no version", fix="write --pin NAME==VERSION")
        pins[folded(name.strip())] = version.strip()
    return pins
