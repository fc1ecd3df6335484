"""`adopt`: take over the models that a repository has, so that they can be served."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import EngineFailed, EngineUnavailable, GitopsError, InputError, SourceError

if TYPE_CHECKING:
    from gitops_ml.adoption.adopt import Adopted, Wishes
    from gitops_ml.adoption.writing import PlannedFile
    from gitops_ml.artifacts.manifest import Tensor
    from gitops_ml.clients.git.repository import Repository

_SHOWN = 8
"""How many tensors are listed."""


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
    from gitops_ml.adoption.adopt import Wishes
    from gitops_ml.adoption.workflows import workflow_files
    from gitops_ml.adoption.writing import plan_of, write
    from gitops_ml.clients.git.repository import Repository

    wishes = Wishes(
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
        if clone.bare:
            raise SourceError(
                f"{clone.root} has no work tree", why="it is a bare repository", fix="go to a clone of it"
            )
        adopted, failed = _look(clone, models or [], wishes, engine)
        planned = plan_of(clone, adopted, {**_environments(clone.root), **texts}) if adopted else []
        written = [] if dry_run else write(clone.root, planned)
        result = _Result(adopted, planned, written)
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


class _Result:
    """What was adopted, and how it is told."""

    def __init__(self, adopted: Sequence[Adopted], planned: Sequence[PlannedFile], written: Sequence[str]) -> None:
        self.adopted = adopted
        self.planned = planned
        self.written = written
        self.committed = False
        self.pushed = False
        self.versions: dict[str, str] = {}
        self.declarations: list[str] = []

    def declare_stages(self, clone: Repository) -> None:
        """Write a declaration for each version that is in a stage of GTO, in the environment of that name."""
        from gitops_ml.adoption.stages import declare_stages

        for model in self.adopted:
            written, absent = declare_stages(clone, model.candidate.model, allow_pickle=model.is_pickle)
            self.declarations += written
            for stage in absent:
                render.progress(
                    f"warning: {model.candidate.model} is in the stage {stage}, and no environment has its name"
                )

    def finish(self, clone: Repository, *, register: bool, push: bool) -> None:
        """Commit what was written; register and push, where that was asked for."""
        from gitops_ml.clients.artifacts.resolution import models
        from gitops_ml.clients.edits.edit import commit_files
        from gitops_ml.clients.edits.registration import register as register_version

        files = [*(file.path for file in self.planned if file.state != "kept"), *self.declarations]
        names = ", ".join(model.candidate.model for model in self.adopted)
        commit_files(clone, files, f"Adopt {names} with gitops-ml\n", push=push)
        self.committed, self.pushed = True, push
        for model in self.adopted if register else ():
            name = model.candidate.model
            if name not in models(clone, local=True):
                registered = register_version(clone, name, push=push)
                self.versions[name] = registered.resolved.version
                for warning in registered.warnings:
                    render.progress(f"warning: {warning}")

    def as_dict(self) -> dict[str, Any]:
        """The fields of `-o json`."""
        return {
            "models": [
                {
                    "model": model.candidate.model,
                    "path": model.candidate.path,
                    "kind": model.kind,
                    "format": model.manifest.format,
                    "task": model.manifest.task,
                    "sample": model.sample,
                    "versions": dict(model.needs.versions) if model.needs else None,
                    "notes": list(model.notes),
                    "registered": self.versions.get(model.candidate.model),
                }
                for model in self.adopted
            ],
            "declarations": self.declarations,
            "files": [{"path": file.path, "state": file.state, "differs": list(file.differs)} for file in self.planned],
        }

    def show(self, dry_run: bool) -> None:
        """Print each model, and each file."""
        for model in self.adopted:
            for line in _lines(model):
                render.out(line)
        words = {"new": "would write" if dry_run else "wrote", "edited": "would edit" if dry_run else "edited"}
        scaffold = [file for file in self.planned if file.path.startswith("environments/")]
        if scaffold:
            render.out(f"{words['new']} environments/ with dev, staging and prod ({len(scaffold)} files)")
        for file in [file for file in self.planned if file not in scaffold]:
            differs = f"; another look would change {', '.join(file.differs)}" if file.differs else ""
            render.out(f"{words.get(file.state, file.state)} {file.path}{differs}")
        for path in self.declarations:
            render.out(f"wrote {path}")
        for name, version in self.versions.items():
            render.out(f"registered {name} {version}")

    def next_commands(self, clone: Repository, dry_run: bool) -> list[str]:
        """The commands from here to a verified answer."""
        if dry_run:
            return ["the same command without --dry-run"]
        commands = []
        if not self.committed and (self.written or self.declarations):
            tops = sorted({path.partition("/")[0] for path in [*self.written, *self.declarations]})
            push = f" && {clone.push_command()}" if clone.remote else ""
            commands.append(f"git add {' '.join(tops)} && git commit -m 'Adopt gitops-ml'{push}")
        elif self.committed and not self.pushed and clone.remote:
            commands.append(clone.push_command())
        return list(dict.fromkeys(commands + [line for model in self.adopted for line in self._next_of(clone, model)]))

    def _next_of(self, clone: Repository, model: Adopted) -> list[str]:
        from gitops_ml.clients.artifacts.resolution import models
        from gitops_ml.core.declaration.values import label_of

        name = model.candidate.model
        remote = " --push" if clone.remote else ""
        versions = models(clone, local=True).get(name)
        register = [] if versions else [f"gitops-ml register {name}{remote}"]
        deployment = label_of(name)
        words = ["" if deployment == name else f" --model {name}", " --allow-pickle" if model.is_pickle else ""]
        commit = " --push" if clone.remote else " --commit"
        if self.declarations:
            return [*register, "gitops-ml sync"]
        return [*register, f"gitops-ml bump dev {deployment} latest --create{''.join(words)}{commit}"]


def _look(
    clone: Repository, asked: list[str], wishes: Wishes, engine: str | None
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
    for candidate in find_candidates(clone, head, paths, asked, wishes.name):
        try:
            adopted.append(adoption.adopt(candidate, wishes, asked=bool(asked)))
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


def _lines(model: Adopted) -> Iterator[str]:
    manifest, candidate = model.manifest, model.candidate
    kind = f"{model.kind}, " if model.kind else ""
    classes = f", {len(manifest.classes)} classes" if manifest.classes else ""
    yield f"{candidate.model}: {candidate.path}: {kind}{manifest.task}{classes}"
    yield f"  inputs    {_tensors(manifest.inputs)}"
    yield f"  outputs   {_tensors(manifest.outputs)}"
    if model.files:
        yield f"  example   {f'a row of {model.sample}' if model.sample else 'zeros'}"
    if model.needs:
        pins = (
            f"{name} {version or ''} ({model.needs.sources[name]})" for name, version in model.needs.versions.items()
        )
        yield f"  packages  {', '.join(pins)}"
    if model.is_pickle:
        yield "  note      a pickle runs code when it is loaded: a deployment must say serve: {allow_pickle: true}"
    for note in model.notes:
        yield f"  note      {note}"


def _tensors(tensors: Sequence[Tensor]) -> str:
    shown = [f"{spec.name} {spec.datatype}{list(spec.shape[1:]) if len(spec.shape) > 1 else ''}" for spec in tensors]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _pins(lines: list[str]) -> dict[str, str]:
    from gitops_ml.artifacts.requirements import folded

    pins = {}
    for line in lines:
        name, equals, version = line.partition("==")
        if not (name.strip() and equals and version.strip()):
            raise InputError(f"--pin {line} names no version", fix="write --pin NAME==VERSION")
        pins[folded(name.strip())] = version.strip()
    return pins
