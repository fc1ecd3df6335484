"""The gate of retraining passes models that are not worse, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from gitops_ml.artifacts.manifest import Manifest, Target
from gitops_ml.core.declaration.checks import Bound
from gitops_ml.core.verification.answers import Answers, LabelledRows, ModelAnswers, NoAnswer
from gitops_ml.core.verification.gate import DAY, Gate, judge_gate, made_within_a_day

MANIFEST = Manifest(
    name="churn", task="classification", inputs=(), classes=(0, 1), target=Target(name="churned", positive=1)
)
RANDOM = np.random.default_rng(3)
CHANCE = RANDOM.random(3000)
ROWS = LabelledRows(labels=(RANDOM.random(3000) < CHANCE).astype(int), groups=np.arange(3000) % 30)


def answers(noise: float) -> Answers:
    score = np.clip(CHANCE + np.random.default_rng(4).normal(0, noise, len(CHANCE)), 0.001, 0.999)
    return Answers((score > 0.5).astype(int), np.column_stack([1 - score, score]))


def verdict(candidate: Answers | NoAnswer, incumbent: Answers | NoAnswer | None, **bounds: Bound) -> str:
    gate = Gate(group="day", metrics=bounds or {"roc_auc": Bound(max_drop=0.01)})
    return judge_gate(
        gate,
        ROWS,
        ModelAnswers(MANIFEST, candidate),
        None if incumbent is None else ModelAnswers(MANIFEST, incumbent),
    ).verdict


def test_equal_and_better_models_pass() -> None:
    assert verdict(answers(0.1), answers(0.1)) == "Verified"
    assert verdict(answers(0.0), answers(0.3)) == "Verified"


def test_a_worse_model_fails() -> None:
    assert verdict(answers(0.5), answers(0.0)) == "Failed"


def test_one_undecided_metric_prevents_verified() -> None:
    bounds = {"roc_auc": Bound(max_drop=0.2), "brier": Bound(max_drop=0.0)}
    assert verdict(answers(0.02), answers(0.0), **bounds) != "Verified"


def test_a_model_that_gives_no_answers_does_not_pass() -> None:
    assert verdict(NoAnswer("it crashed", refused=True), answers(0.0)) == "Failed"


def test_the_first_model_is_judged_by_its_bounds() -> None:
    assert verdict(answers(0.0), None, roc_auc=Bound(min=0.7)) == "Verified"
    assert verdict(answers(5.0), None, roc_auc=Bound(min=0.7)) == "Failed"


def test_the_same_rows_and_answers_give_the_same_figures() -> None:
    gate = Gate(group="day", metrics={"brier": Bound(max_drop=0.01)})
    once, twice = (
        judge_gate(gate, ROWS, ModelAnswers(MANIFEST, answers(0.1)), ModelAnswers(MANIFEST, answers(0.0)))
        for _ in range(2)
    )
    assert once == twice


@pytest.mark.parametrize(("ages", "expected"), [([], 0), ([1, DAY - 1, DAY, DAY + 1], 2), ([0], 1), ([-5], 0)])
def test_versions_of_the_last_day_are_counted(ages: list[int], expected: int) -> None:
    assert made_within_a_day([1_000_000 - age for age in ages], 1_000_000) == expected
