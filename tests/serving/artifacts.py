"""Real model artifacts, trained in a second, with the files that the train stage writes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

CARRIERS = ["AA", "B6", "DL", "UA"]
INPUTS = [
    {"name": "distance", "datatype": "FP64", "shape": [-1]},
    {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
    {"name": "hour", "datatype": "INT64", "shape": [-1]},
]
OUTPUTS = [
    {"name": "predict", "datatype": "INT64", "shape": [-1]},
    {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
]


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows as a client has them, with some values missing."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": random.normal(1000, 300, count),
            "carrier": random.choice(CARRIERS, count).astype(object),
            "hour": random.integers(0, 24, count),
        }
    )
    frame.loc[frame.index % 17 == 3, "distance"] = np.nan
    frame.loc[frame.index % 13 == 5, "carrier"] = None
    return frame


def train(seed: int = 0) -> Pipeline:
    """Fit a pipeline to the columns of `rows`, with text and missing values."""
    frame = rows(2000, seed)
    late = (frame["hour"] / 24 + (frame["carrier"] == "B6") * 0.4 > 0.7).astype(int)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encode, ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20, random_state=seed)).fit(frame, late)


def body(frame: pd.DataFrame, **more: Any) -> dict[str, Any]:
    """Make the inference request for `frame`."""
    inputs = []
    for spec in INPUTS:
        values = [None if pd.isna(value) else value for value in frame[str(spec["name"])].tolist()]
        inputs.append({**spec, "shape": [len(frame)], "data": values})
    return {"inputs": inputs, **more}


def write_artifact(folder: Path, model: Any = None, **manifest: Any) -> Path:
    """Write manifest and example into `folder`, and the skops file if `model` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": 1,
        "name": "flight-delay",
        "format": "skops",
        "file": "model.skops",
        "predictor": None,
        "python": "3.11",
        "task": "classification",
        "classes": [0, 1],
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "trusted_types": [],
        "training": {"time_column": None, "from": None, "to": None, "rows": 2000},
        "target": {"name": "late", "positive": 1},
    } | manifest
    (folder / "manifest.json").write_text(json.dumps(content))
    (folder / "example.json").write_text(json.dumps(body(rows(1))))
    if model is not None:
        skops.io.dump(model, folder / "model.skops")
    return folder


def hang(frame: pd.DataFrame) -> pd.DataFrame:
    """As a function of a model: never ends, unless all values are 0."""
    while frame.max().max() > 0:
        time.sleep(0.01)
    return frame
