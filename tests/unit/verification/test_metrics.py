"""Every metric, as a function of draws, compared with scikit-learn; `sample_weight` is how often a row was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gitops_ml.core.verification.holdout_metrics import METRICS, check_metric, metric_named
from gitops_ml.core.verification.statistics import metrics
from gitops_ml.core.verification.statistics.metrics import LabelledAnswers, statistic
from gitops_ml.errors import InputError
from tests.effort import examples

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _case(seed: int, rows: int, groups: int, levels: int) -> tuple[LabelledAnswers, LabelledAnswers, Ints, Floats]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, rows).astype(float)
    truth[:2] = (0, 1)
    score = generator.integers(0, levels, rows) / levels
    binary = LabelledAnswers(truth, (score > 0.5).astype(float), np.stack([1 - score, score], axis=1), 2, 1)
    values = generator.normal(1000, 3, rows)
    regression = LabelledAnswers(values, values + generator.normal(0, 1, rows))
    codes = generator.integers(0, groups, rows)
    return (
        binary,
        regression,
        codes,
        generator.multinomial(groups, [1 / groups] * groups, size=4).astype(float),
    )


def _expected(name: str, sample: LabelledAnswers, weight: Floats) -> float:
    from sklearn import metrics as oracle

    score = sample.probability[:, 1] if sample.probability is not None else None
    by_score = {"roc_auc": oracle.roc_auc_score, "average_precision": oracle.average_precision_score}
    by_probability = {"brier": oracle.brier_score_loss, "log_loss": oracle.log_loss}
    by_answer = {
        "accuracy": oracle.accuracy_score,
        "balanced_accuracy": oracle.balanced_accuracy_score,
        "f1": oracle.f1_score,
        "mae": oracle.mean_absolute_error,
        "rmse": oracle.root_mean_squared_error,
        "r2": oracle.r2_score,
    }
    kept = weight > 0
    truth, weight = sample.truth[kept], weight[kept]
    if name in by_answer:
        return float(by_answer[name](truth, sample.predicted[kept], sample_weight=weight))
    assert score is not None
    expected_metric = by_score.get(name) or by_probability[name]
    more = {"labels": [0, 1]} if name == "log_loss" else {}
    return float(expected_metric(truth, score[kept], sample_weight=weight, **more))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=examples(30), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(4, 60),
    groups=st.integers(2, 12),
    levels=st.sampled_from([1, 2, 5, 10**6]),
    many=st.booleans(),
)
def test_equals_scikit_learn(name: str, seed: int, rows: int, groups: int, levels: int, many: bool) -> None:
    binary, regression, codes, draws = _case(seed, rows, groups, levels)
    metric = METRICS[name]
    sample = regression if metric.kind == "value" else binary
    before = metrics._PAIR_GROUPS
    metrics._PAIR_GROUPS = 0 if many else before
    try:
        values = statistic(metric, sample, codes, groups)(draws)
    finally:
        metrics._PAIR_GROUPS = before
    for value, draw in zip(values, draws, strict=True):
        weight = draw[codes]
        classes = np.unique(sample.truth[weight > 0])
        if weight.sum() < 2 or len(classes) < 2:
            continue
        assert value == pytest.approx(_expected(name, sample, weight), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_a_ranking_metric_of_one_class_is_undefined(name: str) -> None:
    truth = np.ones(6)
    sample = LabelledAnswers(truth, truth, np.full((6, 2), 0.5), 2, 0 if name == "average_precision" else 1)
    assert np.isnan(statistic(METRICS[name], sample, np.arange(6), 6)(np.ones((1, 6)))[0])


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "log_loss", "brier"])
def test_three_classes_equal_scikit_learn(name: str) -> None:
    from sklearn import metrics as oracle

    generator = np.random.default_rng(7)
    truth = generator.integers(0, 3, 200).astype(float)
    probability = generator.dirichlet([1, 1, 1], 200)
    sample = LabelledAnswers(truth, probability.argmax(axis=1).astype(float), probability, 3)
    value = statistic(METRICS[name], sample, np.arange(200), 200)(np.ones((1, 200)))[0]
    expected = {
        "accuracy": lambda: oracle.accuracy_score(truth, sample.predicted),
        "balanced_accuracy": lambda: oracle.balanced_accuracy_score(truth, sample.predicted),
        "f1": lambda: oracle.f1_score(truth, sample.predicted, average="macro"),
        "log_loss": lambda: oracle.log_loss(truth, probability),
        "brier": lambda: oracle.brier_score_loss(truth, probability),
    }[name]()
    assert value == pytest.approx(expected, rel=1e-9)


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean `roc_auc`"):
        metric_named("rocauc")


@pytest.mark.parametrize(
    ("name", "task", "classes", "probability", "reason"),
    [
        ("mae", "classification", 2, True, "does not judge a classification model"),
        ("roc_auc", "classification", 3, True, "needs two classes"),
        ("log_loss", "classification", 2, False, "needs probabilities"),
    ],
)
def test_a_metric_for_another_kind_of_model_is_an_error(
    name: str, task: str, classes: int, probability: bool, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        check_metric(METRICS[name], task, classes, probability)
