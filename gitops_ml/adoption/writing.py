"""Writes what adopts models into the work tree. Nothing that a person may have written is overwritten."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from gitops_ml.adoption.adopt import Adopted, manifest_differences
from gitops_ml.artifacts.manifest import MANIFEST
from gitops_ml.clients.files.yaml_edit import set_fields
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError


class PlannedFile(NamedTuple):
    """One file of the work tree: new, edited, there already with the same bytes, or kept with others.

    `differs` says in what another look at the model differs from a kept file.
    """

    path: str
    content: bytes
    state: Literal["new", "edited", "same", "kept"]
    differs: Sequence[str] = ()

    @property
    def changes(self) -> bool:
        """Whether the file is written."""
        return self.state in ("new", "edited")


def plan_of(repo: Repository, adopted: Sequence[Adopted], scaffold: Mapping[str, bytes]) -> list[PlannedFile]:
    """What would be written: the texts of the models, their names in dvc.yaml, and `scaffold`.

    Raises `InputError` for a dvc.yaml that cannot be edited.
    """
    texts = {path: content for model in adopted for path, content in model.files.items()}
    planned = [_planned(repo.root, path, content) for path, content in {**texts, **scaffold}.items()]
    undeclared: dict[str, list[Adopted]] = {}
    for model in adopted:
        if not model.candidate.declared:
            undeclared.setdefault(posixpath.join(model.candidate.folder, "dvc.yaml"), []).append(model)
    return [*planned, *(_declaring(repo.root, file, models) for file, models in undeclared.items())]


def write(root: Path, planned: Sequence[PlannedFile]) -> list[str]:
    """Write the new and the edited files; their paths. Raises `InputError` where one cannot be written."""
    written = []
    for file in planned:
        if file.changes:
            target = root / file.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                staged = target.with_name(f".{target.name}.part")
                staged.write_bytes(file.content)
                staged.replace(target)
            except OSError as error:
                raise InputError(
                    f"{file.path} cannot be written", why=error.strerror or "", fix=f"df -h {target.parent}"
                ) from error
            written.append(file.path)
    return written


def _planned(root: Path, path: str, content: bytes) -> PlannedFile:
    target = root / path
    if not target.exists():
        return PlannedFile(path, content, "new")
    before = target.read_bytes() if target.is_file() else b""
    if before == content:
        return PlannedFile(path, content, "same")
    differs = manifest_differences(before, content) if posixpath.basename(path) == MANIFEST else ()
    return PlannedFile(path, content, "kept", differs)


def _declaring(root: Path, file: str, models: Sequence[Adopted]) -> PlannedFile:
    target = root / file
    text = target.read_text() if target.is_file() else ""
    fields = {
        f"artifacts.{model.candidate.name}": {
            "path": posixpath.relpath(model.candidate.path, posixpath.dirname(file) or "."),
            "type": "model",
        }
        for model in models
    }
    edited = set_fields(text if text.strip() else _skeleton(models), fields, file)
    return PlannedFile(file, edited.encode(), "same" if edited == text else "edited" if text else "new")


def _skeleton(models: Sequence[Adopted]) -> str:
    """A dvc.yaml in the layout that people write, whose values the edit fills in, quoted where that is needed."""
    return "artifacts:\n" + "".join(f"  {model.candidate.name}:\n    path: .\n    type: model\n" for model in models)
