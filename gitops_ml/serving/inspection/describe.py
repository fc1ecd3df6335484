"""Says what a model's own file does not say, from the model itself and from rows: manifest, example and histograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.artifacts.description import answers, class_labels, in_fitted_order, task_of
from gitops_ml.artifacts.facts import EstimatorFacts, Given, facts_of
from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.serving.inspection.description import Description, draft, name_of, notes_of, write_texts
from gitops_ml.serving.inspection.equal_answers import rehearse
from gitops_ml.serving.inspection.samples import Chosen, by_name, guessed_target, matrix, read_samples, texts
from gitops_ml.serving.prediction.estimator import takes_texts
from gitops_ml.serving.prediction.loader import load_estimator

SAMPLE_FIX = "give rows of its training data: --sample FILE"


def describe(folder: Path, job: dict[str, Any]) -> Description:
    """Describe the model in `folder`.

    Args:
        job: `file`, `format`, `name`, `python`, `samples`, and what a person gave of `target`, `positive` and
            `columns`.

    Raises:
        ModelRejected: the file cannot be loaded, or holds something else than a model.
        InputError: no sample fits the model, or the model answers differently when it is asked again.
    """
    if job["format"] in ("skops", "joblib"):
        return _describe_estimator(folder, job)
    from gitops_ml.serving.inspection.describe_native import describe_native

    return describe_native(folder, job)


def _describe_estimator(folder: Path, job: dict[str, Any]) -> Description:
    notes: list[str] = []
    trusted: tuple[str, ...] = ()
    if job["format"] == "skops":
        from gitops_ml.artifacts.skops_file import untrusted_types

        trusted = tuple(sorted(untrusted_types((folder / job["file"]).read_bytes())))
        notes += [f"review these types, which the manifest trusts: {', '.join(trusted)}"] if trusted else []
    unread = Tensor(name="unread", datatype="FP64")
    try:
        model = load_estimator(folder, draft(job, [unread], trusted_types=trusted), allow_pickle=True)
    except ModelRejected as error:
        raise _without_its_code(job["file"], error) from error
    kind = _class_of(model)
    if not (hasattr(model, "predict") or hasattr(model, "transform")):
        raise ModelRejected(
            f"{job['file']} holds {kind}, which has neither predict nor transform",
            why="the model server calls methods of a fitted estimator",
            fix="write a predictor class beside it: see docs/serving.md",
        )
    chosen = _rows_of(model, kind, job)
    target = job.get("target")
    if target is None:
        target = guessed_target(chosen, class_labels(model), task_of(model))
        notes += (
            [f"target is {target!r}, the one column of {name_of(chosen)} that fits; --target names another"]
            if target
            else []
        )
    given = Given(name=job["name"], target=target, positive=job.get("positive"))
    facts = _facts(model, kind, chosen, given)
    manifest = msgspec.structs.replace(facts.manifest, format=job["format"], file=job["file"], trusted_types=trusted)
    served = [spec.name for spec in manifest.outputs]
    write_texts(folder, manifest, facts.example)
    rehearse(folder, facts.sample, lambda part: answers(model, part, served))
    # Without reference.json: a histogram of a few rows would show drift where there is none.
    return Description(manifest, facts.example, kind, name_of(chosen), notes_of(chosen, notes))


def _without_its_code(file: str, error: ModelRejected) -> ModelRejected:
    """The same error, or what to do where the model's own code is missing."""
    if not isinstance(error.__cause__, ImportError | AttributeError):
        return error
    return ModelRejected(
        f"{file} needs code that none of its packages has",
        why=str(error.__cause__),
        fix="name the package that has it: --pin NAME==VERSION; code of a script, such as a class in __main__, needs a "
        "package with a wheel, or a predictor class: see docs/serving.md",
    )


def _rows_of(model: Any, kind: str, job: dict[str, Any]) -> Chosen:
    samples = read_samples(job)
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return by_name([str(name) for name in names], samples, kind)
    if takes_texts(model):
        return texts(samples, kind, class_labels(model))
    width = getattr(model, "n_features_in_", None)
    if width is not None:
        return matrix(int(width), samples, kind)
    columns = job.get("columns")
    if not columns:
        raise InputError(
            f"{kind} does not say which columns it takes",
            why="it is no estimator of scikit-learn",
            fix="name them, if it takes a table: --sample FILE --columns A,B,…; or write a predictor class beside it: "
            "see docs/serving.md",
        )
    return by_name(columns, samples, kind)


def _facts(model: Any, kind: str, chosen: Chosen, given: Given) -> EstimatorFacts:
    try:
        return facts_of(model, in_fitted_order(model, chosen.rows), given)
    except InputError as error:
        if chosen.sample is not None:
            raise
        names = getattr(model, "feature_names_in_", None)
        columns = f"{chosen.rows.shape[1]} columns" if names is None else ", ".join(map(str, names[:10]))
        raise InputError(
            f"{kind} takes {columns}, and no data file of the repository has them",
            why=f"zeros were tried: {error.why or error.what}",
            fix=SAMPLE_FIX,
        ) from error


def _class_of(model: Any) -> str:
    """The model's class; of a pipeline, with those of its steps."""
    steps = getattr(model, "steps", None)
    if isinstance(steps, list):
        return f"{type(model).__name__}({', '.join(type(step[-1]).__name__ for step in steps[:10])})"
    return type(model).__name__
