"""What a model needs is read from its file; the versions come from the repository, the file or a person."""

from __future__ import annotations

import io
import pickle
from functools import cache
from importlib.metadata import version
from typing import Any

import joblib
import numpy as np
import pytest

from gitops_ml.adoption.requirements import constraints_of, holds_estimator, needs_of
from gitops_ml.adoption.stored_model import FoundModel, stored_model
from gitops_ml.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(40, 3))
HERE = version("scikit-learn")


@cache
def model() -> bytes:
    """A pickle of scikit-learn, which is imported here: each worker of a test run imports this module."""
    from sklearn.linear_model import LogisticRegression

    return pickle.dumps(LogisticRegression().fit(ROWS, ROWS[:, 0] > 0))


def stored(content: bytes) -> FoundModel:
    return stored_model("m.pkl", {"m.pkl": content})


def pinned(**versions: str) -> dict[str, tuple[str, str]]:
    return {name.replace("_", "-"): (version, "requirements.txt") for name, version in versions.items()}


def test_what_the_repository_pins_is_taken() -> None:
    needs = needs_of(stored(model()), pinned(scikit_learn=HERE, numpy="2.1.0", flask="3.0.0"), {})
    assert needs.versions["scikit-learn"] == HERE and needs.sources["scikit-learn"] == "requirements.txt"
    assert needs.versions["numpy"] == "2.1.0"
    assert "flask" not in needs.versions, "only what the model needs"


def test_where_nobody_pins_it_the_files_own_scikit_learn_is_taken() -> None:
    needs = needs_of(stored(model()), {}, {})
    assert (needs.versions["scikit-learn"], needs.sources["scikit-learn"]) == (HERE, "the model's file")
    assert needs.sources["numpy"] == "this environment", "which has that scikit-learn"


def test_a_model_of_another_environment_takes_nothing_of_this_one() -> None:
    old = model().replace(HERE.encode(), b"1.3.0"[: len(HERE)].ljust(len(HERE), b"0"))
    assert old != model()
    needs = needs_of(stored(old), {}, {})
    assert needs.versions["scikit-learn"] != HERE
    assert needs.versions["numpy"] is None and needs.versions["pandas"] is None
    assert constraints_of(needs, {}) == ["numpy<2", "pandas<3"]


def test_another_scikit_learn_than_the_one_that_stored_it_stops_with_both_versions() -> None:
    with pytest.raises(InputError, match="pins 0") as stopped:
        needs_of(stored(model()), pinned(scikit_learn="0.99.1"), {})
    assert HERE in str(stopped.value)
    fixed = needs_of(stored(model()), pinned(scikit_learn="0.99.1"), {"scikit-learn": HERE})
    assert fixed.versions["scikit-learn"] == HERE and fixed.sources["scikit-learn"] == "--pin"


def test_a_wrapper_of_a_booster_needs_its_library() -> None:
    from lightgbm import LGBMClassifier

    booster = LGBMClassifier(n_estimators=2, verbose=-1).fit(ROWS, ROWS[:, 0] > 0)
    assert "lightgbm" in needs_of(stored(pickle.dumps(booster)), {}, {}).versions


def test_a_package_of_the_teams_own_is_known_by_its_pin() -> None:
    content = pickle.dumps(("acme_features.encoder", "Encoder"))
    assert "acme-features" in needs_of(stored(content), pinned(acme_features="1.4"), {}).versions
    assert "acme-features" not in needs_of(stored(content), {}, {}).versions


def test_native_files_need_their_library_alone() -> None:
    assert set(needs_of(FoundModel("m", "onnx"), {}, {}).versions) == {"onnxruntime"}
    assert set(needs_of(FoundModel("m", "xgboost"), {}, {}).versions) == {"xgboost-cpu"}
    assert set(needs_of(FoundModel("m", "xgboost"), pinned(xgboost="3.0.2"), {}).versions) == {"xgboost"}


@pytest.mark.parametrize("data", [ROWS, {"weights": [1.0]}])
def test_a_pickle_of_data_is_told_from_a_model(data: Any) -> None:
    file = io.BytesIO()
    joblib.dump(data, file)
    assert not holds_estimator(stored(file.getvalue()))
    file = io.BytesIO()
    joblib.dump(pickle.loads(model()), file)
    assert holds_estimator(stored(file.getvalue()))
