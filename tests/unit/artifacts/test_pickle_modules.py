"""The modules that a stored model names are read without loading it."""

from __future__ import annotations

import io
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.artifacts.pickle_modules import format_of, modules_in
from gitops_ml.artifacts.trained_with import scikit_learn_versions

ROWS = np.random.default_rng(0).normal(size=(40, 3))
NAMED = {"sklearn.pipeline", "sklearn.linear_model._logistic", "sklearn.preprocessing._data"}


@cache
def model() -> Any:
    """A pipeline of scikit-learn, which is imported here: each worker of a test run imports this module."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ROWS[:, 0] > 0)


def dumped(**options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(model(), file, **options)
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_each_protocol_names_its_modules(protocol: int) -> None:
    assert modules_in(pickle.dumps(model(), protocol=protocol)) >= NAMED


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_a_file_of_joblib_names_its_modules_and_scikit_learn_however_it_is_compressed(compress: Any) -> None:
    content = dumped(compress=compress)
    assert modules_in(content) >= NAMED
    assert len(scikit_learn_versions(content)) == 1


def test_a_skops_file_names_its_modules() -> None:
    from gitops_ml.artifacts.skops_file import skops_bytes

    assert modules_in(skops_bytes(model())) >= NAMED


@given(st.binary(max_size=400))
def test_whatever_the_bytes_are_they_are_read(content: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b"\x78\x9c", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00"):
        modules_in(start + content)


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    modules_in(pickle.dumps(Touch()))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.pkl", b"", "joblib"),
        ("a.joblib", b"", "joblib"),
        ("A.ONNX", b"", "onnx"),
        ("a.txt", b"tree\nversion=v4\n", "lightgbm"),
        ("requirements.txt", b"numpy==1", None),
        ("a.json", b'{"learner":{"attributes"', "xgboost"),
        ("metrics.json", b'{"auc": 1}', None),
        ("a.model", b"{L\0\0\0\0\0\0\0\x07learner", "xgboost"),
        ("a.csv", b"", None),
    ],
)
def test_a_file_is_known_by_its_name_or_its_first_bytes(name: str, content: bytes, expected: str | None) -> None:
    assert format_of(name, content) == expected
