"""A model is stored as skops where skops gives the same model, else as a pickle; what a person should know is noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from gitops_ml import save_model
from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.serving.prediction.loader import load_model
from tests.saving.served import LOCK, served

TEXTS = ["late train", "good food", "late food", "good train"] * 5
LABELS = ["complaint", "praise", "complaint", "praise"] * 5
POINTS = np.random.default_rng(0).random((40, 2))
SIDES = (POINTS[:, 0] > 0.5).astype(int)


def text_model() -> Any:
    """A model that skops cannot load again: it holds a method of a built-in type."""
    return make_pipeline(TfidfVectorizer(tokenizer=str.split, token_pattern=None), LogisticRegression()).fit(
        TEXTS, LABELS
    )


def test_a_pickle_is_written_where_skops_fails_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="served only with allow_pickle: true"):
        saved = save_model(text_model(), tmp_path / "model", TEXTS, name="tone", requirements=LOCK)
    assert (saved.manifest.format, saved.manifest.file, saved.manifest.trusted_types) == ("joblib", "model.pkl", ())
    assert "skops" in str(saved)
    np.testing.assert_array_equal(served(tmp_path / "model", TEXTS)["predict"], text_model().predict(TEXTS))
    with pytest.raises(ModelRejected, match="does not allow pickles"):
        load_model(tmp_path / "model")


def test_pickles_of_equal_models_are_equal(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        with pytest.warns(UserWarning):
            save_model(text_model(), tmp_path / str(number), TEXTS, name="tone", requirements=LOCK)
        files.append({path.name: path.read_bytes() for path in (tmp_path / str(number)).iterdir()})
    assert files[0] == files[1]


def test_a_pickle_can_be_ruled_out(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        save_model(text_model(), tmp_path / "model", TEXTS, name="tone", requirements=LOCK, allow_pickle=False)
    assert not list(tmp_path.iterdir())


def test_types_are_trusted_only_as_reviewed(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(POINTS, SIDES)
    saved = save_model(model, tmp_path / "model", POINTS, name="sides", requirements=LOCK)
    assert saved.manifest.trusted_types == ("numpy.nan_to_num",)
    assert any("review these types" in note and "numpy.nan_to_num" in note for note in saved.notes)
    reviewed = ["numpy.nan_to_num"]
    again = save_model(
        model, tmp_path / "model", POINTS, name="sides", requirements=LOCK, trusted_types=reviewed, allow_pickle=False
    )
    assert again.notes == ()
    with pytest.raises(InputError, match=r"types that nobody has reviewed: numpy\.nan_to_num"):
        save_model(model, tmp_path / "model", POINTS, name="sides", requirements=LOCK, trusted_types=[])


def test_a_predict_proba_of_several_targets_is_noted(tmp_path: Path) -> None:
    labels = np.column_stack([SIDES, 1 - SIDES])
    model = MultiOutputClassifier(LogisticRegression()).fit(POINTS, labels)
    saved = save_model(model, tmp_path / "model", POINTS, name="sides", requirements=LOCK)
    assert any("predict_proba is left out" in note for note in saved.notes)
