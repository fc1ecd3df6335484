"""The holdout check on better, equal and worse candidates, and on rows and answers that cannot be judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gitops_ml.artifacts.manifest import Manifest, Target, Tensor, Training
from gitops_ml.core.declaration.checks import Bound, Holdout
from gitops_ml.core.verification.answers import Answers, LabelledRows, ModelAnswers, NoAnswer, answers_of
from gitops_ml.core.verification.holdout import judge_holdout
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError

DAYS, PER_DAY = 31, 200


def _manifest(first: str = "2013-01-01T00:00:00Z", last: str = "2013-08-31T23:00:00Z", **more: Any) -> Manifest:
    return Manifest(
        name="flight-delay",
        task="classification",
        classes=(0, 1),
        inputs=(Tensor(name="distance", datatype="FP64"),),
        target=Target(name="late", positive=1),
        training=Training(time_column="time_hour", from_=first, to=last, rows=1000),
        **more,
    )


def _rows(days: int = DAYS) -> LabelledRows:
    generator = np.random.default_rng(5)
    days_of_rows = np.repeat(np.arange(days), PER_DAY)
    rate = generator.uniform(0.1, 0.4, days)[days_of_rows]
    labels = (generator.random(days * PER_DAY) < rate).astype(int)
    times = np.datetime64("2013-09-01", "us") + days_of_rows * np.timedelta64(1, "D")
    return LabelledRows(labels, days_of_rows, times)


def _answers(rows: LabelledRows, skill: float, seed: int = 9) -> Answers:
    noise = np.random.default_rng(seed).normal(size=len(rows.labels))
    score = 1 / (1 + np.exp(-(skill * rows.labels - 1.5 + noise)))
    return Answers((score > 0.5).astype(int), np.stack([1 - score, score], axis=1))


def _judge(
    candidate: Answers | NoAnswer,
    incumbent: Answers | NoAnswer | None = None,
    *,
    rows: LabelledRows | None = None,
    manifest: Manifest | None = None,
    incumbent_manifest: Manifest | None = None,
    metrics: dict[str, Bound] | None = None,
) -> list[CheckResult]:
    return judge_holdout(
        Holdout(
            data="data/holdout.parquet",
            group="day",
            metrics={"roc_auc": Bound(max_drop=0.01)} if metrics is None else metrics,
        ),
        rows or _rows(),
        ModelAnswers(manifest or _manifest(), candidate),
        None if incumbent is None else ModelAnswers(incumbent_manifest or manifest or _manifest(), incumbent),
        replicates=500,
    )


@pytest.mark.parametrize(
    ("candidate", "incumbent", "result"),
    [(1.5, 1.5, "pass"), (2.0, 1.0, "pass"), (1.0, 1.5, "fail"), (1.44, 1.5, "inconclusive")],
)
def test_a_candidate_is_paired_with_the_incumbent(candidate: float, incumbent: float, result: str) -> None:
    rows = _rows()
    (check,) = _judge(_answers(rows, candidate), _answers(rows, incumbent), rows=rows)
    assert check.result == result, check
    assert check.figures["groups"] == DAYS and check.figures["rows"] == DAYS * PER_DAY
    low, gain, high = (check.figures[name] for name in ("gain_low", "gain", "gain_high"))
    assert low <= gain <= high  # type: ignore[operator]  # figures are of several types


def test_calibration_is_recorded_once() -> None:
    rows = _rows()
    score = np.random.default_rng(3).random(len(rows.labels))
    labels = (np.random.default_rng(4).random(len(score)) < score).astype(int)
    true_to_its_word = Answers((score > 0.5).astype(int), np.stack([1 - score, score], axis=1))
    bounds = {"accuracy": Bound(min=0.5), "brier": Bound(max=0.5), "roc_auc": Bound(min=0.5)}
    accuracy, brier, ranking = _judge(
        true_to_its_word, rows=LabelledRows(labels, rows.groups, rows.times), metrics=bounds
    )
    predicted, observed = (brier.figures[f"calibration_{kind}"] for kind in ("predicted", "observed"))
    assert predicted == pytest.approx(np.arange(0.05, 1, 0.1), abs=0.01)
    assert observed == pytest.approx(predicted, abs=0.06)
    assert not {"calibration_predicted", "calibration_observed"} & {*accuracy.figures, *ranking.figures}


def test_without_a_metric_the_check_is_inconclusive() -> None:
    rows = _rows()
    (check,) = _judge(_answers(rows, 1.5), _answers(rows, 1.5), rows=rows, metrics={})
    assert (check.result, check.reason) == ("inconclusive", "no metric is declared")


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
def test_a_rise_counts_as_a_drop_if_lower_is_better(metric: str) -> None:
    rows = _rows()
    good, bad = _answers(rows, 2.5), _answers(rows, 0.5)
    bound = {metric: Bound(max_drop=0.01)}
    assert _judge(bad, good, rows=rows, metrics=bound)[0].result == "fail"
    assert _judge(good, bad, rows=rows, metrics=bound)[0].result == "pass"


@pytest.mark.parametrize(
    ("metric", "bound", "result", "says"),
    [
        ("roc_auc", Bound(min=0.7), "pass", "is within its bounds"),
        ("roc_auc", Bound(min=0.99), "fail", "is below min 0.99"),
        ("brier", Bound(max=0.5), "pass", "is within its bounds"),
        ("brier", Bound(max=0.01), "fail", "is above max 0.01"),
        ("roc_auc", Bound(max_drop=0.01), "pass", "there is no incumbent to compare with"),
    ],
)
def test_absolute_bounds_of_a_first_deployment(metric: str, bound: Bound, result: str, says: str) -> None:
    rows = _rows()
    (check,) = _judge(_answers(rows, 1.5), rows=rows, metrics={metric: bound})
    assert check.result == result and says in check.reason


def test_without_the_incumbents_answers_only_the_bounds_are_judged() -> None:
    rows = _rows()
    dumb = NoAnswer("it takes another column, `wind`")
    (bounded,) = _judge(_answers(rows, 1.5), dumb, rows=rows, metrics={"roc_auc": Bound(min=0.7, max_drop=0.01)})
    assert bounded.result == "pass" and "it takes another column, `wind`" in bounded.reason
    (unbounded,) = _judge(_answers(rows, 1.5), dumb, rows=rows)
    assert unbounded.result == "inconclusive"


def test_a_candidate_that_refuses_rows_which_the_incumbent_answers_fails() -> None:
    rows = _rows()
    refusal = NoAnswer("HTTP 400: unseen carrier `ZZ`", refused=True)
    assert _judge(refusal, _answers(rows, 1.5), rows=rows)[0].result == "fail"
    assert _judge(refusal, refusal, rows=rows)[0].result == "inconclusive"
    assert _judge(NoAnswer("the probe ran out of time"), _answers(rows, 1), rows=rows)[0].result == "inconclusive"


@pytest.mark.parametrize("whose", ["candidate", "incumbent"])
def test_training_rows_are_inconclusive(whose: str) -> None:
    rows = _rows()
    seen = _manifest(last="2013-09-03T23:00:00Z")
    ours, theirs = (seen, _manifest()) if whose == "candidate" else (_manifest(), seen)
    good, bad = _answers(rows, 9), _answers(rows, 0.1)
    (check,) = _judge(good, bad, rows=rows, manifest=ours, incumbent_manifest=theirs)
    assert check.result == "inconclusive"
    assert check.reason.startswith(f"{3 * PER_DAY} of {DAYS * PER_DAY} rows lie in the {whose}'s training range")


def test_too_few_groups_are_inconclusive() -> None:
    rows = _rows(days=5)
    (check,) = _judge(_answers(rows, 1.5), _answers(rows, 1.5), rows=rows)
    assert check.result == "inconclusive" and "5 groups of `day` are too few" in check.reason


def test_a_single_class_and_a_rare_class_are_inconclusive() -> None:
    rows = _rows()
    single_class = LabelledRows(np.zeros_like(rows.labels), rows.groups, rows.times)
    assert "one class only, 0" in _judge(_answers(single_class, 1), rows=single_class)[0].reason
    rare = single_class.labels.copy()
    rare[:3] = 1
    (check,) = _judge(_answers(single_class, 1), rows=LabelledRows(rare, rows.groups, rows.times))
    assert check.result == "inconclusive" and "class 1 has 3 rows" in check.reason


def test_answers_that_are_not_numbers_are_inconclusive() -> None:
    rows = _rows()
    answers = _answers(rows, 1.5)
    assert answers.probability is not None
    answers.probability[:7, 1] = np.nan
    (check,) = _judge(answers, _answers(rows, 1.5), rows=rows)
    assert check.result == "inconclusive" and "7 of 6200 answers are not numbers" in check.reason


def test_a_metric_that_is_often_undefined_is_inconclusive() -> None:
    labels = np.repeat(np.arange(12) == 0, 20).astype(int)
    rows = LabelledRows(labels, np.repeat(np.arange(12), 20))
    (check,) = _judge(_answers(rows, 1.5), rows=rows)
    assert check.result == "inconclusive" and "is not defined on these rows" in check.reason
    assert check.figures["training_overlap"] == "not checked: the rows carry no time"


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["no", "yes"], "the labels hold no, yes, which the model has no class for"),
        ([False, True], ""),
        ([0.0, 1.0], ""),
    ],
)
def test_labels_of_another_type_are_matched(labels: list[Any], says: str) -> None:
    rows = _rows()
    named = LabelledRows(np.array(labels)[rows.labels], rows.groups, rows.times)
    (check,) = _judge(_answers(rows, 1.5), rows=named)
    assert (check.result, says in check.reason) == ("inconclusive" if says else "pass", True)


def test_an_unknown_metric_does_not_hide_the_others() -> None:
    rows = _rows()
    checks = _judge(_answers(rows, 1.5), rows=rows, metrics={"roc_auc": Bound(min=0.5), "rocauc": Bound(min=0.5)})
    assert [(check.name, check.result) for check in checks] == [
        ("holdout roc_auc", "pass"),
        ("holdout rocauc", "inconclusive"),
    ]


def test_a_regression_model_is_judged() -> None:
    generator = np.random.default_rng(2)
    rows = LabelledRows(generator.normal(size=600), np.repeat(np.arange(30), 20))
    manifest = Manifest(name="eta", task="regression", inputs=(), target=Target(name="minutes"))
    near, far = (Answers(rows.labels + generator.normal(0, spread, 600)) for spread in (0.1, 0.5))
    bounds = {"mae": Bound(max_drop=0.05), "rmse": Bound(max=1), "r2": Bound(min=0.5)}
    assert {check.result for check in _judge(near, far, rows=rows, manifest=manifest, metrics=bounds)} == {"pass"}
    assert _judge(far, near, rows=rows, manifest=manifest, metrics=bounds)[0].result == "fail"


def test_the_same_evidence_gives_the_same_figures() -> None:
    rows = _rows()
    first, again = (_judge(_answers(rows, 1.2), _answers(rows, 1.5, seed=4), rows=rows) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("nested", [True, False])
def test_a_probes_answers_are_read(nested: bool) -> None:
    probabilities: list[Any] = [[0.5, 0.5], [0.1, 0.9]] if nested else [0.5, 0.5, 0.1, 0.9]
    outputs: list[dict[str, Any]] = [
        {"predict": [0, 1], "predict_proba": probabilities},
        {"predict": [1], "predict_proba": [0.2, None]},
    ]
    answers = answers_of(outputs, _manifest())
    assert answers.predicted.tolist() == [0, 1, 1]
    assert answers.probability is not None and answers.probability.shape == (3, 2)
    assert np.isnan(answers.probability[2, 1])


def test_answers_without_predict_or_of_a_wrong_shape_are_errors() -> None:
    with pytest.raises(InputError, match="no `predict` output"):
        answers_of([{"predict_proba": [1.0]}], _manifest())
    with pytest.raises(InputError, match="holds 3 numbers for 1 rows"):
        answers_of([{"predict": [1], "predict_proba": [0.1, 0.2, 0.7]}], _manifest())
