"""A folder that only MLflow can load is served with the answers that MLflow itself gives, where pickles are allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.pyfunc
import msgspec
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from gitops_ml.adoption.requirements import needs_of
from gitops_ml.adoption.stored_model import stored_model
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.inspection.describe import describe
from gitops_ml.serving.prediction.loader import load_model
from tests.saving.served import served

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {"age": RANDOM.normal(40, 9, 40), "visits": RANDOM.integers(0, 9, 40), "plan": RANDOM.choice(["a", "b"], 40)}
)


class Price(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Gives a table of two columns."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"price": model_input["age"] * model_input["visits"], "tariff": model_input["plan"] + "+"})


class Norm(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Takes one array, and gives one."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return np.linalg.norm(model_input, axis=1)


class Dice(Norm):
    """Answers differently at each call."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return RANDOM.normal(size=len(model_input))


def adopted(folder: Path, name: str = "m") -> Any:
    """What `adopt` sees of an MLflow folder, which is then the artifact that would be served."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    stored = stored_model(str(folder), files)
    assert stored.format == "mlflow" and "mlflow-skinny" in needs_of(stored, {}, {}).versions
    rows = [] if stored.example is None else [{"name": "input_example.json", "columns": stored.example}]
    job = {"name": name, "python": "3.11", "format": "mlflow", "file": stored.file, "samples": rows}
    return describe(folder, job | {"columns": None, "inputs": msgspec.to_builtins(stored.inputs)})


def write_function(folder: Path, function: Any, rows: Any, answer: Any) -> Path:
    mlflow.pyfunc.save_model(
        folder,
        python_model=function,
        signature=infer_signature(rows, answer),
        input_example=rows[:2],
        pip_requirements=[f"mlflow-skinny=={mlflow.__version__}", "cloudpickle==3.1.2"],
    )
    return folder


def test_a_function_of_a_table_answers_as_in_mlflow(tmp_path: Path) -> None:
    expected = Price().predict(None, TABLE)
    folder = write_function(tmp_path / "m", Price(), TABLE, expected)
    manifest = adopted(folder).manifest
    assert [f"{spec.name} {spec.datatype}" for spec in manifest.inputs] == ["age FP64", "visits INT64", "plan BYTES"]
    answers = served(folder, TABLE)
    np.testing.assert_allclose(answers["price"], expected["price"])
    assert answers["tariff"].tolist() == expected["tariff"].tolist()


def test_a_function_of_an_array_answers_as_in_mlflow(tmp_path: Path) -> None:
    rows = RANDOM.normal(size=(40, 3))
    folder = write_function(tmp_path / "m", Norm(), rows, Norm().predict(None, rows))
    adopted(folder)
    np.testing.assert_allclose(served(folder, rows)["predict"], np.linalg.norm(rows, axis=1))


def test_another_flavour_answers_as_its_own_library(tmp_path: Path) -> None:
    rows = TABLE[["age", "visits"]].astype(float)
    data = lightgbm.Dataset(rows, TABLE["age"] * 2)
    booster = lightgbm.train({"objective": "regression", "verbose": -1, "min_data_in_leaf": 2}, data, 5)
    signature = infer_signature(rows, booster.predict(rows))
    needs = [f"mlflow-skinny=={mlflow.__version__}", f"lightgbm=={lightgbm.__version__}"]
    mlflow.lightgbm.save_model(booster, tmp_path / "m", signature=signature, pip_requirements=needs)
    assert "zeros" in " ".join(adopted(tmp_path / "m").notes)
    np.testing.assert_allclose(served(tmp_path / "m", rows)["predict"], booster.predict(rows))


def test_it_counts_as_a_pickle(tmp_path: Path) -> None:
    folder = write_function(tmp_path / "m", Price(), TABLE, Price().predict(None, TABLE))
    adopted(folder)
    with pytest.raises(ModelRejected, match="does not allow pickles"):
        load_model(folder)


def test_a_function_that_answers_differently_at_each_call_is_refused(tmp_path: Path) -> None:
    rows = RANDOM.normal(size=(40, 3))
    folder = write_function(tmp_path / "m", Dice(), rows, rows[:, 0])
    with pytest.raises(ModelRejected, match="answers differently at each call"):
        adopted(folder)
