"""One model as the checks need it: its files, and its answers to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.artifacts.model_files import ModelFiles, read_model_files
from gitops_ml.control.session import ReadOnlySession
from gitops_ml.core.generation import Generation
from gitops_ml.core.verification.applications import require_inputs
from gitops_ml.core.verification.probe_result import TargetResult
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.core.verification.answers import Answers, NoAnswer


def files_of(session: ReadOnlySession, generation: Generation) -> ModelFiles | None:
    """Read the files of a generation's model; None for an application without a mapping, which is not asked.

    Raises `ModelRejected` for malformed files and for a mapping that does not fit them, `VersionError` when their bytes
    cannot be had.
    """
    if not generation.answers:
        return None
    files = read_model_files(session.models.artifact(generation))
    if generation.mapping:
        require_inputs(generation.mapping.request, files.manifest)
    return files


def manifest_of(session: ReadOnlySession, generation: Generation | None) -> Manifest | None:
    """The manifest of a generation that another one is compared with; None where it cannot be read."""
    try:
        files = files_of(session, generation) if generation else None
    except GitopsError:
        return None
    return files.manifest if files else None


def answers_in(result: TargetResult | None, manifest: Manifest | None) -> Answers | NoAnswer:
    """One model's answers to all rows, or why there are none."""
    from gitops_ml.core.verification.answers import NoAnswer, read_outputs  # numpy: only where rows are compared

    if manifest is None:
        return NoAnswer("its manifest cannot be read")
    if result is None:
        return NoAnswer("it was not asked")
    if result.error:
        return NoAnswer(result.error)
    return read_outputs(result.outputs, result.row_counts, manifest)
