"""Equal models give equal bytes, in any interpreter, and load to the same model."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from gitops_ml.artifacts.skops_file import skops_bytes, untrusted_types
from gitops_ml.artifacts.skops_types import TRUSTED_TYPES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = (X[:, 0] + RNG.normal(size=300) > 0).astype(int)

FOREIGN = """
import sys
junk = [object() for _ in range(int(sys.argv[1]))]  # changes addresses, and so the ids
from tests.stages.test_skops_file import models
from gitops_ml.artifacts.skops_file import skops_bytes
import hashlib
print(*(hashlib.md5(skops_bytes(model)).hexdigest() for model in models()))
"""


def models() -> list[Any]:
    """Fit models with trees, text columns, linear algebra, sparse support vectors and a set."""
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    mixed = ColumnTransformer([("text", OneHotEncoder(), [0]), ("number", "passthrough", [1])])
    texts = np.array([["a", 1.0], ["b", 2.0], [None, 3.0]], dtype=object)
    trees: list[Any] = [
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        RandomForestClassifier(5, random_state=0),
        scaled,
        SVC(random_state=0),
    ]
    with_set = StandardScaler().fit(X)
    with_set.colours = {"red", "green", "blue", "black", "white"}
    return [*(model.fit(X, Y) for model in trees), mixed.fit(texts), with_set]


def test_bytes_are_the_same_in_a_process_with_another_hash_seed() -> None:
    def run(seed: str) -> str:
        command = [sys.executable, "-c", FOREIGN, seed]
        result = subprocess.run(
            command, capture_output=True, text=True, env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert run("1") == run("20000")


def test_skops_alone_gives_different_bytes() -> None:
    """If this fails, skops is deterministic by itself, and our own writer can go."""
    assert skops.io.dumps(models()[0]) != skops.io.dumps(models()[0])


@pytest.mark.parametrize("number", range(4))
def test_a_stored_model_gives_the_same_predictions(number: int) -> None:
    model = models()[number]
    data = skops_bytes(model)
    loaded = skops.io.loads(data, trusted=sorted(skops.io.get_untrusted_types(data=data)))
    assert np.array_equal(model.predict(X), loaded.predict(X))
    if hasattr(model, "predict_proba"):
        assert np.array_equal(model.predict_proba(X), loaded.predict_proba(X))


def test_sets_and_text_columns_are_restored() -> None:
    mixed, with_set = models()[4:]
    assert skops.io.loads(skops_bytes(with_set)).colours == with_set.colours
    data = skops_bytes(mixed)
    loaded = skops.io.loads(data, trusted=sorted(skops.io.get_untrusted_types(data=data)))
    rows = np.array([["b", 5.0]], dtype=object)
    assert np.array_equal(np.asarray(loaded.transform(rows)), np.asarray(mixed.transform(rows)))


def test_members_are_deflated_and_hold_no_time_and_no_address() -> None:
    with zipfile.ZipFile(io.BytesIO(skops_bytes(models()[0]))) as file:
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_DEFLATED}
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        names = {name for name in file.namelist() if name != "schema.json"}
        schema = json.loads(file.read("schema.json"))
    ids: set[int] = set()
    files: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            ids.update([node["__id__"]] if "__id__" in node else [])
            files.update([node["file"]] if isinstance(node.get("file"), str) else [])
        for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(part)

    walk(schema)
    assert files == names
    assert max(ids) < 10_000


class Custom(BaseEstimator):  # type: ignore[misc]  # scikit-learn is published without types
    """A user's own estimator, which is not reviewed."""


def test_only_types_that_are_not_trusted_are_reported() -> None:
    assert untrusted_types(skops_bytes(models()[0])) == set()
    assert untrusted_types(skops_bytes(models()[1])) <= TRUSTED_TYPES
    assert untrusted_types(skops_bytes(Custom())) == {f"{__name__}.Custom"}
