"""The transcripts of docs/adopt.md for pickles run as they stand there, and the model itself gives the same answers."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import joblib
import numpy as np
import pytest

from tests.e2e.adopting import Team

pytestmark = pytest.mark.timeout(600)


def test_a_pickle_of_a_script_without_dvc(team: Callable[[str], Team]) -> None:
    wine = team("plain-script")
    wine.follow("plain-script")
    model = joblib.load(wine.folder / "models/wine.pkl")
    row, answer = wine.ask_example("wine", "serving/wine")
    row = row[list(model.feature_names_in_)]
    assert answer["predict"].tolist() == model.predict(row).tolist()
    assert np.allclose(answer["predict_proba"], model.predict_proba(row))
    again = wine.run("adopt", "wine")
    assert "same serving/wine/manifest.json" in again.out, "a second run changes nothing"
    assert not wine.shell("git status --short")


def test_a_version_that_gto_registered_before(team: Callable[[str], Team]) -> None:
    diabetes = team("dvc-stages")
    diabetes.follow("dvc-stages")
    row, answer = diabetes.ask_example("diabetes", "serving/diabetes")
    model = joblib.load(diabetes.folder / "models/diabetes.joblib")
    assert np.allclose(answer["predict"], model.predict(row[list(model.feature_names_in_)]))


def test_what_stands_in_gtos_stages(team: Callable[[str], Team]) -> None:
    registry = team("registry")
    registry.follow("registry")
    for deployment, file in (("exact-price", "exact"), ("quick-price", "quick")):
        row, answer = registry.ask_example(deployment, f"serving/{deployment}")
        assert np.allclose(answer["predict"], joblib.load(registry.folder / f"models/{file}.joblib").predict(row))


def test_two_pipelines_in_one_repository_beside_a_pickle_that_runs_code(team: Callable[[str], Team]) -> None:
    both = team("monorepo")
    both.follow("monorepo")
    texts = ["fast and friendly", "cold and rude"]
    request = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}]}
    model = pickle.loads((both.folder / "reviews/model.pkl").read_bytes())
    assert both.ask("reviews", request)["predict"].tolist() == model.predict(texts).tolist() == ["good", "bad"]
    evil = both.folder / "evil.pkl"
    evil.write_bytes(b"cos\nsystem\n(S'touch " + str(both.folder).encode() + b"/was-here; touch /tmp/was-here'\ntR.")
    both.shell("git add evil.pkl && git commit -qm 'Add a model'")
    told = both.run("adopt", "evil.pkl", "prices:prices", code=1)
    assert "evil.pkl" in told.err and "neither predict nor transform" in told.err
    assert "prices:prices" in told.out, "the next model is looked into"
    assert not (both.folder / "was-here").exists(), "it ran in the container"


def test_a_model_of_a_matrix_that_stages_made(team: Callable[[str], Team]) -> None:
    tagger = team("xml-stages")
    tagger.follow("xml-stages")
    rows, _ = pickle.loads((tagger.folder / "data/features/test.pkl").read_bytes())
    data = rows.toarray()
    tensor = {"name": "X", "shape": list(data.shape), "datatype": "FP64", "data": data.ravel().tolist()}
    model = pickle.loads((tagger.folder / "model.pkl").read_bytes())
    assert np.allclose(tagger.ask("tagger", {"inputs": [tensor]})["predict_proba"], model.predict_proba(data))
