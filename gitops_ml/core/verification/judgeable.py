"""Whether a hold-out can judge a model at all. The declaration and the manifest tell, before anything is built."""

from __future__ import annotations

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.core.declaration.checks import Holdout
from gitops_ml.core.verification.holdout_metrics import check_metric, metric_named
from gitops_ml.errors import InputError


def label_of(spec: Holdout, manifest: Manifest) -> str:
    """The column with the true answers: the declared one, else the manifest's target. Raises `InputError`."""
    label = spec.label or (manifest.target.name if manifest.target else None)
    if label is None:
        raise InputError(
            "the label's column is not known",
            why="the model's manifest names no target, and verify.holdout no label",
            fix="write `label: COLUMN` under `holdout:`",
        )
    return label


def require_judgeable(spec: Holdout, manifest: Manifest) -> None:
    """Check that the label's column is known, and that each metric fits the model. Raises `InputError`."""
    label_of(spec, manifest)
    outputs = {output.name for output in manifest.outputs}
    has_probability = not outputs or "predict_proba" in outputs  # a manifest without outputs leaves it open
    for name in sorted(spec.metrics):
        check_metric(metric_named(name), manifest.task, len(manifest.classes or ()), has_probability)
