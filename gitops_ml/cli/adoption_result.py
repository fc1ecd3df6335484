"""What `adopt` has done: committed, registered and told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.adoption.adopt import Adopted
    from gitops_ml.adoption.writing import PlannedFile
    from gitops_ml.artifacts.manifest import Tensor
    from gitops_ml.clients.git.repository import Repository

_SHOWN = 8
"""How many tensors are listed."""
_INDENT = 12
"""Columns before what continues a line, below its words."""


class AdoptionResult:
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
                render.out_prose(line, _INDENT)
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
        from gitops_ml.clients.edits.registration import first_environment

        first = None if self.declarations else first_environment(clone)
        environment = first.name if first else "dev"  # which `adopt` has just written
        rest = [line for model in self.adopted for line in self._next_of(clone, model, environment)]
        return list(dict.fromkeys(commands + rest))

    def _next_of(self, clone: Repository, model: Adopted, environment: str) -> list[str]:
        from gitops_ml.clients.artifacts.resolution import models
        from gitops_ml.clients.edits.bump import BumpOptions
        from gitops_ml.core.declaration.values import label_of

        name = model.candidate.model
        remote = " --push" if clone.remote else ""
        versions = models(clone, local=True).get(name)
        register = [] if versions else [f"gitops-ml register {name}{remote}"]
        deployment = label_of(name)
        also = BumpOptions(model=None if deployment == name else name, allow_pickle=model.is_pickle)
        commit = " --push" if clone.remote else " --commit"
        if self.declarations:
            return [*register, "gitops-ml sync"]
        return [*register, f"gitops-ml bump {environment} {deployment} latest --create{also.words()}{commit}"]


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
