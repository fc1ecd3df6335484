"""The names of the holdout check's metrics, and the numbers that decide how a candidate is judged.

`plan` validates declarations with them on every run, so this module does without numpy. The arithmetic is in `metrics`
and `noninferiority`.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Literal

from gitops_ml.errors import InputError

ALPHA = 0.05
"""The chance that a candidate that is no worse than the incumbent is stopped, over all checks that compare the two.

These are traffic, and `max_drop` of the holdout. An absolute `min` or `max` is decided by the point estimate alone.
"""
MIN_GROUPS = 10
"""Fewer groups are not judged: bench/holdout.py measures how far from 95 % their intervals are."""

AnswerKind = Literal["ranking", "probability", "class", "value"]


@dataclass(frozen=True)
class Metric:
    """A named metric: which part of an answer it reads, which direction is better, and the range of its values."""

    name: str
    kind: AnswerKind
    lower_is_better: bool = False
    lowest: float = 0.0
    highest: float = 1.0

    @property
    def task(self) -> str:
        return "regression" if self.kind == "value" else "classification"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ranking"),
        Metric("average_precision", "ranking"),
        Metric("accuracy", "class"),
        Metric("balanced_accuracy", "class"),
        Metric("f1", "class"),
        Metric("log_loss", "probability", lower_is_better=True, highest=math.inf),
        Metric("brier", "probability", lower_is_better=True, highest=2.0),
        Metric("mae", "value", lower_is_better=True, highest=math.inf),
        Metric("rmse", "value", lower_is_better=True, highest=math.inf),
        Metric("r2", "value", lowest=-math.inf),
    )
}


def metric_named(name: str) -> Metric:
    """The metric of this name. Raises `InputError`, with the nearest name, if there is none."""
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.4)
    fix = f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(METRICS)}"
    raise InputError(f"there is no metric `{name}`", why=f"known are {', '.join(METRICS)}", fix=fix)


def check_metric(metric: Metric, task: str, classes: int, has_probability: bool) -> None:
    """Raise `InputError` if the metric cannot judge a model of this task, with so many classes."""
    if metric.task != task:
        usable = ", ".join(name for name, other in METRICS.items() if other.task == task)
        raise InputError(f"`{metric.name}` does not judge a {task} model", fix=f"use one of {usable}")
    if metric.kind == "ranking" and classes != 2:
        raise InputError(f"`{metric.name}` needs two classes", why=f"the model has {classes}", fix="use log_loss or f1")
    if metric.kind in ("ranking", "probability") and not has_probability:
        raise InputError(
            f"`{metric.name}` needs probabilities",
            why="the model answers without `predict_proba`",
            fix="use accuracy",
        )
