"""The drift and agreement checks on live rows, and when they are inconclusive."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.core.declaration.checks import AgreementCheck, DriftCheck
from gitops_ml.core.verification.agreement import judge_agreement
from gitops_ml.core.verification.answers import Answers, NoAnswer
from gitops_ml.core.verification.feature_drift import Categories, Numbers, Reference, judge_drift, parse_reference
from gitops_ml.core.verification.samples import SampledTensor, Samples, merge_samples, parse_samples
from gitops_ml.core.verification.statistics import psi
from gitops_ml.errors import InputError

EDGES = tuple(float(n) for n in range(10, 100, 10))
REFERENCE = Reference(
    rows=10_000,
    features={
        "x": Numbers(edges=EDGES, counts=(1000,) * 10, missing=0),
        "carrier": Categories(counts={"AA": 6000, "B6": 3000}, other=1000, missing=0),
    },
)


def tensor(name: str, values: list[Any], datatype: str = "FP64") -> SampledTensor:
    return SampledTensor(name=name, datatype=datatype, shape=(len(values),), data=values)


def live(x: list[Any], carrier: list[Any]) -> Samples:
    return Samples(rows=len(x), capacity=512, seen=len(x), inputs=(tensor("x", x), tensor("carrier", carrier, "BYTES")))


def usual(count: int, seed: int = 0) -> Samples:
    chance = random.Random(seed)
    carriers = chance.choices(["AA", "B6", "UA"], [0.6, 0.3, 0.1], k=count)
    return live([chance.uniform(0, 100) for _ in range(count)], list(carriers))


# --- drift


def test_rows_like_the_training_data_have_not_moved() -> None:
    check = judge_drift(DriftCheck(), REFERENCE, usual(500))
    assert (check.result, check.advisory) == ("pass", True)
    assert "no feature has moved" in check.reason


def test_rows_like_the_training_data_are_rarely_called_drift() -> None:
    check = [judge_drift(DriftCheck(warn=0.001), REFERENCE, usual(300, seed)).result for seed in range(300)]
    assert check.count("fail") <= 9  # 1 % by construction, and its chance


def test_features_that_moved_are_named_with_their_figures() -> None:
    same = usual(500)
    shifted = live([value / 3 for value in same.inputs[0].data], same.inputs[1].data)
    check = judge_drift(DriftCheck(), REFERENCE, shifted)
    assert check.result == "fail"
    assert check.reason.startswith("1 of 2 features have moved: x ")
    assert float(check.figures["psi x"]) > 1 > float(check.figures["psi carrier"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("carriers", "moved"),
    [(["ZZ"] * 500, True), ([None] * 500, True), (["AA"] * 300 + ["B6"] * 150 + ["ZZ"] * 50, False)],
)
def test_unseen_and_missing_categories_count(carriers: list[Any], moved: bool) -> None:
    check = judge_drift(DriftCheck(), REFERENCE, live(usual(500).inputs[0].data, carriers))
    assert (check.result == "fail") == moved


def test_a_number_that_goes_missing_is_drift() -> None:
    values = usual(500).inputs[0].data
    check = judge_drift(DriftCheck(), REFERENCE, live([*values[:300], *[None] * 200], usual(500).inputs[1].data))
    assert check.result == "fail"


@pytest.mark.parametrize(
    ("reference", "samples", "reason"),
    [
        (None, usual(500), "the model stores no reference of its training data"),
        (REFERENCE, usual(199), "199 live rows, and 200 are needed"),
        (REFERENCE, Samples(), "0 live rows (the record is off), and 200 are needed"),
        (
            Reference(rows=10, features={}),
            usual(500),
            "the model's reference holds too few rows, or none of its inputs",
        ),
    ],
)
def test_too_few_rows_are_inconclusive(reference: Reference | None, samples: Samples, reason: str) -> None:
    check = judge_drift(DriftCheck(), reference, samples)
    assert (check.result, check.reason) == ("inconclusive", reason)


def test_min_rows_is_what_the_index_needs() -> None:
    assert DriftCheck().min_rows == psi.MIN_ROWS


def test_a_reference_of_the_train_stage_is_read() -> None:
    import json

    import pandas as pd

    from gitops_ml.artifacts.reference import reference

    frame = pd.DataFrame({"x": np.arange(1000.0), "c": ["a", "b"] * 500})
    parsed = parse_reference(json.dumps(reference(frame, ["c"])).encode())
    assert parsed.rows == 1000
    for name, feature in parsed.features.items():
        assert feature.actual(frame[name].tolist()) == feature.expected()
    with pytest.raises(InputError, match="train again, then gitops-ml check"):
        parse_reference(b"{}")


# --- live rows


def test_the_rows_of_several_replicas_are_merged() -> None:
    merged = merge_samples([live([1.0, 2.0], ["a", "b"]), Samples(capacity=512, seen=0), live([3.0], ["c"])])
    assert (merged.rows, merged.seen, merged.capacity) == (3, 3, 1536)
    assert [t.data for t in merged.inputs] == [[1.0, 2.0, 3.0], ["a", "b", "c"]]
    assert merged.body()["inputs"][0] == {"name": "x", "datatype": "FP64", "shape": (3,), "data": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"rows": 2, "inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}']
)
def test_a_malformed_record_of_rows_is_an_error(content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        parse_samples(content)


# --- agreement

CLASSES = Manifest(name="m", task="classification", inputs=(Tensor(name="x", datatype="FP64"),), classes=(0, 1))
VALUES = Manifest(name="m", task="regression", inputs=(Tensor(name="x", datatype="FP64"),))


def answers(values: list[Any]) -> Answers:
    return Answers(np.array(values))


def test_the_share_of_differing_answers_comes_with_its_interval() -> None:
    ours, theirs = answers([1] * 10 + [0] * 90), answers([0] * 100)
    check = judge_agreement(AgreementCheck(), 100, ours, theirs, CLASSES)
    assert (check.result, check.advisory) == ("pass", True)
    assert check.reason == "10 of 100 live answers differ (5.5% to 17.4%)"


def test_two_names_of_one_class_agree() -> None:
    check = judge_agreement(AgreementCheck(), 60, answers([1.0] * 60), answers([1] * 60), CLASSES)
    assert check.figures["differing"] == 0


def test_differing_values_come_with_their_mean_difference() -> None:
    check = judge_agreement(AgreementCheck(), 60, answers([1.5] * 60), answers([1.0] * 60), VALUES)
    assert (check.figures["differing"], check.figures["mean_change"]) == (60, 0.5)


@pytest.mark.parametrize(
    ("rows", "ours", "theirs", "reason"),
    [
        (49, answers([1] * 49), answers([1] * 49), "49 live rows, and 50 are needed"),
        (60, NoAnswer("HTTP 400"), answers([1] * 60), "the candidate gave no answers: HTTP 400"),
        (60, answers([1] * 60), NoAnswer("HTTP 500"), "the incumbent gave no answers: HTTP 500"),
        (60, answers([1] * 59), answers([1] * 60), "59 and 60 answers came back for 60 rows"),
    ],
)
def test_missing_answers_are_inconclusive(rows: int, ours: Any, theirs: Any, reason: str) -> None:
    check = judge_agreement(AgreementCheck(), rows, ours, theirs, CLASSES)
    assert (check.result, check.reason, check.advisory) == ("inconclusive", reason, True)
