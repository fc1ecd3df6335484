"""What two versions of a model answer to the same rows: how many answers flip, for better or worse, and where.

The answers come from both models themselves, each in a container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gitops_ml.artifacts.manifest import Manifest, class_name
from gitops_ml.clients.artifacts.holdout import Rows, labelled, load_rows
from gitops_ml.clients.artifacts.lookup import resolve_path
from gitops_ml.clients.artifacts.resolution import read
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import read_project
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Bound
from gitops_ml.core.verification.answers import Answers, LabelledRows, ModelAnswers, NoAnswer
from gitops_ml.core.verification.gate import Gate, judge_gate
from gitops_ml.core.verification.slices import Slice, most_changed
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError
from gitops_ml.retraining.model_runner import ModelUnderTest, ask
from gitops_ml.retraining.policy import gate_of
from gitops_ml.retraining.versions import READ_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN_SLICES = 12


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """Both models on the same rows.

    Args:
        flips: answers that differ (classification); `right` and `wrong` are those that become so, where truth is known.
        change: the share of flips, or the mean absolute difference (regression).
        shift: the mean of B minus A, of the positive class's probability or of the value.
        checks: A as the incumbent, B as the candidate, on these rows.
        slices: where most changes, of each column's values.
    """

    data: str
    rows: int
    flips: int | None
    right: int | None
    wrong: int | None
    change: float
    shift: float | None
    checks: tuple[CheckResult, ...]
    slices: tuple[Slice, ...]


def ask_both(
    repo: Repository, engine: Engine, panel: dict[str, ModelUnderTest], data: str | None, group: str | None
) -> Predictions:
    """Ask the panel's `model-a` and `model-b` for the rows `data` of B's commit (the gate's when None).

    Raises `VersionError` and `InputError` for rows that are not to be had, or that a model does not answer.
    """
    b = panel["model-b"]
    gate = gate_of(repo, b.held.commit)
    path = data or gate.data
    held = resolve_path(repo, b.held.commit, path)
    rows = load_rows(next(iter(read(repo, held, limit=READ_BYTES).values())), path, gate.rows)
    answers = ask(engine, read_project(repo, repo.resolve("HEAD")).name, panel, rows)
    said = {name: answer.reason for name, answer in answers.items() if isinstance(answer, NoAnswer)}
    if said:
        raise InputError("; ".join(f"{name} gave no answers to {path}: {reason}" for name, reason in said.items()))
    first, second = (answers[name] for name in ("model-a", "model-b"))
    assert isinstance(first, Answers) and isinstance(second, Answers)
    manifest = b.manifest
    spec = msgspec.structs.replace(gate, group=group or gate.group, metrics=_all_metrics(manifest, second))
    checks: tuple[CheckResult, ...] = ()
    truth = None
    try:
        known = labelled(rows, spec.holdout(), manifest)
        truth = known.labels
        checks = _checks(spec, known, manifest, panel["model-a"].manifest, first, second)
    except InputError as error:
        checks = (CheckResult(name="holdout", result="inconclusive", reason=error.what),)
    return _compared(path, rows, manifest, first, second, truth, checks)


def _all_metrics(manifest: Manifest, answers: Answers) -> dict[str, Bound]:
    """What both can be scored by. A drop of nothing makes pass mean 'better or equal for certain'."""
    if manifest.task == "regression":
        names = ["mae", "rmse", "r2"]
    elif answers.probability is None:
        names = ["accuracy", "f1"]
    else:
        names = ["accuracy", "brier", "log_loss"] + (["roc_auc"] if len(manifest.classes or ()) == 2 else [])
    return {name: Bound(max_drop=0.0) for name in names}


def _checks(
    spec: Gate, rows: LabelledRows, manifest: Manifest, other: Manifest, first: Answers, second: Answers
) -> tuple[CheckResult, ...]:
    # One by one: judged together, metrics share the error that can stop a model, and no interval would be of 95 %.
    found: list[CheckResult] = []
    for name, bound in spec.metrics.items():
        one = msgspec.structs.replace(spec, metrics={name: bound})
        judged = judge_gate(one, rows, ModelAnswers(manifest, second), ModelAnswers(other, first))
        found += [check for check in judged.checks if check not in found]
    return tuple(found)


def _compared(
    data: str,
    rows: Rows,
    manifest: Manifest,
    first: Answers,
    second: Answers,
    truth: NDArray[Any] | None,
    checks: tuple[CheckResult, ...],
) -> Predictions:
    import numpy as np

    shares = manifest.task == "classification"
    shift = _shift(manifest, first, second)
    flips = right = wrong = None
    if shares:
        old, new = (_names(answers.predicted) for answers in (first, second))
        change = (old != new).astype(np.float64)
        flips = int(change.sum())
        if truth is not None:
            known = _names(truth)
            right = int(((old != known) & (new == known)).sum())
            wrong = int(((old == known) & (new != known)).sum())
    else:
        difference = second.predicted.astype(np.float64) - first.predicted.astype(np.float64)
        change = np.abs(difference)
    slices = most_changed(_columns(rows, manifest), change, shift, shares)
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
    import numpy as np

    if manifest.task == "regression":
        return second.predicted.astype(np.float64) - first.predicted.astype(np.float64)
    if first.probability is None or second.probability is None or manifest.positive is None:
        return None
    at = [class_name(one) for one in manifest.classes or ()].index(class_name(manifest.positive))
    if first.probability.shape != second.probability.shape:
        return None
    shift: NDArray[np.float64] = second.probability[:, at] - first.probability[:, at]
    return shift


def _names(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([class_name(value) for value in distinct], dtype=object)[inverse.reshape(-1)]


def _columns(rows: Rows, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """The inputs that both kinds of slices can be cut from: text as objects, numbers as floats."""
    import numpy as np

    found: dict[str, NDArray[Any]] = {}
    for tensor in manifest.inputs:
        if len(tensor.shape) > 1:
            continue
        values = rows.table.column(tensor.name).to_pylist()
        if tensor.datatype == "BYTES":
            found[tensor.name] = np.array([None if v is None else str(v) for v in values], dtype=object)
        else:
            found[tensor.name] = np.array([np.nan if v is None else float(v) for v in values])
    return found
