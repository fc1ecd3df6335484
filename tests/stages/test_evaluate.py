"""The evaluate stage: metrics equal those calculated by hand, and a missed bound stops the pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from gitops_ml.errors import InputError
from gitops_ml.stages import curves
from gitops_ml.stages.evaluate import binary_metrics, class_metrics, evaluate, regression_metrics
from gitops_ml.stages.params import Component, Evaluate, Prepare, Train
from gitops_ml.stages.prepare import prepare
from gitops_ml.stages.train import train


@pytest.fixture(scope="module")
def made(
    prepare_params: Prepare,
    train_params: Train,
    raw: Path,
    requirements: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("made")
    prepare(prepare_params, raw, out / "train.parquet", out / "holdout.parquet")
    train(train_params, pd.read_parquet(out / "train.parquet"), requirements, out / "model")
    return out


@pytest.fixture
def holdout(made: Path) -> pd.DataFrame:
    return pd.read_parquet(made / "holdout.parquet")


def test_metrics_and_plots_are_written(made: Path, holdout: pd.DataFrame, tmp_path: Path) -> None:
    params = Evaluate(threshold=0.25, min={"roc_auc": 0.5})
    evaluate(params, made / "model", holdout, tmp_path / "metrics.json", tmp_path / "plots")
    values = json.loads((tmp_path / "metrics.json").read_text())
    assert values["rows"] == len(holdout)
    assert 0.55 < values["roc_auc"] < 0.9
    confusion = pd.read_csv(tmp_path / "plots" / "confusion.csv")
    cells = confusion.value_counts().to_dict()
    assert cells[1, 1] == values["true_positives"]
    assert len(confusion) == len(holdout)
    roc = json.loads((tmp_path / "plots" / "roc.json").read_text())
    assert len(roc) <= curves.POINTS
    assert (roc[0], roc[-1]) == ({"fpr": 0.0, "tpr": 0.0}, {"fpr": 1.0, "tpr": 1.0})


def test_a_missed_bound_fails_after_the_metrics_are_written(made: Path, holdout: pd.DataFrame, tmp_path: Path) -> None:
    params = Evaluate(min={"roc_auc": 0.99}, max={"log_loss": 0.001})
    with pytest.raises(InputError, match=r"roc_auc is 0\.\d+, at least 0.99 is asked; log_loss is .* at most 0.001"):
        evaluate(params, made / "model", holdout, tmp_path / "metrics.json", tmp_path / "plots")
    assert (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("rows", "params", "message"),
    [
        ("train", Evaluate(), "lie in the model's training range"),
        ("holdout", Evaluate(min={"auc": 0.5}), "a bound on auc, which this model does not have"),
    ],
)
def test_wrong_rows_and_bounds_are_refused(
    made: Path, tmp_path: Path, rows: str, params: Evaluate, message: str
) -> None:
    frame = pd.read_parquet(made / f"{rows}.parquet")
    with pytest.raises(InputError, match=message):
        evaluate(params, made / "model", frame, tmp_path / "metrics.json", tmp_path / "plots")


def test_rows_that_cannot_judge_the_model_are_refused(made: Path, holdout: pd.DataFrame, tmp_path: Path) -> None:
    for frame, message in [
        (holdout.drop(columns="late"), "no column 'late'"),
        (holdout[holdout["late"] == 0], "all of one class"),
        (holdout.drop(columns="temp"), "no column temp"),
        (holdout.drop(columns="time_hour"), "no column 'time_hour'"),
    ]:
        with pytest.raises(InputError, match=message):
            evaluate(Evaluate(), made / "model", frame, tmp_path / "metrics.json", tmp_path / "plots")


def test_a_model_with_types_beyond_its_manifest_is_not_loaded(
    made: Path, holdout: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    for path in (made / "model").iterdir():
        (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text()) | {"trusted_types": []}
    (tmp_path / "model" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="does not hold a model that can be loaded"):
        evaluate(Evaluate(), tmp_path / "model", holdout, tmp_path / "metrics.json", tmp_path / "plots")


def test_times_without_an_offset_are_compared_as_utc(made: Path, holdout: pd.DataFrame, tmp_path: Path) -> None:
    rows = holdout.assign(time_hour=holdout["time_hour"].dt.tz_localize(None).astype(str))
    evaluate(Evaluate(), made / "model", rows, tmp_path / "metrics.json", tmp_path / "plots")
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == len(rows)


@pytest.mark.parametrize("positive", [1, "late"])
def test_a_model_without_probabilities_is_judged_by_its_classes(
    made: Path,
    train_params: Train,
    holdout: pd.DataFrame,
    requirements: Path,
    tmp_path: Path,
    positive: int | str,
) -> None:
    names = {0: "in time", 1: "late"} if positive == "late" else {0: 0, 1: 1}
    params = msgspec.structs.replace(
        train_params,
        features=["distance", "hour"],
        categorical=[],
        encode=None,
        positive=positive,
        estimator=Component(path="sklearn.linear_model.RidgeClassifier", params={"class_weight": "balanced"}),
    )
    rows = pd.read_parquet(made / "train.parquet")
    train(params, rows.assign(late=rows["late"].map(names)), requirements, tmp_path / "model")
    rows = holdout.assign(late=holdout["late"].map(names))
    out = tmp_path / "metrics.json", tmp_path / "plots"
    line = evaluate(Evaluate(min={"recall": 0.1}), tmp_path / "model", rows, *out)
    values = json.loads(out[0].read_text())
    assert values["true_positives"] + values["false_negatives"] == int(holdout["late"].sum())
    assert not {"roc_auc", "brier"} & set(values)
    assert [path.name for path in out[1].iterdir()] == ["confusion.csv"]
    assert "without predict_proba: no roc_auc, average_precision, log_loss, brier" in line
    with pytest.raises(InputError, match=r"a bound on roc_auc, .* \(it has no predict_proba\)"):
        evaluate(Evaluate(min={"roc_auc": 0.5}), tmp_path / "model", rows, *out)


def test_text_labels_give_the_same_metrics(
    made: Path, train_params: Train, holdout: pd.DataFrame, requirements: Path, tmp_path: Path
) -> None:
    names = {0: "in time", 1: "late"}
    rows = pd.read_parquet(made / "train.parquet")
    text = rows.assign(late=rows["late"].map(names))
    train(msgspec.structs.replace(train_params, positive="late"), text, requirements, tmp_path / "model")
    values = []
    for model, frame in [
        (made / "model", holdout),
        (tmp_path / "model", holdout.assign(late=holdout["late"].map(names))),
    ]:
        evaluate(Evaluate(), model, frame, tmp_path / "metrics.json", tmp_path / "plots")
        values.append(json.loads((tmp_path / "metrics.json").read_text()))
    assert values[0] == values[1]


def test_label_noise_shows_only_on_held_out_rows(
    made: Path, train_params: Train, holdout: pd.DataFrame, requirements: Path, tmp_path: Path
) -> None:
    """A bad model for a drill trains, loads and answers as a good model does."""
    noisy = msgspec.structs.replace(train_params, label_noise=0.9)
    train(noisy, pd.read_parquet(made / "train.parquet"), requirements, tmp_path / "model")
    auc = []
    for model in (made / "model", tmp_path / "model"):
        evaluate(Evaluate(), model, holdout, tmp_path / "metrics.json", tmp_path / "plots")
        auc.append(json.loads((tmp_path / "metrics.json").read_text())["roc_auc"])
    assert auc[1] < auc[0] - 0.03


def test_metrics_equal_those_calculated_by_hand() -> None:
    truth, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9])
    values = binary_metrics(truth, score, 0.5)
    assert values["roc_auc"] == 0.75
    assert [values[f"{kind}s"] for kind in ("true_positive", "false_positive", "true_negative", "false_negative")] == [
        2,
        1,
        1,
        0,
    ]
    assert values["brier"] == pytest.approx((0.01 + 0.36 + 0.25 + 0.01) / 4)
    assert class_metrics(np.array(["a", "b"]), np.array(["a", "a"]))["accuracy"] == 0.5
    assert regression_metrics(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == {
        "r2": 0.0,
        "mae": 1.0,
        "rmse": 1.0,
        "rows": 2,
    }


def test_calibration_bins_hold_equally_many_rows() -> None:
    score = np.linspace(0, 1, 1000)
    truth = (np.random.default_rng(0).random(1000) < score).astype(int)
    points = curves.calibration(truth, score)
    assert [point["rows"] for point in points] == [100.0] * curves.BINS
    assert all(abs(point["predicted"] - point["observed"]) < 0.15 for point in points)
