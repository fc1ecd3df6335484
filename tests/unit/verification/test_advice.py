"""Drift and agreement: what live rows say, and what they do not."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.core.declaration.schema import AgreementCheck, DriftCheck
from gitops_ml.core.verification import psi
from gitops_ml.core.verification.agreement import judge_agreement
from gitops_ml.core.verification.answers import Answers, NoAnswer
from gitops_ml.core.verification.feature_drift import Categories, Numbers, Reference, judge_drift, parse_reference
from gitops_ml.core.verification.samples import SampledTensor, Samples, parse_samples, together
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


def test_rows_like_those_of_training_have_not_moved() -> None:
    found = judge_drift(DriftCheck(), REFERENCE, usual(500))
    assert (found.result, found.advisory) == ("pass", True)
    assert "no feature has moved" in found.reason


def test_rows_like_those_of_training_are_hardly_ever_called_drift() -> None:
    found = [judge_drift(DriftCheck(warn=0.001), REFERENCE, usual(300, seed)).result for seed in range(300)]
    assert found.count("fail") <= 9  # 1 % by construction, and its chance


def test_what_has_moved_is_named_with_its_figures() -> None:
    same = usual(500)
    shifted = live([value / 3 for value in same.inputs[0].data], same.inputs[1].data)
    found = judge_drift(DriftCheck(), REFERENCE, shifted)
    assert found.result == "fail"
    assert found.reason.startswith("1 of 2 features have moved: x ")
    assert float(found.figures["psi x"]) > 1 > float(found.figures["psi carrier"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("carriers", "moved"),
    [(["ZZ"] * 500, True), ([None] * 500, True), (["AA"] * 300 + ["B6"] * 150 + ["ZZ"] * 50, False)],
)
def test_unseen_and_missing_categories_count(carriers: list[Any], moved: bool) -> None:
    found = judge_drift(DriftCheck(), REFERENCE, live(usual(500).inputs[0].data, carriers))
    assert (found.result == "fail") == moved


def test_a_number_that_goes_missing_is_drift() -> None:
    values = usual(500).inputs[0].data
    found = judge_drift(DriftCheck(), REFERENCE, live([*values[:300], *[None] * 200], usual(500).inputs[1].data))
    assert found.result == "fail"


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
def test_too_little_says_nothing(reference: Reference | None, samples: Samples, reason: str) -> None:
    found = judge_drift(DriftCheck(), reference, samples)
    assert (found.result, found.reason) == ("inconclusive", reason)


def test_the_least_rows_are_those_that_the_index_needs() -> None:
    assert DriftCheck().min_rows == psi.MIN_ROWS


def test_a_reference_is_read_as_the_stage_writes_it() -> None:
    import json

    import pandas as pd

    from gitops_ml.stages.reference import reference

    frame = pd.DataFrame({"x": np.arange(1000.0), "c": ["a", "b"] * 500})
    found = parse_reference(json.dumps(reference(frame, ["c"])).encode())
    assert found.rows == 1000
    for name, feature in found.features.items():
        assert feature.actual(frame[name].tolist()) == feature.expected()
    with pytest.raises(InputError, match="dvc repro train"):
        parse_reference(b"{}")


# --- live rows


def test_the_rows_of_several_replicas_are_put_together() -> None:
    found = together([live([1.0, 2.0], ["a", "b"]), Samples(capacity=512, seen=0), live([3.0], ["c"])])
    assert (found.rows, found.seen, found.capacity) == (3, 3, 1536)
    assert [t.data for t in found.inputs] == [[1.0, 2.0, 3.0], ["a", "b", "c"]]
    assert found.body()["inputs"][0] == {"name": "x", "datatype": "FP64", "shape": (3,), "data": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"rows": 2, "inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}']
)
def test_a_record_that_is_none_is_an_error(content: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        parse_samples(content)


# --- agreement

CLASSES = Manifest(name="m", task="classification", inputs=(Tensor(name="x", datatype="FP64"),), classes=(0, 1))
VALUES = Manifest(name="m", task="regression", inputs=(Tensor(name="x", datatype="FP64"),))


def answers(values: list[Any]) -> Answers:
    return Answers(np.array(values))


def test_the_share_of_other_answers_is_said_with_its_interval() -> None:
    ours, theirs = answers([1] * 10 + [0] * 90), answers([0] * 100)
    found = judge_agreement(AgreementCheck(), 100, ours, theirs, CLASSES)
    assert (found.result, found.advisory) == ("pass", True)
    assert found.reason == "10 of 100 live answers differ (5.5% to 17.4%)"


def test_one_class_by_two_names_is_one_class() -> None:
    found = judge_agreement(AgreementCheck(), 60, answers([1.0] * 60), answers([1] * 60), CLASSES)
    assert found.figures["differing"] == 0


def test_values_differ_by_how_much() -> None:
    found = judge_agreement(AgreementCheck(), 60, answers([1.5] * 60), answers([1.0] * 60), VALUES)
    assert (found.figures["differing"], found.figures["mean_change"]) == (60, 0.5)


@pytest.mark.parametrize(
    ("rows", "ours", "theirs", "reason"),
    [
        (49, answers([1] * 49), answers([1] * 49), "49 live rows, and 50 are needed"),
        (60, NoAnswer("HTTP 400"), answers([1] * 60), "the candidate gave no answers: HTTP 400"),
        (60, answers([1] * 60), NoAnswer("HTTP 500"), "the incumbent gave no answers: HTTP 500"),
        (60, answers([1] * 59), answers([1] * 60), "59 and 60 answers came back for 60 rows"),
    ],
)
def test_without_answers_nothing_is_said(rows: int, ours: Any, theirs: Any, reason: str) -> None:
    found = judge_agreement(AgreementCheck(), rows, ours, theirs, CLASSES)
    assert (found.result, found.reason, found.advisory) == ("inconclusive", reason, True)
