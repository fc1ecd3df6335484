"""Compares the answers of two versions of a model to the same rows: how many flip, for better or worse, and where.

The answers come from both models, each in a container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest, class_name
from gitops_ml.artifacts.pickle_modules import PICKLES
from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import read
from gitops_ml.clients.artifacts.source import ModelSource
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import read_project
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.rows.holdout import Rows, labelled, load_rows, tensor_column
from gitops_ml.core.declaration.checks import Bound
from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.verification.answers import Answers, LabelledRows, ModelAnswers, NoAnswer
from gitops_ml.core.verification.gate import Gate, judge_gate
from gitops_ml.core.verification.model_difference import Predictions
from gitops_ml.core.verification.statistics.slices import most_changed
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError
from gitops_ml.retraining.model_runner import ModelUnderTest, ask
from gitops_ml.retraining.policy import gate_of
from gitops_ml.retraining.versions import READ_BYTES

SHOWN_SLICES = 12


class RowsToAsk(NamedTuple):
    """The labelled rows that both models are asked for.

    Args:
        data: path of the rows at B's commit; the gate's if None, see `policy.gate_of`.
        group: column of dependent rows; the gate's if None.
        allow_pickle: let pickles be loaded, in their containers.
        applications: by version, the deployments of the applications that hold the model; those that HEAD declares if
            None.
    """

    data: str | None = None
    group: str | None = None
    allow_pickle: bool = False
    applications: Mapping[str, ResolvedDeployment] | None = None


class GateRows(NamedTuple):
    """Rows from `path`, and the gate that judges answers to them."""

    rows: Rows
    path: str
    gate: Gate


def read_rows(repo: Repository, commit: str, model: str, asked: RowsToAsk) -> GateRows:
    """Read the rows at B's commit. Raises `VersionError` and `InputError` if they cannot be read."""
    gate = gate_of(repo, commit, model)
    path = asked.data or gate.data
    files = read(repo, resolve_path(repo, commit, path), limit=READ_BYTES)
    return GateRows(load_rows(next(iter(files.values())), path, gate.rows), path, gate)


def require_loadable(models: Sequence[ModelUnderTest], asked: RowsToAsk) -> None:
    """Raise `InputError` if a model is a pickle and none may be loaded, `ModelRejected` if its manifest is broken."""
    loaded = [model for model in models if model.application is None]
    pickles = [model.resolved.version for model in loaded if model.manifest.format in PICKLES]
    if pickles and not asked.allow_pickle:
        raise InputError(
            f"{' and '.join(pickles)} {'are pickles' if len(pickles) > 1 else 'is a pickle'}, and may run any code",
            why="without --allow-pickle none is loaded, not even in its container",
            fix="add --allow-pickle",
        )


def ask_both(
    repo: Repository,
    engine: Engine,
    models: tuple[ModelUnderTest, ModelUnderTest],
    asked: RowsToAsk,
    judged: GateRows,
) -> Predictions:
    """Ask both models for the same rows, and compare their answers.

    Raises `InputError` if a model does not answer.
    """
    a, b = models
    rows, path, gate = judged
    versions = {"a": a.resolved.version, "b": b.resolved.version}
    project = read_project(repo, repo.resolve("HEAD")).name
    answers = ask(engine, project, {"a": a, "b": b}, rows, ModelSource(repo).build_context)
    silent = {name: answer.reason for name, answer in answers.items() if isinstance(answer, NoAnswer)}
    if silent:
        raise InputError(
            "; ".join(f"{versions[name]} gave no answers to {path}: {reason}" for name, reason in silent.items())
        )
    first, second = (answers[name] for name in ("a", "b"))
    assert isinstance(first, Answers) and isinstance(second, Answers)
    manifest = b.manifest
    spec = msgspec.structs.replace(gate, group=asked.group or gate.group, metrics=_all_metrics(manifest, second))
    checks: tuple[CheckResult, ...] = ()
    truth = None
    try:
        labelled_rows = labelled(rows, spec.holdout(), manifest)
        truth = labelled_rows.labels
        checks = _checks(spec, labelled_rows, ModelAnswers(a.manifest, first), ModelAnswers(manifest, second))
    except InputError as error:
        checks = (CheckResult(name="holdout", result="inconclusive", reason=error.what),)
    return _compared(path, rows, manifest, first, second, truth, checks)


def _all_metrics(manifest: Manifest, answers: Answers) -> dict[str, Bound]:
    """Bounds on every metric that fits the model. With `max_drop` 0, a pass means 'surely better or equal'."""
    if manifest.task == "regression":
        names = ["mae", "rmse", "r2"]
    elif answers.probability is None:
        names = ["accuracy", "f1"]
    else:
        names = ["accuracy", "brier", "log_loss"] + (["roc_auc"] if len(manifest.classes or ()) == 2 else [])
    return {name: Bound(max_drop=0.0) for name in names}


def _checks(spec: Gate, rows: LabelledRows, first: ModelAnswers, second: ModelAnswers) -> tuple[CheckResult, ...]:
    # One metric at a time: metrics judged together share the chance of error, so their intervals are wider than 95 %.
    checks: list[CheckResult] = []
    for name, bound in spec.metrics.items():
        only = msgspec.structs.replace(spec, metrics={name: bound})
        checks += [check for check in judge_gate(only, rows, second, first).checks if check not in checks]
    return tuple(checks)


def _compared(
    data: str,
    rows: Rows,
    manifest: Manifest,
    first: Answers,
    second: Answers,
    truth: NDArray[Any] | None,
    checks: tuple[CheckResult, ...],
) -> Predictions:
    classifies = manifest.task == "classification"
    shift = _shift(manifest, first, second)
    flips = right = wrong = None
    if classifies:
        old, new = (_names(answers.predicted) for answers in (first, second))
        change = (old != new).astype(np.float64)
        flips = int(change.sum())
        if truth is not None:
            true = _names(truth)
            right = int(((old != true) & (new == true)).sum())
            wrong = int(((old == true) & (new != true)).sum())
    else:
        difference = second.predicted.astype(np.float64) - first.predicted.astype(np.float64)
        change = np.abs(difference)
    slices = most_changed(_columns(rows, manifest), change, shift, classifies)
    return Predictions(
        data=data,
        rows=len(rows),
        flips=flips,
        right=right,
        wrong=wrong,
        change=float(change.mean()),
        shift=None if shift is None else float(shift.mean()),
        checks=checks,
        slices=tuple(slices[:SHOWN_SLICES]),
    )


def _shift(manifest: Manifest, first: Answers, second: Answers) -> NDArray[np.float64] | None:
    if manifest.task == "regression":
        return second.predicted.astype(np.float64) - first.predicted.astype(np.float64)
    if first.probability is None or second.probability is None or manifest.positive is None:
        return None
    column = [class_name(label) for label in manifest.classes or ()].index(class_name(manifest.positive))
    if first.probability.shape != second.probability.shape:
        return None
    shift: NDArray[np.float64] = second.probability[:, column] - first.probability[:, column]
    return shift


def _names(values: NDArray[Any]) -> NDArray[Any]:
    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([class_name(value) for value in distinct], dtype=object)[inverse.reshape(-1)]


def _columns(rows: Rows, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """The columns to make slices of: text as objects, numbers as floats."""
    columns: dict[str, NDArray[Any]] = {}
    for tensor in manifest.inputs:
        if len(tensor.shape) > 1:
            continue
        values = tensor_column(rows, tensor).to_pylist()
        if tensor.datatype == "BYTES":
            columns[tensor.name] = np.array(values, dtype=object)
        else:
            columns[tensor.name] = np.array([np.nan if v is None else float(v) for v in values])
    return columns
